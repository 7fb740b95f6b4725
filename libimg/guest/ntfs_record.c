/*
 * NTFS: the boot sector, and records of the MFT. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ntfs.h"

/* The boot sector, in bytes. */
#define SECTOR_SIZE 11u
#define CLUSTER_SECTORS 13u
#define SECTORS 40u
#define MFT 48u
#define RECORD_SIZE 64u
#define INDEX_SIZE 68u

#define CLUSTER_MAX (2u << 20)

/* A record, in bytes. */
#define FIXUPS 4u
#define FIXUP_COUNT 6u
#define LINKS 18u
#define ATTRIBUTES 20u
#define FLAGS 22u
#define IN_USE 0x01u
#define DIRECTORY 0x02u
#define USED 24u
#define BASE 32u
#define STRIDE 512u /* each has a word at its end that is protected */

/* ------------------------------------------------------------------ records */

/* The last words of all sectors are kept in front; where they stood is a number, the same for all:
 * a write that was cut short shows. */
int imgi_ntfs_unprotect(uint8_t *bytes, uint32_t size, const char magic[4], img_error *err)
{
    unsigned at = imgi_get_le16(bytes + FIXUPS), count = imgi_get_le16(bytes + FIXUP_COUNT);

    if (memcmp(bytes, magic, 4) != 0)
        return imgi_fail_errno(err, EIO, "there is no %.4s record", magic);
    if (count != size / STRIDE + 1 || at % 2 != 0 || at + 2 * count > STRIDE - 2)
        return imgi_fail_errno(err, EIO, "a %.4s record is broken", magic);
    for (unsigned n = 1; n < count; n++) {
        uint8_t *last = bytes + n * STRIDE - 2;

        if (memcmp(last, bytes + at, 2) != 0)
            return imgi_fail_errno(err, EIO, "a %.4s record was not written as a whole", magic);
        memcpy(last, bytes + at + 2 * n, 2);
    }
    return 0;
}

static int decode(const struct imgi_ntfs *ntfs, struct imgi_ntfs_record *record, img_error *err)
{
    const uint8_t *bytes = record->bytes;
    unsigned flags;
    int rc = imgi_ntfs_unprotect(record->bytes, ntfs->record_size, "FILE", err);

    if (rc < 0) {
        imgi_error_prefix(err, "inode %" PRIu64, record->number);
        return rc;
    }
    flags = imgi_get_le16(bytes + FLAGS);
    if (!(flags & IN_USE))
        return imgi_fail_errno(err, ENOENT, "inode %" PRIu64, record->number);
    record->directory = flags & DIRECTORY;
    record->links = imgi_get_le16(bytes + LINKS);
    record->first = imgi_get_le16(bytes + ATTRIBUTES);
    record->used = IMGI_MIN(imgi_get_le32(bytes + USED), ntfs->record_size);
    return 0;
}

int imgi_ntfs_file_record(const struct imgi_ntfs *ntfs, uint64_t number,
                          struct imgi_ntfs_record *record, img_error *err)
{
    int rc;

    if (number >= ntfs->mft_size / ntfs->record_size)
        return imgi_fail_errno(err, ENOENT, "inode %" PRIu64, number);
    record->number = number;
    rc = imgi_runs_read(&ntfs->mft, ntfs->volume, number * ntfs->record_size, record->bytes,
                        ntfs->record_size, err);
    return rc < 0 ? rc : decode(ntfs, record, err);
}

/* --------------------------------------------------------------- attributes */

#define ATTRIBUTE_HEADER 16u /* what all have; what there is at least, is 24 bytes */
#define NON_RESIDENT 8u
#define NAME_LENGTH 9u
#define VALUE_LENGTH 16u
#define VALUE 20u

bool imgi_ntfs_next(const struct imgi_ntfs_record *record, struct imgi_ntfs_attribute *attribute)
{
    uint32_t at = attribute->bytes
                      ? (uint32_t)(attribute->bytes - record->bytes) + attribute->length
                      : record->first;

    if (at > record->used || record->used - at < ATTRIBUTE_HEADER)
        return false;
    attribute->bytes = record->bytes + at;
    attribute->type = imgi_get_le32(attribute->bytes);
    attribute->length = imgi_get_le32(attribute->bytes + 4);
    return attribute->type != UINT32_MAX && attribute->length >= 24 &&
           attribute->length <= record->used - at;
}

bool imgi_ntfs_value(const struct imgi_ntfs_attribute *attribute, const uint8_t **value,
                     uint32_t *length)
{
    uint32_t at = imgi_get_le16(attribute->bytes + VALUE);

    *length = imgi_get_le32(attribute->bytes + VALUE_LENGTH);
    *value = attribute->bytes + at;
    return !attribute->bytes[NON_RESIDENT] && imgi_span_ok(at, *length, attribute->length);
}

