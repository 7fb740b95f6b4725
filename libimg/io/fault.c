/*
 * A backend that fails when it is told to, for tests. SPDX-License-Identifier: BSD-2-Clause
 *
 * Everything is passed on to the base through its public calls. fault->lock guards the fault that
 * is set and its count; it is not held while the base works.
 */
#include <pthread.h>
#include <stdlib.h>

#include "backend.h"

struct fault {
    struct imgi_io io;
    struct imgi_io *base;
    pthread_mutex_t lock;
    unsigned kinds; /* enum imgi_fault_kind; 0: no fault is set */
    uint64_t left;  /* calls of these kinds that still pass */
    int os_errno;
    bool sticky;
    bool hit;
};

/* Count a call; fail it when its turn has come. */
static int pass(struct fault *fault, enum imgi_fault_kind kind, const char *what, uint64_t offset,
                img_error *err)
{
    int os_errno = 0;

    pthread_mutex_lock(&fault->lock);
    if ((fault->kinds & kind) && fault->left > 0) {
        fault->left--;
    } else if (fault->kinds & kind) {
        os_errno = fault->os_errno;
        fault->hit = true;
        if (!fault->sticky)
            fault->kinds = 0;
    }
    pthread_mutex_unlock(&fault->lock);
    if (os_errno)
        return imgi_fail_errno(err, os_errno, "%s at 0x%" PRIx64 " (a fault that was asked for)",
                               what, offset);
    return 0;
}

static int fault_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                      img_error *err)
{
    struct fault *fault = (struct fault *)io;
    int result = pass(fault, IMGI_FAULT_READ, "read", offset, err);

    return result < 0 ? result : imgi_io_read(fault->base, buffer, length, offset, err);
}

static int fault_write(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                       img_error *err)
{
    struct fault *fault = (struct fault *)io;
    int result = pass(fault, IMGI_FAULT_WRITE, "write", offset, err);

    return result < 0 ? result : imgi_io_writev(fault->base, iov, count, offset, err);
}

static int fault_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    return imgi_io_size(((struct fault *)io)->base, size, err);
}

static int fault_resize(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc,
                        img_error *err)
{
    struct fault *fault = (struct fault *)io;
    int result = pass(fault, IMGI_FAULT_RESIZE, "resize", size, err);

    return result < 0 ? result : imgi_io_resize(fault->base, size, prealloc, err);
}

static int fault_flush(struct imgi_io *io, img_error *err)
{
    struct fault *fault = (struct fault *)io;
    int result = pass(fault, IMGI_FAULT_FLUSH, "flush", 0, err);

    return result < 0 ? result : imgi_io_flush(fault->base, err);
}

static int fault_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap,
                      img_error *err)
{
    struct fault *fault = (struct fault *)io;
    int result = pass(fault, IMGI_FAULT_ZERO, "zeroing", offset, err);

    return result < 0 ? result : imgi_io_zero(fault->base, offset, length, unmap, err);
}

static int fault_discard(struct imgi_io *io, uint64_t offset, uint64_t length, img_error *err)
{
    return imgi_io_discard(((struct fault *)io)->base, offset, length, err);
}

static int fault_extent(struct imgi_io *io, uint64_t offset, uint64_t length,
                        struct imgi_io_extent *extent, img_error *err)
{
    return imgi_io_extent(((struct fault *)io)->base, offset, length, extent, err);
}

/* The bytes change as by a write, so it counts as one. */
static int fault_share(struct imgi_io *io, uint64_t offset, struct imgi_io *source,
                       uint64_t source_offset, uint64_t length, img_error *err)
{
    struct fault *fault = (struct fault *)io;
    int result = pass(fault, IMGI_FAULT_WRITE, "sharing", offset, err);

    if (result < 0)
        return result;
    if (source->ops == io->ops)
        source = ((struct fault *)source)->base;
    return imgi_io_share(fault->base, offset, source, source_offset, length, err);
}

static int fault_lock(struct imgi_io *io, unsigned use, unsigned deny, img_error *err)
{
    return imgi_io_lock(((struct fault *)io)->base, use, deny, err);
}

/* One write, of the whole. */
static int fault_replace(struct imgi_io *io, const void *bytes, size_t length, img_error *err)
{
    struct fault *fault = (struct fault *)io;
    int result = pass(fault, IMGI_FAULT_WRITE, "replacement", 0, err);

    return result < 0 ? result : imgi_io_replace(fault->base, bytes, length, err);
}

static int fault_publish(struct imgi_io *io, img_error *err)
{
    return imgi_io_publish(((struct fault *)io)->base, err);
}

static int fault_prepare(struct imgi_io *io, img_error *err)
{
    struct fault *fault = (struct fault *)io;
    int result = pass(fault, IMGI_FAULT_FLUSH, "flush", 0, err);

    return result < 0 ? result : imgi_io_prepare(fault->base, err);
}

static void fault_retract(struct imgi_io *io)
{
    imgi_io_retract(((struct fault *)io)->base);
}

static uint64_t fault_usage(struct imgi_io *io)
{
    return imgi_io_usage(((struct fault *)io)->base);
}

static bool fault_identity(struct imgi_io *io, uint64_t id[2])
{
    return imgi_io_identity(((struct fault *)io)->base, id);
}

static bool fault_is_device(struct imgi_io *io)
{
    return imgi_io_is_device(((struct fault *)io)->base);
}

static void fault_close(struct imgi_io *io)
{
    struct fault *fault = (struct fault *)io;

    imgi_io_close(fault->base);
    pthread_mutex_destroy(&fault->lock);
    free(fault);
}

static const struct imgi_io_ops fault_ops = {
    .name = "fault",
    .read = fault_read,
    .write = fault_write,
    .size = fault_size,
    .resize = fault_resize,
    .flush = fault_flush,
    .zero = fault_zero,
    .discard = fault_discard,
    .extent = fault_extent,
    .share = fault_share,
    .lock = fault_lock,
    .prepare = fault_prepare,
    .publish = fault_publish,
    .retract = fault_retract,
    .replace = fault_replace,
    .usage = fault_usage,
    .identity = fault_identity,
    .is_device = fault_is_device,
    .close = fault_close,
};

int imgi_fault_new(struct imgi_io **io, struct imgi_io *base, img_error *err)
{
    struct fault *fault = calloc(1, sizeof(*fault));

    if (!fault) {
        imgi_io_close(base);
        return imgi_fail_nomem(err, "a faulty file");
    }
    fault->base = base;
    pthread_mutex_init(&fault->lock, NULL);

    int result = imgi_io_init(&fault->io, &fault_ops, base->name, base->flags, err);
    if (result < 0)
        imgi_io_close(&fault->io);
    else
        *io = &fault->io;
    return result;
}

void imgi_fault_set(struct imgi_io *io, unsigned kinds, uint64_t nth, int os_errno, bool sticky)
{
    struct fault *fault = (struct fault *)io;

    pthread_mutex_lock(&fault->lock);
    fault->kinds = kinds;
    fault->left = nth;
    fault->os_errno = os_errno;
    fault->sticky = sticky;
    fault->hit = false;
    pthread_mutex_unlock(&fault->lock);
}

bool imgi_fault_hit(const struct imgi_io *io)
{
    /* The lock is no part of what const promises about the fault. */
    struct fault *fault = (struct fault *)(uintptr_t)io;

    pthread_mutex_lock(&fault->lock);
    bool hit = fault->hit;
    pthread_mutex_unlock(&fault->lock);
    return hit;
}
