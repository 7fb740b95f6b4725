/*
 * Where the blocks of ext2, ext3 and ext4 are. SPDX-License-Identifier: BSD-2-Clause
 *
 * Those of files without extents are found here, by pointers. Nothing is read but what leads to the
 * block that is asked for: at most one node a level.
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void imgi_ext2_map_begin(struct imgi_ext2_map *map, struct imgi_ext2 *ext2,
                         const struct imgi_ext2_inode *inode)
{
    map->ext2 = ext2;
    map->number = inode->number;
    map->extents = inode->raw->i_flags & EXT4_EXTENTS_FL;
    memcpy(map->pointers, inode->raw->i_block, sizeof(map->pointers));
}

void imgi_ext2_map_end(struct imgi_ext2_map *map)
{
    free(map->node);
    *map = (struct imgi_ext2_map){0};
}

int imgi_ext2_map_node(struct imgi_ext2_map *map, uint64_t place, const uint8_t **node,
                       img_error *err)
{
    int rc;

    if (!map->node)
        map->node = malloc(map->ext2->fs->blocksize);
    if (!map->node)
        return imgi_fail_nomem(err, "a block of a filesystem");
    *node = map->node;
    if (map->node_place == place)
        return 0;
    map->node_place = 0;
    rc = imgi_ext2_read(map->ext2, place, 1, map->node, err);
    if (rc == 0)
        map->node_place = place;
    else
        imgi_error_prefix(err, "inode %" PRIu32, map->number);
    return rc;
}

/* Those from pointer n on, of `count`, that go on with each other. */
static struct imgi_ext2_run run_of(uint32_t (*get)(const void *, size_t), const void *pointers,
                                   size_t n, size_t count, uint64_t block)
{
    uint32_t first = get(pointers, n);
    size_t same = 1;

    while (n + same < count && get(pointers, n + same) == (first ? first + same : 0))
        same++;
    return (struct imgi_ext2_run){.first = block, .count = same, .place = first};
}

static uint32_t get_direct(const void *pointers, size_t n)
{
    const uint32_t *list = pointers;

    return list[n];
}

static uint32_t get_indirect(const void *node, size_t n)
{
    return imgi_get_le32((const uint8_t *)node + 4 * n);
}

/*
 * Under a pointer to a tree of that many levels, which begins at the file's block `first`, with
 * 2^bits pointers in each node.
 */
static int descend(struct imgi_ext2_map *map, uint32_t pointer, unsigned levels, unsigned bits,
                   uint64_t first, uint64_t block, struct imgi_ext2_run *run, img_error *err)
{
    for (unsigned level = levels; pointer; level--) {
        const uint8_t *node;
        size_t n = (size_t)((block - first) >> ((level - 1) * bits) & ((1u << bits) - 1));
        int rc = imgi_ext2_map_node(map, pointer, &node, err);

        if (rc < 0)
            return rc;
        if (level == 1) {
            *run = run_of(get_indirect, node, n, (size_t)1 << bits, block);
            return 0;
        }
        pointer = get_indirect(node, n);
        if (!pointer) {
            uint64_t size = (uint64_t)1 << ((level - 1) * bits);

            *run = (struct imgi_ext2_run){.first = first + (block - first) / size * size,
                                          .count = size};
            return 0;
        }
    }
    *run = (struct imgi_ext2_run){.first = first, .count = (uint64_t)1 << (levels * bits)};
    return 0;
}

static int find_by_pointers(struct imgi_ext2_map *map, uint64_t block, struct imgi_ext2_run *run,
                            img_error *err)
{
    unsigned bits = EXT2_BLOCK_SIZE_BITS(map->ext2->fs->super) - 2;
    uint64_t first = EXT2_NDIR_BLOCKS;

    if (block < EXT2_NDIR_BLOCKS) {
        *run = run_of(get_direct, map->pointers, (size_t)block, EXT2_NDIR_BLOCKS, block);
        return 0;
    }
    for (unsigned levels = 1; levels <= 3; levels++) {
        uint64_t size = (uint64_t)1 << (levels * bits);

        if (block - first < size)
            return descend(map, map->pointers[EXT2_NDIR_BLOCKS + levels - 1], levels, bits, first,
                           block, run, err);
        first += size;
    }
    return imgi_ext2_corrupt(err, "inode %" PRIu32 ": it cannot have a block %" PRIu64, map->number,
                             block);
}

int imgi_ext2_map_find(struct imgi_ext2_map *map, uint64_t block, struct imgi_ext2_run *run,
                       img_error *err)
{
    struct imgi_ext2 *ext2 = map->ext2;
    int rc = 0;

    if (block < map->last.first || block - map->last.first >= map->last.count)
        rc = map->extents ? imgi_ext2_extents_find(map, block, &map->last, err)
                          : find_by_pointers(map, block, &map->last, err);
    if (rc == 0 && map->last.place && !imgi_ext2_has(ext2, map->last.place, map->last.count))
        rc = imgi_ext2_corrupt(err, "inode %" PRIu32 ": there is no block %" PRIu64, map->number,
                               map->last.place);
    if (rc < 0)
        map->last = (struct imgi_ext2_run){0};
    *run = map->last;
    return rc;
}

int imgi_ext2_map_read(struct imgi_ext2_map *map, void *buffer, uint64_t length, img_error *err)
{
    uint64_t unit = map->ext2->fs->blocksize, end = (length + unit - 1) / unit;
    uint8_t *to = buffer;
    struct imgi_ext2_run run;

    for (uint64_t at = 0, count; at < end; at += count) {
        int rc = imgi_ext2_map_find(map, at, &run, err);

        if (rc < 0)
            return rc;
        count = IMGI_MIN(run.count - (at - run.first), end - at);
        if (run.place)
            rc =
                imgi_ext2_read(map->ext2, run.place + (at - run.first), count, to + at * unit, err);
        else
            memset(to + at * unit, 0, count * unit);
        if (rc < 0)
            return rc;
    }
    return 0;
}

#endif
