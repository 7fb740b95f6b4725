/*
 * Refcounts of another width. SPDX-License-Identifier: BSD-2-Clause
 *
 * New blocks and a new table are made beside the old ones, in clusters that are given out as any
 * others are, and so are counted by the old refcounts. Giving them out may make more clusters be in
 * use, and those want to be counted by new blocks too: this is repeated until it changes nothing.
 * Then the new blocks are filled from the old refcounts and written, the header switches to them
 * with its width, in one sector, and the old ones are freed.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "amend.h"

/* In the new table: a block is needed, and has no place yet. */
#define NEEDED 1u

struct width {
    struct qcow2 *q;
    struct imgi_amend *amend;
    unsigned order, block_bits;
    uint64_t max;             /* the highest refcount */
    struct qcow2_table table; /* the new one; its count may be more than the file's will have */
    uint64_t place, clusters; /* of the table in the file; clusters 0: none yet */
};

/* Make the table in memory reach the block of that index. */
static int reach(struct width *w, uint64_t index, img_error *err)
{
    struct qcow2_table larger;
    int rc;

    if (index < w->table.count)
        return 0;
    if (index >= QCOW2_REFTABLE_BYTES_MAX / QCOW2_ENTRY_BYTES)
        return imgi_fail(err, IMG_E_NOSPACE,
                         "refcounts of %u bits need a refcount table of more than %u bytes",
                         1u << w->order, QCOW2_REFTABLE_BYTES_MAX);
    rc = qcow2_table_new(&larger, 0, IMGI_MAX(2 * w->table.count, index + 1), err);
    if (rc < 0)
        return rc;
    if (w->table.count > 0)
        memcpy(larger.entries, w->table.entries, (size_t)w->table.count * sizeof(*larger.entries));
    qcow2_table_free(&w->table);
    w->table = larger;
    return 0;
}

/* Note that a new block must count the cluster. */
static int need(struct width *w, uint64_t cluster, uint64_t value, bool *missing, img_error *err)
{
    uint64_t index = cluster >> w->block_bits;
    int rc;

    if (value > w->max)
        return imgi_fail(err, IMG_E_INVAL,
                         "Cannot decrease refcount entry width to %u bits: Cluster at offset "
                         "0x%" PRIx64 " has a refcount of %" PRIu64,
                         1u << w->order, cluster << w->q->cluster_bits, value);
    rc = reach(w, index, err);
    if (rc == 0 && w->table.entries[index] == 0)
        w->table.entries[index] = NEEDED;
    if (rc == 0 && w->table.entries[index] == NEEDED)
        *missing = true;
    return rc;
}

/* Look at all refcounts: do they fit, and which new blocks are missing? */
static int look(struct width *w, bool *missing, img_error *err)
{
    struct qcow2 *q = w->q;
    uint64_t size = UINT64_C(1) << q->block_bits;
    int rc = 0;

    *missing = false;
    for (uint64_t i = 0; rc == 0 && i < q->reftable.count; i++) {
        if (q->reftable.entries[i] == 0)
            continue;
        for (uint64_t j = 0; rc == 0 && j < size; j++) {
            uint64_t value;

            rc = qcow2_refcount(q, i * size + j, &value, err);
            if (rc == 0 && value != 0)
                rc = need(w, i * size + j, value, missing, err);
        }
        if (rc == 0)
            rc = imgi_amend_progress(w->amend, i, 2 * q->reftable.count, err);
    }
    return rc;
}

static int place_blocks(struct width *w, img_error *err)
{
    uint64_t cluster;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < w->table.count; i++) {
        if (w->table.entries[i] != NEEDED)
            continue;
        rc = qcow2_alloc_metadata(w->q, 1, QCOW2_OWNER_REFBLOCK, &cluster, err);
        if (rc == 0)
            w->table.entries[i] = cluster << w->q->cluster_bits;
    }
    return rc;
}

/* A place for the table that has room for all its blocks. *moved: it is a new one. */
static int place_table(struct width *w, bool *moved, img_error *err)
{
    struct qcow2 *q = w->q;
    uint64_t count = w->table.count, clusters;
    int rc;

    while (count > 0 && w->table.entries[count - 1] == 0)
        count--;
    clusters = qcow2_clusters(q, count * QCOW2_ENTRY_BYTES);
    *moved = clusters > w->clusters;
    if (!*moved)
        return 0;
    qcow2_cancel_metadata(q, w->place, w->clusters);
    w->clusters = 0;
    rc = qcow2_alloc_metadata(q, clusters, QCOW2_OWNER_REFTABLE, &w->place, err);
    if (rc == 0)
        w->clusters = clusters;
    return rc;
}

static int place_all(struct width *w, img_error *err)
{
    bool missing = true, moved = true;
    int rc = 0;

    while (rc == 0 && (missing || moved)) {
        rc = look(w, &missing, err);
        if (rc == 0)
            rc = place_blocks(w, err);
        if (rc == 0)
            rc = place_table(w, &moved, err);
    }
    return rc;
}

