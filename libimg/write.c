/*
 * Writing: in place, or into new clusters. SPDX-License-Identifier: BSD-2-Clause
 *
 * A new cluster is reserved, filled (with what the guest writes, and around it with what was there
 * before) and only then linked. Whoever does that has the guest's clusters to
 * itself; writers of data that stays where it is share, unless they change a part of an encrypted
 * sector.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* The most that one reservation covers, so that a huge write holds no huge range. */
#define CHUNK (2u << 20)

int imgi_node_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err)
{
    uint64_t wanted = alloc->length;
    int rc;

    alloc->fill_from = alloc->offset;
    alloc->fill_to = alloc->offset + imgi_align_up(wanted, IMGI_MAX(node->cluster_size, 1u));
    pthread_mutex_lock(&node->lock);
    rc = node->driver->reserve(node, alloc, err);
    pthread_mutex_unlock(&node->lock);
    if (rc == 0 && (alloc->length == 0 || alloc->length > wanted || !alloc->io))
        rc = imgi_fail(err, IMG_E_INTERNAL, "%s: a reservation of %llu bytes answers %llu",
                       node->driver->name, (unsigned long long)wanted,
                       (unsigned long long)alloc->length);
    if (rc == 0)
        alloc->fill_to = IMGI_MIN(
            alloc->fill_to,
            alloc->offset + imgi_align_up(alloc->length, IMGI_MAX(node->cluster_size, 1u)));
    return rc;
}