const uint8_t *imgi_ntfs_resident(const struct imgi_ntfs_record *record, uint32_t type,
                                  size_t *length)
{
    struct imgi_ntfs_attribute attribute = {0};

    while (imgi_ntfs_next(record, &attribute)) {
        const uint8_t *value;
        uint32_t bytes;

        if (attribute.type != type || attribute.bytes[NAME_LENGTH] != 0 ||
            !imgi_ntfs_value(&attribute, &value, &bytes))
            continue;
        *length = bytes;
        return value;
    }
    return NULL;
}

/* --------------------------------------------------------------- boot sector */

static int bad(img_error *err, const char *what, uint64_t value)
{
    return imgi_fail(err, IMG_E_FORMAT, "boot sector: %s %" PRIu64 " cannot be", what, value);
}

/* A number of clusters, or if it is negative, the exponent of a number of bytes. */
static uint32_t size_of(uint8_t byte, uint32_t cluster_size)
{
    if (byte < 0x80)
        return byte > IMGI_NTFS_RECORD_MAX * 16 / cluster_size ? 0 : byte * cluster_size;
    return 256u - byte < 31 ? 1u << (256u - byte) : 0;
}

static int geometry(struct imgi_ntfs *ntfs, const uint8_t *boot, img_error *err)
{
    uint32_t sector = imgi_get_le16(boot + SECTOR_SIZE), sectors = boot[CLUSTER_SECTORS];
    uint64_t size;

    if (!imgi_is_pow2(sector) || sector < 256 || sector > 4096)
        return bad(err, "sector size", sector);
    if (sectors > 0x80)
        sectors = 256 - sectors < 16 ? 1u << (256 - sectors) : 0;
    if (!imgi_is_pow2(sectors) || sectors > CLUSTER_MAX / sector)
        return bad(err, "sectors per cluster", boot[CLUSTER_SECTORS]);
    ntfs->cluster_size = sector * sectors;
    ntfs->record_size = size_of(boot[RECORD_SIZE], ntfs->cluster_size);
    ntfs->index_size = size_of(boot[INDEX_SIZE], ntfs->cluster_size);
    if (!imgi_is_pow2(ntfs->record_size) || ntfs->record_size < STRIDE ||
        ntfs->record_size > IMGI_NTFS_RECORD_MAX)
        return bad(err, "size of records", ntfs->record_size);
    if (!imgi_mul(imgi_get_le64(boot + SECTORS), sector, &size) || size > ntfs->volume->info.size)
        return bad(err, "number of sectors", imgi_get_le64(boot + SECTORS));
    ntfs->clusters = size / ntfs->cluster_size;
    return 0;
}

/* Let the MFT be what the stream says, which is taken over. */
static int set_mft(struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record, img_error *err)
{
    struct imgi_ntfs_stream stream;
    bool found;
    int rc = imgi_ntfs_stream_open(ntfs, record, IMGI_NTFS_DATA, "", &stream, &found, err);

    if (rc == 0 && (!found || stream.resident))
        rc = imgi_fail(err, IMG_E_CORRUPT, "the MFT has no data");
    if (rc < 0) {
        imgi_ntfs_stream_free(&stream);
        return rc;
    }
    imgi_runs_free(&ntfs->mft);
    ntfs->mft = stream.runs;
    ntfs->mft_size = IMGI_MIN(stream.size, stream.runs.end);
    return 0;
}

/*
 * The MFT's first record says where all of it is; if not by itself, then by others, which are in
 * the part that is known by then.
 */
static int find_mft(struct imgi_ntfs *ntfs, uint64_t cluster, img_error *err)
{
    struct imgi_ntfs_record record = {.number = IMGI_NTFS_FILE_MFT};
    int rc;

    if (cluster >= ntfs->clusters)
        return bad(err, "MFT at cluster", cluster);
    rc = imgi_volume_read(ntfs->volume, cluster * ntfs->cluster_size, record.bytes,
                          ntfs->record_size, err);
    if (rc == 0)
        rc = decode(ntfs, &record, err);
    if (rc == 0)
        rc = set_mft(ntfs, &record, err);
    return rc < 0 ? rc : set_mft(ntfs, &record, err);
}

int imgi_ntfs_super(struct imgi_ntfs *ntfs, img_error *err)
{
    uint8_t boot[512];
    int rc = imgi_volume_read(ntfs->volume, 0, boot, sizeof(boot), err);

    if (rc == 0 && memcmp(boot + 3, "NTFS    ", 8) != 0)
        return imgi_fail(err, IMG_E_FORMAT, "boot sector: it is not one of NTFS");
    if (rc == 0)
        rc = geometry(ntfs, boot, err);
    return rc < 0 ? rc : find_mft(ntfs, imgi_get_le64(boot + MFT), err);
}
