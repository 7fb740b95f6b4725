/*
 * amend: the driver changes its image, this tells of it. SPDX-License-Identifier: BSD-2-Clause
 */
#include "job.h"

/* How finely progress is told. */
#define PARTS (UINT64_C(1) << 30)

void imgi_amend_steps(struct imgi_amend *amend, unsigned steps)
{
    amend->steps = IMGI_MAX(steps, 1u);
    amend->step = 0;
}

void imgi_amend_next(struct imgi_amend *amend)
{
    amend->step++;
}

int imgi_amend_progress(struct imgi_amend *amend, uint64_t done, uint64_t total, img_error *err)
{
    double part = total ? (double)IMGI_MIN(done, total) / (double)total : 1;
    uint64_t now = (uint64_t)((amend->step + part) / amend->steps * (double)PARTS);
    img_job *job = amend->job;

    pthread_mutex_lock(&job->lock);
    now = now > job->done ? now - job->done : 0;
    pthread_mutex_unlock(&job->lock);
    return imgi_job_advance(job, now, err);
}

int imgi_amend_resize(struct imgi_node *node, struct imgi_amend *amend, uint64_t size,
                      img_error *err)
{
    return imgi_node_resize(node, size, IMG_PREALLOC_OFF, amend->scratch, err);
}

static int check_amend(const struct imgi_node *node, const img_options *options, img_error *err)
{
    if (!node->driver->amend)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Format driver '%s' does not support option amendment",
                         node->driver->name);
    return imgi_options_check(options, node->driver->amend_options, node->driver->name, err);
}

static int run(img_image *image, struct imgi_amend *amend, img_error *err)
{
    int rc;

    amend->scratch = imgi_scratch_take(image, err);
    if (!amend->scratch)
        return IMG_E_NOMEM;
    imgi_amend_steps(amend, 1);
    rc = image->top->driver->amend(image->top, amend, err);
    imgi_scratch_give(image, amend->scratch);
    if (rc == 0)
        rc = imgi_node_flush(image->top, err);
    return rc;
}

int img_amend(img_job *given, img_image *image, const img_options *options, img_error *err)
{
    struct imgi_node *node = image->top;
    struct imgi_amend amend = {.options = options, .table = node->driver->amend_options};
    img_job *own;
    img_job *job = imgi_job_own(given, &own, err);
    int rc;

    if (!job)
        return IMG_E_NOMEM;
    amend.job = job;
    amend.force = job->flags & IMG_JOB_FORCE;
    rc = check_amend(node, options, err);
    if (rc == 0)
        rc = imgi_check_change(image, "amend", 0, 0, err);
    if (rc == 0)
        rc = imgi_job_begin(job, "amend", PARTS, err);
    if (rc == 0)
        rc = run(image, &amend, err);
    img_job_free(own);
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}
