/*
 * The digest of a file while it is written. SPDX-License-Identifier: BSD-2-Clause
 *
 * lock guards all but what is set once; it is not held while anything is read or digested. Should a
 * byte be written again that was digested already, everything is digested anew at the end.
 */
#include "follow.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../util/checked.h"

#define STEP (UINT64_C(1) << 20)

struct range {
    uint64_t offset, end;
};

struct imgi_follower {
    struct imgi_io *io;
    uint64_t base; /* where the file begins in io */
    struct imgi_digest *digest;
    uint8_t *buffer;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t more;
    uint64_t ready;      /* up to here there are no gaps */
    uint64_t digested;   /* up to here is in the digest, or about to be */
    struct range *ahead; /* written behind a gap, in no order */
    size_t ahead_count, ahead_room;
    bool stale; /* the digest is of no use */
    bool last;  /* no more will be written */
    int rc;
    img_error err;
};

/* Append ranges to what is ready as far as they reach it. Called with lock held. */
static void close_gaps(struct imgi_follower *follower)
{
    for (size_t i = 0; i < follower->ahead_count;) {
        if (follower->ahead[i].offset > follower->ready) {
            i++;
            continue;
        }
        follower->ready = IMGI_MAX(follower->ready, follower->ahead[i].end);
        follower->ahead[i] = follower->ahead[--follower->ahead_count];
        i = 0;
    }
}

static void keep_ahead(struct imgi_follower *follower, struct range range)
{
    if (follower->ahead_count == follower->ahead_room) {
        size_t room = 2 * follower->ahead_room + 64;
        struct range *ahead = realloc(follower->ahead, room * sizeof(*ahead));

        if (!ahead) { /* then the end reads it all */
            follower->stale = true;
            return;
        }
        follower->ahead = ahead;
        follower->ahead_room = room;
    }
    follower->ahead[follower->ahead_count++] = range;
}

void imgi_follower_written(void *opaque, uint64_t offset, uint64_t length)
{
    struct imgi_follower *follower = opaque;

    pthread_mutex_lock(&follower->lock);
    if (offset < follower->digested)
        follower->stale = true;
    if (!follower->stale) {
        keep_ahead(follower, (struct range){offset, offset + length});
        close_gaps(follower);
        if (follower->ready - follower->digested >= STEP)
            pthread_cond_signal(&follower->more);
    }
    pthread_mutex_unlock(&follower->lock);
}

static int digest_some(struct imgi_follower *follower, uint64_t at, size_t length)
{
    int rc =
        imgi_io_read(follower->io, follower->buffer, length, follower->base + at, &follower->err);

    return rc < 0 ? rc
                  : imgi_digest_update(follower->digest, follower->buffer, length, &follower->err);
}

static void *run(void *opaque)
{
    struct imgi_follower *follower = opaque;
    uint64_t at = 0;

    for (;;) {
        size_t length;

        pthread_mutex_lock(&follower->lock);
        while (!follower->last && !follower->stale && follower->ready - at < STEP)
            pthread_cond_wait(&follower->more, &follower->lock);
        length = follower->stale ? 0 : (size_t)IMGI_MIN(follower->ready - at, STEP);
        follower->digested = at + length;
        pthread_mutex_unlock(&follower->lock);
        if (length == 0)
            break;
        follower->rc = digest_some(follower, at, length);
        if (follower->rc < 0)
            break;
        at += length;
    }
    return NULL;
}

static void follower_free(struct imgi_follower *follower)
{
    pthread_cond_destroy(&follower->more);
    pthread_mutex_destroy(&follower->lock);
    imgi_digest_free(follower->digest);
    free(follower->buffer);
    free(follower->ahead);
    free(follower);
}

int imgi_follower_begin(struct imgi_follower **out, struct imgi_io *io, uint64_t offset,
                        uint64_t size, enum imgi_hash hash, img_error *err)
{
    struct imgi_follower *follower = calloc(1, sizeof(*follower));
    int rc;

    if (!follower)
        return imgi_fail_nomem(err, "a digest");
    pthread_mutex_init(&follower->lock, NULL);
    pthread_cond_init(&follower->more, NULL);
    follower->io = io;
    follower->base = offset;
    follower->ready = size;
    follower->buffer = aligned_alloc(4096, STEP);
    rc = follower->buffer ? imgi_digest_new(&follower->digest, hash, err)
                          : imgi_fail_nomem(err, "a digest");
    if (rc == 0 && pthread_create(&follower->thread, NULL, run, follower) != 0)
        rc = imgi_fail_nomem(err, "a thread");
    if (rc < 0)
        follower_free(follower);
    else
        *out = follower;
    return rc;
}

/* What the thread could not do by the way: all of it, from the beginning. */
static int digest_all(struct imgi_follower *follower, uint64_t size)
{
    uint8_t ignored[IMGI_HASH_MAX_BYTES];
    int rc = imgi_digest_final(follower->digest, ignored, &follower->err);

    for (uint64_t at = 0; rc == 0 && at < size; at += STEP)
        rc = digest_some(follower, at, (size_t)IMGI_MIN(STEP, size - at));
    return rc;
}

int imgi_follower_end(struct imgi_follower *follower, uint64_t size, uint8_t *digest,
                      img_error *err)
{
    int rc;

    pthread_mutex_lock(&follower->lock);
    follower->last = true;
    follower->stale = follower->stale || !digest;
    pthread_cond_signal(&follower->more);
    pthread_mutex_unlock(&follower->lock);
    pthread_join(follower->thread, NULL);
    rc = digest ? follower->rc : 0;
    if (rc == 0 && digest && (follower->stale || follower->digested != size))
        rc = digest_all(follower, size);
    if (rc == 0 && digest)
        rc = imgi_digest_final(follower->digest, digest, &follower->err);
    if (rc < 0 && err)
        *err = follower->err;
    follower_free(follower);
    return rc;
}
