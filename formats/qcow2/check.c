/*
 * The check: is every cluster counted as often as it is used?
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * References are counted in memory from all metadata, then compared with the refcounts in the
 * image. A refcount that is too high wastes space (a leak); one that is too low, or a COPIED
 * flag that is wrong, will cost data at some later write (a corruption). The texts are those of
 * qemu-img.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

/* Findings of one kind that are told one by one; a broken image may have millions. */
#define SAID_MAX 1000

/* Extra data that version 3 demands of a snapshot: the sizes of VM state and disk. */
#define SNAPSHOT_EXTRA_MIN 16

void qcow2_found(struct qcow2_checking *c, enum imgi_finding kind, const char *format, ...)
{
    char text[512];
    va_list args;

    if (c->said[kind] == SAID_MAX) {
        img_check_result *result = c->checker->result;

        c->unsaid[kind]++;
        ++*(kind == IMGI_FINDING_CORRUPTION ? &result->corruptions
            : kind == IMGI_FINDING_LEAK     ? &result->leaks
                                            : &result->check_errors);
        return;
    }
    c->said[kind]++;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* Names of snapshots come from strangers and go to terminals. */
    for (char *byte = text; *byte; byte++) {
        if ((unsigned char)*byte < ' ' || *byte == 0x7f)
            *byte = '?';
    }
    imgi_found(c->checker, kind, "%s", text);
}

static void say_unsaid(struct qcow2_checking *c)
{
    static const char *const names[] = {[IMGI_FINDING_CORRUPTION] = "errors",
                                        [IMGI_FINDING_LEAK] = "leaked clusters",
                                        [IMGI_FINDING_ERROR] = "internal errors"};

    for (size_t i = 0; i < IMGI_COUNT(names); i++) {
        if (c->unsaid[i] > 0)
            imgi_found(c->checker, IMGI_FINDING_REPAIRED, "... and %" PRIu64 " more %s",
                       c->unsaid[i], names[i]);
    }
}

int qcow2_count_bytes(struct qcow2_checking *c, uint64_t offset, uint64_t bytes, uint64_t number,
                      img_error *err)
{
    unsigned bits = c->q->cluster_bits;
    uint64_t last;
    int rc = 0;

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
    for (uint64_t i = offset >> bits; rc == 0 && i <= last; i++)
        rc = qcow2_counts_add(&c->counts, i, number, err);
    return rc;
}

int qcow2_count_table(struct qcow2_checking *c, uint64_t offset, uint64_t bytes, bool *whole,
                      img_error *err)
{
    uint64_t before = c->checker->result->corruptions;
    int rc = qcow2_count_bytes(c, offset, bytes, 1, err);

    *whole = imgi_span_ok(offset, bytes, c->file_size);
    if (rc == 0 && !*whole && c->checker->result->corruptions == before)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR: the file ends inside a table: offset 0x%" PRIx64 " size 0x%" PRIx64,
                    offset, bytes);
    return rc;
}

bool qcow2_block_usable(const struct qcow2_checking *c, uint64_t entry)
{
    return entry != 0 && !(entry & (c->q->cluster_size - 1)) &&
           imgi_span_ok(entry, c->q->cluster_size, c->file_size);
}

bool qcow2_stored_refcount(struct qcow2_checking *c, uint64_t cluster, uint64_t *value)
{
    const struct qcow2_table *table = &c->q->reftable;
    uint64_t index = cluster >> c->q->block_bits;

    *value = 0;
    if (index >= table->count || table->entries[index] == 0)
        return true;
    if (!c->block || c->block_index != index) {
        c->block = NULL;
        if (!qcow2_block_usable(c, table->entries[index]) ||
            imgi_cache_get(c->q->refcount_cache, table->entries[index], &c->block, NULL) < 0)
            return false;
        c->block_index = index;
    }
    *value = qcow2_refcount_get(c->block, c->q->header.refcount_order,
                                cluster & ((UINT64_C(1) << c->q->block_bits) - 1));
    return true;
}

/* ------------------------------------------------------------- what holds no guest data */

