/*
 * Are the COPIED flags right? SPDX-License-Identifier: BSD-2-Clause
 *
 * COPIED says that a cluster's refcount is exactly 1, so that it may be written where it lies. A
 * flag too many lets a write change a snapshot. Only the tables of the disk itself count; in those
 * of a snapshot the flag means nothing. The refcounts are right, and on disk, by the time flags
 * are changed.
 */
#include <inttypes.h>

#include "check.h"

struct flags {
    bool mend;       /* flags may be changed at all */
    bool mend_l1;    /* those in the L1 table */
    bool mend_l2;    /* those in the L2 table that is looked at */
    uint64_t offset; /* of the L2 table that is looked at */
    uint8_t *table;
    uint64_t first, end; /* entries of it that were changed; end 0: none */
};

static bool flag_right(uint64_t entry, uint64_t refcount)
{
    return (refcount == 1) == !!(entry & QCOW2_COPIED);
}

/*
 * Whether a repair may change the flag: it is not set where there are more references than the
 * refcount, of 1 bit, can say.
 */
static bool may_change(const struct qcow2_checking *c, uint64_t entry, uint64_t cluster)
{
    return entry & QCOW2_COPIED || qcow2_counts_get(&c->counts, cluster) <= 1;
}

static void check_data(struct qcow2_checking *c, struct flags *flags, uint64_t index,
                       struct qcow2_raw raw)
{
    uint64_t host = raw.cluster & QCOW2_OFFSET_MASK, refcount = 1;
    bool data_file = c->q->header.incompatible & QCOW2_INCOMPAT_DATA_FILE;

    if (host == 0 || raw.cluster & QCOW2_COMPRESSED)
        return;
    /* Nobody but this image uses its data file, which has no refcounts. */
    if (!data_file && !qcow2_stored_refcount(c, host >> c->q->cluster_bits, &refcount))
        return;
    if (flag_right(raw.cluster, refcount) ||
        !qcow2_found_mendable(
            c,
            flags->mend_l2 && (data_file || may_change(c, raw.cluster, host >> c->q->cluster_bits)),
            "OFLAG_COPIED data cluster: l2_entry=%" PRIx64 " refcount=%" PRIu64, raw.cluster,
            refcount))
        return;
    raw.cluster ^= QCOW2_COPIED;
    qcow2_raw_put(c->q, flags->table, index, raw);
    if (flags->end == 0)
        flags->first = index;
    flags->end = index + 1;
}

/* Entries from index on that say COPIED of clusters side by side, and are right in this. */
static uint64_t right_run(struct qcow2_checking *c, const struct flags *flags, uint64_t index)
{
    const struct qcow2 *q = c->q;
    const uint8_t *at = flags->table + index * q->l2_entry_bytes;
    uint64_t entries = qcow2_l2_entries(q) - index, run = 0;
    uint64_t first = imgi_get_be64(at) & ~QCOW2_ZERO, next = first;

    if (!(first & QCOW2_COPIED) || first & QCOW2_COMPRESSED ||
        q->header.incompatible & QCOW2_INCOMPAT_DATA_FILE)
        return 0;
    while (run < entries && (imgi_get_be64(at) & ~QCOW2_ZERO) == next) {
        at += q->l2_entry_bytes;
        next += q->cluster_size;
        run++;
    }
    return qcow2_stored_ones(c, (first & QCOW2_OFFSET_MASK) >> q->cluster_bits, run);
}

static int check_table(struct qcow2_checking *c, struct flags *flags, img_error *err)
{
    uint64_t entries = qcow2_l2_entries(c->q), bytes = c->q->l2_entry_bytes;
    int rc;

    flags->first = flags->end = 0;
    for (uint64_t i = 0, run = 0;; i += run) {
        i = qcow2_check_skip_empty(c->q, flags->table, i);
        if (i == entries)
            break;
        run = right_run(c, flags, i);
        if (run > 0)
            continue;
        run = 1;
        check_data(c, flags, i, qcow2_raw_get(c->q, flags->table, i));
    }
    if (flags->end == 0)
        return 0;
    imgi_cache_forget(c->q->l2_cache, flags->offset);
    rc = qcow2_clear_promises(c->q, err);
    if (rc < 0)
        return rc;
    return imgi_io_write(c->q->node->file, flags->table + flags->first * bytes,
                         (size_t)((flags->end - flags->first) * bytes),
                         flags->offset + flags->first * bytes, err);
}

static void check_l1_entry(struct qcow2_checking *c, struct flags *flags, uint64_t index,
                           uint64_t offset)
{
    uint64_t entry = c->q->l1.entries[index], refcount;

    if (!qcow2_stored_refcount(c, offset >> c->q->cluster_bits, &refcount) ||
        flag_right(entry, refcount))
        return;
    if (qcow2_found_mendable(
            c, flags->mend_l1 && may_change(c, entry, offset >> c->q->cluster_bits),
            "OFLAG_COPIED L2 cluster: l1_index=%" PRIu64 " l1_entry=%" PRIx64 " refcount=%" PRIu64,
            index, entry, refcount))
        qcow2_table_set(&c->q->l1, index, entry ^ QCOW2_COPIED);
}

static bool may_mend(const struct qcow2_checking *c)
{
    const img_check_result *result = c->checker->result;

    if (c->incomplete || c->repair == IMGI_REPAIR_NONE)
        return false;
    /* With leaks alone to be mended this is for images that have nothing else. */
    return c->repair == IMGI_REPAIR_ALL || (result->corruptions == 0 && result->check_errors == 0);
}

/* The L1 table is nothing else. */
static bool l1_alone(const struct qcow2_checking *c)
{
    const struct qcow2_header *header = &c->q->header;
    uint64_t count = qcow2_clusters(c->q, (uint64_t)header->l1_entries * QCOW2_ENTRY_BYTES);

    for (uint64_t i = 0; i < count; i++) {
        if (qcow2_counts_get(&c->counts, (header->l1_offset >> c->q->cluster_bits) + i) != 1)
            return false;
    }
    return true;
}

int qcow2_check_copied(struct qcow2_checking *c, img_error *err)
{
    const struct qcow2_table *l1 = &c->q->l1;
    struct flags flags = {.mend = may_mend(c)};
    int rc = 0;

    flags.mend_l1 = flags.mend && l1_alone(c);
    c->window_bytes = 0;
    for (uint64_t i = 0; rc == 0 && i < l1->count; i++) {
        uint64_t cluster;

        rc = qcow2_check_step(c, err);
        if (rc < 0)
            break;
        flags.offset = qcow2_check_l2_of(c, l1->entries[i], false);
        if (flags.offset == 0)
            continue;
        check_l1_entry(c, &flags, i, flags.offset);
        cluster = flags.offset >> c->q->cluster_bits;
        /* Each table once, however many entries lead to it. */
        if (qcow2_counts_get(&c->walked, cluster) == 0)
            continue;
        qcow2_counts_clear(&c->walked, cluster);
        flags.mend_l2 = flags.mend && qcow2_check_is_table(c, cluster);
        flags.table = qcow2_check_l2_read(c, l1, i);
        if (flags.table)
            rc = check_table(c, &flags, err);
    }
    if (rc == 0 && c->q->l1.any_dirty)
        rc = qcow2_clear_promises(c->q, err);
    if (rc == 0 && c->q->l1.any_dirty)
        rc = qcow2_table_write(&c->q->l1, c->q->node->file, err);
    if (rc == 0 && flags.mend)
        rc = imgi_io_flush(c->q->node->file, err);
    return rc;
}
