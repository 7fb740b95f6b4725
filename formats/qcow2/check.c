/*
 * The check: is every cluster counted as often as it is used?
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * References are counted in memory from all metadata, then compared with the refcounts in the
 * image. A refcount that is too high wastes space (a leak); one that is too low, or a COPIED
 * flag that is wrong, will cost data at some later write (a corruption). The texts are those of
 * qemu-img.
 *
 * A repair goes in this order, each step on disk before the next: entries that lead nowhere,
 * refcounts, COPIED flags; then all is checked again, and what that finds is what remains. The
 * bits that call the image dirty or corrupt fall last, and only if nothing remains. What could
 * not be read for an I/O error is not guessed at: nothing is changed then.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

/* Findings of one kind that are told one by one; a broken image may have millions. */
#define SAID_MAX 1000

static void count_unsaid(struct qcow2_checking *c, enum imgi_finding kind)
{
    img_check_result *result = c->checker->result;

    c->unsaid[kind]++;
    if (kind == IMGI_FINDING_CORRUPTION)
        result->corruptions++;
    else if (kind == IMGI_FINDING_LEAK)
        result->leaks++;
    else if (kind == IMGI_FINDING_ERROR)
        result->check_errors++;
}

static void found(struct qcow2_checking *c, enum imgi_finding kind, const char *prefix,
                  const char *format, va_list args)
{
    char text[512];

    if (c->said[kind] == SAID_MAX) {
        count_unsaid(c, kind);
        return;
    }
    c->said[kind]++;
    vsnprintf(text, sizeof(text), format, args);
    /* Names of snapshots come from strangers and go to terminals. */
    for (char *byte = text; *byte; byte++) {
        if ((unsigned char)*byte < ' ' || *byte == 0x7f)
            *byte = '?';
    }
    imgi_found(c->checker, kind, "%s%s", prefix, text);
}

void qcow2_found(struct qcow2_checking *c, enum imgi_finding kind, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    found(c, kind, "", format, args);
    va_end(args);
}

bool qcow2_found_mendable(struct qcow2_checking *c, bool mend, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    found(c, mend ? IMGI_FINDING_REPAIRED : IMGI_FINDING_CORRUPTION, mend ? "Repairing " : "ERROR ",
          format, args);
    va_end(args);
    if (mend) {
        c->mended = true;
        c->checker->result->corruptions_fixed++;
    }
    return mend;
}

static void say_unsaid(struct qcow2_checking *c)
{
    static const char *const names[] = {[IMGI_FINDING_CORRUPTION] = "errors",
                                        [IMGI_FINDING_LEAK] = "leaked clusters",
                                        [IMGI_FINDING_ERROR] = "internal errors",
                                        [IMGI_FINDING_REPAIRED] = "repairs"};

    for (size_t i = 0; i < IMGI_COUNT(names); i++) {
        if (c->unsaid[i] > 0)
            imgi_found(c->checker, IMGI_FINDING_REPAIRED, "... and %" PRIu64 " more %s",
                       c->unsaid[i], names[i]);
    }
}

/* Steps between two looks at whether to go on. */
#define STEPS (1u << 14)

int qcow2_check_step(struct qcow2_checking *c, img_error *err)
{
    return ++c->steps % STEPS == 0 ? imgi_check_progress(c->checker, 0, c->q->header.size, err) : 0;
}

/* ------------------------------------------------------------------------ one pass */

/* The refcount table, or what the file has of it. */
static int load_reftable(struct qcow2_checking *c, img_error *err)
{
    struct qcow2 *q = c->q;
    uint64_t count = qcow2_reftable_bytes(c) / QCOW2_ENTRY_BYTES;

    if (q->reftable.entries)
        return 0;
    if (count == 0)
        return qcow2_table_new(&q->reftable, 0, 0, err);
    return qcow2_table_load(&q->reftable, "Reference count table", q->node,
                            q->header.reftable_offset, count, err);
}

static int prepare(struct qcow2_checking *c, img_error *err)
{
    const struct img_policy *policy = c->q->node->policy;
    int rc = imgi_io_size(c->q->node->file, &c->file_size, err);

    c->clusters = qcow2_clusters(c->q, c->file_size);
    if (rc == 0)
        rc = qcow2_need_l1(c->q, err);
    if (rc == 0)
        rc = load_reftable(c, err);
    /* One more: the last sector of a compressed cluster may lie behind the end. */
    if (rc == 0)
        rc = qcow2_counts_new(&c->counts, c->clusters + 1, policy, err);
    if (rc == 0)
        rc = qcow2_counts_new(&c->tables, c->clusters + 1, policy, err);
    if (rc == 0)
        rc = qcow2_counts_new(&c->walked, c->clusters + 1, policy, err);
    if (rc == 0)
        rc = qcow2_counts_new(&c->unsettled, c->clusters + 1, policy, err);
    if (rc == 0) {
        c->window = malloc(QCOW2_CHECK_WINDOW);
        if (!c->window)
            rc = imgi_fail_nomem(err, "L2 tables");
    }
    return rc;
}

static void finish(struct qcow2_checking *c)
{
    say_unsaid(c);
    qcow2_snapshots_free(&c->snapshots);
    free(c->l1_uses);
    qcow2_counts_free(&c->counts);
    qcow2_counts_free(&c->tables);
    qcow2_counts_free(&c->walked);
    qcow2_counts_free(&c->unsettled);
    free(c->window);
}

