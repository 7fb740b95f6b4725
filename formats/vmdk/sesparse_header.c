/*
 * seSparse extents: headers to structs, and the rules. SPDX-License-Identifier: BSD-2-Clause
 */
#include "sesparse.h"

static const char *const part_names[] = {
    [VMDK_SESPARSE_VOLATILE] = "volatile header", [VMDK_SESPARSE_JOURNAL_HEADER] = "journal header",
    [VMDK_SESPARSE_JOURNAL] = "journal",          [VMDK_SESPARSE_GD] = "grain directory",
    [VMDK_SESPARSE_GT] = "grain tables",          [VMDK_SESPARSE_FREE_BITMAP] = "free bitmap",
    [VMDK_SESPARSE_BACK_MAP] = "back map",        [VMDK_SESPARSE_GRAINS] = "grains",
};

static bool has_bytes(const uint8_t *bytes, size_t from, size_t to)
{
    for (; from < to; from++) {
        if (bytes[from] != 0)
            return true;
    }
    return false;
}

int vmdk_sesparse_decode(const uint8_t bytes[VMDK_SESPARSE_HEADER_BYTES],
                         struct vmdk_sesparse_header *header, img_error *err)
{
    if (imgi_get_le64(bytes) != VMDK_SESPARSE_MAGIC)
        return vmdk_fail_magic(bytes, "SESPARSE", err);
    header->version = imgi_get_le64(bytes + VMDK_SESPARSE_OFF_VERSION);
    header->capacity = imgi_get_le64(bytes + VMDK_SESPARSE_OFF_CAPACITY);
    header->grain_size = imgi_get_le64(bytes + VMDK_SESPARSE_OFF_GRAIN_SIZE);
    header->gt_size = imgi_get_le64(bytes + VMDK_SESPARSE_OFF_GT_SIZE);
    header->flags = imgi_get_le64(bytes + VMDK_SESPARSE_OFF_FLAGS);
    header->reserved = has_bytes(bytes, VMDK_SESPARSE_OFF_RESERVED, VMDK_SESPARSE_OFF_REGIONS) ||
                       has_bytes(bytes, VMDK_SESPARSE_OFF_PADDING, VMDK_SESPARSE_HEADER_BYTES);
    for (size_t i = 0; i < VMDK_SESPARSE_PARTS; i++) {
        const uint8_t *region = bytes + VMDK_SESPARSE_OFF_REGIONS + 16 * i;

        header->regions[i].offset = imgi_get_le64(region);
        header->regions[i].sectors = imgi_get_le64(region + 8);
    }
    return 0;
}

uint64_t vmdk_sesparse_gd_entries(const struct vmdk_sesparse_header *header)
{
    return imgi_div_up(header->capacity,
                       (uint64_t)VMDK_SESPARSE_GRAIN_SECTORS * VMDK_SESPARSE_GT_ENTRIES);
}

static int check_shape(const struct vmdk_sesparse_header *header, img_error *err)
{
    if (header->version != VMDK_SESPARSE_VERSION)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "seSparse header: version 0x%llx",
                         (unsigned long long)header->version);
    if (header->flags != 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "seSparse header: unknown flags 0x%llx",
                         (unsigned long long)header->flags);
    if (header->reserved)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "seSparse header: fields that must be zero are not");
    if (header->grain_size != VMDK_SESPARSE_GRAIN_SECTORS ||
        header->gt_size != VMDK_SESPARSE_GT_SECTORS)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "seSparse header: grains of %llu sectors and tables of %llu instead of %u "
                         "and %u",
                         (unsigned long long)header->grain_size,
                         (unsigned long long)header->gt_size, VMDK_SESPARSE_GRAIN_SECTORS,
                         VMDK_SESPARSE_GT_SECTORS);
    if (header->capacity == 0 || header->capacity > INT64_MAX / VMDK_SECTOR)
        return imgi_fail(err, IMG_E_CORRUPT, "seSparse header: capacity of %llu sectors",
                         (unsigned long long)header->capacity);
    return 0;
}

