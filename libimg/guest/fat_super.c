/*
 * The boot sectors of FAT and exFAT. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>

#include "fat.h"

/* BIOS parameter block, in bytes. */
#define SECTOR_SIZE 11u
#define CLUSTER_SECTORS 13u
#define RESERVED_SECTORS 14u
#define TABLES 16u
#define ROOT_ENTRIES 17u
#define SECTORS_16 19u
#define TABLE_SECTORS_16 22u
#define SECTORS_32 32u
#define STATE_16 37u
/* That of FAT32. */
#define TABLE_SECTORS_32 36u
#define EXT_FLAGS 40u
#define ROOT_CLUSTER 44u
#define STATE_32 65u
#define STATE_DIRTY 0x01u

/* exFAT, in bytes; places and lengths are in sectors. */
#define EXFAT_TABLE 80u
#define EXFAT_TABLE_LENGTH 84u
#define EXFAT_HEAP 88u
#define EXFAT_CLUSTERS 92u
#define EXFAT_ROOT 96u
#define EXFAT_FLAGS 106u
#define EXFAT_SECTOR_SHIFT 108u
#define EXFAT_CLUSTER_SHIFT 109u
#define EXFAT_TABLES 110u
#define EXFAT_ACTIVE_FAT 0x01u
#define EXFAT_DIRTY 0x02u

/* Microsoft's rule: the number of clusters decides alone. */
#define FAT12_CLUSTERS 4084u
#define FAT16_CLUSTERS 65524u
#define FAT32_CLUSTERS 0x0ffffff5u

static int bad(img_error *err, const char *what, uint64_t value)
{
    return imgi_fail(err, IMG_E_FORMAT, "boot sector: %s %" PRIu64 " cannot be", what, value);
}

/* What the table must hold, and what the volume does. */
static int check_places(struct imgi_fat *fat, img_error *err)
{
    uint64_t entries = fat->table_size * 8 / fat->bits;

    /* As the kernel has it: what the table cannot tell of is not there. */
    if (entries < (uint64_t)fat->clusters + 2)
        fat->clusters = entries > 2 ? (uint32_t)entries - 2 : 0;
    if (fat->clusters == 0)
        return bad(err, "number of clusters", 0);
    if (!imgi_span_ok(fat->table, fat->table_size, fat->volume->info.size))
        return bad(err, "allocation table at byte", fat->table);
    if (fat->data > fat->volume->info.size)
        return bad(err, "data area at byte", fat->data);
    return 0;
}

/* ------------------------------------------------------------------- exFAT */

static int exfat_super(struct imgi_fat *fat, const uint8_t *boot, img_error *err)
{
    unsigned sector = boot[EXFAT_SECTOR_SHIFT], cluster = boot[EXFAT_CLUSTER_SHIFT];
    unsigned flags = imgi_get_le16(boot + EXFAT_FLAGS);

    if (sector < 9 || sector > 12)
        return bad(err, "sector size 2^", sector);
    if (cluster > 25 - sector)
        return bad(err, "sectors per cluster 2^", cluster);
    fat->bits = 32;
    fat->sector_size = 1u << sector;
    fat->cluster_size = fat->sector_size << cluster;
    fat->table = (uint64_t)imgi_get_le32(boot + EXFAT_TABLE) << sector;
    fat->table_size = (uint64_t)imgi_get_le32(boot + EXFAT_TABLE_LENGTH) << sector;
    fat->two_tables = boot[EXFAT_TABLES] == 2;
    fat->active = fat->two_tables && flags & EXFAT_ACTIVE_FAT ? 1 : 0;
    fat->table += fat->active * fat->table_size;
    fat->tables = 1;
    fat->data = (uint64_t)imgi_get_le32(boot + EXFAT_HEAP) << sector;
    fat->clusters = imgi_get_le32(boot + EXFAT_CLUSTERS);
    fat->root_cluster = imgi_get_le32(boot + EXFAT_ROOT);
    fat->dirty = flags & EXFAT_DIRTY;
    if (fat->clusters > 0xfffffff5u)
        return bad(err, "number of clusters", fat->clusters);
    return check_places(fat, err);
}

/* --------------------------------------------------------------------- FAT */

