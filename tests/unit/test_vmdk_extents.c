/*
 * Images of several files, and what a descriptor may not ask for.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "io_test.h"

#include "internal.h"

#define SECTOR 512u
#define NAME "disk.vmdk"
#define HEAD "# Disk DescriptorFile\nversion=1\nCID=00000012\nparentCID=ffffffff\n"
#define CUSTOM HEAD "createType=\"custom\"\n"

/* A file of so many sectors, each filled with its number plus first. */
static void put_sectors(const char *name, unsigned count, unsigned first)
{
    uint8_t *bytes = malloc(count * SECTOR);

    assert_non_null(bytes);
    for (unsigned i = 0; i < count; i++)
        memset(bytes + i * SECTOR, (int)(first + i), SECTOR);
    io_put(name, bytes, count * SECTOR, 0600);
    free(bytes);
}

static void make_sparse(const char *name, uint64_t size)
{
    img_image *image;
    img_error err = {0};

    assert_ok(img_create(&image, name, "vmdk", size, NULL, NULL, &err), err);
    assert_ok(img_close(image, &err), err);
}

static int open_text(img_image **image, const char *text, unsigned flags, img_error *err)
{
    const img_open_params params = {.flags = flags};

    io_put(NAME, text, strlen(text), 0600);
    *image = NULL;
    return img_open(image, NAME, &params, err);
}

static uint8_t sector_of(img_image *image, uint64_t sector)
{
    uint8_t bytes[SECTOR];
    img_error err = {0};

    assert_ok(img_read(image, sector * SECTOR, bytes, sizeof(bytes), &err), err);
    assert_memory_equal(bytes, bytes + 1, SECTOR - 1);
    return bytes[0];
}

static void extents_follow_one_another(void **state)
{
    static const char text[] =
        CUSTOM "RW 3 FLAT \"a\" 1\nRW 2 ZERO\nRW 2 FLAT \"b\" 0\nRW 1 FLAT \"a\" 0\n";
    static const uint8_t expected[] = {11, 12, 13, 0, 0, 20, 21, 10};
    uint8_t byte = 99;
    img_image *image;
    img_error err = {0};

    (void)state;
    put_sectors("a", 4, 10);
    put_sectors("b", 2, 20);
    assert_ok(open_text(&image, text, IMG_OPEN_WRITE, &err), err);
    assert_int_equal(img_size(image), sizeof(expected) * SECTOR);
    for (size_t i = 0; i < sizeof(expected); i++)
        assert_int_equal(sector_of(image, i), expected[i]);
    assert_ok(img_write(image, 5 * SECTOR, &byte, 1, &err), err);
    assert_ok(img_zero(image, 2 * SECTOR, 2 * SECTOR, 0, &err), err);
    assert_int_not_equal(img_write(image, 3 * SECTOR, &byte, 1, NULL), 0);
    assert_int_equal(sector_of(image, 2), 0);
    assert_int_equal(sector_of(image, 6), 21);
    assert_ok(img_close(image, &err), err);
}

/* Nothing in a flat extent makes it anything else than bytes. */
static void flat_content_is_not_looked_at(void **state)
{
    static const char inner[] = CUSTOM "RW 1 FLAT \"secret\" 0\n";
    char sector[SECTOR] = {0};
    uint8_t found[SECTOR];
    img_image *image;
    img_error err = {0};

    (void)state;
    put_sectors("secret", 1, 42);
    memcpy(sector, inner, sizeof(inner));
    io_put("inner", sector, sizeof(sector), 0600);
    assert_ok(open_text(&image, CUSTOM "RW 1 FLAT \"inner\" 0\n", 0, &err), err);
    assert_ok(img_read(image, 0, found, sizeof(found), &err), err);
    assert_memory_equal(found, sector, sizeof(sector));
    assert_ok(img_close(image, &err), err);
    assert_int_equal(open_text(&image, CUSTOM "RW 1 SPARSE \"inner\"\n", 0, NULL), IMG_E_FORMAT);
}

static void read_only_extents_stay(void **state)
{
    static const char text[] = CUSTOM "RW 1 FLAT \"a\" 0\nRDONLY 1 FLAT \"a\" 1\n";
    img_image *image;
    img_error err = {0};

    (void)state;
    put_sectors("a", 2, 1);
    assert_ok(open_text(&image, text, 0, &err), err);
    assert_int_equal(sector_of(image, 1), 2);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(open_text(&image, text, IMG_OPEN_WRITE, NULL), IMG_E_RDONLY);
}

