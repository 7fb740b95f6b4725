/*
 * commit: bring what an overlay holds into an image below it. SPDX-License-Identifier: BSD-2-Clause
 *
 * The base is opened again for writing, and so is what stands on it if its file tells of the base's
 * content. The base gets everything that the images above it decide (data and zeros; what none of
 * them has is the base's already), and is flushed before the overlay is emptied. A crash before
 * that leaves an overlay that hides what has been written below it.
 *
 * Pieces are written by many threads in any order: each is written once, and the base's own ranges
 * keep those apart that share one of its clusters.
 */
#include <string.h>
#include <sys/stat.h>

#include "walk.h"

struct commit {
    struct imgi_node *top;
    struct imgi_node *above;  /* the image that stands on the base */
    struct imgi_node *holder; /* stands on above, when that was opened for writing too; or NULL */
    bool begun;               /* above's commit_begin has been called */
};

/* Whether the user's name means the backing image of `above`. */
static bool is_named(const struct imgi_node *above, const char *name)
{
    uint64_t id[2];
    struct stat status;

    if (strcmp(name, above->backing_name) == 0 || strcmp(name, above->backing->name) == 0)
        return true;
    return stat(name, &status) == 0 && imgi_io_identity(above->backing->file, id) &&
           id[0] == status.st_dev && id[1] == status.st_ino;
}

static int find_base(struct commit *commit, const char *base, img_error *err)
{
    struct imgi_node *node = commit->top;

    if (!node->backing_name)
        return imgi_fail(err, IMG_E_INVAL, "Image does not have a backing file");
    if (!node->backing)
        return imgi_fail(err, IMG_E_INVAL, "the image was opened without its backing file");
    while (base && node->backing && !is_named(node, base))
        node = node->backing;
    if (!node->backing)
        return imgi_fail(err, IMG_E_NOENT, "Did not find '%s' in the backing chain of '%s'", base,
                         commit->top->name);
    commit->above = node;
    return 0;
}

/* What the images above the base decide of a run. */
static int look(void *context, uint64_t offset, uint64_t *length, enum imgi_walk_action *action,
                img_error *err)
{
    const struct commit *commit = context;
    const struct imgi_node *base = commit->above->backing;

    *action = IMGI_WALK_SKIP;
    for (struct imgi_node *node = commit->top; node != base; node = node->backing) {
        struct imgi_extent extent;
        int rc;

        if (offset >= node->size) {
            /* Past the end of an image that is shorter than the one on it: zeros. */
            *action = IMGI_WALK_ZERO;
            return 0;
        }
        *length = IMGI_MIN(*length, node->size - offset);
        rc = imgi_node_map(node, offset, *length, &extent, err);
        if (rc < 0)
            return rc;
        *length = extent.length;
        if (extent.kind == IMGI_ABSENT)
            continue;
        *action = extent.kind == IMGI_ZERO ? IMGI_WALK_ZERO : IMGI_WALK_DATA;
        return 0;
    }
    return 0;
}

/* The flush at the end waits for all that was written: let the disk begin with it. */
static void write_out(struct imgi_node *node, uint64_t offset, uint64_t length)
{
    struct imgi_extent extent;

    for (; length > 0; offset += extent.length, length -= extent.length) {
        if (imgi_node_map(node, offset, length, &extent, NULL) < 0)
            return;
        if (extent.kind == IMGI_DATA)
            imgi_io_write_out(extent.io, extent.host, extent.length);
    }
}

static int move(void *context, struct imgi_walk_thread *thread, uint64_t offset, uint64_t length,
                enum imgi_walk_action action, img_error *err)
{
    const struct commit *commit = context;
    struct imgi_node *base = commit->above->backing;
    int rc;

    if (action == IMGI_WALK_ZERO)
        return imgi_node_zero(base, offset, length, IMG_ZERO_UNMAP, &thread->scratch[1], err);
    rc = imgi_node_read(commit->top, offset, thread->buffers[0], (size_t)length,
                        &thread->scratch[0], err);
    if (rc == 0)
        rc = imgi_node_write(base, offset, thread->buffers[0], (size_t)length, &thread->scratch[1],
                             err);
    if (rc == 0)
        write_out(base, offset, length);
    return rc;
}

