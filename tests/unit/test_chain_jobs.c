/*
 * Unit tests: img_commit, img_rebase and img_write_compressed as a program calls them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libimg.h"

#define SIZE (4u << 20)
#define CLUSTER 65536u

/* A base full of 'b', and an overlay with a cluster of 'o' and one of zeros. */
static int set_up(void **state)
{
    static char directory[] = "/tmp/img-chain-jobs.XXXXXX";
    char *name = strdup(directory);

    if (!name || !mkdtemp(name) || chdir(name) < 0)
        return -1;
    *state = name;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"base", "other", "over", "alone"};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(files[i]);
    if (chdir("/") < 0 || rmdir(*state) < 0)
        return -1;
    free(*state);
    return 0;
}

static void write_byte(img_image *image, uint64_t offset, uint8_t byte, size_t length)
{
    uint8_t *bytes = malloc(length);
    img_error err = {0};

    assert_non_null(bytes);
    memset(bytes, byte, length);
    assert_int_equal(img_write(image, offset, bytes, length, &err), 0);
    free(bytes);
}

/* The first byte of a range whose bytes are all the same. */
static int byte_at(img_image *image, uint64_t offset, size_t length)
{
    uint8_t *bytes = malloc(length);
    img_error err = {0};
    int byte;

    assert_non_null(bytes);
    assert_int_equal(img_read(image, offset, bytes, length, &err), 0);
    for (size_t i = 1; i < length; i++)
        assert_int_equal(bytes[i], bytes[0]);
    byte = bytes[0];
    free(bytes);
    return byte;
}

static void make(const char *name, const char *backing, uint8_t byte)
{
    img_options *options = img_options_new();
    img_image *image = NULL;
    img_error err = {0};

    if (backing) {
        assert_int_equal(img_options_set(options, "backing_file", backing, &err), 0);
        assert_int_equal(img_options_set(options, "backing_fmt", "qcow2", &err), 0);
    }
    assert_int_equal(img_create(&image, name, "qcow2", SIZE, options, NULL, &err), 0);
    if (byte)
        write_byte(image, 0, byte, SIZE);
    if (backing) {
        write_byte(image, CLUSTER, 'o', CLUSTER);
        assert_int_equal(img_zero(image, 4 * CLUSTER, CLUSTER, 0, &err), 0);
    }
    assert_int_equal(img_close(image, &err), 0);
    img_options_free(options);
}

static img_image *open_overlay(unsigned flags)
{
    img_open_params params = {.format = "qcow2", .flags = flags};
    img_image *image = NULL;
    img_error err = {0};

    make("base", NULL, 'b');
    make("other", NULL, 'x');
    make("over", "base", 0);
    assert_int_equal(img_open(&image, "over", &params, &err), 0);
    return image;
}

static void check_content(img_image *image)
{
    assert_int_equal(byte_at(image, 0, CLUSTER), 'b');
    assert_int_equal(byte_at(image, CLUSTER, CLUSTER), 'o');
    assert_int_equal(byte_at(image, 4 * CLUSTER, CLUSTER), 0);
    assert_int_equal(byte_at(image, 5 * CLUSTER, SIZE - 5 * CLUSTER), 'b');
}

static unsigned depth_at(img_image *image, uint64_t offset)
{
    img_extent extent;
    img_error err = {0};

    assert_int_equal(img_map(image, offset, 1, &extent, &err), 0);
    return extent.depth;
}

static void close_image(img_image *image)
{
    img_error err = {0};

    assert_int_equal(img_close(image, &err), 0);
}

static void commit_empties(void **state)
{
    img_image *image = open_overlay(IMG_OPEN_WRITE);
    img_error err = {0};

    (void)state;
    assert_int_equal(img_commit(NULL, image, NULL, &err), 0);
    check_content(image);
    assert_int_equal(depth_at(image, CLUSTER), 1);
    /* It is an image like any other afterwards. */
    write_byte(image, 2 * CLUSTER + 5, 'n', 7);
    assert_int_equal(byte_at(image, 2 * CLUSTER + 5, 7), 'n');
    assert_int_equal(byte_at(image, 2 * CLUSTER, 5), 'b');
    close_image(image);
}

