/*
 * VDI: the header, children, what a check finds and mends, and random use.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "disk_model.h"

#include "vdi/disk.h"

/* The start of `qemu-img create -f vdi x 10M`, from the signature on. */
static const uint8_t golden_front[] = {0x7f, 0x10, 0xda, 0xbe, 0x01, 0x00, 0x01, 0x00,
                                       0x80, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00};
static const uint8_t golden_back[] = {
    0x00, 0x02, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0xa0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0xbd, 0x3b, 0xe5, 0xee,
    0x92, 0xe7, 0x61, 0x42, 0x9e, 0x1a, 0xcd, 0x83, 0xb4, 0xba, 0x26, 0x84};

static void make_golden(uint8_t bytes[VDI_HEADER_BYTES])
{
    memset(bytes, 0, VDI_HEADER_BYTES);
    memcpy(bytes + VDI_OFF_SIGNATURE, golden_front, sizeof(golden_front));
    memcpy(bytes + VDI_OFF_OFFSET_BMAP, golden_back, sizeof(golden_back));
}

static void decodes_what_qemu_writes(void **state)
{
    uint8_t bytes[VDI_HEADER_BYTES], again[VDI_HEADER_BYTES];
    struct vdi_header header;

    (void)state;
    make_golden(bytes);
    assert_int_equal(vdi_header_decode(bytes, &header, NULL), 0);
    assert_int_equal(vdi_header_check(&header, NULL), 0);
    assert_int_equal(header.version, VDI_VERSION_1_1);
    assert_int_equal(header.header_size, VDI_HEADER_SIZE);
    assert_int_equal(header.type, VDI_TYPE_DYNAMIC);
    assert_int_equal(header.offset_bmap, 512);
    assert_int_equal(header.offset_data, 1024);
    assert_int_equal(header.disk_size, 10 << 20);
    assert_int_equal(header.block_size, VDI_BLOCK_SIZE);
    assert_int_equal(header.blocks, 10);
    assert_int_equal(header.blocks_allocated, 3);
    assert_int_equal(header.uuid_image[0], 0xbd);
    memcpy(again, bytes, sizeof(bytes));
    vdi_header_encode(&header, again);
    assert_memory_equal(bytes, again, sizeof(bytes));
}

/* One field that must not be so, with the code. */
static const struct {
    size_t offset;
    uint32_t value;
    int code;
} bad[] = {
    {VDI_OFF_SIGNATURE, 1, IMG_E_FORMAT},
    {VDI_OFF_VERSION, 0x00010000, IMG_E_UNSUPPORTED},
    {VDI_OFF_HEADER_SIZE, 383, IMG_E_CORRUPT},
    {VDI_OFF_TYPE, 0, IMG_E_UNSUPPORTED},
    {VDI_OFF_TYPE, VDI_TYPE_UNDO, IMG_E_UNSUPPORTED},
    {VDI_OFF_TYPE, 5, IMG_E_UNSUPPORTED},
    {VDI_OFF_OFFSET_BMAP, 513, IMG_E_CORRUPT},
    {VDI_OFF_OFFSET_BMAP, 0, IMG_E_CORRUPT},
    {VDI_OFF_OFFSET_BMAP, 1024, IMG_E_CORRUPT},
    {VDI_OFF_OFFSET_DATA, 1025, IMG_E_CORRUPT},
    {VDI_OFF_OFFSET_DATA, 512, IMG_E_CORRUPT},
    {VDI_OFF_SECTOR_SIZE, 4096, IMG_E_UNSUPPORTED},
    {VDI_OFF_DISK_SIZE, (10 << 20) + 1, IMG_E_CORRUPT},
    {VDI_OFF_BLOCK_SIZE, 0, IMG_E_UNSUPPORTED},
    {VDI_OFF_BLOCK_SIZE, 3 << 20, IMG_E_UNSUPPORTED},
    {VDI_OFF_BLOCK_SIZE, 128 << 20, IMG_E_UNSUPPORTED},
    {VDI_OFF_BLOCK_EXTRA, 512, IMG_E_UNSUPPORTED},
    {VDI_OFF_BLOCKS, 9, IMG_E_CORRUPT},
    {VDI_OFF_BLOCKS, VDI_BLOCKS_MAX + 1, IMG_E_LIMIT},
};

