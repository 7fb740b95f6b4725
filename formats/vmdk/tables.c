/*
 * Grain directories and the grain tables they name. SPDX-License-Identifier: BSD-2-Clause
 *
 * Owns sparse->tables and sparse->redundant, the cached tables of an extent and their second
 * copies, and the directories, which are in memory whole. What changes is written together: when
 * the image is flushed, and when the cache needs room.
 *
 * Order on disk (what points comes after what it points at, with a flush between): grains, then
 * tables, then directories. Both copies of a table go without a flush between: each of their
 * sectors, old or new, names what is on disk. Of directories the redundant one is on disk first,
 * for a table without a copy could not be written to.
 */
#include "vmdk.h"

int vmdk_table_check_place(const struct vmdk_sparse *sparse, const char *what, uint64_t index,
                           uint32_t sector, img_error *err)
{
    const struct vmdk_header *header = &sparse->header;
    uint64_t file_size;
    uint64_t gd_sectors = imgi_div_up(sparse->gd_entries * 4, VMDK_SECTOR);
    bool redundant = (header->flags & VMDK_FLAG_REDUNDANT) != 0;
    int rc = imgi_io_size(sparse->io, &file_size, err);

    if (rc < 0)
        return rc;
    if (!imgi_span_ok(sector, vmdk_table_sectors(sparse), file_size / VMDK_SECTOR))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "%s entry %llu points past the end of the file (0x%llx of %llu bytes)",
                         what, (unsigned long long)index, (unsigned long long)sector * VMDK_SECTOR,
                         (unsigned long long)file_size);
    if (sector < sparse->header_sectors ||
        vmdk_overlaps(sector, vmdk_table_sectors(sparse), header->gd_offset, gd_sectors) ||
        (redundant &&
         vmdk_overlaps(sector, vmdk_table_sectors(sparse), header->rgd_offset, gd_sectors)) ||
        (header->descriptor_offset != 0 &&
         vmdk_overlaps(sector, vmdk_table_sectors(sparse), header->descriptor_offset,
                       header->descriptor_size)))
        return imgi_fail(
            err, IMG_E_CORRUPT,
            "%s entry %llu points into the header, the descriptor or a directory (0x%llx)", what,
            (unsigned long long)index, (unsigned long long)sector * VMDK_SECTOR);
    return 0;
}

/* ------------------------------------------------------------------- order on disk */

/* Make the file as long as what has been handed out of it. */
static int grow_file(struct vmdk_sparse *sparse, img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(sparse->io, &size, err);

    if (rc == 0 && size < sparse->next)
        rc = imgi_io_resize(sparse->io, sparse->next, IMGI_PREALLOC_OFF, err);
    return rc;
}

int vmdk_sparse_settle(struct vmdk_sparse *sparse, img_error *err)
{
    int rc = grow_file(sparse, err);

    if (rc == 0 && sparse->cowd)
        rc = vmdk_cowd_settle(sparse, err);
    return rc < 0 ? rc : imgi_io_flush(sparse->io, err);
}

/* What the tables are about to point at is on the disk. */
static int settle_grains(void *opaque, img_error *err)
{
    return vmdk_sparse_settle(opaque, err);
}

static int settle_redundant(void *opaque, img_error *err)
{
    struct vmdk_sparse *sparse = opaque;

    if (!sparse->redundant)
        return settle_grains(sparse, err);
    return imgi_cache_write(sparse->redundant, err);
}

static int write_directories(struct vmdk_sparse *sparse, img_error *err)
{
    const struct vmdk_header *header = &sparse->header;
    size_t bytes = (size_t)sparse->gd_entries * 4;
    int rc = imgi_io_flush(sparse->io, err);

    if (rc == 0 && sparse->rgd)
        rc = imgi_io_write(sparse->io, sparse->rgd, bytes, header->rgd_offset * VMDK_SECTOR, err);
    if (rc == 0 && sparse->rgd)
        rc = imgi_io_flush(sparse->io, err);
    if (rc == 0)
        rc = imgi_io_write(sparse->io, sparse->gd, bytes, header->gd_offset * VMDK_SECTOR, err);
    if (rc == 0)
        sparse->gd_dirty = false;
    return rc;
}

int vmdk_tables_write(struct vmdk_sparse *sparse, img_error *err)
{
    int rc = sparse->redundant ? imgi_cache_write(sparse->redundant, err) : 0;

    if (rc == 0)
        rc = imgi_cache_write(sparse->tables, err);
    if (rc == 0 && sparse->gd_dirty)
        rc = write_directories(sparse, err);
    return rc;
}

