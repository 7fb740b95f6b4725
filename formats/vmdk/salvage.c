/*
 * Finding the grains of a damaged stream by their markers. SPDX-License-Identifier: BSD-2-Clause
 *
 * Each grain says where in the disk it belongs, so the map of a stream that has lost its tables can
 * be made anew. Only done for who asks for it (IMG_OPEN_SALVAGE), and told: what has no marker any
 * more reads as zeros, and nobody can say how much that is.
 *
 * Tables that are there count too: an entry that leads to a grain with its marker is believed, one
 * that leads nowhere stays where the scan found nothing, so that reading it fails and is counted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "vmdk.h"

/* What is read at a time: markers are some sectors apart where nothing is damaged. */
#define VIEW_BYTES 4096u

struct vmdk_salvage {
    uint8_t **tables; /* by their index; NULL: no grains. As on disk. */
    uint64_t entries; /* of the directory */
    uint64_t bytes;   /* of all tables */
    uint64_t grains;
    uint64_t last; /* one more than the highest grain's number */
};

struct scan {
    const struct imgi_node *node;
    const struct vmdk_sparse *sparse;
    struct vmdk_salvage *salvage;
    uint64_t file_size;
    uint8_t view[VIEW_BYTES];
    uint64_t view_at, view_length;
};

void vmdk_salvage_free(struct vmdk_salvage *salvage)
{
    if (!salvage)
        return;
    for (uint64_t i = 0; salvage->tables && i < salvage->entries; i++)
        free(salvage->tables[i]);
    free(salvage->tables);
    free(salvage);
}

const uint8_t *vmdk_salvage_table(const struct vmdk_salvage *salvage, uint64_t index)
{
    return salvage->tables[index];
}

/* The entry of a grain, in a table that is made if need be. */
static int entry_of(struct scan *scan, uint64_t number, uint8_t **entry, img_error *err)
{
    struct vmdk_salvage *salvage = scan->salvage;
    uint8_t **table = &salvage->tables[number / VMDK_NUM_GTES];
    int rc;

    if (!*table) {
        salvage->bytes += VMDK_TABLE_BYTES;
        rc = imgi_policy_limit(scan->node->policy, IMG_LIMIT_TABLE_BYTES, salvage->bytes,
                               "bytes of tables made of markers", err);
        if (rc < 0)
            return rc;
        *table = calloc(1, VMDK_TABLE_BYTES);
        if (!*table)
            return imgi_fail_nomem(err, "a grain table");
    }
    *entry = *table + 4 * (number % VMDK_NUM_GTES);
    return 0;
}

/* The marker at a sector; *there is false past the end of the file. */
static int look(struct scan *scan, uint64_t at, const uint8_t **bytes, bool *there, img_error *err)
{
    int rc = 0;

    *there = imgi_span_ok(at, VMDK_MARKER_BYTES, scan->file_size);
    if (!*there)
        return 0;
    if (!imgi_span_ok(at - scan->view_at, VMDK_MARKER_BYTES, scan->view_length) ||
        at < scan->view_at) {
        scan->view_at = at;
        scan->view_length = IMGI_MIN(scan->file_size - at, VIEW_BYTES);
        rc = imgi_io_read(scan->sparse->io, scan->view, (size_t)scan->view_length, at, err);
    }
    *bytes = scan->view + (at - scan->view_at);
    return rc;
}

/* Whether this begins a grain: what grains are full of seldom looks like one by accident. */
static bool is_grain(const struct scan *scan, const uint8_t bytes[VMDK_MARKER_BYTES])
{
    const struct vmdk_header *header = &scan->sparse->header;
    struct vmdk_marker marker;
    unsigned zlib = (unsigned)bytes[12] << 8 | bytes[13];

    vmdk_marker_decode(bytes, &marker);
    return marker.size > 2 && marker.size <= 2 * scan->sparse->grain &&
           marker.value < header->capacity && marker.value % header->grain_size == 0 &&
           (bytes[12] & 15) == 8 && zlib % 31 == 0;
}

static int take_grain(struct scan *scan, uint64_t at, const uint8_t *bytes, img_error *err)
{
    uint64_t number = imgi_get_le64(bytes) / scan->sparse->header.grain_size;
    uint8_t *entry;
    int rc = entry_of(scan, number, &entry, err);

    if (rc < 0 || imgi_get_le32(entry) != VMDK_ENTRY_ABSENT)
        return rc;
    imgi_put_le32(entry, (uint32_t)(at / VMDK_SECTOR));
    scan->salvage->grains++;
    scan->salvage->last = IMGI_MAX(scan->salvage->last, number + 1);
    return 0;
}

