/*
 * Opening and closing, and the driver's table. SPDX-License-Identifier: BSD-2-Clause
 *
 * A read-only open reads cluster 0 and no more: tables are loaded when they are needed. An open
 * for writing loads the L1 and refcount tables and learns which clusters hold metadata.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "qcow2.h"

/* Memory for L2 tables, refcount blocks and bitmaps (two of 2 MiB each are kept in any case). */
#define L2_BUDGET (4u << 20)
#define REFCOUNT_BUDGET (1u << 20)
#define BITMAP_BUDGET (1u << 20)

static int qcow2_probe(const struct imgi_probe *probe)
{
    /* Versions that we cannot read too: "unsupported version" says more than a raw disk. */
    return probe->length >= 8 && imgi_get_be32(probe->head) == QCOW2_MAGIC &&
                   imgi_get_be32(probe->head + QCOW2_AT_VERSION) >= 2
               ? 100
               : 0;
}

int qcow2_refcount_cache_new(const struct qcow2 *q, struct imgi_cache **cache, img_error *err)
{
    struct imgi_cache_params params = {.io = q->node->file,
                                       .what = "refcount block",
                                       .budget = REFCOUNT_BUDGET,
                                       .table_size = q->cluster_size};

    return imgi_cache_new(cache, &params, err);
}

void qcow2_set_widths(struct qcow2 *q)
{
    q->block_bits = q->cluster_bits + 3 - q->header.refcount_order;
    q->refcount_max = UINT64_MAX >> (64 - (1u << q->header.refcount_order));
}

int qcow2_attach(struct qcow2 *q, struct imgi_node *node, img_error *err)
{
    struct imgi_cache_params l2 = {.io = node->file,
                                   .what = "L2 table",
                                   .budget = L2_BUDGET,
                                   .before_write = qcow2_before_l2,
                                   .opaque = q};
    struct imgi_cache_params bitmaps = {
        .io = node->file, .what = "bitmap data", .budget = BITMAP_BUDGET};
    int rc;

    q->node = node;
    q->cluster_bits = q->header.cluster_bits;
    q->cluster_size = 1u << q->cluster_bits;
    q->data_file = q->header.incompatible & QCOW2_INCOMPAT_DATA_FILE;
    q->data_raw = q->data_file && q->header.autoclear & QCOW2_AUTOCLEAR_RAW_DATA;
    q->extended_l2 = q->header.incompatible & QCOW2_INCOMPAT_EXTENDED_L2;
    q->l2_entry_bytes = q->extended_l2 ? QCOW2_EXTENDED_ENTRY_BYTES : QCOW2_ENTRY_BYTES;
    q->l2_bits = q->cluster_bits - imgi_log2(q->l2_entry_bytes);
    q->subclusters = q->extended_l2 ? QCOW2_SUBCLUSTERS : 1;
    q->subcluster_bits = q->cluster_bits - imgi_log2(q->subclusters);
    qcow2_set_widths(q);
    l2.table_size = bitmaps.table_size = q->cluster_size;
    rc = imgi_cache_new(&q->l2_cache, &l2, err);
    if (rc == 0)
        rc = qcow2_refcount_cache_new(q, &q->refcount_cache, err);
    if (rc == 0)
        rc = imgi_cache_new(&q->bitmap_cache, &bitmaps, err);
    return rc;
}

void qcow2_detach(struct qcow2 *q)
{
    imgi_cache_free(q->l2_cache);
    imgi_cache_free(q->refcount_cache);
    imgi_cache_free(q->bitmap_cache);
    qcow2_bitmaps_free(&q->bitmaps);
    qcow2_table_free(&q->l1);
    qcow2_table_free(&q->reftable);
    qcow2_owned_free(&q->owned);
    free(q->frees.runs);
    qcow2_header_clear(&q->header);
}

int qcow2_need_l1(struct qcow2 *q, img_error *err)
{
    if (q->l1.entries)
        return 0;
    return qcow2_table_load(&q->l1, "L1 table", q->node, q->header.l1_offset, q->header.l1_entries,
                            err);
}

int qcow2_need_reftable(struct qcow2 *q, img_error *err)
{
    uint64_t bytes = (uint64_t)q->header.reftable_clusters << q->cluster_bits;

    if (q->reftable.entries)
        return 0;
    return qcow2_table_load(&q->reftable, "Reference count table", q->node,
                            q->header.reftable_offset, bytes / QCOW2_ENTRY_BYTES, err);
}

