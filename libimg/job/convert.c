/*
 * convert: copy disks into an image. SPDX-License-Identifier: BSD-2-Clause
 *
 * The sources stand one behind the other. A planner walks their maps in order and cuts the disk
 * into pieces of whole target clusters; threads read, look for zeros and compress; space is
 * reserved in the order of the pieces, so the file is the same for any number of threads.
 *
 * A target that reads as zeros ("blank") gets no zeros. A new one has nobody looking at it either
 * ("direct"): its tables may name clusters before their data is written, since nothing is published
 * before all of it is. Any other goes through the ordinary write path, which knows what the
 * target's snapshots share with it.
 */
#include <stdlib.h>

#include "../appliance/appliance.h"
#include "convert.h"
#include "ring.h"

static void thread_end(void *state)
{
    struct thread *thread = state;

    if (!thread)
        return;
    for (size_t i = 0; thread->scratch && i < thread->source_count; i++)
        imgi_scratch_clear(&thread->scratch[i]);
    free(thread->scratch);
    imgi_packer_free(thread->packer);
    free(thread);
}

static void *thread_begin(void *context, img_error *err)
{
    struct convert *convert = context;
    struct thread *thread = calloc(1, sizeof(*thread));
    int rc = 0;

    if (thread)
        thread->scratch = calloc(convert->source_count, sizeof(*thread->scratch));
    if (!thread || !thread->scratch)
        rc = imgi_fail_nomem(err, "a thread");
    else
        thread->source_count = convert->source_count;
    if (rc == 0 && convert->packed_room > 0)
        rc = imgi_packer_new(&thread->packer, &convert->target->pack, err);
    if (rc == 0)
        return thread;
    thread_end(thread);
    return NULL;
}

static void pieces_free(struct piece *pieces, size_t count)
{
    for (size_t i = 0; pieces && i < count; i++) {
        free(pieces[i].buffer);
        free(pieces[i].packed);
        free(pieces[i].segments);
        free(pieces[i].placed);
    }
    free(pieces);
}

static struct piece *pieces_new(const struct convert *convert, size_t count, img_error *err)
{
    struct piece *pieces = calloc(count, sizeof(*pieces));
    size_t units = convert->piece / convert->unit;
    /* A shared piece may begin and end inside a cluster. */
    size_t places = IMGI_MAX(convert->piece / SECTOR, SHARE_CLUSTERS + 1);
    bool failed = !pieces;

    for (size_t i = 0; !failed && i < count; i++) {
        struct piece *piece = &pieces[i];

        piece->buffer = aligned_alloc(UNIT_MIN, convert->piece);
        if (convert->packed_room > 0)
            piece->packed = malloc(units * convert->packed_room);
        piece->segments = malloc(units * sizeof(*piece->segments));
        piece->placed = malloc(places * sizeof(*piece->placed));
        failed = !piece->buffer || !piece->segments || !piece->placed ||
                 (convert->packed_room > 0 && !piece->packed);
    }
    if (!failed)
        return pieces;
    pieces_free(pieces, count);
    imgi_fail_nomem(err, "buffers for a conversion");
    return NULL;
}

/* A target that reads as zeros. */
static bool is_blank(const img_job *job, const img_image *target)
{
    if (job->flags & IMG_JOB_TARGET_ZERO)
        return true;
    if (!target->created || !target->top->reads_zero || target->top->backing)
        return false;
    /* A device is written in place and has old content, unless clusters say what is new. */
    return !(imgi_node_is_identity(target->top) && imgi_io_is_device(target->top->file));
}

/*
 * Share one block of the source behind the end of the target, and cut it off again: only trying
 * tells whether the filesystem can.
 */
static bool try_sharing(struct imgi_io *io, const struct imgi_extent *extent, uint32_t unit)
{
    uint64_t size;
    bool shared;

    if (imgi_io_size(io, &size, NULL) < 0)
        return false;
    shared = imgi_io_share(io, imgi_align_up(size, unit), extent->io, extent->host, SHARE_ALIGN,
                           NULL) == 0;
    return shared && imgi_io_resize(io, size, IMGI_PREALLOC_OFF, NULL) == 0;
}

static bool has_pipe(const struct convert *convert)
{
    bool found = imgi_io_is_pipe(convert->target->file);

    for (size_t n = 0; !found && n < convert->source_count; n++)
        found = imgi_io_is_pipe(convert->sources[n]->top->file);
    return found;
}

/* Before any thread starts: the answer must not depend on which of them asks first. */
static void decide_sharing(struct convert *convert)
{
    struct imgi_node *target = convert->target;
    struct imgi_io *io = target->data ? target->data : target->file;
    uint64_t offset = 0;

    if (imgi_node_is_identity(target)) {
        struct imgi_extent first;

        if (imgi_node_map(target, 0, SECTOR, &first, NULL) < 0)
            return;
        io = first.io;
    }
    for (int i = 0; i < SHARE_LOOKS && offset < convert->total; i++) {
        struct imgi_layer_run run;

        if (imgi_convert_map(convert, offset, convert->total - offset, &run, NULL) < 0)
            return;
        if (imgi_convert_can_share(&run) && run.extent.length >= SHARE_ALIGN) {
            if (try_sharing(io, &run.extent, convert->unit))
                convert->share_limit =
                    target->cluster_size
                        ? IMGI_MIN(SHARE_BYTES, (uint64_t)target->cluster_size * SHARE_CLUSTERS)
                        : SHARE_BYTES;
            return;
        }
        offset += run.extent.length;
    }
}

