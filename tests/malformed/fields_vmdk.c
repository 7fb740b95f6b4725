/*
 * The fields of a sparse VMDK: its header, its footer, its tables, the markers of a stream.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fields.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECTOR 512u
#define DIRECTORY_AT_END UINT64_MAX

/* Offsets as in Virtual Disk Format 5.0, "Hosted Sparse Extent Header". */
static const struct field header[] = {
    {"magic", 0, 4, {0x44574f43}},
    {"version", 4, 4, {2, 3, 4}},
    {"flags", 8, 4, {2, 3, 4, 7, 0x10000, 0x10001, 0x20000, 0x30001, 0x40001, 0x80000003}},
    {"capacity",
     12,
     8,
     {2048, 2049, 1u << 31, UINT64_C(1) << 32, UINT64_C(1) << 54, UINT64_C(1) << 55}},
    {"grainSize",
     20,
     8,
     {3, 8, 16, 127, 2097152, UINT64_C(1) << 32, UINT64_C(1) << 54, UINT64_C(1) << 63}},
    {"descriptorOffset", 28, 8, {2, 1u << 20, UINT64_C(1) << 55}},
    {"descriptorSize", 36, 8, {2, 2048, 2049, UINT64_C(1) << 55}},
    {"numGTEsPerGT", 44, 4, {3, 128, 511, 512, 513, 1024, 1u << 31}},
    {"rgdOffset", 48, 8, {21, 1u << 20, UINT64_C(1) << 55}},
    {"gdOffset", 56, 8, {21, 1u << 20, UINT64_C(1) << 55}},
    {"overHead", 64, 8, {21, 1u << 20, UINT64_C(1) << 55}},
    {"uncleanShutdown", 72, 1, {0}},
    {"newline bytes", 73, 4, {0x0a0a200a}},
    {"compressAlgorithm", 77, 2, {2}},
};

static const struct field marker[] = {
    {"marker LBA", 0, 8, {128, 2048, UINT64_C(1) << 55}},
    {"marker size", 8, 4, {12, 500, 65536, 65562, 131073, 1u << 31}},
};

static const struct field metadata_marker[] = {
    {"marker sectors", 0, 8, {5, UINT64_C(1) << 55}},
    {"marker size", 8, 4, {0}},
    {"marker type", 12, 4, {2, 3, 4, 5}},
};

/* "ESX Server Sparse Extents". */
static const struct field cowd_header[] = {
    {"magic", 0, 4, {0x564d444b, 0xcafebabe}},
    {"version", 4, 4, {2}},
    {"flags", 8, 4, {2, 3, 4, 7}},
    {"capacity", 12, 4, {2048, 2049, 2050, 4097, 1u << 31}},
    {"grain size", 16, 4, {2, 3, 8, 2048, 4096, 1u << 31}},
    {"directory", 20, 4, {3, 5, 37, 128, 1u << 31}},
    {"directory entries", 24, 4, {2, 128, 129, 4096, 1u << 31}},
    {"next free sector", 28, 4, {4, 5, 37, 211, 212, 1u << 31}},
    {"cylinders", 32, 4, {0}},
    {"unclean shutdown", 1648, 4, {0}},
};

static const struct field sesparse_header[] = {
    {"magic", 0, 8, {0x564d444b, 0x44574f43}},
    {"version", 8, 8, {0x200000002, 0x300000001}},
    {"capacity", 16, 8, {2048, 2049, 32769, UINT64_C(1) << 54, UINT64_C(1) << 55}},
    {"grain size", 24, 8, {8, 16}},
    {"table size", 32, 8, {64, 128}},
    {"flags", 40, 8, {2}},
    {"reserved 1", 48, 8, {2}},
    {"reserved 4", 72, 8, {2}},
    {"volatile header", 80, 8, {2, 8, 64, 336, UINT64_C(1) << 55}},
    {"volatile header's size", 88, 8, {2, 336}},
    {"journal header", 96, 8, {8}},
    {"journal", 112, 8, {8}},
    {"directory", 128, 8, {2, 64, 335, 336, UINT64_C(1) << 55}},
    {"directory's size", 136, 8, {56, 57, 336, UINT64_C(1) << 55}},
    {"tables", 144, 8, {8, 128, 272, 273, 336, UINT64_C(1) << 55}},
    {"tables' size", 152, 8, {63, 64, 65, 128, UINT64_C(1) << 55}},
    {"free bitmap", 160, 8, {144}},
    {"back map", 176, 8, {144}},
    {"grains", 192, 8, {64, 136, 145, 335, 336, UINT64_C(1) << 55}},
    {"grains' size", 200, 8, {8, 100, 2056, UINT64_C(1) << 55}},
    {"padding", 504, 8, {0}},
    {"volatile magic", 512, 8, {0xcafecafe}},
    {"replay", 512 + 24, 8, {0}},
    {"volatile padding", 512 + 32, 8, {0}},
    {"directory entry", 8 * 512, 8, {UINT64_C(0x1000000000000001), UINT64_C(0x2000000000000000)}},
    {"table entry",
     64 * 512,
     8,
     {UINT64_C(1) << 60, UINT64_C(2) << 60, UINT64_C(3) << 60, (UINT64_C(3) << 60) + 1,
      (UINT64_C(3) << 60) + (UINT64_C(256) << 48), (UINT64_C(3) << 60) + (UINT64_C(257) << 48),
      UINT64_C(4) << 60}},
};

