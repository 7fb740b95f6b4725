/*
 * Partition tables: good ones, damaged ones, hostile ones. SPDX-License-Identifier: BSD-2-Clause
 */
#include "io_test.h"

#include "codec/codec.h"
#include "guest/guest.h"
#include "internal.h"
#include "util/scramble.h"

#define DISK_BYTES (8u << 20)
#define NAMES 4096

/* A disk in memory, and what there was to say of it. */
struct disk {
    uint8_t *bytes;
    uint32_t sector;
    size_t size;
    img_image *image;
    img_guest *guest;
    char notices[NAMES];
    size_t notice_count;
};

static void hear(void *opaque, const char *text)
{
    struct disk *disk = opaque;
    size_t used = strlen(disk->notices);

    snprintf(disk->notices + used, NAMES - used, "%s\n", text);
    disk->notice_count++;
}

static struct disk new_disk(uint32_t sector)
{
    struct disk disk = {.bytes = calloc(1, DISK_BYTES), .sector = sector, .size = DISK_BYTES};

    assert_non_null(disk.bytes);
    return disk;
}

static int try_disk(struct disk *disk, uint32_t sector_size, img_error *err)
{
    img_guest_params params = {.sector_size = sector_size, .notice = hear, .opaque = disk};
    img_open_params open = {.format = "raw"};
    struct imgi_io *io;
    int rc = imgi_mem_new(&io, err);

    disk->notices[0] = '\0';
    disk->notice_count = 0;
    assert_int_equal(rc, 0);
    assert_int_equal(imgi_io_write(io, disk->bytes, disk->size, 0, err), 0);
    assert_int_equal(imgi_image_open_io(&disk->image, io, "disk", &open, err), 0);
    return img_guest_open(&disk->guest, &disk->image, 1, &params, err);
}

static void open_disk(struct disk *disk)
{
    img_error err = {0};

    if (try_disk(disk, 0, &err) < 0)
        fail_msg("%s", err.message);
}

static void close_disk(struct disk *disk)
{
    img_guest_close(disk->guest);
    img_abandon(disk->image);
    disk->guest = NULL;
    disk->image = NULL;
}

static size_t count(const struct disk *disk)
{
    img_volume volume;
    size_t n = 0;

    while (img_guest_volume(disk->guest, n, &volume, NULL) == 0)
        n++;
    return n - 1;
}

static const char *scheme(const struct disk *disk)
{
    img_volume volume;

    assert_int_equal(img_guest_volume(disk->guest, 0, &volume, NULL), 0);
    return volume.scheme ? volume.scheme : "none";
}

/* The n-th partition has that number and place, in sectors. */
static img_volume check(const struct disk *disk, size_t n, unsigned number, uint64_t start,
                        uint64_t sectors)
{
    img_volume volume;
    char device[32];

    assert_int_equal(img_guest_volume(disk->guest, n + 1, &volume, NULL), 0);
    snprintf(device, sizeof(device), "/dev/sda%u", number);
    assert_string_equal(volume.device, device);
    assert_string_equal(volume.parent, "/dev/sda");
    assert_int_equal(volume.number, number);
    assert_int_equal(volume.offset, start * disk->sector);
    assert_int_equal(volume.size, sectors * disk->sector);
    return volume;
}

static void assert_noticed(const struct disk *disk, const char *text)
{
    if (!strstr(disk->notices, text))
        fail_msg("no notice of '%s', but: %s", text, disk->notices);
}

/* --------------------------------------------------------------------- MBR */

static void put_mbr(struct disk *disk, uint64_t sector, unsigned n, uint8_t type, uint32_t start,
                    uint32_t sectors)
{
    uint8_t *table = disk->bytes + sector * disk->sector, *entry = table + 446 + 16 * n;

    entry[4] = type;
    imgi_put_le32(entry + 8, start);
    imgi_put_le32(entry + 12, sectors);
    table[510] = 0x55;
    table[511] = 0xaa;
}

