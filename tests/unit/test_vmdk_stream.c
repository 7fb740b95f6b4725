/*
 * streamOptimized: the form of what is written, and what is made of damaged streams.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "io_test.h"

#include "libimg.h"
#include "util/bytes.h"
#include "vmdk/disk.h"

#define GRAIN 65536u
#define GRAINS 520u /* more than one table has */
#define SIZE ((uint64_t)GRAINS * GRAIN - 1024)
#define NAME "stream.vmdk"

static const img_open_params plain = {.format = "vmdk"};
static const img_open_params checked = {.format = "vmdk", .flags = IMG_OPEN_CHECK};
static const img_open_params salvage = {.format = "vmdk", .flags = IMG_OPEN_SALVAGE};

static img_image *create(uint64_t size)
{
    img_options *options = img_options_new();
    img_image *image;
    img_error err = {0};

    assert_ok(img_options_parse(options, "subformat=streamOptimized", &err), err);
    assert_ok(img_create(&image, NAME, "vmdk", size, options, NULL, &err), err);
    img_options_free(options);
    return image;
}

/* What the grain holds: text, or, for odd ones, noise that cannot be compressed. */
static void fill(uint32_t grain, uint8_t *bytes)
{
    uint64_t seed = grain;

    for (size_t i = 0; i < GRAIN; i++)
        bytes[i] = grain % 2 ? (uint8_t)(io_random(&seed) >> 8) : (uint8_t)(i % 61 + grain);
}

static size_t grain_bytes(uint32_t grain)
{
    return grain == GRAINS - 1 ? GRAIN - 1024 : GRAIN;
}

static const uint32_t stored[] = {0, 1, 7, 511, 512, 518, GRAINS - 1};
#define STORED (sizeof(stored) / sizeof(stored[0]))

/* A stream with the grains above. Its bytes are the caller's to free. */
static uint8_t *make(size_t *length)
{
    static uint8_t grain[GRAIN];
    img_image *image = create(SIZE);
    img_error err = {0};
    struct stat info;
    uint8_t *bytes;
    int fd;

    for (size_t i = 0; i < STORED; i++) {
        fill(stored[i], grain);
        assert_ok(
            img_write(image, (uint64_t)stored[i] * GRAIN, grain, grain_bytes(stored[i]), &err),
            err);
    }
    assert_ok(img_close(image, &err), err);
    fd = open(NAME, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &info), 0);
    *length = (size_t)info.st_size;
    bytes = malloc(*length + GRAIN);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, *length), *length);
    close(fd);
    return bytes;
}

static void says_nothing(void *opaque, const char *text)
{
    (void)opaque;
    (void)text;
}

/* How many faults a check of these bytes finds. */
static uint64_t faults(const uint8_t *bytes, size_t length)
{
    img_check_result result = {0};
    img_error err = {0};
    img_image *image;

    io_put(NAME, bytes, length, 0600);
    assert_ok(img_open(&image, NAME, &checked, &err), err);
    assert_ok(img_check(NULL, image, says_nothing, NULL, &result, &err), err);
    assert_ok(img_close(image, &err), err);
    return result.corruptions;
}

static int open_bytes(const uint8_t *bytes, size_t length, img_error *err)
{
    img_image *image = NULL;
    int rc;

    io_put(NAME, bytes, length, 0600);
    rc = img_open(&image, NAME, &plain, err);
    img_abandon(image);
    return rc;
}

static int read_first(const uint8_t *bytes, size_t length, img_error *err)
{
    img_image *image;
    uint8_t byte;
    int rc;

    io_put(NAME, bytes, length, 0600);
    assert_ok(img_open(&image, NAME, &plain, err), *err);
    rc = img_read(image, 0, &byte, 1, err);
    img_abandon(image);
    return rc;
}

static void what_is_written_is_read(void **state)
{
    static uint8_t expected[GRAIN], found[GRAIN];
    img_error err = {0};
    img_image *image;
    size_t length, next = 0;

    (void)state;
    free(make(&length));
    assert_ok(img_open(&image, NAME, NULL, &err), err);
    assert_string_equal(img_format(image), "vmdk");
    for (uint32_t i = 0; i < GRAINS; i++) {
        memset(expected, 0, GRAIN);
        if (next < STORED && stored[next] == i)
            fill(stored[next++], expected);
        assert_ok(img_read(image, (uint64_t)i * GRAIN, found, grain_bytes(i), &err), err);
        assert_memory_equal(expected, found, grain_bytes(i));
    }
    assert_ok(img_close(image, &err), err);
}