/* Sectors to go on by from something that is no grain: past what a marker of metadata announces. */
static uint64_t step_over(const struct scan *scan, const uint8_t *bytes)
{
    struct vmdk_marker marker;
    uint64_t gd_sectors = imgi_div_up(scan->sparse->gd_entries * 4, VMDK_SECTOR);

    vmdk_marker_decode(bytes, &marker);
    if (marker.size == 0 &&
        ((marker.type == VMDK_MARKER_GT && marker.value == VMDK_TABLE_SECTORS) ||
         (marker.type == VMDK_MARKER_GD && marker.value == gd_sectors) ||
         (marker.type == VMDK_MARKER_FOOTER && marker.value == 1)))
        return 1 + marker.value;
    return 1;
}

static int scan_file(struct scan *scan, img_error *err)
{
    uint64_t at = scan->sparse->header.overhead * VMDK_SECTOR;
    const uint8_t *bytes;
    bool there = true;
    int rc = 0;

    while (rc == 0 && there && at <= VMDK_SECTORS_MAX * VMDK_SECTOR) {
        rc = look(scan, at, &bytes, &there, err);
        if (rc < 0 || !there)
            break;
        if (is_grain(scan, bytes)) {
            rc = take_grain(scan, at, bytes, err);
            at =
                imgi_align_up(at + VMDK_GRAIN_MARKER_BYTES + imgi_get_le32(bytes + 8), VMDK_SECTOR);
        } else {
            at += step_over(scan, bytes) * VMDK_SECTOR;
        }
    }
    return rc;
}

/* An entry of a table that is there. */
static int merge_entry(struct scan *scan, uint64_t number, uint32_t sector, img_error *err)
{
    const uint8_t *bytes;
    uint8_t *entry;
    bool there, right;
    int rc = look(scan, (uint64_t)sector * VMDK_SECTOR, &bytes, &there, err);

    if (rc < 0)
        return rc;
    right = there && is_grain(scan, bytes) &&
            imgi_get_le64(bytes) == number * scan->sparse->header.grain_size;
    rc = entry_of(scan, number, &entry, err);
    if (rc == 0 && (right || imgi_get_le32(entry) == VMDK_ENTRY_ABSENT))
        imgi_put_le32(entry, sector);
    return rc;
}

/* What cannot be read of the tables is what the scan is for. */
static int merge_tables(struct scan *scan, img_error *err)
{
    const struct vmdk_sparse *sparse = scan->sparse;
    uint64_t grains = imgi_div_up(sparse->size, sparse->grain);
    int rc = 0;

    for (uint64_t index = 0; rc == 0 && index < sparse->gd_entries; index++) {
        const uint8_t *entries = NULL;

        if (vmdk_table_get(sparse, index, &entries, NULL) < 0 || !entries)
            continue;
        for (uint64_t i = 0; rc == 0 && i < VMDK_NUM_GTES; i++) {
            uint64_t number = index * VMDK_NUM_GTES + i;
            uint32_t sector = imgi_get_le32(entries + 4 * i);

            if (sector != VMDK_ENTRY_ABSENT && number < grains)
                rc = merge_entry(scan, number, sector, err);
        }
    }
    return rc;
}

static int report(struct imgi_node *node, const struct scan *scan, const char *why, img_error *err)
{
    uint64_t end = scan->salvage->last * scan->sparse->grain;

    if (asprintf(&node->salvaged,
                 "%s: %llu grains were found by their markers, the last one ends at byte %llu of "
                 "the disk; whatever else there was reads as zeros",
                 why, (unsigned long long)scan->salvage->grains, (unsigned long long)end) < 0) {
        node->salvaged = NULL;
        return imgi_fail_nomem(err, "a message");
    }
    return 0;
}

int vmdk_salvage_open(struct imgi_node *node, struct vmdk_sparse *sparse, const char *why,
                      img_error *err)
{
    struct vmdk_salvage *salvage = calloc(1, sizeof(*salvage));
    struct scan scan = {.node = node, .sparse = sparse, .salvage = salvage};
    int rc = imgi_io_size(sparse->io, &scan.file_size, err);

    if (salvage) {
        salvage->entries = sparse->gd_entries;
        salvage->tables = calloc((size_t)sparse->gd_entries, sizeof(*salvage->tables));
    }
    if (rc == 0 && (!salvage || !salvage->tables))
        rc = imgi_fail_nomem(err, "tables made of markers");
    if (rc == 0)
        rc = scan_file(&scan, err);
    if (rc == 0 && !why)
        rc = merge_tables(&scan, err);
    if (rc == 0 && why)
        rc = report(node, &scan, why, err);
    sparse->salvage = salvage;
    return rc;
}
