/*
 * Is everything where it says it is? SPDX-License-Identifier: BSD-2-Clause
 *
 * For each sparse extent: both copies of the directories and tables agree, tables lie where tables
 * may, grains lie inside the file and have one owner each. A stream that has a footer is also read
 * the way importers do, marker by marker from front to back (walk.c). Faults of one kind in one
 * table are told as one, since a hostile image can have millions.
 */
#include <stdlib.h>

#include "vmdk.h"
#include "walk.h"

/* The check of one extent. */
struct check {
    struct imgi_node *node;
    const struct vmdk_sparse *sparse;
    uint64_t offset; /* of the extent in the disk */
    struct imgi_checker *checker;
    const char *file; /* its name, for messages */
    uint64_t file_size;
    uint8_t *rgd;             /* the redundant directory, or NULL */
    uint64_t unit;            /* bytes that one bit of `grains` stands for */
    struct imgi_seen *grains; /* in units from the first grain on */
    struct imgi_seen *tables; /* in sectors */
    uint64_t end;             /* of the last table or grain */
};

/* Faults of one kind in one table: how many, and the first. */
struct faults {
    const char *what;
    uint64_t count, entry, host;
};

enum fault {
    FAULT_PAST_END,
    FAULT_BEFORE_DATA,
    FAULT_UNALIGNED,
    FAULT_SHARED,
    FAULT_MARKER,
    FAULTS
};

static void note_fault(struct faults *faults, enum fault kind, uint64_t entry, uint64_t host)
{
    if (faults[kind].count++ == 0) {
        faults[kind].entry = entry;
        faults[kind].host = host;
    }
}

static void report_faults(const struct check *check, const struct faults *faults, uint64_t index)
{
    for (size_t i = 0; i < FAULTS; i++) {
        if (faults[i].count > 0)
            imgi_found(
                check->checker, IMGI_FINDING_CORRUPTION,
                "ERROR %s: grain table %llu: %llu grains %s, the first is entry %llu (0x%llx)",
                check->file, (unsigned long long)index, (unsigned long long)faults[i].count,
                faults[i].what, (unsigned long long)faults[i].entry,
                (unsigned long long)faults[i].host);
    }
}

/* ---------------------------------------------------------------------- grains */

/* The marker of a compressed grain; *stored: bytes in the file, with it. False: it is wrong. */
static bool check_marker(const struct check *check, uint64_t grain, uint64_t host, uint64_t *stored)
{
    const struct vmdk_sparse *sparse = check->sparse;
    uint8_t bytes[VMDK_GRAIN_MARKER_BYTES];
    uint64_t size;

    if (imgi_io_read(sparse->io, bytes, sizeof(bytes), host, NULL) < 0)
        return false;
    size = imgi_get_le32(bytes + 8);
    *stored = sizeof(bytes) + size;
    return imgi_get_le64(bytes) == grain * sparse->header.grain_size && size > 0 &&
           size <= 2 * sparse->grain && imgi_span_ok(host, *stored, check->file_size);
}

static int check_grain(struct check *check, uint64_t grain, uint32_t sector, struct faults *faults,
                       img_error *err)
{
    const struct vmdk_sparse *sparse = check->sparse;
    bool stream = vmdk_is_stream(&sparse->header), twice;
    uint64_t host = (uint64_t)sector * VMDK_SECTOR, stored = sparse->grain;
    uint64_t first = sparse->header.overhead * VMDK_SECTOR;
    uint64_t entry = grain % sparse->header.num_gtes;
    int rc;

    if (!stream)
        stored = IMGI_MIN(stored, sparse->size - grain * sparse->grain);
    if (host < first) {
        note_fault(faults, FAULT_BEFORE_DATA, entry, host);
    } else if (!imgi_span_ok(host, stream ? VMDK_GRAIN_MARKER_BYTES : stored, check->file_size)) {
        note_fault(faults, FAULT_PAST_END, entry, host);
    } else if (!stream && (host - first) % check->unit != 0) {
        note_fault(faults, FAULT_UNALIGNED, entry, host);
    } else if (stream && !check_marker(check, grain, host, &stored)) {
        note_fault(faults, FAULT_MARKER, entry, host);
    } else {
        rc = imgi_seen_mark(check->grains, (host - first) / check->unit,
                            imgi_div_up(stored, check->unit), &twice, err);
        if (rc < 0)
            return rc;
        check->end = IMGI_MAX(check->end, host + stored);
        if (twice)
            note_fault(faults, FAULT_SHARED, entry, host);
    }
    return 0;
}

