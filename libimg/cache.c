/*
 * A cache of metadata tables (cache.h). SPDX-License-Identifier: BSD-2-Clause
 *
 * Slots lie in one piece of memory, found by offset through a hash of chains, and are reused in the
 * order of their last use. A dirty slot that must make room takes all dirty ones to disk with it,
 * so that before_write, which may wait for the disk, is called once for many tables.
 */
#include "cache.h"

#include <stdlib.h>
#include <string.h>

#include "util/checked.h"

#define NONE UINT32_MAX

/* More slots than this cost more in bookkeeping than they save in reads. */
#define SLOTS_MAX 16384

/* Neighbouring tables that go into one write. */
#define BATCH 64

struct slot {
    uint64_t offset;
    uint32_t dirty_from, dirty_to; /* bytes to write back; equal: clean */
    uint32_t newer, older;         /* by last use */
    uint32_t chain;                /* the next slot with the same hash */
    bool used;
};

/* A slot to write back, sorted by its place in the file. */
struct pending {
    uint64_t offset;
    uint32_t slot;
};

struct imgi_cache {
    struct imgi_cache_params params;
    unsigned table_bits;
    uint32_t count; /* of slots */
    uint32_t dirty; /* how many of them are */
    uint32_t newest, oldest;
    uint8_t *tables; /* count * table_size bytes; NULL until the first use */
    struct slot *slots;
    uint32_t *buckets;       /* count entries, a power of two */
    struct pending *pending; /* count entries */
};

int imgi_cache_new(struct imgi_cache **out, const struct imgi_cache_params *params, img_error *err)
{
    struct imgi_cache *cache = calloc(1, sizeof(*cache));
    uint64_t fit = params->budget / params->table_size;

    if (!cache)
        return imgi_fail_nomem(err, "a metadata cache");
    cache->params = *params;
    cache->table_bits = imgi_log2(params->table_size);
    fit = IMGI_MAX(IMGI_MIN(fit, SLOTS_MAX), 2u);
    cache->count = 1u << imgi_log2(fit);
    *out = cache;
    return 0;
}

void imgi_cache_free(struct imgi_cache *cache)
{
    if (!cache)
        return;
    free(cache->tables);
    free(cache->slots);
    free(cache->buckets);
    free(cache->pending);
    free(cache);
}

static uint8_t *table_of(const struct imgi_cache *cache, uint32_t index)
{
    return cache->tables + ((size_t)index << cache->table_bits);
}

/* Tables lie one cluster apart or more: mix the high bits of the offset into the low ones. */
static uint32_t *bucket_of(const struct imgi_cache *cache, uint64_t offset)
{
    uint64_t mixed = (offset >> 9) * 0x9e3779b97f4a7c15u;

    return &cache->buckets[(uint32_t)(mixed >> 32) & (cache->count - 1)];
}

/* -------------------------------------------------------------- order of last use */

static void detach(struct imgi_cache *cache, uint32_t index)
{
    struct slot *slot = &cache->slots[index];

    if (slot->newer != NONE)
        cache->slots[slot->newer].older = slot->older;
    else
        cache->newest = slot->older;
    if (slot->older != NONE)
        cache->slots[slot->older].newer = slot->newer;
    else
        cache->oldest = slot->newer;
}

static void attach_newest(struct imgi_cache *cache, uint32_t index)
{
    struct slot *slot = &cache->slots[index];

    slot->newer = NONE;
    slot->older = cache->newest;
    if (cache->newest != NONE)
        cache->slots[cache->newest].newer = index;
    else
        cache->oldest = index;
    cache->newest = index;
}

static void attach_oldest(struct imgi_cache *cache, uint32_t index)
{
    struct slot *slot = &cache->slots[index];

    slot->older = NONE;
    slot->newer = cache->oldest;
    if (cache->oldest != NONE)
        cache->slots[cache->oldest].older = index;
    else
        cache->newest = index;
    cache->oldest = index;
}

static void touch(struct imgi_cache *cache, uint32_t index)
{
    if (cache->newest == index)
        return;
    detach(cache, index);
    attach_newest(cache, index);
}

static int take_memory(struct imgi_cache *cache, img_error *err)
{
    if (cache->tables)
        return 0;
    if (!cache->slots)
        cache->slots = calloc(cache->count, sizeof(*cache->slots));
    if (!cache->buckets)
        cache->buckets = malloc(cache->count * sizeof(*cache->buckets));
    if (!cache->pending)
        cache->pending = calloc(cache->count, sizeof(*cache->pending));
    if (cache->slots && cache->buckets && cache->pending)
        cache->tables = malloc((size_t)cache->count << cache->table_bits);
    if (!cache->tables)
        return imgi_fail_nomem(err, "a metadata cache");
    cache->newest = cache->oldest = NONE;
    for (uint32_t i = 0; i < cache->count; i++) {
        cache->buckets[i] = NONE;
        attach_newest(cache, i);
    }
    return 0;
}

/* --------------------------------------------------------------------- looking up */

static uint32_t find(const struct imgi_cache *cache, uint64_t offset)
{
    uint32_t index = *bucket_of(cache, offset);

    while (index != NONE && cache->slots[index].offset != offset)
        index = cache->slots[index].chain;
    return index;
}

bool imgi_cache_has(const struct imgi_cache *cache, uint64_t offset)
{
    return cache->tables && find(cache, offset) != NONE;
}

static void unhash(struct imgi_cache *cache, uint32_t index)
{
    uint32_t *link = bucket_of(cache, cache->slots[index].offset);

    while (*link != index)
        link = &cache->slots[*link].chain;
    *link = cache->slots[index].chain;
    cache->slots[index].used = false;
}

