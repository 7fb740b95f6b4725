/*
 * Directories of FAT. SPDX-License-Identifier: BSD-2-Clause
 *
 * A long name stands in front of its file's entry, in entries of 13 characters each, the last part
 * first. It counts only when all of them are there and know the entry by its checksum.
 */
#include <errno.h>
#include <string.h>

#include "fat.h"

/* A directory entry, in bytes. */
#define ATTRIBUTES 11u
#define CASE 12u /* bits: what is lower case */
#define CASE_BASE 0x08u
#define CASE_EXTENSION 0x10u
#define CREATED_HUNDREDTHS 13u
#define CREATED_TIME 14u
#define CREATED_DATE 16u
#define ACCESSED_DATE 18u
#define CLUSTER_HIGH 20u
#define MODIFIED_TIME 22u
#define MODIFIED_DATE 24u
#define CLUSTER_LOW 26u
#define SIZE 28u
#define DELETED 0xe5u
#define LONG_NAME 0x0fu /* attributes of a part of a long name */
#define LAST_PART 0x40u
#define CHECKSUM 13u

#define PART_UNITS 13u
#define PARTS_MAX 20u

/* What Microsoft allows, and the kernel too. */
#define DIR_SIZE_MAX (65536u * IMGI_FAT_ENTRY)
#define EXFAT_DIR_SIZE_MAX (256u << 20)

/* ----------------------------------------------------------------- entries */

void imgi_fat_dir_chain(const struct imgi_fat *fat, const struct imgi_fat_node *node,
                        struct imgi_fat_chain *chain)
{
    *chain = (struct imgi_fat_chain){
        .next = node->cluster,
        .contiguous = node->contiguous,
        .bytes = fat->exfat ? EXFAT_DIR_SIZE_MAX : DIR_SIZE_MAX,
    };
    /* exFAT knows how long its directories are, but for the root. */
    if (fat->exfat && node->inode != IMGI_FAT_ROOT)
        chain->bytes = IMGI_MIN(chain->bytes, node->size);
}

static int read_part(const struct imgi_fat *fat, uint64_t place, size_t length,
                     imgi_fat_entry_fn *entry, void *opaque, img_error *err)
{
    uint8_t part[IMGI_FAT_PAGE];
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < length; at += sizeof(part)) {
        size_t count = (size_t)IMGI_MIN(sizeof(part), length - at);

        rc = imgi_volume_read(fat->volume, place + at, part, count, err);
        for (size_t n = 0; rc == 0 && n + IMGI_FAT_ENTRY <= count; n += IMGI_FAT_ENTRY)
            rc = part[n] ? entry(opaque, part + n, place + at + n, err) : 1;
    }
    return rc;
}

int imgi_fat_entries(struct imgi_fat *fat, const struct imgi_fat_node *directory,
                     imgi_fat_entry_fn *entry, void *opaque, img_error *err)
{
    struct imgi_fat_chain chain;
    uint64_t at = 0;
    int rc = 0;

    if (directory->inode == IMGI_FAT_ROOT && fat->root_cluster == 0) {
        rc = read_part(fat, fat->root, (size_t)fat->root_size, entry, opaque, err);
        return rc < 0 ? rc : 0;
    }
    imgi_fat_dir_chain(fat, directory, &chain);
    while (rc == 0 && at < chain.bytes) {
        struct imgi_run run = {.offset = at, .length = chain.bytes - at};

        rc = imgi_fat_follow(fat, &chain, at, err);
        if (rc < 0 || at >= chain.runs.end)
            break;
        imgi_runs_find(&chain.runs, &run);
        rc = read_part(fat, run.place, (size_t)run.length, entry, opaque, err);
        at += run.length;
    }
    imgi_runs_free(&chain.runs);
    return rc < 0 ? rc : 0;
}

/* ------------------------------------------------------------------ one file */

int64_t imgi_fat_seconds(uint16_t date, uint16_t time)
{
    return imgi_date_seconds(1980 + (date >> 9), IMGI_MAX(1u, date >> 5 & 15u),
                             IMGI_MAX(1u, date & 31u), time >> 11, time >> 5 & 63u,
                             (time & 31u) * 2);
}

void imgi_fat_node_decode(const struct imgi_fat *fat, const uint8_t *entry, uint64_t place,
                          struct imgi_fat_node *node)
{
    unsigned hundredths = entry[CREATED_HUNDREDTHS];
    uint16_t created = imgi_get_le16(entry + CREATED_DATE);

    *node = (struct imgi_fat_node){
        .inode = place / IMGI_FAT_ENTRY,
        .attributes = entry[ATTRIBUTES],
        .cluster = imgi_get_le16(entry + CLUSTER_LOW),
        .size = imgi_get_le32(entry + SIZE),
        .mtime = imgi_fat_seconds(imgi_get_le16(entry + MODIFIED_DATE),
                                  imgi_get_le16(entry + MODIFIED_TIME)),
    };
    if (fat->bits == 32)
        node->cluster |= (uint32_t)imgi_get_le16(entry + CLUSTER_HIGH) << 16;
    if (node->attributes & IMGI_FAT_DIRECTORY)
        node->size = 0;
    node->valid = node->size;
    node->atime = imgi_fat_seconds(imgi_get_le16(entry + ACCESSED_DATE), 0);
    if (created == 0)
        return;
    node->btime = imgi_fat_seconds(created, imgi_get_le16(entry + CREATED_TIME)) + hundredths / 100;
    node->btime_nsec = hundredths % 100 * 10000000;
}

