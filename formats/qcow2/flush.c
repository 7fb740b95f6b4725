/*
 * From memory to disk, in order. SPDX-License-Identifier: BSD-2-Clause
 *
 * The order is the one at the top of qcow2.h. The rule behind it: a reference may be on disk only
 * when the refcount and the content of what it refers to are, and a refcount may fall only
 * when the reference is gone from the disk.
 */
#include <stdlib.h>

#include "qcow2.h"

bool qcow2_refcounts_dirty(const struct qcow2 *q)
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
    struct qcow2 *q = opaque;
    int rc = qcow2_refcounts_promise(q, err);

    if (rc == 0 && q->data_file)
        rc = imgi_io_flush(q->data, err);
    return rc;
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
    if (rc == 0 && qcow2_refcounts_dirty(q))
        rc = qcow2_refcounts_promise(q, err);
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
        if (rc == 0 && !q->lazy)
            rc = imgi_cache_write(q->refcount_cache, err);
    }
    return rc;
}

int qcow2_settle(struct qcow2 *q, img_error *err)
{
    int rc = qcow2_flush(q->node, err);

    return rc < 0 ? rc : imgi_io_flush(q->node->file, err);
}

/*
 * What the header said before. NULL where it is being made: nobody sees that file if it fails.
 */
static int read_header(struct qcow2 *q, unsigned offset, size_t length, uint8_t **old,
                       img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(q->node->file, &size, err);

    *old = NULL;
    if (rc < 0 || !imgi_span_ok(offset, length, size))
        return rc;
    *old = malloc(length);
    if (!*old)
        return imgi_fail_nomem(err, "the header");
    return imgi_io_read(q->node->file, *old, length, offset, err);
}

int qcow2_header_update(struct qcow2 *q, unsigned offset, const void *bytes, size_t length,
                        img_error *err)
{
    struct imgi_io *io = q->node->file;
    uint8_t *old;
    int rc = read_header(q, offset, length, &old, err);

    if (rc == 0) {
        rc = imgi_io_write(io, bytes, length, offset, err);
        if (rc == 0)
            rc = imgi_io_flush(io, err);
        /* Half of it, or all, may have come to the disk: it must not say what is not so. */
        if (rc < 0 && old &&
            (imgi_io_write(io, old, length, offset, NULL) < 0 || imgi_io_flush(io, NULL) < 0))
            q->broken = true;
    }
    free(old);
    return rc;
}
