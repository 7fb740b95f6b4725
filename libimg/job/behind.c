/*
 * Keeping a huge target out of the page cache. SPDX-License-Identifier: BSD-2-Clause
 */
#include "behind.h"

void imgi_behind_init(struct imgi_behind *behind)
{
    *behind = (struct imgi_behind){0};
    pthread_mutex_init(&behind->lock, NULL);
}

void imgi_behind_end(struct imgi_behind *behind)
{
    pthread_mutex_destroy(&behind->lock);
}

void imgi_behind_wrote(struct imgi_behind *behind, struct imgi_io *io, uint64_t offset,
                       uint64_t length)
{
    struct imgi_written oldest;

    pthread_mutex_lock(&behind->lock);
    behind->written += length;
    if (behind->written < BEHIND_START) {
        pthread_mutex_unlock(&behind->lock);
        return;
    }
    oldest = behind->recent[behind->next];
    behind->recent[behind->next] = (struct imgi_written){io, offset, length};
    behind->next = (behind->next + 1) % BEHIND_DISTANCE;
    pthread_mutex_unlock(&behind->lock);
    imgi_io_write_out(io, offset, length);
    if (oldest.io)
        imgi_io_evict(oldest.io, oldest.offset, oldest.length);
}
