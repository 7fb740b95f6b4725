/*
 * Replaying the log of VHDX images. SPDX-License-Identifier: BSD-2-Clause
 *
 * Each entry here lets block 0 and another change places, which tells what was applied: the first
 * byte of the disk becomes the number of the other plus one.
 */
#include "vhdx_test.h"

static const struct vhdx_guid guid = {{0x4c, 0x6f, 0x67}};

/* Let the headers name the log. */
static void use_log(void)
{
    struct vhdx_header header = vhdx_test_header(NAME);
    uint8_t bytes[VHDX_HEADER_BYTES] = {0};

    header.log = guid;
    for (unsigned n = 0; n < 2; n++) {
        header.sequence++;
        vhdx_header_encode(&header, bytes);
        vhdx_test_put(NAME, bytes, sizeof(bytes), VHDX_AT_HEADER(n));
    }
}

/* Write bytes into the ring, around its end. */
static void put_ring(unsigned sector, const uint8_t *bytes, unsigned sectors)
{
    for (unsigned n = 0; n < sectors; n++)
        vhdx_test_put(NAME, bytes + n * VHDX_LOG_SECTOR, VHDX_LOG_SECTOR,
                      LOG_AT + (sector + n) % LOG_SECTORS * VHDX_LOG_SECTOR);
}

/* The sector of the BAT, with block 0 at the place of block `to`, and that one at its. */
static struct vhdx_change change_to(unsigned to)
{
    struct vhdx_change change = {.offset = BAT_AT};

    vhdx_test_get(NAME, change.bytes, sizeof(change.bytes), BAT_AT);
    imgi_put_le64(change.bytes + to * 8, DATA_AT | VHDX_BLOCK_FULLY_PRESENT);
    imgi_put_le64(change.bytes, (DATA_AT + to * BLOCK) | VHDX_BLOCK_FULLY_PRESENT);
    return change;
}

static struct vhdx_log_entry entry_of(uint64_t sequence, unsigned tail)
{
    return (struct vhdx_log_entry){.length = 2 * VHDX_LOG_SECTOR,
                                   .tail = tail * VHDX_LOG_SECTOR,
                                   .descriptors = 1,
                                   .sequence = sequence,
                                   .flushed = 4 << 20,
                                   .last = 4 << 20,
                                   .guid = guid};
}

/* One entry of two sectors. */
static void put_entry(unsigned sector, uint64_t sequence, unsigned tail, unsigned to)
{
    struct vhdx_log_entry entry = entry_of(sequence, tail);
    struct vhdx_change change = change_to(to);
    uint8_t bytes[2 * VHDX_LOG_SECTOR];

    vhdx_log_entry_encode(&entry, &change, bytes);
    put_ring(sector, bytes, 2);
}

static void make(void)
{
    vhdx_test_make(NAME, true);
    use_log();
}

static uint8_t *load(size_t *length)
{
    struct stat st;
    uint8_t *bytes;

    assert_int_equal(stat(NAME, &st), 0);
    *length = (size_t)st.st_size;
    bytes = malloc(*length);
    assert_non_null(bytes);
    vhdx_test_get(NAME, bytes, *length, 0);
    return bytes;
}

/* Opened for reading only, the disk begins with that byte and the file does not change. */
static void reads(unsigned byte)
{
    size_t length;
    uint8_t *before = load(&length);
    img_image *image = vhdx_test_open(NAME, 0);
    img_error err = {0};

    assert_int_equal(vhdx_test_byte(image, 0), byte);
    assert_int_equal(vhdx_test_byte(image, 7 * BLOCK), 8);
    assert_ok(img_close(image, &err), err);
    io_expect(NAME, before, length);
    free(before);
}

/* Opened for writing, it does so too, and the file is the same without its log. */
static void replays(unsigned byte)
{
    img_image *image = vhdx_test_open(NAME, IMG_OPEN_WRITE);
    struct vhdx_header header;
    img_error err = {0};

    assert_int_equal(vhdx_test_byte(image, 0), byte);
    assert_ok(img_close(image, &err), err);
    header = vhdx_test_header(NAME);
    assert_true(vhdx_guid_is_zero(&header.log));
    image = vhdx_test_open(NAME, 0);
    assert_int_equal(vhdx_test_byte(image, 0), byte);
    assert_ok(img_close(image, &err), err);
}

