/*
 * Moving clusters: the copies first, then what leads to them. SPDX-License-Identifier: BSD-2-Clause
 *
 * The order is the one at the top of compact.h.
 */
#include <stdlib.h>

#include "compact.h"

/* Where a cluster is to be: its new place, or the one that it has. */
static uint64_t place_of(const struct qcow2_compacting *c, uint64_t cluster)
{
    uint64_t to = cluster >= c->base && cluster < c->end ? c->to[cluster - c->base] : 0;

    return to ? to : cluster;
}

/* The same for a byte of a table, all of which moves alike. */
static uint64_t offset_of(const struct qcow2_compacting *c, uint64_t offset)
{
    unsigned bits = c->q->cluster_bits;

    return place_of(c, offset >> bits) << bits | (offset & (c->q->cluster_size - 1));
}

/* -------------------------------------------------------------------------- copies */

/* What the file has there, and zeros past its end. */
static int read_padded(struct qcow2_compacting *c, uint64_t offset, size_t length, img_error *err)
{
    size_t present = 0;
    int rc = 0;

    if (offset < c->file_size)
        present = (size_t)IMGI_MIN((uint64_t)length, c->file_size - offset);
    if (present > 0)
        rc = imgi_io_read(c->q->node->file, c->buffer, present, offset, err);
    memset(c->buffer + present, 0, length - present);
    return rc;
}

/* What is encrypted by its place in the file: for another one. */
static int encrypt_anew(struct qcow2_compacting *c, uint64_t from, uint64_t to, size_t length,
                        img_error *err)
{
    struct imgi_node *node = c->q->node;
    int rc;

    if (!node->encrypted || node->cipher_by_guest)
        return 0;
    if (!node->cipher)
        return imgi_fail(err, IMG_E_DENIED,
                         "the image is encrypted, and was opened without its key");
    rc = imgi_cipher_decrypt(node->cipher, from / QCOW2_SECTOR, c->buffer, length, err);
    return rc < 0 ? rc
                  : imgi_cipher_encrypt(node->cipher, to / QCOW2_SECTOR, c->buffer, length, err);
}

static int put(struct qcow2_compacting *c, uint64_t to, size_t length, img_error *err)
{
    struct imgi_io *io = c->q->node->file;

    if (imgi_is_zero(c->buffer, length))
        return imgi_io_zero(io, to, length, true, err);
    return imgi_io_write(io, c->buffer, length, to, err);
}

/* Clusters that lie side by side, before and afterwards. */
static int copy_run(struct qcow2_compacting *c, uint64_t cluster, uint64_t count, img_error *err)
{
    unsigned bits = c->q->cluster_bits;
    uint64_t from = cluster << bits, to = place_of(c, cluster) << bits;
    size_t length = (size_t)(count << bits);
    int rc = read_padded(c, from, length, err);

    if (rc == 0 && c->kinds[cluster - c->base] == QCOW2_COMPACT_DATA)
        rc = encrypt_anew(c, from, to, length, err);
    if (rc == 0)
        rc = put(c, to, length, err);
    return rc < 0 ? rc : imgi_compact_progress(c->compacter, length, err);
}

/* Whether the cluster is copied at once with the one before it. */
static bool goes_on(const struct qcow2_compacting *c, uint64_t cluster)
{
    uint64_t i = cluster - c->base;

    return cluster < c->end && c->to[i] != 0 && c->to[i] == c->to[i - 1] + 1 &&
           c->kinds[i] == c->kinds[i - 1];
}

static int copy_clusters(struct qcow2_compacting *c, img_error *err)
{
    uint64_t most = QCOW2_COMPACT_BUFFER >> c->q->cluster_bits, count;
    int rc = 0;

    for (uint64_t at = c->base; rc == 0 && at < c->end; at += count) {
        count = 1;
        /* Blocks of refcounts change before they move. */
        if (c->to[at - c->base] == 0 || c->kinds[at - c->base] == QCOW2_COMPACT_REFBLOCK)
            continue;
        while (count < most && goes_on(c, at + count))
            count++;
        rc = copy_run(c, at, count, err);
    }
    return rc;
}

/* The bytes of a compressed cluster, which may be more than a cluster has. */
static int copy_stream(struct qcow2_compacting *c, const struct qcow2_compact_stream *stream,
                       img_error *err)
{
    struct imgi_io *io = c->q->node->file;
    uint64_t length = IMGI_MIN(stream->length, c->file_size - stream->host);
    int rc = 0;

    for (uint64_t done = 0; rc == 0 && done < length;) {
        size_t count = (size_t)IMGI_MIN(length - done, QCOW2_COMPACT_BUFFER);

        rc = imgi_io_read(io, c->buffer, count, stream->host + done, err);
        if (rc == 0)
            rc = imgi_io_write(io, c->buffer, count, stream->to + done, err);
        if (rc == 0)
            rc = imgi_compact_progress(c->compacter, count, err);
        done += count;
    }
    return rc;
}

