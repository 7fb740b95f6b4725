/*
 * Grains that are given up, and the end of the file behind them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Entries become absent first; when that is on disk the file may be cut behind the last thing that
 * is still referred to, and holes be made in front of that.
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

/* Which pieces of a file something refers to, and where the last of it ends. */
struct use {
    struct imgi_seen *seen; /* in units of UNIT bytes */
    uint64_t end;
};

#define UNIT 4096u

static int use_sectors(struct use *use, uint64_t sector, uint64_t sectors, img_error *err)
{
    uint64_t from = sector * VMDK_SECTOR, to = from + sectors * VMDK_SECTOR;
    bool twice;

    if (sector == 0)
        return 0;
    use->end = IMGI_MAX(use->end, to);
    return imgi_seen_mark(use->seen, from / UNIT, imgi_div_up(to, UNIT) - from / UNIT, &twice, err);
}

/* The grains of one table, and the table itself and its copy. */
static int use_table(const struct vmdk_sparse *sparse, uint64_t index, struct use *use,
                     img_error *err)
{
    const uint8_t *entries;
    uint32_t sectors = vmdk_table_sectors(sparse);
    int rc = vmdk_table_get(sparse, index, &entries, err);

    if (rc == 0)
        rc = use_sectors(use, imgi_get_le32(sparse->gd + 4 * index), sectors, err);
    if (rc == 0 && sparse->rgd)
        rc = use_sectors(use, imgi_get_le32(sparse->rgd + 4 * index), sectors, err);
    for (uint32_t i = 0; rc == 0 && entries && i < sparse->header.num_gtes; i++)
        rc = use_sectors(use, imgi_get_le32(entries + 4 * i), sparse->header.grain_size, err);
    return rc;
}

static int find_use(const struct vmdk_sparse *sparse, struct use *use, img_error *err)
{
    const struct vmdk_header *header = &sparse->header;
    uint64_t gd_sectors = imgi_div_up(sparse->gd_entries * 4, VMDK_SECTOR);
    bool twice;
    int rc = imgi_seen_mark(use->seen, 0, imgi_div_up(header->overhead * VMDK_SECTOR, UNIT), &twice,
                            err);

    use->end = header->overhead * VMDK_SECTOR;
    if (rc == 0)
        rc = use_sectors(use, header->descriptor_offset, header->descriptor_size, err);
    if (rc == 0)
        rc = use_sectors(use, header->gd_offset, gd_sectors, err);
    if (rc == 0 && sparse->rgd)
        rc = use_sectors(use, header->rgd_offset, gd_sectors, err);
    for (uint64_t i = 0; rc == 0 && i < sparse->gd_entries; i++)
        rc = use_table(sparse, i, use, err);
    return rc;
}

/* Give the filesystem what lies between things that are referred to, if it takes it. */
static void punch(const struct vmdk_sparse *sparse, const struct use *use)
{
    uint64_t count = use->end / UNIT, length;

    for (uint64_t at = 0; at < count; at += length) {
        for (length = 0; at + length < count && !imgi_seen_test(use->seen, at + length, 1);)
            length++;
        if (length > 0)
            imgi_io_discard(sparse->io, at * UNIT, length * UNIT, NULL);
        else
            length = 1;
    }
}

int vmdk_sparse_cut(struct vmdk_sparse *sparse, uint64_t end, img_error *err)
{
    int rc = imgi_io_resize(sparse->io, end, IMGI_PREALLOC_OFF, err);

    if (rc < 0)
        return rc;
    sparse->next = end;
    return sparse->cowd ? vmdk_cowd_settle(sparse, err) : 0;
}

int vmdk_sparse_trim(const struct imgi_node *node, struct vmdk_sparse *sparse, img_error *err)
{
    struct use use = {0};
    uint64_t file_size, end;
    int rc = imgi_io_size(sparse->io, &file_size, err);

    if (rc < 0)
        return rc;
    /* Of a file that is too large to keep book of, the space stays. */
    use.seen = imgi_seen_new(imgi_div_up(file_size, UNIT), node->policy, NULL);
    if (!use.seen)
        return 0;
    rc = find_use(sparse, &use, err);
    end = imgi_align_up(use.end, sparse->grain);
    if (rc == 0 && end < file_size)
        rc = vmdk_sparse_cut(sparse, end, err);
    if (rc == 0)
        punch(sparse, &use);
    imgi_seen_free(use.seen);
    return rc;
}

/*
 * A redo log's tables lie between its grains, so they go as well: it is as it was made. Until
 * freeSector is the lower one it tells of space that nothing uses.
 */
static int reset_cowd(struct vmdk_sparse *sparse, img_error *err)
{
    const struct vmdk_header *header = &sparse->header;
    uint64_t directory = header->gd_offset * VMDK_SECTOR + sparse->gd_entries * 4;
    uint64_t end =
        imgi_align_up(IMGI_MAX(header->overhead * VMDK_SECTOR, directory), sparse->grain);
    uint64_t file_size;
    int rc = vmdk_mark_unclean(sparse, err);

    if (rc == 0)
        rc = imgi_io_size(sparse->io, &file_size, err);
    if (rc < 0)
        return rc;
    for (uint64_t i = 0; i < sparse->gd_entries; i++)
        imgi_cache_forget(sparse->tables,
                          (uint64_t)imgi_get_le32(sparse->gd + 4 * i) * VMDK_SECTOR);
    memset(sparse->gd, 0, (size_t)sparse->gd_entries * 4);
    sparse->gd_dirty = true;
    rc = vmdk_tables_write(sparse, err);
    if (rc == 0)
        rc = imgi_io_flush(sparse->io, err);
    return rc == 0 && end < file_size ? vmdk_sparse_cut(sparse, end, err) : rc;
}

static int make_empty(const struct imgi_node *node, struct vmdk_sparse *sparse, img_error *err)
{
    int rc;

    if (sparse->cowd)
        return reset_cowd(sparse, err);
    rc = vmdk_sparse_drop(sparse, 0, err);
    return rc < 0 ? rc : vmdk_sparse_trim(node, sparse, err);
}

int vmdk_make_empty(struct imgi_node *node, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < state->extent_count; i++) {
        if (state->extents[i].sparse)
            rc = make_empty(node, state->extents[i].sparse, err);
    }
    return rc;
}
