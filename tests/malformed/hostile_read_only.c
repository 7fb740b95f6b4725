/*
 * Hostile images of the formats that are only read. SPDX-License-Identifier: BSD-2-Clause
 *
 * Made of the fixtures, most by a few numbers that contradict the rest.
 */
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SECTOR 512u

/* A number over a field of a fixture. */
struct patch {
    size_t offset;
    unsigned width;
    uint64_t value;
};

static void put_patched(const char *fixture, bool big_endian, const struct patch *patches,
                        size_t count)
{
    struct file file = file_fixture(fixture);

    for (size_t n = 0; n < count; n++)
        file_set(&file, patches[n].offset, patches[n].width, big_endian, patches[n].value);
    file_put(&file, "image");
    file_free(&file);
}

#define PUT(fixture, big_endian, ...)                                                              \
    do {                                                                                           \
        const struct patch patches[] = {__VA_ARGS__};                                              \
        put_patched(fixture, big_endian, patches, sizeof(patches) / sizeof(patches[0]));           \
    } while (0)

/* ----------------------------------------------------------------- qcow */

/* A backing file's name over the image's last bytes. */
static void put_qcow_backing(const char *name)
{
    struct file file = file_fixture("qcow/plain.qcow");
    size_t end = file.length;

    file_resize(&file, end + SECTOR);
    memcpy(file.bytes + end, name, strlen(name));
    file_set(&file, 8, 8, true, end);
    file_set(&file, 16, 4, true, strlen(name));
    file_put(&file, "image");
    file_free(&file);
}

static void qcow_backing_absolute(void)
{
    char *path = outside_path();

    put_qcow_backing(path);
    free(path);
}

static void qcow_backing_url(void)
{
    put_qcow_backing("nbd://127.0.0.1/disk");
}

static void qcow_backing_json(void)
{
    put_qcow_backing("json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}");
}

static void qcow_backing_itself(void)
{
    put_qcow_backing("image");
}

static void qcow_huge_l1(void)
{
    PUT("qcow/plain.qcow", true, {24, 8, INT64_MAX}, {32, 1, 9}, {33, 1, 6});
}

/* Entry 0 of the L1 leads to itself, as an L2 table of whatever follows. */
static void qcow_l1_is_l2(void)
{
    PUT("qcow/plain.qcow", true, {48, 8, 48});
}

/* All entries of the first L2 table are its first cluster, which is no fault that can be seen. */
static void qcow_one_cluster(void)
{
    struct file file = file_fixture("qcow/plain.qcow");
    size_t l2 = (size_t)file_get(&file, 48, 8, true);
    uint64_t entry = file_get(&file, l2, 8, true);

    for (size_t n = 0; n < 512; n++)
        file_set(&file, l2 + 8 * n, 8, true, entry);
    file_put(&file, "image");
    file_free(&file);
}

