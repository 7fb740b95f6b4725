/*
 * qcow2: structures, layout, and the order of things. SPDX-License-Identifier: BSD-2-Clause
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

#define MIB (UINT64_C(1) << 20)

static img_image *new_image(uint64_t size, const char *text)
{
    img_options *options = img_options_new();
    img_image *image = NULL;
    struct imgi_io *io;
    img_error err = {0};

    if (*text)
        assert_int_equal(img_options_parse(options, text, NULL), 0);
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    if (imgi_image_create_io(&image, io, "memory", "qcow2", size, options, NULL, &err) < 0)
        fail_msg("%s", err.message);
    img_options_free(options);
    return image;
}

/* Open a copy of what another image's file holds now. */
static int open_copy(img_image *from, img_image **image, unsigned flags, img_error *err)
{
    const img_open_params params = {.format = "qcow2", .flags = flags};
    struct imgi_io *io;
    size_t length;
    const uint8_t *bytes = imgi_mem_bytes(from->top->file, &length);

    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    assert_int_equal(imgi_io_write(io, bytes, length, 0, NULL), 0);
    return imgi_image_open_io(image, io, "memory", &params, err);
}

static void assert_sound(img_image *image)
{
    img_check_result result;

    assert_int_equal(img_check(NULL, image, NULL, NULL, &result, NULL), 0);
    assert_int_equal(result.corruptions + result.check_errors, 0);
    assert_int_equal(result.leaks, 0);
}

/* The L2 entry of the guest's cluster, as it is in memory. */
static uint64_t entry_of(img_image *image, uint64_t guest)
{
    struct qcow2 *q = image->top->state;
    const uint8_t *table;

    assert_int_equal(qcow2_l2_get(q, guest, &table, NULL), 0);
    return table ? imgi_get_be64(table + qcow2_l2_index(q, guest) * 8) : 0;
}

static void write_bytes(img_image *image, uint64_t offset, uint64_t length)
{
    uint8_t *buffer = malloc(length);

    assert_non_null(buffer);
    memset(buffer, 0x5a, length);
    assert_int_equal(img_write(image, offset, buffer, length, NULL), 0);
    free(buffer);
}

/* ------------------------------------------------------------------ pure functions */

static void descriptors_of_compressed_clusters(void **state)
{
    struct qcow2_packed packed;

    (void)state;
    qcow2_packed_decode(16, UINT64_C(0x4b0000000005881a), &packed); /* written by qemu-img 7.2 */
    assert_int_equal(packed.offset, 362522);
    assert_int_equal(packed.length, 23014);
    for (unsigned bits = 9; bits <= 21; bits++) {
        for (uint64_t length = 1; length < 1u << bits; length = length * 3 + 1) {
            uint64_t entry = qcow2_packed_encode(bits, 0x123456789, length);

            qcow2_packed_decode(bits, entry, &packed);
            assert_int_equal(packed.offset, 0x123456789);
            assert_true(packed.length >= length && packed.length < length + 512);
            assert_int_equal((packed.offset + packed.length) % 512, 0);
        }
    }
}

static void refcounts_of_every_width(void **state)
{
    uint8_t block[512];

    (void)state;
    for (unsigned order = 0; order <= 6; order++) {
        uint64_t max = UINT64_MAX >> (64 - (1u << order)), count = 512u * 8 >> order;

        memset(block, 0, sizeof(block));
        for (uint64_t i = 0; i < count; i++)
            qcow2_refcount_put(block, order, i, (i * 7) & max);
        qcow2_refcount_put(block, order, 3, max);
        for (uint64_t i = 0; i < count; i++)
            assert_int_equal(qcow2_refcount_get(block, order, i), i == 3 ? max : (i * 7) & max);
    }
    /* Narrow ones fill a byte from its low end; wide ones are big-endian. */
    memset(block, 0, sizeof(block));
    qcow2_refcount_put(block, 0, 9, 1);
    assert_int_equal(block[1], 2);
    qcow2_refcount_put(block, 4, 8, 0x1234);
    assert_int_equal(block[16], 0x12);
}

