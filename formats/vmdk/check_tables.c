/*
 * Where the tables lie. SPDX-License-Identifier: BSD-2-Clause
 *
 * Both directories must name tables for the same grains, each with a place of its own. A table that
 * cannot be where the directory says is made anew from its other copy; one that two entries name
 * gets a second copy for the second, whose entries are then looked at one by one. Where the primary
 * directory names none it gets an empty one, for which its copy is weighed like any other.
 */
#include <stdlib.h>

#include "check.h"

/* What one entry of a directory names. */
enum place {
    PLACE_ABSENT,
    PLACE_GOOD,
    PLACE_SHARED, /* can be read, but is another's too */
    PLACE_BAD
};

static int mark(struct vmdk_checking *check, uint64_t sector, uint64_t sectors, bool *twice,
                img_error *err)
{
    uint64_t end = (sector + sectors) * VMDK_SECTOR;

    check->metadata_end = IMGI_MAX(check->metadata_end, end);
    return imgi_seen_mark(check->metadata, sector, sectors, twice, err);
}

/* What vmdk_header_check has seen to lie inside the file, and nowhere twice. */
static int mark_header(struct vmdk_checking *check, img_error *err)
{
    const struct vmdk_sparse *sparse = check->sparse;
    const struct vmdk_header *header = &sparse->header;
    uint64_t gd_sectors = imgi_div_up(sparse->gd_entries * 4, VMDK_SECTOR);
    bool twice;
    int rc = mark(check, 0, sparse->header_sectors, &twice, err);

    if (rc == 0 && header->descriptor_offset != 0)
        rc = mark(check, header->descriptor_offset, header->descriptor_size, &twice, err);
    if (rc == 0 && check->rgd)
        rc = mark(check, header->rgd_offset, gd_sectors, &twice, err);
    if (rc == 0)
        rc = mark(check, header->gd_offset, gd_sectors, &twice, err);
    return rc;
}

bool vmdk_table_place(const struct vmdk_checking *check, const uint8_t *directory, uint64_t index,
                      uint64_t *host)
{
    uint32_t sector;

    if (!directory)
        return false;
    sector = imgi_get_le32(directory + 4 * index);
    *host = (uint64_t)sector * VMDK_SECTOR;
    return sector != VMDK_ENTRY_ABSENT &&
           vmdk_table_check_place(check->sparse, "", index, sector, NULL) == 0;
}

static int check_place(struct vmdk_checking *check, bool redundant, uint64_t index,
                       enum place *place, img_error *err)
{
    const char *what = redundant ? "redundant grain directory" : "grain directory";
    uint32_t sector = imgi_get_le32((redundant ? check->rgd : check->sparse->gd) + 4 * index);
    uint64_t end = (uint64_t)sector * VMDK_SECTOR + vmdk_table_bytes(check->sparse);
    img_error why;
    bool twice;
    int rc;

    *place = PLACE_ABSENT;
    if (sector == VMDK_ENTRY_ABSENT)
        return 0;
    *place = PLACE_BAD;
    if (vmdk_table_check_place(check->sparse, what, index, sector, &why) < 0) {
        vmdk_corrupt(check, "%s", why.message);
        return 0;
    }
    rc = mark(check, sector, vmdk_table_sectors(check->sparse), &twice, err);
    if (rc < 0)
        return rc;
    check->end = IMGI_MAX(check->end, end);
    *place = twice ? PLACE_SHARED : PLACE_GOOD;
    if (twice)
        vmdk_corrupt(check, "%s entry %llu shares its table (0x%llx) with another", what,
                     (unsigned long long)index, (unsigned long long)sector * VMDK_SECTOR);
    return 0;
}

/* As vmdk_mend_add_table, in this pass. */
static int add_table(struct vmdk_checking *check, bool redundant, uint64_t index, uint64_t from,
                     img_error *err)
{
    const uint8_t *directory = redundant ? check->rgd : check->sparse->gd;
    int rc = vmdk_mend_add_table(check, redundant, index, from, err);
    bool twice;

    if (rc < 0)
        return rc;
    return mark(check, imgi_get_le32(directory + 4 * index), vmdk_table_sectors(check->sparse),
                &twice, err);
}

/* Make two good places out of what there is of a table. */
static int mend_places(struct vmdk_checking *check, uint64_t index, enum place primary,
                       enum place redundant, img_error *err)
{
    uint64_t first = (uint64_t)imgi_get_le32(check->sparse->gd + 4 * index) * VMDK_SECTOR;
    uint64_t second =
        check->rgd ? (uint64_t)imgi_get_le32(check->rgd + 4 * index) * VMDK_SECTOR : 0;
    bool has_first = primary == PLACE_GOOD || primary == PLACE_SHARED;
    bool has_second = check->rgd && (redundant == PLACE_GOOD || redundant == PLACE_SHARED);
    /* A shared table is the other's, unless there is nothing else. */
    bool from_second = has_second && (redundant == PLACE_GOOD || !has_first);
    uint64_t from = primary == PLACE_GOOD || !from_second ? first : second;
    int rc = 0;

    if (primary == PLACE_ABSENT && redundant == PLACE_ABSENT)
        return 0;
    if (primary == PLACE_ABSENT)
        return redundant == PLACE_GOOD ? add_table(check, false, index, 0, err)
                                       : vmdk_mend_directory(check, true, index, 0, err);
    if (!has_first && !has_second)
        return 0;
    if (check->rgd && redundant != PLACE_GOOD)
        rc = add_table(check, true, index, from, err);
    if (rc == 0 && primary != PLACE_GOOD)
        rc = add_table(check, false, index, from, err);
    return rc;
}

static int check_pair(struct vmdk_checking *check, uint64_t index, enum place primary,
                      img_error *err)
{
    enum place redundant = primary;
    int rc = check->rgd ? check_place(check, true, index, &redundant, err) : 0;
    bool lacking = primary == PLACE_GOOD && redundant == PLACE_ABSENT;

    if (rc == 0 && lacking)
        imgi_found(check->checker, IMGI_FINDING_LEAK,
                   "Leaked in %s: the redundant grain directory lacks table %llu", check->file,
                   (unsigned long long)index);
    if (rc == 0 && primary == PLACE_ABSENT && redundant != PLACE_ABSENT) {
        check->lost = check->lost || !check->mend;
        imgi_found(check->checker, IMGI_FINDING_LEAK,
                   "Leaked in %s: only the redundant grain directory has a table %llu", check->file,
                   (unsigned long long)index);
    }
    if (rc == 0 && (check->mend || (check->free_leaks && lacking)) &&
        !vmdk_is_stream(&check->sparse->header) &&
        (primary != PLACE_GOOD || redundant != PLACE_GOOD))
        rc = mend_places(check, index, primary, redundant, err);
    return rc;
}

int vmdk_check_tables(struct vmdk_checking *check, img_error *err)
{
    uint64_t entries = check->sparse->gd_entries;
    uint8_t *primaries = malloc((size_t)entries + 1); /* enum place */
    enum place place = PLACE_ABSENT;
    int rc = primaries ? mark_header(check, err) : imgi_fail_nomem(err, "places of grain tables");

    /* Primaries first: what readers use is not another's copy. */
    for (uint64_t i = 0; rc == 0 && i < entries; i++) {
        rc = check_place(check, false, i, &place, err);
        primaries[i] = (uint8_t)place;
    }
    for (uint64_t i = 0; rc == 0 && i < entries; i++)
        rc = check_pair(check, i, (enum place)primaries[i], err);
    free(primaries);
    return rc;
}
