/*
 * The new tables to disk, and the switch to them. SPDX-License-Identifier: BSD-2-Clause
 *
 * Order: everything new -> the header's 48 bytes -> holes where something was freed ("->": the file
 * is flushed). Nothing that the old image has is written to.
 */
#include <stdlib.h>

#include "snapshot.h"

/* Neighbouring tables go to the file in one write of at most so many bytes. */
#define BATCH_BYTES (1u << 20)

struct batch {
    struct qcow2 *q;
    uint8_t *buffer;
    uint64_t first; /* cluster */
    size_t count, room;
};

static int batch_new(struct batch *batch, struct qcow2 *q, img_error *err)
{
    *batch = (struct batch){.q = q, .room = IMGI_MAX(BATCH_BYTES >> q->cluster_bits, 1u)};
    batch->buffer = malloc(batch->room << q->cluster_bits);
    return batch->buffer ? 0 : imgi_fail_nomem(err, "a change of snapshots");
}

static int batch_write(struct batch *batch, img_error *err)
{
    const struct qcow2 *q = batch->q;
    size_t length = batch->count << q->cluster_bits;

    batch->count = 0;
    return length ? imgi_io_write(q->node->file, batch->buffer, length,
                                  batch->first << q->cluster_bits, err)
                  : 0;
}

/* Memory for the table that goes to that cluster. */
static int batch_table(struct batch *batch, uint64_t cluster, uint8_t **table, img_error *err)
{
    int rc = 0;

    if (batch->count == batch->room || batch->first + batch->count != cluster)
        rc = batch_write(batch, err);
    if (batch->count == 0)
        batch->first = cluster;
    *table = batch->buffer + (batch->count++ << batch->q->cluster_bits);
    return rc;
}

/* ---------------------------------------------------------------------------- tables */

static int write_l2(struct qcow2_change *change, struct batch *batch, uint64_t index,
                    img_error *err)
{
    struct qcow2 *q = change->q;
    uint64_t offset = change->l1.entries[index] & QCOW2_OFFSET_MASK;
    uint8_t *old, *table = NULL;
    bool wrong;
    int rc = imgi_cache_get(q->l2_cache, offset, &old, err);

    if (rc == 0)
        rc = batch_table(batch, change->new_l2[index], &table, err);
    if (rc < 0)
        return rc;
    memcpy(table, old, q->cluster_size);
    return qcow2_change_flags(change, table, true, &wrong, err);
}

static int write_l2_tables(struct qcow2_change *change, struct batch *batch, img_error *err)
{
    struct qcow2 *q = change->q;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < change->l1.count; i++) {
        uint64_t cluster = change->new_l2[i], old, next;

        if (change->l1.entries[i] == 0)
            continue;
        if (cluster != 0)
            rc = write_l2(change, batch, i, err);
        else
            cluster = (change->l1.entries[i] & QCOW2_OFFSET_MASK) >> q->cluster_bits;
        if (rc == 0)
            rc = qcow2_change_refcount(change, cluster, &old, &next, err);
        if (rc < 0)
            break;
        change->l1.entries[i] = cluster << q->cluster_bits | (next == 1 ? QCOW2_COPIED : 0);
    }
    return rc < 0 ? rc : batch_write(batch, err);
}

/*
 * A block with the refcounts as they are to be; notes what is free from now on and goes back to the
 * host. Old tables do not: they are few, and the next operation wants room for tables again.
 */
static int fill_block(struct qcow2_change *change, uint64_t index, uint8_t *block, img_error *err)
{
    struct qcow2 *q = change->q;
    uint64_t size = UINT64_C(1) << q->block_bits, first = index << q->block_bits;
    unsigned order = q->header.refcount_order;
    int rc = 0;

    memset(block, 0, q->cluster_size);
    for (uint64_t i = 0; rc == 0 && i < size; i++) {
        uint64_t old, next;

        rc = qcow2_change_refcount(change, first + i, &old, &next, err);
        if (rc < 0 || (old == 0 && next == 0))
            continue;
        qcow2_refcount_put(block, order, i, next);
        /* What is not noted for want of memory is free all the same. */
        if (next == 0 && qcow2_owned_find(&q->owned, first + i) == QCOW2_OWNER_NONE)
            qcow2_frees_add(&change->freed, first + i, 1, true, NULL);
    }
    return rc;
}

