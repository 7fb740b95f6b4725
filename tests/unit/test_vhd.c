/*
 * VHD: footer and header, geometry, parents, what a check finds and mends, and random use.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "disk_model.h"

#include "vhd/disk.h"

/* The footer and the dynamic header of `qemu-img create -f vpc x 10M`. */
static const uint8_t golden_footer[] = {
    'c',  'o',  'n',  'e',  'c',  't',  'i',  'x',  0x00, 0x00, 0x00, 0x02, 0x00, 0x01,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x32, 0x94, 0x87, 0x3b,
    'q',  'e',  'm',  'u',  0x00, 0x05, 0x00, 0x03, 'W',  'i',  '2',  'k',  0x00, 0x00,
    0x00, 0x00, 0x00, 0xa0, 0x70, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x70, 0x00,
    0x01, 0x2e, 0x04, 0x11, 0x00, 0x00, 0x00, 0x03, 0xff, 0xff, 0xed, 0xe2, 0xeb, 0xbe,
    0x5a, 0xeb, 0x12, 0xda, 0x44, 0x11, 0x8b, 0xc6, 0x48, 0xed, 0x52, 0x03, 0x9e, 0x07};
static const uint8_t golden_header[] = {'c',  'x',  's',  'p',  'a',  'r',  's',  'e',  0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                        0x00, 0x00, 0x06, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
                                        0x00, 0x06, 0x00, 0x20, 0x00, 0x00, 0xff, 0xff, 0xf4, 0x71};

static void decodes_qemus_footer(void **state)
{
    uint8_t bytes[VHD_FOOTER_BYTES] = {0}, again[VHD_FOOTER_BYTES] = {0};
    struct vhd_footer footer;

    (void)state;
    memcpy(bytes, golden_footer, sizeof(golden_footer));
    assert_true(vhd_footer_looks_like(bytes) && vhd_footer_sum_ok(bytes));
    vhd_footer_decode(bytes, &footer);
    assert_int_equal(vhd_footer_check(&footer, NULL), 0);
    assert_int_equal(footer.data_offset, 512);
    assert_memory_equal(footer.creator_app, "qemu", 4);
    assert_int_equal(footer.current_size, 10514432);
    assert_int_equal(footer.cylinders, 302);
    assert_int_equal(footer.heads, 4);
    assert_int_equal(footer.sectors, 17);
    assert_int_equal(footer.type, VHD_TYPE_DYNAMIC);
    assert_int_equal(vhd_geometry_bytes(&footer), 10514432);
    assert_false(vhd_size_is_exact(&footer));
    vhd_footer_encode(&footer, again);
    assert_memory_equal(bytes, again, sizeof(bytes));
    again[200] ^= 1;
    assert_false(vhd_footer_sum_ok(again));
}

static void decodes_qemus_header(void **state)
{
    uint8_t bytes[VHD_HEADER_BYTES] = {0}, again[VHD_HEADER_BYTES] = {0};
    struct vhd_header header;

    (void)state;
    memcpy(bytes, golden_header, sizeof(golden_header));
    assert_true(vhd_header_sum_ok(bytes));
    assert_int_equal(vhd_header_decode(bytes, &header, NULL), 0);
    assert_int_equal(header.bat_offset, 1536);
    assert_int_equal(header.bat_entries, 6);
    assert_int_equal(header.block_size, VHD_BLOCK_SIZE);
    assert_int_equal(vhd_header_check(&header, 6 * (uint64_t)VHD_BLOCK_SIZE, NULL), 0);
    vhd_header_encode(&header, again);
    assert_memory_equal(bytes, again, sizeof(bytes));
}

