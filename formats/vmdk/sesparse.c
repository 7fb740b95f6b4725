/*
 * seSparse extents: which grain lies where. SPDX-License-Identifier: BSD-2-Clause
 *
 * A directory of 64-bit entries names tables by their numbers, in the region of the tables; the
 * upper four bits of a table's entry say what it is, the rest names a grain in the region of
 * grains. Nothing here writes.
 */
#include "sesparse.h"

#include <stdlib.h>

/* An entry of the directory that names a table: this above, the table's number below. */
#define GD_ALLOCATED UINT64_C(0x10000000)

static int read_sector(struct imgi_io *io, uint64_t sector, uint8_t bytes[VMDK_SECTOR],
                       img_error *err)
{
    return imgi_io_read(io, bytes, VMDK_SECTOR, sector * VMDK_SECTOR, err);
}

static int read_headers(struct vmdk_sesparse *sesparse, img_error *err)
{
    struct vmdk_sesparse_volatile changing;
    uint8_t bytes[VMDK_SECTOR];
    uint64_t file_size;
    int rc = imgi_io_size(sesparse->io, &file_size, err);

    if (rc == 0 && file_size < sizeof(bytes))
        return imgi_fail(err, IMG_E_FORMAT, "no SESPARSE extent: the file has only %llu bytes",
                         (unsigned long long)file_size);
    if (rc == 0)
        rc = read_sector(sesparse->io, 0, bytes, err);
    if (rc == 0)
        rc = vmdk_sesparse_decode(bytes, &sesparse->header, err);
    if (rc == 0)
        rc = vmdk_sesparse_check(&sesparse->header, file_size, err);
    if (rc == 0)
        rc = read_sector(sesparse->io, sesparse->header.regions[VMDK_SESPARSE_VOLATILE].offset,
                         bytes, err);
    if (rc < 0)
        return rc;
    vmdk_sesparse_decode_volatile(bytes, &changing);
    return vmdk_sesparse_check_volatile(&changing, err);
}

static int read_directory(struct imgi_node *node, struct vmdk_sesparse *sesparse, img_error *err)
{
    struct imgi_table table = {.what = "grain directory",
                               .offset =
                                   sesparse->header.regions[VMDK_SESPARSE_GD].offset * VMDK_SECTOR,
                               .entries = sesparse->gd_entries,
                               .entry_size = 8};
    struct vmdk_state *state = vmdk_state(node);
    int rc = imgi_io_size(sesparse->io, &table.file_size, err);

    if (rc == 0)
        rc = imgi_policy_table(node->policy, &table, err);
    if (rc < 0)
        return rc;
    state->directory_bytes += 8 * sesparse->gd_entries;
    rc = imgi_policy_limit(node->policy, IMG_LIMIT_TABLE_BYTES, state->directory_bytes,
                           "bytes of all grain directories", err);
    if (rc < 0)
        return rc;
    sesparse->gd = malloc((size_t)(8 * sesparse->gd_entries));
    if (!sesparse->gd)
        return imgi_fail_nomem(err, "a grain directory");
    return imgi_io_read(sesparse->io, sesparse->gd, (size_t)(8 * sesparse->gd_entries),
                        table.offset, err);
}

int vmdk_sesparse_open(struct imgi_node *node, struct imgi_io *io, size_t extents,
                       struct vmdk_sesparse **out, img_error *err)
{
    struct vmdk_sesparse *sesparse = calloc(1, sizeof(*sesparse));
    const struct imgi_cache_params params = {.io = io,
                                             .what = "grain table",
                                             .table_size = VMDK_SESPARSE_GT_BYTES,
                                             .budget = VMDK_TABLES_BUDGET / IMGI_MAX(extents, 1u)};
    int rc;

    *out = sesparse;
    if (!sesparse)
        return imgi_fail_nomem(err, "a seSparse extent");
    if (node->writable)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "SESPARSE extents can only be read: how their journal and their maps are "
                         "kept is not published");
    sesparse->io = io;
    rc = read_headers(sesparse, err);
    if (rc < 0)
        return rc;
    sesparse->gd_entries = vmdk_sesparse_gd_entries(&sesparse->header);
    rc = read_directory(node, sesparse, err);
    return rc < 0 ? rc : imgi_cache_new(&sesparse->tables, &params, err);
}

void vmdk_sesparse_free(struct vmdk_sesparse *sesparse)
{
    if (!sesparse)
        return;
    imgi_cache_free(sesparse->tables);
    free(sesparse->gd);
    free(sesparse);
}

uint64_t vmdk_sesparse_capacity(const struct vmdk_sesparse *sesparse)
{
    return sesparse->header.capacity * VMDK_SECTOR;
}

