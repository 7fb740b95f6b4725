/*
 * The formats that are only read: the smallest image of each, what it says, and one bad number a
 * check. SPDX-License-Identifier: BSD-2-Clause
 */
#include "io_test.h"

#include "internal.h"

#define SECTOR 512u
#define IMAGE_MAX (3 * 4096)

/* An image in memory. */
struct bytes {
    uint8_t at[IMAGE_MAX];
    size_t length;
};

static void put(struct bytes *image, size_t offset, unsigned width, bool big_endian, uint64_t value)
{
    for (unsigned n = 0; n < width; n++) {
        size_t place = offset + (big_endian ? width - 1 - n : n);

        assert_true(place < IMAGE_MAX);
        image->at[place] = (uint8_t)(value >> 8 * n);
    }
}

#define BE(offset, width, value) put(image, offset, width, true, value)
#define LE(offset, width, value) put(image, offset, width, false, value)

/* All images hold a disk whose second unit of 512 bytes, or 4096, is full of 7s. */
static void fill_at(struct bytes *image, size_t offset, size_t length)
{
    memset(image->at + offset, 7, length);
    image->length = offset + length;
}

static void make_qcow(struct bytes *image)
{
    BE(0, 4, 0x514649fb);
    BE(4, 4, 1);
    BE(24, 8, 40000); /* not a multiple of 512 */
    BE(32, 1, 9);
    BE(33, 1, 6);
    BE(40, 8, 48);
    BE(48, 8, 512);
    BE(512 + 8, 8, 1024);
    fill_at(image, 1024, 512);
}

static void make_qed(struct bytes *image)
{
    /* Tables of one cluster have 512 entries; they lie where the data could too. */
    LE(0, 4, 0x00444551);
    LE(4, 4, 4096);
    LE(8, 4, 1);
    LE(12, 4, 1);
    LE(40, 8, 4096);
    LE(48, 8, 0);
    image->length = 8192;
}

static void make_parallels(struct bytes *image)
{
    memcpy(image->at, "WithoutFreeSpace", 16);
    LE(16, 4, 2);
    LE(28, 4, 1);
    LE(32, 4, 4);
    LE(36, 4, 4);
    LE(40, 4, 99); /* of no meaning with this magic */
    LE(68, 4, 1);
    fill_at(image, 512, 512);
}

static void make_bochs(struct bytes *image)
{
    memcpy(image->at, "Bochs Virtual HD Image", 22);
    memcpy(image->at + 32, "Redolog", 7);
    memcpy(image->at + 48, "Growing", 7);
    LE(64, 4, 0x20000);
    LE(68, 4, 512);
    LE(72, 4, 2);
    LE(76, 4, 1);
    LE(80, 4, 1024);
    LE(88, 8, 2048);
    LE(512, 4, 0);
    LE(516, 4, UINT32_MAX);
    LE(520, 1, 2); /* the second sector was written */
    fill_at(image, 520 + 512 + 512, 512);
}

static void make_sparse(struct bytes *image)
{
    LE(0, 4, 0x02468ace);
    LE(4, 4, 1);
    LE(8, 4, 512);
    LE(12, 4, 4);
    LE(256, 4, UINT32_MAX);
    LE(260, 4, 0);
    LE(264, 4, UINT32_MAX);
    LE(268, 4, UINT32_MAX);
    fill_at(image, 512, 512);
}

static void make_cloop(struct bytes *image)
{
    struct imgi_pack_params params = {IMGI_CODEC_ZLIB, 9, 15};
    struct imgi_packer *packer = NULL;
    uint8_t block[1024] = {0};
    size_t made;

    memset(block + 512, 7, 512);
    assert_int_equal(imgi_packer_new(&packer, &params, NULL), 0);
    made = imgi_pack(packer, block, sizeof(block), image->at + 152, IMAGE_MAX - 152);
    imgi_packer_free(packer);
    assert_true(made > 0);
    memcpy(image->at, "#!/bin/sh\n#V2.0 Format\n", 23);
    BE(128, 4, 1024);
    BE(132, 4, 1);
    BE(136, 8, 152);
    BE(144, 8, 152 + made);
    image->length = 152 + made;
}

