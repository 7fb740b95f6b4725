/*
 * The block map: which block lies where. SPDX-License-Identifier: BSD-2-Clause
 *
 * Order on disk: the blocks' data, then the header, whose number of allocated blocks counts them,
 * then the map that names them, with a flush between. A crash leaves blocks that are counted and
 * that nobody names. The change of a block that has its place already touches no metadata.
 */
#include "vdi.h"

/* What an entry means: an imgi_cluster_fn. */
static int look_up(struct imgi_node *node, uint64_t block, struct imgi_cluster *found,
                   img_error *err)
{
    const struct vdi_state *state = vdi_state(node);
    uint32_t place = vdi_entry(state, (uint32_t)block);
    bool child = state->header.type == VDI_TYPE_DIFFERENCING;

    found->kind = place == VDI_ENTRY_ABSENT && child ? IMGI_ABSENT : IMGI_ZERO;
    if (place >= VDI_ENTRY_DISCARD)
        return 0;
    found->kind = IMGI_DATA;
    found->host = vdi_host(state, place);
    if (place >= state->next || place >= state->places)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "block map: entry %llu: place %u is behind the %u allocated blocks that "
                         "the file has",
                         (unsigned long long)block, place, IMGI_MIN(state->next, state->places));
    if (vdi_bit(state->shared, place))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "block map: entry %llu: place %u belongs to another block, too",
                         (unsigned long long)block, place);
    return 0;
}

/* The parent has no name in the file; when it is first needed, it must be there and the right one.
 */
static int judge_parent(struct imgi_node *node, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    const struct imgi_node *parent = node->backing;
    const struct vdi_header *above = &state->header, *below;

    if (state->parent_judged)
        return 0;
    if (!parent)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "a differencing VDI image does not name its parent: open it with "
                         "--image-opts and backing.driver=vdi,backing.file.filename=...");
    if (parent->driver != node->driver)
        return imgi_fail(err, IMG_E_CORRUPT, "the parent %s is no VDI image but %s", parent->name,
                         parent->driver->name);
    below = &vdi_state(parent)->header;
    if (memcmp(above->uuid_link, below->uuid_image, IMGI_UUID_BYTES) != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "the parent %s is another image: its UUID differs",
                         parent->name);
    if (memcmp(above->uuid_parent, below->uuid_modify, IMGI_UUID_BYTES) != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the parent %s was changed after this image was made: the UUID of its "
                         "content differs",
                         parent->name);
    state->parent_judged = true;
    return 0;
}

/* Holes of a static image are zeros, but not where the file has been cut. */
static int say_data(struct imgi_node *node, struct imgi_extent *run, img_error *err)
{
    uint64_t file_size;
    int rc = imgi_io_size(node->file, &file_size, err);

    run->flags = node->writable ? IMGI_EXTENT_INPLACE : 0;
    if (rc == 0 && vdi_state(node)->header.type == VDI_TYPE_STATIC &&
        imgi_span_ok(run->host, run->length, file_size))
        run->flags |= IMGI_EXTENT_HOLES;
    return rc;
}

int vdi_map(struct imgi_node *node, uint64_t offset, uint64_t length, struct imgi_extent *run,
            img_error *err)
{
    int rc;

    run->offset = offset;
    run->length = length;
    rc = imgi_map_clusters(node, node->cluster_size, look_up, run, err);
    if (rc == 0 && run->kind == IMGI_ABSENT)
        rc = judge_parent(node, err);
    if (rc == 0 && run->kind == IMGI_DATA)
        rc = say_data(node, run, err);
    return rc;
}

/* ----------------------------------------------------------------------- changes */

void vdi_entry_set(struct vdi_state *state, uint32_t block, uint32_t value)
{
    imgi_put_le32(state->map + 4 * (size_t)block, value);
    state->dirty[4 * (size_t)block / VDI_MAP_UNIT] = 1;
    state->changed = true;
}

/* Places for so many blocks, in one run: behind all others, or one that was lost in a crash. */
static uint32_t take_places(struct vdi_state *state, uint32_t *count)
{
    uint32_t first = state->next;

    if (first < state->header.blocks) {
        *count = IMGI_MIN(*count, state->header.blocks - first);
        state->next += *count;
    } else {
        *count = 1;
        for (first = 0; vdi_bit(state->used, first);)
            first++;
    }
    for (uint32_t i = 0; i < *count; i++)
        vdi_bit_set(state->used, first + i);
    return first;
}

/*
 * What is not written of a new block reads as zeros: it is a hole, except in a child, where the
 * core brings the parent's data.
 */