/* Nothing is known of such a range, so it is neither zeros nor lost: who touches it is told. */
static void no_access_is_an_error(void **state)
{
    static const char text[] =
        CUSTOM "RW 1 FLAT \"a\" 0\nNOACCESS 2 FLAT \"missing\" 0\nRW 1 FLAT \"a\" 1\n";
    uint8_t bytes[4 * SECTOR];
    img_image *image;
    img_error err = {0};

    (void)state;
    put_sectors("a", 2, 1);
    assert_ok(open_text(&image, text, IMG_OPEN_WRITE, &err), err);
    assert_int_equal(img_size(image), sizeof(bytes));
    assert_int_equal(sector_of(image, 3), 2);
    assert_int_equal(img_read(image, 0, bytes, sizeof(bytes), &err), IMG_E_DENIED);
    assert_non_null(strstr(err.message, "NOACCESS"));
    assert_int_equal(img_write(image, 2 * SECTOR, bytes, 1, NULL), IMG_E_DENIED);
    assert_int_equal(img_zero(image, SECTOR, SECTOR, 0, NULL), IMG_E_DENIED);
    assert_ok(img_write(image, 3 * SECTOR, bytes, 1, &err), err);
    assert_ok(img_close(image, &err), err);
}

static void refusals(void **state)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {HEAD "RW 1 FLAT \"a\" 0\n", IMG_E_FORMAT},    /* no createType */
        {CUSTOM, IMG_E_FORMAT},                        /* no extents */
        {CUSTOM "RW 3 FLAT \"a\" 0\n", IMG_E_CORRUPT}, /* more than the file has */
        {CUSTOM "RW 1 FLAT \"a\" 2\n", IMG_E_CORRUPT},
        {CUSTOM "RW 1 FLAT \"a\" 36028797018963968\n", IMG_E_CORRUPT},
        {CUSTOM "RW 1 FLAT \"missing\" 0\n", IMG_E_NOENT},
        {CUSTOM "RW 1 FLAT \"" NAME "\" 0\n", IMG_E_CORRUPT},
        {CUSTOM "RW 2 FLAT \"a\" 0\nRW 1 FLAT \"a\" 1\n", IMG_E_CORRUPT},
        {CUSTOM "RW 1 FLAT \"a\" 0\nRW 1 FLAT \"./a\" 0\n", IMG_E_CORRUPT},
        {CUSTOM "RW 8 SPARSE \"sparse\"\nRW 8 SPARSE \"sparse\"\n", IMG_E_CORRUPT},
        {CUSTOM "RW 9999 SPARSE \"sparse\"\n", IMG_E_CORRUPT},
        {CUSTOM "RW 1 SPARSE \"a\"\n", IMG_E_FORMAT},
        {CUSTOM "RW 1 VMFS \"a\" 1\n", IMG_E_CORRUPT},
        {CUSTOM "RW 9223372036854775807 ZERO\n", IMG_E_CORRUPT},
        {CUSTOM "RW 18014398509481983 ZERO\nRW 1 ZERO\n", IMG_E_CORRUPT},
        {CUSTOM "RW 1 VMFSSPARSE \"a\"\n", IMG_E_FORMAT},
        {CUSTOM "RW 1 SESPARSE \"a\"\n", IMG_E_FORMAT},
        {CUSTOM "RW 1 VMFSRDM \"a\"\n", IMG_E_UNSUPPORTED},
        {CUSTOM "RW 1 FLAT \"nbd://host/x\" 0\n", IMG_E_DENIED},
        {CUSTOM "isNativeSnapshot=\"yes\"\nRW 1 FLAT \"a\" 0\n", IMG_E_UNSUPPORTED},
        {CUSTOM "ddb.logicalSectorSize=\"4096\"\nRW 1 FLAT \"a\" 0\n", IMG_E_UNSUPPORTED},
        {HEAD "createType=\"fullDevice\"\nRW 1 FLAT \"a\" 0\n", IMG_E_DENIED},
        {HEAD "createType=\"vmfsRDM\"\nRW 1 FLAT \"a\" 0\n", IMG_E_DENIED},
        {HEAD "createType=\"PARTITIONEDDEVICE\"\nRW 1 FLAT \"a\" 0\n", IMG_E_DENIED},
        {CUSTOM "RW 1 FLAT \"\\\\.\\PhysicalDrive0\" 0\n", IMG_E_UNSUPPORTED},
        {CUSTOM "RW 1 FLAT \"C:\\disk.vmdk\" 0\n", IMG_E_DENIED},
        {"# Disk DescriptorFile\nversion=9\nCID=1\ncreateType=\"custom\"\nRW 1 FLAT \"a\" 0\n",
         IMG_E_UNSUPPORTED},
        {"# Disk DescriptorFile\nCID=1\nparentCID=2\ncreateType=\"custom\"\nRW 1 FLAT \"a\" 0\n",
         IMG_E_CORRUPT}, /* no parentFileNameHint */
    };

    (void)state;
    put_sectors("a", 2, 1);
    make_sparse("sparse", 1 << 20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        img_image *image;
        img_error err = {0};
        int rc = open_text(&image, cases[i].text, 0, &err);

        if (rc != cases[i].code)
            fail_msg("case %zu: %d instead of %d (%s)", i, rc, cases[i].code, err.message);
    }
}