/* Data at 0, the resource fork at 512: a table of one raw and one empty chunk, the map at 1024. */
static void make_dmg(struct bytes *image)
{
    fill_at(image, 0, 512);
    BE(512, 4, 16);
    BE(516, 4, 512);
    BE(528, 4, 204 + 80);
    memcpy(image->at + 532, "mish", 4);
    BE(532 + 8, 8, 1); /* sectors 1 to 3 of the disk */
    BE(532 + 16, 8, 3);
    BE(532 + 200, 4, 2);
    BE(736, 4, 1);
    BE(736 + 16, 8, 1);
    BE(736 + 32, 8, 512);
    BE(776, 4, 2);
    BE(776 + 8, 8, 1);
    BE(776 + 16, 8, 2);
    BE(1024 + 24, 2, 28);
    BE(1024 + 26, 2, 50);
    memcpy(image->at + 1024 + 30, "blkx", 4);
    BE(1024 + 36, 2, 10);
    BE(1024 + 40, 2, 0xffff);
    memcpy(image->at + 1536, "koly", 4);
    BE(1536 + 4, 4, 4);
    BE(1536 + 8, 4, 512);
    BE(1536 + 32, 8, 512);
    BE(1536 + 40, 8, 512);
    BE(1536 + 48, 8, 1024);
    BE(1536 + 492, 8, 4);
    image->length = 2048;
}

static const struct format {
    const char *name, *driver;
    void (*make)(struct bytes *image);
    uint64_t size, from, to; /* of the disk, and where it is full of 7s */
} formats[] = {
    {"qcow", "qcow", make_qcow, 39936, 512, 1024},
    {"qed", "qed", make_qed, 0, 0, 0},
    {"parallels", "parallels", make_parallels, 2048, 512, 1024},
    {"bochs", "bochs", make_bochs, 2048, 512, 1024},
    {"sparse", "bochs", make_sparse, 2048, 512, 1024},
    {"cloop", "cloop", make_cloop, 1024, 512, 1024},
    {"dmg", "dmg", make_dmg, 2048, 512, 1024},
};

static int open_bytes(img_image **image, const struct bytes *bytes, const char *driver,
                      unsigned flags, img_error *err)
{
    const img_open_params params = {.format = driver, .flags = flags};

    io_put("image", bytes->at, bytes->length, 0600);
    *image = NULL;
    return img_open(image, "image", &params, err);
}

static void reads_the_smallest_image(void **state)
{
    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(formats); n++) {
        const struct format *format = &formats[n];
        struct bytes bytes = {0};
        img_error err = {0};
        img_image *image;

        format->make(&bytes);
        assert_ok(open_bytes(&image, &bytes, NULL, 0, &err), err); /* found by probing */
        assert_string_equal(img_format(image), format->driver);
        assert_int_equal(img_size(image), format->size);
        for (uint64_t at = 0; at < format->size; at += SECTOR) {
            uint8_t sector[SECTOR];
            int want = at >= format->from && at < format->to ? 7 : 0;

            assert_ok(img_read(image, at, sector, sizeof(sector), &err), err);
            assert_int_equal(sector[0], want);
            assert_memory_equal(sector, sector + 1, sizeof(sector) - 1);
        }
        assert_ok(img_close(image, &err), err);
    }
}

static void refuses_to_write_and_to_create(void **state)
{
    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(formats); n++) {
        const char *driver = formats[n].driver;
        struct bytes bytes = {0};
        img_error err = {0};
        img_image *image;
        int rc;

        formats[n].make(&bytes);
        rc = open_bytes(&image, &bytes, driver, IMG_OPEN_WRITE, &err);
        assert_error(rc, IMG_E_UNSUPPORTED, err, "image", driver);
        rc = img_create(&image, "new", driver, 1 << 20, NULL, NULL, &err);
        assert_int_equal(rc, IMG_E_UNSUPPORTED);
        assert_non_null(strstr(err.message, driver));
        assert_int_equal(access("new", F_OK), -1);
    }
}

