/*
 * Stopping a disk at every place of its log. SPDX-License-Identifier: BSD-2-Clause
 *
 * A machine that stops leaves of each file what was flushed, and of what was done to it later any
 * part: each change may be there or not, and of a write some sectors only. What is tried at every
 * entry of the log: all that came before it, and a random choice of what was not flushed; where a
 * flush comes next also nothing of it, everything but one change, one change alone, and more
 * choices.
 */
#ifndef CUT_H
#define CUT_H

#include "disk.h"

struct cut_plan {
    const struct disk *disk;
    uint64_t seed;
    unsigned choices; /* random ones where a flush comes next */
    /*
     * Look at what is left, a disk that is attached, when the log ends before entry `log`. NULL: it
     * is sound; or what is wrong with it, in text.
     */
    const char *(*judge)(void *opaque, size_t log, char *text, size_t size);
    void *opaque;
};

struct cut_result {
    size_t states, failed;
};

/* Adds to *result, and says what failed. */
void cut_everywhere(const struct cut_plan *plan, struct cut_result *result);

/* Case `index` of a test, with a seed. */
typedef void cut_case_fn(size_t index, uint64_t seed, struct cut_result *result);

/*
 * What main does: each case with `seeds` seeds from that of the command line on (1), in a directory
 * of the test's own. Returns the exit status.
 */
int cut_main(int argc, char **argv, size_t cases, unsigned seeds, cut_case_fn *fn);

/* Random numbers that are the same everywhere: below limit. */
uint64_t cut_random(uint64_t *state, uint64_t limit);

#endif
