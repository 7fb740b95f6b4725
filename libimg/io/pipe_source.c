/*
 * A pipe that is read. SPDX-License-Identifier: BSD-2-Clause
 *
 * What has come is kept, in a list of chunks, until imgi_io_pass says that nobody will ask for it
 * again: so several threads can read around one place, and one can look a little ahead. Bytes
 * before `low` are gone.
 *
 * The lock protects everything but `end` and is held while the pipe is waited for: whoever
 * wants other bytes of the window then waits too, which costs nothing, as the pipe is what is slow.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../util/checked.h"
#include "pipe.h"

#define CHUNK_BYTES (256u << 10)
/* A reader that has to look back or ahead further than this cannot do with a pipe. A conversion
 * needs a third of it at most. */
#define WINDOW_MAX (64u << 20)
/* What is read when the pipe is opened: formats are recognised by it, and a source that is shorter
 * has a known size. */
#define HEAD_BYTES 4096u

struct chunk {
    struct chunk *next;
    uint8_t bytes[CHUNK_BYTES];
};

struct source {
    struct imgi_io io;
    struct imgi_pipe_end from;
    pthread_mutex_t lock;
    struct chunk *first, *last; /* without a gap; NULL: nothing is kept */
    struct chunk *spare;        /* to be used again */
    uint64_t begin;             /* byte of the pipe that first begins with */
    uint64_t low, high;         /* kept are the bytes between */
    _Atomic uint64_t end;       /* INT64_MAX until it has been seen */
};

/* Let go of the chunks that lie before low. */
static void drop(struct source *source)
{
    while (source->first && source->begin + CHUNK_BYTES <= IMGI_MIN(source->low, source->high)) {
        struct chunk *gone = source->first;

        source->first = gone->next;
        source->begin += CHUNK_BYTES;
        gone->next = source->spare;
        source->spare = gone;
        if (!source->first)
            source->last = NULL;
    }
}

static int add_chunk(struct source *source, img_error *err)
{
    struct chunk *chunk = source->spare;

    if (source->high - source->begin >= WINDOW_MAX)
        return imgi_fail(
            err, IMG_E_UNSUPPORTED,
            "what is read lies more than %u MiB apart: this cannot be done with a pipe",
            WINDOW_MAX >> 20);
    if (chunk)
        source->spare = chunk->next;
    else
        chunk = malloc(sizeof(*chunk));
    if (!chunk)
        return imgi_fail_nomem(err, "what came from a pipe");
    chunk->next = NULL;
    if (source->last)
        source->last->next = chunk;
    else
        source->first = chunk;
    source->last = chunk;
    return 0;
}

/* Take what the pipe has, as far as the last chunk has room. */
static int pull(struct source *source, img_error *err)
{
    size_t used = (size_t)((source->high - source->begin) % CHUNK_BYTES), moved = 0;
    int error, rc = 0;

    if (used == 0)
        rc = add_chunk(source, err);
    if (rc < 0)
        return rc;
    error =
        imgi_pipe_read_some(&source->from, source->last->bytes + used, CHUNK_BYTES - used, &moved);
    if (error == ECANCELED)
        return imgi_fail(err, IMG_E_CANCELLED, "cancelled");
    if (error)
        return imgi_fail_errno(err, error, "read at 0x%" PRIx64, source->high);
    source->high += moved;
    if (moved == 0)
        atomic_store(&source->end, source->high);
    drop(source);
    return 0;
}

/* Have all bytes before `wanted`, if the pipe has so many. */
static int fill(struct source *source, uint64_t wanted, img_error *err)
{
    int rc = 0;

    while (rc == 0 && source->high < wanted && atomic_load(&source->end) == INT64_MAX)
        rc = pull(source, err);
    return rc;
}

/* The range is kept. */
static void copy_out(const struct source *source, uint8_t *buffer, size_t length, uint64_t offset)
{
    const struct chunk *chunk = source->first;
    uint64_t at = offset - source->begin;

    for (; at >= CHUNK_BYTES; at -= CHUNK_BYTES)
        chunk = chunk->next;
    while (length > 0) {
        size_t step = IMGI_MIN(length, CHUNK_BYTES - (size_t)at);

        memcpy(buffer, chunk->bytes + at, step);
        buffer += step;
        length -= step;
        chunk = chunk->next;
        at = 0;
    }
}

static int source_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                       img_error *err)
{
    struct source *source = (struct source *)io;
    int rc;

    pthread_mutex_lock(&source->lock);
    rc = fill(source, offset + length, err);
    if (rc == 0 && offset < source->low)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                       "read at 0x%" PRIx64 ": a pipe is read once, and is at 0x%" PRIx64, offset,
                       source->low);
    else if (rc == 0 && !imgi_span_ok(offset, length, source->high))
        rc = imgi_io_past_end(length, offset, source->high, err);
    else if (rc == 0)
        copy_out(source, buffer, length, offset);
    pthread_mutex_unlock(&source->lock);
    return rc;
}

static int source_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    (void)err;
    *size = atomic_load(&((struct source *)io)->end);
    return 0;
}

static void source_pass(struct imgi_io *io, uint64_t offset)
{
    struct source *source = (struct source *)io;

    pthread_mutex_lock(&source->lock);
    source->low = IMGI_MAX(source->low, offset);
    drop(source);
    pthread_mutex_unlock(&source->lock);
}

static void free_chunks(struct chunk *chunk)
{
    while (chunk) {
        struct chunk *next = chunk->next;

        free(chunk);
        chunk = next;
    }
}

static void source_close(struct imgi_io *io)
{
    struct source *source = (struct source *)io;

    close(source->from.fd);
    free_chunks(source->first);
    free_chunks(source->spare);
    pthread_mutex_destroy(&source->lock);
    free(source);
}

static const struct imgi_io_ops source_ops = {
    .name = "pipe",
    .once = true,
    .read = source_read,
    .size = source_size,
    .pass = source_pass,
    .close = source_close,
};

int imgi_pipe_source(struct imgi_io **io, const struct imgi_pipe_end *end, const char *name,
                     img_error *err)
{
    struct source *source = calloc(1, sizeof(*source));
    int rc;

    if (!source) {
        close(end->fd);
        return imgi_fail_nomem(err, "an open pipe");
    }
    source->from = *end;
    atomic_init(&source->end, INT64_MAX);
    pthread_mutex_init(&source->lock, NULL);
    rc = imgi_io_init(&source->io, &source_ops, name, 0, err);
    if (rc == 0)
        rc = fill(source, HEAD_BYTES, err);
    if (rc < 0)
        imgi_io_close(&source->io);
    else
        *io = &source->io;
    return rc;
}