static void refuses_bad_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t bytes[VDI_HEADER_BYTES];
        struct vdi_header header;
        img_error err = {0};
        int rc;

        make_golden(bytes);
        imgi_put_le32(bytes + bad[i].offset, bad[i].value);
        rc = vdi_header_decode(bytes, &header, &err);
        if (rc == 0)
            rc = vdi_header_check(&header, &err);
        if (rc != bad[i].code)
            fail_msg("offset %zu set to 0x%x: %d instead of %d", bad[i].offset, bad[i].value, rc,
                     bad[i].code);
        assert_true(err.message[0] != '\0');
    }
}

/* ----------------------------------------------------------------------- images */

static void patch(const char *name, size_t offset, const void *bytes, size_t length)
{
    int fd = open(name, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, (off_t)offset), length);
    close(fd);
}

static void patch_le32(const char *name, size_t offset, uint32_t value)
{
    uint8_t bytes[4];

    imgi_put_le32(bytes, value);
    patch(name, offset, bytes, sizeof(bytes));
}

static void run(const char *options)
{
    struct disk_model model;

    model_begin(&model, "vdi", "disk.vdi");
    model_make("disk.vdi", "vdi", MODEL_SIZE, options);
    model_run(&model);
    model_grow(&model, 100 << 20); /* the map has room */
    model_grow(&model, 700 << 20); /* it has not */
    model_end(&model);
}

static void dynamic(void **state)
{
    (void)state;
    run("static=off");
}

static void fixed(void **state)
{
    (void)state;
    run("static=on");
}

/* A map's run has an end on disks of many blocks, and is of more than one of them. */
static void runs_are_bounded(void **state)
{
    const uint64_t size = UINT64_C(4) << 30;
    struct disk_model model;
    img_image *image;
    img_extent extent;
    img_error err = {0};
    unsigned runs = 0;

    (void)state;
    model_begin(&model, "vdi", "disk.vdi");
    model_make("disk.vdi", "vdi", size, "static=off");
    image = model_open(&model, 0);
    for (uint64_t at = 0; at < size; at += extent.length, runs++) {
        assert_ok(img_map(image, at, size - at, &extent, &err), err);
        assert_true(extent.flags & IMG_EXTENT_ZERO);
    }
    assert_in_range(runs, 2, 16);
    img_abandon(image);
    model_end(&model);
}

/* Give an empty image a parent, as VirtualBox does. */
static void make_child(const char *name, const char *parent)
{
    uint8_t below[VDI_HEADER_BYTES];
    int fd = open(parent, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, below, sizeof(below)), sizeof(below));
    close(fd);
    model_make(name, "vdi", MODEL_SIZE, "static=off");
    patch_le32(name, VDI_OFF_TYPE, VDI_TYPE_DIFFERENCING);
    patch(name, VDI_OFF_UUID_LINK, below + VDI_OFF_UUID_IMAGE, IMGI_UUID_BYTES);
    patch(name, VDI_OFF_UUID_PARENT, below + VDI_OFF_UUID_MODIFY, IMGI_UUID_BYTES);
}

#define TYPED                                                                                      \
    "driver=vdi,file.filename=child.vdi,backing.driver=vdi,backing.file.filename=parent.vdi"

static void child(void **state)
{
    struct disk_model model;

    (void)state;
    model_begin(&model, "vdi", TYPED);
    model.flags = IMG_OPEN_OPTIONS;
    model_parent(&model, "parent.vdi", "static=off");
    make_child("child.vdi", "parent.vdi");
    model_run(&model);
    model_end(&model);
}

static int read_first(const char *name, unsigned flags, img_error *err)
{
    const img_open_params params = {.flags = flags};
    img_image *image;
    uint8_t byte;
    int rc = img_open(&image, name, &params, err);

    if (rc < 0)
        return rc;
    rc = img_read(image, 0, &byte, 1, err);
    img_abandon(image);
    return rc;
}

/* A parent that is not named, another one, and one that has changed. */
static void wrong_parents(void **state)
{
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    model_begin(&model, "vdi", "parent.vdi");
    model_parent(&model, "parent.vdi", "static=off");
    make_child("child.vdi", "parent.vdi");
    assert_int_equal(read_first(TYPED, IMG_OPEN_OPTIONS, &err), 0);
    assert_int_equal(read_first("child.vdi", 0, &err), IMG_E_UNSUPPORTED);
    image = model_open(&model, IMG_OPEN_WRITE);
    assert_ok(img_write(image, 0, "x", 1, &err), err);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(read_first(TYPED, IMG_OPEN_OPTIONS, &err), IMG_E_CORRUPT);
    assert_non_null(strstr(err.message, "was changed"));
    model_make("parent.vdi", "vdi", MODEL_SIZE, "static=on");
    assert_int_equal(read_first(TYPED, IMG_OPEN_OPTIONS, &err), IMG_E_CORRUPT);
    assert_non_null(strstr(err.message, "another image"));
    model_end(&model);
}

