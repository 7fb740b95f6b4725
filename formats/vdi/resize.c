/*
 * Making a VDI image larger. SPDX-License-Identifier: BSD-2-Clause
 *
 * New entries are on disk before the header says that there are more. Where the map has no room,
 * the first blocks make place for a longer one: they are moved to the end, the new map is written
 * where they were, and the header, one sector, says at once where map and blocks begin now. A crash
 * before that leaves the old size, and places that nobody has.
 */
#include <stdlib.h>

#include "vdi.h"

static int judge_size(const struct imgi_node *node, uint64_t size, img_error *err)
{
    const struct vdi_header *header = &vdi_state(node)->header;
    uint64_t blocks = imgi_div_up(size, header->block_size);

    if (size < node->size)
        return imgi_fail(err, IMG_E_INVAL, "a VDI image can only be made larger");
    if (header->type == VDI_TYPE_DIFFERENCING)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "a differencing VDI image has the size of its parent");
    if (blocks > VDI_BLOCKS_MAX)
        return imgi_fail(err, IMG_E_INVAL, "a VDI image has %u blocks of %u bytes at most",
                         VDI_BLOCKS_MAX, header->block_size);
    return imgi_policy_limit(node->policy, IMG_LIMIT_TABLE_BYTES, 4 * blocks, "block map", err);
}

/* The rest of the block that the disk's end cuts; who shares a place cannot read it anyhow. */
static int clear_rest(struct imgi_node *node, img_error *err)
{
    const struct vdi_state *state = vdi_state(node);
    uint32_t size = state->header.block_size, block = (uint32_t)(node->size / size), place;
    uint64_t inside = node->size % size;

    if (inside == 0)
        return 0;
    place = vdi_entry(state, block);
    if (place >= VDI_ENTRY_DISCARD || vdi_bit(state->shared, place))
        return 0;
    return imgi_io_zero(node->file, vdi_host(state, place) + inside, size - inside, true, err);
}

/*
 * The space needs nothing, but blocks behind the disk's end, of one that was larger once, would
 * show what they hold.
 */
int vdi_reach(struct imgi_node *node, uint64_t size, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    uint32_t block = (uint32_t)imgi_div_up(node->size, state->header.block_size);
    int rc = judge_size(node, size, err);

    if (rc == 0)
        rc = clear_rest(node, err);
    if (rc < 0)
        return rc;
    for (; block < state->header.blocks; block++)
        if (vdi_entry(state, block) != VDI_ENTRY_ABSENT)
            vdi_entry_set(state, block, VDI_ENTRY_ABSENT);
    rc = vdi_flush(node, err);
    return rc < 0 ? rc : imgi_io_flush(node->file, err);
}

/* What header and map will be; nobody sees them before they are on disk. */
struct plan {
    struct imgi_node *node;
    struct vdi_header header;
    uint8_t *map;
};

/* Move the blocks of the first `count` places behind all others, on disk. */
static int free_front(struct imgi_node *node, uint32_t count, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    int rc = 0;

    state->next = IMGI_MAX(state->next, count);
    for (uint32_t block = 0; rc == 0 && block < state->header.blocks; block++)
        if (vdi_entry(state, block) < count)
            rc = vdi_move_block(node, block, state->next, err);
    if (rc == 0)
        rc = vdi_flush(node, err);
    return rc < 0 ? rc : imgi_io_flush(node->file, err);
}

/* Let the map begin where the first blocks are. */
static int choose_places(struct plan *plan, uint32_t *shift, img_error *err)
{
    struct vdi_header *header = &plan->header;
    uint64_t bytes = vdi_map_bytes(header->blocks);
    uint32_t count = (uint32_t)imgi_div_up(bytes, header->block_size);
    int rc;

    *shift = 0;
    if (imgi_span_ok(header->offset_bmap, bytes, header->offset_data))
        return 0;
    if (header->offset_data + (uint64_t)count * header->block_size > UINT32_MAX)
        return imgi_fail(err, IMG_E_NOSPACE, "the block map has no room for %u blocks",
                         header->blocks);
    rc = free_front(plan->node, count, err);
    *shift = count;
    header->offset_bmap = header->offset_data;
    header->offset_data += count * header->block_size;
    header->blocks_allocated = vdi_state(plan->node)->header.blocks_allocated;
    header->blocks_allocated -= IMGI_MIN(header->blocks_allocated, count);
    return rc;
}