/* Make new refcount structures: with them the faults of the old ones are gone. */
static int mend_anew(struct qcow2_checking *c, img_error *err)
{
    img_check_result *result = c->checker->result;
    int rc;

    if (c->repair != IMGI_REPAIR_ALL) {
        imgi_found(c->checker, IMGI_FINDING_REPAIRED, "ERROR need to rebuild refcount structures");
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the refcount structures are damaged, which only -r all repairs");
    }
    imgi_found(c->checker, IMGI_FINDING_REPAIRED, "Rebuilding refcount structure");
    c->mended = true;
    rc = qcow2_check_rebuild(c, err);
    if (rc < 0)
        return rc;
    result->corruptions -= c->refcount_faults;
    result->corruptions_fixed += c->refcount_faults;
    result->leaks_fixed += result->leaks;
    result->leaks = 0;
    result->check_errors = 0;
    return qcow2_check_mend(c, true, err);
}

static int mend(struct qcow2_checking *c, img_error *err)
{
    const img_check_result *result = c->checker->result;
    int rc;

    if (c->repair == IMGI_REPAIR_NONE || c->incomplete)
        return 0;
    if (!c->rebuild && result->leaks == 0 && c->refcount_faults == 0)
        return 0;
    rc = qcow2_clear_promises(c->q, err);
    if (rc < 0)
        return rc;
    return c->rebuild ? mend_anew(c, err) : qcow2_check_mend(c, false, err);
}

static int pass(struct qcow2_checking *c, img_error *err)
{
    int rc = prepare(c, err);

    if (rc == 0)
        rc = qcow2_check_count(c, err);
    /* What no longer refers to anything, before the refcounts that fall for it. */
    if (rc == 0 && c->mended)
        rc = imgi_io_flush(c->q->node->file, err);
    if (rc == 0)
        rc = qcow2_check_compare(c, err);
    if (rc == 0)
        rc = mend(c, err);
    if (rc == 0)
        rc = qcow2_check_copied(c, err);
    if (rc == 0)
        rc = qcow2_check_mend_snapshots(c, err);
    finish(c);
    return rc;
}

/* ------------------------------------------------------------------- check and repair */

/* What the second pass counts anew; what was mended stays said. */
static void begin_again(img_check_result *result)
{
    *result = (img_check_result){.total_clusters = result->total_clusters,
                                 .corruptions_fixed = result->corruptions_fixed,
                                 .leaks_fixed = result->leaks_fixed};
}

/* Nothing is wrong any more: say so in the header. */
static int clear_bits(struct qcow2 *q, img_error *err)
{
    uint64_t bits =
        q->header.incompatible & ~(uint64_t)(QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT);
    uint8_t bytes[8];
    int rc;

    if (bits == q->header.incompatible)
        return 0;
    imgi_put_be64(bytes, bits);
    rc = qcow2_clear_promises(q, err);
    if (rc == 0)
        rc = qcow2_header_update(q, QCOW2_AT_INCOMPATIBLE, bytes, sizeof(bytes), err);
    if (rc == 0)
        q->header.incompatible = bits;
    return rc;
}

/*
 * Somebody has the image open and may go on writing to it: what holds metadata is learnt anew,
 * however far the repair came. Where that is not known nothing more is written.
 */
static int go_on(struct qcow2 *q, int rc, img_error *err)
{
    int owned = qcow2_own_again(q, rc == 0 ? err : NULL);

    if (owned < 0)
        q->broken = true;
    return rc < 0 ? rc : owned;
}

int qcow2_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct qcow2_checking c = {.q = qcow2_of(node), .checker = checker, .repair = checker->repair};
    img_check_result *result = checker->result;
    bool in_use = c.q->owned.count > 0;
    int rc = qcow2_flush(node, err);

    /* Refcounts that are to be written late, too: what is on disk is mended. */
    if (rc == 0 && node->writable)
        rc = qcow2_refcounts_out(c.q, err);
    result->total_clusters = qcow2_clusters(c.q, c.q->header.size);
    if (rc == 0)
        rc = pass(&c, err);
    if (rc == 0 && c.mended) {
        c = (struct qcow2_checking){.q = c.q, .checker = checker};
        begin_again(result);
        rc = pass(&c, err);
    }
    if (rc == 0 && checker->repair != IMGI_REPAIR_NONE && result->corruptions == 0 &&
        result->check_errors == 0)
        rc = clear_bits(c.q, err);
    return in_use && checker->repair != IMGI_REPAIR_NONE ? go_on(c.q, rc, err) : rc;
}

int qcow2_repair_dirty(struct imgi_node *node, img_error *err)
{
    img_check_result result = {0};
    struct imgi_checker checker = {.repair = IMGI_REPAIR_ALL, .result = &result};
    int rc = qcow2_check(node, &checker, err);

    if (rc < 0)
        imgi_error_prefix(err, "the image was not closed properly, and its repair failed");
    else if (result.corruptions > 0 || result.check_errors > 0)
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "the image was not closed properly, and %" PRIu64
                       " errors in it cannot be repaired",
                       result.corruptions + result.check_errors);
    return rc;
}