/* One field that must not be so, with the code. */
static const struct bad {
    bool header;
    size_t offset;
    uint32_t value;
    int code;
} bad[] = {
    {false, VHD_OFF_VERSION, 0x00020000, IMG_E_UNSUPPORTED},
    {false, VHD_OFF_TYPE, 1, IMG_E_UNSUPPORTED},
    {false, VHD_OFF_TYPE, 5, IMG_E_UNSUPPORTED},
    {false, VHD_OFF_CURRENT_SIZE, 0x200, IMG_E_LIMIT},
    {true, VHD_OFF_COOKIE, 0, IMG_E_CORRUPT},
    {true, VHD_OFF_HEADER_VERSION, 0x00020000, IMG_E_UNSUPPORTED},
    {true, VHD_OFF_BAT_ENTRIES, 5, IMG_E_CORRUPT},
    {true, VHD_OFF_BLOCK_SIZE, 0, IMG_E_CORRUPT},
    {true, VHD_OFF_BLOCK_SIZE, 2048, IMG_E_CORRUPT},
    {true, VHD_OFF_BLOCK_SIZE, 3 << 20, IMG_E_CORRUPT},
    {true, VHD_OFF_BLOCK_SIZE, 128 << 20, IMG_E_CORRUPT},
    {true, VHD_OFF_BAT_OFFSET + 4, 1537, IMG_E_CORRUPT},
};

static int judge_bad(const struct bad *field, img_error *err)
{
    uint8_t foot[VHD_FOOTER_BYTES] = {0}, head[VHD_HEADER_BYTES] = {0};
    struct vhd_footer footer;
    struct vhd_header header;
    int rc;

    memcpy(foot, golden_footer, sizeof(golden_footer));
    memcpy(head, golden_header, sizeof(golden_header));
    imgi_put_be32((field->header ? head : foot) + field->offset, field->value);
    if (!field->header) {
        vhd_footer_decode(foot, &footer);
        return vhd_footer_check(&footer, err);
    }
    rc = vhd_header_decode(head, &header, err);
    return rc < 0 ? rc : vhd_header_check(&header, 10514432, err);
}

static void refuses_bad_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        img_error err = {0};
        int rc = judge_bad(&bad[i], &err);

        if (rc != bad[i].code)
            fail_msg("field %zu set to 0x%x: %d instead of %d", i, bad[i].value, rc, bad[i].code);
        assert_true(err.message[0] != '\0');
    }
}

/* Sectors, and the geometry that qemu-img gives a disk of so many. */
static void geometry(void **state)
{
    static const struct {
        uint64_t sectors, rounded;
        unsigned cylinders, heads, track;
    } disks[] = {
        {1, 68, 1, 4, 17},
        {2048, 2108, 31, 4, 17},
        {204800, 204816, 1004, 12, 17},
        {266338304, 266338320, 65279, 16, 255},
        {VHD_GEOMETRY_MAX, VHD_GEOMETRY_MAX, 65535, 16, 255},
        {VHD_SECTORS_MAX, VHD_SECTORS_MAX, 65535, 16, 255},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
        struct vhd_footer footer = {0};

        assert_int_equal(vhd_geometry(disks[i].sectors, &footer), disks[i].rounded);
        assert_int_equal(footer.cylinders, disks[i].cylinders);
        assert_int_equal(footer.heads, disks[i].heads);
        assert_int_equal(footer.sectors, disks[i].track);
    }
}

static void creators(void **state)
{
    static const char *const exact[] = {"win ", "qem2", "d2v ", "CTXS", "tap"};
    static const char *const rounding[] = {"qemu", "vpc ", "vs  ", "vbox"};
    struct vhd_footer footer = {.cylinders = 10, .heads = 4, .sectors = 17};

    (void)state;
    for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
        memcpy(footer.creator_app, exact[i], 4);
        assert_true(vhd_size_is_exact(&footer));
    }
    for (size_t i = 0; i < sizeof(rounding) / sizeof(rounding[0]); i++) {
        memcpy(footer.creator_app, rounding[i], 4);
        assert_false(vhd_size_is_exact(&footer));
    }
    vhd_geometry(VHD_GEOMETRY_MAX, &footer);
    assert_true(vhd_size_is_exact(&footer));
}

