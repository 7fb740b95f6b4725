/*
 * Room for new tables. SPDX-License-Identifier: BSD-2-Clause
 *
 * First fit among the clusters whose refcount is 0. A cluster that is given out gains a reference;
 * the refcount block that counts it is then one of those that change, and so goes to a new place
 * itself. That ends, at the latest behind all that is counted now, as plan_reftable reckoned.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "snapshot.h"

/* Remember what is to be taken back after a failure. */
static int note(struct qcow2_change *change, uint64_t cluster, img_error *err)
{
    if (change->placed_count == change->placed_room) {
        size_t room = change->placed_room ? 2 * change->placed_room : 64;
        uint64_t *placed = realloc(change->placed, room * sizeof(*placed));

        if (!placed)
            return imgi_fail_nomem(err, "a change of snapshots");
        change->placed = placed;
        change->placed_room = room;
    }
    change->placed[change->placed_count++] = cluster;
    return 0;
}

void qcow2_change_unplace(struct qcow2_change *change)
{
    for (size_t n = 0; n < change->placed_count; n++)
        qcow2_owned_remove(&change->q->owned, change->placed[n]);
    change->placed_count = 0;
}

/* Enter clusters among those that hold metadata. */
static int own(struct qcow2_change *change, uint64_t cluster, uint64_t count,
               enum qcow2_owner owner, img_error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        int rc = qcow2_owned_add(&change->q->owned, cluster + i, owner, err);

        if (rc == 0)
            rc = note(change, cluster + i, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* count free clusters in a row. */
static int place(struct qcow2_change *change, uint64_t count, enum qcow2_owner owner,
                 uint64_t *cluster, img_error *err)
{
    const struct qcow2 *q = change->q;
    uint64_t limit = IMGI_MIN(change->gained.clusters, QCOW2_OFFSET_MAX >> q->cluster_bits);
    uint64_t at = change->hint, run = 0;
    int rc;

    while (run < count) {
        uint64_t old, next;

        if (at == limit)
            return imgi_fail(err, IMG_E_NOSPACE,
                             "no free host cluster is left below 2^56 bytes of the file");
        rc = qcow2_change_refcount(change, at, &old, &next, err);
        if (rc < 0)
            return rc;
        run = old == 0 && next == 0 ? run + 1 : 0;
        at++;
    }
    *cluster = at - count;
    if (count == 1 || *cluster == change->hint)
        change->hint = at;
    rc = own(change, *cluster, count, owner, err);
    return rc < 0 ? rc : qcow2_change_add(change, &change->gained, *cluster, count, 1, err);
}

/* As place, in bytes of the file; 0 bytes need no room. */
static int place_table(struct qcow2_change *change, uint64_t bytes, enum qcow2_owner owner,
                       uint64_t *offset, img_error *err)
{
    uint64_t cluster;
    int rc;

    if (bytes == 0)
        return 0;
    rc = place(change, qcow2_clusters(change->q, bytes), owner, &cluster, err);
    if (rc == 0)
        *offset = cluster << change->q->cluster_bits;
    return rc;
}

/* L2 tables: new ones get a place, old ones that the disk did not have until now an owner. */
static int place_l2(struct qcow2_change *change, img_error *err)
{
    struct qcow2 *q = change->q;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < change->l1.count; i++) {
        uint64_t cluster = (change->l1.entries[i] & QCOW2_OFFSET_MASK) >> q->cluster_bits;

        if (change->new_l2[i] != 0)
            rc = place(change, 1, QCOW2_OWNER_L2, &change->new_l2[i], err);
        else if (cluster != 0 && qcow2_owned_find(&q->owned, cluster) == QCOW2_OWNER_NONE)
            rc = own(change, cluster, 1, QCOW2_OWNER_L2, err);
    }
    return rc;
}

/* A place for each block that counts something else than before, until there are no more. */
static int place_blocks(struct qcow2_change *change, img_error *err)
{
    struct qcow2 *q = change->q;
    bool more = true;
    int rc = 0;

    while (rc == 0 && more) {
        more = false;
        for (uint64_t i = 0; rc == 0 && i < change->blocks; i++) {
            uint64_t old = change->reftable.entries[i] >> q->cluster_bits;

            if (!change->touched[i] || change->new_block[i] != 0)
                continue;
            more = true;
            rc = place(change, 1, QCOW2_OWNER_REFBLOCK, &change->new_block[i], err);
            if (rc == 0 && old != 0)
                rc = qcow2_change_add(change, &change->lost, old, 1, 1, err);
            if (rc == 0 && old != 0)
                rc = qcow2_change_verify_cluster(change, old, err);
        }
    }
    return rc;
}

int qcow2_change_place(struct qcow2_change *change, img_error *err)
{
    uint64_t bytes = 0;
    int rc = place_l2(change, err);

    if (rc == 0)
        rc = place_table(change, change->l1.count * QCOW2_ENTRY_BYTES, QCOW2_OWNER_L1,
                         &change->l1.offset, err);
    if (rc == 0)
        rc = qcow2_snapshots_size(change->snapshots, &bytes, err);
    if (rc == 0)
        rc = place_table(change, bytes, QCOW2_OWNER_SNAPSHOT, &change->table_offset, err);
    if (rc == 0)
        rc = place_table(change, change->reftable.count * QCOW2_ENTRY_BYTES, QCOW2_OWNER_REFTABLE,
                         &change->reftable.offset, err);
    if (rc == 0)
        rc = place_blocks(change, err);
    return rc;
}
