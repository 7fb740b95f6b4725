/*
 * Unit tests: qcow2 snapshots, good ones and bad ones. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "internal.h"
#include "qcow2/qcow2.h"

#define KIB UINT64_C(1024)
#define SIZE (1024 * KIB)

/* Bytes of a file, to be looked at, changed and opened again. */
struct bytes {
    uint8_t *data;
    size_t length;
};

static img_image *new_image(const char *text)
{
    img_options *options = img_options_new();
    img_image *image = NULL;
    struct imgi_io *io;
    img_error err = {0};

    assert_int_equal(img_options_parse(options, text, NULL), 0);
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    if (imgi_image_create_io(&image, io, "memory", "qcow2", SIZE, options, NULL, &err) < 0)
        fail_msg("%s", err.message);
    img_options_free(options);
    return image;
}

static struct bytes copy_file(img_image *image)
{
    struct bytes bytes;
    const uint8_t *data = imgi_mem_bytes(image->top->file, &bytes.length);

    bytes.data = malloc(bytes.length);
    assert_non_null(bytes.data);
    memcpy(bytes.data, data, bytes.length);
    return bytes;
}

/* The file of an image that is closed. */
static struct bytes close_to_bytes(img_image *image)
{
    struct bytes bytes;

    assert_int_equal(img_flush(image, NULL), 0);
    bytes = copy_file(image);
    assert_int_equal(img_close(image, NULL), 0);
    return bytes;
}

static int open_bytes(const struct bytes *bytes, unsigned flags, img_image **image, img_error *err)
{
    const img_open_params params = {.format = "qcow2", .flags = flags};
    struct imgi_io *io;

    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    assert_int_equal(imgi_io_write(io, bytes->data, bytes->length, 0, NULL), 0);
    return imgi_image_open_io(image, io, "memory", &params, err);
}

static void fill(img_image *image, uint64_t offset, uint64_t length, int byte)
{
    uint8_t *buffer = malloc(length);

    assert_non_null(buffer);
    memset(buffer, byte, length);
    assert_int_equal(img_write(image, offset, buffer, length, NULL), 0);
    free(buffer);
}

static void assert_byte(img_image *image, uint64_t offset, int byte)
{
    uint8_t found;

    assert_int_equal(img_read(image, offset, &found, 1, NULL), 0);
    assert_int_equal(found, byte);
}

static void say(void *opaque, const char *text)
{
    (void)opaque;
    print_error("%s\n", text);
}

static void assert_sound(img_image *image)
{
    img_check_result result;

    assert_int_equal(img_flush(image, NULL), 0);
    assert_int_equal(img_check(NULL, image, say, NULL, &result, NULL), 0);
    assert_int_equal(result.corruptions + result.check_errors + result.leaks, 0);
}

static void create(img_image *image, const char *name)
{
    const img_snapshot snapshot = {
        .name = name, .date_sec = 1000, .date_nsec = 5, .vm_clock = 7, .icount = 9};
    img_error err = {0};

    if (img_snapshot_create(image, &snapshot, &err) < 0)
        fail_msg("%s", err.message);
}

/* --------------------------------------------------------------- the operations */

