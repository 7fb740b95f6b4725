/*
 * A larger disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * The new blocks come first: those of a fixed image get their places, the others are zeros. Then
 * the size changes, with one entry of the log. A machine that stops between the two leaves a BAT
 * that says more than is asked for.
 */
#include "vhdx.h"

static int judge(const struct vhdx *v, uint64_t size, img_error *err)
{
    uint64_t blocks = imgi_div_up(size, v->block_size);

    if (size < v->node->size)
        return imgi_fail(err, IMG_E_INVAL, "a VHDX image can only be made larger");
    if (size > VHDX_DISK_BYTES_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Image size too large; max of 64TB");
    if (size % v->logical_sector != 0)
        return imgi_fail(err, IMG_E_INVAL, "The new size must be a multiple of %u",
                         v->logical_sector);
    if (vhdx_bat_entries(blocks, v->chunk_ratio, v->has_parent) * 8 > v->bat_region.length)
        return imgi_fail(err, IMG_E_LIMIT,
                         "the BAT has room for %llu blocks of %u bytes, fewer than a disk of %llu "
                         "bytes has: convert the image instead",
                         (unsigned long long)(v->bat_region.length / 8), v->block_size,
                         (unsigned long long)size);
    return 0;
}

static int add_blocks(struct vhdx *v, uint64_t blocks, img_error *err)
{
    uint64_t block = v->blocks, host = 0;
    int rc = vhdx_bat_resize(v, blocks, err);

    if (rc == 0 && v->fixed && blocks > block)
        rc = vhdx_take_blocks(v, blocks - block, &host, err);
    for (; rc == 0 && block < blocks; block++, host += v->block_size)
        vhdx_bat_set(v, block, v->fixed ? host | VHDX_BLOCK_FULLY_PRESENT : VHDX_BLOCK_ZERO);
    return rc < 0 ? rc : vhdx_bat_write(v, err);
}

static int write_size(struct vhdx *v, uint64_t size, img_error *err)
{
    struct vhdx_change change = {.offset = imgi_align_down(v->size_at, VHDX_LOG_SECTOR)};
    size_t at = (size_t)(v->size_at - change.offset);
    int rc;

    if (at > VHDX_LOG_SECTOR - 8)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the disk's size lies across two sectors at 0x%llx",
                         (unsigned long long)v->size_at);
    rc = imgi_io_read(v->node->file, change.bytes, sizeof(change.bytes), change.offset, err);
    if (rc < 0)
        return rc;
    imgi_put_le64(change.bytes + at, size);
    rc = vhdx_log_write(v, &change, 1, err);
    if (rc == 0)
        v->node->size = size;
    return rc;
}

/* The last block as it was may have been shorter in the file than a block is. */
static int complete_last(struct vhdx *v, img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(v->node->file, &size, err);

    if (rc == 0 && size < v->next && !imgi_io_is_device(v->node->file))
        rc = imgi_io_resize(v->node->file, v->next, IMGI_PREALLOC_OFF, err);
    return rc;
}

int vhdx_reach(struct imgi_node *node, uint64_t size, img_error *err)
{
    struct vhdx *v = vhdx_of(node);
    int rc = judge(v, size, err);

    if (rc == 0)
        rc = complete_last(v, err);
    return rc < 0 ? rc : add_blocks(v, imgi_div_up(size, v->block_size), err);
}

int vhdx_can_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                    img_error *err)
{
    int rc = judge(vhdx_of(node), size, err);

    if (rc == 0 && mode != IMG_PREALLOC_OFF)
        rc = imgi_fail(err, IMG_E_INVAL, "a VHDX image cannot be preallocated when it grows");
    return rc;
}

int vhdx_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err)
{
    (void)mode;
    return size == node->size ? 0 : write_size(vhdx_of(node), size, err);
}