static void a_set_of_owned_clusters(void **state)
{
    struct qcow2_owned owned = {0};

    (void)state;
    assert_int_equal(qcow2_owned_find(&owned, 5), QCOW2_OWNER_NONE);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(qcow2_owned_add(&owned, i * i, QCOW2_OWNER_L2, NULL), 0);
    assert_int_equal(qcow2_owned_add(&owned, 25, QCOW2_OWNER_L1, NULL), IMG_E_CORRUPT);
    for (uint64_t i = 0; i < 1000; i += 2)
        qcow2_owned_remove(&owned, i * i);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(qcow2_owned_find(&owned, i * i),
                         i % 2 ? QCOW2_OWNER_L2 : QCOW2_OWNER_NONE);
    assert_int_equal(qcow2_owned_find(&owned, 2), QCOW2_OWNER_NONE);
    qcow2_owned_free(&owned);
}

/* ------------------------------------------------------------------------ header */

/* Change `length` bytes of the header of a good image, and open it. */
static int open_with(img_image *good, size_t at, uint64_t value, size_t length, unsigned flags)
{
    struct imgi_io *io = good->top->file;
    uint8_t kept[8], bytes[8];
    img_image *image = NULL;
    img_error err = {0};
    int rc;

    assert_int_equal(imgi_io_read(io, kept, length, at, NULL), 0);
    imgi_put_be64(bytes, value << (64 - 8 * length));
    assert_int_equal(imgi_io_write(io, bytes, length, at, NULL), 0);
    rc = open_copy(good, &image, flags, &err);
    assert_int_equal(imgi_io_write(io, kept, length, at, NULL), 0);
    if (rc < 0)
        assert_true(err.message[0] != '\0' && strcmp(err.image, "memory") == 0);
    img_abandon(image);
    return rc;
}

static void bad_headers_are_refused(void **state)
{
    static const struct {
        size_t at, length;
        uint64_t value;
        int code;
    } cases[] = {
        {QCOW2_AT_MAGIC, 4, 0, IMG_E_FORMAT},
        {QCOW2_AT_VERSION, 4, 1, IMG_E_UNSUPPORTED},
        {QCOW2_AT_VERSION, 4, 4, IMG_E_UNSUPPORTED},
        {QCOW2_AT_BACKING_OFFSET, 8, UINT64_MAX, IMG_E_CORRUPT},
        {QCOW2_AT_CLUSTER_BITS, 4, 8, IMG_E_UNSUPPORTED},
        {QCOW2_AT_CLUSTER_BITS, 4, 22, IMG_E_UNSUPPORTED},
        {QCOW2_AT_CLUSTER_BITS, 4, UINT32_MAX, IMG_E_UNSUPPORTED},
        {QCOW2_AT_SIZE, 8, UINT64_MAX, IMG_E_LIMIT},
        {QCOW2_AT_SIZE, 8, INT64_MAX, IMG_E_CORRUPT},
        {QCOW2_AT_CRYPT_METHOD, 4, 1, IMG_E_INVAL}, /* no key-secret */
        {QCOW2_AT_CRYPT_METHOD, 4, 2, IMG_E_CORRUPT},
        {QCOW2_AT_CRYPT_METHOD, 4, 3, IMG_E_UNSUPPORTED},
        {QCOW2_AT_L1_ENTRIES, 4, 0, IMG_E_CORRUPT},
        {QCOW2_AT_L1_ENTRIES, 4, UINT32_MAX, IMG_E_LIMIT},
        {QCOW2_AT_L1_ENTRIES, 4, 0x400000, IMG_E_CORRUPT},
        {QCOW2_AT_L1_OFFSET, 8, 0x100, IMG_E_CORRUPT},
        {QCOW2_AT_L1_OFFSET, 8, UINT64_C(0x7fffffffffff0000), IMG_E_CORRUPT},
        {QCOW2_AT_REFTABLE_OFFSET, 8, UINT64_C(0xffffffffffff0000), IMG_E_CORRUPT},
        {QCOW2_AT_REFTABLE_CLUSTERS, 4, 0, IMG_E_CORRUPT},
        {QCOW2_AT_REFTABLE_CLUSTERS, 4, 0x20001, IMG_E_LIMIT},
        {QCOW2_AT_SNAPSHOTS, 4, UINT32_MAX, IMG_E_LIMIT},
        {QCOW2_AT_INCOMPATIBLE, 8, QCOW2_INCOMPAT_DATA_FILE, IMG_E_CORRUPT},
        {QCOW2_AT_INCOMPATIBLE, 8, QCOW2_INCOMPAT_COMPRESSION, IMG_E_CORRUPT},
        {QCOW2_AT_INCOMPATIBLE, 8, UINT64_C(1) << 63, IMG_E_UNSUPPORTED},
        {QCOW2_AT_REFCOUNT_ORDER, 4, 7, IMG_E_UNSUPPORTED},
        {QCOW2_AT_HEADER_LENGTH, 4, 0x7fffffff, IMG_E_CORRUPT},
        {QCOW2_AT_HEADER_LENGTH, 4, 105, IMG_E_CORRUPT},
        {QCOW2_AT_COMPRESSION, 1, 1, IMG_E_CORRUPT},
        {QCOW2_AT_COMPRESSION, 1, 2, IMG_E_UNSUPPORTED},
        {QCOW2_V3_LENGTH + 4, 4, 0x7fffffff, IMG_E_CORRUPT},
    };
    img_image *good = new_image(64 * MIB, "");
    img_image *small = new_image(MIB, "cluster_size=8k");

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(cases); i++)
        assert_int_equal(open_with(good, cases[i].at, cases[i].value, cases[i].length, 0),
                         cases[i].code);
    assert_int_equal(open_with(small, QCOW2_AT_INCOMPATIBLE, QCOW2_INCOMPAT_EXTENDED_L2, 8, 0),
                     IMG_E_UNSUPPORTED);
    assert_int_equal(open_with(good, QCOW2_AT_COMPATIBLE, UINT64_MAX, 8, IMG_OPEN_WRITE), 0);
    assert_int_equal(open_with(good, QCOW2_AT_INCOMPATIBLE, QCOW2_INCOMPAT_DIRTY, 8, 0), 0);
    /* It is repaired first. */
    assert_int_equal(
        open_with(good, QCOW2_AT_INCOMPATIBLE, QCOW2_INCOMPAT_DIRTY, 8, IMG_OPEN_WRITE), 0);
    assert_int_equal(
        open_with(good, QCOW2_AT_INCOMPATIBLE, QCOW2_INCOMPAT_CORRUPT, 8, IMG_OPEN_WRITE),
        IMG_E_CORRUPT);
    img_abandon(good);
    img_abandon(small);
}