/* The new block of that index, from the old refcounts. */
static int fill_block(struct width *w, uint64_t index, uint8_t *block, img_error *err)
{
    struct qcow2 *q = w->q;
    uint64_t first = index << w->block_bits, size = UINT64_C(1) << w->block_bits;
    uint64_t old_size = UINT64_C(1) << q->block_bits;
    int rc = 0;

    memset(block, 0, q->cluster_size);
    for (uint64_t i = 0; rc == 0 && i < size;) {
        uint64_t old = (first + i) >> q->block_bits, value;

        if (old >= q->reftable.count || q->reftable.entries[old] == 0) {
            i += old_size - ((first + i) & (old_size - 1));
            continue;
        }
        rc = qcow2_refcount(q, first + i, &value, err);
        if (rc == 0)
            qcow2_refcount_put(block, w->order, i, value);
        i++;
    }
    return rc;
}

static int write_blocks(struct width *w, img_error *err)
{
    struct qcow2 *q = w->q;
    uint8_t *block = malloc(q->cluster_size);
    int rc = block ? 0 : imgi_fail_nomem(err, "a refcount block");

    for (uint64_t i = 0; rc == 0 && i < w->table.count; i++) {
        if (w->table.entries[i] == 0)
            continue;
        rc = fill_block(w, i, block, err);
        if (rc == 0)
            rc = imgi_io_write(q->node->file, block, q->cluster_size, w->table.entries[i], err);
        if (rc == 0)
            rc = imgi_amend_progress(w->amend, w->table.count + i, 2 * w->table.count, err);
    }
    free(block);
    return rc;
}

/* The table as it will be: of whole clusters, at its place, on disk. */
static int write_table(struct width *w, img_error *err)
{
    struct qcow2 *q = w->q;
    uint64_t count = (w->clusters << q->cluster_bits) / QCOW2_ENTRY_BYTES;
    struct qcow2_table table;
    int rc = qcow2_table_new(&table, w->place << q->cluster_bits, count, err);

    if (rc < 0)
        return rc;
    memcpy(table.entries, w->table.entries,
           (size_t)IMGI_MIN(count, w->table.count) * sizeof(*table.entries));
    qcow2_table_free(&w->table);
    w->table = table;
    qcow2_table_set_dirty(&w->table);
    rc = qcow2_table_write(&w->table, q->node->file, err);
    return rc < 0 ? rc : imgi_io_flush(q->node->file, err);
}

static int edit_width(struct qcow2_header *header, const void *opaque, img_error *err)
{
    const struct width *w = opaque;

    (void)err;
    header->reftable_offset = w->table.offset;
    header->reftable_clusters = (uint32_t)w->clusters;
    header->refcount_order = w->order;
    return 0;
}

/* The old refcounts count nothing any more. What is not freed for want of memory is lost space. */
static int free_old(struct qcow2 *q, struct qcow2_table *old, uint64_t clusters, img_error *err)
{
    uint64_t place = old->offset >> q->cluster_bits;

    for (uint64_t i = 0; i < old->count; i++) {
        uint64_t cluster = old->entries[i] >> q->cluster_bits;

        if (cluster == 0)
            continue;
        qcow2_owned_remove(&q->owned, cluster);
        qcow2_free_later(q, cluster, 1, true, NULL);
    }
    qcow2_owned_remove_run(&q->owned, place, clusters);
    qcow2_free_later(q, place, clusters, true, NULL);
    qcow2_table_free(old);
    return qcow2_settle(q, err);
}

/* The switch: nothing of it fails once the header is written. */
static int switch_width(struct width *w, img_error *err)
{
    struct qcow2 *q = w->q;
    uint64_t clusters = q->header.reftable_clusters;
    struct qcow2_table old = q->reftable;
    struct imgi_cache *cache;
    int rc = qcow2_refcount_cache_new(q, &cache, err);

    if (rc < 0)
        return rc;
    rc = qcow2_header_rewrite(q, edit_width, w, err);
    if (rc < 0) {
        imgi_cache_free(cache);
        return rc;
    }
    imgi_cache_free(q->refcount_cache);
    q->refcount_cache = cache;
    q->reftable = w->table;
    w->table = (struct qcow2_table){0};
    w->clusters = 0;
    qcow2_set_widths(q);
    return free_old(q, &old, clusters, err);
}

/* After a failure: the clusters of the new blocks and of the table are free again. */
static void undo(struct width *w)
{
    for (uint64_t i = 0; i < w->table.count; i++)
        if (w->table.entries[i] > NEEDED)
            qcow2_cancel_metadata(w->q, w->table.entries[i] >> w->q->cluster_bits, 1);
    qcow2_cancel_metadata(w->q, w->place, w->clusters);
}

int qcow2_set_refcount_order(struct qcow2 *q, struct imgi_amend *amend, unsigned order,
                             img_error *err)
{
    struct width w = {.q = q,
                      .amend = amend,
                      .order = order,
                      .block_bits = q->cluster_bits + 3 - order,
                      .max = UINT64_MAX >> (64 - (1u << order))};
    int rc = qcow2_settle(q, err);

    if (rc == 0)
        rc = place_all(&w, err);
    if (rc == 0)
        rc = write_blocks(&w, err);
    if (rc == 0)
        rc = write_table(&w, err);
    if (rc == 0)
        rc = switch_width(&w, err);
    if (rc < 0)
        undo(&w);
    qcow2_table_free(&w.table);
    return rc;
}
