/*
 * Unit tests: one image used by many threads. SPDX-License-Identifier: BSD-2-Clause
 *
 * The first half of the disk belongs to the threads in turn, in stripes of one and a half clusters,
 * so that they meet in every third cluster; each thread knows what its bytes are. The second half
 * they overwrite for one another: there every block must be one that some thread wrote just there.
 * After each round the image is checked, compared, closed and opened again. ThreadSanitizer sees
 * this test too (tests/tools/check, stage tsan).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libimg.h"

#define THREADS 4u
#define ROUNDS 4u
#define OPERATIONS 150u
#define BLOCK 512u
#define SIZE_MAXIMUM (8u << 20)

struct shape {
    const char *name, *format, *options;
    uint64_t cluster, size;
    enum { PLAIN, OVERLAY, KEPT, SECRET, TRACKED } kind;
    /* KEPT: a snapshot is made between two rounds. TRACKED: a bitmap tells what a round changed */
};

#define KEY "encrypt.key-secret=key"
#define BITMAP "changed"

static img_secrets *secrets;
static img_options *key; /* to open an encrypted image */

struct shared {
    const struct shape *shape;
    img_image *image;
    uint8_t *content; /* of the first half; each thread changes its own stripes */
    uint8_t *before;  /* TRACKED: the disk when the round began */
    uint64_t half, stripe;
    uint64_t seed;
};

struct worker {
    struct shared *shared;
    unsigned number;
    uint64_t random;
    uint8_t *buffer; /* SIZE_MAXIMUM bytes */
    char failure[IMG_ERROR_TEXT + 64];
};

static uint64_t random_below(uint64_t *state, uint64_t limit)
{
    /* xorshift64* */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 16) % limit;
}

/* A block of the second half: who wrote it, and where it is. */
static void stamp(uint8_t *block, uint64_t offset, uint64_t writer)
{
    for (size_t i = 0; i < BLOCK; i += 16) {
        uint64_t words[2] = {offset, writer};

        memcpy(block + i, words, 16);
    }
}

static bool stamped(const uint8_t *block, uint64_t offset)
{
    uint8_t want[BLOCK];
    uint64_t writer;

    memcpy(&writer, block + 8, 8);
    if (writer >= THREADS)
        return false;
    stamp(want, offset, writer);
    return memcmp(block, want, BLOCK) == 0;
}

/* ------------------------------------------------------ what one thread does */

static bool failed(struct worker *w, const char *what, int rc, const img_error *err)
{
    if (rc == 0)
        return false;
    snprintf(w->failure, sizeof(w->failure), "%s: %s", what, err->message);
    return true;
}

/* A range inside one of the thread's stripes. */
static void own_range(struct worker *w, uint64_t *offset, uint64_t *length)
{
    const struct shared *s = w->shared;
    uint64_t sets = s->half / (s->stripe * THREADS);
    uint64_t start = (random_below(&w->random, sets) * THREADS + w->number) * s->stripe;
    uint64_t from = random_below(&w->random, s->stripe);

    *offset = start + from;
    *length = 1 + random_below(&w->random, s->stripe - from);
    if (random_below(&w->random, 2)) {
        *offset = start;
        *length = s->stripe;
    }
}

static bool read_own(struct worker *w, uint64_t offset, uint64_t length, bool discarded)
{
    uint8_t *content = w->shared->content + offset;
    img_error err;

    if (failed(w, "read", img_read(w->shared->image, offset, w->buffer, (size_t)length, &err),
               &err))
        return false;
    for (uint64_t i = 0; i < length; i++) {
        if (discarded && w->buffer[i] == 0)
            content[i] = 0;
        if (w->buffer[i] == content[i])
            continue;
        snprintf(w->failure, sizeof(w->failure), "byte %llu is %u, not %u",
                 (unsigned long long)(offset + i), w->buffer[i], content[i]);
        return false;
    }
    return true;
}

static bool write_own(struct worker *w, uint64_t offset, uint64_t length)
{
    uint8_t *content = w->shared->content + offset;
    uint8_t byte = (uint8_t)random_below(&w->random, 256);
    img_error err;

    for (uint64_t i = 0; i < length; i++)
        content[i] = (uint8_t)(byte + (i >> 4));
    return !failed(w, "write", img_write(w->shared->image, offset, content, (size_t)length, &err),
                   &err);
}

static bool zero_own(struct worker *w, uint64_t offset, uint64_t length, unsigned flags)
{
    img_error err;

    memset(w->shared->content + offset, 0, (size_t)length);
    return !failed(w, "zero", img_zero(w->shared->image, offset, length, flags, &err), &err);
}

static bool discard_own(struct worker *w, uint64_t offset, uint64_t length)
{
    img_error err;

    return !failed(w, "discard", img_discard(w->shared->image, offset, length, &err), &err) &&
           read_own(w, offset, length, true);
}