static int count_snapshots(struct qcow2_checking *c, struct qcow2_snapshots *snapshots,
                           img_error *err)
{
    const struct qcow2_header *header = &c->q->header;
    int rc;

    if (header->snapshots == 0)
        return 0;
    rc = qcow2_snapshots_load(c->q, snapshots, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; header->version >= 3 && i < snapshots->count; i++) {
        if (snapshots->list[i].extra_length < SNAPSHOT_EXTRA_MIN)
            qcow2_found(c, IMGI_FINDING_CORRUPTION, "ERROR snapshot table entry %zu is incomplete",
                        i);
    }
    return qcow2_count_bytes(c, header->snapshots_offset, snapshots->bytes, 1, err);
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
    int rc = qcow2_count_table(c, bitmap->table_offset, bytes, &whole, err);

    if (rc < 0 || !whole)
        return rc;
    rc = qcow2_table_load(&table, "bitmap table", c->q->node, bitmap->table_offset,
                          bitmap->table_entries, err);
    for (uint64_t i = 0; rc == 0 && i < table.count; i++) {
        uint64_t offset = table.entries[i] & QCOW2_OFFSET_MASK;

        if (offset != 0)
            rc = qcow2_count_bytes(c, offset, c->q->cluster_size, 1, err);
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

/* Last of all: a block that something else uses too is found out by its count. */
static int count_refcounts(struct qcow2_checking *c, img_error *err)
{
    const struct qcow2_table *table = &c->q->reftable;
    int rc =
        qcow2_count_bytes(c, c->q->header.reftable_offset,
                          (uint64_t)c->q->header.reftable_clusters << c->q->cluster_bits, 1, err);

    for (uint64_t i = 0; rc == 0 && i < table->count; i++) {
        uint64_t entry = table->entries[i], count;

        if (entry == 0)
            continue;
        if (entry & (c->q->cluster_size - 1)) {
            qcow2_found(c, IMGI_FINDING_CORRUPTION,
                        "ERROR refcount block %" PRIu64
                        " is not cluster aligned; refcount table entry corrupted",
                        i);
            continue;
        }
        if (!qcow2_block_usable(c, entry)) {
            qcow2_found(c, IMGI_FINDING_CORRUPTION,
                        "ERROR refcount block %" PRIu64 " is outside image", i);
            continue;
        }
        rc = qcow2_count_bytes(c, entry, c->q->cluster_size, 1, err);
        count = qcow2_counts_get(&c->counts, entry >> c->q->cluster_bits);
        if (rc == 0 && count != 1)
            qcow2_found(c, IMGI_FINDING_CORRUPTION,
                        "ERROR refcount block %" PRIu64 " refcount=%" PRIu64, i, count);
    }
    return rc;
}

/* --------------------------------------------------------------------------- comparison */

static void compare_one(struct qcow2_checking *c, uint64_t cluster, uint64_t refcount)
{
    uint64_t references = qcow2_counts_get(&c->counts, cluster);

    if (refcount > 0 || references > 0)
        c->checker->result->image_end_offset = (cluster + 1) << c->q->cluster_bits;
    if (refcount > references)
        qcow2_found(c, IMGI_FINDING_LEAK,
                    "Leaked cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64, cluster,
                    refcount, references);
    else if (refcount < references)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64, cluster,
                    refcount, references);
}

/* Clusters from..to, which share a refcount block (NULL: there is none, or it cannot be had). */
static void compare_block(struct qcow2_checking *c, const uint8_t *block, uint64_t from,
                          uint64_t to)
{
    uint64_t mask = (UINT64_C(1) << c->q->block_bits) - 1;
    uint64_t page = UINT64_C(1) << QCOW2_COUNTS_PAGE_BITS;

    while (from < to) {
        if (!block && qcow2_counts_empty(&c->counts, from)) {
            from = (from | (page - 1)) + 1;
            continue;
        }
        compare_one(c, from,
                    block ? qcow2_refcount_get(block, c->q->header.refcount_order, from & mask)
                          : 0);
        from++;
    }
}

static int compare(struct qcow2_checking *c, img_error *err)
{
    const struct qcow2_table *table = &c->q->reftable;
    uint64_t size = UINT64_C(1) << c->q->block_bits;
    uint64_t at = 0, end;

    for (uint64_t i = 0; i < table->count && at < c->clusters; i++, at = end) {
        uint8_t *block = NULL;

        end = IMGI_MIN(at + size, c->clusters);
        if (qcow2_block_usable(c, table->entries[i])) {
            img_error unread;

            if (imgi_cache_get(c->q->refcount_cache, table->entries[i], &block, &unread) < 0) {
                qcow2_found(c, IMGI_FINDING_ERROR, "ERROR: %s", unread.message);
                continue;
            }
        }
        compare_block(c, block, at, end);
    }
    compare_block(c, NULL, at, c->clusters);
    return imgi_check_progress(c->checker, c->q->header.size, c->q->header.size, err);
}

static int run(struct qcow2_checking *c, struct qcow2_snapshots *snapshots, img_error *err)
{
    int rc = qcow2_count_bytes(c, 0, c->q->cluster_size, 1, err);

    if (rc == 0)
        rc = count_snapshots(c, snapshots, err);
    if (rc == 0)
        rc = qcow2_check_walk(c, snapshots, err);
    if (rc == 0)
        rc = count_crypto(c, err);
    if (rc == 0)
        rc = count_bitmaps(c, err);
    if (rc == 0)
        rc = count_refcounts(c, err);
    if (rc == 0)
        rc = compare(c, err);
    say_unsaid(c);
    return rc;
}

static int prepare(struct qcow2_checking *c, img_error *err)
{
    struct qcow2 *q = c->q;
    int rc = qcow2_flush(q->node, err);

    if (rc == 0)
        rc = qcow2_need_l1(q, err);
    if (rc == 0)
        rc = qcow2_need_reftable(q, err);
    if (rc == 0)
        rc = imgi_io_size(q->node->file, &c->file_size, err);
    c->clusters = qcow2_clusters(q, c->file_size);
    /* One more: the last sector of a compressed cluster may lie behind the end. */
    if (rc == 0)
        rc = qcow2_counts_new(&c->counts, c->clusters + 1, q->node->policy, err);
    if (rc == 0)
        rc = qcow2_counts_new(&c->tables, c->clusters + 1, q->node->policy, err);
    if (rc == 0) {
        c->table = malloc(q->cluster_size);
        if (!c->table)
            rc = imgi_fail_nomem(err, "an L2 table");
    }
    return rc;
}

int qcow2_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_checking c = {.q = q, .checker = checker};
    struct qcow2_snapshots snapshots = {0};
    int rc;

    if (checker->repair != IMGI_REPAIR_NONE)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "qcow2 images cannot be repaired yet");
    checker->result->total_clusters = qcow2_clusters(q, q->header.size);
    rc = prepare(&c, err);
    if (rc == 0)
        rc = run(&c, &snapshots, err);
    qcow2_snapshots_free(&snapshots);
    qcow2_counts_free(&c.counts);
    qcow2_counts_free(&c.tables);
    free(c.table);
    return rc;
}