static void what_we_do_not_know_survives(void **state)
{
    img_image *image = new_image(MIB, "");
    struct imgi_io *io = image->top->file;
    struct qcow2_header header = {0};
    uint8_t before[4096], *after = NULL;
    static const uint8_t unknown[] = {0x12, 0x34, 0x56, 0x78, 0, 0, 0, 3, 'a', 'b', 'c'};

    (void)state;
    /* A longer header, a compatible bit, an extension, a name. */
    assert_int_equal(imgi_io_read(io, before, sizeof(before), 0, NULL), 0);
    memset(before + QCOW2_V2_LENGTH + 48, 0, sizeof(before) - QCOW2_V2_LENGTH - 48);
    imgi_put_be64(before + QCOW2_AT_COMPATIBLE, UINT64_C(1) << 40);
    imgi_put_be32(before + QCOW2_AT_HEADER_LENGTH, 120);
    before[110] = 7;
    before[119] = 9;
    memcpy(before + 120, unknown, sizeof(unknown));
    imgi_put_be64(before + QCOW2_AT_BACKING_OFFSET, 144);
    imgi_put_be32(before + QCOW2_AT_BACKING_LENGTH, 4);
    memcpy(before + 144, "base", 4);
    assert_int_equal(imgi_io_write(io, before, sizeof(before), 0, NULL), 0);
    assert_int_equal(qcow2_header_read(io, &header, NULL), 0);
    assert_string_equal(header.backing_name, "base");
    assert_int_equal(qcow2_header_encode(&header, &after, NULL), 0);
    assert_memory_equal(before, after, sizeof(before));
    free(after);
    qcow2_header_clear(&header);
    img_abandon(image);
}

/* -------------------------------------------------------------------------- layout */

