/*
 * Zero clusters, for version 2, which has none. SPDX-License-Identifier: BSD-2-Clause
 *
 * Where nothing lies below, an entry of 0 reads as zeros. Above a backing image zeros must be
 * stored: in the space that the entry keeps, or in a new cluster. An L2 table that several L1
 * tables share is changed once for all of them, where it lies: it reads as before for each. A
 * cluster has as many references as all the tables that lead to it have together, so a new one
 * begins with those of its table.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "amend.h"

struct expansion {
    struct qcow2 *q;
    struct imgi_amend *amend;
    struct qcow2_owned done; /* L2 tables */
    uint64_t tables, total;  /* L1 entries looked at, and of all L1 tables */
};

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
    enum qcow2_owner owner = qcow2_owned_find(&q->owned, offset >> q->cluster_bits);
    uint64_t references, freed;
    uint8_t *table;
    int rc = qcow2_refcount(q, offset >> q->cluster_bits, &references, err);

    /* Nobody notes the tables that snapshots alone have. */
    if (rc == 0 && owner != QCOW2_OWNER_L2 && owner != QCOW2_OWNER_NONE) {
        imgi_fail(err, IMG_E_CORRUPT, "the L2 table at 0x%" PRIx64 " lies where %s does", offset,
                  qcow2_owner_name(owner));
        return qcow2_broken(q);
    }
    if (rc == 0 && references == 0)
        rc = imgi_fail(err, IMG_E_CORRUPT, "the L2 table at 0x%" PRIx64 " has refcount 0", offset);
    if (rc == 0)
        rc = imgi_cache_get(q->l2_cache, offset, &table, err);
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
        if (l1->entries[i] & QCOW2_L1_RESERVED || offset & (q->cluster_size - 1))
            return imgi_fail(err, IMG_E_CORRUPT, "L1 entry %" PRIu64 ": 0x%016" PRIx64, i,
                             l1->entries[i]);
        rc = qcow2_owned_add(&x->done, offset >> q->cluster_bits, QCOW2_OWNER_L2, err);
        if (rc == 0)
            rc = expand_table(x, offset, i << (q->cluster_bits + q->l2_bits), err);
        if (rc == 0)
            rc = imgi_amend_progress(x->amend, x->tables, x->total, err);
    }
    return rc;
}

static int expand_snapshots(struct expansion *x, const struct qcow2_snapshots *snapshots,
                            img_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < snapshots->count; i++) {
        const struct qcow2_snapshot *snapshot = &snapshots->list[i];
        struct qcow2_table l1 = {0};

        rc = qcow2_table_load(&l1, "Snapshot L1 table", x->q->node, snapshot->l1_offset,
                              snapshot->l1_entries, err);
        if (rc == 0)
            rc = expand_l1(x, &l1, err);
        qcow2_table_free(&l1);
    }
    return rc;
}

int qcow2_expand_zeros(struct qcow2 *q, struct imgi_amend *amend, img_error *err)
{
    struct expansion x = {.q = q, .amend = amend, .total = q->l1.count};
    struct qcow2_snapshots snapshots = {0};
    int rc = 0;

    if (q->header.snapshots > 0)
        rc = qcow2_snapshots_load(q, &snapshots, err);
    for (size_t i = 0; i < snapshots.count; i++)
        x.total += snapshots.list[i].l1_entries;
    if (rc == 0)
        rc = expand_l1(&x, &q->l1, err);
    if (rc == 0)
        rc = expand_snapshots(&x, &snapshots, err);
    if (rc == 0)
        rc = qcow2_settle(q, err);
    qcow2_owned_free(&x.done);
    qcow2_snapshots_free(&snapshots);
    return rc;
}
