/*
 * VHDX on disk: headers, region tables, GUIDs, entries of the log.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The golden bytes are those of an image that qemu-img 7.2 made and qemu-io wrote one block to.
 */
#include "io_test.h"

#include "vhdx/vhdx.h"

static const uint8_t golden_header[80] = {
    0x68, 0x65, 0x61, 0x64, 0x55, 0x4a, 0xe8, 0xa7, 0xf7, 0xd0, 0xad, 0x8f, 0x00, 0x00, 0x00, 0x00,
    0x24, 0x49, 0x97, 0xdc, 0x8e, 0xcf, 0x44, 0x9d, 0x9f, 0x9d, 0x81, 0xf6, 0x73, 0x0b, 0x5d, 0x6a,
    0x09, 0x59, 0x20, 0xa0, 0x83, 0x45, 0x4e, 0x97, 0x8e, 0xd3, 0xb0, 0xb8, 0x06, 0xee, 0x6e, 0x0d,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00,
};

/* The first sector of the log, up to its one descriptor. */
static const uint8_t golden_entry[96] = {
    0x6c, 0x6f, 0x67, 0x65, 0xfe, 0x61, 0x34, 0x8c, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xf8, 0x53, 0x9b, 0xcd, 0x7d, 0x16, 0x49, 0xe6, 0x93, 0xbc, 0x36, 0xf9, 0xc9, 0x11, 0x49, 0xc2,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x64, 0x65, 0x73, 0x63, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static void load_header(uint8_t bytes[VHDX_HEADER_BYTES])
{
    memset(bytes, 0, VHDX_HEADER_BYTES);
    memcpy(bytes, golden_header, sizeof(golden_header));
}

static void test_crc(void **state)
{
    uint8_t zeros[32] = {0};

    (void)state;
    /* RFC 3720, B.4 */
    assert_int_equal(imgi_crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
    assert_int_equal(imgi_crc32c(0, "123456789", 9), 0xe3069283);
    for (size_t n = 0; n <= 9; n++)
        assert_int_equal(imgi_crc32c(imgi_crc32c(0, "123456789", n), &"123456789"[n], 9 - n),
                         0xe3069283);
}

static void test_header_golden(void **state)
{
    uint8_t bytes[VHDX_HEADER_BYTES], again[VHDX_HEADER_BYTES] = {0};
    struct vhdx_header header;
    img_error err = {0};
    char text[VHDX_GUID_TEXT];

    (void)state;
    load_header(bytes);
    assert_ok(vhdx_header_decode(bytes, &header, &err), err);
    assert_int_equal(header.sequence, 0x8fadd0f7);
    assert_int_equal(header.log_length, 1 << 20);
    assert_int_equal(header.log_offset, 1 << 20);
    assert_int_equal(header.version, 1);
    assert_true(vhdx_guid_is_zero(&header.log));
    vhdx_guid_format(&header.data_write, text);
    assert_string_equal(text, "{a0205909-4583-974e-8ed3-b0b806ee6e0d}");
    assert_ok(vhdx_header_check(&header, 2 << 20, &err), err);
    vhdx_header_encode(&header, again);
    assert_memory_equal(bytes, again, sizeof(bytes));
}

static void test_header_keeps_unknown(void **state)
{
    uint8_t bytes[VHDX_HEADER_BYTES];
    struct vhdx_header header;
    img_error err = {0};

    (void)state;
    load_header(bytes);
    assert_ok(vhdx_header_decode(bytes, &header, &err), err);
    bytes[100] = 0x5a;
    vhdx_header_encode(&header, bytes);
    assert_int_equal(bytes[100], 0x5a);
    assert_ok(vhdx_header_decode(bytes, &header, &err), err);
}

static void test_header_damaged(void **state)
{
    uint8_t bytes[VHDX_HEADER_BYTES];
    struct vhdx_header header;
    img_error err = {0};

    (void)state;
    for (size_t n = 0; n < VHDX_HEADER_BYTES; n += n < 80 ? 1 : 97) {
        load_header(bytes);
        bytes[n] ^= 1;
        assert_int_equal(vhdx_header_decode(bytes, &header, &err), IMG_E_CORRUPT);
    }
}

static void test_header_refused(void **state)
{
    static const struct {
        struct vhdx_header header;
        int code;
        const char *says;
    } cases[] = {
        {{.version = 2, .log_length = 1 << 20, .log_offset = 1 << 20},
         IMG_E_UNSUPPORTED,
         "version 2"},
        {{.version = 1,
          .log_version = 1,
          .log = {{1}},
          .log_length = 1 << 20,
          .log_offset = 1 << 20},
         IMG_E_UNSUPPORTED,
         "log version 1"},
        {{.version = 1, .log_length = 0, .log_offset = 1 << 20}, IMG_E_CORRUPT, "log length of 0"},
        {{.version = 1, .log_length = 4096, .log_offset = 1 << 20},
         IMG_E_CORRUPT,
         "log length of 4096"},
        {{.version = 1, .log_length = 1 << 20, .log_offset = 0}, IMG_E_CORRUPT, "lies at 0x0"},
        {{.version = 1, .log_length = 1 << 20, .log_offset = 1234567}, IMG_E_CORRUPT, "0x12d687"},
        {{.version = 1, .log_length = 2 << 20, .log_offset = 1 << 20},
         IMG_E_CORRUPT,
         "past the end"},
        {{.version = 1, .log_length = 1 << 20, .log_offset = UINT64_MAX - (1 << 20) + 1},
         IMG_E_CORRUPT,
         "past the end"},
    };
    img_error err = {0};

    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(cases); n++)
        assert_error(vhdx_header_check(&cases[n].header, 2 << 20, &err), cases[n].code, err, "",
                     cases[n].says);
}

static void test_guid_text(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "{2dc27766-f623-4200-9d64-115e9bfd4a08",
                                      "2dc27766-f623-4200-9d64-115e9bfd4a08",
                                      "{2dc27766-f623-4200-9d64-115e9bfd4a0g}",
                                      "{2dc27766f623-4200-9d64-115e9bfd4a08}",
                                      "{2dc27766-f623-4200-9d64-115e9bfd4a08}x"};
    struct vhdx_guid guid;
    char text[VHDX_GUID_TEXT];

    (void)state;
    assert_true(vhdx_guid_parse("{2DC27766-F623-4200-9D64-115E9BFD4A08}", &guid));
    assert_true(vhdx_guid_equal(&guid, &vhdx_region_bat));
    vhdx_guid_format(&guid, text);
    assert_string_equal(text, "{2dc27766-f623-4200-9d64-115e9bfd4a08}");
    for (size_t n = 0; n < IMGI_COUNT(bad); n++)
        assert_false(vhdx_guid_parse(bad[n], &guid));
}