static int write_blocks(struct qcow2_change *change, struct batch *batch, img_error *err)
{
    struct qcow2 *q = change->q;
    uint8_t *block;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < change->blocks; i++) {
        if (change->new_block[i] == 0)
            continue;
        rc = batch_table(batch, change->new_block[i], &block, err);
        if (rc == 0)
            rc = fill_block(change, i, block, err);
        change->reftable.entries[i] = change->new_block[i] << q->cluster_bits;
    }
    return rc < 0 ? rc : batch_write(batch, err);
}

/* An L1 or refcount table in one write. */
static int write_table(struct imgi_io *io, const struct qcow2_table *table, img_error *err)
{
    size_t bytes = (size_t)table->count * QCOW2_ENTRY_BYTES;
    uint8_t *buffer = malloc(bytes + 1);
    int rc;

    if (!buffer)
        return imgi_fail_nomem(err, "a change of snapshots");
    for (size_t i = 0; i < table->count; i++)
        imgi_put_be64(buffer + i * QCOW2_ENTRY_BYTES, table->entries[i]);
    rc = bytes ? imgi_io_write(io, buffer, bytes, table->offset, err) : 0;
    free(buffer);
    return rc;
}

static int write_snapshots(struct qcow2_change *change, img_error *err)
{
    uint64_t bytes;
    uint8_t *table;
    int rc = qcow2_snapshots_size(change->snapshots, &bytes, err);

    if (rc < 0 || bytes == 0)
        return rc;
    table = calloc(1, (size_t)bytes);
    if (!table)
        return imgi_fail_nomem(err, "the snapshot table");
    qcow2_snapshots_encode(change->snapshots, table);
    rc = imgi_io_write(change->q->node->file, table, (size_t)bytes, change->table_offset, err);
    free(table);
    return rc;
}

static int write_tables(struct qcow2_change *change, img_error *err)
{
    struct imgi_io *io = change->q->node->file;
    struct batch batch;
    int rc = batch_new(&batch, change->q, err);

    if (rc == 0)
        rc = write_l2_tables(change, &batch, err);
    if (rc == 0)
        rc = write_blocks(change, &batch, err);
    free(batch.buffer);
    if (rc == 0)
        rc = write_table(io, &change->l1, err);
    if (rc == 0)
        rc = write_table(io, &change->reftable, err);
    if (rc == 0)
        rc = write_snapshots(change, err);
    return rc < 0 ? rc : imgi_io_flush(io, err);
}

/* ------------------------------------------------------------------------ the switch */

/* The header's fields from the size to the place of the snapshot table, all in its first sector. */
static int switch_header(struct qcow2_change *change, img_error *err)
{
    struct qcow2 *q = change->q;
    uint8_t bytes[QCOW2_V2_LENGTH];

    imgi_put_be64(bytes + QCOW2_AT_SIZE, change->size);
    imgi_put_be32(bytes + QCOW2_AT_CRYPT_METHOD, q->header.crypt_method);
    imgi_put_be32(bytes + QCOW2_AT_L1_ENTRIES, (uint32_t)change->l1.count);
    imgi_put_be64(bytes + QCOW2_AT_L1_OFFSET, change->l1.offset);
    imgi_put_be64(bytes + QCOW2_AT_REFTABLE_OFFSET, change->reftable.offset);
    imgi_put_be32(bytes + QCOW2_AT_REFTABLE_CLUSTERS,
                  (uint32_t)qcow2_clusters(q, change->reftable.count * QCOW2_ENTRY_BYTES));
    imgi_put_be32(bytes + QCOW2_AT_SNAPSHOTS, (uint32_t)change->snapshots->count);
    imgi_put_be64(bytes + QCOW2_AT_SNAPSHOTS_OFFSET, change->table_offset);
    return qcow2_header_update(q, QCOW2_AT_SIZE, bytes + QCOW2_AT_SIZE,
                               QCOW2_V2_LENGTH - QCOW2_AT_SIZE, err);
}

static void disown(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
    qcow2_owned_remove_run(&q->owned, offset >> q->cluster_bits, qcow2_clusters(q, bytes));
}

