/*
 * Damage to the tables of VMDK's sparse extents. SPDX-License-Identifier: BSD-2-Clause
 *
 * Either directories or tables are damaged. Of a table that is lost the other copy is taken as a
 * whole: were that one damaged too, nobody could say what is right.
 */
#include "repair.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECTOR 512u

static uint64_t get(const struct file *file, uint64_t offset)
{
    return offset <= file->length - 4 ? file_get(file, offset, 4, false) : 0;
}

static bool is_cowd(const struct file *file)
{
    return memcmp(file->bytes, "COWD", 4) == 0;
}

/* The place of a directory, which a stream may have in its footer. */
static uint64_t pick_directory(const struct file *file, uint64_t *state)
{
    uint64_t sector = is_cowd(file) ? get(file, 20) : get(file, 56);

    if (sector == UINT32_MAX)
        return get(file, file->length - 2 * SECTOR + 56) * SECTOR;
    if (!is_cowd(file) && get(file, 8) & 2 && roll(state, 2))
        sector = get(file, 48);
    return sector * SECTOR;
}

static uint64_t pick_value(const struct file *file, uint64_t *state, uint64_t old)
{
    switch (roll(state, 8)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return old ^ UINT64_C(1) << roll(state, 32);
    case 3:
        return roll(state, file->length / SECTOR + 2);
    case 4:
        return 128 * roll(state, file->length / SECTOR / 128 + 2);
    case 5:
        return UINT32_MAX;
    default:
        return old + 128;
    }
}

void damage_vmdk(struct file *file, uint64_t *state, char *text, size_t size)
{
    bool directories = roll(state, 3) == 0;
    size_t length = 0;

    for (uint64_t changes = 1 + roll(state, 3); changes > 0; changes--) {
        uint64_t offset = pick_directory(file, state), old, value;

        if (!directories)
            offset = get(file, offset) * SECTOR + 4 * roll(state, roll(state, 4) ? 20 : 512);
        if (offset == 0 || offset > file->length - 4)
            continue;
        old = get(file, offset);
        value = pick_value(file, state, old) & UINT32_MAX;
        file_set(file, offset, 4, false, value);
        length +=
            (size_t)snprintf(text + length, size - length,
                             " 0x%" PRIx64 ": %08" PRIx64 " -> %08" PRIx64, offset, old, value);
    }
}
