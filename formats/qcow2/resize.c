/*
 * A larger disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * The L1 table grows first, into new clusters: refcounts, then the table, then one write to the
 * header that switches to it, then the old one is freed. The size in the header comes last.
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
    for (uint64_t i = 0; i < old_clusters; i++)
        qcow2_owned_remove(&q->owned, old + i);
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
    if (rc < 0) {
        for (uint64_t i = 0; i < clusters; i++)
            qcow2_owned_remove(&q->owned, cluster + i);
        qcow2_refcount_drop(q, cluster, clusters, false, NULL);
    }
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
    if (size < q->node->size)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "qcow2 images cannot be made smaller yet");
    if (q->header.version < 3 && q->header.snapshots > 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Can't resize a version 2 image which has snapshots");
    return 0;
}

int qcow2_reach(struct imgi_node *node, uint64_t size, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    int rc = check_size(q, size, err);

    return rc < 0 ? rc : qcow2_grow_l1(q, size, err);
}

int qcow2_resize(struct imgi_node *node, uint64_t size, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    uint8_t bytes[8];
    int rc = qcow2_reach(node, size, err);

    if (rc < 0)
        return rc;
    imgi_put_be64(bytes, size);
    rc = qcow2_header_update(q, QCOW2_AT_SIZE, bytes, sizeof(bytes), err);
    if (rc < 0)
        return rc;
    q->header.size = size;
    node->size = size;
    return 0;
}
