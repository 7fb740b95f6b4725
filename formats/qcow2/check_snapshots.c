/*
 * The snapshot table: check and repair. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, "Snapshots": version 3 demands extra data that says how large VM state and
 * disk are. A record that has none is completed by what version 2 would take: that needs a longer
 * table, which is written to a new place when all refcounts are in order, before one write to the
 * header switches to it.
 */
#include <inttypes.h>

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
