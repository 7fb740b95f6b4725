/*
 * The gate and the plain paths under it, on raw images in memory.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "internal.h"

static img_image *memory_image(uint64_t size, const char *format, unsigned flags)
{
    const img_open_params params = {.format = format, .flags = flags};
    struct imgi_io *io;
    img_image *image = NULL;

    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    assert_int_equal(imgi_io_resize(io, size, IMGI_PREALLOC_OFF, NULL), 0);
    assert_int_equal(imgi_image_open_io(&image, io, "memory", &params, NULL), 0);
    return image;
}

static void ranges_are_checked(void **state)
{
    img_image *image = memory_image(4096, "raw", IMG_OPEN_WRITE);
    uint8_t byte[2] = {1, 2};
    img_extent extent;
    img_error err = {0};

    (void)state;
    assert_int_equal(img_read(image, 4095, byte, 2, &err), IMG_E_RANGE);
    assert_string_equal(err.image, "memory");
    assert_int_equal(img_write(image, 4096, byte, 1, NULL), IMG_E_RANGE);
    assert_int_equal(img_zero(image, UINT64_MAX, 2, 0, NULL), IMG_E_RANGE);
    assert_int_equal(img_discard(image, 1, UINT64_MAX, NULL), IMG_E_RANGE);
    assert_int_equal(img_map(image, 0, 0, &extent, NULL), IMG_E_RANGE);
    assert_int_equal(img_map(image, 4096, 1, &extent, NULL), IMG_E_RANGE);
    assert_int_equal(img_write(image, 4095, byte, 1, NULL), 0);
    assert_int_equal(img_read(image, 4095, byte + 1, 1, NULL), 0);
    assert_int_equal(byte[1], 1);
    assert_int_equal(img_close(image, NULL), 0);
}

static void a_reader_may_not_write(void **state)
{
    img_image *image = memory_image(4096, "raw", 0);
    uint8_t byte = 1;
    img_error err = {0};

    (void)state;
    assert_int_equal(img_write(image, 0, &byte, 1, &err), IMG_E_RDONLY);
    assert_int_equal(img_zero(image, 0, 1, 0, NULL), IMG_E_RDONLY);
    assert_int_equal(img_discard(image, 0, 1, NULL), IMG_E_RDONLY);
    assert_int_equal(img_resize(image, 8192, NULL), IMG_E_RDONLY);
    assert_int_equal(img_flush(image, NULL), 0);
    assert_int_equal(img_close(image, NULL), 0);
}

static void an_odd_file_ends_at_a_sector(void **state)
{
    img_image *image = memory_image(1000, "raw", IMG_OPEN_WRITE);
    uint8_t tail[24];
    img_extent extent;

    (void)state;
    assert_int_equal(img_size(image), 1024);
    memset(tail, 0xff, sizeof(tail));
    assert_int_equal(img_read(image, 1000, tail, 24, NULL), 0);
    for (size_t i = 0; i < sizeof(tail); i++)
        assert_int_equal(tail[i], 0);
    assert_int_equal(img_map(image, 1000, 24, &extent, NULL), 0);
    assert_true(extent.flags & IMG_EXTENT_ZERO);
    assert_int_equal(img_write(image, 1023, "x", 1, NULL), 0);
    assert_int_equal(img_read(image, 1023, tail, 1, NULL), 0);
    assert_int_equal(tail[0], 'x');
    assert_int_equal(img_close(image, NULL), 0);
}

/* A guest that writes a header into an image which was guessed to be raw would lead the next reader
 * astray. */
static void a_guessed_raw_image_stays_raw(void **state)
{
    static const uint8_t qcow2[8] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3};
    img_image *image = memory_image(65536, NULL, IMG_OPEN_WRITE);
    img_error err = {0};

    (void)state;
    assert_true(img_format_guessed(image));
    assert_int_equal(img_write(image, 0, qcow2, sizeof(qcow2), &err), IMG_E_DENIED);
    assert_int_equal(img_write(image, 0, "harmless", 8, NULL), 0);
    /* Nor in two steps. */
    assert_int_equal(img_write(image, 1, qcow2 + 1, 7, NULL), 0);
    assert_int_equal(img_write(image, 0, qcow2, 1, NULL), IMG_E_DENIED);
    assert_int_equal(img_write(image, 512, qcow2, sizeof(qcow2), NULL), 0);
    assert_int_equal(img_close(image, NULL), 0);

    image = memory_image(65536, "raw", IMG_OPEN_WRITE);
    assert_false(img_format_guessed(image));
    assert_int_equal(img_write(image, 0, qcow2, sizeof(qcow2), NULL), 0);
    assert_int_equal(img_close(image, NULL), 0);
}

static void zero_and_map(void **state)
{
    img_image *image = memory_image(1 << 20, "raw", IMG_OPEN_WRITE);
    uint8_t *buffer = malloc(1 << 20);

    (void)state;
    assert_non_null(buffer);
    memset(buffer, 0x55, 1 << 20);
    assert_int_equal(img_write(image, 0, buffer, 1 << 20, NULL), 0);
    assert_int_equal(img_zero(image, 1000, 500000, IMG_ZERO_UNMAP, NULL), 0);
    assert_int_equal(img_read(image, 0, buffer, 1 << 20, NULL), 0);
    for (size_t i = 0; i < 1 << 20; i++)
        assert_int_equal(buffer[i], i >= 1000 && i < 501000 ? 0 : 0x55);
    free(buffer);
    assert_int_equal(img_close(image, NULL), 0);
}

static void resize_keeps_content(void **state)
{
    img_image *image = memory_image(4096, "raw", IMG_OPEN_WRITE);
    uint8_t byte = 0;

    (void)state;
    assert_int_equal(img_write(image, 4095, "z", 1, NULL), 0);
    assert_int_equal(img_resize(image, 1 << 20, NULL), 0);
    assert_int_equal(img_size(image), 1 << 20);
    assert_int_equal(img_read(image, 4095, &byte, 1, NULL), 0);
    assert_int_equal(byte, 'z');
    assert_int_equal(img_read(image, (1 << 20) - 1, &byte, 1, NULL), 0);
    assert_int_equal(byte, 0);
    assert_int_equal(img_close(image, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(a_reader_may_not_write),
        cmocka_unit_test(an_odd_file_ends_at_a_sector),
        cmocka_unit_test(a_guessed_raw_image_stays_raw),
        cmocka_unit_test(zero_and_map),
        cmocka_unit_test(resize_keeps_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
