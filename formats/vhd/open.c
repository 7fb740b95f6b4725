/*
 * Opening a VHD image: which footer is to be believed, then what it leads to.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The footer is the last sector. Where that is damaged, the copy in front, which all but fixed
 * images have, takes its place.
 */
#include <stdlib.h>

#include "vhd.h"

const struct imgi_opt vhd_open_options[] = {
    {"force_size_calc", IMGI_OPT_STRING, NULL,
     "Force disk size calculation to use either CHS geometry, or use the disk current_size "
     "specified in the VHD footer. {chs, current_size}",
     true},
    {0},
};

/* Read a footer of so many bytes; *good: it is one, and its sum is right. */
static int read_footer(struct imgi_node *node, uint64_t offset, size_t length,
                       uint8_t bytes[VHD_FOOTER_BYTES], bool *good, img_error *err)
{
    int rc;

    memset(bytes, 0, VHD_FOOTER_BYTES);
    rc = imgi_io_read(node->file, bytes, length, offset, err);
    *good = rc == 0 && vhd_footer_looks_like(bytes) && vhd_footer_sum_ok(bytes);
    return rc;
}

static int no_footer(struct imgi_node *node, const uint8_t bytes[VHD_FOOTER_BYTES], img_error *err)
{
    if (!vhd_footer_looks_like(bytes))
        return imgi_fail(err, IMG_E_FORMAT,
                         "no VHD image: neither the end nor the beginning of the file is a footer");
    return imgi_fail(err, IMG_E_CORRUPT,
                     "VHD footer of %s: Incorrect header checksum: 0x%08x instead of 0x%08x, and "
                     "there is no good copy",
                     node->name, imgi_get_be32(bytes + VHD_OFF_CHECKSUM),
                     vhd_checksum(bytes, VHD_FOOTER_BYTES, VHD_OFF_CHECKSUM));
}

static int find_footer(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint8_t first[VHD_FOOTER_BYTES], bytes[VHD_FOOTER_BYTES];
    uint64_t size;
    bool good = false;
    int rc = imgi_io_size(node->file, &size, err);

    if (rc == 0 && size < VHD_FOOTER_BYTES_OLD)
        return imgi_fail(err, IMG_E_FORMAT, "no VHD image: the file has only %llu bytes",
                         (unsigned long long)size);
    for (size_t length = VHD_FOOTER_BYTES; rc == 0 && !good && length >= VHD_FOOTER_BYTES_OLD;
         length--) {
        if (size < length)
            continue;
        rc = read_footer(node, size - length, length, bytes, &good, err);
        if (!good && length != VHD_FOOTER_BYTES)
            continue;
        state->end = size - length;
        memcpy(state->foot, bytes, VHD_FOOTER_BYTES);
    }
    state->footer_found = good;
    if (rc < 0 || good || size < VHD_FOOTER_BYTES)
        return rc < 0 || good ? rc : no_footer(node, state->foot, err);
    rc = read_footer(node, 0, VHD_FOOTER_BYTES, first, &good, err);
    if (rc < 0)
        return rc;
    if (!good)
        return no_footer(node, vhd_footer_looks_like(first) ? first : state->foot, err);
    memcpy(state->foot, first, VHD_FOOTER_BYTES);
    return 0;
}

static int choose_size(struct imgi_node *node, img_error *err)
{
    const struct vhd_footer *footer = &vhd_state(node)->footer;
    const char *rule = imgi_options_string(node->options, vhd_open_options, "force_size_calc");
    bool exact = vhd_size_is_exact(footer);

    if (rule && strcmp(rule, "chs") != 0 && strcmp(rule, "current_size") != 0)
        return imgi_fail(err, IMG_E_INVAL, "Invalid size calculation mode: '%s'", rule);
    /* The largest geometry stands for all larger disks. */
    if (rule && vhd_geometry_bytes(footer) != VHD_GEOMETRY_MAX * VHD_SECTOR)
        exact = strcmp(rule, "current_size") == 0;
    node->size =
        exact ? imgi_align_down(footer->current_size, VHD_SECTOR) : vhd_geometry_bytes(footer);
    return 0;
}

