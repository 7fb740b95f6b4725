/*
 * A pipe that is written. SPDX-License-Identifier: BSD-2-Clause
 *
 * Bytes are taken in ascending order; what is left out between them, and what a resize or zeroing
 * put behind them, is zeros, which are sent when something follows or the file is published. How
 * the file began is remembered, since a new image is opened after it was made.
 *
 * The lock protects everything and is held while the other side is waited for.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../util/checked.h"
#include "pipe.h"

/* More than the header and the descriptor of a stream. */
#define HEAD_BYTES (64u << 10)

struct sink {
    struct imgi_io io;
    struct imgi_pipe_end end;
    pthread_mutex_t lock;
    uint64_t at;   /* bytes sent */
    uint64_t size; /* of the file: at, and zeros that were not sent yet */
    uint8_t *head; /* the first HEAD_BYTES of what was sent; zeros behind that */
};

/* Send what follows `at`. */
static int put(struct sink *sink, const void *bytes, size_t length, img_error *err)
{
    int error = imgi_pipe_write_all(&sink->end, bytes, length);

    if (error == ECANCELED)
        return imgi_fail(err, IMG_E_CANCELLED, "cancelled");
    if (error)
        return imgi_fail_errno(err, error, "write of %zu bytes at 0x%" PRIx64, length, sink->at);
    if (sink->at < HEAD_BYTES)
        memcpy(sink->head + sink->at, bytes, IMGI_MIN(length, HEAD_BYTES - (size_t)sink->at));
    sink->at += length;
    sink->size = IMGI_MAX(sink->size, sink->at);
    return 0;
}

static int put_zeros(struct sink *sink, uint64_t until, img_error *err)
{
    static const uint8_t zeros[16384];
    int rc = 0;

    while (rc == 0 && sink->at < until)
        rc = put(sink, zeros, (size_t)IMGI_MIN(until - sink->at, sizeof(zeros)), err);
    return rc;
}

static int check_order(const struct sink *sink, const char *what, uint64_t offset, img_error *err)
{
    if (offset >= sink->at)
        return 0;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "%s at 0x%" PRIx64
                     ": a pipe is written from front to back, and is at 0x%" PRIx64,
                     what, offset, sink->at);
}

static int sink_write(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                      img_error *err)
{
    struct sink *sink = (struct sink *)io;
    int rc;

    pthread_mutex_lock(&sink->lock);
    rc = check_order(sink, "write", offset, err);
    if (rc == 0)
        rc = put_zeros(sink, offset, err);
    for (int i = 0; rc == 0 && i < count; i++)
        rc = put(sink, iov[i].iov_base, iov[i].iov_len, err);
    pthread_mutex_unlock(&sink->lock);
    return rc;
}

static int sink_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                     img_error *err)
{
    struct sink *sink = (struct sink *)io;
    int rc = 0;

    pthread_mutex_lock(&sink->lock);
    if (!imgi_span_ok(offset, length, sink->size))
        rc = imgi_io_past_end(length, offset, sink->size, err);
    else if (!imgi_span_ok(offset, length, HEAD_BYTES))
        rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                       "read at 0x%" PRIx64 ": what was written to a pipe is gone", offset);
    else
        memcpy(buffer, sink->head + offset, length);
    pthread_mutex_unlock(&sink->lock);
    return rc;
}

static int sink_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    struct sink *sink = (struct sink *)io;

    (void)err;
    pthread_mutex_lock(&sink->lock);
    *size = sink->size;
    pthread_mutex_unlock(&sink->lock);
    return 0;
}

static int sink_resize(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc,
                       img_error *err)
{
    struct sink *sink = (struct sink *)io;
    int rc;

    (void)prealloc;
    pthread_mutex_lock(&sink->lock);
    rc = check_order(sink, "resize", size, err);
    if (rc == 0)
        sink->size = size;
    pthread_mutex_unlock(&sink->lock);
    return rc;
}

/* Nothing is sent yet: zeros need not be made before something follows them. */
static int sink_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap,
                     img_error *err)
{
    struct sink *sink = (struct sink *)io;
    int rc;

    (void)unmap;
    pthread_mutex_lock(&sink->lock);
    rc = check_order(sink, "zeroing", offset, err);
    if (rc == 0)
        sink->size = IMGI_MAX(sink->size, offset + length);
    pthread_mutex_unlock(&sink->lock);
    return rc;
}

static int sink_publish(struct imgi_io *io, img_error *err)
{
    struct sink *sink = (struct sink *)io;
    int rc;

    pthread_mutex_lock(&sink->lock);
    rc = put_zeros(sink, sink->size, err);
    pthread_mutex_unlock(&sink->lock);
    return rc;
}

static void sink_close(struct imgi_io *io)
{
    struct sink *sink = (struct sink *)io;

    close(sink->end.fd);
    free(sink->head);
    pthread_mutex_destroy(&sink->lock);
    free(sink);
}

static const struct imgi_io_ops sink_ops = {
    .name = "pipe",
    .once = true,
    .read = sink_read,
    .write = sink_write,
    .size = sink_size,
    .resize = sink_resize,
    .zero = sink_zero,
    .publish = sink_publish,
    .close = sink_close,
};

int imgi_pipe_sink(struct imgi_io **io, const struct imgi_pipe_end *end, const char *name,
                   img_error *err)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    int rc;

    if (!sink) {
        close(end->fd);
        return imgi_fail_nomem(err, "an open pipe");
    }
    sink->end = *end;
    pthread_mutex_init(&sink->lock, NULL);
    rc = imgi_io_init(&sink->io, &sink_ops, name, IMGI_IO_WRITE, err);
    sink->head = calloc(1, HEAD_BYTES);
    if (rc == 0 && !sink->head)
        rc = imgi_fail_nomem(err, "an open pipe");
    if (rc < 0)
        imgi_io_close(&sink->io);
    else
        *io = &sink->io;
    return rc;
}
