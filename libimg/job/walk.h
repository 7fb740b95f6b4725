/*
 * Walking an image from its start to its end, on many threads.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One thread at a time looks at the maps, in order, and takes the next piece that something has to
 * be done about; what that is is done outside of the lock. Nothing is begun behind a failure.
 */
#ifndef IMGI_WALK_H
#define IMGI_WALK_H

#include "job.h"

/* The most that one piece of data has; as much as the largest cluster any format has here. */
#define IMGI_WALK_PIECE (2u << 20)

enum imgi_walk_action {
    IMGI_WALK_SKIP, /* nothing to do */
    IMGI_WALK_ZERO, /* no data: of any length */
    IMGI_WALK_DATA  /* cut into pieces of IMGI_WALK_PIECE bytes at most */
};

/* What one thread needs. */
struct imgi_walk_thread {
    struct imgi_scratch scratch[3];
    uint8_t *buffers[2];        /* IMGI_WALK_PIECE bytes each */
    struct imgi_packer *packer; /* made by who wants one; freed with the rest */
};

struct imgi_walk {
    img_job *job;
    const char *phase; /* for the progress */
    void *context;
    uint64_t end;   /* bytes of the disk */
    uint32_t align; /* pieces of data end at multiples of it where they can; 0: anywhere */
    /* What is to be done from offset on, and (*length is the most there is) for how far. */
    int (*look)(void *context, uint64_t offset, uint64_t *length, enum imgi_walk_action *action,
                img_error *err);
    int (*act)(void *context, struct imgi_walk_thread *thread, uint64_t offset, uint64_t length,
               enum imgi_walk_action action, img_error *err);
};

/* Begins the job and runs it; the first failure is returned once every thread has stopped. */
int imgi_walk_run(const struct imgi_walk *walk, img_error *err);

#endif
