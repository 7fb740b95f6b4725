/*
 * VHDX images with a parent, and other things that qemu-img does not make.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A child is made of an empty image: its parameters say that it has a parent, a parent locator says
 * which, and its BAT has the entries of a disk with sector bitmaps.
 */
#include "vhdx_test.h"

#define PARENT "parent.vhdx"
#define PARAMETERS_AT (METADATA_AT + 65536 + 4)
#define LOCATOR_OFFSET (65536u + 4096u)
#define LOGICAL_AT (METADATA_AT + 65536 + 32)
/* Blocks of 1 MiB in a chunk. */
#define RATIO 4096u
#define BITMAP_AT (UINT64_C(20) << 20)

static void put_text(uint8_t *bytes, const char *text)
{
    for (size_t n = 0; text[n]; n++)
        imgi_put_le16(bytes + 2 * n, (uint8_t)text[n]);
}

struct pair {
    const char *key, *value;
};

/* Give the image a parent locator with these pairs. */
static void put_locator(const struct pair *pairs, unsigned count)
{
    uint8_t bytes[4096] = {0}, entry[VHDX_METADATA_ENTRY_BYTES] = {0}, number[2];
    uint32_t at = 20 + 12 * count;

    vhdx_guid_put(bytes, &vhdx_locator_type);
    imgi_put_le16(bytes + 18, (uint16_t)count);
    for (unsigned n = 0; n < count; n++) {
        uint16_t key = (uint16_t)(2 * strlen(pairs[n].key));
        uint16_t value = (uint16_t)(2 * strlen(pairs[n].value));

        imgi_put_le32(bytes + 20 + 12 * n, at);
        imgi_put_le32(bytes + 24 + 12 * n, at + key);
        imgi_put_le16(bytes + 28 + 12 * n, key);
        imgi_put_le16(bytes + 30 + 12 * n, value);
        put_text(bytes + at, pairs[n].key);
        put_text(bytes + at + key, pairs[n].value);
        at += (uint32_t)key + value;
    }
    vhdx_test_put(NAME, bytes, at, METADATA_AT + LOCATOR_OFFSET);
    vhdx_guid_put(entry, &vhdx_item_parent);
    imgi_put_le32(entry + 16, LOCATOR_OFFSET);
    imgi_put_le32(entry + 20, at);
    imgi_put_le32(entry + 24, VHDX_ITEM_REQUIRED);
    vhdx_test_put(NAME, entry, sizeof(entry),
                  METADATA_AT + VHDX_METADATA_AT_ENTRIES + 5 * VHDX_METADATA_ENTRY_BYTES);
    imgi_put_le16(number, 6);
    vhdx_test_put(NAME, number, 2, METADATA_AT + VHDX_METADATA_AT_COUNT);
    imgi_put_le32(bytes, VHDX_PARAMETER_HAS_PARENT);
    vhdx_test_put(NAME, bytes, 4, PARAMETERS_AT);
}

/* What a child says of a parent that it lies beside. */
static void put_parent(const char *path, const char *linkage)
{
    const struct pair pairs[] = {
        {"parent_linkage", linkage},
        {"volume_path", "\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\parent.vhdx"},
        {"relative_path", path},
        {"absolute_win32_path", "\\\\?\\C:\\disks\\other.vhdx"},
    };

    put_locator(pairs, IMGI_COUNT(pairs));
}

static void linkage_of_parent(char text[VHDX_GUID_TEXT])
{
    struct vhdx_header header = vhdx_test_header(PARENT);

    vhdx_guid_format(&header.data_write, text);
}

/* A child with all blocks in its parent. */
static void make(const char *path)
{
    char linkage[VHDX_GUID_TEXT];

    vhdx_test_make(PARENT, true);
    vhdx_test_make(NAME, false);
    for (unsigned n = 0; n < BLOCKS; n++)
        vhdx_test_put64(NAME, VHDX_BLOCK_NOT_PRESENT, BAT_AT + 8 * n);
    linkage_of_parent(linkage);
    put_parent(path, linkage);
}

static void put_block(unsigned n, uint64_t offset, unsigned byte)
{
    uint8_t *bytes = malloc(BLOCK);

    assert_non_null(bytes);
    memset(bytes, (int)byte, BLOCK);
    vhdx_test_put(NAME, bytes, BLOCK, offset);
    vhdx_test_put64(NAME, offset | VHDX_BLOCK_FULLY_PRESENT, BAT_AT + 8 * n);
    free(bytes);
}

static void test_blocks(void **state)
{
    img_image *image;

    (void)state;
    make(".\\parent.vhdx");
    put_block(1, DATA_AT, 0x91);
    vhdx_test_put64(NAME, VHDX_BLOCK_ZERO, BAT_AT + 16);
    vhdx_test_put64(NAME, VHDX_BLOCK_UNMAPPED, BAT_AT + 24);
    image = vhdx_test_open(NAME, 0);
    assert_string_equal(img_backing_name(image), "./parent.vhdx");
    assert_string_equal(img_backing_format(image), "vhdx");
    assert_int_equal(vhdx_test_byte(image, 0), 1);
    assert_int_equal(vhdx_test_byte(image, BLOCK), 0x91);
    assert_int_equal(vhdx_test_byte(image, 2 * BLOCK), 0);
    assert_int_equal(vhdx_test_byte(image, 3 * BLOCK), 0);
    assert_int_equal(vhdx_test_byte(image, 7 * BLOCK), 8);
    img_close(image, NULL);
}

