/*
 * Ranges of other files, one behind the other, as one file. SPDX-License-Identifier: BSD-2-Clause
 *
 * A member of an archive is a range of the archive; a disk in chunks is several files. Only read.
 * The files belong to somebody else, who closes them later.
 */
#include <stdlib.h>
#include <string.h>

#include "../util/checked.h"
#include "backend.h"

struct joined {
    struct imgi_io io;
    struct imgi_io_part *parts;
    uint64_t *ends; /* of each part, in the whole */
    size_t count;
};

/* The part that the byte lies in, which is inside of the whole. */
static size_t part_at(const struct joined *joined, uint64_t offset)
{
    size_t low = 0, high = joined->count - 1;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (offset < joined->ends[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static uint64_t whole_size(const struct joined *joined)
{
    return joined->count ? joined->ends[joined->count - 1] : 0;
}

/* Where the byte lies. Returns how many bytes follow in that part. */
static uint64_t place(const struct joined *joined, uint64_t offset, struct imgi_io **io,
                      uint64_t *host)
{
    size_t n = part_at(joined, offset);
    const struct imgi_io_part *part = &joined->parts[n];
    uint64_t left = joined->ends[n] - offset;

    *io = part->io;
    *host = part->offset + (part->length - left);
    return left;
}

static int joined_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                       img_error *err)
{
    const struct joined *joined = (const struct joined *)io;
    uint8_t *bytes = buffer;
    int rc = 0;

    if (!imgi_span_ok(offset, length, whole_size(joined)))
        return imgi_io_past_end(length, offset, whole_size(joined), err);
    while (rc == 0 && length > 0) {
        struct imgi_io *part;
        uint64_t host, left = place(joined, offset, &part, &host);
        size_t step = (size_t)IMGI_MIN(left, length);

        rc = imgi_io_read(part, bytes, step, host, err);
        bytes += step;
        offset += step;
        length -= step;
    }
    return rc;
}

static int joined_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    (void)err;
    *size = whole_size((const struct joined *)io);
    return 0;
}

static int joined_extent(struct imgi_io *io, uint64_t offset, uint64_t length,
                         struct imgi_io_extent *extent, img_error *err)
{
    struct imgi_io *part;
    uint64_t host, left = place((const struct joined *)io, offset, &part, &host);

    return imgi_io_extent(part, host, IMGI_MIN(length, left), extent, err);
}

static struct imgi_io *joined_below(struct imgi_io *io, uint64_t *offset, uint64_t *length)
{
    const struct joined *joined = (const struct joined *)io;
    struct imgi_io *part;
    uint64_t left;

    if (*offset >= whole_size(joined))
        return io;
    left = place(joined, *offset, &part, offset);
    *length = IMGI_MIN(*length, left);
    return part;
}

/* That of the first file: two images in one archive are one file. */
static bool joined_identity(struct imgi_io *io, uint64_t id[2])
{
    const struct joined *joined = (const struct joined *)io;

    return joined->count > 0 && imgi_io_identity(joined->parts[0].io, id);
}

static void joined_close(struct imgi_io *io)
{
    struct joined *joined = (struct joined *)io;

    free(joined->parts);
    free(joined->ends);
    free(joined);
}

static const struct imgi_io_ops joined_ops = {
    .name = "joined",
    .read = joined_read,
    .size = joined_size,
    .extent = joined_extent,
    .below = joined_below,
    .identity = joined_identity,
    .close = joined_close,
};

static int take_parts(struct joined *joined, const struct imgi_io_part *parts, size_t count,
                      img_error *err)
{
    uint64_t end = 0;

    joined->parts = calloc(count + 1, sizeof(*joined->parts));
    joined->ends = calloc(count + 1, sizeof(*joined->ends));
    if (!joined->parts || !joined->ends)
        return imgi_fail_nomem(err, "a file in parts");
    for (size_t i = 0; i < count; i++) {
        if (!imgi_add(end, parts[i].length, &end) || end > INT64_MAX)
            return imgi_fail(err, IMG_E_RANGE, "the parts of a file are longer than a file can be");
        if (parts[i].length == 0)
            continue;
        joined->parts[joined->count] = parts[i];
        joined->ends[joined->count++] = end;
    }
    return 0;
}

int imgi_joined_new(struct imgi_io **io, const char *name, const struct imgi_io_part *parts,
                    size_t count, img_error *err)
{
    struct joined *joined = calloc(1, sizeof(*joined));
    int rc;

    if (!joined)
        return imgi_fail_nomem(err, "a file in parts");
    rc = imgi_io_init(&joined->io, &joined_ops, name, 0, err);
    if (rc == 0)
        rc = take_parts(joined, parts, count, err);
    if (rc < 0)
        imgi_io_close(&joined->io);
    else
        *io = &joined->io;
    return rc;
}