static void gives(unsigned byte)
{
    reads(byte);
    replays(byte);
}

static void test_empty(void **state)
{
    (void)state;
    make(); /* named, and never written to */
    gives(1);
}

static void test_one(void **state)
{
    (void)state;
    make();
    put_entry(10, 5, 10, 3);
    gives(4);
}

static void test_torn(void **state)
{
    uint8_t byte;

    (void)state;
    make();
    put_entry(0, 5, 0, 3);
    put_entry(2, 6, 0, 4);
    vhdx_test_get(NAME, &byte, 1, LOG_AT + 3 * VHDX_LOG_SECTOR + 100);
    byte ^= 1;
    vhdx_test_put(NAME, &byte, 1, LOG_AT + 3 * VHDX_LOG_SECTOR + 100);
    gives(4); /* what the whole one before it says */
}

static void test_torn_alone(void **state)
{
    (void)state;
    make();
    put_entry(0, 5, 0, 3);
    vhdx_test_put(NAME, "torn", 4, LOG_AT + VHDX_LOG_SECTOR + 2000);
    gives(1);
}

static void test_sequence(void **state)
{
    (void)state;
    make();
    put_entry(20, 7, 20, 2);
    put_entry(22, 8, 20, 3);
    put_entry(24, 9, 20, 5);
    gives(6);
}

static void test_tail_in_the_middle(void **state)
{
    (void)state;
    make();
    put_entry(20, 7, 20, 2);
    put_entry(22, 8, 22, 3); /* all before it is done */
    gives(4);
}

static void test_gap(void **state)
{
    (void)state;
    make();
    put_entry(20, 7, 20, 2);
    put_entry(22, 9, 20, 5); /* 8 is missing: its tail is not in its sequence */
    gives(3);
}

static void test_wrapped(void **state)
{
    (void)state;
    make();
    put_entry(253, 7, 253, 2);
    put_entry(255, 8, 253, 3); /* its second sector is the ring's first */
    put_entry(1, 9, 253, 6);
    gives(7);
}

static void test_two_sequences(void **state)
{
    (void)state;
    make();
    put_entry(100, 3, 100, 5);
    put_entry(102, 4, 100, 6);
    put_entry(20, 8, 20, 2);
    put_entry(22, 9, 20, 3);
    gives(4);
}

static void test_other_log(void **state)
{
    struct vhdx_log_entry entry = entry_of(9, 0);
    struct vhdx_change change;
    uint8_t bytes[2 * VHDX_LOG_SECTOR];

    (void)state;
    make();
    entry.guid.bytes[0] ^= 1;
    change = change_to(3);
    vhdx_log_entry_encode(&entry, &change, bytes);
    put_ring(0, bytes, 2);
    gives(1);
}

/* An entry of one sector: zeros, from a place on. */
static void put_zeros(uint64_t offset, uint64_t length, uint64_t last)
{
    struct vhdx_log_entry entry = entry_of(5, 0);
    uint8_t bytes[VHDX_LOG_SECTOR];
    uint8_t *descriptor = bytes + VHDX_LOG_HEADER_BYTES;

    entry.length = VHDX_LOG_SECTOR;
    entry.descriptors = 0;
    entry.last = last;
    vhdx_log_entry_encode(&entry, NULL, bytes);
    imgi_put_le32(bytes + VHDX_LOG_AT_DESCRIPTORS, 1);
    imgi_put_le32(descriptor, VHDX_ZERO_SIGNATURE);
    imgi_put_le64(descriptor + VHDX_DESCRIPTOR_AT_LEADING, length);
    imgi_put_le64(descriptor + VHDX_DESCRIPTOR_AT_OFFSET, offset);
    imgi_put_le64(descriptor + VHDX_DESCRIPTOR_AT_SEQUENCE, 5);
    imgi_put_le32(bytes + 4, vhdx_crc(bytes, sizeof(bytes)));
    put_ring(0, bytes, 1);
}

static void test_zeros(void **state)
{
    img_image *image;

    (void)state;
    make();
    put_zeros(DATA_AT + 4096, 8192, 4 << 20);
    image = vhdx_test_open(NAME, 0);
    assert_int_equal(vhdx_test_byte(image, 4095), 1);
    assert_int_equal(vhdx_test_byte(image, 4096), 0);
    assert_int_equal(vhdx_test_byte(image, 12287), 0);
    assert_int_equal(vhdx_test_byte(image, 12288), 1);
    img_close(image, NULL);
    replays(1);
    image = vhdx_test_open(NAME, 0);
    assert_int_equal(vhdx_test_byte(image, 4096), 0);
    img_close(image, NULL);
}

