/*
 * What long operations share: how they run, and who hears of it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_JOB_H
#define IMGI_JOB_H

#include <pthread.h>
#include <time.h>

#include "internal.h"

struct img_job {
    unsigned threads; /* 0: a processor each */
    unsigned flags;   /* enum img_job_flags */
    uint64_t sparse;
    uint64_t rate;
    img_progress_fn *fn;
    void *opaque;
    const img_free_space *free_space; /* what counts as zeros, or NULL */

    /* The operation that is running. `lock` protects what follows, and serialises fn. */
    pthread_mutex_t lock;
    const char *phase;
    uint64_t done, total, salvaged;
    struct timespec started;
    bool cancelled;
};

/* A job with defaults for a caller who gave none; end it with imgi_job_own_end. */
img_job *imgi_job_own(img_job *given, img_job **own, img_error *err);

/* An operation begins: total bytes to deal with. Fails when the user cancels at once. */
int imgi_job_begin(img_job *job, const char *phase, uint64_t total, img_error *err);
/* That many bytes more are dealt with. IMG_E_CANCELLED when the user wants to stop. */
int imgi_job_advance(img_job *job, uint64_t bytes, img_error *err);
/* Wait as long as the rate limit asks for before that many bytes are moved. */
int imgi_job_throttle(img_job *job, uint64_t bytes, img_error *err);
/* Bytes that were lost and became zeros. */
void imgi_job_salvage(img_job *job, uint64_t bytes);
/* IMG_E_INVAL when the job's free space is not that of the image, IMG_E_BUSY when that may change.
 */
int imgi_job_check_free(const img_job *job, const img_image *image, img_error *err);
/* How many bytes from offset on, `length` at most, all count as zeros (*free), or all do not. */
uint64_t imgi_job_free_run(const img_job *job, uint64_t offset, uint64_t length, bool *free);
/* Make zeros of what counts as such, of bytes of the disk that have been read. */
void imgi_job_clear_free(const img_job *job, uint64_t offset, uint8_t *bytes, uint64_t length);
/* The threads to use, 1 to 64. */
unsigned imgi_job_threads(const img_job *job);

/*
 * Run fn(context, n) on that many threads, n from 0, and wait for all. Fewer run when the
 * system has no more to give, but one always does: the caller's.
 */
void imgi_pool_run(unsigned threads, void (*fn)(void *context, unsigned n), void *context);

#endif