/* What the parent has is not zeros when nobody says where the parent is. */
static void test_parent_taken_away(void **state)
{
    const img_open_params params = {.flags = IMG_OPEN_OPTIONS};
    img_image *image;
    img_error err = {0};
    uint8_t byte;

    (void)state;
    make("parent.vhdx");
    assert_ok(img_open(&image, "driver=vhdx,file.filename=" NAME ",backing=", &params, &err), err);
    assert_error(img_read(image, 0, &byte, 1, &err), IMG_E_UNSUPPORTED, err, NAME, "not known");
    img_close(image, NULL);
}

/* Sectors 3 to 9, 8000 and the block's last are the child's. */
static void make_partial(void)
{
    uint8_t bits[4096] = {0};

    make("parent.vhdx");
    put_block(2, DATA_AT, 0x92);
    vhdx_test_put64(NAME, DATA_AT | VHDX_BLOCK_PARTIALLY_PRESENT, BAT_AT + 16);
    vhdx_test_put64(NAME, BITMAP_AT | VHDX_BITMAP_PRESENT, BAT_AT + 8 * RATIO);
    bits[512] = 0xf8;
    bits[513] = 0x03;
    bits[512 + 255] = 0x80;
    vhdx_test_put(NAME, bits, sizeof(bits), BITMAP_AT);
    assert_int_equal(truncate(NAME, (off_t)(BITMAP_AT + BLOCK)), 0);
}

static void test_partial(void **state)
{
    static const struct {
        size_t at;
        unsigned byte;
    } places[] = {{0, 3},        {3 * 512 - 1, 3},    {3 * 512, 0x92},    {10 * 512 - 1, 0x92},
                  {10 * 512, 3}, {2047 * 512 - 1, 3}, {2047 * 512, 0x92}, {BLOCK - 1, 0x92},
                  {BLOCK, 4}};
    img_image *image;
    img_error err = {0};
    img_extent extent;

    (void)state;
    make_partial();
    image = vhdx_test_open(NAME, 0);
    for (size_t n = 0; n < IMGI_COUNT(places); n++)
        assert_int_equal(vhdx_test_byte(image, 2 * BLOCK + places[n].at), places[n].byte);
    assert_ok(img_map(image, 2 * BLOCK + 100, BLOCK, &extent, &err), err);
    assert_int_equal(extent.length, 3 * 512 - 100);
    assert_int_equal(extent.depth, 1);
    assert_ok(img_map(image, 2 * BLOCK + 3 * 512 + 5, BLOCK, &extent, &err), err);
    assert_int_equal(extent.length, 7 * 512 - 5);
    assert_int_equal(extent.depth, 0);
    img_close(image, NULL);
}

static uint64_t faults(void)
{
    img_image *image = vhdx_test_open(NAME, IMG_OPEN_CHECK);
    img_check_result result = {0};
    img_error err = {0};

    assert_ok(img_check(NULL, image, NULL, NULL, &result, &err), err);
    img_close(image, NULL);
    return result.corruptions;
}

static void test_bitmap_missing(void **state)
{
    img_image *image;
    img_error err = {0};
    uint8_t byte;

    (void)state;
    make_partial();
    assert_int_equal(faults(), 0);
    vhdx_test_put64(NAME, 0, BAT_AT + 8 * RATIO);
    assert_int_equal(faults(), 1);
    image = vhdx_test_open(NAME, 0);
    assert_error(img_read(image, 2 * BLOCK, &byte, 1, &err), IMG_E_CORRUPT, err, NAME,
                 "of the sector bitmap");
    img_close(image, NULL);
    vhdx_test_put64(NAME, METADATA_AT | VHDX_BITMAP_PRESENT, BAT_AT + 8 * RATIO);
    assert_int_equal(faults(), 1);
}

static void test_changed_parent(void **state)
{
    img_image *image;
    img_error err = {0};
    uint8_t byte;

    (void)state;
    make("parent.vhdx");
    image = vhdx_test_open(PARENT, IMG_OPEN_WRITE);
    assert_ok(img_write(image, 0, "x", 1, &err), err);
    assert_ok(img_close(image, &err), err);
    image = vhdx_test_open(NAME, 0);
    assert_error(img_read(image, 0, &byte, 1, &err), IMG_E_CORRUPT, err, NAME,
                 "was changed after this image was made");
    img_close(image, NULL);
}

