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
        rc = qcow2_snapshots_replace(q, &snapshots, err);
    qcow2_snapshots_free(&snapshots);
    return rc < 0 ? rc : qcow2_header_rewrite(q, edit_up, NULL, err);
}