static void text_of_other_systems(void **state)
{
    static const uint8_t little[] = {'a', 0, 0xe4, 0, 0xac, 0x20, 0x3d, 0xd8, 0x00, 0xde};
    static const uint8_t half[] = {0x3d, 0xd8, 'a', 0}, low[] = {0x00, 0xde};
    char text[IMGI_UTF8_ROOM(sizeof(little))];

    (void)state;
    assert_true(imgi_utf16_decode(little, sizeof(little), false, text));
    assert_string_equal(text, "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_true(imgi_utf16_decode((const uint8_t *)"\0x\0\0\0y", 6, true, text));
    assert_string_equal(text, "x");
    assert_false(imgi_utf16_decode(half, 2, false, text));
    assert_false(imgi_utf16_decode(half, 4, false, text));
    assert_false(imgi_utf16_decode(low, 2, false, text));
    assert_false(imgi_utf16_decode(little, 3, false, text));
}

/* ----------------------------------------------------------------------- images */

static void patch(const char *name, size_t offset, const void *bytes, size_t length)
{
    int fd = open(name, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, length, (off_t)offset), length);
    close(fd);
}

static void patch_be32(const char *name, size_t offset, uint32_t value)
{
    uint8_t bytes[4];

    imgi_put_be32(bytes, value);
    patch(name, offset, bytes, sizeof(bytes));
}

static void load(const char *name, size_t offset, void *bytes, size_t length)
{
    int fd = open(name, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, length, (off_t)offset), length);
    close(fd);
}

static size_t file_size(const char *name)
{
    struct stat status;

    assert_int_equal(stat(name, &status), 0);
    return (size_t)status.st_size;
}

static void run(const char *options)
{
    struct disk_model model;

    model_begin(&model, "vpc", "disk.vhd");
    model_make("disk.vhd", "vpc", MODEL_SIZE, options);
    model_run(&model);
    model_grow(&model, 100 << 20); /* the BAT has room */
    model_grow(&model, 700 << 20); /* it has not */
    model_end(&model);
}

static void dynamic(void **state)
{
    (void)state;
    run("force_size=on");
}

static void dynamic_by_geometry(void **state)
{
    (void)state;
    run("subformat=dynamic");
}

static void fixed(void **state)
{
    (void)state;
    run("subformat=fixed,force_size=on");
}

/* Give an empty image a parent, as Hyper-V does. */
static void make_child(const char *name, const char *parent)
{
    static const uint8_t path[] = ".\0\\\0p\0a\0r\0e\0n\0t\0.\0v\0h\0d";
    uint8_t foot[VHD_FOOTER_BYTES], below[VHD_FOOTER_BYTES], head[VHD_HEADER_BYTES];
    size_t end;

    model_make(name, "vpc", MODEL_SIZE, "force_size=on");
    end = file_size(name) - VHD_FOOTER_BYTES;
    load(parent, file_size(parent) - VHD_FOOTER_BYTES, below, sizeof(below));
    load(name, 0, foot, sizeof(foot));
    load(name, VHD_FOOTER_BYTES, head, sizeof(head));
    imgi_put_be32(foot + VHD_OFF_TYPE, VHD_TYPE_DIFFERENCING);
    imgi_put_be32(foot + VHD_OFF_CHECKSUM, vhd_checksum(foot, sizeof(foot), VHD_OFF_CHECKSUM));
    memcpy(head + VHD_OFF_PARENT_UUID, below + VHD_OFF_UUID, IMGI_UUID_BYTES);
    memcpy(head + VHD_OFF_LOCATORS, "W2ru", 4);
    imgi_put_be32(head + VHD_OFF_LOCATORS + 4, 1);
    imgi_put_be32(head + VHD_OFF_LOCATORS + 8, sizeof(path));
    imgi_put_be64(head + VHD_OFF_LOCATORS + 16, end);
    imgi_put_be32(head + VHD_OFF_HEADER_CHECKSUM,
                  vhd_checksum(head, sizeof(head), VHD_OFF_HEADER_CHECKSUM));
    patch(name, 0, foot, sizeof(foot));
    patch(name, VHD_FOOTER_BYTES, head, sizeof(head));
    patch(name, end, path, sizeof(path));
    patch(name, end + 512, foot, sizeof(foot));
}

