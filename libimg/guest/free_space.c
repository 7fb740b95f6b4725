/*
 * Space that a guest does not use: the ranges of it. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "free_space.h"

#define RANGES_MAX (1u << 24) /* of one disk */

/* ------------------------------------------------------------------ ranges */

int imgi_free_space_add(img_free_space *space, uint64_t start, uint64_t end, img_error *err)
{
    struct imgi_free_range *last =
        space->count > space->first ? &space->ranges[space->count - 1] : NULL;

    if (start >= end)
        return 0;
    if (last && last->end == start) {
        last->end = end;
        return 0;
    }
    if (space->count == RANGES_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "its free space is in more than %u pieces", RANGES_MAX);
    if (space->count == space->room) {
        size_t room = IMGI_MAX(2 * space->room, 64);
        struct imgi_free_range *ranges = reallocarray(space->ranges, room, sizeof(*ranges));

        if (!ranges)
            return imgi_fail_nomem(err, "free space");
        space->ranges = ranges;
        space->room = room;
    }
    space->ranges[space->count++] = (struct imgi_free_range){start, end};
    return 0;
}

void imgi_free_space_forget(img_free_space *space)
{
    space->count = space->first;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct imgi_free_range *left = a, *right = b;

    return left->start < right->start ? -1 : left->start > right->start;
}

void imgi_free_space_merge(img_free_space *space)
{
    size_t kept = 0;

    if (space->count > 0)
        qsort(space->ranges, space->count, sizeof(*space->ranges), compare_ranges);
    for (size_t n = 0; n < space->count; n++) {
        struct imgi_free_range *last = kept ? &space->ranges[kept - 1] : NULL;

        if (last && space->ranges[n].start <= last->end)
            last->end = IMGI_MAX(last->end, space->ranges[n].end);
        else
            space->ranges[kept++] = space->ranges[n];
    }
    space->count = kept;
    for (size_t n = 0; n < kept; n++)
        space->bytes += space->ranges[n].end - space->ranges[n].start;
}

/* ---------------------------------------------------------------- findings */

/* A copy of a text, or NULL. *complete: there was memory for it. */
static char *copy(const char *text, bool *complete)
{
    char *result = text ? strdup(text) : NULL;

    *complete = *complete && (result || !text);
    return result;
}

int imgi_free_space_note(img_free_space *space, const img_volume *volume, const char *kept,
                         img_error *err)
{
    struct imgi_free_finding *findings = reallocarray(space->findings, space->finding_count + 1,
                                                      sizeof(*findings)),
                             *finding;
    bool complete = true;

    if (!findings)
        return imgi_fail_nomem(err, "free space");
    space->findings = findings;
    finding = &findings[space->finding_count++];
    *finding = (struct imgi_free_finding){.device = copy(volume->device, &complete),
                                          .content = copy(volume->content, &complete),
                                          .kept = copy(kept, &complete)};
    for (; space->first < space->count; space->first++)
        finding->bytes += space->ranges[space->first].end - space->ranges[space->first].start;
    return complete ? 0 : imgi_fail_nomem(err, "free space");
}

void img_free_space_free(img_free_space *space)
{
    if (!space)
        return;
    for (size_t n = 0; n < space->finding_count; n++) {
        free(space->findings[n].device);
        free(space->findings[n].content);
        free(space->findings[n].kept);
    }
    free(space->findings);
    free(space->ranges);
    free(space);
}

/* --------------------------------------------------------------- questions */

uint64_t img_free_space_bytes(const img_free_space *space)
{
    return space->bytes;
}

uint64_t imgi_free_space_size(const img_free_space *space)
{
    return space->size;
}

uint64_t img_free_space_run(const img_free_space *space, uint64_t offset, uint64_t length,
                            bool *free)
{
    size_t low = 0, high = space->count;
    uint64_t end = UINT64_MAX;

    /* The first range that ends behind offset. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (space->ranges[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    *free = low < space->count && space->ranges[low].start <= offset;
    if (low < space->count)
        end = *free ? space->ranges[low].end : space->ranges[low].start;
    return IMGI_MIN(length, end - offset);
}

bool img_free_space_volume(const img_free_space *space, size_t n, img_free_volume *volume)
{
    if (n >= space->finding_count)
        return false;
    *volume = (img_free_volume){.device = space->findings[n].device,
                                .content = space->findings[n].content,
                                .bytes = space->findings[n].bytes,
                                .kept = space->findings[n].kept};
    return true;
}