static int set_up(struct convert *convert, img_image *target, img_error *err)
{
    const img_job *job = convert->job;
    struct imgi_node *node = convert->target;
    bool pack = ((job->flags & IMG_JOB_COMPRESS) && !node->pack_plain) || node->pack_only;

    for (size_t i = 0; i < convert->source_count; i++)
        convert->total += img_size(convert->sources[i]);
    if (!node->writable)
        return imgi_fail(err, IMG_E_RDONLY, "the target is not open for writing");
    if (job->free_space && convert->source_count != 1)
        return imgi_fail(err, IMG_E_INVAL, "free space is that of one source, and there are %zu",
                         convert->source_count);
    if (convert->total > node->size)
        return imgi_fail(err, IMG_E_RANGE,
                         "the sources hold %llu bytes, which is more than the target's %llu",
                         (unsigned long long)convert->total, (unsigned long long)node->size);
    if (pack && node->pack.codec == IMGI_CODEC_NONE)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Compression not supported for this file format");
    if (pack && node->encrypted)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Compression and encryption not supported at the same time");
    convert->unit = IMGI_MAX(imgi_node_grain(node), UNIT_MIN);
    if (pack)
        convert->unit = node->cluster_size;
    convert->piece = IMGI_MAX(PIECE_BYTES, convert->unit);
    convert->sparse = job->sparse;
    /* Zeros that have to be encrypted are data like any other, and the threads' work. */
    if (node->encrypted && !node->driver->zero)
        convert->sparse = 0;
    convert->blank = is_blank(job, target);
    convert->direct = imgi_node_is_identity(node) || (convert->blank && target->created);
    convert->skip_absent = (job->flags & IMG_JOB_NO_BACKING_COPY) != 0;
    convert->ordered = imgi_io_is_pipe(node->file);
    if (pack)
        convert->packed_room = node->pack_only ? node->cluster_size + node->cluster_size / 8 + 4096
                                               : node->cluster_size;
    else if (convert->blank && convert->direct && !node->encrypted && !has_pipe(convert))
        decide_sharing(convert);
    return 0;
}

static int run(struct convert *convert, img_error *err)
{
    static const struct imgi_ring_ops ops = {.plan = imgi_convert_plan,
                                             .prepare = imgi_convert_prepare,
                                             .commit = imgi_convert_commit,
                                             .finish = imgi_convert_finish,
                                             .thread_begin = thread_begin,
                                             .thread_end = thread_end};
    unsigned threads = imgi_job_threads(convert->job);
    size_t piece_memory = convert->piece + convert->piece / convert->unit * convert->packed_room;
    size_t count = IMGI_MAX(IMGI_MIN(4 * threads, MEMORY_BYTES / piece_memory), 1);
    struct piece *pieces = pieces_new(convert, count, err);
    int rc;

    if (!pieces)
        return IMG_E_NOMEM;
    threads = (unsigned)IMGI_MIN(threads, count);
    imgi_behind_init(&convert->behind);
    rc = imgi_ring_run(&ops, convert, pieces, sizeof(*pieces), count, threads, err);
    imgi_behind_end(&convert->behind);
    pieces_free(pieces, count);
    return rc;
}

/* How many images the sources are made of. */
static size_t count_images(const struct convert *convert)
{
    size_t count = 0;

    for (size_t i = 0; i < convert->source_count; i++)
        for (const struct imgi_node *node = convert->sources[i]->top; node; node = node->backing)
            count++;
    return count;
}

/* A thread for each disk of an appliance among the images, a slot an image. */
static int verify_begin(const struct convert *convert, struct imgi_verifier **verifiers,
                        img_error *err)
{
    int rc = 0;

    if (convert->job->flags & IMG_JOB_NO_VERIFY)
        return 0;
    for (size_t i = 0; i < convert->source_count; i++)
        for (const struct imgi_node *node = convert->sources[i]->top; rc == 0 && node;
             node = node->backing, verifiers++)
            if (node->appliance)
                rc = imgi_verifier_begin(verifiers, node, err);
    return rc;
}

/* Wait for them; with rc < 0 they need not go on. */
static int verify_end(struct imgi_verifier **verifiers, size_t count, int rc, img_error *err)
{
    for (size_t i = 0; i < count; i++) {
        int verified = imgi_verifier_end(verifiers[i], rc < 0, err);

        if (rc == 0)
            rc = verified;
    }
    return rc;
}

/* The ring, with the sources held to their manifests meanwhile. */
static int run_verified(struct convert *convert, img_error *err)
{
    size_t count = count_images(convert);
    struct imgi_verifier **verifiers = calloc(count, sizeof(*verifiers));
    int rc;

    if (!verifiers)
        return imgi_fail_nomem(err, "a conversion");
    rc = verify_begin(convert, verifiers, err);
    if (rc == 0)
        rc = run(convert, err);
    rc = verify_end(verifiers, count, rc, err);
    free(verifiers);
    return rc;
}

int img_convert(img_job *given, img_image *const *sources, size_t count, img_image *target,
                img_error *err)
{
    struct convert convert = {.sources = sources, .source_count = count, .target = target->top};
    img_job *own;
    int rc;

    convert.job = imgi_job_own(given, &own, err);
    if (!convert.job)
        return IMG_E_NOMEM;
    rc = set_up(&convert, target, err);
    if (rc == 0)
        rc = imgi_job_check_free(convert.job, sources[0], err);
    if (rc < 0)
        imgi_error_image(err, target->top->name);
    if (rc == 0)
        rc = imgi_node_begin_write(target->top, err);
    if (rc == 0)
        rc = imgi_job_begin(convert.job, "convert", convert.total, err);
    if (rc == 0)
        rc = run_verified(&convert, err);
    if (rc == 0)
        rc = imgi_convert_pass(&convert, convert.total, err);
    img_job_free(own);
    return rc;
}
