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

/* How an L2 table is gone through. */
struct walk {
    bool active;         /* the disk itself, not a snapshot */
    uint64_t offset;     /* of the table that is being walked */
    uint8_t *table;      /* its bytes */
    uint64_t next_host;  /* where its next cluster would lie, were it not fragmented; 0: nothing
                            yet */
    uint64_t references; /* to it */
};

/* ------------------------------------------------------------------------- entries */

static int check_packed(struct qcow2_checking *c, struct walk *walk, uint64_t index,
                        struct qcow2_raw raw, img_error *err)
{
    img_check_result *result = c->checker->result;
    struct qcow2_packed packed;
    uint64_t start, end;

    qcow2_packed_decode(c->q->cluster_bits, raw.cluster, &packed);
    start = imgi_align_down(packed.offset, QCOW2_SECTOR);
    end = packed.offset + packed.length;
    if (raw.cluster & QCOW2_COPIED)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR: coffset=0x%" PRIx64
                    ": copied flag must never be set for compressed clusters",
                    packed.offset);
    if (c->q->header.incompatible & QCOW2_INCOMPAT_DATA_FILE) {
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR compressed cluster %" PRIu64 " with data file, entry=0x%" PRIx64, index,
                    raw.cluster);
        return 0;
    }
    if (raw.bitmap)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR compressed cluster %" PRIu64
                    " with non-zero subcluster allocation bitmap, entry=0x%" PRIx64,
                    index, raw.cluster);
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

/* Subclusters that are allocated, by the bitmap ("Extended L2 Entries"). */
static uint32_t allocated_of(struct qcow2_raw raw)
{
    return (uint32_t)raw.bitmap;
}

/* Whether a cluster's place does not matter, because nothing but zeros is read from it. */
static bool is_unused(const struct qcow2_checking *c, struct qcow2_raw raw)
{
    return c->q->extended_l2 ? allocated_of(raw) == 0 : !!(raw.cluster & QCOW2_ZERO);
}

/*
 * A cluster that does not begin where one can. *later: its place may be forgotten, if its table is
 * nothing but an L2 table, which is known when all is counted.
 */
static int check_unaligned(struct qcow2_checking *c, const struct walk *walk, struct qcow2_raw raw,
                           bool *later, img_error *err)
{
    bool unused = is_unused(c, raw);
    uint64_t cluster = walk->offset >> c->q->cluster_bits;

    *later = unused && c->repair == IMGI_REPAIR_ALL;
    if (*later)
        return qcow2_counts_get(&c->unsettled, cluster) > 0
                   ? 0
                   : qcow2_counts_add(&c->unsettled, cluster, 1, 1, err);
    qcow2_found(c, IMGI_FINDING_CORRUPTION,
                "ERROR offset=%" PRIx64 ": %s is not properly aligned; L2 entry corrupted.",
                raw.cluster & QCOW2_OFFSET_MASK, unused ? "Preallocated cluster" : "Data cluster");
    return 0;
}

static void check_subclusters(struct qcow2_checking *c, struct qcow2_raw raw, bool space)
{
    uint64_t host = raw.cluster & QCOW2_OFFSET_MASK;

    if (!space && allocated_of(raw))
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR: Unallocated cluster has non-zero subcluster allocation map");
    else if (allocated_of(raw) & (uint32_t)(raw.bitmap >> QCOW2_SUBCLUSTERS))
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR offset=%" PRIx64
                    ": Allocated cluster has corrupted subcluster allocation bitmap",
                    host);
}

static void count_allocated(struct qcow2_checking *c, struct walk *walk, uint64_t host,
                            uint64_t clusters)
{
    img_check_result *result = c->checker->result;

    if (!walk->active)
        return;
    result->allocated_clusters += clusters;
    if (walk->next_host != 0 && host != walk->next_host)
        result->fragmented_clusters++;
    walk->next_host = host + (clusters << c->q->cluster_bits);
}

