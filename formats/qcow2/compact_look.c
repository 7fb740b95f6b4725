/*
 * What clusters at the file's end hold. SPDX-License-Identifier: BSD-2-Clause
 *
 * The image has been checked: refcounts are the numbers of references. A table whose clusters have
 * the refcount that it accounts for is nothing else, and may be written to.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "compact.h"

/* ------------------------------------------------------------------------- entries */

static int each_in_buffer(struct qcow2_compacting *c, size_t bytes, size_t stride,
                          qcow2_compact_fn *fn, void *opaque, size_t changed[2], img_error *err)
{
    int rc = 0;

    changed[0] = changed[1] = 0;
    for (size_t at = 0; rc == 0 && at < bytes; at += stride) {
        uint64_t entry = imgi_get_be64(c->buffer + at), old = entry;

        if (entry == 0)
            continue;
        rc = fn(c, &entry, opaque, err);
        if (rc < 0 || entry == old)
            continue;
        imgi_put_be64(c->buffer + at, entry);
        if (changed[1] == 0)
            changed[0] = at;
        changed[1] = at + QCOW2_ENTRY_BYTES;
    }
    return rc;
}

int qcow2_compact_each(struct qcow2_compacting *c, struct imgi_table table, qcow2_compact_fn *fn,
                       void *opaque, img_error *err)
{
    uint64_t left = table.entries * table.entry_size, offset = table.offset;
    size_t changed[2];
    int rc = 0;

    while (rc == 0 && left > 0) {
        size_t step = (size_t)IMGI_MIN(left, (uint64_t)QCOW2_COMPACT_BUFFER);

        rc = imgi_io_read(c->q->node->file, c->buffer, step, offset, err);
        if (rc < 0)
            imgi_error_prefix(err, "%s", table.what);
        else
            rc = each_in_buffer(c, step, (size_t)table.entry_size, fn, opaque, changed, err);
        if (rc == 0 && changed[1] > 0)
            rc = imgi_io_write(c->q->node->file, c->buffer + changed[0], changed[1] - changed[0],
                               offset + changed[0], err);
        offset += step;
        left -= step;
    }
    return rc;
}

/* -------------------------------------------------------------------------- tables */

/* Nothing but `references` refers to the clusters. */
static int check_references(struct qcow2_compacting *c, uint64_t cluster, uint64_t count,
                            uint64_t references, img_error *err)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value;
        int rc = qcow2_refcount(c->q, cluster + i, &value, err);

        if (rc < 0)
            return rc;
        if (value != references)
            return imgi_fail(err, IMG_E_UNSUPPORTED,
                             "host cluster %" PRIu64
                             " holds a table and something else, which cannot be moved",
                             cluster + i);
    }
    return 0;
}

static int add_run(struct qcow2_compacting *c, uint64_t offset, uint64_t bytes, img_error *err)
{
    struct qcow2_compact_run run = {offset >> c->q->cluster_bits, qcow2_clusters(c->q, bytes)};

    if (run.count == 0)
        return 0;
    if (c->run_count == c->run_room) {
        size_t room = c->run_room ? 2 * c->run_room : 16;
        void *larger = realloc(c->runs, room * sizeof(*c->runs));

        if (!larger)
            return imgi_fail_nomem(err, "the list of tables");
        c->runs = larger;
        c->run_room = room;
    }
    c->runs[c->run_count++] = run;
    return check_references(c, run.cluster, run.count, 1, err);
}

static int add_l2(struct qcow2_compacting *c, uint64_t *entry, void *opaque, img_error *err)
{
    struct imgi_table table = {
        .what = "the list of L2 tables", .entry_size = sizeof(*c->l2), .file_size = UINT64_MAX};

    (void)opaque;
    if (c->l2_count == c->l2_room) {
        void *larger = NULL;
        int rc;

        table.entries = c->l2_room ? 2 * c->l2_room : 256;
        rc = imgi_policy_table(c->q->node->policy, &table, err);
        if (rc < 0)
            return rc;
        larger = realloc(c->l2, (size_t)table.entries * sizeof(*c->l2));
        if (!larger)
            return imgi_fail_nomem(err, table.what);
        c->l2 = larger;
        c->l2_room = (size_t)table.entries;
    }
    c->l2[c->l2_count++] = (struct qcow2_compact_l2){*entry & QCOW2_OFFSET_MASK, 1};
    return 0;
}

static int add_l1(struct qcow2_compacting *c, uint64_t offset, uint64_t entries, img_error *err)
{
    struct imgi_table table = {
        .what = "L1 table", .offset = offset, .entries = entries, .entry_size = QCOW2_ENTRY_BYTES};
    int rc = add_run(c, offset, entries * QCOW2_ENTRY_BYTES, err);

    return rc < 0 ? rc : qcow2_compact_each(c, table, add_l2, NULL, err);
}