static void test_mbr(void **state)
{
    struct disk disk = new_disk(512);
    img_volume volume;

    (void)state;
    imgi_put_le32(disk.bytes + 440, 0x12ab34cd);
    put_mbr(&disk, 0, 0, 0x83, 2048, 100);
    put_mbr(&disk, 0, 2, 0x0f, 4096, 8192);
    disk.bytes[446] = 0x80;
    put_mbr(&disk, 4096, 0, 0x82, 63, 1000);
    put_mbr(&disk, 4096, 1, 0x05, 2000, 500);
    put_mbr(&disk, 6096, 0, 0x07, 1, 300);
    open_disk(&disk);
    assert_string_equal(scheme(&disk), "mbr");
    assert_int_equal(count(&disk), 4);
    volume = check(&disk, 0, 1, 2048, 100);
    assert_true(volume.bootable);
    assert_string_equal(volume.type, "0x83");
    assert_string_equal(volume.part_uuid, "12ab34cd-01");
    volume = check(&disk, 1, 3, 4096, 8192);
    assert_string_equal(volume.type, "0x0f");
    volume = check(&disk, 2, 5, 4096 + 63, 1000);
    assert_string_equal(volume.part_uuid, "12ab34cd-05");
    check(&disk, 3, 6, 6096 + 1, 300);
    assert_int_equal(disk.notice_count, 0);
    close_disk(&disk);
    free(disk.bytes);
}

static void test_mbr_of_large_sectors(void **state)
{
    struct disk disk = new_disk(4096);
    img_error err = {0};

    (void)state;
    put_mbr(&disk, 0, 0, 0x83, 256, 100);
    assert_int_equal(try_disk(&disk, 4096, &err), 0);
    assert_int_equal(count(&disk), 1);
    check(&disk, 0, 1, 256, 100);
    close_disk(&disk);
    free(disk.bytes);
}

/* What reaches past the end is cut, what lies there is left out, what overlaps is told. */
static void test_mbr_extremes(void **state)
{
    struct disk disk = new_disk(512);

    (void)state;
    put_mbr(&disk, 0, 0, 0x83, 2048, UINT32_MAX);
    put_mbr(&disk, 0, 1, 0x83, UINT32_MAX, UINT32_MAX);
    put_mbr(&disk, 0, 2, 0x83, 4096, 10);
    put_mbr(&disk, 0, 3, 0x83, 0, 10);
    open_disk(&disk);
    assert_int_equal(count(&disk), 3);
    check(&disk, 0, 1, 2048, DISK_BYTES / 512 - 2048);
    check(&disk, 1, 3, 4096, 10);
    check(&disk, 2, 4, 0, 10);
    assert_noticed(&disk, "partition 1 reaches past the end of the disk");
    assert_noticed(&disk, "partition 2 is left out");
    assert_noticed(&disk, "partitions 1 and 3 overlap");
    close_disk(&disk);
    free(disk.bytes);
}

/* Chains of logical partitions that never end, lead out, or break off. */
static void test_mbr_chains(void **state)
{
    struct disk disk = new_disk(512);

    (void)state;
    put_mbr(&disk, 0, 0, 0x05, 2048, 8192);
    open_disk(&disk);
    assert_int_equal(count(&disk), 1);
    assert_int_equal(disk.notice_count, 0); /* nothing in it yet */
    close_disk(&disk);

    put_mbr(&disk, 2048, 0, 0x83, 1, 100);
    put_mbr(&disk, 2048, 1, 0x05, 1000, 100);
    put_mbr(&disk, 3048, 0, 0x83, 1, 100);
    put_mbr(&disk, 3048, 1, 0x05, 0, 100); /* back to the first */
    open_disk(&disk);
    assert_int_equal(count(&disk), 3);
    assert_noticed(&disk, "breaks off at sector 2048");
    close_disk(&disk);

    put_mbr(&disk, 3048, 1, 0x05, 8192, 100);
    open_disk(&disk);
    assert_int_equal(count(&disk), 3);
    assert_noticed(&disk, "breaks off at sector 10240");
    close_disk(&disk);

    for (uint32_t n = 0; n < 4000; n++) {
        put_mbr(&disk, 2048 + n, 0, 0x83, 1, 1);
        put_mbr(&disk, 2048 + n, 1, 0x05, n + 1, 1);
    }
    open_disk(&disk);
    assert_true(count(&disk) <= 255);
    assert_noticed(&disk, "breaks off");
    close_disk(&disk);
    free(disk.bytes);
}

