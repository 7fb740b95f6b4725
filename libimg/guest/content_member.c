/*
 * Parts of something larger: RAID arrays, volume groups, pools.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "content.h"

#define KIB 1024u
#define SECTOR 512u

/* -------------------------------------------------------------- Linux's RAID */

#define RAID_MAGIC 0xa92b4efcu

/* Superblocks of version 1 say where they are. */
static bool look_raid1(struct imgi_look *look, uint64_t offset)
{
    uint8_t super[256];

    if (!imgi_look_read(look, offset, super, sizeof(super)) || imgi_get_le32(super) != RAID_MAGIC ||
        imgi_get_le32(super + 4) != 1 || imgi_get_le64(super + 144) != offset / SECTOR)
        return false;
    imgi_look_uuid(look, super + 16);
    imgi_look_label(look, super + 32, 32);
    return true;
}

/* Version 0.90 is in the processor's byte order, 64 KiB or more before the end. */
static bool look_raid0(struct imgi_look *look, uint64_t offset)
{
    uint8_t super[64], uuid[16];
    bool little;

    if (!imgi_look_read(look, offset, super, sizeof(super)))
        return false;
    little = imgi_get_le32(super) == RAID_MAGIC;
    if ((!little && imgi_get_be32(super) != RAID_MAGIC) ||
        (little ? imgi_get_le32(super + 4) : imgi_get_be32(super + 4)) != 0)
        return false;
    memcpy(uuid, super + 20, 4);
    memcpy(uuid + 4, super + 52, 12);
    for (size_t n = 0; n < sizeof(uuid) && little; n += 4)
        imgi_put_be32(uuid + n, imgi_get_le32(uuid + n));
    imgi_look_uuid(look, uuid);
    return true;
}

/* Arrays that a computer's firmware puts together. */
static const char *look_firmware_raid(const struct imgi_look *look, uint64_t size)
{
    uint8_t sector[SECTOR];

    if (size < 4 * SECTOR)
        return NULL;
    size = imgi_align_down(size, SECTOR);
    if (imgi_look_read(look, size - 2 * SECTOR, sector, sizeof(sector)) &&
        memcmp(sector, "Intel Raid ISM Cfg Sig. ", 24) == 0)
        return "isw_raid_member";
    if (imgi_look_read(look, size - SECTOR, sector, sizeof(sector)) &&
        (imgi_get_be32(sector) == 0xde11de11 || imgi_get_le32(sector) == 0xde11de11))
        return "ddf_raid_member";
    return NULL;
}

const char *imgi_look_raid(struct imgi_look *look)
{
    uint64_t size = look->volume->info.size;

    if (size < 128 * KIB)
        return NULL;
    if (look_raid1(look, 0) || look_raid1(look, 4 * KIB) ||
        look_raid1(look, imgi_align_down(size - 8 * KIB, 4 * KIB)) ||
        look_raid0(look, imgi_align_down(size, 64 * KIB) - 64 * KIB))
        return "linux_raid_member";
    return look_firmware_raid(look, size);
}

/* ---------------------------------------------------------------------- LVM */

/* The label is in one of the first four sectors. */
const char *imgi_look_lvm(struct imgi_look *look)
{
    static const uint8_t widths[] = {6, 4, 4, 4, 4, 4, 6};

    for (uint32_t at = 0; at < 4 * SECTOR; at += SECTOR) {
        const uint8_t *label = look->head + at;
        uint32_t start = imgi_get_le32(label + 20);
        size_t used = 0;

        if (memcmp(label, "LABELONE", 8) != 0 || memcmp(label + 24, "LVM2 001", 8) != 0 ||
            imgi_get_le64(label + 8) != at / SECTOR || start < 32 || start > SECTOR - 32)
            continue;
        for (size_t n = 0; n < IMGI_COUNT(widths); start += widths[n], n++)
            used += (size_t)snprintf(look->uuid + used, sizeof(look->uuid) - used, "%s%.*s",
                                     n ? "-" : "", widths[n], (const char *)label + start);
        return "LVM2_member";
    }
    return NULL;
}

/* ---------------------------------------------------------------------- ZFS */

#define LABEL (256 * KIB)      /* two of them begin a volume, two end it */
#define UBERBLOCKS (128 * KIB) /* of a label, one a KiB at least: its second half */
#define UBERBLOCK_MAGIC UINT64_C(0x00bab10c)
#define NEEDED 4u /* one may be left behind by chance */

static unsigned count_uberblocks(const struct imgi_look *look, uint64_t label)
{
    uint8_t blocks[8 * KIB];
    unsigned found = 0;

    for (uint32_t at = UBERBLOCKS; at < LABEL && found < NEEDED; at += sizeof(blocks)) {
        if (!imgi_look_read(look, label + at, blocks, sizeof(blocks)))
            return found;
        for (uint32_t n = 0; n < sizeof(blocks); n += KIB) {
            found += imgi_get_le64(blocks + n) == UBERBLOCK_MAGIC ||
                     imgi_get_be64(blocks + n) == UBERBLOCK_MAGIC;
        }
    }
    return found;
}

const char *imgi_look_zfs(struct imgi_look *look)
{
    uint64_t size = imgi_align_down(look->volume->info.size, LABEL);
    unsigned found = 0;

    for (unsigned n = 0; n < 4 && size >= 4 * LABEL && found < NEEDED; n++)
        found += count_uberblocks(look, n < 2 ? n * LABEL : size - (4 - n) * LABEL);
    return found >= NEEDED ? "zfs_member" : NULL;
}

/* --------------------------------------------------------------------- VMFS */

/* It leaves the first MiB alone. */
const char *imgi_look_vmfs(struct imgi_look *look)
{
    uint8_t magic[4];

    if (imgi_look_read(look, KIB * KIB, magic, 4) && imgi_get_le32(magic) == 0xc001d00d)
        return "VMFS_volume_member";
    if (imgi_look_read(look, 2 * KIB * KIB, magic, 4) && imgi_get_le32(magic) == 0x2fabf15e)
        return "VMFS";
    return NULL;
}
