/*
 * Where clusters at the file's end go. SPDX-License-Identifier: BSD-2-Clause
 *
 * The last cluster in use goes to the first one that is free, and so on until the two meet. Single
 * clusters then change their new places among each other, so that they keep their order. Tables of
 * several clusters take the first run that is long enough; when there is none, nothing below them
 * needs to move either, because the file cannot become shorter.
 *
 * Compressed clusters are packed densely: those that begin in one host cluster go behind those of
 * the one that went before, as long as the space there goes on.
 */
#include <stdlib.h>

#include "compact.h"

/* A batch ends when so many bytes are to move, or as many as tables have, eight times over. */
#define BATCH_BYTES (UINT64_C(1) << 30)
#define TABLES_FACTOR 8u

struct plan {
    struct qcow2_compacting *c;
    uint64_t first_free;              /* every cluster below is in use, or taken */
    uint64_t run_length;              /* no run of so many clusters begins */
    uint64_t run_free;                /* below this one */
    uint64_t streams_at, streams_end; /* the space that compressed clusters are being put into */
    uint64_t limit;                   /* of bytes */
    uint64_t *single;                 /* by number: a cluster that moves by itself */
    size_t singles;
    bool full;
};

/* Nobody has the cluster, and something counts it. *skip: clusters of which that is known. */
static int is_free(const struct plan *plan, uint64_t cluster, bool *is, uint64_t *skip,
                   img_error *err)
{
    struct qcow2 *q = plan->c->q;
    uint64_t index = cluster >> q->block_bits, value;
    int rc;

    *is = false;
    *skip = 1;
    if (index >= q->reftable.count || q->reftable.entries[index] == 0) {
        *skip = ((index + 1) << q->block_bits) - cluster;
        return 0;
    }
    rc = qcow2_refcount(q, cluster, &value, err);
    *is = value == 0 && qcow2_counts_get(&plan->c->gained, cluster) == 0;
    return rc;
}

/* The first run of so many free clusters below `limit`, at *cluster; *found says if there is one.
 */
static int find_run(struct plan *plan, uint64_t count, uint64_t limit, uint64_t *cluster,
                    bool *found, img_error *err)
{
    uint64_t at =
        count >= plan->run_length ? IMGI_MAX(plan->run_free, plan->first_free) : plan->first_free;
    uint64_t run = 0, skip;
    bool is;
    int rc = 0;

    while (rc == 0 && run < count && at < limit) {
        rc = is_free(plan, at, &is, &skip, err);
        if (plan->first_free == at && !is)
            plan->first_free = at + skip;
        run = is ? run + 1 : 0;
        at += skip;
    }
    *found = rc == 0 && run == count && at <= limit;
    *cluster = at - run;
    if (count > 1) {
        plan->run_length = count;
        plan->run_free = *cluster;
    }
    return rc;
}

static int take(struct plan *plan, uint64_t from, uint64_t to, img_error *err)
{
    struct qcow2_compacting *c = plan->c;
    uint64_t references;
    int rc = qcow2_refcount(c->q, from, &references, err);

    /* More than counts can hold: not an image that somebody uses. */
    if (rc == 0 && references >= UINT32_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "a cluster has more than 2^32 references");
    c->to[from - c->base] = to;
    c->bytes += c->q->cluster_size;
    if (rc == 0)
        rc = qcow2_counts_add(&c->gained, to, 1, references, err);
    if (rc == 0)
        rc = qcow2_counts_add(&c->lost, from, 1, references, err);
    return rc;
}

static int place_single(struct plan *plan, uint64_t cluster, img_error *err)
{
    uint64_t to;
    bool found;
    int rc = find_run(plan, 1, cluster, &to, &found, err);

    if (rc < 0 || !found) {
        plan->full = true;
        return rc;
    }
    plan->single[plan->singles++] = cluster;
    return take(plan, cluster, to, err);
}

