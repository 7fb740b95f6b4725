/*
 * A file that is being written into another one, from a place there on, up to that file's end.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The member of an archive, while the archive is made. Publishing it says that it is complete; the
 * archive gets its name later.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "../util/checked.h"
#include "backend.h"

struct member {
    struct imgi_io io;
    struct imgi_io *base; /* somebody else's */
    uint64_t offset;      /* of the member in it */
    _Atomic uint64_t size;
    struct imgi_member_watch *watch;
};

/* Bytes were written, or became zeros; a longer member has grown. */
static void written(struct member *member, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length, size = atomic_load(&member->size);

    while (end > size && !atomic_compare_exchange_weak(&member->size, &size, end))
        ;
    if (member->watch->written)
        member->watch->written(member->watch->opaque, offset, length);
}

static int member_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                       img_error *err)
{
    struct member *member = (struct member *)io;
    uint64_t size = atomic_load(&member->size);

    if (!imgi_span_ok(offset, length, size))
        return imgi_io_past_end(length, offset, size, err);
    return imgi_io_read(member->base, buffer, length, member->offset + offset, err);
}

static int member_write(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                        img_error *err)
{
    struct member *member = (struct member *)io;
    int rc = imgi_io_writev(member->base, iov, count, member->offset + offset, err);

    if (rc == 0)
        written(member, offset, imgi_iov_length(iov, count));
    return rc;
}

static int member_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap,
                       img_error *err)
{
    struct member *member = (struct member *)io;
    int rc = imgi_io_zero(member->base, member->offset + offset, length, unmap, err);

    if (rc == 0)
        written(member, offset, length);
    return rc;
}

static int member_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    (void)err;
    *size = atomic_load(&((struct member *)io)->size);
    return 0;
}

static int member_resize(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc,
                         img_error *err)
{
    struct member *member = (struct member *)io;
    int rc = imgi_io_resize(member->base, member->offset + size, prealloc, err);

    if (rc == 0)
        atomic_store(&member->size, size);
    return rc;
}

static int member_flush(struct imgi_io *io, img_error *err)
{
    return imgi_io_flush(((struct member *)io)->base, err);
}

static void member_write_out(struct imgi_io *io, uint64_t offset, uint64_t length)
{
    struct member *member = (struct member *)io;

    imgi_io_write_out(member->base, member->offset + offset, length);
}

static int member_publish(struct imgi_io *io, img_error *err)
{
    struct member *member = (struct member *)io;

    (void)err;
    member->watch->complete = true;
    member->watch->size = atomic_load(&member->size);
    return 0;
}

static void member_close(struct imgi_io *io)
{
    free(io);
}

/* Nothing is dropped from the page cache (evict): the digest may not have been there yet. */
static const struct imgi_io_ops member_ops = {
    .name = "member",
    .read = member_read,
    .write = member_write,
    .size = member_size,
    .resize = member_resize,
    .flush = member_flush,
    .zero = member_zero,
    .write_out = member_write_out,
    .publish = member_publish,
    .close = member_close,
};

int imgi_member_new(struct imgi_io **io, const char *name, struct imgi_io *base, uint64_t offset,
                    struct imgi_member_watch *watch, img_error *err)
{
    struct member *member = calloc(1, sizeof(*member));
    int rc;

    if (!member)
        return imgi_fail_nomem(err, "a member of an archive");
    member->base = base;
    member->offset = offset;
    member->watch = watch;
    rc = imgi_io_init(&member->io, &member_ops, name, IMGI_IO_WRITE, err);
    if (rc < 0)
        imgi_io_close(&member->io);
    else
        *io = &member->io;
    return rc;
}