static void test_guid_new(void **state)
{
    uint64_t seed = 1, same = 1;
    struct vhdx_guid a = vhdx_guid_next(&seed), b = vhdx_guid_next(&same);
    struct vhdx_guid c = vhdx_guid_next(&seed);

    (void)state;
    assert_true(vhdx_guid_equal(&a, &b));
    assert_false(vhdx_guid_equal(&a, &c));
    b = vhdx_guid_new(&a);
    assert_false(vhdx_guid_equal(&a, &b));
    setenv("SOURCE_DATE_EPOCH", "12345", 1);
    b = vhdx_guid_new(&a);
    c = vhdx_guid_new(&a);
    assert_true(vhdx_guid_equal(&b, &c));
    assert_false(vhdx_guid_equal(&a, &c));
    unsetenv("SOURCE_DATE_EPOCH");
}

/* ---------------------------------------------------------------- log entries */

static struct vhdx_guid log_of(const uint8_t *entry)
{
    return vhdx_guid_get(entry + VHDX_LOG_AT_GUID);
}

/* The whole entry: the sector that it keeps says that the second block is at 8 MiB. */
static void load_entry(uint8_t bytes[2 * VHDX_LOG_SECTOR])
{
    static const uint8_t start[16] = {'d', 'a', 't', 'a', 0, 0, 0, 0, 6, 0, 0x80};

    memset(bytes, 0, 2 * VHDX_LOG_SECTOR);
    memcpy(bytes, golden_entry, sizeof(golden_entry));
    memcpy(bytes + VHDX_LOG_SECTOR, start, sizeof(start));
    for (size_t n = 2; n < 13; n++)
        bytes[VHDX_LOG_SECTOR + 8 * n] = 2;
    bytes[2 * VHDX_LOG_SECTOR - 4] = 1;
}

static void test_entry_golden(void **state)
{
    uint8_t bytes[2 * VHDX_LOG_SECTOR], again[2 * VHDX_LOG_SECTOR];
    struct vhdx_guid log = log_of(golden_entry);
    struct vhdx_change change = {.offset = 2 << 20};
    struct vhdx_log_entry entry;

    (void)state;
    load_entry(bytes);
    assert_true(vhdx_log_entry_decode(bytes, sizeof(bytes), &log, &entry));
    assert_int_equal(entry.length, sizeof(bytes));
    assert_int_equal(entry.sequence, 1);
    assert_int_equal(entry.descriptors, 1);
    assert_int_equal(entry.tail, 0);
    assert_int_equal(entry.flushed, 16 << 20);
    assert_int_equal(entry.last, 16 << 20);

    change.bytes[0] = 2;
    memcpy(change.bytes + 8, bytes + VHDX_LOG_SECTOR + 8, VHDX_LOG_SECTOR - 12);
    vhdx_log_entry_encode(&entry, &change, again);
    assert_memory_equal(bytes, again, sizeof(bytes));
}

