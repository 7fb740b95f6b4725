/*
 * The bits of dirty bitmaps. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, "Bitmap table" and "Bitmap data". An entry of a bitmap's table stands for a
 * chunk of bits, as many as a cluster holds: all 0, all 1, or in a cluster. Bit i is bit i % 8 of
 * byte i / 8. Bits behind the disk's end are 0 in what we write, and nobody looks at them.
 */
#include <inttypes.h>

#include "bitmap.h"

int qcow2_bitmap_need_table(struct qcow2 *q, struct qcow2_bitmap *bitmap, img_error *err)
{
    int rc;

    if (bitmap->table.entries)
        return 0;
    rc = qcow2_table_load(&bitmap->table, "bitmap table", q->node, bitmap->table_offset,
                          bitmap->table_entries, err);
    for (uint64_t i = 0; rc == 0 && i < bitmap->table.count; i++) {
        uint64_t entry = bitmap->table.entries[i], offset = entry & QCOW2_OFFSET_MASK;

        if (!(entry & QCOW2_BITMAP_RESERVED) && offset % q->cluster_size == 0 &&
            !(offset != 0 && entry & QCOW2_BITMAP_ONES))
            continue;
        rc =
            imgi_fail(err, IMG_E_CORRUPT,
                      "Could not read bitmap_table table from image for bitmap '%s': entry %" PRIu64
                      " is 0x%016" PRIx64,
                      bitmap->name, i, entry);
    }
    if (rc < 0)
        qcow2_table_free(&bitmap->table);
    return rc;
}

/* Bits in a chunk. */
static uint64_t chunk_bits(const struct qcow2 *q)
{
    return (uint64_t)q->cluster_size * 8;
}

static uint64_t bit_count(const struct qcow2_bitmap *bitmap, uint64_t size)
{
    return imgi_div_up(size, UINT64_C(1) << bitmap->granularity_bits);
}

/*
 * Make the chunk's cluster writable in the cache. Only what this bitmap alone refers to may be
 * changed where it lies.
 */
static int own_chunk(struct qcow2 *q, const struct qcow2_bitmap *bitmap, uint64_t index,
                     uint8_t **chunk, img_error *err)
{
    uint64_t offset = bitmap->table.entries[index] & QCOW2_OFFSET_MASK, refcount;
    int rc = qcow2_refcount(q, offset >> q->cluster_bits, &refcount, err);

    if (rc < 0)
        return rc;
    if (refcount != 1 ||
        qcow2_owned_find(&q->owned, offset >> q->cluster_bits) != QCOW2_OWNER_NONE) {
        imgi_fail(err, IMG_E_CORRUPT,
                  "bitmap '%s': its cluster at 0x%" PRIx64 " is used for something else too",
                  bitmap->name, offset);
        return qcow2_broken(q);
    }
    return imgi_cache_get(q->bitmap_cache, offset, chunk, err);
}

/* Give the chunk, whose bits are all alike, a cluster of its own. */
static int new_chunk(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t index, uint8_t **chunk,
                     img_error *err)
{
    bool ones = bitmap->table.entries[index] == QCOW2_BITMAP_ONES;
    uint64_t cluster, got;
    int rc = qcow2_alloc(q, 1, true, &cluster, &got, err);

    if (rc < 0)
        return rc;
    rc = imgi_cache_add(q->bitmap_cache, cluster << q->cluster_bits, 0, chunk, err);
    if (rc < 0) {
        qcow2_refcount_drop(q, cluster, 1, false, NULL);
        return rc;
    }
    if (ones)
        memset(*chunk, 0xff, q->cluster_size);
    qcow2_table_set(&bitmap->table, index, cluster << q->cluster_bits);
    return 0;
}

/* The chunk as a cluster that can be changed. */
static int get_chunk(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t index, uint8_t **chunk,
                     img_error *err)
{
    return bitmap->table.entries[index] & QCOW2_OFFSET_MASK
               ? own_chunk(q, bitmap, index, chunk, err)
               : new_chunk(q, bitmap, index, chunk, err);
}

/* A cluster that the table no longer names: it is freed once that is so on disk. */
static int free_chunk(struct qcow2 *q, uint64_t offset, img_error *err)
{
    imgi_cache_forget(q->bitmap_cache, offset);
    return qcow2_bitmap_free_later(q, offset, 1, err);
}

/* Let the chunk be all alike. */
static int level_chunk(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t index, uint64_t entry,
                       img_error *err)
{
    uint64_t offset = bitmap->table.entries[index] & QCOW2_OFFSET_MASK;

    if (bitmap->table.entries[index] == entry)
        return 0;
    qcow2_table_set(&bitmap->table, index, entry);
    return offset ? free_chunk(q, offset, err) : 0;
}

static bool bit_at(const uint8_t *chunk, uint64_t bit)
{
    return chunk[bit / 8] >> bit % 8 & 1;
}

/* Give the bits first..end of a chunk a value; false when all had it. */
static bool put_bits(uint8_t *chunk, uint64_t first, uint64_t end, bool value)
{
    bool changed = false;

    while (first < end) {
        if (first % 8 == 0 && end - first >= 8) {
            uint8_t byte = value ? 0xff : 0;

            changed = changed || chunk[first / 8] != byte;
            chunk[first / 8] = byte;
            first += 8;
            continue;
        }
        if (bit_at(chunk, first) != value) {
            chunk[first / 8] ^= (uint8_t)(1u << first % 8);
            changed = true;
        }
        first++;
    }
    return changed;
}