static int compare_l2(const void *a, const void *b)
{
    const struct qcow2_compact_l2 *one = a, *other = b;

    return one->offset < other->offset ? -1 : one->offset > other->offset;
}

/* Each table once. */
static int merge_l2(struct qcow2_compacting *c, img_error *err)
{
    size_t kept = 0;
    int rc = 0;

    if (c->l2_count > 0)
        qsort(c->l2, c->l2_count, sizeof(*c->l2), compare_l2);
    for (size_t i = 0; i < c->l2_count; i++) {
        if (kept > 0 && c->l2[kept - 1].offset == c->l2[i].offset)
            c->l2[kept - 1].references++;
        else
            c->l2[kept++] = c->l2[i];
    }
    c->l2_count = kept;
    for (size_t i = 0; rc == 0 && i < kept; i++)
        rc =
            check_references(c, c->l2[i].offset >> c->q->cluster_bits, 1, c->l2[i].references, err);
    return rc;
}

static int find_snapshots(struct qcow2_compacting *c, img_error *err)
{
    uint64_t bytes;
    int rc = qcow2_snapshots_load(c->q, &c->snapshots, err);

    if (rc == 0)
        rc = qcow2_snapshots_size(&c->snapshots, &bytes, err);
    if (rc == 0 && bytes != c->snapshots.bytes)
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "the snapshot table is not as this version of the format has it (to repair "
                       "it: img check -r all)");
    if (rc == 0)
        rc = add_run(c, c->q->header.snapshots_offset, c->snapshots.bytes, err);
    for (size_t i = 0; rc == 0 && i < c->snapshots.count; i++) {
        const struct qcow2_snapshot *snapshot = &c->snapshots.list[i];

        rc = add_l1(c, snapshot->l1_offset, snapshot->l1_entries, err);
    }
    return rc;
}

static int find_bitmaps(struct qcow2_compacting *c, img_error *err)
{
    const struct qcow2_bitmap_list *list = &c->q->bitmaps;
    int rc = add_run(c, list->directory_offset, list->directory_bytes, err);

    for (size_t i = 0; rc == 0 && i < list->count; i++)
        rc = add_run(c, list->bitmaps[i].table_offset,
                     (uint64_t)list->bitmaps[i].table_entries * QCOW2_ENTRY_BYTES, err);
    return rc;
}

int qcow2_compact_find_tables(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    uint64_t reftable_bytes = (uint64_t)q->header.reftable_clusters << q->cluster_bits;
    int rc = imgi_io_size(q->node->file, &c->file_size, err);

    if (rc == 0)
        rc = add_run(c, q->header.reftable_offset, reftable_bytes, err);
    if (rc == 0)
        rc = add_l1(c, q->header.l1_offset, q->header.l1_entries, err);
    if (rc == 0 && q->header.snapshots > 0)
        rc = find_snapshots(c, err);
    if (rc == 0)
        rc = add_run(c, q->crypto_offset, q->crypto_bytes, err);
    if (rc == 0)
        rc = find_bitmaps(c, err);
    return rc < 0 ? rc : merge_l2(c, err);
}

void qcow2_compact_forget_tables(struct qcow2_compacting *c)
{
    qcow2_snapshots_free(&c->snapshots);
    free(c->l2);
    free(c->runs);
    c->snapshots = (struct qcow2_snapshots){0};
    c->l2 = NULL;
    c->runs = NULL;
    c->l2_count = c->l2_room = c->run_count = c->run_room = 0;
}

/* ---------------------------------------------------------------------- the window */

/* A cluster can be moved as what it is if it is one thing. */
static int note(struct qcow2_compacting *c, uint64_t cluster, enum qcow2_compact_kind kind,
                img_error *err)
{
    uint8_t *found;

    if (cluster < c->base || cluster >= c->end)
        return 0;
    found = &c->kinds[cluster - c->base];
    if (*found != QCOW2_COMPACT_NOTHING &&
        (*found != kind || (kind != QCOW2_COMPACT_DATA && kind != QCOW2_COMPACT_STREAM)))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "host cluster %" PRIu64 " holds two things, and cannot be moved", cluster);
    *found = (uint8_t)kind;
    return 0;
}

static int add_stream(struct qcow2_compacting *c, const struct qcow2_packed *packed,
                      uint64_t references, img_error *err)
{
    if (c->stream_count == c->stream_room) {
        struct imgi_table table = {.what = "the list of compressed clusters",
                                   .entry_size = sizeof(*c->streams),
                                   .entries = c->stream_room ? 2 * c->stream_room : 256,
                                   .file_size = UINT64_MAX};
        void *larger;
        int rc = imgi_policy_table(c->q->node->policy, &table, err);

        if (rc < 0)
            return rc;
        larger = realloc(c->streams, (size_t)table.entries * sizeof(*c->streams));
        if (!larger)
            return imgi_fail_nomem(err, table.what);
        c->streams = larger;
        c->stream_room = (size_t)table.entries;
    }
    c->streams[c->stream_count++] =
        (struct qcow2_compact_stream){packed->offset, packed->length, references, 0};
    return 0;
}

