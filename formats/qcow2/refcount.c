/*
 * Refcounts of host clusters. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, section "Host cluster management". A refcount is changed in the cached
 * block; flush.c brings it to disk. A refcount of 0 turns up where nothing may be freed, or a
 * full one where one more reference is wanted: both are found before anything changes.
 */
#include <inttypes.h>

#include "qcow2.h"

/* Set `bits` bits of a byte that begin at bit `shift`. */
static void put_bits(uint8_t *byte, unsigned bits, unsigned shift, uint64_t value)
{
    unsigned mask = ((1u << bits) - 1) << shift;

    *byte = (uint8_t)((*byte & ~mask) | ((unsigned)value << shift));
}

void qcow2_refcount_put(uint8_t *block, unsigned order, uint64_t index, uint64_t value)
{
    switch (order) {
    case 0:
        put_bits(block + index / 8, 1, (unsigned)(index % 8), value);
        break;
    case 1:
        put_bits(block + index / 4, 2, 2 * (unsigned)(index % 4), value);
        break;
    case 2:
        put_bits(block + index / 2, 4, 4 * (unsigned)(index % 2), value);
        break;
    case 3:
        block[index] = (uint8_t)value;
        break;
    case 4:
        imgi_put_be16(block + 2 * index, (uint16_t)value);
        break;
    case 5:
        imgi_put_be32(block + 4 * index, (uint32_t)value);
        break;
    default:
        imgi_put_be64(block + 8 * index, value);
    }
}

int qcow2_refcount_block(struct qcow2 *q, uint64_t cluster, uint8_t **block, img_error *err)
{
    uint64_t index = cluster >> q->block_bits, entry;
    int rc = qcow2_need_reftable(q, err);

    *block = NULL;
    if (rc < 0)
        return rc;
    entry = index < q->reftable.count ? q->reftable.entries[index] : 0;
    if (entry == 0)
        return 0;
    if (entry & QCOW2_REFTABLE_RESERVED || entry & (q->cluster_size - 1) ||
        entry > QCOW2_OFFSET_MAX) {
        imgi_fail(err, IMG_E_CORRUPT,
                  "refcount table entry %" PRIu64 ": 0x%016" PRIx64
                  " does not point at the start of a cluster",
                  index, entry);
        return qcow2_broken(q);
    }
    return imgi_cache_get(q->refcount_cache, entry, block, err);
}

int qcow2_refcount(struct qcow2 *q, uint64_t cluster, uint64_t *value, img_error *err)
{
    uint8_t *block;
    int rc = qcow2_refcount_block(q, cluster, &block, err);

    *value = rc == 0 && block ? qcow2_refcount_get(block, q->header.refcount_order,
                                                   cluster & ((UINT64_C(1) << q->block_bits) - 1))
                              : 0;
    return rc;
}

/* What one block counts of a run of clusters. */
struct span {
    uint8_t *block;
    uint64_t first, count; /* indexes in block */
};

static int get_span(struct qcow2 *q, uint64_t cluster, uint64_t count, struct span *span,
                    img_error *err)
{
    uint64_t size = UINT64_C(1) << q->block_bits;

    span->first = cluster & (size - 1);
    span->count = IMGI_MIN(count, size - span->first);
    return qcow2_refcount_block(q, cluster, &span->block, err);
}

static void changed(struct qcow2 *q, const struct span *span)
{
    unsigned order = q->header.refcount_order;
    size_t from = (size_t)(span->first << order) / 8;
    size_t to = (size_t)(((span->first + span->count) << order) + 7) / 8;

    imgi_cache_dirty(q->refcount_cache, span->block, from, to - from);
}

/* None of the clusters has a refcount that cannot be raised. */
static int check_add(struct qcow2 *q, uint64_t cluster, uint64_t count, img_error *err)
{
    struct span span;

    for (; count > 0; cluster += span.count, count -= span.count) {
        int rc = get_span(q, cluster, count, &span, err);

        if (rc < 0)
            return rc;
        if (!span.block)
            return imgi_fail(err, IMG_E_INTERNAL, "host cluster %" PRIu64 " has no refcount block",
                             cluster);
        for (uint64_t i = 0; i < span.count; i++) {
            if (qcow2_refcount_get(span.block, q->header.refcount_order, span.first + i) <
                q->refcount_max)
                continue;
            return imgi_fail(err, IMG_E_NOSPACE,
                             "host cluster %" PRIu64 " has the highest refcount that %u bits hold",
                             cluster + i, 1u << q->header.refcount_order);
        }
    }
    return 0;
}

int qcow2_refcount_add(struct qcow2 *q, uint64_t cluster, uint64_t count, img_error *err)
{
    unsigned order = q->header.refcount_order;
    struct span span;
    int rc = check_add(q, cluster, count, err);

    for (; rc == 0 && count > 0; cluster += span.count, count -= span.count) {
        rc = get_span(q, cluster, count, &span, err);
        if (rc < 0)
            break;
        for (uint64_t i = span.first; i < span.first + span.count; i++)
            qcow2_refcount_put(span.block, order, i, qcow2_refcount_get(span.block, order, i) + 1);
        changed(q, &span);
    }
    return rc;
}