/* Whether the entry says that there is no grain to be read. */
static bool is_empty(const struct check *check, uint32_t sector)
{
    return sector == VMDK_ENTRY_ABSENT ||
           (sector == VMDK_ENTRY_ZERO && (check->sparse->header.flags & VMDK_FLAG_ZERO_GRAINS));
}

static int check_grains(struct check *check, uint64_t index, const uint8_t *entries, img_error *err)
{
    struct faults faults[FAULTS] = {
        [FAULT_PAST_END] = {.what = "lie past the end of the file"},
        [FAULT_BEFORE_DATA] = {.what = "lie before the first grain"},
        [FAULT_UNALIGNED] = {.what = "do not begin at a multiple of the grain size"},
        [FAULT_SHARED] = {.what = "overlap others"},
        [FAULT_MARKER] = {.what = "have a wrong marker"},
    };
    const struct vmdk_header *header = &check->sparse->header;
    uint64_t grains = imgi_div_up(header->capacity, header->grain_size);
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < header->num_gtes; i++) {
        uint64_t grain = index * header->num_gtes + i;
        uint32_t sector = imgi_get_le32(entries + 4 * i);

        if (grain >= grains || is_empty(check, sector))
            continue;
        rc = check_grain(check, grain, sector, faults, err);
    }
    report_faults(check, faults, index);
    return rc;
}

/* ---------------------------------------------------------------------- tables */

/* The place of one copy of a table: allowed, and nobody else's. */
static int check_place(struct check *check, const char *what, uint64_t index, uint32_t sector,
                       bool *usable, img_error *err)
{
    img_error why;
    bool twice;
    int rc;

    *usable = vmdk_table_check_place(check->sparse, what, index, sector, &why) == 0;
    if (!*usable) {
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION, "ERROR %s: %s", check->file,
                   why.message);
        return 0;
    }
    rc = imgi_seen_mark(check->tables, sector, vmdk_table_sectors(check->sparse), &twice, err);
    check->end =
        IMGI_MAX(check->end, (uint64_t)sector * VMDK_SECTOR + vmdk_table_bytes(check->sparse));
    if (rc == 0 && twice)
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR %s: %s entry %llu shares its table (0x%llx) with another", check->file,
                   what, (unsigned long long)index, (unsigned long long)sector * VMDK_SECTOR);
    return rc;
}

/*
 * Compare a table with its second copy. That one is written first: what it alone has is a grain
 * whose writing was interrupted, space that is lost and no more. Other differences are no accident.
 */
static void compare_copy(const struct check *check, uint64_t index, const uint8_t *entries,
                         const uint8_t *copy)
{
    unsigned ahead = 0, wrong = 0;

    for (uint32_t i = 0; i < VMDK_NUM_GTES; i++) {
        uint32_t first = imgi_get_le32(entries + 4 * i), second = imgi_get_le32(copy + 4 * i);

        ahead += first != second && is_empty(check, first);
        wrong += first != second && !is_empty(check, first);
    }
    if (ahead > 0)
        imgi_found(check->checker, IMGI_FINDING_LEAK,
                   "Leaked in %s: grain table %llu: %u entries are in its redundant copy only",
                   check->file, (unsigned long long)index, ahead);
    if (wrong > 0)
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR %s: grain table %llu: %u entries are not so in its redundant copy",
                   check->file, (unsigned long long)index, wrong);
}

static int check_copy(struct check *check, uint64_t index, const uint8_t *entries, img_error *err)
{
    uint8_t copy[VMDK_TABLE_BYTES];
    uint32_t sector = imgi_get_le32(check->rgd + 4 * index);
    bool usable = false;
    int rc = check_place(check, "redundant grain directory", index, sector, &usable, err);

    if (rc < 0 || !usable)
        return rc;
    rc = imgi_io_read(check->sparse->io, copy, sizeof(copy), (uint64_t)sector * VMDK_SECTOR, err);
    if (rc == 0)
        compare_copy(check, index, entries, copy);
    return rc;
}

static int check_table(struct check *check, uint64_t index, img_error *err)
{
    const struct vmdk_sparse *sparse = check->sparse;
    uint32_t sector = imgi_get_le32(sparse->gd + 4 * index);
    const uint8_t *entries = NULL;
    bool usable = false;
    int rc;

    if (sector == VMDK_ENTRY_ABSENT) {
        if (check->rgd && imgi_get_le32(check->rgd + 4 * index) != VMDK_ENTRY_ABSENT)
            imgi_found(check->checker, IMGI_FINDING_LEAK,
                       "Leaked in %s: only the redundant grain directory has a table %llu",
                       check->file, (unsigned long long)index);
        return 0;
    }
    rc = check_place(check, "grain directory", index, sector, &usable, err);
    if (rc < 0 || !usable)
        return rc;
    rc = vmdk_table_get(sparse, index, &entries, err);
    if (rc == 0)
        rc = check_grains(check, index, entries, err);
    if (rc == 0 && check->rgd)
        rc = check_copy(check, index, entries, err);
    return rc;
}