int qcow2_broken(struct qcow2 *q)
{
    uint8_t bytes[8];

    if (q->node->writable && !q->broken && q->header.version >= 3) {
        q->header.incompatible |= QCOW2_INCOMPAT_CORRUPT;
        imgi_put_be64(bytes, q->header.incompatible);
        /* If this fails the image is no worse than it was found. */
        qcow2_header_update(q, QCOW2_AT_INCOMPATIBLE, bytes, sizeof(bytes), NULL);
    }
    q->broken = true;
    return IMG_E_CORRUPT;
}

int qcow2_writable(const struct qcow2 *q, img_error *err)
{
    if (!q->node->writable)
        return imgi_fail(err, IMG_E_RDONLY, "the image is open for reading only");
    if (q->broken)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the image was found to be corrupt and is not written any more");
    return 0;
}

/* What stands in the way of reading (the tables must be there) and of writing. */
static int check_state(const struct imgi_node *node, const struct qcow2_header *header,
                       img_error *err)
{
    bool check = node->flags & IMG_OPEN_CHECK;

    if (header->reftable_clusters == 0 && !check)
        return imgi_fail(err, IMG_E_CORRUPT, "Image does not contain a reference count table");
    if (header->snapshots > QCOW2_SNAPSHOTS_MAX && !check)
        return imgi_fail(err, IMG_E_LIMIT, "Snapshot table too large: %" PRIu32 " snapshots",
                         header->snapshots);
    if (!node->writable)
        return 0;
    if (header->incompatible & QCOW2_INCOMPAT_CORRUPT && !check)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "qcow2: Image is corrupt; cannot be opened read/write (to repair it: "
                         "qemu-img check -r all)");
    return 0;
}

/* The tables that the header names lie inside the file. */
static int check_places(const struct imgi_node *node, const struct qcow2_header *header,
                        img_error *err)
{
    struct imgi_table l1 = {"L1 table", header->l1_offset, header->l1_entries, QCOW2_ENTRY_BYTES, 0,
                            0};
    struct imgi_table refcounts = {"Reference count table",
                                   header->reftable_offset,
                                   header->reftable_clusters,
                                   1u << header->cluster_bits,
                                   0,
                                   0};
    struct imgi_table snapshots = {
        "Snapshot table", header->snapshots_offset, header->snapshots, QCOW2_SNAP_FIXED, 0, 0};
    uint64_t size;
    int rc = imgi_io_size(node->file, &size, err);

    l1.file_size = refcounts.file_size = snapshots.file_size = size;
    if (rc == 0 && l1.entries > 0)
        rc = imgi_policy_table(node->policy, &l1, err);
    /* A check tells what is wrong with refcounts, and a repair makes new ones. */
    if (rc == 0 && refcounts.entries > 0 && !(node->flags & IMG_OPEN_CHECK))
        rc = imgi_policy_table(node->policy, &refcounts, err);
    if (rc == 0 && snapshots.entries > 0)
        rc = imgi_policy_table(node->policy, &snapshots, err);
    return rc;
}

/*
 * Note the clusters of a table's targets. Entries that are no good are found out when they are
 * used.
 */
static int own_targets(struct qcow2 *q, const struct qcow2_table *table, uint64_t reserved,
                       enum qcow2_owner owner, img_error *err)
{
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < table->count; i++) {
        uint64_t offset = table->entries[i] & QCOW2_OFFSET_MASK;

        if (offset != 0 && !(table->entries[i] & reserved) && offset % q->cluster_size == 0)
            rc = qcow2_owned_add(&q->owned, offset >> q->cluster_bits, owner, err);
    }
    return rc;
}

