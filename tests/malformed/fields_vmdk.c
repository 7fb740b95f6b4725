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
