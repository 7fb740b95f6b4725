/*
 * Hostile VDI and VHD images. SPDX-License-Identifier: BSD-2-Clause
 *
 * Made of the fixtures. Checksums are made right again, so that what they cover is looked at.
 */
#include "hostile.h"

#include <stdlib.h>
#include <string.h>

#define FOOTER 512u
#define HEADER 1024u

/* ------------------------------------------------------------------- VDI */

static void put_vdi(size_t offset, unsigned width, uint64_t value)
{
    struct file file = file_fixture("vdi/dynamic.vdi");

    file_set(&file, offset, width, false, value);
    file_put(&file, "image");
    file_free(&file);
}

static void vdi_shared(void)
{
    put_vdi(512 + 4, 4, 0);
}

static void vdi_past_end(void)
{
    put_vdi(512, 4, 0xfffffffd);
}

static void vdi_many_blocks(void)
{
    put_vdi(384, 4, 0x1fffff80);
}

static void vdi_many_allocated(void)
{
    put_vdi(388, 4, 0xffffffff);
}

static void vdi_map_in_data(void)
{
    put_vdi(344, 4, 512);
}

static void vdi_child(void)
{
    put_vdi(76, 4, 4);
}

/* A map of 1 GiB in a file that says so, and is as long: all entries lead to one block. */
static void vdi_one_place(void)
{
    struct file file = file_fixture("vdi/dynamic.vdi");

    file_set(&file, 368, 8, false, 128u << 20);
    file_set(&file, 384, 4, false, 128);
    for (size_t n = 0; n < 128; n++)
        file_set(&file, 512 + 4 * n, 4, false, 1);
    file_put(&file, "image");
    file_free(&file);
}

/* ------------------------------------------------------------------- VHD */

static void seal(struct file *file, size_t offset, size_t length, size_t at)
{
    uint32_t sum = 0;

    file_set(file, offset + at, 4, true, 0);
    for (size_t n = 0; n < length; n++)
        sum += file->bytes[offset + n];
    file_set(file, offset + at, 4, true, ~sum);
}

/* A number over a field of both footers (header: of the dynamic header). */
static void put_vhd(bool header, size_t offset, unsigned width, uint64_t value)
{
    struct file file = file_fixture("vhd/dynamic.vhd");

    if (header) {
        file_set(&file, FOOTER + offset, width, true, value);
        seal(&file, FOOTER, HEADER, 36);
    } else {
        file_set(&file, offset, width, true, value);
        seal(&file, 0, FOOTER, 64);
        memcpy(file.bytes + file.length - FOOTER, file.bytes, FOOTER);
    }
    file_put(&file, "image");
    file_free(&file);
}

static void vhd_many_entries(void)
{
    put_vhd(true, 28, 4, 0xffffffff);
}

static void vhd_few_entries(void)
{
    put_vhd(true, 28, 4, 0);
}

static void vhd_tiny_blocks(void)
{
    put_vhd(true, 32, 4, 512);
}

static void vhd_huge_blocks(void)
{
    put_vhd(true, 32, 4, 0x80000000);
}

static void vhd_far_bat(void)
{
    put_vhd(true, 16, 8, UINT64_MAX - 511);
}

static void vhd_huge_size(void)
{
    put_vhd(false, 48, 8, UINT64_MAX);
}

static void vhd_far_header(void)
{
    put_vhd(false, 16, 8, UINT64_MAX);
}

static void vhd_block_on_header(void)
{
    struct file file = file_fixture("vhd/dynamic.vhd");

    file_set(&file, 1536, 4, true, 1);
    file_put(&file, "image");
    file_free(&file);
}

/* A differencing image whose parent is that path, in UTF-16 over the BAT's padding. */
static void put_child(const char *path)
{
    struct file file = file_fixture("vhd/dynamic.vhd");
    size_t length = strlen(path);

    if (length > 250)
        abort();
    for (size_t n = 0; n < length; n++)
        file_set(&file, 1544 + 2 * n, 2, false, (unsigned char)path[n]);
    memset(file.bytes + 1536, 0xff, 4);
    memcpy(file.bytes + FOOTER + 576, "W2ru", 4);
    file_set(&file, FOOTER + 576 + 4, 4, true, 1);
    file_set(&file, FOOTER + 576 + 8, 4, true, 2 * length);
    file_set(&file, FOOTER + 576 + 16, 8, true, 1544);
    seal(&file, FOOTER, HEADER, 36);
    file_set(&file, 60, 4, true, 4);
    seal(&file, 0, FOOTER, 64);
    memcpy(file.bytes + file.length - FOOTER, file.bytes, FOOTER);
    file_put(&file, "image");
    file_free(&file);
}

