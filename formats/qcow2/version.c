/*
 * From version 2 to version 3 and back. SPDX-License-Identifier: BSD-2-Clause
 *
 * Version 3 has more header fields and zero clusters, and wants the disk's size in each snapshot.
 * What else differs is in the header, which is written as a whole.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "amend.h"
#include "snapshot.h"

static int check_snapshots(struct qcow2 *q, uint64_t size, img_error *err)
{
    struct qcow2_snapshots snapshots;
    int rc;

    if (q->header.snapshots == 0)
        return 0;
    rc = qcow2_snapshots_load(q, &snapshots, err);
    if (rc < 0)
        return rc;
    /* Version 2 knows 32 bits of the VM state's size, and no size of the disk. */
    for (size_t i = 0; rc == 0 && i < snapshots.count; i++)
        if (snapshots.list[i].disk_size != size || snapshots.list[i].vm_state > UINT32_MAX)
            rc = imgi_fail(err, IMG_E_INVAL, "Internal snapshots prevent downgrade of image");
    qcow2_snapshots_free(&snapshots);
    return rc;
}

int qcow2_check_downgrade(struct qcow2 *q, uint64_t size, img_error *err)
{
    uint64_t features = q->header.incompatible & ~(uint64_t)QCOW2_INCOMPAT_DIRTY;

    if (features & QCOW2_INCOMPAT_DATA_FILE)
        return imgi_fail(err, IMG_E_INVAL, "Cannot downgrade an image with a data file");
    if (features)
        return imgi_fail(err, IMG_E_INVAL,
                         "Cannot downgrade an image with incompatible features 0x%" PRIx64 " set",
                         features);
    if (qcow2_extension_find(&q->header, QCOW2_EXT_BITMAPS))
        return imgi_fail(err, IMG_E_INVAL,
                         "Cannot downgrade an image with bitmaps: remove them first");
    return check_snapshots(q, size, err);
}

static int edit_down(struct qcow2_header *header, const void *opaque, img_error *err)
{
    (void)opaque;
    (void)err;
    header->version = 2;
    header->header_length = QCOW2_V2_LENGTH;
    header->incompatible = header->compatible = header->autoclear = 0;
    free(header->future);
    header->future = NULL;
    qcow2_extension_remove(header, QCOW2_EXT_FEATURE_NAMES);
    return 0;
}

int qcow2_downgrade(struct qcow2 *q, struct imgi_amend *amend, img_error *err)
{
    int rc = qcow2_expand_zeros(q, amend, err);

    /* There is no dirty bit any more that could stand for refcounts. */
    if (rc == 0)
        rc = qcow2_refcounts_settle(q, err);
    if (rc == 0)
        rc = qcow2_header_rewrite(q, edit_down, NULL, err);
    if (rc == 0)
        q->lazy = false;
    return rc;
}

/* Whether a snapshot has no field for the disk's size, which version 3 demands. */
static bool has_short_record(const struct qcow2_snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++)
        if (snapshots->list[i].extra_length < QCOW2_SNAP_EXTRA_V3)
            return true;
    return false;
}

/* The snapshot table in clusters that nothing refers to yet, on disk, with its refcounts. */
static int write_table(struct qcow2 *q, const struct qcow2_snapshots *snapshots, uint64_t bytes,
                       uint64_t cluster, img_error *err)
{
    uint8_t *table = calloc(1, (size_t)bytes);
    int rc;

    if (!table)
        return imgi_fail_nomem(err, "the snapshot table");
    qcow2_snapshots_encode(snapshots, table);
    rc = imgi_io_write(q->node->file, table, (size_t)bytes, cluster << q->cluster_bits, err);
    free(table);
    return rc < 0 ? rc : qcow2_refcounts_out(q, err);
}

/* Give the image a snapshot table with whole records, in a new place. */
static int rewrite_snapshots(struct qcow2 *q, const struct qcow2_snapshots *snapshots,
                             img_error *err)
{
    uint64_t old = q->header.snapshots_offset >> q->cluster_bits;
    uint64_t old_clusters = qcow2_clusters(q, snapshots->bytes), bytes, clusters, cluster;
    uint8_t place[8];
    int rc = qcow2_snapshots_size(snapshots, &bytes, err);

    if (rc < 0)
        return rc;
    clusters = qcow2_clusters(q, bytes);
    rc = qcow2_alloc_metadata(q, clusters, QCOW2_OWNER_SNAPSHOT, &cluster, err);
    if (rc < 0)
        return rc;
    rc = write_table(q, snapshots, bytes, cluster, err);
    imgi_put_be64(place, cluster << q->cluster_bits);
    if (rc == 0)
        rc = qcow2_header_update(q, QCOW2_AT_SNAPSHOTS_OFFSET, place, sizeof(place), err);
    if (rc < 0) {
        for (uint64_t i = 0; i < clusters; i++)
            qcow2_owned_remove(&q->owned, cluster + i);
        qcow2_refcount_drop(q, cluster, clusters, false, NULL);
        return rc;
    }
    q->header.snapshots_offset = cluster << q->cluster_bits;
    for (uint64_t i = 0; i < old_clusters; i++)
        qcow2_owned_remove(&q->owned, old + i);
    /* Not noted for want of memory, it is lost space, which is no reason to fail. */
    qcow2_free_later(q, old, old_clusters, false, NULL);
    return qcow2_settle(q, err);
}

static int edit_up(struct qcow2_header *header, const void *opaque, img_error *err)
{
    (void)opaque;
    header->version = 3;
    header->header_length = QCOW2_V3_LENGTH;
    if (1u << header->cluster_bits <= QCOW2_FEATURES_MIN_CLUSTER)
        return 0;
    return qcow2_extension_add_features(header, err);
}

/* Whole records are no fault in version 2: they are there before the header says version 3. */
int qcow2_upgrade(struct qcow2 *q, img_error *err)
{
    struct qcow2_snapshots snapshots = {0};
    int rc = 0;

    if (q->header.snapshots > 0)
        rc = qcow2_snapshots_load(q, &snapshots, err);
    if (rc == 0 && has_short_record(&snapshots))
        rc = rewrite_snapshots(q, &snapshots, err);
    qcow2_snapshots_free(&snapshots);
    return rc < 0 ? rc : qcow2_header_rewrite(q, edit_up, NULL, err);
}
