/*
 * rebase: give an overlay another backing image. SPDX-License-Identifier: BSD-2-Clause
 *
 * Where the overlay has nothing of its own, what it reads through the old chain is compared with
 * what it would read through the new one, and where they differ it gets a copy. All of that is on
 * disk before the header names the new backing image: a crash before leaves the old chain valid,
 * one after it the new one.
 */
#include <stdlib.h>
#include <string.h>

#include "util/iszero.h"
#include "walk.h"

struct rebase {
    struct imgi_node *top;
    struct imgi_node *old, *new; /* the chains below; NULL: none, it reads as zeros */
    bool compress;
};

/* What a chain has at offset; no chain, and what is past its end, are zeros. */
static int look_below(struct imgi_node *node, uint64_t offset, uint64_t length,
                      struct imgi_layer_run *run, img_error *err)
{
    *run = (struct imgi_layer_run){.extent = {.length = length, .kind = IMGI_ZERO}};
    if (!node || offset >= node->size)
        return 0;
    return imgi_chain_map(node, offset, IMGI_MIN(length, node->size - offset), run, err);
}

/* Whether both runs are the same bytes of the same file, stored in the same way. */
static bool same_place(const struct imgi_layer_run *a, const struct imgi_layer_run *b)
{
    const struct imgi_extent *x = &a->extent, *y = &b->extent;
    uint64_t id[2], other[2];

    return x->kind == y->kind && (x->kind == IMGI_DATA || x->kind == IMGI_PACKED) &&
           a->node->driver == b->node->driver && x->host == y->host &&
           imgi_io_identity(x->io, id) && imgi_io_identity(y->io, other) && id[0] == other[0] &&
           id[1] == other[1];
}

/* What differs is kept in units of this size: only whole clusters can be compressed. */
static uint64_t unit_of(const struct rebase *rebase)
{
    return rebase->compress ? rebase->top->cluster_size : imgi_node_grain(rebase->top);
}

/* Only clusters that the overlay does not have matter, and those only that may read differently. */
static int look(void *context, uint64_t offset, uint64_t *length, enum imgi_walk_action *action,
                img_error *err)
{
    const struct rebase *rebase = context;
    uint64_t unit = unit_of(rebase);
    struct imgi_layer_run old, new;
    struct imgi_extent extent;
    uint64_t run;
    int rc = imgi_node_map(rebase->top, offset, *length, &extent, err);

    if (rc < 0)
        return rc;
    *length = extent.length;
    *action = IMGI_WALK_SKIP;
    if (extent.kind != IMGI_ABSENT)
        return 0;
    rc = look_below(rebase->old, offset, *length, &old, err);
    if (rc == 0)
        rc = look_below(rebase->new, offset, *length, &new, err);
    if (rc < 0)
        return rc;
    run = IMGI_MIN(old.extent.length, new.extent.length);
    if ((old.extent.kind == IMGI_ZERO && new.extent.kind == IMGI_ZERO) || same_place(&old, &new)) {
        uint64_t end = offset + run;

        /* The rest of a cluster goes with what is behind it. */
        if (run < *length)
            end = imgi_align_down(end, unit);
        if (end > offset) {
            *length = end - offset;
            return 0;
        }
    }
    *action = IMGI_WALK_DATA;
    *length = IMGI_MIN(*length, imgi_align_up(offset + run, unit) - offset);
    return 0;
}

/* One cluster, or a run of them, that reads differently: `bytes` is what is to be kept. */
static int keep(const struct rebase *rebase, struct imgi_walk_thread *thread, uint64_t offset,
                const uint8_t *bytes, uint64_t length, bool zero, img_error *err)
{
    struct imgi_node *top = rebase->top;
    int rc = 0;

    /* A driver may leave zeros out where nothing is below, which is about to change. */
    if (zero && top->backing_name)
        return imgi_node_zero(top, offset, length, IMG_ZERO_UNMAP, &thread->scratch[2], err);
    if (!rebase->compress || zero)
        return imgi_node_write(top, offset, bytes, (size_t)length, &thread->scratch[2], err);
    if (!thread->packer)
        rc = imgi_packer_new(&thread->packer, &top->pack, err);
    while (rc == 0 && length > 0) {
        size_t step = (size_t)IMGI_MIN(length, top->cluster_size);

        if (offset % top->cluster_size == 0 &&
            (step == top->cluster_size || offset + step == top->size))
            rc = imgi_node_write_compressed(top, offset, bytes, step, thread->packer,
                                            &thread->scratch[2], err);
        else
            rc = imgi_node_write(top, offset, bytes, step, &thread->scratch[2], err);
        offset += step;
        bytes += step;
        length -= step;
    }
    return rc;
}

enum verdict { EQUAL, ZEROS, DATA };

static enum verdict judge(const uint8_t *old, const uint8_t *new, size_t length)
{
    if (memcmp(old, new, length) == 0)
        return EQUAL;
    return imgi_is_zero(old, length) ? ZEROS : DATA;
}

