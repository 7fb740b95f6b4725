/*
 * The fields of a VHD image: its footer and the copy of it, the dynamic header, the BAT, bitmaps.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A change of the footer alone is seen by its checksum; the other changes are not.
 */
#include "fields.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct field footer[] = {
    {"cookie", 0, 8, {2}},
    {"version", 12, 4, {0x00010001, 0x00020000}},
    {"data offset", 16, 8, {512, 513, 1536, 1u << 20, UINT64_C(1) << 63}},
    {"creator", 28, 4, {0x71656d75, 0x77696e20}},
    {"current size", 48, 8, {512, 1u << 21, 1u << 22, UINT64_C(1) << 41, UINT64_C(1) << 63}},
    {"geometry", 56, 4, {0x00010411, 0xffff10ff}},
    {"type", 60, 4, {2, 3, 4, 5}},
    {"checksum", 64, 4, {2}},
};

static const struct field header[] = {
    {"header cookie", 0, 8, {2}},
    {"BAT offset", 16, 8, {512, 1024, 1537, 2048, 1u << 20, UINT64_C(1) << 63}},
    {"header version", 24, 4, {0x00010001, 0x00020000}},
    {"BAT entries", 28, 4, {2, 128, 1u << 20, 1u << 31}},
    {"block size", 32, 4, {512, 4096, 1u << 20, (1u << 21) + 512, 1u << 26, 1u << 27, 1u << 31}},
    {"header checksum", 36, 4, {2}},
    {"locator code", 576, 4, {0x57327275, 0x57326b75}},
};

static const struct field bitmap[] = {{"bitmap", 0, 8, {2}}};

static void add_bat(struct changes *changes, const struct file *file, size_t bat)
{
    const uint64_t end = file->length / 512;
    const uint64_t values[] = {
        0, 1, 2, 3, 4, 5, end - 2, end, UINT32_MAX, 4097, UINT32_MAX - 1, 1u << 31};

    for (size_t n = 0; n < COUNT(values); n++) {
        struct change change = {.offset = bat, .width = 4, .big_endian = true, .value = values[n]};

        snprintf(change.name, sizeof(change.name), "BAT entry 0");
        change_add(changes, &change);
    }
}

void changes_vhd(struct changes *changes, const struct file *file)
{
    size_t bat = (size_t)file_get(file, 512 + 16, 8, true);

    change_add_fields(changes, footer, COUNT(footer), file->length - 512, true);
    if (file_get(file, file->length - 512 + 60, 4, true) == 2)
        return;
    change_add_fields(changes, footer, COUNT(footer), 0, true);
    change_add_fields(changes, header, COUNT(header), 512, true);
    change_add_fields(changes, bitmap, COUNT(bitmap), (size_t)file_get(file, bat, 4, true) * 512,
                      true);
    add_bat(changes, file, bat);
}