static int open_fixed(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);

    if (!state->footer_found)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "VHD footer: a fixed image has it at the end of the file, and there is "
                         "none");
    if (node->size > state->end)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "VHD footer: a disk of %llu bytes does not fit into the %llu before it: "
                         "the image has been truncated",
                         (unsigned long long)node->size, (unsigned long long)state->end);
    return 0;
}

static int read_header(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t size, offset = state->footer.data_offset;
    int rc = imgi_io_size(node->file, &size, err);

    if (rc == 0 && (offset < VHD_FOOTER_BYTES || !imgi_span_ok(offset, VHD_HEADER_BYTES, size)))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "VHD footer: the dynamic header at 0x%llx is not inside the file (%llu "
                         "bytes)",
                         (unsigned long long)offset, (unsigned long long)size);
    if (rc == 0)
        rc = imgi_io_read(node->file, state->head, VHD_HEADER_BYTES, offset, err);
    if (rc == 0)
        rc = vhd_header_decode(state->head, &state->header, err);
    if (rc == 0)
        rc = vhd_header_check(&state->header, node->size, err);
    if (rc == 0 && node->writable && !(node->flags & IMG_OPEN_CHECK) &&
        !vhd_header_sum_ok(state->head))
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "VHD dynamic header: its checksum is wrong: look at the image with img "
                       "check -f vpc before it is written");
    return rc;
}

static int read_bat(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    struct imgi_table table = {.what = "block allocation table",
                               .offset = state->header.bat_offset,
                               .entries = state->header.bat_entries,
                               .entry_size = 4};
    size_t bits = state->header.bat_entries / 8 + 1;
    int rc = imgi_node_read_table(node, &table, &state->bat, err);

    if (rc < 0)
        return rc;
    state->bitmap_bytes = vhd_bitmap_bytes(state->header.block_size);
    state->dirty = calloc(1, vhd_bat_bytes(state->header.bat_entries) / VHD_BAT_UNIT + 1);
    state->shared = calloc(1, bits);
    state->full = calloc(1, bits);
    return state->dirty && state->shared && state->full ? 0 : imgi_fail_nomem(err, "a bitmap");
}

/* Where new blocks go: behind all that is there. What is cut off must not be written as if not. */
static int find_end(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t end = 0, size;
    int rc = vhd_find_shared(state, &end, err);

    if (rc == 0)
        rc = imgi_io_size(node->file, &size, err);
    if (rc < 0)
        return rc;
    if (end > size && node->writable && !(node->flags & IMG_OPEN_CHECK))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "block allocation table: the blocks and what leads to the parent end at "
                         "0x%llx, past the end of the file (%llu bytes). The image has been "
                         "truncated.",
                         (unsigned long long)end, (unsigned long long)size);
    if (!state->footer_found || end > state->end)
        state->end = end;
    state->end = imgi_align_up(state->end, VHD_SECTOR);
    return 0;
}

static int open_blocks(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    int rc = read_header(node, err);

    if (rc == 0)
        rc = read_bat(node, err);
    if (rc == 0)
        rc = find_end(node, err);
    if (rc == 0)
        rc = vhd_bitmaps_open(node, err);
    if (rc == 0 && state->footer.type == VHD_TYPE_DIFFERENCING)
        rc = vhd_parent_find(node, err);
    if (rc < 0)
        return rc;
    node->cluster_size = state->header.block_size;
    node->grain = state->footer.type == VHD_TYPE_DIFFERENCING ? VHD_SECTOR : 0;
    return 0;
}

int vhd_open(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    int rc = find_footer(node, err);

    if (rc < 0)
        return rc;
    vhd_footer_decode(state->foot, &state->footer);
    rc = vhd_footer_check(&state->footer, err);
    if (rc == 0)
        rc = choose_size(node, err);
    if (rc == 0)
        rc = vhd_is_fixed(state) ? open_fixed(node, err) : open_blocks(node, err);
    node->reads_zero = true;
    return rc;
}

void vhd_close(struct imgi_node *node)
{
    struct vhd_state *state = vhd_state(node);

    imgi_cache_free(state->bitmaps);
    free(state->bat);
    free(state->dirty);
    free(state->shared);
    free(state->full);
}
