/*
 * Unit tests: amending and resizing qcow2 images in memory. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "internal.h"
#include "qcow2/qcow2.h"

#define SIZE (1024u * 1024u)

static img_image *new_image(const char *format, const char *text)
{
    img_options *options = img_options_new();
    img_image *image = NULL;
    struct imgi_io *io;
    img_error err = {0};

    assert_int_equal(img_options_parse(options, text, NULL), 0);
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    if (imgi_image_create_io(&image, io, "memory", format, SIZE, options, NULL, &err) < 0)
        fail_msg("%s", err.message);
    img_options_free(options);
    return image;
}

static int amend(img_image *image, const char *text, img_job *job, img_error *err)
{
    img_options *options = img_options_new();
    int rc;

    assert_int_equal(img_options_parse(options, text, NULL), 0);
    rc = img_amend(job, image, options, err);
    img_options_free(options);
    return rc;
}

static void assert_clean(img_image *image)
{
    img_check_result result = {0};

    assert_int_equal(img_check(NULL, image, NULL, NULL, &result, NULL), 0);
    assert_int_equal(result.corruptions + result.leaks + result.check_errors, 0);
}

static void assert_byte(img_image *image, uint64_t offset, uint8_t byte)
{
    uint8_t found = (uint8_t)~byte;

    assert_int_equal(img_read(image, offset, &found, 1, NULL), 0);
    assert_int_equal(found, byte);
}

static void every_change_and_back(void **state)
{
    static const struct {
        const char *text;
        uint32_t version;
        unsigned order;
        bool lazy;
        uint64_t size;
    } changes[] = {
        {"refcount_bits=64", 3, 6, false, SIZE},
        {"refcount_bits=1,lazy_refcounts=on", 3, 0, true, SIZE},
        {"compat=0.10,refcount_bits=16", 2, 4, false, SIZE},
        {"compat=v3,size=2M", 3, 4, false, 2 * SIZE},
        {"size=512k,refcount_bits=8", 3, 3, false, SIZE / 2},
        {"size=0,compat=1.1", 3, 3, false, SIZE / 2},
        {"size=1M,compat=v2,refcount_bits=16", 2, 4, false, SIZE},
    };
    img_image *image = new_image("qcow2", "cluster_size=512");
    const struct qcow2 *q = qcow2_of(image->top);
    uint8_t bytes[4096];
    img_error err = {0};

    (void)state;
    memset(bytes, 7, sizeof(bytes));
    assert_int_equal(img_write(image, 1000, bytes, sizeof(bytes), NULL), 0);
    assert_int_equal(img_write(image, 300000, bytes, sizeof(bytes), NULL), 0);
    assert_int_equal(img_zero(image, 2048, 512, 0, NULL), 0);
    for (size_t i = 0; i < IMGI_COUNT(changes); i++) {
        if (amend(image, changes[i].text, NULL, &err) < 0)
            fail_msg("%s: %s", changes[i].text, err.message);
        assert_int_equal(q->header.version, changes[i].version);
        assert_int_equal(q->header.refcount_order, changes[i].order);
        assert_int_equal(q->header.compatible != 0, changes[i].lazy);
        assert_int_equal(img_size(image), changes[i].size);
        assert_clean(image);
        assert_byte(image, 1000, 7);
        assert_byte(image, 2047, 7);
        assert_byte(image, 2048, 0);
        assert_byte(image, 2560, 7);
        assert_byte(image, 304095, 7);
        assert_int_equal(img_write(image, 400000, bytes, sizeof(bytes), NULL), 0);
    }
    assert_int_equal(img_close(image, NULL), 0);
}

/* What is refused changes nothing, whatever else was asked for in the same breath. */
static void refusals(void **state)
{
    static const struct {
        const char *text;
        int code;
    } wrong[] = {
        {"nonsense=1", IMG_E_INVAL},
        {"cluster_size=4096", IMG_E_INVAL},
        {"refcount_bits=8,lazy_refcounts=maybe", IMG_E_INVAL},
        {"size=2M,refcount_bits=7", IMG_E_INVAL},
        {"size=2M,compat=0.9", IMG_E_INVAL},
        {"refcount_bits=8,size=1000", IMG_E_INVAL},
        {"compat=0.10,refcount_bits=8", IMG_E_INVAL},
        {"compat=0.10,lazy_refcounts=on", IMG_E_INVAL},
        {"size=2M,backing_file=x", IMG_E_INVAL},
        {"size=2M,data_file=x", IMG_E_INVAL},
        {"size=2M,data_file_raw=on", IMG_E_INVAL},
        {"size=2M,encrypt.state=active", IMG_E_INVAL},
    };
    img_image *image = new_image("qcow2", "cluster_size=4096");
    size_t before, after;
    const uint8_t *bytes;
    uint8_t *copy;

    (void)state;
    assert_int_equal(img_flush(image, NULL), 0);
    bytes = imgi_mem_bytes(image->top->file, &before);
    copy = malloc(before);
    assert_non_null(copy);
    memcpy(copy, bytes, before);
    for (size_t i = 0; i < IMGI_COUNT(wrong); i++) {
        img_error err = {0};

        assert_int_equal(amend(image, wrong[i].text, NULL, &err), wrong[i].code);
        assert_true(err.message[0] != '\0');
        assert_int_equal(img_flush(image, NULL), 0);
        bytes = imgi_mem_bytes(image->top->file, &after);
        assert_int_equal(after, before);
        assert_memory_equal(bytes, copy, before);
    }
    free(copy);
    assert_int_equal(img_close(image, NULL), 0);

    image = new_image("raw", "preallocation=off");
    assert_int_equal(amend(image, "size=2M", NULL, NULL), IMG_E_UNSUPPORTED);
    assert_int_equal(img_close(image, NULL), 0);
}

