/*
 * Are the image's refcounts what was counted? SPDX-License-Identifier: BSD-2-Clause
 *
 * A refcount that is too high wastes space (a leak). One that is too low will cost data at some
 * later write (a corruption); one that is 0 says that even the refcounts of the refcount
 * structures may be wrong, and these are made anew then (rebuild.c). A refcount that is mended
 * goes to its number of references in one step, so it does not matter how many are done when the
 * machine dies.
 */
#include <inttypes.h>

#include "check.h"

/* Clusters that are looked at together when all is well with them. */
#define CHUNK 64u

static uint64_t block_mask(const struct qcow2 *q)
{
    return (UINT64_C(1) << q->block_bits) - 1;
}

/* The block that counts a cluster, *block NULL: none does. false: it cannot be read. */
static bool get_block(struct qcow2_checking *c, uint64_t cluster, uint8_t **block)
{
    const struct qcow2_table *table = &c->q->reftable;
    uint64_t index = cluster >> c->q->block_bits, offset;

    *block = NULL;
    if (index >= table->count || table->entries[index] == 0)
        return true;
    if (!c->block || c->block_index != index) {
        c->block = NULL;
        offset = qcow2_block_of(c, table->entries[index]);
        if (offset == 0) /* outside of the file nothing is counted */
            return !(table->entries[index] & (c->q->cluster_size - 1)) &&
                   table->entries[index] <= INT64_MAX;
        if (imgi_cache_get(c->q->refcount_cache, offset, &c->block, &c->unread) < 0) {
            c->block = NULL;
            c->incomplete = true;
            return false;
        }
        c->block_index = index;
    }
    *block = c->block;
    return true;
}

bool qcow2_stored_refcount(struct qcow2_checking *c, uint64_t cluster, uint64_t *value)
{
    uint8_t *block;
    bool known = get_block(c, cluster, &block);

    *value = known && block ? qcow2_refcount_get(block, c->q->header.refcount_order,
                                                 cluster & block_mask(c->q))
                            : 0;
    return known;
}

uint64_t qcow2_stored_ones(struct qcow2_checking *c, uint64_t cluster, uint64_t count)
{
    unsigned order = c->q->header.refcount_order;
    uint64_t first = cluster & block_mask(c->q), ones = 0;
    uint8_t *block;

    if (!get_block(c, cluster, &block) || !block)
        return 0;
    count = IMGI_MIN(count, block_mask(c->q) + 1 - first);
    while (order == 4 && ones + 4 <= count &&
           imgi_get_be64(block + 2 * (first + ones)) == UINT64_C(0x0001000100010001))
        ones += 4;
    while (ones < count && qcow2_refcount_get(block, order, first + ones) == 1)
        ones++;
    return ones;
}

/* --------------------------------------------------------------------------- comparison */

/* Whether a number of references can be a refcount of this image. */
static bool fits(const struct qcow2_checking *c, uint64_t references)
{
    return references <= c->q->refcount_max;
}

static void compare_one(struct qcow2_checking *c, uint64_t cluster)
{
    uint64_t references = qcow2_counts_get(&c->counts, cluster), refcount;

    if (!qcow2_stored_refcount(c, cluster, &refcount)) {
        qcow2_found(c, IMGI_FINDING_ERROR,
                    "Can't get refcount for cluster %" PRIu64 ": Input/output error", cluster);
        return;
    }
    if (refcount > 0 || references > 0)
        c->checker->result->image_end_offset = (cluster + 1) << c->q->cluster_bits;
    if (refcount > references) {
        qcow2_found(c, IMGI_FINDING_LEAK,
                    "Leaked cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64, cluster,
                    refcount, references);
    } else if (refcount < references) {
        c->rebuild = c->rebuild || refcount == 0;
        c->refcount_faults += fits(c, references);
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64, cluster,
                    refcount, references);
    }
}

