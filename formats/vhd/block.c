/*
 * Blocks: where they are, and new ones. SPDX-License-Identifier: BSD-2-Clause
 *
 * A new block lies where the footer was. Order on disk: data, then the footer behind it and the
 * bitmaps, then the BAT that names the block, with a flush between. A crash leaves a file without
 * its last footer, whose copy in front tells the same, or with blocks that nobody names.
 */
#include "vhd.h"

static bool is_child(const struct vhd_state *state)
{
    return state->footer.type == VHD_TYPE_DIFFERENCING;
}

/* What the BAT says of a block: an imgi_cluster_fn. */
static int look_up(struct imgi_node *node, uint64_t block, struct imgi_cluster *found,
                   img_error *err)
{
    const struct vhd_state *state = vhd_state(node);
    uint32_t entry = vhd_entry(state, block);

    found->kind = is_child(state) ? IMGI_ABSENT : IMGI_ZERO;
    if (entry == VHD_ENTRY_ABSENT)
        return 0;
    found->kind = IMGI_DATA;
    found->host = (uint64_t)entry * VHD_SECTOR + state->bitmap_bytes;
    if (vhd_bit(state->shared, block))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "block allocation table: entry %llu: the block at 0x%llx overlaps another "
                         "one, or metadata",
                         (unsigned long long)block, (unsigned long long)entry * VHD_SECTOR);
    return 0;
}

/* What its bitmap makes of a block that is there. */
static int judge_sectors(struct imgi_node *node, struct imgi_extent *run, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t size = state->header.block_size, block = run->offset / size, length = size;
    bool here = true;
    int rc = 0;

    if (is_child(state))
        rc = vhd_bitmap_run(state, block, run->offset % size, &length, &here, err);
    else if (node->writable)
        rc = vhd_bitmap_full(state, block, &here, err);
    run->length = IMGI_MIN(run->length, length);
    if (is_child(state) && !here)
        run->kind = IMGI_ABSENT;
    else if (here && node->writable)
        run->flags = IMGI_EXTENT_INPLACE;
    return rc;
}

int vhd_block_map(struct imgi_node *node, uint64_t offset, uint64_t length, struct imgi_extent *run,
                  img_error *err)
{
    int rc;

    run->offset = offset;
    run->length = length;
    rc = imgi_map_clusters(node, node->cluster_size, look_up, run, err);
    if (rc == 0 && run->kind == IMGI_DATA)
        rc = judge_sectors(node, run, err);
    if (rc == 0 && run->kind == IMGI_ABSENT)
        rc = vhd_parent_judge(node, err);
    return rc;
}

/* ----------------------------------------------------------------------- changes */

/* What is stored of a block are the sectors that are written; others are zeros, or the parent's. */
static void narrow(struct imgi_alloc *alloc, uint64_t bytes)
{
    alloc->fill_from = IMGI_MAX(alloc->offset, imgi_align_down(alloc->from, VHD_SECTOR));
    alloc->fill_to = IMGI_MIN(alloc->offset + bytes, imgi_align_up(alloc->to, VHD_SECTOR));
}

/* Where the old footer was, there is a block now. cookie[0]: its place. */
static int take_place(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t size = state->header.block_size;

    if ((state->end + vhd_slot_bytes(state)) / VHD_SECTOR >= VHD_ENTRY_ABSENT)
        return imgi_fail(err, IMG_E_NOSPACE,
                         "a VHD image cannot grow past %llu bytes: sectors have 32-bit numbers",
                         (unsigned long long)VHD_ENTRY_ABSENT * VHD_SECTOR);
    alloc->cookie[0] = state->end;
    state->end += vhd_slot_bytes(state);
    state->footer_due = true;
    if (alloc->from <= alloc->offset && alloc->to >= alloc->offset + size)
        return 0;
    narrow(alloc, size);
    return imgi_io_zero(node->file, alloc->cookie[0], vhd_slot_bytes(state), true, err);
}