static void an_image_filled_in_order_lies_in_order(void **state)
{
    img_image *image = new_image(600 * MIB, "");
    img_extent extent;

    (void)state;
    for (uint64_t offset = 0; offset < 6 * MIB; offset += MIB / 2)
        write_bytes(image, offset, MIB / 2);
    assert_int_equal(img_map(image, 0, 600 * MIB, &extent, NULL), 0);
    assert_int_equal(extent.length, 6 * MIB);
    assert_int_equal(extent.host, 5 * 65536); /* header, two of refcounts, L1, L2 */
    assert_int_equal(img_flush(image, NULL), 0);
    assert_sound(image);
    img_abandon(image);
}

static void a_large_empty_disk_is_one_extent(void **state)
{
    img_image *image = new_image(UINT64_C(8) << 40, "");
    img_extent extent;

    (void)state;
    assert_int_equal(img_map(image, 0, UINT64_C(8) << 40, &extent, NULL), 0);
    assert_int_equal(extent.length, UINT64_C(8) << 40);
    assert_int_equal(img_zero(image, 0, UINT64_C(8) << 40, IMG_ZERO_UNMAP, NULL), 0);
    assert_int_equal(img_map(image, 0, UINT64_C(8) << 40, &extent, NULL), 0);
    assert_int_equal(extent.length, UINT64_C(8) << 40);
    img_abandon(image);
}

/* ------------------------------------------------------------------- zero and discard */

static void zeros_as_qemu_says_them(void **state)
{
    img_image *image = new_image(4 * MIB, "");

    (void)state;
    write_bytes(image, 0, 65536);
    assert_int_equal(entry_of(image, 0), UINT64_C(0x8000000000050000));
    assert_int_equal(img_zero(image, 0, 65536, 0, NULL), 0);
    assert_int_equal(entry_of(image, 0), UINT64_C(0x8000000000050001));
    assert_int_equal(img_zero(image, 65536, 65536, 0, NULL), 0);
    assert_int_equal(entry_of(image, 65536), 1);
    /* A kept cluster is written where it is. */
    write_bytes(image, 100, 10);
    assert_int_equal(entry_of(image, 0), UINT64_C(0x8000000000050000));
    assert_int_equal(img_zero(image, 0, 65536, IMG_ZERO_UNMAP, NULL), 0);
    assert_int_equal(entry_of(image, 0), 1);
    assert_int_equal(img_discard(image, 131072, 65536, NULL), 0);
    assert_int_equal(entry_of(image, 131072), 0);
    assert_int_equal(img_flush(image, NULL), 0);
    assert_sound(image);
    img_abandon(image);
}

static void version_2_has_no_zero_clusters(void **state)
{
    img_image *image = new_image(4 * MIB, "compat=0.10");
    uint8_t byte = 1;

    (void)state;
    write_bytes(image, 0, 131072);
    /* As QEMU: where there is nothing below, nothing is as good as zeros. */
    assert_int_equal(img_zero(image, 0, 65536, 0, NULL), 0);
    assert_int_equal(entry_of(image, 0), 0);
    assert_int_equal(img_zero(image, 65536, 65536, IMG_ZERO_UNMAP, NULL), 0);
    assert_int_equal(entry_of(image, 65536), 0);
    assert_int_equal(img_read(image, 1, &byte, 1, NULL), 0);
    assert_int_equal(byte, 0);
    assert_int_equal(img_flush(image, NULL), 0);
    assert_sound(image);
    img_abandon(image);
}

static void freed_clusters_wait_for_a_flush(void **state)
{
    img_image *image = new_image(4 * MIB, "");

    (void)state;
    write_bytes(image, 0, 65536);
    assert_int_equal(img_flush(image, NULL), 0);
    assert_int_equal(img_discard(image, 0, 65536, NULL), 0);
    write_bytes(image, 65536, 65536);
    assert_int_equal(entry_of(image, 65536), UINT64_C(0x8000000000060000));
    assert_int_equal(img_flush(image, NULL), 0);
    write_bytes(image, 131072, 65536);
    assert_int_equal(entry_of(image, 131072), UINT64_C(0x8000000000050000));
    assert_int_equal(img_flush(image, NULL), 0);
    assert_sound(image);
    img_abandon(image);
}

/* ------------------------------------------------------------------------ damage */