static int check_standard(struct qcow2_checking *c, struct walk *walk, struct qcow2_raw raw,
                          img_error *err)
{
    bool data_file = c->q->header.incompatible & QCOW2_INCOMPAT_DATA_FILE;
    uint64_t host = raw.cluster & QCOW2_OFFSET_MASK, reserved = QCOW2_L2_RESERVED;
    bool space = qcow2_raw_space(c->q, raw), later = false;
    int rc = 0;

    if (c->q->header.version < 3 || c->q->extended_l2)
        reserved |= QCOW2_ZERO;
    if (raw.cluster & reserved)
        qcow2_found(c, IMGI_FINDING_CORRUPTION,
                    "ERROR found l2 entry with reserved bits set: %" PRIx64, raw.cluster);
    check_subclusters(c, raw, space);
    if (!space)
        return 0;
    if (host & (c->q->cluster_size - 1))
        rc = check_unaligned(c, walk, raw, &later, err);
    if (rc < 0 || later)
        return rc;
    count_allocated(c, walk, host, 1);
    if (data_file)
        return 0;
    return qcow2_count_bytes(c, host, c->q->cluster_size, walk->references, err);
}

/*
 * How many entries from index on are sound and lead to clusters that lie side by side in the file,
 * as almost all do. 0: this one must be looked at closely.
 */
static uint64_t plain_run(const struct qcow2_checking *c, const struct walk *walk, uint64_t index,
                          uint64_t *host)
{
    const struct qcow2 *q = c->q;
    uint64_t zero = q->header.version < 3 || q->extended_l2 ? 0 : QCOW2_ZERO;
    uint64_t ignored = QCOW2_COPIED | zero, entries = qcow2_l2_entries(q) - index, run = 0;
    const uint8_t *at = walk->table + index * q->l2_entry_bytes;
    uint64_t next = imgi_get_be64(at) & ~ignored;

    *host = next;
    /* Reserved bits make it larger than any file. */
    if (next == 0 || next & (q->cluster_size - 1) || next >> q->cluster_bits >= c->clusters ||
        q->header.incompatible & QCOW2_INCOMPAT_DATA_FILE)
        return 0;
    entries = IMGI_MIN(entries, c->clusters - (next >> q->cluster_bits));
    while (run < entries && (imgi_get_be64(at) & ~ignored) == next) {
        if (q->extended_l2 && imgi_get_be32(at + 8) & imgi_get_be32(at + 12))
            break;
        at += q->l2_entry_bytes;
        next += q->cluster_size;
        run++;
    }
    return run;
}

static int walk_table(struct qcow2_checking *c, struct walk *walk, img_error *err)
{
    uint64_t entries = qcow2_l2_entries(c->q), host;
    int rc = 0;

    walk->next_host = 0;
    for (uint64_t i = 0, run = 0; rc == 0; i += run) {
        struct qcow2_raw raw;

        i = qcow2_check_skip_empty(c->q, walk->table, i);
        if (i == entries)
            break;
        run = plain_run(c, walk, i, &host);
        if (run > 0) {
            count_allocated(c, walk, host, run);
            rc = qcow2_counts_add(&c->counts, host >> c->q->cluster_bits, run, walk->references,
                                  err);
            continue;
        }
        run = 1;
        raw = qcow2_raw_get(c->q, walk->table, i);
        rc = raw.cluster & QCOW2_COMPRESSED ? check_packed(c, walk, i, raw, err)
                                            : check_standard(c, walk, raw, err);
    }
    return rc;
}

/* -------------------------------------------------------------------------- tables */

uint64_t qcow2_check_l2_of(struct qcow2_checking *c, uint64_t entry, bool say)
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

/* L2 tables from the index-th entry on that lie side by side, as far as the window is large. */
static size_t side_by_side(const struct qcow2_checking *c, const struct qcow2_table *l1,
                           uint64_t index)
{
    uint64_t offset = l1->entries[index] & QCOW2_OFFSET_MASK, size = c->q->cluster_size;
    uint64_t most = IMGI_MIN(l1->count - index, QCOW2_CHECK_WINDOW / size), count = 1;

    while (count < most &&
           (l1->entries[index + count] & QCOW2_OFFSET_MASK) == offset + count * size &&
           imgi_span_ok(offset + count * size, size, c->file_size))
        count++;
    return (size_t)(count * size);
}

uint8_t *qcow2_check_l2_read(struct qcow2_checking *c, const struct qcow2_table *l1, uint64_t index)
{
    uint64_t offset = l1->entries[index] & QCOW2_OFFSET_MASK;
    struct imgi_io *file = c->q->node->file;
    img_error unread;

    if (offset >= c->window_offset && offset - c->window_offset < c->window_bytes)
        return c->window + (offset - c->window_offset);
    c->window_offset = offset;
    c->window_bytes = side_by_side(c, l1, index);
    if (imgi_io_read(file, c->window, c->window_bytes, offset, &unread) == 0)
        return c->window;
    c->window_bytes = c->q->cluster_size;
    if (imgi_io_read(file, c->window, c->window_bytes, offset, &unread) == 0)
        return c->window;
    c->window_bytes = 0;
    c->incomplete = true;
    qcow2_found(c, IMGI_FINDING_ERROR, "ERROR: I/O error in L2 table at 0x%" PRIx64 ": %s", offset,
                unread.message);
    return NULL;
}

