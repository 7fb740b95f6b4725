/*
 * compact: a file that was once large gets small. SPDX-License-Identifier: BSD-2-Clause
 *
 * What moves where, and in which order, is the format's business: this knows how long the file was
 * and is, and who wants to hear how far it is.
 */
#include "job.h"

struct imgi_compacter {
    img_job *job;
    uint64_t moved;
};

int imgi_compact_begin(struct imgi_compacter *compacter, uint64_t total, img_error *err)
{
    return imgi_job_begin(compacter->job, "compact", total, err);
}

int imgi_compact_progress(struct imgi_compacter *compacter, uint64_t bytes, img_error *err)
{
    int rc = imgi_job_throttle(compacter->job, bytes, err);

    compacter->moved += bytes;
    return rc < 0 ? rc : imgi_job_advance(compacter->job, bytes, err);
}

static int check_compact(const struct imgi_node *node, img_error *err)
{
    if (!node->driver->compact)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "an image of the format '%s' cannot be compacted in place: convert it to "
                         "a new file, which has no holes",
                         node->driver->name);
    if (!node->writable)
        return imgi_fail(err, IMG_E_RDONLY, "compact needs an image that is open for writing");
    return 0;
}

static int run(struct imgi_node *node, struct imgi_compacter *compacter, img_error *err)
{
    int rc;

    pthread_mutex_lock(&node->lock);
    rc = node->driver->compact(node, compacter, err);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

int img_compact(img_job *given, img_image *image, img_compact_result *result, img_error *err)
{
    struct imgi_node *node = image->top;
    img_job *own;
    img_job *job = imgi_job_own(given, &own, err);
    struct imgi_compacter compacter = {.job = job};
    int rc = job ? check_compact(node, err) : IMG_E_NOMEM;

    *result = (img_compact_result){0};
    if (rc == 0)
        rc = imgi_io_size(node->file, &result->before, err);
    result->usage_before = imgi_io_usage(node->file);
    result->after = result->before;
    if (rc == 0)
        rc = run(node, &compacter, err);
    imgi_io_size(node->file, &result->after, NULL);
    result->usage = imgi_io_usage(node->file);
    result->moved = compacter.moved;
    img_job_free(own);
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}