static void set_clean(struct imgi_cache *cache, struct slot *slot)
{
    if (slot->dirty_to > slot->dirty_from)
        cache->dirty--;
    slot->dirty_from = slot->dirty_to = 0;
}

/* The slot that was not used for the longest time, emptied. */
static int make_room(struct imgi_cache *cache, uint32_t *index, img_error *err)
{
    struct slot *slot;
    int rc = take_memory(cache, err);

    if (rc < 0)
        return rc;
    *index = cache->oldest;
    slot = &cache->slots[*index];
    if (slot->dirty_to > slot->dirty_from)
        rc = imgi_cache_write(cache, err);
    if (rc == 0 && slot->used)
        unhash(cache, *index);
    return rc;
}

static void settle(struct imgi_cache *cache, uint32_t index, uint64_t offset)
{
    struct slot *slot = &cache->slots[index];
    uint32_t *bucket = bucket_of(cache, offset);

    slot->offset = offset;
    slot->chain = *bucket;
    slot->used = true;
    *bucket = index;
    touch(cache, index);
}

int imgi_cache_get(struct imgi_cache *cache, uint64_t offset, uint8_t **table, img_error *err)
{
    uint32_t index = cache->tables ? find(cache, offset) : NONE;
    int rc;

    if (index != NONE) {
        touch(cache, index);
        *table = table_of(cache, index);
        return 0;
    }
    rc = make_room(cache, &index, err);
    if (rc < 0)
        return rc;
    rc = imgi_io_read(cache->params.io, table_of(cache, index), cache->params.table_size, offset,
                      err);
    if (rc < 0) {
        imgi_error_prefix(err, "%s at 0x%llx", cache->params.what, (unsigned long long)offset);
        return rc;
    }
    settle(cache, index, offset);
    *table = table_of(cache, index);
    return 0;
}

int imgi_cache_add(struct imgi_cache *cache, uint64_t offset, uint64_t like, uint8_t **table,
                   img_error *err)
{
    uint8_t *model = NULL;
    uint32_t index;
    int rc = 0;

    imgi_cache_forget(cache, offset);
    if (like != 0)
        rc = imgi_cache_get(cache, like, &model, err);
    /* The model is the newest slot now, and there are two at least: it is not the one that goes. */
    if (rc == 0)
        rc = make_room(cache, &index, err);
    if (rc < 0)
        return rc;
    *table = table_of(cache, index);
    if (model)
        memcpy(*table, model, cache->params.table_size);
    else
        memset(*table, 0, cache->params.table_size);
    settle(cache, index, offset);
    imgi_cache_dirty(cache, *table, 0, cache->params.table_size);
    return 0;
}

void imgi_cache_dirty(struct imgi_cache *cache, const uint8_t *table, size_t from, size_t length)
{
    struct slot *slot = &cache->slots[(size_t)(table - cache->tables) >> cache->table_bits];
    uint32_t start = (uint32_t)from, end = (uint32_t)(from + length);

    if (slot->dirty_to == slot->dirty_from) {
        cache->dirty++;
        slot->dirty_from = start;
        slot->dirty_to = end;
        return;
    }
    slot->dirty_from = IMGI_MIN(slot->dirty_from, start);
    slot->dirty_to = IMGI_MAX(slot->dirty_to, end);
}

void imgi_cache_forget(struct imgi_cache *cache, uint64_t offset)
{
    uint32_t index = cache->tables ? find(cache, offset) : NONE;

    if (index == NONE)
        return;
    set_clean(cache, &cache->slots[index]);
    unhash(cache, index);
    detach(cache, index);
    attach_oldest(cache, index);
}

bool imgi_cache_is_dirty(const struct imgi_cache *cache)
{
    return cache->dirty > 0;
}

/* -------------------------------------------------------------------- writing back */

static int by_offset(const void *a, const void *b)
{
    const struct pending *left = a, *right = b;

    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/*
 * Write the first of n pending tables and those that go on right behind it. Returns how many, or
 * an error.
 */
static int write_run(struct imgi_cache *cache, const struct pending *pending, size_t n,
                     img_error *err)
{
    struct iovec iov[BATCH];
    const struct slot *slot = &cache->slots[pending[0].slot];
    uint64_t start = slot->offset + slot->dirty_from, end = start;
    int count = 0, rc;

    do {
        iov[count].iov_base = table_of(cache, pending[count].slot) + slot->dirty_from;
        iov[count].iov_len = slot->dirty_to - slot->dirty_from;
        end += iov[count++].iov_len;
        if ((size_t)count == n || count == BATCH)
            break;
        slot = &cache->slots[pending[count].slot];
    } while (slot->offset + slot->dirty_from == end);
    rc = imgi_io_writev(cache->params.io, iov, count, start, err);
    if (rc < 0) {
        imgi_error_prefix(err, "%s at 0x%llx", cache->params.what,
                          (unsigned long long)pending[0].offset);
        return rc;
    }
    for (int i = 0; i < count; i++)
        set_clean(cache, &cache->slots[pending[i].slot]);
    return count;
}

int imgi_cache_write(struct imgi_cache *cache, img_error *err)
{
    size_t n = 0, done = 0;
    int rc = 0;

    if (cache->dirty == 0)
        return 0;
    if (cache->params.before_write)
        rc = cache->params.before_write(cache->params.opaque, err);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < cache->count; i++) {
        if (cache->slots[i].dirty_to > cache->slots[i].dirty_from)
            cache->pending[n++] = (struct pending){cache->slots[i].offset, i};
    }
    qsort(cache->pending, n, sizeof(*cache->pending), by_offset);
    while (done < n) {
        rc = write_run(cache, cache->pending + done, n - done, err);
        if (rc < 0)
            return rc;
        done += (size_t)rc;
    }
    return 0;
}
