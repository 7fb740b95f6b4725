/*
 * Where a file's bytes are, as a list. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_RUNS_H
#define IMGI_RUNS_H

#include "provider.h"

/* Of a file's beginning: runs without gaps, neighbours joined. Zeroed, it is empty. */
struct imgi_runs {
    struct imgi_run *runs;
    size_t count, room;
    uint64_t end; /* how much of the file they are */
};

/* Append one run. */
int imgi_runs_add(struct imgi_runs *runs, uint64_t length, enum imgi_run_kind kind, uint64_t place,
                  img_error *err);
/* As a provider's map does, for run->offset below runs->end. */
void imgi_runs_find(const struct imgi_runs *runs, struct imgi_run *run);
/* Bytes of the file, all of them below runs->end. */
int imgi_runs_read(const struct imgi_runs *runs, const struct imgi_volume *volume, uint64_t offset,
                   void *buffer, size_t length, img_error *err);
/* The list is empty then. */
void imgi_runs_free(struct imgi_runs *runs);

#endif
