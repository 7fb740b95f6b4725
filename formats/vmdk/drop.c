/*
 * Grains that are given up, and the end of the file behind them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Entries become absent first; when that is on disk the file may be cut behind the last thing that
 * is still referred to. Grains in front of that stay where they are, referred to by nothing.
 */
#include <stdlib.h>

#include "vmdk.h"

/* Let the grains of one table from `first` on be absent. */
static int drop_in_table(struct vmdk_sparse *sparse, uint64_t index, uint64_t first, uint8_t *copy,
                         img_error *err)
{
    uint64_t count = sparse->header.num_gtes;
    const uint8_t *entries;
    int rc = vmdk_table_get(sparse, index, &entries, err);

    if (rc < 0 || !entries)
        return rc;
    memcpy(copy, entries, vmdk_table_bytes(sparse));
    for (uint64_t i = 0; rc == 0 && i < count; i++) {
        uint64_t grain = index * count + i;

        if (grain >= first && imgi_get_le32(copy + 4 * i) != VMDK_ENTRY_ABSENT)
            rc = vmdk_table_set(sparse, grain, VMDK_ENTRY_ABSENT, err);
    }
    return rc;
}

int vmdk_sparse_drop(struct vmdk_sparse *sparse, uint64_t first, img_error *err)
{
    uint8_t *copy = malloc(vmdk_table_bytes(sparse));
    int rc = copy ? 0 : imgi_fail_nomem(err, "a grain table");

    for (uint64_t i = first / sparse->header.num_gtes; rc == 0 && i < sparse->gd_entries; i++)
        rc = drop_in_table(sparse, i, first, copy, err);
    free(copy);
    if (rc == 0)
        rc = vmdk_tables_write(sparse, err);
    return rc < 0 ? rc : imgi_io_flush(sparse->io, err);
}

static void reach(uint64_t *end, uint64_t sector, uint64_t sectors)
{
    if (sector != 0)
        *end = IMGI_MAX(*end, (sector + sectors) * VMDK_SECTOR);
}

/* Where the grains of one table end, and the table itself and its copy. */
static int find_table_end(const struct vmdk_sparse *sparse, uint64_t index, uint64_t *end,
                          img_error *err)
{
    const uint8_t *entries;
    int rc = vmdk_table_get(sparse, index, &entries, err);

    reach(end, imgi_get_le32(sparse->gd + 4 * index), vmdk_table_sectors(sparse));
    if (sparse->rgd)
        reach(end, imgi_get_le32(sparse->rgd + 4 * index), vmdk_table_sectors(sparse));
    for (uint32_t i = 0; rc == 0 && entries && i < sparse->header.num_gtes; i++)
        reach(end, imgi_get_le32(entries + 4 * i), sparse->header.grain_size);
    return rc;
}

int vmdk_sparse_trim(struct vmdk_sparse *sparse, img_error *err)
{
    const struct vmdk_header *header = &sparse->header;
    uint64_t gd_sectors = imgi_div_up(sparse->gd_entries * 4, VMDK_SECTOR), file_size;
    uint64_t end = header->overhead * VMDK_SECTOR;
    int rc = 0;

    reach(&end, header->descriptor_offset, header->descriptor_size);
    reach(&end, header->gd_offset, gd_sectors);
    if (sparse->rgd)
        reach(&end, header->rgd_offset, gd_sectors);
    for (uint64_t i = 0; rc == 0 && i < sparse->gd_entries; i++)
        rc = find_table_end(sparse, i, &end, err);
    if (rc == 0)
        rc = imgi_io_size(sparse->io, &file_size, err);
    end = imgi_align_up(end, sparse->grain);
    if (rc < 0 || end >= file_size)
        return rc;
    rc = imgi_io_resize(sparse->io, end, IMGI_PREALLOC_OFF, err);
    if (rc == 0)
        sparse->next = end;
    if (rc == 0 && sparse->cowd)
        rc = vmdk_cowd_settle(sparse, err);
    return rc;
}

int vmdk_make_empty(struct imgi_node *node, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < state->extent_count; i++) {
        struct vmdk_sparse *sparse = state->extents[i].sparse;

        if (!sparse)
            continue;
        rc = vmdk_sparse_drop(sparse, 0, err);
        if (rc == 0)
            rc = vmdk_sparse_trim(sparse, err);
    }
    return rc;
}
