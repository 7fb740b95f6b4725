/*
 * seSparse extents: the two headers, and whole files of a few grains.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "io_test.h"

#include "libimg.h"
#include "util/checked.h"
#include "vmdk/sesparse.h"

#define SECTOR 512u
/* Where the golden file has its parts, in sectors. */
#define VOLATILE 1u
#define DIRECTORY 8u
#define TABLES 64u
#define GRAINS 144u
#define FILE_SECTORS (GRAINS + 2 * 8)
#define FILE_SIZE (FILE_SECTORS * SECTOR)
#define DISK_SECTORS 2048u
/* Entries of the directory and of tables. */
#define FIRST_TABLE (UINT64_C(0x10000000) << 32)
#define DATA (UINT64_C(3) << 60)
#define GRAIN_NUMBER(n) ((uint64_t)((n)&0xfff) << 48 | (uint64_t)(n) >> 12)

static uint8_t file[FILE_SIZE];

static void put_header(void)
{
    static const uint64_t fields[] = {0xcafebabe,
                                      UINT64_C(0x0000000200000001),
                                      DISK_SECTORS,
                                      8,
                                      64,
                                      0,
                                      0,
                                      0,
                                      0,
                                      0,
                                      VOLATILE,
                                      1,
                                      2,
                                      2,
                                      4,
                                      4, /* headers, journal */
                                      DIRECTORY,
                                      1,
                                      TABLES,
                                      64,
                                      128,
                                      8,
                                      136,
                                      8,
                                      GRAINS,
                                      2 * 8};

    memset(file, 0, sizeof(file));
    for (size_t i = 0; i < IMGI_COUNT(fields); i++)
        imgi_put_le64(file + 8 * i, fields[i]);
    imgi_put_le64(file + VOLATILE * SECTOR, 0xcafecafe);
    imgi_put_le64(file + VOLATILE * SECTOR + 8, 1);
    imgi_put_le64(file + VOLATILE * SECTOR + 16, 7);
}

static void put_entry(unsigned n, uint64_t entry)
{
    imgi_put_le64(file + TABLES * SECTOR + 8 * n, entry);
}

/* Absent, unmapped, zero, and two grains in the wrong order. */
static void put_disk(void)
{
    put_header();
    imgi_put_le64(file + DIRECTORY * SECTOR, FIRST_TABLE);
    put_entry(1, UINT64_C(1) << 60);
    put_entry(2, UINT64_C(2) << 60);
    put_entry(3, DATA | GRAIN_NUMBER(1));
    put_entry(4, DATA | GRAIN_NUMBER(0));
    memset(file + GRAINS * SECTOR, 'A', 4096);
    memset(file + (GRAINS + 8) * SECTOR, 'B', 4096);
}

static void golden_bytes(void **state)
{
    struct vmdk_sesparse_header header;
    struct vmdk_sesparse_volatile changing;

    (void)state;
    put_header();
    assert_int_equal(vmdk_sesparse_decode(file, &header, NULL), 0);
    assert_int_equal(header.version, VMDK_SESPARSE_VERSION);
    assert_int_equal(header.capacity, DISK_SECTORS);
    assert_int_equal(header.grain_size, 8);
    assert_int_equal(header.gt_size, 64);
    assert_int_equal(header.flags, 0);
    assert_false(header.reserved);
    assert_int_equal(header.regions[VMDK_SESPARSE_VOLATILE].offset, VOLATILE);
    assert_int_equal(header.regions[VMDK_SESPARSE_GD].offset, DIRECTORY);
    assert_int_equal(header.regions[VMDK_SESPARSE_GD].sectors, 1);
    assert_int_equal(header.regions[VMDK_SESPARSE_GT].offset, TABLES);
    assert_int_equal(header.regions[VMDK_SESPARSE_GT].sectors, 64);
    assert_int_equal(header.regions[VMDK_SESPARSE_FREE_BITMAP].offset, 128);
    assert_int_equal(header.regions[VMDK_SESPARSE_BACK_MAP].offset, 136);
    assert_int_equal(header.regions[VMDK_SESPARSE_GRAINS].offset, GRAINS);
    assert_int_equal(vmdk_sesparse_check(&header, FILE_SIZE, NULL), 0);
    vmdk_sesparse_decode_volatile(file + VOLATILE * SECTOR, &changing);
    assert_int_equal(changing.free_gt, 1);
    assert_int_equal(changing.next_transaction, 7);
    assert_int_equal(changing.replay, 0);
    assert_int_equal(vmdk_sesparse_check_volatile(&changing, NULL), 0);
}