/* Mend one refcount, if that may be. */
static void mend_one(struct qcow2_checking *c, uint64_t cluster, bool rebuilt)
{
    uint64_t references = qcow2_counts_get(&c->counts, cluster), refcount;
    img_check_result *result = c->checker->result;
    bool leak;

    if (!qcow2_stored_refcount(c, cluster, &refcount) || refcount == references || !c->block)
        return;
    leak = refcount > references;
    if (!fits(c, references) || (!leak && c->repair != IMGI_REPAIR_ALL)) {
        qcow2_found(c, IMGI_FINDING_REPAIRED,
                    "ERROR cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64, cluster,
                    refcount, references);
        return;
    }
    qcow2_found(c, IMGI_FINDING_REPAIRED,
                "Repairing cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64, cluster,
                refcount, references);
    c->mended = true;
    qcow2_refcount_put(c->block, c->q->header.refcount_order, cluster & block_mask(c->q),
                       references);
    imgi_cache_dirty(c->q->refcount_cache, c->block,
                     (size_t)((cluster & block_mask(c->q)) << c->q->header.refcount_order) / 8,
                     IMGI_MAX((size_t)1 << c->q->header.refcount_order, (size_t)8) / 8);
    if (rebuilt)
        return;
    result->leaks -= leak;
    result->leaks_fixed += leak;
    result->corruptions -= !leak;
    result->corruptions_fixed += !leak;
    c->refcount_faults -= !leak;
}

/* 64 refcounts of a block as bits; false when one of them is neither 0 nor 1. */
static bool stored_bits(unsigned order, const uint8_t *block, uint64_t first, uint64_t *bits)
{
    const uint64_t ones = UINT64_C(0x0001000100010001);

    *bits = 0;
    /* The usual width: four refcounts at a time. */
    for (unsigned i = 0; order == 4 && i < CHUNK; i += 4) {
        uint64_t four = imgi_get_be64(block + 2 * (first + i));

        if (four & ~ones)
            return false;
        four = four >> 48 | (four >> 31 & 2) | (four >> 14 & 4) | (four << 3 & 8);
        *bits |= four << i;
    }
    for (unsigned i = 0; order != 4 && i < CHUNK; i++) {
        uint64_t one = qcow2_refcount_get(block, order, first + i);

        if (one > 1)
            return false;
        *bits |= one << i;
    }
    return true;
}

/*
 * The number of clusters from this one on among which nothing is wrong; 0: this one needs a closer
 * look. *used: the last of them that is in use, counted from 1.
 */
static uint64_t sound_run(struct qcow2_checking *c, uint64_t cluster, uint64_t end, uint64_t *used)
{
    uint64_t mask = block_mask(c->q), stored, counted;
    uint8_t *block;

    *used = 0;
    if (!get_block(c, cluster, &block))
        return 0;
    if (!block) {
        uint64_t area = IMGI_MIN(UINT64_C(1) << QCOW2_COUNTS_PAGE_BITS, mask + 1);

        return qcow2_counts_empty(&c->counts, cluster) ? area - (cluster & (area - 1)) : 0;
    }
    if (cluster % CHUNK != 0 || end - cluster < CHUNK || mask + 1 < CHUNK ||
        !qcow2_counts_bits(&c->counts, cluster, &counted) ||
        !stored_bits(c->q->header.refcount_order, block, cluster & mask, &stored) ||
        stored != counted)
        return 0;
    *used = counted ? imgi_log2(counted) + 1 : 0;
    return CHUNK;
}

int qcow2_check_compare(struct qcow2_checking *c, img_error *err)
{
    uint64_t run, used;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < c->clusters; i += run) {
        rc = qcow2_check_step(c, err);
        run = sound_run(c, i, c->clusters, &used);
        if (used > 0)
            c->checker->result->image_end_offset = (i + used) << c->q->cluster_bits;
        if (run > 0)
            continue;
        run = 1;
        compare_one(c, i);
    }
    return rc < 0 ? rc : imgi_check_progress(c->checker, c->q->header.size, c->q->header.size, err);
}

int qcow2_check_mend(struct qcow2_checking *c, bool rebuilt, img_error *err)
{
    uint64_t run, used;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < c->clusters; i += run) {
        rc = qcow2_check_step(c, err);
        run = sound_run(c, i, c->clusters, &used);
        if (run > 0)
            continue;
        run = 1;
        mend_one(c, i, rebuilt);
    }
    if (c->incomplete) {
        if (err)
            *err = c->unread;
        return c->unread.code;
    }
    if (rc == 0)
        rc = imgi_cache_write(c->q->refcount_cache, err);
    if (rc == 0)
        rc = imgi_io_flush(c->q->node->file, err);
    return rc;
}
