/*
 * Files in memory. SPDX-License-Identifier: BSD-2-Clause
 */
#include <pthread.h>

#include "io_test.h"

static void test_all(void **state)
{
    struct imgi_io_extent extent;
    struct imgi_io *io;
    img_error err = {0};
    uint8_t back[8];
    uint64_t size, id[2];
    size_t length;

    (void)state;
    assert_ok(imgi_mem_new(&io, &err), err);
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 0);
    assert_error(imgi_io_read(io, back, 1, 0, &err), IMG_E_RANGE, err, "memory", "ends at 0x0");

    /* a gap reads as zeros */
    assert_ok(imgi_io_write(io, "abcd", 4, 4, &err), err);
    assert_ok(imgi_io_read(io, back, 8, 0, &err), err);
    assert_memory_equal(back, "\0\0\0\0abcd", 8);
    assert_ok(imgi_io_zero(io, 6, 10, true, &err), err);
    assert_memory_equal(imgi_mem_bytes(io, &length), "\0\0\0\0ab\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(length, 16);

    /* what was cut off does not come back */
    assert_ok(imgi_io_resize(io, 5, IMGI_PREALLOC_OFF, &err), err);
    assert_ok(imgi_io_resize(io, 8, IMGI_PREALLOC_FULL, &err), err);
    assert_memory_equal(imgi_mem_bytes(io, &length), "\0\0\0\0a\0\0\0", 8);
    assert_int_equal(length, 8);

    assert_ok(imgi_io_extent(io, 2, 100, &extent, &err), err);
    assert_int_equal(extent.length, 6);
    assert_false(extent.hole);
    assert_ok(imgi_io_discard(io, 0, 8, &err), err);
    assert_ok(imgi_io_flush(io, &err), err);
    assert_ok(imgi_io_lock(io, IMGI_PERM_WRITE, 0, &err), err);
    assert_ok(imgi_io_publish(io, &err), err);
    assert_true(imgi_io_identity(io, id));
    assert_true(imgi_io_usage(io) >= 8);
    assert_error(imgi_io_write(io, "x", 1, INT64_MAX - 1, &err), IMG_E_NOSPACE, err, "memory",
                 "bytes at most");
    imgi_io_close(io);
}

struct writer {
    struct imgi_io *io;
    uint64_t number;
};

/* Grow from many threads while others read. */
static void *write_stripes(void *opaque)
{
    const struct writer *writer = opaque;
    uint8_t byte = (uint8_t)(writer->number + 1);

    for (uint64_t i = writer->number; i < 20000; i += 4) {
        uint8_t back = 0;

        if (imgi_io_write(writer->io, &byte, 1, i, NULL) != 0 ||
            imgi_io_read(writer->io, &back, 1, i, NULL) != 0 || back != byte)
            return opaque;
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct writer writers[4];
    pthread_t threads[4];
    struct imgi_io *io;
    img_error err = {0};
    size_t length;

    (void)state;
    assert_ok(imgi_mem_new(&io, &err), err);
    for (uint64_t i = 0; i < 4; i++) {
        writers[i] = (struct writer){.io = io, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_stripes, &writers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    const uint8_t *bytes = imgi_mem_bytes(io, &length);
    assert_int_equal(length, 20000);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], i % 4 + 1);
    imgi_io_close(io);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_all),
    cmocka_unit_test(test_threads),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
