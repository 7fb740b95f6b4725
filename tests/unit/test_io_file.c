/*
 * Regular files: transfers, size, what is refused. SPDX-License-Identifier: BSD-2-Clause
 */
#include "io_test.h"

static void test_transfers(void **state)
{
    struct imgi_io *io;
    img_error err = {0};
    uint8_t bytes[300], back[300];
    uint64_t size;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    io_put("file", "", 0, 0600);
    assert_ok(imgi_file_open(&io, "file", IMGI_IO_WRITE, &err), err);
    assert_string_equal(io->name, "file");
    assert_ok(imgi_io_write(io, bytes, sizeof(bytes), 1000, &err), err);
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 1300);
    assert_ok(imgi_io_read(io, back, sizeof(back), 1000, &err), err);
    assert_memory_equal(back, bytes, sizeof(back));

    /* a write inside does not change the size */
    assert_ok(imgi_io_write(io, bytes, 10, 500, &err), err);
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 1300);
    assert_ok(imgi_io_flush(io, &err), err);

    /* nothing is always possible */
    assert_ok(imgi_io_read(io, back, 0, 5000, &err), err);
    assert_ok(imgi_io_write(io, back, 0, 5000, &err), err);
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 1300);
    imgi_io_close(io);
    imgi_io_close(NULL);
}

static void test_ranges(void **state)
{
    struct imgi_io *io;
    struct imgi_io_extent extent;
    img_error err = {0};
    uint8_t byte = 0;

    (void)state;
    io_put("file", "0123456789", 10, 0600);
    assert_ok(imgi_file_open(&io, "file", IMGI_IO_WRITE, &err), err);
    assert_error(imgi_io_read(io, &byte, 1, 10, &err), IMG_E_RANGE, err, "file",
                 "read of 1 bytes at 0xa: the file ends at 0xa");
    assert_error(imgi_io_read(io, &byte, 1, UINT64_MAX, &err), IMG_E_RANGE, err, "file",
                 "no file can be that long");
    assert_error(imgi_io_write(io, &byte, 1, INT64_MAX, &err), IMG_E_RANGE, err, "file",
                 "no file can be that long");
    assert_error(imgi_io_zero(io, 1, UINT64_MAX, true, &err), IMG_E_RANGE, err, "file",
                 "no file can be that long");
    assert_error(imgi_io_resize(io, UINT64_MAX, IMGI_PREALLOC_OFF, &err), IMG_E_RANGE, err, "file",
                 "no file can be that long");
    assert_error(imgi_io_extent(io, 10, 1, &extent, &err), IMG_E_RANGE, err, "file",
                 "the file ends at 0xa");
    imgi_io_close(io);
}

static void test_read_only(void **state)
{
    struct imgi_io *io;
    img_error err = {0};

    (void)state;
    io_put("file", "0123456789", 10, 0600);
    assert_ok(imgi_file_open(&io, "file", 0, &err), err);
    assert_error(imgi_io_write(io, "x", 1, 0, &err), IMG_E_RDONLY, err, "file", "reading only");
    assert_error(imgi_io_zero(io, 0, 1, true, &err), IMG_E_RDONLY, err, "file", "reading only");
    assert_error(imgi_io_discard(io, 0, 1, &err), IMG_E_RDONLY, err, "file", "reading only");
    assert_error(imgi_io_resize(io, 1, IMGI_PREALLOC_OFF, &err), IMG_E_RDONLY, err, "file",
                 "reading only");
    assert_error(imgi_io_share(io, 0, io, 0, 1, &err), IMG_E_RDONLY, err, "file", "reading only");
    assert_ok(imgi_io_flush(io, &err), err);
    assert_ok(imgi_io_publish(io, &err), err);
    imgi_io_close(io);
    io_expect("file", "0123456789", 10);
}

/* More vectors than one system call takes, of uneven lengths, some empty. */
static void test_vectors(void **state)
{
    enum { VECTORS = 3000 };
    struct iovec *iov = calloc(VECTORS, sizeof(*iov));
    uint8_t *bytes = malloc(VECTORS * 7);
    struct imgi_io *io;
    img_error err = {0};
    size_t length = 0;

    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        iov[i] = (struct iovec){.iov_base = bytes + length, .iov_len = i % 7};
        memset(bytes + length, (int)(i % 251) + 1, i % 7);
        length += i % 7;
    }
    io_put("file", "", 0, 0600);
    assert_ok(imgi_file_open(&io, "file", IMGI_IO_WRITE | IMGI_IO_SYNC, &err), err);
    assert_ok(imgi_io_writev(io, iov, VECTORS, 0, &err), err);
    imgi_io_close(io);
    io_expect("file", bytes, length);
    free(bytes);
    free(iov);
}

