/*
 * The fields of the formats that are only read: qcow version 1, QED, Parallels, Bochs, cloop, DMG.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fields.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECTOR 512u

/* Entries of a table at that offset: the first ones that are not `empty`, and one that is. */
static void add_entries(struct changes *changes, const struct file *file, size_t table,
                        unsigned count, unsigned width, bool big_endian, uint64_t empty,
                        const uint64_t *values, size_t value_count)
{
    unsigned used = 0;

    for (unsigned n = 0; n < count && used < 4; n++) {
        size_t offset = table + (size_t)n * width;

        if (offset + width > file->length)
            return;
        if (n > 0 && file_get(file, offset, width, big_endian) == empty)
            continue;
        for (size_t i = 0; i < value_count; i++) {
            struct change change = {
                .offset = offset, .width = width, .big_endian = big_endian, .value = values[i]};

            snprintf(change.name, sizeof(change.name), "entry %u of the table at %zu", n, table);
            change_add(changes, &change);
        }
        used++;
    }
}

/* ----------------------------------------------------------------- qcow */

static const struct field qcow_header[] = {
    {"magic", 0, 4, {0x51464900}},
    {"version", 4, 4, {2, 3}},
    {"backing file offset", 8, 8, {48, 1u << 20, UINT64_C(1) << 63}},
    {"backing file length", 16, 4, {1023, 1024, 1u << 31}},
    {"size", 24, 8, {2, 511, 512, UINT64_C(1) << 32, UINT64_C(1) << 56, INT64_MAX}},
    {"cluster bits", 32, 1, {8, 9, 16, 17, 63, 64}},
    {"L2 bits", 33, 1, {5, 6, 13, 14, 63, 64}},
    {"encryption", 36, 4, {2}},
    {"L1 offset", 40, 8, {49, 4096, 1u << 20, UINT64_C(1) << 63}},
};

void changes_qcow(struct changes *changes, const struct file *file)
{
    const uint64_t end = file->length;
    const uint64_t values[] = {0,
                               1,
                               47,
                               48,
                               end - 1,
                               end,
                               end + 1,
                               4096,
                               UINT64_MAX,
                               INT64_MAX,
                               UINT64_C(1) << 63,
                               UINT64_C(1) << 62,
                               (UINT64_C(1) << 63) | 4096,
                               UINT64_MAX - 0xffff};
    size_t l1 = (size_t)file_get(file, 40, 8, true);
    size_t l2 = (size_t)file_get(file, l1, 8, true);

    change_add_fields(changes, qcow_header, COUNT(qcow_header), 0, true);
    add_entries(changes, file, l1, 4, 8, true, 0, values, COUNT(values));
    add_entries(changes, file, l2, 512, 8, true, 0, values, COUNT(values));
}

/* ------------------------------------------------------------------ QED */

static const struct field qed_header[] = {
    {"magic", 0, 4, {0x44454500}},
    {"cluster size", 4, 4, {512, 4095, 4096, 8192, 1u << 26, 1u << 27, 1u << 31}},
    {"table size", 8, 4, {2, 3, 16, 32, 1u << 31}},
    {"header size", 12, 4, {2, 3, 1u << 16, 1u << 31}},
    {"features", 16, 8, {2, 4, 7, 8, UINT64_C(1) << 63}},
    {"compatible features", 24, 8, {0}},
    {"autoclear features", 32, 8, {0}},
    {"L1 offset", 40, 8, {512, 4096, 4097, 1u << 20, UINT64_C(1) << 63}},
    {"image size", 48, 8, {512, 513, UINT64_C(1) << 32, UINT64_C(1) << 56, UINT64_C(1) << 63}},
    {"backing file offset", 56, 4, {64, 4095, 4096, 1u << 31}},
    {"backing file size", 60, 4, {1023, 1024, 4096, 1u << 31}},
};

void changes_qed(struct changes *changes, const struct file *file)
{
    const uint64_t end = file->length;
    const uint64_t values[] = {0,
                               1,
                               2,
                               512,
                               4096,
                               8192,
                               12288,
                               end - 4096,
                               end,
                               end + 4096,
                               UINT64_MAX,
                               UINT64_MAX - 4095,
                               UINT64_C(1) << 63};
    size_t l1 = (size_t)file_get(file, 40, 8, false);
    size_t l2 = (size_t)file_get(file, l1, 8, false);

    change_add_fields(changes, qed_header, COUNT(qed_header), 0, false);
    add_entries(changes, file, l1, 4, 8, false, 0, values, COUNT(values));
    add_entries(changes, file, l2, 512, 8, false, 0, values, COUNT(values));
}