/* uses: how many have this L1 table; 0: the disk itself. */
typedef int l1_fn(struct qcow2_checking *c, const struct qcow2_table *l1, uint32_t uses,
                  img_error *err);

static int count_l2_tables(struct qcow2_checking *c, const struct qcow2_table *l1, uint32_t uses,
                           img_error *err)
{
    uint64_t number = IMGI_MAX(uses, 1u);
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < l1->count; i++) {
        uint64_t offset = qcow2_check_l2_of(c, l1->entries[i], true);
        bool whole = false;

        if (offset != 0)
            rc = qcow2_count_table(c, offset, c->q->cluster_size, number, &whole, err);
        if (rc == 0 && whole)
            rc = qcow2_counts_add(&c->tables, offset >> c->q->cluster_bits, 1, number, err);
        if (rc == 0)
            rc = qcow2_check_step(c, err);
    }
    return rc;
}

static int walk_l2_tables(struct qcow2_checking *c, const struct qcow2_table *l1, uint32_t uses,
                          img_error *err)
{
    unsigned bits = c->q->cluster_bits;
    struct walk walk = {.active = uses == 0};
    uint64_t walked = 0;
    int rc = 0;

    c->window_bytes = 0;
    for (uint64_t i = 0; rc == 0 && i < l1->count; i++) {
        rc = qcow2_check_step(c, err);
        if (rc < 0)
            break;
        walk.offset = qcow2_check_l2_of(c, l1->entries[i], false);
        walk.references = walk.offset ? qcow2_counts_get(&c->tables, walk.offset >> bits) : 0;
        if (walk.references == 0 || qcow2_counts_get(&c->walked, walk.offset >> bits) > 0)
            continue;
        rc = qcow2_counts_add(&c->walked, walk.offset >> bits, 1, 1, err);
        walk.table = rc == 0 ? qcow2_check_l2_read(c, l1, i) : NULL;
        if (walk.table)
            rc = walk_table(c, &walk, err);
        if (rc == 0 && ++walked % PROGRESS_STEP == 0)
            rc = imgi_check_progress(
                c->checker,
                walk.active ? IMGI_MIN(i << (bits + c->q->l2_bits), c->q->header.size) : 0,
                c->q->header.size, err);
    }
    return rc;
}

/* ------------------------------------------------------- entries that can be mended */

static int settle_entry(struct qcow2_checking *c, const struct walk *walk, uint64_t index,
                        bool mend, img_error *err)
{
    struct qcow2_raw raw = qcow2_raw_get(c->q, walk->table, index);
    uint64_t host = raw.cluster & QCOW2_OFFSET_MASK, at = index * c->q->l2_entry_bytes;

    if (raw.cluster & QCOW2_COMPRESSED || !(host & (c->q->cluster_size - 1)) || !is_unused(c, raw))
        return 0;
    if (!qcow2_found_mendable(c, mend,
                              "offset=%" PRIx64 ": Preallocated cluster is not properly aligned; "
                              "L2 entry corrupted.",
                              host))
        return qcow2_count_bytes(c, host, c->q->cluster_size, walk->references, err);
    raw.cluster = c->q->extended_l2 ? 0 : QCOW2_ZERO;
    qcow2_raw_put(c->q, walk->table, index, raw);
    return imgi_io_write(c->q->node->file, walk->table + at, c->q->l2_entry_bytes,
                         walk->offset + at, err);
}