static int own_snapshots(struct qcow2 *q, img_error *err)
{
    struct qcow2_snapshots snapshots = {0};
    int rc = qcow2_snapshots_load(q, &snapshots, err);

    if (rc == 0)
        rc = qcow2_owned_add_run(&q->owned, q->header.snapshots_offset >> q->cluster_bits,
                                 qcow2_clusters(q, snapshots.bytes), QCOW2_OWNER_SNAPSHOT, err);
    for (size_t i = 0; rc == 0 && i < snapshots.count; i++) {
        const struct qcow2_snapshot *snapshot = &snapshots.list[i];

        rc = qcow2_snapshot_check(q, snapshot, err);
        if (rc == 0)
            rc = qcow2_owned_add_run(
                &q->owned, snapshot->l1_offset >> q->cluster_bits,
                qcow2_clusters(q, (uint64_t)snapshot->l1_entries * QCOW2_ENTRY_BYTES),
                QCOW2_OWNER_SNAPSHOT, err);
    }
    qcow2_snapshots_free(&snapshots);
    return rc;
}

static int own_metadata(struct qcow2 *q, img_error *err)
{
    const struct qcow2_header *header = &q->header;
    int rc = qcow2_owned_add(&q->owned, 0, QCOW2_OWNER_HEADER, err);

    if (rc == 0)
        rc = qcow2_owned_add_run(&q->owned, header->reftable_offset >> q->cluster_bits,
                                 header->reftable_clusters, QCOW2_OWNER_REFTABLE, err);
    if (rc == 0)
        rc = own_targets(q, &q->reftable, QCOW2_REFTABLE_RESERVED, QCOW2_OWNER_REFBLOCK, err);
    if (rc == 0)
        rc =
            qcow2_owned_add_run(&q->owned, header->l1_offset >> q->cluster_bits,
                                qcow2_clusters(q, (uint64_t)header->l1_entries * QCOW2_ENTRY_BYTES),
                                QCOW2_OWNER_L1, err);
    if (rc == 0)
        rc = own_targets(q, &q->l1, QCOW2_L1_RESERVED, QCOW2_OWNER_L2, err);
    if (rc == 0)
        rc = qcow2_owned_add_run(&q->owned, q->crypto_offset >> q->cluster_bits,
                                 qcow2_clusters(q, q->crypto_bytes), QCOW2_OWNER_CRYPTO, err);
    if (rc == 0 && header->snapshots > 0)
        rc = own_snapshots(q, err);
    if (rc == 0)
        rc = qcow2_bitmaps_own(q, err);
    return rc;
}

int qcow2_own_again(struct qcow2 *q, img_error *err)
{
    qcow2_owned_free(&q->owned);
    q->free_hint = 0;
    q->stream_end = 0;
    return own_metadata(q, err);
}

int qcow2_clear_promises(struct qcow2 *q, img_error *err)
{
    uint64_t kept = q->header.autoclear & QCOW2_AUTOCLEAR_KEPT;
    uint8_t bytes[8];
    int rc;

    if (q->header.autoclear == kept)
        return 0;
    imgi_put_be64(bytes, kept);
    rc = qcow2_header_update(q, QCOW2_AT_AUTOCLEAR, bytes, sizeof(bytes), err);
    if (rc == 0)
        q->header.autoclear = kept;
    return rc;
}

static int prepare_writing(struct qcow2 *q, img_error *err)
{
    int rc = 0;

    if (q->header.incompatible & QCOW2_INCOMPAT_DIRTY)
        rc = qcow2_repair_dirty(q->node, err);
    if (rc == 0)
        rc = qcow2_need_l1(q, err);
    if (rc == 0)
        rc = qcow2_need_reftable(q, err);
    /* The repair has noted some already, for what it allocated. */
    if (rc == 0)
        rc = qcow2_own_again(q, err);
    if (rc == 0)
        rc = qcow2_bitmaps_open(q, err);
    if (rc == 0)
        rc = qcow2_clear_promises(q, err);
    q->lazy = q->header.compatible & QCOW2_COMPAT_LAZY_REFCOUNTS;
    if (imgi_options_string(q->node->options, qcow2_open_options, "lazy-refcounts"))
        q->lazy = imgi_options_bool(q->node->options, qcow2_open_options, "lazy-refcounts");
    return rc;
}

static int set_backing(struct imgi_node *node, const struct qcow2_header *header, img_error *err)
{
    const struct qcow2_extension *format = qcow2_extension_find(header, QCOW2_EXT_BACKING_FORMAT);

    if (!header->backing_name)
        return 0;
    node->backing_name = strdup(header->backing_name);
    if (!node->backing_name)
        return imgi_fail_nomem(err, "the backing file's name");
    if (!format)
        return 0;
    if (format->length > QCOW2_BACKING_FORMAT_MAX || memchr(format->data, '\0', format->length))
        return imgi_fail(err, IMG_E_CORRUPT, "the backing format's name has %" PRIu32 " bytes",
                         format->length);
    node->backing_format = strdup((const char *)format->data);
    return node->backing_format ? 0 : imgi_fail_nomem(err, "the backing format's name");
}

