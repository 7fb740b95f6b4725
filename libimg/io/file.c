/*
 * Regular files and block devices. SPDX-License-Identifier: BSD-2-Clause
 *
 * All transfers are positional, so that the descriptor's own offset never matters and no lock is
 * needed for reading. The size of a regular file is kept in memory and follows this process's own
 * changes; a file that another process makes shorter shows as a read that comes back short.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../util/checked.h"

/* ------------------------------------------------------------------ opening */

int imgi_file_open_flags(unsigned flags)
{
    /* O_NONBLOCK: should the name have become a FIFO after it was looked at, open must not hang. */
    int result = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

    result |= flags & IMGI_IO_WRITE ? O_RDWR : O_RDONLY;
    if (flags & IMGI_IO_DIRECT)
        result |= O_DIRECT;
    if (flags & IMGI_IO_SYNC)
        result |= O_DSYNC;
    if (flags & IMGI_IO_NO_FOLLOW)
        result |= O_NOFOLLOW;
    return result;
}

int imgi_file_check_kind(const struct stat *info, unsigned flags, img_error *err)
{
    const char *kind;

    switch (info->st_mode & S_IFMT) {
    case S_IFREG:
        return 0;
    case S_IFBLK:
        if (!(flags & IMGI_IO_NO_DEVICE))
            return 0;
        return imgi_fail(err, IMG_E_DENIED,
                         "is a block device, and an image may name only files here");
    case S_IFDIR:
        kind = "a directory";
        break;
    case S_IFLNK:
        kind = "a symbolic link";
        break;
    case S_IFIFO:
        kind = "a pipe";
        break;
    case S_IFCHR:
        kind = "a character device";
        break;
    default:
        kind = "a socket";
    }
    return imgi_fail(err, IMG_E_INVAL, "is %s, not a regular file or block device", kind);
}

int imgi_file_open_failed(int os_errno, unsigned flags, const char *what, img_error *err)
{
    bool direct = os_errno == EINVAL && (flags & IMGI_IO_DIRECT);

    return imgi_fail_errno(err, os_errno, "%s%s", what,
                           direct ? " (the file system may not support O_DIRECT)" : "");
}

/* What fstat tells about a descriptor, and its size, go into file. */
static int inspect(struct imgi_file *file, img_error *err)
{
    struct stat info;
    uint64_t size;
    int block;

    if (fstat(file->fd, &info) < 0)
        return imgi_fail_errno(err, errno, "cannot be examined");

    int result = imgi_file_check_kind(&info, file->io.flags, err);
    if (result < 0)
        return result;

    size = (uint64_t)info.st_size;
    file->device = S_ISBLK(info.st_mode);
    if (file->device) {
        if (ioctl(file->fd, BLKGETSIZE64, &size) < 0)
            return imgi_fail_errno(err, errno, "size of the device");
        if (ioctl(file->fd, BLKSSZGET, &block) < 0 || block <= 0)
            return imgi_fail_errno(err, errno, "block size of the device");
        file->block = (uint32_t)block;
    }
    atomic_init(&file->size, size);
    if (file->io.flags & IMGI_IO_DIRECT)
        imgi_direct_setup(file);
    return 0;
}

