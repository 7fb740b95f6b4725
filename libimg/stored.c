/*
 * Data extents: from the bytes in a file to the guest's, and back.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Mostly they are the same. What an encrypted image stores is encrypted by sectors of 512 bytes,
 * each by itself, so whole sectors are read and written: a part of one that is to change is read,
 * decrypted, changed, encrypted and written, and its range is the writer's alone meanwhile
 * (write.c). Bytes are encrypted in memory of their own; the caller's stay as they are.
 *
 * What lies past the end of its file is an error that names the guest's range, never zeros.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define SECTOR IMGI_CIPHER_SECTOR

/* What is encrypted before it is written. */
#define CHUNK (256u << 10)
#define CHUNK_ALIGN 4096u

/* The number of a sector, as it goes into its encryption. */
static uint64_t sector_number(const struct imgi_node *node, uint64_t guest, uint64_t host)
{
    return (node->cipher_by_guest ? guest : host) / SECTOR;
}

static int need_key(const struct imgi_node *node, img_error *err)
{
    if (node->cipher)
        return 0;
    return imgi_fail(err, IMG_E_DENIED, "the image is encrypted, and was opened without its key");
}

int imgi_stored_encrypt(const struct imgi_node *node, uint64_t guest, uint64_t host, void *bytes,
                        size_t length, img_error *err)
{
    int rc = need_key(node, err);

    return rc < 0 ? rc
                  : imgi_cipher_encrypt(node->cipher, sector_number(node, guest, host), bytes,
                                        length, err);
}

/* ------------------------------------------------------------------- read */

/* How many of the extent's bytes may be had: the rest lies in a hole or a tail that reads as zeros.
 */
static int bytes_in_file(const struct imgi_node *node, const struct imgi_extent *extent,
                         uint64_t *present, img_error *err)
{
    uint64_t size, end = extent->host + extent->length, lost;
    int rc = imgi_io_size(extent->io, &size, err);

    if (rc < 0)
        return rc;
    *present = extent->length;
    if (end <= size)
        return 0;
    *present = extent->host < size ? size - extent->host : 0;
    if (extent->flags & IMGI_EXTENT_HOLES)
        return 0;
    if ((extent->flags & IMGI_EXTENT_TAIL) &&
        end <= imgi_align_up(size, IMGI_MAX(node->cluster_size, IMGI_CIPHER_SECTOR)))
        return 0;
    lost = extent->offset + *present;
    return imgi_fail(err, IMG_E_CORRUPT,
                     "guest bytes 0x%llx to 0x%llx are stored at 0x%llx, past the end of the file "
                     "(%llu bytes)",
                     (unsigned long long)lost,
                     (unsigned long long)(extent->offset + extent->length - 1),
                     (unsigned long long)(extent->host + *present), (unsigned long long)size);
}

/* The bytes as they are stored. */
static int read_as_is(struct imgi_node *node, const struct imgi_extent *extent, uint8_t *buffer,
                      img_error *err)
{
    uint64_t present;
    int rc = bytes_in_file(node, extent, &present, err);

    if (rc == 0 && present > 0)
        rc = imgi_io_read(extent->io, buffer, (size_t)present, extent->host, err);
    if (rc == 0)
        memset(buffer + present, 0, (size_t)(extent->length - present));
    return rc;
}

/* Whole sectors, decrypted. */
static int read_sectors(struct imgi_node *node, const struct imgi_extent *extent, uint8_t *buffer,
                        img_error *err)
{
    int rc = read_as_is(node, extent, buffer, err);

    if (rc < 0)
        return rc;
    return imgi_cipher_decrypt(node->cipher, sector_number(node, extent->offset, extent->host),
                               buffer, (size_t)extent->length, err);
}

/* The sector that the extent begins in. */
static int read_sector(struct imgi_node *node, const struct imgi_extent *extent,
                       uint8_t sector[SECTOR], img_error *err)
{
    struct imgi_extent whole = *extent;

    whole.offset -= extent->offset % SECTOR;
    whole.host -= extent->offset % SECTOR;
    whole.length = SECTOR;
    return read_sectors(node, &whole, sector, err);
}

/* Cut off the extent's beginning: a part of a sector, or as many whole ones as there are. */
static uint64_t next_step(const struct imgi_extent *extent)
{
    uint64_t within = extent->offset % SECTOR;

    if (within != 0 || extent->length < SECTOR)
        return IMGI_MIN(extent->length, SECTOR - within);
    return imgi_align_down(extent->length, SECTOR);
}

