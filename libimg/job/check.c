/*
 * check: the driver looks, this counts. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>

#include "../appliance/appliance.h"
#include "job.h"

void imgi_found(struct imgi_checker *checker, enum imgi_finding kind, const char *format, ...)
{
    char text[512];
    va_list args;

    switch (kind) {
    case IMGI_FINDING_CORRUPTION:
        checker->result->corruptions++;
        break;
    case IMGI_FINDING_LEAK:
        checker->result->leaks++;
        break;
    case IMGI_FINDING_ERROR:
        checker->result->check_errors++;
        break;
    case IMGI_FINDING_REPAIRED:
    case IMGI_FINDING_NOTE:
        break;
    }
    if (!checker->finding)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    checker->finding(checker->opaque, text);
}

int imgi_check_progress(struct imgi_checker *checker, uint64_t done, uint64_t total, img_error *err)
{
    img_job *job = checker->job;

    if (!job)
        return 0;
    pthread_mutex_lock(&job->lock);
    job->total = total;
    done = done > job->done ? done - job->done : 0;
    pthread_mutex_unlock(&job->lock);
    return imgi_job_advance(job, done, err);
}

int imgi_check_mend(struct imgi_checker *checker, imgi_check_fn *look, imgi_check_fn *mend,
                    void *check, img_error *err)
{
    img_check_result *result = checker->result;
    int rc = look(check, err);

    if (rc < 0 || checker->repair == IMGI_REPAIR_NONE || result->corruptions + result->leaks == 0)
        return rc;
    rc = mend(check, err);
    if (rc < 0)
        return rc;
    *result = (img_check_result){.corruptions_fixed = result->corruptions_fixed,
                                 .leaks_fixed = result->leaks_fixed};
    return look(check, err);
}

static enum imgi_repair repair_mode(const img_job *job)
{
    if (job->flags & IMG_JOB_REPAIR_ALL)
        return IMGI_REPAIR_ALL;
    return job->flags & IMG_JOB_REPAIR_LEAKS ? IMGI_REPAIR_LEAKS : IMGI_REPAIR_NONE;
}

/* What the format itself has to say of the image. Its result is its own: it may count anew. */
static int check_format(struct imgi_node *node, const struct imgi_checker *checker, img_error *err)
{
    img_check_result found = {0}, *sum = checker->result;
    struct imgi_checker own = *checker;
    int rc;

    own.result = &found;
    pthread_mutex_lock(&node->lock);
    rc = node->driver->check(node, &own, err);
    pthread_mutex_unlock(&node->lock);
    found.corruptions += sum->corruptions;
    found.leaks += sum->leaks;
    found.check_errors += sum->check_errors;
    *sum = found;
    return rc;
}

int img_check(img_job *given, img_image *image, img_finding_fn *finding, void *opaque,
              img_check_result *result, img_error *err)
{
    struct imgi_node *node = image->top;
    struct imgi_checker checker = {.finding = finding, .opaque = opaque, .result = result};
    img_job *own;
    img_job *job = imgi_job_own(given, &own, err);
    bool verify;
    int rc;

    if (!job)
        return IMG_E_NOMEM;
    verify = node->appliance && !(job->flags & IMG_JOB_NO_VERIFY);
    *result = (img_check_result){0};
    checker.job = job;
    checker.repair = repair_mode(job);
    rc = imgi_job_begin(job, "check", node->size, err);
    if (rc == 0 && verify)
        rc = imgi_appliance_check(node, &checker, err);
    if (rc == 0 && !node->driver->check && !verify)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "This image format does not support checks");
    if (rc == 0 && checker.repair != IMGI_REPAIR_NONE && !node->writable)
        rc = imgi_fail(err, IMG_E_RDONLY, "a repair needs an image that is open for writing");
    if (rc == 0 && node->driver->check)
        rc = check_format(node, &checker, err);
    img_job_free(own);
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}
