/*
 * Making a new image. SPDX-License-Identifier: BSD-2-Clause
 *
 * The driver writes an empty image into files that have no name yet; then the image is
 * opened like any other. img_close gives the files their names.
 */
#include <stdlib.h>
#include <string.h>

#include "spec.h"

/* What a creation needs, and what it must undo. */
struct creation {
    struct imgi_create create;
    img_options *options;
    struct imgi_node *backing;
};

static const struct imgi_opt no_options[] = {{0}};

static img_options *copy_options(const img_options *options, img_error *err)
{
    img_options *copy = img_options_new();

    if (!copy) {
        imgi_fail_nomem(err, "options");
        return NULL;
    }
    for (size_t i = 0; options && i < img_options_count(options); i++) {
        const char *name = img_options_name(options, i);

        if (img_options_set(copy, name, img_options_get(options, name), err) < 0) {
            img_options_free(copy);
            return NULL;
        }
    }
    return copy;
}

/* Open the backing image, for its size and to be sure that it is there. */
static int open_backing(struct creation *creation, const char *name, const struct imgi_open *how,
                        img_error *err)
{
    struct imgi_create *create = &creation->create;
    struct imgi_open below = *how;
    char *path = NULL;
    int rc = imgi_backing_path(how->policy, name, create->backing_name, &path, err);

    if (rc < 0)
        return rc;
    below.format = create->backing_format;
    below.flags &= ~(unsigned)IMG_OPEN_WRITE;
    below.flags |= IMG_OPEN_NO_KEY;
    below.options = NULL;
    rc = imgi_node_open_name(&creation->backing, path, &below, err);
    if (rc < 0)
        imgi_error_prefix(err, "Could not open backing file");
    create->backing = creation->backing;
    free(path);
    return rc;
}

/* Where the size comes from: the argument, the option, or the backing image. */
static int decide_size(struct creation *creation, uint64_t size, img_error *err)
{
    struct imgi_create *create = &creation->create;

    if (size == 0 && img_options_get(creation->options, "size"))
        size = imgi_options_number(creation->options, create->table, "size");
    else if (size == 0 && creation->backing)
        size = creation->backing->size;
    create->size = size;
    return imgi_policy_limit(create->policy, IMG_LIMIT_VIRTUAL_SIZE, size, "virtual size", err);
}

static int prepare(struct creation *creation, const struct imgi_driver *driver, const char *name,
                   uint64_t size, const img_options *options, const struct imgi_open *how,
                   img_error *err)
{
    struct imgi_create *create = &creation->create;
    int rc;

    creation->options = copy_options(options, err);
    if (!creation->options)
        return IMG_E_NOMEM;
    *create = (struct imgi_create){
        .name = name,
        .options = creation->options,
        .table = driver->create_options ? driver->create_options : no_options,
        .backing_name = img_options_get(creation->options, "backing_file"),
        .backing_format = img_options_get(creation->options, "backing_fmt"),
        .policy = how->policy,
        .secrets = how->secrets,
        .flags = how->flags,
    };
    rc = imgi_options_check(creation->options, create->table, driver->name, err);
    if (rc == 0 && create->backing_name && strcmp(create->backing_name, name) == 0)
        rc = imgi_fail(err, IMG_E_INVAL,
                       "Error: Trying to create an image with the same filename as the backing "
                       "file");
    if (rc == 0 && create->backing_name &&
        !(how->flags & (IMG_OPEN_NO_BACKING | IMG_OPEN_NO_FILES)))
        rc = open_backing(creation, name, how, err);
    if (rc == 0)
        rc = decide_size(creation, size, err);
    return rc;
}

static void creation_end(struct creation *creation)
{
    imgi_node_close(creation->backing);
    imgi_cipher_free(creation->create.cipher);
    img_options_free(creation->options);
}

/* Levels are the packer's business, not the format's: it has no field for them. */
static void set_level(struct imgi_node *node, const img_options *options)
{
    const char *level = options ? img_options_get(options, "compression_level") : NULL;

    if (level)
        node->pack.level = atoi(level);
}