static int settle_l2_tables(struct qcow2_checking *c, const struct qcow2_table *l1, uint32_t uses,
                            img_error *err)
{
    struct walk walk = {.active = uses == 0};
    int rc = 0;

    c->window_bytes = 0;
    for (uint64_t i = 0; rc == 0 && i < l1->count; i++) {
        uint64_t cluster;

        rc = qcow2_check_step(c, err);
        if (rc < 0)
            break;
        walk.offset = qcow2_check_l2_of(c, l1->entries[i], false);
        cluster = walk.offset >> c->q->cluster_bits;
        if (walk.offset == 0 || qcow2_counts_get(&c->unsettled, cluster) == 0)
            continue;
        qcow2_counts_clear(&c->unsettled, cluster);
        walk.references = qcow2_counts_get(&c->tables, cluster);
        walk.table = qcow2_check_l2_read(c, l1, i);
        for (uint64_t j = 0; walk.table && rc == 0 && j < qcow2_l2_entries(c->q); j++)
            rc = settle_entry(c, &walk, j, qcow2_check_is_table(c, cluster), err);
        imgi_cache_forget(c->q->l2_cache, walk.offset);
    }
    return rc;
}

/* ----------------------------------------------------------------------- snapshots */

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

/* Count a snapshot's L1 table itself. */
static int count_snapshot(struct qcow2_checking *c, const struct qcow2_snapshot *snapshot,
                          uint32_t uses, img_error *err)
{
    const char *fault = snapshot_fault(c, snapshot);
    bool aligned = !(snapshot->l1_offset & (c->q->cluster_size - 1)), whole;

    if (!fault)
        return qcow2_count_table(c, snapshot->l1_offset,
                                 (uint64_t)snapshot->l1_entries * QCOW2_ENTRY_BYTES, uses, &whole,
                                 err);
    qcow2_found(c, IMGI_FINDING_CORRUPTION,
                "ERROR snapshot %s (%s) %s=0x%" PRIx64 ": %s; snapshot table entry corrupted",
                snapshot->id, snapshot->name, aligned ? "l1_size" : "l1_offset",
                aligned ? snapshot->l1_entries : snapshot->l1_offset, fault);
    return 0;
}

/* Call fn for the L1 table of a snapshot, if it can be read. */
static int with_snapshot(struct qcow2_checking *c, const struct qcow2_snapshot *snapshot, l1_fn *fn,
                         uint32_t uses, img_error *err)
{
    struct qcow2_table l1 = {0};
    uint64_t bytes = (uint64_t)snapshot->l1_entries * QCOW2_ENTRY_BYTES;
    int rc;

    if (snapshot_fault(c, snapshot) || !imgi_span_ok(snapshot->l1_offset, bytes, c->file_size))
        return 0;
    rc = qcow2_table_load(&l1, "a snapshot's L1 table", c->q->node, snapshot->l1_offset,
                          snapshot->l1_entries, err);
    if (rc == 0)
        rc = fn(c, &l1, uses, err);
    qcow2_table_free(&l1);
    return rc;
}

static int with_all(struct qcow2_checking *c, l1_fn *fn, img_error *err)
{
    int rc = fn(c, &c->q->l1, 0, err);

    for (size_t i = 0; rc == 0 && i < c->snapshots.count; i++) {
        if (c->l1_uses[i] > 0)
            rc = with_snapshot(c, &c->snapshots.list[i], fn, c->l1_uses[i], err);
    }
    return rc;
}

int qcow2_check_l1_tables(struct qcow2_checking *c, img_error *err)
{
    int rc = qcow2_count_bytes(c, c->q->header.l1_offset,
                               (uint64_t)c->q->header.l1_entries * QCOW2_ENTRY_BYTES, 1, err);

    if (rc == 0)
        rc = qcow2_check_same_l1(c, err);
    for (size_t i = 0; rc == 0 && i < c->snapshots.count; i++) {
        if (c->l1_uses[i] > 0)
            rc = count_snapshot(c, &c->snapshots.list[i], c->l1_uses[i], err);
    }
    return rc == 0 ? with_all(c, count_l2_tables, err) : rc;
}

int qcow2_check_walk(struct qcow2_checking *c, img_error *err)
{
    return with_all(c, walk_l2_tables, err);
}

bool qcow2_check_is_table(const struct qcow2_checking *c, uint64_t cluster)
{
    return qcow2_counts_get(&c->counts, cluster) == qcow2_counts_get(&c->tables, cluster);
}

int qcow2_check_settle(struct qcow2_checking *c, img_error *err)
{
    bool any = false;
    int rc;

    for (uint64_t i = 0; !any && i < c->unsettled.clusters;
         i += UINT64_C(1) << QCOW2_COUNTS_PAGE_BITS)
        any = !qcow2_counts_empty(&c->unsettled, i);
    if (!any || c->incomplete)
        return 0;
    rc = qcow2_clear_promises(c->q, err);
    return rc == 0 ? with_all(c, settle_l2_tables, err) : rc;
}
