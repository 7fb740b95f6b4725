/*
 * The block allocation table in memory. SPDX-License-Identifier: BSD-2-Clause
 *
 * Behind each chunk's blocks stands the entry of its sector bitmap (2.5). What has changed is
 * written through the log, in sectors of 4 KiB. An image that is being made has none of that:
 * nobody can open it before it is complete.
 */
#include <stdlib.h>

#include "vhdx.h"

uint64_t vhdx_bat_entries(uint64_t blocks, uint32_t chunk_ratio, bool has_parent)
{
    if (has_parent)
        return imgi_div_up(blocks, chunk_ratio) * ((uint64_t)chunk_ratio + 1);
    return blocks == 0 ? 0 : blocks + (blocks - 1) / chunk_ratio;
}

int vhdx_bat_resize(struct vhdx *v, uint64_t blocks, img_error *err)
{
    uint64_t entries = vhdx_bat_entries(blocks, v->chunk_ratio, v->has_parent);
    size_t sectors = (size_t)imgi_div_up(entries * 8, VHDX_LOG_SECTOR);
    uint8_t *bat = realloc(v->bat, IMGI_MAX(sectors, 1u) * VHDX_LOG_SECTOR);
    bool *dirty;

    if (!bat)
        return imgi_fail_nomem(err, "the BAT");
    v->bat = bat;
    dirty = realloc(v->bat_dirty, IMGI_MAX(sectors, 1u) * sizeof(*dirty));
    if (!dirty)
        return imgi_fail_nomem(err, "the BAT");
    v->bat_dirty = dirty;
    for (size_t n = v->bat_sectors; n < sectors; n++) {
        memset(bat + n * VHDX_LOG_SECTOR, 0, VHDX_LOG_SECTOR);
        dirty[n] = false;
    }
    v->bat_sectors = IMGI_MAX(sectors, v->bat_sectors);
    v->bat_entries = entries;
    v->blocks = blocks;
    return 0;
}

int vhdx_bat_read(struct vhdx *v, img_error *err)
{
    struct imgi_table table = {
        .what = "BAT", .offset = v->bat_region.offset, .entry_size = VHDX_LOG_SECTOR};
    uint64_t blocks = imgi_div_up(v->node->size, v->block_size);
    uint64_t bytes;
    int rc = imgi_io_size(v->io, &table.file_size, err);

    if (rc < 0)
        return rc;
    v->chunk_ratio = vhdx_chunk_ratio(v->block_size, v->logical_sector);
    bytes = vhdx_bat_entries(blocks, v->chunk_ratio, v->has_parent) * 8;
    if (bytes > v->bat_region.length)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "BAT: %llu bytes of entries for %llu blocks are more than its region has "
                         "(%llu)",
                         (unsigned long long)bytes, (unsigned long long)blocks,
                         (unsigned long long)v->bat_region.length);
    table.entries = imgi_div_up(bytes, VHDX_LOG_SECTOR);
    rc = imgi_policy_table(v->node->policy, &table, err);
    if (rc == 0)
        rc = vhdx_bat_resize(v, blocks, err);
    if (rc == 0 && bytes > 0)
        rc = imgi_io_read(v->io, v->bat, v->bat_sectors * VHDX_LOG_SECTOR, table.offset, err);
    return rc;
}

static uint64_t index_of(const struct vhdx *v, uint64_t block)
{
    return block + block / v->chunk_ratio;
}

uint64_t vhdx_bat_get(const struct vhdx *v, uint64_t block)
{
    return imgi_get_le64(v->bat + 8 * index_of(v, block));
}

uint64_t vhdx_bat_get_bitmap(const struct vhdx *v, uint64_t block)
{
    uint64_t chunk = block / v->chunk_ratio;

    return imgi_get_le64(v->bat + 8 * (chunk + (chunk + 1) * v->chunk_ratio));
}

void vhdx_bat_set(struct vhdx *v, uint64_t block, uint64_t entry)
{
    uint64_t at = 8 * index_of(v, block);
    bool *dirty = &v->bat_dirty[at / VHDX_LOG_SECTOR];

    imgi_put_le64(v->bat + at, entry);
    v->dirty_sectors += !*dirty;
    *dirty = true;
}

uint64_t vhdx_block_bytes(const struct vhdx *v, uint64_t block)
{
    uint64_t start = block * v->block_size;

    return start < v->node->size ? IMGI_MIN(v->block_size, v->node->size - start) : v->block_size;
}

/* ------------------------------------------------------------------ writing */

/* The next changed sectors, from sector *n on, as many as one entry of the log takes. */
static uint32_t collect(const struct vhdx *v, size_t *n, struct vhdx_change *changes)
{
    uint32_t count = 0;

    for (; *n < v->bat_sectors && count < VHDX_CHANGES_MAX; ++*n) {
        if (!v->bat_dirty[*n])
            continue;
        changes[count].offset = v->bat_region.offset + *n * VHDX_LOG_SECTOR;
        memcpy(changes[count++].bytes, v->bat + *n * VHDX_LOG_SECTOR, VHDX_LOG_SECTOR);
    }
    return count;
}

/* Nobody can open the image yet: write the sectors where they belong. */
static int write_plainly(struct vhdx *v, img_error *err)
{
    int rc = 0;

    for (size_t n = 0; rc == 0 && n < v->bat_sectors;) {
        size_t end = n;

        while (end < v->bat_sectors && v->bat_dirty[end])
            end++;
        if (end > n)
            rc = imgi_io_write(v->node->file, v->bat + n * VHDX_LOG_SECTOR,
                               (end - n) * VHDX_LOG_SECTOR,
                               v->bat_region.offset + n * VHDX_LOG_SECTOR, err);
        n = end + 1;
    }
    return rc;
}

static int write_through_log(struct vhdx *v, img_error *err)
{
    struct vhdx_change *changes = malloc(VHDX_CHANGES_MAX * sizeof(*changes));
    int rc = changes ? imgi_io_flush(v->node->file, err) : imgi_fail_nomem(err, "the log");

    for (size_t n = 0; rc == 0 && n < v->bat_sectors;) {
        uint32_t count = collect(v, &n, changes);

        if (count > 0)
            rc = vhdx_log_write(v, changes, count, err);
    }
    free(changes);
    return rc;
}

int vhdx_bat_write(struct vhdx *v, img_error *err)
{
    int rc;

    if (v->dirty_sectors == 0)
        return 0;
    rc = v->unfinished ? write_plainly(v, err) : write_through_log(v, err);
    if (rc < 0)
        return rc;
    memset(v->bat_dirty, 0, v->bat_sectors * sizeof(*v->bat_dirty));
    v->dirty_sectors = 0;
    return 0;
}
