/*
 * A view: what the mounted directory shows. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VIEW_H
#define VIEW_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "imgmount.h"

/*
 * What the requests of the kernel find with fuse_req_userdata(). It is there from view->start to
 * view->end, and so are the images and the log.
 */
struct session {
    const struct args *args;
    struct log *log;
    img_image *const *images;
    size_t image_count;
    void *state; /* the view's */
};

struct view {
    const char *name;
    const struct fuse_lowlevel_ops *ops;
    bool read_only; /* mounted so that the kernel refuses writes */
    /* Fill session->state. False: what is wrong has been said; end is called all the same. */
    bool (*start)(struct session *session);
    /* No request is under way any more. False: something was lost; it has been said. */
    bool (*end)(struct session *session);
};

extern const struct view view_files, view_blocks, view_blocks_writable;

/* Seconds for which the kernel may keep what it has been told: what never changes. */
#define VIEW_FOREVER 86400.0

/*
 * Mount the view at the directory and answer the kernel until it is unmounted, by a signal, by
 * --idle-timeout or by somebody else. ready() is called when the directory shows the view; false
 * ends it at once. Returns the exit status.
 */
int daemon_run(struct session *session, const struct view *view, const char *directory,
               bool (*ready)(void *opaque), void *opaque);

#endif