/* The table that ends with the cluster; *cluster becomes its first. */
static int place_run(struct plan *plan, uint64_t *cluster, img_error *err)
{
    const struct qcow2_compacting *c = plan->c;
    const struct qcow2_compact_run *run = c->runs;
    uint64_t to;
    bool found;
    int rc;

    while (run->cluster + run->count - 1 != *cluster)
        run++;
    if (run->count == 1)
        return place_single(plan, *cluster, err);
    *cluster = run->cluster;
    rc = find_run(plan, run->count, run->cluster, &to, &found, err);
    plan->full = !found;
    for (uint64_t i = 0; rc == 0 && found && i < run->count; i++)
        rc = take(plan, run->cluster + i, to + i, err);
    return rc;
}

/* ----------------------------------------------------------------- compressed clusters */

/* The clusters that length bytes at `at` touch can have so many references more. */
static bool can_gain(const struct plan *plan, uint64_t at,
                     const struct qcow2_compact_stream *stream)
{
    unsigned bits = plan->c->q->cluster_bits;
    uint64_t max = IMGI_MIN(plan->c->q->refcount_max, (uint64_t)UINT32_MAX - 1);

    if (stream->references > max)
        return false;
    for (uint64_t i = at >> bits; i <= (at + stream->length - 1) >> bits; i++) {
        if (qcow2_counts_get(&plan->c->gained, i) > max - stream->references)
            return false;
    }
    return true;
}

/* Make the space for compressed clusters reach `end`, with free clusters behind it. */
static int extend(struct plan *plan, uint64_t end, uint64_t limit, bool *done, img_error *err)
{
    unsigned bits = plan->c->q->cluster_bits;
    uint64_t skip;
    bool is = true;
    int rc = 0;

    while (rc == 0 && is && plan->streams_end < end) {
        uint64_t next = plan->streams_end >> bits;

        is = next < limit;
        if (is)
            rc = is_free(plan, next, &is, &skip, err);
        if (rc == 0 && is)
            plan->streams_end += plan->c->q->cluster_size;
    }
    *done = rc == 0 && plan->streams_end >= end;
    return rc;
}

/*
 * A place for the stream: at *at, if that can be had, or in a new run. It keeps its place in a
 * sector, so that it reaches as far as it did.
 */
static int find_place(struct plan *plan, const struct qcow2_compact_stream *stream, uint64_t limit,
                      uint64_t *at, img_error *err)
{
    struct qcow2 *q = plan->c->q;
    uint64_t within = stream->host % QCOW2_SECTOR, cluster;
    bool found = false;
    int rc = 0;

    if (plan->streams_end > 0)
        rc = extend(plan, *at + stream->length, limit, &found, err);
    if (rc < 0 || (found && can_gain(plan, *at, stream)))
        return rc;
    rc = find_run(plan, qcow2_clusters(q, within + stream->length), limit, &cluster, &found, err);
    *at = (cluster << q->cluster_bits) + within;
    plan->streams_end =
        (cluster << q->cluster_bits) + imgi_align_up(within + stream->length, q->cluster_size);
    plan->streams_at = 0;
    plan->full = !found || !can_gain(plan, *at, stream);
    return rc;
}

/* References move from the clusters of the old place to those of the new one. */
static int move_references(struct qcow2_compacting *c, const struct qcow2_compact_stream *stream,
                           img_error *err)
{
    unsigned bits = c->q->cluster_bits;
    uint64_t from = stream->host >> bits, to = stream->to >> bits;
    uint64_t last_from = (stream->host + stream->length - 1) >> bits;
    uint64_t last_to = (stream->to + stream->length - 1) >> bits;
    int rc = qcow2_counts_add(&c->lost, from, last_from - from + 1, stream->references, err);

    if (rc == 0)
        rc = qcow2_counts_add(&c->gained, to, last_to - to + 1, stream->references, err);
    return rc;
}

