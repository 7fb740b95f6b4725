/*
 * The fields of a VDI image: its header and its block map. SPDX-License-Identifier: BSD-2-Clause
 */
#include "fields.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct field header[] = {
    {"signature", 64, 4, {0xbeda107e}},
    {"version", 68, 4, {0x00010000, 0x00010002, 0x00020001}},
    {"header size", 72, 4, {383, 384, 400, 1u << 31}},
    {"type", 76, 4, {2, 3, 4, 5}},
    {"offset_bmap", 340, 4, {511, 512, 513, 1024, 1u << 20, 1u << 31}},
    {"offset_data", 344, 4, {512, 1023, 1u << 20, 0xfffffe00}},
    {"sector size", 360, 4, {511, 513, 4096}},
    {"disk size", 368, 8, {2, 511, 513, 2097152, 2097153, UINT64_C(1) << 40, UINT64_C(1) << 63}},
    {"block size", 376, 4, {512, 4096, 1048575, 1u << 21, 1u << 26, 1u << 27, 1u << 31}},
    {"block extra", 380, 4, {512}},
    {"blocks", 384, 4, {2, 3, 128, 129, 0x1fffff80, 0x1fffff81}},
    {"blocks allocated", 388, 4, {2, 3, 1u << 31}},
    {"link UUID", 424, 8, {2}},
};

void changes_vdi(struct changes *changes, const struct file *file)
{
    static const uint64_t values[] = {0, 1, 2, 3, UINT32_MAX, UINT32_MAX - 1, 1u << 31, 4095};
    size_t map = (size_t)file_get(file, 340, 4, false);

    change_add_fields(changes, header, COUNT(header), 0, false);
    for (unsigned block = 0; block < 2; block++) {
        for (size_t n = 0; n < COUNT(values); n++) {
            struct change change = {.offset = map + block * 4, .width = 4, .value = values[n]};

            snprintf(change.name, sizeof(change.name), "block map entry %u", block);
            change_add(changes, &change);
        }
    }
}
