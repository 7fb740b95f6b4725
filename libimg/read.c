/*
 * Reading: from extents to bytes, through the chain. SPDX-License-Identifier: BSD-2-Clause
 *
 * In a node that can be written, a range is held shared from its map to the end
 * of its read, so that no cluster moves in between.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

void imgi_scratch_clear(struct imgi_scratch *scratch)
{
    imgi_unpacker_free(scratch->unpacker);
    free(scratch->packed);
    free(scratch->cluster);
    *scratch = (struct imgi_scratch){0};
}

static int grow(uint8_t **buffer, size_t *size, size_t wanted, img_error *err)
{
    uint8_t *larger;

    if (*size >= wanted)
        return 0;
    larger = realloc(*buffer, wanted);
    if (!larger)
        return imgi_fail_nomem(err, "a compressed cluster");
    *buffer = larger;
    *size = wanted;
    return 0;
}

/* The guest bytes that a packed extent's stored form makes: a cluster or what the driver says. */
static struct imgi_extent unit_of(const struct imgi_node *node, const struct imgi_extent *extent)
{
    struct imgi_extent unit = *extent;

    if (unit.unit_length == 0) {
        unit.unit = imgi_align_down(extent->offset, node->cluster_size);
        unit.unit_length = node->cluster_size;
    }
    return unit;
}

/* Fetch the stored form of a unit and unpack it into out, all of it. */
static int unpack_unit(struct imgi_node *node, const struct imgi_extent *extent, uint8_t *out,
                       struct imgi_scratch *scratch, img_error *err)
{
    size_t stored = (size_t)extent->stored, length = (size_t)extent->unit_length;
    int rc = 0;

    if (extent->stored > 2 * extent->unit_length + 4096)
        return imgi_fail(err, IMG_E_CORRUPT, "a compressed cluster of %llu bytes",
                         (unsigned long long)extent->stored);
    if (!scratch->unpacker)
        rc = imgi_unpacker_new(&scratch->unpacker, err);
    if (rc == 0)
        rc = grow(&scratch->packed, &scratch->packed_size, stored, err);
    if (rc == 0)
        rc = imgi_io_read(extent->io, scratch->packed, stored, extent->host, err);
    if (rc < 0)
        return rc;
    if (node->driver->unpack)
        return node->driver->unpack(node, scratch->unpacker, extent, scratch->packed, stored, out,
                                    length, err);
    return imgi_unpack(scratch->unpacker, node->pack.codec, scratch->packed, stored, out, length,
                       NULL, err);
}

/* A part of a unit, by way of scratch->cluster. */
static int read_packed_part(struct imgi_node *node, const struct imgi_extent *extent,
                            uint8_t *buffer, struct imgi_scratch *scratch, img_error *err)
{
    int rc = 0;

    if (scratch->cached != node || scratch->cached_offset != extent->unit) {
        scratch->cached = NULL;
        rc = grow(&scratch->cluster, &scratch->cluster_size, (size_t)extent->unit_length, err);
        if (rc == 0)
            rc = unpack_unit(node, extent, scratch->cluster, scratch, err);
        if (rc < 0)
            return rc;
        if (!node->writable) {
            scratch->cached = node;
            scratch->cached_offset = extent->unit;
        }
    }
    memcpy(buffer, scratch->cluster + (extent->offset - extent->unit), (size_t)extent->length);
    return rc;
}

static int read_packed(struct imgi_node *node, const struct imgi_extent *extent, uint8_t *buffer,
                       struct imgi_scratch *scratch, img_error *err)
{
    struct imgi_extent unit = unit_of(node, extent);
    int rc;

    if (unit.length == unit.unit_length)
        rc = unpack_unit(node, &unit, buffer, scratch, err);
    else
        rc = read_packed_part(node, &unit, buffer, scratch, err);
    if (rc < 0)
        imgi_error_place(err, "compressed cluster of the guest's bytes at 0x%llx",
                         (unsigned long long)extent->offset);
    return rc;
}

/* Bytes that this node does not have: those of the image below, as far as it reaches. */
static int read_absent(struct imgi_node *node, const struct imgi_extent *extent, uint8_t *buffer,
                       struct imgi_scratch *scratch, img_error *err)
{
    return imgi_node_read_padded(node->backing, extent->offset, buffer, (size_t)extent->length,
                                 scratch, err);
}

static int read_extent(struct imgi_node *node, const struct imgi_extent *extent, uint8_t *buffer,
                       struct imgi_scratch *scratch, img_error *err)
{
    int rc = 0;

    switch (extent->kind) {
    case IMGI_DATA:
        return imgi_stored_read(node, extent, buffer, err);
    case IMGI_PACKED:
        return read_packed(node, extent, buffer, scratch, err);
    case IMGI_ABSENT:
        return read_absent(node, extent, buffer, scratch, err);
    case IMGI_ZERO:
        memset(buffer, 0, (size_t)extent->length);
        return 0;
    case IMGI_OPAQUE:
        pthread_mutex_lock(&node->lock);
        rc = node->driver->read(node, extent->offset, buffer, (size_t)extent->length, err);
        pthread_mutex_unlock(&node->lock);
        break;
    }
    return rc;
}

int imgi_node_read_held(struct imgi_node *node, uint64_t offset, void *buffer, size_t length,
                        struct imgi_scratch *scratch, img_error *err)
{
    uint8_t *out = buffer;
    int rc = 0;

    while (length > 0) {
        struct imgi_extent extent;

        rc = imgi_node_map(node, offset, length, &extent, err);
        if (rc == 0)
            rc = read_extent(node, &extent, out, scratch, err);
        if (rc < 0) {
            imgi_error_image(err, node->name);
            return rc;
        }
        out += extent.length;
        offset += extent.length;
        length -= (size_t)extent.length;
    }
    return 0;
}

int imgi_node_read(struct imgi_node *node, uint64_t offset, void *buffer, size_t length,
                   struct imgi_scratch *scratch, img_error *err)
{
    struct imgi_range range;
    int rc;

    if (!node->ranges)
        return imgi_node_read_held(node, offset, buffer, length, scratch, err);
    imgi_ranges_take(node->ranges, &range, imgi_align_down(offset, imgi_stored_unit(node)),
                     imgi_align_up(offset + length, imgi_stored_unit(node)), false);
    rc = imgi_node_read_held(node, offset, buffer, length, scratch, err);
    imgi_ranges_release(node->ranges, &range);
    return rc;
}

int imgi_node_read_padded(struct imgi_node *node, uint64_t offset, void *buffer, size_t length,
                          struct imgi_scratch *scratch, img_error *err)
{
    size_t present = 0;

    if (node && offset < node->size)
        present = (size_t)IMGI_MIN(length, node->size - offset);
    memset((uint8_t *)buffer + present, 0, length - present);
    return present ? imgi_node_read(node, offset, buffer, present, scratch, err) : 0;
}
