/*
 * Zeros without data, and data that nobody needs. SPDX-License-Identifier: BSD-2-Clause
 *
 * A driver zeroes whole grains. At the ragged ends of a request the rest of the grain decides:
 * where it reads as zeros anyway all of the grain is zeroed, else zeros are written.
 */
#include "internal.h"

/* Zeros to write where a format has no other way to say it. */
#define ZEROS_SIZE (64u << 10)
static const uint8_t zeros[ZEROS_SIZE];

static int write_zeros(struct imgi_node *node, uint64_t offset, uint64_t length,
                       struct imgi_scratch *scratch, img_error *err)
{
    int rc = 0;

    while (rc == 0 && length > 0) {
        size_t step = (size_t)IMGI_MIN(length, sizeof(zeros));

        rc = imgi_node_write(node, offset, zeros, step, scratch, err);
        offset += step;
        length -= step;
    }
    return rc;
}

/* Guest bytes start..end that a driver is asked to change as a whole. */
struct span {
    uint64_t start, end;
};

/* The part of a range that consists of whole units; the disk's end counts as a border. */
static struct span whole_units(const struct imgi_node *node, uint64_t offset, uint64_t end,
                               uint64_t unit)
{
    struct span span = {imgi_align_up(offset, unit), end};

    if (end != node->size)
        span.end = imgi_align_down(end, unit);
    if (span.end < span.start)
        span.end = span.start;
    return span;
}

static uint64_t cluster_of(const struct imgi_node *node)
{
    return IMGI_MAX(node->cluster_size, 1u);
}

static uint64_t grain_of(const struct imgi_node *node)
{
    return IMGI_MAX(imgi_node_grain(node), 1u);
}

static void take(struct imgi_node *node, struct imgi_range *range, struct span span)
{
    if (node->ranges)
        imgi_ranges_take(node->ranges, range, imgi_align_down(span.start, cluster_of(node)),
                         imgi_align_up(span.end, cluster_of(node)), true);
}

static void release(struct imgi_node *node, struct imgi_range *range)
{
    if (node->ranges)
        imgi_ranges_release(node->ranges, range);
}

/* Let the driver zero whole grains, which the caller has to itself. */
static int zero_held(struct imgi_node *node, struct span span, unsigned flags, img_error *err)
{
    int rc;

    pthread_mutex_lock(&node->lock);
    rc = node->driver->zero(node, span.start, span.end - span.start, (flags & IMG_ZERO_UNMAP) != 0,
                            err);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

/* What the format has no other way for. */
static int fall_back(struct imgi_node *node, struct span span, unsigned flags,
                     struct imgi_scratch *scratch, img_error *err)
{
    if (flags & IMG_ZERO_NO_FALLBACK)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "zeros would have to be written");
    return write_zeros(node, span.start, span.end - span.start, scratch, err);
}

/* Whole grains, by the driver or by writing. */
static int zero_grains(struct imgi_node *node, struct span span, unsigned flags,
                       struct imgi_scratch *scratch, img_error *err)
{
    struct imgi_range range;
    img_error failure = {0};
    int rc;

    if (span.start == span.end)
        return 0;
    take(node, &range, span);
    rc = zero_held(node, span, flags, &failure);
    release(node, &range);
    if (rc == IMG_E_UNSUPPORTED)
        return fall_back(node, span, flags, scratch, err);
    if (rc < 0 && err)
        *err = failure;
    return rc;
}

/* Whether it is known without reading that all of a range reads as zeros. */
static int reads_zero(struct imgi_node *node, uint64_t offset, uint64_t end, bool *result,
                      img_error *err)
{
    *result = true;
    while (*result && offset < end) {
        struct imgi_layer_run run;
        int rc = imgi_chain_map(node, offset, end - offset, &run, err);

        if (rc < 0)
            return rc;
        *result = run.extent.kind == IMGI_ZERO;
        offset += run.extent.length;
    }
    return 0;
}

/* Zero the whole grain around a part of it if the rest of it is zeros. *done: it was. */
static int zero_around(struct imgi_node *node, struct span part, unsigned flags, bool *done,
                       img_error *err)
{
    uint64_t start = imgi_align_down(part.start, grain_of(node));
    struct span grain = {start, IMGI_MIN(start + grain_of(node), node->size)};
    struct imgi_range range;
    img_error failure = {0};
    int rc;

    take(node, &range, grain);
    rc = reads_zero(node, grain.start, part.start, done, &failure);
    if (rc == 0 && *done)
        rc = reads_zero(node, part.end, grain.end, done, &failure);
    if (rc == 0 && *done)
        rc = zero_held(node, grain, flags, &failure);
    release(node, &range);
    if (rc == IMG_E_UNSUPPORTED) {
        *done = false;
        rc = 0;
    }
    if (rc < 0 && err)
        *err = failure;
    return rc;
}

/* A part of one grain. */
static int zero_part(struct imgi_node *node, struct span part, unsigned flags,
                     struct imgi_scratch *scratch, img_error *err)
{
    bool done = false;
    int rc = 0;

    if (part.start == part.end)
        return 0;
    rc = zero_around(node, part, flags, &done, err);
    if (rc == 0 && !done)
        rc = fall_back(node, part, flags, scratch, err);
    return rc;
}

/* Grains of the first cluster, whole clusters, grains of the last. */
static int zero_clusters(struct imgi_node *node, struct span grains, unsigned flags,
                         struct imgi_scratch *scratch, img_error *err)
{
    struct span whole = whole_units(node, grains.start, grains.end, cluster_of(node));
    int rc;

    if (whole.start > grains.end)
        return zero_grains(node, grains, flags, scratch, err);
    rc = zero_grains(node, (struct span){grains.start, whole.start}, flags, scratch, err);
    if (rc == 0)
        rc = zero_grains(node, whole, flags, scratch, err);
    if (rc == 0)
        rc = zero_grains(node, (struct span){whole.end, grains.end}, flags, scratch, err);
    return rc;
}

int imgi_node_zero(struct imgi_node *node, uint64_t offset, uint64_t length, unsigned flags,
                   struct imgi_scratch *scratch, img_error *err)
{
    uint64_t end = offset + length;
    struct span grains = whole_units(node, offset, end, grain_of(node));
    int rc = imgi_node_track(node, offset, length, err);

    if (rc < 0)
        goto out;
    if (node->no_unmap)
        flags &= ~(unsigned)IMG_ZERO_UNMAP;
    if (!node->driver->zero)
        rc = fall_back(node, (struct span){offset, end}, flags, scratch, err);
    else if (grains.start > end) /* a part of one grain, in its middle */
        rc = zero_part(node, (struct span){offset, end}, flags, scratch, err);
    else {
        rc = zero_part(node, (struct span){offset, grains.start}, flags, scratch, err);
        if (rc == 0)
            rc = zero_clusters(node, grains, flags, scratch, err);
        if (rc == 0)
            rc = zero_part(node, (struct span){grains.end, end}, flags, scratch, err);
    }
out:
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}

int imgi_node_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err)
{
    struct span span = whole_units(node, offset, offset + length, cluster_of(node));
    struct imgi_range range;
    int rc = imgi_node_track(node, offset, length, err);

    if (rc == 0 && span.end > span.start && node->driver->discard && !node->no_unmap) {
        take(node, &range, span);
        pthread_mutex_lock(&node->lock);
        rc = node->driver->discard(node, span.start, span.end - span.start, err);
        pthread_mutex_unlock(&node->lock);
        release(node, &range);
    }
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}
