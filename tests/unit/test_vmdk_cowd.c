/*
 * ESX redo logs (COWD): the header, and what may be wrong with it and with the tables behind it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "io_test.h"

#include "libimg.h"
#include "util/checked.h"
#include "vmdk/disk.h"

#define SECTOR 512u
/* Header, a directory of one sector, one table, two grains. */
#define TABLE 5u
#define GRAIN (TABLE + 32)
#define FILE_SECTORS (GRAIN + 2)
#define FILE_SIZE (FILE_SECTORS * SECTOR)
#define DISK_SECTORS 20480u

/* "ESX Server Sparse Extents", by hand: 10 MiB of grains of one sector. Zeros follow. */
static const uint8_t golden_fields[] =
    "COWD\x01\0\0\0\x03\0\0\0\0\x50\0\0\x01\0\0\0\x04\0\0\0\x05\0\0\0\x27\0\0\0"
    "\x01\0\0\0\xff\0\0\0\x3f\0\0";

static void put_golden(uint8_t bytes[VMDK_COWD_HEADER_BYTES])
{
    memset(bytes, 0, VMDK_COWD_HEADER_BYTES);
    memcpy(bytes, golden_fields, sizeof(golden_fields));
    bytes[VMDK_COWD_OFF_UNCLEAN] = 1;
}

static void golden_bytes(void **state)
{
    uint8_t golden[VMDK_COWD_HEADER_BYTES], bytes[VMDK_COWD_HEADER_BYTES];
    struct vmdk_cowd_header header;

    (void)state;
    put_golden(golden);
    assert_int_equal(vmdk_cowd_decode(golden, &header, NULL), 0);
    assert_int_equal(header.version, 1);
    assert_int_equal(header.flags, 3);
    assert_int_equal(header.capacity, DISK_SECTORS);
    assert_int_equal(header.grain_size, 1);
    assert_int_equal(header.gd_offset, 4);
    assert_int_equal(header.gd_entries, 5);
    assert_int_equal(header.free_sector, FILE_SECTORS);
    assert_int_equal(header.cylinders, 1);
    assert_int_equal(header.heads, 255);
    assert_int_equal(header.sectors, 63);
    assert_int_equal(header.unclean_shutdown, 1);
    assert_int_equal(vmdk_cowd_check(&header, FILE_SIZE, NULL), 0);
    vmdk_cowd_encode(&header, bytes);
    assert_memory_equal(bytes, golden, sizeof(bytes));
}

/* A field of the golden header gets another value; decoding or the check must say this. */
static const struct {
    unsigned offset;
    uint32_t value;
    int code;
} faults[] = {
    {0, VMDK_MAGIC, IMG_E_FORMAT},
    {0, VMDK_SESPARSE_MAGIC, IMG_E_FORMAT},
    {VMDK_COWD_OFF_VERSION, 0, IMG_E_UNSUPPORTED},
    {VMDK_COWD_OFF_VERSION, 2, IMG_E_UNSUPPORTED},
    {VMDK_COWD_OFF_FLAGS, 0, IMG_E_UNSUPPORTED},
    {VMDK_COWD_OFF_FLAGS, 7, IMG_E_UNSUPPORTED},
    {VMDK_COWD_OFF_CAPACITY, 0, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_CAPACITY, DISK_SECTORS + 1, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_CAPACITY, UINT32_MAX, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GRAIN_SIZE, 0, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GRAIN_SIZE, 3, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GRAIN_SIZE, 4096, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GRAIN_SIZE, UINT32_MAX, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GD_OFFSET, 0, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GD_OFFSET, 3, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GD_OFFSET, FILE_SECTORS, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GD_OFFSET, UINT32_MAX, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GD_ENTRIES, 0, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GD_ENTRIES, 4, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GD_ENTRIES, 128 * FILE_SECTORS, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_GD_ENTRIES, UINT32_MAX, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_FREE_SECTOR, 0, IMG_E_CORRUPT},
    {VMDK_COWD_OFF_FREE_SECTOR, 4, IMG_E_CORRUPT},
};

static void faults_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(faults); i++) {
        uint8_t bytes[VMDK_COWD_HEADER_BYTES];
        struct vmdk_cowd_header header;
        img_error err = {0};
        int rc;

        put_golden(bytes);
        imgi_put_le32(bytes + faults[i].offset, faults[i].value);
        rc = vmdk_cowd_decode(bytes, &header, &err);
        if (rc == 0)
            rc = vmdk_cowd_check(&header, FILE_SIZE, &err);
        if (rc != faults[i].code)
            fail_msg("fault %zu: %d instead of %d (%s)", i, rc, faults[i].code, err.message);
    }
}

/* ------------------------------------------------------------------ whole images */

static uint8_t file[FILE_SIZE];

/* Sectors 2 and 3 of the disk are there: 'A' and 'B'. */
static void begin_file(void)
{
    memset(file, 0, sizeof(file));
    put_golden(file);
    file[VMDK_COWD_OFF_UNCLEAN] = 0;
    imgi_put_le32(file + 4 * SECTOR, TABLE);
    imgi_put_le32(file + TABLE * SECTOR + 2 * 4, GRAIN);
    imgi_put_le32(file + TABLE * SECTOR + 3 * 4, GRAIN + 1);
    memset(file + GRAIN * SECTOR, 'A', SECTOR);
    memset(file + (GRAIN + 1) * SECTOR, 'B', SECTOR);
}

