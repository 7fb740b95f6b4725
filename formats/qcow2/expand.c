/*
 * Zero clusters, for version 2, which has none. SPDX-License-Identifier: BSD-2-Clause
 *
 * Where nothing lies below, an entry of 0 reads as zeros. Above a backing image zeros must be
 * stored: in the space that the entry keeps, or in a new cluster. An L2 table that several L1
 * tables share is changed once for all of them, where it lies: it reads as before for each. A
 * cluster has as many references as all the tables that lead to it have together, so a new one
 * begins with those of its table. They are counted first, whatever the refcounts say: where those
 * are too low, nothing is changed; too high ones are lost space and stay that.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "amend.h"
#include "snapshot.h"

struct expansion {
    struct qcow2 *q;
    struct imgi_amend *amend;
    struct qcow2_snapshots snapshots;
    struct qcow2_change change; /* lost: all references that the L1 tables lead to */
    struct qcow2_owned done;    /* L2 tables */
    uint64_t tables, total;     /* L1 entries looked at, and of all L1 tables */
};

typedef int l1_fn(struct expansion *x, const struct qcow2_table *l1, img_error *err);

static int free_references(struct qcow2 *q, uint64_t host, uint64_t references, img_error *err)
{
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < references; i++)
        rc = qcow2_free_later(q, host >> q->cluster_bits, 1, true, err);
    return rc;
}

/* What reads as zeros where it lies: with encryption it is no zeros of the file. */
static int store_zeros(struct qcow2 *q, uint64_t guest, uint64_t host, img_error *err)
{
    struct imgi_node *node = q->node;
    uint64_t sector = (node->cipher_by_guest ? guest : host) / QCOW2_SECTOR;
    uint8_t *cluster;
    int rc;

    if (q->header.crypt_method == QCOW2_CRYPT_NONE)
        return imgi_io_zero(node->file, host, q->cluster_size, true, err);
    if (!node->cipher)
        return imgi_fail(err, IMG_E_INVAL, "zeros cannot be stored without the image's key");
    cluster = calloc(1, q->cluster_size);
    if (!cluster)
        return imgi_fail_nomem(err, "a cluster");
    rc = imgi_cipher_encrypt(node->cipher, sector, cluster, q->cluster_size, err);
    if (rc == 0)
        rc = imgi_io_write(node->file, cluster, q->cluster_size, host, err);
    free(cluster);
    return rc;
}

/* A cluster that holds zeros, with that many references. */
static int zero_cluster(struct qcow2 *q, uint64_t guest, uint64_t references, uint64_t *host,
                        img_error *err)
{
    uint64_t cluster, got, added = 1;
    int rc = qcow2_alloc(q, 1, true, &cluster, &got, err);

    if (rc < 0)
        return rc;
    *host = cluster << q->cluster_bits;
    for (; rc == 0 && added < references; added++)
        rc = qcow2_refcount_add(q, cluster, 1, err);
    if (rc == 0)
        rc = store_zeros(q, guest, *host, err);
    if (rc < 0)
        for (uint64_t i = 0; i < added; i++)
            qcow2_refcount_drop(q, cluster, 1, false, NULL);
    return rc;
}

/* Make of *entry, a zero cluster in a table that has so many references, what version 2 can say. */
static int expand_entry(struct qcow2 *q, uint64_t guest, struct qcow2_entry *entry,
                        uint64_t references, uint64_t *freed, img_error *err)
{
    uint64_t shared = 0;
    int rc = 0;

    *freed = 0;
    if (entry->space)
        rc = qcow2_entry_guard(q, entry, guest, err);
    if (rc == 0 && entry->space)
        rc = qcow2_refcount(q, entry->host >> q->cluster_bits, &shared, err);
    if (rc < 0)
        return rc;
    if (entry->space && q->header.backing_name && shared == references) {
        /* Nobody reads it: it is zeros for all who could. */
        rc = store_zeros(q, guest, entry->host, err);
    } else {
        *freed = entry->host;
        *entry = (struct qcow2_entry){.space = q->header.backing_name != NULL};
        if (entry->space)
            rc = zero_cluster(q, guest, references, &entry->host, err);
    }
    entry->zeros = 0;
    entry->data = entry->space;
    entry->copied = entry->space && references == 1;
    return rc;
}