int vmdk_tables_open(struct vmdk_sparse *sparse, size_t extents, img_error *err)
{
    struct imgi_cache_params params = {.io = sparse->io,
                                       .what = "grain table",
                                       .table_size = vmdk_table_bytes(sparse),
                                       .budget = VMDK_TABLES_BUDGET / IMGI_MAX(extents, 1u),
                                       .before_write = settle_redundant,
                                       .opaque = sparse};
    int rc = imgi_cache_new(&sparse->tables, &params, err);

    if (rc < 0 || !sparse->rgd)
        return rc;
    params.what = "redundant grain table";
    params.before_write = settle_grains;
    return imgi_cache_new(&sparse->redundant, &params, err);
}

/* ------------------------------------------------------------------ single tables */

int vmdk_table_get(const struct vmdk_sparse *sparse, uint64_t index, const uint8_t **entries,
                   img_error *err)
{
    uint8_t *table = NULL;
    uint32_t sector;
    int rc;

    if (sparse->salvage) {
        *entries = vmdk_salvage_table(sparse->salvage, index);
        return 0;
    }
    sector = imgi_get_le32(sparse->gd + 4 * index);
    *entries = sparse->stream ? vmdk_stream_table(sparse->stream, index) : NULL;
    if (*entries || sector == VMDK_ENTRY_ABSENT)
        return 0;
    rc = vmdk_table_check_place(sparse, "grain directory", index, sector, err);
    if (rc == 0)
        rc = imgi_cache_get(sparse->tables, (uint64_t)sector * VMDK_SECTOR, &table, err);
    *entries = table;
    return rc;
}

int vmdk_sparse_append(struct vmdk_sparse *sparse, uint64_t bytes, uint64_t *host, img_error *err)
{
    uint64_t end;

    if (!imgi_add(sparse->next, bytes, &end) || end > VMDK_SECTORS_MAX * VMDK_SECTOR)
        return imgi_fail(err, IMG_E_NOSPACE,
                         "a sparse extent cannot grow past %llu bytes: sectors have 32-bit numbers",
                         (unsigned long long)(VMDK_SECTORS_MAX * VMDK_SECTOR));
    *host = sparse->next;
    sparse->next = end;
    return 0;
}

/* The directory has no such table: append one, and its copy, without grains. */
static int make_table(struct vmdk_sparse *sparse, uint64_t index, img_error *err)
{
    uint32_t copies = sparse->rgd ? 2 : 1;
    uint64_t room = imgi_align_up(copies * vmdk_table_bytes(sparse), sparse->grain), host = 0;
    uint8_t *table;
    int rc = vmdk_sparse_append(sparse, room, &host, err);

    if (rc == 0)
        rc = grow_file(sparse, err);
    if (rc == 0)
        rc = imgi_cache_add(sparse->tables, host, 0, &table, err);
    if (rc == 0 && sparse->rgd)
        rc = imgi_cache_add(sparse->redundant, host + vmdk_table_bytes(sparse), 0, &table, err);
    if (rc < 0)
        return rc;
    imgi_put_le32(sparse->gd + 4 * index, (uint32_t)(host / VMDK_SECTOR));
    if (sparse->rgd)
        imgi_put_le32(sparse->rgd + 4 * index,
                      (uint32_t)((host + vmdk_table_bytes(sparse)) / VMDK_SECTOR));
    sparse->gd_dirty = true;
    return 0;
}

/* Change one copy of a table's entry. */
static int set_copy(const struct vmdk_sparse *sparse, struct imgi_cache *cache, const char *what,
                    const uint8_t *directory, uint64_t grain, uint32_t value, img_error *err)
{
    uint64_t index = grain / sparse->header.num_gtes;
    size_t at = 4 * (size_t)(grain % sparse->header.num_gtes);
    uint32_t sector = imgi_get_le32(directory + 4 * index);
    uint8_t *table;
    int rc = vmdk_table_check_place(sparse, what, index, sector, err);

    if (rc == 0)
        rc = imgi_cache_get(cache, (uint64_t)sector * VMDK_SECTOR, &table, err);
    if (rc < 0)
        return rc;
    imgi_put_le32(table + at, value);
    imgi_cache_dirty(cache, table, at, 4);
    return 0;
}

int vmdk_table_set(struct vmdk_sparse *sparse, uint64_t grain, uint32_t value, img_error *err)
{
    uint64_t index = grain / sparse->header.num_gtes;
    int rc = vmdk_mark_unclean(sparse, err);

    if (rc == 0 && imgi_get_le32(sparse->gd + 4 * index) == VMDK_ENTRY_ABSENT)
        rc = make_table(sparse, index, err);
    if (rc == 0 && sparse->rgd)
        rc = set_copy(sparse, sparse->redundant, "redundant grain directory", sparse->rgd, grain,
                      value, err);
    if (rc == 0)
        rc = set_copy(sparse, sparse->tables, "grain directory", sparse->gd, grain, value, err);
    return rc;
}
