/*
 * Which host clusters gain and lose references. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, section "Snapshots": a cluster's refcount is the number of L1 tables that
 * lead to it. Everything is counted and judged here, in memory, before a byte is written: a table
 * that makes no sense, a refcount that contradicts it, or one that would no longer fit ends the
 * operation with the image as it was.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "snapshot.h"

#define REPLACED UINT64_MAX

static uint64_t block_size(const struct qcow2 *q)
{
    return UINT64_C(1) << q->block_bits;
}

/* Refcount blocks that the image has, up to the last. */
static uint64_t blocks_in_use(const struct qcow2 *q)
{
    uint64_t count = q->reftable.count;

    while (count > 0 && q->reftable.entries[count - 1] == 0)
        count--;
    return count;
}

/* Clusters for new tables, the refcount table and its blocks left out, at most. */
static uint64_t new_tables(const struct qcow2_change *change, uint64_t table_bytes)
{
    const struct qcow2 *q = change->q;
    uint64_t count =
        qcow2_clusters(q, change->l1.count * QCOW2_ENTRY_BYTES) + qcow2_clusters(q, table_bytes);

    for (uint64_t i = 0; i < change->l1.count; i++)
        count += change->l1.entries[i] != 0;
    return count;
}

/*
 * How far refcount blocks may have to reach, if all that is new, every refcount block included,
 * went behind the last cluster that is counted; and a refcount table for them.
 */
static int plan_reftable(struct qcow2_change *change, img_error *err)
{
    struct qcow2 *q = change->q;
    uint64_t used = blocks_in_use(q), clusters = q->header.reftable_clusters, bytes, fixed;
    int rc = qcow2_snapshots_size(change->snapshots, &bytes, err);

    if (rc < 0)
        return rc;
    fixed = new_tables(change, bytes);
    change->counted = used << q->block_bits;
    for (;;) {
        uint64_t blocks = used + imgi_div_up(fixed + clusters + change->blocks, block_size(q)) + 1;
        uint64_t needed = qcow2_clusters(q, blocks * QCOW2_ENTRY_BYTES);

        if (blocks == change->blocks && needed <= clusters)
            break;
        change->blocks = blocks;
        clusters = IMGI_MAX(clusters, needed);
    }
    if (clusters << q->cluster_bits > QCOW2_REFTABLE_BYTES_MAX)
        return imgi_fail(err, IMG_E_NOSPACE,
                         "the refcount table would need %" PRIu64 " clusters, and %u bytes are "
                         "the limit",
                         clusters, QCOW2_REFTABLE_BYTES_MAX);
    rc = qcow2_table_new(&change->reftable, 0, (clusters << q->cluster_bits) / QCOW2_ENTRY_BYTES,
                         err);
    if (rc == 0)
        memcpy(change->reftable.entries, q->reftable.entries,
               (size_t)q->reftable.count * sizeof(*q->reftable.entries));
    return rc;
}

int qcow2_change_begin(struct qcow2_change *change, img_error *err)
{
    struct qcow2 *q = change->q;
    uint64_t clusters;
    int rc = plan_reftable(change, err);

    if (rc < 0)
        return rc;
    change->hint = q->free_hint;
    clusters = change->blocks << q->block_bits;
    rc = qcow2_counts_new(&change->gained, clusters, q->node->policy, err);
    if (rc == 0)
        rc = qcow2_counts_new(&change->lost, clusters, q->node->policy, err);
    if (rc < 0)
        return rc;
    change->touched = calloc((size_t)change->blocks, sizeof(*change->touched));
    change->new_block = calloc((size_t)change->blocks, sizeof(*change->new_block));
    change->new_l2 = calloc((size_t)change->l1.count + 1, sizeof(*change->new_l2));
    if (!change->touched || !change->new_block || !change->new_l2)
        return imgi_fail_nomem(err, "a change of snapshots");
    return 0;
}

void qcow2_change_end(struct qcow2_change *change)
{
    qcow2_table_free(&change->l1);
    qcow2_table_free(&change->reftable);
    qcow2_counts_free(&change->gained);
    qcow2_counts_free(&change->lost);
    free(change->touched);
    free(change->new_l2);
    free(change->new_block);
    free(change->placed);
    free(change->freed.runs);
}