/* Where the stream would like to be: as far behind the one before it as now, if they overlap. */
static uint64_t wanted_place(const struct plan *plan, const struct qcow2_compact_stream *before,
                             const struct qcow2_compact_stream *stream)
{
    if (before && stream->host < before->host + before->length)
        return before->to + (stream->host - before->host);
    return imgi_align_up(plan->streams_at, QCOW2_SECTOR) + stream->host % QCOW2_SECTOR;
}

/* All streams that begin in the cluster; the first of those is streams[first]. */
static int place_streams(struct plan *plan, uint64_t cluster, size_t first, img_error *err)
{
    struct qcow2_compacting *c = plan->c;
    const struct qcow2_compact_stream *before = NULL;
    int rc = 0;

    for (size_t i = first; rc == 0 && i < c->stream_count; i++) {
        struct qcow2_compact_stream *stream = &c->streams[i];
        uint64_t at = wanted_place(plan, before, stream);

        if (stream->host >> c->q->cluster_bits != cluster)
            break;
        rc = find_place(plan, stream, cluster, &at, err);
        if (rc < 0 || plan->full)
            return rc;
        stream->to = at;
        plan->streams_at = IMGI_MAX(plan->streams_at, at + stream->length);
        c->bytes += stream->length;
        rc = move_references(c, stream, err);
        before = stream;
    }
    return rc;
}

/* -------------------------------------------------------------------------- the window */

/* Single clusters change places so that their order is kept. They all have refcounts to give. */
static int sort_singles(struct plan *plan, img_error *err)
{
    struct qcow2_compacting *c = plan->c;
    int rc = 0;

    for (size_t i = 0, k = plan->singles; i + 1 < k; i++) {
        uint64_t *one, *other, references[2], swap;

        k--;
        one = &c->to[plan->single[i] - c->base];
        other = &c->to[plan->single[k] - c->base];
        references[0] = qcow2_counts_get(&c->gained, *one);
        references[1] = qcow2_counts_get(&c->gained, *other);
        swap = *one;
        *one = *other;
        *other = swap;
        if (references[0] == references[1])
            continue;
        qcow2_counts_clear(&c->gained, *one);
        qcow2_counts_clear(&c->gained, *other);
        rc = qcow2_counts_add(&c->gained, *one, 1, references[0], err);
        if (rc == 0)
            rc = qcow2_counts_add(&c->gained, *other, 1, references[1], err);
        if (rc < 0)
            break;
    }
    return rc;
}

static int place(struct plan *plan, uint64_t *cluster, size_t *stream, img_error *err)
{
    struct qcow2_compacting *c = plan->c;
    uint64_t at = *cluster, value;
    int rc;

    while (*stream > 0 && c->streams[*stream - 1].host >> c->q->cluster_bits >= at)
        --*stream;
    switch (c->kinds[at - c->base]) {
    case QCOW2_COMPACT_NOTHING:
        rc = qcow2_refcount(c->q, at, &value, err);
        plan->full = value != 0;
        return rc;
    case QCOW2_COMPACT_STREAM:
        return place_streams(plan, at, *stream, err);
    case QCOW2_COMPACT_RUN:
        return place_run(plan, cluster, err);
    default:
        return place_single(plan, at, err);
    }
}

int qcow2_compact_plan(struct qcow2_compacting *c, img_error *err)
{
    uint64_t tables = (uint64_t)c->l2_count << c->q->cluster_bits;
    struct plan plan = {
        .c = c, .run_length = UINT64_MAX, .limit = IMGI_MAX(BATCH_BYTES, TABLES_FACTOR * tables)};
    size_t stream = c->stream_count;
    int rc = 0;

    plan.single = malloc((size_t)(c->end - c->base) * sizeof(*plan.single));
    if (!plan.single)
        return imgi_fail_nomem(err, "the clusters that move");
    for (uint64_t at = c->end; rc == 0 && at > c->base && !plan.full && c->bytes < plan.limit;) {
        at--;
        rc = place(&plan, &at, &stream, err);
    }
    if (rc == 0)
        rc = sort_singles(&plan, err);
    free(plan.single);
    return rc;
}
