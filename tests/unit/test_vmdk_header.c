/*
 * The sparse extent's header and the stream's markers: bytes, structs and rules.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmdk/disk.h"

/* The file below: 100 MiB as qemu-img 7.2 makes it, which is 64 KiB long. */
#define FILE_SIZE 65536u

/* The first 79 bytes, as "xxd" shows them; the rest of the sector is zeros. */
static const uint8_t golden[VMDK_HEADER_BYTES] = {
    'K', 'D', 'M', 'V', 1,   0, 0, 0, 3,    0, 0, 0, 0x00, 0x20, 0x03, 0,    0,    0, 0, 0,
    128, 0,   0,   0,   0,   0, 0, 0, 1,    0, 0, 0, 0,    0,    0,    0,    20,   0, 0, 0,
    0,   0,   0,   0,   0,   2, 0, 0, 0x15, 0, 0, 0, 0,    0,    0,    0,    0x26, 0, 0, 0,
    0,   0,   0,   0,   128, 0, 0, 0, 0,    0, 0, 0, 0,    0x0a, 0x20, 0x0d, 0x0a, 0, 0,
};

static struct vmdk_header golden_header(void)
{
    struct vmdk_header header;

    assert_int_equal(vmdk_header_decode(golden, &header, NULL), 0);
    return header;
}

static void golden_bytes_are_understood(void **state)
{
    struct vmdk_header header = golden_header();
    uint8_t bytes[VMDK_HEADER_BYTES];

    (void)state;
    assert_int_equal(header.version, 1);
    assert_int_equal(header.flags, VMDK_FLAG_NEWLINES | VMDK_FLAG_REDUNDANT);
    assert_int_equal(header.capacity, 204800);
    assert_int_equal(header.grain_size, 128);
    assert_int_equal(header.descriptor_offset, 1);
    assert_int_equal(header.descriptor_size, 20);
    assert_int_equal(header.num_gtes, 512);
    assert_int_equal(header.rgd_offset, 21);
    assert_int_equal(header.gd_offset, 38);
    assert_int_equal(header.overhead, 128);
    assert_false(header.unclean_shutdown);
    assert_int_equal(header.compress_algorithm, VMDK_COMPRESS_NONE);
    assert_int_equal(vmdk_gd_entries(&header), 4);
    assert_int_equal(vmdk_header_check(&header, FILE_SIZE, NULL), 0);
    vmdk_header_encode(&header, bytes);
    assert_memory_equal(bytes, golden, sizeof(bytes));
}

static void other_kinds_are_named(void **state)
{
    uint8_t bytes[VMDK_HEADER_BYTES] = "COWD";
    struct vmdk_header header;
    img_error err;

    (void)state;
    assert_int_equal(vmdk_header_decode(bytes, &header, &err), IMG_E_FORMAT);
    assert_non_null(strstr(err.message, "COWD"));
    imgi_put_le64(bytes, VMDK_SESPARSE_MAGIC);
    assert_int_equal(vmdk_header_decode(bytes, &header, &err), IMG_E_FORMAT);
    assert_non_null(strstr(err.message, "SESPARSE"));
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(vmdk_header_decode(bytes, &header, &err), IMG_E_FORMAT);
}

/* A field of the golden header gets another value; the check must say this. */
struct fault {
    unsigned offset, bytes;
    uint64_t value;
    int code;
};