/* ------------------------------------------------------------------------- counting */

int qcow2_change_add(struct qcow2_change *change, struct qcow2_counts *counts, uint64_t cluster,
                     uint64_t count, uint64_t number, img_error *err)
{
    unsigned bits = change->q->block_bits;

    if (count == 0)
        return 0;
    for (uint64_t i = cluster >> bits; i <= (cluster + count - 1) >> bits; i++)
        change->touched[i] = 1;
    return qcow2_counts_add(counts, cluster, count, number, err);
}

/* A run that a table leads to: its refcounts must exist, and it must not hold metadata. */
static int add_run(struct qcow2_change *change, struct qcow2_counts *counts, uint64_t cluster,
                   uint64_t count, uint64_t number, img_error *err)
{
    const struct qcow2 *q = change->q;

    if (!imgi_span_ok(cluster, count, change->counted))
        return imgi_fail(err, IMG_E_CORRUPT, "host cluster %" PRIu64 " is in use, but not counted",
                         cluster);
    for (uint64_t i = cluster; i < cluster + count; i++) {
        enum qcow2_owner owner = qcow2_owned_find(&q->owned, i);

        if (owner != QCOW2_OWNER_NONE)
            return imgi_fail(err, IMG_E_CORRUPT,
                             "host cluster %" PRIu64 " is used for data, but it holds %s", i,
                             qcow2_owner_name(owner));
    }
    return qcow2_change_add(change, counts, cluster, count, number, err);
}

/* The host clusters that an entry leads to; count 0: none. */
static struct qcow2_free clusters_of(const struct qcow2 *q, const struct qcow2_entry *entry)
{
    uint64_t first = entry->host >> q->cluster_bits;
    struct qcow2_free run = {.cluster = first, .count = entry->space};

    if (entry->packed)
        run.count = ((entry->host + entry->length - 1) >> q->cluster_bits) - first + 1;
    return run;
}

/* All that an L2 table leads to, `number` times; what lies side by side is counted in one. */
static int add_l2(struct qcow2_change *change, struct qcow2_counts *counts, uint64_t index,
                  uint64_t offset, uint64_t number, img_error *err)
{
    struct qcow2 *q = change->q;
    uint64_t guest = index << (q->cluster_bits + q->l2_bits);
    struct qcow2_free run = {0};
    uint8_t *table;
    int rc = imgi_cache_get(q->l2_cache, offset, &table, err);

    for (uint64_t i = 0; rc == 0 && i < qcow2_l2_entries(q); i++) {
        struct qcow2_entry entry;
        struct qcow2_free next;

        rc = qcow2_entry_decode(q, qcow2_raw_get(q, table, i), guest + (i << q->cluster_bits),
                                &entry, err);
        next = clusters_of(q, &entry);
        if (rc < 0 || next.count == 0)
            continue;
        if (run.count > 0 && run.cluster + run.count == next.cluster) {
            run.count += next.count;
            continue;
        }
        rc = add_run(change, counts, run.cluster, run.count, number, err);
        run = next;
    }
    return rc < 0 ? rc : add_run(change, counts, run.cluster, run.count, number, err);
}

/* An L1 entry that is not 0 leads to an L2 table. */
static int check_l1_entry(const struct qcow2_change *change, uint64_t index, uint64_t entry,
                          img_error *err)
{
    const struct qcow2 *q = change->q;
    uint64_t offset = entry & QCOW2_OFFSET_MASK, cluster = offset >> q->cluster_bits;
    enum qcow2_owner owner = qcow2_owned_find(&q->owned, cluster);
    const char *why = NULL;

    if (entry & QCOW2_L1_RESERVED)
        why = "has reserved bits set";
    else if (offset & (q->cluster_size - 1))
        why = "does not point at the start of a cluster";
    else if (cluster >= change->counted)
        why = "points at a cluster that is not counted";
    else if (owner != QCOW2_OWNER_NONE && owner != QCOW2_OWNER_L2)
        why = "does not point at an L2 table";
    if (!why)
        return 0;
    return imgi_fail(err, IMG_E_CORRUPT, "L1 entry %" PRIu64 ": 0x%016" PRIx64 " %s", index, entry,
                     why);
}

/*
 * Every L2 table is read once, however often the L1 table leads to it, so that the time is bounded
 * by the size of the file.
 */
