/*
 * The calls of io.h: what is the same for every backend. SPDX-License-Identifier: BSD-2-Clause
 *
 * Each call checks its range and the right to write, asks the backend, falls back to something
 * simpler where the backend cannot, and puts the file's name on the error. Nothing is kept here.
 */
#include "io.h"

#include <stdlib.h>
#include <string.h>

#include "../util/checked.h"
#include "backend.h"

/* Zeros to write: a page, named many times by one vectored write. Aligned for O_DIRECT. */
#define ZERO_PAGE 4096
#define ZERO_VECTORS 256

static const uint8_t zero_page[ZERO_PAGE] __attribute__((aligned(ZERO_PAGE)));

int imgi_io_init(struct imgi_io *io, const struct imgi_io_ops *ops, const char *name,
                 unsigned flags, img_error *err)
{
    io->ops = ops;
    io->flags = flags;
    io->name = strdup(name);
    return io->name ? 0 : imgi_fail_nomem(err, "the name of a file");
}

size_t imgi_iov_length(const struct iovec *iov, int count)
{
    size_t length = 0;

    for (int i = 0; i < count; i++)
        length += iov[i].iov_len;
    return length;
}

int imgi_io_past_end(size_t length, uint64_t offset, uint64_t size, img_error *err)
{
    return imgi_fail(err, IMG_E_RANGE,
                     "read of %zu bytes at 0x%" PRIx64 ": the file ends at 0x%" PRIx64, length,
                     offset, size);
}

int imgi_io_write_zeros(struct imgi_io *io, uint64_t offset, uint64_t length, img_error *err)
{
    struct iovec iov[ZERO_VECTORS];
    int result = 0;

    while (length > 0 && result == 0) {
        uint64_t piece = 0;
        int count = 0;

        while (count < ZERO_VECTORS && piece < length) {
            iov[count].iov_base = (void *)(uintptr_t)zero_page;
            iov[count].iov_len = (size_t)IMGI_MIN((uint64_t)ZERO_PAGE, length - piece);
            piece += iov[count++].iov_len;
        }
        result = io->ops->write(io, iov, count, offset, err);
        offset += piece;
        length -= piece;
    }
    return result;
}

/* The end of every call: the file's name goes on its error. */
static int done(const struct imgi_io *io, int result, img_error *err)
{
    if (result < 0)
        imgi_error_image(err, io->name);
    return result;
}

/* off_t is signed: no byte of a file lies past 2^63-1. */
static int check_range(const char *what, uint64_t offset, uint64_t length, img_error *err)
{
    if (imgi_span_ok(offset, length, INT64_MAX))
        return 0;
    return imgi_fail(err, IMG_E_RANGE,
                     "%s of %" PRIu64 " bytes at 0x%" PRIx64 ": no file can be that long", what,
                     length, offset);
}

static int check_change(const struct imgi_io *io, const char *what, uint64_t offset,
                        uint64_t length, img_error *err)
{
    if (!(io->flags & IMGI_IO_WRITE))
        return imgi_fail(err, IMG_E_RDONLY,
                         "%s at 0x%" PRIx64 ": the file is open for reading only", what, offset);
    return check_range(what, offset, length, err);
}

int imgi_io_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset, img_error *err)
{
    int result = check_range("read", offset, length, err);

    if (result == 0 && length > 0)
        result = io->ops->read(io, buffer, length, offset, err);
    return done(io, result, err);
}

int imgi_io_write(struct imgi_io *io, const void *buffer, size_t length, uint64_t offset,
                  img_error *err)
{
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = length};

    return imgi_io_writev(io, &iov, 1, offset, err);
}

int imgi_io_writev(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                   img_error *err)
{
    size_t length = imgi_iov_length(iov, count);
    int result = check_change(io, "write", offset, length, err);

    if (result == 0 && length > 0)
        result = io->ops->write(io, iov, count, offset, err);
    return done(io, result, err);
}

int imgi_io_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    return done(io, io->ops->size(io, size, err), err);
}

int imgi_io_resize(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc, img_error *err)
{
    int result = check_change(io, "resize", size, 0, err);

    if (result == 0)
        result = io->ops->resize(io, size, prealloc, err);
    return done(io, result, err);
}

int imgi_io_flush(struct imgi_io *io, img_error *err)
{
    if (!(io->flags & IMGI_IO_WRITE) || (io->flags & IMGI_IO_NO_FLUSH) || !io->ops->flush)
        return 0;
    return done(io, io->ops->flush(io, err), err);
}