/* A number that must not be so, and what the error says of it. */
static const struct {
    const char *name;
    size_t offset;
    unsigned width;
    uint64_t value;
    int code;
    const char *says;
} bad[] = {
    {"qcow", 4, 4, 2, IMG_E_UNSUPPORTED, "version 2"},
    {"qcow", 24, 8, 1, IMG_E_CORRUPT, "too small"},
    {"qcow", 24, 8, UINT64_C(1) << 63, IMG_E_CORRUPT, "too large"},
    {"qcow", 32, 1, 8, IMG_E_CORRUPT, "Cluster size"},
    {"qcow", 32, 1, 17, IMG_E_CORRUPT, "Cluster size"},
    {"qcow", 33, 1, 5, IMG_E_CORRUPT, "L2 table size"},
    {"qcow", 33, 1, 14, IMG_E_CORRUPT, "L2 table size"},
    {"qcow", 36, 4, 2, IMG_E_UNSUPPORTED, "encryption"},
    {"qcow", 40, 8, 1530, IMG_E_CORRUPT, "L1 table"},
    {"qcow", 8, 12, 1024, IMG_E_CORRUPT, "too long"},
    {"qed", 4, 4, 2048, IMG_E_CORRUPT, "cluster size"},
    {"qed", 4, 4, 4097, IMG_E_CORRUPT, "cluster size"},
    {"qed", 4, 4, 1u << 27, IMG_E_CORRUPT, "cluster size"},
    {"qed", 8, 4, 0, IMG_E_CORRUPT, "table size"},
    {"qed", 8, 4, 3, IMG_E_CORRUPT, "table size"},
    {"qed", 8, 4, 32, IMG_E_CORRUPT, "table size"},
    {"qed", 12, 4, 0, IMG_E_CORRUPT, "header size"},
    {"qed", 16, 8, 8, IMG_E_UNSUPPORTED, "features: 8"},
    {"qed", 40, 8, 0, IMG_E_CORRUPT, "table offset"},
    {"qed", 40, 8, 4608, IMG_E_CORRUPT, "table offset"},
    {"qed", 40, 8, 8192, IMG_E_CORRUPT, "table offset"},
    {"qed", 48, 8, 511, IMG_E_CORRUPT, "image size"},
    {"qed", 48, 8, UINT64_C(1) << 31, IMG_E_CORRUPT, "image size"},
    {"parallels", 16, 4, 1, IMG_E_UNSUPPORTED, "version 1"},
    {"parallels", 28, 4, 0, IMG_E_CORRUPT, "Zero sectors"},
    {"parallels", 28, 4, UINT32_MAX, IMG_E_CORRUPT, "Too big cluster"},
    {"parallels", 32, 4, UINT32_MAX, IMG_E_LIMIT, "Catalog too large"},
    {"parallels", 32, 4, 3, IMG_E_CORRUPT, "too few"},
    {"parallels", 36, 4, 5, IMG_E_CORRUPT, "too few"},
    {"parallels", 32, 4, 300, IMG_E_CORRUPT, "BAT"},
    {"bochs", 32, 1, 'X', IMG_E_UNSUPPORTED, "type"},
    {"bochs", 48, 1, 'X', IMG_E_UNSUPPORTED, "Xrowing"},
    {"bochs", 64, 4, 0x30000, IMG_E_UNSUPPORTED, "version"},
    {"bochs", 68, 4, 511, IMG_E_CORRUPT, "header"},
    {"bochs", 72, 4, 1, IMG_E_CORRUPT, "too few"},
    {"bochs", 72, 4, 10000, IMG_E_CORRUPT, "catalog"},
    {"bochs", 76, 4, 0, IMG_E_CORRUPT, "bitmaps"},
    {"bochs", 80, 4, 256, IMG_E_CORRUPT, "extent size"},
    {"bochs", 80, 4, 1536, IMG_E_CORRUPT, "extent size"},
    {"sparse", 4, 4, 3, IMG_E_FORMAT, "Bochs"},
    {"sparse", 8, 4, 513, IMG_E_CORRUPT, "page size"},
    {"sparse", 12, 4, 10000, IMG_E_CORRUPT, "page table"},
    {"cloop", 128, 4, 0, IMG_E_CORRUPT, "block_size"},
    {"cloop", 128, 4, 513, IMG_E_CORRUPT, "block_size"},
    {"cloop", 128, 4, (64u << 20) + 512, IMG_E_LIMIT, "block_size"},
    {"cloop", 132, 4, UINT32_MAX, IMG_E_LIMIT, "n_blocks"},
    {"cloop", 132, 4, 1000, IMG_E_CORRUPT, "table of offsets"},
    {"cloop", 136, 8, 151, IMG_E_CORRUPT, "table of offsets"},
    {"cloop", 144, 8, 152, IMG_E_CORRUPT, "index 1"},
    {"dmg", 1536, 4, 0, IMG_E_FORMAT, "UDIF trailer"},
    {"dmg", 1536 + 4, 4, 5, IMG_E_UNSUPPORTED, "version 5"},
    {"dmg", 1536 + 8, 4, 1024, IMG_E_UNSUPPORTED, "1024 bytes"},
    {"dmg", 1536 + 24, 8, 1025, IMG_E_CORRUPT, "data fork"},
    {"dmg", 1536 + 40, 8, 513, IMG_E_CORRUPT, "resource fork"},
    {"dmg", 1536 + 48, 8, 0, IMG_E_CORRUPT, "neither"},
    {"dmg", 1536 + 60, 4, 2, IMG_E_UNSUPPORTED, "segment"},
    {"dmg", 1536 + 216, 8, 1537, IMG_E_CORRUPT, "property list"},
    {"dmg", 1536 + 492, 8, UINT64_C(1) << 55, IMG_E_CORRUPT, "too large"},
    {"dmg", 516, 4, 1000, IMG_E_CORRUPT, "the map"},
    {"dmg", 1024 + 24, 2, 600, IMG_E_CORRUPT, "list of types"},
    {"dmg", 1024 + 28, 2, 100, IMG_E_CORRUPT, "list of types"},
    {"dmg", 1024 + 30, 1, 'B', IMG_E_CORRUPT, "blkx"},
    {"dmg", 1024 + 36, 2, 600, IMG_E_CORRUPT, "list of references"},
    {"dmg", 1024 + 43, 3, 1100, IMG_E_CORRUPT, "a table"},
    {"dmg", 528, 4, 1100, IMG_E_CORRUPT, "a table"},
    {"dmg", 532, 1, 'M', IMG_E_CORRUPT, "mish"},
    {"dmg", 532 + 16, 8, UINT64_C(1) << 55, IMG_E_CORRUPT, "too many"},
    {"dmg", 532 + 200, 4, 3, IMG_E_CORRUPT, "do not fit"},
    {"dmg", 736, 4, 3, IMG_E_UNSUPPORTED, "0x00000003"},
    {"dmg", 736 + 8, 8, 3, IMG_E_CORRUPT, "outside the partition"},
    {"dmg", 736 + 8, 8, 1, IMG_E_CORRUPT, "two chunks"},
    {"dmg", 736 + 24, 8, UINT64_MAX, IMG_E_CORRUPT, "past the end"},
    {"dmg", 736 + 32, 8, 511, IMG_E_CORRUPT, "511 bytes"},
};

