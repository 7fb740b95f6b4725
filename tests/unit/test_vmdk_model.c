/*
 * Random writes to VMDK images, compared with the same writes to memory; closed, opened and checked
 * every now and then. SPDX-License-Identifier: BSD-2-Clause
 */
#include "io_test.h"

#include "libimg.h"
#include "util/bytes.h"
#include "vmdk/disk.h"

/* Two grain tables, and a last grain that is cut short. */
#define SIZE ((33u << 20) + 5 * 512)
/* Where the writes go: some grains on both sides of the tables' border, and the disk's end. */
#define WINDOW (1u << 20)
#define ROUNDS 6
#define STEPS 40
#define LONGEST 200000u

static uint64_t seed;
static uint8_t *expected, *found;

static uint64_t random_offset(void)
{
    static const uint64_t windows[] = {0, (32u << 20) - WINDOW / 2, SIZE - WINDOW};

    return windows[io_random(&seed) % 3] + io_random(&seed) % WINDOW;
}

static void step(img_image *image)
{
    uint64_t offset = random_offset();
    uint64_t length = 1 + io_random(&seed) % LONGEST;
    uint32_t what = io_random(&seed) % 8;
    img_error err = {0};

    if (what < 2) { /* whole grains, as convert and discards have them */
        offset -= offset % 65536;
        length += 65536;
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

static void say(void *opaque, const char *text)
{
    (void)opaque;
    print_error("%s\n", text);
}

static void check(img_image *image)
{
    img_check_result result = {0};
    img_error err = {0};

    assert_ok(img_check(NULL, image, say, NULL, &result, &err), err);
    assert_int_equal(result.corruptions, 0);
    assert_int_equal(result.check_errors, 0);
}

static img_image *open_image(unsigned flags)
{
    const img_open_params params = {.format = "vmdk", .flags = flags, .cache = IMG_CACHE_UNSAFE};
    img_error err = {0};
    img_image *image = NULL;

    assert_ok(img_open(&image, "disk.vmdk", &params, &err), err);
    return image;
}

static void make(const char *name, const char *options)
{
    const img_open_params params = {.cache = IMG_CACHE_UNSAFE};
    img_options *set = img_options_new();
    img_image *image;
    img_error err = {0};

    assert_ok(img_options_parse(set, options, &err), err);
    assert_ok(img_create(&image, name, "vmdk", SIZE, set, &params, &err), err);
    assert_ok(img_close(image, &err), err);
    img_options_free(set);
}

/* A smaller disk, and as large again: what it gains is zeros, whatever a parent has there. */
static void resize(img_image *image)
{
    size_t size = (size_t)(random_offset() / 512 + 1) * 512;
    img_error err = {0};

    assert_ok(img_resize(image, size, &err), err);
    assert_ok(img_resize(image, SIZE, &err), err);
    memset(expected + size, 0, SIZE - size);
}

static void run_rounds(bool resizes)
{
    img_error err = {0};

    for (int round = 0; round < ROUNDS; round++) {
        img_image *image = open_image(IMG_OPEN_WRITE);

        if (resizes && round % 2 == 1)
            resize(image);
        for (int i = 0; i < STEPS; i++)
            step(image);
        compare(image);
        assert_ok(img_close(image, &err), err);
        image = open_image(0);
        compare(image);
        check(image);
        assert_ok(img_close(image, &err), err);
    }
}

static void run_model(void)
{
    run_rounds(true);
}

/* Of a kind that keeps its size. */
static void run_fixed(void)
{
    run_rounds(false);
}

static int start(void **state)
{
    (void)state;
    seed = 20250101;
    expected = calloc(1, SIZE);
    found = malloc(SIZE);
    return expected && found ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    free(expected);
    free(found);
    return 0;
}

static void sparse(void **state)
{
    (void)state;
    make("disk.vmdk", "subformat=monolithicSparse");
    run_model();
}

static void with_zero_grains(void **state)
{
    (void)state;
    make("disk.vmdk", "zeroed_grain=on");
    run_model();
}

static void flat(void **state)
{
    (void)state;
    make("disk.vmdk", "subformat=monolithicFlat");
    run_model();
}

static void in_parts(void **state)
{
    (void)state;
    make("disk.vmdk", "subformat=twoGbMaxExtentSparse");
    run_model();
}

static void esx_flat(void **state)
{
    (void)state;
    make("disk.vmdk", "subformat=vmfsThin");
    run_model();
}

static void redo_log(void **state)
{
    (void)state;
    make("disk.vmdk", "subformat=vmfsSparse");
    run_fixed();
}

/*
 * Extents whose grains differ, as the parts of one disk: a redo log of 512-byte grains between
 * hosted ones of 64 KiB, and flat space whose end is no grain's.
 */
static void mixed(void **state)
{
    static const char text[] = "# Disk DescriptorFile\nversion=1\nCID=12\nparentCID=ffffffff\n"
                               "createType=\"custom\"\n# Extent description\n"
                               "RW 1024 SPARSE \"first.vmdk\"\n"
                               "RW 65001 VMFSSPARSE \"second-delta.vmdk\"\n"
                               "RW 1564 FLAT \"third-flat.vmdk\" 7\n";

    (void)state;
    make("first.vmdk", "subformat=monolithicSparse");
    make("second.vmdk", "subformat=vmfsSparse");
    make("third.vmdk", "subformat=monolithicFlat");
    io_put("disk.vmdk", text, strlen(text), 0600);
    run_fixed();
}

/* The parent's bytes must be hidden by zeros, and copied around partial writes. */
static void make_child(const char *options)
{
    const img_open_params params = {.flags = IMG_OPEN_WRITE, .cache = IMG_CACHE_UNSAFE};
    img_image *parent;
    img_error err = {0};

    make("parent.vmdk", "subformat=monolithicSparse");
    assert_ok(img_open(&parent, "parent.vmdk", &params, &err), err);
    memset(expected, 0xa5, SIZE);
    assert_ok(img_write(parent, 0, expected, SIZE, &err), err);
    assert_ok(img_close(parent, &err), err);
    make("disk.vmdk", options);
}

static void child(void **state)
{
    (void)state;
    make_child("backing_file=parent.vmdk,backing_fmt=vmdk");
    run_model();
}

static void child_with_zero_grains(void **state)
{
    (void)state;
    make_child("backing_file=parent.vmdk,backing_fmt=vmdk,zeroed_grain=on");
    run_model();
}

static void child_redo_log(void **state)
{
    (void)state;
    make_child("backing_file=parent.vmdk,backing_fmt=vmdk,subformat=vmfsSparse");
    run_fixed();
}

/* VMware makes grain tables when they are needed: take away those that creation made. */
static void without_tables(void **state)
{
    static const uint8_t none[2 * 4];
    uint8_t bytes[VMDK_HEADER_BYTES];
    struct vmdk_header header;
    int fd;

    (void)state;
    make("disk.vmdk", "subformat=monolithicSparse");
    fd = open("disk.vmdk", O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(vmdk_header_decode(bytes, &header, NULL), 0);
    assert_int_equal(pwrite(fd, none, sizeof(none), (off_t)header.gd_offset * 512), sizeof(none));
    assert_int_equal(pwrite(fd, none, sizeof(none), (off_t)header.rgd_offset * 512), sizeof(none));
    close(fd);
    run_model();
}

#define MODEL(test) cmocka_unit_test_setup_teardown(test, start, stop)

static const struct CMUnitTest tests[] = {
    MODEL(sparse),         MODEL(with_zero_grains),
    MODEL(flat),           MODEL(in_parts),
    MODEL(child),          MODEL(child_with_zero_grains),
    MODEL(without_tables), MODEL(esx_flat),
    MODEL(redo_log),       MODEL(mixed),
    MODEL(child_redo_log),
};

IO_RUN(tests)
