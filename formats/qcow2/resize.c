/*
 * A larger or a smaller disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * The L1 table grows first, into new clusters: refcounts, then the table, then one write to the
 * header that switches to it, then the old one is freed. It stays as it is when the disk shrinks:
 * entries that nobody needs are 0. The size in the header comes last in both cases.
 */
#include <inttypes.h>

#include "qcow2.h"

/* Write the L1 table in memory to its new place, which the header then names. */
static int move_l1(struct qcow2 *q, struct qcow2_table *table, img_error *err)
{
    uint64_t old = q->header.l1_offset >> q->cluster_bits;
    uint64_t old_clusters = qcow2_clusters(q, (uint64_t)q->header.l1_entries * QCOW2_ENTRY_BYTES);
    uint8_t bytes[12];
    int rc = qcow2_refcounts_out(q, err);

    qcow2_table_set_dirty(table);
    if (rc == 0)
        rc = qcow2_table_write(table, q->node->file, err);
    if (rc == 0)
        rc = imgi_io_flush(q->node->file, err);
    if (rc < 0)
        return rc;
    imgi_put_be32(bytes, (uint32_t)table->count);
    imgi_put_be64(bytes + 4, table->offset);
    rc = qcow2_header_update(q, QCOW2_AT_L1_ENTRIES, bytes, sizeof(bytes), err);
    if (rc < 0)
        return rc;
    q->header.l1_entries = (uint32_t)table->count;
    q->header.l1_offset = table->offset;
    qcow2_table_free(&q->l1);
    q->l1 = *table;
    *table = (struct qcow2_table){0};
    qcow2_owned_remove_run(&q->owned, old, old_clusters);
    /* Not noted for want of memory, they are lost space, which is no reason to fail. */
    if (old_clusters > 0)
        qcow2_free_later(q, old, old_clusters, false, NULL);
    return 0;
}

int qcow2_grow_l1(struct qcow2 *q, uint64_t size, img_error *err)
{
    uint64_t needed = imgi_div_up(size, UINT64_C(1) << (q->cluster_bits + q->l2_bits));
    uint64_t clusters = qcow2_clusters(q, needed * QCOW2_ENTRY_BYTES), cluster;
    struct qcow2_table table = {0};
    int rc;

    if (needed <= q->header.l1_entries)
        return 0;
    if (needed > QCOW2_L1_BYTES_MAX / QCOW2_ENTRY_BYTES)
        return imgi_fail(err, IMG_E_LIMIT,
                         "The image size is too large for file format 'qcow2' (try using a larger "
                         "cluster size)");
    /* The new table must not point at L2 tables that are in memory only. */
    rc = qcow2_flush(q->node, err);
    if (rc == 0)
        rc = qcow2_alloc_metadata(q, clusters, QCOW2_OWNER_L1, &cluster, err);
    if (rc < 0)
        return rc;
    rc = qcow2_table_new(&table, cluster << q->cluster_bits, needed, err);
    if (rc == 0 && q->l1.count > 0)
        memcpy(table.entries, q->l1.entries, (size_t)q->l1.count * sizeof(*table.entries));
    if (rc == 0)
        rc = move_l1(q, &table, err);
    if (rc < 0)
        qcow2_cancel_metadata(q, cluster, clusters);
    qcow2_table_free(&table);
    return rc;
}

static int check_size(const struct qcow2 *q, uint64_t size, img_error *err)
{
    int rc = qcow2_writable(q, err);

    if (rc < 0)
        return rc;
    if (size % QCOW2_SECTOR != 0)
        return imgi_fail(err, IMG_E_INVAL, "The new size must be a multiple of %u", QCOW2_SECTOR);
    /* Its snapshots have no size of their own: they would change with the disk's. */
    if (q->header.version < 3 && q->header.snapshots > 0)
        return imgi_fail(err, IMG_E_INVAL, "Can't resize a v2 image which has snapshots");
    return 0;
}

/*
 * Beyond the disk's end lies what is no part of it: the VM state of a snapshot that was applied, or
 * what a growth that came to nothing has left. It is gone from the disk before the disk reaches
 * there.
 */