static int open_file(unsigned flags, img_image **image, img_error *err)
{
    static const char text[] = "# Disk DescriptorFile\nversion=1\nCID=12\nparentCID=ffffffff\n"
                               "createType=\"seSparse\"\n# Extent description\n"
                               "RW 2048 SESPARSE \"disk-sesparse.vmdk\"\n";
    const img_open_params params = {.flags = flags};

    io_put("disk.vmdk", text, strlen(text), 0600);
    io_put("disk-sesparse.vmdk", file, sizeof(file), 0600);
    return img_open(image, "disk.vmdk", &params, err);
}

/* A field gets another value, and the extent is not opened. */
static void faults_are_refused(void **state)
{
    static const struct {
        unsigned offset;
        uint64_t value;
        int code;
    } faults[] = {
        {0, VMDK_MAGIC, IMG_E_FORMAT},
        {0, VMDK_COWD_MAGIC, IMG_E_FORMAT},
        {8, UINT64_C(0x0000000200000002), IMG_E_UNSUPPORTED},
        {16, 0, IMG_E_CORRUPT},
        {16, UINT64_MAX, IMG_E_CORRUPT},
        {16, DISK_SECTORS - 1, IMG_E_CORRUPT}, /* fewer than the descriptor says */
        {16, 65 * 8 * 4096, IMG_E_CORRUPT},    /* more than the directory has */
        {24, 16, IMG_E_UNSUPPORTED},
        {32, 32, IMG_E_UNSUPPORTED},
        {40, 1, IMG_E_UNSUPPORTED},
        {48, 1, IMG_E_UNSUPPORTED},
        {72, 1, IMG_E_UNSUPPORTED},
        {80, 0, IMG_E_CORRUPT},
        {80, FILE_SECTORS, IMG_E_CORRUPT},
        {80, UINT64_MAX, IMG_E_CORRUPT},
        {88, 0, IMG_E_CORRUPT},
        {88, UINT64_MAX, IMG_E_CORRUPT},
        {128, VOLATILE, IMG_E_CORRUPT},
        {128, TABLES, IMG_E_CORRUPT},
        {136, FILE_SECTORS, IMG_E_CORRUPT},
        {144, DIRECTORY, IMG_E_CORRUPT},
        {152, FILE_SECTORS, IMG_E_CORRUPT},
        {192, FILE_SECTORS + 1, IMG_E_CORRUPT},
        {192, TABLES, IMG_E_CORRUPT},
        {200, UINT64_MAX, IMG_E_CORRUPT},
        {208, 1, IMG_E_UNSUPPORTED},
        {504, 1, IMG_E_UNSUPPORTED},
        {VOLATILE * SECTOR, 0xcafebabe, IMG_E_CORRUPT},
        {VOLATILE * SECTOR + 24, 1, IMG_E_UNSUPPORTED}, /* a journal to be replayed */
        {VOLATILE * SECTOR + 32, 1, IMG_E_UNSUPPORTED},
        {VOLATILE * SECTOR + 504, 1, IMG_E_UNSUPPORTED},
    };

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(faults); i++) {
        img_image *image;
        img_error err = {0};
        int rc;

        put_disk();
        imgi_put_le64(file + faults[i].offset, faults[i].value);
        rc = open_file(0, &image, &err);
        if (rc != faults[i].code)
            fail_msg("fault %zu: %d instead of %d (%s)", i, rc, faults[i].code, err.message);
    }
}

