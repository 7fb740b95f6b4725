/*
 * Blocks that lie in one another's place. SPDX-License-Identifier: BSD-2-Clause
 *
 * Blocks lie at any sector, so they are sorted by that, and each is compared with what reaches
 * farthest of those before it.
 */
#include <stdlib.h>

#include "vhd.h"

static int compare(const void *a, const void *b)
{
    const struct vhd_slot *one = a, *other = b;

    if (one->start != other->start)
        return one->start < other->start ? -1 : 1;
    return one->block < other->block ? -1 : one->block > other->block;
}

/* No file of blocks is longer: sectors have 32-bit numbers. */
#define FILE_BYTES_MAX ((uint64_t)VHD_ENTRY_ABSENT * VHD_SECTOR)

/*
 * What a locator takes up: its text, which nobody else may have, and of the space that is kept for
 * a longer one what is before the next block and the footer.
 */
static struct vhd_slot locator_slot(const struct vhd_state *state,
                                    const struct vhd_locator *locator)
{
    uint64_t start = IMGI_MIN(locator->offset, FILE_BYTES_MAX);
    uint64_t end = start + imgi_align_up(locator->length, VHD_SECTOR), space = locator->space;

    space = start + (space % VHD_SECTOR == 0 ? space : space * VHD_SECTOR);
    space = IMGI_MIN(space, state->end);
    for (uint32_t block = 0; block < state->header.bat_entries && space > end; block++) {
        uint64_t other = (uint64_t)vhd_entry(state, block) * VHD_SECTOR;

        if (vhd_entry(state, block) != VHD_ENTRY_ABSENT && other >= start)
            space = IMGI_MIN(space, other);
    }
    return (struct vhd_slot){start, IMGI_MAX(end, space), VHD_ENTRY_ABSENT};
}

int vhd_slots_sort(const struct vhd_state *state, struct vhd_slot **out, size_t *count,
                   img_error *err)
{
    uint32_t entries = state->header.bat_entries;
    uint64_t header = state->footer.data_offset, bat = state->header.bat_offset;
    struct vhd_slot *slots = calloc((size_t)entries + 3 + VHD_LOCATORS, sizeof(*slots));

    *out = slots;
    if (!slots)
        return imgi_fail_nomem(err, "a table of blocks");
    slots[0] = (struct vhd_slot){0, VHD_FOOTER_BYTES, VHD_ENTRY_ABSENT};
    slots[1] = (struct vhd_slot){header, header + VHD_HEADER_BYTES, VHD_ENTRY_ABSENT};
    slots[2] = (struct vhd_slot){bat, bat + vhd_bat_bytes(entries), VHD_ENTRY_ABSENT};
    *count = 3;
    for (size_t i = 0; i < VHD_LOCATORS; i++)
        if (vhd_has_locator(state, i))
            slots[(*count)++] = locator_slot(state, &state->header.locators[i]);
    for (uint32_t block = 0; block < entries; block++) {
        uint64_t start = (uint64_t)vhd_entry(state, block) * VHD_SECTOR;

        if (vhd_entry(state, block) != VHD_ENTRY_ABSENT)
            slots[(*count)++] = (struct vhd_slot){start, start + vhd_slot_bytes(state), block};
    }
    qsort(slots, *count, sizeof(*slots), compare);
    return 0;
}

static void mark(struct vhd_state *state, const struct vhd_slot *slot)
{
    if (slot->block != VHD_ENTRY_ABSENT)
        vhd_bit_set(state->shared, slot->block);
}

int vhd_find_shared(struct vhd_state *state, uint64_t *end, img_error *err)
{
    struct vhd_slot *slots = NULL;
    size_t count = 0, farthest = 0;
    int rc = vhd_slots_sort(state, &slots, &count, err);

    memset(state->shared, 0, state->header.bat_entries / 8 + 1);
    *end = rc == 0 ? slots[0].end : 0;
    for (size_t i = 1; rc == 0 && i < count; i++) {
        if (slots[i].start < *end) {
            mark(state, &slots[i]);
            mark(state, &slots[farthest]);
        }
        if (slots[i].end > *end) {
            *end = slots[i].end;
            farthest = i;
        }
    }
    free(slots);
    return rc;
}
