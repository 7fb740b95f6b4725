/*
 * Trees of extents. SPDX-License-Identifier: BSD-2-Clause
 *
 * A search goes down from the root, one node a level. What it says of a block, data or hole, is
 * held to the part of the file that the nodes on the way are responsible for.
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <inttypes.h>
#include <string.h>

#define HEADER 12u
#define ENTRY 12u
#define MAGIC 0xf30au
#define DEPTH_MAX 5u
#define LENGTH_MAX 32768u /* more: an extent that reads as zeros */

/* A node on the way, and the blocks of the file that are its business. */
struct node {
    const uint8_t *bytes;
    unsigned entries, depth;
    uint64_t first, end;
};

static uint32_t key_of(const struct node *node, unsigned n)
{
    return imgi_get_le32(node->bytes + HEADER + (size_t)ENTRY * n);
}

/* What is in an index's entry: the next node's block. */
static uint64_t child_of(const struct node *node, unsigned n)
{
    const uint8_t *entry = node->bytes + HEADER + (size_t)ENTRY * n;

    return imgi_get_le32(entry + 4) | (uint64_t)imgi_get_le16(entry + 8) << 32;
}

/* Fill in what the header says of a node that has that many bytes. */
static int check_header(struct node *node, size_t size, ext2_ino_t number, img_error *err)
{
    unsigned max = imgi_get_le16(node->bytes + 4);

    node->entries = imgi_get_le16(node->bytes + 2);
    if (imgi_get_le16(node->bytes) != MAGIC || max > (size - HEADER) / ENTRY ||
        node->entries > max || imgi_get_le16(node->bytes + 6) != node->depth)
        return imgi_ext2_corrupt(err, "inode %" PRIu32 ": its extents are damaged", number);
    return 0;
}

/* The entry that block is under: the last one that does not begin behind it; -1: none. */
static int entry_of(const struct node *node, uint64_t block)
{
    unsigned low = 0, high = node->entries;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (key_of(node, middle) <= block)
            low = middle + 1;
        else
            high = middle;
    }
    return (int)low - 1;
}

/* Hold the node's part of the file to what is between an entry and the next one. */
static void narrow(struct node *node, int n)
{
    if (n >= 0)
        node->first = IMGI_MAX(node->first, key_of(node, (unsigned)n));
    if (n + 1 < (int)node->entries)
        node->end = IMGI_MIN(node->end, key_of(node, (unsigned)n + 1));
}

static int load_child(struct imgi_ext2_map *map, struct node *node, uint64_t place, img_error *err)
{
    struct imgi_ext2 *ext2 = map->ext2;
    bool is_new = map->node_place != place;
    int rc = imgi_ext2_map_node(map, place, &node->bytes, err);

    node->depth--;
    if (rc == 0)
        rc = check_header(node, ext2->fs->blocksize, map->number, err);
    if (rc == 0 && is_new &&
        !ext2->library.ext2fs_extent_block_csum_verify(ext2->fs, map->number,
                                                       (struct ext3_extent_header *)map->node))
        rc = imgi_ext2_fail(ext2, err, EXT2_ET_EXTENT_CSUM_INVALID, "inode %" PRIu32, map->number);
    if (rc < 0)
        map->node_place = 0;
    return rc;
}

/* What the extent n of a leaf, if any, says of a block. */
static int read_leaf(struct imgi_ext2_map *map, const struct node *leaf, int n, uint64_t block,
                     struct imgi_ext2_run *run, img_error *err)
{
    const uint8_t *entry;
    uint64_t place, length;

    *run = (struct imgi_ext2_run){.first = leaf->first, .count = leaf->end - leaf->first};
    if (n < 0)
        return 0;
    if (key_of(leaf, (unsigned)n) != leaf->first)
        return imgi_ext2_corrupt(err, "inode %" PRIu32 ": its extents are damaged", map->number);
    entry = leaf->bytes + HEADER + (size_t)ENTRY * (unsigned)n;
    length = imgi_get_le16(entry + 4);
    place = imgi_get_le32(entry + 8) | (uint64_t)imgi_get_le16(entry + 6) << 32;
    if (length > LENGTH_MAX)
        length -= LENGTH_MAX;
    else
        run->place = place;
    /* The extent, or the hole that it leaves. */
    if (block - leaf->first < length) {
        run->count = IMGI_MIN(run->count, length);
        return 0;
    }
    run->first += length;
    run->count -= length;
    run->place = 0;
    return 0;
}

int imgi_ext2_extents_find(struct imgi_ext2_map *map, uint64_t block, struct imgi_ext2_run *run,
                           img_error *err)
{
    struct node node = {.bytes = (const uint8_t *)map->pointers, .end = (uint64_t)1 << 32};
    int rc, n;

    if (block >= node.end)
        return imgi_ext2_corrupt(err, "inode %" PRIu32 ": it cannot have a block %" PRIu64,
                                 map->number, block);
    node.depth = imgi_get_le16(node.bytes + 6);
    if (node.depth > DEPTH_MAX)
        return imgi_ext2_corrupt(err, "inode %" PRIu32 ": %u levels of extents", map->number,
                                 node.depth);
    rc = check_header(&node, sizeof(map->pointers), map->number, err);
    while (rc == 0) {
        n = entry_of(&node, block);
        narrow(&node, n);
        if (node.depth == 0 || n < 0)
            return read_leaf(map, &node, node.depth == 0 ? n : -1, block, run, err);
        rc = load_child(map, &node, child_of(&node, (unsigned)n), err);
    }
    return rc;
}

#endif
