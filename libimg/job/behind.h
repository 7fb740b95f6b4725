/*
 * Keeping a huge target out of the page cache. SPDX-License-Identifier: BSD-2-Clause
 *
 * A copy of many GiB would push everything else out of memory, and then stall in its last flush.
 * From BEHIND_START bytes on, what is written goes to the disk at once and is dropped from the
 * cache once it lies BEHIND_DISTANCE writes back. Smaller targets stay cached: they are
 * often read right afterwards.
 */
#ifndef IMGI_BEHIND_H
#define IMGI_BEHIND_H

#include <pthread.h>

#include "io/io.h"

#define BEHIND_START (1ull << 30)
#define BEHIND_DISTANCE 128

struct imgi_behind {
    pthread_mutex_t lock; /* protects all of it; not held over system calls */
    uint64_t written;
    struct imgi_written {
        struct imgi_io *io;
        uint64_t offset, length;
    } recent[BEHIND_DISTANCE];
    size_t next;
};

void imgi_behind_init(struct imgi_behind *behind);
void imgi_behind_end(struct imgi_behind *behind);
/* These bytes have just been written. */
void imgi_behind_wrote(struct imgi_behind *behind, struct imgi_io *io, uint64_t offset,
                       uint64_t length);

#endif