static int stop(void *opaque, const img_progress *progress)
{
    unsigned *calls = opaque;

    assert_true(progress->done <= progress->total);
    return ++*calls > 3;
}

/* Stopped half-way, the image has the refcounts that it had. */
static void cancelled(void **state)
{
    img_image *image = new_image("qcow2", "cluster_size=512,refcount_bits=64");
    img_job *job = img_job_new();
    uint8_t *bytes = calloc(1, SIZE);
    unsigned calls = 0;

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 1, SIZE);
    assert_int_equal(img_write(image, 0, bytes, SIZE, NULL), 0);
    img_job_set_progress(job, stop, &calls);
    assert_int_equal(amend(image, "refcount_bits=16", job, NULL), IMG_E_CANCELLED);
    assert_int_equal(qcow2_of(image->top)->header.refcount_order, 6);
    assert_clean(image);
    assert_int_equal(amend(image, "refcount_bits=16", NULL, NULL), 0);
    assert_clean(image);
    assert_byte(image, SIZE - 1, 1);
    img_job_free(job);
    free(bytes);
    assert_int_equal(img_close(image, NULL), 0);
}

static void options_are_listed(void **state)
{
    img_option_info info;
    size_t count = 0;

    (void)state;
    while (img_format_amend_option("qcow2", count, &info)) {
        assert_non_null(info.name);
        assert_non_null(info.help);
        count++;
    }
    assert_int_equal(count, 13);
    assert_false(img_format_amend_option("raw", 0, &info));
    assert_false(img_format_amend_option("nonsense", 0, &info));
}

static void preallocation(void **state)
{
    img_image *image = new_image("qcow2", "cluster_size=4096");
    img_extent extent;

    (void)state;
    assert_int_equal(img_resize_preallocated(image, SIZE, IMG_PREALLOC_FULL, NULL), IMG_E_INVAL);
    assert_int_equal(img_resize_preallocated(image, SIZE / 2, IMG_PREALLOC_METADATA, NULL),
                     IMG_E_INVAL);
    for (int mode = IMG_PREALLOC_METADATA; mode <= IMG_PREALLOC_FULL; mode++) {
        uint64_t old = img_size(image);

        assert_int_equal(
            img_resize_preallocated(image, old + 10240, (enum img_preallocation)mode, NULL), 0);
        assert_int_equal(img_map(image, old, 10240, &extent, NULL), 0);
        assert_true(extent.flags & IMG_EXTENT_HOST);
        assert_byte(image, old, 0);
        assert_byte(image, old + 10239, 0);
        assert_clean(image);
    }
    assert_int_equal(img_close(image, NULL), 0);

    image = new_image("raw", "preallocation=off");
    assert_int_equal(img_resize_preallocated(image, 2 * SIZE, IMG_PREALLOC_METADATA, NULL),
                     IMG_E_INVAL);
    assert_int_equal(img_size(image), SIZE);
    assert_int_equal(img_resize_preallocated(image, 2 * SIZE, IMG_PREALLOC_FULL, NULL), 0);
    assert_int_equal(img_close(image, NULL), 0);
}

/* A disk that was larger once shows nothing of that when it grows. */
static void what_was_lost_stays_lost(void **state)
{
    img_image *image = new_image("qcow2", "cluster_size=4096");
    uint8_t *bytes = malloc(SIZE);

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 9, SIZE);
    assert_int_equal(img_write(image, 0, bytes, SIZE, NULL), 0);
    assert_int_equal(img_resize(image, 5120, NULL), 0);
    assert_clean(image);
    assert_int_equal(img_resize(image, SIZE, NULL), 0);
    assert_int_equal(img_read(image, 0, bytes, SIZE, NULL), 0);
    for (size_t i = 0; i < SIZE; i++)
        assert_int_equal(bytes[i], i < 5120 ? 9 : 0);
    assert_clean(image);
    free(bytes);
    assert_int_equal(img_close(image, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_and_back),
        cmocka_unit_test(refusals),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(options_are_listed),
        cmocka_unit_test(preallocation),
        cmocka_unit_test(what_was_lost_stays_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