static int copy_streams(struct qcow2_compacting *c, img_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < c->stream_count; i++) {
        if (c->streams[i].to != 0 && c->streams[i].host < c->file_size)
            rc = copy_stream(c, &c->streams[i], err);
    }
    return rc;
}

int qcow2_compact_copy(struct qcow2_compacting *c, img_error *err)
{
    int rc = copy_clusters(c, err);

    if (rc == 0)
        rc = copy_streams(c, err);
    return rc < 0 ? rc : imgi_io_flush(c->q->node->file, err);
}

/* ----------------------------------------------------------------------- refcounts */

static int change_refcount(struct qcow2_compacting *c, uint64_t cluster, uint64_t number, bool add,
                           img_error *err)
{
    struct qcow2 *q = c->q;
    unsigned order = q->header.refcount_order;
    uint64_t index = cluster & ((UINT64_C(1) << q->block_bits) - 1), value;
    uint8_t *block;
    int rc = qcow2_refcount_block(q, cluster, &block, err);

    if (rc < 0)
        return rc;
    value = block ? qcow2_refcount_get(block, order, index) : 0;
    if (!block || (add ? value > q->refcount_max - number : value < number))
        return imgi_fail(err, IMG_E_INTERNAL, "host cluster %llu cannot %s %llu references",
                         (unsigned long long)cluster, add ? "gain" : "lose",
                         (unsigned long long)number);
    qcow2_refcount_put(block, order, index, add ? value + number : value - number);
    imgi_cache_dirty(q->refcount_cache, block, (size_t)(index << order) / 8,
                     IMGI_MAX((size_t)1 << order, 8u) / 8);
    return 0;
}

static int change_refcounts(struct qcow2_compacting *c, const struct qcow2_counts *counts, bool add,
                            img_error *err)
{
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < counts->clusters; at++) {
        uint64_t number;

        if (qcow2_counts_empty(counts, at)) {
            at |= (UINT64_C(1) << QCOW2_COUNTS_PAGE_BITS) - 1;
            continue;
        }
        number = qcow2_counts_get(counts, at);
        if (number > 0) {
            /* What a cache may have of it was another cluster's, or will be. */
            imgi_cache_forget(c->q->l2_cache, at << c->q->cluster_bits);
            imgi_cache_forget(c->q->bitmap_cache, at << c->q->cluster_bits);
            rc = change_refcount(c, at, number, add, err);
        }
    }
    return rc < 0 ? rc : qcow2_refcounts_out(c->q, err);
}

/* Refcount blocks, as they are on disk now, and the entries that lead to them. */
static int move_blocks(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < q->reftable.count; i++) {
        uint64_t old = q->reftable.entries[i], next = offset_of(c, old);

        if (old == 0 || next == old)
            continue;
        rc = imgi_io_read(q->node->file, c->buffer, q->cluster_size, old, err);
        if (rc == 0)
            rc = imgi_io_write(q->node->file, c->buffer, q->cluster_size, next, err);
        imgi_cache_forget(q->refcount_cache, old);
        imgi_cache_forget(q->refcount_cache, next);
        qcow2_table_set(&q->reftable, i, next);
    }
    q->reftable.offset = offset_of(c, q->reftable.offset);
    return rc < 0 ? rc : qcow2_refcounts_out(q, err);
}

/* -------------------------------------------------------------------------- entries */

/* An entry of an L1 table or of a bitmap's table. */
static int move_entry(struct qcow2_compacting *c, uint64_t *entry, void *opaque, img_error *err)
{
    uint64_t old = *entry & QCOW2_OFFSET_MASK;

    (void)opaque;
    (void)err;
    if (old != 0)
        *entry = (*entry & ~QCOW2_OFFSET_MASK) | offset_of(c, old);
    return 0;
}

static int move_l2_entry(struct qcow2_compacting *c, uint64_t *entry, void *opaque, img_error *err)
{
    const struct qcow2_compact_stream *stream;
    struct qcow2_packed packed;

    if (!(*entry & QCOW2_COMPRESSED))
        return move_entry(c, entry, opaque, err);
    qcow2_packed_decode(c->q->cluster_bits, *entry, &packed);
    stream = qcow2_compact_stream(c, &packed);
    if (stream && stream->to != 0)
        *entry = qcow2_packed_encode(c->q->cluster_bits, stream->to, stream->length);
    return 0;
}

