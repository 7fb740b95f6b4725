/*
 * A file as it would be with its log replayed, for reading. SPDX-License-Identifier: BSD-2-Clause
 *
 * An I/O object in front of the file: what the log has to say is done to what is read, in memory.
 * The file stays as it is, and an image that may only be read can be read.
 */
#include <stdlib.h>

#include "vhdx.h"

struct view {
    struct imgi_io io;
    struct imgi_io *file; /* not ours */
    struct vhdx_replay replay;
};

/* What lies past the end of the file, where the log makes it longer, is zeros. */
static int view_read(struct imgi_io *io, void *buffer, size_t length, uint64_t offset,
                     img_error *err)
{
    const struct view *view = (const struct view *)io;
    uint64_t size;
    size_t present;
    int rc = imgi_io_size(view->file, &size, err);

    if (rc < 0)
        return rc;
    if (!imgi_span_ok(offset, length, IMGI_MAX(size, view->replay.last)))
        return imgi_fail(err, IMG_E_RANGE, "read of %zu bytes at 0x%llx: the file ends at 0x%llx",
                         length, (unsigned long long)offset,
                         (unsigned long long)IMGI_MAX(size, view->replay.last));
    present = offset < size ? (size_t)IMGI_MIN(length, size - offset) : 0;
    memset((uint8_t *)buffer + present, 0, length - present);
    rc = imgi_io_read(view->file, buffer, present, offset, err);
    if (rc == 0)
        vhdx_replay_on(&view->replay, offset, buffer, length);
    return rc;
}

static int view_size(struct imgi_io *io, uint64_t *size, img_error *err)
{
    const struct view *view = (const struct view *)io;
    int rc = imgi_io_size(view->file, size, err);

    *size = IMGI_MAX(*size, view->replay.last);
    return rc;
}

static void view_close(struct imgi_io *io)
{
    struct view *view = (struct view *)io;

    vhdx_replay_free(&view->replay);
    free(view);
}

static const struct imgi_io_ops ops = {
    .name = "VHDX log",
    .read = view_read,
    .size = view_size,
    .close = view_close,
};

int vhdx_view_new(struct imgi_io **out, struct imgi_io *file, struct vhdx_replay *replay,
                  img_error *err)
{
    struct view *view = calloc(1, sizeof(*view));

    if (view)
        view->io.name = strdup(file->name);
    if (!view || !view->io.name) {
        free(view);
        vhdx_replay_free(replay);
        return imgi_fail_nomem(err, "the log");
    }
    view->io.ops = &ops;
    view->file = file;
    view->replay = *replay;
    *replay = (struct vhdx_replay){0};
    *out = &view->io;
    return 0;
}
