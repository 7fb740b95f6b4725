/*
 * The gate: what every request passes before the image sees it.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Ranges, the right to write, and cache modes that promise the disk are dealt with here once,
 * for every format.
 */
#include "internal.h"
#include "util/iszero.h"

static int check_range(const img_image *image, const char *what, uint64_t offset, uint64_t length,
                       img_error *err)
{
    if (imgi_span_ok(offset, length, image->top->size))
        return 0;
    imgi_fail(err, IMG_E_RANGE, "a %s of %llu bytes at %llu is outside the disk of %llu bytes",
              what, (unsigned long long)length, (unsigned long long)offset,
              (unsigned long long)image->top->size);
    imgi_error_image(err, image->top->name);
    return IMG_E_RANGE;
}

int imgi_check_change(const img_image *image, const char *what, uint64_t offset, uint64_t length,
                      img_error *err)
{
    int rc;

    if (!image->top->writable) {
        imgi_fail(err, IMG_E_RDONLY, "a %s needs an image that is open for writing", what);
        imgi_error_image(err, image->top->name);
        return IMG_E_RDONLY;
    }
    rc = check_range(image, what, offset, length, err);
    if (rc == 0)
        rc = imgi_node_begin_write(image->top, err);
    return rc;
}

int imgi_settle(img_image *image, img_error *err)
{
    if (image->cache != IMG_CACHE_WRITETHROUGH && image->cache != IMG_CACHE_DIRECTSYNC)
        return 0;
    return imgi_node_flush(image->top, err);
}

int img_read(img_image *image, uint64_t offset, void *buffer, size_t length, img_error *err)
{
    struct imgi_scratch *scratch;
    int rc = check_range(image, "read", offset, length, err);

    if (rc < 0)
        return rc;
    scratch = imgi_scratch_take(image, err);
    if (!scratch)
        return IMG_E_NOMEM;
    rc = imgi_node_read(image->top, offset, buffer, length, scratch, err);
    imgi_scratch_give(image, scratch);
    return rc;
}

/* Is this write to become a request for zeros? */
static bool detects(const struct imgi_node *node, const void *buffer, size_t length)
{
    return node->detect_zeroes != IMGI_DETECT_OFF && !node->pack_only &&
           imgi_is_zero(buffer, length);
}

int img_write(img_image *image, uint64_t offset, const void *buffer, size_t length, img_error *err)
{
    struct imgi_scratch *scratch;
    int rc = imgi_check_change(image, "write", offset, length, err);

    if (rc < 0)
        return rc;
    scratch = imgi_scratch_take(image, err);
    if (!scratch)
        return IMG_E_NOMEM;
    if (detects(image->top, buffer, length))
        rc = imgi_node_zero(image->top, offset, length,
                            image->top->detect_zeroes == IMGI_DETECT_UNMAP, scratch, err);
    else
        rc = imgi_node_write(image->top, offset, buffer, length, scratch, err);
    imgi_scratch_give(image, scratch);
    if (rc == 0)
        rc = imgi_settle(image, err);
    return rc;
}

int img_zero(img_image *image, uint64_t offset, uint64_t length, unsigned flags, img_error *err)
{
    struct imgi_scratch *scratch;
    int rc = imgi_check_change(image, "zero request", offset, length, err);

    if (rc < 0)
        return rc;
    scratch = imgi_scratch_take(image, err);
    if (!scratch)
        return IMG_E_NOMEM;
    rc = imgi_node_zero(image->top, offset, length, flags, scratch, err);
    imgi_scratch_give(image, scratch);
    if (rc == 0)
        rc = imgi_settle(image, err);
    return rc;
}

int img_discard(img_image *image, uint64_t offset, uint64_t length, img_error *err)
{
    int rc = imgi_check_change(image, "discard", offset, length, err);

    if (rc == 0)
        rc = imgi_node_discard(image->top, offset, length, err);
    if (rc == 0)
        rc = imgi_settle(image, err);
    return rc;
}