static int geometry(struct imgi_fat *fat, const uint8_t *boot, img_error *err)
{
    fat->sector_size = imgi_get_le16(boot + SECTOR_SIZE);
    fat->tables = boot[TABLES];
    if (!imgi_is_pow2(fat->sector_size) || fat->sector_size < 512 || fat->sector_size > 4096)
        return bad(err, "sector size", fat->sector_size);
    if (!imgi_is_pow2(boot[CLUSTER_SECTORS]))
        return bad(err, "sectors per cluster", boot[CLUSTER_SECTORS]);
    if (fat->tables == 0)
        return bad(err, "number of allocation tables", 0);
    fat->cluster_size = fat->sector_size * boot[CLUSTER_SECTORS];
    return 0;
}

/* FAT32 may keep one of the copies up to date only. */
static void choose_table(struct imgi_fat *fat, const uint8_t *boot)
{
    unsigned flags = imgi_get_le16(boot + EXT_FLAGS);

    if (!(flags & 0x80) || (flags & 0x0f) >= fat->tables)
        return;
    fat->table += (flags & 0x0f) * fat->table_size;
    fat->tables = 1;
}

static int fat_super(struct imgi_fat *fat, const uint8_t *boot, img_error *err)
{
    uint64_t sectors = imgi_get_le16(boot + SECTORS_16), clusters;
    uint64_t table_sectors = imgi_get_le16(boot + TABLE_SECTORS_16);
    bool fat32 = table_sectors == 0;
    int rc = geometry(fat, boot, err);

    if (rc < 0)
        return rc;
    if (sectors == 0)
        sectors = imgi_get_le32(boot + SECTORS_32);
    if (fat32)
        table_sectors = imgi_get_le32(boot + TABLE_SECTORS_32);
    fat->table = (uint64_t)imgi_get_le16(boot + RESERVED_SECTORS) * fat->sector_size;
    fat->table_size = table_sectors * fat->sector_size;
    fat->root = fat->table + fat->table_size * fat->tables;
    fat->root_size = (uint64_t)imgi_get_le16(boot + ROOT_ENTRIES) * IMGI_FAT_ENTRY;
    fat->data = fat->root + imgi_align_up(fat->root_size, fat->sector_size);
    if (sectors * fat->sector_size < fat->data)
        return bad(err, "number of sectors", sectors);
    clusters = (sectors * fat->sector_size - fat->data) / fat->cluster_size;
    if (clusters > FAT32_CLUSTERS)
        return bad(err, "number of clusters", clusters);
    fat->clusters = (uint32_t)clusters;
    fat->bits = fat32 ? 32 : clusters <= FAT12_CLUSTERS ? 12 : 16;
    if (!fat32 && clusters > FAT16_CLUSTERS)
        return bad(err, "number of clusters", clusters);
    fat->dirty = boot[fat32 ? STATE_32 : STATE_16] & STATE_DIRTY;
    if (fat32) {
        fat->root_cluster = imgi_get_le32(boot + ROOT_CLUSTER);
        choose_table(fat, boot);
    }
    return check_places(fat, err);
}

/* The second entry of the table says so too, in bits of its own. */
static int look_at_table(struct imgi_fat *fat, img_error *err)
{
    uint32_t value, clean = fat->bits == 16 ? 0xc000 : 0x0c000000;
    int rc = fat->bits == 12 ? 0 : imgi_fat_get(fat, 0, 1, &value, err);

    if (rc == 0 && fat->bits != 12 && (value & clean) != clean)
        fat->dirty = true;
    return rc;
}

int imgi_fat_super(struct imgi_fat *fat, img_error *err)
{
    uint8_t boot[512];
    int rc = imgi_volume_read(fat->volume, 0, boot, sizeof(boot), err);

    if (rc < 0)
        return rc;
    if (boot[510] != 0x55 || boot[511] != 0xaa)
        return imgi_fail(err, IMG_E_FORMAT, "boot sector: its signature is missing");
    if (fat->exfat) {
        rc = exfat_super(fat, boot, err);
        return rc < 0 ? rc : imgi_exfat_find_bitmap(fat, err);
    }
    rc = fat_super(fat, boot, err);
    return rc < 0 ? rc : look_at_table(fat, err);
}
