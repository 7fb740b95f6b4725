/*
 * The check of what holds no guest data: who refers to which host cluster?
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A table that is something else too, by the counts of all that lead to it, is not written to by a
 * repair, because it may as well be the other thing. (For the same reason new refcount structures
 * are made when that happens to the old ones.)
 */
#include <inttypes.h>

#include "check.h"

int qcow2_count_bytes(struct qcow2_checking *c, uint64_t offset, uint64_t bytes, uint64_t number,
                      img_error *err)
{
    unsigned bits = c->q->cluster_bits;
    uint64_t last;

    if (bytes == 0)
        return 0;
    /* Both are below 2^63 where the sum counts. */
    last = (offset + bytes - 1) >> bits;
    if (offset >= c->file_size || last > c->clusters) {
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR: counting reference for region exceeding the end of the file by one "
                    "cluster or more: offset 0x%" PRIx64 " size 0x%" PRIx64,
                    offset, bytes);
        return 0;
    }
    return qcow2_counts_add(&c->counts, offset >> bits, last - (offset >> bits) + 1, number, err);
}

int qcow2_count_table(struct qcow2_checking *c, uint64_t offset, uint64_t bytes, uint64_t number,
                      bool *whole, img_error *err)
{
    uint64_t before = c->checker->result->corruptions;
    int rc = qcow2_count_bytes(c, offset, bytes, number, err);

    *whole = imgi_span_ok(offset, bytes, c->file_size);
    if (rc == 0 && !*whole && c->checker->result->corruptions == before)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR: the file ends inside a table: offset 0x%" PRIx64 " size 0x%" PRIx64,
                    offset, bytes);
    return rc;
}

static int count_crypto(struct qcow2_checking *c, img_error *err)
{
    const struct qcow2_extension *extension = qcow2_extension_find(&c->q->header, QCOW2_EXT_CRYPTO);

    if (!extension || extension->length < 16)
        return 0;
    return qcow2_count_bytes(c, imgi_get_be64(extension->data),
                             IMGI_MIN(imgi_get_be64(extension->data + 8), (uint64_t)INT64_MAX), 1,
                             err);
}

static int count_bitmap(struct qcow2_checking *c, const struct qcow2_bitmap *bitmap, img_error *err)
{
    struct qcow2_table table = {0};
    uint64_t bytes = (uint64_t)bitmap->table_entries * QCOW2_ENTRY_BYTES;
    bool whole;
    int rc;

    /* Tables that do not overlap are together no larger than the file. */
    if (imgi_span_ok(bitmap->table_offset, bytes, c->file_size))
        c->bitmap_tables += bytes;
    if (c->bitmap_tables > c->file_size) {
        c->incomplete = true;
        qcow2_found(c, IMGI_FINDING_CORRUPTION, "ERROR bitmap %s: its table overlaps others",
                    bitmap->name);
        return qcow2_check_step(c, err);
    }
    rc = qcow2_count_table(c, bitmap->table_offset, bytes, 1, &whole, err);
    if (rc < 0 || !whole)
        return rc;
    rc = qcow2_table_load(&table, "bitmap table", c->q->node, bitmap->table_offset,
                          bitmap->table_entries, err);
    for (uint64_t i = 0; rc == 0 && i < table.count; i++) {
        uint64_t offset = table.entries[i] & QCOW2_OFFSET_MASK;

        if (offset != 0)
            rc = qcow2_count_bytes(c, offset, c->q->cluster_size, 1, err);
        if (rc == 0)
            rc = qcow2_check_step(c, err);
    }
    qcow2_table_free(&table);
    return rc;
}

static int count_bitmaps(struct qcow2_checking *c, img_error *err)
{
    struct qcow2_bitmap_list list;
    int rc = qcow2_bitmaps_load(c->q, &list, err);

    if (rc == 0)
        rc = qcow2_count_bytes(c, list.directory_offset, list.directory_bytes, 1, err);
    for (size_t i = 0; rc == 0 && i < list.count; i++)
        rc = count_bitmap(c, &list.bitmaps[i], err);
    qcow2_bitmaps_free(&list);
    return rc;
}

/* ------------------------------------------------------------------ refcount structures */

