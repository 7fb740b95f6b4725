/*
 * compare: do two disks hold the same? SPDX-License-Identifier: BSD-2-Clause
 *
 * One thread at a time walks both maps (under `lock`) and takes the next piece that has to be
 * looked at; the bytes are read and compared outside the lock. Pieces are taken in order, so once a
 * difference is known nothing behind it is begun, and the smallest one found is the first there is.
 */
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "util/iszero.h"

#define PIECE (1u << 20)

struct compare {
    img_job *job;
    img_image *a, *b;
    img_compare_result *result;
    uint64_t end; /* of the longer disk */

    pthread_mutex_t lock;
    uint64_t next;  /* where the next piece begins */
    uint64_t first; /* the first difference known; UINT64_MAX: none */
    int rc;
    img_error failure;
};

/* What a disk is at offset: a run, cut to length; past the end of the disk it is zeros. */
static int look(img_image *image, uint64_t offset, uint64_t *length, bool *zero, bool *allocated,
                img_error *err)
{
    struct imgi_layer_run run;
    uint64_t size = image->top->size;
    int rc;

    *zero = true;
    *allocated = false;
    if (offset >= size)
        return 0;
    rc = imgi_chain_map(image->top, offset, IMGI_MIN(*length, size - offset), &run, err);
    if (rc < 0)
        return rc;
    *length = run.extent.length;
    *zero = run.extent.kind == IMGI_ZERO;
    *allocated = run.node != NULL;
    return 0;
}

static void differ(struct compare *compare, uint64_t offset, bool allocation)
{
    if (offset >= compare->first)
        return;
    compare->first = offset;
    compare->result->allocation_differs = allocation;
}

/* Takes the next piece whose bytes must be compared. *length is 0 when there is none. With lock
 * held. */
static int next_piece(struct compare *compare, uint64_t *offset, uint64_t *length, img_error *err)
{
    bool zero[2], allocated[2];
    int rc = 0;

    *length = 0;
    while (rc == 0 && compare->next < IMGI_MIN(compare->end, compare->first)) {
        uint64_t run = compare->end - compare->next, at = compare->next;

        rc = look(compare->a, at, &run, &zero[0], &allocated[0], err);
        if (rc == 0)
            rc = look(compare->b, at, &run, &zero[1], &allocated[1], err);
        if (rc < 0)
            break;
        if ((compare->job->flags & IMG_JOB_STRICT) &&
            (zero[0] != zero[1] || allocated[0] != allocated[1])) {
            differ(compare, at, true);
            break;
        }
        if (!(zero[0] && zero[1])) {
            *offset = at;
            *length = IMGI_MIN(run, PIECE);
            compare->next = at + *length;
            break;
        }
        compare->next = at + run;
        rc = imgi_job_advance(compare->job, run, err);
    }
    return rc;
}

static uint64_t first_difference(const uint8_t *a, const uint8_t *b, uint64_t length)
{
    uint64_t i = 0;

    while (i < length && a[i] == b[i])
        i++;
    return i;
}

static int compare_piece(struct compare *compare, uint64_t offset, uint64_t length,
                         uint8_t *buffers[2], struct imgi_scratch scratch[2], img_error *err)
{
    int rc = imgi_node_read_padded(compare->a->top, offset, buffers[0], (size_t)length, &scratch[0],
                                   err);

    if (rc == 0)
        rc = imgi_node_read_padded(compare->b->top, offset, buffers[1], (size_t)length, &scratch[1],
                                   err);
    if (rc < 0)
        return rc;
    if (memcmp(buffers[0], buffers[1], (size_t)length) != 0) {
        uint64_t at = offset + first_difference(buffers[0], buffers[1], length);

        pthread_mutex_lock(&compare->lock);
        differ(compare, at, false);
        pthread_mutex_unlock(&compare->lock);
    }
    return imgi_job_advance(compare->job, length, err);
}

static void worker(void *context, unsigned n)
{
    struct compare *compare = context;
    struct imgi_scratch scratch[2] = {{0}, {0}};
    uint8_t *buffers[2] = {malloc(PIECE), malloc(PIECE)};
    uint64_t offset = 0, length = 0;
    img_error failure = {0};
    int rc = 0;

    (void)n;
    if (!buffers[0] || !buffers[1])
        rc = imgi_fail_nomem(&failure, "a comparison");
    do {
        pthread_mutex_lock(&compare->lock);
        if (rc == 0 && compare->rc == 0)
            rc = next_piece(compare, &offset, &length, &failure);
        if (rc < 0 && compare->rc == 0) {
            compare->rc = rc;
            compare->failure = failure;
        }
        if (compare->rc < 0)
            length = 0;
        pthread_mutex_unlock(&compare->lock);
        if (length > 0)
            rc = compare_piece(compare, offset, length, buffers, scratch, &failure);
    } while (length > 0);
    for (int i = 0; i < 2; i++) {
        imgi_scratch_clear(&scratch[i]);
        free(buffers[i]);
    }
}

int img_compare(img_job *given, img_image *a, img_image *b, img_compare_result *result,
                img_error *err)
{
    struct compare compare = {.a = a, .b = b, .result = result, .first = UINT64_MAX};
    img_job *own;
    int rc;

    compare.job = imgi_job_own(given, &own, err);
    if (!compare.job)
        return IMG_E_NOMEM;
    *result = (img_compare_result){.size_differs = img_size(a) != img_size(b)};
    compare.end = IMGI_MAX(img_size(a), img_size(b));
    pthread_mutex_init(&compare.lock, NULL);
    rc = imgi_job_begin(compare.job, "compare", compare.end, err);
    if (rc == 0 && !((compare.job->flags & IMG_JOB_STRICT) && result->size_differs)) {
        imgi_pool_run(imgi_job_threads(compare.job), worker, &compare);
        rc = compare.rc;
        if (rc < 0 && err)
            *err = compare.failure;
    }
    pthread_mutex_destroy(&compare.lock);
    if (compare.first != UINT64_MAX)
        result->offset = compare.first;
    result->equal = compare.first == UINT64_MAX &&
                    !((compare.job->flags & IMG_JOB_STRICT) && result->size_differs);
    img_job_free(own);
    return rc;
}