static void commit_keeps(void **state)
{
    img_image *image = open_overlay(IMG_OPEN_WRITE);
    img_job *job = img_job_new();
    img_error err = {0};

    (void)state;
    img_job_set_flags(job, IMG_JOB_KEEP);
    assert_int_equal(img_commit(job, image, NULL, &err), 0);
    check_content(image);
    assert_int_equal(depth_at(image, CLUSTER), 0);
    assert_int_equal(img_commit(NULL, image, "nonsense", &err), IMG_E_NOENT);
    assert_int_equal(img_commit(NULL, image, "base", &err), 0);
    assert_int_equal(depth_at(image, CLUSTER), 0);
    img_job_free(job);
    close_image(image);
}

static int cancel(void *opaque, const img_progress *progress)
{
    (void)opaque;
    return progress->done > 0;
}

static void failures_change_nothing(void **state)
{
    img_image *image = open_overlay(0);
    img_job *job = img_job_new();
    img_error err = {0};

    (void)state;
    assert_int_equal(img_commit(NULL, image, NULL, &err), IMG_E_RDONLY);
    assert_int_equal(img_rebase(NULL, image, NULL, NULL, &err), IMG_E_RDONLY);
    close_image(image);
    image = open_overlay(IMG_OPEN_WRITE);
    img_job_set_progress(job, cancel, NULL);
    assert_int_equal(img_commit(job, image, NULL, &err), IMG_E_CANCELLED);
    check_content(image);
    assert_int_equal(depth_at(image, CLUSTER), 0);
    assert_int_equal(img_rebase(job, image, "other", "qcow2", &err), IMG_E_CANCELLED);
    check_content(image);
    assert_string_equal(img_backing_name(image), "base");
    img_job_set_flags(job, IMG_JOB_UNSAFE);
    assert_int_equal(img_rebase(job, image, "other", "qcow2", &err), IMG_E_INVAL);
    assert_int_equal(img_rebase(NULL, image, "over", "qcow2", &err), IMG_E_BUSY);
    assert_int_equal(img_rebase(NULL, image, "other", NULL, &err), IMG_E_INVAL);
    check_content(image);
    img_job_free(job);
    close_image(image);
}

static void rebase_keeps_content(void **state)
{
    img_image *image = open_overlay(IMG_OPEN_WRITE);
    img_error err = {0};

    (void)state;
    assert_int_equal(img_rebase(NULL, image, "other", "qcow2", &err), 0);
    assert_string_equal(img_backing_name(image), "other");
    check_content(image);
    assert_int_equal(img_rebase(NULL, image, NULL, NULL, &err), 0);
    assert_null(img_backing_name(image));
    check_content(image);
    close_image(image);
}

/* A disk that reads as zeros because nothing is below it must go on doing so. */
static void rebase_hides_new_backing(void **state)
{
    img_open_params params = {.flags = IMG_OPEN_WRITE};
    img_image *image = NULL;
    img_error err = {0};

    (void)state;
    make("base", NULL, 'b');
    make("alone", NULL, 0);
    assert_int_equal(img_open(&image, "alone", &params, &err), 0);
    assert_int_equal(img_rebase(NULL, image, "base", "qcow2", &err), 0);
    assert_int_equal(byte_at(image, 0, SIZE), 0);
    close_image(image);
}

static void compressed_clusters(void **state)
{
    img_image *image = open_overlay(IMG_OPEN_WRITE);
    uint8_t bytes[CLUSTER];
    img_extent extent;
    img_error err = {0};

    (void)state;
    memset(bytes, 'c', sizeof(bytes));
    assert_int_equal(img_write_compressed(image, CLUSTER, bytes, CLUSTER, &err), 0);
    assert_int_equal(img_map(image, CLUSTER, CLUSTER, &extent, &err), 0);
    assert_true(extent.flags & IMG_EXTENT_PACKED);
    assert_int_equal(byte_at(image, CLUSTER, CLUSTER), 'c');
    assert_int_equal(img_write_compressed(image, 512, bytes, CLUSTER, &err), IMG_E_INVAL);
    assert_int_equal(img_write_compressed(image, 0, bytes, 512, &err), IMG_E_INVAL);
    assert_int_equal(img_write_compressed(image, SIZE, bytes, CLUSTER, &err), IMG_E_RANGE);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(rand() >> 8);
    /* What compressing makes no smaller is stored as it is. */
    assert_int_equal(img_write_compressed(image, 0, bytes, CLUSTER, &err), 0);
    assert_int_equal(img_map(image, 0, CLUSTER, &extent, &err), 0);
    assert_false(extent.flags & IMG_EXTENT_PACKED);
    close_image(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commit_empties, set_up, tear_down),
        cmocka_unit_test_setup_teardown(commit_keeps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rebase_keeps_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rebase_hides_new_backing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compressed_clusters, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
