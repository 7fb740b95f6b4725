/*
 * Refcounts that are written late. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, "Lazy refcounts" of the compatible features: while the dirty bit stands in
 * the header, refcounts on disk may be behind what refers to clusters. So instead of refcounts the
 * dirty bit is written, once, before the first entry that leads to a cluster which the refcounts on
 * disk do not count; everything else keeps its order. Refcounts are written when the cache has no
 * room for them, and when the image is closed, which takes the bit away. Whoever finds it counts
 * anew (check.c).
 */
#include "qcow2.h"

static int write_features(struct qcow2 *q, uint64_t incompatible, img_error *err)
{
    uint8_t bytes[8];
    int rc;

    imgi_put_be64(bytes, incompatible);
    rc = qcow2_header_update(q, QCOW2_AT_INCOMPATIBLE, bytes, sizeof(bytes), err);
    if (rc == 0)
        q->header.incompatible = incompatible;
    return rc;
}

int qcow2_refcounts_promise(struct qcow2 *q, img_error *err)
{
    if (!q->lazy)
        return qcow2_refcounts_out(q, err);
    if (q->header.incompatible & QCOW2_INCOMPAT_DIRTY || !qcow2_refcounts_dirty(q))
        return imgi_io_flush(q->node->file, err);
    return write_features(q, q->header.incompatible | QCOW2_INCOMPAT_DIRTY, err);
}

int qcow2_refcounts_settle(struct qcow2 *q, img_error *err)
{
    int rc = qcow2_settle(q, err);

    if (rc < 0 || !q->lazy)
        return rc;
    rc = qcow2_refcounts_out(q, err);
    if (rc == 0 && q->header.incompatible & QCOW2_INCOMPAT_DIRTY)
        rc = write_features(q, q->header.incompatible & ~(uint64_t)QCOW2_INCOMPAT_DIRTY, err);
    return rc;
}