/* -------------------------------------------------------------------- names */

/* The upper half of code page 437, which Linux takes short names to be in. */
static const uint16_t cp437[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef,
    0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa,
    0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557,
    0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559,
    0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4,
    0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

/* In that code page. */
static uint8_t to_lower(uint8_t byte)
{
    static const uint8_t pairs[][2] = {
        {0x80, 0x87}, {0x8e, 0x84}, {0x8f, 0x86}, {0x90, 0x82}, {0x92, 0x91},
        {0x99, 0x94}, {0x9a, 0x81}, {0xa5, 0xa4}, {0xe4, 0xe5}, {0xe8, 0xed},
    };

    for (size_t n = 0; n < IMGI_COUNT(pairs); n++) {
        if (byte == pairs[n][0])
            return pairs[n][1];
    }
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 'a' - 'A') : byte;
}

/* Append a part of a short name, without the spaces that fill it. */
static size_t add_short(uint8_t *units, size_t count, const uint8_t *name, size_t length,
                        bool lower)
{
    while (length > 0 && name[length - 1] == ' ')
        length--;
    for (size_t n = 0; n < length; n++) {
        uint8_t byte = lower ? to_lower(name[n]) : name[n];

        imgi_put_le16(units + 2 * count++, byte >= 0x80 ? cp437[byte - 0x80] : byte);
    }
    return count;
}

static size_t short_name(const uint8_t *entry, char out[IMGI_NAME_ROOM])
{
    uint8_t name[11], units[2 * 12];
    size_t count, base;

    memcpy(name, entry, sizeof(name));
    if (name[0] == 0x05) /* because 0xe5 means something else there */
        name[0] = DELETED;
    base = add_short(units, 0, name, 8, entry[CASE] & CASE_BASE);
    imgi_put_le16(units + 2 * base, '.');
    count = add_short(units, base + 1, name + 8, 3, entry[CASE] & CASE_EXTENSION);
    return imgi_name_decode(units, count == base + 1 ? base : count, false, out);
}

/* The long name that is being put together. */
struct lister {
    struct imgi_fat *fat;
    imgi_fat_node_fn *node;
    void *opaque;
    unsigned wanted; /* number of the part that must come next; 0: the file's entry */
    bool complete;
    uint8_t checksum;
    uint8_t units[2 * PART_UNITS * PARTS_MAX];
};

static void add_part(struct lister *lister, const uint8_t *entry)
{
    static const uint8_t places[PART_UNITS] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    unsigned number = entry[0] & 0x3f;

    lister->complete = false;
    if (entry[0] & LAST_PART) {
        memset(lister->units, 0, sizeof(lister->units));
        lister->wanted = number;
        lister->checksum = entry[CHECKSUM];
    }
    if (number == 0 || number > PARTS_MAX || number != lister->wanted ||
        entry[CHECKSUM] != lister->checksum) {
        lister->wanted = 0;
        return;
    }
    for (unsigned n = 0; n < PART_UNITS; n++)
        memcpy(lister->units + 2 * ((number - 1) * PART_UNITS + n), entry + places[n], 2);
    lister->wanted = number - 1;
    lister->complete = lister->wanted == 0;
}

static uint8_t checksum_of(const uint8_t *entry)
{
    unsigned sum = 0;

    for (unsigned n = 0; n < 11; n++)
        sum = ((sum >> 1 | sum << 7) + entry[n]) & 0xff;
    return (uint8_t)sum;
}

static int take_entry(void *opaque, const uint8_t *entry, uint64_t place, img_error *err)
{
    struct lister *lister = opaque;
    struct imgi_fat_node node;
    char name[IMGI_NAME_ROOM];
    bool is_long = lister->complete && lister->checksum == checksum_of(entry);
    size_t length = 0;

    if (entry[0] != DELETED && (entry[ATTRIBUTES] & 0x3f) == LONG_NAME) {
        add_part(lister, entry);
        return 0;
    }
    lister->complete = false;
    lister->wanted = 0;
    if (entry[0] == DELETED || entry[ATTRIBUTES] & IMGI_FAT_VOLUME)
        return 0;
    if (is_long)
        length = imgi_name_decode(lister->units, IMGI_NAME_UNITS, false, name);
    if (length == 0)
        length = short_name(entry, name);
    imgi_fat_node_decode(lister->fat, entry, place, &node);
    return lister->node(lister->opaque, name, length, &node, err);
}

int imgi_fat_list(struct imgi_fat *fat, const struct imgi_fat_node *directory,
                  imgi_fat_node_fn *node, void *opaque, img_error *err)
{
    struct lister lister = {.fat = fat, .node = node, .opaque = opaque};

    return imgi_fat_entries(fat, directory, take_entry, &lister, err);
}
