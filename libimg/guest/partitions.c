/*
 * The partitions of a disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * As Linux sees them: an MBR that says so is there for the sake of a GPT, any other one counts by
 * itself, and a boot sector of a filesystem is none.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions.h"

int imgi_partitions_read(const struct imgi_partition_table *table, uint64_t sector, void *buffer,
                         size_t length, img_error *err)
{
    if (sector > table->sectors)
        return imgi_fail(err, IMG_E_RANGE, "sector %" PRIu64 " is past the end of the disk",
                         sector);
    return imgi_volume_read(table->disk, sector * table->sector_size, buffer, length, err);
}

void imgi_partitions_doubt(struct imgi_partition_table *table, const char *format, ...)
{
    char text[IMG_ERROR_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    table->doubtful = true;
    imgi_guest_notice(table->guest, "%s: %s", table->disk->info.device, text);
}

int imgi_partitions_add(struct imgi_partition_table *table, const struct imgi_entry *entry,
                        img_error *err)
{
    uint64_t count = entry->count;
    char device[32];
    img_volume info = {
        .kind = IMG_VOLUME_PARTITION,
        .device = device,
        .parent = table->disk->info.device,
        .disk = table->disk->info.disk,
        .number = entry->number,
        .type = entry->type,
        .name = entry->name,
        .part_uuid = entry->uuid,
        .bootable = entry->bootable,
    };

    if (entry->number > IMGI_PARTITION_MAX || entry->start >= table->sectors || count == 0) {
        imgi_partitions_doubt(table,
                              "partition %u is left out: it has %" PRIu64 " sectors at %" PRIu64,
                              entry->number, count, entry->start);
        return 0;
    }
    if (count > table->sectors - entry->start) {
        count = table->sectors - entry->start;
        imgi_partitions_doubt(table, "partition %u reaches past the end of the disk",
                              entry->number);
    }
    snprintf(device, sizeof(device), "%s%u", table->disk->info.device, entry->number);
    info.offset = entry->start * table->sector_size;
    info.size = count * table->sector_size;
    return imgi_guest_add(table->guest, table->disk->image, &info, err);
}

/* ------------------------------------------------------------------ order */

static bool overlap(const struct imgi_volume *a, const struct imgi_volume *b)
{
    return a->info.offset < b->info.offset + b->info.size &&
           b->info.offset < a->info.offset + a->info.size;
}

/* Logical partitions lie in the extended one; no others have anything in common. */
static void find_overlaps(struct imgi_partition_table *table)
{
    struct imgi_volume **volumes = table->guest->volumes;

    for (size_t n = table->first; n < table->guest->volume_count; n++) {
        for (size_t m = table->first; m < n; m++) {
            if (volumes[n]->extended || volumes[m]->extended || !overlap(volumes[n], volumes[m]))
                continue;
            volumes[n]->overlapped = volumes[m]->overlapped = true;
            imgi_partitions_doubt(table, "partitions %u and %u overlap", volumes[m]->info.number,
                                  volumes[n]->info.number);
        }
    }
}

/* Of disks that are also CDs the first partition begins with the table. */
static void find_outside(struct imgi_partition_table *table)
{
    struct imgi_volume **volumes = table->guest->volumes;

    for (size_t n = table->first; n < table->guest->volume_count; n++) {
        const img_volume *info = &volumes[n]->info;
        uint64_t start = info->offset / table->sector_size;

        if (start >= table->usable_start &&
            start + info->size / table->sector_size <= table->usable_end)
            continue;
        volumes[n]->overlapped = true;
        table->doubtful = true;
    }
}

/* ---------------------------------------------------------------- the table */

static void set_sector_size(struct imgi_partition_table *table, uint32_t size)
{
    table->sector_size = size;
    table->sectors = table->disk->info.size / size;
}

/* What the user says, or else the image; 0: nobody does. */
static uint32_t said_sector_size(const struct imgi_partition_table *table)
{
    uint32_t asked = table->guest->params.sector_size;

    return asked ? asked : table->disk->image->top->sector_size;
}

/*
 * An MBR does not say how large sectors are: what is in the partitions does. If that is not quite
 * clear all of the disk may be in use.
 */
static void guess_sector_size(struct imgi_partition_table *table, const uint8_t *mbr)
{
    uint32_t said = said_sector_size(table);
    unsigned total, small = 0, large = 0;

    if (!said) {
        small = imgi_mbr_count_known(table, mbr, 512, &total);
        if (small < total)
            large = imgi_mbr_count_known(table, mbr, 4096, &total);
        table->disk->unsure = large > 0;
        said = large > 0 && small == 0 ? 4096 : 512;
    }
    set_sector_size(table, said);
}

static int read_gpt(struct imgi_partition_table *table, bool *found, img_error *err)
{
    static const uint32_t sizes[] = {512, 4096};
    uint32_t asked = table->guest->params.sector_size;
    int rc = 0;

    for (size_t n = 0; rc == 0 && !*found && n < IMGI_COUNT(sizes); n++) {
        if (asked && asked != sizes[n])
            continue;
        set_sector_size(table, sizes[n]);
        rc = imgi_gpt_partitions(table, found, err);
    }
    return rc;
}

/* *scheme stays NULL when there is no table. */
static int read_tables(struct imgi_partition_table *table, const char **scheme, img_error *err)
{
    uint8_t mbr[IMGI_MBR_BYTES];
    bool found = false;
    int rc = imgi_volume_read(table->disk, 0, mbr, sizeof(mbr), err);

    if (rc < 0 || !imgi_mbr_is_table(mbr))
        return rc;
    if (imgi_content_is_boot_sector(mbr)) {
        /* Programs that make a table leave the rest of the sector as it was. */
        if (imgi_mbr_has_partitions(mbr))
            table->disk->also = "a partition table";
        return 0;
    }
    if (imgi_mbr_is_protective(mbr)) {
        rc = read_gpt(table, &found, err);
        if (rc == 0 && !found)
            imgi_partitions_doubt(table, "its MBR announces a GPT, but there is no good one");
        else if (imgi_mbr_is_hybrid(mbr)) /* it may have partitions that the GPT has not */
            table->doubtful = true;
        *scheme = found ? "gpt" : NULL;
        return rc;
    }
    guess_sector_size(table, mbr);
    rc = imgi_mbr_partitions(table, mbr, err);
    if (rc == 0 && (table->guest->volume_count > table->first || imgi_get_le32(mbr + 440) != 0))
        *scheme = "mbr";
    return rc;
}

int imgi_partitions_find(img_guest *guest, size_t disk, img_error *err)
{
    struct imgi_partition_table table = {.guest = guest,
                                         .disk = guest->volumes[guest->volume_count - 1],
                                         .first = guest->volume_count};
    struct imgi_volume *volume = table.disk;
    const char *scheme = NULL;
    int rc;

    if (img_size(guest->images[disk]) < IMGI_MBR_BYTES)
        return 0;
    rc = read_tables(&table, &scheme, err);
    if (rc < 0 || !scheme)
        return rc;
    find_overlaps(&table);
    find_outside(&table);
    volume->partitioned = guest->volume_count > table.first;
    volume->doubtful = table.doubtful;
    volume->usable_start = table.usable_start * table.sector_size;
    volume->usable_end = table.usable_end * table.sector_size;
    volume->info.sector_size = table.sector_size;
    volume->info.scheme = strdup(scheme);
    return volume->info.scheme ? 0 : imgi_fail_nomem(err, "a disk");
}
