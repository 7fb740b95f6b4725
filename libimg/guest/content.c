/*
 * What a volume holds. SPDX-License-Identifier: BSD-2-Clause
 *
 * Names, labels and UUIDs are those that blkid(8) gives. Most kinds are told by a few bytes at a
 * fixed place, which a table has; the others have a function.
 */
#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "util/iszero.h"

#define KIB 1024u

bool imgi_look_read(const struct imgi_look *look, uint64_t offset, void *buffer, size_t length)
{
    return imgi_volume_read(look->volume, offset, buffer, length, NULL) == 0;
}

void imgi_look_label(struct imgi_look *look, const uint8_t *bytes, size_t length)
{
    length = strnlen((const char *)bytes, IMGI_MIN(length, sizeof(look->label) - 1));
    while (length > 0 && bytes[length - 1] == ' ')
        length--;
    memcpy(look->label, bytes, length);
    look->label[length] = '\0';
}

void imgi_look_label_utf16(struct imgi_look *look, const uint8_t *bytes, size_t length,
                           bool big_endian)
{
    if (!imgi_utf16_decode(bytes, IMGI_MIN(length, 2 * IMGI_LABEL_UNITS), big_endian, look->label))
        look->label[0] = '\0';
    imgi_look_label(look, (const uint8_t *)look->label, strlen(look->label));
}

void imgi_look_uuid(struct imgi_look *look, const uint8_t *bytes)
{
    if (!imgi_is_zero(bytes, 16))
        imgi_uuid_text(bytes, look->uuid);
}

/* ----------------------------------------------------------------- ext2/3/4 */

/* Features that the older ones may have. */
#define EXT_HAS_JOURNAL 0x4u /* compatible */
#define EXT_JOURNAL_DEVICE 0x8u
#define EXT2_INCOMPATIBLE 0x12u /* types in directories, meta block groups */
#define EXT3_INCOMPATIBLE (EXT2_INCOMPATIBLE | 0x4u /* the journal is to be replayed */)
#define EXT3_READ_ONLY 0x7u /* sparse superblocks, large files, btrees */

static const char *look_ext(struct imgi_look *look)
{
    const uint8_t *super = look->head + KIB;
    uint32_t compatible = imgi_get_le32(super + 0x5c), incompatible = imgi_get_le32(super + 0x60);
    bool journal = compatible & EXT_HAS_JOURNAL;
    bool old = (imgi_get_le32(super + 0x64) & ~EXT3_READ_ONLY) == 0;

    if (imgi_get_le16(super + 0x38) != 0xef53 || imgi_get_le32(super + 0x18) > 6 ||
        imgi_get_le32(super + 0x20) == 0)
        return NULL;
    imgi_look_label(look, super + 0x78, 16);
    imgi_look_uuid(look, super + 0x68);
    if (incompatible & EXT_JOURNAL_DEVICE)
        return "jbd";
    if (old && !journal && (incompatible & ~EXT2_INCOMPATIBLE) == 0)
        return "ext2";
    if (old && journal && (incompatible & ~EXT3_INCOMPATIBLE) == 0)
        return "ext3";
    return "ext4";
}

/* -------------------------------------------------------------------- swap */

/* A signature alone may be left over: mkfs of a filesystem does not write where it is. */
static bool is_swap_header(const uint8_t *header)
{
    return (imgi_get_le32(header) == 1 || imgi_get_be32(header) == 1) &&
           imgi_get_le32(header + 4) != 0;
}

/* The signature ends the first page, whose size depends on the processor. */
static const char *look_swap(struct imgi_look *look)
{
    static const char *const asleep[] = {"S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"};
    static const uint32_t pages[] = {4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB};

    for (size_t n = 0; n < IMGI_COUNT(pages); n++) {
        const uint8_t *end = look->head + pages[n] - 10;

        if (memcmp(end, "SWAPSPACE2", 10) == 0 && is_swap_header(look->head + KIB)) {
            imgi_look_uuid(look, look->head + KIB + 12);
            imgi_look_label(look, look->head + KIB + 28, 16);
            return "swap";
        }
        if (memcmp(end, "SWAP-SPACE", 10) == 0)
            return "swap";
        for (size_t m = 0; m < IMGI_COUNT(asleep); m++) {
            if (memcmp(end, asleep[m], strlen(asleep[m])) == 0)
                return "swsuspend";
        }
    }
    return NULL;
}

