/*
 * Making an image. SPDX-License-Identifier: BSD-2-Clause
 *
 * Laid out as QEMU does: header, refcount table, first refcount block, L1 table, then L2 tables and
 * data. The same code that works on an open image makes the tables; the header comes last, so that
 * no half-made image has a magic.
 */
#include <stdlib.h>

#include "qcow2.h"

/* The first clusters of every new image. */
enum { HEADER_CLUSTER, REFTABLE_CLUSTER, REFBLOCK_CLUSTER, FIRST_CLUSTERS };

static int add_extensions(struct qcow2_header *header, const struct imgi_create *create,
                          const struct qcow2_options *options, img_error *err)
{
    const char *format = create->backing_format;
    int rc = 0;

    if (format && strlen(format) > QCOW2_BACKING_FORMAT_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Parameter 'backing-fmt' does not accept value '%s'",
                         format);
    if (format && create->backing_name)
        rc = qcow2_extension_add(header, QCOW2_EXT_BACKING_FORMAT, format, (uint32_t)strlen(format),
                                 err);
    if (rc == 0 && options->data_file)
        rc = qcow2_extension_add(header, QCOW2_EXT_DATA_FILE, options->data_file,
                                 (uint32_t)strlen(options->data_file), err);
    if (rc == 0 && header->version >= 3 && 1u << header->cluster_bits > QCOW2_FEATURES_MIN_CLUSTER)
        rc = qcow2_extension_add_features(header, err);
    return rc;
}

/* A header without L1 table and size. */
static int make_header(struct qcow2_header *header, const struct imgi_create *create,
                       const struct qcow2_options *options, img_error *err)
{
    *header = (struct qcow2_header){
        .version = options->version,
        .cluster_bits = options->cluster_bits,
        .reftable_offset = (uint64_t)REFTABLE_CLUSTER << options->cluster_bits,
        .reftable_clusters = 1,
        .compatible = options->lazy_refcounts ? QCOW2_COMPAT_LAZY_REFCOUNTS : 0,
        .refcount_order = options->refcount_order,
        .header_length = options->version >= 3 ? QCOW2_V3_LENGTH : QCOW2_V2_LENGTH,
        .compression = (uint8_t)options->compression,
    };
    if (options->compression != QCOW2_COMPRESSION_DEFLATE)
        header->incompatible |= QCOW2_INCOMPAT_COMPRESSION;
    if (options->extended_l2)
        header->incompatible |= QCOW2_INCOMPAT_EXTENDED_L2;
    if (options->data_file)
        header->incompatible |= QCOW2_INCOMPAT_DATA_FILE;
    if (options->data_raw)
        header->autoclear |= QCOW2_AUTOCLEAR_RAW_DATA;
    if (create->backing_name && *create->backing_name) {
        if (strlen(create->backing_name) > QCOW2_BACKING_NAME_MAX)
            return imgi_fail(err, IMG_E_INVAL, "Backing file name too long");
        header->backing_name = strdup(create->backing_name);
        if (!header->backing_name)
            return imgi_fail_nomem(err, "the backing file's name");
    }
    return add_extensions(header, create, options, err);
}

/* The refcount structures of a new image, and an empty L1 table, in memory. */
static int make_tables(struct qcow2 *q, img_error *err)
{
    uint64_t block_offset = (uint64_t)REFBLOCK_CLUSTER << q->cluster_bits;
    uint8_t *block;
    int rc = qcow2_table_new(&q->l1, 0, 0, err);

    if (rc == 0)
        rc = qcow2_table_new(&q->reftable, q->header.reftable_offset,
                             q->cluster_size / QCOW2_ENTRY_BYTES, err);
    if (rc == 0)
        rc = imgi_cache_add(q->refcount_cache, block_offset, 0, &block, err);
    if (rc < 0)
        return rc;
    qcow2_table_set_dirty(&q->reftable);
    qcow2_table_set(&q->reftable, 0, block_offset);
    for (unsigned i = 0; i < FIRST_CLUSTERS; i++)
        qcow2_refcount_put(block, q->header.refcount_order, i, 1);
    rc = qcow2_owned_add(&q->owned, HEADER_CLUSTER, QCOW2_OWNER_HEADER, err);
    if (rc == 0)
        rc = qcow2_owned_add(&q->owned, REFTABLE_CLUSTER, QCOW2_OWNER_REFTABLE, err);
    if (rc == 0)
        rc = qcow2_owned_add(&q->owned, REFBLOCK_CLUSTER, QCOW2_OWNER_REFBLOCK, err);
    return rc;
}

static int write_header(struct qcow2 *q, img_error *err)
{
    uint8_t *cluster = NULL;
    int rc = qcow2_header_encode(&q->header, &cluster, err);

    if (rc == 0)
        rc = qcow2_header_update(q, 0, cluster, q->cluster_size, err);
    free(cluster);
    return rc;
}

static int make_image(struct qcow2 *q, struct imgi_create *create,
                      const struct qcow2_options *options, uint64_t size, img_error *err)
{
    struct imgi_node *node = q->node;
    uint8_t *cluster;
    int rc = qcow2_header_encode(&q->header, &cluster, err); /* fits? nothing is written yet */

    if (rc < 0)
        return rc;
    free(cluster);
    rc = qcow2_attach(q, node, err);
    if (rc == 0)
        rc = make_tables(q, err);
    if (rc == 0)
        rc = qcow2_grow_l1(q, size, err);
    if (rc == 0)
        rc = qcow2_crypt_create(q, create, &options->crypt, err);
    if (rc < 0)
        return rc;
    node->size = q->header.size = size;
    node->cluster_size = q->cluster_size;
    if (q->data_file)
        rc = qcow2_data_resize(q, 0, size, options->preallocation, err);
    if (rc == 0)
        rc = qcow2_preallocate(q, 0, options->preallocation, err);
    if (rc == 0)
        rc = qcow2_flush(node, err);
    if (rc == 0)
        rc = imgi_io_flush(node->file, err);
    if (rc == 0)
        rc = write_header(q, err);
    return rc;
}

int qcow2_create(struct imgi_create *create, img_error *err)
{
    struct qcow2 q = {.data = create->file};
    struct imgi_node node = {.driver = &imgi_driver_qcow2,
                             .state = &q,
                             .file = create->file,
                             .name = create->name,
                             .writable = true,
                             .policy = create->policy};
    struct qcow2_options options;
    uint64_t size = create->size;
    int rc = qcow2_options_read(create->options, create->table, &options, err);

    /* Places that hold zeros would hide the backing image; those of extended entries need not. */
    if (rc == 0 && options.backing && options.preallocation != IMG_PREALLOC_OFF &&
        !options.extended_l2)
        rc = imgi_fail(err, IMG_E_INVAL,
                       "Backing file and preallocation can only be used at the same time if "
                       "extended_l2 is on");
    if (rc == 0 && size > INT64_MAX - QCOW2_SECTOR)
        rc = imgi_fail(err, IMG_E_LIMIT, "Image size must be less than 8 EiB!");
    if (rc < 0)
        return rc;
    q.node = &node;
    size = imgi_align_up(size, QCOW2_SECTOR);
    rc = make_header(&q.header, create, &options, err);
    if (rc == 0 && options.data_file)
        rc = qcow2_data_create(&q, create, options.data_file, err);
    if (rc == 0)
        rc = make_image(&q, create, &options, size, err);
    qcow2_detach(&q);
    return rc;
}
