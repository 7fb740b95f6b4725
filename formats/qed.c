/*
 * QED: QEMU Enhanced Disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * Little-endian. One L1 table of L2 tables of clusters, all tables of one size. An L2 entry is 0
 * (the backing image's), 1 (zeros) or the offset of a cluster. There are no reference counts: what
 * nothing points to is free, and lost until somebody looks for it.
 */
#include <stdlib.h>

#include "driver.h"

#define MAGIC 0x00444551u
#define HEADER_BYTES 64
#define SECTOR 512u

#define CLUSTER_MIN 4096u
#define CLUSTER_MAX (64u << 20)
#define TABLE_CLUSTERS_MAX 16u
#define BACKING_NAME_MAX 1023

#define FEATURE_BACKING (1u << 0)
#define FEATURE_NEED_CHECK (1u << 1)
#define FEATURE_BACKING_RAW (1u << 2)
#define FEATURES_KNOWN (FEATURE_BACKING | FEATURE_NEED_CHECK | FEATURE_BACKING_RAW)

#define ENTRY_ABSENT 0
#define ENTRY_ZERO 1

/* An L2 table can have 1 GiB: it is read in pieces. */
#define PIECE_MAX (64u << 10)
#define L2_BUDGET (1u << 20)

struct header {
    uint32_t cluster_size;
    uint32_t table_size;  /* in clusters */
    uint32_t header_size; /* in clusters */
    uint64_t features;    /* which nobody may ignore */
    uint64_t l1_offset;
    uint64_t image_size;
    uint32_t backing_offset, backing_size;
};

/* Constant after open, but for the cache. */
struct qed {
    struct header header;
    uint64_t file_size;
    uint64_t entries;    /* of a table */
    uint64_t l1_entries; /* that the disk needs */
    uint8_t *l1;         /* little-endian, as in the file */
    uint32_t piece;      /* bytes of an L2 table that are read at a time */
    struct imgi_cache *l2;
};

static int qed_probe(const struct imgi_probe *probe)
{
    return probe->length >= HEADER_BYTES && imgi_get_le32(probe->head) == MAGIC ? 100 : 0;
}

/* ------------------------------------------------------------------- open */

static void decode(const uint8_t *bytes, struct header *header)
{
    header->cluster_size = imgi_get_le32(bytes + 4);
    header->table_size = imgi_get_le32(bytes + 8);
    header->header_size = imgi_get_le32(bytes + 12);
    header->features = imgi_get_le64(bytes + 16);
    header->l1_offset = imgi_get_le64(bytes + 40);
    header->image_size = imgi_get_le64(bytes + 48);
    header->backing_offset = imgi_get_le32(bytes + 56);
    header->backing_size = imgi_get_le32(bytes + 60);
}

static int check_geometry(const struct header *header, img_error *err)
{
    if (header->features & ~(uint64_t)FEATURES_KNOWN)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Unsupported QED features: %llx",
                         (unsigned long long)(header->features & ~(uint64_t)FEATURES_KNOWN));
    if (!imgi_is_pow2(header->cluster_size) || header->cluster_size < CLUSTER_MIN ||
        header->cluster_size > CLUSTER_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "QED cluster size is invalid: %u bytes",
                         header->cluster_size);
    if (!imgi_is_pow2(header->table_size) || header->table_size > TABLE_CLUSTERS_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "QED table size is invalid: %u clusters",
                         header->table_size);
    if (header->header_size == 0)
        return imgi_fail(err, IMG_E_CORRUPT, "QED header size is invalid: 0 clusters");
    return 0;
}

/* What bounds the tables: entries of a table, and how large a disk two levels of them can have. */
static int check_size(struct qed *qed, img_error *err)
{
    const struct header *header = &qed->header;
    uint64_t covers, most;

    qed->entries = (uint64_t)header->table_size * header->cluster_size / 8;
    covers = qed->entries * header->cluster_size;
    if (!imgi_mul(covers, qed->entries, &most))
        most = INT64_MAX;
    if (header->image_size % SECTOR != 0 || header->image_size > IMGI_MIN(most, INT64_MAX))
        return imgi_fail(err, IMG_E_CORRUPT, "QED image size is invalid: %llu bytes",
                         (unsigned long long)header->image_size);
    qed->l1_entries = imgi_div_up(header->image_size, covers);
    return 0;
}