static void test_resize(void **state)
{
    static const uint8_t zeros[3000000];
    struct imgi_io *io;
    img_error err = {0};
    uint64_t size;

    (void)state;
    io_put("file", "0123456789", 10, 0600);
    assert_ok(imgi_file_open(&io, "file", IMGI_IO_WRITE, &err), err);
    assert_ok(imgi_io_resize(io, 3000000, IMGI_PREALLOC_OFF, &err), err);
    assert_true(imgi_io_usage(io) < 100000);
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 3000000);

    assert_ok(imgi_io_resize(io, 0, IMGI_PREALLOC_OFF, &err), err);
    assert_ok(imgi_io_resize(io, 3000000, IMGI_PREALLOC_FALLOC, &err), err);
    assert_true(imgi_io_usage(io) >= 3000000);
    io_expect("file", zeros, sizeof(zeros));

    assert_ok(imgi_io_resize(io, 0, IMGI_PREALLOC_FALLOC, &err), err);
    assert_ok(imgi_io_resize(io, 3000000, IMGI_PREALLOC_FULL, &err), err);
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 3000000);
    assert_ok(imgi_io_flush(io, &err), err);
    assert_true(imgi_io_usage(io) >= 3000000);
    imgi_io_close(io);
    io_expect("file", zeros, sizeof(zeros));
}

static void test_refused(void **state)
{
    struct imgi_io *io = NULL;
    img_error err = {0};

    (void)state;
    assert_int_equal(mkdir("directory", 0700), 0);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(symlink("file", "link"), 0);
    io_put("file", "", 0, 0600);

    alarm(10); /* the pipe must not be waited for */
    assert_error(imgi_file_open(&io, "directory", 0, &err), IMG_E_INVAL, err, "directory",
                 "is a directory, not a regular file or block device");
    assert_error(imgi_file_open(&io, "pipe", 0, &err), IMG_E_INVAL, err, "pipe", "is a pipe");
    assert_error(imgi_file_open(&io, "pipe", IMGI_IO_WRITE, &err), IMG_E_INVAL, err, "pipe",
                 "is a pipe");
    assert_error(imgi_file_open(&io, "/dev/zero", 0, &err), IMG_E_INVAL, err, "/dev/zero",
                 "is a character device");
    assert_error(imgi_file_open(&io, "missing", 0, &err), IMG_E_NOENT, err, "missing",
                 "cannot be opened: No such file or directory");
    assert_error(imgi_file_open(&io, "link", IMGI_IO_NO_FOLLOW, &err), IMG_E_INVAL, err, "link",
                 "is a symbolic link");
    alarm(0);
    assert_null(io);
    assert_ok(imgi_file_open(&io, "link", 0, &err), err);
    imgi_io_close(io);
}

static void test_identity(void **state)
{
    struct imgi_io *one, *link, *other;
    img_error err = {0};
    uint64_t a[2], b[2], c[2];

    (void)state;
    io_put("one", "", 0, 0600);
    io_put("other", "", 0, 0600);
    assert_int_equal(symlink("one", "same"), 0);
    assert_ok(imgi_file_open(&one, "one", 0, &err), err);
    assert_ok(imgi_file_open(&link, "same", 0, &err), err);
    assert_ok(imgi_file_open(&other, "other", 0, &err), err);
    assert_true(imgi_io_identity(one, a));
    assert_true(imgi_io_identity(link, b));
    assert_true(imgi_io_identity(other, c));
    assert_memory_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, c, sizeof(a));
    imgi_io_close(one);
    imgi_io_close(link);
    imgi_io_close(other);
}

/* Another process cuts the file: reads fail and say so, and the lost part is no hole. */
static void test_shrunk(void **state)
{
    struct imgi_io *io;
    struct imgi_io_extent extent;
    img_error err = {0};
    uint8_t *bytes = calloc(1, 100000);

    (void)state;
    io_put("file", bytes, 100000, 0600);
    assert_ok(imgi_file_open(&io, "file", 0, &err), err);
    assert_int_equal(truncate("file", 50000), 0);
    assert_error(imgi_io_read(io, bytes, 100000, 0, &err), IMG_E_RANGE, err, "file",
                 "got 50000: the file has become shorter than the 0x186a0 bytes it had");
    assert_ok(imgi_io_extent(io, 60000, 100, &extent, &err), err);
    assert_false(extent.hole);
    imgi_io_close(io);
    free(bytes);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_transfers), cmocka_unit_test(test_ranges),
    cmocka_unit_test(test_read_only), cmocka_unit_test(test_vectors),
    cmocka_unit_test(test_resize),    cmocka_unit_test(test_refused),
    cmocka_unit_test(test_identity),  cmocka_unit_test(test_shrunk),
};

IO_RUN(tests)
