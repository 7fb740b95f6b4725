/*
 * Space for what is written, and the entries that lead to it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * reserve gives out host clusters with refcount 1 that nothing refers to; link makes L2 entries
 * of them and frees what those led to before; cancel drops them. Between reserve and link the
 * core keeps everybody else away from the guest's range.
 */
#include <inttypes.h>

#include "qcow2.h"

/* What reserve tells link and cancel in alloc->cookie[0]. */
enum { FRESH, KEPT };

/* What is said of the i-th cluster from `guest` on, in the table that maps guest. */
static int entry_at(const struct qcow2 *q, const uint8_t *table, uint64_t guest, uint64_t i,
                    struct qcow2_entry *entry, img_error *err)
{
    return qcow2_entry_decode(q, qcow2_raw_get(q, table, qcow2_l2_index(q, guest) + i),
                              guest + (i << q->cluster_bits), entry, err);
}

/* The subclusters of the i-th cluster of a reservation that from..to touches. */
static uint32_t touched(const struct qcow2 *q, const struct imgi_alloc *alloc, uint64_t i,
                        uint64_t from, uint64_t to)
{
    uint64_t start = alloc->offset + (i << q->cluster_bits), end = start + q->cluster_size;

    from = IMGI_MAX(from, start);
    to = IMGI_MIN(to, end);
    if (from >= to)
        return 0;
    return qcow2_subcluster_range((unsigned)((from - start) >> q->subcluster_bits),
                                  (unsigned)((to - 1 - start) >> q->subcluster_bits));
}

/*
 * Whether a cluster has space of its own that the guest's bytes may go to: a zero cluster that kept
 * its own ("QCOW_OFLAG_ZERO" with an offset), or one with subclusters that hold nothing yet.
 */
static bool has_room(const struct qcow2 *q, const struct qcow2_entry *entry, uint32_t subclusters)
{
    return entry->copied && !(entry->data & subclusters) &&
           qcow2_entry_owner(q, entry) == QCOW2_OWNER_NONE;
}

/* How many clusters in a row have room, one behind the other in the file. */
static int kept_run(const struct qcow2 *q, const uint8_t *table, const struct imgi_alloc *alloc,
                    uint64_t max, uint64_t *host, uint64_t *count, img_error *err)
{
    struct qcow2_entry entry;

    for (*count = 0; *count < max; ++*count) {
        int rc = entry_at(q, table, alloc->offset, *count, &entry, err);

        if (rc < 0)
            return rc;
        if (!has_room(q, &entry, touched(q, alloc, *count, alloc->from, alloc->to)))
            break;
        if (*count == 0)
            *host = entry.host;
        else if (entry.host != *host + (*count << q->cluster_bits))
            break;
    }
    return 0;
}

/* How many clusters in a row, none of which but the first has room, can be replaced. */
static int fresh_run(const struct qcow2 *q, const uint8_t *table, const struct imgi_alloc *alloc,
                     uint64_t max, uint64_t *count, img_error *err)
{
    struct qcow2_entry entry;

    for (*count = 0; *count < max; ++*count) {
        int rc = entry_at(q, table, alloc->offset, *count, &entry, err);

        if (rc < 0)
            return rc;
        if (*count > 0 && has_room(q, &entry, touched(q, alloc, *count, alloc->from, alloc->to)))
            break;
    }
    return 0;
}

/*
 * What must be stored around the guest's bytes: the rest of the subclusters that they touch, and in
 * a cluster that is replaced all else that has data. Only the first and the last can have any.
 */
static int narrow_fill(const struct qcow2 *q, const uint8_t *table, struct imgi_alloc *alloc,
                       uint64_t count, img_error *err)
{
    uint64_t end = alloc->offset + (count << q->cluster_bits);
    unsigned bits = q->subcluster_bits;
    struct qcow2_entry first, last;
    int rc;

    alloc->fill_from = imgi_align_down(alloc->from, UINT64_C(1) << bits);
    alloc->fill_to = IMGI_MIN(imgi_align_up(alloc->to, UINT64_C(1) << bits), end);
    /* A data file ends where the disk does. */
    if (q->data_file)
        alloc->fill_to = IMGI_MIN(alloc->fill_to, q->node->size);
    if (alloc->cookie[0] == KEPT || alloc->from == alloc->to)
        return 0;
    rc = entry_at(q, table, alloc->offset, 0, &first, err);
    if (rc == 0)
        rc = entry_at(q, table, alloc->offset, count - 1, &last, err);
    if (rc < 0)
        return rc;
    if (first.packed)
        alloc->fill_from = alloc->offset;
    else if (first.data)
        alloc->fill_from = IMGI_MIN(alloc->fill_from,
                                    alloc->offset + ((uint64_t)__builtin_ctz(first.data) << bits));
    if (last.packed)
        alloc->fill_to = end;
    else if (last.data)
        alloc->fill_to = IMGI_MAX(
            alloc->fill_to, end - q->cluster_size + ((uint64_t)(imgi_log2(last.data) + 1) << bits));
    return 0;
}

