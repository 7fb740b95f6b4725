/*
 * Writing headers and descriptors back. SPDX-License-Identifier: BSD-2-Clause
 *
 * A header is one sector, which a disk writes as a whole: it is the switch by which an image with
 * an embedded descriptor becomes another one. A new text is first put behind everything else, then
 * the header names that place, then the text goes where it was, and the header names that again:
 * whenever the machine stops there is one whole text that the header names. A descriptor of its own
 * is replaced as a file.
 */
#include <stdlib.h>

#include "vmdk.h"

int vmdk_header_store(const struct vmdk_sparse *sparse, img_error *err)
{
    struct vmdk_header header = sparse->header;
    uint8_t bytes[VMDK_HEADER_BYTES];
    int rc;

    if (sparse->cowd)
        return vmdk_cowd_store(sparse, err);
    rc = imgi_io_read(sparse->io, bytes, sizeof(bytes), 0, err);
    if (rc < 0)
        return rc;
    if (sparse->has_footer)
        header.gd_offset = VMDK_GD_AT_END;
    vmdk_header_put(&header, bytes);
    return imgi_io_write(sparse->io, bytes, sizeof(bytes), 0, err);
}

/* The text, on disk, with nothing behind it in its room. */
static int put_text(struct imgi_io *io, const struct vmdk_descriptor *text, uint64_t offset,
                    uint64_t room, img_error *err)
{
    int rc = imgi_io_write(io, text->text, text->length, offset, err);

    if (rc == 0 && room > text->length)
        rc = imgi_io_zero(io, offset + text->length, room - text->length, false, err);
    return rc < 0 ? rc : imgi_io_flush(io, err);
}

/* Let the header name that room, and have it on disk. Memory follows when it is. */
static int name_room(struct vmdk_state *state, struct vmdk_sparse *sparse, uint64_t offset,
                     uint64_t room, uint64_t capacity, img_error *err)
{
    const struct vmdk_header old = sparse->header;
    int rc;

    sparse->header.descriptor_offset = offset / VMDK_SECTOR;
    sparse->header.descriptor_size = room / VMDK_SECTOR;
    sparse->header.capacity = capacity;
    rc = vmdk_header_store(sparse, err);
    if (rc == 0)
        rc = imgi_io_flush(sparse->io, err);
    if (rc < 0) {
        sparse->header = old;
        return rc;
    }
    state->descriptor_offset = offset;
    state->descriptor_room = room;
    return 0;
}

/* The place behind everything else is free again. */
static int give_back(struct vmdk_sparse *sparse, uint64_t offset, uint64_t file_size,
                     img_error *err)
{
    sparse->next = offset;
    return imgi_io_resize(sparse->io, file_size, IMGI_PREALLOC_OFF, err);
}

/* What was a change is the image now. */
static void adopt(struct vmdk_state *state, struct vmdk_descriptor *text)
{
    vmdk_descriptor_free(&state->descriptor);
    state->descriptor = *text;
    *text = (struct vmdk_descriptor){0};
}

/* The text is on disk behind everything else: put it where the old one is. */
static int bring_home(struct vmdk_state *state, struct vmdk_sparse *sparse, uint64_t home,
                      uint64_t room, img_error *err)
{
    int rc = put_text(sparse->io, &state->descriptor, home, room, err);

    return rc < 0 ? rc : name_room(state, sparse, home, room, sparse->header.capacity, err);
}

static int store_embedded(struct vmdk_state *state, struct vmdk_descriptor *text, uint64_t capacity,
                          img_error *err)
{
    struct vmdk_sparse *sparse = state->extents[0].sparse;
    uint64_t home = state->descriptor_offset, room = state->descriptor_room;
    uint64_t bytes = imgi_align_up(text->length, VMDK_SECTOR), away, file_size;
    int rc = imgi_io_size(sparse->io, &file_size, err);

    if (rc == 0)
        rc = vmdk_sparse_append(sparse, imgi_align_up(bytes, sparse->grain), &away, err);
    if (rc == 0)
        rc = put_text(sparse->io, text, away, bytes, err);
    if (rc == 0)
        rc = name_room(state, sparse, away, bytes, capacity, err);
    if (rc < 0)
        return rc;
    adopt(state, text);
    /* A text that is too long for its old place stays in the new one. */
    if (state->descriptor.length > room)
        return 0;
    rc = bring_home(state, sparse, home, room, err);
    return rc < 0 ? rc : give_back(sparse, away, file_size, err);
}

int vmdk_descriptor_store(struct imgi_node *node, struct vmdk_descriptor *text, uint64_t capacity,
                          img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    int rc;

    if (state->descriptor_room != 0)
        return store_embedded(state, text, capacity, err);
    rc = imgi_io_replace(node->file, text->text, text->length, err);
    if (rc == 0)
        adopt(state, text);
    return rc;
}

int vmdk_descriptor_update(struct imgi_node *node, struct vmdk_descriptor *text, img_error *err)
{
    const struct vmdk_sparse *sparse = vmdk_state(node)->extents[0].sparse;

    return vmdk_descriptor_store(node, text, sparse ? sparse->header.capacity : 0, err);
}

bool vmdk_descriptor_is_stored(const struct imgi_node *node)
{
    const struct vmdk_state *state = vmdk_state(node);
    const struct vmdk_descriptor *text = &state->descriptor;
    uint64_t size;
    char *bytes;
    bool same;

    if (imgi_io_size(node->file, &size, NULL) < 0 || size < state->descriptor_offset + text->length)
        return false;
    bytes = malloc(text->length);
    same = bytes &&
           imgi_io_read(node->file, bytes, text->length, state->descriptor_offset, NULL) == 0 &&
           memcmp(bytes, text->text, text->length) == 0;
    free(bytes);
    return same;
}

int vmdk_descriptor_overwrite(struct imgi_node *node, struct vmdk_descriptor *text, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    int rc;

    if (text->length != state->descriptor.length)
        return vmdk_descriptor_update(node, text, err);
    rc = imgi_io_write(node->file, text->text, text->length, state->descriptor_offset, err);
    if (rc == 0)
        rc = imgi_io_flush(node->file, err);
    if (rc == 0)
        adopt(state, text);
    return rc;
}
