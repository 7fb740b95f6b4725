/*
 * One image of a chain: opening, closing, flushing it. SPDX-License-Identifier: BSD-2-Clause
 *
 * A node owns its files, its driver's state and everything below it in the chain.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/appliance.h"

/* How large a cluster any driver may have: packed clusters are held in memory whole, and so is what
 * is filled in around a write, unless that is a matter of grains. */
#define CLUSTER_SIZE_MAX IMGI_UNIT_MAX
#define GRAINED_CLUSTER_SIZE_MAX (256u << 20)

static struct imgi_node *node_new(struct imgi_files *files, const struct imgi_open *how,
                                  img_error *err)
{
    struct imgi_node *node = calloc(1, sizeof(*node));

    if (!node) {
        imgi_files_free(files);
        imgi_fail_nomem(err, "an image");
        return NULL;
    }
    pthread_mutex_init(&node->lock, NULL);
    node->files = files;
    node->file = files->list[0].io;
    node->name = files->list[0].path;
    node->flags = how->flags;
    node->writable = (how->flags & IMG_OPEN_WRITE) != 0;
    node->being_made = how->being_made;
    node->options = how->options;
    node->opened.flags = how->flags;
    node->opened.cache = how->cache;
    node->opened.backing_cache = how->backing_cache;
    node->policy = how->policy;
    node->secrets = how->secrets;
    node->cipher = imgi_cipher_share(how->cipher);
    return node;
}

static int choose_driver(struct imgi_node *node, const char *format, img_error *err)
{
    int rc;

    if (format) {
        node->driver = imgi_driver_find(format);
        if (!node->driver)
            return imgi_fail(err, IMG_E_NOENT, "Unknown driver '%s'", format);
        return 0;
    }
    if (!node->policy->probe)
        return imgi_fail(err, IMG_E_DENIED, "the format must be named: guessing it is not allowed");
    rc = imgi_probe_file(node->file, &node->driver, err);
    if (rc == 0)
        node->guessed = node->driver == imgi_driver_find("raw");
    return rc;
}

/* What the driver found must be something the core can work with. */
static int check_shape(const struct imgi_node *node, img_error *err)
{
    uint32_t limit = node->grain ? GRAINED_CLUSTER_SIZE_MAX : CLUSTER_SIZE_MAX;

    if (node->cluster_size > limit ||
        (node->cluster_size != 0 && !imgi_is_pow2(node->cluster_size)))
        return imgi_fail(err, IMG_E_LIMIT, "clusters of %u bytes are more than the limit of %u",
                         node->cluster_size, limit);
    if (node->size > INT64_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "a virtual size of %llu bytes is more than 2^63-1",
                         (unsigned long long)node->size);
    return imgi_policy_limit(node->policy, IMG_LIMIT_VIRTUAL_SIZE, node->size, "virtual size", err);
}

static int open_driver(struct imgi_node *node, img_error *err)
{
    const struct imgi_driver *driver = node->driver;
    int rc;

    if (node->options) {
        rc = imgi_options_check_open(node->options, driver->open_options, driver->name, err);
        if (rc < 0)
            return rc;
    }
    /* A check finds out by itself what it may do. */
    if (node->writable && driver->read_only && !(node->flags & IMG_OPEN_CHECK))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "images of the format %s are only read here, never written", driver->name);
    if (driver->state_size > 0) {
        node->state = calloc(1, driver->state_size);
        if (!node->state)
            return imgi_fail_nomem(err, "an image");
    }
    rc = driver->open(node, err);
    if (rc == 0)
        rc = check_shape(node, err);
    if (rc == 0 && node->writable && (node->encrypted || !imgi_node_is_identity(node))) {
        node->ranges = imgi_ranges_new(err);
        if (!node->ranges)
            rc = IMG_E_NOMEM;
    }
    return rc;
}

int imgi_node_open(struct imgi_node **out, struct imgi_files *files, const struct imgi_open *how,
                   img_error *err)
{
    struct imgi_node *node = node_new(files, how, err);
    int rc;

    if (!node)
        return IMG_E_NOMEM;
    rc = choose_driver(node, how->format, err);
    if (rc == 0 && imgi_io_is_pipe(node->file))
        rc = imgi_driver_check_pipe(node->driver, err);
    if (rc == 0)
        rc = open_driver(node, err);
    if (rc < 0) {
        imgi_error_image(err, node->name);
        imgi_node_close(node);
        return rc;
    }
    *out = node;
    return 0;
}

int imgi_node_open_found(struct imgi_node **node, struct imgi_files *files,
                         const struct imgi_open *how, img_error *err)
{
    bool wanted;
    int rc = imgi_appliance_wanted(files->list[0].io, how, &wanted, err);

    if (rc < 0) {
        imgi_error_image(err, files->list[0].path);
        imgi_files_free(files);
        return rc;
    }
    return wanted ? imgi_appliance_open_node(node, files, how, err)
                  : imgi_node_open(node, files, how, err);
}

int imgi_node_open_name(struct imgi_node **node, const char *name, const struct imgi_open *how,
                        img_error *err)
{
    unsigned io_flags = imgi_cache_io_flags(how->cache), open_flags = io_flags;
    bool writable = (how->flags & IMG_OPEN_WRITE) != 0;
    struct imgi_files *files = imgi_files_new(io_flags, err);
    struct imgi_io *io;
    int rc;

    if (!files)
        return IMG_E_NOMEM;
    if (how->named)
        open_flags |= imgi_named_io_flags(how->policy);
    rc = imgi_file_open(&io, name, open_flags | (writable ? IMGI_IO_WRITE : 0), err);
    if (rc == 0)
        rc = imgi_files_add(files, io, name, err);
    if (rc == 0)
        rc = imgi_lock_file(io, how->flags, writable, err);
    if (rc < 0) {
        imgi_error_image(err, name);
        imgi_files_free(files);
        return rc;
    }
    return imgi_node_open_found(node, files, how, err);
}

