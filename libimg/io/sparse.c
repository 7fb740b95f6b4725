/*
 * Holes, zeros and shared blocks of files and devices. SPDX-License-Identifier: BSD-2-Clause
 *
 * What file systems offer differs, and a call says only when it is made whether it works here. What
 * turns out to be missing is kept in file->missing, so that each is tried once.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../util/checked.h"
#include "file.h"

static bool is_missing(struct imgi_file *file, unsigned what)
{
    return atomic_load_explicit(&file->missing, memory_order_relaxed) & what;
}

static void set_missing(struct imgi_file *file, unsigned what)
{
    atomic_fetch_or_explicit(&file->missing, what, memory_order_relaxed);
}

/* An errno that says "not here", not "this went wrong". */
static bool means_missing(int error)
{
    return error == EOPNOTSUPP || error == ENOSYS || error == ENOTTY || error == ENODEV;
}

/* ------------------------------------------------------------------ zeros */

/* fallocate in that mode. Returns an errno; EOPNOTSUPP: not this way. */
static int try_fallocate(struct imgi_file *file, unsigned way, int mode, uint64_t offset,
                         uint64_t length)
{
    int error;

    if (length == 0)
        return 0;
    if (is_missing(file, way))
        return EOPNOTSUPP;
    do
        error = fallocate(file->fd, mode, (off_t)offset, (off_t)length) < 0 ? errno : 0;
    while (error == EINTR);

    if (means_missing(error))
        set_missing(file, way);
    /* EINVAL: not this range (its alignment); another may do. */
    return means_missing(error) || error == EINVAL ? EOPNOTSUPP : error;
}

/* Turn what lies inside the file into a hole. */
static int punch(struct imgi_file *file, uint64_t offset, uint64_t length)
{
    uint64_t size = atomic_load(&file->size);

    if (offset >= size)
        return 0;
    return try_fallocate(file, IMGI_MISSING_PUNCH, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         offset, IMGI_MIN(length, size - offset));
}

static int allocate(struct imgi_file *file, uint64_t offset, uint64_t length)
{
    int error = try_fallocate(file, IMGI_MISSING_ALLOCATE, 0, offset, length);

    if (!error)
        imgi_file_grown(file, offset + length);
    return error;
}

/* Zeros that keep their space, past the end of the file too. */
static int zero_range(struct imgi_file *file, uint64_t offset, uint64_t length)
{
    /* A device does not grow; to ask for that is EINVAL on some kernels. */
    int mode = FALLOC_FL_ZERO_RANGE | (file->device ? FALLOC_FL_KEEP_SIZE : 0);
    int error = try_fallocate(file, IMGI_MISSING_ZERO_RANGE, mode, offset, length);

    if (!error)
        imgi_file_grown(file, offset + length);
    return error;
}

/* The ways to zero, best first. Returns an errno; EOPNOTSUPP: none of them. */
static int zero(struct imgi_file *file, uint64_t offset, uint64_t length, bool unmap)
{
    int error = EOPNOTSUPP;

    pthread_rwlock_rdlock(&file->lock);
    if (unmap)
        error = punch(file, offset, length);
    if (error == EOPNOTSUPP)
        error = zero_range(file, offset, length);
    if (error == EOPNOTSUPP && !unmap && !file->device) {
        error = punch(file, offset, length);
        if (!error)
            error = allocate(file, offset, length);
    }
    pthread_rwlock_unlock(&file->lock);

    if (!error)
        error = imgi_file_extend(file, offset + length);
    return error;
}

/* Devices zero whole blocks; the bytes before and behind them are written. */
static int zero_device(struct imgi_file *file, uint64_t offset, uint64_t length, bool unmap,
                       img_error *err)
{
    uint64_t end = offset + length;
    uint64_t first = imgi_align_up(offset, file->block);
    uint64_t last = imgi_align_down(end, file->block);

    if (end > atomic_load(&file->size))
        return imgi_fail(err, IMG_E_NOSPACE,
                         "zeroing of %" PRIu64 " bytes at 0x%" PRIx64
                         ": the device ends at 0x%" PRIx64,
                         length, offset, atomic_load(&file->size));
    if (first >= last)
        return IMG_E_UNSUPPORTED;

    int error = zero(file, first, last - first, unmap);
    if (error == EOPNOTSUPP)
        return IMG_E_UNSUPPORTED;
    if (error)
        return imgi_fail_errno(err, error, "zeroing of %" PRIu64 " bytes at 0x%" PRIx64, length,
                               offset);

    int result = imgi_io_write_zeros(&file->io, offset, first - offset, err);
    return result < 0 ? result : imgi_io_write_zeros(&file->io, last, end - last, err);
}

static int zero_regular(struct imgi_file *file, uint64_t offset, uint64_t length, bool unmap,
                        img_error *err)
{
    int error = zero(file, offset, length, unmap);

    if (error == EOPNOTSUPP)
        return IMG_E_UNSUPPORTED;
    if (error)
        return imgi_fail_errno(err, error, "zeroing of %" PRIu64 " bytes at 0x%" PRIx64, length,
                               offset);
    return 0;
}

