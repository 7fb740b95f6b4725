/*
 * A file in memory, for tests and fuzzing. SPDX-License-Identifier: BSD-2-Clause
 *
 * mem->lock is held alone where the buffer may move or change its size, and shared by reads and by
 * writes inside it: as in a file, writes of different bytes do not disturb each other.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../util/checked.h"
#include "backend.h"

/* Longer ones are a test or a fuzzer gone astray. */
#define MEM_MAX (1u << 30)

struct mem {
    struct imgi_io io;
    pthread_rwlock_t lock;
    uint8_t *bytes; /* capacity bytes; zeros from size on */
    uint64_t size, capacity;
};

/* Make it at least size bytes long. Called with lock held alone. */
static int grow(struct mem *mem, uint64_t size, img_error *err)
{
    if (size > mem->capacity) {
        uint64_t capacity = IMGI_MAX(size, mem->capacity + mem->capacity / 2);
        uint8_t *bytes;

        if (size > MEM_MAX)
            return imgi_fail(err, IMG_E_NOSPACE, "a file in memory has %u bytes at most", MEM_MAX);
        bytes = realloc(mem->bytes, (size_t)capacity);
        if (!bytes)
            return imgi_fail_nomem(err, "a file in memory");
        memset(bytes + mem->capacity, 0, (size_t)(capacity - mem->capacity));
        mem->bytes = bytes;
        mem->capacity = capacity;
    }
    mem->size = IMGI_MAX(mem->size, size);
    return 0;
}

/* Take the lock, alone if the file must grow to end first. On failure it is not held. */
static int lock_for_write(struct mem *mem, uint64_t end, img_error *err)
{
    int result = 0;

    pthread_rwlock_rdlock(&mem->lock);
    if (end <= mem->size)
        return 0;
    pthread_rwlock_unlock(&mem->lock);

    pthread_rwlock_wrlock(&mem->lock);
    if (end > mem->size)
        result = grow(mem, end, err);
    if (result < 0)
        pthread_rwlock_unlock(&mem->lock);
    return result;
}

static int mem_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                    img_error *err)
{
    struct mem *mem = (struct mem *)io;
    int result = 0;

    pthread_rwlock_rdlock(&mem->lock);
    if (imgi_span_ok(offset, length, mem->size))
        memcpy(buffer, mem->bytes + offset, length);
    else
        result = imgi_io_past_end(length, offset, mem->size, err);
    pthread_rwlock_unlock(&mem->lock);
    return result;
}

static int mem_write(struct imgi_io *io, const struct iovec *iov, int count, uint64_t offset,
                     img_error *err)
{
    struct mem *mem = (struct mem *)io;
    int result = lock_for_write(mem, offset + imgi_iov_length(iov, count), err);

    if (result < 0)
        return result;
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > 0)
            memcpy(mem->bytes + offset, iov[i].iov_base, iov[i].iov_len);
        offset += iov[i].iov_len;
    }
    pthread_rwlock_unlock(&mem->lock);
    return 0;
}

static int mem_zero(struct imgi_io *io, uint64_t offset, uint64_t length, bool unmap,
                    img_error *err)
{
    struct mem *mem = (struct mem *)io;
    int result = lock_for_write(mem, offset + length, err);

    (void)unmap;
    if (result < 0)
        return result;
    memset(mem->bytes + offset, 0, (size_t)length);
    pthread_rwlock_unlock(&mem->lock);
    return 0;
}

static int mem_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    struct mem *mem = (struct mem *)io;

    (void)err;
    pthread_rwlock_rdlock(&mem->lock);
    *size = mem->size;
    pthread_rwlock_unlock(&mem->lock);
    return 0;
}

static int mem_resize(struct imgi_io *io, uint64_t size, enum imgi_prealloc prealloc,
                      img_error *err)
{
    struct mem *mem = (struct mem *)io;
    int result = 0;

    (void)prealloc;
    pthread_rwlock_wrlock(&mem->lock);
    if (size < mem->size) {
        memset(mem->bytes + size, 0, (size_t)(mem->size - size));
        mem->size = size;
    } else {
        result = grow(mem, size, err);
    }
    pthread_rwlock_unlock(&mem->lock);
    return result;
}

static uint64_t mem_usage(struct imgi_io *io)
{
    struct mem *mem = (struct mem *)io;

    pthread_rwlock_rdlock(&mem->lock);
    uint64_t usage = mem->capacity;
    pthread_rwlock_unlock(&mem->lock);
    return usage;
}

static bool mem_identity(struct imgi_io *io, uint64_t id[2])
{
    /* No device has this number. */
    id[0] = UINT64_MAX - 1;
    id[1] = (uintptr_t)io;
    return true;
}

static void mem_close(struct imgi_io *io)
{
    struct mem *mem = (struct mem *)io;

    pthread_rwlock_destroy(&mem->lock);
    free(mem->bytes);
    free(mem);
}

static const struct imgi_io_ops mem_ops = {
    .name = "mem",
    .read = mem_read,
    .write = mem_write,
    .size = mem_size,
    .resize = mem_resize,
    .zero = mem_zero,
    .usage = mem_usage,
    .identity = mem_identity,
    .close = mem_close,
};

int imgi_mem_new(struct imgi_io **io, img_error *err)
{
    struct mem *mem = calloc(1, sizeof(*mem));

    if (!mem)
        return imgi_fail_nomem(err, "a file in memory");
    pthread_rwlock_init(&mem->lock, NULL);

    int result = imgi_io_init(&mem->io, &mem_ops, "memory", IMGI_IO_WRITE, err);
    if (result < 0)
        imgi_io_close(&mem->io);
    else
        *io = &mem->io;
    return result;
}

const uint8_t *imgi_mem_bytes(struct imgi_io *io, size_t *length)
{
    const struct mem *mem = (const struct mem *)io;

    *length = (size_t)mem->size;
    return mem->bytes;
}