/* Blocks of the second half, where others write too. */
static bool write_common(struct worker *w)
{
    const struct shared *s = w->shared;
    uint64_t blocks = s->half / BLOCK, first = random_below(&w->random, blocks);
    uint64_t count = 1 + random_below(&w->random, 3 * s->shape->cluster / BLOCK);
    uint64_t offset = s->half + first * BLOCK;
    img_error err;

    if (count > blocks - first)
        count = blocks - first;
    for (uint64_t i = 0; i < count; i++)
        stamp(w->buffer + i * BLOCK, offset + i * BLOCK, w->number);
    return !failed(w, "write",
                   img_write(s->image, offset, w->buffer, (size_t)(count * BLOCK), &err), &err);
}

static bool map_and_flush(struct worker *w)
{
    uint64_t offset = random_below(&w->random, w->shared->shape->size);
    img_extent extent;
    img_error err;

    return !failed(
               w, "map",
               img_map(w->shared->image, offset, w->shared->shape->size - offset, &extent, &err),
               &err) &&
           !failed(w, "flush", img_flush(w->shared->image, &err), &err);
}

static bool one_operation(struct worker *w)
{
    uint64_t offset, length;

    own_range(w, &offset, &length);
    switch (random_below(&w->random, 12)) {
    case 0:
        return zero_own(w, offset, length, 0);
    case 1:
        return zero_own(w, offset, length, IMG_ZERO_UNMAP);
    case 2:
        return discard_own(w, offset, length);
    case 3:
        return map_and_flush(w);
    case 4:
    case 5:
        return read_own(w, offset, length, false);
    case 6:
    case 7:
    case 8:
        return write_common(w);
    default:
        return write_own(w, offset, length);
    }
}

static void *work(void *opaque)
{
    struct worker *w = opaque;

    for (unsigned i = 0; i < OPERATIONS && one_operation(w); i++)
        continue;
    return NULL;
}

/* -------------------------------------------------------------- the rounds */

static void must(int rc, const img_error *err)
{
    if (rc < 0)
        fail_msg("%s: %s", err->image, err->message);
}

static void make_image(struct shared *s)
{
    const img_open_params params = {.secrets = secrets};
    img_options *options = img_options_new();
    img_image *image;
    img_error err;

    if (s->shape->options)
        must(img_options_parse(options, s->shape->options, &err), &err);
    for (uint64_t at = 0; at < s->half; at += BLOCK)
        memset(s->content + at, s->shape->kind == OVERLAY ? 'b' : 0, BLOCK);
    for (uint64_t at = s->half; at < s->shape->size; at += BLOCK)
        stamp(s->content + at, at, 0);
    if (s->shape->kind == OVERLAY) {
        must(img_create(&image, "base", "raw", s->shape->size, NULL, NULL, &err), &err);
        must(img_write(image, 0, s->content, (size_t)s->shape->size, &err), &err);
        must(img_close(image, &err), &err);
        must(img_options_parse(options, "backing_file=base,backing_fmt=raw", &err), &err);
    }
    must(img_create(&image, "image", s->shape->format, s->shape->size, options, &params, &err),
         &err);
    if (s->shape->kind != OVERLAY)
        must(img_write(image, s->half, s->content + s->half, (size_t)s->half, &err), &err);
    if (s->shape->kind == TRACKED)
        must(img_bitmap_add(image, BITMAP, BLOCK, true, &err), &err);
    must(img_close(image, &err), &err);
    img_options_free(options);
}

static void open_image(struct shared *s)
{
    const img_open_params params = {.format = s->shape->format,
                                    .flags = IMG_OPEN_WRITE,
                                    .options = s->shape->kind == SECRET ? key : NULL,
                                    .secrets = secrets};
    img_error err;

    must(img_open(&s->image, "image", &params, &err), &err);
}

static void say(void *opaque, const char *text)
{
    (void)opaque;
    print_error("%s\n", text);
}

static void verify(struct shared *s, uint8_t *buffer)
{
    img_check_result result = {0};
    img_error err;
    int rc = img_check(NULL, s->image, say, NULL, &result, &err);

    if (rc != IMG_E_UNSUPPORTED)
        must(rc, &err);
    assert_int_equal(result.corruptions + result.check_errors + result.leaks, 0);
    must(img_read(s->image, 0, buffer, (size_t)s->shape->size, &err), &err);
    assert_memory_equal(buffer, s->content, (size_t)s->half);
    for (uint64_t at = s->half; at < s->shape->size; at += BLOCK)
        if (!stamped(buffer + at, at))
            fail_msg("the block at %llu is nobody's", (unsigned long long)at);
}

static void begin_tracking(struct shared *s)
{
    img_error err;

    must(img_bitmap_clear(s->image, BITMAP, &err), &err);
    must(img_read(s->image, 0, s->before, (size_t)s->shape->size, &err), &err);
}