/* --------------------------------------------------------------- the table */

static const char *look_luks(struct imgi_look *look)
{
    const uint8_t *head = look->head;

    if (memcmp(head, "LUKS\xba\xbe", 6) != 0)
        return NULL;
    memcpy(look->uuid, head + 168, 40);
    if (imgi_get_be16(head + 6) == 2)
        imgi_look_label(look, head + 24, 48);
    return "crypto_LUKS";
}

static const char *look_f2fs(struct imgi_look *look)
{
    if (imgi_get_le32(look->head + KIB) != 0xf2f52010)
        return NULL;
    imgi_look_uuid(look, look->head + KIB + 108);
    imgi_look_label_utf16(look, look->head + KIB + 124, 1024, false);
    return "f2fs";
}

static const char *look_nilfs(struct imgi_look *look)
{
    const uint8_t *super = look->head + KIB;

    if (imgi_get_le16(super + 6) != 0x3434 || imgi_get_le32(super) != 2)
        return NULL;
    imgi_look_uuid(look, super + 152);
    imgi_look_label(look, super + 168, 80);
    return "nilfs2";
}

/* A kind of content, by its bytes in the head. */
struct signature {
    const char *name;
    uint32_t at;
    uint32_t length;
    const char *magic;
    uint32_t uuid; /* where 16 bytes of it are, or 0 */
    uint32_t label, label_length;
};

static const struct signature signatures[] = {
    {"BitLocker", 3, 8, "-FVE-FS-", 0, 0, 0},
    {"ReFS", 0, 8, "\0\0\0ReFS", 0, 0, 0},
    {"oracleasm", 32, 8, "ORCLDISK", 0, 40, 24},
    {"ceph_bluestore", 0, 22, "bluestore block device", 0, 0, 0},
    {"vdo", 0, 8, "dmvdo001", 0, 0, 0},
    {"stratis", 512 + 4, 16, "!Stra0tis\x86\xff\x02^\x41rh", 0, 0, 0},
    {"bcachefs", 4 * KIB + 24, 16,
     "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", 4 * KIB + 56, 0, 0},
    {"bcache", 4 * KIB + 24, 16, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
     4 * KIB + 40, 0, 0},
    {"xfs", 0, 4, "XFSB", 32, 108, 12},
    {"btrfs", 64 * KIB + 64, 8, "_BHRfS_M", 64 * KIB + 32, 64 * KIB + 299, 256},
    {"reiserfs", 64 * KIB + 52, 8, "ReIsErFs", 0, 0, 0},
    {"reiserfs", 64 * KIB + 52, 9, "ReIsEr2Fs", 64 * KIB + 84, 64 * KIB + 100, 16},
    {"reiserfs", 64 * KIB + 52, 9, "ReIsEr3Fs", 64 * KIB + 84, 64 * KIB + 100, 16},
    {"reiser4", 64 * KIB, 7, "ReIsEr4", 64 * KIB + 20, 64 * KIB + 36, 16},
    {"jfs", 32 * KIB, 4, "JFS1", 32 * KIB + 136, 32 * KIB + 152, 16},
    {"squashfs", 0, 4, "hsqs", 0, 0, 0},
    {"squashfs", 0, 4, "sqsh", 0, 0, 0},
    {"erofs", KIB, 4, "\xe2\xe1\xf5\xe0", KIB + 48, KIB + 64, 16},
    {"cramfs", 0, 4, "\x45\x3d\xcd\x28", 0, 48, 16},
    {"romfs", 0, 8, "-rom1fs-", 0, 16, 16},
    {"apfs", 32, 4, "NXSB", 72, 0, 0},
    {"ocfs2", 8 * KIB, 6, "OCFSV2", 8 * KIB + 336, 8 * KIB + 272, 64},
    {"gfs2", 64 * KIB, 8, "\x01\x16\x19\x70\0\0\0\x01", 0, 64 * KIB + 160, 64},
    {"ufs", 8 * KIB + 1372, 4, "\x54\x19\x01\x00", 0, 0, 0},
    {"ufs", 64 * KIB + 1372, 4, "\x19\x01\x54\x19", 0, 0, 0},
};

