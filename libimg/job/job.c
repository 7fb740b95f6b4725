/*
 * Jobs: options, progress, cancelling, the rate limit. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/guest.h"
#include "job.h"

#define THREADS_MAX 64
#define THREADS_DEFAULT_MAX 16
#define SPARSE_DEFAULT 4096
#define NSEC 1000000000ull
/* The longest sleep under a rate limit between two looks at whether to go on. */
#define NAP_NS (100 * 1000000ull)

img_job *img_job_new(void)
{
    img_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->sparse = SPARSE_DEFAULT;
    pthread_mutex_init(&job->lock, NULL);
    return job;
}

void img_job_free(img_job *job)
{
    if (!job)
        return;
    pthread_mutex_destroy(&job->lock);
    free(job);
}

void img_job_set_threads(img_job *job, unsigned threads)
{
    job->threads = IMGI_MIN(threads, THREADS_MAX);
}

void img_job_set_flags(img_job *job, unsigned flags)
{
    job->flags = flags;
}

void img_job_set_sparse(img_job *job, uint64_t bytes)
{
    job->sparse = bytes;
}

void img_job_set_rate(img_job *job, uint64_t bytes)
{
    job->rate = bytes;
}

void img_job_set_progress(img_job *job, img_progress_fn *fn, void *opaque)
{
    job->fn = fn;
    job->opaque = opaque;
}

void img_job_set_free_space(img_job *job, const img_free_space *space)
{
    job->free_space = space;
}

uint64_t img_job_salvaged(const img_job *job)
{
    return job->salvaged;
}

img_job *imgi_job_own(img_job *given, img_job **own, img_error *err)
{
    *own = NULL;
    if (given)
        return given;
    *own = img_job_new();
    if (!*own)
        imgi_fail_nomem(err, "a job");
    return *own;
}

int imgi_job_check_free(const img_job *job, const img_image *image, img_error *err)
{
    if (job->free_space && imgi_free_space_size(job->free_space) != img_size(image))
        return imgi_fail(err, IMG_E_INVAL, "the free space is that of another disk");
    return job->free_space ? imgi_chain_check_idle(image->top, err) : 0;
}

uint64_t imgi_job_free_run(const img_job *job, uint64_t offset, uint64_t length, bool *free)
{
    *free = false;
    return job->free_space ? img_free_space_run(job->free_space, offset, length, free) : length;
}

void imgi_job_clear_free(const img_job *job, uint64_t offset, uint8_t *bytes, uint64_t length)
{
    bool free;

    for (uint64_t at = 0, step; at < length; at += step) {
        step = imgi_job_free_run(job, offset + at, length - at, &free);
        if (free)
            memset(bytes + at, 0, (size_t)step);
    }
}

unsigned imgi_job_threads(const img_job *job)
{
    long processors;

    if (job->threads > 0)
        return job->threads;
    processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : (unsigned)IMGI_MIN(processors, THREADS_DEFAULT_MAX);
}

/* Tell the user; with job->lock held. */
static int report(img_job *job, img_error *err)
{
    img_progress progress = {.phase = job->phase, .done = job->done, .total = job->total};

    if (!job->cancelled && job->fn && job->fn(job->opaque, &progress) != 0)
        job->cancelled = true;
    if (job->cancelled)
        return imgi_fail(err, IMG_E_CANCELLED, "cancelled");
    return 0;
}

int imgi_job_begin(img_job *job, const char *phase, uint64_t total, img_error *err)
{
    int rc;

    pthread_mutex_lock(&job->lock);
    job->phase = phase;
    job->done = 0;
    job->total = total;
    job->salvaged = 0;
    job->cancelled = false;
    clock_gettime(CLOCK_MONOTONIC, &job->started);
    rc = report(job, err);
    pthread_mutex_unlock(&job->lock);
    return rc;
}

int imgi_job_advance(img_job *job, uint64_t bytes, img_error *err)
{
    int rc;

    pthread_mutex_lock(&job->lock);
    job->done += bytes;
    rc = report(job, err);
    pthread_mutex_unlock(&job->lock);
    return rc;
}

void imgi_job_salvage(img_job *job, uint64_t bytes)
{
    pthread_mutex_lock(&job->lock);
    job->salvaged += bytes;
    pthread_mutex_unlock(&job->lock);
}

static uint64_t elapsed_ns(const struct timespec *since)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)(now.tv_sec - since->tv_sec) * NSEC + (uint64_t)now.tv_nsec -
           (uint64_t)since->tv_nsec;
}

int imgi_job_throttle(img_job *job, uint64_t bytes, img_error *err)
{
    int rc = 0;

    if (job->rate == 0)
        return 0;
    while (rc == 0) {
        struct timespec nap = {0, 0};
        uint64_t due, now;

        pthread_mutex_lock(&job->lock);
        due = (uint64_t)((double)(job->done + bytes) / (double)job->rate * (double)NSEC);
        now = elapsed_ns(&job->started);
        rc = report(job, err);
        pthread_mutex_unlock(&job->lock);
        if (now >= due)
            break;
        nap.tv_nsec = (long)IMGI_MIN(due - now, NAP_NS);
        nanosleep(&nap, NULL);
    }
    return rc;
}

/* ------------------------------------------------------------------ threads */

struct pool {
    void (*fn)(void *context, unsigned n);
    void *context;
    unsigned n;
};

static void *run_one(void *argument)
{
    struct pool *pool = argument;

    pool->fn(pool->context, pool->n);
    return NULL;
}

void imgi_pool_run(unsigned threads, void (*fn)(void *context, unsigned n), void *context)
{
    pthread_t ids[THREADS_MAX];
    struct pool pools[THREADS_MAX];
    unsigned started = 0;

    threads = IMGI_MIN(threads, THREADS_MAX);
    while (started + 1 < threads) {
        pools[started] = (struct pool){fn, context, started + 1};
        if (pthread_create(&ids[started], NULL, run_one, &pools[started]) != 0)
            break;
        started++;
    }
    fn(context, 0);
    for (unsigned i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
}
