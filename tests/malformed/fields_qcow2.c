/*
 * The fields of a qcow2: its header, an extension, and entries of its tables.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fields.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define COPIED (UINT64_C(1) << 63)
#define COMPRESSED (UINT64_C(1) << 62)
#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)

/* Offsets as in the qcow2 specification, "Header". */
static const struct field header[] = {
    {"magic", 0, 4, {0}},
    {"version", 4, 4, {2, 3, 4}},
    {"backing_file_offset", 8, 8, {0x1000, 104, 112, 0xff0}},
    {"backing_file_size", 16, 4, {1023, 1024, 0x7fffffff}},
    {"cluster_bits", 20, 4, {8, 9, 16, 21, 22, 31, 32, 64}},
    {"size", 24, 8, {0x7fffffffffffffff, 1000, UINT64_C(1) << 40, UINT64_C(1) << 62}},
    {"crypt_method", 32, 4, {2, 3}},
    {"l1_size", 36, 4, {0x7fffffff, 4194304, 4194305, 2}},
    {"l1_table_offset",
     40,
     8,
     {0x7fffffffffff0000, 0x1234567890abcdef, 0x1000, 0x200, 0xffffffffffff0000}},
    {"refcount_table_offset", 48, 8, {0x1234567890abcdef, 0xffffffffffff0000, 0x200, 0x3000}},
    {"refcount_table_clusters", 56, 4, {0x00020001, 0x7fffffff, 2048, 2049}},
    {"nb_snapshots", 60, 4, {0x7fffffff, 65536, 65537, 2}},
    {"snapshots_offset", 64, 8, {0xffffffffffff0000, 0x200, 0x1000}},
    {"incompatible_features",
     72,
     8,
     {2, 3, 4, 8, 0x10, 0x20, 0x40, UINT64_C(1) << 32, UINT64_C(1) << 63}},
    {"compatible_features", 80, 8, {2, UINT64_C(1) << 63}},
    {"autoclear_features", 88, 8, {2, 3, UINT64_C(1) << 63}},
    {"refcount_order", 96, 4, {2, 4, 6, 7, 31, 64}},
    {"header_length", 100, 4, {0x7fffffff, 0x64, 0x69, 104, 112, 4096, 4104}},
    {"compression_type", 104, 1, {2, 0x7f}},
    {"extension type", 112, 4, {0xe2792aca, 0x6803f857, 0x23852875, 0x0537be77, 0x44415441}},
    {"extension length", 116, 4, {0x7fffffff, 4096, 15, 16, 48}},
};

static void add(struct changes *changes, const char *name, unsigned index, size_t offset,
                uint64_t value)
{
    struct change change = {.offset = offset, .width = 8, .big_endian = true, .value = value};

    snprintf(change.name, sizeof(change.name), "%s entry %u", name, index);
    change_add(changes, &change);
}

/* An entry of any table: bits that must be zero, offsets that lead astray. */
static void add_entry(struct changes *changes, const struct file *file, const char *name,
                      unsigned index, size_t offset)
{
    uint64_t old = file_get(file, offset, 8, true);
    uint64_t l1 = file_get(file, 40, 8, true), table = file_get(file, 48, 8, true);
    uint64_t block = file_get(file, (size_t)table, 8, true) & OFFSET_MASK;
    const uint64_t values[] = {
        0,
        1,
        COPIED | 1,
        UINT64_MAX,
        UINT64_MAX - 1,
        old ^ COPIED,
        old | 1,
        old | 2,
        old | UINT64_C(1) << 56,
        old | COMPRESSED,
        old | COMPRESSED | COPIED,
        COPIED | 0x50200,
        0xbfffffffffff0000,
        0x800000ffffff0000,
        COPIED | l1,
        COPIED | table,
        COPIED | block,
        COPIED | (offset & ~(size_t)511),
        COPIED | file->length,
        COPIED | (file->length + (1 << 20)),
        COMPRESSED,
        COMPRESSED | 0x00ffffffffffffff,
        COMPRESSED | file->length,
        COMPRESSED | UINT64_C(0x3fc0000000000000) | 0x1000,
    };

    for (size_t n = 0; n < COUNT(values); n++)
        add(changes, name, index, offset, values[n]);
}

/* The first entries of an L2 table, and the first of them that maps something. */
static void add_l2_table(struct changes *changes, const struct file *file, uint64_t table)
{
    uint64_t size = UINT64_C(1) << file_get(file, 20, 4, true);

    for (unsigned n = 0, used = 0; n < size / 8 && used < 3; n++) {
        if (n > 0 && file_get(file, (size_t)table + n * 8, 8, true) == 0)
            continue;
        add_entry(changes, file, "L2", n, (size_t)table + n * 8);
        used++;
    }
}

static void add_snapshots(struct changes *changes, const struct file *file)
{
    static const struct field snapshot[] = {
        {"snapshot l1_table_offset", 0, 8, {0x200, 0x7fffffffffff0000, 0x100000}},
        {"snapshot l1_size", 8, 4, {0x10000000, 4194305, 1000}},
        {"snapshot id length", 12, 2, {0}},
        {"snapshot name length", 14, 2, {0}},
        {"snapshot extra data size", 36, 4, {8, 1024, 1025, 0x7fffffff}},
        {"snapshot disk size", 48, 8, {0}},
    };
    size_t offset = (size_t)file_get(file, 64, 8, true);

    if (file_get(file, 60, 4, true))
        change_add_fields(changes, snapshot, COUNT(snapshot), offset, true);
}

void changes_qcow2(struct changes *changes, const struct file *file)
{
    uint64_t l1 = file_get(file, 40, 8, true), table = file_get(file, 48, 8, true);
    uint64_t block = file_get(file, (size_t)table, 8, true) & OFFSET_MASK;
    bool first = true;

    change_add_fields(changes, header, COUNT(header), 0, true);
    for (unsigned n = 0; n < 2; n++) {
        uint64_t entry = file_get(file, (size_t)l1 + n * 8, 8, true) & OFFSET_MASK;

        add_entry(changes, file, "L1", n, (size_t)l1 + n * 8);
        if (entry && entry < file->length && first)
            add_l2_table(changes, file, entry);
        first = first && !entry;
    }
    add_entry(changes, file, "refcount table", 0, (size_t)table);
    add_entry(changes, file, "refcount table", 1, (size_t)table + 8);
    for (unsigned n = 0; n < 8; n++) {
        add(changes, "refcount block", n, (size_t)block + n * 8, 0);
        add(changes, "refcount block", n, (size_t)block + n * 8, UINT64_MAX);
    }
    add_snapshots(changes, file);
}
