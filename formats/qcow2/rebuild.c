/*
 * New refcount structures. SPDX-License-Identifier: BSD-2-Clause
 *
 * Where a refcount of 0 stands for a cluster that is in use, or a refcount block is something else
 * too, the refcounts cannot be mended in place: there may be none to mend. New blocks and a new
 * table are made from what was counted, in clusters that nobody refers to, behind the end of the
 * file if it can grow. The old structures stay as they are until one write to the header names
 * the new table; so the image is no worse at any moment than it was before.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "check.h"

struct plan {
    struct qcow2_table table; /* entries, as they will be */
    uint64_t entries;         /* that are in use */
    uint64_t first, clusters; /* where the table itself goes */
    uint64_t from;            /* nothing is placed below */
    uint64_t end;             /* nor behind, on a device */
};

/* Place `count` clusters in a row and count them. */
static int place(struct qcow2_checking *c, struct plan *plan, uint64_t count, uint64_t *cluster,
                 img_error *err)
{
    int rc = 0;

    *cluster = qcow2_counts_free_run(&c->counts, plan->from, count);
    if (*cluster + count > plan->end)
        return imgi_fail(err, IMG_E_NOSPACE, "no room for new refcount structures");
    if (*cluster + count > c->counts.clusters)
        rc = qcow2_counts_grow(&c->counts, *cluster + count, err);
    if (rc == 0)
        rc = qcow2_counts_add(&c->counts, *cluster, count, 1, err);
    plan->from = *cluster + count;
    return rc;
}

/* Whether any of the clusters is in use that the block of that index counts. */
static bool block_needed(const struct qcow2_checking *c, uint64_t index)
{
    uint64_t page = UINT64_C(1) << QCOW2_COUNTS_PAGE_BITS;
    uint64_t at = index << c->q->block_bits;
    uint64_t end = IMGI_MIN((index + 1) << c->q->block_bits, c->counts.clusters);

    while (at < end) {
        if (qcow2_counts_empty(&c->counts, at))
            at = (at | (page - 1)) + 1;
        else if (qcow2_counts_get(&c->counts, at) > 0)
            return true;
        else
            at++;
    }
    return false;
}

/* Room in memory for that many entries. */
static int need_entries(struct plan *plan, uint64_t entries, img_error *err)
{
    struct qcow2_table larger;
    int rc;

    if (entries > QCOW2_REFTABLE_BYTES_MAX / QCOW2_ENTRY_BYTES)
        return imgi_fail(err, IMG_E_LIMIT, "a refcount table of %" PRIu64 " entries is too large",
                         entries);
    if (entries <= plan->table.count)
        return 0;
    rc = qcow2_table_new(&larger, 0, entries + entries / 2 + QCOW2_TABLE_PIECE, err);
    if (rc < 0)
        return rc;
    if (plan->table.count > 0)
        memcpy(larger.entries, plan->table.entries,
               (size_t)plan->table.count * sizeof(*larger.entries));
    qcow2_table_free(&plan->table);
    plan->table = larger;
    return 0;
}

/* Give a block to every range that has need of one. Blocks may make need of others. */
static int place_blocks(struct qcow2_checking *c, struct plan *plan, bool *placed, img_error *err)
{
    int rc = 0;

    *placed = false;
    for (uint64_t i = 0; i << c->q->block_bits < c->counts.clusters; i++) {
        uint64_t cluster;

        if ((i < plan->table.count && plan->table.entries[i] != 0) || !block_needed(c, i))
            continue;
        rc = need_entries(plan, i + 1, err);
        if (rc == 0)
            rc = place(c, plan, 1, &cluster, err);
        if (rc < 0)
            return rc;
        plan->table.entries[i] = cluster << c->q->cluster_bits;
        plan->entries = IMGI_MAX(plan->entries, i + 1);
        *placed = true;
    }
    return 0;
}

static int make_plan(struct qcow2_checking *c, struct plan *plan, img_error *err)
{
    uint64_t per_cluster = c->q->cluster_size / QCOW2_ENTRY_BYTES;
    bool placed = true;
    int rc = 0;

    while (rc == 0 && placed) {
        rc = place_blocks(c, plan, &placed, err);
        if (rc < 0 || plan->entries <= plan->clusters * per_cluster)
            continue;
        for (uint64_t i = 0; i < plan->clusters; i++)
            qcow2_counts_drop(&c->counts, plan->first + i);
        plan->clusters = imgi_div_up(plan->entries, per_cluster);
        rc = place(c, plan, plan->clusters, &plan->first, err);
        placed = true;
    }
    return rc;
}