/* The form that every importer takes: see "Virtual Disk Format 5.0", Stream-Optimized Compressed
 * Sparse Extents. */
static void the_form_is_canonical(void **state)
{
    static const uint8_t zeros[VMDK_SECTOR];
    struct vmdk_header header, footer;
    struct vmdk_marker marker;
    size_t length;
    uint8_t *bytes = make(&length);

    (void)state;
    assert_int_equal(length % VMDK_SECTOR, 0);
    assert_int_equal(vmdk_header_decode(bytes, &header, NULL), 0);
    assert_int_equal(header.version, 3);
    assert_int_equal(header.flags, 0x30001);
    assert_true(header.gd_offset == VMDK_GD_AT_END);
    assert_memory_equal(bytes + length - 512, zeros, sizeof(zeros));
    assert_int_equal(vmdk_header_decode(bytes + length - 1024, &footer, NULL), 0);
    assert_int_equal(footer.gd_offset, length / 512 - 4);
    imgi_put_le64(bytes + length - 1024 + VMDK_OFF_GD_OFFSET, header.gd_offset);
    assert_memory_equal(bytes, bytes + length - 1024, VMDK_HEADER_BYTES);
    imgi_put_le64(bytes + length - 1024 + VMDK_OFF_GD_OFFSET, footer.gd_offset);
    vmdk_marker_decode(bytes + length - 1536, &marker);
    assert_int_equal(marker.type, VMDK_MARKER_FOOTER);
    assert_int_equal(marker.value, 1);
    vmdk_marker_decode(bytes + length - 2560, &marker);
    assert_int_equal(marker.type, VMDK_MARKER_GD);
    assert_int_equal(marker.value, 1);
    vmdk_marker_decode(bytes + header.overhead * 512, &marker);
    assert_int_equal(marker.value, 0);
    assert_true(marker.size > 0);
    assert_int_equal(faults(bytes, length), 0);
    free(bytes);
}

/* VirtualBox reads no grain of more than 66048 bytes with its marker. */
static void noise_fits(void **state)
{
    static uint8_t grain[GRAIN];
    img_image *image = create(GRAIN);
    img_error err = {0};
    struct stat info;

    (void)state;
    fill(1, grain);
    assert_ok(img_write(image, 0, grain, GRAIN, &err), err);
    assert_ok(img_close(image, &err), err);
    assert_int_equal(stat(NAME, &info), 0);
    /* Header and descriptor, the grain, table, directory, footer, end. */
    assert_true(info.st_size <= 65536 + 66048 + 5 * 512 + 2 * 512 + 2 * 512 + 512);
}

static void order_is_kept(void **state)
{
    static uint8_t grain[2 * GRAIN];
    img_image *image = create(SIZE);
    img_error err = {0};

    (void)state;
    memset(grain, 1, sizeof(grain));
    assert_ok(img_write(image, 5 * GRAIN, grain, GRAIN, &err), err);
    assert_int_equal(img_write(image, 3 * GRAIN, grain, GRAIN, NULL), IMG_E_UNSUPPORTED);
    assert_int_equal(img_write(image, 5 * GRAIN, grain, GRAIN, NULL), IMG_E_UNSUPPORTED);
    assert_int_equal(img_write(image, 6 * GRAIN, grain, 512, NULL), IMG_E_UNSUPPORTED);
    assert_ok(img_zero(image, 6 * GRAIN, 4 * GRAIN, 0, &err), err);
    assert_int_equal(img_zero(image, 5 * GRAIN, GRAIN, 0, NULL), IMG_E_UNSUPPORTED);
    assert_ok(img_write(image, 7 * GRAIN, grain, 2 * GRAIN, &err), err);
    assert_ok(img_close(image, &err), err);
}

static void finished_streams_stay(void **state)
{
    const img_open_params writable = {.flags = IMG_OPEN_WRITE};
    img_error err = {0};
    img_image *image;
    size_t length;

    (void)state;
    free(make(&length));
    assert_int_equal(img_open(&image, NAME, &writable, &err), IMG_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "only while it is being made"));
}

static void cut_streams_are_refused(void **state)
{
    size_t length;
    uint8_t *bytes = make(&length);

    (void)state;
    for (size_t cut = 1; cut < length / 512; cut += cut < 40 ? 1 : 37) {
        size_t left = length - 512 * cut;
        img_error err = {0};

        /* Without the end-of-stream sector all grains are still there. */
        if (cut == 1)
            assert_int_equal(faults(bytes, left), 1);
        else
            assert_int_not_equal(open_bytes(bytes, left, &err), 0);
        /* Header and descriptor alone are those of a stream that was not begun. */
        if (left > 65536)
            assert_int_not_equal(faults(bytes, left), 0);
    }
    free(bytes);
}

