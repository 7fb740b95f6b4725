/*
 * From memory to disk, in order. SPDX-License-Identifier: BSD-2-Clause
 *
 * The order is the one at the top of qcow2.h. The rule behind it: a reference may be on disk only
 * when the refcount and the content of what it refers to are, and a refcount may fall only
 * when the reference is gone from the disk.
 */
#include "qcow2.h"

static bool refcounts_dirty(const struct qcow2 *q)
{
    return imgi_cache_is_dirty(q->refcount_cache) || q->reftable.any_dirty;
}

int qcow2_refcounts_out(struct qcow2 *q, img_error *err)
{
    struct imgi_io *io = q->node->file;
    int rc = imgi_cache_write(q->refcount_cache, err);

    if (rc == 0 && q->reftable.any_dirty) {
        rc = imgi_io_flush(io, err); /* blocks before the entries that point at them */
        if (rc == 0)
            rc = qcow2_table_write(&q->reftable, io, err);
    }
    if (rc == 0)
        rc = imgi_io_flush(io, err);
    return rc;
}

int qcow2_before_l2(void *opaque, img_error *err)
{
    return qcow2_refcounts_out(opaque, err);
}

int qcow2_flush(struct imgi_node *node, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    int rc;

    if (!node->writable)
        return 0;
    rc = qcow2_writable(q, err);
    if (rc == 0)
        rc = imgi_cache_write(q->l2_cache, err);
    if (rc == 0 && refcounts_dirty(q))
        rc = qcow2_refcounts_out(q, err);
    if (rc == 0 && q->l1.any_dirty) {
        rc = imgi_io_flush(node->file, err);
        if (rc == 0)
            rc = qcow2_table_write(&q->l1, node->file, err);
    }
    if (rc == 0)
        rc = qcow2_bitmaps_out(q, err);
    if (rc == 0 && q->frees.count > 0) {
        rc = imgi_io_flush(node->file, err);
        if (rc == 0)
            rc = qcow2_frees_apply(q, err);
        if (rc == 0)
            rc = imgi_cache_write(q->refcount_cache, err);
    }
    return rc;
}

int qcow2_settle(struct qcow2 *q, img_error *err)
{
    int rc = qcow2_flush(q->node, err);

    return rc < 0 ? rc : imgi_io_flush(q->node->file, err);
}

int qcow2_header_update(struct qcow2 *q, unsigned offset, const void *bytes, size_t length,
                        img_error *err)
{
    int rc = imgi_io_write(q->node->file, bytes, length, offset, err);

    if (rc == 0)
        rc = imgi_io_flush(q->node->file, err);
    return rc;
}