/* Put an L2 entry into a new image's first table, and open a copy of it for writing. */
static img_image *with_entry(uint64_t entry)
{
    img_image *image = new_image(4 * MIB, ""), *copy = NULL;
    uint8_t bytes[8];

    write_bytes(image, 0, 131072);
    assert_int_equal(img_flush(image, NULL), 0);
    imgi_put_be64(bytes, entry);
    assert_int_equal(imgi_io_write(image->top->file, bytes, 8, 0x40000, NULL), 0);
    assert_int_equal(open_copy(image, &copy, IMG_OPEN_WRITE, NULL), 0);
    img_abandon(image);
    return copy;
}

static void bad_entries_harm_nothing_else(void **state)
{
    static const uint64_t entries[] = {
        UINT64_C(0x8000000000050200), UINT64_C(0x8000000000050002), UINT64_C(0xb000000000050000),
        UINT64_C(0x80000fffffff0000), UINT64_C(0x4000ffffffff0000),
    };
    uint8_t bytes[16];

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(entries); i++) {
        img_image *image = with_entry(entries[i]);
        img_error err = {0};

        assert_int_equal(img_read(image, 0, bytes, sizeof(bytes), &err), IMG_E_CORRUPT);
        assert_true(err.message[0] != '\0');
        assert_int_equal(img_read(image, 65536, bytes, sizeof(bytes), NULL), 0);
        assert_int_equal(bytes[0], 0x5a);
        img_abandon(image);
    }
}

static void a_write_never_lands_on_metadata(void **state)
{
    uint8_t bytes[8] = {1};

    (void)state;
    /* The refcount table, the first block, the L1 and the L2 table. */
    for (uint64_t host = 0x10000; host <= 0x40000; host += 0x10000) {
        img_image *image = with_entry(host | QCOW2_COPIED);
        struct imgi_io *io = image->top->file;
        uint8_t before[512], after[512];

        assert_int_equal(imgi_io_read(io, before, sizeof(before), host, NULL), 0);
        assert_int_equal(img_write(image, 0, bytes, sizeof(bytes), NULL), IMG_E_CORRUPT);
        /* From then on nothing is written. */
        assert_int_equal(img_write(image, 65536, bytes, sizeof(bytes), NULL), IMG_E_CORRUPT);
        assert_int_equal(img_write(image, MIB, bytes, sizeof(bytes), NULL), IMG_E_CORRUPT);
        assert_int_equal(imgi_io_read(io, after, sizeof(after), host, NULL), 0);
        assert_memory_equal(before, after, sizeof(before));
        assert_int_equal(imgi_io_read(io, bytes, 8, QCOW2_AT_INCOMPATIBLE, NULL), 0);
        assert_int_equal(imgi_get_be64(bytes), QCOW2_INCOMPAT_CORRUPT);
        img_abandon(image);
    }
}

/* Refcounts that say "free" about what is not. */
static void refcounts_of_zero_are_not_believed(void **state)
{
    img_image *image = new_image(4 * MIB, ""), *copy = NULL;
    const uint8_t zero[2] = {0};

    (void)state;
    assert_int_equal(imgi_io_write(image->top->file, zero, 2, 0x20000 + 2 * 3, NULL), 0); /* L1 */
    assert_int_equal(open_copy(image, &copy, IMG_OPEN_WRITE, NULL), 0);
    assert_int_equal(img_write(copy, 0, "x", 1, NULL), IMG_E_CORRUPT);
    img_abandon(copy);
    img_abandon(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_of_compressed_clusters),
        cmocka_unit_test(refcounts_of_every_width),
        cmocka_unit_test(a_set_of_owned_clusters),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(what_we_do_not_know_survives),
        cmocka_unit_test(an_image_filled_in_order_lies_in_order),
        cmocka_unit_test(a_large_empty_disk_is_one_extent),
        cmocka_unit_test(zeros_as_qemu_says_them),
        cmocka_unit_test(version_2_has_no_zero_clusters),
        cmocka_unit_test(freed_clusters_wait_for_a_flush),
        cmocka_unit_test(bad_entries_harm_nothing_else),
        cmocka_unit_test(a_write_never_lands_on_metadata),
        cmocka_unit_test(refcounts_of_zero_are_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