static void strangers_reach_nothing(void **state)
{
    img_policy *policy = img_policy_new();
    const img_open_params params = {.policy = policy};
    static const char text[] = CUSTOM "RW 1 FLAT \"../../../../../../etc/passwd\" 0\n";
    img_image *image = NULL;

    (void)state;
    img_policy_set_reach(policy, IMG_REACH_DIRECTORY);
    io_put(NAME, text, strlen(text), 0600);
    assert_int_equal(img_open(&image, NAME, &params, NULL), IMG_E_DENIED);
    img_policy_free(policy);
}

/* The files are not opened, not even looked for. */
static void metadata_alone_can_be_had(void **state)
{
    img_image *image;
    img_error err = {0};
    uint8_t byte;
    char *json;

    (void)state;
    assert_ok(open_text(&image, CUSTOM "RW 2 FLAT \"missing\" 0\n", IMG_OPEN_NO_FILES, &err), err);
    assert_int_equal(img_size(image), 2 * SECTOR);
    assert_ok(img_info(image, &json, &err), err);
    assert_non_null(strstr(json, "\"missing\""));
    img_free(json);
    assert_int_not_equal(img_read(image, 0, &byte, 1, NULL), 0);
    assert_ok(img_close(image, &err), err);
}

static void unaligned_grains_are_only_read(void **state)
{
    static const char text[] =
        CUSTOM "RW 2 FLAT \"a\" 0\nRW 2048 SPARSE \"sparse\"\nRW 2 FLAT \"b\" 0\n";
    img_image *image;
    img_error err = {0};

    (void)state;
    put_sectors("a", 2, 1);
    put_sectors("b", 2, 5);
    make_sparse("sparse", 1 << 20);
    assert_ok(open_text(&image, text, 0, &err), err);
    assert_int_equal(sector_of(image, 1), 2);
    assert_int_equal(sector_of(image, 2), 0);
    assert_int_equal(sector_of(image, 2051), 6);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(open_text(&image, text, IMG_OPEN_WRITE, NULL), IMG_E_UNSUPPORTED);
}

/* A parent that was changed is no parent any more: its CID tells. */
static void a_changed_parent_is_refused(void **state)
{
    const img_open_params writable = {.flags = IMG_OPEN_WRITE};
    img_options *options = img_options_new();
    img_image *image;
    img_error err = {0};
    uint8_t byte;

    (void)state;
    make_sparse("parent.vmdk", 1 << 20);
    assert_ok(img_options_parse(options, "backing_file=parent.vmdk", &err), err);
    assert_ok(img_create(&image, "child.vmdk", "vmdk", 0, options, NULL, &err), err);
    assert_int_equal(img_size(image), 1 << 20);
    assert_string_equal(img_backing_format(image), "vmdk");
    assert_ok(img_read(image, 0, &byte, 1, &err), err);
    assert_ok(img_close(image, &err), err);

    assert_ok(img_open(&image, "parent.vmdk", &writable, &err), err);
    assert_ok(image->top->driver->begin_write(image->top, &err), err);
    assert_ok(img_close(image, &err), err);

    assert_ok(img_open(&image, "child.vmdk", NULL, &err), err);
    assert_int_equal(img_read(image, 0, &byte, 1, &err), IMG_E_CORRUPT);
    assert_non_null(strstr(err.message, "parentCID"));
    assert_ok(img_close(image, &err), err);
    img_options_free(options);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(extents_follow_one_another),
    cmocka_unit_test(flat_content_is_not_looked_at),
    cmocka_unit_test(read_only_extents_stay),
    cmocka_unit_test(no_access_is_an_error),
    cmocka_unit_test(refusals),
    cmocka_unit_test(strangers_reach_nothing),
    cmocka_unit_test(metadata_alone_can_be_had),
    cmocka_unit_test(unaligned_grains_are_only_read),
    cmocka_unit_test(a_changed_parent_is_refused),
};

IO_RUN(tests)
