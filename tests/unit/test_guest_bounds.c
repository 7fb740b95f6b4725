/*
 * Filesystems made up to take more memory than there is, or to have bytes read that are not theirs.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Some of what is wrong shows only where AddressSanitizer looks on.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/fat.h"
#include "guest/ntfs.h"
#include "io/io.h"

#define DISK_BYTES (64u << 10)

/* A volume that is a whole disk in memory. */
struct disk {
    uint8_t bytes[DISK_BYTES];
    struct imgi_volume volume;
};

static struct disk *new_disk(void)
{
    struct disk *disk = calloc(1, sizeof(*disk));

    assert_non_null(disk);
    disk->volume.info.size = DISK_BYTES;
    return disk;
}

/* From here on the disk is what its bytes are. */
static void open_disk(struct disk *disk)
{
    img_open_params params = {.format = "raw"};
    struct imgi_io *io;

    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    assert_int_equal(imgi_io_write(io, disk->bytes, DISK_BYTES, 0, NULL), 0);
    assert_int_equal(imgi_image_open_io(&disk->volume.image, io, "disk", &params, NULL), 0);
}

static void free_disk(struct disk *disk)
{
    img_abandon(disk->volume.image);
    free((char *)disk->volume.info.content);
    free((char *)disk->volume.info.label);
    free((char *)disk->volume.info.uuid);
    free(disk);
}

/* ------------------------------------------------------------------- memory */

static void test_pieces(void **state)
{
    struct imgi_runs runs = {0};
    uint64_t count = 0;
    img_error err = {0};
    int rc;

    (void)state;
    /* Backwards: no piece goes on where the one before it ends. */
    do
        rc = imgi_runs_add(&runs, 512, IMGI_RUN_DATA, ((1u << 23) - count) * 512, &err);
    while (rc == 0 && ++count < 1u << 23);
    assert_int_equal(rc, IMG_E_LIMIT);
    assert_int_equal(count * sizeof(struct imgi_run), 64u << 20);
    assert_non_null(strstr(err.message, "pieces"));
    imgi_runs_free(&runs);
}

/* A directory that has no end. */
static int list_forever(struct img_fs *fs, uint64_t directory, imgi_entry_fn *entry, void *opaque,
                        img_error *err)
{
    int rc = 0;

    (void)fs, (void)directory;
    for (uint64_t n = 0; rc == 0 && n < 1u << 25; n++)
        rc = entry(opaque, "a-name", 6, n + 2, 0, err);
    return rc;
}

static void test_endless_directory(void **state)
{
    static const struct imgi_provider provider = {.list = list_forever};
    img_fs fs = {.provider = &provider};
    img_error err = {0};
    img_dir *dir;

    (void)state;
    pthread_mutex_init(&fs.lock, NULL);
    assert_int_equal(img_dir_open(&dir, &fs, 2, &err), IMG_E_LIMIT);
    assert_null(dir);
    assert_non_null(strstr(err.message, "256 MiB"));
    pthread_mutex_destroy(&fs.lock);
}

/* ---------------------------------------------------------------------- CDs */

/* Nothing ends the digits of a date before the descriptor does. */
static void test_date(void **state)
{
    struct disk *disk = new_disk();
    uint8_t *descriptor = disk->bytes + (32u << 10);

    (void)state;
    memcpy(descriptor, "\1CD001\1", 7);
    memset(descriptor + 40, ' ', 32);
    memset(descriptor + 813, '0', 2048 - 813);
    open_disk(disk);
    assert_int_equal(imgi_content_detect(&disk->volume, NULL), 0);
    assert_string_equal(disk->volume.info.content, "iso9660");
    assert_null(disk->volume.info.uuid);
    free_disk(disk);
}

/* --------------------------------------------------------------------- NTFS */

#define RECORD 1024u
#define ATTRIBUTES 56u

/* A record of the MFT, which is the disk's beginning, without its attributes. */
static uint8_t *put_record(struct disk *disk, unsigned number)
{
    uint8_t *record = disk->bytes + number * RECORD;

    memcpy(record, "FILE", 4);
    imgi_put_le16(record + 4, 48); /* words that are protected: all zeros */
    imgi_put_le16(record + 6, 3);
    imgi_put_le16(record + 20, ATTRIBUTES);
    imgi_put_le16(record + 22, 1); /* in use */
    imgi_put_le32(record + 24, 400);
    memset(record + ATTRIBUTES, 0xff, 4);
    return record;
}

/* An attribute behind which no other one comes. */
static uint8_t *put_attribute(uint8_t *record, uint32_t type, uint32_t length)
{
    uint8_t *attribute = record + ATTRIBUTES;

    imgi_put_le32(attribute, type);
    imgi_put_le32(attribute + 4, length);
    memset(attribute + length, 0xff, 4);
    return attribute;
}

