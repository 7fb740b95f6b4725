/*
 * MBR: partition tables of PCs. SPDX-License-Identifier: BSD-2-Clause
 *
 * Four primary partitions; one of them may be an extended one, in which a chain of tables, each
 * before its logical partition, names those from number 5 on.
 */
#include <inttypes.h>
#include <stdio.h>

#include "partitions.h"

#define TABLE 446u
#define ENTRY 16u
#define ENTRIES 4u
#define SIGNATURE 510u
#define DISK_ID 440u
#define PROTECTIVE 0xeeu

static const uint8_t *entry_of(const uint8_t *mbr, unsigned n)
{
    return mbr + TABLE + n * ENTRY;
}

static uint32_t start_of(const uint8_t *entry)
{
    return imgi_get_le32(entry + 8);
}

static uint32_t count_of(const uint8_t *entry)
{
    return imgi_get_le32(entry + 12);
}

static bool is_extended(const uint8_t *entry)
{
    return count_of(entry) > 0 && (entry[4] == 0x05 || entry[4] == 0x0f || entry[4] == 0x85);
}

static bool is_signed(const uint8_t *mbr)
{
    return mbr[SIGNATURE] == 0x55 && mbr[SIGNATURE + 1] == 0xaa;
}

bool imgi_mbr_is_table(const uint8_t mbr[IMGI_MBR_BYTES])
{
    for (unsigned n = 0; n < ENTRIES; n++) {
        if ((entry_of(mbr, n)[0] & 0x7f) != 0)
            return false;
    }
    return is_signed(mbr);
}

bool imgi_mbr_is_protective(const uint8_t mbr[IMGI_MBR_BYTES])
{
    for (unsigned n = 0; n < ENTRIES; n++) {
        if (entry_of(mbr, n)[4] == PROTECTIVE)
            return true;
    }
    return false;
}

bool imgi_mbr_is_hybrid(const uint8_t mbr[IMGI_MBR_BYTES])
{
    for (unsigned n = 0; n < ENTRIES; n++) {
        if (entry_of(mbr, n)[4] != PROTECTIVE && count_of(entry_of(mbr, n)) > 0)
            return true;
    }
    return false;
}

bool imgi_mbr_has_partitions(const uint8_t mbr[IMGI_MBR_BYTES])
{
    for (unsigned n = 0; n < ENTRIES; n++) {
        if (start_of(entry_of(mbr, n)) > 0 && count_of(entry_of(mbr, n)) > 0)
            return true;
    }
    return false;
}

static bool is_known(const struct imgi_volume *disk, const uint8_t *entry, uint32_t sector_size)
{
    uint64_t start = (uint64_t)start_of(entry) * sector_size;
    uint64_t length = (uint64_t)count_of(entry) * sector_size;
    uint8_t first[IMGI_MBR_BYTES];

    if (start >= disk->info.size)
        return false;
    if (is_extended(entry))
        return imgi_volume_read(disk, start, first, sizeof(first), NULL) == 0 &&
               imgi_mbr_is_table(first);
    return imgi_content_is_known(disk->image, start, IMGI_MIN(length, disk->info.size - start));
}

unsigned imgi_mbr_count_known(const struct imgi_partition_table *table,
                              const uint8_t mbr[IMGI_MBR_BYTES], uint32_t sector_size,
                              unsigned *total)
{
    unsigned known = 0;

    *total = 0;
    for (unsigned n = 0; n < ENTRIES; n++) {
        const uint8_t *entry = entry_of(mbr, n);

        if (count_of(entry) == 0)
            continue;
        (*total)++;
        known += is_known(table->disk, entry, sector_size);
    }
    return known;
}

/* ------------------------------------------------------------- partitions */