static const char *look_signatures(struct imgi_look *look)
{
    for (size_t n = 0; n < IMGI_COUNT(signatures); n++) {
        const struct signature *kind = &signatures[n];

        if (memcmp(look->head + kind->at, kind->magic, kind->length) != 0)
            continue;
        if (kind->uuid)
            imgi_look_uuid(look, look->head + kind->uuid);
        if (kind->label)
            imgi_look_label(look, look->head + kind->label, kind->label_length);
        return kind->name;
    }
    return NULL;
}

/*
 * In this order: what is a part of something larger first, for the larger thing may begin like a
 * filesystem.
 */
static const struct detector {
    const char *(*look)(struct imgi_look *look);
    bool beside_table; /* may be on a disk that has partitions, too */
} detectors[] = {
    {imgi_look_raid, true},   {look_luks, false},      {imgi_look_lvm, false},
    {imgi_look_exfat, false}, {imgi_look_ntfs, false}, {look_signatures, false},
    {imgi_look_vfat, false},  {look_swap, false},      {look_ext, false},
    {imgi_look_disc, true},   {imgi_look_hfs, false},  {look_f2fs, false},
    {look_nilfs, false},      {imgi_look_zfs, false},  {imgi_look_vmfs, false},
};

static bool holds_files(const char *content)
{
    static const char *const others[] = {
        "linux_raid_member", "crypto_LUKS", "LVM2_member", "isw_raid_member",
        "ddf_raid_member",   "swap",        "swsuspend",   "jbd",
        "zfs_member",        "bcache",      "BitLocker",   "oracleasm",
        "ceph_bluestore",    "vdo",         "stratis",     "VMFS_volume_member"};

    for (size_t n = 0; n < IMGI_COUNT(others); n++) {
        if (strcmp(content, others[n]) == 0)
            return false;
    }
    return true;
}

bool imgi_content_is_boot_sector(const uint8_t sector[512])
{
    return imgi_is_fat(sector) || memcmp(sector + 3, "NTFS    ", 8) == 0 ||
           memcmp(sector + 3, "EXFAT   ", 8) == 0 || memcmp(sector + 3, "-FVE-FS-", 8) == 0;
}

/* ---------------------------------------------------------------- volumes */

/* A copy of a text, NULL when it is empty. *complete: there was memory for it. */
static char *copy(const char *text, bool *complete)
{
    char *result = text[0] ? strdup(text) : NULL;

    *complete = *complete && (result || !text[0]);
    return result;
}

static int keep(struct imgi_volume *volume, const char *content, const struct imgi_look *look,
                img_error *err)
{
    bool complete = true;

    volume->info.content = copy(content, &complete);
    volume->info.label = copy(look->label, &complete);
    volume->info.uuid = copy(look->uuid, &complete);
    volume->info.holds_filesystem = holds_files(content);
    return complete ? 0 : imgi_fail_nomem(err, "a volume");
}

/* All detectors look: what was seen first is kept, and whether another one disagrees. */
static int look_at_all(struct imgi_volume *volume, struct imgi_look *look, img_error *err)
{
    int rc = 0;

    for (size_t n = 0; rc == 0 && n < IMGI_COUNT(detectors); n++) {
        const char *content;

        look->label[0] = look->uuid[0] = '\0';
        content = detectors[n].look(look);
        if (!content)
            continue;
        if (!volume->info.content && (!volume->partitioned || detectors[n].beside_table))
            rc = keep(volume, content, look, err);
        else if (!volume->also)
            volume->also = content;
    }
    return rc;
}

int imgi_content_detect(struct imgi_volume *volume, img_error *err)
{
    struct imgi_look *look;
    size_t length = (size_t)IMGI_MIN(volume->info.size, IMGI_LOOK_BYTES);
    int rc = 0;

    if (volume->extended || !volume->image)
        return 0;
    look = calloc(1, sizeof(*look) + IMGI_LOOK_BYTES);
    if (!look)
        return imgi_fail_nomem(err, "a volume");
    look->volume = volume;
    look->head = (uint8_t *)(look + 1);
    if (imgi_look_read(look, 0, look->head, length))
        rc = look_at_all(volume, look, err);
    free(look);
    return rc;
}

bool imgi_content_is_known(img_image *image, uint64_t offset, uint64_t size)
{
    struct imgi_volume volume = {.image = image, .info = {.offset = offset, .size = size}};
    bool known = imgi_content_detect(&volume, NULL) == 0 && volume.info.content;

    free((char *)volume.info.content);
    free((char *)volume.info.label);
    free((char *)volume.info.uuid);
    return known;
}
