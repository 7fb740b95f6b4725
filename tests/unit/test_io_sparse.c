/*
 * Holes and zeros in files. SPDX-License-Identifier: BSD-2-Clause
 */
#include <pthread.h>

#include "io_test.h"

enum { UNIT = 65536, UNITS = 64 };

/* Find every run and compare with what was written; holes must be found, as both file systems can.
 */
static void expect_runs(struct imgi_io *io, const bool *data)
{
    uint64_t offset = 0, size;
    img_error err = {0};

    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, (uint64_t)UNITS * UNIT);
    while (offset < size) {
        struct imgi_io_extent extent = {0};

        assert_ok(imgi_io_extent(io, offset, size - offset, &extent, &err), err);
        assert_true(extent.length > 0 && extent.length <= size - offset);
        assert_int_equal(extent.length % UNIT, 0);
        for (uint64_t end = offset + extent.length; offset < end; offset += UNIT)
            assert_int_equal(extent.hole, !data[offset / UNIT]);
    }
}

static void test_extents(void **state)
{
    static uint8_t bytes[UNIT];
    struct imgi_io_extent extent;
    struct imgi_io *io;
    bool data[UNITS];
    img_error err = {0};
    uint64_t seed = 2;

    (void)state;
    memset(bytes, 0xa5, sizeof(bytes));
    io_put("file", "", 0, 0600);
    assert_ok(imgi_file_open(&io, "file", IMGI_IO_WRITE, &err), err);
    assert_ok(imgi_io_resize(io, (uint64_t)UNITS * UNIT, IMGI_PREALLOC_OFF, &err), err);
    for (size_t i = 0; i < UNITS; i++) {
        data[i] = io_random(&seed) % 3 == 0;
        if (data[i])
            assert_ok(imgi_io_write(io, bytes, UNIT, i * UNIT, &err), err);
    }
    expect_runs(io, data);

    /* questions inside a run, and answers no longer than asked for */
    assert_ok(imgi_io_extent(io, 1, 5, &extent, &err), err);
    assert_int_equal(extent.length, 5);
    assert_int_equal(extent.hole, !data[0]);

    /* what is remembered does not outlive a change */
    for (size_t i = 0; i < UNITS; i += 5) {
        assert_ok(imgi_io_extent(io, i * UNIT, UNIT, &extent, &err), err);
        if (data[i])
            assert_ok(imgi_io_zero(io, i * UNIT, UNIT, true, &err), err);
        else
            assert_ok(imgi_io_write(io, bytes, UNIT, i * UNIT, &err), err);
        data[i] = !data[i];
        assert_ok(imgi_io_extent(io, i * UNIT, UNIT, &extent, &err), err);
        assert_int_equal(extent.hole, !data[i]);
    }
    expect_runs(io, data);
    imgi_io_close(io);
}

/* Zero, discard and write anything anywhere; the bytes must be those of a copy in memory. */
static void test_zero_random(void **state)
{
    enum { SPACE = 1 << 20 };
    uint8_t *model = calloc(2, SPACE);
    uint8_t *bytes = malloc(100000);
    struct imgi_io *io;
    img_error err = {0};
    uint64_t seed = 3, end = 0, size;

    (void)state;
    io_put("file", "", 0, 0600);
    assert_ok(imgi_file_open(&io, "file", IMGI_IO_WRITE, &err), err);
    for (int round = 0; round < 500; round++) {
        uint64_t offset = io_random(&seed) % SPACE;
        size_t length = 1 + io_random(&seed) % 100000;
        unsigned what = io_random(&seed) % 3;

        memset(bytes, (int)(round % 255) + 1, length);
        if (what == 0) {
            memcpy(model + offset, bytes, length);
            assert_ok(imgi_io_write(io, bytes, length, offset, &err), err);
        } else {
            memset(model + offset, 0, length);
            assert_ok(imgi_io_zero(io, offset, length, what == 1, &err), err);
        }
        end = offset + length > end ? offset + length : end;
        assert_ok(imgi_io_size(io, &size, &err), err);
        assert_int_equal(size, end);
    }
    imgi_io_close(io);
    io_expect("file", model, (size_t)end);
    free(bytes);
    free(model);
}

