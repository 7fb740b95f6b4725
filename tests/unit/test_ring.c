/*
 * The ring: every piece once, committed in order, first failure wins.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "job/job.h"
#include "job/ring.h"

struct piece {
    unsigned number;
    uint64_t prepared;
};

struct work {
    unsigned total, planned;
    unsigned committed; /* the next number that commit must see */
    unsigned finished;
    unsigned fail_at; /* the number whose fail_step fails; UINT32_MAX: none */
    char fail_step;
    pthread_mutex_t lock;
};

static int step(const struct work *work, const struct piece *piece, char name, img_error *err)
{
    if (piece->number == work->fail_at && name == work->fail_step)
        return imgi_fail(err, IMG_E_IO, "piece %u, step %c", piece->number, name);
    return 0;
}

static int plan(void *context, void *work_piece, bool *more, img_error *err)
{
    struct work *work = context;
    struct piece *piece = work_piece;

    *more = work->planned < work->total;
    if (!*more)
        return 0;
    piece->number = work->planned++;
    return step(work, piece, 'p', err);
}

static int prepare(void *context, void *thread, void *work_piece, img_error *err)
{
    struct piece *piece = work_piece;
    uint64_t value = piece->number;

    (void)thread;
    /* Pieces take different times, so that they become ready out of order. */
    for (unsigned i = 0; i < (piece->number * 7919u) % 4096; i++)
        value = value * 6364136223846793005u + 1442695040888963407u;
    piece->prepared = value;
    return step(context, piece, 'r', err);
}

static int commit(void *context, void *work_piece, img_error *err)
{
    struct work *work = context;
    struct piece *piece = work_piece;

    assert_int_equal(piece->number, work->committed);
    work->committed++;
    return step(work, piece, 'c', err);
}

static int finish(void *context, void *thread, void *work_piece, img_error *err)
{
    struct work *work = context;

    (void)thread;
    pthread_mutex_lock(&work->lock);
    work->finished++;
    pthread_mutex_unlock(&work->lock);
    return step(work, work_piece, 'f', err);
}

static void *thread_begin(void *context, img_error *err)
{
    (void)err;
    return context;
}

static void thread_end(void *thread)
{
    (void)thread;
}

static int run(struct work *work, unsigned threads, size_t slots, img_error *err)
{
    static const struct imgi_ring_ops ops = {plan,   prepare,      commit,
                                             finish, thread_begin, thread_end};
    struct piece *pieces = calloc(slots, sizeof(*pieces));
    int rc;

    assert_non_null(pieces);
    pthread_mutex_init(&work->lock, NULL);
    rc = imgi_ring_run(&ops, work, pieces, sizeof(*pieces), slots, threads, err);
    pthread_mutex_destroy(&work->lock);
    free(pieces);
    return rc;
}

static void all_pieces_in_order(void **state)
{
    static const unsigned threads[] = {1, 2, 3, 8, 16};

    (void)state;
    for (size_t i = 0; i < sizeof(threads) / sizeof(*threads); i++) {
        for (size_t slots = 1; slots <= 2 * threads[i]; slots++) {
            struct work work = {.total = 500, .fail_at = UINT32_MAX};

            assert_int_equal(run(&work, threads[i], slots, NULL), 0);
            assert_int_equal(work.committed, 500);
            assert_int_equal(work.finished, 500);
        }
    }
}

static void nothing_to_do(void **state)
{
    struct work work = {.total = 0, .fail_at = UINT32_MAX};

    (void)state;
    assert_int_equal(run(&work, 4, 8, NULL), 0);
    assert_int_equal(work.committed, 0);
}

static void a_failing_step_ends_it(void **state)
{
    (void)state;
    for (const char *name = "prcf"; *name; name++) {
        for (unsigned at = 0; at < 100; at += 33) {
            struct work work = {.total = 100, .fail_at = at, .fail_step = *name};
            img_error err = {0};

            assert_int_equal(run(&work, 4, 8, &err), IMG_E_IO);
            assert_int_equal(err.code, IMG_E_IO);
            assert_non_null(strstr(err.message, "step"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_pieces_in_order),
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(a_failing_step_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
