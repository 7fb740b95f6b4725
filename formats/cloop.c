/*
 * cloop: compressed loop devices, version 2, as live CDs have them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Big-endian. A shell script, padded to 128 bytes, the size and the number of the blocks, the
 * place of each block and the end of the last, and the blocks, each a zlib stream of its own.
 */
#include <stdlib.h>

#include "driver.h"

#define MAGIC "#!/bin/sh\n#V2.0 Format\n"
#define PREAMBLE_BYTES 128
#define HEADER_BYTES (PREAMBLE_BYTES + 8)
#define SECTOR 512u
#define BLOCKS_MAX (UINT32_MAX / 8) /* as QEMU has it */

/* Constant after open. */
struct cloop {
    uint64_t file_size;
    uint32_t block_size, blocks;
    uint8_t *offsets; /* blocks + 1, big-endian, as in the file */
};

static bool has_magic(const uint8_t *bytes)
{
    return memcmp(bytes, MAGIC, strlen(MAGIC)) == 0;
}

static int cloop_probe(const struct imgi_probe *probe)
{
    return probe->length >= HEADER_BYTES && has_magic(probe->head) ? 100 : 0;
}

/* ------------------------------------------------------------------- open */

static int read_header(struct imgi_node *node, struct cloop *cloop, img_error *err)
{
    uint8_t bytes[HEADER_BYTES];
    int rc = imgi_io_size(node->file, &cloop->file_size, err);

    if (rc == 0 && cloop->file_size < sizeof(bytes))
        return imgi_fail(err, IMG_E_FORMAT, "Image not in cloop format: the file has %llu bytes",
                         (unsigned long long)cloop->file_size);
    if (rc == 0)
        rc = imgi_io_read(node->file, bytes, sizeof(bytes), 0, err);
    if (rc == 0 && !has_magic(bytes))
        rc = imgi_fail(err, IMG_E_FORMAT, "Image not in cloop format, version 2");
    if (rc < 0)
        return rc;
    cloop->block_size = imgi_get_be32(bytes + PREAMBLE_BYTES);
    cloop->blocks = imgi_get_be32(bytes + PREAMBLE_BYTES + 4);
    if (cloop->block_size == 0)
        return imgi_fail(err, IMG_E_CORRUPT, "block_size cannot be zero");
    if (cloop->block_size % SECTOR != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "block_size %u must be a multiple of %u",
                         cloop->block_size, SECTOR);
    if (cloop->block_size > IMGI_UNIT_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "block_size %u must be %u MB or less", cloop->block_size,
                         IMGI_UNIT_MAX >> 20);
    if (cloop->blocks > BLOCKS_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "n_blocks %u must be %u or less", cloop->blocks,
                         BLOCKS_MAX);
    return 0;
}

static uint64_t offset_of(const struct cloop *cloop, uint64_t block)
{
    return imgi_get_be64(cloop->offsets + 8 * block);
}

/* Blocks follow one another behind the table. */
static int check_offsets(const struct cloop *cloop, img_error *err)
{
    uint64_t end = HEADER_BYTES + 8 * ((uint64_t)cloop->blocks + 1);

    if (offset_of(cloop, 0) < end)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the first block lies at 0x%llx, in the table of offsets, image file is "
                         "corrupt",
                         (unsigned long long)offset_of(cloop, 0));
    for (uint32_t i = 1; i <= cloop->blocks; i++) {
        if (offset_of(cloop, i) <= offset_of(cloop, i - 1))
            return imgi_fail(err, IMG_E_CORRUPT,
                             "offsets not monotonically increasing at index %u, image file is "
                             "corrupt",
                             i);
    }
    return 0;
}

static int cloop_open(struct imgi_node *node, img_error *err)
{
    struct cloop *cloop = node->state;
    struct imgi_table table = {.what = "table of offsets", .offset = HEADER_BYTES, .entry_size = 8};
    int rc = read_header(node, cloop, err);

    if (rc < 0)
        return rc;
    node->size = (uint64_t)cloop->blocks * cloop->block_size;
    node->pack.codec = IMGI_CODEC_ZLIB;
    table.entries = (uint64_t)cloop->blocks + 1;
    rc = imgi_node_read_table(node, &table, &cloop->offsets, err);
    return rc < 0 ? rc : check_offsets(cloop, err);
}

static void cloop_close(struct imgi_node *node)
{
    free(((struct cloop *)node->state)->offsets);
}

/* ---------------------------------------------------------------- address */

/* What the file's end cuts off is for those who read the block to notice. */
static int lookup(struct imgi_node *node, uint64_t index, struct imgi_cluster *found,
                  img_error *err)
{
    const struct cloop *cloop = node->state;
    uint64_t end = IMGI_MIN(offset_of(cloop, index + 1), cloop->file_size);

    (void)err;
    found->kind = IMGI_PACKED;
    found->host = offset_of(cloop, index);
    found->stored = found->host < end ? end - found->host : 0;
    return 0;
}

static int cloop_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                     struct imgi_extent *extent, img_error *err)
{
    const struct cloop *cloop = node->state;

    extent->offset = offset;
    extent->length = length;
    return imgi_map_clusters(node, cloop->block_size, lookup, extent, err);
}

const struct imgi_driver imgi_driver_cloop = {
    .name = "cloop",
    .read_only = true,
    .brief_info = true,
    .state_size = sizeof(struct cloop),
    .probe = cloop_probe,
    .open = cloop_open,
    .close = cloop_close,
    .map = cloop_map,
};
