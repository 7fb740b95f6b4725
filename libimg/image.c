/*
 * Images as users of the library hold them. SPDX-License-Identifier: BSD-2-Clause
 *
 * Owns the chain, a copy of the policy, and what threads need for reading packed clusters
 * (scratch_lock protects that list). An image that img_create made keeps its files unnamed
 * until img_close publishes them.
 */
#include <stdlib.h>
#include <string.h>

#include "spec.h"

img_image *imgi_image_new(const img_open_params *params, img_error *err)
{
    img_image *image = calloc(1, sizeof(*image));

    if (!image) {
        imgi_fail_nomem(err, "an image");
        return NULL;
    }
    pthread_mutex_init(&image->scratch_lock, NULL);
    image->policy = params && params->policy ? *params->policy : *imgi_policy_default();
    image->cache = params ? params->cache : IMG_CACHE_WRITEBACK;
    image->backing_cache = params && params->backing_cache ? *params->backing_cache : image->cache;
    image->secrets = params ? params->secrets : NULL;
    return image;
}

static void image_free(img_image *image)
{
    if (!image)
        return;
    while (image->scratch) {
        struct imgi_scratch *scratch = image->scratch;

        image->scratch = scratch->next;
        imgi_scratch_clear(scratch);
        free(scratch);
    }
    pthread_mutex_destroy(&image->scratch_lock);
    imgi_node_close(image->top);
    free(image);
}

struct imgi_scratch *imgi_scratch_take(img_image *image, img_error *err)
{
    struct imgi_scratch *scratch;

    pthread_mutex_lock(&image->scratch_lock);
    scratch = image->scratch;
    if (scratch)
        image->scratch = scratch->next;
    pthread_mutex_unlock(&image->scratch_lock);
    if (!scratch)
        scratch = calloc(1, sizeof(*scratch));
    if (!scratch)
        imgi_fail_nomem(err, "a request");
    return scratch;
}

void imgi_scratch_give(img_image *image, struct imgi_scratch *scratch)
{
    pthread_mutex_lock(&image->scratch_lock);
    scratch->next = image->scratch;
    image->scratch = scratch;
    pthread_mutex_unlock(&image->scratch_lock);
}

struct imgi_open imgi_image_how(const img_image *image, const img_open_params *params)
{
    return (struct imgi_open){
        .format = params ? params->format : NULL,
        .flags = params ? params->flags : 0,
        .cache = image->cache,
        .backing_cache = image->backing_cache,
        .options = params ? params->options : NULL,
        .policy = &image->policy,
        .secrets = image->secrets,
        .disk = params ? params->disk : NULL,
        .interrupt = params ? params->interrupt : NULL,
    };
}

/* The image is open or failed (rc): hand it out, or undo all. */
static int finish_open(img_image *image, int rc, img_image **out)
{
    if (rc < 0) {
        image_free(image);
        return rc;
    }
    *out = image;
    return 0;
}

static int open_chain(img_image *image, const char *path, const struct imgi_open *how,
                      img_error *err)
{
    int rc;

    if ((how->flags & IMG_OPEN_SHARE) && (how->flags & IMG_OPEN_WRITE))
        return imgi_fail(err, IMG_E_INVAL, "force-share=on can only be used with read-only images");
    rc = imgi_node_open_typed(&image->top, path, how, err);
    return rc == 0 ? imgi_chain_open(image->top, how, err) : rc;
}

int img_open(img_image **out, const char *name, const img_open_params *params, img_error *err)
{
    img_image *image = imgi_image_new(params, err);
    img_options *pairs;
    struct imgi_open how;
    const char *path;
    int rc;

    if (!image)
        return IMG_E_NOMEM;
    how = imgi_image_how(image, params);
    rc = imgi_spec_parse(name, how.flags, &pairs, &path, err);
    if (rc == 0 && pairs)
        rc = imgi_spec_open(&image->top, pairs, &how, err);
    else if (rc == 0)
        rc = open_chain(image, path, &how, err);
    img_options_free(pairs);
    return finish_open(image, rc, out);
}

/* A list of files that begins with io, which it takes over. NULL after a failure. */
static struct imgi_files *files_with(struct imgi_io *io, const char *name, unsigned io_flags,
                                     img_error *err)
{
    struct imgi_files *files = imgi_files_new(io_flags, err);

    if (!files) {
        imgi_io_close(io);
        return NULL;
    }
    if (imgi_files_add(files, io, name, err) < 0) {
        imgi_files_free(files);
        return NULL;
    }
    return files;
}

int imgi_image_open_io(img_image **out, struct imgi_io *io, const char *name,
                       const img_open_params *params, img_error *err)
{
    img_image *image = imgi_image_new(params, err);
    struct imgi_files *files;
    struct imgi_open how;
    int rc;

    if (!image) {
        imgi_io_close(io);
        return IMG_E_NOMEM;
    }
    how = imgi_image_how(image, params);
    files = files_with(io, name, imgi_cache_io_flags(how.cache), err);
    if (!files) {
        image_free(image);
        return IMG_E_NOMEM;
    }
    rc = imgi_node_open_found(&image->top, files, &how, err);
    if (rc == 0)
        rc = imgi_chain_open(image->top, &how, err);
    return finish_open(image, rc, out);
}

static int close_top(img_image *image, img_error *err)
{
    struct imgi_node *top = image->top;
    int rc = 0;

    if (top->writable)
        rc = imgi_node_finish(top, err);
    if (rc == 0 && top->writable)
        rc = imgi_node_flush(top, err);
    if (rc == 0 && image->created)
        rc = imgi_files_publish(top->files, err);
    if (rc < 0)
        imgi_error_image(err, top->name);
    return rc;
}

int img_close(img_image *image, img_error *err)
{
    int rc = image ? close_top(image, err) : 0;

    image_free(image);
    return rc;
}

void img_abandon(img_image *image)
{
    image_free(image);
}

uint64_t img_size(const img_image *image)
{
    return image->top->size;
}

const char *img_name(const img_image *image)
{
    return image->top->name;
}

const char *img_format(const img_image *image)
{
    return image->top->driver->name;
}

bool img_format_guessed(const img_image *image)
{
    return image->top->guessed;
}

const char *img_salvaged(const img_image *image)
{
    return image->top->salvaged;
}

uint32_t img_cluster_size(const img_image *image)
{
    return image->top->cluster_size;
}

const char *img_backing_name(const img_image *image)
{
    return image->top->backing_name;
}

const char *img_backing_format(const img_image *image)
{
    return image->top->backing_format;
}

int img_backing_path(const img_image *image, char **path, img_error *err)
{
    if (!image->top->backing_name)
        return imgi_fail(err, IMG_E_NOENT, "the image has no backing file");
    return imgi_backing_path(&image->policy, image->top->name, image->top->backing_name, path, err);
}

void img_free(void *memory)
{
    free(memory);
}
