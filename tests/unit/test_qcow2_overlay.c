/*
 * Unit tests: emptying a qcow2 image and renaming its backing image on a disk that fails at its nth
 * call, for every n. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define FILE_NAME "overlay"
#define SIZE (1u << 20)
#define NTH_MAX 500

static const char *const variants[] = {"cluster_size=4k", "cluster_size=512,refcount_bits=64",
                                       "compat=0.10,cluster_size=64k"};

static int set_up(void **state)
{
    char *name = strdup("/tmp/img-qcow2-overlay.XXXXXX");

    if (!name || !mkdtemp(name) || chdir(name) < 0)
        return -1;
    *state = name;
    return 0;
}

static int tear_down(void **state)
{
    unlink(FILE_NAME);
    if (chdir("/") < 0 || rmdir(*state) < 0)
        return -1;
    free(*state);
    return 0;
}

/* An overlay of a base that is not there, half of it data. */
static void make_image(const char *variant)
{
    img_open_params params = {.flags = IMG_OPEN_NO_BACKING, .cache = IMG_CACHE_UNSAFE};
    img_options *options = img_options_new();
    uint8_t *bytes = malloc(SIZE / 2);
    img_image *image;
    img_error err = {0};

    assert_non_null(bytes);
    memset(bytes, 'o', SIZE / 2);
    assert_int_equal(img_options_parse(options, variant, &err), 0);
    assert_int_equal(img_options_set(options, "backing_file", "base", &err), 0);
    assert_int_equal(img_options_set(options, "backing_fmt", "raw", &err), 0);
    assert_int_equal(img_create(&image, FILE_NAME, "qcow2", SIZE, options, &params, &err), 0);
    assert_int_equal(img_write(image, 0, bytes, SIZE / 2, &err), 0);
    assert_int_equal(img_close(image, &err), 0);
    img_options_free(options);
    free(bytes);
}

static img_image *open_failing(struct imgi_io **io)
{
    img_open_params params = {.format = "qcow2",
                              .flags = IMG_OPEN_WRITE | IMG_OPEN_NO_BACKING | IMG_OPEN_NO_LOCK,
                              .cache = IMG_CACHE_UNSAFE};
    struct imgi_io *file;
    img_image *image;
    img_error err = {0};

    assert_int_equal(imgi_file_open(&file, FILE_NAME, IMGI_IO_WRITE | IMGI_IO_NO_FLUSH, &err), 0);
    assert_int_equal(imgi_fault_new(io, file, &err), 0);
    assert_int_equal(imgi_image_open_io(&image, *io, FILE_NAME, &params, &err), 0);
    return image;
}

/* Sound, but for lost space; each byte is the old one or absent. *present: some are there. */
static img_image *open_checked(bool *present)
{
    img_open_params params = {.format = "qcow2", .flags = IMG_OPEN_NO_BACKING | IMG_OPEN_NO_LOCK};
    uint8_t *bytes = malloc(SIZE);
    img_check_result result;
    img_image *image;
    img_error err = {0};

    assert_non_null(bytes);
    assert_int_equal(img_open(&image, FILE_NAME, &params, &err), 0);
    assert_int_equal(img_check(NULL, image, NULL, NULL, &result, &err), 0);
    assert_int_equal(result.corruptions + result.check_errors, 0);
    assert_int_equal(img_read(image, 0, bytes, SIZE, &err), 0);
    *present = false;
    for (size_t i = 0; i < SIZE; i++) {
        assert_true(bytes[i] == 0 || (bytes[i] == 'o' && i < SIZE / 2));
        *present = *present || bytes[i] != 0;
    }
    free(bytes);
    return image;
}

static void empty_fails(void **state)
{
    (void)state;
    for (size_t v = 0; v < IMGI_COUNT(variants); v++) {
        int rc = -1;

        for (uint64_t nth = 0; rc < 0; nth++) {
            struct imgi_io *io;
            img_image *image;
            bool present;
            img_error err = {0};

            assert_true(nth < NTH_MAX);
            make_image(variants[v]);
            image = open_failing(&io);
            imgi_fault_set(io, IMGI_FAULT_ANY, nth, EIO, true);
            rc = image->top->driver->make_empty(image->top, &err);
            assert_true(rc == 0 || rc == IMG_E_IO);
            img_abandon(image);
            image = open_checked(&present);
            assert_false(rc == 0 && present);
            img_close(image, NULL);
        }
    }
}

static void rename_fails(void **state)
{
    (void)state;
    for (size_t v = 0; v < IMGI_COUNT(variants); v++) {
        int rc = -1;

        for (uint64_t nth = 0; rc < 0; nth++) {
            struct imgi_io *io;
            img_image *image;
            bool present;
            img_error err = {0};

            assert_true(nth < NTH_MAX);
            make_image(variants[v]);
            image = open_failing(&io);
            imgi_fault_set(io, IMGI_FAULT_ANY, nth, EIO, true);
            rc = image->top->driver->set_backing(image->top, "another", "qcow2", NULL, &err);
            img_abandon(image);
            image = open_checked(&present);
            assert_true(present);
            if (rc == 0 || strcmp(img_backing_name(image), "base") != 0) {
                assert_string_equal(img_backing_name(image), "another");
                assert_string_equal(img_backing_format(image), "qcow2");
            } else {
                assert_string_equal(img_backing_format(image), "raw");
            }
            img_close(image, NULL);
        }
    }
}

/* An empty image takes no more room than a new one, however large it was. */
static void empty_is_small(void **state)
{
    img_open_params params = {.flags = IMG_OPEN_WRITE | IMG_OPEN_NO_BACKING};
    img_image *image;
    img_check_result result;
    img_error err = {0};
    uint64_t size;

    (void)state;
    make_image("cluster_size=512");
    assert_int_equal(img_open(&image, FILE_NAME, &params, &err), 0);
    assert_int_equal(image->top->driver->make_empty(image->top, &err), 0);
    assert_int_equal(imgi_io_size(image->top->file, &size, &err), 0);
    assert_true(size <= 64 * 512);
    assert_int_equal(img_check(NULL, image, NULL, NULL, &result, &err), 0);
    assert_int_equal(result.image_end_offset, size);
    assert_int_equal(result.corruptions + result.leaks + result.allocated_clusters, 0);
    /* And it can be written to again. */
    assert_int_equal(img_write(image, SIZE - 7, "again", 5, &err), 0);
    assert_int_equal(img_close(image, &err), 0);
    assert_int_equal(img_open(&image, FILE_NAME, &params, &err), 0);
    assert_int_equal(img_check(NULL, image, NULL, NULL, &result, &err), 0);
    assert_int_equal(result.corruptions + result.leaks, 0);
    assert_int_equal(result.allocated_clusters, 1);
    assert_int_equal(img_close(image, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rename_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_is_small, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