/* A file whose bytes are in its record, and then in clusters too. */
static void test_parts(void **state)
{
    struct disk *disk = new_disk();
    struct imgi_ntfs ntfs = {.volume = &disk->volume,
                             .cluster_size = 512,
                             .record_size = RECORD,
                             .clusters = DISK_BYTES / 512,
                             .mft_size = 3 * RECORD};
    struct imgi_ntfs_record record;
    struct imgi_ntfs_stream stream;
    img_error err = {0};
    uint8_t *at;
    bool found;

    (void)state;
    at = put_attribute(put_record(disk, 0), IMGI_NTFS_ATTRIBUTE_LIST, 24 + 64);
    imgi_put_le32(at + 16, 64);
    at[20] = 24;
    for (unsigned n = 0; n < 2; n++) {
        uint8_t *entry = at + 24 + 32 * n;

        imgi_put_le32(entry, IMGI_NTFS_DATA);
        entry[4] = 32;
        entry[7] = 26;
        entry[16] = (uint8_t)(n + 1);
    }
    at = put_attribute(put_record(disk, 1), IMGI_NTFS_DATA, 40);
    at[16] = 10; /* bytes */
    at[20] = 24;
    at = put_attribute(put_record(disk, 2), IMGI_NTFS_DATA, 72);
    at[8] = 1;
    at[32] = 64;
    imgi_put_le64(at + 48, 4096);
    imgi_put_le64(at + 56, 4096);
    memcpy(at + 64, "\x11\x08\x10", 4); /* 8 clusters from 16 on */
    open_disk(disk);
    assert_int_equal(imgi_runs_add(&ntfs.mft, 3 * RECORD, IMGI_RUN_DATA, 0, NULL), 0);
    assert_int_equal(imgi_ntfs_file_record(&ntfs, 0, &record, NULL), 0);
    assert_true(imgi_ntfs_stream_open(&ntfs, &record, IMGI_NTFS_DATA, "", &stream, &found, &err) <
                0);
    assert_int_equal(err.os_errno, EIO);
    assert_non_null(strstr(err.message, "in its record and in clusters"));
    imgi_ntfs_stream_free(&stream);
    imgi_runs_free(&ntfs.mft);
    free_disk(disk);
}

static void test_resident(void **state)
{
    uint8_t value[4] = "abc", buffer[8] = {0};
    struct imgi_ntfs_stream stream = {.resident = true, .value = value, .size = 3, .valid = 3};
    struct imgi_ntfs ntfs = {0};

    (void)state;
    assert_int_equal(imgi_ntfs_stream_read(&ntfs, &stream, 1, buffer, 2, NULL), 0);
    assert_string_equal(buffer, "bc");
    assert_true(imgi_ntfs_stream_read(&ntfs, &stream, 1, buffer, 3, NULL) < 0);
    assert_true(imgi_ntfs_resident_read(&stream, 4, buffer, 1, NULL) < 0);
    assert_true(imgi_ntfs_resident_read(&stream, UINT64_MAX, buffer, 2, NULL) < 0);
}

/* -------------------------------------------------------------------- exFAT */

#define TABLE 1024u
#define TABLE_BYTES 512u
#define HEAP 4096u
#define CLUSTERS 64u

/* A volume with a root directory in cluster 4 that has a bitmap for each of two tables. */
static struct disk *new_exfat(unsigned tables, unsigned active)
{
    struct disk *disk = new_disk();
    uint8_t *boot = disk->bytes, *root = disk->bytes + HEAP + 2 * 512;

    imgi_put_le32(boot + 80, TABLE / 512);
    imgi_put_le32(boot + 84, TABLE_BYTES / 512);
    imgi_put_le32(boot + 88, HEAP / 512);
    imgi_put_le32(boot + 92, CLUSTERS);
    imgi_put_le32(boot + 96, 4);
    boot[106] = (uint8_t)active;
    boot[108] = 9;
    boot[110] = (uint8_t)tables;
    boot[510] = 0x55;
    boot[511] = 0xaa;
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned cluster = 2; cluster < 5; cluster++)
            imgi_put_le32(disk->bytes + TABLE + n * TABLE_BYTES + 4 * cluster, UINT32_MAX);
        root[32 * n] = 0x81;
        root[32 * n + 1] = (uint8_t)n;
        imgi_put_le32(root + 32 * n + 20, 2 + n);
        imgi_put_le64(root + 32 * n + 24, CLUSTERS / 8);
    }
    open_disk(disk);
    return disk;
}

static int ignore(void *opaque, uint64_t offset, uint64_t length, img_error *err)
{
    (void)opaque, (void)offset, (void)length, (void)err;
    return 0;
}

static void check_exfat(unsigned tables, unsigned active, uint32_t bitmap, int unused)
{
    struct disk *disk = new_exfat(tables, active);
    img_fs fs = {.volume = &disk->volume};
    struct imgi_fat *fat;
    img_error err = {0};

    disk->volume.info.content = strdup("exfat");
    assert_int_equal(imgi_provider_fat.open(&fs, &err), 0);
    fat = fs.state;
    assert_int_equal(fat->bitmap_cluster, bitmap);
    assert_int_equal(fat->table, TABLE + (bitmap - 2) * TABLE_BYTES);
    assert_int_equal(imgi_provider_fat.unused(&fs, ignore, NULL, &err), unused);
    imgi_provider_fat.close(&fs);
    free_disk(disk);
}

static void test_bitmaps(void **state)
{
    (void)state;
    check_exfat(1, 0, 2, 0);
    check_exfat(1, 1, 2, 0); /* there is no other one */
    check_exfat(2, 0, 2, IMG_E_UNSUPPORTED);
    check_exfat(2, 1, 3, IMG_E_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),   cmocka_unit_test(test_endless_directory),
        cmocka_unit_test(test_date),     cmocka_unit_test(test_parts),
        cmocka_unit_test(test_resident), cmocka_unit_test(test_bitmaps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