static int clear_places(struct imgi_node *node, struct imgi_alloc *alloc, uint64_t bytes,
                        img_error *err)
{
    bool whole = alloc->from <= alloc->offset && alloc->to >= alloc->offset + bytes;

    if (whole || vdi_state(node)->header.type == VDI_TYPE_DIFFERENCING)
        return 0;
    alloc->fill_from = IMGI_MAX(alloc->fill_from, alloc->from);
    alloc->fill_to = IMGI_MIN(alloc->fill_to, alloc->to);
    return imgi_io_zero(node->file, alloc->host, bytes, true, err);
}

int vdi_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    uint64_t size = state->header.block_size;
    uint32_t count = (uint32_t)imgi_div_up(alloc->length, size);
    uint32_t place = take_places(state, &count);
    int rc;

    alloc->length = IMGI_MIN(alloc->length, count * size);
    alloc->io = node->file;
    alloc->host = vdi_host(state, place);
    alloc->cookie[0] = place;
    rc = clear_places(node, alloc, count * size, err);
    if (rc < 0)
        vdi_cancel(node, alloc);
    return rc;
}

int vdi_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    uint32_t size = state->header.block_size, place = (uint32_t)alloc->cookie[0];
    uint32_t block = (uint32_t)(alloc->offset / size);
    uint32_t end = place + (uint32_t)imgi_div_up(alloc->length, size);

    (void)err;
    state->header.blocks_allocated = IMGI_MAX(state->header.blocks_allocated, end);
    for (; place < end; place++, block++)
        vdi_entry_set(state, block, place);
    return 0;
}

void vdi_cancel(struct imgi_node *node, const struct imgi_alloc *alloc)
{
    struct vdi_state *state = vdi_state(node);
    uint32_t place = (uint32_t)alloc->cookie[0];
    uint32_t end = place + (uint32_t)imgi_div_up(alloc->length, state->header.block_size);

    for (uint32_t i = place; i < end; i++)
        vdi_bit_clear(state->used, i);
    if (end == state->next && place >= state->header.blocks_allocated)
        state->next = place;
}

int vdi_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    uint64_t size = state->header.block_size;
    int rc = 0;

    while (rc == 0 && length > 0) {
        uint32_t block = (uint32_t)(offset / size);
        uint64_t step = IMGI_MIN(length, size);
        struct imgi_cluster found = {0};

        rc = look_up(node, block, &found, err);
        if (rc == 0 && found.kind == IMGI_DATA)
            rc = imgi_io_zero(node->file, found.host, step, unmap, err);
        else if (rc == 0 && found.kind == IMGI_ABSENT)
            vdi_entry_set(state, block, VDI_ENTRY_DISCARD);
        offset += step;
        length -= step;
    }
    return rc;
}

int vdi_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err)
{
    int rc = 0;

    while (rc == 0 && length > 0) {
        struct imgi_extent run = {0};

        rc = vdi_map(node, offset, length, &run, err);
        if (rc == 0 && run.kind == IMGI_DATA)
            rc = imgi_io_discard(node->file, run.host, run.length, err);
        offset += run.length;
        length -= run.length;
    }
    return rc;
}

/* -------------------------------------------------------------------- order on disk */

int vdi_header_write(struct imgi_node *node, img_error *err)
{
    struct vdi_state *state = vdi_state(node);

    vdi_header_encode(&state->header, state->head);
    return imgi_io_write(node->file, state->head, VDI_HEADER_BYTES, 0, err);
}

/* Neighbours in one call. */
static int write_map(struct imgi_node *node, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    size_t units = vdi_map_bytes(state->header.blocks) / VDI_MAP_UNIT, end;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < units; i = end) {
        end = i + 1;
        if (!state->dirty[i])
            continue;
        while (end < units && state->dirty[end])
            end++;
        rc = imgi_io_write(
            node->file, state->map + i * VDI_MAP_UNIT,
            IMGI_MIN((end - i) * VDI_MAP_UNIT, 4 * (size_t)state->header.blocks - i * VDI_MAP_UNIT),
            state->header.offset_bmap + i * VDI_MAP_UNIT, err);
        if (rc == 0)
            memset(state->dirty + i, 0, end - i);
    }
    return rc;
}

int vdi_flush(struct imgi_node *node, img_error *err)
{
    struct vdi_state *state = vdi_state(node);
    int rc;

    if (!state->changed)
        return 0;
    rc = imgi_io_flush(node->file, err);
    if (rc == 0)
        rc = vdi_header_write(node, err);
    if (rc == 0)
        rc = imgi_io_flush(node->file, err);
    if (rc == 0)
        rc = write_map(node, err);
    if (rc == 0)
        state->changed = false;
    return rc;
}