/* Boot sectors have the signature of an MBR, and no partitions. */
static void test_boot_sectors(void **state)
{
    static const uint8_t fat[] = {0xeb, 0x3c, 0x90, 'm', 'k', 'f', 's', '.', 'f',  'a',
                                  't',  0,    2,    4,   1,   0,   2,   0,   2,    0,
                                  64,   0xf8, 16,   0,   32,  0,   2,   0,   0x80, 0};
    static const char *const others[] = {"NTFS    ", "EXFAT   ", "-FVE-FS-"};
    struct disk disk = new_disk(512);
    img_volume volume;

    (void)state;
    put_mbr(&disk, 0, 0, 0x83, 2048, 100);
    memcpy(disk.bytes, fat, sizeof(fat));
    open_disk(&disk);
    assert_string_equal(scheme(&disk), "none");
    assert_int_equal(count(&disk), 0);
    assert_int_equal(img_guest_volume(disk.guest, 0, &volume, NULL), 0);
    assert_string_equal(volume.content, "vfat");
    assert_true(volume.holds_filesystem);
    close_disk(&disk);
    for (size_t n = 0; n < IMGI_COUNT(others); n++) {
        memcpy(disk.bytes + 3, others[n], 8);
        open_disk(&disk);
        assert_int_equal(count(&disk), 0);
        close_disk(&disk);
    }
    memset(disk.bytes, 0, 64);
    disk.bytes[446 + 16] = 0x42; /* no table has such a flag */
    open_disk(&disk);
    assert_string_equal(scheme(&disk), "none");
    close_disk(&disk);
    free(disk.bytes);
}

/* --------------------------------------------------------------------- GPT */

#define ENTRIES 128u
#define TABLE_BYTES (ENTRIES * 128u)

static uint64_t sectors_of(const struct disk *disk)
{
    return disk->size / disk->sector;
}

static uint64_t table_sectors(const struct disk *disk)
{
    return TABLE_BYTES / disk->sector;
}

/* Compute the checksums of a header and its table. */
static void seal(struct disk *disk, uint64_t sector)
{
    uint8_t *header = disk->bytes + sector * disk->sector;
    uint8_t *table = disk->bytes + imgi_get_le64(header + 72) * disk->sector;

    imgi_put_le32(header + 88, imgi_crc32(0, table, TABLE_BYTES));
    imgi_put_le32(header + 16, 0);
    imgi_put_le32(header + 16, imgi_crc32(0, header, 92));
}

static void put_header(struct disk *disk, uint64_t sector, uint64_t other, uint64_t table)
{
    uint8_t *header = disk->bytes + sector * disk->sector;

    memcpy(header, "EFI PART\0\0\1\0\x5c\0\0\0", 16);
    imgi_put_le64(header + 24, sector);
    imgi_put_le64(header + 32, other);
    imgi_put_le64(header + 40, 2 + table_sectors(disk));
    imgi_put_le64(header + 48, sectors_of(disk) - 2 - table_sectors(disk));
    imgi_put_le64(header + 72, table);
    imgi_put_le32(header + 80, ENTRIES);
    imgi_put_le32(header + 84, 128);
    seal(disk, sector);
}

static void put_headers(struct disk *disk)
{
    uint64_t last = sectors_of(disk) - 1;

    put_mbr(disk, 0, 0, 0xee, 1, UINT32_MAX);
    put_header(disk, 1, last, 2);
    put_header(disk, last, 1, last - table_sectors(disk));
}