int qcow2_change_tree(struct qcow2_change *change, struct qcow2_counts *counts,
                      const struct qcow2_table *l1, img_error *err)
{
    struct qcow2 *q = change->q;
    struct qcow2_counts tables = {0};
    int rc = qcow2_counts_new(&tables, change->counted, q->node->policy, err);

    for (uint64_t i = 0; rc == 0 && i < l1->count; i++) {
        uint64_t cluster = (l1->entries[i] & QCOW2_OFFSET_MASK) >> q->cluster_bits;

        if (l1->entries[i] == 0)
            continue;
        rc = check_l1_entry(change, i, l1->entries[i], err);
        if (rc == 0)
            rc = qcow2_counts_add(&tables, cluster, 1, 1, err);
        if (rc == 0)
            rc = qcow2_change_add(change, counts, cluster, 1, 1, err);
    }
    for (uint64_t i = 0; rc == 0 && i < l1->count; i++) {
        uint64_t offset = l1->entries[i] & QCOW2_OFFSET_MASK;
        uint64_t number = qcow2_counts_get(&tables, offset >> q->cluster_bits);

        if (number == 0)
            continue;
        qcow2_counts_clear(&tables, offset >> q->cluster_bits);
        rc = add_l2(change, counts, i, offset, number, err);
    }
    qcow2_counts_free(&tables);
    return rc;
}

/* A table that is replaced as a whole loses the reference that the header was. */
static int lose(struct qcow2_change *change, uint64_t offset, uint64_t bytes, img_error *err)
{
    const struct qcow2 *q = change->q;

    return qcow2_change_add(change, &change->lost, offset >> q->cluster_bits,
                            qcow2_clusters(q, bytes), 1, err);
}

/* The old tables: where they lie and that nothing else lies there was seen when they got an owner.
 */
int qcow2_change_drop_old(struct qcow2_change *change, img_error *err)
{
    const struct qcow2 *q = change->q;
    const struct qcow2_snapshot *dropped = change->dropped;
    int rc = lose(change, q->header.reftable_offset,
                  (uint64_t)q->header.reftable_clusters << q->cluster_bits, err);

    if (rc == 0 && !change->l1_given)
        rc = lose(change, q->l1.offset, q->l1.count * QCOW2_ENTRY_BYTES, err);
    if (rc == 0)
        rc = lose(change, q->header.snapshots_offset, change->snapshots->bytes, err);
    if (rc == 0 && dropped)
        rc = lose(change, dropped->l1_offset, (uint64_t)dropped->l1_entries * QCOW2_ENTRY_BYTES,
                  err);
    return rc;
}

/* -------------------------------------------------------------------------- judging */

int qcow2_change_refcount(struct qcow2_change *change, uint64_t cluster, uint64_t *old,
                          uint64_t *next, img_error *err)
{
    struct qcow2 *q = change->q;

    if (!change->block_known || change->block_index != cluster >> q->block_bits) {
        int rc = qcow2_refcount_block(q, cluster, &change->block, err);

        if (rc < 0)
            return rc;
        change->block_known = true;
        change->block_index = cluster >> q->block_bits;
    }
    *old = change->block ? qcow2_refcount_get(change->block, q->header.refcount_order,
                                              cluster & (block_size(q) - 1))
                         : 0;
    *next = *old + qcow2_counts_get(&change->gained, cluster) -
            qcow2_counts_get(&change->lost, cluster);
    return 0;
}

/* What the disk will refer to must be counted, or it would be given to somebody else. */
static int refcount_in_use(struct qcow2_change *change, uint64_t cluster, uint64_t *next,
                           img_error *err)
{
    uint64_t old;
    int rc = qcow2_change_refcount(change, cluster, &old, next, err);

    if (rc == 0 && *next == 0)
        rc = imgi_fail(err, IMG_E_CORRUPT, "host cluster %" PRIu64 " is in use, but not counted",
                       cluster);
    return rc;
}

static int check_packed(struct qcow2_change *change, uint64_t entry, img_error *err)
{
    unsigned bits = change->q->cluster_bits;
    struct qcow2_packed packed;
    int rc = 0;

    qcow2_packed_decode(bits, entry, &packed);
    for (uint64_t i = packed.offset >> bits;
         rc == 0 && i <= (packed.offset + packed.length - 1) >> bits; i++) {
        uint64_t next;

        rc = refcount_in_use(change, i, &next, err);
    }
    return rc;
}