/* Whether a cluster can begin there, if the file is long enough: behind the header. */
static bool is_cluster(const struct qed *qed, uint64_t offset)
{
    uint64_t cluster = qed->header.cluster_size;

    return offset % cluster == 0 && offset >= qed->header.header_size * cluster;
}

/* Whether a table can lie there. */
static bool is_table(const struct qed *qed, uint64_t offset)
{
    return is_cluster(qed, offset) && imgi_span_ok(offset, qed->entries * 8, qed->file_size);
}

static int read_header(struct imgi_node *node, struct qed *qed, img_error *err)
{
    const struct header *header = &qed->header;
    uint8_t bytes[HEADER_BYTES];
    int rc = imgi_io_size(node->file, &qed->file_size, err);

    if (rc == 0 && qed->file_size < sizeof(bytes))
        return imgi_fail(err, IMG_E_FORMAT, "Image not in QED format: the file has %llu bytes",
                         (unsigned long long)qed->file_size);
    if (rc == 0)
        rc = imgi_io_read(node->file, bytes, sizeof(bytes), 0, err);
    if (rc == 0 && imgi_get_le32(bytes) != MAGIC)
        rc = imgi_fail(err, IMG_E_FORMAT, "Image not in QED format");
    if (rc < 0)
        return rc;
    decode(bytes, &qed->header);
    rc = check_geometry(header, err);
    if (rc == 0)
        rc = check_size(qed, err);
    if (rc == 0 && !is_table(qed, header->l1_offset))
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "QED table offset is invalid: an L1 table of %llu bytes at 0x%llx in a file "
                       "of %llu bytes",
                       (unsigned long long)qed->entries * 8, (unsigned long long)header->l1_offset,
                       (unsigned long long)qed->file_size);
    return rc;
}

static int read_backing_name(struct imgi_node *node, const struct qed *qed, img_error *err)
{
    const struct header *header = &qed->header;

    if (!(header->features & FEATURE_BACKING))
        return 0;
    if (header->backing_size > BACKING_NAME_MAX ||
        !imgi_span_ok(
            header->backing_offset, header->backing_size,
            IMGI_MIN((uint64_t)header->header_size * header->cluster_size, qed->file_size)))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the backing file's name, %u bytes at 0x%x, is too long or not inside the "
                         "header",
                         header->backing_size, header->backing_offset);
    node->backing_name = calloc(1, header->backing_size + 1);
    if (!node->backing_name)
        return imgi_fail_nomem(err, "a backing file's name");
    if (header->features & FEATURE_BACKING_RAW) {
        node->backing_format = strdup("raw");
        if (!node->backing_format)
            return imgi_fail_nomem(err, "a backing file's format");
    }
    return imgi_io_read(node->file, node->backing_name, header->backing_size,
                        header->backing_offset, err);
}

static int open_tables(struct imgi_node *node, struct qed *qed, img_error *err)
{
    struct imgi_table l1 = {.what = "L1 table",
                            .offset = qed->header.l1_offset,
                            .entries = qed->l1_entries,
                            .entry_size = 8};
    struct imgi_cache_params params = {.io = node->file, .what = "table", .budget = L2_BUDGET};
    int rc = imgi_node_read_table(node, &l1, &qed->l1, err);

    qed->piece = (uint32_t)IMGI_MIN(qed->entries * 8, PIECE_MAX);
    params.table_size = qed->piece;
    return rc < 0 ? rc : imgi_cache_new(&qed->l2, &params, err);
}

static int qed_open(struct imgi_node *node, img_error *err)
{
    struct qed *qed = node->state;
    int rc = read_header(node, qed, err);

    if (rc < 0)
        return rc;
    node->size = qed->header.image_size;
    node->cluster_size = qed->header.cluster_size;
    rc = read_backing_name(node, qed, err);
    return rc < 0 ? rc : open_tables(node, qed, err);
}