/* What is clean is what it was. now: the disk. */
static void verify_bits(const struct shared *s, const uint8_t *now)
{
    uint64_t size = s->shape->size, run, clean = 0;
    img_error err;
    bool dirty;

    for (uint64_t at = 0; at < size; at += run) {
        must(img_bitmap_run(s->image, BITMAP, at, size - at, &run, &dirty, &err), &err);
        if (!dirty && memcmp(now + at, s->before + at, (size_t)run) != 0)
            fail_msg("bytes at %llu have changed, and are clean", (unsigned long long)at);
        clean += dirty ? 0 : run;
    }
    assert_true(clean > 0); /* or the test shows nothing */
}

static void one_round(struct shared *s, struct worker *workers)
{
    pthread_t threads[THREADS];
    img_error err;

    open_image(s);
    if (s->shape->kind == TRACKED)
        begin_tracking(s);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        if (workers[i].failure[0])
            fail_msg("thread %u: %s", i, workers[i].failure);
    must(img_flush(s->image, &err), &err);
    verify(s, workers[0].buffer);
    must(img_close(s->image, &err), &err);
    open_image(s);
    verify(s, workers[0].buffer);
    if (s->shape->kind == TRACKED)
        verify_bits(s, workers[0].buffer);
    if (s->shape->kind == KEPT) {
        img_snapshot snapshot = {.name = "kept", .icount = UINT64_MAX};

        must(img_snapshot_create(s->image, &snapshot, &err), &err);
    }
    must(img_close(s->image, &err), &err);
}

static void run(const struct shape *shape)
{
    struct shared s = {.shape = shape, .seed = 77, .half = shape->size / 2};
    struct worker workers[THREADS];

    print_message("%s, seed %llu\n", shape->name, (unsigned long long)s.seed);
    s.stripe = shape->cluster + shape->cluster / 2;
    s.content = malloc((size_t)shape->size);
    s.before = malloc((size_t)shape->size);
    assert_non_null(s.content);
    assert_non_null(s.before);
    make_image(&s);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.shared = &s, .number = i, .random = s.seed + i};
        workers[i].buffer = malloc(SIZE_MAXIMUM);
        assert_non_null(workers[i].buffer);
    }
    for (unsigned round = 0; round < ROUNDS; round++)
        one_round(&s, workers);
    for (unsigned i = 0; i < THREADS; i++)
        free(workers[i].buffer);
    free(s.content);
    free(s.before);
}

static void threads_share_an_image(void **state)
{
    static const struct shape shapes[] = {
        {"qcow2", "qcow2", "cluster_size=64k", 65536, 4 << 20, PLAIN},
        {"qcow2, small clusters", "qcow2", "cluster_size=512", 512, 512 << 10, KEPT},
        {"qcow2, version 2", "qcow2", "compat=0.10,cluster_size=4k", 4096, 2 << 20, KEPT},
        {"qcow2, refcounts late", "qcow2", "lazy_refcounts=on,cluster_size=4k", 4096, 2 << 20,
         KEPT},
        {"qcow2 overlay", "qcow2", "cluster_size=4k", 4096, 2 << 20, OVERLAY},
        {"subclusters", "qcow2", "extended_l2=on,cluster_size=32k", 32768, 4 << 20, KEPT},
        {"overlay of subclusters", "qcow2", "extended_l2=on,cluster_size=32k", 32768, 4 << 20,
         OVERLAY},
        {"data file", "qcow2", "data_file=data,cluster_size=4k", 4096, 2 << 20, PLAIN},
        {"LUKS", "qcow2", "encrypt.format=luks,encrypt.iter-time=10,cluster_size=4k," KEY, 4096,
         2 << 20, SECRET},
        {"dirty bitmap", "qcow2", "cluster_size=4k", 4096, 6 << 20, TRACKED},
        {"VMDK", "vmdk", "subformat=monolithicSparse", 65536, 4 << 20, PLAIN},
        {"raw", "raw", NULL, 4096, 2 << 20, PLAIN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        run(&shapes[i]);
}

static int set_up(void **state)
{
    static char directory[] = "/tmp/img-concurrent.XXXXXX";

    img_options *secret = img_options_new();
    img_error err;

    secrets = img_secrets_new();
    key = img_options_new();
    must(img_options_parse(secret, "id=key,data=passphrase", &err), &err);
    must(img_secrets_add(secrets, secret, &err), &err);
    must(img_options_parse(key, KEY, &err), &err);
    img_options_free(secret);
    *state = directory;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    img_secrets_free(secrets);
    img_options_free(key);
    unlink("image");
    unlink("data");
    unlink("base");
    return chdir("/") == 0 && rmdir(*state) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(threads_share_an_image, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
