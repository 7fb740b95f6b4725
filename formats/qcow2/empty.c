/*
 * An image that holds nothing any more, or nothing from some address on.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * After a commit the backing image has all that the overlay had. The L1 entries become 0, one after
 * the other, and what they led to is freed by the ordinary way: once the L1 table on disk has lost
 * them (frees.c). A crash in between leaves an overlay that still holds a part of what its backing
 * image holds too, and at worst lost space. A disk that shrinks loses what is past its end in the
 * same way.
 */
#include "qcow2.h"

static int entry_of(const struct qcow2 *q, const uint8_t *table, uint64_t guest, uint64_t i,
                    struct qcow2_entry *entry, img_error *err)
{
    return qcow2_entry_decode(q, qcow2_raw_get(q, table, i), guest + (i << q->cluster_bits), entry,
                              err);
}

/* Whether every entry of a table makes sense: a half-understood table is left as it is. */
static int check_table(const struct qcow2 *q, const uint8_t *table, uint64_t guest, img_error *err)
{
    struct qcow2_entry entry;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < qcow2_l2_entries(q); i++)
        rc = entry_of(q, table, guest, i, &entry, err);
    return rc;
}

/* Drop the L2 table of an L1 entry, and all that it leads to. */
static int drop_table(struct qcow2 *q, uint64_t index, img_error *err)
{
    uint64_t guest = index << (q->cluster_bits + q->l2_bits);
    uint64_t cluster = (q->l1.entries[index] & QCOW2_OFFSET_MASK) >> q->cluster_bits;
    const uint8_t *table;
    int rc = qcow2_l2_get(q, guest, &table, err);

    if (rc < 0 || !table)
        return rc;
    rc = check_table(q, table, guest, err);
    if (rc < 0)
        return rc;
    /* First of all: what fails from here on costs space, and frees nothing that is referred to. */
    qcow2_table_set(&q->l1, index, 0);
    for (uint64_t i = 0; rc == 0 && i < qcow2_l2_entries(q); i++) {
        struct qcow2_entry entry;

        rc = entry_of(q, table, guest, i, &entry, err);
        if (rc == 0)
            rc = qcow2_free_entry(q, &entry, !q->data_file, err);
    }
    qcow2_owned_remove(&q->owned, cluster);
    if (rc == 0)
        rc = qcow2_free_later(q, cluster, 1, true, err);
    return rc;
}

static bool all_zero(const struct qcow2 *q, const uint8_t *table, uint64_t index)
{
    for (uint64_t i = index; i < qcow2_l2_entries(q); i++) {
        struct qcow2_raw raw = qcow2_raw_get(q, table, i);

        if (raw.cluster != 0 || raw.bitmap != 0)
            return false;
    }
    return true;
}

/* Entries of 0 for the clusters from `from` to the end of what their L2 table maps. */
static int drop_entries(struct qcow2 *q, uint64_t from, img_error *err)
{
    uint64_t index = qcow2_l2_index(q, from), base = from - (index << q->cluster_bits);
    const uint8_t *old;
    uint8_t *table;
    int rc = qcow2_l2_get(q, from, &old, err);

    /* A table that is shared is copied only if there is something to drop. */
    if (rc < 0 || !old || all_zero(q, old, index))
        return rc;
    rc = qcow2_l2_own(q, from, &table, err);
    if (rc == 0)
        rc = check_table(q, table, base, err);
    if (rc == 0)
        qcow2_raw_dirty(q, table, index, qcow2_l2_entries(q) - index);
    for (uint64_t i = index; rc == 0 && i < qcow2_l2_entries(q); i++) {
        struct qcow2_entry entry;

        rc = entry_of(q, table, base, i, &entry, err);
        if (rc < 0)
            break;
        qcow2_raw_put(q, table, i, (struct qcow2_raw){0});
        rc = qcow2_free_entry(q, &entry, !q->data_file, err);
    }
    return rc;
}

int qcow2_drop_from(struct qcow2 *q, uint64_t from, img_error *err)
{
    uint64_t covered = UINT64_C(1) << (q->cluster_bits + q->l2_bits);
    uint64_t first = imgi_div_up(from, covered);
    int rc = 0;

    if (from % covered != 0 && from / covered < q->l1.count)
        rc = drop_entries(q, from, err);
    for (uint64_t i = first; rc == 0 && i < q->l1.count; i++) {
        if (q->l1.entries[i] == 0)
            continue;
        rc = drop_table(q, i, err);
        if (rc == 0)
            rc = qcow2_frees_limit(q, err);
    }
    return rc;
}

int qcow2_make_empty(struct imgi_node *node, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    int rc = qcow2_writable(q, err);

    if (rc == 0)
        rc = qcow2_drop_from(q, 0, err);
    if (rc == 0)
        rc = qcow2_settle(q, err);
    /* Not before: until then the tables on disk led to what an external data file holds. */
    if (rc == 0 && q->data_file)
        imgi_io_discard(q->data, 0, node->size, NULL);
    if (rc == 0)
        rc = qcow2_trim(q, err);
    return rc;
}