/* A thread that waits for the lock alone is not overtaken for ever by those that share it. */
static void init_lock(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;

    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

int imgi_file_adopt(struct imgi_file **out, int fd, const char *name, unsigned flags,
                    img_error *err)
{
    struct imgi_file *file = calloc(1, sizeof(*file));

    if (!file) {
        close(fd);
        return imgi_fail_nomem(err, "an open file");
    }
    file->fd = fd;
    init_lock(&file->lock);
    pthread_mutex_init(&file->run_lock, NULL);

    int result = imgi_io_init(&file->io, &imgi_file_ops, name, flags, err);
    if (result == 0)
        result = inspect(file, err);
    if (result < 0) {
        imgi_io_close(&file->io);
        return result;
    }
    *out = file;
    return 0;
}

static int open_file(struct imgi_file **file, const char *name, unsigned flags, img_error *err)
{
    bool no_follow = flags & IMGI_IO_NO_FOLLOW;
    struct stat info;

    /* Looked at first: opening some devices does something to them. */
    if ((no_follow ? lstat(name, &info) : stat(name, &info)) < 0)
        return imgi_file_open_failed(errno, flags, "cannot be opened", err);

    int result = imgi_file_check_kind(&info, flags, err);
    if (result < 0)
        return result;

    int fd = open(name, imgi_file_open_flags(flags));
    if (fd < 0)
        return imgi_file_open_failed(errno, flags, "cannot be opened", err);
    return imgi_file_adopt(file, fd, name, flags, err);
}

int imgi_file_open(struct imgi_io **io, const char *name, unsigned flags, img_error *err)
{
    struct imgi_file *file;
    int result = open_file(&file, name, flags, err);

    if (result < 0)
        imgi_error_image(err, name);
    else
        *io = &file->io;
    return result;
}

static void file_close(struct imgi_io *io)
{
    struct imgi_file *file = (struct imgi_file *)io;

    imgi_stage_free(file->stage);
    close(file->fd);
    pthread_rwlock_destroy(&file->lock);
    pthread_mutex_destroy(&file->run_lock);
    free(file);
}

/* ------------------------------------------------------------------ transfer */

int imgi_fd_read(int fd, void *buffer, size_t length, uint64_t offset, uint32_t align, size_t *got)
{
    *got = 0;
    while (*got < length) {
        ssize_t n = pread(fd, (uint8_t *)buffer + *got, length - *got, (off_t)(offset + *got));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        *got += (size_t)n;
        /* With O_DIRECT an odd count is the end of the file; there is no going on from it. */
        if (n == 0 || (align && *got % align))
            break;
    }
    return 0;
}

static int fd_write(int fd, const uint8_t *buffer, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t n = pwrite(fd, buffer, length, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        buffer += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

int imgi_fd_writev(int fd, const struct iovec *iov, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, iov, IMGI_MIN(count, IOV_MAX), (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;

        size_t written = (size_t)n;
        offset += written;
        while (count > 0 && written >= iov->iov_len) {
            written -= iov->iov_len;
            iov++;
            count--;
        }
        /* The call ended within a vector: finish that one by itself. */
        if (written > 0 || (n == 0 && count > 0)) {
            size_t rest = iov->iov_len - written;
            int error = fd_write(fd, (const uint8_t *)iov->iov_base + written, rest, offset);

            if (error)
                return error;
            offset += rest;
            iov++;
            count--;
        }
    }
    return 0;
}

static int file_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                     img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;
    uint64_t size = atomic_load(&file->size);
    size_t got;
    int error = file->align ? imgi_direct_read(file, buffer, length, offset, &got)
                            : imgi_fd_read(file->fd, buffer, length, offset, 0, &got);

    if (error)
        return imgi_fail_errno(err, error, "read of %zu bytes at 0x%" PRIx64, length, offset);
    if (got == length)
        return 0;
    if (imgi_span_ok(offset, length, size))
        return imgi_fail(err, IMG_E_RANGE,
                         "read of %zu bytes at 0x%" PRIx64 " got %zu: the file has become shorter "
                         "than the 0x%" PRIx64 " bytes it had",
                         length, offset, got, size);
    return imgi_io_past_end(length, offset, size, err);
}

static int file_write(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                      img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;
    int error;

    if (file->align && !imgi_direct_fits(file, iov, count, offset)) {
        error = imgi_direct_write(file, iov, count, offset);
    } else {
        pthread_rwlock_rdlock(&file->lock);
        error = imgi_fd_writev(file->fd, iov, count, offset);
        if (!error)
            imgi_file_grown(file, offset + imgi_iov_length(iov, count));
        pthread_rwlock_unlock(&file->lock);
    }
    atomic_fetch_add(&file->changes, 1);
    if (error)
        return imgi_fail_errno(err, error, "write of %zu bytes at 0x%" PRIx64,
                               imgi_iov_length(iov, count), offset);
    return 0;
}

static int file_flush(struct imgi_io *io, img_error *err)
{
    const struct imgi_file *file = (const struct imgi_file *)io;

    /* A file without a name does not outlive a power cut anyway; publishing flushes it, once. */
    if (file->stage && !file->published)
        return 0;
    return fdatasync(file->fd) < 0 ? imgi_fail_errno(err, errno, "flush to the disk") : 0;
}

/* ------------------------------------------------------------------ size */

void imgi_file_grown(struct imgi_file *file, uint64_t end)
{
    uint64_t size = atomic_load(&file->size);

    while (size < end && !atomic_compare_exchange_weak(&file->size, &size, end))
        ;
}

int imgi_file_extend(struct imgi_file *file, uint64_t end)
{
    int error = 0;

    pthread_rwlock_wrlock(&file->lock);
    if (atomic_load(&file->size) < end) {
        if (ftruncate(file->fd, (off_t)end) < 0)
            error = errno;
        else
            atomic_store(&file->size, end);
    }
    pthread_rwlock_unlock(&file->lock);
    return error;
}

static int file_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;

    (void)err;
    *size = atomic_load(&file->size);
    return 0;
}

/* Returns an errno. */
static int truncate_to(struct imgi_file *file, uint64_t size)
{
    int error = 0;

    pthread_rwlock_wrlock(&file->lock);
    if (ftruncate(file->fd, (off_t)size) < 0)
        error = errno;
    else
        atomic_store(&file->size, size);
    pthread_rwlock_unlock(&file->lock);
    atomic_fetch_add(&file->changes, 1);
    return error;
}

/* Fill the space from old to size; what there is of it after a failure is given back. */
static int preallocate(struct imgi_file *file, uint64_t old, uint64_t size,
                       enum imgi_prealloc prealloc, img_error *err)
{
    int error = EOPNOTSUPP;
    int result = 0;

    if (prealloc == IMGI_PREALLOC_FALLOC)
        error = imgi_file_allocate(file, old, size - old);
    if (error == EOPNOTSUPP)
        result = imgi_io_write_zeros(&file->io, old, size - old, err);
    else if (error)
        result = imgi_fail_errno(err, error, "preallocation of %" PRIu64 " bytes", size - old);
    if (result < 0)
        (void)truncate_to(file, old);
    return result;
}

/* A device keeps its size; all that can be asked is whether it is large enough. */
static int file_resize(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc,
                       img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;
    uint64_t old = atomic_load(&file->size);

    if (file->device && size > old)
        return imgi_fail(err, IMG_E_NOSPACE,
                         "the device has %" PRIu64 " bytes, %" PRIu64 " are needed", old, size);
    if (file->device)
        return 0;
    if (prealloc != IMGI_PREALLOC_OFF && size > old)
        return preallocate(file, old, size, prealloc, err);

    int error = truncate_to(file, size);
    return error ? imgi_fail_errno(err, error, "resize to %" PRIu64 " bytes", size) : 0;
}

static uint64_t file_usage(struct imgi_io *io)
{
    const struct imgi_file *file = (const struct imgi_file *)io;
    struct stat info;

    /* st_blocks counts 512 bytes whatever the file system's block is. */
    return fstat(file->fd, &info) < 0 ? 0 : (uint64_t)info.st_blocks * 512;
}

bool imgi_file_identity(int fd, uint64_t id[2])
{
    struct stat info;

    if (fstat(fd, &info) < 0)
        return false;
    /* Two nodes for one device are one device. */
    id[0] = S_ISBLK(info.st_mode) ? UINT64_MAX : info.st_dev;
    id[1] = S_ISBLK(info.st_mode) ? info.st_rdev : info.st_ino;
    return true;
}

static bool file_identity(struct imgi_io *io, uint64_t id[2])
{
    return imgi_file_identity(((const struct imgi_file *)io)->fd, id);
}

static bool file_is_device(struct imgi_io *io)
{
    return ((struct imgi_file *)io)->device;
}

static void file_write_out(struct imgi_io *io, uint64_t offset, uint64_t length)
{
    const struct imgi_file *file = (const struct imgi_file *)io;

    (void)sync_file_range(file->fd, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE);
}

static void file_evict(struct imgi_io *io, uint64_t offset, uint64_t length)
{
    const struct imgi_file *file = (const struct imgi_file *)io;

    (void)sync_file_range(file->fd, (off_t)offset, (off_t)length,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                              SYNC_FILE_RANGE_WAIT_AFTER);
    (void)posix_fadvise(file->fd, (off_t)offset, (off_t)length, POSIX_FADV_DONTNEED);
}

const struct imgi_io_ops imgi_file_ops = {
    .name = "file",
    .read = file_read,
    .write = file_write,
    .size = file_size,
    .resize = file_resize,
    .flush = file_flush,
    .zero = imgi_file_zero,
    .discard = imgi_file_discard,
    .extent = imgi_file_extent,
    .share = imgi_file_share,
    .lock = imgi_file_lock,
    .prepare = imgi_stage_prepare,
    .publish = imgi_stage_publish,
    .retract = imgi_stage_retract,
    .replace = imgi_file_replace,
    .usage = file_usage,
    .identity = file_identity,
    .is_device = file_is_device,
    .write_out = file_write_out,
    .evict = file_evict,
    .close = file_close,
};
