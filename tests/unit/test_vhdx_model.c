/*
 * Random writes to VHDX images, compared with the same writes to memory; closed, opened and checked
 * every now and then. SPDX-License-Identifier: BSD-2-Clause
 */
#include "vhdx_test.h"

/* Blocks of 1 MiB, the last one cut short. */
#define SIZE ((9u << 20) + 5 * 512)
#define ROUNDS 6
#define STEPS 40
#define LONGEST 200000u

static uint64_t seed;
static uint8_t *expected, *found;

static void step(img_image *image)
{
    uint64_t offset = io_random(&seed) % SIZE;
    uint64_t length = 1 + io_random(&seed) % LONGEST;
    uint32_t what = io_random(&seed) % 10;
    img_error err = {0};

    if (what < 3) { /* whole blocks */
        offset -= offset % BLOCK;
        length += BLOCK;
    }
    if (length > SIZE - offset)
        length = SIZE - offset;
    if (what % 4 == 0) {
        memset(expected + offset, 0, length);
        assert_ok(img_zero(image, offset, length, what == 0 ? IMG_ZERO_UNMAP : 0, &err), err);
    } else {
        memset(expected + offset, (int)(1 + what), length);
        expected[offset] = (uint8_t)io_random(&seed);
        assert_ok(img_write(image, offset, expected + offset, length, &err), err);
    }
    if (what == 7)
        assert_ok(img_flush(image, &err), err);
}

static void compare(img_image *image)
{
    img_error err = {0};

    assert_int_equal(img_size(image), SIZE);
    assert_ok(img_read(image, 0, found, SIZE, &err), err);
    for (size_t i = 0; i < SIZE; i += 512) {
        if (memcmp(expected + i, found + i, 512) != 0)
            fail_msg("sector at 0x%zx differs", i);
    }
}

static void check(void)
{
    img_image *image = vhdx_test_open(NAME, IMG_OPEN_CHECK);
    img_check_result result = {0};
    img_error err = {0};

    assert_ok(img_check(NULL, image, NULL, NULL, &result, &err), err);
    assert_int_equal(result.corruptions + result.leaks + result.check_errors, 0);
    assert_ok(img_close(image, &err), err);
}

static void run(const char *options)
{
    const img_open_params params = {.cache = IMG_CACHE_UNSAFE};
    img_options *set = img_options_new();
    img_image *image;
    img_error err = {0};

    seed = 7;
    expected = calloc(1, SIZE);
    found = malloc(SIZE);
    assert_true(expected && found);
    assert_ok(img_options_parse(set, options, &err), err);
    assert_ok(img_create(&image, NAME, "vhdx", SIZE, set, &params, &err), err);
    for (int round = 0; round < ROUNDS; round++) {
        struct vhdx_header before, after;

        for (int i = 0; i < STEPS / 2; i++)
            step(image);
        compare(image);
        assert_ok(img_close(image, &err), err);
        check();
        before = vhdx_test_header(NAME);
        image = vhdx_test_open(NAME, IMG_OPEN_WRITE);
        step(image);
        after = vhdx_test_header(NAME);
        assert_false(vhdx_guid_equal(&before.file_write, &after.file_write));
        assert_false(vhdx_guid_equal(&before.data_write, &after.data_write));
    }
    compare(image);
    assert_ok(img_close(image, &err), err);
    img_options_free(set);
    free(expected);
    free(found);
}

static void test_dynamic(void **state)
{
    (void)state;
    run("block_size=1M");
}

static void test_fixed(void **state)
{
    (void)state;
    run("block_size=1M,subformat=fixed");
}

static void test_not_present(void **state)
{
    (void)state;
    run("block_size=2M,block_state_zero=off");
}

/* The BAT's entries are zeros where that was asked for, and only there. */
static void test_zero_state(void **state)
{
    img_image *image;
    img_error err = {0};
    uint8_t bytes[8];

    (void)state;
    vhdx_test_make(NAME, false);
    vhdx_test_put64(NAME, VHDX_BLOCK_NOT_PRESENT, BAT_AT);
    vhdx_test_put64(NAME, VHDX_BLOCK_UNMAPPED, BAT_AT + 8);
    vhdx_test_put64(NAME, VHDX_BLOCK_UNDEFINED, BAT_AT + 16);
    image = vhdx_test_open(NAME, IMG_OPEN_WRITE);
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(vhdx_test_byte(image, n * BLOCK), 0);
    assert_ok(img_zero(image, BLOCK, BLOCK, 0, &err), err);
    assert_ok(img_close(image, &err), err);
    vhdx_test_get(NAME, bytes, 8, BAT_AT);
    assert_int_equal(imgi_get_le64(bytes), VHDX_BLOCK_NOT_PRESENT);
    vhdx_test_get(NAME, bytes, 8, BAT_AT + 8);
    assert_int_equal(imgi_get_le64(bytes), VHDX_BLOCK_ZERO);
    vhdx_test_get(NAME, bytes, 8, BAT_AT + 16);
    assert_int_equal(imgi_get_le64(bytes), VHDX_BLOCK_UNDEFINED);
}

