/*
 * Which format is it? SPDX-License-Identifier: BSD-2-Clause
 *
 * Every driver scores the head of the file; nothing but content counts, no
 * name and no suffix. raw scores 1, so it takes what nobody else knows.
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

int imgi_probe_file(struct imgi_io *io, const struct imgi_driver **driver, img_error *err)
{
    uint8_t head[IMGI_PROBE_BYTES] = {0};
    struct imgi_probe probe = {.head = head};
    int rc = imgi_io_size(io, &probe.size, err);

    if (rc < 0)
        return rc;
    probe.length = (size_t)IMGI_MIN(probe.size, sizeof(head));
    if (probe.length > 0) {
        rc = imgi_io_read(io, head, probe.length, 0, err);
        if (rc < 0)
            return rc;
    }
    *driver = imgi_probe_head(&probe);
    return 0;
}
