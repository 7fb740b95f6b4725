/*
 * Damage to the tables of qcow2 images. SPDX-License-Identifier: BSD-2-Clause
 */
#include "repair.h"

#include <inttypes.h>
#include <stdio.h>

#define BLOCK 512u
#define OFFSETS UINT64_C(0x00fffffffffffe00)
#define COPIED (UINT64_C(1) << 63)

static uint64_t get(const struct file *file, uint64_t offset)
{
    return offset <= file->length - 8 ? file_get(file, offset, 8, true) : 0;
}

/* A place where a table of 8-byte entries begins, and their number; 0: there is no such table. */
static uint64_t pick_table(const struct file *file, uint64_t *state, uint64_t *offset)
{
    uint64_t cluster = UINT64_C(1) << file_get(file, 20, 4, true);
    uint64_t l1 = file_get(file, 40, 8, true), l1_entries = file_get(file, 36, 4, true);

    *offset = l1;
    switch (roll(state, 6)) {
    case 0:
        return l1_entries;
    case 1:
    case 2: /* an L2 table; most entries of a small disk are at its start */
        *offset = get(file, l1 + 8 * roll(state, l1_entries)) & OFFSETS;
        return *offset ? cluster / 8 / (1 + 7 * roll(state, 2)) : 0;
    case 3:
        *offset = file_get(file, 48, 8, true);
        return 4;
    case 4: /* refcounts, however wide */
        *offset = get(file, file_get(file, 48, 8, true)) & OFFSETS;
        return *offset ? cluster / 8 / (1 + 15 * roll(state, 2)) : 0;
    default: /* the snapshot table or a snapshot's L1 table */
        *offset = file_get(file, 60, 4, true) ? file_get(file, 64, 8, true) : 0;
        if (*offset && roll(state, 2))
            *offset = get(file, *offset) & OFFSETS;
        return *offset ? 10 : 0;
    }
}

static uint64_t pick_value(const struct file *file, uint64_t *state, uint64_t old)
{
    uint64_t clusters = file->length >> file_get(file, 20, 4, true);
    uint64_t offset = roll(state, clusters + 2) << file_get(file, 20, 4, true);

    switch (roll(state, 8)) {
    case 0:
        return 0;
    case 1:
        return old ^ COPIED;
    case 2:
        return old ^ UINT64_C(1) << roll(state, 64);
    case 3:
        return (old & COPIED) | offset;
    case 4:
        return COPIED | offset;
    case 5:
        return offset | roll(state, 2) | BLOCK;
    case 6:
        return UINT64_MAX;
    default:
        return old ^ 1;
    }
}

void damage_qcow2(struct file *file, uint64_t *state, char *text, size_t size)
{
    size_t length = 0;

    for (uint64_t changes = 1 + roll(state, 3); changes > 0; changes--) {
        uint64_t offset, entries = pick_table(file, state, &offset), old, value;

        if (entries == 0)
            continue;
        offset += 8 * roll(state, entries);
        if (offset > file->length - 8)
            continue;
        old = file_get(file, offset, 8, true);
        value = pick_value(file, state, old);
        file_set(file, offset, 8, true, value);
        length +=
            (size_t)snprintf(text + length, size - length,
                             " 0x%" PRIx64 ": %016" PRIx64 " -> %016" PRIx64, offset, old, value);
    }
}
