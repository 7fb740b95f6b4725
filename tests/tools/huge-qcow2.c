/*
 * huge-qcow2: a huge qcow2 image that takes little space. SPDX-License-Identifier: BSD-2-Clause
 *
 *   huge-qcow2 FILE TABLES ENTRIES STRIDE
 *
 * Makes a sparse file: a disk of TABLES x 512 MiB in clusters of 64 KiB, of which each L2 table
 * has its first ENTRIES clusters allocated. Those of one table lie side by side in the file, those
 * of two neighbouring tables STRIDE clusters apart. Data is never written: it reads as zeros.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER UINT64_C(65536)
#define PER_TABLE (CLUSTER / 8)
#define PER_BLOCK (CLUSTER / 2)
#define COPIED (UINT64_C(1) << 63)

struct layout {
    uint64_t tables, entries, stride;
    uint64_t reftable, reftable_clusters, blocks, block_count, l1, l1_clusters, l2, data, end;
};

static int file;

static uint64_t div_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

static void give_up(const char *what)
{
    fprintf(stderr, "huge-qcow2: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static void put(const void *bytes, uint64_t length, uint64_t offset)
{
    if (pwrite(file, bytes, length, (off_t)offset) != (ssize_t)length)
        give_up("write");
}

/* A table of offsets of clusters that lie side by side, with flags. */
static void put_table(uint64_t offset, uint64_t count, uint64_t first, uint64_t flags)
{
    uint64_t *table = malloc(count * sizeof(*table));

    if (!table)
        give_up("memory");
    for (uint64_t i = 0; i < count; i++)
        table[i] = htobe64((first + i) * CLUSTER | flags);
    put(table, count * sizeof(*table), offset);
    free(table);
}

/* Refcount 1 for a run of clusters. */
static void put_refcounts(const struct layout *layout, uint64_t cluster, uint64_t count)
{
    static uint16_t ones[PER_BLOCK];

    for (uint64_t i = 0; ones[0] == 0 && i < PER_BLOCK; i++)
        ones[PER_BLOCK - 1 - i] = htobe16(1);
    while (count > 0) {
        uint64_t within = cluster % PER_BLOCK;
        uint64_t run = count < PER_BLOCK - within ? count : PER_BLOCK - within;

        put(ones, 2 * run, (layout->blocks + cluster / PER_BLOCK) * CLUSTER + 2 * within);
        cluster += run;
        count -= run;
    }
}

static void plan(struct layout *layout)
{
    layout->l1_clusters = div_up(layout->tables * 8, CLUSTER);
    layout->reftable = 1;
    layout->block_count = 0;
    /* Until the blocks count themselves. */
    for (uint64_t before = 1; before != layout->block_count;) {
        before = layout->block_count;
        layout->reftable_clusters = div_up(before * 8 + 1, CLUSTER);
        layout->blocks = layout->reftable + layout->reftable_clusters;
        layout->l1 = layout->blocks + before;
        layout->l2 = layout->l1 + layout->l1_clusters;
        layout->data = layout->l2 + layout->tables;
        layout->end = layout->data + (layout->tables - 1) * layout->stride + layout->entries;
        layout->block_count = div_up(layout->end, PER_BLOCK);
    }
}

static void put_header(const struct layout *layout)
{
    uint8_t header[112] = "QFI\xfb\0\0\0\3";
    const uint64_t wide[][2] = {{24, layout->tables * PER_TABLE * CLUSTER},
                                {40, layout->l1 * CLUSTER},
                                {48, layout->reftable * CLUSTER}};
    const uint64_t narrow[][2] = {
        {20, 16}, {36, layout->tables}, {56, layout->reftable_clusters}, {96, 4}, {100, 112}};

    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        uint64_t value = htobe64(wide[i][1]);

        memcpy(header + wide[i][0], &value, sizeof(value));
    }
    for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++) {
        uint32_t value = htobe32((uint32_t)narrow[i][1]);

        memcpy(header + narrow[i][0], &value, sizeof(value));
    }
    put(header, sizeof(header), 0);
}

int main(int argc, char **argv)
{
    struct layout layout = {0};

    if (argc != 5) {
        fprintf(stderr, "usage: huge-qcow2 FILE TABLES ENTRIES STRIDE\n");
        return 2;
    }
    layout.tables = strtoull(argv[2], NULL, 0);
    layout.entries = strtoull(argv[3], NULL, 0);
    layout.stride = strtoull(argv[4], NULL, 0);
    if (layout.tables == 0 || layout.entries > PER_TABLE || layout.stride < layout.entries)
        return 2;
    file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0)
        give_up(argv[1]);
    plan(&layout);
    if (ftruncate(file, (off_t)(layout.end * CLUSTER)) < 0)
        give_up("truncate");
    put_header(&layout);
    put_table(layout.reftable * CLUSTER, layout.block_count, layout.blocks, 0);
    put_table(layout.l1 * CLUSTER, layout.tables, layout.l2, COPIED);
    put_refcounts(&layout, 0, layout.data);
    for (uint64_t i = 0; i < layout.tables; i++) {
        uint64_t data = layout.data + i * layout.stride;

        put_table((layout.l2 + i) * CLUSTER, layout.entries, data, COPIED);
        put_refcounts(&layout, data, layout.entries);
    }
    if (close(file) < 0)
        give_up("close");
    return 0;
}
