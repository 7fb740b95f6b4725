/*
 * Directories of exFAT. SPDX-License-Identifier: BSD-2-Clause
 *
 * A file is a set of entries: one with attributes and times, one that says where its bytes are,
 * then its name in parts. The set may go on in the directory's next cluster.
 */
#include <errno.h>
#include <string.h>

#include "fat.h"

/* Types of entries. */
#define BITMAP 0x81u
#define BITMAP_FLAGS 1u /* the first bit: for which of the tables */
#define FILE_ENTRY 0x85u
#define STREAM 0xc0u
#define NAME 0xc1u

/* A file's first entry, in bytes. */
#define SECONDARIES 1u
#define CHECKSUM 2u
#define ATTRIBUTES 4u
#define CREATED 8u
#define MODIFIED 12u
#define ACCESSED 16u
#define CREATED_HUNDREDTHS 20u
#define MODIFIED_HUNDREDTHS 21u
#define CREATED_ZONE 22u
#define MODIFIED_ZONE 23u
#define ACCESSED_ZONE 24u
/* Its second one. */
#define STREAM_FLAGS 1u
#define STREAM_CONTIGUOUS 0x02u
#define NAME_LENGTH 3u
#define VALID 8u
#define CLUSTER 20u
#define SIZE 24u
/* A part of the name. */
#define NAME_PART 2u
#define PART_UNITS 15u

#define SET_MAX 19u /* the two, and 17 parts of a name */

/* A set of entries, as far as it has been read. */
struct set {
    uint8_t entries[SET_MAX][IMGI_FAT_ENTRY];
    unsigned count, wanted; /* wanted 0: none */
    uint64_t place;
};

/* ------------------------------------------------------------------ one file */

/* A zone is a number of quarters of an hour east of UTC, if it says that it is one. */
static int64_t seconds_of(const uint8_t *at, uint8_t zone)
{
    int quarters = (zone & 0x7f) - (zone & 0x40 ? 128 : 0);
    int64_t seconds = imgi_fat_seconds(imgi_get_le16(at + 2), imgi_get_le16(at));

    return zone & 0x80 ? seconds - quarters * 900 : seconds;
}

static void decode(const uint8_t *file, const uint8_t *stream, uint64_t place,
                   struct imgi_fat_node *node)
{
    unsigned created = file[CREATED_HUNDREDTHS], modified = file[MODIFIED_HUNDREDTHS];

    *node = (struct imgi_fat_node){
        .inode = place / IMGI_FAT_ENTRY,
        .attributes = imgi_get_le16(file + ATTRIBUTES),
        .cluster = imgi_get_le32(stream + CLUSTER),
        .contiguous = stream[STREAM_FLAGS] & STREAM_CONTIGUOUS,
        .size = imgi_get_le64(stream + SIZE),
        .valid = imgi_get_le64(stream + VALID),
        .atime = seconds_of(file + ACCESSED, file[ACCESSED_ZONE]),
        .mtime = seconds_of(file + MODIFIED, file[MODIFIED_ZONE]) + modified / 100,
        .btime = seconds_of(file + CREATED, file[CREATED_ZONE]) + created / 100,
        .mtime_nsec = modified % 100 * 10000000,
        .btime_nsec = created % 100 * 10000000,
    };
    node->valid = IMGI_MIN(node->valid, node->size);
}

/* --------------------------------------------------------------------- lists */

struct lister {
    imgi_fat_node_fn *node;
    void *opaque;
    struct set set;
};

static int give(struct lister *lister, img_error *err)
{
    struct set *set = &lister->set;
    uint8_t units[2 * PART_UNITS * (SET_MAX - 2)] = {0};
    struct imgi_fat_node node;
    char name[IMGI_NAME_ROOM];
    size_t length, parts = 0;

    set->wanted = 0;
    if (set->count < 3 || set->entries[1][0] != STREAM)
        return 0;
    for (unsigned n = 2; n < set->count && set->entries[n][0] == NAME; n++, parts++)
        memcpy(units + 2 * PART_UNITS * parts, set->entries[n] + NAME_PART, 2 * PART_UNITS);
    length = IMGI_MIN(set->entries[1][NAME_LENGTH], parts * PART_UNITS);
    length = imgi_name_decode(units, length, false, name);
    decode(set->entries[0], set->entries[1], set->place, &node);
    return lister->node(lister->opaque, name, length, &node, err);
}