/* A compressed cluster that makes more, or less, than a cluster. */
static void put_qcow_stream(size_t length)
{
    struct file file = file_fixture("qcow/packed.qcow");
    size_t l2 = (size_t)file_get(&file, 48, 8, true), end = file.length;
    z_stream stream = {0};
    uint8_t *bytes = calloc(1, length);

    file_resize(&file, end + 4096);
    if (!bytes || deflateInit2(&stream, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    stream.next_in = bytes;
    stream.avail_in = (uInt)length;
    stream.next_out = file.bytes + end;
    stream.avail_out = 4096;
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    file_set(&file, l2, 8, true, UINT64_C(1) << 63 | (uint64_t)stream.total_out << (63 - 12) | end);
    deflateEnd(&stream);
    free(bytes);
    file_put(&file, "image");
    file_free(&file);
}

static void qcow_bomb(void)
{
    put_qcow_stream(1u << 20);
}

static void qcow_short_stream(void)
{
    put_qcow_stream(4095);
}

/* ------------------------------------------------------------------ QED */

static void qed_one_table(void)
{
    struct file file = file_fixture("qed/plain.qed");
    size_t l1 = (size_t)file_get(&file, 40, 8, false);
    uint64_t table = file_get(&file, l1, 8, false);

    for (size_t n = 0; n < 1024; n++)
        file_set(&file, l1 + 8 * n, 8, false, table);
    file_set(&file, 48, 8, false, UINT64_C(1) << 32);
    file_put(&file, "image");
    file_free(&file);
}

static void qed_table_is_l1(void)
{
    struct file file = file_fixture("qed/plain.qed");
    uint64_t l1 = file_get(&file, 40, 8, false);

    file_set(&file, (size_t)l1, 8, false, l1);
    file_put(&file, "image");
    file_free(&file);
}

/* Tables of 1 GiB, which the file does not have. */
static void qed_huge_tables(void)
{
    PUT("qed/plain.qed", false, {4, 4, 1u << 26}, {8, 4, 16}, {40, 8, 1u << 26});
}

static void qed_backing_outside(void)
{
    char *path = outside_path();
    struct file file = file_fixture("qed/plain.qed");

    memcpy(file.bytes + 64, path, strlen(path));
    file_set(&file, 16, 8, false, 5);
    file_set(&file, 56, 4, false, 64);
    file_set(&file, 60, 4, false, strlen(path));
    file_put(&file, "image");
    file_free(&file);
    free(path);
}

/* ------------------------------------------------------------ Parallels */

static void parallels_one_cluster(void)
{
    struct file file = file_fixture("parallels/clusters.parallels");

    for (size_t n = 0; n < 17; n++)
        file_set(&file, 64 + 4 * n, 4, false, 1);
    file_put(&file, "image");
    file_free(&file);
}

static void parallels_few_entries(void)
{
    PUT("parallels/clusters.parallels", false, {32, 4, 3});
}

static void parallels_in_bat(void)
{
    PUT("parallels/sectors.parallels", false, {64, 4, 0}, {32, 4, 129});
    {
        struct file file = file_load("image");

        /* Sector 1 is inside a BAT of 129 entries. */
        file_set(&file, 64, 4, false, 1);
        file_put(&file, "image");
        file_free(&file);
    }
}

static void parallels_not_closed(void)
{
    PUT("parallels/clusters.parallels", false, {44, 4, 0x746f6e59});
}

/* ---------------------------------------------------------------- Bochs */

static void bochs_few_extents(void)
{
    PUT("bochs/growing-2.bochs", false, {72, 4, 4});
}

static void bochs_undoable(void)
{
    struct file file = file_fixture("bochs/growing-2.bochs");

    memcpy(file.bytes + 48, "Undoable", 8);
    file_put(&file, "image");
    file_free(&file);
}

static void bochs_small_bitmap(void)
{
    PUT("bochs/growing-2.bochs", false, {76, 4, 3});
}

/* A number whose place is past 2^63. */
static void bochs_far(void)
{
    PUT("bochs/growing-2.bochs", false, {80, 4, 1u << 26}, {76, 4, 1u << 26}, {512, 4, 0xfffffffe});
}

/* ---------------------------------------------------------------- cloop */

/* One block that claims to be 64 MiB, and is a stream of a few bytes. */
static void cloop_bomb(void)
{
    struct file file = file_fixture("cloop/thirds.cloop");

    file_set(&file, 128, 4, true, 1u << 26);
    file_set(&file, 132, 4, true, 3);
    file_put(&file, "image");
    file_free(&file);
}

static void cloop_descending(void)
{
    PUT("cloop/thirds.cloop", true, {144, 8, 140});
}

static void cloop_in_table(void)
{
    PUT("cloop/thirds.cloop", true, {136, 8, 8});
}

/* ------------------------------------------------------------------ DMG */

/* Offsets in dmg/resources.dmg, whose second table describes most of the disk. */
static size_t dmg_fork(const struct file *file)
{
    return (size_t)file_get(file, file->length - SECTOR + 40, 8, true);
}

static size_t dmg_second_table(const struct file *file)
{
    size_t first = dmg_fork(file) + 256;

    return first + 4 + (size_t)file_get(file, first, 4, true) + 4;
}

/* A field of chunk n of the second table. */
static void put_dmg_chunk(unsigned n, size_t field, unsigned width, uint64_t value)
{
    struct file file = file_fixture("dmg/resources.dmg");

    file_set(&file, dmg_second_table(&file) + 204 + n * 40 + field, width, true, value);
    file_put(&file, "image");
    file_free(&file);
}

static void dmg_overlap(void)
{
    put_dmg_chunk(2, 8, 8, 1);
}

static void dmg_unknown_type(void)
{
    put_dmg_chunk(1, 0, 4, 0x80000009);
}

static void dmg_large_chunk(void)
{
    struct file file = file_fixture("dmg/resources.dmg");
    size_t table = dmg_second_table(&file);

    /* A partition and a chunk of 64 MiB and a sector, compressed. */
    file_set(&file, table + 16, 8, true, 1u << 20);
    file_set(&file, table + 204 + 40, 4, true, 0x80000005);
    file_set(&file, table + 204 + 40 + 16, 8, true, 131073);
    file_put(&file, "image");
    file_free(&file);
}

/* Zeros without end: nobody may count them one by one. */
static void dmg_endless_zeros(void)
{
    struct file file = file_fixture("dmg/resources.dmg");
    size_t table = dmg_second_table(&file);

    file_set(&file, table + 16, 8, true, UINT64_C(1) << 53);
    file_set(&file, table + 200, 4, true, 2);
    file_set(&file, table + 204 + 40, 4, true, 0);
    file_set(&file, table + 204 + 40 + 16, 8, true, UINT64_C(1) << 53);
    file_put(&file, "image");
    file_free(&file);
}

/* Raw sectors that are not where the file is. */
static void dmg_raw_outside(void)
{
    struct file file = file_fixture("dmg/resources.dmg");
    size_t chunk = dmg_second_table(&file) + 204 + 40;

    file_set(&file, chunk, 4, true, 1);
    file_set(&file, chunk + 24, 8, true, UINT64_C(1) << 40);
    file_set(&file, chunk + 32, 8, true, 131 * SECTOR);
    file_put(&file, "image");
    file_free(&file);
}

static void dmg_segment(void)
{
    struct file file = file_fixture("dmg/resources.dmg");

    file_set(&file, file.length - SECTOR + 60, 4, true, 3);
    file_put(&file, "image");
    file_free(&file);
}

/* An entity that grows, in the place of the property list. */
static void dmg_entities(void)
{
    static const char list[] = "<?xml version=\"1.0\"?><!DOCTYPE plist [<!ENTITY a \"aaaaaaaa\">"
                               "<!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>"
                               "<plist><dict><key>&b;</key></dict></plist>";
    struct file file = file_fixture("dmg/xml.dmg");
    size_t trailer = file.length - SECTOR;
    size_t at = (size_t)file_get(&file, trailer + 216, 8, true);

    memcpy(file.bytes + at, list, strlen(list));
    file_set(&file, trailer + 224, 8, true, strlen(list));
    file_put(&file, "image");
    file_free(&file);
}

#define ANY IMG_REACH_ANY
#define DIRECTORY IMG_REACH_DIRECTORY
#define DENIED IMG_E_DENIED

const struct hostile hostile_read_only[] = {
    {"R1 qcow: absolute backing file", qcow_backing_absolute, "qcow", DIRECTORY, false,
     WANT_REFUSED, DENIED},
    {"R2 qcow: backing file is a URL", qcow_backing_url, "qcow", ANY, false, WANT_REFUSED, DENIED},
    {"R2 qcow: backing file is JSON", qcow_backing_json, "qcow", ANY, false, WANT_REFUSED, DENIED},
    {"R3 qcow: backing file without a format", qcow_backing_itself, "qcow", ANY, true, WANT_REFUSED,
     DENIED},
    {"R10 qcow: its own backing file", qcow_backing_itself, "qcow", ANY, false, WANT_REFUSED, 0},
    {"D2 qcow: L1 table of 2^50 entries", qcow_huge_l1, "qcow", ANY, false, WANT_REFUSED, 0},
    {"D9 qcow: the L1 table is an L2 table", qcow_l1_is_l2, "qcow", ANY, false, WANT_BOUNDED, 0},
    {"D9 qcow: all entries are one cluster", qcow_one_cluster, "qcow", ANY, false, WANT_FINE, 0},
    {"D10 qcow: a cluster that inflates to 1 MiB", qcow_bomb, "qcow", ANY, false, WANT_READ_ERROR,
     IMG_E_CORRUPT},
    {"D10 qcow: a cluster that inflates to too little", qcow_short_stream, "qcow", ANY, false,
     WANT_READ_ERROR, IMG_E_CORRUPT},
    {"R1 QED: absolute backing file", qed_backing_outside, "qed", DIRECTORY, false, WANT_REFUSED,
     DENIED},
    {"D2 QED: tables of 1 GiB", qed_huge_tables, "qed", ANY, false, WANT_REFUSED, IMG_E_CORRUPT},
    {"D9 QED: all entries are one table", qed_one_table, "qed", ANY, false, WANT_FAULTS, 0},
    {"D9 QED: the L1 table is an L2 table", qed_table_is_l1, "qed", ANY, false, WANT_FAULTS, 0},
    {"D9 Parallels: all entries are one cluster", parallels_one_cluster, "parallels", ANY, false,
     WANT_FAULTS, 0},
    {"Parallels: a BAT too small for the disk", parallels_few_entries, "parallels", ANY, false,
     WANT_REFUSED, IMG_E_CORRUPT},
    {"Parallels: a cluster in the BAT", parallels_in_bat, "parallels", ANY, false, WANT_FAULTS, 0},
    {"Parallels: not closed", parallels_not_closed, "parallels", ANY, false, WANT_FAULTS, 0},
    {"Bochs: a catalog too small for the disk", bochs_few_extents, "bochs", ANY, false,
     WANT_REFUSED, IMG_E_CORRUPT},
    {"Bochs: changes to a disk that is not named", bochs_undoable, "bochs", ANY, false,
     WANT_REFUSED, IMG_E_UNSUPPORTED},
    {"Bochs: bitmaps too small for the extents", bochs_small_bitmap, "bochs", ANY, false,
     WANT_REFUSED, IMG_E_CORRUPT},
    {"Bochs: an extent past 2^58 bytes", bochs_far, "bochs", ANY, false, WANT_ERROR, 0},
    {"D10 cloop: blocks of 64 MiB in a few bytes", cloop_bomb, "cloop", ANY, false, WANT_READ_ERROR,
     IMG_E_CORRUPT},
    {"cloop: offsets that go back", cloop_descending, "cloop", ANY, false, WANT_REFUSED,
     IMG_E_CORRUPT},
    {"cloop: a block in the table", cloop_in_table, "cloop", ANY, false, WANT_REFUSED,
     IMG_E_CORRUPT},
    {"DMG: two chunks for one sector", dmg_overlap, "dmg", ANY, false, WANT_REFUSED, IMG_E_CORRUPT},
    {"DMG: a chunk of no known type", dmg_unknown_type, "dmg", ANY, false, WANT_REFUSED,
     IMG_E_UNSUPPORTED},
    {"D7 DMG: a compressed chunk above 64 MiB", dmg_large_chunk, "dmg", ANY, false, WANT_REFUSED,
     IMG_E_LIMIT},
    {"D1 DMG: 4 EiB of zeros", dmg_endless_zeros, "dmg", ANY, false, WANT_BOUNDED, 0},
    {"DMG: raw sectors past the end of the file", dmg_raw_outside, "dmg", ANY, false, WANT_REFUSED,
     IMG_E_CORRUPT},
    {"DMG: one segment of three", dmg_segment, "dmg", ANY, false, WANT_REFUSED, IMG_E_UNSUPPORTED},
    {"DMG: entities in the property list", dmg_entities, "dmg", ANY, false, WANT_REFUSED, DENIED},
    {0},
};
