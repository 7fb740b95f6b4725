/*
 * A set of files, each with a text. SPDX-License-Identifier: BSD-2-Clause
 *
 * Open addressing; inode numbers are spread by a multiplication.
 */
#include <stdlib.h>

#include "guest.h"

static size_t slot_of(const struct guest_places *set, const img_place *place)
{
    uint64_t hash = (place->inode + (uintptr_t)place->fs) * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (size_t)(hash >> 20) & (set->room - 1);

    while (set->list[slot].place.fs &&
           (set->list[slot].place.fs != place->fs || set->list[slot].place.inode != place->inode))
        slot = (slot + 1) & (set->room - 1);
    return slot;
}

static bool grow(struct guest_places *set)
{
    struct guest_places larger = {.count = set->count, .room = set->room ? set->room * 2 : 256};

    larger.list = calloc(larger.room, sizeof(*larger.list));
    if (!larger.list)
        return false;
    for (size_t n = 0; n < set->room; n++)
        if (set->list[n].place.fs)
            larger.list[slot_of(&larger, &set->list[n].place)] = set->list[n];
    free(set->list);
    *set = larger;
    return true;
}

struct guest_place *guest_places_add(struct guest_places *set, const img_place *place, bool *known)
{
    struct guest_place *found;

    if (set->count * 2 >= set->room && !grow(set))
        return NULL;
    found = &set->list[slot_of(set, place)];
    *known = found->place.fs;
    if (!*known) {
        found->place = *place;
        set->count++;
    }
    return found;
}

void guest_places_clear(struct guest_places *set)
{
    for (size_t n = 0; n < set->room; n++)
        free(set->list[n].text);
    free(set->list);
    *set = (struct guest_places){0};
}