/* A discard gives the space back to the filesystem; the block keeps its place. */
static void test_discard(void **state)
{
    img_image *image;
    img_error err = {0};
    struct stat before, after;
    uint8_t bytes[8];

    (void)state;
    vhdx_test_make(NAME, true);
    assert_int_equal(stat(NAME, &before), 0);
    image = vhdx_test_open(NAME, IMG_OPEN_WRITE);
    assert_ok(img_discard(image, 2 * BLOCK, 2 * BLOCK, &err), err);
    assert_int_equal(vhdx_test_byte(image, 4 * BLOCK), 5);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(stat(NAME, &after), 0);
    assert_true(after.st_blocks <= before.st_blocks);
    vhdx_test_get(NAME, bytes, 8, BAT_AT + 16);
    assert_int_equal(imgi_get_le64(bytes), (DATA_AT + 2 * BLOCK) | VHDX_BLOCK_FULLY_PRESENT);
    check();
}

/* Move the metadata behind all blocks. */
static void move_metadata(void)
{
    uint8_t *bytes = malloc(BLOCK);
    struct vhdx_span bat = {BAT_AT, BLOCK}, metadata = {DATA_AT + BLOCKS * BLOCK, BLOCK};

    assert_non_null(bytes);
    vhdx_test_get(NAME, bytes, BLOCK, METADATA_AT);
    vhdx_test_put(NAME, bytes, BLOCK, metadata.offset);
    vhdx_regions_encode(&bat, &metadata, bytes);
    for (unsigned n = 0; n < 2; n++)
        vhdx_test_put(NAME, bytes, VHDX_TABLE_BYTES, VHDX_AT_REGION_TABLE(n));
    memset(bytes, 0, BLOCK);
    vhdx_test_put(NAME, bytes, BLOCK, METADATA_AT);
    free(bytes);
}

/* What lies behind the blocks is no lost space when it is a region. */
static void test_region_behind_blocks(void **state)
{
    img_job *job = img_job_new();
    img_check_result result = {0};
    img_image *image;
    img_error err = {0};
    struct stat status;

    (void)state;
    vhdx_test_make(NAME, true);
    move_metadata();
    check();
    assert_int_equal(truncate(NAME, (off_t)(DATA_AT + (BLOCKS + 3) * BLOCK)), 0);
    image = vhdx_test_open(NAME, IMG_OPEN_CHECK | IMG_OPEN_WRITE);
    img_job_set_flags(job, IMG_JOB_REPAIR_LEAKS);
    assert_ok(img_check(job, image, NULL, NULL, &result, &err), err);
    assert_int_equal(result.leaks_fixed, 2);
    assert_ok(img_close(image, &err), err);
    img_job_free(job);
    assert_int_equal(stat(NAME, &status), 0);
    assert_int_equal(status.st_size, DATA_AT + (BLOCKS + 1) * BLOCK);
    image = vhdx_test_open(NAME, 0);
    assert_int_equal(vhdx_test_byte(image, 7 * BLOCK), 8);
    assert_ok(img_close(image, &err), err);
}

/* A write to one of two blocks at one place would change the other. */
static void test_shared_place(void **state)
{
    img_image *image;
    img_error err = {0};

    (void)state;
    vhdx_test_make(NAME, true);
    vhdx_test_put64(NAME, DATA_AT | VHDX_BLOCK_FULLY_PRESENT, BAT_AT + 16);
    image = vhdx_test_open(NAME, 0);
    assert_int_equal(vhdx_test_byte(image, 2 * BLOCK), 1);
    assert_ok(img_close(image, &err), err);
    vhdx_test_refused(NAME, IMG_OPEN_WRITE, IMG_E_CORRUPT, "lies where another block does");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dynamic),      cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_not_present),  cmocka_unit_test(test_zero_state),
        cmocka_unit_test(test_discard),      cmocka_unit_test(test_region_behind_blocks),
        cmocka_unit_test(test_shared_place),
    };

    io_place = io_places[1];
    return cmocka_run_group_tests(tests, io_enter, io_leave);
}