int vhd_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t size = state->header.block_size;
    uint32_t entry = vhd_entry(state, alloc->offset / size);
    int rc = 0;

    alloc->length = IMGI_MIN(alloc->length, size);
    alloc->io = node->file;
    alloc->cookie[1] = entry == VHD_ENTRY_ABSENT;
    if (alloc->cookie[1]) {
        rc = take_place(node, alloc, err);
    } else {
        alloc->cookie[0] = (uint64_t)entry * VHD_SECTOR;
        narrow(alloc, size);
    }
    alloc->host = alloc->cookie[0] + state->bitmap_bytes;
    if (rc < 0)
        vhd_cancel(node, alloc);
    return rc;
}

void vhd_entry_set(struct vhd_state *state, uint64_t block, uint64_t host)
{
    imgi_put_be32(state->bat + 4 * block, (uint32_t)(host / VHD_SECTOR));
    state->dirty[4 * block / VHD_BAT_UNIT] = 1;
    state->changed = true;
}

int vhd_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t size = state->header.block_size, block = alloc->offset / size;
    uint64_t from = 0, to = size;
    int rc;

    if (is_child(state)) {
        from = IMGI_MAX(alloc->from, alloc->offset) - alloc->offset;
        to = IMGI_MIN(alloc->to, alloc->offset + size) - alloc->offset;
    }
    rc = vhd_bitmap_set(state, alloc->cookie[0], alloc->cookie[1] != 0, from, to, err);
    if (rc == 0 && alloc->cookie[1])
        vhd_entry_set(state, block, alloc->cookie[0]);
    return rc;
}

void vhd_cancel(struct imgi_node *node, const struct imgi_alloc *alloc)
{
    struct vhd_state *state = vhd_state(node);

    if (!alloc->cookie[1])
        return;
    if (alloc->cookie[0] + vhd_slot_bytes(state) == state->end)
        state->end = alloc->cookie[0];
    imgi_cache_forget(state->bitmaps, alloc->cookie[0]);
}

int vhd_block_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap,
                   img_error *err)
{
    int rc = 0;

    while (rc == 0 && length > 0) {
        struct imgi_extent run = {0};

        rc = vhd_block_map(node, offset, length, &run, err);
        if (rc == 0 && run.kind == IMGI_DATA)
            rc = imgi_io_zero(node->file, run.host, run.length, unmap, err);
        else if (rc == 0 && run.kind == IMGI_ABSENT)
            rc = IMG_E_UNSUPPORTED; /* nothing says that a sector is zeros but its data */
        offset += run.length;
        length -= run.length;
    }
    return rc;
}

/* -------------------------------------------------------------------- order on disk */

int vhd_footer_write(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t size = 0, end = state->end + VHD_FOOTER_BYTES;
    int rc;

    vhd_footer_encode(&state->footer, state->foot);
    rc = imgi_io_write(node->file, state->foot, VHD_FOOTER_BYTES, state->end, err);
    if (rc == 0)
        rc = imgi_io_size(node->file, &size, err);
    if (rc == 0 && size > end)
        rc = imgi_io_resize(node->file, end, IMGI_PREALLOC_OFF, err);
    if (rc == 0)
        state->footer_due = false;
    state->footer_found = state->footer_found || rc == 0;
    return rc;
}

/* Neighbours in one call. */
static int write_bat(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    size_t bytes = 4 * (size_t)state->header.bat_entries, end;
    size_t units = (size_t)vhd_bat_bytes(state->header.bat_entries) / VHD_BAT_UNIT;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < units; i = end) {
        end = i + 1;
        if (!state->dirty[i])
            continue;
        while (end < units && state->dirty[end])
            end++;
        rc = imgi_io_write(node->file, state->bat + i * VHD_BAT_UNIT,
                           IMGI_MIN(end * VHD_BAT_UNIT, bytes) - i * VHD_BAT_UNIT,
                           state->header.bat_offset + i * VHD_BAT_UNIT, err);
        if (rc == 0)
            memset(state->dirty + i, 0, end - i);
    }
    if (rc == 0)
        state->changed = false;
    return rc;
}

int vhd_flush(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    int rc = state->footer_due ? vhd_footer_write(node, err) : 0;

    if (rc == 0 && state->bitmaps && imgi_cache_is_dirty(state->bitmaps))
        rc = imgi_cache_write(state->bitmaps, err);
    if (rc < 0 || !state->changed)
        return rc;
    rc = imgi_io_flush(node->file, err);
    return rc < 0 ? rc : write_bat(node, err);
}