/* Keep what differs, cluster by cluster; neighbours of one kind in one request. */
static int keep_differences(const struct rebase *rebase, struct imgi_walk_thread *thread,
                            uint64_t offset, uint64_t length, img_error *err)
{
    const uint8_t *old = thread->buffers[0], *new = thread->buffers[1];
    uint64_t start = 0, at = 0;
    enum verdict last = EQUAL;
    int rc = 0;

    while (rc == 0 && at < length) {
        uint64_t unit = unit_of(rebase);
        uint64_t step = IMGI_MIN(length - at, unit - (offset + at) % unit);
        enum verdict verdict = judge(old + at, new + at, (size_t)step);

        if (verdict != last) {
            if (last != EQUAL)
                rc = keep(rebase, thread, offset + start, old + start, at - start, last == ZEROS,
                          err);
            start = at;
            last = verdict;
        }
        at += step;
    }
    if (rc == 0 && last != EQUAL)
        rc = keep(rebase, thread, offset + start, old + start, at - start, last == ZEROS, err);
    return rc;
}

static int merge(void *context, struct imgi_walk_thread *thread, uint64_t offset, uint64_t length,
                 enum imgi_walk_action action, img_error *err)
{
    const struct rebase *rebase = context;
    int rc = imgi_node_read_padded(rebase->old, offset, thread->buffers[0], (size_t)length,
                                   &thread->scratch[0], err);

    (void)action; /* all is data here */
    if (rc == 0)
        rc = imgi_node_read_padded(rebase->new, offset, thread->buffers[1], (size_t)length,
                                   &thread->scratch[1], err);
    if (rc == 0)
        rc = keep_differences(rebase, thread, offset, length, err);
    return rc;
}

static int check(const img_image *image, const img_job *job, const char *name, const char *format,
                 img_error *err)
{
    const struct imgi_node *top = image->top;

    if (!top->writable)
        return imgi_fail(err, IMG_E_RDONLY, "a rebase needs an image that is open for writing");
    if (name && !format)
        return imgi_fail(err, IMG_E_INVAL, "backing format must be specified");
    if (format && !imgi_driver_find(format))
        return imgi_fail(err, IMG_E_NOENT, "Invalid format name: '%s'", format);
    if (!top->driver->set_backing)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Operation not supported");
    if ((job->flags & IMG_JOB_COMPRESS) && top->pack.codec == IMGI_CODEC_NONE)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Compression not supported for this file format");
    if ((job->flags & IMG_JOB_COMPRESS) && top->encrypted)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Compression and encryption not supported at the same time");
    if (job->flags & IMG_JOB_UNSAFE)
        return top->backing ? imgi_fail(err, IMG_E_INVAL,
                                        "only an image that was opened without its backing file "
                                        "can get another one unseen")
                            : 0;
    if (top->backing_name && !top->backing)
        return imgi_fail(err, IMG_E_INVAL, "the image was opened without its backing file");
    return 0;
}

static int copy_differences(img_image *image, img_job *job, struct imgi_node *new, img_error *err)
{
    struct rebase rebase = {
        .top = image->top,
        .old = image->top->backing,
        .new = new,
        .compress = (job->flags & IMG_JOB_COMPRESS) != 0,
    };
    struct imgi_walk walk = {
        .job = job,
        .phase = "rebase",
        .context = &rebase,
        .end = image->top->size,
        .align = image->top->cluster_size,
        .look = look,
        .act = merge,
    };

    return imgi_walk_run(&walk, err);
}

static int set_backing(struct imgi_node *node, const char *name, const char *format,
                       const struct imgi_node *backing, img_error *err)
{
    int rc = imgi_node_flush(node, err);

    if (rc < 0)
        return rc;
    pthread_mutex_lock(&node->lock);
    rc = node->driver->set_backing(node, name, format, backing, err);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

/*
 * Open the new backing image: with its chain, to be compared with; or, when nothing is to be
 * compared, by itself and only if the driver asks for it.
 */
static int open_new(img_image *image, const img_job *job, const char *name, const char *format,
                    struct imgi_node **new, img_error *err)
{
    bool unsafe = job->flags & IMG_JOB_UNSAFE;
    int rc;

    if (!name || (unsafe && !image->top->driver->needs_backing))
        return 0;
    rc = imgi_open_below(image, name, format, unsafe, new, err);
    if (rc < 0)
        imgi_error_prefix(err, "Could not open new backing file '%s'", name);
    return rc;
}

int img_rebase(img_job *given, img_image *image, const char *name, const char *format,
               img_error *err)
{
    img_job *own, *job = imgi_job_own(given, &own, err);
    struct imgi_node *new = NULL;
    int rc = job ? 0 : IMG_E_NOMEM;

    name = name && *name ? name : NULL;
    if (rc == 0)
        rc = check(image, job, name, format, err);
    if (rc == 0)
        rc = open_new(image, job, name, format, &new, err);
    if (rc == 0 && !(job->flags & IMG_JOB_UNSAFE))
        rc = copy_differences(image, job, new, err);
    if (rc == 0)
        rc = set_backing(image->top, name, format, new, err);
    if (job && (job->flags & IMG_JOB_UNSAFE)) {
        imgi_node_close(new);
        new = NULL;
    }
    if (rc == 0)
        rc = imgi_replace_backing(image, new, name, name ? format : NULL, err);
    else
        imgi_node_close(new);
    img_job_free(own);
    if (rc < 0)
        imgi_error_image(err, image->top->name);
    return rc;
}
