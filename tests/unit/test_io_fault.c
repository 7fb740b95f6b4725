/*
 * Faults on demand. SPDX-License-Identifier: BSD-2-Clause
 */
#include "io_test.h"

static struct imgi_io *faulty(void)
{
    struct imgi_io *base, *io;
    img_error err = {0};

    assert_ok(imgi_mem_new(&base, &err), err);
    assert_ok(imgi_fault_new(&io, base, &err), err);
    return io;
}

static void test_passes(void **state)
{
    struct imgi_io *io = faulty();
    img_error err = {0};
    struct imgi_io_extent extent;
    uint8_t back[4];
    uint64_t size, id[2];

    (void)state;
    assert_ok(imgi_io_write(io, "abcd", 4, 0, &err), err);
    assert_ok(imgi_io_read(io, back, 4, 0, &err), err);
    assert_memory_equal(back, "abcd", 4);
    assert_ok(imgi_io_zero(io, 0, 2, false, &err), err);
    assert_ok(imgi_io_resize(io, 10, IMGI_PREALLOC_OFF, &err), err);
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 10);
    assert_ok(imgi_io_flush(io, &err), err);
    assert_ok(imgi_io_discard(io, 0, 1, &err), err);
    assert_ok(imgi_io_extent(io, 0, 10, &extent, &err), err);
    assert_ok(imgi_io_lock(io, IMGI_PERM_READ, 0, &err), err);
    assert_ok(imgi_io_publish(io, &err), err);
    assert_true(imgi_io_identity(io, id));
    assert_true(imgi_io_usage(io) >= 10);
    assert_error(imgi_io_share(io, 0, io, 4, 4, &err), IMG_E_UNSUPPORTED, err, "memory", "shared");
    assert_false(imgi_fault_hit(io));
    imgi_io_close(io);
}

static void test_nth(void **state)
{
    struct imgi_io *io = faulty();
    img_error err = {0};
    uint8_t byte = 1;

    (void)state;
    assert_ok(imgi_io_write(io, "abcd", 4, 0, &err), err);
    imgi_fault_set(io, IMGI_FAULT_WRITE | IMGI_FAULT_ZERO, 2, ENOSPC, false);
    assert_ok(imgi_io_write(io, &byte, 1, 0, &err), err);
    assert_ok(imgi_io_read(io, &byte, 1, 0, &err), err); /* not counted */
    assert_ok(imgi_io_zero(io, 0, 1, true, &err), err);
    assert_false(imgi_fault_hit(io));
    assert_error(imgi_io_write(io, &byte, 1, 3, &err), IMG_E_NOSPACE, err, "memory",
                 "write at 0x3 (a fault that was asked for): No space left on device");
    assert_int_equal(err.os_errno, ENOSPC);
    assert_true(imgi_fault_hit(io));
    assert_ok(imgi_io_write(io, &byte, 1, 3, &err), err); /* once only */
    assert_true(imgi_fault_hit(io));
    imgi_io_close(io);
}

static void test_sticky(void **state)
{
    struct imgi_io *io = faulty();
    img_error err = {0};
    uint8_t byte = 1;

    (void)state;
    assert_ok(imgi_io_write(io, "abcd", 4, 0, &err), err);
    imgi_fault_set(io, IMGI_FAULT_ANY, 0, EIO, true);
    assert_int_equal(imgi_io_read(io, &byte, 1, 0, &err), IMG_E_IO);
    assert_int_equal(imgi_io_write(io, &byte, 1, 0, &err), IMG_E_IO);
    assert_int_equal(imgi_io_zero(io, 0, 1, true, &err), IMG_E_IO);
    assert_int_equal(imgi_io_flush(io, &err), IMG_E_IO);
    assert_int_equal(imgi_io_resize(io, 1, IMGI_PREALLOC_OFF, &err), IMG_E_IO);
    imgi_fault_set(io, 0, 0, 0, false);
    assert_false(imgi_fault_hit(io));
    assert_ok(imgi_io_read(io, &byte, 1, 0, &err), err);
    assert_int_equal(byte, 'a');
    imgi_io_close(io);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_passes),
    cmocka_unit_test(test_nth),
    cmocka_unit_test(test_sticky),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