/* In both tables. */
static void put_gpt(struct disk *disk, unsigned n, uint64_t first, uint64_t last)
{
    uint64_t places[] = {2, sectors_of(disk) - 1 - table_sectors(disk)};

    for (size_t i = 0; i < 2; i++) {
        uint8_t *entry = disk->bytes + places[i] * disk->sector + (size_t)n * 128;

        memcpy(entry, "\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4", 16);
        memset(entry + 16, (int)n + 1, 16);
        imgi_put_le64(entry + 32, first);
        imgi_put_le64(entry + 40, last);
        memcpy(entry + 56, "r\0\xf6\0t", 5);
    }
    seal(disk, 1);
    seal(disk, sectors_of(disk) - 1);
}

static struct disk gpt_disk(uint32_t sector)
{
    struct disk disk = new_disk(sector);

    put_headers(&disk);
    put_gpt(&disk, 0, 256, 299);
    put_gpt(&disk, 3, 300, 399);
    return disk;
}

static void check_gpt(struct disk *disk)
{
    img_volume volume;

    open_disk(disk);
    assert_string_equal(scheme(disk), "gpt");
    assert_int_equal(count(disk), 2);
    volume = check(disk, 0, 1, 256, 44);
    assert_string_equal(volume.type, "0FC63DAF-8483-4772-8E79-3D69D8477DE4");
    assert_string_equal(volume.part_uuid, "01010101-0101-0101-0101-010101010101");
    assert_string_equal(volume.name, "r\xc3\xb6t");
    check(disk, 1, 4, 300, 100);
}

static void test_gpt(void **state)
{
    static const uint32_t sizes[] = {512, 4096};

    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(sizes); n++) {
        struct disk disk = gpt_disk(sizes[n]);
        img_volume volume;

        check_gpt(&disk);
        assert_int_equal(img_guest_volume(disk.guest, 0, &volume, NULL), 0);
        assert_int_equal(volume.sector_size, sizes[n]);
        assert_int_equal(disk.notice_count, 0);
        close_disk(&disk);
        put_mbr(&disk, 0, 1, 0x83, 2000, 100); /* of a hybrid MBR */
        check_gpt(&disk);
        assert_int_equal(disk.notice_count, 0);
        assert_true(disk.guest->volumes[0]->doubtful);
        close_disk(&disk);
        free(disk.bytes);
    }
}

/* A flipped bit anywhere in the first header or its table brings the backup in. */
static void test_gpt_backup(void **state)
{
    static const size_t places[] = {0, 12, 16, 20, 24, 40, 72, 80, 84, 88, 512, 512 + 57};
    struct disk disk = gpt_disk(512);

    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(places); n++) {
        disk.bytes[512 + places[n]] ^= 4;
        check_gpt(&disk);
        assert_noticed(&disk, "the backup at sector 16383 is used");
        close_disk(&disk);
        disk.bytes[512 + places[n]] ^= 4;
    }
    memset(disk.bytes + 512, 0, 512);
    disk.bytes[(size_t)DISK_BYTES - 512] = 0;
    open_disk(&disk);
    assert_string_equal(scheme(&disk), "none");
    assert_int_equal(count(&disk), 0);
    assert_noticed(&disk, "there is no good one");
    close_disk(&disk);
    free(disk.bytes);
}

/* The disk has grown since: the backup is where the first header says. */
static void test_gpt_grown(void **state)
{
    struct disk disk = gpt_disk(512);

    (void)state;
    disk.bytes = realloc(disk.bytes, 2 * disk.size);
    assert_non_null(disk.bytes);
    memset(disk.bytes + disk.size, 0, disk.size);
    disk.size *= 2;
    check_gpt(&disk);
    close_disk(&disk);
    disk.bytes[1024 + 60]++; /* in the table */
    check_gpt(&disk);
    assert_noticed(&disk, "the backup at sector 16383 is used");
    close_disk(&disk);
    free(disk.bytes);
}

