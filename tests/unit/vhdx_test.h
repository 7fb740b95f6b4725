/*
 * What the tests of VHDX images share. SPDX-License-Identifier: BSD-2-Clause
 *
 * An image of eight blocks of 1 MiB. Block n lies at 8 MiB + n MiB and is filled with n + 1, from a
 * log of 1 MiB at 1 MiB, the BAT at 2 MiB and the metadata at 3 MiB on.
 */
#ifndef VHDX_TEST_H
#define VHDX_TEST_H

#include "io_test.h"

#include "libimg.h"
#include "vhdx/vhdx.h"

#define NAME "disk.vhdx"
#define BLOCK ((size_t)1 << 20)
#define BLOCKS 8u
#define LOG_AT ((size_t)1 << 20)
#define LOG_SECTORS 256u
#define BAT_AT ((size_t)2 << 20)
#define METADATA_AT ((size_t)3 << 20)
#define DATA_AT ((size_t)8 << 20)

static inline img_image *vhdx_test_open(const char *name, unsigned flags)
{
    const img_open_params params = {.format = "vhdx", .flags = flags, .cache = IMG_CACHE_UNSAFE};
    img_image *image = NULL;
    img_error err = {0};

    assert_ok(img_open(&image, name, &params, &err), err);
    return image;
}

/* Opening must fail with that code and say that. */
static inline void vhdx_test_refused(const char *name, unsigned flags, int code, const char *says)
{
    const img_open_params params = {.format = "vhdx", .flags = flags};
    img_image *image = NULL;
    img_error err = {0};

    assert_error(img_open(&image, name, &params, &err), code, err, name, says);
}

static inline void vhdx_test_make(const char *name, bool filled)
{
    const img_open_params params = {.cache = IMG_CACHE_UNSAFE};
    img_options *options = img_options_new();
    uint8_t *bytes = malloc(BLOCK);
    img_image *image;
    img_error err = {0};

    assert_non_null(bytes);
    assert_ok(img_options_parse(options, "block_size=1M", &err), err);
    assert_ok(img_create(&image, name, "vhdx", BLOCKS * BLOCK, options, &params, &err), err);
    for (unsigned n = 0; filled && n < BLOCKS; n++) {
        memset(bytes, (int)n + 1, BLOCK);
        assert_ok(img_write(image, n * BLOCK, bytes, BLOCK, &err), err);
    }
    assert_ok(img_close(image, &err), err);
    img_options_free(options);
    free(bytes);
}

static inline void vhdx_test_put(const char *name, const void *bytes, size_t length, uint64_t at)
{
    int fd = open(name, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, (off_t)at), length);
    close(fd);
}

static inline void vhdx_test_get(const char *name, void *bytes, size_t length, uint64_t at)
{
    int fd = open(name, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, length, (off_t)at), length);
    close(fd);
}

static inline void vhdx_test_put64(const char *name, uint64_t value, uint64_t at)
{
    uint8_t bytes[8];

    imgi_put_le64(bytes, value);
    vhdx_test_put(name, bytes, sizeof(bytes), at);
}

/* The header copy that holds. */
static inline struct vhdx_header vhdx_test_header(const char *name)
{
    struct vhdx_header headers[2];
    uint8_t bytes[VHDX_HEADER_BYTES];

    for (unsigned n = 0; n < 2; n++) {
        vhdx_test_get(name, bytes, sizeof(bytes), VHDX_AT_HEADER(n));
        assert_int_equal(vhdx_header_decode(bytes, &headers[n], NULL), 0);
    }
    return headers[headers[1].sequence > headers[0].sequence];
}

/* The byte that a read finds there. */
static inline unsigned vhdx_test_byte(img_image *image, uint64_t offset)
{
    uint8_t byte = 0xee;
    img_error err = {0};

    assert_ok(img_read(image, offset, &byte, 1, &err), err);
    return byte;
}

#endif
