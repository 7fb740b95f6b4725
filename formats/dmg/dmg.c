/*
 * The driver for DMG: opening it, and the way from a sector to its chunk.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "dmg.h"

#include <stdlib.h>

static int dmg_probe(const struct imgi_probe *probe)
{
    return probe->tail && dmg_trailer_looks_like(probe->tail) ? 80 : 0;
}

/* ------------------------------------------------------------------- open */

static int read_trailer(struct imgi_node *node, struct dmg *dmg, img_error *err)
{
    uint8_t bytes[DMG_TRAILER_BYTES] = {0};
    int rc = imgi_io_size(node->file, &dmg->file_size, err);

    if (rc == 0 && dmg->file_size >= sizeof(bytes))
        rc = imgi_io_read(node->file, bytes, sizeof(bytes), dmg->file_size - sizeof(bytes), err);
    if (rc < 0)
        return rc;
    if (imgi_get_be32(bytes) != DMG_TRAILER_MAGIC)
        return imgi_fail(err, IMG_E_FORMAT, "Could not locate UDIF trailer in dmg file");
    dmg_trailer_decode(bytes, &dmg->trailer);
    return dmg_trailer_check(&dmg->trailer, dmg->file_size, err);
}

/* The disk ends with its last chunk, as QEMU has it, or where the trailer says, if that is later.
 */
static uint64_t disk_sectors(const struct dmg *dmg)
{
    const struct dmg_chunk *last;

    if (dmg->chunk_count == 0)
        return dmg->trailer.sectors;
    last = &dmg->chunks[dmg->chunk_count - 1];
    return IMGI_MAX(dmg->trailer.sectors, last->sector + last->sectors);
}

static int dmg_open(struct imgi_node *node, img_error *err)
{
    struct dmg *dmg = dmg_of(node);
    int rc = read_trailer(node, dmg, err);

    if (rc == 0 && dmg->trailer.resource_length > 0)
        rc = dmg_resources_read(node, err);
    else if (rc == 0)
        rc = dmg_plist_read(node, err);
    if (rc == 0)
        rc = dmg_chunks_sort(dmg, err);
    if (rc == 0)
        node->size = disk_sectors(dmg) * DMG_SECTOR;
    return rc;
}

static void dmg_close(struct imgi_node *node)
{
    struct dmg *dmg = dmg_of(node);

    for (size_t i = 0; i < dmg->partition_count; i++)
        free(dmg->partitions[i].name);
    free(dmg->partitions);
    free(dmg->chunks);
}

/* ---------------------------------------------------------------- address */

/* What a chunk says of the disk's bytes from the extent's offset on, which it holds. */
static void map_chunk(const struct imgi_node *node, const struct dmg_chunk *chunk,
                      struct imgi_extent *extent)
{
    const struct dmg *dmg = dmg_of(node);
    uint64_t start = chunk->sector * DMG_SECTOR, length = chunk->sectors * DMG_SECTOR;

    extent->length = IMGI_MIN(extent->length, start + length - extent->offset);
    if (chunk->type == DMG_ZERO || chunk->type == DMG_IGNORE) {
        extent->kind = IMGI_ZERO;
        return;
    }
    extent->io = node->file;
    extent->host = chunk->offset;
    if (chunk->type == DMG_RAW) {
        extent->kind = IMGI_DATA;
        extent->host += extent->offset - start;
        return;
    }
    /* What the file's end cuts off is for those who read it to notice. */
    extent->kind = IMGI_PACKED;
    extent->stored = IMGI_MIN(chunk->length, dmg->file_size - chunk->offset);
    extent->unit = start;
    extent->unit_length = length;
}

/* Whether a chunk is more of the zeros, or of the data, that an extent ends with. */
static bool continues(const struct dmg_chunk *chunk, const struct imgi_extent *extent)
{
    uint64_t end = extent->offset + extent->length;

    if (chunk->sector * DMG_SECTOR != end)
        return false;
    if (chunk->type == DMG_RAW)
        return extent->kind == IMGI_DATA && extent->host + extent->length == chunk->offset;
    return extent->kind == IMGI_ZERO && (chunk->type == DMG_ZERO || chunk->type == DMG_IGNORE);
}

static int dmg_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                   struct imgi_extent *extent, img_error *err)
{
    const struct dmg *dmg = dmg_of(node);
    size_t n = dmg_chunk_find(dmg, offset / DMG_SECTOR);
    uint64_t start = n < dmg->chunk_count ? dmg->chunks[n].sector * DMG_SECTOR : node->size;

    (void)err;
    extent->offset = offset;
    extent->length = length;
    if (offset < start) {
        /* No table says anything of it. */
        extent->kind = IMGI_ABSENT;
        extent->length = IMGI_MIN(length, start - offset);
        return 0;
    }
    map_chunk(node, &dmg->chunks[n], extent);
    while (extent->length < length && ++n < dmg->chunk_count && continues(&dmg->chunks[n], extent))
        extent->length += IMGI_MIN(dmg->chunks[n].sectors * DMG_SECTOR, length - extent->length);
    return 0;
}

static int dmg_unpack(const struct imgi_node *node, struct imgi_unpacker *unpacker,
                      const struct imgi_extent *extent, const void *in, size_t in_length, void *out,
                      size_t out_length, img_error *err)
{
    const struct dmg *dmg = dmg_of(node);
    const struct dmg_chunk *chunk = &dmg->chunks[dmg_chunk_find(dmg, extent->unit / DMG_SECTOR)];
    int rc =
        imgi_unpack(unpacker, dmg_codec(chunk->type), in, in_length, out, out_length, NULL, err);

    if (rc < 0)
        imgi_error_prefix(err, "%s", dmg_type_name(chunk->type));
    return rc;
}

const struct imgi_driver imgi_driver_dmg = {
    .name = "dmg",
    .read_only = true,
    .brief_info = true,
    .state_size = sizeof(struct dmg),
    .probe = dmg_probe,
    .open = dmg_open,
    .close = dmg_close,
    .map = dmg_map,
    .unpack = dmg_unpack,
    .check = dmg_check,
};
