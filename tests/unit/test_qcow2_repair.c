/*
 * Repairs of images that are in use, and failures in the middle of them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "internal.h"
#include "qcow2/qcow2.h"

#define CLUSTER 4096u
#define COPIED (UINT64_C(1) << 63)

static void must(int rc, const img_error *err)
{
    if (rc < 0)
        print_error("%s\n", err->message);
    assert_int_equal(rc, 0);
}

/* An image in memory whose first cluster is written, and which has a bitmap. */
static img_image *make_image(const char *text, bool tracking)
{
    static const uint8_t data[CLUSTER] = {1};
    img_options *options = img_options_new();
    img_error err = {0};
    struct imgi_io *io;
    img_image *image;

    must(img_options_parse(options, text, &err), &err);
    must(imgi_mem_new(&io, &err), &err);
    must(imgi_image_create_io(&image, io, "memory", "qcow2", 1 << 20, options, NULL, &err), &err);
    img_options_free(options);
    must(img_bitmap_add(image, "one", 0, tracking, &err), &err);
    must(img_write(image, 0, data, sizeof(data), &err), &err);
    must(imgi_node_finish(image->top, &err), &err);
    must(img_flush(image, &err), &err);
    return image;
}

/* A copy of an image's file, in whole clusters; *faults: what it is reached through. */
static struct imgi_io *copy_file(const img_image *image, struct imgi_io **faults)
{
    struct imgi_io *io;
    const uint8_t *bytes;
    size_t length;

    bytes = imgi_mem_bytes(image->top->file, &length);
    must(imgi_mem_new(&io, NULL), NULL);
    must(imgi_io_write(io, bytes, length, 0, NULL), NULL);
    must(imgi_io_resize(io, imgi_align_up(length, CLUSTER), IMGI_PREALLOC_OFF, NULL), NULL);
    must(imgi_fault_new(faults, io, NULL), NULL);
    return io;
}

static uint64_t get(struct imgi_io *io, uint64_t offset)
{
    uint8_t bytes[8];

    must(imgi_io_read(io, bytes, sizeof(bytes), offset, NULL), NULL);
    return imgi_get_be64(bytes);
}

static void put(struct imgi_io *io, uint64_t offset, uint64_t value)
{
    uint8_t bytes[8];

    imgi_put_be64(bytes, value);
    must(imgi_io_write(io, bytes, sizeof(bytes), offset, NULL), NULL);
}

/* Where the L2 table lies. */
static uint64_t l2_of(struct imgi_io *io)
{
    return get(io, get(io, QCOW2_AT_L1_OFFSET)) & QCOW2_OFFSET_MASK;
}

static img_image *open_io(struct imgi_io *io)
{
    const img_open_params params = {.format = "qcow2", .flags = IMG_OPEN_WRITE};
    img_error err = {0};
    img_image *image;

    must(imgi_image_open_io(&image, io, "memory", &params, &err), &err);
    return image;
}

static int repair(img_image *image, img_finding_fn *finding, void *opaque)
{
    img_job *job = img_job_new();
    img_check_result result;
    int rc;

    img_job_set_flags(job, IMG_JOB_REPAIR_ALL);
    rc = img_check(job, image, finding, opaque, &result, NULL);
    img_job_free(job);
    return rc;
}

/* ------------------------------------------------------------------------- bitmaps */

static void test_bitmaps_stay_protected(void **state)
{
    static const uint8_t data[CLUSTER] = {2};
    img_image *source = make_image("cluster_size=4k,refcount_bits=1", false), *image;
    uint64_t directory = qcow2_of(source->top)->bitmaps.directory_offset, before;
    struct imgi_io *faults, *io = copy_file(source, &faults);

    (void)state;
    /* Two references, which a refcount of 1 bit cannot say: it stays so. */
    put(io, l2_of(io), directory | COPIED);
    before = get(io, directory);
    image = open_io(faults);
    must(repair(image, NULL, NULL), NULL);
    assert_int_equal(img_write(image, 0, data, sizeof(data), NULL), IMG_E_CORRUPT);
    assert_int_equal(get(io, directory), before);
    img_abandon(image);
    img_abandon(source);
}

