/*
 * sparsify: give up the space of what is stored and need not be.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The disk holds the same before, meanwhile and afterwards, so it can be stopped anywhere, and what
 * stands on the image does not notice. What the job's free space has counts as zeros, and nothing
 * in the guest will miss it. Only what the image itself stores is looked at, in units
 * that its format can give up, and only those that are all zeros go. Where the format cannot say
 * "zeros" without storing them they stay.
 *
 * look() decides what can go unseen, and what must be read first.
 */
#include "util/iszero.h"
#include "walk.h"

/* Where there are no clusters: what filesystems give up as one. */
#define SPARSE_UNIT 4096u

struct sparsify {
    const img_job *job;
    struct imgi_node *top;
    uint64_t unit;        /* bytes that are given up as one */
    pthread_mutex_t lock; /* protects what follows */
    uint64_t zeros, unused;
};

/* What is stored by the image itself, and whether it must be read. */
static enum imgi_walk_action judge(const struct sparsify *sparsify,
                                   const struct imgi_layer_run *run)
{
    if (run->node != sparsify->top)
        return IMGI_WALK_SKIP;
    if (run->extent.kind != IMGI_ZERO)
        return IMGI_WALK_DATA;
    /* A hole is no space; that kept for later is. */
    if ((run->extent.flags & IMGI_EXTENT_HOLES) || !(run->extent.flags & IMGI_EXTENT_RESERVED))
        return IMGI_WALK_SKIP;
    return IMGI_WALK_ZERO;
}

static int look(void *context, uint64_t offset, uint64_t *length, enum imgi_walk_action *action,
                img_error *err)
{
    const struct sparsify *sparsify = context;
    uint64_t left = sparsify->top->size - offset;
    struct imgi_layer_run run;
    bool free;
    int rc = imgi_chain_map(sparsify->top, offset, *length, &run, err);

    if (rc < 0)
        return rc;
    *action = judge(sparsify, &run);
    *length = run.extent.length;
    if (*action == IMGI_WALK_DATA) {
        *length = imgi_job_free_run(sparsify->job, offset, *length, &free);
        *action = free ? IMGI_WALK_ZERO : IMGI_WALK_DATA;
    }
    if (*length == left)
        return 0;
    *length = imgi_align_down(*length, sparsify->unit);
    if (*length == 0) { /* of several kinds: the content decides */
        *action = IMGI_WALK_DATA;
        *length = IMGI_MIN(sparsify->unit, left);
    }
    return 0;
}

/* These bytes have been given up. */
static void count(struct sparsify *sparsify, uint64_t offset, uint64_t length)
{
    uint64_t unused = 0;
    bool free;

    for (uint64_t at = 0, step; at < length; at += step) {
        step = imgi_job_free_run(sparsify->job, offset + at, length - at, &free);
        unused += free ? step : 0;
    }
    pthread_mutex_lock(&sparsify->lock);
    sparsify->unused += unused;
    sparsify->zeros += length - unused;
    pthread_mutex_unlock(&sparsify->lock);
}

/* What the format cannot give up stays as it is. */
static int give_up(struct sparsify *sparsify, struct imgi_walk_thread *thread, uint64_t offset,
                   uint64_t length, img_error *err)
{
    img_error failure = {0};
    int rc = imgi_node_zero(sparsify->top, offset, length, IMG_ZERO_UNMAP | IMG_ZERO_NO_FALLBACK,
                            &thread->scratch[0], &failure);

    if (rc == IMG_E_UNSUPPORTED)
        return 0;
    if (rc < 0 && err)
        *err = failure;
    if (rc < 0)
        return rc;
    count(sparsify, offset, length);
    return 0;
}

/* Give up the units of the buffer that are zeros, neighbours in one request. */
static int give_up_zeros(struct sparsify *sparsify, struct imgi_walk_thread *thread,
                         uint64_t offset, uint64_t length, img_error *err)
{
    const uint8_t *bytes = thread->buffers[0];
    uint64_t start = 0, at = 0;
    int rc = 0;

    while (rc == 0 && at < length) {
        uint64_t step = IMGI_MIN(sparsify->unit, length - at);

        if (!imgi_is_zero(bytes + at, (size_t)step)) {
            if (at > start)
                rc = give_up(sparsify, thread, offset + start, at - start, err);
            start = at + step;
        }
        at += step;
    }
    if (rc == 0 && length > start)
        rc = give_up(sparsify, thread, offset + start, length - start, err);
    return rc;
}

static int act(void *context, struct imgi_walk_thread *thread, uint64_t offset, uint64_t length,
               enum imgi_walk_action action, img_error *err)
{
    struct sparsify *sparsify = context;
    int rc;

    if (action == IMGI_WALK_ZERO)
        return give_up(sparsify, thread, offset, length, err);
    rc = imgi_node_read(sparsify->top, offset, thread->buffers[0], (size_t)length,
                        &thread->scratch[0], err);
    imgi_job_clear_free(sparsify->job, offset, thread->buffers[0], length);
    return rc < 0 ? rc : give_up_zeros(sparsify, thread, offset, length, err);
}

static int run(img_image *image, img_job *job, img_sparsify_result *result, img_error *err)
{
    struct imgi_node *top = image->top;
    struct sparsify sparsify = {.job = job,
                                .top = top,
                                .unit =
                                    imgi_node_is_identity(top) ? SPARSE_UNIT : top->cluster_size};
    struct imgi_walk walk = {
        .job = job,
        .phase = "sparsify",
        .context = &sparsify,
        .end = top->size,
        .align = (uint32_t)sparsify.unit,
        .look = look,
        .act = act,
    };
    int rc, flushed;

    pthread_mutex_init(&sparsify.lock, NULL);
    rc = imgi_walk_run(&walk, err);
    pthread_mutex_destroy(&sparsify.lock);
    result->zeros = sparsify.zeros;
    result->unused = sparsify.unused;
    flushed = imgi_node_flush(top, rc == 0 ? err : NULL);
    return rc < 0 ? rc : flushed;
}

/* What was seen to be zeros, or unused, may be written to just before it is given up. */
static int check_attached(const struct imgi_node *top, img_error *err)
{
    int rc = 0;

    for (size_t n = 0; rc == 0 && n < top->files->count; n++)
        rc = imgi_check_attached(top->files->list[n].path, err);
    return rc;
}

int img_sparsify(img_job *given, img_image *image, img_sparsify_result *result, img_error *err)
{
    struct imgi_node *top = image->top;
    img_job *own, *job = imgi_job_own(given, &own, err);
    int rc = job ? 0 : IMG_E_NOMEM;

    *result = (img_sparsify_result){.before = imgi_files_usage(top->files)};
    if (rc == 0 && !top->writable)
        rc = imgi_fail(err, IMG_E_RDONLY, "sparsify needs an image that is open for writing");
    if (rc == 0 && !top->driver->zero)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "an image of the format '%s' cannot give up space",
                       top->driver->name);
    if (rc == 0)
        rc = check_attached(top, err);
    if (rc == 0)
        rc = imgi_job_check_free(job, image, err);
    if (rc == 0)
        rc = run(image, job, result, err);
    result->after = imgi_files_usage(top->files);
    img_job_free(own);
    if (rc < 0)
        imgi_error_image(err, top->name);
    return rc;
}