/* ------------------------------------------------------------ Parallels */

static const struct field parallels_header[] = {
    {"magic", 7, 1, {0}},
    {"version", 16, 4, {2, 3}},
    {"heads", 20, 4, {0}},
    {"cylinders", 24, 4, {0}},
    {"cluster sectors", 28, 4, {63, 127, 129, 504, 2048, INT32_MAX / 513, INT32_MAX / 513 + 1}},
    {"BAT entries", 32, 4, {16, 17, 18, 1u << 20, INT32_MAX / 4, INT32_MAX / 4 + 1, 1u << 31}},
    {"sectors", 36, 8, {2048, 2049, 2177, UINT64_C(1) << 32, UINT64_C(1) << 54, UINT64_C(1) << 55}},
    {"in use", 44, 4, {0x746f6e59, 0x312e3276}},
    {"data offset", 48, 4, {128, 1u << 31}},
    {"flags", 52, 4, {0}},
    {"extension offset", 56, 8, {128, UINT64_C(1) << 55}},
};

void changes_parallels(struct changes *changes, const struct file *file)
{
    const uint64_t clusters = file->length / 65536, sectors = file->length / SECTOR;
    const uint64_t values[] = {0,
                               1,
                               2,
                               128,
                               clusters - 1,
                               clusters,
                               clusters + 1,
                               sectors - 1,
                               sectors,
                               sectors - 128,
                               sectors + 1,
                               UINT32_MAX,
                               1u << 31};

    change_add_fields(changes, parallels_header, COUNT(parallels_header), 0, false);
    add_entries(changes, file, 64, 17, 4, false, 0, values, COUNT(values));
}

/* ---------------------------------------------------------------- Bochs */

static const struct field redolog_header[] = {
    {"magic", 0, 4, {0}},
    {"type", 32, 4, {0}},
    {"subtype", 48, 4, {0x6f646e55, 0x616c6f56}},
    {"version", 64, 4, {0x10000, 0x20000, 0x30000}},
    {"header size", 68, 4, {256, 511, 512, 513, 1u << 20, 1u << 31}},
    {"catalog entries", 72, 4, {16, 17, 65, 66, 1u << 20, 1u << 31}},
    {"bitmap size", 76, 4, {4, 15, 16, 512, 513, 1u << 26, 1u << 31}},
    {"extent size", 80, 4, {256, 512, 1000, 65536, 131072, 1u << 26, 1u << 27, 1u << 31}},
    {"disk size, version 1", 84, 8, {1u << 20, 2u << 20, UINT64_C(1) << 32, UINT64_C(1) << 63}},
    {"disk size, version 2", 88, 8, {1u << 20, 2u << 20, UINT64_C(1) << 32, UINT64_C(1) << 63}},
};

static const struct field sparse_header[] = {
    {"magic", 0, 4, {0}},
    {"version", 4, 4, {2, 3}},
    {"page size", 8, 4, {256, 512, 4095, 4096, 8192, 1u << 26, 1u << 27, 1u << 31}},
    {"pages", 12, 4, {256, 257, 2048, 2049, 1u << 20, 1u << 31}},
    {"disk size", 16, 8, {512, 1u << 20, 2u << 20, UINT64_C(1) << 32, UINT64_C(1) << 63}},
};

void changes_bochs(struct changes *changes, const struct file *file)
{
    const uint64_t values[] = {0, 1, 2, 63, 64, 1u << 20, 1u << 31, UINT32_MAX, UINT32_MAX - 1};
    bool sparse = file_get(file, 0, 4, false) == 0x02468ace;

    if (sparse)
        change_add_fields(changes, sparse_header, COUNT(sparse_header), 0, false);
    else
        change_add_fields(changes, redolog_header, COUNT(redolog_header), 0, false);
    add_entries(changes, file, sparse ? 256 : SECTOR, 17, 4, false, UINT32_MAX, values,
                COUNT(values));
}

/* ---------------------------------------------------------------- cloop */

static const struct field cloop_header[] = {
    {"magic", 0, 4, {0}},
    {"block size", 128, 4, {511, 512, 513, 1024, 1u << 26, (1u << 26) + 512, 1u << 31}},
    {"blocks", 132, 4, {2, 3, 4, 2048, 2050, UINT32_MAX / 8, UINT32_MAX / 8 + 1, 1u << 31}},
};