static bool is_big_endian(const char *driver)
{
    return strcmp(driver, "qcow") == 0 || strcmp(driver, "cloop") == 0 ||
           strcmp(driver, "dmg") == 0;
}

static const struct format *find(const char *name)
{
    for (size_t n = 0; n < IMGI_COUNT(formats); n++) {
        if (strcmp(formats[n].name, name) == 0)
            return &formats[n];
    }
    fail_msg("no format %s", name);
    return NULL;
}

static void refuses_bad_numbers(void **state)
{
    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(bad); n++) {
        const struct format *format = find(bad[n].name);
        struct bytes bytes = {0};
        img_error err = {0};
        img_image *image;
        int rc;

        format->make(&bytes);
        put(&bytes, bad[n].offset, bad[n].width > 8 ? 8 : bad[n].width,
            is_big_endian(format->driver), bad[n].value);
        /* A name of 1024 bytes behind its offset. */
        if (bad[n].width > 8)
            put(&bytes, bad[n].offset + 8, 4, true, 1024);
        rc = open_bytes(&image, &bytes, format->driver, 0, &err);
        if (rc != bad[n].code || !strstr(err.message, bad[n].says))
            fail_msg("%s, %zu set to 0x%llx: %d \"%s\"", format->name, bad[n].offset,
                     (unsigned long long)bad[n].value, rc, err.message);
    }
}

