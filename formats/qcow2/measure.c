/*
 * How large a file would be. SPDX-License-Identifier: BSD-2-Clause
 *
 * The clusters of a fully allocated image: header, L1, L2 tables and data, then as many refcount
 * blocks and refcount table clusters as count all of these and themselves.
 */
#include "qcow2.h"

static int too_large(img_error *err)
{
    return imgi_fail(err, IMG_E_LIMIT,
                     "The image size is too large (try using a larger cluster size)");
}

/* Clusters of refcount blocks and of the refcount table for `clusters` others. */
static uint64_t refcount_clusters(const struct qcow2_options *options, uint64_t clusters)
{
    uint64_t block_bits = options->cluster_bits + 3 - options->refcount_order;
    uint64_t table_bits = options->cluster_bits - 3;
    uint64_t blocks = 0, table = 0, sum;

    do {
        sum = blocks + table;
        blocks = imgi_div_up(clusters + sum, UINT64_C(1) << block_bits);
        table = imgi_div_up(blocks, UINT64_C(1) << table_bits);
    } while (blocks + table != sum);
    return sum;
}

int qcow2_full_size(const struct qcow2_options *options, uint64_t size, uint64_t *bytes,
                    img_error *err)
{
    unsigned bits = options->cluster_bits, entry_bits = options->extended_l2 ? 4 : 3;
    uint64_t cluster_size = UINT64_C(1) << bits;
    uint64_t data = imgi_div_up(size, cluster_size);
    uint64_t l2 = imgi_div_up(data, UINT64_C(1) << (bits - entry_bits));
    uint64_t l1 = imgi_div_up(l2, UINT64_C(1) << (bits - 3));
    uint64_t clusters = 1 + l1 + l2 + data + imgi_div_up(options->crypt.luks_bytes, cluster_size);

    if (l2 > QCOW2_L1_BYTES_MAX / QCOW2_ENTRY_BYTES)
        return too_large(err);
    clusters += refcount_clusters(options, clusters);
    if (!imgi_mul(clusters, cluster_size, bytes) || *bytes > INT64_MAX)
        return too_large(err);
    return 0;
}

/* Bytes that the source's persistent bitmaps would take up in clusters of this size. */
static int measure_bitmaps(struct qcow2 *q, uint64_t cluster_size, uint64_t *bytes, img_error *err)
{
    struct qcow2_bitmap_list list;
    uint64_t directory = 0;
    int rc = qcow2_bitmaps_load(q, &list, err);

    *bytes = 0;
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < list.count; i++) {
        const struct qcow2_bitmap *bitmap = &list.bitmaps[i];
        uint64_t bits = imgi_div_up(q->header.size, UINT64_C(1) << bitmap->granularity_bits);
        uint64_t data = imgi_align_up(imgi_div_up(bits, 8), cluster_size);
        uint64_t table = data / cluster_size * QCOW2_ENTRY_BYTES;

        *bytes += data + imgi_align_up(table, cluster_size);
        directory += imgi_align_up(QCOW2_BITMAP_FIXED + strlen(bitmap->name), 8);
    }
    *bytes += imgi_align_up(directory, cluster_size);
    qcow2_bitmaps_free(&list);
    return 0;
}

static int add_bitmaps(const struct imgi_measure *measure, const struct qcow2_options *options,
                       img_measure_result *result, img_error *err)
{
    struct imgi_node *top = measure->top;

    if (!top || top->driver != &imgi_driver_qcow2 || options->version < 3 ||
        qcow2_of(top)->header.version < 3)
        return 0;
    result->has_bitmaps = true;
    return measure_bitmaps(qcow2_of(top), UINT64_C(1) << options->cluster_bits, &result->bitmaps,
                           err);
}

int qcow2_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err)
{
    uint32_t cluster_size;
    struct qcow2_options options;
    uint64_t data;
    int rc = qcow2_options_read(measure->options, measure->table, &options, err);

    if (rc < 0)
        return rc;
    cluster_size = 1u << options.cluster_bits;
    rc = qcow2_full_size(&options, measure->size, &result->fully_allocated, err);
    if (rc < 0)
        return rc;
    rc = add_bitmaps(measure, &options, result, err);
    if (rc < 0)
        return rc;
    data = imgi_div_up(measure->size, cluster_size) << options.cluster_bits;
    result->required = result->fully_allocated;
    if (options.preallocation >= IMG_PREALLOC_FALLOC || (options.backing && measure->has_source))
        return 0;
    result->required -= data;
    rc = imgi_measure_data(measure, cluster_size, &data, err);
    if (rc == 0)
        result->required += data;
    return rc;
}