/* Clusters for guest bytes that have no place: anywhere, or where the data file has them. */
static int fresh_place(struct qcow2 *q, uint64_t guest, uint64_t wanted, uint64_t *host,
                       uint64_t *count, img_error *err)
{
    uint64_t cluster;
    int rc = 0;

    *host = guest;
    *count = wanted;
    if (q->data_file)
        return 0;
    rc = qcow2_alloc(q, wanted, false, &cluster, count, err);
    if (rc == 0)
        *host = cluster << q->cluster_bits;
    return rc;
}

static int reserve_plain(struct qcow2 *q, const uint8_t *table, struct imgi_alloc *alloc,
                         img_error *err)
{
    uint64_t guest = alloc->offset;
    uint64_t wanted = qcow2_clusters(q, IMGI_MIN(alloc->length, qcow2_l2_rest(q, guest)));
    uint64_t count;
    int rc = kept_run(q, table, alloc, wanted, &alloc->host, &count, err);

    alloc->cookie[0] = KEPT;
    if (rc == 0 && count == 0) {
        alloc->cookie[0] = FRESH;
        rc = fresh_run(q, table, alloc, wanted, &wanted, err);
        if (rc == 0)
            rc = fresh_place(q, guest, wanted, &alloc->host, &count, err);
    }
    if (rc < 0)
        return rc;
    alloc->length = IMGI_MIN(alloc->length, count << q->cluster_bits);
    return narrow_fill(q, table, alloc, count, err);
}

static int reserve_packed(struct qcow2 *q, const uint8_t *table, struct imgi_alloc *alloc,
                          img_error *err)
{
    struct qcow2_entry entry;
    int rc;

    if (alloc->packed >= q->cluster_size)
        return imgi_fail(err, IMG_E_INVAL, "a compressed cluster of %" PRIu64 " bytes",
                         alloc->packed);
    rc = entry_at(q, table, alloc->offset, 0, &entry, err);
    if (rc < 0)
        return rc;
    alloc->cookie[0] = FRESH;
    alloc->length = IMGI_MIN(alloc->length, q->cluster_size);
    return qcow2_alloc_stream(q, alloc->packed, &alloc->host, err);
}

int qcow2_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    uint8_t *table;
    int rc = qcow2_writable(q, err);

    alloc->io = q->data;
    if (rc == 0)
        rc = qcow2_frees_limit(q, err);
    if (rc == 0)
        rc = qcow2_l2_own(q, alloc->offset, &table, err);
    if (rc < 0)
        return rc;
    return alloc->packed ? reserve_packed(q, table, alloc, err)
                         : reserve_plain(q, table, alloc, err);
}

/*
 * The L2 entry of the i-th cluster of a reservation. What was filled is data; in space that was
 * there before, or that nothing was written to, the other subclusters are what they were.
 */
static struct qcow2_raw new_entry(const struct qcow2 *q, const struct imgi_alloc *alloc, uint64_t i,
                                  const struct qcow2_entry *old)
{
    uint32_t filled = touched(q, alloc, i, alloc->fill_from, alloc->fill_to);
    struct qcow2_entry entry = {.packed = alloc->packed != 0,
                                .host = alloc->host + (i << q->cluster_bits),
                                .length = alloc->packed};

    if (!entry.packed) {
        entry.space = entry.copied = true;
        entry.data = old->data | filled;
        entry.zeros = old->zeros & ~filled;
    }
    return qcow2_entry_encode(q, &entry);
}

int qcow2_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    uint64_t count = qcow2_clusters(q, alloc->length);
    uint64_t first = qcow2_l2_index(q, alloc->offset);
    uint8_t *table;
    int rc = qcow2_writable(q, err);

    if (rc == 0)
        rc = qcow2_l2_own(q, alloc->offset, &table, err);
    if (rc < 0)
        return rc;
    /* From here on nothing fails: after a failure the core would cancel what is linked. */
    for (uint64_t i = 0; i < count; i++) {
        struct qcow2_entry old;

        entry_at(q, table, alloc->offset, i, &old, NULL);
        qcow2_raw_put(q, table, first + i, new_entry(q, alloc, i, &old));
        if (alloc->cookie[0] == FRESH)
            qcow2_free_entry(q, &old, false, NULL);
    }
    qcow2_raw_dirty(q, table, first, count);
    return 0;
}

void qcow2_cancel(struct imgi_node *node, const struct imgi_alloc *alloc)
{
    struct qcow2 *q = qcow2_of(node);
    uint64_t bytes = alloc->packed ? alloc->packed : alloc->length;
    uint64_t first = alloc->host >> q->cluster_bits;

    if (alloc->cookie[0] == KEPT || q->data_file || q->broken)
        return;
    /* Nothing on disk has ever referred to it. What cannot be dropped is lost space. */
    qcow2_refcount_drop(q, first, ((alloc->host + bytes - 1) >> q->cluster_bits) - first + 1, false,
                        NULL);
}