/* Make the base as large as the top: what the larger disk has there is the top's doing. */
static int grow(struct imgi_node *base, uint64_t size, img_error *err)
{
    struct imgi_scratch scratch = {0};
    int rc = 0;

    if (base->size < size)
        rc = imgi_node_resize(base, size, IMG_PREALLOC_OFF, &scratch, err);
    imgi_scratch_clear(&scratch);
    return rc;
}

typedef int change_fn(struct imgi_node *node, struct imgi_node *base, img_error *err);

/* Tell the driver of the image above that the base is about to change, or has changed. */
static int tell(const struct commit *commit, change_fn *fn, img_error *err)
{
    struct imgi_node *above = commit->above, *base = above->backing;
    int rc;

    pthread_mutex_lock(&above->lock);
    pthread_mutex_lock(&base->lock);
    rc = fn(above, base, err);
    pthread_mutex_unlock(&base->lock);
    pthread_mutex_unlock(&above->lock);
    if (rc < 0)
        imgi_error_image(err, above->name);
    return rc;
}

static int begin(struct commit *commit, img_error *err)
{
    struct imgi_node *base = commit->above->backing;

    if (!commit->above->driver->commit_begin)
        return imgi_node_begin_write(base, err);
    commit->begun = true;
    base->begun = true;
    return tell(commit, commit->above->driver->commit_begin, err);
}

/* After a failure too: the base is another one by then. */
static int end(const struct commit *commit, int rc, img_error *err)
{
    int ended = 0;

    if (commit->begun)
        ended = tell(commit, commit->above->driver->commit_end, rc < 0 ? NULL : err);
    return rc < 0 ? rc : ended;
}

static int fill_base(img_job *job, struct commit *commit, img_error *err)
{
    struct imgi_node *base = commit->above->backing;
    struct imgi_walk walk = {
        .job = job,
        .phase = "commit",
        .context = commit,
        .end = commit->top->size,
        .align = base->cluster_size,
        .look = look,
        .act = move,
    };
    int rc = 0;

    if (base->pack_only) {
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "an image of this subformat cannot be changed");
        imgi_error_image(err, base->name);
    }
    if (rc == 0)
        rc = begin(commit, err);
    if (rc == 0)
        rc = grow(base, commit->top->size, err);
    if (rc == 0)
        rc = imgi_walk_run(&walk, err);
    if (rc == 0)
        rc = imgi_node_finish(base, err);
    if (rc == 0)
        rc = imgi_node_flush(base, err);
    return end(commit, rc, err);
}

/* The image that stands on the base is written to as well when something of the base is in it. */
static int open_writable(img_image *image, struct commit *commit, img_error *err)
{
    struct imgi_node *holder = image->top;
    int rc = 0;

    if (commit->above != image->top && commit->above->driver->commit_begin) {
        while (holder->backing != commit->above)
            holder = holder->backing;
        rc = imgi_reopen_backing(image, holder, true, err);
        if (rc < 0)
            return rc;
        commit->holder = holder;
        commit->above = holder->backing;
    }
    return imgi_reopen_backing(image, commit->above, true, err);
}

static int make_empty(struct imgi_node *node, img_error *err)
{
    int rc;

    if (!node->driver->make_empty)
        return 0;
    pthread_mutex_lock(&node->lock);
    rc = node->driver->make_empty(node, err);
    pthread_mutex_unlock(&node->lock);
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}

int img_commit(img_job *given, img_image *image, const char *name, img_error *err)
{
    struct commit commit = {.top = image->top};
    img_job *own, *job = imgi_job_own(given, &own, err);
    bool reopened = false;
    int rc = job ? 0 : IMG_E_NOMEM;

    if (rc == 0 && !image->top->writable)
        rc = imgi_fail(err, IMG_E_RDONLY, "a commit needs an image that is open for writing");
    if (rc == 0)
        rc = find_base(&commit, name, err);
    if (rc == 0) {
        rc = open_writable(image, &commit, err);
        reopened = rc == 0 || commit.holder;
    }
    if (rc == 0)
        rc = fill_base(job, &commit, err);
    if (rc == 0 && !name && !(job->flags & IMG_JOB_KEEP))
        rc = make_empty(image->top, err);
    /* Nobody is kept from reading the base longer than need be; if that fails, it only stays
     * locked. */
    if (reopened)
        imgi_reopen_backing(image, commit.holder ? commit.holder : commit.above, false, NULL);
    img_job_free(own);
    if (rc < 0)
        imgi_error_image(err, image->top->name);
    return rc;
}