static void child(void **state)
{
    struct disk_model model;

    (void)state;
    model_begin(&model, "vpc", "child.vhd");
    model_parent(&model, "parent.vhd", "subformat=fixed,force_size=on");
    make_child("child.vhd", "parent.vhd");
    model_run(&model);
    model_end(&model);
}

static int read_first(const char *name, unsigned flags, img_error *err)
{
    const img_open_params params = {.format = "vpc", .flags = flags};
    img_image *image;
    uint8_t byte;
    int rc = img_open(&image, name, &params, err);

    if (rc < 0)
        return rc;
    rc = img_read(image, 0, &byte, 1, err);
    img_abandon(image);
    return rc;
}

static void wrong_parent(void **state)
{
    struct disk_model model;
    img_error err = {0};

    (void)state;
    model_begin(&model, "vpc", "child.vhd");
    model_parent(&model, "parent.vhd", "force_size=on");
    make_child("child.vhd", "parent.vhd");
    assert_int_equal(read_first("child.vhd", 0, &err), 0);
    model_make("parent.vhd", "vpc", MODEL_SIZE, "subformat=fixed");
    assert_int_equal(read_first("child.vhd", 0, &err), IMG_E_CORRUPT);
    assert_non_null(strstr(err.message, "unique ID"));
    assert_int_equal(unlink("parent.vhd"), 0);
    assert_int_equal(read_first("child.vhd", 0, &err), IMG_E_NOENT);
    model_end(&model);
}

/* The parent is not touched. */
static void is_not_committed(void **state)
{
    uint8_t before[VHD_SECTOR], after[VHD_SECTOR];
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    model_begin(&model, "vpc", "child.vhd");
    model_parent(&model, "parent.vhd", "subformat=fixed,force_size=on");
    make_child("child.vhd", "parent.vhd");
    load("parent.vhd", 0, before, sizeof(before));
    image = model_open(&model, IMG_OPEN_WRITE);
    assert_ok(img_write(image, 0, "x", 1, &err), err);
    assert_int_equal(img_commit(NULL, image, NULL, &err), IMG_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "cannot be committed"));
    assert_ok(img_close(image, &err), err);
    load("parent.vhd", 0, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    model_end(&model);
}

