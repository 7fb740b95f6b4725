/*
 * What a repair writes. SPDX-License-Identifier: BSD-2-Clause
 *
 * New tables and copies of grains go to the end of the file, and are on disk before anything names
 * them; a crash in between leaves lost space. Of two copies of a table the redundant one is written
 * first, as always: readers go by the other.
 */
#include <stdlib.h>

#include "check.h"

/* Bytes of a grain that are copied at a time. */
#define PIECE (1u << 20)

/* Append a table to the file, with that content. It is on disk when this returns. */
static int new_table(struct vmdk_checking *check, const uint8_t *content, uint64_t *host,
                     img_error *err)
{
    struct vmdk_sparse *sparse = check->sparse;
    uint32_t bytes = vmdk_table_bytes(sparse);
    int rc = vmdk_sparse_append(sparse, imgi_align_up(bytes, sparse->grain), host, err);

    if (rc == 0)
        rc = imgi_io_write(sparse->io, content, bytes, *host, err);
    if (rc == 0)
        rc = vmdk_sparse_settle(sparse, err);
    if (rc == 0)
        rc = imgi_io_size(sparse->io, &check->file_size, err);
    check->end = IMGI_MAX(check->end, *host + bytes);
    return rc;
}

int vmdk_mend_directory(struct vmdk_checking *check, bool redundant, uint64_t index, uint64_t host,
                        img_error *err)
{
    struct vmdk_sparse *sparse = check->sparse;
    const struct vmdk_header *header = &sparse->header;
    uint64_t directory = (redundant ? header->rgd_offset : header->gd_offset) * VMDK_SECTOR;
    uint8_t entry[4];

    imgi_put_le32(entry, (uint32_t)(host / VMDK_SECTOR));
    if (redundant)
        memcpy(check->rgd + 4 * index, entry, sizeof(entry));
    if (redundant && sparse->rgd)
        memcpy(sparse->rgd + 4 * index, entry, sizeof(entry));
    if (!redundant)
        memcpy(sparse->gd + 4 * index, entry, sizeof(entry));
    return imgi_io_write(sparse->io, entry, sizeof(entry), directory + 4 * index, err);
}

int vmdk_mend_add_table(struct vmdk_checking *check, bool redundant, uint64_t index, uint64_t from,
                        img_error *err)
{
    uint32_t bytes = vmdk_table_bytes(check->sparse);
    uint8_t *content = calloc(1, bytes);
    uint64_t host = 0;
    int rc = content ? 0 : imgi_fail_nomem(err, "a grain table");

    if (rc == 0 && from != 0)
        rc = imgi_io_read(check->sparse->io, content, bytes, from, err);
    if (rc == 0)
        rc = new_table(check, content, &host, err);
    if (rc == 0)
        rc = vmdk_mend_directory(check, redundant, index, host, err);
    free(content);
    return rc;
}

int vmdk_mend_copy_grain(struct vmdk_checking *check, uint32_t from, uint32_t *sector,
                         img_error *err)
{
    struct vmdk_sparse *sparse = check->sparse;
    uint64_t source = (uint64_t)from * VMDK_SECTOR, target, done = 0;
    uint64_t length = IMGI_MIN(sparse->grain, check->file_size - source);
    uint8_t *buffer = malloc((size_t)IMGI_MIN(length, PIECE));
    bool twice;
    int rc = buffer ? 0 : imgi_fail_nomem(err, "a grain");

    if (rc == 0)
        rc = vmdk_sparse_append(sparse, sparse->grain, &target, err);
    while (rc == 0 && done < length) {
        size_t step = (size_t)IMGI_MIN(length - done, PIECE);

        rc = imgi_io_read(sparse->io, buffer, step, source + done, err);
        if (rc == 0)
            rc = imgi_io_write(sparse->io, buffer, step, target + done, err);
        done += step;
    }
    free(buffer);
    if (rc < 0)
        return rc;
    *sector = (uint32_t)(target / VMDK_SECTOR);
    check->end = IMGI_MAX(check->end, target + sparse->grain);
    return imgi_seen_mark(check->grains, (target - check->first) / check->unit,
                          imgi_div_up(sparse->grain, check->unit), &twice, err);
}

/* One copy; what the driver has of it in memory is out of date. */
static int write_copy(const struct vmdk_checking *check, struct imgi_cache *cache,
                      const uint8_t *entries, uint64_t host, img_error *err)
{
    if (cache)
        imgi_cache_forget(cache, host);
    return imgi_io_write(check->sparse->io, entries, vmdk_table_bytes(check->sparse), host, err);
}

/* What is taken for a table behind the tables of a stream may be grains. */
static bool is_in_stream(const struct vmdk_checking *check, const struct vmdk_tables *tables)
{
    uint64_t end = IMGI_MAX(tables->primary_host, tables->redundant_host);

    return vmdk_is_stream(&check->sparse->header) &&
           end + vmdk_table_bytes(check->sparse) > check->first;
}

int vmdk_mend_tables(struct vmdk_checking *check, struct vmdk_tables *tables, img_error *err)
{
    struct vmdk_sparse *sparse = check->sparse;
    int rc = 0;

    if (!tables->primary_changed && !tables->redundant_changed)
        return 0;
    if (is_in_stream(check, tables))
        return 0;
    if (!vmdk_is_stream(&sparse->header))
        rc = vmdk_sparse_settle(sparse, err);
    if (rc == 0 && tables->redundant_changed)
        rc = write_copy(check, sparse->redundant, tables->redundant, tables->redundant_host, err);
    if (rc == 0 && tables->redundant_changed && tables->primary_changed)
        rc = imgi_io_flush(sparse->io, err);
    if (rc == 0 && tables->primary_changed)
        rc = write_copy(check, sparse->tables, tables->primary, tables->primary_host, err);
    return rc;
}