int qcow2_reach(struct imgi_node *node, uint64_t size, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    int rc = check_size(q, size, err);

    if (rc == 0)
        rc = qcow2_drop_from(q, imgi_align_up(node->size, q->cluster_size), err);
    if (rc == 0)
        rc = qcow2_settle(q, err);
    return rc < 0 ? rc : qcow2_grow_l1(q, size, err);
}

static int write_size(struct qcow2 *q, uint64_t size, img_error *err)
{
    uint8_t bytes[8];
    int rc;

    imgi_put_be64(bytes, size);
    rc = qcow2_header_update(q, QCOW2_AT_SIZE, bytes, sizeof(bytes), err);
    if (rc < 0)
        return rc;
    q->header.size = size;
    q->node->size = size;
    return 0;
}

/*
 * Where the clusters begin that a larger disk gains: with the one that the old end cuts, unless it
 * has something to say already.
 */
static int first_gained(struct qcow2 *q, uint64_t old, uint64_t *from, img_error *err)
{
    uint64_t start = imgi_align_down(old, q->cluster_size);
    struct imgi_extent extent = {0};
    int rc = 0;

    *from = imgi_align_up(old, q->cluster_size);
    if (*from == old || q->header.backing_name)
        return 0;
    rc = qcow2_map(q->node, start, old - start, &extent, err);
    if (rc == 0 && extent.kind == IMGI_ABSENT && extent.length == old - start &&
        !(extent.flags & IMGI_EXTENT_RESERVED))
        *from = start;
    return rc;
}

/* The new clusters get their places, which are on disk before the header says that they exist. */
static int preallocate(struct qcow2 *q, uint64_t size, enum img_preallocation mode, img_error *err)
{
    uint64_t old = q->node->size, from = 0;
    int rc = first_gained(q, old, &from, err);

    if (rc == 0 && q->data_file)
        rc = qcow2_data_resize(q, from, size, mode, err);
    if (rc < 0)
        return rc;
    q->node->size = size;
    rc = qcow2_preallocate(q, from, mode, err);
    q->node->size = old;
    if (rc == 0)
        rc = qcow2_settle(q, err);
    return rc;
}

static int grow(struct qcow2 *q, uint64_t size, enum img_preallocation mode, img_error *err)
{
    int rc = qcow2_grow_l1(q, size, err);

    if (q->data_raw && mode == IMG_PREALLOC_OFF)
        mode = IMG_PREALLOC_METADATA;
    if (rc == 0 && q->data_file && mode == IMG_PREALLOC_OFF)
        rc = qcow2_data_resize(q, q->node->size, size, mode, err);
    if (rc == 0 && mode != IMG_PREALLOC_OFF)
        rc = preallocate(q, size, mode, err);
    if (rc == 0)
        rc = write_size(q, size, err);
    return rc;
}

/*
 * What is past the new end goes first: were the size to change first, a crash would leave entries
 * there that come back when the disk grows again.
 */
static int shrink(struct qcow2 *q, uint64_t size, img_error *err)
{
    int rc = qcow2_drop_from(q, imgi_align_up(size, q->cluster_size), err);

    if (rc == 0)
        rc = qcow2_settle(q, err);
    if (rc == 0)
        rc = qcow2_trim(q, err);
    if (rc == 0)
        rc = write_size(q, size, err);
    if (rc == 0 && q->data_file)
        rc = qcow2_data_resize(q, size, size, IMG_PREALLOC_OFF, err);
    return rc;
}

int qcow2_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    uint64_t old = node->size;
    int rc = check_size(q, size, err);

    if (rc == 0)
        rc = qcow2_bitmaps_before_resize(q, size, err);
    if (rc < 0)
        return rc;
    rc = size < old ? shrink(q, size, err) : grow(q, size, mode, err);
    if (rc < 0)
        qcow2_bitmaps_not_resized(q, size);
    else
        rc = qcow2_bitmaps_resize(q, old, err);
    return rc;
}
