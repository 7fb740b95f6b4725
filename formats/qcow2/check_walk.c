/*
 * The check of L1 and L2 tables. SPDX-License-Identifier: BSD-2-Clause
 *
 * Snapshots share L2 tables. First all L1 tables say how often each L2 table is used; then every
 * L2 table is read once, and what it leads to is counted that many times. So the time is bounded
 * by the size of the file, however often its tables refer to each other.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "check.h"

/* L2 tables between two reports of progress. */
#define PROGRESS_STEP 64

/* How an L1 table is gone through: once to count its L2 tables, once to walk them. */
struct walk {
    bool active;         /* the disk itself, not a snapshot */
    uint64_t next_host;  /* where the L2 table's next cluster would lie, were it not fragmented; 0:
                            nothing yet */
    uint64_t references; /* to the L2 table that is being walked */
};

/* What a wrong COPIED flag is told as. */
static bool copied_wrong(struct qcow2_checking *c, uint64_t entry, uint64_t host,
                         uint64_t *refcount)
{
    return qcow2_stored_refcount(c, host >> c->q->cluster_bits, refcount) &&
           (*refcount == 1) != !!(entry & QCOW2_COPIED);
}

static int check_packed(struct qcow2_checking *c, struct walk *walk, uint64_t entry, img_error *err)
{
    img_check_result *result = c->checker->result;
    struct qcow2_packed packed;
    uint64_t start, end;

    qcow2_packed_decode(c->q->cluster_bits, entry, &packed);
    start = imgi_align_down(packed.offset, QCOW2_SECTOR);
    end = packed.offset + packed.length;
    if (entry & QCOW2_COPIED)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR: coffset=0x%" PRIx64
                    ": copied flag must never be set for compressed clusters",
                    packed.offset);
    if (walk->active) {
        result->allocated_clusters++;
        result->compressed_clusters++;
        result->fragmented_clusters++; /* by nature */
    }
    /* The last sector may be cut short. With less than that the stream has no end. */
    if (start < c->file_size && end >> c->q->cluster_bits <= c->clusters &&
        end >= c->file_size + QCOW2_SECTOR)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR: the file ends inside a compressed cluster: offset 0x%" PRIx64
                    " size 0x%" PRIx64,
                    packed.offset, packed.length);
    return qcow2_count_bytes(c, start, end - start, walk->references, err);
}

static int check_standard(struct qcow2_checking *c, struct walk *walk, uint64_t entry,
                          img_error *err)
{
    img_check_result *result = c->checker->result;
    uint64_t host = entry & QCOW2_OFFSET_MASK, reserved = QCOW2_L2_RESERVED, refcount;

    if (c->q->header.version < 3)
        reserved |= QCOW2_ZERO;
    if (entry & reserved)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR found l2 entry with reserved bits set: %" PRIx64, entry);
    if (host == 0)
        return 0;
    if (walk->active) {
        result->allocated_clusters++;
        if (walk->next_host != 0 && host != walk->next_host)
            result->fragmented_clusters++;
        walk->next_host = host + c->q->cluster_size;
    }
    if (host & (c->q->cluster_size - 1))
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR offset=%" PRIx64 ": %s is not properly aligned; L2 entry corrupted.",
                    host, entry & QCOW2_ZERO ? "Preallocated cluster" : "Data cluster");
    if (walk->active && copied_wrong(c, entry, host, &refcount))
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR OFLAG_COPIED data cluster: l2_entry=%" PRIx64 " refcount=%" PRIu64,
                    entry, refcount);
    return qcow2_count_bytes(c, host, c->q->cluster_size, walk->references, err);
}

static int walk_l2(struct qcow2_checking *c, struct walk *walk, uint64_t offset, img_error *err)
{
    img_error unread;
    int rc = imgi_io_read(c->q->node->file, c->table, c->q->cluster_size, offset, &unread);

    if (rc < 0) {
        qcow2_found(c, IMGI_FINDING_ERROR, "ERROR: I/O error in L2 table at 0x%" PRIx64 ": %s",
                    offset, unread.message);
        return 0;
    }
    walk->next_host = 0;
    for (uint64_t i = 0; rc == 0 && i < qcow2_l2_entries(c->q); i++) {
        uint64_t entry = qcow2_raw_get(c->q, c->table, i).cluster;

        if (entry == 0)
            continue;
        rc = entry & QCOW2_COMPRESSED ? check_packed(c, walk, entry, err)
                                      : check_standard(c, walk, entry, err);
    }
    return rc;
}

/* The L2 table of an L1 entry, 0 if it leads to none. say: tell what is wrong with the entry. */
static uint64_t l2_of(struct qcow2_checking *c, uint64_t entry, bool say)
{
    uint64_t offset = entry & QCOW2_OFFSET_MASK;

    if (say && entry & QCOW2_L1_RESERVED)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR found L1 entry with reserved bits set: %" PRIx64, entry);
    if (say && entry != 0 && offset == 0)
        qcow2_found(c, IMGI_FINDING_CORRUPTION, "ERROR L1 entry %" PRIx64 " leads to the header",
                    entry);
    if (!(offset & (c->q->cluster_size - 1)))
        return offset;
    if (say)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR l2_offset=%" PRIx64 ": Table is not cluster aligned; L1 entry corrupted",
                    offset);
    return 0;
}