static void qed_close(struct imgi_node *node)
{
    struct qed *qed = node->state;

    imgi_cache_free(qed->l2);
    free(qed->l1);
}

/* ---------------------------------------------------------------- address */

/* An entry of the table at that offset. */
static int read_entry(struct qed *qed, uint64_t table, uint64_t index, uint64_t *entry,
                      img_error *err)
{
    uint64_t place = 8 * index;
    uint8_t *piece;
    int rc = imgi_cache_get(qed->l2, table + imgi_align_down(place, qed->piece), &piece, err);

    if (rc == 0)
        *entry = imgi_get_le64(piece + place % qed->piece);
    return rc;
}

static int lookup(struct imgi_node *node, uint64_t index, struct imgi_cluster *found,
                  img_error *err)
{
    struct qed *qed = node->state;
    uint64_t l1_index = index / qed->entries, table = imgi_get_le64(qed->l1 + 8 * l1_index);
    int rc;

    found->kind = IMGI_ABSENT;
    if (table == ENTRY_ABSENT) {
        found->count = qed->entries - index % qed->entries;
        return 0;
    }
    if (!is_table(qed, table))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "L1 entry %llu: no L2 table can lie at 0x%llx in a file of %llu bytes",
                         (unsigned long long)l1_index, (unsigned long long)table,
                         (unsigned long long)qed->file_size);
    rc = read_entry(qed, table, index % qed->entries, &found->host, err);
    if (rc < 0 || found->host == ENTRY_ABSENT)
        return rc;
    found->kind = found->host == ENTRY_ZERO ? IMGI_ZERO : IMGI_DATA;
    /* What lies past the end of the file is for those who read it to notice. */
    if (found->kind == IMGI_DATA && !is_cluster(qed, found->host))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "L2 entry of cluster %llu: no cluster can lie at 0x%llx",
                         (unsigned long long)index, (unsigned long long)found->host);
    return 0;
}

static int qed_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                   struct imgi_extent *extent, img_error *err)
{
    extent->offset = offset;
    extent->length = length;
    return imgi_map_clusters(node, node->cluster_size, lookup, extent, err);
}

/* ------------------------------------------------------------------ check */

enum fault { FAULT_TABLE, FAULT_CLUSTER, FAULT_SHARED, FAULTS };

/* Faults of one kind, of which a hostile image can have millions: how many, and the first. */
struct faults {
    uint64_t count, index, offset;
};

struct check {
    struct qed *qed;
    struct faults faults[FAULTS];
    struct imgi_checker *checker;
    struct imgi_seen *used; /* clusters of the file */
    uint64_t file_clusters, used_count;
    uint64_t last; /* where the cluster before lies; 0: there was none */
};

static void note(struct check *check, enum fault kind, uint64_t index, uint64_t offset)
{
    struct faults *faults = &check->faults[kind];

    if (faults->count++ == 0) {
        faults->index = index;
        faults->offset = offset;
    }
}

/* Each counts, as a fault of its own. */
static void report_faults(const struct check *check)
{
    static const char *const what[FAULTS] = {
        [FAULT_TABLE] = "L1 entries lead where no L2 table can lie, the first is entry",
        [FAULT_CLUSTER] = "L2 entries lead where no cluster can lie, the first is that of cluster",
        [FAULT_SHARED] = "clusters of the file are used twice, the first is cluster",
    };

    for (size_t i = 0; i < FAULTS; i++) {
        const struct faults *faults = &check->faults[i];

        if (faults->count == 0)
            continue;
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION, "ERROR %llu %s %llu (0x%llx)",
                   (unsigned long long)faults->count, what[i], (unsigned long long)faults->index,
                   (unsigned long long)faults->offset);
        check->checker->result->corruptions += faults->count - 1;
    }
}