static int open_file(unsigned flags, img_image **image, img_error *err)
{
    static const char text[] = "# Disk DescriptorFile\nversion=1\nCID=12\nparentCID=ffffffff\n"
                               "createType=\"vmfsSparse\"\n# Extent description\n"
                               "RW 20480 VMFSSPARSE \"disk-delta.vmdk\"\n";
    const img_open_params params = {.flags = flags};

    io_put("disk.vmdk", text, strlen(text), 0600);
    io_put("disk-delta.vmdk", file, sizeof(file), 0600);
    return img_open(image, "disk.vmdk", &params, err);
}

static void check_finds(uint64_t corruptions)
{
    img_check_result result = {0};
    img_image *image;
    img_error err = {0};

    assert_ok(open_file(IMG_OPEN_CHECK, &image, &err), err);
    assert_ok(img_check(NULL, image, NULL, NULL, &result, &err), err);
    assert_int_equal(result.corruptions, corruptions);
    assert_int_equal(result.leaks, 0);
    assert_ok(img_close(image, &err), err);
}

static void a_hand_made_file_is_read(void **state)
{
    uint8_t bytes[6 * SECTOR];
    img_image *image;
    img_error err = {0};

    (void)state;
    begin_file();
    check_finds(0);
    assert_ok(open_file(0, &image, &err), err);
    assert_int_equal(img_size(image), DISK_SECTORS * (uint64_t)SECTOR);
    assert_ok(img_read(image, 0, bytes, sizeof(bytes), &err), err);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(bytes[i * SECTOR], i == 2 ? 'A' : i == 3 ? 'B' : 0);
        assert_memory_equal(bytes + i * SECTOR, bytes + i * SECTOR + 1, SECTOR - 1);
    }
    assert_ok(img_close(image, &err), err);
    assert_int_equal(img_open(&image, "disk-delta.vmdk", NULL, &err), IMG_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "descriptor"));
}

/* A write makes a table behind the grains, and freeSector goes behind all of it. */
static void a_write_goes_to_the_end(void **state)
{
    img_image *image;
    img_error err = {0};
    int fd;

    (void)state;
    begin_file();
    assert_ok(open_file(IMG_OPEN_WRITE, &image, &err), err);
    assert_ok(img_write(image, 4 * 4096 * SECTOR, "x", 1, &err), err);
    assert_ok(img_close(image, &err), err);
    fd = open("disk-delta.vmdk", O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, file, sizeof(file), 0), sizeof(file));
    close(fd);
    assert_int_equal(imgi_get_le32(file + VMDK_COWD_OFF_FREE_SECTOR), FILE_SECTORS + 1 + 32);
    assert_int_equal(imgi_get_le32(file + 4 * SECTOR), TABLE);
    assert_true(imgi_get_le32(file + 4 * SECTOR + 4 * 4) >= FILE_SECTORS);
}

static uint32_t unclean(void)
{
    uint8_t bytes[4];
    int fd = open("disk-delta.vmdk", O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, sizeof(bytes), VMDK_COWD_OFF_UNCLEAN), sizeof(bytes));
    close(fd);
    return imgi_get_le32(bytes);
}

/* From the first change to the end, and not by opening alone. */
static void a_writer_marks_the_file(void **state)
{
    img_image *image;
    img_error err = {0};

    (void)state;
    begin_file();
    assert_ok(open_file(IMG_OPEN_WRITE, &image, &err), err);
    assert_int_equal(unclean(), 0);
    assert_ok(img_write(image, 9 * SECTOR, "x", 1, &err), err);
    assert_ok(img_flush(image, &err), err);
    assert_int_equal(unclean(), 1);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(unclean(), 0);
}

static void damage_is_found(void **state)
{
    static const struct {
        unsigned offset;
        uint32_t value;
    } damages[] = {
        {VMDK_COWD_OFF_FREE_SECTOR, GRAIN}, /* before the grains */
        {4 * SECTOR, FILE_SECTORS - 31},    /* a table past the end */
        {4 * SECTOR, 3},                    /* a table in the header */
        {4 * SECTOR, 4},                    /* a table in the directory */
        {TABLE * SECTOR, FILE_SECTORS},     /* a grain past the end */
        {TABLE * SECTOR, 4},                /* a grain in the directory */
        {TABLE * SECTOR, TABLE},            /* a grain in a table */
        {TABLE * SECTOR, GRAIN},            /* a grain of two owners */
        {4 * SECTOR + 4, TABLE},            /* a table of two owners */
    };

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(damages); i++) {
        img_check_result result = {0};
        img_image *image;
        img_error err = {0};

        begin_file();
        imgi_put_le32(file + damages[i].offset, damages[i].value);
        assert_ok(open_file(IMG_OPEN_CHECK, &image, &err), err);
        assert_ok(img_check(NULL, image, NULL, NULL, &result, &err), err);
        if (result.corruptions == 0)
            fail_msg("damage %zu is not found", i);
        assert_ok(img_close(image, &err), err);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(golden_bytes),
    cmocka_unit_test(faults_are_refused),
    cmocka_unit_test(a_hand_made_file_is_read),
    cmocka_unit_test(a_write_goes_to_the_end),
    cmocka_unit_test(a_writer_marks_the_file),
    cmocka_unit_test(damage_is_found),
};

IO_RUN(tests)
