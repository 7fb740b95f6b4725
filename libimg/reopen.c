/*
 * Changing a chain below an image that is open. SPDX-License-Identifier: BSD-2-Clause
 *
 * A read lock and a write lock of one process on the same file conflict, as they do between
 * processes. So a backing image that is to be opened in another way gives up its locks first; its
 * node stays, and takes them again, should the new one not open. Nobody uses the image meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "spec.h"

/* Threads remember the last packed cluster by its node, whose address may be given out again. */
static void forget_clusters(img_image *image)
{
    pthread_mutex_lock(&image->scratch_lock);
    for (struct imgi_scratch *scratch = image->scratch; scratch; scratch = scratch->next)
        scratch->cached = NULL;
    pthread_mutex_unlock(&image->scratch_lock);
}

/* Open a node and all below it: by what was typed of it, or else by its file's name. */
static int open_chain(const char *path, const img_options *typed, const struct imgi_open *how,
                      struct imgi_node **out, img_error *err)
{
    struct imgi_open below = *how;
    struct imgi_node *node = NULL;
    int rc;

    if (typed)
        return imgi_spec_open(out, typed, how, err);
    rc = imgi_node_open_name(&node, path, how, err);
    below.cipher = NULL;
    if (rc == 0)
        rc = imgi_chain_open(node, &below, err);
    if (rc < 0)
        imgi_node_close(node);
    else
        *out = node;
    return rc;
}

/* A new image below the top knows nothing of what was typed of the top. */
static struct imgi_open new_how(const img_image *image, const char *format)
{
    unsigned never = IMG_OPEN_WRITE | IMG_OPEN_CHECK | IMG_OPEN_NO_BACKING | IMG_OPEN_NO_FILES;

    return (struct imgi_open){
        .format = format,
        .flags = image->top->opened.flags & ~never,
        .cache = image->backing_cache,
        .backing_cache = image->backing_cache,
        .policy = &image->policy,
        .secrets = image->secrets,
    };
}

int imgi_open_below(img_image *image, const char *name, const char *format, bool alone,
                    struct imgi_node **out, img_error *err)
{
    struct imgi_node *node = NULL;
    struct imgi_open how = new_how(image, format);
    char *path = NULL;
    int rc = imgi_backing_path(&image->policy, image->top->name, name, &path, err);

    *out = NULL;
    if (alone)
        how.flags |= IMG_OPEN_NO_BACKING | IMG_OPEN_NO_FILES;
    if (rc == 0)
        rc = open_chain(path, NULL, &how, &node, err);
    /* The top alone: what stands below it now may well be a part of its new chain. */
    for (struct imgi_node *below = node; rc == 0 && below; below = below->backing)
        rc = imgi_chain_check_loop(image->top, image->top, below, path, err);
    if (rc < 0)
        imgi_node_close(node);
    else
        *out = node;
    free(path);
    return rc;
}

static void drop_locks(struct imgi_node *node)
{
    for (size_t i = 0; i < node->files->count; i++)
        imgi_io_lock(node->files->list[i].io, 0, 0, NULL);
}

/* Whoever took the file meanwhile keeps it: the node goes on without locks. */
static void take_locks(struct imgi_node *node)
{
    for (size_t i = 0; i < node->files->count; i++)
        imgi_lock_file(node->files->list[i].io, node->flags, node->writable, NULL);
}

/*
 * As the backing image of `above` was opened. Who writes does not share, and a format that was
 * guessed is guessed again: a name would allow what a guess does not.
 */
static struct imgi_open same_how(const img_image *image, const struct imgi_node *above,
                                 bool writable)
{
    const struct imgi_node *old = above->backing;
    unsigned flags = old->opened.flags & ~(unsigned)IMG_OPEN_WRITE;

    if (writable)
        flags = (flags & ~(unsigned)IMG_OPEN_SHARE) | IMG_OPEN_WRITE;
    return (struct imgi_open){
        .format = old->guessed ? NULL : above->backing_format,
        .flags = flags,
        .cache = old->opened.cache,
        .backing_cache = old->opened.backing_cache,
        .policy = &image->policy,
        .secrets = image->secrets,
        .cipher = old->cipher,
        .insist = writable,
    };
}

int imgi_reopen_backing(img_image *image, struct imgi_node *above, bool writable, img_error *err)
{
    struct imgi_node *old = above->backing, *node = NULL;
    struct imgi_open how = same_how(image, above, writable);
    int rc;

    drop_locks(old);
    rc = open_chain(old->name, old->opened.typed, &how, &node, err);
    if (rc < 0) {
        take_locks(old);
        return rc;
    }
    above->backing = node;
    imgi_node_close(old);
    forget_clusters(image);
    return 0;
}

int imgi_replace_backing(img_image *image, struct imgi_node *backing, const char *name,
                         const char *format, img_error *err)
{
    struct imgi_node *top = image->top;
    char *new_name = name ? strdup(name) : NULL, *new_format = format ? strdup(format) : NULL;

    if ((name && !new_name) || (format && !new_format)) {
        free(new_name);
        free(new_format);
        imgi_node_close(backing);
        return imgi_fail_nomem(err, "the backing file's name");
    }
    free(top->backing_name);
    free(top->backing_format);
    top->backing_name = new_name;
    top->backing_format = new_format;
    imgi_node_close(top->backing);
    top->backing = backing;
    forget_clusters(image);
    return 0;
}
