/*
 * The ring that keeps order without making threads wait for it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A slot's life: FREE -> BUSY (plan, prepare) -> READY -> WRITING (commit, finish) -> FREE.
 *
 * planning: who holds it plans; tickets are given out in its order. Taken before `lock`.
 * lock: all fields below it; never held across a step. The committer's role is a flag and not a
 * lock, since commit may do I/O: whoever finds the head ready and the role free takes it.
 */
#include <stdlib.h>

#include "job.h"
#include "ring.h"

enum slot_state { FREE, BUSY, READY, WRITING };

struct ring {
    const struct imgi_ring_ops *ops;
    void *context;
    uint8_t *pieces;
    size_t size, count;

    pthread_mutex_t planning;
    uint64_t planned; /* tickets given out */

    pthread_mutex_t lock;
    pthread_cond_t freed;
    enum slot_state *states;
    uint64_t head; /* the oldest ticket that is not committed */
    bool committing;
    bool done; /* no more work, or failed */
    int rc;
    img_error failure;
};

static void *piece_of(const struct ring *ring, uint64_t ticket)
{
    return ring->pieces + (ticket % ring->count) * ring->size;
}

static void fail(struct ring *ring, int rc, const img_error *failure)
{
    pthread_mutex_lock(&ring->lock);
    if (ring->rc == 0) {
        ring->rc = rc;
        ring->failure = *failure;
    }
    ring->done = true;
    pthread_cond_broadcast(&ring->freed);
    pthread_mutex_unlock(&ring->lock);
}

/* Wait for the slot of a ticket; false when the work is over. */
static bool wait_for_slot(struct ring *ring, uint64_t ticket)
{
    bool go_on;

    pthread_mutex_lock(&ring->lock);
    while (!ring->done && ring->states[ticket % ring->count] != FREE)
        pthread_cond_wait(&ring->freed, &ring->lock);
    go_on = !ring->done;
    if (go_on)
        ring->states[ticket % ring->count] = BUSY;
    pthread_mutex_unlock(&ring->lock);
    return go_on;
}

/* Plan the next piece. False when there is none, or after a failure. */
static bool take(struct ring *ring, uint64_t *ticket, img_error *failure)
{
    bool more = true;
    int rc = 0;

    pthread_mutex_lock(&ring->planning);
    *ticket = ring->planned;
    if (!wait_for_slot(ring, *ticket)) {
        pthread_mutex_unlock(&ring->planning);
        return false;
    }
    rc = ring->ops->plan(ring->context, piece_of(ring, *ticket), &more, failure);
    if (rc == 0 && more)
        ring->planned++;
    pthread_mutex_unlock(&ring->planning);
    if (rc < 0) {
        fail(ring, rc, failure);
        return false;
    }
    if (!more) {
        pthread_mutex_lock(&ring->lock);
        ring->done = true;
        pthread_cond_broadcast(&ring->freed);
        pthread_mutex_unlock(&ring->lock);
    }
    return more;
}

/* Take the committer's role for the head, if it is ready and nobody has it. */
static bool take_head(struct ring *ring, uint64_t *ticket)
{
    bool taken;

    pthread_mutex_lock(&ring->lock);
    *ticket = ring->head;
    taken = ring->rc == 0 && !ring->committing && ring->states[ring->head % ring->count] == READY;
    if (taken) {
        ring->committing = true;
        ring->states[ring->head % ring->count] = WRITING;
    }
    pthread_mutex_unlock(&ring->lock);
    return taken;
}

static void pass_head(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->head++;
    ring->committing = false;
    pthread_mutex_unlock(&ring->lock);
}

static void release(struct ring *ring, uint64_t ticket)
{
    pthread_mutex_lock(&ring->lock);
    ring->states[ticket % ring->count] = FREE;
    pthread_cond_broadcast(&ring->freed);
    pthread_mutex_unlock(&ring->lock);
}

/* Commit and finish what is ready at the head. */
static int drain(struct ring *ring, void *thread, img_error *failure)
{
    uint64_t ticket;
    int rc = 0;

    while (rc == 0 && take_head(ring, &ticket)) {
        rc = ring->ops->commit(ring->context, piece_of(ring, ticket), failure);
        pass_head(ring);
        if (rc == 0)
            rc = ring->ops->finish(ring->context, thread, piece_of(ring, ticket), failure);
        release(ring, ticket);
    }
    return rc;
}

static void mark_ready(struct ring *ring, uint64_t ticket)
{
    pthread_mutex_lock(&ring->lock);
    ring->states[ticket % ring->count] = READY;
    pthread_mutex_unlock(&ring->lock);
}

static void worker(void *context, unsigned n)
{
    struct ring *ring = context;
    img_error failure = {0};
    void *thread = ring->ops->thread_begin(ring->context, &failure);
    uint64_t ticket;

    (void)n;
    if (!thread)
        fail(ring, IMG_E_NOMEM, &failure);
    while (thread && take(ring, &ticket, &failure)) {
        int rc = ring->ops->prepare(ring->context, thread, piece_of(ring, ticket), &failure);

        if (rc == 0) {
            mark_ready(ring, ticket);
            rc = drain(ring, thread, &failure);
        }
        if (rc < 0)
            fail(ring, rc, &failure);
    }
    ring->ops->thread_end(thread);
}

int imgi_ring_run(const struct imgi_ring_ops *ops, void *context, void *pieces, size_t size,
                  size_t count, unsigned threads, img_error *err)
{
    struct ring ring = {
        .ops = ops, .context = context, .pieces = pieces, .size = size, .count = count};

    ring.states = calloc(count, sizeof(*ring.states));
    if (!ring.states)
        return imgi_fail_nomem(err, "pieces of work");
    pthread_mutex_init(&ring.planning, NULL);
    pthread_mutex_init(&ring.lock, NULL);
    pthread_cond_init(&ring.freed, NULL);
    imgi_pool_run(threads, worker, &ring);
    pthread_cond_destroy(&ring.freed);
    pthread_mutex_destroy(&ring.lock);
    pthread_mutex_destroy(&ring.planning);
    free(ring.states);
    if (ring.rc < 0 && err)
        *err = ring.failure;
    return ring.rc;
}