static void test_entry_torn(void **state)
{
    uint8_t bytes[2 * VHDX_LOG_SECTOR];
    struct vhdx_guid log = log_of(golden_entry);
    struct vhdx_log_entry entry;

    (void)state;
    for (size_t n = 0; n < sizeof(bytes); n += n < 96 ? 1 : 127) {
        load_entry(bytes);
        bytes[n] ^= 0x40;
        assert_false(vhdx_log_entry_decode(bytes, sizeof(bytes), &log, &entry));
    }
    load_entry(bytes);
    assert_false(vhdx_log_entry_decode(bytes, VHDX_LOG_SECTOR, &log, &entry));
    log.bytes[3] ^= 1;
    assert_false(vhdx_log_entry_decode(bytes, sizeof(bytes), &log, &entry));
}

/* Each field of an entry whose checksum is right. */
static void test_entry_refused(void **state)
{
    static const struct {
        const char *name;
        size_t at;
        uint64_t value;
        unsigned width;
    } cases[] = {
        {"length 0", VHDX_LOG_AT_LENGTH, 0, 4},
        {"length odd", VHDX_LOG_AT_LENGTH, 8191, 4},
        {"length beyond", VHDX_LOG_AT_LENGTH, 12288, 4},
        {"tail odd", VHDX_LOG_AT_TAIL, 512, 4},
        {"tail beyond", VHDX_LOG_AT_TAIL, 8192, 4},
        {"sequence 0", VHDX_LOG_AT_SEQUENCE, 0, 8},
        {"sequence other", VHDX_LOG_AT_SEQUENCE, 2, 8},
        {"descriptors beyond", VHDX_LOG_AT_DESCRIPTORS, 2, 4},
        {"descriptors many", VHDX_LOG_AT_DESCRIPTORS, UINT32_MAX, 4},
        {"descriptor signature", 64, 0x12345678, 4},
        {"descriptor offset odd", 64 + VHDX_DESCRIPTOR_AT_OFFSET, 513, 8},
        {"descriptor offset", 64 + VHDX_DESCRIPTOR_AT_OFFSET, UINT64_MAX - 4095, 8},
        {"descriptor sequence", 64 + VHDX_DESCRIPTOR_AT_SEQUENCE, 3, 8},
        {"sector signature", 4096, 0x12345678, 4},
        {"sector sequence", 4100, 1, 4},
        {"sector sequence low", 8188, 2, 4},
    };
    uint8_t bytes[2 * VHDX_LOG_SECTOR];
    struct vhdx_guid log = log_of(golden_entry);
    struct vhdx_log_entry entry;

    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(cases); n++) {
        load_entry(bytes);
        if (cases[n].width == 4)
            imgi_put_le32(bytes + cases[n].at, (uint32_t)cases[n].value);
        else
            imgi_put_le64(bytes + cases[n].at, cases[n].value);
        imgi_put_le32(bytes + 4, vhdx_crc(bytes, sizeof(bytes)));
        if (vhdx_log_entry_decode(bytes, sizeof(bytes), &log, &entry))
            fail_msg("%s is taken", cases[n].name);
    }
}

static void test_bat_entries(void **state)
{
    (void)state;
    assert_int_equal(vhdx_chunk_ratio(8 << 20, 512), 512);
    assert_int_equal(vhdx_chunk_ratio(1 << 20, 4096), 32768);
    assert_int_equal(vhdx_bat_entries(0, 512, false), 0);
    assert_int_equal(vhdx_bat_entries(1, 512, false), 1);
    assert_int_equal(vhdx_bat_entries(512, 512, false), 512);
    assert_int_equal(vhdx_bat_entries(513, 512, false), 514);
    assert_int_equal(vhdx_bat_entries(1, 512, true), 513);
    assert_int_equal(vhdx_bat_entries(513, 512, true), 1026);
    assert_int_equal(vhdx_log_descriptor_sectors(0), 1);
    assert_int_equal(vhdx_log_descriptor_sectors(126), 1);
    assert_int_equal(vhdx_log_descriptor_sectors(127), 2);
    assert_int_equal(vhdx_log_descriptor_sectors(254), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test(test_header_golden),
        cmocka_unit_test(test_header_keeps_unknown),
        cmocka_unit_test(test_header_damaged),
        cmocka_unit_test(test_header_refused),
        cmocka_unit_test(test_guid_text),
        cmocka_unit_test(test_guid_new),
        cmocka_unit_test(test_entry_golden),
        cmocka_unit_test(test_entry_torn),
        cmocka_unit_test(test_entry_refused),
        cmocka_unit_test(test_bat_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