int imgi_node_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err)
{
    int rc;

    pthread_mutex_lock(&node->lock);
    rc = node->driver->link(node, alloc, err);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

static void cancel(struct imgi_node *node, const struct imgi_alloc *alloc)
{
    if (!node->driver->cancel)
        return;
    pthread_mutex_lock(&node->lock);
    node->driver->cancel(node, alloc);
    pthread_mutex_unlock(&node->lock);
}

int imgi_node_pack(const struct imgi_node *node, struct imgi_packer *packer, uint64_t offset,
                   const void *in, void *out, size_t capacity, size_t *packed, img_error *err)
{
    if (node->driver->pack)
        return node->driver->pack(node, packer, offset, in, node->cluster_size, out, capacity,
                                  packed, err);
    *packed = imgi_pack(packer, in, node->cluster_size, out, node->cluster_size - 1);
    return 0;
}

int imgi_node_write_packed(struct imgi_node *node, uint64_t offset, uint64_t length,
                           const void *packed, size_t packed_length, img_error *err)
{
    struct imgi_alloc alloc = {.offset = offset,
                               .length = length,
                               .from = offset,
                               .to = offset + length,
                               .packed = packed_length};
    int rc = imgi_node_track(node, offset, length, err);

    if (rc == 0)
        rc = imgi_node_reserve(node, &alloc, err);
    if (rc < 0)
        return rc;
    rc = imgi_io_write(alloc.io, packed, packed_length, alloc.host, err);
    if (rc == 0)
        rc = imgi_node_link(node, &alloc, err);
    if (rc < 0)
        cancel(node, &alloc);
    return rc;
}

/* What was at from..to before, to be stored around the guest's bytes. NULL when that is nothing. */
static int read_edge(struct imgi_node *node, uint64_t from, uint64_t to, uint8_t **edge,
                     struct imgi_scratch *scratch, img_error *err)
{
    size_t present = from < node->size ? (size_t)(IMGI_MIN(to, node->size) - from) : 0;

    if (from >= to)
        return 0;
    *edge = malloc((size_t)(to - from));
    if (!*edge)
        return imgi_fail_nomem(err, "a cluster");
    memset(*edge + present, 0, (size_t)(to - from) - present);
    return present ? imgi_node_read_held(node, from, *edge, present, scratch, err) : 0;
}

/* Write the guest's bytes offset..end, and what must be stored around them, to their new place. */
static int store(struct imgi_node *node, const struct imgi_alloc *alloc, uint64_t offset,
                 uint64_t end, const uint8_t *buffer, struct imgi_scratch *scratch, img_error *err)
{
    const struct imgi_stored at = {alloc->io, alloc->fill_from,
                                   alloc->host + (alloc->fill_from - alloc->offset)};
    uint8_t *head = NULL, *tail = NULL;
    struct iovec iov[3];
    int count = 0, rc;

    rc = read_edge(node, alloc->fill_from, offset, &head, scratch, err);
    if (rc == 0)
        rc = read_edge(node, end, alloc->fill_to, &tail, scratch, err);
    if (rc < 0)
        goto out;
    if (head)
        iov[count++] = (struct iovec){head, (size_t)(offset - alloc->fill_from)};
    iov[count++] = (struct iovec){(void *)(uintptr_t)buffer, (size_t)(end - offset)};
    if (tail)
        iov[count++] = (struct iovec){tail, (size_t)(alloc->fill_to - end)};
    rc = imgi_stored_writev(node, &at, iov, count, err);
out:
    free(head);
    free(tail);
    return rc;
}

/* Write into new clusters. Returns how many of the bytes it took, or an error. */
static int write_new(struct imgi_node *node, uint64_t offset, const uint8_t *buffer,
                     uint64_t length, uint64_t *taken, struct imgi_scratch *scratch, img_error *err)
{
    uint64_t start = imgi_align_down(offset, node->cluster_size);
    uint64_t stop = IMGI_MIN(imgi_align_up(offset + length, node->cluster_size), node->size);
    struct imgi_alloc alloc = {
        .offset = start, .length = stop - start, .from = offset, .to = offset + length};
    uint64_t end;
    int rc = imgi_node_reserve(node, &alloc, err);

    if (rc < 0)
        return rc;
    end = IMGI_MIN(offset + length, alloc.offset + alloc.length);
    rc = store(node, &alloc, offset, end, buffer, scratch, err);
    if (rc == 0)
        rc = imgi_node_link(node, &alloc, err);
    if (rc < 0) {
        cancel(node, &alloc);
        return rc;
    }
    *taken = end - offset;
    return 0;
}

static bool in_place(const struct imgi_extent *extent)
{
    return extent->kind == IMGI_DATA && (extent->flags & IMGI_EXTENT_INPLACE);
}

/* How far the clusters that need new space reach, from a map that began at offset. */
static int run_without_space(struct imgi_node *node, uint64_t offset, uint64_t length,
                             uint64_t *run, img_error *err)
{
    struct imgi_extent extent;
    uint64_t end = offset;

    while (end < offset + length) {
        int rc = imgi_node_map(node, end, offset + length - end, &extent, err);

        if (rc < 0)
            return rc;
        if (in_place(&extent))
            break;
        end += extent.length;
    }
    *run = end - offset;
    return 0;
}

static int cannot_write(uint64_t offset, img_error *err)
{
    return imgi_fail(err, IMG_E_RDONLY, "guest bytes at 0x%llx cannot be written",
                     (unsigned long long)offset);
}

/* One step of a write whose clusters the caller has to itself. */
static int write_step(struct imgi_node *node, uint64_t offset, const uint8_t *buffer,
                      uint64_t length, uint64_t *taken, struct imgi_scratch *scratch,
                      img_error *err)
{
    struct imgi_extent extent;
    uint64_t run;
    int rc = imgi_node_map(node, offset, length, &extent, err);

    if (rc < 0)
        return rc;
    if (in_place(&extent)) {
        *taken = extent.length;
        return imgi_stored_overwrite(node, &extent, buffer, err);
    }
    if (imgi_node_is_identity(node))
        return cannot_write(offset, err);
    rc = run_without_space(node, offset, length, &run, err);
    if (rc < 0)
        return rc;
    return write_new(node, offset, buffer, run, taken, scratch, err);
}

/* As much of a write as can be done where the data lies already. *done: how much that was. */
static int write_shared(struct imgi_node *node, uint64_t offset, const uint8_t *buffer,
                        uint64_t length, uint64_t *done, img_error *err)
{
    struct imgi_range range;
    int rc = 0;

    *done = 0;
    if (node->ranges)
        imgi_ranges_take(node->ranges, &range, offset, offset + length, false);
    while (rc == 0 && *done < length) {
        struct imgi_extent extent;

        rc = imgi_node_map(node, offset + *done, length - *done, &extent, err);
        if (rc < 0 || !in_place(&extent))
            break;
        rc = imgi_stored_overwrite(node, &extent, buffer + *done, err);
        if (rc == 0)
            *done += extent.length;
    }
    if (node->ranges)
        imgi_ranges_release(node->ranges, &range);
    return rc;
}

static int write_exclusive(struct imgi_node *node, uint64_t offset, const uint8_t *buffer,
                           uint64_t length, struct imgi_scratch *scratch, img_error *err)
{
    uint64_t unit = IMGI_MAX(node->cluster_size, imgi_stored_unit(node));
    struct imgi_range range;
    uint64_t taken = 0;
    int rc = 0;

    imgi_ranges_take(node->ranges, &range, imgi_align_down(offset, unit),
                     imgi_align_up(offset + length, unit), true);
    for (; rc == 0 && length > 0; offset += taken, buffer += taken, length -= taken)
        rc = write_step(node, offset, buffer, length, &taken, scratch, err);
    imgi_ranges_release(node->ranges, &range);
    return rc;
}

/* A cluster at a time, packed: all that a write-once format takes. */
static int write_pack_only(struct imgi_node *node, uint64_t offset, const uint8_t *buffer,
                           size_t length, img_error *err)
{
    size_t size = node->cluster_size, capacity = 2 * size + 4096, packed;
    struct imgi_packer *packer = NULL;
    uint8_t *cluster = calloc(1, size), *out = malloc(capacity);
    int rc = 0;

    if (!cluster || !out)
        rc = imgi_fail_nomem(err, "a compressed cluster");
    if (offset % size != 0 || (length % size != 0 && offset + length != node->size))
        rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                       "this subformat takes whole clusters of %zu bytes only", size);
    if (rc == 0)
        rc = imgi_packer_new(&packer, &node->pack, err);
    while (rc == 0 && length > 0) {
        size_t step = IMGI_MIN(length, size);

        memcpy(cluster, buffer, step);
        memset(cluster + step, 0, size - step);
        rc = imgi_node_pack(node, packer, offset, cluster, out, capacity, &packed, err);
        if (rc == 0)
            rc = imgi_node_write_packed(node, offset, step, out, packed, err);
        offset += step;
        buffer += step;
        length -= step;
    }
    imgi_packer_free(packer);
    free(cluster);
    free(out);
    return rc;
}