static const struct fault faults[] = {
    {VMDK_OFF_VERSION, 4, 0, IMG_E_UNSUPPORTED},
    {VMDK_OFF_VERSION, 4, 4, IMG_E_UNSUPPORTED},
    {VMDK_OFF_FLAGS, 4, 1u << 18, IMG_E_UNSUPPORTED},
    {VMDK_OFF_FLAGS, 4, 1u << 31, IMG_E_UNSUPPORTED},
    {VMDK_OFF_FLAGS, 4, VMDK_FLAG_COMPRESSED, IMG_E_CORRUPT},
    {VMDK_OFF_FLAGS, 4, VMDK_FLAG_MARKERS, IMG_E_UNSUPPORTED},
    {VMDK_OFF_CAPACITY, 8, 0, IMG_E_CORRUPT},
    {VMDK_OFF_CAPACITY, 8, UINT64_MAX, IMG_E_CORRUPT},
    {VMDK_OFF_CAPACITY, 8, INT64_MAX / 512, IMG_E_LIMIT},
    {VMDK_OFF_CAPACITY, 8, 1u << 30, IMG_E_CORRUPT},
    {VMDK_OFF_GRAIN_SIZE, 8, 0, IMG_E_CORRUPT},
    {VMDK_OFF_GRAIN_SIZE, 8, 1, IMG_E_CORRUPT},
    {VMDK_OFF_GRAIN_SIZE, 8, 24, IMG_E_CORRUPT},
    {VMDK_OFF_GRAIN_SIZE, 8, 0x400000, IMG_E_CORRUPT},
    {VMDK_OFF_GRAIN_SIZE, 8, UINT64_MAX, IMG_E_CORRUPT},
    {VMDK_OFF_DESCRIPTOR_OFFSET, 8, 109, IMG_E_CORRUPT},
    {VMDK_OFF_DESCRIPTOR_OFFSET, 8, 2, IMG_E_CORRUPT},
    {VMDK_OFF_DESCRIPTOR_OFFSET, 8, UINT64_MAX, IMG_E_CORRUPT},
    {VMDK_OFF_DESCRIPTOR_SIZE, 8, 2049, IMG_E_LIMIT},
    {VMDK_OFF_DESCRIPTOR_SIZE, 8, UINT64_MAX, IMG_E_LIMIT},
    {VMDK_OFF_NUM_GTES, 4, 0, IMG_E_CORRUPT},
    {VMDK_OFF_NUM_GTES, 4, 256, IMG_E_CORRUPT},
    {VMDK_OFF_NUM_GTES, 4, UINT32_MAX, IMG_E_CORRUPT},
    {VMDK_OFF_RGD_OFFSET, 8, 0, IMG_E_CORRUPT},
    {VMDK_OFF_RGD_OFFSET, 8, 128, IMG_E_CORRUPT},
    {VMDK_OFF_RGD_OFFSET, 8, 38, IMG_E_CORRUPT},
    {VMDK_OFF_RGD_OFFSET, 8, UINT64_MAX, IMG_E_CORRUPT},
    {VMDK_OFF_GD_OFFSET, 8, 0, IMG_E_CORRUPT},
    {VMDK_OFF_GD_OFFSET, 8, 5, IMG_E_CORRUPT},
    {VMDK_OFF_GD_OFFSET, 8, 128, IMG_E_CORRUPT},
    {VMDK_OFF_GD_OFFSET, 8, UINT64_MAX, IMG_E_CORRUPT},
    {VMDK_OFF_GD_OFFSET, 8, UINT64_MAX - 1, IMG_E_CORRUPT},
    {VMDK_OFF_NEWLINES, 4, 0x0a0a200a, IMG_E_CORRUPT},
    {VMDK_OFF_COMPRESS, 2, 1, IMG_E_CORRUPT},
    {VMDK_OFF_COMPRESS, 2, 2, IMG_E_UNSUPPORTED},
};

static void faults_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(faults); i++) {
        uint8_t bytes[VMDK_HEADER_BYTES];
        struct vmdk_header header;
        img_error err = {0};
        int rc;

        memcpy(bytes, golden, sizeof(bytes));
        for (unsigned b = 0; b < faults[i].bytes; b++)
            bytes[faults[i].offset + b] = (uint8_t)(faults[i].value >> (8 * b));
        assert_int_equal(vmdk_header_decode(bytes, &header, NULL), 0);
        rc = vmdk_header_check(&header, FILE_SIZE, &err);
        if (rc != faults[i].code)
            fail_msg("fault %zu: %d instead of %d (%s)", i, rc, faults[i].code, err.message);
    }
}

static void streams_have_their_directory_at_the_end(void **state)
{
    struct vmdk_header header = golden_header();

    (void)state;
    header.version = VMDK_VERSION_STREAM;
    header.flags = VMDK_FLAG_NEWLINES | VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS;
    header.compress_algorithm = VMDK_COMPRESS_DEFLATE;
    header.gd_offset = VMDK_GD_AT_END;
    assert_int_equal(vmdk_header_check(&header, FILE_SIZE, NULL), 0);
    header.grain_size = 2 * VMDK_PACKED_GRAIN_SECTORS_MAX;
    assert_int_equal(vmdk_header_check(&header, FILE_SIZE, NULL), IMG_E_CORRUPT);
}

static void markers_survive(void **state)
{
    const struct vmdk_marker markers[] = {
        {.value = 0x123456789abc, .size = 4711},
        {.value = 4, .type = VMDK_MARKER_GT},
        {.type = VMDK_MARKER_EOS},
    };
    static const uint8_t footer[VMDK_SECTOR] = {1, [12] = 3};
    uint8_t sector[VMDK_SECTOR];

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(markers); i++) {
        struct vmdk_marker decoded;

        vmdk_marker_encode(&markers[i], sector);
        vmdk_marker_decode(sector, &decoded);
        assert_int_equal(decoded.value, markers[i].value);
        assert_int_equal(decoded.size, markers[i].size);
        assert_int_equal(decoded.type, markers[i].type);
    }
    vmdk_marker_encode(&(struct vmdk_marker){.value = 1, .type = VMDK_MARKER_FOOTER}, sector);
    assert_memory_equal(sector, footer, sizeof(sector));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_bytes_are_understood),
        cmocka_unit_test(other_kinds_are_named),
        cmocka_unit_test(faults_are_refused),
        cmocka_unit_test(streams_have_their_directory_at_the_end),
        cmocka_unit_test(markers_survive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
