/*
 * Compacting: what lies at the file's end moves into its holes.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Where each batch begins and what it does is told in compact.h. Before the first one the image is
 * checked, and what a machine that stopped has lost is found again; the moves rely on refcounts
 * that are the numbers of references.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "compact.h"

/* Clusters of a window: their number bounds the memory for them. */
#define WINDOW (UINT64_C(1) << 17)

/* ---------------------------------------------------------------- clusters in use */

/* How many of the clusters that one block counts are in use, from `from` on. */
static int count_block(struct qcow2 *q, uint64_t index, uint64_t from, uint64_t *used,
                       img_error *err)
{
    uint64_t first = index << q->block_bits, value;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < UINT64_C(1) << q->block_bits; i++) {
        rc = first + i >= from ? qcow2_refcount(q, first + i, &value, err) : 0;
        *used += first + i >= from && value != 0;
    }
    return rc;
}

/* The clusters in use from `from` on. */
static int count_used(struct qcow2 *q, uint64_t from, uint64_t *used, img_error *err)
{
    int rc = 0;

    *used = 0;
    for (uint64_t i = from >> q->block_bits; rc == 0 && i < q->reftable.count; i++) {
        if (q->reftable.entries[i] != 0)
            rc = count_block(q, i, from, used, err);
    }
    return rc;
}

/* Behind the last cluster in use. */
static int find_end(struct qcow2 *q, uint64_t *end, img_error *err)
{
    uint64_t at = q->reftable.count << q->block_bits, value = 0;
    int rc = 0;

    while (rc == 0 && at > 0) {
        if (q->reftable.entries[(at - 1) >> q->block_bits] == 0) {
            at = imgi_align_down(at - 1, UINT64_C(1) << q->block_bits);
            continue;
        }
        rc = qcow2_refcount(q, at - 1, &value, err);
        if (rc == 0 && value != 0)
            break;
        at--;
    }
    *end = at;
    return rc;
}

/* Every cluster below that one can be given a refcount. */
static int make_blocks(struct qcow2 *q, uint64_t clusters, img_error *err)
{
    bool made;
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < clusters; at += UINT64_C(1) << q->block_bits)
        rc = qcow2_need_block(q, at, 1, &made, err);
    return rc < 0 ? rc : qcow2_settle(q, err);
}

/* ------------------------------------------------------------------------- a batch */

/* The window ends with the last cluster in use, and begins with no part of a table. */
static int begin_window(struct qcow2_compacting *c, img_error *err)
{
    uint64_t count;
    int rc = 0;

    c->base = c->end > WINDOW + 1 ? c->end - WINDOW : 1;
    for (size_t i = 0; i < c->run_count; i++) {
        if (c->runs[i].cluster < c->base && c->base < c->runs[i].cluster + c->runs[i].count)
            c->base = c->runs[i].cluster;
    }
    count = c->end - c->base;
    c->bytes = 0;
    c->kinds = calloc((size_t)count, 1);
    c->to = calloc((size_t)count, sizeof(*c->to));
    if (!c->kinds || !c->to)
        rc = imgi_fail_nomem(err, "the clusters that move");
    /* One more: what a compressed cluster ends with may lie behind the last one. */
    if (rc == 0)
        rc = qcow2_counts_new(&c->gained, c->end + 1, c->q->node->policy, err);
    if (rc == 0)
        rc = qcow2_counts_new(&c->lost, c->end + 1, c->q->node->policy, err);
    return rc;
}

static void end_window(struct qcow2_compacting *c)
{
    free(c->kinds);
    free(c->to);
    c->kinds = NULL;
    c->to = NULL;
    qcow2_counts_free(&c->gained);
    qcow2_counts_free(&c->lost);
}

static int move_window(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    int rc = qcow2_compact_look(c, err);

    if (rc == 0)
        rc = qcow2_compact_plan(c, err);
    if (rc < 0 || c->bytes == 0)
        return rc;
    rc = qcow2_compact_copy(c, err);
    if (rc < 0)
        return rc;
    rc = qcow2_compact_switch(c, err);
    /* Memory may say one thing and the disk another: nothing more is written. */
    if (rc < 0)
        q->broken = true;
    return rc < 0 ? rc : qcow2_trim(q, err);
}

static int run_batch(struct qcow2_compacting *c, img_error *err)
{
    int rc = qcow2_compact_find_tables(c, err);

    if (rc == 0)
        rc = begin_window(c, err);
    if (rc == 0)
        rc = move_window(c, err);
    end_window(c);
    qcow2_compact_forget_tables(c);
    return rc;
}

/* ---------------------------------------------------------------------- all of them */

static int check_first(struct qcow2 *q, img_error *err)
{
    img_check_result result = {0};
    struct imgi_checker checker = {.repair = IMGI_REPAIR_LEAKS, .result = &result};
    int rc = qcow2_check(q->node, &checker, err);

    if (rc == 0 && result.check_errors > 0)
        rc = imgi_fail(err, IMG_E_IO,
                       "a check of the image cannot read %" PRIu64 " parts of it: nothing is moved",
                       result.check_errors);
    else if (rc == 0 && result.corruptions > 0)
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "a check of the image finds %" PRIu64
                       " errors: nothing is moved (to repair it: img check -r all)",
                       result.corruptions);
    return rc;
}

/* The image is as small as it should be: how much of it is elsewhere. */
static int prepare(struct qcow2_compacting *c, img_error *err)
{
    struct qcow2 *q = c->q;
    uint64_t used, above;
    int rc = check_first(q, err);

    if (rc == 0)
        rc = count_used(q, 0, &used, err);
    if (rc == 0)
        rc = make_blocks(q, used, err);
    if (rc == 0)
        rc = qcow2_trim(q, err);
    if (rc == 0)
        rc = count_used(q, used, &above, err);
    if (rc == 0)
        rc = find_end(q, &c->end, err);
    return rc < 0 ? rc : imgi_compact_begin(c->compacter, above << q->cluster_bits, err);
}

static int run(struct qcow2_compacting *c, img_error *err)
{
    uint64_t before;
    int rc = prepare(c, err);

    do {
        before = c->end;
        if (rc == 0)
            rc = run_batch(c, err);
        if (rc == 0)
            rc = find_end(c->q, &c->end, err);
    } while (rc == 0 && c->end < before);
    return rc;
}

int qcow2_compact(struct imgi_node *node, struct imgi_compacter *compacter, img_error *err)
{
    struct qcow2_compacting c = {.q = qcow2_of(node), .compacter = compacter};
    int rc = qcow2_writable(c.q, err);

    if (rc == 0)
        rc = qcow2_refcounts_settle(c.q, err);
    /* Bits that nobody had to see on disk yet. */
    if (rc == 0)
        rc = imgi_cache_write(c.q->bitmap_cache, err);
    if (rc == 0) {
        c.buffer = malloc(QCOW2_COMPACT_BUFFER);
        rc = c.buffer ? run(&c, err) : imgi_fail_nomem(err, "clusters that move");
    }
    free(c.buffer);
    free(c.streams);
    return rc;
}
