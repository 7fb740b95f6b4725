/*
 * GPT: partition tables of UEFI. SPDX-License-Identifier: BSD-2-Clause
 *
 * UEFI specification 2.10, section 5.3. A header is believed when its own checksum and that of its
 * table are right; the backup, at the disk's end, is taken when the first one is not.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "partitions.h"
#include "util/uuid.h"

#define SIGNATURE "EFI PART"
#define SIGNATURE_BYTES 8u
#define HEADER_MIN 92u
#define SECTOR_MAX 4096u
#define ENTRY_MIN 128u
#define TABLE_MAX (1u << 20) /* of bytes: 8192 entries; 128 are usual */
#define NAME_BYTES 72u

struct header {
    uint64_t here, other; /* the sectors of this header and of the other one */
    uint64_t usable_first, usable_last;
    uint64_t entries; /* the sector of the first */
    uint32_t count, entry_bytes, entries_crc;
};

/* Whether the sector holds a good header. */
static bool decode(const struct imgi_partition_table *table, uint64_t sector, const uint8_t *bytes,
                   struct header *header)
{
    uint32_t length = imgi_get_le32(bytes + 12), crc;
    uint8_t copy[SECTOR_MAX];

    if (memcmp(bytes, SIGNATURE, SIGNATURE_BYTES) != 0 || length < HEADER_MIN ||
        length > table->sector_size)
        return false;
    memcpy(copy, bytes, length);
    memset(copy + 16, 0, 4);
    crc = imgi_crc32(0, copy, length);
    *header = (struct header){
        .here = imgi_get_le64(bytes + 24),
        .other = imgi_get_le64(bytes + 32),
        .usable_first = imgi_get_le64(bytes + 40),
        .usable_last = imgi_get_le64(bytes + 48),
        .entries = imgi_get_le64(bytes + 72),
        .count = imgi_get_le32(bytes + 80),
        .entry_bytes = imgi_get_le32(bytes + 84),
        .entries_crc = imgi_get_le32(bytes + 88),
    };
    return crc == imgi_get_le32(bytes + 16) && header->here == sector &&
           header->usable_first <= header->usable_last;
}

/* The table of a header, in *entries, malloc'd; NULL when it is not a good one. */
static int read_entries(const struct imgi_partition_table *table, const struct header *header,
                        uint8_t **entries, img_error *err)
{
    uint64_t length = (uint64_t)header->count * header->entry_bytes;

    *entries = NULL;
    if (header->entry_bytes < ENTRY_MIN || header->entry_bytes % 8 != 0 || length == 0 ||
        length > TABLE_MAX)
        return 0;
    *entries = malloc((size_t)length);
    if (!*entries)
        return imgi_fail_nomem(err, "a partition table");
    if (imgi_partitions_read(table, header->entries, *entries, (size_t)length, NULL) < 0 ||
        imgi_crc32(0, *entries, (size_t)length) != header->entries_crc) {
        free(*entries);
        *entries = NULL;
    }
    return 0;
}

/* The header in a sector and its table, which is malloc'd; NULL: there is no good pair of them. */
static int read_pair(const struct imgi_partition_table *table, uint64_t sector,
                     struct header *header, uint8_t **entries, img_error *err)
{
    uint8_t bytes[SECTOR_MAX];

    *entries = NULL;
    *header = (struct header){0};
    if (imgi_partitions_read(table, sector, bytes, table->sector_size, NULL) < 0 ||
        !decode(table, sector, bytes, header)) {
        *header = (struct header){0};
        return 0;
    }
    return read_entries(table, header, entries, err);
}

/* The first header that is good: that in front, the one it names, that at the end. */
static int find_pair(struct imgi_partition_table *table, struct header *header, uint8_t **entries,
                     img_error *err)
{
    uint64_t places[3] = {1, 0, table->sectors - 1};
    int rc = read_pair(table, places[0], header, entries, err);

    places[1] = header->other;
    for (size_t n = 1; rc == 0 && !*entries && n < IMGI_COUNT(places); n++) {
        if (places[n] > 1)
            rc = read_pair(table, places[n], header, entries, err);
        if (*entries)
            imgi_partitions_doubt(
                table, "its GPT is damaged, the backup at sector %" PRIu64 " is used", places[n]);
    }
    return rc;
}

/* ------------------------------------------------------------- partitions */

static void guid_text(const uint8_t *bytes, char text[IMGI_UUID_TEXT])
{
    uint8_t guid[16];

    memcpy(guid, bytes, sizeof(guid));
    imgi_uuid_swap(guid);
    imgi_uuid_text(guid, text);
}

static int add_entry(struct imgi_partition_table *table, unsigned number, const uint8_t *bytes,
                     img_error *err)
{
    static const uint8_t unused[16];
    char type[IMGI_UUID_TEXT], uuid[IMGI_UUID_TEXT], name[IMGI_UTF8_ROOM(NAME_BYTES)];
    uint64_t first = imgi_get_le64(bytes + 32), last = imgi_get_le64(bytes + 40);
    bool named = imgi_utf16_decode(bytes + 56, NAME_BYTES, false, name) && name[0] != '\0';
    struct imgi_entry entry = {.number = number,
                               .start = first,
                               .count = last >= first ? last - first + 1 : 0,
                               .type = type,
                               .uuid = uuid,
                               .name = named ? name : NULL};

    if (memcmp(bytes, unused, sizeof(unused)) == 0)
        return 0;
    guid_text(bytes, type);
    for (char *at = type; *at != '\0'; at++) {
        if (*at >= 'a')
            *at = (char)(*at - 'a' + 'A');
    }
    guid_text(bytes + 16, uuid);
    return imgi_partitions_add(table, &entry, err);
}

int imgi_gpt_partitions(struct imgi_partition_table *table, bool *found, img_error *err)
{
    struct header header;
    uint8_t *entries;
    int rc;

    *found = false;
    if (table->sectors < 3)
        return 0;
    rc = find_pair(table, &header, &entries, err);
    if (rc < 0 || !entries)
        return rc;
    *found = true;
    table->usable_start = header.usable_first;
    table->usable_end = IMGI_MIN(header.usable_last, table->sectors - 1) + 1;
    for (uint32_t n = 0; rc == 0 && n < header.count; n++)
        rc = add_entry(table, n + 1, entries + (size_t)n * header.entry_bytes, err);
    free(entries);
    return rc;
}