/* Places are counted from the first block on, and that begins `shift` places later. */
static int make_map(struct plan *plan, uint32_t shift, img_error *err)
{
    const struct vdi_state *state = vdi_state(plan->node);
    size_t bytes = vdi_map_bytes(plan->header.blocks);

    plan->map = malloc(IMGI_MAX(bytes, 1u));
    if (!plan->map)
        return imgi_fail_nomem(err, "a block map");
    memset(plan->map, 0xff, bytes);
    for (uint32_t block = 0; block < state->header.blocks; block++) {
        uint32_t place = vdi_entry(state, block);

        imgi_put_le32(plan->map + 4 * (size_t)block,
                      place < VDI_ENTRY_DISCARD ? place - shift : place);
    }
    return 0;
}

/* A static image has all its blocks: the new ones too. */
static int add_blocks(struct plan *plan, enum img_preallocation mode, img_error *err)
{
    struct vdi_header *header = &plan->header;
    uint32_t block = vdi_state(plan->node)->header.blocks;

    for (; block < header->blocks; block++)
        imgi_put_le32(plan->map + 4 * (size_t)block, header->blocks_allocated++);
    return imgi_io_resize(plan->node->file,
                          header->offset_data +
                              (uint64_t)header->blocks_allocated * header->block_size,
                          imgi_file_prealloc(mode), err);
}

/* The map, then the header that leads to it. */
static int write_plan(struct plan *plan, img_error *err)
{
    struct vdi_state *state = vdi_state(plan->node);
    struct vdi_header old = state->header;
    size_t bytes = vdi_map_bytes(plan->header.blocks);
    int rc = imgi_io_write(plan->node->file, plan->map, bytes, plan->header.offset_bmap, err);

    if (rc == 0)
        rc = imgi_io_flush(plan->node->file, err);
    if (rc < 0)
        return rc;
    state->header = plan->header;
    rc = vdi_header_write(plan->node, err);
    if (rc == 0)
        rc = imgi_io_flush(plan->node->file, err);
    if (rc < 0)
        state->header = old;
    return rc;
}

/* Go on with the new map. */
static int adopt(struct plan *plan, img_error *err)
{
    struct vdi_state *state = vdi_state(plan->node);
    uint8_t *dirty = calloc(1, vdi_map_bytes(plan->header.blocks) / VDI_MAP_UNIT + 1);

    free(state->map);
    state->map = plan->map;
    plan->map = NULL;
    if (!dirty)
        return imgi_fail_nomem(err, "a block map");
    free(state->dirty);
    state->dirty = dirty;
    plan->node->size = vdi_disk_bytes(&state->header);
    return vdi_find_used(plan->node, err);
}

static int grow(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err)
{
    struct plan plan = {.node = node, .header = vdi_state(node)->header};
    struct vdi_header *header = &plan.header;
    uint32_t shift = 0;
    int rc = vdi_flush(node, err);

    header->blocks = IMGI_MAX(header->blocks, (uint32_t)imgi_div_up(size, header->block_size));
    header->disk_size = imgi_align_up(size, VDI_SECTOR);
    if (rc == 0)
        rc = choose_places(&plan, &shift, err);
    if (rc == 0)
        rc = make_map(&plan, shift, err);
    if (rc == 0 && header->type == VDI_TYPE_STATIC)
        rc = add_blocks(&plan, mode, err);
    if (rc == 0)
        rc = write_plan(&plan, err);
    if (rc == 0)
        rc = adopt(&plan, err);
    free(plan.map);
    return rc;
}

int vdi_can_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                   img_error *err)
{
    int rc = judge_size(node, size, err);

    if (rc == 0 && mode != IMG_PREALLOC_OFF && vdi_state(node)->header.type != VDI_TYPE_STATIC)
        rc = imgi_fail(err, IMG_E_INVAL, "only static VDI images can be preallocated");
    return rc;
}

int vdi_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err)
{
    return grow(node, size, mode, err);
}
