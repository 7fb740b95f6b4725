/*
 * From guest addresses to host addresses. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, sections "L1 table entry", "L2 table entry". A run of the guest's disk is
 * put together from neighbouring subclusters (entry.c) that are of one kind and, where they have a
 * place in the file, lie there side by side.
 */
#include <inttypes.h>

#include "qcow2.h"

/* Where the L2 table of an L1 entry lies; 0: there is none. */
static int l2_offset(const struct qcow2 *q, uint64_t index, uint64_t *offset, img_error *err)
{
    uint64_t raw = index < q->l1.count ? q->l1.entries[index] : 0, size;
    int rc;

    *offset = raw & QCOW2_OFFSET_MASK;
    if (raw == 0)
        return 0;
    if (raw & QCOW2_L1_RESERVED || *offset & (q->cluster_size - 1))
        return imgi_fail(err, IMG_E_CORRUPT, "L1 entry %" PRIu64 ": 0x%016" PRIx64 " %s", index,
                         raw,
                         raw & QCOW2_L1_RESERVED ? "has reserved bits set"
                                                 : "does not point at the start of a cluster");
    rc = imgi_io_size(q->node->file, &size, err);
    if (rc < 0)
        return rc;
    /* A new table that is only in the cache has its place behind the end of the file. */
    if (!q->node->writable && !imgi_span_ok(*offset, q->cluster_size, size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "L1 entry %" PRIu64 ": the L2 table at 0x%" PRIx64
                         " lies past the end of the file (%" PRIu64 " bytes)",
                         index, *offset, size);
    return 0;
}

int qcow2_l2_get(struct qcow2 *q, uint64_t guest, const uint8_t **table, img_error *err)
{
    uint64_t offset;
    uint8_t *found;
    int rc = l2_offset(q, qcow2_l1_index(q, guest), &offset, err);

    *table = NULL;
    if (rc < 0 || offset == 0)
        return rc;
    rc = imgi_cache_get(q->l2_cache, offset, &found, err);
    if (rc == 0)
        *table = found;
    return rc;
}

int qcow2_l2_own(struct qcow2 *q, uint64_t guest, uint8_t **table, img_error *err)
{
    uint64_t index = qcow2_l1_index(q, guest), old, cluster;
    int rc = l2_offset(q, index, &old, err);

    if (rc < 0)
        return rc;
    if (old != 0 && q->l1.entries[index] & QCOW2_COPIED)
        return imgi_cache_get(q->l2_cache, old, table, err);
    rc = qcow2_alloc_metadata(q, 1, QCOW2_OWNER_L2, &cluster, err);
    if (rc < 0)
        return rc;
    rc = imgi_cache_add(q->l2_cache, cluster << q->cluster_bits, old, table, err);
    if (rc < 0) {
        qcow2_cancel_metadata(q, cluster, 1);
        return rc;
    }
    qcow2_table_set(&q->l1, index, cluster << q->cluster_bits | QCOW2_COPIED);
    if (old != 0) {
        qcow2_owned_remove(&q->owned, old >> q->cluster_bits);
        /* Not noted for want of memory, it is lost space, which is no reason to fail. */
        qcow2_free_later(q, old >> q->cluster_bits, 1, false, NULL);
    }
    return 0;
}

/*
 * Add one piece, of one subcluster's kind, to what map answers. false: it does not go on where the
 * extent ends.
 */
static bool append(const struct qcow2 *q, struct imgi_extent *extent,
                   const struct qcow2_entry *entry, uint64_t at, uint64_t length)
{
    enum imgi_kind kind = qcow2_entry_kind(entry, qcow2_subcluster(q, at));
    unsigned flags = 0;
    uint64_t host = 0;

    if (kind == IMGI_DATA)
        flags = IMGI_EXTENT_TAIL | (entry->copied ? (unsigned)IMGI_EXTENT_INPLACE : 0);
    else if (kind != IMGI_PACKED && entry->space)
        flags = IMGI_EXTENT_RESERVED;
    if (flags != 0)
        host = entry->host + (at & (q->cluster_size - 1));
    if (extent->length > 0) {
        if (extent->kind != kind || kind == IMGI_PACKED || extent->flags != flags ||
            (flags != 0 && extent->host + extent->length != host))
            return false;
        extent->length += length;
        return true;
    }
    *extent = (struct imgi_extent){.offset = at,
                                   .length = length,
                                   .kind = kind,
                                   .flags = flags,
                                   .io = q->data,
                                   .host = kind == IMGI_PACKED ? entry->host : host};
    return true;
}

/* How much of a compressed cluster's last sector the file has. */
static int clip_packed(const struct qcow2 *q, struct imgi_extent *extent, uint64_t length,
                       img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(q->node->file, &size, err);

    if (rc == 0)
        extent->stored = extent->host < size ? IMGI_MIN(length, size - extent->host) : 0;
    return rc;
}

int qcow2_entry_guard(struct qcow2 *q, const struct qcow2_entry *entry, uint64_t guest,
                      img_error *err)
{
    enum qcow2_owner owner = qcow2_entry_owner(q, entry);

    if (owner == QCOW2_OWNER_NONE)
        return 0;
    imgi_fail(err, IMG_E_CORRUPT,
              "L2 entry of the guest's bytes at 0x%" PRIx64 ": host cluster %" PRIu64 " holds %s",
              guest, entry->host >> q->cluster_bits, qcow2_owner_name(owner));
    return qcow2_broken(q);
}

/* Append what an entry says of at..end, which lies in its cluster. */
static bool append_cluster(const struct qcow2 *q, struct imgi_extent *extent,
                           const struct qcow2_entry *entry, uint64_t at, uint64_t end)
{
    uint64_t start = imgi_align_down(at, q->cluster_size);

    while (at < end) {
        unsigned first = qcow2_subcluster(q, at);
        uint64_t stop =
            start + ((uint64_t)(first + qcow2_entry_run(q, entry, first)) << q->subcluster_bits);

        stop = IMGI_MIN(stop, end);
        if (!append(q, extent, entry, at, stop - at))
            return false;
        at = stop;
    }
    return true;
}

/* Append what one L2 table says of at..end. *more: the extent may go on behind end. */
static int map_table(struct qcow2 *q, const uint8_t *table, uint64_t at, uint64_t end,
                     struct imgi_extent *extent, bool *more, img_error *err)
{
    bool own = q->l1.entries[qcow2_l1_index(q, at)] & QCOW2_COPIED && !q->broken;
    struct qcow2_entry entry;
    int rc = 0;

    *more = true;
    while (at < end) {
        uint64_t stop = IMGI_MIN(imgi_align_down(at, q->cluster_size) + q->cluster_size, end);

        rc = qcow2_entry_decode(q, qcow2_raw_get(q, table, qcow2_l2_index(q, at)), at, &entry, err);
        entry.copied = entry.copied && own;
        if (rc == 0 && q->node->writable && entry.data && entry.copied)
            rc = qcow2_entry_guard(q, &entry, at, err);
        if (rc < 0)
            break;
        *more = append_cluster(q, extent, &entry, at, stop);
        if (!*more)
            return 0;
        if (entry.packed) {
            *more = false;
            return clip_packed(q, extent, entry.length, err);
        }
        at = stop;
    }
    return rc;
}

/* Whether it is known without a read where the L2 table of a guest address has its clusters. */
static bool at_hand(const struct qcow2 *q, uint64_t guest)
{
    uint64_t offset;

    return l2_offset(q, qcow2_l1_index(q, guest), &offset, NULL) == 0 &&
           (offset == 0 || imgi_cache_has(q->l2_cache, offset));
}

/*
 * One table is read, at most: a later one that cannot be read must not take from the caller what
 * is known of the first.
 */
static int map_run(struct qcow2 *q, uint64_t at, uint64_t end, struct imgi_extent *extent,
                   img_error *err)
{
    static const struct qcow2_entry absent = {0};
    bool more = true;
    int rc = 0;

    while (rc == 0 && more && at < end) {
        uint64_t stop = at + IMGI_MIN(qcow2_l2_rest(q, at), end - at);
        const uint8_t *table;

        if (extent->length > 0 && !at_hand(q, at))
            break;
        rc = qcow2_l2_get(q, at, &table, err);
        if (rc == 0 && table)
            rc = map_table(q, table, at, stop, extent, &more, err);
        else if (rc == 0)
            more = append(q, extent, &absent, at, stop - at);
        at = stop;
    }
    return rc;
}

int qcow2_map(struct imgi_node *node, uint64_t offset, uint64_t length, struct imgi_extent *extent,
              img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    img_error found;
    int rc = qcow2_need_l1(q, err);

    if (rc == 0 && !q->data)
        rc = imgi_fail(err, IMG_E_INVAL, "the image was opened without its data file");
    if (rc < 0)
        return rc;
    rc = map_run(q, offset, offset + length, extent, &found);
    /* What comes before a bad entry is good; the entry's own turn comes with the next call. */
    if (rc < 0 && extent->length > 0)
        return 0;
    if (rc < 0 && err)
        *err = found;
    return rc;
}