static int expand_table(struct expansion *x, uint64_t offset, uint64_t guest, img_error *err)
{
    struct qcow2 *q = x->q;
    uint64_t references = qcow2_counts_get(&x->change.lost, offset >> q->cluster_bits), freed;
    uint8_t *table;
    int rc = imgi_cache_get(q->l2_cache, offset, &table, err);

    for (uint64_t i = 0; rc == 0 && i < qcow2_l2_entries(q); i++, guest += q->cluster_size) {
        struct qcow2_entry entry;

        rc = qcow2_entry_decode(q, qcow2_raw_get(q, table, i), guest, &entry, err);
        if (rc < 0 || entry.packed || !entry.zeros)
            continue;
        rc = expand_entry(q, guest, &entry, references, &freed, err);
        if (rc < 0)
            break;
        qcow2_raw_put(q, table, i, qcow2_entry_encode(q, &entry));
        qcow2_raw_dirty(q, table, i, 1);
        if (freed != 0)
            rc = free_references(q, freed, references, err);
        if (rc == 0)
            rc = qcow2_frees_limit(q, err);
    }
    return rc;
}

static int expand_l1(struct expansion *x, const struct qcow2_table *l1, img_error *err)
{
    struct qcow2 *q = x->q;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < l1->count; i++, x->tables++) {
        uint64_t offset = l1->entries[i] & QCOW2_OFFSET_MASK;

        if (offset == 0 || qcow2_owned_find(&x->done, offset >> q->cluster_bits))
            continue;
        rc = qcow2_owned_add(&x->done, offset >> q->cluster_bits, QCOW2_OWNER_L2, err);
        if (rc == 0)
            rc = expand_table(x, offset, i << (q->cluster_bits + q->l2_bits), err);
        if (rc == 0)
            rc = imgi_amend_progress(x->amend, x->tables, x->total, err);
    }
    return rc;
}

/*
 * Count all that an L1 table leads to. That no table is used twice keeps the number of references
 * below that of L1 tables.
 */
static int count_l1(struct expansion *x, const struct qcow2_table *l1, img_error *err)
{
    struct qcow2_owned seen = {0};
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < l1->count; i++) {
        uint64_t cluster = (l1->entries[i] & QCOW2_OFFSET_MASK) >> x->q->cluster_bits;

        if (cluster != 0)
            rc = qcow2_owned_add(&seen, cluster, QCOW2_OWNER_L2, err);
    }
    qcow2_owned_free(&seen);
    return rc < 0 ? rc : qcow2_change_tree(&x->change, &x->change.lost, l1, err);
}

/* The disk's L1 table, and those of the snapshots. */
static int each_l1(struct expansion *x, l1_fn *fn, img_error *err)
{
    int rc = fn(x, &x->q->l1, err);

    for (size_t i = 0; rc == 0 && i < x->snapshots.count; i++) {
        const struct qcow2_snapshot *snapshot = &x->snapshots.list[i];
        struct qcow2_table l1 = {0};

        rc = qcow2_table_load(&l1, "Snapshot L1 table", x->q->node, snapshot->l1_offset,
                              snapshot->l1_entries, err);
        if (rc == 0)
            rc = fn(x, &l1, err);
        qcow2_table_free(&l1);
    }
    return rc;
}

/* Nothing has changed yet: what makes no sense, or is not counted, is found now. */
static int count_all(struct expansion *x, img_error *err)
{
    int rc = 0;

    if (x->q->header.snapshots > 0)
        rc = qcow2_snapshots_load(x->q, &x->snapshots, err);
    x->total = x->q->l1.count;
    for (size_t i = 0; i < x->snapshots.count; i++)
        x->total += x->snapshots.list[i].l1_entries;
    x->change = (struct qcow2_change){.q = x->q, .snapshots = &x->snapshots};
    if (rc == 0)
        rc = qcow2_change_begin(&x->change, err);
    if (rc == 0)
        rc = each_l1(x, count_l1, err);
    return rc < 0 ? rc : qcow2_change_verify(&x->change, err);
}

/* A cluster of the disk whose other references were freed is the disk's alone from now on. */
static int refresh_copied(struct qcow2 *q, img_error *err)
{
    struct qcow2_change none = {.q = q};
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < q->l1.count; i++) {
        uint64_t offset = q->l1.entries[i] & QCOW2_OFFSET_MASK;
        uint8_t *table;
        bool wrong = false;

        if (offset == 0)
            continue;
        rc = imgi_cache_get(q->l2_cache, offset, &table, err);
        if (rc == 0)
            rc = qcow2_change_flags(&none, table, true, &wrong, err);
        if (wrong)
            qcow2_raw_dirty(q, table, 0, qcow2_l2_entries(q));
    }
    return rc;
}

int qcow2_expand_zeros(struct qcow2 *q, struct imgi_amend *amend, img_error *err)
{
    struct expansion x = {.q = q, .amend = amend};
    int rc = count_all(&x, err);

    if (rc == 0)
        rc = each_l1(&x, expand_l1, err);
    if (rc == 0)
        rc = qcow2_settle(q, err);
    if (rc == 0)
        rc = refresh_copied(q, err);
    if (rc == 0)
        rc = qcow2_settle(q, err);
    qcow2_change_end(&x.change);
    qcow2_owned_free(&x.done);
    qcow2_snapshots_free(&x.snapshots);
    return rc;
}
