/*
 * Where a file's bytes are, as a list. SPDX-License-Identifier: BSD-2-Clause
 */
#include "runs.h"

#include <stdlib.h>

/* Whether such a run goes on where the last one ends. */
static bool goes_on(const struct imgi_run *last, enum imgi_run_kind kind, uint64_t place)
{
    return last->kind == kind && (kind != IMGI_RUN_DATA || last->place + last->length == place);
}

int imgi_runs_add(struct imgi_runs *runs, uint64_t length, enum imgi_run_kind kind, uint64_t place,
                  img_error *err)
{
    struct imgi_run *last = runs->count > 0 ? &runs->runs[runs->count - 1] : NULL;

    if (length == 0)
        return 0;
    if (last && goes_on(last, kind, place)) {
        last->length += length;
        runs->end += length;
        return 0;
    }
    if (runs->count == runs->room) {
        size_t room = runs->room ? runs->room * 2 : 8;
        struct imgi_run *more = reallocarray(runs->runs, room, sizeof(*more));

        if (!more)
            return imgi_fail_nomem(err, "a file's places");
        runs->runs = more;
        runs->room = room;
    }
    runs->runs[runs->count++] =
        (struct imgi_run){.offset = runs->end, .length = length, .kind = kind, .place = place};
    runs->end += length;
    return 0;
}

void imgi_runs_find(const struct imgi_runs *runs, struct imgi_run *run)
{
    size_t low = 0, high = runs->count;
    const struct imgi_run *found;
    uint64_t in;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (runs->runs[middle].offset <= run->offset)
            low = middle;
        else
            high = middle;
    }
    found = &runs->runs[low];
    in = run->offset - found->offset;
    run->length = IMGI_MIN(run->length, found->length - in);
    run->kind = found->kind;
    run->place = found->place + in;
}

void imgi_runs_free(struct imgi_runs *runs)
{
    free(runs->runs);
    *runs = (struct imgi_runs){0};
}