int imgi_file_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap, img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;
    int result = file->device ? zero_device(file, offset, length, unmap, err)
                              : zero_regular(file, offset, length, unmap, err);

    atomic_fetch_add(&file->changes, 1);
    return result;
}

int imgi_file_allocate(struct imgi_file *file, uint64_t offset, uint64_t length)
{
    pthread_rwlock_rdlock(&file->lock);
    int error = allocate(file, offset, length);
    pthread_rwlock_unlock(&file->lock);
    atomic_fetch_add(&file->changes, 1);
    return error;
}

/* ------------------------------------------------------------------ discard */

static void discard_device(struct imgi_file *file, uint64_t offset, uint64_t length)
{
    uint64_t end = IMGI_MIN(offset + length, atomic_load(&file->size));
    uint64_t first = imgi_align_up(offset, file->block);
    uint64_t last = imgi_align_down(end, file->block);
    uint64_t range[2] = {first, last - first};

    if (first >= last || is_missing(file, IMGI_MISSING_DISCARD))
        return;
    if (ioctl(file->fd, BLKDISCARD, range) < 0 && means_missing(errno))
        set_missing(file, IMGI_MISSING_DISCARD);
}

/* Space that could not be given back is no error: nobody reads it. */
int imgi_file_discard(struct imgi_io *io, uint64_t offset, uint64_t length, img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;

    (void)err;
    pthread_rwlock_rdlock(&file->lock);
    if (file->device)
        discard_device(file, offset, length);
    else
        (void)punch(file, offset, length);
    pthread_rwlock_unlock(&file->lock);
    atomic_fetch_add(&file->changes, 1);
    return 0;
}

/* ------------------------------------------------------------------ holes */

/* The run that begins at offset. What cannot be found out is data. */
static void find_run(struct imgi_file *file, uint64_t offset, struct imgi_run *run)
{
    struct stat info;

    run->offset = offset;
    run->end = UINT64_MAX; /* the caller cuts it at the file's end */
    run->hole = false;
    if (is_missing(file, IMGI_MISSING_SEEK))
        return;

    /* lseek also moves the descriptor's own offset, which nobody here uses: threads do not collide.
     */
    off_t data = lseek(file->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
        /* No data from here on. A file that was cut short is no hole: reading it must fail. */
        run->hole = fstat(file->fd, &info) == 0 && offset < (uint64_t)info.st_size;
        run->end = run->hole ? (uint64_t)info.st_size : UINT64_MAX;
    } else if (data < 0) {
        set_missing(file, IMGI_MISSING_SEEK);
    } else if ((uint64_t)data > offset) {
        run->hole = true;
        run->end = (uint64_t)data;
    } else {
        off_t hole = lseek(file->fd, (off_t)offset, SEEK_HOLE);

        if (hole > data)
            run->end = (uint64_t)hole;
    }
}

int imgi_file_extent(struct imgi_io *io, uint64_t offset, uint64_t length,
                     struct imgi_io_extent *extent, img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;
    uint64_t changes = atomic_load(&file->changes);
    struct imgi_run run;

    (void)err;
    pthread_mutex_lock(&file->run_lock);
    run = file->run;
    pthread_mutex_unlock(&file->run_lock);

    if (run.changes != changes || offset < run.offset || offset >= run.end) {
        find_run(file, offset, &run);
        /* Counted before looking: a change made meanwhile makes the run stale. */
        run.changes = changes;
        pthread_mutex_lock(&file->run_lock);
        file->run = run;
        pthread_mutex_unlock(&file->run_lock);
    }
    extent->length = IMGI_MIN(length, run.end - offset);
    extent->hole = run.hole;
    return 0;
}

/* ------------------------------------------------------------------ shared blocks */

/* EXDEV and EINVAL are about this source and this range; others may do. */
static bool means_no_sharing(int error)
{
    return means_missing(error) || error == EXDEV || error == EINVAL || error == EPERM ||
           error == ETXTBSY || error == EBADF;
}

int imgi_file_share(struct imgi_io *io, uint64_t offset, struct imgi_io *source,
                    uint64_t source_offset, uint64_t length, img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;
    const struct imgi_file *from = (const struct imgi_file *)source;
    int error = EOPNOTSUPP;

    if (source->ops == io->ops && !file->device && !from->device &&
        !is_missing(file, IMGI_MISSING_SHARE)) {
        struct file_clone_range range = {.src_fd = from->fd,
                                         .src_offset = source_offset,
                                         .src_length = length,
                                         .dest_offset = offset};

        pthread_rwlock_rdlock(&file->lock);
        error = ioctl(file->fd, FICLONERANGE, &range) < 0 ? errno : 0;
        if (!error)
            imgi_file_grown(file, offset + length);
        pthread_rwlock_unlock(&file->lock);
        if (means_missing(error))
            set_missing(file, IMGI_MISSING_SHARE);
        atomic_fetch_add(&file->changes, 1);
    }
    if (means_no_sharing(error))
        return imgi_fail(err, IMG_E_UNSUPPORTED, "blocks cannot be shared here");
    if (error)
        return imgi_fail_errno(err, error, "sharing of %" PRIu64 " bytes at 0x%" PRIx64, length,
                               offset);
    return 0;
}
