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

/*
 * How many clusters in a row are zero clusters with space of their own, one behind the other: it is
 * theirs to be written ("QCOW_OFLAG_ZERO" with an offset).
 */
static int kept_run(const struct qcow2 *q, const uint8_t *table, uint64_t guest, uint64_t max,
                    uint64_t *host, uint64_t *count, img_error *err)
{
    struct qcow2_entry entry;

    for (*count = 0; *count < max; ++*count) {
        int rc = entry_at(q, table, guest, *count, &entry, err);

        if (rc < 0)
            return rc;
        if (!entry.zeros || !entry.copied ||
            qcow2_owned_find(&q->owned, entry.host >> q->cluster_bits) != QCOW2_OWNER_NONE)
            break;
        if (*count == 0)
            *host = entry.host;
        else if (entry.host != *host + (*count << q->cluster_bits))
            break;
    }
    return 0;
}

/* How many clusters in a row, none of which has kept space, can be replaced. */
static int fresh_run(const struct qcow2 *q, const uint8_t *table, uint64_t guest, uint64_t max,
                     uint64_t *count, img_error *err)
{
    struct qcow2_entry entry;

    for (*count = 0; *count < max; ++*count) {
        int rc = entry_at(q, table, guest, *count, &entry, err);

        if (rc < 0)
            return rc;
        if (entry.zeros && entry.copied && *count > 0)
            break;
    }
    return 0;
}

static int reserve_plain(struct qcow2 *q, const uint8_t *table, struct imgi_alloc *alloc,
                         img_error *err)
{
    uint64_t guest = alloc->offset;
    uint64_t wanted = qcow2_clusters(q, IMGI_MIN(alloc->length, qcow2_l2_rest(q, guest)));
    uint64_t count, cluster;
    int rc = kept_run(q, table, guest, wanted, &alloc->host, &count, err);

    alloc->cookie[0] = KEPT;
    if (rc == 0 && count == 0) {
        alloc->cookie[0] = FRESH;
        rc = fresh_run(q, table, guest, wanted, &wanted, err);
        if (rc == 0)
            rc = qcow2_alloc(q, wanted, false, &cluster, &count, err);
        if (rc == 0)
            alloc->host = cluster << q->cluster_bits;
    }
    if (rc == 0)
        alloc->length = IMGI_MIN(alloc->length, count << q->cluster_bits);
    return rc;
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

    alloc->io = node->file;
    if (rc == 0)
        rc = qcow2_frees_limit(q, err);
    if (rc == 0)
        rc = qcow2_l2_own(q, alloc->offset, &table, err);
    if (rc < 0)
        return rc;
    return alloc->packed ? reserve_packed(q, table, alloc, err)
                         : reserve_plain(q, table, alloc, err);
}

/* The L2 entry of the i-th cluster of a reservation. */
static struct qcow2_raw new_entry(const struct qcow2 *q, const struct imgi_alloc *alloc, uint64_t i)
{
    struct qcow2_entry entry = {.packed = alloc->packed != 0,
                                .host = alloc->host + (i << q->cluster_bits),
                                .length = alloc->packed};

    if (!entry.packed) {
        entry.space = entry.copied = true;
        entry.data = qcow2_subcluster_mask(q);
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
        qcow2_raw_put(q, table, first + i, new_entry(q, alloc, i));
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

    if (alloc->cookie[0] == KEPT || q->broken)
        return;
    /* Nothing on disk has ever referred to it. What cannot be dropped is lost space. */
    qcow2_refcount_drop(q, first, ((alloc->host + bytes - 1) >> q->cluster_bits) - first + 1, false,
                        NULL);
}
