/*
 * O_DIRECT for callers that align nothing. SPDX-License-Identifier: BSD-2-Clause
 *
 * What the kernel would refuse goes through an aligned buffer, in pieces. A write that covers a
 * block only in part reads it first; it holds file->lock alone from that read to its write, because
 * any other write beside it could touch the same block. Where such a write made the file longer
 * than its last byte asks for, the file is cut again before the lock is given back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../util/checked.h"
#include "file.h"

/* Bytes that go through the aligned buffer at a time; a multiple of every alignment. */
#define BOUNCE (1u << 20)
/* What satisfies every disk and file system that does not say what it wants. */
#define USUAL_ALIGN 4096

static bool usable(uint32_t align)
{
    return imgi_is_pow2(align) && align <= BOUNCE;
}

void imgi_direct_setup(struct imgi_file *file)
{
    file->align = USUAL_ALIGN;
    file->mem_align = USUAL_ALIGN;
#ifdef STATX_DIOALIGN
    struct statx info;

    if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) == 0 &&
        (info.stx_mask & STATX_DIOALIGN) && usable(info.stx_dio_offset_align) &&
        usable(info.stx_dio_mem_align)) {
        file->align = info.stx_dio_offset_align;
        file->mem_align = info.stx_dio_mem_align;
        return;
    }
#endif
    if (file->device && usable(file->block))
        file->align = file->block;
}

/* Whether the kernel takes it as it is. */
bool imgi_direct_fits(const struct imgi_file *file, const struct iovec *iov, int count,
                      uint64_t offset)
{
    if (offset % file->align)
        return false;
    for (int i = 0; i < count; i++)
        if ((uintptr_t)iov[i].iov_base % file->mem_align || iov[i].iov_len % file->align)
            return false;
    return true;
}

/* An aligned buffer for a transfer of length bytes. free() it. NULL: no memory. */
static uint8_t *bounce_new(const struct imgi_file *file, size_t length)
{
    size_t align = IMGI_MAX(file->mem_align, sizeof(void *));
    size_t size = IMGI_MIN(length, (size_t)BOUNCE) + 2 * (size_t)file->align;
    void *buffer;

    size = (size_t)imgi_align_down(size, file->align);
    return posix_memalign(&buffer, align, size) ? NULL : buffer;
}

/* How much of length bytes at offset one buffer takes, with the blocks it begins and ends in. */
static size_t bounce_piece(const struct imgi_file *file, size_t length, uint64_t offset)
{
    return IMGI_MIN(length, (size_t)(BOUNCE - offset % file->align));
}

/* ------------------------------------------------------------------ reading */

static int read_bounced(struct imgi_file *file, uint8_t *buffer, size_t length, uint64_t offset,
                        size_t *got)
{
    uint8_t *bounce = bounce_new(file, length);
    int error = bounce ? 0 : ENOMEM;
    bool end = false;

    *got = 0;
    while (!error && !end && *got < length) {
        uint64_t at = offset + *got;
        size_t piece = bounce_piece(file, length - *got, at);
        uint64_t start = imgi_align_down(at, file->align);
        size_t head = (size_t)(at - start);
        size_t whole = (size_t)(imgi_align_up(at + piece, file->align) - start);
        size_t have;

        error = imgi_fd_read(file->fd, bounce, whole, start, file->align, &have);
        if (error)
            break;
        have = have > head ? IMGI_MIN(have - head, piece) : 0;
        memcpy(buffer + *got, bounce + head, have);
        *got += have;
        end = have < piece;
    }
    free(bounce);
    return error;
}

int imgi_direct_read(struct imgi_file *file, void *buffer, size_t length, uint64_t offset,
                     size_t *got)
{
    size_t straight = 0;
    size_t rest;
    int error;

    *got = 0;
    if (offset % file->align == 0 && (uintptr_t)buffer % file->mem_align == 0)
        straight = (size_t)imgi_align_down(length, file->align);
    if (straight > 0) {
        error = imgi_fd_read(file->fd, buffer, straight, offset, file->align, got);
        if (error || *got < straight)
            return error;
    }
    if (straight == length)
        return 0;
    error = read_bounced(file, (uint8_t *)buffer + straight, length - straight, offset + straight,
                         &rest);
    *got = straight + rest;
    return error;
}

/* ------------------------------------------------------------------ writing */

/* Where a copy out of vectors is. */
struct cursor {
    const struct iovec *iov;
    size_t skip; /* bytes of *iov that are done */
};

static void take(struct cursor *cursor, uint8_t *out, size_t length)
{
    while (length > 0) {
        size_t n = IMGI_MIN(length, cursor->iov->iov_len - cursor->skip);

        memcpy(out, (const uint8_t *)cursor->iov->iov_base + cursor->skip, n);
        out += n;
        length -= n;
        cursor->skip += n;
        if (cursor->skip == cursor->iov->iov_len) {
            cursor->iov++;
            cursor->skip = 0;
        }
    }
}

/* A block as it is in the file; zeros past the file's end. */
static int load_block(const struct imgi_file *file, uint8_t *block, uint64_t offset)
{
    size_t got;
    int error = imgi_fd_read(file->fd, block, file->align, offset, file->align, &got);

    if (!error)
        memset(block + got, 0, file->align - got);
    return error;
}

/* One buffer's worth: fetch the blocks that are covered in part, fill in the bytes, write. */
static int write_piece(const struct imgi_file *file, uint8_t *bounce, struct cursor *cursor,
                       uint64_t at, size_t piece)
{
    uint64_t start = imgi_align_down(at, file->align);
    uint64_t stop = imgi_align_up(at + piece, file->align);
    uint64_t last = stop - file->align;
    size_t head = (size_t)(at - start);
    const struct iovec iov = {.iov_base = bounce, .iov_len = (size_t)(stop - start)};
    int error = 0;

    if (head > 0)
        error = load_block(file, bounce, start);
    if (!error && at + piece < stop && (last > start || head == 0))
        error = load_block(file, bounce + (last - start), last);
    if (error)
        return error;
    take(cursor, bounce + head, piece);
    return imgi_fd_writev(file->fd, &iov, 1, start);
}

/* The last block may have gone past the end that the file should have. */
static int cut(struct imgi_file *file, uint64_t end)
{
    uint64_t size = IMGI_MAX(atomic_load(&file->size), end);

    if (file->device || imgi_align_up(end, file->align) <= size)
        return 0;
    return ftruncate(file->fd, (off_t)size) < 0 ? errno : 0;
}

int imgi_direct_write(struct imgi_file *file, const struct iovec *iov, int count, uint64_t offset)
{
    struct cursor cursor = {.iov = iov};
    size_t length = imgi_iov_length(iov, count);
    uint64_t end = offset + length;
    bool whole_blocks = (offset | length) % file->align == 0;
    uint8_t *bounce = bounce_new(file, length);
    int error = 0;

    if (!bounce)
        return ENOMEM;
    if (whole_blocks)
        pthread_rwlock_rdlock(&file->lock);
    else
        pthread_rwlock_wrlock(&file->lock);

    for (size_t written = 0; !error && written < length;) {
        size_t piece = bounce_piece(file, length - written, offset + written);

        error = write_piece(file, bounce, &cursor, offset + written, piece);
        written += piece;
    }
    if (!error && !whole_blocks)
        error = cut(file, end);
    if (!error)
        imgi_file_grown(file, end);
    pthread_rwlock_unlock(&file->lock);
    free(bounce);
    return error;
}
