/*
 * More refcounts: new blocks, and a larger refcount table. SPDX-License-Identifier: BSD-2-Clause
 *
 * A new block counts itself when it lies in the range that it is for. It is in the cache and in
 * the table in memory; flush.c writes the block, then the table's entry.
 *
 * The table itself never moves onto clusters that it counts already: the larger one goes behind
 * the last cluster that the old one reaches, with the blocks that count it, and one write to the
 * header switches from one to the other.
 */
#include <inttypes.h>

#include "qcow2.h"

static uint64_t block_size(const struct qcow2 *q)
{
    return UINT64_C(1) << q->block_bits;
}

static int check_cluster(const struct qcow2 *q, uint64_t cluster, img_error *err)
{
    if (cluster > QCOW2_OFFSET_MAX >> q->cluster_bits)
        return imgi_fail(err, IMG_E_NOSPACE,
                         "no free host cluster is left below 2^56 bytes of the file");
    return 0;
}

/* The first free cluster that some block counts, in from..to; *place is `to` when there is none. */
static int free_below(struct qcow2 *q, uint64_t from, uint64_t to, uint64_t *place, img_error *err)
{
    *place = from;
    while (*place < to) {
        uint64_t index = *place >> q->block_bits, value;
        int rc;

        if (q->reftable.entries[index] == 0) {
            *place = IMGI_MIN((index + 1) << q->block_bits, to);
            continue;
        }
        rc = qcow2_refcount(q, *place, &value, err);
        if (rc < 0 || value == 0)
            return rc;
        ++*place;
    }
    return 0;
}

/* Put a new block at the host cluster `place`, which counts itself if it can. */
static int place_block(struct qcow2 *q, uint64_t index, uint64_t place, img_error *err)
{
    bool counts_itself = place >> q->block_bits == index;
    uint8_t *block;
    int rc = qcow2_owned_add(&q->owned, place, QCOW2_OWNER_REFBLOCK, err);

    if (rc < 0)
        return rc == IMG_E_CORRUPT ? qcow2_broken(q) : rc;
    if (!counts_itself)
        rc = qcow2_refcount_add(q, place, 1, err);
    if (rc == 0) {
        rc = imgi_cache_add(q->refcount_cache, place << q->cluster_bits, 0, &block, err);
        if (rc < 0 && !counts_itself)
            qcow2_refcount_drop(q, place, 1, false, NULL);
    }
    if (rc < 0) {
        qcow2_owned_remove(&q->owned, place);
        return rc;
    }
    if (counts_itself)
        qcow2_refcount_put(block, q->header.refcount_order, place & (block_size(q) - 1), 1);
    qcow2_table_set(&q->reftable, index, place << q->cluster_bits);
    return 0;
}

static int make_block(struct qcow2 *q, uint64_t cluster, img_error *err)
{
    uint64_t place;
    int rc = free_below(q, q->free_hint, cluster, &place, err);

    if (rc == 0)
        rc = place_block(q, cluster >> q->block_bits, place, err);
    return rc;
}

/* The plan for a larger table, behind the clusters that the old one reaches. */
struct growth {
    uint64_t start;    /* first host cluster: blocks, then the table */
    uint64_t blocks;   /* that count the new area */
    uint64_t clusters; /* of the new table */
};

/*
 * A table that reaches `through` clusters and those of its own area, half as large again as the
 * old one if that may be.
 */
static int plan_growth(const struct qcow2 *q, uint64_t through, struct growth *growth,
                       img_error *err)
{
    uint64_t per_cluster = q->cluster_size / QCOW2_ENTRY_BYTES;
    uint64_t max = QCOW2_REFTABLE_BYTES_MAX >> q->cluster_bits;
    uint64_t wanted = imgi_div_up(q->reftable.count + q->reftable.count / 2 + 1, per_cluster);

    growth->start = q->reftable.count << q->block_bits;
    growth->blocks = 0;
    growth->clusters = IMGI_MIN(wanted, max);
    for (;;) {
        uint64_t used = growth->blocks + growth->clusters;
        uint64_t blocks = imgi_div_up(used, block_size(q));
        uint64_t entries = imgi_div_up(IMGI_MAX(growth->start + used, through), block_size(q));
        uint64_t clusters = IMGI_MAX(growth->clusters, imgi_div_up(entries, per_cluster));

        if (blocks == growth->blocks && clusters == growth->clusters)
            break;
        growth->blocks = blocks;
        growth->clusters = clusters;
    }
    if (growth->clusters > max)
        return imgi_fail(err, IMG_E_NOSPACE,
                         "the refcount table would need %" PRIu64 " clusters, and %" PRIu64
                         " is the limit",
                         growth->clusters, max);
    return check_cluster(q, growth->start + growth->blocks + growth->clusters, err);
}