/* Tables behind the first grain lie between grains, never in one. */
static void check_table_in_grain(const struct check *check, uint64_t index)
{
    const struct vmdk_header *header = &check->sparse->header;
    uint64_t host = (uint64_t)imgi_get_le32(check->sparse->gd + 4 * index) * VMDK_SECTOR;
    uint64_t first = header->overhead * VMDK_SECTOR, end = host + vmdk_table_bytes(check->sparse);

    if (host >= first &&
        imgi_seen_test(check->grains, (host - first) / check->unit,
                       imgi_div_up(end - first, check->unit) - (host - first) / check->unit))
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR %s: grain table %llu (0x%llx) lies in a grain", check->file,
                   (unsigned long long)index, (unsigned long long)host);
}

static int check_tables(struct check *check, img_error *err)
{
    const struct vmdk_sparse *sparse = check->sparse;
    uint64_t entries = sparse->gd_entries, covers = sparse->grain * sparse->header.num_gtes;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < entries; i++) {
        rc = check_table(check, i, err);
        if (rc == 0 && i % 64 == 0)
            rc = imgi_check_progress(check->checker, check->offset + i * covers, check->node->size,
                                     err);
    }
    for (uint64_t i = 0; rc == 0 && i < entries; i++)
        check_table_in_grain(check, i);
    return rc;
}

/* ---------------------------------------------------------------------- extents */

/* ESX would go on writing there. */
static void check_free_sector(const struct check *check)
{
    const struct vmdk_sparse *sparse = check->sparse;

    if (sparse->cowd && sparse->free_sector < imgi_div_up(check->end, VMDK_SECTOR))
        imgi_found(
            check->checker, IMGI_FINDING_CORRUPTION,
            "ERROR %s: the next free sector, %u, lies before the end of what is in use, %llu",
            check->file, sparse->free_sector,
            (unsigned long long)imgi_div_up(check->end, VMDK_SECTOR));
}

static int check_sparse(struct imgi_node *node, const struct vmdk_extent *extent,
                        struct imgi_checker *checker, img_error *err)
{
    const struct vmdk_sparse *sparse = extent->sparse;
    bool stream = vmdk_is_stream(&sparse->header);
    struct check check = {.node = node,
                          .sparse = sparse,
                          .offset = extent->offset,
                          .checker = checker,
                          .file = sparse->io->name,
                          .unit = stream || sparse->cowd ? VMDK_SECTOR : sparse->grain};
    int rc = imgi_io_size(sparse->io, &check.file_size, err);
    uint64_t reach = IMGI_MIN(check.file_size, VMDK_SECTORS_MAX * VMDK_SECTOR);

    if (rc == 0 && (sparse->header.flags & VMDK_FLAG_REDUNDANT))
        rc = vmdk_directory_read(node, sparse, sparse->header.rgd_offset, &check.rgd, err);
    if (rc < 0)
        goto out;
    check.grains = imgi_seen_new(reach / check.unit + 1, node->policy, err);
    check.tables = imgi_seen_new(reach / VMDK_SECTOR + 1, node->policy, err);
    if (!check.grains || !check.tables)
        rc = IMG_E_NOMEM;
    if (rc == 0)
        rc = check_tables(&check, err);
    if (rc == 0)
        check_free_sector(&check);
    if (rc == 0 && stream)
        rc = vmdk_walk_stream(node, sparse, checker, err);
out:
    imgi_seen_free(check.grains);
    imgi_seen_free(check.tables);
    free(check.rgd);
    return rc;
}

int vmdk_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    int rc = 0;

    if (checker->repair != IMGI_REPAIR_NONE)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "VMDK images cannot be repaired");
    for (size_t i = 0; rc == 0 && i < state->extent_count; i++) {
        const struct vmdk_extent *extent = &state->extents[i];

        if (extent->sparse && extent->sparse->sequence)
            rc = vmdk_walk_stream(node, extent->sparse, checker, err);
        else if (extent->sparse && !extent->sparse->stream)
            rc = check_sparse(node, extent, checker, err);
        else if (extent->sesparse)
            rc = vmdk_sesparse_check_extent(node, extent, checker, err);
    }
    return rc;
}
