/*
 * The bitmaps in front of the blocks: which sectors were written.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * In a differencing image a sector whose bit is 0 is the parent's. In a dynamic one QEMU, which
 * sets all bits of a new block, reads the data whatever the bit says, and so do we; but a bit that
 * another program left at 0 must be 1 before the sector is written, for that program's sake. The
 * first sector's bit is the highest of the first byte.
 */
#include "vhd.h"

/* Memory for bitmaps: they cover 4 GiB of blocks of 2 MiB. */
#define BITMAPS_BUDGET (1u << 20)

/* What bits are about to tell of is on the disk. */
static int settle_data(void *opaque, img_error *err)
{
    return imgi_io_flush(opaque, err);
}

int vhd_bitmaps_open(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    struct imgi_cache_params params = {.io = node->file,
                                       .what = "sector bitmap",
                                       .table_size = state->bitmap_bytes,
                                       .budget = BITMAPS_BUDGET,
                                       .before_write = settle_data,
                                       .opaque = node->file};

    return imgi_cache_new(&state->bitmaps, &params, err);
}

int vhd_bitmap_get(struct vhd_state *state, uint64_t block, uint8_t **bitmap, img_error *err)
{
    return imgi_cache_get(state->bitmaps, (uint64_t)vhd_entry(state, block) * VHD_SECTOR, bitmap,
                          err);
}

static bool get_bit(const uint8_t *bitmap, uint64_t sector)
{
    return bitmap[sector / 8] >> (7 - sector % 8) & 1;
}

int vhd_bitmap_run(struct vhd_state *state, uint64_t block, uint64_t from, uint64_t *length,
                   bool *here, img_error *err)
{
    uint64_t sector = from / VHD_SECTOR, sectors = state->header.block_size / VHD_SECTOR;
    uint8_t *bitmap = NULL;
    int rc = vhd_bitmap_get(state, block, &bitmap, err);

    if (rc < 0)
        return rc;
    *here = get_bit(bitmap, sector);
    while (sector < sectors && get_bit(bitmap, sector) == *here)
        sector++;
    *length = sector * VHD_SECTOR - from;
    return 0;
}

int vhd_bitmap_full(struct vhd_state *state, uint64_t block, bool *full, img_error *err)
{
    uint64_t length = 0;
    int rc = 0;

    *full = vhd_bit(state->full, block);
    if (!*full)
        rc = vhd_bitmap_run(state, block, 0, &length, full, err);
    *full = *full && (length == 0 || length == state->header.block_size);
    if (rc == 0 && *full)
        vhd_bit_set(state->full, block);
    return rc;
}

int vhd_bitmap_set(struct vhd_state *state, uint64_t host, bool fresh, uint64_t from, uint64_t to,
                   img_error *err)
{
    uint8_t *bitmap = NULL;
    int rc = fresh ? imgi_cache_add(state->bitmaps, host, 0, &bitmap, err)
                   : imgi_cache_get(state->bitmaps, host, &bitmap, err);
    size_t first = (size_t)(from / VHD_SECTOR), last = (size_t)((to - 1) / VHD_SECTOR);

    if (rc < 0)
        return rc;
    for (size_t sector = first; sector <= last; sector++)
        bitmap[sector / 8] = (uint8_t)(bitmap[sector / 8] | 0x80u >> sector % 8);
    imgi_cache_dirty(state->bitmaps, bitmap, first / 8, last / 8 - first / 8 + 1);
    return 0;
}