int imgi_driver_check_pipe(const struct imgi_driver *driver, img_error *err)
{
    if (driver->pipes)
        return 0;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "%s images cannot be read from a pipe, or written to one", driver->name);
}

static int open_pipe(struct imgi_node **node, const char *name, const struct imgi_open *how,
                     img_error *err)
{
    struct imgi_files *files;
    struct imgi_io *io;
    int rc;

    if (how->flags & IMG_OPEN_WRITE)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "a pipe holds no image that could be changed");
    if (how->disk || (how->format && imgi_is_appliance_format(how->format)))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the disks of an OVA or OVF cannot be read from a pipe");
    files = imgi_files_new(imgi_cache_io_flags(how->cache), err);
    if (!files)
        return IMG_E_NOMEM;
    rc = imgi_pipe_open(&io, name, 0, how->interrupt, err);
    if (rc == 0)
        rc = imgi_files_add(files, io, name, err);
    if (rc < 0) {
        imgi_files_free(files);
        return rc;
    }
    return imgi_node_open(node, files, how, err);
}

int imgi_node_open_typed(struct imgi_node **node, const char *name, const struct imgi_open *how,
                         img_error *err)
{
    int rc;

    if (!(how->flags & IMG_OPEN_PIPE) || !imgi_pipe_named(name))
        return imgi_node_open_name(node, name, how, err);
    rc = open_pipe(node, name, how, err);
    if (rc < 0)
        imgi_error_image(err, name);
    return rc;
}

int imgi_node_pass(struct imgi_node *node, uint64_t offset, img_error *err)
{
    int rc;

    if (!imgi_io_is_pipe(node->file) || !node->driver->pass)
        return 0;
    pthread_mutex_lock(&node->lock);
    rc = node->driver->pass(node, offset, err);
    pthread_mutex_unlock(&node->lock);
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}

void imgi_node_close(struct imgi_node *node)
{
    while (node) {
        struct imgi_node *backing = node->backing;

        if (node->driver && node->driver->close && (node->state || node->driver->state_size == 0))
            node->driver->close(node);
        imgi_cipher_free(node->cipher);
        imgi_ranges_free(node->ranges);
        pthread_mutex_destroy(&node->lock);
        imgi_files_free(node->files);
        img_options_free(node->options_owned);
        img_options_free(node->opened.typed);
        free(node->state);
        free(node->backing_name);
        free(node->backing_format);
        free(node->salvaged);
        imgi_appliance_close(node->appliance);
        free(node);
        node = backing;
    }
}

bool imgi_node_is_identity(const struct imgi_node *node)
{
    return node->driver->reserve == NULL || node->cluster_size == 0;
}

int imgi_node_begin_write(struct imgi_node *node, img_error *err)
{
    int rc = 0;

    if (!node->driver->begin_write)
        return 0;
    pthread_mutex_lock(&node->lock);
    if (!node->begun)
        rc = node->driver->begin_write(node, err);
    node->begun = rc == 0;
    pthread_mutex_unlock(&node->lock);
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}

int imgi_node_track(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err)
{
    int rc;

    if (!node->tracked || length == 0)
        return 0;
    pthread_mutex_lock(&node->lock);
    rc = node->driver->track(node, offset, length, err);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

int imgi_node_finish(struct imgi_node *node, img_error *err)
{
    int rc;

    if (!node->driver->finish)
        return 0;
    pthread_mutex_lock(&node->lock);
    rc = node->driver->finish(node, err);
    pthread_mutex_unlock(&node->lock);
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}

int imgi_node_flush(struct imgi_node *node, img_error *err)
{
    int rc = 0;

    if (node->driver->flush) {
        pthread_mutex_lock(&node->lock);
        rc = node->driver->flush(node, err);
        pthread_mutex_unlock(&node->lock);
    }
    for (size_t i = 0; rc == 0 && i < node->files->count; i++)
        rc = imgi_io_flush(node->files->list[i].io, err);
    if (rc < 0)
        imgi_error_image(err, node->name);
    return rc;
}

int imgi_node_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                  struct imgi_extent *extent, img_error *err)
{
    int rc;

    *extent = (struct imgi_extent){0};
    pthread_mutex_lock(&node->lock);
    rc = node->driver->map(node, offset, length, extent, err);
    pthread_mutex_unlock(&node->lock);
    if (rc < 0) {
        imgi_error_image(err, node->name);
        return rc;
    }
    if (extent->offset != offset || extent->length == 0 || extent->length > length)
        return imgi_fail(err, IMG_E_INTERNAL,
                         "%s: map of %llu bytes at 0x%llx answers %llu at 0x%llx",
                         node->driver->name, (unsigned long long)length, (unsigned long long)offset,
                         (unsigned long long)extent->length, (unsigned long long)extent->offset);
    if (extent->unit_length > IMGI_UNIT_MAX ||
        (extent->unit_length > 0 &&
         (offset < extent->unit ||
          !imgi_span_ok(offset - extent->unit, extent->length, extent->unit_length))))
        return imgi_fail(
            err, IMG_E_INTERNAL, "%s: the run of %llu bytes at 0x%llx is no part of its unit",
            node->driver->name, (unsigned long long)extent->length, (unsigned long long)offset);
    return 0;
}