static void entries_say_where_grains_are(void **state)
{
    static const uint8_t expected[6] = {0, 0, 0, 'B', 'A', 0};
    img_check_result result = {0};
    uint8_t bytes[4096];
    img_image *image;
    img_error err = {0};

    (void)state;
    put_disk();
    assert_ok(open_file(0, &image, &err), err);
    assert_int_equal(img_size(image), DISK_SECTORS * (uint64_t)SECTOR);
    for (unsigned i = 0; i < sizeof(expected); i++) {
        assert_ok(img_read(image, i * 4096, bytes, sizeof(bytes), &err), err);
        assert_int_equal(bytes[0], expected[i]);
        assert_memory_equal(bytes, bytes + 1, sizeof(bytes) - 1);
    }
    assert_ok(img_check(NULL, image, NULL, NULL, &result, &err), err);
    assert_int_equal(result.corruptions, 0);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(open_file(IMG_OPEN_WRITE, &image, &err), IMG_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "only be read"));
}

/* The number of a grain above 4095 has its lowest bits above the others. */
static void large_numbers(void **state)
{
    const struct vmdk_sesparse sesparse = {
        .header.regions[VMDK_SESPARSE_GRAINS] = {GRAINS, UINT64_C(8) << 20}};
    uint64_t host = 0;

    (void)state;
    assert_int_equal(vmdk_sesparse_entry(&sesparse, UINT64_C(0x3345000000000012), &host),
                     VMDK_SESPARSE_DATA);
    assert_int_equal(host, GRAINS * SECTOR + UINT64_C(0x12345) * 4096);
    assert_int_equal(vmdk_sesparse_entry(&sesparse, UINT64_C(0x3000000000000100), &host),
                     VMDK_SESPARSE_UNKNOWN);
}

/* Reading fails, and the check says why. */
static void damage_is_found(void **state)
{
    static const struct {
        unsigned offset;
        uint64_t value;
    } damages[] = {
        {DIRECTORY * SECTOR, 1},                   /* no mark of an entry */
        {DIRECTORY * SECTOR, FIRST_TABLE + 1},     /* a table that is not there */
        {TABLES * SECTOR, 1},                      /* unallocated, with a number */
        {TABLES * SECTOR, UINT64_C(4) << 60},      /* no known kind */
        {TABLES * SECTOR, UINT64_MAX},             /* likewise */
        {TABLES * SECTOR, DATA | GRAIN_NUMBER(2)}, /* a grain past the region */
        {TABLES * SECTOR, DATA | 1},               /* number 4096 */
    };

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(damages); i++) {
        img_check_result result = {0};
        uint8_t byte;
        img_image *image;
        img_error err = {0};

        put_disk();
        imgi_put_le64(file + damages[i].offset, damages[i].value);
        assert_ok(open_file(0, &image, &err), err);
        if (img_read(image, 0, &byte, 1, NULL) != IMG_E_CORRUPT)
            fail_msg("damage %zu can be read", i);
        assert_ok(img_check(NULL, image, NULL, NULL, &result, &err), err);
        assert_int_equal(result.corruptions, 1);
        assert_ok(img_close(image, &err), err);
    }
}

/* Two owners can be read, but are no sound image. */
static void sharing_is_found(void **state)
{
    img_check_result result = {0};
    img_image *image;
    img_error err = {0};

    (void)state;
    put_disk();
    put_entry(5, DATA | GRAIN_NUMBER(1));
    assert_ok(open_file(0, &image, &err), err);
    assert_ok(img_check(NULL, image, NULL, NULL, &result, &err), err);
    assert_int_equal(result.corruptions, 1);
    assert_ok(img_close(image, &err), err);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(golden_bytes),    cmocka_unit_test(faults_are_refused),
    cmocka_unit_test(large_numbers),   cmocka_unit_test(entries_say_where_grains_are),
    cmocka_unit_test(damage_is_found), cmocka_unit_test(sharing_is_found),
};

IO_RUN(tests)
