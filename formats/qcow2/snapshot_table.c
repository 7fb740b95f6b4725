/*
 * Another snapshot table, of the snapshots that there are. SPDX-License-Identifier: BSD-2-Clause
 *
 * Records that were short become whole when they are written: then the table is longer, and goes to
 * a new place. Refcounts, the table, one write to the header, then the old one is freed.
 */
#include <stdlib.h>

#include "snapshot.h"

/* Write the table to clusters that nothing refers to, and name it in the header. */
static int write_table(struct qcow2 *q, const struct qcow2_snapshots *snapshots, uint64_t cluster,
                       uint64_t clusters, img_error *err)
{
    uint64_t bytes = clusters << q->cluster_bits;
    uint8_t *table = calloc(1, (size_t)bytes), place[12];
    int rc = table ? 0 : imgi_fail_nomem(err, "the snapshot table");

    if (rc == 0) {
        qcow2_snapshots_encode(snapshots, table);
        rc = imgi_io_write(q->node->file, table, (size_t)bytes, cluster << q->cluster_bits, err);
    }
    free(table);
    if (rc == 0)
        rc = qcow2_refcounts_out(q, err);
    imgi_put_be32(place, (uint32_t)snapshots->count);
    imgi_put_be64(place + 4, cluster << q->cluster_bits);
    if (rc == 0)
        rc = qcow2_header_update(q, QCOW2_AT_SNAPSHOTS, place, sizeof(place), err);
    if (rc < 0)
        return rc;
    q->header.snapshots = (uint32_t)snapshots->count;
    q->header.snapshots_offset = cluster << q->cluster_bits;
    return 0;
}

int qcow2_snapshots_replace(struct qcow2 *q, const struct qcow2_snapshots *snapshots,
                            img_error *err)
{
    uint64_t old = q->header.snapshots_offset >> q->cluster_bits, bytes, cluster;
    uint64_t old_clusters = qcow2_clusters(q, snapshots->bytes), clusters;
    int rc = qcow2_snapshots_size(snapshots, &bytes, err);

    if (rc < 0)
        return rc;
    clusters = qcow2_clusters(q, bytes);
    rc = qcow2_alloc_metadata(q, clusters, QCOW2_OWNER_SNAPSHOT, &cluster, err);
    if (rc < 0)
        return rc;
    rc = write_table(q, snapshots, cluster, clusters, err);
    if (rc < 0) {
        qcow2_cancel_metadata(q, cluster, clusters);
        return rc;
    }
    qcow2_owned_remove_run(&q->owned, old, old_clusters);
    rc = qcow2_refcount_drop(q, old, old_clusters, false, err);
    return rc < 0 ? rc : qcow2_refcounts_out(q, err);
}