uint64_t qcow2_reftable_bytes(const struct qcow2_checking *c)
{
    const struct qcow2_header *header = &c->q->header;
    uint64_t bytes = (uint64_t)header->reftable_clusters << c->q->cluster_bits;

    if (header->reftable_offset >= c->file_size)
        return 0;
    return IMGI_MIN(bytes, c->file_size - header->reftable_offset);
}

uint64_t qcow2_block_of(const struct qcow2_checking *c, uint64_t entry)
{
    uint64_t offset = entry & ~QCOW2_REFTABLE_RESERVED;

    return offset & (c->q->cluster_size - 1) ||
                   !imgi_span_ok(offset, c->q->cluster_size, c->file_size)
               ? 0
               : offset;
}

/* A fault of the refcount structures, for which they are made anew. */
static void need_rebuild(struct qcow2_checking *c)
{
    c->rebuild = true;
    c->refcount_faults++;
}

static int count_reftable(struct qcow2_checking *c, img_error *err)
{
    uint64_t bytes = (uint64_t)c->q->header.reftable_clusters << c->q->cluster_bits;
    uint64_t before = c->checker->result->corruptions;
    int rc = qcow2_count_bytes(c, c->q->header.reftable_offset, bytes, 1, err);

    if (c->checker->result->corruptions == before)
        c->reftable_counted = bytes;
    else
        need_rebuild(c);
    return rc;
}

/* Counted last of all: a block that something else uses too is found out by its count. */
static int count_aligned_block(struct qcow2_checking *c, uint64_t index, img_error *err)
{
    uint64_t entry = c->q->reftable.entries[index], count;
    bool all = c->repair == IMGI_REPAIR_ALL;
    int rc;

    if (qcow2_block_of(c, entry) == 0) {
        /* It counts nothing; whether anything needs it is found out later. */
        c->rebuild = c->rebuild || all;
        qcow2_found_mendable(c, all, "refcount block %" PRIu64 " is outside image", index);
        return 0;
    }
    rc = qcow2_count_bytes(c, entry, c->q->cluster_size, 1, err);
    count = qcow2_counts_get(&c->counts, entry >> c->q->cluster_bits);
    if (rc < 0 || count == 1)
        return rc;
    need_rebuild(c);
    qcow2_found(c, IMGI_FINDING_CORRUPTION, "ERROR refcount block %" PRIu64 " refcount=%" PRIu64,
                index, count);
    return 0;
}

static int count_block(struct qcow2_checking *c, uint64_t index, img_error *err)
{
    uint64_t entry = c->q->reftable.entries[index];

    if (entry == 0)
        return 0;
    if (entry & QCOW2_REFTABLE_RESERVED) {
        need_rebuild(c);
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR refcount table entry %" PRIu64 " has reserved bits set", index);
        return 0;
    }
    if (entry & (c->q->cluster_size - 1)) {
        need_rebuild(c);
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR refcount block %" PRIu64
                    " is not cluster aligned; refcount table entry corrupted",
                    index);
        return 0;
    }
    return count_aligned_block(c, index, err);
}

static int count_blocks(struct qcow2_checking *c, img_error *err)
{
    uint64_t first = c->q->header.reftable_offset >> c->q->cluster_bits;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < c->q->reftable.count; i++)
        rc = count_block(c, i, err);
    /* A table that is something else too must not be written to. */
    for (uint64_t i = 0; c->repair == IMGI_REPAIR_ALL && i < c->q->header.reftable_clusters; i++)
        c->rebuild = c->rebuild || qcow2_counts_get(&c->counts, first + i) > 1;
    return rc;
}

/* -------------------------------------------------------------------------- all of it */

static int count_metadata(struct qcow2_checking *c, img_error *err)
{
    int rc = qcow2_count_bytes(c, 0, c->q->cluster_size, 1, err);

    if (rc == 0)
        rc = qcow2_check_count_snapshots(c, err);
    if (rc == 0)
        rc = qcow2_check_l1_tables(c, err);
    if (rc == 0)
        rc = count_crypto(c, err);
    if (rc == 0)
        rc = count_bitmaps(c, err);
    if (rc == 0)
        rc = count_reftable(c, err);
    return rc;
}

int qcow2_check_count(struct qcow2_checking *c, img_error *err)
{
    int rc = count_metadata(c, err);

    if (rc == 0)
        rc = qcow2_check_walk(c, err);
    if (rc == 0)
        rc = count_blocks(c, err);
    if (rc == 0)
        rc = qcow2_check_settle(c, err);
    return rc;
}