/* Which of the stored grains lie whole before a cut is what a salvage gives, and zeros for others.
 */
static void grains_are_salvaged(void **state)
{
    static uint8_t expected[GRAIN], found[GRAIN];
    size_t length, rescued = 0;
    uint8_t *bytes = make(&length);
    img_error err = {0};
    img_image *image;

    (void)state;
    memset(bytes + length - 1024, 0xff, 512);
    io_put(NAME, bytes, length - 140000, 0600);
    assert_int_not_equal(img_open(&image, NAME, &plain, NULL), 0);
    assert_ok(img_open(&image, NAME, &salvage, &err), err);
    assert_non_null(strstr(img_salvaged(image), "no footer"));
    for (size_t i = 0; i < STORED; i++) {
        fill(stored[i], expected);
        if (img_read(image, (uint64_t)stored[i] * GRAIN, found, grain_bytes(stored[i]), NULL) < 0)
            continue; /* the one that is cut */
        if (memcmp(expected, found, grain_bytes(stored[i])) == 0)
            rescued++;
        else
            assert_int_equal(found[0] | found[1] | found[2], 0);
    }
    assert_in_range(rescued, 2, STORED - 1);
    assert_ok(img_close(image, &err), err);
    free(bytes);
    free(make(&length));
    assert_ok(img_open(&image, NAME, &salvage, &err), err);
    assert_null(img_salvaged(image));
    assert_ok(img_close(image, &err), err);
}

static void what_follows_the_end_is_found(void **state)
{
    size_t length;
    uint8_t *bytes = make(&length);
    img_error err = {0};

    (void)state;
    memset(bytes + length, 0, GRAIN);
    assert_int_equal(faults(bytes, length + 512), 1);
    assert_int_equal(faults(bytes, length + GRAIN), 1);
    bytes[length + 100] = 1;
    assert_int_not_equal(faults(bytes, length + 512), 0);
    assert_int_equal(open_bytes(bytes, length + 512, &err), IMG_E_CORRUPT);
    free(bytes);
}

static void footers_must_agree(void **state)
{
    static const unsigned fields[] = {VMDK_OFF_CAPACITY, VMDK_OFF_DESCRIPTOR_OFFSET,
                                      VMDK_OFF_FLAGS + 1, VMDK_OFF_OVERHEAD};
    size_t length;
    uint8_t *bytes = make(&length);

    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        img_error err = {0};

        bytes[length - 1024 + fields[i]] ^= 4;
        assert_int_equal(open_bytes(bytes, length, &err), IMG_E_CORRUPT);
        assert_non_null(strstr(err.message, "footer"));
        bytes[length - 1024 + fields[i]] ^= 4;
    }
    imgi_put_le64(bytes + length - 1024 + VMDK_OFF_GD_OFFSET, VMDK_GD_AT_END);
    assert_int_equal(open_bytes(bytes, length, NULL), IMG_E_CORRUPT);
    free(bytes);
}

static void wrong_markers_are_found(void **state)
{
    static const struct {
        unsigned offset;
        uint32_t value;
        const char *message;
    } cases[] = {
        {0, 128, "begins at sector 128"},
        {8, 0, "has 0 compressed bytes"},
        {8, 0xffffffff, "has 4294967295 compressed bytes"},
        {12, 0, ""},
    };
    size_t length;
    uint8_t *bytes = make(&length), *first = bytes + 65536;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t before = imgi_get_le32(first + cases[i].offset);
        img_error err = {0};

        imgi_put_le32(first + cases[i].offset, cases[i].value);
        assert_int_equal(read_first(bytes, length, &err), IMG_E_CORRUPT);
        assert_non_null(strstr(err.message, cases[i].message));
        if (cases[i].offset < 12)
            assert_int_not_equal(faults(bytes, length), 0);
        imgi_put_le32(first + cases[i].offset, before);
    }
    assert_int_equal(faults(bytes, length), 0);
    free(bytes);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_is_written_is_read),
    cmocka_unit_test(the_form_is_canonical),
    cmocka_unit_test(noise_fits),
    cmocka_unit_test(order_is_kept),
    cmocka_unit_test(finished_streams_stay),
    cmocka_unit_test(cut_streams_are_refused),
    cmocka_unit_test(grains_are_salvaged),
    cmocka_unit_test(what_follows_the_end_is_found),
    cmocka_unit_test(footers_must_agree),
    cmocka_unit_test(wrong_markers_are_found),
};

IO_RUN(tests)