static int read_open_options(struct qcow2 *q, img_error *err)
{
    bool lazy = imgi_options_bool(q->node->options, qcow2_open_options, "lazy-refcounts");

    if (lazy && q->header.version < 3)
        return imgi_fail(err, IMG_E_INVAL,
                         "Lazy refcounts require a qcow2 image with at least qemu 1.1 "
                         "compatibility level");
    q->discard_no_unref =
        imgi_options_bool(q->node->options, qcow2_open_options, "discard-no-unref");
    if (q->discard_no_unref && q->header.version < 3)
        return imgi_fail(err, IMG_E_INVAL,
                         "discard-no-unref is only supported since qcow2 version 3");
    return 0;
}

static int qcow2_open(struct imgi_node *node, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_header *header = &q->header;
    int rc = qcow2_header_read(node->file, header, err);

    if (rc == 0)
        rc = check_state(node, header, err);
    if (rc == 0)
        rc = check_places(node, header, err);
    if (rc == 0)
        rc = qcow2_attach(q, node, err);
    if (rc == 0)
        rc = qcow2_data_open(q, err);
    if (rc == 0)
        rc = read_open_options(q, err);
    if (rc == 0)
        rc = set_backing(node, header, err);
    if (rc == 0)
        rc = qcow2_crypt_open(q, node, err);
    /* A repair asks nothing of the structures that it is to mend. */
    if (rc == 0 && node->writable && !(node->flags & IMG_OPEN_CHECK))
        rc = prepare_writing(q, err);
    if (rc < 0)
        return rc;
    node->size = header->size;
    node->cluster_size = q->cluster_size;
    node->grain = 1u << q->subcluster_bits;
    node->data = q->data;
    /* A compressed cluster has no place of its own in a data file. */
    if (!q->data_file)
        node->pack.codec =
            header->compression == QCOW2_COMPRESSION_ZSTD ? IMGI_CODEC_ZSTD : IMGI_CODEC_DEFLATE;
    /* QEMU inflates with a window of 4 KiB, and so may whoever reads piecewise. */
    node->pack.window_bits = 12;
    node->reads_zero = true;
    node->dirty = header->incompatible & QCOW2_INCOMPAT_DIRTY;
    return 0;
}

/* What only an image that is closed properly has. */
static int qcow2_finish(struct imgi_node *node, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    int rc = qcow2_bitmaps_finish(q, err);

    if (rc == 0)
        rc = qcow2_pad_stream(q, err);
    if (rc == 0 && q->lazy)
        rc = qcow2_refcounts_settle(q, err);
    return rc;
}

static void qcow2_close(struct imgi_node *node)
{
    qcow2_detach(qcow2_of(node));
}

const struct imgi_driver imgi_driver_qcow2 = {
    .name = "qcow2",
    .state_size = sizeof(struct qcow2),
    .create_options = qcow2_create_options,
    .open_options = qcow2_open_options,
    .amend_options = qcow2_amend_options,
    .probe = qcow2_probe,
    .create = qcow2_create,
    .open = qcow2_open,
    .close = qcow2_close,
    .finish = qcow2_finish,
    .info = qcow2_info,
    .snapshots = qcow2_info_snapshots,
    .map = qcow2_map,
    .track = qcow2_track,
    .reserve = qcow2_reserve,
    .link = qcow2_link,
    .cancel = qcow2_cancel,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .flush = qcow2_flush,
    .reach = qcow2_reach,
    .resize = qcow2_resize,
    .snapshot_list = qcow2_snapshot_list,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_delete = qcow2_snapshot_delete,
    .snapshot_view = qcow2_snapshot_view,
    .make_empty = qcow2_make_empty,
    .set_backing = qcow2_set_backing,
    .check = qcow2_check,
    .compact = qcow2_compact,
    .bitmaps = &qcow2_bitmap_ops,
    .amend = qcow2_amend,
    .measure = qcow2_measure,
};
