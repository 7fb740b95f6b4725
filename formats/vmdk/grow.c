/*
 * More room in a sparse extent. SPDX-License-Identifier: BSD-2-Clause
 *
 * New grain tables, and directories when they need more sectors than they have, go to the end of
 * the file, in the order of a new extent: redundant directory and tables, directory and tables.
 * They are on disk before the header names the new directories. The capacity stays: as long as that
 * is so, nothing on disk says that there is more room. A directory's old place is given up. An ESX
 * redo log has no tables before they are needed.
 */
#include <stdlib.h>

#include "vmdk.h"

struct growth {
    uint64_t old, new;          /* entries of a directory */
    bool move;                  /* the directories */
    uint64_t directory, tables; /* sectors of one copy's, both 0 when they stay or none is new */
    uint64_t host, bytes;       /* where all of it goes */
};

static int plan(struct imgi_node *node, struct vmdk_sparse *sparse, uint64_t size,
                struct growth *growth, img_error *err)
{
    uint64_t covers = sparse->grain * sparse->header.num_gtes, copies = sparse->rgd ? 2 : 1;
    uint64_t old_sectors, new_sectors;

    *growth = (struct growth){.old = sparse->gd_entries,
                              .new = IMGI_MAX(imgi_div_up(size, covers), sparse->gd_entries)};
    if (growth->new > VMDK_GD_ENTRIES_MAX ||
        (sparse->cowd && size / VMDK_SECTOR > VMDK_SECTORS_MAX))
        return imgi_fail(err, IMG_E_INVAL, "a sparse extent cannot have a size of %llu bytes",
                         (unsigned long long)size);
    old_sectors = imgi_div_up(growth->old * 4, VMDK_SECTOR);
    new_sectors = imgi_div_up(growth->new * 4, VMDK_SECTOR);
    growth->move = new_sectors > old_sectors;
    growth->directory = growth->move ? new_sectors : 0;
    growth->tables = sparse->cowd ? 0 : (growth->new - growth->old) * vmdk_table_sectors(sparse);
    growth->bytes =
        imgi_align_up(copies * (growth->directory + growth->tables) * VMDK_SECTOR, sparse->grain);
    return imgi_policy_limit(node->policy, IMG_LIMIT_TABLE_BYTES,
                             vmdk_state(node)->directory_bytes + 4 * (growth->new - growth->old),
                             "bytes of all grain directories", err);
}

static int enlarge(uint8_t **directory, const struct growth *growth, img_error *err)
{
    uint8_t *entries = realloc(*directory, (size_t)growth->new * 4);

    if (!entries)
        return imgi_fail_nomem(err, "a grain directory");
    memset(entries + 4 * growth->old, 0, (size_t)(growth->new - growth->old) * 4);
    *directory = entries;
    return 0;
}

/* One directory with its new tables from sector `at` on. *place: of the directory. */
static int put_directory(struct vmdk_sparse *sparse, const struct growth *growth,
                         uint8_t *directory, uint64_t at, uint64_t *place, img_error *err)
{
    uint64_t table = at + growth->directory, first = growth->move ? 0 : growth->old;

    for (uint64_t i = growth->old; growth->tables > 0 && i < growth->new;
         i++, table += vmdk_table_sectors(sparse))
        imgi_put_le32(directory + 4 * i, (uint32_t)table);
    if (growth->move)
        *place = at;
    return imgi_io_write(sparse->io, directory + 4 * first, 4 * (size_t)(growth->new - first),
                         *place * VMDK_SECTOR + 4 * first, err);
}

static int put_all(struct vmdk_sparse *sparse, const struct growth *growth,
                   struct vmdk_header *header, img_error *err)
{
    uint64_t at = growth->host / VMDK_SECTOR;
    int rc = imgi_io_zero(sparse->io, growth->host, growth->bytes, true, err);

    if (rc == 0 && sparse->rgd) {
        rc = put_directory(sparse, growth, sparse->rgd, at, &header->rgd_offset, err);
        at += growth->directory + growth->tables;
    }
    if (rc == 0)
        rc = put_directory(sparse, growth, sparse->gd, at, &header->gd_offset, err);
    return rc < 0 ? rc : vmdk_sparse_settle(sparse, err);
}

/* Directories of so many entries, on disk, and in memory. */
static int extend(struct vmdk_sparse *sparse, struct growth *growth, img_error *err)
{
    const struct vmdk_header old = sparse->header;
    struct vmdk_header header = old;
    int rc = vmdk_sparse_append(sparse, growth->bytes, &growth->host, err);

    if (rc == 0)
        rc = enlarge(&sparse->gd, growth, err);
    if (rc == 0 && sparse->rgd)
        rc = enlarge(&sparse->rgd, growth, err);
    if (rc == 0)
        rc = put_all(sparse, growth, &header, err);
    if (rc < 0 || !growth->move)
        return rc;
    sparse->header = header;
    rc = vmdk_header_store(sparse, err);
    if (rc == 0)
        rc = imgi_io_flush(sparse->io, err);
    if (rc < 0)
        sparse->header = old;
    return rc;
}

int vmdk_sparse_reach(struct imgi_node *node, struct vmdk_sparse *sparse, uint64_t old,
                      uint64_t size, img_error *err)
{
    struct growth growth;
    int rc = plan(node, sparse, size, &growth, err);

    /* What lies behind the end would come into the disk. It also settles the directories. */
    if (rc == 0)
        rc = vmdk_sparse_drop(sparse, imgi_div_up(old, sparse->grain), err);
    if (rc == 0 && growth.new > growth.old)
        rc = extend(sparse, &growth, err);
    if (rc < 0)
        return rc;
    vmdk_state(node)->directory_bytes += 4 * (growth.new - growth.old);
    sparse->gd_entries = growth.new;
    sparse->size = size;
    return 0;
}

int vmdk_sparse_set_capacity(struct vmdk_sparse *sparse, uint64_t size, img_error *err)
{
    uint64_t old = sparse->header.capacity;
    int rc;

    sparse->header.capacity = size / VMDK_SECTOR;
    if (sparse->header.capacity == old)
        return 0;
    rc = vmdk_header_store(sparse, err);
    if (rc == 0)
        rc = imgi_io_flush(sparse->io, err);
    if (rc < 0)
        sparse->header.capacity = old;
    return rc;
}

void vmdk_sparse_shrunk(struct vmdk_sparse *sparse, uint64_t size)
{
    sparse->size = size;
    sparse->gd_entries = imgi_div_up(size, sparse->grain * sparse->header.num_gtes);
}
