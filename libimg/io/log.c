/*
 * A backend that writes down what changes in files, for tests.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One log may serve many files, so that it holds the order in which all of them changed. A change
 * is noted when it is done and a flush before it begins: what stands before a flush in the log is
 * what that flush makes durable. log->lock guards the list; it is not held while the base works.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"

struct imgi_log {
    pthread_mutex_t lock;
    struct imgi_log_entry *entries;
    size_t count, room;
};

struct logged {
    struct imgi_io io;
    struct imgi_io *base;
    struct imgi_log *log;
    unsigned file;
};

int imgi_log_new(struct imgi_log **out, img_error *err)
{
    struct imgi_log *log = calloc(1, sizeof(*log));

    if (!log)
        return imgi_fail_nomem(err, "a log");
    pthread_mutex_init(&log->lock, NULL);
    *out = log;
    return 0;
}

void imgi_log_free(struct imgi_log *log)
{
    if (!log)
        return;
    for (size_t i = 0; i < log->count; i++)
        free(log->entries[i].bytes);
    free(log->entries);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

size_t imgi_log_count(struct imgi_log *log)
{
    pthread_mutex_lock(&log->lock);
    size_t count = log->count;
    pthread_mutex_unlock(&log->lock);
    return count;
}

const struct imgi_log_entry *imgi_log_entries(const struct imgi_log *log)
{
    return log->entries;
}

/* Takes entry.bytes over, also when it fails. */
static int note(struct imgi_io *io, struct imgi_log_entry entry, img_error *err)
{
    struct logged *logged = (struct logged *)io;
    struct imgi_log *log = logged->log;
    int result = 0;

    entry.file = logged->file;
    pthread_mutex_lock(&log->lock);
    if (log->count == log->room) {
        size_t room = log->room ? 2 * log->room : 64;
        struct imgi_log_entry *entries = realloc(log->entries, room * sizeof(*entries));

        if (entries) {
            log->entries = entries;
            log->room = room;
        } else {
            result = imgi_fail_nomem(err, "a log");
        }
    }
    if (result == 0)
        log->entries[log->count++] = entry;
    pthread_mutex_unlock(&log->lock);
    if (result < 0)
        free(entry.bytes);
    return result;
}

static struct imgi_io *base_of(struct imgi_io *io)
{
    return ((struct logged *)io)->base;
}

static int log_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                    img_error *err)
{
    return imgi_io_read(base_of(io), buffer, length, offset, err);
}

static int log_write(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                     img_error *err)
{
    struct imgi_log_entry entry = {
        .kind = IMGI_LOG_WRITE, .offset = offset, .length = imgi_iov_length(iov, count)};
    size_t at = 0;
    int result = imgi_io_writev(base_of(io), iov, count, offset, err);

    if (result < 0)
        return result;
    entry.bytes = malloc((size_t)entry.length);
    if (!entry.bytes)
        return imgi_fail_nomem(err, "a log");
    for (int i = 0; i < count; at += iov[i++].iov_len)
        if (iov[i].iov_len > 0)
            memcpy(entry.bytes + at, iov[i].iov_base, iov[i].iov_len);
    return note(io, entry, err);
}

static int log_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    return imgi_io_size(base_of(io), size, err);
}

static int log_resize(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc,
                      img_error *err)
{
    int result = imgi_io_resize(base_of(io), size, prealloc, err);

    if (result == 0)
        result = note(io, (struct imgi_log_entry){.kind = IMGI_LOG_RESIZE, .offset = size}, err);
    return result;
}

/* What is replaced is on disk, so a flush follows it. */
static int log_replace(struct imgi_io *io, const void *bytes, size_t length, img_error *err)
{
    struct imgi_log_entry entry = {.kind = IMGI_LOG_REPLACE, .length = length};
    int result = imgi_io_replace(base_of(io), bytes, length, err);

    if (result < 0)
        return result;
    entry.bytes = malloc(length + 1);
    if (!entry.bytes)
        return imgi_fail_nomem(err, "a log");
    memcpy(entry.bytes, bytes, length);
    result = note(io, entry, err);
    if (result == 0)
        result = note(io, (struct imgi_log_entry){.kind = IMGI_LOG_FLUSH}, err);
    return result;
}