static int change_chunk(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t index,
                        uint64_t first, uint64_t end, bool value, img_error *err)
{
    uint64_t level = value ? QCOW2_BITMAP_ONES : 0;
    uint8_t *chunk;
    int rc;

    if (first == end || bitmap->table.entries[index] == level)
        return 0;
    rc = get_chunk(q, bitmap, index, &chunk, err);
    if (rc == 0 && put_bits(chunk, first, end, value))
        imgi_cache_dirty(q->bitmap_cache, chunk, (size_t)(first / 8),
                         (size_t)(imgi_div_up(end, 8) - first / 8));
    return rc;
}

int qcow2_bitmap_set(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t offset, uint64_t length,
                     img_error *err)
{
    uint64_t first = offset >> bitmap->granularity_bits, step = chunk_bits(q);
    /* Space behind the disk's end may be written before the disk reaches so far. */
    uint64_t end = bit_count(bitmap, IMGI_MIN(offset + length, q->header.size));
    int rc;

    if (offset >= q->header.size)
        return 0;
    rc = qcow2_bitmap_need_table(q, bitmap, err);
    while (rc == 0 && first < end) {
        uint64_t index = first / step, start = index * step;
        uint64_t stop = IMGI_MIN(end, start + step);

        if (first == start && stop == start + step)
            rc = level_chunk(q, bitmap, index, QCOW2_BITMAP_ONES, err);
        else
            rc = change_chunk(q, bitmap, index, first - start, stop - start, true, err);
        first = stop;
    }
    return rc;
}

int qcow2_bitmap_clear(struct qcow2 *q, struct qcow2_bitmap *bitmap, img_error *err)
{
    int rc = qcow2_bitmap_need_table(q, bitmap, err);

    for (uint64_t i = 0; rc == 0 && i < bitmap->table.count; i++)
        rc = level_chunk(q, bitmap, i, 0, err);
    return rc;
}

/* How many bits from `first` on, up to `end`, are as the first of them. */
static uint64_t equal_bits(const uint8_t *chunk, uint64_t first, uint64_t end)
{
    bool value = bit_at(chunk, first);
    uint8_t byte = value ? 0xff : 0;
    uint64_t at = first;

    while (at < end) {
        if (at % 8 == 0 && end - at >= 8 && chunk[at / 8] == byte)
            at += 8;
        else if (bit_at(chunk, at) == value)
            at++;
        else
            break;
    }
    return at - first;
}

/* The same, for bits from `first` to `end` of the bitmap that lie in one chunk. */
static int equal_in_chunk(struct qcow2 *q, const struct qcow2_bitmap *bitmap, uint64_t first,
                          uint64_t end, uint64_t *count, bool *value, img_error *err)
{
    uint64_t index = first / chunk_bits(q), start = index * chunk_bits(q);
    uint64_t entry = bitmap->table.entries[index];
    uint8_t *chunk;
    int rc;

    end = IMGI_MIN(end, start + chunk_bits(q));
    *value = entry == QCOW2_BITMAP_ONES;
    *count = end - first;
    if (!(entry & QCOW2_OFFSET_MASK))
        return 0;
    rc = imgi_cache_get(q->bitmap_cache, entry & QCOW2_OFFSET_MASK, &chunk, err);
    if (rc < 0)
        return rc;
    *value = bit_at(chunk, first - start);
    *count = equal_bits(chunk, first - start, end - start);
    return 0;
}

int qcow2_bitmap_run(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t offset, uint64_t length,
                     uint64_t *run, bool *dirty, img_error *err)
{
    uint64_t bit = UINT64_C(1) << bitmap->granularity_bits;
    uint64_t at = offset / bit, end = imgi_div_up(offset + length, bit), count;
    int rc = qcow2_bitmap_need_table(q, bitmap, err);

    if (rc == 0)
        rc = equal_in_chunk(q, bitmap, at, end, &count, dirty, err);
    if (rc < 0)
        return rc;
    at += count;
    while (at < end && at % chunk_bits(q) == 0) {
        bool value;

        rc = equal_in_chunk(q, bitmap, at, end, &count, &value, err);
        if (rc < 0)
            return rc;
        if (value != *dirty)
            break;
        at += count;
    }
    *run = IMGI_MIN(at * bit, offset + length) - offset;
    return 0;
}

int qcow2_bitmap_fit(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t old_size,
                     img_error *err)
{
    uint64_t kept = bit_count(bitmap, IMGI_MIN(old_size, q->header.size)), step = chunk_bits(q);
    uint64_t index = kept / step;
    int rc = qcow2_bitmap_need_table(q, bitmap, err);

    if (rc == 0 && kept % step != 0) {
        /* What another program left behind the old end must not come to count. */
        rc = change_chunk(q, bitmap, index, kept % step, step, false, err);
        index++;
    }
    for (; rc == 0 && index < bitmap->table.count; index++)
        rc = level_chunk(q, bitmap, index, 0, err);
    return rc;
}

int qcow2_bitmap_free_bits(struct qcow2 *q, struct qcow2_bitmap *bitmap, img_error *err)
{
    int rc = qcow2_bitmap_need_table(q, bitmap, err);

    for (uint64_t i = 0; rc == 0 && i < bitmap->table.count; i++) {
        uint64_t offset = bitmap->table.entries[i] & QCOW2_OFFSET_MASK;

        if (offset != 0)
            rc = free_chunk(q, offset, err);
    }
    return rc;
}
