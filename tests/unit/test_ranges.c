/*
 * Ranges in flight: shared ones overlap, exclusive ones never do.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "internal.h"

#define CELLS 64
#define ROUNDS 4000
#define THREADS 6

struct field {
    struct imgi_ranges *ranges;
    int writers[CELLS]; /* changed only by who has the cell's range alone */
    unsigned seed;
};

static unsigned next(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void *walk(void *argument)
{
    struct field *field = ((void **)argument)[0];
    unsigned seed = *(unsigned *)((void **)argument)[1];

    for (int i = 0; i < ROUNDS; i++) {
        unsigned start = next(&seed) % CELLS, length = 1 + next(&seed) % (CELLS - start);
        bool alone = next(&seed) % 3 == 0;
        struct imgi_range range;

        imgi_ranges_take(field->ranges, &range, start, start + length, alone);
        for (unsigned cell = start; cell < start + length; cell++) {
            if (alone)
                field->writers[cell]++;
            else
                assert_true(field->writers[cell] >= 0);
        }
        imgi_ranges_release(field->ranges, &range);
    }
    return NULL;
}

/* Under ThreadSanitizer this shows that exclusive ranges really are: the counters have no lock of
 * their own. */
static void exclusive_ranges_exclude(void **state)
{
    struct field field = {.ranges = imgi_ranges_new(NULL)};
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    void *arguments[THREADS][2];

    (void)state;
    assert_non_null(field.ranges);
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = 1000 + i;
        arguments[i][0] = &field;
        arguments[i][1] = &seeds[i];
        assert_int_equal(pthread_create(&threads[i], NULL, walk, arguments[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    imgi_ranges_free(field.ranges);
}

static void shared_ranges_overlap(void **state)
{
    struct imgi_ranges *ranges = imgi_ranges_new(NULL);
    struct imgi_range a, b, c;

    (void)state;
    assert_non_null(ranges);
    /* None of these may wait: the test would never end. */
    imgi_ranges_take(ranges, &a, 0, 100, false);
    imgi_ranges_take(ranges, &b, 50, 150, false);
    imgi_ranges_take(ranges, &c, 150, 200, true);
    imgi_ranges_release(ranges, &b);
    imgi_ranges_release(ranges, &a);
    imgi_ranges_take(ranges, &a, 0, 150, true);
    imgi_ranges_release(ranges, &c);
    imgi_ranges_release(ranges, &a);
    imgi_ranges_free(ranges);
}

#define CLUSTER 65536u

struct late {
    img_image *image;
    bool released; /* the cluster is free again; protected by lock */
    bool waited;   /* the write ended only then */
    pthread_mutex_t lock;
};

static void *write_late(void *argument)
{
    struct late *late = argument;

    if (img_write(late->image, 100, "late", 4, NULL) < 0)
        return NULL;
    pthread_mutex_lock(&late->lock);
    late->waited = late->released;
    pthread_mutex_unlock(&late->lock);
    return NULL;
}

/* Somebody fills a new cluster: whoever wants that one waits, and nobody else does. */
static void only_the_same_cluster_waits(void **state)
{
    static uint8_t bytes[4 << 20];
    struct late late = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct imgi_ranges *ranges;
    struct imgi_range held;
    struct imgi_io *io;
    pthread_t thread;

    (void)state;
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    assert_int_equal(
        imgi_image_create_io(&late.image, io, "memory", "qcow2", 8 << 20, NULL, NULL, NULL), 0);
    ranges = late.image->top->ranges;
    imgi_ranges_take(ranges, &held, 0, CLUSTER, true);
    assert_int_equal(pthread_create(&thread, NULL, write_late, &late), 0);
    /* None of these may wait: the test would never end. */
    assert_int_equal(img_write(late.image, CLUSTER, "next", 4, NULL), 0);
    assert_int_equal(img_write(late.image, CLUSTER + 1, bytes, sizeof(bytes), NULL), 0);
    assert_int_equal(img_zero(late.image, CLUSTER + 5000, 6 << 20, 0, NULL), 0);
    assert_int_equal(img_discard(late.image, CLUSTER, 7 << 20, NULL), 0);
    assert_int_equal(img_read(late.image, CLUSTER, bytes, sizeof(bytes), NULL), 0);
    pthread_mutex_lock(&late.lock);
    late.released = true;
    pthread_mutex_unlock(&late.lock);
    imgi_ranges_release(ranges, &held);
    pthread_join(thread, NULL);
    assert_true(late.waited);
    img_abandon(late.image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_ranges_overlap),
        cmocka_unit_test(exclusive_ranges_exclude),
        cmocka_unit_test(only_the_same_cluster_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
