/*
 * A ring of pieces of work: done by many threads, committed in order.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A piece goes through four steps. plan and commit run in the order of the pieces, one at a time
 * each; prepare and finish run on any thread, any number at a time. Nobody waits for his turn: the
 * thread that makes the oldest piece ready commits it and all ready ones behind it.
 */
#ifndef IMGI_RING_H
#define IMGI_RING_H

#include "error.h"

struct imgi_ring_ops {
    /* Fill the piece with the next work. *more becomes false when there is none. */
    int (*plan)(void *context, void *piece, bool *more, img_error *err);
    int (*prepare)(void *context, void *thread, void *piece, img_error *err);
    int (*commit)(void *context, void *piece, img_error *err);
    int (*finish)(void *context, void *thread, void *piece, img_error *err);
    /* What one thread needs for its steps; NULL after a failure. thread_end takes NULL. */
    void *(*thread_begin)(void *context, img_error *err);
    void (*thread_end)(void *thread);
};

/*
 * Run until there is no more work, or a step fails: the first failure is returned once every
 * thread has stopped. pieces: `count` pieces of `size` bytes each, owned by the caller.
 */
int imgi_ring_run(const struct imgi_ring_ops *ops, void *context, void *pieces, size_t size,
                  size_t count, unsigned threads, img_error *err);

#endif
