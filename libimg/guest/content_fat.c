/*
 * Filesystems of DOS and Windows: their labels and serial numbers.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "content.h"

/* Where the parts of a FAT filesystem are. */
struct fat {
    uint32_t sector, cluster;   /* bytes */
    uint64_t table, root, heap; /* bytes from the beginning */
    uint32_t root_bytes;        /* of FAT12 and FAT16 */
    uint32_t root_cluster;      /* of FAT32 */
    bool is_32;
};

#define ENTRY 32u
#define ROOT_CLUSTERS 64u /* of the root directory that are looked through */
#define CLUSTER_MAX (64u << 10)

bool imgi_is_fat(const uint8_t sector[512])
{
    uint16_t bytes = imgi_get_le16(sector + 11);
    uint8_t media = sector[21];

    return (sector[0] == 0xeb || sector[0] == 0xe9) && sector[510] == 0x55 && sector[511] == 0xaa &&
           bytes >= 512 && bytes <= 4096 && imgi_is_pow2(bytes) && imgi_is_pow2(sector[13]) &&
           imgi_get_le16(sector + 14) != 0 && sector[16] >= 1 && sector[16] <= 2 &&
           (media == 0xf0 || media >= 0xf8) &&
           (imgi_get_le16(sector + 22) != 0 || imgi_get_le32(sector + 36) != 0) &&
           (imgi_get_le16(sector + 19) != 0 || imgi_get_le32(sector + 32) != 0);
}

static struct fat decode_fat(const uint8_t *boot)
{
    struct fat fat = {.sector = imgi_get_le16(boot + 11), .is_32 = imgi_get_le16(boot + 22) == 0};
    uint32_t length = fat.is_32 ? imgi_get_le32(boot + 36) : imgi_get_le16(boot + 22);

    fat.cluster = fat.sector * boot[13];
    fat.table = (uint64_t)imgi_get_le16(boot + 14) * fat.sector;
    fat.root = fat.table + (uint64_t)boot[16] * length * fat.sector;
    fat.root_bytes = (uint32_t)imgi_get_le16(boot + 17) * ENTRY;
    fat.heap = fat.root + imgi_align_up(fat.root_bytes, fat.sector);
    fat.root_cluster = imgi_get_le32(boot + 44);
    return fat;
}

/* The label in a piece of the root directory. Returns whether to go on. */
static bool look_through(struct imgi_look *look, uint64_t offset, uint32_t length)
{
    uint8_t entries[4096];

    for (uint32_t at = 0; at < length; at += ENTRY) {
        uint8_t *entry = entries + at % sizeof(entries);

        if (at % sizeof(entries) == 0 &&
            !imgi_look_read(look, offset + at, entries,
                            IMGI_MIN(sizeof(entries), (size_t)(length - at))))
            return false;
        if (entry[0] == 0)
            return false;
        if (entry[0] == 0xe5 || (entry[11] & 0x3f) == 0x0f || (entry[11] & 0x18) != 0x08)
            continue;
        if (entry[0] == 0x05)
            entry[0] = 0xe5;
        imgi_look_label(look, entry, 11);
        return false;
    }
    return true;
}

static void look_for_label(struct imgi_look *look, const struct fat *fat)
{
    uint32_t cluster = fat->root_cluster;
    uint8_t next[4];

    if (!fat->is_32) {
        look_through(look, fat->root, fat->root_bytes);
        return;
    }
    for (unsigned n = 0; n < ROOT_CLUSTERS && cluster >= 2 && cluster < 0x0ffffff7; n++) {
        if (!look_through(look, fat->heap + (uint64_t)(cluster - 2) * fat->cluster, fat->cluster) ||
            !imgi_look_read(look, fat->table + (uint64_t)cluster * 4, next, sizeof(next)))
            return;
        cluster = imgi_get_le32(next) & 0x0fffffff;
    }
}

static void set_serial(struct imgi_look *look, const uint8_t *bytes)
{
    if (imgi_get_le32(bytes) != 0)
        snprintf(look->uuid, sizeof(look->uuid), "%02X%02X-%02X%02X", bytes[3], bytes[2], bytes[1],
                 bytes[0]);
}