/* Where a region lies: grains may go on behind the end of the file, what is in use may not. */
static int check_region(const struct vmdk_sesparse_header *header, size_t part, uint64_t file_size,
                        img_error *err)
{
    const struct vmdk_sesparse_region *region = &header->regions[part];
    uint64_t end, sectors = imgi_div_up(file_size, VMDK_SECTOR);
    bool inside;

    if (region->sectors == 0)
        return 0;
    inside = imgi_add(region->offset, region->sectors, &end) && end <= INT64_MAX / VMDK_SECTOR;

    if (part == VMDK_SESPARSE_GRAINS)
        inside = inside && region->offset <= sectors;
    else
        inside = inside && end <= sectors;
    if (!inside)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "seSparse header: %s of %llu sectors at sector %llu is not inside the "
                         "file (%llu bytes)",
                         part_names[part], (unsigned long long)region->sectors,
                         (unsigned long long)region->offset, (unsigned long long)file_size);
    if (region->offset == 0)
        return imgi_fail(err, IMG_E_CORRUPT, "seSparse header: %s lies over the header",
                         part_names[part]);
    for (size_t other = 0; other < part; other++) {
        if (vmdk_overlaps(region->offset, region->sectors, header->regions[other].offset,
                          header->regions[other].sectors))
            return imgi_fail(err, IMG_E_CORRUPT,
                             "seSparse header: %s at sector %llu overlaps the %s", part_names[part],
                             (unsigned long long)region->offset, part_names[other]);
    }
    return 0;
}

int vmdk_sesparse_check(const struct vmdk_sesparse_header *header, uint64_t file_size,
                        img_error *err)
{
    uint64_t entries;
    int rc = check_shape(header, err);

    for (size_t i = 0; rc == 0 && i < VMDK_SESPARSE_PARTS; i++)
        rc = check_region(header, i, file_size, err);
    if (rc < 0)
        return rc;
    if (header->regions[VMDK_SESPARSE_VOLATILE].sectors == 0)
        return imgi_fail(err, IMG_E_CORRUPT, "seSparse header: no volatile header");
    entries = vmdk_sesparse_gd_entries(header);
    if (entries > header->regions[VMDK_SESPARSE_GD].sectors * (VMDK_SECTOR / 8))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "seSparse header: a grain directory of %llu sectors cannot hold the %llu "
                         "entries that %llu sectors need",
                         (unsigned long long)header->regions[VMDK_SESPARSE_GD].sectors,
                         (unsigned long long)entries, (unsigned long long)header->capacity);
    return 0;
}

void vmdk_sesparse_decode_volatile(const uint8_t bytes[VMDK_SESPARSE_HEADER_BYTES],
                                   struct vmdk_sesparse_volatile *header)
{
    header->magic = imgi_get_le64(bytes);
    header->free_gt = imgi_get_le64(bytes + VMDK_SESPARSE_OFF_FREE_GT);
    header->next_transaction = imgi_get_le64(bytes + VMDK_SESPARSE_OFF_NEXT_TRANSACTION);
    header->replay = imgi_get_le64(bytes + VMDK_SESPARSE_OFF_REPLAY);
    header->reserved =
        has_bytes(bytes, VMDK_SESPARSE_OFF_VOLATILE_PADDING, VMDK_SESPARSE_HEADER_BYTES);
}

int vmdk_sesparse_check_volatile(const struct vmdk_sesparse_volatile *header, img_error *err)
{
    if (header->magic != VMDK_SESPARSE_VOLATILE_MAGIC)
        return imgi_fail(err, IMG_E_CORRUPT, "seSparse volatile header: magic 0x%llx",
                         (unsigned long long)header->magic);
    if (header->replay != 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "seSparse volatile header: the journal holds changes that only ESX can "
                         "replay: the disk was not closed properly");
    if (header->reserved)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "seSparse volatile header: fields that must be zero are not");
    return 0;
}