static void test_longer_file(void **state)
{
    struct stat st;

    (void)state;
    make();
    put_zeros(19 << 20, 4096, 20 << 20);
    reads(1);
    replays(1);
    assert_int_equal(stat(NAME, &st), 0);
    assert_int_equal(st.st_size, 20 << 20);
}

static void test_refused(void **state)
{
    struct vhdx_log_entry entry = entry_of(5, 0);
    struct vhdx_change change;
    uint8_t bytes[2 * VHDX_LOG_SECTOR];

    (void)state;
    make();
    put_zeros(VHDX_AT_HEADER(0), 4096, 4 << 20);
    vhdx_test_refused(NAME, 0, IMG_E_CORRUPT, "the headers or the log itself");
    vhdx_test_refused(NAME, IMG_OPEN_WRITE, IMG_E_CORRUPT, "the headers or the log itself");
    put_zeros(LOG_AT + 8192, 4096, 4 << 20);
    vhdx_test_refused(NAME, 0, IMG_E_CORRUPT, "the headers or the log itself");
    put_zeros(30 << 20, 4096, 20 << 20);
    vhdx_test_refused(NAME, 0, IMG_E_CORRUPT, "past the end that the file is to have");
    put_zeros(DATA_AT, 4096, UINT64_C(1) << 60);
    vhdx_test_refused(NAME, 0, IMG_E_CORRUPT, "is to have 1152921504606846976 bytes");
    change = change_to(2);
    entry.flushed = 100 << 20;
    vhdx_log_entry_encode(&entry, &change, bytes);
    put_ring(0, bytes, 2);
    vhdx_test_refused(NAME, 0, IMG_E_CORRUPT, "it was cut short");
}

/* Every sector claims to begin an entry that goes all around the ring. */
static void test_overlapping(void **state)
{
    uint8_t bytes[VHDX_LOG_SECTOR] = {0};
    struct vhdx_log_entry entry = entry_of(5, 0);

    (void)state;
    make();
    entry.length = LOG_SECTORS * VHDX_LOG_SECTOR;
    imgi_put_le32(bytes, VHDX_LOG_SIGNATURE);
    imgi_put_le32(bytes + VHDX_LOG_AT_LENGTH, entry.length);
    imgi_put_le64(bytes + VHDX_LOG_AT_SEQUENCE, 5);
    vhdx_guid_put(bytes + VHDX_LOG_AT_GUID, &guid);
    for (unsigned n = 0; n < LOG_SECTORS; n++)
        put_ring(n, bytes, 1);
    vhdx_test_refused(NAME, 0, IMG_E_CORRUPT, "overlap each other");
}

/* What a repair tells. */
static void test_check(void **state)
{
    img_check_result result = {0};
    img_job *job = img_job_new();
    img_error err = {0};
    img_image *image;

    (void)state;
    make();
    put_entry(0, 5, 0, 0);
    image = vhdx_test_open(NAME, IMG_OPEN_CHECK);
    assert_ok(img_check(job, image, NULL, NULL, &result, &err), err);
    assert_int_equal(result.corruptions + result.leaks + result.check_errors, 0);
    img_close(image, NULL);
    image = vhdx_test_open(NAME, IMG_OPEN_CHECK | IMG_OPEN_WRITE);
    img_job_set_flags(job, IMG_JOB_REPAIR_LEAKS);
    assert_ok(img_check(job, image, NULL, NULL, &result, &err), err);
    assert_int_equal(result.corruptions_fixed, 1);
    img_close(image, NULL);
    img_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_one),
        cmocka_unit_test(test_torn),          cmocka_unit_test(test_torn_alone),
        cmocka_unit_test(test_sequence),      cmocka_unit_test(test_tail_in_the_middle),
        cmocka_unit_test(test_gap),           cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_two_sequences), cmocka_unit_test(test_other_log),
        cmocka_unit_test(test_zeros),         cmocka_unit_test(test_longer_file),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_overlapping),
        cmocka_unit_test(test_check),
    };

    io_place = io_places[1];
    return cmocka_run_group_tests(tests, io_enter, io_leave);
}