int imgi_io_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap, img_error *err)
{
    int result = check_change(io, "zeroing", offset, length, err);

    if (result == 0 && length > 0) {
        /* A backend that cannot says so by the code alone. */
        result = io->ops->zero ? io->ops->zero(io, offset, length, unmap, err) : IMG_E_UNSUPPORTED;
        if (result == IMG_E_UNSUPPORTED)
            result = imgi_io_write_zeros(io, offset, length, err);
    }
    return done(io, result, err);
}

int imgi_io_discard(struct imgi_io *io, uint64_t offset, uint64_t length, img_error *err)
{
    int result = check_change(io, "discard", offset, length, err);

    if (result == 0 && length > 0 && io->ops->discard)
        result = io->ops->discard(io, offset, length, err);
    return done(io, result, err);
}

int imgi_io_extent(struct imgi_io *io, uint64_t offset, uint64_t length,
                   struct imgi_io_extent *extent, img_error *err)
{
    uint64_t size;
    int result = imgi_io_size(io, &size, err);

    if (result < 0)
        return result;
    if (offset >= size || length == 0) {
        result =
            imgi_fail(err, IMG_E_RANGE,
                      "extent of %" PRIu64 " bytes at 0x%" PRIx64 ": the file ends at 0x%" PRIx64,
                      length, offset, size);
        return done(io, result, err);
    }
    extent->length = IMGI_MIN(length, size - offset);
    extent->hole = false;
    if (io->ops->extent)
        result = io->ops->extent(io, offset, extent->length, extent, err);
    return done(io, result, err);
}

int imgi_io_share(struct imgi_io *io, uint64_t offset, struct imgi_io *source,
                  uint64_t source_offset, uint64_t length, img_error *err)
{
    int result = check_change(io, "sharing", offset, length, err);

    if (result == 0)
        result = check_range("sharing", source_offset, length, err);
    if (result == 0 && length > 0)
        result = io->ops->share ? io->ops->share(io, offset, source, source_offset, length, err)
                                : imgi_fail(err, IMG_E_UNSUPPORTED, "blocks cannot be shared");
    return done(io, result, err);
}

void imgi_io_pass(struct imgi_io *io, uint64_t offset)
{
    if (io->ops->pass)
        io->ops->pass(io, offset);
}

struct imgi_io *imgi_io_below(struct imgi_io *io, uint64_t *offset, uint64_t *length)
{
    return io->ops->below ? io->ops->below(io, offset, length) : io;
}

uint64_t imgi_io_usage(struct imgi_io *io)
{
    return io->ops->usage ? io->ops->usage(io) : 0;
}

bool imgi_io_identity(struct imgi_io *io, uint64_t id[2])
{
    return io->ops->identity && io->ops->identity(io, id);
}

bool imgi_io_is_device(struct imgi_io *io)
{
    return io->ops->is_device && io->ops->is_device(io);
}

void imgi_io_write_out(struct imgi_io *io, uint64_t offset, uint64_t length)
{
    if (io->ops->write_out)
        io->ops->write_out(io, offset, length);
}

void imgi_io_evict(struct imgi_io *io, uint64_t offset, uint64_t length)
{
    if (io->ops->evict)
        io->ops->evict(io, offset, length);
}

int imgi_io_publish(struct imgi_io *io, img_error *err)
{
    return io->ops->publish ? done(io, io->ops->publish(io, err), err) : 0;
}

int imgi_io_prepare(struct imgi_io *io, img_error *err)
{
    return io->ops->prepare ? done(io, io->ops->prepare(io, err), err) : 0;
}

void imgi_io_retract(struct imgi_io *io)
{
    if (io->ops->retract)
        io->ops->retract(io);
}

int imgi_io_replace(struct imgi_io *io, const void *bytes, size_t length, img_error *err)
{
    int result = check_change(io, "replacement", 0, length, err);

    if (result == 0)
        result = io->ops->replace ? io->ops->replace(io, bytes, length, err) : IMG_E_UNSUPPORTED;
    if (result != IMG_E_UNSUPPORTED)
        return done(io, result, err);
    result = imgi_io_write(io, bytes, length, 0, err);
    if (result == 0)
        result = imgi_io_resize(io, length, IMGI_PREALLOC_OFF, err);
    return result < 0 ? result : imgi_io_flush(io, err);
}

int imgi_io_lock(struct imgi_io *io, unsigned use, unsigned deny, img_error *err)
{
    return io->ops->lock ? done(io, io->ops->lock(io, use, deny, err), err) : 0;
}

void imgi_io_close(struct imgi_io *io)
{
    if (!io)
        return;

    char *name = io->name;
    io->ops->close(io);
    free(name);
}
