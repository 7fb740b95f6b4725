/*
 * Zeros without data, and data that is no longer needed. SPDX-License-Identifier: BSD-2-Clause
 *
 * Version 3 says "reads as zeros" with a flag in the L2 entry, which hides the backing image and
 * may keep the cluster's space. Version 2 has no flag: only where there is no backing image does
 * an entry of 0 read as zeros.
 */
#include "qcow2.h"

/* What is to become of each cluster of a range. subclusters: those that the range covers. */
struct change {
    int (*entry)(const struct qcow2 *q, const struct change *change, uint32_t subclusters,
                 struct qcow2_entry *entry, img_error *err);
    bool unmap;   /* zero: give up the space */
    bool discard; /* return what is freed to the host */
};

/* One that the user named counts too. */
static bool has_backing(const struct qcow2 *q)
{
    return q->header.backing_name || q->node->backing_name;
}

/*
 * Whether a cluster that the guest has done with keeps its place all the same, so that the file
 * does not become a patchwork. A place that others use too is not ours to keep.
 */
static bool keeps_place(const struct qcow2 *q, const struct qcow2_entry *entry)
{
    return q->discard_no_unref && entry->copied;
}

static int zero_entry(const struct qcow2 *q, const struct change *change, uint32_t subclusters,
                      struct qcow2_entry *entry, img_error *err)
{
    bool whole = subclusters == qcow2_subcluster_mask(q);

    if (entry->packed && !whole)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "a compressed cluster has no subclusters");
    if (whole && ((change->unmap && !keeps_place(q, entry)) || !entry->space))
        *entry = (struct qcow2_entry){0};
    entry->data &= ~subclusters;
    entry->zeros |= subclusters;
    return 0;
}

/* Always of whole clusters. */
static int discard_entry(const struct qcow2 *q, const struct change *change, uint32_t subclusters,
                         struct qcow2_entry *entry, img_error *err)
{
    bool absent = !entry->packed && !entry->space && !entry->zeros;

    (void)change;
    (void)err;
    if (keeps_place(q, entry)) {
        entry->data = 0;
        entry->zeros = subclusters;
        return 0;
    }
    *entry = (struct qcow2_entry){0};
    if (q->header.version >= 3 && (!absent || has_backing(q)))
        entry->zeros = subclusters;
    return 0;
}

/* The subclusters of the cluster at `at` up to `end`; the disk's end is the cluster's. */
static uint32_t subclusters_to(const struct qcow2 *q, uint64_t at, uint64_t end)
{
    uint64_t start = imgi_align_down(at, q->cluster_size);
    unsigned last = q->subclusters - 1;

    if (end < start + q->cluster_size && end != q->node->size)
        last = qcow2_subcluster(q, end - 1);
    return qcow2_subcluster_range(qcow2_subcluster(q, at), last);
}

/* Change one cluster's entry, from `at` on. */
static int change_cluster(struct qcow2 *q, uint8_t *table, uint64_t at, uint64_t end,
                          const struct change *change, img_error *err)
{
    uint64_t index = qcow2_l2_index(q, at);
    struct qcow2_raw raw = qcow2_raw_get(q, table, index), next;
    struct qcow2_entry old, entry;
    int rc = qcow2_entry_decode(q, raw, at, &old, err);

    entry = old;
    if (rc == 0)
        rc = change->entry(q, change, subclusters_to(q, at, end), &entry, err);
    if (rc < 0)
        return rc;
    next = qcow2_entry_encode(q, &entry);
    if (next.cluster == raw.cluster && next.bitmap == raw.bitmap)
        return 0;
    qcow2_raw_put(q, table, index, next);
    qcow2_raw_dirty(q, table, index, 1);
    if (!entry.space)
        return qcow2_free_entry(q, &old, change->discard, err);
    /* The host has its space back even so; it need not take it. */
    if (change->discard && keeps_place(q, &entry) && entry.data == 0)
        qcow2_punch(q, entry.host);
    return 0;
}

/* Change the entries of one L2 table for at..end. */
static int change_table(struct qcow2 *q, uint64_t at, uint64_t end, const struct change *change,
                        img_error *err)
{
    uint8_t *table;
    int rc = qcow2_l2_own(q, at, &table, err);

    while (rc == 0 && at < end) {
        rc = change_cluster(q, table, at, end, change, err);
        at = imgi_align_down(at, q->cluster_size) + q->cluster_size;
    }
    return rc;
}

/*
 * Change a range of whole clusters, or of subclusters of one. Where a whole L2 table is missing and
 * nothing lies below, it reads as zeros already and goes on doing so: tables that say no more than
 * that would only take up space.
 */
static int change_range(struct qcow2 *q, uint64_t offset, uint64_t length,
                        const struct change *change, img_error *err)
{
    uint64_t end = offset + length;
    int rc = qcow2_writable(q, err);

    while (rc == 0 && offset < end) {
        uint64_t rest = qcow2_l2_rest(q, offset), step = IMGI_MIN(rest, end - offset);
        bool whole = qcow2_l2_index(q, offset) == 0 && (step == rest || end == q->node->size);
        bool absent = q->l1.entries[qcow2_l1_index(q, offset)] == 0;

        if (!(absent && whole && !has_backing(q)))
            rc = change_table(q, offset, offset + step, change, err);
        if (rc == 0)
            rc = qcow2_frees_limit(q, err);
        offset += step;
    }
    return rc;
}

int qcow2_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap, img_error *err)
{
    struct change zero = {zero_entry, unmap, unmap}, absent = {discard_entry, true, unmap};
    struct qcow2 *q = qcow2_of(node);
    int rc;

    if (q->header.version >= 3) {
        rc = qcow2_data_zero(q, offset, length, unmap, err);
        return rc < 0 ? rc : change_range(q, offset, length, &zero, err);
    }
    if (!has_backing(q))
        return change_range(q, offset, length, &absent, err);
    return imgi_fail(err, IMG_E_UNSUPPORTED, "version 2 has no zero clusters");
}

int qcow2_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err)
{
    static const struct change discard = {discard_entry, true, true};
    struct qcow2 *q = qcow2_of(node);
    int rc;

    /* An entry of 0 would bring the backing image's old bytes back: the data stays. */
    if (q->header.version < 3 && has_backing(q))
        return 0;
    rc = qcow2_data_zero(q, offset, length, true, err);
    return rc < 0 ? rc : change_range(q, offset, length, &discard, err);
}