void changes_cloop(struct changes *changes, const struct file *file)
{
    const uint64_t end = file->length;
    const uint64_t values[] = {0,   1,       136,      144,        end - 1,
                               end, end + 1, 1u << 30, UINT64_MAX, UINT64_C(1) << 63};

    change_add_fields(changes, cloop_header, COUNT(cloop_header), 0, true);
    add_entries(changes, file, 136, 4, 8, true, 0, values, COUNT(values));
}

/* ------------------------------------------------------------------ DMG */

static const struct field dmg_trailer[] = {
    {"magic", 0, 4, {0}},
    {"version", 4, 4, {4, 5}},
    {"header size", 8, 4, {512, 1024}},
    {"data fork offset", 24, 8, {64, 512, 1u << 20, UINT64_C(1) << 63}},
    {"data fork length", 32, 8, {64, 1u << 20, UINT64_C(1) << 63}},
    {"resource fork offset", 40, 8, {64, 1u << 20, UINT64_C(1) << 63}},
    {"resource fork length", 48, 8, {15, 16, 300, 1u << 20, UINT64_C(1) << 63}},
    {"segment", 56, 4, {2}},
    {"segments", 60, 4, {2}},
    {"property list offset", 216, 8, {64, 1u << 20, UINT64_C(1) << 63}},
    {"property list length", 224, 8, {16, 1u << 20, UINT64_C(1) << 63}},
    {"sectors", 492, 8, {2048, 2049, 2050, UINT64_C(1) << 54, UINT64_C(1) << 55}},
};

/* Offsets from the fork's begin. */
static const struct field dmg_fork[] = {
    {"data offset", 0, 4, {256, 1u << 16, 1u << 31}},
    {"map offset", 4, 4, {256, 1u << 16, 1u << 31}},
    {"length of the first table", 256, 4, {203, 204, 1000, 1u << 16, 1u << 31}},
};

/* Offsets from the map's begin. */
static const struct field dmg_map[] = {
    {"type list offset", 24, 2, {28, 30, 256}},
    {"name list offset", 26, 2, {28, 256}},
    {"types", 28, 2, {255}},
    {"type", 30, 4, {0}},
    {"references", 34, 2, {2, 255}},
    {"reference list offset", 36, 2, {2, 256}},
    {"name of the first", 40, 2, {255}},
    {"data of the first", 42, 4, {255, 1u << 16, 0xffffff}},
};

static const struct field dmg_table[] = {
    {"magic", 0, 4, {0}},
    {"first sector", 8, 8, {1, 2049, UINT64_C(1) << 54, UINT64_C(1) << 55}},
    {"sectors", 16, 8, {39, 40, 41, UINT64_C(1) << 54, UINT64_C(1) << 55}},
    {"data offset", 24, 8, {64, UINT64_C(1) << 63}},
    {"chunks", 200, 4, {2, 3, 4, 1u << 31}},
};

static const struct field dmg_chunk[] = {
    {"type",
     0,
     4,
     {2, 3, 0x7ffffffe, 0x80000003, 0x80000004, 0x80000005, 0x80000006, 0x80000007, 0x80000008,
      0x80000009}},
    {"sector", 8, 8, {39, 40, UINT64_C(1) << 55, UINT64_C(1) << 63}},
    {"sectors", 16, 8, {39, 41, 131072, 131073, UINT64_C(1) << 55, UINT64_C(1) << 63}},
    {"offset", 24, 8, {64, 1u << 20, UINT64_C(1) << 63}},
    {"length", 32, 8, {13, 512, 20480, 1u << 20, UINT64_C(1) << 63}},
};

static void add_fork(struct changes *changes, const struct file *file, size_t fork)
{
    size_t map = fork + (size_t)file_get(file, fork + 4, 4, true);
    size_t table = fork + 256 + 4;

    change_add_fields(changes, dmg_fork, COUNT(dmg_fork), fork, true);
    change_add_fields(changes, dmg_map, COUNT(dmg_map), map, true);
    change_add_fields(changes, dmg_table, COUNT(dmg_table), table, true);
    for (size_t n = 0; n < 3; n++)
        change_add_fields(changes, dmg_chunk, COUNT(dmg_chunk), table + 204 + n * 40, true);
}

void changes_dmg(struct changes *changes, const struct file *file)
{
    size_t trailer = file->length - SECTOR;
    size_t fork = (size_t)file_get(file, trailer + 40, 8, true);

    change_add_fields(changes, dmg_trailer, COUNT(dmg_trailer), trailer, true);
    if (fork > 0)
        add_fork(changes, file, fork);
}
