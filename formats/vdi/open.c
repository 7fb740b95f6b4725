/*
 * Opening a VDI image. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "vdi.h"

static int read_header(struct imgi_node *node, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    uint64_t file_size;
    int rc = imgi_io_size(node->file, &file_size, err);

    if (rc == 0 && file_size < VDI_HEADER_BYTES)
        return imgi_fail(err, IMG_E_FORMAT, "Image not in VDI format (only %llu bytes)",
                         (unsigned long long)file_size);
    if (rc == 0)
        rc = imgi_io_read(node->file, state->head, VDI_HEADER_BYTES, 0, err);
    if (rc == 0)
        rc = vdi_header_decode(state->head, &state->header, err);
    return rc < 0 ? rc : vdi_header_check(&state->header, err);
}

static int read_map(struct imgi_node *node, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    const struct vdi_header *header = &state->header;
    struct imgi_table table = {.what = "block map",
                               .offset = header->offset_bmap,
                               .entries = header->blocks,
                               .entry_size = 4};
    int rc = imgi_node_read_table(node, &table, &state->map, err);

    if (rc < 0)
        return rc;
    state->dirty = calloc(1, vdi_map_bytes(header->blocks) / VDI_MAP_UNIT + 1);
    return state->dirty ? 0 : imgi_fail_nomem(err, "a block map");
}

/* What the header counts, or more: what the map names of the places that the file has. */
static uint32_t count_places(const struct vdi_state *state, uint64_t present)
{
    uint32_t count = state->header.blocks_allocated;

    for (uint32_t block = 0; block < state->header.blocks; block++) {
        uint32_t place = vdi_entry(state, block);

        if (place < VDI_ENTRY_DISCARD && place < present)
            count = IMGI_MAX(count, place + 1);
    }
    return count;
}

int vdi_find_used(struct imgi_node *node, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    const struct vdi_header *header = &state->header;
    uint64_t file_size, present = 0;
    int rc = imgi_io_size(node->file, &file_size, err);

    if (rc < 0)
        return rc;
    if (file_size > header->offset_data)
        present = imgi_div_up(file_size - header->offset_data, header->block_size);
    state->next = count_places(state, present);
    state->places = (uint32_t)IMGI_MIN(present, state->next);
    state->places = IMGI_MAX(state->places, header->blocks);
    rc = imgi_policy_limit(node->policy, IMG_LIMIT_TABLE_BYTES, 4 * (uint64_t)state->places,
                           "the table of the blocks' places", err);
    if (rc < 0)
        return rc;
    free(state->used);
    free(state->shared);
    state->used = calloc(1, state->places / 8 + 1);
    state->shared = calloc(1, state->places / 8 + 1);
    if (!state->used || !state->shared)
        return imgi_fail_nomem(err, "a bitmap");
    for (uint32_t block = 0; block < header->blocks; block++) {
        uint32_t place = vdi_entry(state, block);

        if (place >= state->places)
            continue;
        if (vdi_bit(state->used, place))
            vdi_bit_set(state->shared, place);
        vdi_bit_set(state->used, place);
    }
    return 0;
}

/* What was cut off must not be written as if it were there: it would become zeros. */
static int judge_end(struct imgi_node *node, img_error *err)
{
    const struct vdi_state *state = vdi_state(node);
    uint64_t file_size, size = state->header.block_size;
    int rc = imgi_io_size(node->file, &file_size, err);

    if (!node->writable || (node->flags & IMG_OPEN_CHECK))
        return rc;
    for (uint32_t block = 0; rc == 0 && block < state->header.blocks; block++) {
        uint64_t offset = block * size, needed = 0;

        if (offset < vdi_disk_bytes(&state->header))
            needed = IMGI_MIN(size, vdi_disk_bytes(&state->header) - offset);
        if (vdi_entry(state, block) < VDI_ENTRY_DISCARD &&
            !imgi_span_ok(vdi_host(state, vdi_entry(state, block)), needed, file_size))
            rc = imgi_fail(err, IMG_E_CORRUPT,
                           "block map: entry %u: place %u lies past the end of the file (%llu "
                           "bytes). The image has been truncated.",
                           block, vdi_entry(state, block), (unsigned long long)file_size);
    }
    return rc;
}

int vdi_open(struct imgi_node *node, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    int rc = read_header(node, err);

    if (rc == 0)
        rc = read_map(node, err);
    if (rc == 0)
        rc = vdi_find_used(node, err);
    if (rc == 0)
        rc = judge_end(node, err);
    if (rc < 0)
        return rc;
    node->size = vdi_disk_bytes(&state->header);
    node->cluster_size = state->header.block_size;
    node->reads_zero = true;
    return 0;
}

void vdi_close(struct imgi_node *node)
{
    struct vdi_state *state = vdi_state(node);

    free(state->map);
    free(state->dirty);
    free(state->used);
    free(state->shared);
}

/*
 * A child knows its parent by the UUID of its content, which is another one from now on. And a
 * header that counted too few blocks counts all of them, before there are more.
 */
int vdi_begin_write(struct imgi_node *node, img_error *err)
{
    struct vdi_header *header = &vdi_state(node)->header;
    uint64_t seed = imgi_ident_fresh(imgi_get_le64(header->uuid_modify));

    imgi_ident_uuid(&seed, header->uuid_modify);
    imgi_uuid_swap(header->uuid_modify);
    header->blocks_allocated = IMGI_MAX(header->blocks_allocated, vdi_state(node)->next);
    return vdi_header_write(node, err);
}