static void test_space(void **state)
{
    struct imgi_io *io;
    img_error err = {0};
    uint8_t *bytes = malloc(1 << 20);

    (void)state;
    memset(bytes, 1, 1 << 20);
    io_put("file", "", 0, 0600);
    assert_ok(imgi_file_open(&io, "file", IMGI_IO_WRITE, &err), err);
    assert_ok(imgi_io_write(io, bytes, 1 << 20, 0, &err), err);
    assert_ok(imgi_io_flush(io, &err), err);
    assert_true(imgi_io_usage(io) >= 1 << 20);

    /* zeros that keep their space, also past the end */
    assert_ok(imgi_io_zero(io, 0, 2 << 20, false, &err), err);
    assert_true(imgi_io_usage(io) >= 2 << 20);
    /* and zeros that do not */
    assert_ok(imgi_io_zero(io, 0, 3 << 20, true, &err), err);
    assert_true(imgi_io_usage(io) < 1 << 16);

    assert_ok(imgi_io_write(io, bytes, 1 << 20, 0, &err), err);
    assert_ok(imgi_io_discard(io, 0, 1 << 20, &err), err);
    assert_true(imgi_io_usage(io) < 1 << 16);
    /* a discard past the end is nothing */
    assert_ok(imgi_io_discard(io, 10 << 20, 1 << 20, &err), err);
    uint64_t size;
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 3 << 20);
    imgi_io_close(io);
    free(bytes);
}

/* Neither file system here shares blocks: that must be told apart from a failure. */
static void test_no_sharing(void **state)
{
    struct imgi_io *from, *to, *memory;
    img_error err = {0};
    uint8_t byte = 1;

    (void)state;
    io_put("from", "0123456789", 10, 0600);
    io_put("to", "", 0, 0600);
    assert_ok(imgi_file_open(&from, "from", 0, &err), err);
    assert_ok(imgi_file_open(&to, "to", IMGI_IO_WRITE, &err), err);
    assert_ok(imgi_mem_new(&memory, &err), err);
    /* an odd range: no file system takes it */
    assert_error(imgi_io_share(to, 3, from, 5, 2, &err), IMG_E_UNSUPPORTED, err, "to", "shared");
    assert_error(imgi_io_share(to, 0, memory, 0, 4096, &err), IMG_E_UNSUPPORTED, err, "to",
                 "shared");
    assert_error(imgi_io_share(memory, 0, to, 0, 4096, &err), IMG_E_UNSUPPORTED, err, "memory",
                 "shared");
    assert_ok(imgi_io_write(to, &byte, 1, 0, &err), err);
    imgi_io_close(memory);
    imgi_io_close(to);
    imgi_io_close(from);
}

/* Threads that extend the file by holes and by data must not cut each other's end off. */
struct extender {
    struct imgi_io *io;
    uint64_t number;
    int failed;
};

static void *extend(void *opaque)
{
    struct extender *extender = opaque;
    uint8_t bytes[4096];

    memset(bytes, 7, sizeof(bytes));
    for (uint64_t i = extender->number; i < 400 && !extender->failed; i += 2) {
        struct imgi_io_extent extent;

        extender->failed = i % 2 ? imgi_io_write(extender->io, bytes, 4096, i * 4096, NULL)
                                 : imgi_io_zero(extender->io, i * 4096, 4096, true, NULL);
        if (!extender->failed)
            extender->failed = imgi_io_extent(extender->io, i * 4096, 4096, &extent, NULL);
        if (!extender->failed && i % 2)
            extender->failed = extent.hole;
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct extender extenders[2];
    pthread_t threads[2];
    struct imgi_io *io;
    img_error err = {0};
    uint8_t byte;

    (void)state;
    io_put("threads", "", 0, 0600);
    assert_ok(imgi_file_open(&io, "threads", IMGI_IO_WRITE, &err), err);
    for (uint64_t i = 0; i < 2; i++) {
        extenders[i] = (struct extender){.io = io, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, extend, &extenders[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(extenders[i].failed, 0);
    }
    for (uint64_t i = 0; i < 400; i++) {
        assert_ok(imgi_io_read(io, &byte, 1, i * 4096, &err), err);
        assert_int_equal(byte, i % 2 ? 7 : 0);
    }
    imgi_io_close(io);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_extents), cmocka_unit_test(test_zero_random),
    cmocka_unit_test(test_space),   cmocka_unit_test(test_no_sharing),
    cmocka_unit_test(test_threads),
};

IO_RUN(tests)
