/*
 * Where a file's bytes are, as a list. SPDX-License-Identifier: BSD-2-Clause
 */
#include "runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a list may take of memory: 64 MiB. Nothing but an attack has a file in so many pieces. */
#define RUNS_MAX (((size_t)64 << 20) / sizeof(struct imgi_run))

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
    if (runs->count == RUNS_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "its bytes are in more than %zu pieces", RUNS_MAX);
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

int imgi_runs_read(const struct imgi_runs *runs, const struct imgi_volume *volume, uint64_t offset,
                   void *buffer, size_t length, img_error *err)
{
    uint8_t *to = buffer;

    if (!imgi_span_ok(offset, length, runs->end))
        return imgi_fail_errno(err, EIO, "its places end at byte %llu",
                               (unsigned long long)runs->end);
    for (size_t done = 0; done < length;) {
        struct imgi_run run = {.offset = offset + done, .length = length - done};
        int rc = 0;

        imgi_runs_find(runs, &run);
        if (run.kind == IMGI_RUN_DATA)
            rc = imgi_volume_read(volume, run.place, to + done, (size_t)run.length, err);
        else
            memset(to + done, 0, (size_t)run.length);
        if (rc < 0)
            return rc;
        done += (size_t)run.length;
    }
    return 0;
}

void imgi_runs_free(struct imgi_runs *runs)
{
    free(runs->runs);
    *runs = (struct imgi_runs){0};
}