/* Put the blocks that count the new area into the cache and into the new table. */
static int fill_blocks(struct qcow2 *q, const struct growth *growth, struct qcow2_table *table,
                       img_error *err)
{
    uint64_t used = growth->blocks + growth->clusters;

    for (uint64_t i = 0; i < growth->blocks; i++) {
        uint64_t count = IMGI_MIN(used - i * block_size(q), block_size(q));
        uint64_t offset = (growth->start + i) << q->cluster_bits;
        uint8_t *block;
        int rc = imgi_cache_add(q->refcount_cache, offset, 0, &block, err);

        if (rc < 0)
            return rc;
        for (uint64_t j = 0; j < count; j++)
            qcow2_refcount_put(block, q->header.refcount_order, j, 1);
        qcow2_table_set(table, (growth->start >> q->block_bits) + i, offset);
    }
    return 0;
}

/* The new area is not used after all. */
static void undo_growth(struct qcow2 *q, const struct growth *growth)
{
    for (uint64_t i = 0; i < growth->blocks + growth->clusters; i++) {
        qcow2_owned_remove(&q->owned, growth->start + i);
        imgi_cache_forget(q->refcount_cache, (growth->start + i) << q->cluster_bits);
    }
}

/* Note the new area's clusters, all or none. */
static int own_growth(struct qcow2 *q, const struct growth *growth, img_error *err)
{
    int rc =
        qcow2_owned_add_run(&q->owned, growth->start, growth->blocks, QCOW2_OWNER_REFBLOCK, err);

    if (rc == 0)
        rc = qcow2_owned_add_run(&q->owned, growth->start + growth->blocks, growth->clusters,
                                 QCOW2_OWNER_REFTABLE, err);
    if (rc == IMG_E_CORRUPT)
        return qcow2_broken(q);
    if (rc < 0)
        undo_growth(q, growth);
    return rc;
}

/* Make the header point at the new table, which is on disk. */
static int switch_table(struct qcow2 *q, struct qcow2_table *table, uint64_t clusters,
                        img_error *err)
{
    uint64_t old = q->reftable.offset >> q->cluster_bits,
             old_clusters = q->header.reftable_clusters;
    uint8_t bytes[12];
    int rc;

    imgi_put_be64(bytes, table->offset);
    imgi_put_be32(bytes + 8, (uint32_t)clusters);
    rc = qcow2_header_update(q, QCOW2_AT_REFTABLE_OFFSET, bytes, sizeof(bytes), err);
    if (rc < 0)
        return rc;
    q->header.reftable_offset = table->offset;
    q->header.reftable_clusters = (uint32_t)clusters;
    qcow2_table_free(&q->reftable);
    q->reftable = *table;
    *table = (struct qcow2_table){0};
    qcow2_owned_remove_run(&q->owned, old, old_clusters);
    /* Not noted for want of memory, they are lost space, which is no reason to fail. */
    qcow2_free_later(q, old, old_clusters, false, NULL);
    return 0;
}

/* The new table and the blocks of its area, on disk. */
static int make_table(struct qcow2 *q, const struct growth *growth, struct qcow2_table *table,
                      img_error *err)
{
    uint64_t offset = (growth->start + growth->blocks) << q->cluster_bits;
    int rc = qcow2_table_new(table, offset,
                             (growth->clusters << q->cluster_bits) / QCOW2_ENTRY_BYTES, err);

    if (rc < 0)
        return rc;
    memcpy(table->entries, q->reftable.entries,
           (size_t)q->reftable.count * sizeof(*table->entries));
    qcow2_table_set_dirty(table);
    rc = fill_blocks(q, growth, table, err);
    if (rc == 0)
        rc = qcow2_refcounts_out(q, err);
    if (rc == 0)
        rc = qcow2_table_write(table, q->node->file, err);
    if (rc == 0)
        rc = imgi_io_flush(q->node->file, err);
    return rc;
}

static int grow_table(struct qcow2 *q, uint64_t through, img_error *err)
{
    struct qcow2_table table = {0};
    struct growth growth;
    int rc = plan_growth(q, through, &growth, err);

    if (rc == 0)
        rc = own_growth(q, &growth, err);
    if (rc < 0)
        return rc;
    rc = make_table(q, &growth, &table, err);
    if (rc == 0)
        rc = switch_table(q, &table, growth.clusters, err);
    if (rc < 0)
        undo_growth(q, &growth);
    qcow2_table_free(&table);
    return rc;
}

int qcow2_need_block(struct qcow2 *q, uint64_t cluster, uint64_t count, bool *made, img_error *err)
{
    uint64_t index = cluster >> q->block_bits;
    int rc = check_cluster(q, cluster + count, err);

    *made = false;
    if (rc == 0)
        rc = qcow2_need_reftable(q, err);
    if (rc < 0)
        return rc;
    *made = true;
    if ((cluster + count - 1) >> q->block_bits >= q->reftable.count)
        return grow_table(q, cluster + count, err);
    if (q->reftable.entries[index] == 0)
        return make_block(q, cluster, err);
    *made = false;
    return 0;
}