/* An entry of a grain directory or grain table: a sector. */
static void add_entry(struct changes *changes, const struct file *file, const char *name,
                      unsigned index, size_t offset)
{
    const uint64_t end = file->length / SECTOR;
    const uint64_t values[] = {0,        1,       2,   21,      UINT32_MAX,      UINT32_MAX - 1,
                               1u << 31, end - 1, end, end + 1, offset / SECTOR, 128};

    for (size_t n = 0; n < COUNT(values); n++) {
        struct change change = {.offset = offset, .width = 4, .value = values[n]};

        snprintf(change.name, sizeof(change.name), "%s entry %u", name, index);
        change_add(changes, &change);
    }
}

/* The directory at that sector, its first table, and the first grains of that. */
static void add_tables(struct changes *changes, const struct file *file, uint64_t directory)
{
    size_t table;
    unsigned used = 0;

    if (directory == 0 || directory >= file->length / SECTOR)
        return;
    add_entry(changes, file, "grain directory", 0, (size_t)directory * SECTOR);
    table = (size_t)file_get(file, (size_t)directory * SECTOR, 4, false) * SECTOR;
    if (table == 0 || table >= file->length)
        return;
    for (unsigned n = 0; n < 17 && used < 3; n++) {
        if (n > 0 && file_get(file, table + n * 4, 4, false) == 0)
            continue;
        add_entry(changes, file, "grain table", n, table + n * 4);
        used++;
    }
}

/* In a compressed extent, a grain begins with its marker. */
static void add_markers(struct changes *changes, const struct file *file)
{
    size_t grain = (size_t)file_get(file, 64, 8, false) * SECTOR;

    change_add_fields(changes, marker, COUNT(marker), grain, false);
}

/* The end of a stream: directory marker, directory, footer marker, footer, end-of-stream marker. */
static void add_footer(struct changes *changes, const struct file *file)
{
    size_t footer = file->length - 2 * SECTOR;

    change_add_fields(changes, header, COUNT(header), footer, false);
    change_add_fields(changes, metadata_marker, COUNT(metadata_marker), footer - SECTOR, false);
    change_add_fields(changes, metadata_marker, COUNT(metadata_marker), footer + SECTOR, false);
    add_tables(changes, file, file_get(file, footer + 56, 8, false));
}

void changes_vmdk(struct changes *changes, const struct file *file)
{
    uint64_t directory = file_get(file, 56, 8, false);
    uint64_t magic = file_get(file, 0, 4, false);

    if (magic == 0x44574f43) {
        change_add_fields(changes, cowd_header, COUNT(cowd_header), 0, false);
        add_tables(changes, file, file_get(file, 20, 4, false));
        return;
    }
    if (magic == 0xcafebabe) {
        change_add_fields(changes, sesparse_header, COUNT(sesparse_header), 0, false);
        return;
    }
    change_add_fields(changes, header, COUNT(header), 0, false);
    if (directory == DIRECTORY_AT_END)
        add_footer(changes, file);
    else
        add_tables(changes, file, directory);
    if (file_get(file, 8, 4, false) & 2)
        add_tables(changes, file, file_get(file, 48, 8, false));
    if (file_get(file, 77, 2, false))
        add_markers(changes, file);
}