static int write_block(struct qcow2_checking *c, uint64_t offset, uint64_t index, uint8_t *block,
                       img_error *err)
{
    uint64_t first = index << c->q->block_bits;

    memset(block, 0, c->q->cluster_size);
    for (uint64_t i = 0; i < UINT64_C(1) << c->q->block_bits; i++) {
        uint64_t count = qcow2_counts_get(&c->counts, first + i);

        if (count > 0)
            qcow2_refcount_put(block, c->q->header.refcount_order, i,
                               IMGI_MIN(count, c->q->refcount_max));
    }
    return imgi_io_write(c->q->node->file, block, c->q->cluster_size, offset, err);
}

static int write_plan(struct qcow2_checking *c, struct plan *plan, img_error *err)
{
    uint8_t *block = malloc(c->q->cluster_size);
    int rc = block ? 0 : imgi_fail_nomem(err, "a refcount block");

    for (uint64_t i = 0; rc == 0 && i < plan->entries; i++) {
        if (plan->table.entries[i] != 0)
            rc = write_block(c, plan->table.entries[i], i, block, err);
    }
    free(block);
    if (rc == 0)
        rc = qcow2_table_write(&plan->table, c->q->node->file, err);
    if (rc == 0)
        rc = imgi_io_flush(c->q->node->file, err);
    return rc;
}

/* The table as the file will hold it: whole clusters. */
static int finish_table(const struct qcow2_checking *c, struct plan *plan, img_error *err)
{
    uint64_t count = (plan->clusters << c->q->cluster_bits) / QCOW2_ENTRY_BYTES;
    int rc = need_entries(plan, count, err);

    if (rc < 0)
        return rc;
    plan->table.count = count;
    plan->table.offset = plan->first << c->q->cluster_bits;
    qcow2_table_set_dirty(&plan->table);
    return 0;
}

static int switch_table(struct qcow2_checking *c, const struct plan *plan, img_error *err)
{
    uint8_t bytes[12];
    int rc;

    imgi_put_be64(bytes, plan->table.offset);
    imgi_put_be32(bytes + 8, (uint32_t)plan->clusters);
    rc = qcow2_header_update(c->q, QCOW2_AT_REFTABLE_OFFSET, bytes, sizeof(bytes), err);
    if (rc < 0)
        return rc;
    c->q->header.reftable_offset = plan->table.offset;
    c->q->header.reftable_clusters = (uint32_t)plan->clusters;
    return 0;
}

/* What was counted as references to the old structures is none any more. */
static void drop_old(struct qcow2_checking *c, uint64_t offset, uint64_t bytes)
{
    const struct qcow2_table *old = &c->q->reftable;
    unsigned bits = c->q->cluster_bits;

    for (uint64_t i = offset >> bits; bytes > 0 && i <= (offset + bytes - 1) >> bits; i++)
        qcow2_counts_drop(&c->counts, i);
    for (uint64_t i = 0; i < old->count; i++) {
        uint64_t block = qcow2_block_of(c, old->entries[i]);

        if (block == 0 || block != old->entries[i])
            continue;
        qcow2_counts_drop(&c->counts, block >> bits);
        imgi_cache_forget(c->q->refcount_cache, block);
    }
    c->block = NULL;
}

int qcow2_check_rebuild(struct qcow2_checking *c, img_error *err)
{
    uint64_t old_offset = c->q->header.reftable_offset, old_bytes = c->reftable_counted;
    bool device = imgi_io_is_device(c->q->node->file);
    struct plan plan = {.from = device ? 1 : c->clusters,
                        .end = device ? c->file_size >> c->q->cluster_bits
                                      : QCOW2_OFFSET_MAX >> c->q->cluster_bits};
    int rc = make_plan(c, &plan, err);

    if (rc == 0)
        rc = finish_table(c, &plan, err);
    if (rc == 0)
        rc = write_plan(c, &plan, err);
    if (rc == 0)
        rc = switch_table(c, &plan, err);
    if (rc == 0) {
        drop_old(c, old_offset, old_bytes);
        qcow2_table_free(&c->q->reftable);
        c->q->reftable = plan.table;
        plan.table = (struct qcow2_table){0};
        rc = imgi_io_size(c->q->node->file, &c->file_size, err);
        c->clusters = qcow2_clusters(c->q, c->file_size);
    }
    qcow2_table_free(&plan.table);
    return rc;
}