/* The parent is not touched, and the child still knows it. */
static void is_not_committed(void **state)
{
    const img_open_params params = {.flags = IMG_OPEN_OPTIONS | IMG_OPEN_WRITE};
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    model_begin(&model, "vdi", TYPED);
    model_parent(&model, "parent.vdi", "static=off");
    make_child("child.vdi", "parent.vdi");
    assert_ok(img_open(&image, TYPED, &params, &err), err);
    assert_ok(img_write(image, 0, "x", 1, &err), err);
    assert_int_equal(img_commit(NULL, image, NULL, &err), IMG_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "cannot be committed"));
    assert_ok(img_close(image, &err), err);
    assert_int_equal(read_first(TYPED, IMG_OPEN_OPTIONS, &err), 0);
    model_end(&model);
}

/* Check the image, with a repair, and say what was found before it. */
static img_check_result check(unsigned repair)
{
    struct disk_model model = {.name = "disk.vdi", .format = "vdi"};
    img_image *image = model_open(&model, IMG_OPEN_CHECK | (repair ? (unsigned)IMG_OPEN_WRITE : 0));
    img_job *job = img_job_new();
    img_check_result result = {0};
    img_error err = {0};

    img_job_set_flags(job, repair);
    assert_ok(img_check(job, image, NULL, NULL, &result, &err), err);
    assert_ok(img_close(image, &err), err);
    img_job_free(job);
    return result;
}

/* A disk of five blocks of data, in blocks 1 to 5. */
static void make_full(struct disk_model *model)
{
    img_image *image;
    img_error err = {0};

    model_begin(model, "vdi", "disk.vdi");
    model_make("disk.vdi", "vdi", MODEL_SIZE, "static=off");
    for (size_t i = 1 << 20; i < 6 << 20; i++)
        model->expected[i] = (uint8_t)(1 + i / 70000);
    image = model_open(model, IMG_OPEN_WRITE);
    assert_ok(img_write(image, 1 << 20, model->expected + (1 << 20), 5 << 20, &err), err);
    assert_ok(img_close(image, &err), err);
}

static void verify(struct disk_model *model)
{
    img_image *image = model_open(model, 0);
    img_error err = {0};

    model_check(image);
    model_compare(model, image);
    assert_ok(img_close(image, &err), err);
}

/* Places that nobody has are filled by the last blocks. */
static void leaks_are_mended(void **state)
{
    struct disk_model model;
    struct stat status;

    (void)state;
    make_full(&model);
    patch_le32("disk.vdi", 512 + 4 * 2, VDI_ENTRY_ABSENT);
    patch_le32("disk.vdi", 512 + 4 * 3, VDI_ENTRY_DISCARD);
    memset(model.expected + (2 << 20), 0, 2 << 20);
    assert_int_equal(check(0).leaks, 1);
    assert_int_equal(check(IMG_JOB_REPAIR_LEAKS).leaks_fixed, 1);
    verify(&model);
    assert_int_equal(stat("disk.vdi", &status), 0);
    assert_int_equal(status.st_size, 1024 + (3 << 20));
    model_end(&model);
}

static void shared_places_are_mended(void **state)
{
    struct disk_model model;
    img_error err = {0};

    (void)state;
    make_full(&model);
    patch_le32("disk.vdi", 512 + 4 * 7, 2); /* block 3 has it */
    assert_int_equal(check(0).corruptions, 1);
    assert_int_equal(read_first("disk.vdi", 0, &err), 0);
    assert_int_equal(check(IMG_JOB_REPAIR_ALL).corruptions_fixed, 1);
    memcpy(model.expected + (7 << 20), model.expected + (3 << 20), 1 << 20);
    verify(&model);
    model_end(&model);
}

