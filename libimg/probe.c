/*
 * Which format is it? SPDX-License-Identifier: BSD-2-Clause
 *
 * Every driver scores the head of the file, and its tail where that is what it knows; nothing but
 * content counts, no name and no suffix. raw scores 1, so it takes what nobody else knows.
 */
#include <string.h>

#include "internal.h"

const struct imgi_driver *imgi_driver_find(const char *name)
{
    for (size_t i = 0; imgi_drivers[i]; i++) {
        if (strcmp(imgi_drivers[i]->name, name) == 0)
            return imgi_drivers[i];
    }
    return NULL;
}

const struct imgi_driver *imgi_probe_head(const struct imgi_probe *probe)
{
    const struct imgi_driver *best = NULL;
    int best_score = 0;

    for (size_t i = 0; imgi_drivers[i]; i++) {
        int score = imgi_drivers[i]->probe(probe);

        if (score > best_score) {
            best = imgi_drivers[i];
            best_score = score;
        }
    }
    return best;
}

/* The two ends of a file. */
struct ends {
    struct imgi_probe probe;
    uint8_t head[IMGI_PROBE_BYTES], tail[IMGI_PROBE_TAIL_BYTES];
};

static int read_ends(struct imgi_io *io, struct ends *ends, img_error *err)
{
    struct imgi_probe *probe = &ends->probe;
    int rc = imgi_io_size(io, &probe->size, err);

    if (rc < 0)
        return rc;
    probe->head = ends->head;
    probe->length = (size_t)IMGI_MIN(probe->size, sizeof(ends->head));
    if (probe->length > 0)
        rc = imgi_io_read(io, ends->head, probe->length, 0, err);
    /* The end of a pipe is not known before it has gone by. */
    if (rc == 0 && probe->size >= sizeof(ends->tail) && !imgi_io_is_pipe(io)) {
        probe->tail = ends->tail;
        rc =
            imgi_io_read(io, ends->tail, sizeof(ends->tail), probe->size - sizeof(ends->tail), err);
    }
    return rc;
}

int imgi_probe_file(struct imgi_io *io, const struct imgi_driver **driver, img_error *err)
{
    struct ends ends = {0};
    int rc = read_ends(io, &ends, err);

    if (rc == 0)
        *driver = imgi_probe_head(&ends.probe);
    return rc;
}

/* Copy what a write at offset puts into the `size` bytes that lie at start. */
static void overlay(uint8_t *bytes, uint64_t start, size_t size, uint64_t offset,
                    const uint8_t *buffer, size_t length)
{
    uint64_t from = IMGI_MAX(start, offset), to = IMGI_MIN(start + size, offset + length);

    if (from < to)
        memcpy(bytes + (from - start), buffer + (from - offset), (size_t)(to - from));
}

int imgi_probe_after(struct imgi_io *io, uint64_t offset, const uint8_t *buffer, size_t length,
                     const struct imgi_driver **driver, img_error *err)
{
    struct ends ends = {0};
    int rc = read_ends(io, &ends, err);

    if (rc < 0)
        return rc;
    overlay(ends.head, 0, sizeof(ends.head), offset, buffer, length);
    ends.probe.length = sizeof(ends.head);
    if (ends.probe.tail)
        overlay(ends.tail, ends.probe.size - sizeof(ends.tail), sizeof(ends.tail), offset, buffer,
                length);
    *driver = imgi_probe_head(&ends.probe);
    return 0;
}