/* The clusters of old tables have no owner any more. */
static void disown_old(struct qcow2_change *change)
{
    struct qcow2 *q = change->q;

    disown(q, q->l1.offset, q->l1.count * QCOW2_ENTRY_BYTES);
    disown(q, q->header.reftable_offset, (uint64_t)q->header.reftable_clusters << q->cluster_bits);
    disown(q, q->header.snapshots_offset, change->snapshots->bytes);
    if (change->dropped)
        disown(q, change->dropped->l1_offset,
               (uint64_t)change->dropped->l1_entries * QCOW2_ENTRY_BYTES);
    for (uint64_t i = 0; i < q->l1.count; i++) {
        if (q->l1.entries[i] != 0)
            disown(q, q->l1.entries[i] & QCOW2_OFFSET_MASK, q->cluster_size);
    }
    for (uint64_t i = 0; i < change->blocks && i < q->reftable.count; i++) {
        if (change->new_block[i] == 0 || q->reftable.entries[i] == 0)
            continue;
        disown(q, q->reftable.entries[i], q->cluster_size);
        /* It may be dirty where refcounts are written late, and its cluster is somebody else's now.
         */
        imgi_cache_forget(q->refcount_cache, q->reftable.entries[i]);
    }
}

/* Tables that are used on. They had an owner a moment ago: no memory is needed, nothing fails. */
static void own_kept(struct qcow2_change *change)
{
    struct qcow2 *q = change->q;

    if (change->l1_given)
        qcow2_owned_add_run(&q->owned, q->l1.offset >> q->cluster_bits,
                            qcow2_clusters(q, q->l1.count * QCOW2_ENTRY_BYTES),
                            QCOW2_OWNER_SNAPSHOT, NULL);
    for (uint64_t i = 0; i < change->l1.count; i++) {
        uint64_t cluster = (change->l1.entries[i] & QCOW2_OFFSET_MASK) >> q->cluster_bits;

        if (cluster != 0 && qcow2_owned_find(&q->owned, cluster) == QCOW2_OWNER_NONE)
            qcow2_owned_add(&q->owned, cluster, QCOW2_OWNER_L2, NULL);
    }
}

/* What the caches have of the places that new tables went to is old. */
static void forget_placed(struct qcow2_change *change)
{
    struct qcow2 *q = change->q;

    for (size_t n = 0; n < change->placed_count; n++) {
        uint64_t offset = change->placed[n] << q->cluster_bits;

        if (qcow2_owned_find(&q->owned, change->placed[n]) == QCOW2_OWNER_L2)
            imgi_cache_forget(q->l2_cache, offset);
        else
            imgi_cache_forget(q->refcount_cache, offset);
    }
}

static void take_table(struct qcow2_table *to, struct qcow2_table *from)
{
    qcow2_table_free(to);
    *to = *from;
    *from = (struct qcow2_table){0};
}

/* In memory too. The header on disk has been switched: nothing here can fail. */
static void adopt(struct qcow2_change *change)
{
    struct qcow2 *q = change->q;

    disown_old(change);
    own_kept(change);
    forget_placed(change);
    q->header.size = change->size;
    q->header.l1_entries = (uint32_t)change->l1.count;
    q->header.l1_offset = change->l1.offset;
    q->header.reftable_offset = change->reftable.offset;
    q->header.reftable_clusters =
        (uint32_t)qcow2_clusters(q, change->reftable.count * QCOW2_ENTRY_BYTES);
    q->header.snapshots = (uint32_t)change->snapshots->count;
    q->header.snapshots_offset = change->table_offset;
    q->node->size = change->size;
    take_table(&q->l1, &change->l1);
    take_table(&q->reftable, &change->reftable);
    q->free_hint = 0;
    q->stream_end = 0;
    change->placed_count = 0;
}

/* The host gets back what is free now. It need not take it. */
static void give_back(const struct qcow2_change *change)
{
    const struct qcow2 *q = change->q;

    for (size_t n = 0; n < change->freed.count; n++)
        imgi_io_discard(q->node->file, change->freed.runs[n].cluster << q->cluster_bits,
                        change->freed.runs[n].count << q->cluster_bits, NULL);
}

int qcow2_change_write(struct qcow2_change *change, img_error *err)
{
    int rc = write_tables(change, err);

    if (rc == 0)
        rc = switch_header(change, err);
    if (rc < 0)
        return rc;
    adopt(change);
    give_back(change);
    return 0;
}