int vmdk_sesparse_table(const struct vmdk_sesparse *sesparse, uint64_t index,
                        const uint8_t **entries, img_error *err)
{
    const struct vmdk_sesparse_region *region = &sesparse->header.regions[VMDK_SESPARSE_GT];
    uint64_t entry = imgi_get_le64(sesparse->gd + 8 * index), number = entry & UINT32_MAX;
    uint8_t *table = NULL;
    int rc;

    *entries = NULL;
    if (entry == 0)
        return 0;
    if (entry >> 32 != GD_ALLOCATED)
        return imgi_fail(err, IMG_E_CORRUPT, "grain directory: entry %llu is 0x%016llx",
                         (unsigned long long)index, (unsigned long long)entry);
    if (number >= region->sectors / VMDK_SESPARSE_GT_SECTORS)
        return imgi_fail(err, IMG_E_CORRUPT, "grain directory: entry %llu names table %llu of %llu",
                         (unsigned long long)index, (unsigned long long)number,
                         (unsigned long long)(region->sectors / VMDK_SESPARSE_GT_SECTORS));
    rc = imgi_cache_get(sesparse->tables,
                        (region->offset + number * VMDK_SESPARSE_GT_SECTORS) * VMDK_SECTOR, &table,
                        err);
    *entries = table;
    return rc;
}

/* Grains have numbers of 60 bits, whose lowest twelve stand above the others. */
static bool grain_place(const struct vmdk_sesparse *sesparse, uint64_t entry, uint64_t *host)
{
    const struct vmdk_sesparse_region *region = &sesparse->header.regions[VMDK_SESPARSE_GRAINS];
    uint64_t number = ((entry >> 48) & 0xfff) | (entry & ((UINT64_C(1) << 48) - 1)) << 12;

    if (number >= region->sectors / VMDK_SESPARSE_GRAIN_SECTORS)
        return false;
    *host = region->offset * VMDK_SECTOR + number * VMDK_SESPARSE_GRAIN_BYTES;
    return true;
}

enum vmdk_sesparse_state vmdk_sesparse_entry(const struct vmdk_sesparse *sesparse, uint64_t entry,
                                             uint64_t *host)
{
    switch (entry >> 60) {
    case 0:
        return entry == 0 ? VMDK_SESPARSE_ABSENT : VMDK_SESPARSE_UNKNOWN;
    case 1: /* unmapped by the guest */
    case 2:
        return VMDK_SESPARSE_ZERO;
    case 3:
        return grain_place(sesparse, entry, host) ? VMDK_SESPARSE_DATA : VMDK_SESPARSE_UNKNOWN;
    default:
        return VMDK_SESPARSE_UNKNOWN;
    }
}

static enum imgi_kind kind_of(enum vmdk_sesparse_state state)
{
    if (state == VMDK_SESPARSE_DATA)
        return IMGI_DATA;
    return state == VMDK_SESPARSE_ZERO ? IMGI_ZERO : IMGI_ABSENT;
}

/* A run of one kind inside one table, or of the whole of a table that is not there. */
int vmdk_sesparse_map(const struct vmdk_sesparse *sesparse, uint64_t at, uint64_t length,
                      struct imgi_extent *run, img_error *err)
{
    const uint64_t grain = VMDK_SESPARSE_GRAIN_BYTES, covers = grain * VMDK_SESPARSE_GT_ENTRIES;
    uint64_t n = at % covers / grain, host = 0, next = 0;
    enum vmdk_sesparse_state state = VMDK_SESPARSE_ABSENT;
    const uint8_t *entries;
    int rc = vmdk_sesparse_table(sesparse, at / covers, &entries, err);

    if (rc < 0)
        return rc;
    run->kind = IMGI_ABSENT;
    run->length = IMGI_MIN(length, covers - at % covers);
    if (!entries)
        return 0;
    state = vmdk_sesparse_entry(sesparse, imgi_get_le64(entries + 8 * n), &host);
    if (state == VMDK_SESPARSE_UNKNOWN)
        return imgi_fail(err, IMG_E_CORRUPT, "grain table %llu: entry %llu is 0x%016llx",
                         (unsigned long long)(at / covers), (unsigned long long)n,
                         (unsigned long long)imgi_get_le64(entries + 8 * n));
    run->kind = kind_of(state);
    run->io = state == VMDK_SESPARSE_DATA ? sesparse->io : NULL;
    run->host = host + at % grain;
    run->length = grain - at % grain;
    while (run->length < length && ++n < VMDK_SESPARSE_GT_ENTRIES &&
           vmdk_sesparse_entry(sesparse, imgi_get_le64(entries + 8 * n), &next) == state &&
           (state != VMDK_SESPARSE_DATA || next == (host += grain)))
        run->length += grain;
    run->length = IMGI_MIN(run->length, length);
    return 0;
}