static int read_encrypted(struct imgi_node *node, const struct imgi_extent *extent, uint8_t *buffer,
                          img_error *err)
{
    struct imgi_extent part = *extent;
    uint64_t left = extent->length;
    int rc = need_key(node, err);

    while (rc == 0 && left > 0) {
        uint8_t sector[SECTOR];

        part.length = left;
        part.length = next_step(&part);
        if (part.length % SECTOR == 0)
            rc = read_sectors(node, &part, buffer, err);
        else
            rc = read_sector(node, &part, sector, err);
        if (rc == 0 && part.length % SECTOR != 0)
            memcpy(buffer, sector + part.offset % SECTOR, (size_t)part.length);
        part.offset += part.length;
        part.host += part.length;
        buffer += part.length;
        left -= part.length;
    }
    return rc;
}

int imgi_stored_read(struct imgi_node *node, const struct imgi_extent *extent, uint8_t *buffer,
                     img_error *err)
{
    return node->encrypted ? read_encrypted(node, extent, buffer, err)
                           : read_as_is(node, extent, buffer, err);
}

/* ------------------------------------------------------------------ write */

/* Take up to `room` bytes from the vectors, which lose them. Returns how many that were. */
static size_t gather(struct iovec **iov, int *count, uint8_t *to, size_t room)
{
    size_t taken = 0;

    while (*count > 0 && taken < room) {
        size_t step = IMGI_MIN((*iov)->iov_len, room - taken);

        memcpy(to + taken, (*iov)->iov_base, step);
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + step;
        (*iov)->iov_len -= step;
        taken += step;
        if ((*iov)->iov_len == 0) {
            (*iov)++;
            (*count)--;
        }
    }
    return taken;
}

static int write_encrypted(struct imgi_node *node, const struct imgi_stored *at, struct iovec *iov,
                           int count, img_error *err)
{
    uint64_t guest = at->guest, host = at->host;
    uint8_t *chunk = aligned_alloc(CHUNK_ALIGN, CHUNK);
    size_t length;
    int rc = chunk ? 0 : imgi_fail_nomem(err, "encryption");

    while (rc == 0 && (length = gather(&iov, &count, chunk, CHUNK)) > 0) {
        rc = imgi_stored_encrypt(node, guest, host, chunk, length, err);
        if (rc == 0)
            rc = imgi_io_write(at->io, chunk, length, host, err);
        guest += length;
        host += length;
    }
    free(chunk);
    return rc;
}

int imgi_stored_writev(struct imgi_node *node, const struct imgi_stored *at, struct iovec *iov,
                       int count, img_error *err)
{
    return node->encrypted ? write_encrypted(node, at, iov, count, err)
                           : imgi_io_writev(at->io, iov, count, at->host, err);
}

/* Change a part of a sector. */
static int patch_sector(struct imgi_node *node, const struct imgi_extent *part,
                        const uint8_t *buffer, img_error *err)
{
    uint8_t sector[SECTOR];
    uint64_t within = part->offset % SECTOR;
    int rc = read_sector(node, part, sector, err);

    if (rc < 0)
        return rc;
    memcpy(sector + within, buffer, (size_t)part->length);
    rc = imgi_stored_encrypt(node, part->offset - within, part->host - within, sector, SECTOR, err);
    if (rc == 0)
        rc = imgi_io_write(part->io, sector, SECTOR, part->host - within, err);
    return rc;
}

static int overwrite_encrypted(struct imgi_node *node, const struct imgi_extent *extent,
                               const uint8_t *buffer, img_error *err)
{
    struct imgi_extent part = *extent;
    uint64_t left = extent->length;
    int rc = need_key(node, err);

    while (rc == 0 && left > 0) {
        const struct imgi_stored at = {part.io, part.offset, part.host};

        part.length = left;
        part.length = next_step(&part);
        if (part.length % SECTOR == 0) {
            struct iovec iov = {(void *)(uintptr_t)buffer, (size_t)part.length};

            rc = write_encrypted(node, &at, &iov, 1, err);
        } else {
            rc = patch_sector(node, &part, buffer, err);
        }
        part.offset += part.length;
        part.host += part.length;
        buffer += part.length;
        left -= part.length;
    }
    return rc;
}

int imgi_stored_overwrite(struct imgi_node *node, const struct imgi_extent *extent,
                          const uint8_t *buffer, img_error *err)
{
    return node->encrypted
               ? overwrite_encrypted(node, extent, buffer, err)
               : imgi_io_write(extent->io, buffer, (size_t)extent->length, extent->host, err);
}