static void test_linkage2(void **state)
{
    char linkage[VHDX_GUID_TEXT];
    struct pair pairs[] = {
        {"parent_linkage", "{00000000-0000-0000-0000-000000000001}"},
        {"parent_linkage2", linkage},
        {"absolute_win32_path", "\\\\?\\C:\\disks\\parent.vhdx"},
    };
    img_image *image;

    (void)state;
    make("parent.vhdx");
    linkage_of_parent(linkage);
    put_locator(pairs, IMGI_COUNT(pairs));
    image = vhdx_test_open(NAME, 0);
    assert_string_equal(img_backing_name(image), "parent.vhdx");
    assert_int_equal(vhdx_test_byte(image, 0), 1);
    img_close(image, NULL);
}

static void test_locator_refused(void **state)
{
    static const char good[] = "{00000000-0000-0000-0000-000000000001}";
    static const struct {
        struct pair pairs[4];
        const char *says;
    } cases[] = {
        {{{"parent_linkage", good}}, "neither relative_path"},
        {{{"relative_path", "x"}}, "no parent locator with a parent_linkage"},
        {{{"relative_path", "x"}, {"parent_linkage", "1"}}, "is no GUID: 1"},
        {{{"relative_path", "x"},
          {"parent_linkage", good},
          {"parent_linkage", good},
          {"parent_linkage", good}},
         "too many"},
        {{{"relative_path", ""}, {"parent_linkage", good}}, "text of 0 bytes"},
    };

    (void)state;
    vhdx_test_make(NAME, false);
    for (size_t n = 0; n < IMGI_COUNT(cases); n++) {
        unsigned count = 0;

        while (count < 4 && cases[n].pairs[count].key)
            count++;
        put_locator(cases[n].pairs, count);
        vhdx_test_refused(NAME, IMG_OPEN_NO_BACKING, IMG_E_CORRUPT, cases[n].says);
    }
    put_parent("x", good);
    vhdx_test_put(NAME, "\xff\xff", 2, METADATA_AT + LOCATOR_OFFSET + 18);
    vhdx_test_refused(NAME, 0, IMG_E_CORRUPT, "65535 entries");
    put_parent("x", good);
    vhdx_test_put(NAME, "\xff", 1, METADATA_AT + LOCATOR_OFFSET);
    vhdx_test_refused(NAME, 0, IMG_E_UNSUPPORTED, "type is not known");
    put_parent("x", good);
    vhdx_test_put(NAME, "\x00\xd8", 2, METADATA_AT + LOCATOR_OFFSET + 20 + 48);
    vhdx_test_refused(NAME, 0, IMG_E_CORRUPT, "no character");
}

/* A name outside the image's directory is judged like any other. */
static void test_policy(void **state)
{
    img_policy *policy = img_policy_new();
    const img_open_params params = {.format = "vhdx", .policy = policy};
    img_image *image;
    img_error err = {0};

    (void)state;
    make("..\\..\\etc\\parent.vhdx");
    img_policy_set_reach(policy, IMG_REACH_DIRECTORY);
    assert_int_equal(img_open(&image, NAME, &params, &err), IMG_E_NOENT);
    make("C:\\parent.vhdx");
    assert_int_equal(img_open(&image, NAME, &params, &err), IMG_E_DENIED);
    make("/etc/passwd");
    assert_int_equal(img_open(&image, NAME, &params, &err), IMG_E_DENIED);
    img_policy_free(policy);
}

static void test_read_only(void **state)
{
    (void)state;
    make("parent.vhdx");
    vhdx_test_refused(NAME, IMG_OPEN_WRITE, IMG_E_UNSUPPORTED, "can only be read");
}

/* Sectors of 4096 bytes: another number of blocks in a chunk. */
static void test_large_sectors(void **state)
{
    img_image *image;
    img_error err = {0};
    uint8_t sector[4] = {0, 16, 0, 0};

    (void)state;
    vhdx_test_make(NAME, true);
    vhdx_test_put(NAME, sector, 4, LOGICAL_AT);
    image = vhdx_test_open(NAME, IMG_OPEN_WRITE);
    assert_int_equal(vhdx_test_byte(image, 7 * BLOCK), 8);
    assert_ok(img_write(image, 3 * BLOCK, "xyz", 3, &err), err);
    assert_int_equal(vhdx_test_byte(image, 3 * BLOCK + 1), 'y');
    assert_int_equal(img_resize(image, 9 * BLOCK + 512, &err), IMG_E_INVAL);
    assert_ok(img_resize(image, 9 * BLOCK + 4096, &err), err);
    assert_ok(img_close(image, &err), err);
    vhdx_test_put64(NAME, 512, METADATA_AT + 65536 + 8);
    vhdx_test_refused(NAME, 0, IMG_E_CORRUPT, "no multiple of its sectors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),          cmocka_unit_test(test_parent_taken_away),
        cmocka_unit_test(test_partial),         cmocka_unit_test(test_bitmap_missing),
        cmocka_unit_test(test_changed_parent),  cmocka_unit_test(test_linkage2),
        cmocka_unit_test(test_locator_refused), cmocka_unit_test(test_policy),
        cmocka_unit_test(test_read_only),       cmocka_unit_test(test_large_sectors),
    };

    io_place = io_places[1];
    return cmocka_run_group_tests(tests, io_enter, io_leave);
}
