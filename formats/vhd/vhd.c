/*
 * VHD: the disks of Virtual PC, Hyper-V and Azure. SPDX-License-Identifier: BSD-2-Clause
 *
 * The driver's table, and the fixed type, where the file is the disk with a footer behind it.
 * qemu-img calls the format vpc. Fixed images are not probed, as there: nothing tells them from raw
 * ones but what stands at their end.
 */
#include "vhd.h"

static int vhd_probe(const struct imgi_probe *probe)
{
    return probe->length >= VHD_FOOTER_BYTES && vhd_footer_looks_like(probe->head) ? 100 : 0;
}

static int vhd_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                   struct imgi_extent *run, img_error *err)
{
    if (!vhd_is_fixed(vhd_state(node)))
        return vhd_block_map(node, offset, length, run, err);
    *run = (struct imgi_extent){.offset = offset,
                                .length = length,
                                .kind = IMGI_DATA,
                                .flags =
                                    IMGI_EXTENT_HOLES | (node->writable ? IMGI_EXTENT_INPLACE : 0),
                                .io = node->file,
                                .host = offset};
    return 0;
}

static int vhd_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap,
                    img_error *err)
{
    if (!vhd_is_fixed(vhd_state(node)))
        return vhd_block_zero(node, offset, length, unmap, err);
    return imgi_io_zero(node->file, offset, length, unmap, err);
}

/* The parent would show through where nothing is, so only what is here can be given up. */
static int vhd_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err)
{
    int rc = 0;

    while (rc == 0 && length > 0) {
        struct imgi_extent run = {0};

        rc = vhd_map(node, offset, length, &run, err);
        if (rc == 0 && run.kind == IMGI_DATA)
            rc = imgi_io_discard(node->file, run.host, run.length, err);
        offset += run.length;
        length -= run.length;
    }
    return rc;
}

/* The copy in front must stand in for the footer when a block is written over that. */
static int renew_copy(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint8_t copy[VHD_FOOTER_BYTES];
    int rc = imgi_io_read(node->file, copy, sizeof(copy), 0, err);

    if (rc < 0 || memcmp(copy, state->foot, sizeof(copy)) == 0)
        return rc;
    rc = imgi_io_write(node->file, state->foot, sizeof(copy), 0, err);
    return rc < 0 ? rc : imgi_io_flush(node->file, err);
}

/* The footer and its copy are there and alike before anything changes. */
static int vhd_begin_write(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);

    if (!state->footer_found)
        return vhd_footer_write(node, err);
    return vhd_is_fixed(state) ? 0 : renew_copy(node, err);
}

/* The parent would have what the child brings, and the child would keep it as well. */
static int vhd_commit_begin(struct imgi_node *node, struct imgi_node *base, img_error *err)
{
    (void)node;
    (void)base;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "a differencing VHD image cannot be committed: convert it instead");
}

/* Nothing was begun. */
static int vhd_commit_end(struct imgi_node *node, struct imgi_node *base, img_error *err)
{
    (void)node;
    (void)base;
    (void)err;
    return 0;
}

const struct imgi_driver imgi_driver_vhd = {
    .name = "vpc",
    .state_size = sizeof(struct vhd_state),
    .create_options = vhd_create_options,
    .open_options = vhd_open_options,
    .backing_typed = true,
    .probe = vhd_probe,
    .create = vhd_create,
    .open = vhd_open,
    .close = vhd_close,
    .begin_write = vhd_begin_write,
    .map = vhd_map,
    .reserve = vhd_reserve,
    .link = vhd_link,
    .cancel = vhd_cancel,
    .zero = vhd_zero,
    .discard = vhd_discard,
    .flush = vhd_flush,
    .reach = vhd_reach,
    .can_resize = vhd_can_resize,
    .resize = vhd_resize,
    .commit_begin = vhd_commit_begin,
    .commit_end = vhd_commit_end,
    .check = vhd_check,
    .measure = vhd_measure,
};