static int change_l2(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < c->l2_count; i++) {
        struct imgi_table table = {.what = "L2 table",
                                   .offset = offset_of(c, c->l2[i].offset),
                                   .entries = qcow2_l2_entries(q),
                                   .entry_size = q->l2_entry_bytes};

        imgi_cache_forget(q->l2_cache, c->l2[i].offset);
        if (!q->data_file)
            rc = qcow2_compact_each(c, table, move_l2_entry, NULL, err);
    }
    return rc < 0 ? rc : imgi_io_flush(q->node->file, err);
}

static int change_l1(struct qcow2_compacting *c, uint64_t offset, uint64_t entries, img_error *err)
{
    struct imgi_table table = {.what = "L1 table",
                               .offset = offset_of(c, offset),
                               .entries = entries,
                               .entry_size = QCOW2_ENTRY_BYTES};

    return qcow2_compact_each(c, table, move_entry, NULL, err);
}

static int change_bitmap(struct qcow2_compacting *c, struct qcow2_bitmap *bitmap, img_error *err)
{
    struct imgi_table table = {.what = "bitmap table",
                               .offset = offset_of(c, bitmap->table_offset),
                               .entries = bitmap->table_entries,
                               .entry_size = QCOW2_ENTRY_BYTES};
    int rc = qcow2_compact_each(c, table, move_entry, NULL, err);

    qcow2_table_free(&bitmap->table);
    bitmap->table_offset = table.offset;
    return rc;
}

/* Tables that lead to L2 tables and to bits. */
static int change_upper(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    int rc = change_l1(c, q->header.l1_offset, q->header.l1_entries, err);

    for (size_t i = 0; rc == 0 && i < c->snapshots.count; i++) {
        struct qcow2_snapshot *snapshot = &c->snapshots.list[i];

        rc = change_l1(c, snapshot->l1_offset, snapshot->l1_entries, err);
        snapshot->l1_offset = offset_of(c, snapshot->l1_offset);
    }
    for (size_t i = 0; rc == 0 && i < q->bitmaps.count; i++)
        rc = change_bitmap(c, &q->bitmaps.bitmaps[i], err);
    return rc < 0 ? rc : imgi_io_flush(q->node->file, err);
}

/* The snapshot table and the directory of bitmaps, over themselves or in their new places. */
static int change_lists(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    uint8_t *bytes = malloc((size_t)c->snapshots.bytes + 1);
    int rc = bytes ? 0 : imgi_fail_nomem(err, "the snapshot table");

    if (rc == 0 && c->snapshots.bytes > 0) {
        qcow2_snapshots_encode(&c->snapshots, bytes);
        rc = imgi_io_write(q->node->file, bytes, (size_t)c->snapshots.bytes,
                           offset_of(c, q->header.snapshots_offset), err);
    }
    free(bytes);
    q->bitmaps.directory_offset = offset_of(c, q->bitmaps.directory_offset);
    if (rc == 0 && q->bitmaps.count > 0)
        rc = qcow2_bitmaps_write_flags(q, err);
    return rc < 0 ? rc : imgi_io_flush(q->node->file, err);
}

/* Change the 8 bytes of an extension that say where something is. */
static void move_extension(const struct qcow2_compacting *c, struct qcow2_header *header,
                           uint32_t type, size_t at)
{
    const struct qcow2_extension *extension = qcow2_extension_find(header, type);

    if (extension && extension->length >= at + 8)
        imgi_put_be64(extension->data + at, offset_of(c, imgi_get_be64(extension->data + at)));
}

static int move_header(struct qcow2_header *header, const void *opaque, img_error *err)
{
    const struct qcow2_compacting *c = opaque;

    (void)err;
    header->l1_offset = offset_of(c, header->l1_offset);
    header->reftable_offset = offset_of(c, header->reftable_offset);
    header->snapshots_offset = offset_of(c, header->snapshots_offset);
    move_extension(c, header, QCOW2_EXT_CRYPTO, 0);
    move_extension(c, header, QCOW2_EXT_BITMAPS, 16);
    return 0;
}

int qcow2_compact_switch(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    int rc = change_refcounts(c, &c->gained, true, err);

    if (rc == 0)
        rc = move_blocks(c, err);
    if (rc == 0)
        rc = change_l2(c, err);
    if (rc == 0)
        rc = change_upper(c, err);
    if (rc == 0)
        rc = change_lists(c, err);
    if (rc == 0)
        rc = qcow2_header_rewrite(q, move_header, c, err);
    if (rc < 0)
        return rc;
    q->crypto_offset = offset_of(c, q->crypto_offset);
    qcow2_table_free(&q->l1);
    rc = qcow2_need_l1(q, err);
    if (rc == 0)
        rc = change_refcounts(c, &c->lost, false, err);
    return rc < 0 ? rc : qcow2_own_again(q, err);
}