const char *imgi_look_vfat(struct imgi_look *look)
{
    struct fat fat;

    if (!imgi_is_fat(look->head))
        return NULL;
    fat = decode_fat(look->head);
    look_for_label(look, &fat);
    set_serial(look, look->head + (fat.is_32 ? 67 : 39));
    return "vfat";
}

/* ------------------------------------------------------------------- exFAT */

const char *imgi_look_exfat(struct imgi_look *look)
{
    const uint8_t *boot = look->head;
    unsigned sector_bits = boot[108], cluster_bits = sector_bits + boot[109];
    uint32_t root = imgi_get_le32(boot + 96);
    uint8_t entry[ENTRY];
    uint64_t offset;

    if (memcmp(boot + 3, "EXFAT   ", 8) != 0 || sector_bits < 9 || sector_bits > 12 ||
        cluster_bits > 25)
        return NULL;
    set_serial(look, boot + 100);
    offset = ((uint64_t)imgi_get_le32(boot + 88) << sector_bits) +
             ((uint64_t)(IMGI_MAX(root, 2) - 2) << cluster_bits);
    for (uint64_t at = 0; at < IMGI_MIN(UINT64_C(1) << cluster_bits, CLUSTER_MAX); at += ENTRY) {
        if (!imgi_look_read(look, offset + at, entry, ENTRY) || entry[0] == 0)
            break;
        if (entry[0] == 0x83) {
            imgi_look_label_utf16(look, entry + 2, 2 * IMGI_MIN((size_t)entry[1], 11), false);
            break;
        }
    }
    return "exfat";
}

/* -------------------------------------------------------------------- NTFS */

#define RECORD_MAX 4096u
#define VOLUME_RECORD 3u
#define VOLUME_NAME 0x60u

/* The label, from the attributes of a record. */
static void look_for_name(struct imgi_look *look, const uint8_t *record, uint32_t length)
{
    uint32_t at = imgi_get_le16(record + 20);

    while (memcmp(record, "FILE", 4) == 0 && at + 24 <= length) {
        const uint8_t *attribute = record + at;
        uint32_t size = imgi_get_le32(attribute + 4), value = imgi_get_le32(attribute + 16);
        uint32_t start = imgi_get_le16(attribute + 20);

        if (size < 24 || size > length - at)
            return;
        if (imgi_get_le32(attribute) == VOLUME_NAME && attribute[8] == 0 && start <= size &&
            value <= size - start) {
            imgi_look_label_utf16(look, attribute + start, value, false);
            return;
        }
        at += size;
    }
}

const char *imgi_look_ntfs(struct imgi_look *look)
{
    const uint8_t *boot = look->head;
    uint32_t sector = imgi_get_le16(boot + 11), per_cluster = boot[13];
    int8_t per_record = (int8_t)boot[64];
    uint8_t record[RECORD_MAX];
    uint64_t cluster, length, table;

    if (memcmp(boot + 3, "NTFS    ", 8) != 0 || !imgi_is_pow2(sector) || sector < 256 ||
        sector > 4096)
        return NULL;
    /* Clusters of more than 128 sectors are given as a power of two, negative. */
    cluster = per_cluster > 0xf0 ? (uint64_t)sector << (0x100 - per_cluster)
                                 : (uint64_t)sector * per_cluster;
    length = per_record > 0     ? cluster * (uint64_t)per_record
             : per_record > -32 ? UINT64_C(1) << -per_record
                                : 0;
    if (imgi_get_le64(boot + 72) != 0)
        snprintf(look->uuid, sizeof(look->uuid), "%016" PRIX64, imgi_get_le64(boot + 72));
    if (length >= 256 && length <= sizeof(record) &&
        imgi_mul(imgi_get_le64(boot + 48), cluster, &table) &&
        imgi_add(table, VOLUME_RECORD * length, &table) &&
        imgi_look_read(look, table, record, (size_t)length))
        look_for_name(look, record, (uint32_t)length);
    return "ntfs";
}