/* What a table says is told when it is asked for: the disk can be opened, and the rest be read. */
static void entries_that_lead_nowhere(void **state)
{
    static const struct {
        const char *name;
        size_t offset;
        unsigned width;
        uint64_t value;
    } entries[] = {
        {"qcow", 48, 8, 1200},  {"qcow", 48, 8, 8},          {"qcow", 520, 8, 5000},
        {"qcow", 520, 8, 47},   {"qcow", 520, 8, INT64_MAX}, {"parallels", 68, 4, 100},
        {"bochs", 512, 4, 100}, {"sparse", 260, 4, 100},
    };

    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(entries); n++) {
        const struct format *format = find(entries[n].name);
        struct bytes bytes = {0};
        uint8_t sector[SECTOR];
        img_error err = {0};
        img_image *image;

        format->make(&bytes);
        put(&bytes, entries[n].offset, entries[n].width, is_big_endian(format->driver),
            entries[n].value);
        assert_ok(open_bytes(&image, &bytes, format->driver, 0, &err), err);
        assert_int_not_equal(img_read(image, SECTOR, sector, sizeof(sector), &err), 0);
        assert_string_equal(err.image, "image");
        assert_ok(img_read(image, format->size - SECTOR, sector, sizeof(sector), &err), err);
        assert_ok(img_close(image, &err), err);
    }
}

static void remember(void *opaque, const char *text)
{
    char *all = opaque;

    snprintf(all + strlen(all), 2000 - strlen(all), "%s\n", text);
}

/* Faults of one kind are told once, however many there are, and each is counted. */
static void qed_faults_are_counted(void **state)
{
    struct bytes bytes = {0};
    img_check_result result = {0};
    img_image *image;
    img_error err = {0};
    char text[2000] = "";

    (void)state;
    make_qed(&bytes);
    bytes.length = IMAGE_MAX;
    put(&bytes, 48, 8, false, 1 << 20);
    put(&bytes, 4096, 8, false, 8192);
    put(&bytes, 4096 + 8, 8, false, 8192);
    put(&bytes, 4096 + 16, 8, false, 8193);
    for (size_t n = 0; n < 20; n++)
        put(&bytes, 8192 + 8 * n, 8, false, n < 10 ? 4096 : 5000 + n);
    assert_ok(open_bytes(&image, &bytes, "qed", 0, &err), err);
    assert_ok(img_check(NULL, image, remember, text, &result, &err), err);
    assert_int_equal(result.corruptions, 1 + 1 + 20);
    assert_non_null(strstr(text, "ERROR 1 L1 entries"));
    assert_non_null(strstr(text, "ERROR 10 L2 entries"));
    assert_non_null(strstr(text, "ERROR 11 clusters of the file are used twice"));
    img_abandon(image);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(qed_faults_are_counted),         cmocka_unit_test(reads_the_smallest_image),
    cmocka_unit_test(refuses_to_write_and_to_create), cmocka_unit_test(refuses_bad_numbers),
    cmocka_unit_test(entries_that_lead_nowhere),
};

int main(void)
{
    io_place = "/dev/shm";
    return cmocka_run_group_tests_name("formats that are only read", tests, io_enter, io_leave);
}
