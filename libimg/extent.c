/*
 * Where a run of the disk comes from, through all images of the chain.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "internal.h"

/*
 * A run whose file may have holes: cut it to the hole or the data that it begins
 * with. A hole stays known by its place in the file.
 */
static int narrow_to_hole(struct imgi_extent *extent, img_error *err)
{
    struct imgi_io_extent found;
    uint64_t size;
    int rc = imgi_io_size(extent->io, &size, err);

    if (rc < 0)
        return rc;
    if (extent->host >= size) {
        extent->kind = IMGI_ZERO;
        extent->flags |= IMGI_EXTENT_RESERVED;
        return 0;
    }
    extent->length = IMGI_MIN(extent->length, size - extent->host);
    rc = imgi_io_extent(extent->io, extent->host, extent->length, &found, err);
    if (rc < 0)
        return rc;
    extent->length = IMGI_MIN(extent->length, found.length);
    if (found.hole) {
        extent->kind = IMGI_ZERO;
        extent->flags |= IMGI_EXTENT_RESERVED;
    }
    return 0;
}

int imgi_chain_map(struct imgi_node *top, uint64_t offset, uint64_t length,
                   struct imgi_layer_run *run, img_error *err)
{
    struct imgi_node *node = top;
    int rc;

    run->depth = 0;
    for (;;) {
        rc = imgi_node_map(node, offset, length, &run->extent, err);
        if (rc < 0)
            return rc;
        length = run->extent.length;
        if (run->extent.kind != IMGI_ABSENT)
            break;
        if (!node->backing) {
            run->extent.kind = IMGI_ZERO;
            run->node = NULL;
            return 0;
        }
        if (offset >= node->backing->size) {
            /* Past the end of a shorter backing image: zeros, and nobody's but this one's. */
            run->extent.kind = IMGI_ZERO;
            run->node = NULL;
            return 0;
        }
        run->depth++;
        node = node->backing;
        length = IMGI_MIN(length, node->size - offset);
    }
    run->node = node;
    if (run->extent.kind == IMGI_DATA && (run->extent.flags & IMGI_EXTENT_HOLES)) {
        rc = narrow_to_hole(&run->extent, err);
        if (rc < 0)
            imgi_error_image(err, node->name);
    }
    return rc;
}

static void describe(const struct imgi_layer_run *run, img_extent *extent)
{
    const struct imgi_extent *found = &run->extent;

    *extent = (img_extent){.offset = found->offset, .length = found->length, .depth = run->depth};
    if (run->node)
        extent->flags |= IMG_EXTENT_PRESENT;
    extent->flags |= found->kind == IMGI_ZERO ? IMG_EXTENT_ZERO : IMG_EXTENT_DATA;
    if (found->kind == IMGI_PACKED)
        extent->flags |= IMG_EXTENT_PACKED;
    if (run->node && run->node->encrypted)
        return; /* what lies there is not the guest's bytes */
    if (found->kind == IMGI_DATA ||
        (found->kind == IMGI_ZERO && (found->flags & IMGI_EXTENT_RESERVED))) {
        extent->flags |= IMG_EXTENT_HOST;
        extent->host = found->host;
        extent->file = imgi_io_below(found->io, &extent->host, &extent->length)->name;
    }
}

int img_map(img_image *image, uint64_t offset, uint64_t length, img_extent *extent, img_error *err)
{
    struct imgi_layer_run run;
    int rc;

    if (length == 0 || !imgi_span_ok(offset, length, image->top->size))
        return imgi_fail(err, IMG_E_RANGE,
                         "a map of %llu bytes at %llu is outside the disk of %llu",
                         (unsigned long long)length, (unsigned long long)offset,
                         (unsigned long long)image->top->size);
    rc = imgi_chain_map(image->top, offset, length, &run, err);
    if (rc == 0)
        describe(&run, extent);
    return rc;
}