int img_flush(img_image *image, img_error *err)
{
    if (!image->top->writable)
        return 0;
    return imgi_node_flush(image->top, err);
}

/*
 * How far the space behind the disk's end may read as something else than zeros once the disk is
 * larger: in the cluster that the end cuts, if the disk was larger before, and where a longer
 * backing image shows through.
 */
static int find_gained(struct imgi_node *node, uint64_t size, uint64_t *end, img_error *err)
{
    uint64_t border = node->size;
    struct imgi_extent extent;
    int rc = 0;

    *end = node->size;
    if (node->cluster_size > 0)
        border = IMGI_MIN(imgi_align_up(node->size, node->cluster_size), size);
    if (border > node->size) {
        rc = imgi_node_map(node, node->size, border - node->size, &extent, err);
        if (rc == 0 && extent.kind != IMGI_ZERO && extent.kind != IMGI_ABSENT)
            *end = border;
    }
    if (rc == 0 && node->backing && node->backing->size > node->size)
        *end = IMGI_MAX(*end, IMGI_MIN(size, node->backing->size));
    return rc;
}

/*
 * Zeros there, on disk before anything there says that the disk is larger: a machine that stops in
 * between leaves the smaller disk.
 */
static int clear_gained(struct imgi_node *node, uint64_t size, struct imgi_scratch *scratch,
                        img_error *err)
{
    uint64_t old = node->size, end = old;
    int rc;

    if (size <= old || !node->driver->reach)
        return 0;
    pthread_mutex_lock(&node->lock);
    rc = node->driver->reach(node, size, err);
    pthread_mutex_unlock(&node->lock);
    if (rc == 0)
        rc = find_gained(node, size, &end, err);
    if (rc < 0 || end == old)
        return rc;
    node->size = size;
    rc = imgi_node_zero(node, old, end - old, IMG_ZERO_UNMAP, scratch, err);
    node->size = old;
    return rc < 0 ? rc : imgi_node_flush(node, err);
}

static int can_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                      img_error *err)
{
    int rc = imgi_policy_limit(node->policy, IMG_LIMIT_VIRTUAL_SIZE, size, "virtual size", err);

    if (rc == 0 && !node->driver->resize)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "Image format driver '%s' does not support resize",
                       node->driver->name);
    if (rc == 0 && mode != IMG_PREALLOC_OFF && size <= node->size)
        rc = imgi_fail(err, IMG_E_INVAL, "Preallocation can only be used for growing images");
    if (rc == 0 && node->driver->can_resize) {
        pthread_mutex_lock(&node->lock);
        rc = node->driver->can_resize(node, size, mode, err);
        pthread_mutex_unlock(&node->lock);
    }
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}

int imgi_node_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                     struct imgi_scratch *scratch, img_error *err)
{
    int rc = can_resize(node, size, mode, err);

    if (rc < 0)
        return rc;
    rc = clear_gained(node, size, scratch, err);
    if (rc == 0) {
        pthread_mutex_lock(&node->lock);
        rc = node->driver->resize(node, size, mode, err);
        pthread_mutex_unlock(&node->lock);
    }
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}

int img_resize_preallocated(img_image *image, uint64_t size, enum img_preallocation mode,
                            img_error *err)
{
    struct imgi_scratch *scratch;
    int rc = 0;

    /* Before imgi_check_change: a resize that is refused leaves no trace (a new identifier). */
    if (image->top->writable)
        rc = can_resize(image->top, size, mode, err);
    if (rc == 0)
        rc = imgi_check_change(image, "resize", 0, 0, err);

    if (rc < 0)
        return rc;
    scratch = imgi_scratch_take(image, err);
    if (!scratch)
        return IMG_E_NOMEM;
    rc = imgi_node_resize(image->top, size, mode, scratch, err);
    imgi_scratch_give(image, scratch);
    if (rc == 0)
        rc = imgi_settle(image, err);
    return rc;
}

int img_resize(img_image *image, uint64_t size, img_error *err)
{
    return img_resize_preallocated(image, size, IMG_PREALLOC_OFF, err);
}
