/*
 * Makes the nth I/O of this process fail (trap.h). SPDX-License-Identifier: BSD-2-Clause
 */
#include "trap.h"

#include <pthread.h>
#include <string.h>

#include "io/backend.h"

#define SECTOR 512u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct trap trap; /* kinds 0: none is set */
static uint64_t left;
static bool hit;

int __real_imgi_io_read(struct imgi_io *, void *, size_t, uint64_t, img_error *);
int __wrap_imgi_io_read(struct imgi_io *, void *, size_t, uint64_t, img_error *);
int __real_imgi_io_write(struct imgi_io *, const void *, size_t, uint64_t, img_error *);
int __wrap_imgi_io_write(struct imgi_io *, const void *, size_t, uint64_t, img_error *);
int __real_imgi_io_writev(struct imgi_io *, const struct iovec *, int, uint64_t, img_error *);
int __wrap_imgi_io_writev(struct imgi_io *, const struct iovec *, int, uint64_t, img_error *);
int __real_imgi_io_resize(struct imgi_io *, uint64_t, enum imgi_prealloc, img_error *);
int __wrap_imgi_io_resize(struct imgi_io *, uint64_t, enum imgi_prealloc, img_error *);
int __real_imgi_io_flush(struct imgi_io *, img_error *);
int __wrap_imgi_io_flush(struct imgi_io *, img_error *);
int __real_imgi_io_zero(struct imgi_io *, uint64_t, uint64_t, bool, img_error *);
int __wrap_imgi_io_zero(struct imgi_io *, uint64_t, uint64_t, bool, img_error *);
int __real_imgi_io_replace(struct imgi_io *, const void *, size_t, img_error *);
int __wrap_imgi_io_replace(struct imgi_io *, const void *, size_t, img_error *);
int __real_imgi_io_publish(struct imgi_io *, img_error *);
int __wrap_imgi_io_publish(struct imgi_io *, img_error *);
int __real_imgi_io_prepare(struct imgi_io *, img_error *);
int __wrap_imgi_io_prepare(struct imgi_io *, img_error *);

void trap_set(const struct trap *set, uint64_t nth)
{
    pthread_mutex_lock(&lock);
    trap = *set;
    left = nth;
    hit = false;
    pthread_mutex_unlock(&lock);
}

bool trap_end(void)
{
    pthread_mutex_lock(&lock);
    trap.kinds = 0;
    bool was_hit = hit;
    pthread_mutex_unlock(&lock);
    return was_hit;
}

/* Count a call; fail it when its turn has come. Files in memory are the test's own. */
static int pass(const struct imgi_io *io, unsigned kind, const char *what, img_error *err)
{
    int os_errno = 0;

    if (strcmp(io->ops->name, "mem") == 0)
        return 0;
    pthread_mutex_lock(&lock);
    if ((trap.kinds & kind) && left > 0) {
        left--;
    } else if (trap.kinds & kind) {
        os_errno = trap.os_errno;
        hit = true;
        if (!trap.sticky)
            trap.kinds = 0;
    }
    pthread_mutex_unlock(&lock);
    return os_errno ? imgi_fail_errno(err, os_errno, "%s (a fault that was asked for)", what) : 0;
}

/* A disk writes whole sectors. */
static size_t half_of(size_t length, uint64_t offset)
{
    size_t head = (size_t)(offset % SECTOR);

    return length / 2 + head < SECTOR ? 0 : (length / 2 + head) / SECTOR * SECTOR - head;
}

int __wrap_imgi_io_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                        img_error *err)
{
    int rc = pass(io, IMGI_FAULT_READ, "read", err);

    return rc < 0 ? rc : __real_imgi_io_read(io, buffer, length, offset, err);
}

int __wrap_imgi_io_write(struct imgi_io *io, const void *buffer, size_t length, uint64_t offset,
                         img_error *err)
{
    int rc = pass(io, IMGI_FAULT_WRITE, "write", err);

    if (rc < 0 && trap.half)
        __real_imgi_io_write(io, buffer, half_of(length, offset), offset, NULL);
    return rc < 0 ? rc : __real_imgi_io_write(io, buffer, length, offset, err);
}

int __wrap_imgi_io_writev(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                          img_error *err)
{
    int rc = pass(io, IMGI_FAULT_WRITE, "write", err);

    if (rc < 0 && trap.half)
        __real_imgi_io_write(io, iov[0].iov_base, half_of(iov[0].iov_len, offset), offset, NULL);
    return rc < 0 ? rc : __real_imgi_io_writev(io, iov, count, offset, err);
}

int __wrap_imgi_io_resize(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc,
                          img_error *err)
{
    int rc = pass(io, IMGI_FAULT_RESIZE, "resize", err);

    return rc < 0 ? rc : __real_imgi_io_resize(io, size, prealloc, err);
}

int __wrap_imgi_io_flush(struct imgi_io *io, img_error *err)
{
    int rc = io->flags & IMGI_IO_WRITE ? pass(io, IMGI_FAULT_FLUSH, "flush", err) : 0;

    return rc < 0 ? rc : __real_imgi_io_flush(io, err);
}

int __wrap_imgi_io_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap,
                        img_error *err)
{
    int rc = pass(io, IMGI_FAULT_ZERO, "zeroing", err);

    if (rc < 0 && trap.half)
        __real_imgi_io_zero(io, offset, half_of(length, offset), unmap, NULL);
    return rc < 0 ? rc : __real_imgi_io_zero(io, offset, length, unmap, err);
}

int __wrap_imgi_io_replace(struct imgi_io *io, const void *bytes, size_t length, img_error *err)
{
    int rc = pass(io, IMGI_FAULT_WRITE, "replacement", err);

    return rc < 0 ? rc : __real_imgi_io_replace(io, bytes, length, err);
}

int __wrap_imgi_io_prepare(struct imgi_io *io, img_error *err)
{
    int rc = pass(io, IMGI_FAULT_FLUSH, "flush", err);

    return rc < 0 ? rc : __real_imgi_io_prepare(io, err);
}

/* It flushes. */
int __wrap_imgi_io_publish(struct imgi_io *io, img_error *err)
{
    int rc = pass(io, IMGI_FAULT_FLUSH, "flush", err);

    return rc < 0 ? rc : __real_imgi_io_publish(io, err);
}