static int take_entry(void *opaque, const uint8_t *entry, uint64_t place, img_error *err)
{
    struct lister *lister = opaque;
    struct set *set = &lister->set;

    if (entry[0] == FILE_ENTRY) {
        *set = (struct set){.place = place, .wanted = entry[SECONDARIES] + 1u};
        set->wanted = IMGI_MIN(set->wanted, SET_MAX);
    }
    if (set->wanted == 0)
        return 0;
    if (!(entry[0] & 0x80)) { /* not in use: the set is broken */
        set->wanted = 0;
        return 0;
    }
    memcpy(set->entries[set->count++], entry, IMGI_FAT_ENTRY);
    return set->count == set->wanted ? give(lister, err) : 0;
}

int imgi_exfat_list(struct imgi_fat *fat, const struct imgi_fat_node *directory,
                    imgi_fat_node_fn *node, void *opaque, img_error *err)
{
    struct lister lister = {.node = node, .opaque = opaque};

    return imgi_fat_entries(fat, directory, take_entry, &lister, err);
}

/* -------------------------------------------------------------- by inode number */

/* Read `count` entries, the first `before` of them at `place`, the others at the cluster. */
static int read_set(struct imgi_fat *fat, uint64_t place, unsigned before, uint32_t cluster,
                    unsigned count, uint8_t *set, img_error *err)
{
    unsigned first = IMGI_MIN(before, count);
    uint64_t rest = fat->data + (uint64_t)(cluster - 2) * fat->cluster_size;
    int rc = imgi_volume_read(fat->volume, place, set, first * IMGI_FAT_ENTRY, err);

    if (rc < 0 || first == count)
        return rc;
    if (!imgi_fat_is_cluster(fat, cluster))
        return imgi_fail_errno(err, EIO, "a directory entry is incomplete");
    return imgi_volume_read(fat->volume, rest, set + first * IMGI_FAT_ENTRY,
                            (count - first) * IMGI_FAT_ENTRY, err);
}

static bool is_valid(const uint8_t *set, unsigned count)
{
    unsigned sum = 0;

    for (unsigned n = 0; n < count * IMGI_FAT_ENTRY; n++) {
        if (n != CHECKSUM && n != CHECKSUM + 1)
            sum = ((sum & 1 ? 0x8000u : 0) + (sum >> 1) + set[n]) & 0xffff;
    }
    return set[IMGI_FAT_ENTRY] == STREAM && imgi_get_le16(set + CHECKSUM) == sum;
}

int imgi_exfat_node(struct imgi_fat *fat, uint64_t place, struct imgi_fat_node *node,
                    img_error *err)
{
    uint64_t in = place - fat->data; /* the caller looked: it is in a cluster */
    uint32_t cluster = (uint32_t)(in / fat->cluster_size) + 2, next;
    unsigned before = (unsigned)((fat->cluster_size - in % fat->cluster_size) / IMGI_FAT_ENTRY);
    uint8_t set[SET_MAX * IMGI_FAT_ENTRY];
    unsigned count;
    int rc = read_set(fat, place, 1, 0, 1, set, err);

    if (rc < 0)
        return rc;
    count = set[SECONDARIES] + 1u;
    if (set[0] != FILE_ENTRY || count < 2 || count > SET_MAX)
        return imgi_fail_errno(err, ENOENT, "inode %llu", (unsigned long long)node->inode);
    rc = read_set(fat, place, before, cluster + 1, count, set, err);
    if (count > before && (rc < 0 || !is_valid(set, count))) {
        /* The directory is not contiguous: then the table knows what follows. */
        rc = imgi_fat_get(fat, 0, cluster, &next, err);
        if (rc == 0)
            rc = read_set(fat, place, before, next, count, set, err);
    }
    if (rc == 0 && set[IMGI_FAT_ENTRY] != STREAM)
        return imgi_fail_errno(err, EIO, "inode %llu is broken", (unsigned long long)node->inode);
    if (rc == 0)
        decode(set, set + IMGI_FAT_ENTRY, place, node);
    return rc;
}

/* ------------------------------------------------------------------- bitmap */

static int take_bitmap(void *opaque, const uint8_t *entry, uint64_t place, img_error *err)
{
    struct imgi_fat *fat = opaque;

    (void)place, (void)err;
    if (entry[0] != BITMAP || (entry[BITMAP_FLAGS] & 1) != fat->active)
        return 0;
    fat->bitmap_cluster = imgi_get_le32(entry + CLUSTER);
    fat->bitmap_size = imgi_get_le64(entry + SIZE);
    return 1;
}

int imgi_exfat_find_bitmap(struct imgi_fat *fat, img_error *err)
{
    const struct imgi_fat_node root = {.inode = IMGI_FAT_ROOT, .cluster = fat->root_cluster};
    int rc = imgi_fat_entries(fat, &root, take_bitmap, fat, err);

    if (rc == 0 && fat->bitmap_size < imgi_div_up(fat->clusters, 8))
        return imgi_fail(err, IMG_E_CORRUPT, "its allocation bitmap is missing or too short");
    return rc;
}