/* Numbers that make no sense, with checksums that are right. */
static void test_gpt_extremes(void **state)
{
    static const struct {
        size_t at;
        unsigned bits;
        uint64_t value;
    } bad[] = {
        {80, 32, UINT32_MAX}, {80, 32, 0},          {84, 32, 0},          {84, 32, UINT32_MAX},
        {84, 32, 127},        {72, 64, UINT64_MAX}, {72, 64, 1ull << 55}, {48, 64, 0},
        {40, 64, UINT64_MAX}, {12, 32, UINT32_MAX}, {12, 32, 91},         {24, 64, 2},
    };

    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(bad); n++) {
        struct disk disk = gpt_disk(512);

        memset(disk.bytes + DISK_BYTES - 512, 0, 512); /* no backup */
        if (bad[n].bits == 32)
            imgi_put_le32(disk.bytes + 512 + bad[n].at, (uint32_t)bad[n].value);
        else
            imgi_put_le64(disk.bytes + 512 + bad[n].at, bad[n].value);
        imgi_put_le32(disk.bytes + 512 + 16, 0);
        imgi_put_le32(disk.bytes + 512 + 16, imgi_crc32(0, disk.bytes + 512, 92));
        open_disk(&disk);
        assert_int_equal(count(&disk), 0);
        close_disk(&disk);
        free(disk.bytes);
    }
}

static void test_gpt_entries(void **state)
{
    struct disk disk = gpt_disk(512);

    (void)state;
    put_gpt(&disk, 4, 500, UINT64_MAX);
    put_gpt(&disk, 5, UINT64_MAX, UINT64_MAX);
    put_gpt(&disk, 6, 600, 599);
    put_gpt(&disk, 7, 0, 10);
    put_gpt(&disk, 8, 0, UINT64_MAX);
    open_disk(&disk);
    assert_int_equal(count(&disk), 4);
    check(&disk, 2, 5, 500, DISK_BYTES / 512 - 500);
    check(&disk, 3, 8, 0, 11);
    assert_noticed(&disk, "partition 5 reaches past the end");
    assert_noticed(&disk, "partition 6 is left out");
    assert_noticed(&disk, "partition 7 is left out");
    assert_noticed(&disk, "partition 9 is left out");
    close_disk(&disk);
    free(disk.bytes);
}

/* ----------------------------------------------------------------- anything */

/* Bytes changed at random, in tables whose checksums are right all the same. */
static void test_damage(void **state)
{
    uint64_t seed = 20;

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        struct disk disk = gpt_disk(round % 2 ? 512 : 4096);

        if (round % 4 < 2)
            memset(disk.bytes, 0, 512);
        put_mbr(&disk, 0, 1, 0x05, 100, 1000);
        put_mbr(&disk, 100, 0, 0x83, 1, 10);
        for (unsigned n = 0; n < 12; n++) {
            size_t at = (seed = imgi_scramble(seed + 1)) % (3 * disk.sector);

            disk.bytes[n % 3 ? at : 440 + at % 70] = (uint8_t)(seed >> 40);
        }
        disk.bytes[510] = 0x55;
        disk.bytes[511] = 0xaa;
        if (imgi_get_le64(disk.bytes + disk.sector + 72) == 2)
            seal(&disk, 1);
        open_disk(&disk);
        close_disk(&disk);
        free(disk.bytes);
    }
}

/* The smallest disks there are. */
static void test_tiny(void **state)
{
    struct disk disk = gpt_disk(512);

    (void)state;
    for (size_t size = 0; size <= 2048; size += 256) {
        disk.size = size;
        open_disk(&disk);
        close_disk(&disk);
    }
    free(disk.bytes);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_mbr),          cmocka_unit_test(test_mbr_of_large_sectors),
    cmocka_unit_test(test_mbr_extremes), cmocka_unit_test(test_mbr_chains),
    cmocka_unit_test(test_boot_sectors), cmocka_unit_test(test_gpt),
    cmocka_unit_test(test_gpt_backup),   cmocka_unit_test(test_gpt_grown),
    cmocka_unit_test(test_gpt_extremes), cmocka_unit_test(test_gpt_entries),
    cmocka_unit_test(test_damage),       cmocka_unit_test(test_tiny),
};

int main(void)
{
    return cmocka_run_group_tests_name("partition tables", tests, NULL, NULL);
}
