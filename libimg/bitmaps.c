/*
 * Dirty bitmaps, for users of the library. SPDX-License-Identifier: BSD-2-Clause
 *
 * Names, rules and texts that are the same for every format; the driver knows bitmaps by their
 * number. node->lock covers each step: a list that is being changed needs the image for itself.
 */
#include <string.h>

#include "internal.h"

#define GRANULARITY_MIN 512u
#define GRANULARITY_MAX (UINT64_C(1) << 31) /* QEMU counts it in 32 bits */
#define DEFAULT_MIN 4096u
#define DEFAULT_MAX 65536u

static int get(struct imgi_node *node, size_t n, struct imgi_bitmap *bitmap, img_error *err)
{
    int rc;

    if (!node->driver->bitmaps)
        return IMG_E_NOENT;
    pthread_mutex_lock(&node->lock);
    rc = node->driver->bitmaps->get(node, n, bitmap, err);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

/* The number of the bitmap of that name. */
static int find(struct imgi_node *node, const char *name, size_t *n, img_error *err)
{
    struct imgi_bitmap bitmap;
    int rc;

    for (*n = 0; (rc = get(node, *n, &bitmap, err)) == 0; ++*n) {
        if (strcmp(bitmap.name, name) == 0)
            return 0;
    }
    return rc == IMG_E_NOENT ? imgi_fail(err, rc, "Dirty bitmap '%s' not found", name) : rc;
}

static int done(const img_image *image, int rc, img_error *err)
{
    if (rc < 0)
        imgi_error_image(err, image->top->name);
    return rc;
}

bool img_bitmap_supported(const img_image *image)
{
    const struct imgi_node *node = image->top;

    return node->driver->bitmaps && node->driver->bitmaps->supported(node);
}

int img_bitmap_get(img_image *image, size_t n, img_bitmap *bitmap, img_error *err)
{
    struct imgi_bitmap found;
    int rc = get(image->top, n, &found, err);

    if (rc == IMG_E_NOENT)
        return imgi_fail(err, rc, "There is no bitmap number %zu", n);
    if (rc == 0)
        *bitmap = (img_bitmap){.name = found.name,
                               .granularity = found.granularity,
                               .enabled = found.enabled,
                               .inconsistent = found.inconsistent};
    return done(image, rc, err);
}

/* The granularity that 0 stands for. */
static uint64_t default_granularity(const struct imgi_node *node)
{
    return IMGI_MAX(IMGI_MIN(node->cluster_size, DEFAULT_MAX), DEFAULT_MIN);
}

static int check_addition(struct imgi_node *node, const struct imgi_bitmap *bitmap, img_error *err)
{
    img_error missing;
    size_t n;
    int rc;

    if (bitmap->name[0] == '\0')
        return imgi_fail(err, IMG_E_INVAL, "Bitmap name cannot be empty");
    if (!imgi_is_pow2(bitmap->granularity) || bitmap->granularity < GRANULARITY_MIN ||
        bitmap->granularity > GRANULARITY_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Granularity must be power of 2 and at least %u",
                         GRANULARITY_MIN);
    rc = find(node, bitmap->name, &n, &missing);
    if (rc == 0)
        return imgi_fail(err, IMG_E_EXISTS, "Bitmap already exists: %s", bitmap->name);
    if (rc != IMG_E_NOENT) {
        if (err)
            *err = missing;
        return rc;
    }
    if (!node->driver->bitmaps)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Can't store persistent bitmaps to %s: Operation not supported",
                         node->name);
    return 0;
}

int img_bitmap_add(img_image *image, const char *name, uint64_t granularity, bool enabled,
                   img_error *err)
{
    struct imgi_node *node = image->top;
    struct imgi_bitmap bitmap = {.name = name,
                                 .granularity =
                                     granularity ? granularity : default_granularity(node),
                                 .enabled = enabled};
    int rc = imgi_check_change(image, "change of bitmaps", 0, 0, err);

    if (rc == 0)
        rc = check_addition(node, &bitmap, err);
    if (rc < 0)
        return done(image, rc, err);
    pthread_mutex_lock(&node->lock);
    rc = node->driver->bitmaps->add(node, &bitmap, err);
    pthread_mutex_unlock(&node->lock);
    if (rc < 0)
        imgi_error_prefix(err, "Can't make bitmap '%s' persistent in '%s'", name, node->name);
    return done(image, rc, err);
}