static int count_l2_tables(struct qcow2_checking *c, const struct qcow2_table *l1, bool active,
                           img_error *err)
{
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < l1->count; i++) {
        uint64_t entry = l1->entries[i], offset = l2_of(c, entry, true), refcount;
        bool whole;

        if (offset == 0)
            continue;
        if (active && copied_wrong(c, entry, offset, &refcount))
            qcow2_found(c, IMGI_FINDING_CORRUPTION,
                        "ERROR OFLAG_COPIED L2 cluster: l1_index=%" PRIu64 " l1_entry=%" PRIx64
                        " refcount=%" PRIu64,
                        i, entry, refcount);
        rc = qcow2_count_table(c, offset, c->q->cluster_size, &whole, err);
        if (rc == 0 && whole)
            rc = qcow2_counts_add(&c->tables, offset >> c->q->cluster_bits, 1, err);
    }
    return rc;
}

static int walk_l2_tables(struct qcow2_checking *c, const struct qcow2_table *l1, bool active,
                          img_error *err)
{
    struct walk walk = {.active = active};
    uint64_t walked = 0;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < l1->count; i++) {
        uint64_t offset = l2_of(c, l1->entries[i], false), cluster = offset >> c->q->cluster_bits;

        walk.references = offset ? qcow2_counts_get(&c->tables, cluster) : 0;
        if (walk.references == 0)
            continue;
        rc = walk_l2(c, &walk, offset, err);
        qcow2_counts_clear(&c->tables, cluster);
        if (rc == 0 && active && ++walked % PROGRESS_STEP == 0)
            rc = imgi_check_progress(
                c->checker, IMGI_MIN(i << (c->q->cluster_bits + c->q->l2_bits), c->q->header.size),
                c->q->header.size, err);
    }
    return rc;
}

typedef int l1_fn(struct qcow2_checking *c, const struct qcow2_table *l1, bool active,
                  img_error *err);

/* What keeps the L1 table of a snapshot from being read; NULL: nothing. */
static const char *snapshot_fault(const struct qcow2_checking *c,
                                  const struct qcow2_snapshot *snapshot)
{
    if (snapshot->l1_offset & (c->q->cluster_size - 1))
        return "L1 table is not cluster aligned";
    if (snapshot->l1_entries > QCOW2_L1_BYTES_MAX / QCOW2_ENTRY_BYTES)
        return "L1 table is too large";
    return NULL;
}

/* Count a snapshot's L1 table itself. *usable: it can be read. */
static int count_snapshot(struct qcow2_checking *c, const struct qcow2_snapshot *snapshot,
                          bool *usable, img_error *err)
{
    const char *fault = snapshot_fault(c, snapshot);
    bool aligned = !(snapshot->l1_offset & (c->q->cluster_size - 1));

    *usable = !fault;
    if (!fault)
        return qcow2_count_table(c, snapshot->l1_offset,
                                 (uint64_t)snapshot->l1_entries * QCOW2_ENTRY_BYTES, usable, err);
    qcow2_found(c, IMGI_FINDING_CORRUPTION,
                "ERROR snapshot %s (%s) %s=0x%" PRIx64 ": %s; snapshot table entry corrupted",
                snapshot->id, snapshot->name, aligned ? "l1_size" : "l1_offset",
                aligned ? snapshot->l1_entries : snapshot->l1_offset, fault);
    return 0;
}

typedef int l1_fn(struct qcow2_checking *c, const struct qcow2_table *l1, bool active,
                  img_error *err);

/* Call fn for the L1 table of a snapshot, if it can be read. */
static int with_snapshot(struct qcow2_checking *c, const struct qcow2_snapshot *snapshot, l1_fn *fn,
                         img_error *err)
{
    struct qcow2_table l1 = {0};
    uint64_t bytes = (uint64_t)snapshot->l1_entries * QCOW2_ENTRY_BYTES;
    int rc;

    if (snapshot_fault(c, snapshot) || !imgi_span_ok(snapshot->l1_offset, bytes, c->file_size))
        return 0;
    rc = qcow2_table_load(&l1, "a snapshot's L1 table", c->q->node, snapshot->l1_offset,
                          snapshot->l1_entries, err);
    if (rc == 0)
        rc = fn(c, &l1, false, err);
    qcow2_table_free(&l1);
    return rc;
}

int qcow2_check_walk(struct qcow2_checking *c, const struct qcow2_snapshots *snapshots,
                     img_error *err)
{
    int rc = qcow2_count_bytes(c, c->q->header.l1_offset,
                               (uint64_t)c->q->header.l1_entries * QCOW2_ENTRY_BYTES, 1, err);

    if (rc == 0)
        rc = count_l2_tables(c, &c->q->l1, true, err);
    for (size_t i = 0; rc == 0 && i < snapshots->count; i++) {
        bool usable;

        rc = count_snapshot(c, &snapshots->list[i], &usable, err);
        if (rc == 0 && usable)
            rc = with_snapshot(c, &snapshots->list[i], count_l2_tables, err);
    }
    if (rc == 0)
        rc = walk_l2_tables(c, &c->q->l1, true, err);
    for (size_t i = 0; rc == 0 && i < snapshots->count; i++)
        rc = with_snapshot(c, &snapshots->list[i], walk_l2_tables, err);
    return rc;
}