static void parent_absolute(void)
{
    char *path = outside_path();

    put_child(path);
    free(path);
}

static void parent_above(void)
{
    put_child("..\\noise");
}

static void parent_protocol(void)
{
    put_child("nbd://localhost/x");
}

static void parent_is_itself(void)
{
    put_child(".\\image");
}

static void locator_outside(void)
{
    struct file file;

    put_child("x");
    file = file_load("image");
    file_set(&file, FOOTER + 576 + 16, 8, true, UINT64_MAX - 1);
    seal(&file, FOOTER, HEADER, 36);
    file_put(&file, "image");
    file_free(&file);
}

#define ANY IMG_REACH_ANY
#define DIRECTORY IMG_REACH_DIRECTORY

const struct hostile hostile_vdi_vhd[] = {
    {"D9 VDI: one place for two blocks", vdi_shared, "vdi", ANY, false, WANT_READ_ERROR,
     IMG_E_CORRUPT},
    {"D9 VDI: one place for all blocks", vdi_one_place, "vdi", ANY, false, WANT_READ_ERROR,
     IMG_E_CORRUPT},
    {"D9 VDI: the check says so", vdi_one_place, "vdi", ANY, false, WANT_FAULTS, 0},
    {"VDI: a place past the end", vdi_past_end, "vdi", ANY, false, WANT_READ_ERROR, IMG_E_CORRUPT},
    {"D2 VDI: a map of 2 GiB", vdi_many_blocks, "vdi", ANY, false, WANT_REFUSED, IMG_E_CORRUPT},
    {"D4 VDI: 2^32 - 1 allocated blocks", vdi_many_allocated, "vdi", ANY, false, WANT_BOUNDED, 0},
    {"VDI: blocks over the map", vdi_map_in_data, "vdi", ANY, false, WANT_REFUSED, IMG_E_CORRUPT},
    {"VDI: a child without a parent", vdi_child, "vdi", ANY, false, WANT_BOUNDED, 0},
    {"D2 VHD: a BAT of 16 GiB", vhd_many_entries, "vpc", ANY, false, WANT_REFUSED, 0},
    {"VHD: a BAT without entries", vhd_few_entries, "vpc", ANY, false, WANT_REFUSED, IMG_E_CORRUPT},
    {"VHD: blocks of a sector", vhd_tiny_blocks, "vpc", ANY, false, WANT_REFUSED, IMG_E_CORRUPT},
    {"VHD: blocks of 2 GiB", vhd_huge_blocks, "vpc", ANY, false, WANT_REFUSED, IMG_E_CORRUPT},
    {"D8 VHD: a BAT at the end of all numbers", vhd_far_bat, "vpc", ANY, false, WANT_REFUSED, 0},
    {"VHD: a disk of 2^64 - 1 bytes", vhd_huge_size, "vpc", ANY, false, WANT_REFUSED, IMG_E_LIMIT},
    {"VHD: a header past the end", vhd_far_header, "vpc", ANY, false, WANT_REFUSED, IMG_E_CORRUPT},
    {"VHD: a block over the header", vhd_block_on_header, "vpc", ANY, false, WANT_READ_ERROR,
     IMG_E_CORRUPT},
    {"R8 VHD: a parent anywhere", parent_absolute, "vpc", DIRECTORY, false, WANT_REFUSED,
     IMG_E_DENIED},
    {"R8 VHD: a parent above", parent_above, "vpc", DIRECTORY, false, WANT_REFUSED, IMG_E_DENIED},
    {"R2 VHD: a parent by a protocol", parent_protocol, "vpc", ANY, false, WANT_REFUSED, 0},
    {"R10 VHD: a parent that is the image", parent_is_itself, "vpc", ANY, false, WANT_REFUSED,
     IMG_E_CORRUPT},
    {"VHD: a locator past the end", locator_outside, "vpc", ANY, false, WANT_REFUSED,
     IMG_E_CORRUPT},
    {0},
};
