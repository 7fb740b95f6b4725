/*
 * Snapshots inside an image. SPDX-License-Identifier: BSD-2-Clause
 */
#include "internal.h"

static int no_snapshots(const struct imgi_node *node, img_error *err)
{
    if (node->driver->snapshot_advice)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "%s", node->driver->snapshot_advice);
    return imgi_fail(err, IMG_E_UNSUPPORTED, "the format '%s' has no internal snapshots",
                     node->driver->name);
}

static int name_image(const img_image *image, int rc, img_error *err)
{
    if (rc < 0)
        imgi_error_image(err, image->top->name);
    return rc;
}

int img_snapshot_supported(const img_image *image, img_error *err)
{
    return image->top->driver->snapshot_create ? 0
                                               : name_image(image, no_snapshots(image->top, err), err);
}

int img_snapshot_list(img_image *image, img_snapshot **list, size_t *count, img_error *err)
{
    struct imgi_node *node = image->top;
    int rc;

    *list = NULL;
    *count = 0;
    if (!node->driver->snapshot_list)
        return 0;
    pthread_mutex_lock(&node->lock);
    rc = node->driver->snapshot_list(node, list, count, err);
    pthread_mutex_unlock(&node->lock);
    return name_image(image, rc, err);
}

int img_snapshot_create(img_image *image, const img_snapshot *snapshot, img_error *err)
{
    struct imgi_node *node = image->top;
    int rc = imgi_check_change(image, "snapshot", 0, 0, err);

    if (rc < 0)
        return rc;
    if (!node->driver->snapshot_create)
        return name_image(image, no_snapshots(node, err), err);
    pthread_mutex_lock(&node->lock);
    rc = node->driver->snapshot_create(node, snapshot, err);
    pthread_mutex_unlock(&node->lock);
    return name_image(image, rc, err);
}

typedef int pick_fn(struct imgi_node *node, const char *id, const char *name, img_error *err);

/* Do something with the snapshot of that id and name. */
static int with_snapshot(img_image *image, pick_fn *fn, const char *id, const char *name,
                         img_error *err)
{
    struct imgi_node *node = image->top;
    int rc;

    if (!fn)
        return name_image(image, no_snapshots(node, err), err);
    pthread_mutex_lock(&node->lock);
    rc = fn(node, id, name, err);
    pthread_mutex_unlock(&node->lock);
    return name_image(image, rc, err);
}

int img_snapshot_apply(img_image *image, const char *id, const char *name, img_error *err)
{
    int rc = imgi_check_change(image, "snapshot", 0, 0, err);

    return rc < 0 ? rc : with_snapshot(image, image->top->driver->snapshot_apply, id, name, err);
}

int img_snapshot_delete(img_image *image, const char *id, const char *name, img_error *err)
{
    int rc = imgi_check_change(image, "snapshot", 0, 0, err);

    return rc < 0 ? rc : with_snapshot(image, image->top->driver->snapshot_delete, id, name, err);
}

int img_snapshot_view(img_image *image, const char *id, const char *name, img_error *err)
{
    int rc;

    if (image->top->writable)
        return name_image(image,
                          imgi_fail(err, IMG_E_INVAL,
                                    "a snapshot is read from an image that is open for reading"),
                          err);
    rc = with_snapshot(image, image->top->driver->snapshot_view, id, name, err);
    /* Clusters of the disk as it was shown until now. */
    pthread_mutex_lock(&image->scratch_lock);
    for (struct imgi_scratch *scratch = image->scratch; scratch; scratch = scratch->next)
        scratch->cached = NULL;
    pthread_mutex_unlock(&image->scratch_lock);
    return rc;
}