/* Changes that take a bitmap by its name and leave the list as it is, or not. */
enum change { REMOVE, CLEAR, ENABLE, DISABLE };

static int change(img_image *image, const char *name, enum change what, img_error *err)
{
    struct imgi_node *node = image->top;
    size_t n;
    int rc = imgi_check_change(image, "change of bitmaps", 0, 0, err);

    if (rc == 0)
        rc = find(node, name, &n, err);
    if (rc < 0)
        return done(image, rc, err);
    pthread_mutex_lock(&node->lock);
    if (what == REMOVE)
        rc = node->driver->bitmaps->remove(node, n, err);
    else if (what == CLEAR)
        rc = node->driver->bitmaps->clear(node, n, err);
    else
        rc = node->driver->bitmaps->enable(node, n, what == ENABLE, err);
    pthread_mutex_unlock(&node->lock);
    return done(image, rc, err);
}

int img_bitmap_remove(img_image *image, const char *name, img_error *err)
{
    return change(image, name, REMOVE, err);
}

int img_bitmap_clear(img_image *image, const char *name, img_error *err)
{
    return change(image, name, CLEAR, err);
}

int img_bitmap_enable(img_image *image, const char *name, bool enabled, img_error *err)
{
    return change(image, name, enabled ? ENABLE : DISABLE, err);
}

static int run_of(struct imgi_node *node, size_t n, uint64_t offset, uint64_t length, uint64_t *run,
                  bool *dirty, img_error *err)
{
    int rc;

    pthread_mutex_lock(&node->lock);
    rc = node->driver->bitmaps->run(node, n, offset, length, run, dirty, err);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

int img_bitmap_run(img_image *image, const char *name, uint64_t offset, uint64_t length,
                   uint64_t *run, bool *dirty, img_error *err)
{
    struct imgi_node *node = image->top;
    size_t n;
    int rc = find(node, name, &n, err);

    if (rc == 0 && (length == 0 || !imgi_span_ok(offset, length, node->size)))
        rc = imgi_fail(err, IMG_E_RANGE, "%llu bytes at %llu are not on the disk of %llu bytes",
                       (unsigned long long)length, (unsigned long long)offset,
                       (unsigned long long)node->size);
    if (rc == 0)
        rc = run_of(node, n, offset, length, run, dirty, err);
    return done(image, rc, err);
}

/* Both bitmaps can be used, and are of disks of one size. */
static int check_merge(struct imgi_node *to, size_t n, struct imgi_node *from, size_t from_n,
                       img_error *err)
{
    uint64_t run;
    bool dirty;
    int rc = 0;

    if (to->size != from->size)
        return imgi_fail(err, IMG_E_INVAL,
                         "Bitmaps are of different sizes (destination size is %llu, source size is "
                         "%llu) and can't be merged",
                         (unsigned long long)to->size, (unsigned long long)from->size);
    if (to->size > 0)
        rc = run_of(to, n, 0, 1, &run, &dirty, err);
    if (rc == 0 && from->size > 0)
        rc = run_of(from, from_n, 0, 1, &run, &dirty, err);
    return rc;
}

static int merge(struct imgi_node *to, size_t n, struct imgi_node *from, size_t from_n,
                 img_error *err)
{
    uint64_t at = 0, run;
    bool dirty;
    int rc = check_merge(to, n, from, from_n, err);

    while (rc == 0 && at < from->size) {
        rc = run_of(from, from_n, at, from->size - at, &run, &dirty, err);
        if (rc == 0 && dirty) {
            pthread_mutex_lock(&to->lock);
            rc = to->driver->bitmaps->set(to, n, at, run, err);
            pthread_mutex_unlock(&to->lock);
        }
        at += run;
    }
    return rc;
}

int img_bitmap_merge(img_image *image, const char *name, img_image *source, const char *source_name,
                     img_error *err)
{
    struct imgi_node *to = image->top, *from = source ? source->top : to;
    size_t n, from_n;
    int rc = imgi_check_change(image, "change of bitmaps", 0, 0, err);

    if (rc == 0)
        rc = find(to, name, &n, err);
    if (rc == 0)
        rc = find(from, source_name, &from_n, err);
    if (rc == 0)
        rc = merge(to, n, from, from_n, err);
    return done(image, rc, err);
}