int qcow2_change_flags(struct qcow2_change *change, uint8_t *table, bool write, bool *wrong,
                       img_error *err)
{
    const struct qcow2 *q = change->q;
    int rc = 0;

    *wrong = false;
    for (uint64_t i = 0; rc == 0 && i < qcow2_l2_entries(q); i++) {
        struct qcow2_raw raw = qcow2_raw_get(q, table, i);
        uint64_t host = raw.cluster & QCOW2_OFFSET_MASK, next;

        if (raw.cluster & QCOW2_COMPRESSED) {
            rc = check_packed(change, raw.cluster, err);
            continue;
        }
        if (host == 0)
            continue;
        rc = refcount_in_use(change, host >> q->cluster_bits, &next, err);
        if (rc < 0 || (next == 1) == !!(raw.cluster & QCOW2_COPIED))
            continue;
        *wrong = true;
        raw.cluster ^= QCOW2_COPIED;
        if (write)
            qcow2_raw_put(q, table, i, raw);
    }
    return rc;
}

static int choose_l2(struct qcow2_change *change, uint64_t index, img_error *err)
{
    uint64_t offset = change->l1.entries[index] & QCOW2_OFFSET_MASK;
    uint8_t *table;
    bool wrong = false;
    int rc = imgi_cache_get(change->q->l2_cache, offset, &table, err);

    if (rc == 0)
        rc = qcow2_change_flags(change, table, false, &wrong, err);
    if (rc < 0 || !wrong)
        return rc;
    change->new_l2[index] = REPLACED;
    return qcow2_change_add(change, &change->lost, offset >> change->q->cluster_bits, 1, 1, err);
}

int qcow2_change_choose(struct qcow2_change *change, img_error *err)
{
    struct qcow2 *q = change->q;
    struct qcow2_counts seen = {0};
    int rc = qcow2_counts_new(&seen, change->counted, q->node->policy, err);

    for (uint64_t i = 0; rc == 0 && i < change->l1.count; i++) {
        uint64_t entry = change->l1.entries[i];
        uint64_t cluster = (entry & QCOW2_OFFSET_MASK) >> q->cluster_bits;

        if (entry == 0)
            continue;
        rc = check_l1_entry(change, i, entry, err);
        if (rc == 0 && qcow2_counts_get(&seen, cluster) > 0)
            rc = imgi_fail(err, IMG_E_CORRUPT,
                           "L1 entry %" PRIu64 ": the L2 table at 0x%" PRIx64 " is used twice", i,
                           cluster << q->cluster_bits);
        if (rc == 0)
            rc = qcow2_counts_add(&seen, cluster, 1, 1, err);
        if (rc == 0)
            rc = choose_l2(change, i, err);
    }
    qcow2_counts_free(&seen);
    return rc;
}

int qcow2_change_verify_cluster(struct qcow2_change *change, uint64_t cluster, img_error *err)
{
    const struct qcow2 *q = change->q;
    uint64_t gained = qcow2_counts_get(&change->gained, cluster);
    uint64_t lost = qcow2_counts_get(&change->lost, cluster), old, next;
    int rc;

    if (gained == 0 && lost == 0)
        return 0;
    rc = qcow2_change_refcount(change, cluster, &old, &next, err);
    if (rc < 0)
        return rc;
    if (old == 0 || (lost > gained && lost - gained > old))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "host cluster %" PRIu64
                         " has more references than its refcount of %" PRIu64 " says",
                         cluster, old);
    if (gained > lost && gained - lost > q->refcount_max - old)
        return imgi_fail(err, IMG_E_INVAL,
                         "host cluster %" PRIu64
                         " would have more references than %u refcount bits can count",
                         cluster, 1u << q->header.refcount_order);
    return 0;
}

int qcow2_change_verify(struct qcow2_change *change, img_error *err)
{
    const struct qcow2 *q = change->q;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < change->counted; i++) {
        if (!change->touched[i >> q->block_bits])
            i |= block_size(q) - 1;
        else
            rc = qcow2_change_verify_cluster(change, i, err);
    }
    return rc;
}