/* -------------------------------------------------------------------------- failures */

struct failure {
    struct imgi_io *faults;
    uint64_t nth;
};

static void fail_flush(void *opaque, const char *text)
{
    const struct failure *failure = opaque;

    if (strstr(text, "Rebuilding"))
        imgi_fault_set(failure->faults, IMGI_FAULT_FLUSH, failure->nth, EIO, false);
}

/* The nth flush fails; true when the image has its new refcount structures nevertheless. */
static bool fail_rebuild(img_image *source, uint64_t nth, bool *hit)
{
    static const uint8_t data[CLUSTER] = {0x55, 0x55};
    struct failure failure = {.nth = nth};
    struct imgi_io *io = copy_file(source, &failure.faults);
    uint64_t end, l2 = l2_of(io), table = get(io, QCOW2_AT_REFTABLE_OFFSET), block;
    bool switched;
    img_image *image;
    int rc;

    must(imgi_io_size(io, &end, NULL), NULL);
    /* Where the new structures will be, by an entry that leads to nothing yet. */
    put(io, l2 + 8, end | COPIED);
    block = get(io, table) + 2 * ((get(io, l2) & QCOW2_OFFSET_MASK) / CLUSTER);
    must(imgi_io_write(io, "\0\0", 2, block, NULL), NULL);
    image = open_io(failure.faults);
    rc = repair(image, fail_flush, &failure);
    *hit = imgi_fault_hit(failure.faults);
    assert_int_equal(rc < 0, *hit);
    switched = get(io, QCOW2_AT_REFTABLE_OFFSET) != table;
    if (switched) {
        assert_true(img_write(image, CLUSTER, data, sizeof(data), NULL) < 0);
        assert_int_not_equal(get(io, end) >> 48, 0x5555);
    }
    img_abandon(image);
    return switched;
}

static void test_failed_rebuild(void **state)
{
    img_image *source = make_image("cluster_size=4k", false);
    bool hit = true, seen = false;

    (void)state;
    for (uint64_t nth = 1; hit; nth++)
        seen = (fail_rebuild(source, nth, &hit) && hit) || seen;
    assert_true(seen);
    img_abandon(source);
}

static void test_failed_finish(void **state)
{
    static const uint8_t data[CLUSTER] = {3};
    img_image *source = make_image("cluster_size=4k", true);
    bool hit = true;

    (void)state;
    for (uint64_t nth = 1; hit; nth++) {
        struct imgi_io *again, *faults, *io = copy_file(source, &faults);
        const uint8_t *bytes;
        img_image *image, *reader;
        size_t length;
        int rc;
        img_bitmap bitmap;
        img_error err = {0};

        image = open_io(faults);
        must(img_write(image, 0, data, sizeof(data), &err), &err);
        imgi_fault_set(faults, IMGI_FAULT_WRITE | IMGI_FAULT_FLUSH, nth, EIO, false);
        rc = imgi_node_finish(image->top, &err);
        hit = imgi_fault_hit(faults);
        assert_int_equal(rc < 0, hit);
        imgi_fault_set(faults, 0, 0, 0, false);
        must(imgi_node_finish(image->top, &err), &err);
        bytes = imgi_mem_bytes(io, &length);
        must(imgi_mem_new(&again, &err), &err);
        must(imgi_io_write(again, bytes, length, 0, &err), &err);
        reader = open_io(again);
        must(img_bitmap_get(reader, 0, &bitmap, &err), &err);
        assert_false(bitmap.inconsistent);
        img_abandon(reader);
        img_abandon(image);
    }
    img_abandon(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bitmaps_stay_protected),
        cmocka_unit_test(test_failed_rebuild),
        cmocka_unit_test(test_failed_finish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
