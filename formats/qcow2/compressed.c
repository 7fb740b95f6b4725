/*
 * Compressed clusters: their descriptors, and space for them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, section "Compressed Clusters Descriptor". Streams lie at any byte,
 * several in a cluster, which then has as many references. The exact length is not stored: a
 * descriptor counts the sectors that the stream touches.
 */
#include "qcow2.h"

/* The offset has the bits below this one, the count of additional sectors those above. */
static unsigned offset_bits(unsigned cluster_bits)
{
    return 62 - (cluster_bits - 8);
}

uint64_t qcow2_packed_encode(unsigned cluster_bits, uint64_t offset, uint64_t length)
{
    uint64_t more = (offset + length - 1) / QCOW2_SECTOR - offset / QCOW2_SECTOR;

    return QCOW2_COMPRESSED | more << offset_bits(cluster_bits) | offset;
}

void qcow2_packed_decode(unsigned cluster_bits, uint64_t entry, struct qcow2_packed *packed)
{
    unsigned bits = offset_bits(cluster_bits);
    uint64_t more = (entry & ~(QCOW2_COMPRESSED | QCOW2_COPIED)) >> bits;

    packed->offset = entry & ((UINT64_C(1) << bits) - 1);
    packed->length = (more + 1) * QCOW2_SECTOR - packed->offset % QCOW2_SECTOR;
}

/* Whether a stream may share the cluster that the last one ended in. */
static int may_share(struct qcow2 *q, bool *may, img_error *err)
{
    uint64_t value;
    int rc;

    *may = false;
    if (q->stream_end == 0)
        return 0;
    rc = qcow2_refcount(q, q->stream_end >> q->cluster_bits, &value, err);
    *may = rc == 0 && value < q->refcount_max;
    return rc;
}

/*
 * The stream goes behind the last one. Where that one's cluster has too little room it may run on
 * into a new cluster, if that is the very next.
 */
int qcow2_alloc_stream(struct qcow2 *q, uint64_t length, uint64_t *host, img_error *err)
{
    uint64_t cluster = q->stream_end >> q->cluster_bits, fresh, got;
    uint64_t room = q->cluster_size - (q->stream_end & (q->cluster_size - 1));
    bool share;
    int rc = may_share(q, &share, err);

    if (rc < 0)
        return rc;
    if (!share || length > room) {
        rc = qcow2_alloc(q, 1, true, &fresh, &got, err);
        if (rc < 0)
            return rc;
        if (!share || fresh != cluster + 1) {
            share = false;
            q->stream_end = fresh << q->cluster_bits;
        }
    }
    if (share) {
        rc = qcow2_refcount_add(q, cluster, 1, err);
        if (rc < 0) {
            if (length > room)
                qcow2_refcount_drop(q, fresh, 1, false, NULL);
            return rc;
        }
    }
    *host = q->stream_end;
    q->stream_end += length;
    if (q->stream_end % q->cluster_size == 0)
        q->stream_end = 0;
    return 0;
}

int qcow2_pad_stream(struct qcow2 *q, img_error *err)
{
    struct imgi_io *io = q->node->file;
    uint64_t size;
    int rc;

    /* Descriptors count whole sectors, and some readers want to have all of the last one. */
    if (q->stream_end == 0)
        return 0;
    rc = imgi_io_size(io, &size, err);
    if (rc == 0 && size % QCOW2_SECTOR != 0)
        rc = imgi_io_resize(io, imgi_align_up(size, QCOW2_SECTOR), IMGI_PREALLOC_OFF, err);
    return rc;
}
