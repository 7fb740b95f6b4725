/*
 * O_DIRECT with nothing aligned, against a copy in memory. SPDX-License-Identifier: BSD-2-Clause
 */
#include <pthread.h>

#include "io_test.h"

enum { SPACE = 3 << 20, ROUNDS = 400, THREADS = 4 };

/* Mostly small and odd, now and then longer than the bounce buffer. */
static size_t odd_length(uint64_t *seed)
{
    static const size_t most[] = {100, 5000, 70000, 1500000};

    return 1 + io_random(seed) % most[io_random(seed) % 4];
}

static struct imgi_io *open_direct(const char *name)
{
    struct imgi_io *io;
    img_error err = {0};

    io_put(name, "", 0, 0600);
    if (imgi_file_open(&io, name, IMGI_IO_WRITE | IMGI_IO_DIRECT, &err) != 0) {
        print_message("no O_DIRECT here: %s\n", err.message);
        skip();
    }
    return io;
}

static void test_random(void **state)
{
    struct imgi_io *io = open_direct("file");
    uint8_t *model = calloc(2, SPACE);
    uint8_t *buffer = malloc(SPACE + 4096);
    img_error err = {0};
    uint64_t seed = 1, size = 0, end = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        size_t length = odd_length(&seed);
        uint64_t offset = io_random(&seed) % SPACE;
        uint8_t *from = buffer + io_random(&seed) % 4096;

        unsigned what = io_random(&seed) % 4;

        if (what == 0) {
            memset(model + offset, 0, length);
            assert_ok(imgi_io_zero(io, offset, length, round % 2, &err), err);
            end = offset + length > end ? offset + length : end;
        } else if (what < 3) {
            struct iovec iov[2];

            for (size_t i = 0; i < length; i++)
                from[i] = (uint8_t)io_random(&seed);
            memcpy(model + offset, from, length);
            iov[0] = (struct iovec){.iov_base = from, .iov_len = length / 3};
            iov[1] = (struct iovec){.iov_base = from + length / 3, .iov_len = length - length / 3};
            assert_ok(imgi_io_writev(io, iov, 2, offset, &err), err);
            end = offset + length > end ? offset + length : end;
        } else if (offset + length <= end) {
            assert_ok(imgi_io_read(io, from, length, offset, &err), err);
            assert_memory_equal(from, model + offset, length);
        } else {
            assert_int_equal(imgi_io_read(io, from, length, offset, &err), IMG_E_RANGE);
        }
        assert_ok(imgi_io_size(io, &size, &err), err);
        assert_int_equal(size, end);
    }
    imgi_io_close(io);
    io_expect("file", model, (size_t)end);
    free(buffer);
    free(model);
}

/* What is aligned already goes straight through; the odd end is cut off again. */
static void test_aligned(void **state)
{
    struct imgi_io *io = open_direct("aligned");
    uint8_t *buffer = aligned_alloc(4096, 8192);
    img_error err = {0};

    (void)state;
    memset(buffer, 0x5a, 8192);
    assert_ok(imgi_io_write(io, buffer, 8192, 0, &err), err);
    assert_ok(imgi_io_write(io, buffer, 4097, 8192, &err), err);
    assert_ok(imgi_io_read(io, buffer, 8192, 4096, &err), err);
    assert_ok(imgi_io_read(io, buffer, 4097, 8192, &err), err);
    assert_error(imgi_io_read(io, buffer, 8192, 8192, &err), IMG_E_RANGE, err, "aligned",
                 "the file ends at 0x3001");
    assert_ok(imgi_io_resize(io, 20000, IMGI_PREALLOC_FULL, &err), err);
    imgi_io_close(io);

    struct stat info;
    assert_int_equal(stat("aligned", &info), 0);
    assert_int_equal(info.st_size, 20000);
    free(buffer);
}

struct writer {
    struct imgi_io *io;
    unsigned number;
    int failed;
};

/* Every THREADS-th run of 100 bytes is this thread's, so that blocks are shared by all. */
static void *write_stripes(void *opaque)
{
    struct writer *writer = opaque;
    uint8_t bytes[100];

    memset(bytes, (int)writer->number + 1, sizeof(bytes));
    for (unsigned run = writer->number; run < 400 && !writer->failed; run += THREADS)
        writer->failed = imgi_io_write(writer->io, bytes, sizeof(bytes), run * 100, NULL);
    return NULL;
}

static void test_threads(void **state)
{
    struct imgi_io *io = open_direct("threads");
    struct writer writers[THREADS];
    pthread_t threads[THREADS];
    uint8_t *model = malloc(40000);

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.io = io, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_stripes, &writers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].failed, 0);
    }
    for (unsigned run = 0; run < 400; run++)
        memset(model + run * 100, (int)(run % THREADS) + 1, 100);
    imgi_io_close(io);
    io_expect("threads", model, 40000);
    free(model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_random),
    cmocka_unit_test(test_aligned),
    cmocka_unit_test(test_threads),
};

IO_RUN(tests)