/* Write an empty image to io, which it takes over, and open it. */
static int create_on(struct imgi_node **node, struct imgi_io *io, const struct imgi_driver *driver,
                     struct creation *creation, const struct imgi_open *how, img_error *err)
{
    struct imgi_files *files = imgi_files_new(imgi_cache_io_flags(how->cache), err);
    struct imgi_open opening = *how;
    int rc;

    if (!files) {
        imgi_io_close(io);
        return IMG_E_NOMEM;
    }
    rc = imgi_files_add(files, io, creation->create.name, err);
    if (rc == 0) {
        creation->create.file = io;
        creation->create.files = files;
        rc = driver->create(&creation->create, err);
    }
    if (rc < 0) {
        imgi_files_free(files);
        return rc;
    }
    opening.cipher = creation->create.cipher;
    opening.format = driver->name;
    opening.flags |= IMG_OPEN_WRITE;
    opening.being_made = true;
    opening.options = NULL;
    return imgi_node_open(node, files, &opening, err);
}

static int creatable(const char *format, const struct imgi_driver **driver, img_error *err)
{
    *driver = imgi_driver_find(format);
    if (!*driver && strcmp(format, "ova") == 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "an OVA is made of its disks' content: by img convert -O ova, or "
                         "img_appliance_create");
    if (!*driver)
        return imgi_fail(err, IMG_E_NOENT, "Unknown file format '%s'", format);
    if ((*driver)->read_only)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Format driver '%s' does not support image creation: its images are "
                         "only read here",
                         format);
    if (!(*driver)->create)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Format driver '%s' does not support image creation", format);
    return 0;
}

/* The new file: a pipe, where the name means one and that is allowed. */
static int create_file(struct imgi_io **io, const char *name, const struct imgi_driver *driver,
                       const struct imgi_open *how, img_error *err)
{
    unsigned flags = imgi_cache_io_flags(how->cache) | IMGI_IO_WRITE;
    int rc;

    if (!(how->flags & IMG_OPEN_PIPE) || !imgi_pipe_named(name))
        return imgi_file_create(io, name, flags, err);
    rc = imgi_driver_check_pipe(driver, err);
    return rc < 0 ? rc : imgi_pipe_open(io, name, flags, how->interrupt, err);
}

/* The image around the new file io (NULL: make it), which it takes over. */
static int create_image(img_image *image, struct imgi_io *io, struct creation *creation,
                        const struct imgi_driver *driver, const struct imgi_open *how,
                        img_error *err)
{
    const char *name = creation->create.name;
    int rc = 0;

    if (!io)
        rc = create_file(&io, name, driver, how, err);
    if (rc == 0)
        rc = create_on(&image->top, io, driver, creation, how, err);
    if (rc < 0)
        return rc;
    image->created = true;
    image->top->begun = true;
    set_level(image->top, creation->options);
    return imgi_chain_open(image->top, how, err);
}

int imgi_image_create_io(img_image **out, struct imgi_io *io, const char *name, const char *format,
                         uint64_t size, const img_options *options, const img_open_params *params,
                         img_error *err)
{
    const struct imgi_driver *driver = NULL;
    struct creation creation = {0};
    img_image *image = imgi_image_new(params, err);
    struct imgi_open how;
    int rc = image ? creatable(format, &driver, err) : IMG_E_NOMEM;

    if (rc == 0) {
        how = imgi_image_how(image, params);
        rc = prepare(&creation, driver, name, size, options, &how, err);
    }
    if (rc == 0)
        rc = create_image(image, io, &creation, driver, &how, err);
    else
        imgi_io_close(io);
    creation_end(&creation);
    if (rc < 0) {
        imgi_error_image(err, name);
        img_abandon(image);
        return rc;
    }
    *out = image;
    return 0;
}

/* *name becomes that of the file that a typed name means. */
static int creatable_name(const char **name, unsigned flags, img_error *err)
{
    if (flags & IMG_OPEN_OPTIONS)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "a new image needs a name, not options");
    return flags & IMG_OPEN_TYPED ? imgi_spec_path(*name, name, err) : 0;
}

int img_create(img_image **image, const char *name, const char *format, uint64_t size,
               const img_options *options, const img_open_params *params, img_error *err)
{
    int rc = params ? creatable_name(&name, params->flags, err) : 0;

    return rc < 0 ? rc
                  : imgi_image_create_io(image, NULL, name, format, size, options, params, err);
}