/* An entry whose start counts from `base`. */
static int add_entry(struct imgi_partition_table *table, unsigned number, uint64_t base,
                     const uint8_t *bytes, uint32_t disk_id, img_error *err)
{
    char type[8], uuid[16];
    struct imgi_entry entry = {.number = number,
                               .start = base + start_of(bytes),
                               .count = count_of(bytes),
                               .type = type,
                               .uuid = disk_id ? uuid : NULL,
                               .bootable = bytes[0] == 0x80};
    size_t before = table->guest->volume_count;
    int rc;

    snprintf(type, sizeof(type), "0x%02x", bytes[4]);
    snprintf(uuid, sizeof(uuid), "%08x-%02x", disk_id, number);
    rc = imgi_partitions_add(table, &entry, err);
    if (rc == 0 && table->guest->volume_count > before)
        table->guest->volumes[before]->extended = is_extended(bytes);
    return rc;
}

/* The tables in an extended partition, each of which names the next one. */
struct chain {
    struct imgi_partition_table *table;
    uint64_t start, end; /* of the extended partition */
    uint32_t disk_id;
    unsigned *number; /* of the next logical partition */
    uint64_t seen[IMGI_PARTITION_MAX];
    unsigned length;
};

/* Whether a table of the chain may be there. */
static bool step(struct chain *chain, uint64_t here)
{
    if (here < chain->start || here >= chain->end || chain->length == IMGI_PARTITION_MAX)
        return false;
    for (unsigned n = 0; n < chain->length; n++) {
        if (chain->seen[n] == here)
            return false;
    }
    chain->seen[chain->length++] = here;
    return true;
}

/* The logical partitions of one table; *next: the sector of the next table, or 0. */
static int add_logical(const struct chain *chain, uint64_t here, const uint8_t *mbr, uint64_t *next,
                       img_error *err)
{
    int rc = 0;

    *next = 0;
    for (unsigned n = 0; rc == 0 && n < ENTRIES; n++) {
        const uint8_t *entry = entry_of(mbr, n);

        if (is_extended(entry)) {
            if (*next == 0)
                *next = chain->start + start_of(entry);
        } else if (count_of(entry) > 0) {
            rc = add_entry(chain->table, (*chain->number)++, here, entry, chain->disk_id, err);
        }
    }
    return rc;
}

static int follow_chain(struct chain *chain, img_error *err)
{
    uint64_t next = 0;
    uint8_t mbr[IMGI_MBR_BYTES] = {0};
    int rc = 0;

    for (uint64_t here = chain->start; rc == 0; here = next) {
        bool good = step(chain, here) &&
                    imgi_partitions_read(chain->table, here, mbr, sizeof(mbr), NULL) == 0 &&
                    imgi_mbr_is_table(mbr);

        if (!good && here == chain->start && !is_signed(mbr))
            break; /* nobody has put a partition into it yet */
        if (!good) {
            imgi_partitions_doubt(chain->table,
                                  "its chain of logical partitions breaks off at sector %" PRIu64,
                                  here);
            break;
        }
        rc = add_logical(chain, here, mbr, &next, err);
        if (next == 0)
            break;
    }
    return rc;
}

int imgi_mbr_partitions(struct imgi_partition_table *table, const uint8_t mbr[IMGI_MBR_BYTES],
                        img_error *err)
{
    uint32_t disk_id = imgi_get_le32(mbr + DISK_ID);
    unsigned number = ENTRIES + 1;
    int rc = 0;

    table->usable_start = 1;
    table->usable_end = table->sectors;
    for (unsigned n = 0; rc == 0 && n < ENTRIES; n++) {
        if (count_of(entry_of(mbr, n)) > 0)
            rc = add_entry(table, n + 1, 0, entry_of(mbr, n), disk_id, err);
    }
    for (unsigned n = 0; rc == 0 && n < ENTRIES; n++) {
        const uint8_t *entry = entry_of(mbr, n);
        struct chain chain = {.table = table,
                              .start = start_of(entry),
                              .end = (uint64_t)start_of(entry) + count_of(entry),
                              .disk_id = disk_id,
                              .number = &number};

        if (is_extended(entry))
            rc = follow_chain(&chain, err);
    }
    return rc;
}