/* Take clusters of the file; each that somebody has already is a fault. *twice: there was one. */
static int take(struct check *check, uint64_t offset, uint64_t clusters, bool *twice,
                img_error *err)
{
    uint64_t cluster = check->qed->header.cluster_size, first = offset / cluster;
    bool taken = false;
    int rc = 0;

    *twice = false;
    for (uint64_t i = 0; rc == 0 && i < clusters; i++) {
        rc = imgi_seen_mark(check->used, first + i, 1, &taken, err);
        *twice = *twice || taken;
        if (taken)
            note(check, FAULT_SHARED, first + i, (first + i) * cluster);
        else
            check->used_count++;
    }
    return rc;
}

static int check_cluster(struct check *check, uint64_t index, uint64_t offset, img_error *err)
{
    const struct qed *qed = check->qed;
    img_check_result *result = check->checker->result;
    uint64_t cluster = qed->header.cluster_size;
    bool twice;

    result->allocated_clusters++;
    if (check->last != 0 && check->last + cluster != offset)
        result->fragmented_clusters++;
    check->last = offset;
    if (is_cluster(qed, offset) && imgi_span_ok(offset, cluster, qed->file_size))
        return take(check, offset, 1, &twice, err);
    note(check, FAULT_CLUSTER, index, offset);
    return 0;
}

static int check_table(struct check *check, uint64_t l1_index, uint64_t table, img_error *err)
{
    struct qed *qed = check->qed;
    uint64_t entry = 0;
    bool twice;
    int rc;

    if (!is_table(qed, table)) {
        note(check, FAULT_TABLE, l1_index, table);
        return 0;
    }
    rc = take(check, table, qed->header.table_size, &twice, err);
    if (twice)
        return rc;
    for (uint64_t i = 0; rc == 0 && i < qed->entries; i++) {
        rc = read_entry(qed, table, i, &entry, err);
        if (rc == 0 && entry != ENTRY_ABSENT && entry != ENTRY_ZERO)
            rc = check_cluster(check, l1_index * qed->entries + i, entry, err);
    }
    return rc;
}

/* All of the L1 table, what the disk does not need too: it may have been larger. */
static int check_tables(struct check *check, img_error *err)
{
    struct qed *qed = check->qed;
    uint64_t table = ENTRY_ABSENT;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < qed->entries; i++) {
        rc = read_entry(qed, qed->header.l1_offset, i, &table, err);
        if (rc == 0 && table != ENTRY_ABSENT)
            rc = check_table(check, i, table, err);
        if (rc == 0 && table != ENTRY_ABSENT)
            rc = imgi_check_progress(check->checker, i, qed->entries, err);
    }
    return rc;
}

/* What nobody took. There can be millions: they are counted, not told one by one. */
static void count_leaks(struct check *check)
{
    uint64_t leaks = check->file_clusters - check->used_count;

    if (leaks == 0)
        return;
    imgi_found(check->checker, IMGI_FINDING_LEAK, "Leaked: %llu clusters that no table names",
               (unsigned long long)leaks);
    check->checker->result->leaks += leaks - 1;
}

static int qed_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct qed *qed = node->state;
    struct check check = {.qed = qed, .checker = checker};
    bool twice;
    int rc;

    if (checker->repair != IMGI_REPAIR_NONE)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "QED images are only read here, not repaired");
    check.file_clusters = qed->file_size / node->cluster_size;
    checker->result->total_clusters = imgi_div_up(node->size, node->cluster_size);
    check.used = imgi_seen_new(check.file_clusters, node->policy, err);
    rc = check.used ? take(&check, 0, qed->header.header_size, &twice, err) : IMG_E_NOMEM;
    if (rc == 0)
        rc = take(&check, qed->header.l1_offset, qed->header.table_size, &twice, err);
    if (rc == 0)
        rc = check_tables(&check, err);
    report_faults(&check);
    if (rc == 0)
        count_leaks(&check);
    imgi_seen_free(check.used);
    return rc;
}

const struct imgi_driver imgi_driver_qed = {
    .name = "qed",
    .read_only = true,
    .state_size = sizeof(struct qed),
    .probe = qed_probe,
    .open = qed_open,
    .close = qed_close,
    .map = qed_map,
    .check = qed_check,
};
