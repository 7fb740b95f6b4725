/*
 * The snapshot table: check and repair. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, "Snapshots": version 3 demands extra data that says how large VM state and
 * disk are. A record that has none is completed by what version 2 would take: that needs a longer
 * table, which is written to a new place when all refcounts are in order, before one write to the
 * header switches to it.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "snapshot.h"

/* More snapshots than any reader takes: those at the end go, if all is to be repaired. */
static int check_number(struct qcow2_checking *c, img_error *err)
{
    struct qcow2_header *header = &c->q->header;
    uint32_t more = header->snapshots - QCOW2_SNAPSHOTS_MAX;

    if (header->snapshots <= QCOW2_SNAPSHOTS_MAX)
        return 0;
    if (c->repair != IMGI_REPAIR_ALL)
        return imgi_fail(err, IMG_E_LIMIT,
                         "snapshot table too large: %" PRIu32
                         " snapshots at its end can be removed by check -r all",
                         more);
    qcow2_found(c, IMGI_FINDING_REPAIRED, "Discarding %" PRIu32 " overhanging snapshots", more);
    c->mended = c->new_snapshots = true;
    c->checker->result->corruptions_fixed += more;
    header->snapshots = QCOW2_SNAPSHOTS_MAX;
    return 0;
}

int qcow2_check_count_snapshots(struct qcow2_checking *c, img_error *err)
{
    const struct qcow2_header *header = &c->q->header;
    bool all = c->repair == IMGI_REPAIR_ALL;
    int rc;

    if (header->snapshots == 0)
        return 0;
    rc = check_number(c, err);
    if (rc == 0)
        rc = qcow2_snapshots_load(c->q, &c->snapshots, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; header->version >= 3 && i < c->snapshots.count; i++) {
        if (c->snapshots.list[i].extra_length < QCOW2_SNAP_EXTRA_V3)
            c->new_snapshots |=
                qcow2_found_mendable(c, all, "snapshot table entry %zu is incomplete", i);
    }
    return qcow2_count_bytes(c, header->snapshots_offset, c->snapshots.bytes, 1, err);
}

/* ------------------------------------------------------- L1 tables in common */

/* By L1 table; those with the same one in the order of the list. */
static int by_l1(const void *one, const void *other)
{
    const struct qcow2_snapshot *a = *(const struct qcow2_snapshot *const *)one;
    const struct qcow2_snapshot *b = *(const struct qcow2_snapshot *const *)other;

    if (a->l1_offset != b->l1_offset)
        return a->l1_offset < b->l1_offset ? -1 : 1;
    if (a->l1_entries != b->l1_entries)
        return a->l1_entries < b->l1_entries ? -1 : 1;
    return a < b ? -1 : a > b;
}

static bool same_l1(const struct qcow2_snapshot *a, const struct qcow2_snapshot *b)
{
    return a->l1_offset == b->l1_offset && a->l1_entries == b->l1_entries;
}

/*
 * L1 tables that do not overlap are together no larger than the file. What is more is not gone
 * through, or a small file would keep us busy for hours; and then nobody knows what may be freed.
 */
static void bound_l1_tables(struct qcow2_checking *c)
{
    uint64_t total = 0;

    for (size_t i = 0; i < c->snapshots.count; i++) {
        const struct qcow2_snapshot *snapshot = &c->snapshots.list[i];
        uint64_t bytes = (uint64_t)snapshot->l1_entries * QCOW2_ENTRY_BYTES;

        if (c->l1_uses[i] == 0 || !imgi_span_ok(snapshot->l1_offset, bytes, c->file_size))
            continue;
        total += bytes;
        if (total <= c->file_size)
            continue;
        total -= bytes;
        c->l1_uses[i] = 0;
        c->incomplete = true;
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR snapshot %s (%s) l1_offset=0x%" PRIx64
                    ": L1 table overlaps others; snapshot table entry corrupted",
                    snapshot->id, snapshot->name, snapshot->l1_offset);
    }
}

int qcow2_check_same_l1(struct qcow2_checking *c, img_error *err)
{
    const struct qcow2_snapshot **sorted, *list = c->snapshots.list;
    size_t count = c->snapshots.count;

    sorted = calloc(count + 1, sizeof(const struct qcow2_snapshot *));
    c->l1_uses = calloc(count + 1, sizeof(*c->l1_uses));
    if (!sorted || !c->l1_uses) {
        free(sorted);
        return imgi_fail_nomem(err, "the snapshots' L1 tables");
    }
    for (size_t i = 0; i < count; i++)
        sorted[i] = &list[i];
    qsort(sorted, count, sizeof(const struct qcow2_snapshot *), by_l1);
    for (size_t i = 0, first = 0; i < count; i++) {
        if (!same_l1(sorted[i], sorted[first]))
            first = i;
        c->l1_uses[sorted[first] - list]++;
    }
    free(sorted);
    bound_l1_tables(c);
    return 0;
}

/* ------------------------------------------------------------------- the new table */

int qcow2_check_mend_snapshots(struct qcow2_checking *c, img_error *err)
{
    struct qcow2 *q = c->q;
    int rc;

    if (!c->new_snapshots || c->incomplete)
        return 0;
    rc = qcow2_clear_promises(q, err);
    if (rc < 0)
        return rc;
    /* Who has what: as for every other allocation. Where tables overlap nothing is given out. */
    rc = qcow2_own_again(q, err);
    if (rc == 0)
        rc = qcow2_snapshots_replace(q, &c->snapshots, err);
    c->block = NULL;
    if (q->node->flags & IMG_OPEN_CHECK)
        qcow2_owned_free(&q->owned);
    return rc;
}