static int log_flush(struct imgi_io *io, img_error *err)
{
    int result = note(io, (struct imgi_log_entry){.kind = IMGI_LOG_FLUSH}, err);

    return result < 0 ? result : imgi_io_flush(base_of(io), err);
}

static int log_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap,
                    img_error *err)
{
    int result = imgi_io_zero(base_of(io), offset, length, unmap, err);

    if (result == 0)
        result = note(
            io, (struct imgi_log_entry){.kind = IMGI_LOG_ZERO, .offset = offset, .length = length},
            err);
    return result;
}

static int log_discard(struct imgi_io *io, uint64_t offset, uint64_t length, img_error *err)
{
    int result = imgi_io_discard(base_of(io), offset, length, err);

    if (result == 0)
        result = note(
            io,
            (struct imgi_log_entry){.kind = IMGI_LOG_DISCARD, .offset = offset, .length = length},
            err);
    return result;
}

static int log_extent(struct imgi_io *io, uint64_t offset, uint64_t length,
                      struct imgi_io_extent *extent, img_error *err)
{
    return imgi_io_extent(base_of(io), offset, length, extent, err);
}

static int log_lock(struct imgi_io *io, unsigned use, unsigned deny, img_error *err)
{
    return imgi_io_lock(base_of(io), use, deny, err);
}

static uint64_t log_usage(struct imgi_io *io)
{
    return imgi_io_usage(base_of(io));
}

static bool log_identity(struct imgi_io *io, uint64_t id[2])
{
    return imgi_io_identity(base_of(io), id);
}

static void log_close(struct imgi_io *io)
{
    imgi_io_close(base_of(io));
    free(io);
}

/* No share: a copy of the bytes is what can be written down. */
static const struct imgi_io_ops log_ops = {
    .name = "log",
    .read = log_read,
    .write = log_write,
    .size = log_size,
    .resize = log_resize,
    .flush = log_flush,
    .replace = log_replace,
    .zero = log_zero,
    .discard = log_discard,
    .extent = log_extent,
    .lock = log_lock,
    .usage = log_usage,
    .identity = log_identity,
    .close = log_close,
};

int imgi_log_io(struct imgi_io **io, struct imgi_log *log, unsigned file, struct imgi_io *base,
                img_error *err)
{
    struct logged *logged = calloc(1, sizeof(*logged));

    if (!logged) {
        imgi_io_close(base);
        return imgi_fail_nomem(err, "a logged file");
    }
    logged->base = base;
    logged->log = log;
    logged->file = file;

    int result = imgi_io_init(&logged->io, &log_ops, base->name, base->flags, err);
    if (result < 0)
        imgi_io_close(&logged->io);
    else
        *io = &logged->io;
    return result;
}

int imgi_log_replay(const struct imgi_log_entry *entry, struct imgi_io *io, img_error *err)
{
    uint64_t size;
    int result = 0;

    switch (entry->kind) {
    case IMGI_LOG_WRITE:
        return imgi_io_write(io, entry->bytes, (size_t)entry->length, entry->offset, err);
    case IMGI_LOG_ZERO:
        return imgi_io_zero(io, entry->offset, entry->length, true, err);
    case IMGI_LOG_RESIZE:
        return imgi_io_resize(io, entry->offset, IMGI_PREALLOC_OFF, err);
    case IMGI_LOG_REPLACE:
        result = imgi_io_resize(io, entry->length, IMGI_PREALLOC_OFF, err);
        return result < 0 ? result : imgi_io_write(io, entry->bytes, (size_t)entry->length, 0, err);
    case IMGI_LOG_DISCARD:
        /* What is given back may read as zeros, and never makes a file longer. */
        result = imgi_io_size(io, &size, err);
        if (result == 0 && entry->offset < size)
            result = imgi_io_zero(io, entry->offset,
                                  entry->length < size - entry->offset ? entry->length
                                                                       : size - entry->offset,
                                  true, err);
        return result;
    case IMGI_LOG_FLUSH:
        break;
    }
    return 0;
}