static void ids_and_names(void **state)
{
    img_image *image = new_image("cluster_size=4k");
    img_snapshot *list;
    size_t count;

    (void)state;
    create(image, "a");
    create(image, "2");
    create(image, "a");
    assert_int_equal(img_snapshot_list(image, &list, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_string_equal(list[2].id, "3");
    assert_string_equal(list[2].name, "a");
    assert_int_equal(list[0].date_sec, 1000);
    assert_int_equal(list[0].date_nsec, 5);
    assert_int_equal(list[0].vm_clock, 7);
    assert_int_equal(list[0].icount, 9);
    assert_int_equal(list[0].disk_size, SIZE);
    assert_int_equal(list[0].vm_state_size, 0);
    img_free(list);
    assert_int_equal(img_snapshot_delete(image, "2", "a", NULL), IMG_E_NOENT);
    assert_int_equal(img_snapshot_delete(image, NULL, "a", NULL), 0);
    assert_int_equal(img_snapshot_delete(image, "1", NULL, NULL), IMG_E_NOENT);
    assert_int_equal(img_snapshot_delete(image, "3", "a", NULL), 0);
    assert_int_equal(img_snapshot_list(image, &list, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_string_equal(list[0].name, "2");
    img_free(list);
    /* The highest id and one, not the number of snapshots. */
    create(image, "b");
    assert_int_equal(img_snapshot_delete(image, "3", "b", NULL), 0);
    assert_int_equal(img_snapshot_apply(image, "7", NULL, NULL), IMG_E_NOENT);
    assert_sound(image);
    img_close(image, NULL);
}

static void back_and_forth(void **state)
{
    static const char *const options[] = {"cluster_size=512",
                                          "cluster_size=64k",
                                          "compat=0.10,cluster_size=4k",
                                          "cluster_size=16k,extended_l2=on",
                                          "cluster_size=4k,refcount_bits=64",
                                          "cluster_size=512,lazy_refcounts=on"};

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(options); i++) {
        img_image *image = new_image(options[i]);

        fill(image, 0, 300 * KIB, 1);
        create(image, "one");
        fill(image, 100 * KIB, 300 * KIB, 2);
        create(image, "two");
        assert_int_equal(img_zero(image, 0, SIZE, IMG_ZERO_UNMAP, NULL), 0);
        assert_sound(image);
        assert_int_equal(img_snapshot_apply(image, NULL, "one", NULL), 0);
        assert_byte(image, 200 * KIB, 1);
        assert_byte(image, 350 * KIB, 0);
        assert_sound(image);
        fill(image, 0, 10 * KIB, 3);
        assert_int_equal(img_snapshot_delete(image, NULL, "one", NULL), 0);
        assert_byte(image, 5 * KIB, 3);
        assert_byte(image, 200 * KIB, 1);
        assert_sound(image);
        fill(image, 0, 300 * KIB, 4);
        assert_int_equal(img_snapshot_apply(image, NULL, "two", NULL), 0);
        assert_byte(image, 50 * KIB, 1);
        assert_byte(image, 350 * KIB, 2);
        assert_int_equal(img_snapshot_delete(image, NULL, "two", NULL), 0);
        assert_byte(image, 350 * KIB, 2);
        assert_sound(image);
        img_close(image, NULL);
    }
}

static void sizes(void **state)
{
    img_image *image = new_image("cluster_size=512"), *reader;
    struct bytes bytes;

    (void)state;
    fill(image, 0, 10 * KIB, 1);
    create(image, "small");
    assert_int_equal(img_resize(image, 4 * SIZE, NULL), 0);
    fill(image, 3 * SIZE, 10 * KIB, 2);
    create(image, "large");
    assert_int_equal(img_snapshot_apply(image, NULL, "small", NULL), 0);
    assert_int_equal(img_size(image), SIZE);
    assert_sound(image);
    assert_int_equal(img_resize(image, 64 * KIB, NULL), 0);
    bytes = copy_file(image);
    assert_int_equal(img_snapshot_apply(image, NULL, "large", NULL), 0);
    assert_int_equal(img_size(image), 4 * SIZE);
    assert_byte(image, 3 * SIZE, 2);
    assert_sound(image);
    img_close(image, NULL);

    assert_int_equal(open_bytes(&bytes, 0, &reader, NULL), 0);
    assert_int_equal(img_size(reader), 64 * KIB);
    assert_int_equal(img_snapshot_view(reader, NULL, "large", NULL), 0);
    assert_int_equal(img_size(reader), 4 * SIZE);
    assert_byte(reader, 3 * SIZE, 2);
    assert_int_equal(img_snapshot_view(reader, "1", NULL, NULL), 0);
    assert_int_equal(img_size(reader), SIZE);
    assert_byte(reader, 5 * KIB, 1);
    assert_int_equal(img_snapshot_view(reader, "3", NULL, NULL), IMG_E_NOENT);
    assert_byte(reader, 5 * KIB, 1);
    img_close(reader, NULL);
    free(bytes.data);
}

/* Refcounts of few bits: what cannot be counted is refused, and not a byte of the file changes. */
static void overflow(void **state)
{
    static const char *const options[] = {"cluster_size=4k,refcount_bits=1",
                                          "cluster_size=4k,refcount_bits=2",
                                          "cluster_size=512,refcount_bits=4"};
    const img_snapshot snapshot = {.name = "x"};

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(options); i++) {
        img_image *image = new_image(options[i]);
        unsigned fit = (1u << (1u << i)) - 2;
        struct bytes before, after;

        fill(image, 0, 30 * KIB, 1);
        for (unsigned n = 0; n < fit; n++)
            create(image, "s");
        assert_int_equal(img_flush(image, NULL), 0);
        before = copy_file(image);
        assert_int_equal(img_snapshot_create(image, &snapshot, NULL), IMG_E_INVAL);
        if (fit > 0)
            assert_int_equal(img_snapshot_apply(image, "1", NULL, NULL), 0);
        else
            assert_int_equal(img_snapshot_apply(image, "1", NULL, NULL), IMG_E_NOENT);
        assert_int_equal(img_snapshot_create(image, &snapshot, NULL), IMG_E_INVAL);
        after = copy_file(image);
        if (fit == 0) {
            assert_int_equal(before.length, after.length);
            assert_memory_equal(before.data, after.data, after.length);
        }
        assert_sound(image);
        img_close(image, NULL);
        free(before.data);
        free(after.data);
    }
}

static void refusals(void **state)
{
    char name[300];
    img_snapshot snapshot = {.name = name};
    img_image *image = new_image("cluster_size=4k"), *reader;
    struct bytes bytes;
    img_error err = {0};

    (void)state;
    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    assert_int_equal(img_snapshot_create(image, &snapshot, &err), IMG_E_INVAL);
    name[255] = '\0';
    assert_int_equal(img_snapshot_create(image, &snapshot, NULL), 0);
    assert_int_equal(img_snapshot_view(image, "1", NULL, NULL), IMG_E_INVAL);
    bytes = close_to_bytes(image);
    assert_int_equal(open_bytes(&bytes, 0, &reader, NULL), 0);
    assert_int_equal(img_snapshot_create(reader, &snapshot, NULL), IMG_E_RDONLY);
    assert_int_equal(img_snapshot_delete(reader, "1", NULL, NULL), IMG_E_RDONLY);
    img_close(reader, NULL);
    free(bytes.data);
}

/* ---------------------------------------------------------- what others have made */

static uint8_t *table_of(const struct bytes *bytes)
{
    return bytes->data + imgi_get_be64(bytes->data + QCOW2_AT_SNAPSHOTS_OFFSET);
}

/* An image with a snapshot that holds data, another that does not, and data of its own. */
static struct bytes sample(const char *options)
{
    img_image *image = new_image(options);

    fill(image, 0, 50 * KIB, 1);
    create(image, "one");
    fill(image, 0, 20 * KIB, 2);
    create(image, "two");
    fill(image, 40 * KIB, 20 * KIB, 3);
    return close_to_bytes(image);
}

/* A machine's state of more than 4 GiB, its place behind the disk, and extra data of the future. */
static void foreign_records(void **state)
{
    struct bytes bytes = sample("cluster_size=4k");
    uint8_t *record = table_of(&bytes), longer[256] = {0};
    img_image *image;
    img_snapshot *list;
    size_t count;

    (void)state;
    /* "1one" moves behind 16 more bytes of extra data; the second record is gone for that. */
    memcpy(longer, record, 64);
    imgi_put_be32(longer + QCOW2_SNAP_EXTRA_LENGTH, 40);
    imgi_put_be64(longer + 40, UINT64_C(5) << 30);
    memcpy(longer + 64, "0123456789abcdef1one", 20);
    memcpy(longer + 88, record + 72, 100);
    memcpy(record, longer, sizeof(longer));
    assert_int_equal(open_bytes(&bytes, IMG_OPEN_WRITE, &image, NULL), 0);
    create(image, "three");
    assert_int_equal(img_snapshot_list(image, &list, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_int_equal(list[0].vm_state_size, UINT64_C(5) << 30);
    assert_string_equal(list[0].name, "one");
    assert_string_equal(list[1].name, "two");
    img_free(list);
    free(bytes.data);
    bytes = close_to_bytes(image);
    record = table_of(&bytes);
    assert_int_equal(imgi_get_be32(record + QCOW2_SNAP_VM_STATE), 0);
    assert_int_equal(imgi_get_be32(record + QCOW2_SNAP_EXTRA_LENGTH), 40);
    assert_memory_equal(record + 64, "0123456789abcdef1one", 20);
    free(bytes.data);
}

/* A field of the image's tables set to something bad. */
struct damage {
    const char *what;
    unsigned record, offset, width;
    uint64_t value;
};

static void put_field(uint8_t *at, unsigned width, uint64_t value)
{
    for (unsigned i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

/* All three operations refuse, or the opening did; and what was there before still is. */
static void assert_refused(const struct bytes *bytes, const char *what)
{
    const img_snapshot snapshot = {.name = "x"};
    struct bytes after;
    img_image *image;
    img_error err = {0};

    if (open_bytes(bytes, IMG_OPEN_WRITE, &image, &err) < 0) {
        assert_true(err.message[0] != '\0');
        return;
    }
    if (img_snapshot_delete(image, "1", NULL, &err) == 0)
        fail_msg("%s: deleted", what);
    if (img_snapshot_apply(image, "1", NULL, &err) == 0)
        fail_msg("%s: applied", what);
    /* Without a look at the bad one another snapshot can be made. */
    img_snapshot_create(image, &snapshot, NULL);
    after = copy_file(image);
    assert_true(after.length >= bytes->length);
    img_abandon(image);
    free(after.data);
}

static void bad_places(void **state)
{
    static const struct damage damages[] = {
        {"an L1 table between clusters", 0, 0, 8, 0x200},
        {"an L1 table past the end", 0, 0, 8, UINT64_C(1) << 40},
        {"an L1 table past all", 0, 0, 8, UINT64_C(0x7ffffffffffff000)},
        {"an L1 table in the header", 0, 0, 8, 0},
        {"an L1 table in the refcount table", 0, 0, 8, 0x1000},
        {"a huge L1 table", 0, 8, 4, 0x10000000},
        {"an L1 table that is too long", 0, 8, 4, 4194305},
        {"an L1 table over others", 0, 8, 4, 2000},
        {"a long id", 0, 12, 2, 0xffff},
        {"endless extra data", 0, 36, 4, 0x7fffffff},
    };

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(damages); i++) {
        struct bytes bytes = sample("cluster_size=4k");

        put_field(table_of(&bytes) + damages[i].offset, damages[i].width, damages[i].value);
        assert_refused(&bytes, damages[i].what);
        free(bytes.data);
    }
}

/* A disk size that no disk can have: such a snapshot is not gone back to, but can be deleted. */
static void bad_size(void **state)
{
    static const uint64_t values[] = {UINT64_MAX, UINT64_C(1) << 62, SIZE + 1};

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(values); i++) {
        struct bytes bytes = sample("cluster_size=4k");
        img_image *image;

        imgi_put_be64(table_of(&bytes) + 48, values[i]);
        assert_int_equal(open_bytes(&bytes, IMG_OPEN_WRITE, &image, NULL), 0);
        assert_true(img_snapshot_apply(image, "1", NULL, NULL) < 0);
        assert_int_equal(img_snapshot_delete(image, "1", NULL, NULL), 0);
        assert_sound(image);
        img_close(image, NULL);
        free(bytes.data);
    }
}

/* An id behind which there is no number: the lowest one that is free. */
static void last_id(void **state)
{
    static const char last[] = "18446744073709551615";
    struct bytes bytes = sample("cluster_size=4k");
    uint8_t *record = table_of(&bytes);
    img_image *image;
    img_snapshot *list;
    size_t count;

    (void)state;
    /* "1one" becomes "18446744073709551615one", and the second record moves. */
    memmove(record + 88, record + 72, 100);
    imgi_put_be16(record + QCOW2_SNAP_ID_LENGTH, sizeof(last) - 1);
    memcpy(record + 64, "18446744073709551615one", 23);
    assert_int_equal(open_bytes(&bytes, IMG_OPEN_WRITE, &image, NULL), 0);
    create(image, "a");
    create(image, "b");
    assert_int_equal(img_snapshot_list(image, &list, &count, NULL), 0);
    assert_int_equal(count, 4);
    assert_string_equal(list[0].id, last);
    assert_string_equal(list[1].id, "2");
    assert_string_equal(list[2].id, "1");
    assert_string_equal(list[3].id, "3");
    img_free(list);
    assert_sound(image);
    img_close(image, NULL);
    free(bytes.data);
}

/* Neither operation is done, and not a byte of the file changes. */
static void assert_untouched(const struct bytes *bytes)
{
    struct bytes after;
    img_image *image;

    assert_int_equal(open_bytes(bytes, IMG_OPEN_WRITE, &image, NULL), 0);
    assert_true(img_snapshot_apply(image, "1", NULL, NULL) < 0);
    assert_true(img_snapshot_delete(image, "1", NULL, NULL) < 0);
    assert_int_equal(img_flush(image, NULL), 0);
    after = copy_file(image);
    assert_int_equal(after.length, bytes->length);
    assert_memory_equal(after.data, bytes->data, bytes->length);
    img_close(image, NULL);
    free(after.data);
}

/* L1 and L2 entries of a snapshot that lead to where no table or data can be. */
static void bad_entries(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 14; i++) {
        struct bytes bytes = sample("cluster_size=4k");
        uint8_t *l1 = bytes.data + imgi_get_be64(table_of(&bytes));
        uint8_t *l2 = bytes.data + (imgi_get_be64(l1) & QCOW2_OFFSET_MASK);
        const uint64_t values[] = {
            0x200,                     /* between clusters */
            imgi_get_be64(l1) | 0x100, /* reserved bits */
            imgi_get_be64(bytes.data + QCOW2_AT_REFTABLE_OFFSET),
            imgi_get_be64(bytes.data + QCOW2_AT_L1_OFFSET),
            imgi_get_be64(bytes.data + QCOW2_AT_SNAPSHOTS_OFFSET),
            imgi_align_up(bytes.length, 4096), /* behind the file's end, with no references */
            UINT64_C(1) << 40,
        };

        imgi_put_be64(i % 2 ? l1 : l2 + 24, values[i / 2]);
        assert_untouched(&bytes);
        free(bytes.data);
    }
}

/* A refcount that is lower than what refers to its cluster: nothing is freed that is in use. */
static void bad_refcounts(void **state)
{
    struct bytes bytes = sample("cluster_size=4k");
    uint64_t reftable = imgi_get_be64(bytes.data + QCOW2_AT_REFTABLE_OFFSET);
    uint8_t *block = bytes.data + imgi_get_be64(bytes.data + reftable);

    (void)state;
    for (size_t i = 4; i < 64; i++)
        if (imgi_get_be16(block + 2 * i) == 3)
            imgi_put_be16(block + 2 * i, 0);
    assert_untouched(&bytes);
    free(bytes.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_names), cmocka_unit_test(back_and_forth),
        cmocka_unit_test(sizes),         cmocka_unit_test(overflow),
        cmocka_unit_test(refusals),      cmocka_unit_test(foreign_records),
        cmocka_unit_test(bad_places),    cmocka_unit_test(bad_size),
        cmocka_unit_test(bad_entries),   cmocka_unit_test(bad_refcounts),
        cmocka_unit_test(last_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