/* The header counts too few; what lies past the end is lost, and no repair makes zeros of it. */
static void lost_blocks_stay_lost(void **state)
{
    struct disk_model model;
    img_check_result result;
    img_error err = {0};

    (void)state;
    make_full(&model);
    patch_le32("disk.vdi", 512, 77);
    patch_le32("disk.vdi", 512 + 4 * 7, 2); /* block 3 has it */
    patch_le32("disk.vdi", VDI_OFF_BLOCKS_ALLOCATED, 2);
    assert_int_equal(check(0).corruptions, 2);
    result = check(IMG_JOB_REPAIR_ALL);
    assert_int_equal(result.corruptions_fixed, 1);
    assert_int_equal(result.corruptions, 2);
    assert_int_equal(check(IMG_JOB_REPAIR_ALL).corruptions, 2);
    assert_int_equal(read_first("disk.vdi", 0, &err), IMG_E_CORRUPT);
    patch_le32("disk.vdi", 512, VDI_ENTRY_ABSENT);
    assert_int_equal(check(IMG_JOB_REPAIR_ALL).corruptions_fixed, 1);
    memcpy(model.expected + (7 << 20), model.expected + (3 << 20), 1 << 20);
    verify(&model);
    model_end(&model);
}

/* The header counts too few: what the map names is read, and new blocks go behind it. */
static void counted_too_low(void **state)
{
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    make_full(&model);
    patch_le32("disk.vdi", VDI_OFF_BLOCKS_ALLOCATED, 1);
    image = model_open(&model, 0);
    model_compare(&model, image);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(check(0).corruptions, 1);
    image = model_open(&model, IMG_OPEN_WRITE);
    memset(model.expected, 0x77, 1 << 20);
    assert_ok(img_write(image, 0, model.expected, 1 << 20, &err), err);
    assert_ok(img_close(image, &err), err);
    verify(&model);
    model_end(&model);
}

/* The bitmaps of a file that is longer than any disk needs it. */
static void too_many_places(void **state)
{
    const img_open_params params = {.format = "vdi"};
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    make_full(&model);
    patch_le32("disk.vdi", VDI_OFF_BLOCK_SIZE, VDI_BLOCK_SIZE_MIN);
    patch_le32("disk.vdi", VDI_OFF_DISK_SIZE, 5 * VDI_BLOCK_SIZE_MIN);
    patch_le32("disk.vdi", VDI_OFF_BLOCKS_ALLOCATED, UINT32_MAX);
    assert_int_equal(truncate("disk.vdi", (off_t)5 << 40), 0);
    assert_int_equal(img_open(&image, "disk.vdi", &params, &err), IMG_E_LIMIT);
    assert_non_null(strstr(err.message, "places"));
    model_end(&model);
}

/* What was behind the end of the disk does not come back when the disk grows. */
static void growth_is_zeros(void **state)
{
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    make_full(&model);
    patch_le32("disk.vdi", VDI_OFF_DISK_SIZE, (3 << 20) + 512);
    image = model_open(&model, IMG_OPEN_WRITE);
    assert_ok(img_resize(image, MODEL_SIZE, &err), err);
    memset(model.expected + (3 << 20) + 512, 0, (3 << 20) - 512);
    model_compare(&model, image);
    model.expected[5 << 20] = 1;
    assert_ok(img_write(image, 5 << 20, model.expected + (5 << 20), 1, &err), err);
    assert_ok(img_close(image, &err), err);
    image = model_open(&model, 0);
    model_compare(&model, image);
    assert_ok(img_close(image, &err), err);
    model_end(&model);
}

/* What has been cut off is no zeros, and nothing is written over that. */
static void cut_off(void **state)
{
    const img_open_params params = {.flags = IMG_OPEN_WRITE};
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    make_full(&model);
    assert_int_equal(truncate("disk.vdi", (4 << 20) + 5000), 0);
    assert_int_equal(img_open(&image, "disk.vdi", &params, &err), IMG_E_CORRUPT);
    image = model_open(&model, 0);
    assert_ok(img_read(image, 0, model.found, 4 << 20, &err), err);
    assert_memory_equal(model.found, model.expected, 4 << 20);
    assert_true(img_read(image, 5 << 20, model.found, 1 << 20, &err) < 0);
    img_abandon(image);
    assert_int_equal(check(0).corruptions, 1);
    model_end(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(decodes_what_qemu_writes),
    cmocka_unit_test(refuses_bad_fields),
    cmocka_unit_test(dynamic),
    cmocka_unit_test(fixed),
    cmocka_unit_test(runs_are_bounded),
    cmocka_unit_test(child),
    cmocka_unit_test(wrong_parents),
    cmocka_unit_test(is_not_committed),
    cmocka_unit_test(leaks_are_mended),
    cmocka_unit_test(shared_places_are_mended),
    cmocka_unit_test(lost_blocks_stay_lost),
    cmocka_unit_test(counted_too_low),
    cmocka_unit_test(too_many_places),
    cmocka_unit_test(growth_is_zeros),
    cmocka_unit_test(cut_off),
};

IO_RUN(tests)