static img_check_result check_image(const char *name, unsigned repair)
{
    struct disk_model model = {.name = name, .format = "vpc"};
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

static img_check_result check(unsigned repair)
{
    return check_image("disk.vhd", repair);
}

/* A disk of three blocks of data: 0, 1 and 2. */
static void make_full(struct disk_model *model)
{
    img_image *image;
    img_error err = {0};

    model_begin(model, "vpc", "disk.vhd");
    model_make("disk.vhd", "vpc", MODEL_SIZE, "force_size=on");
    for (size_t i = 0; i < 6 << 20; i++)
        model->expected[i] = (uint8_t)(1 + i / 70000);
    image = model_open(model, IMG_OPEN_WRITE);
    assert_ok(img_write(image, 0, model->expected, 6 << 20, &err), err);
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

#define BAT 1536u
#define SLOT (VHD_BLOCK_SIZE + 512)

static void leaks_are_mended(void **state)
{
    struct disk_model model;

    (void)state;
    make_full(&model);
    patch_be32("disk.vhd", BAT + 4, VHD_ENTRY_ABSENT);
    memset(model.expected + VHD_BLOCK_SIZE, 0, VHD_BLOCK_SIZE);
    assert_int_equal(check(0).leaks, 1);
    assert_int_equal(check(IMG_JOB_REPAIR_LEAKS).leaks_fixed, 1);
    verify(&model);
    assert_int_equal(file_size("disk.vhd"), BAT + 512 + 2 * SLOT + 512);
    model_end(&model);
}

/* Who overlaps whom cannot be mended, and is not read either. */
static void overlaps_are_found(void **state)
{
    struct disk_model model;
    img_error err = {0};

    (void)state;
    make_full(&model);
    patch_be32("disk.vhd", BAT, 8);
    assert_int_equal(check(0).corruptions, 1);
    assert_int_equal(check(IMG_JOB_REPAIR_ALL).corruptions, 1);
    assert_int_equal(read_first("disk.vhd", 0, &err), IMG_E_CORRUPT);
    patch_be32("disk.vhd", BAT, 1); /* the header */
    assert_int_equal(read_first("disk.vhd", 0, &err), IMG_E_CORRUPT);
    model_end(&model);
}

/* The copy stands in for the footer, and the other way round. */
static void footers_are_mended(void **state)
{
    uint8_t foot[VHD_FOOTER_BYTES];
    struct disk_model model;
    size_t end;

    (void)state;
    make_full(&model);
    end = file_size("disk.vhd") - VHD_FOOTER_BYTES;
    patch("disk.vhd", end + 100, "x", 1);
    assert_int_equal(check(0).leaks, 1);
    assert_int_equal(check(IMG_JOB_REPAIR_LEAKS).leaks_fixed, 1);
    verify(&model);
    load("disk.vhd", end, foot, sizeof(foot));
    imgi_put_be32(foot + VHD_OFF_TIMESTAMP, 7);
    imgi_put_be32(foot + VHD_OFF_CHECKSUM, vhd_checksum(foot, sizeof(foot), VHD_OFF_CHECKSUM));
    patch("disk.vhd", 0, foot, sizeof(foot));
    assert_int_equal(check(0).leaks, 1);
    assert_int_equal(check(IMG_JOB_REPAIR_LEAKS).leaks_fixed, 1);
    verify(&model);
    patch("disk.vhd", 100, "x", 1);
    patch("disk.vhd", VHD_FOOTER_BYTES + VHD_OFF_HEADER_CHECKSUM, "x", 1);
    assert_int_equal(check(0).corruptions, 2);
    assert_int_equal(check(IMG_JOB_REPAIR_ALL).corruptions_fixed, 2);
    verify(&model);
    patch("disk.vhd", 100, "x", 1);
    patch("disk.vhd", end + 100, "x", 1);
    assert_int_equal(read_first("disk.vhd", 0, NULL), IMG_E_CORRUPT);
    model_end(&model);
}

/* A copy that is not up to date cannot stand in for the footer: it is, before that is overwritten.
 */
static void copy_is_renewed(void **state)
{
    uint8_t foot[VHD_FOOTER_BYTES], copy[VHD_FOOTER_BYTES];
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    make_full(&model);
    load("disk.vhd", 0, foot, sizeof(foot));
    memcpy(copy, foot, sizeof(foot));
    imgi_put_be64(copy + VHD_OFF_CURRENT_SIZE, 4 << 20);
    imgi_put_be32(copy + VHD_OFF_CHECKSUM, vhd_checksum(copy, sizeof(copy), VHD_OFF_CHECKSUM));
    patch("disk.vhd", 0, copy, sizeof(copy));
    image = model_open(&model, IMG_OPEN_WRITE);
    assert_ok(img_write(image, 7 << 20, model.expected, 1, &err), err);
    load("disk.vhd", 0, copy, sizeof(copy));
    assert_memory_equal(copy, foot, sizeof(foot));
    model.expected[7 << 20] = model.expected[0];
    assert_ok(img_close(image, &err), err);
    verify(&model);
    model_end(&model);
}

/* Let the disk end earlier than its blocks do. */
static void set_size(const char *name, uint64_t size)
{
    uint8_t foot[VHD_FOOTER_BYTES];

    load(name, 0, foot, sizeof(foot));
    imgi_put_be64(foot + VHD_OFF_CURRENT_SIZE, size);
    imgi_put_be32(foot + VHD_OFF_CHECKSUM, vhd_checksum(foot, sizeof(foot), VHD_OFF_CHECKSUM));
    patch(name, 0, foot, sizeof(foot));
    patch(name, file_size(name) - VHD_FOOTER_BYTES, foot, sizeof(foot));
}

/* What was behind the end of the disk does not come back when the disk grows. */
static void growth_is_zeros(void **state)
{
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    make_full(&model);
    set_size("disk.vhd", (3 << 20) + 512);
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

/* The parent of child.vhd can be read through it. */
static void judge_parent(void)
{
    img_image *image = model_open(&(struct disk_model){.name = "child.vhd", .format = "vpc"}, 0);
    img_error err = {0};
    uint8_t byte = 0;

    assert_ok(img_read(image, 8 << 20, &byte, 1, &err), err);
    assert_int_equal(byte, 0xa5);
    assert_ok(img_close(image, &err), err);
}

/* Neither a new block nor one that is moved lies over what leads to the parent. */
static void locators_are_kept(void **state)
{
    struct disk_model model;
    img_image *image;
    img_error err = {0};
    size_t end;

    (void)state;
    model_begin(&model, "vpc", "child.vhd");
    model_parent(&model, "parent.vhd", "force_size=on");
    make_child("child.vhd", "parent.vhd");
    end = file_size("child.vhd");
    assert_int_equal(truncate("child.vhd", (off_t)(end - VHD_FOOTER_BYTES)), 0);
    image = model_open(&model, IMG_OPEN_WRITE);
    assert_ok(img_write(image, 0, "x", 1, &err), err);
    assert_ok(img_write(image, VHD_BLOCK_SIZE, "x", 1, &err), err);
    assert_ok(img_write(image, 2 * VHD_BLOCK_SIZE, "x", 1, &err), err);
    assert_ok(img_close(image, &err), err);
    judge_parent();
    patch_be32("child.vhd", BAT, VHD_ENTRY_ABSENT);
    patch_be32("child.vhd", BAT + 4, VHD_ENTRY_ABSENT);
    assert_int_equal(check_image("child.vhd", IMG_JOB_REPAIR_LEAKS).leaks, 0);
    judge_parent();
    model_end(&model);
}

/* A locator that leads nowhere is told, and nothing is written behind it. */
static void locator_past_the_end(void **state)
{
    const img_open_params params = {.format = "vpc", .flags = IMG_OPEN_WRITE};
    struct disk_model model;
    uint8_t head[VHD_HEADER_BYTES];
    img_image *image;
    img_error err = {0};

    (void)state;
    model_begin(&model, "vpc", "child.vhd");
    model_parent(&model, "parent.vhd", "force_size=on");
    make_child("child.vhd", "parent.vhd");
    load("child.vhd", VHD_FOOTER_BYTES, head, sizeof(head));
    memcpy(head + VHD_OFF_LOCATORS + VHD_LOCATOR_BYTES, "MacX", 4);
    imgi_put_be32(head + VHD_OFF_LOCATORS + VHD_LOCATOR_BYTES + 8, 100);
    imgi_put_be64(head + VHD_OFF_LOCATORS + VHD_LOCATOR_BYTES + 16, UINT64_MAX - 50);
    imgi_put_be32(head + VHD_OFF_HEADER_CHECKSUM,
                  vhd_checksum(head, sizeof(head), VHD_OFF_HEADER_CHECKSUM));
    patch("child.vhd", VHD_FOOTER_BYTES, head, sizeof(head));
    judge_parent();
    assert_int_equal(check_image("child.vhd", 0).corruptions, 1);
    assert_int_equal(img_open(&image, "child.vhd", &params, &err), IMG_E_CORRUPT);
    model_end(&model);
}

static void cut_off(void **state)
{
    const img_open_params params = {.format = "vpc", .flags = IMG_OPEN_WRITE};
    struct disk_model model;
    img_check_result result;
    img_image *image;
    img_error err = {0};

    (void)state;
    make_full(&model);
    assert_int_equal(truncate("disk.vhd", BAT + 512 + 2 * SLOT + 5000), 0);
    assert_int_equal(img_open(&image, "disk.vhd", &params, &err), IMG_E_CORRUPT);
    image = model_open(&model, 0);
    assert_ok(img_read(image, 0, model.found, 4 << 20, &err), err);
    assert_memory_equal(model.found, model.expected, 4 << 20);
    assert_true(img_read(image, 4 << 20, model.found, 2 << 20, &err) < 0);
    img_abandon(image);
    assert_int_equal(check(0).corruptions, 1);
    result = check(IMG_JOB_REPAIR_ALL);
    assert_int_equal(result.corruptions_fixed, 0);
    assert_int_equal(result.corruptions, 1);
    image = model_open(&model, 0);
    assert_true(img_read(image, 4 << 20, model.found, 2 << 20, &err) < 0);
    img_abandon(image);
    model_end(&model);
}

/* Very old files have no last byte; a fixed image without its footer is none. */
static void short_footer(void **state)
{
    struct disk_model model;
    img_error err = {0};

    (void)state;
    model_begin(&model, "vpc", "disk.vhd");
    model_make("disk.vhd", "vpc", MODEL_SIZE, "subformat=fixed,force_size=on");
    assert_int_equal(truncate("disk.vhd", MODEL_SIZE + VHD_FOOTER_BYTES_OLD), 0);
    model_run(&model);
    assert_int_equal(truncate("disk.vhd", MODEL_SIZE), 0);
    assert_int_equal(read_first("disk.vhd", 0, &err), IMG_E_FORMAT);
    model_end(&model);
}

/* A footer that has been changed is told from none. */
static void fixed_footer_damaged(void **state)
{
    struct disk_model model;
    img_error err = {0};

    (void)state;
    model_begin(&model, "vpc", "disk.vhd");
    model_make("disk.vhd", "vpc", MODEL_SIZE, "subformat=fixed,force_size=on");
    patch("disk.vhd", MODEL_SIZE + 100, "x", 1);
    assert_int_equal(read_first("disk.vhd", 0, &err), IMG_E_CORRUPT);
    assert_non_null(strstr(err.message, "Incorrect header checksum"));
    model_end(&model);
}

/* Another program left bits at 0: they are 1 when we have written. */
static void bitmaps_are_filled(void **state)
{
    static const uint8_t none[512];
    uint8_t bitmap[512];
    struct disk_model model;
    img_image *image;
    img_error err = {0};

    (void)state;
    make_full(&model);
    patch("disk.vhd", BAT + 512, none, sizeof(none));
    verify(&model);
    image = model_open(&model, IMG_OPEN_WRITE);
    model.expected[5000] ^= 1;
    assert_ok(img_write(image, 5000, model.expected + 5000, 1, &err), err);
    assert_ok(img_close(image, &err), err);
    verify(&model);
    load("disk.vhd", BAT + 512, bitmap, sizeof(bitmap));
    for (size_t i = 0; i < sizeof(bitmap); i++)
        assert_int_equal(bitmap[i], 0xff);
    model_end(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(decodes_qemus_footer),
    cmocka_unit_test(decodes_qemus_header),
    cmocka_unit_test(refuses_bad_fields),
    cmocka_unit_test(geometry),
    cmocka_unit_test(creators),
    cmocka_unit_test(text_of_other_systems),
    cmocka_unit_test(dynamic),
    cmocka_unit_test(dynamic_by_geometry),
    cmocka_unit_test(fixed),
    cmocka_unit_test(child),
    cmocka_unit_test(wrong_parent),
    cmocka_unit_test(is_not_committed),
    cmocka_unit_test(leaks_are_mended),
    cmocka_unit_test(overlaps_are_found),
    cmocka_unit_test(footers_are_mended),
    cmocka_unit_test(copy_is_renewed),
    cmocka_unit_test(growth_is_zeros),
    cmocka_unit_test(locators_are_kept),
    cmocka_unit_test(locator_past_the_end),
    cmocka_unit_test(cut_off),
    cmocka_unit_test(short_footer),
    cmocka_unit_test(fixed_footer_damaged),
    cmocka_unit_test(bitmaps_are_filled),
};

IO_RUN(tests)