static int note_stream(struct qcow2_compacting *c, uint64_t entry, uint64_t references,
                       img_error *err)
{
    struct qcow2_packed packed;
    uint64_t first, last;
    int rc = 0;

    qcow2_packed_decode(c->q->cluster_bits, entry, &packed);
    first = packed.offset >> c->q->cluster_bits;
    last = (packed.offset + packed.length - 1) >> c->q->cluster_bits;
    for (uint64_t i = first; rc == 0 && i <= last; i++)
        rc = note(c, i, QCOW2_COMPACT_STREAM, err);
    if (rc == 0 && first >= c->base && first < c->end)
        rc = add_stream(c, &packed, references, err);
    return rc;
}

/* opaque: references to the L2 table */
static int note_l2_entry(struct qcow2_compacting *c, uint64_t *entry, void *opaque, img_error *err)
{
    const uint64_t *references = opaque;
    uint64_t host = *entry & QCOW2_OFFSET_MASK;

    if (*entry & QCOW2_COMPRESSED)
        return note_stream(c, *entry, *references, err);
    return host == 0 ? 0 : note(c, host >> c->q->cluster_bits, QCOW2_COMPACT_DATA, err);
}

static int note_bits(struct qcow2_compacting *c, uint64_t *entry, void *opaque, img_error *err)
{
    uint64_t host = *entry & QCOW2_OFFSET_MASK;

    (void)opaque;
    return host == 0 ? 0 : note(c, host >> c->q->cluster_bits, QCOW2_COMPACT_BITS, err);
}

static int compare_streams(const void *a, const void *b)
{
    const struct qcow2_compact_stream *one = a, *other = b;

    if (one->host != other->host)
        return one->host < other->host ? -1 : 1;
    return one->length < other->length ? -1 : one->length > other->length;
}

static void merge_streams(struct qcow2_compacting *c)
{
    size_t kept = 0;

    if (c->stream_count > 0)
        qsort(c->streams, c->stream_count, sizeof(*c->streams), compare_streams);
    for (size_t i = 0; i < c->stream_count; i++) {
        if (kept > 0 && compare_streams(&c->streams[kept - 1], &c->streams[i]) == 0)
            c->streams[kept - 1].references += c->streams[i].references;
        else
            c->streams[kept++] = c->streams[i];
    }
    c->stream_count = kept;
}

struct qcow2_compact_stream *qcow2_compact_stream(const struct qcow2_compacting *c,
                                                  const struct qcow2_packed *packed)
{
    struct qcow2_compact_stream key = {.host = packed->offset, .length = packed->length};

    if (c->stream_count == 0)
        return NULL;
    return bsearch(&key, c->streams, c->stream_count, sizeof(key), compare_streams);
}

/* What L2 tables and tables of bitmaps lead to. */
static int look_into_tables(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < c->l2_count && !q->data_file; i++) {
        struct imgi_table table = {.what = "L2 table",
                                   .offset = c->l2[i].offset,
                                   .entries = qcow2_l2_entries(q),
                                   .entry_size = q->l2_entry_bytes};

        rc = qcow2_compact_each(c, table, note_l2_entry, &c->l2[i].references, err);
    }
    for (size_t i = 0; rc == 0 && i < q->bitmaps.count; i++) {
        struct imgi_table table = {.what = "bitmap table",
                                   .offset = q->bitmaps.bitmaps[i].table_offset,
                                   .entries = q->bitmaps.bitmaps[i].table_entries,
                                   .entry_size = QCOW2_ENTRY_BYTES};

        rc = qcow2_compact_each(c, table, note_bits, NULL, err);
    }
    return rc;
}

int qcow2_compact_look(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    int rc = 0;

    c->stream_count = 0;
    for (size_t i = 0; rc == 0 && i < c->run_count; i++) {
        for (uint64_t k = 0; rc == 0 && k < c->runs[i].count; k++)
            rc = note(c, c->runs[i].cluster + k, QCOW2_COMPACT_RUN, err);
    }
    for (size_t i = 0; rc == 0 && i < c->l2_count; i++)
        rc = note(c, c->l2[i].offset >> q->cluster_bits, QCOW2_COMPACT_L2, err);
    for (uint64_t i = 0; rc == 0 && i < q->reftable.count; i++) {
        if (q->reftable.entries[i] != 0)
            rc = note(c, q->reftable.entries[i] >> q->cluster_bits, QCOW2_COMPACT_REFBLOCK, err);
    }
    if (rc == 0)
        rc = look_into_tables(c, err);
    if (rc == 0)
        merge_streams(c);
    return rc;
}
