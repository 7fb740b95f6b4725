/*
 * Walking an image from its start to its end, on many threads.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "walk.h"

/* A piece without data: small enough that progress and ctrl-C have their turn. */
#define ZERO_PIECE (UINT64_C(1) << 30)

struct state {
    const struct imgi_walk *walk;
    pthread_mutex_t lock; /* protects what follows, and serialises look */
    uint64_t next;        /* where the next piece begins */
    int rc;
    img_error failure;
};

struct piece {
    uint64_t offset, length; /* length 0: there is none */
    enum imgi_walk_action action;
};

static uint64_t cut(const struct imgi_walk *walk, const struct piece *piece)
{
    uint64_t end, most = piece->action == IMGI_WALK_ZERO ? ZERO_PIECE : IMGI_WALK_PIECE;

    if (piece->length <= most)
        return piece->length;
    end = walk->align ? imgi_align_down(piece->offset + most, walk->align) : piece->offset + most;
    return end > piece->offset ? end - piece->offset : most;
}

/* Take the next piece. With lock held. */
static int take(struct state *state, struct piece *piece, img_error *err)
{
    const struct imgi_walk *walk = state->walk;
    int rc = 0;

    while (rc == 0 && state->next < walk->end) {
        piece->offset = state->next;
        piece->length = walk->end - state->next;
        rc = walk->look(walk->context, piece->offset, &piece->length, &piece->action, err);
        if (rc < 0)
            break;
        if (piece->action != IMGI_WALK_SKIP) {
            piece->length = cut(walk, piece);
            state->next += piece->length;
            return 0;
        }
        state->next += piece->length;
        rc = imgi_job_advance(walk->job, piece->length, err);
    }
    piece->length = 0;
    return rc;
}

static int act(const struct imgi_walk *walk, struct imgi_walk_thread *thread,
               const struct piece *piece, img_error *err)
{
    int rc = 0;

    if (piece->action == IMGI_WALK_DATA)
        rc = imgi_job_throttle(walk->job, piece->length, err);
    if (rc == 0)
        rc = walk->act(walk->context, thread, piece->offset, piece->length, piece->action, err);
    if (rc == 0)
        rc = imgi_job_advance(walk->job, piece->length, err);
    return rc;
}

static int begin_thread(struct imgi_walk_thread *thread, img_error *err)
{
    *thread = (struct imgi_walk_thread){0};
    for (size_t i = 0; i < IMGI_COUNT(thread->buffers); i++) {
        thread->buffers[i] = aligned_alloc(4096, IMGI_WALK_PIECE);
        if (!thread->buffers[i])
            return imgi_fail_nomem(err, "buffers");
    }
    return 0;
}

static void end_thread(struct imgi_walk_thread *thread)
{
    for (size_t i = 0; i < IMGI_COUNT(thread->scratch); i++)
        imgi_scratch_clear(&thread->scratch[i]);
    for (size_t i = 0; i < IMGI_COUNT(thread->buffers); i++)
        free(thread->buffers[i]);
    imgi_packer_free(thread->packer);
}

static void worker(void *context, unsigned n)
{
    struct state *state = context;
    struct imgi_walk_thread thread;
    img_error failure = {0};
    struct piece piece;
    int rc = begin_thread(&thread, &failure);

    (void)n;
    do {
        piece.length = 0;
        pthread_mutex_lock(&state->lock);
        if (rc == 0 && state->rc == 0)
            rc = take(state, &piece, &failure);
        if (rc < 0 && state->rc == 0) {
            state->rc = rc;
            state->failure = failure;
        }
        pthread_mutex_unlock(&state->lock);
        if (piece.length > 0)
            rc = act(state->walk, &thread, &piece, &failure);
    } while (piece.length > 0);
    end_thread(&thread);
}

int imgi_walk_run(const struct imgi_walk *walk, img_error *err)
{
    struct state state = {.walk = walk};
    int rc = imgi_job_begin(walk->job, walk->phase, walk->end, err);

    if (rc < 0)
        return rc;
    pthread_mutex_init(&state.lock, NULL);
    imgi_pool_run(imgi_job_threads(walk->job), worker, &state);
    pthread_mutex_destroy(&state.lock);
    if (state.rc < 0 && err)
        *err = state.failure;
    return state.rc;
}