/* Nobody has the cluster any more. */
static void forget_cluster(struct qcow2 *q, uint64_t cluster)
{
    q->free_hint = IMGI_MIN(q->free_hint, cluster);
    if (q->stream_end >> q->cluster_bits == cluster)
        q->stream_end = 0;
    imgi_cache_forget(q->l2_cache, cluster << q->cluster_bits);
    imgi_cache_forget(q->bitmap_cache, cluster << q->cluster_bits);
}

static int drop_one(struct qcow2 *q, const struct span *span, uint64_t i, uint64_t cluster,
                    bool *freed, img_error *err)
{
    unsigned order = q->header.refcount_order;
    uint64_t value = qcow2_refcount_get(span->block, order, i);
    enum qcow2_owner owner = qcow2_owned_find(&q->owned, cluster);

    *freed = false;
    if (value == 0)
        imgi_fail(err, IMG_E_CORRUPT, "host cluster %" PRIu64 " is freed, but its refcount is 0",
                  cluster);
    else if (value == 1 && owner != QCOW2_OWNER_NONE)
        imgi_fail(err, IMG_E_CORRUPT, "host cluster %" PRIu64 " is freed, but it holds %s", cluster,
                  qcow2_owner_name(owner));
    if (value == 0 || (value == 1 && owner != QCOW2_OWNER_NONE))
        return qcow2_broken(q);
    qcow2_refcount_put(span->block, order, i, value - 1);
    *freed = value == 1;
    if (*freed)
        forget_cluster(q, cluster);
    return 0;
}

/* Clusters that are free now, to be given back to the host in as few calls as can be. */
struct given {
    uint64_t cluster, count;
};

static void give_back(struct qcow2 *q, struct given *given, uint64_t cluster)
{
    if (given->count > 0 && given->cluster + given->count == cluster) {
        given->count++;
        return;
    }
    /* The host need not take it: the space is free in the image all the same. */
    if (given->count > 0)
        imgi_io_discard(q->node->file, given->cluster << q->cluster_bits,
                        given->count << q->cluster_bits, NULL);
    *given = (struct given){cluster, 1};
}

int qcow2_refcount_drop(struct qcow2 *q, uint64_t cluster, uint64_t count, bool discard,
                        img_error *err)
{
    struct given given = {0, 0};
    struct span span;
    int rc = 0;

    for (; rc == 0 && count > 0; cluster += span.count, count -= span.count) {
        uint64_t done = 0;
        bool freed;

        rc = get_span(q, cluster, count, &span, err);
        if (rc == 0 && !span.block) {
            imgi_fail(err, IMG_E_CORRUPT,
                      "host cluster %" PRIu64 " is freed, but nothing counts it", cluster);
            rc = qcow2_broken(q);
        }
        for (; rc == 0 && done < span.count; done++) {
            rc = drop_one(q, &span, span.first + done, cluster + done, &freed, err);
            if (rc == 0 && freed && discard)
                give_back(q, &given, cluster + done);
        }
        if (span.block && done > 0)
            changed(q, &span);
    }
    if (given.count > 0)
        give_back(q, &given, UINT64_MAX);
    return rc;
}

/*
 * The first free clusters of one block from `first` on: skip what is used, then count what is
 * free.
 */
static void scan_block(const struct qcow2 *q, const uint8_t *block, uint64_t *first,
                       uint64_t *count, uint64_t wanted)
{
    uint64_t size = UINT64_C(1) << q->block_bits;
    unsigned order = q->header.refcount_order;
    uint64_t i = *first;

    *count = 0;
    while (i < size && qcow2_refcount_get(block, order, i) != 0)
        i++;
    *first = i;
    while (i < size && *count < wanted && qcow2_refcount_get(block, order, i) == 0) {
        i++;
        (*count)++;
    }
}

int qcow2_find_free(struct qcow2 *q, uint64_t *cluster, uint64_t *count, bool exact, img_error *err)
{
    uint64_t size = UINT64_C(1) << q->block_bits;
    uint64_t at = *cluster, start = at, run = 0;

    while (run < *count) {
        uint64_t first = at & (size - 1), got;
        uint8_t *block;
        bool made;
        int rc = qcow2_need_block(q, at, exact ? *count : 1, &made, err);

        if (rc == 0 && made) {
            /* The new block may lie in the run that was being looked at. */
            at = start;
            run = 0;
            continue;
        }
        if (rc == 0)
            rc = qcow2_refcount_block(q, at, &block, err);
        if (rc < 0)
            return rc;
        scan_block(q, block, &first, &got, *count - run);
        if (run > 0 && got > 0 && first == (at & (size - 1))) {
            run += got; /* it goes on where the last block ended */
        } else if (run > 0 && !exact) {
            break;
        } else {
            start = imgi_align_down(at, size) + first;
            run = got;
        }
        at = start + run;
        if (run > 0 && !exact && (at & (size - 1)) != 0)
            break;
    }
    *cluster = start;
    *count = run;
    return 0;
}