/*
 * A guest must not turn what was guessed to be raw into something else: whoever guessed
 * next time would be led to the files that the new header names.
 */
static int guard_guess(struct imgi_node *node, uint64_t offset, const uint8_t *buffer,
                       size_t length, img_error *err)
{
    const struct imgi_driver *driver;
    int rc;

    /* What is probed of the file lies at its ends, the second of which is not always the disk's. */
    if (offset >= IMGI_PROBE_BYTES && offset + length + 2 * IMGI_PROBE_TAIL_BYTES <= node->size)
        return 0;
    rc = imgi_probe_after(node->file, offset, buffer, length, &driver, err);
    if (rc == 0 && driver != node->driver)
        rc = imgi_fail(err, IMG_E_DENIED,
                       "the image was guessed to be raw, and this write would make it look like "
                       "another format: name the format to allow it");
    return rc;
}

int imgi_node_write(struct imgi_node *node, uint64_t offset, const void *data, size_t length,
                    struct imgi_scratch *scratch, img_error *err)
{
    const uint8_t *buffer = data;
    int rc = imgi_node_track(node, offset, length, err);

    if (rc == 0 && node->guessed)
        rc = guard_guess(node, offset, buffer, length, err);
    if (rc == 0 && node->pack_only)
        rc = write_pack_only(node, offset, buffer, length, err);
    while (rc == 0 && length > 0 && !node->pack_only) {
        uint64_t chunk = IMGI_MIN(length, CHUNK), done = 0;

        if ((offset | chunk) % imgi_stored_unit(node) == 0)
            rc = write_shared(node, offset, buffer, chunk, &done, err);
        if (rc == 0 && done < chunk && !node->ranges)
            rc = cannot_write(offset + done, err);
        if (rc == 0 && done < chunk)
            rc = write_exclusive(node, offset + done, buffer + done, chunk - done, scratch, err);
        offset += chunk;
        buffer += chunk;
        length -= (size_t)chunk;
    }
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}
