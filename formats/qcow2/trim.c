/*
 * A file that ends where its image does. SPDX-License-Identifier: BSD-2-Clause
 *
 * Refcount blocks at the end of the refcount table that count nothing, or only themselves, lose
 * their entry; once that is on disk nothing refers to what is behind the last cluster in use, and
 * the file is cut off there.
 */
#include "qcow2.h"

/* The last cluster in use that the block of that index counts, itself left out; false: none. */
static int last_in_block(struct qcow2 *q, uint64_t index, uint64_t *cluster, bool *found,
                         img_error *err)
{
    uint64_t first = index << q->block_bits;
    uint64_t itself = q->reftable.entries[index] >> q->cluster_bits;

    *found = false;
    for (uint64_t i = UINT64_C(1) << q->block_bits; i-- > 0;) {
        uint64_t value;
        int rc = qcow2_refcount(q, first + i, &value, err);

        if (rc < 0)
            return rc;
        if (value == 0 || first + i == itself)
            continue;
        *cluster = first + i;
        *found = true;
        return 0;
    }
    return 0;
}

/* The block counts nobody else: neither it nor its entry is needed. Elsewhere it still occupies a
 * cluster. */
static int drop_block(struct qcow2 *q, uint64_t index, img_error *err)
{
    uint64_t cluster = q->reftable.entries[index] >> q->cluster_bits;

    imgi_cache_forget(q->refcount_cache, cluster << q->cluster_bits);
    qcow2_table_set(&q->reftable, index, 0);
    qcow2_owned_remove(&q->owned, cluster);
    if (cluster >> q->block_bits == index)
        return 0;
    return qcow2_free_later(q, cluster, 1, false, err);
}

/* The number of clusters up to the last one in use. */
static int drop_blocks(struct qcow2 *q, uint64_t *end, img_error *err)
{
    uint64_t cluster = 0;
    bool found = false;
    int rc = 0;

    for (uint64_t i = q->reftable.count; rc == 0 && i-- > 0 && !found;) {
        if (q->reftable.entries[i] == 0)
            continue;
        rc = last_in_block(q, i, &cluster, &found, err);
        if (rc < 0)
            break;
        if (found)
            cluster = IMGI_MAX(cluster, q->reftable.entries[i] >> q->cluster_bits);
        else
            rc = drop_block(q, i, err);
    }
    *end = cluster + 1;
    return rc;
}

/* One round; *freed: whether it made clusters free, behind which there may now be nothing. */
static int drop_round(struct qcow2 *q, uint64_t *end, bool *freed, img_error *err)
{
    int rc = drop_blocks(q, end, err);

    *freed = q->frees.count > 0;
    if (rc == 0)
        rc = qcow2_refcounts_out(q, err);
    if (rc == 0)
        rc = qcow2_frees_apply(q, err);
    if (rc == 0)
        rc = qcow2_refcounts_out(q, err);
    return rc;
}

int qcow2_trim(struct qcow2 *q, img_error *err)
{
    uint64_t end = 0, size = 0;
    bool freed = true;
    int rc = qcow2_need_reftable(q, err);

    while (rc == 0 && freed)
        rc = drop_round(q, &end, &freed, err);
    if (rc == 0)
        rc = imgi_io_size(q->node->file, &size, err);
    if (rc < 0 || imgi_io_is_device(q->node->file) || end << q->cluster_bits >= size)
        return rc;
    q->free_hint = IMGI_MIN(q->free_hint, end);
    return imgi_io_resize(q->node->file, end << q->cluster_bits, IMGI_PREALLOC_OFF, err);
}
