/*
 * Opening what a flat set of options describes. SPDX-License-Identifier: BSD-2-Clause
 *
 * Options of a layer are dealt out to four heaps: those every image has (struct tuning), those
 * of the file it lies in ("file."), those of its backing image ("backing.") and those of its
 * format, which the driver judges. A name that nobody takes is an error. The texts are qemu-img's.
 */
#include <stdlib.h>
#include <string.h>

#include "spec.h"

/* What each image, and each file, may be told. -1: nothing was said. */
struct tuning {
    int read_only, force_share, direct, no_flush, discard, detect_zeroes;
};
#define TUNING_NONE                                                                                \
    (struct tuning)                                                                                \
    {                                                                                              \
        -1, -1, -1, -1, -1, -1                                                                     \
    }

struct layer {
    const char *driver; /* NULL: to be found by probing */
    const char *file_node, *backing_node;
    const char *disk; /* of an appliance; NULL: not said */
    img_options *file, *backing, *format;
    struct tuning tuning;
};

/* ------------------------------------------------------------------ values */

static int take_bool(const char *key, const char *value, int *flag, img_error *err)
{
    struct imgi_opt table[] = {{.name = key, .type = IMGI_OPT_BOOL}, {0}};
    img_options *one = img_options_new();
    int rc = one ? img_options_set(one, key, value, err) : imgi_fail_nomem(err, "options");

    if (rc == 0)
        rc = imgi_options_check(one, table, "", err);
    if (rc == 0)
        *flag = imgi_options_bool(one, table, key);
    img_options_free(one);
    return rc;
}

static int take_word(const char *value, const char *const *words, int *number, img_error *err)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], value) == 0) {
            *number = i;
            return 0;
        }
    return imgi_fail(err, IMG_E_INVAL, "invalid parameter value: %s", value);
}

static int take_discard(const char *value, int *discard, img_error *err)
{
    static const char *const words[] = {"ignore", "off", "unmap", "on", NULL};
    int number = 0;

    if (take_word(value, words, &number, NULL) < 0)
        return imgi_fail(err, IMG_E_INVAL, "Invalid discard option");
    *discard = number >= 2;
    return 0;
}

/* An option that every image has. *known is false for others. */
static int take_tuning(struct tuning *tuning, const char *key, const char *value, bool *known,
                       img_error *err)
{
    static const char *const detect[] = {"off", "on", "unmap", NULL};
    int ignored;

    *known = true;
    if (strcmp(key, "read-only") == 0)
        return take_bool(key, value, &tuning->read_only, err);
    if (strcmp(key, "force-share") == 0)
        return take_bool(key, value, &tuning->force_share, err);
    if (strcmp(key, "cache.direct") == 0)
        return take_bool(key, value, &tuning->direct, err);
    if (strcmp(key, "cache.no-flush") == 0)
        return take_bool(key, value, &tuning->no_flush, err);
    if (strcmp(key, "auto-read-only") == 0)
        return take_bool(key, value, &ignored, err);
    if (strcmp(key, "discard") == 0)
        return take_discard(value, &tuning->discard, err);
    if (strcmp(key, "detect-zeroes") == 0)
        return take_word(value, detect, &tuning->detect_zeroes, err);
    *known = strcmp(key, "node-name") == 0;
    return 0;
}

/* ------------------------------------------------------------------ layers */

static void layer_free(struct layer *layer)
{
    img_options_free(layer->file);
    img_options_free(layer->backing);
    img_options_free(layer->format);
}

static int add(img_options **heap, const char *key, const char *value, img_error *err)
{
    if (!*heap && !(*heap = img_options_new()))
        return imgi_fail_nomem(err, "options");
    return img_options_set(*heap, key, value, err);
}

static int add_all(img_options **heap, const img_options *from, img_error *err)
{
    const char *key;
    int rc = 0;

    for (size_t i = 0; rc == 0 && (key = img_options_name(from, i)); i++)
        rc = add(heap, key, img_options_get(from, key), err);
    return rc;
}

static bool has_prefix(const char *key, const char *prefix)
{
    return strncmp(key, prefix, strlen(prefix)) == 0;
}

static int deal(struct layer *layer, const char *key, const char *value, img_error *err)
{
    bool known;
    int rc;

    if (strcmp(key, "driver") == 0)
        layer->driver = value;
    else if (strcmp(key, "file") == 0)
        layer->file_node = value;
    else if (strcmp(key, "backing") == 0)
        layer->backing_node = value;
    else if (strcmp(key, "disk") == 0)
        layer->disk = value;
    else if (has_prefix(key, "file."))
        return add(&layer->file, key + strlen("file."), value, err);
    else if (has_prefix(key, "backing."))
        return add(&layer->backing, key + strlen("backing."), value, err);
    else {
        rc = take_tuning(&layer->tuning, key, value, &known, err);
        return rc < 0 || known ? rc : add(&layer->format, key, value, err);
    }
    return 0;
}

static int check_tuning(const struct tuning *tuning, img_error *err)
{
    if (tuning->detect_zeroes == IMGI_DETECT_UNMAP && tuning->discard != 1)
        return imgi_fail(err, IMG_E_INVAL,
                         "setting detect-zeroes to unmap is not allowed without setting discard "
                         "operation to unmap");
    return 0;
}

static bool is_file_driver(const char *driver)
{
    return strcmp(driver, "file") == 0 || strcmp(driver, "host_device") == 0 ||
           strcmp(driver, "host_cdrom") == 0;
}

/* A protocol by itself is a disk as it is: what is said of it is said of the file. */
static int deal_protocol(struct layer *layer, const img_options *pairs, img_error *err)
{
    layer->driver = "raw";
    return add_all(&layer->file, pairs, err);
}

static int layer_parse(struct layer *layer, const img_options *pairs, img_error *err)
{
    const char *driver = img_options_get(pairs, "driver"), *key;
    int rc = 0;

    *layer = (struct layer){.tuning = TUNING_NONE};
    if (driver && is_file_driver(driver))
        return deal_protocol(layer, pairs, err);
    for (size_t i = 0; rc == 0 && (key = img_options_name(pairs, i)); i++)
        rc = deal(layer, key, img_options_get(pairs, key), err);
    if (rc == 0)
        rc = check_tuning(&layer->tuning, err);
    if (rc == 0 && layer->file_node)
        rc = imgi_fail(err, IMG_E_NOENT, "Cannot find device='%s' nor node-name='%s'",
                       layer->file_node, layer->file_node);
    if (rc == 0 && driver && !imgi_driver_find(driver) && !imgi_is_appliance_format(driver))
        rc = imgi_fail(err, IMG_E_NOENT, "Unknown driver '%s'", driver);
    if (rc == 0 && !layer->file)
        rc = driver ? imgi_fail(err, IMG_E_INVAL, "A block device must be specified for \"file\"")
                    : imgi_fail(err, IMG_E_INVAL, "Must specify either driver or file");
    return rc;
}

/* ------------------------------------------------------------------ the file */

struct target {
    const char *driver, *filename;
    int locking, aio; /* by their words' order; -1: not said */
    struct tuning tuning;
};

static int take_file_option(struct target *target, const char *key, const char *value,
                            img_error *err)
{
    static const char *const locking[] = {"off", "on", "auto", NULL};
    static const char *const aio[] = {"threads", "native", "io_uring", NULL};
    static const char *const harmless[] = {"drop-cache", "x-check-cache-dropped", "aio-max-batch"};
    bool known;
    int rc;

    if (strcmp(key, "driver") == 0)
        target->driver = value;
    else if (strcmp(key, "filename") == 0)
        target->filename = value;
    else if (strcmp(key, "locking") == 0)
        return take_word(value, locking, &target->locking, err);
    else if (strcmp(key, "aio") == 0)
        return take_word(value, aio, &target->aio, err);
    else {
        rc = take_tuning(&target->tuning, key, value, &known, err);
        for (size_t i = 0; i < IMGI_COUNT(harmless); i++)
            known = known || strcmp(key, harmless[i]) == 0;
        if (rc == 0 && !known)
            rc = imgi_fail(err, IMG_E_INVAL, "Block protocol '%s' doesn't support the option '%s'",
                           target->driver ? target->driver : "file", key);
        return rc;
    }
    return 0;
}

/* The driver first: what another protocol is told means nothing here. */
static int judge_driver(struct target *target, const img_options *pairs, img_error *err)
{
    target->driver = img_options_get(pairs, "driver");
    if (!target->driver || is_file_driver(target->driver))
        return 0;
    if (imgi_driver_find(target->driver))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "an image inside of an image ('file.driver=%s') is not supported",
                         target->driver);
    return imgi_spec_no_protocol(target->driver, (int)strlen(target->driver), err);
}

static int target_parse(struct target *target, const img_options *pairs, img_error *err)
{
    const char *key;
    int rc;

    *target = (struct target){.locking = -1, .aio = -1, .tuning = TUNING_NONE};
    rc = judge_driver(target, pairs, err);
    for (size_t i = 0; rc == 0 && (key = img_options_name(pairs, i)); i++)
        rc = take_file_option(target, key, img_options_get(pairs, key), err);
    if (rc == 0 && !target->filename)
        rc = imgi_fail(err, IMG_E_INVAL, "The '%s' block driver requires a file name",
                       target->driver ? target->driver : "file");
    return rc;
}

static int check_device(const struct imgi_node *node, const char *driver, img_error *err)
{
    bool wanted = driver && strcmp(driver, "file") != 0;

    if (driver && wanted != imgi_io_is_device(node->file))
        return wanted ? imgi_fail(err, IMG_E_INVAL,
                                  "'%s' driver requires '%s' to be either a character or block "
                                  "device",
                                  driver, node->name)
                      : imgi_fail(err, IMG_E_INVAL,
                                  "'file' driver requires '%s' to be a regular file", node->name);
    return 0;
}

/* ------------------------------------------------------------------ opening */

/* The cache mode with what was said of its parts, by the image or by the file it lies in. */
static enum img_cache tune_cache(enum img_cache cache, const struct tuning *image,
                                 const struct tuning *file)
{
    bool direct = cache == IMG_CACHE_NONE || cache == IMG_CACHE_DIRECTSYNC;
    bool sync = cache == IMG_CACHE_WRITETHROUGH || cache == IMG_CACHE_DIRECTSYNC;
    bool no_flush = cache == IMG_CACHE_UNSAFE;
    int said_direct = file->direct >= 0 ? file->direct : image->direct;
    int said_no_flush = file->no_flush >= 0 ? file->no_flush : image->no_flush;

    direct = said_direct >= 0 ? said_direct : direct;
    no_flush = said_no_flush >= 0 ? said_no_flush : no_flush;
    if (sync)
        return direct ? IMG_CACHE_DIRECTSYNC : IMG_CACHE_WRITETHROUGH;
    if (direct)
        return IMG_CACHE_NONE;
    return no_flush ? IMG_CACHE_UNSAFE : IMG_CACHE_WRITEBACK;
}

static int tune_flags(struct imgi_open *how, const struct layer *layer, const struct target *target,
                      img_error *err)
{
    const struct tuning *image = &layer->tuning, *file = &target->tuning;

    bool inherited = how->backing_cache == how->cache;

    how->cache = tune_cache(how->cache, image, file);
    if (inherited)
        how->backing_cache = how->cache;
    if (image->read_only == 1 && !how->insist)
        how->flags &= ~(unsigned)IMG_OPEN_WRITE;
    if ((how->flags & IMG_OPEN_WRITE) && file->read_only == 1)
        return imgi_fail(err, IMG_E_RDONLY, "Block node is read-only");
    if ((how->flags & IMG_OPEN_SHARE) && image->force_share == 0)
        return imgi_fail(err, IMG_E_INVAL, "--force-share/-U conflicts with image options");
    if ((image->force_share == 1 || file->force_share == 1) && !how->insist)
        how->flags |= IMG_OPEN_SHARE;
    if ((how->flags & IMG_OPEN_SHARE) && (how->flags & IMG_OPEN_WRITE))
        return imgi_fail(err, IMG_E_INVAL, "force-share=on can only be used with read-only images");
    if (target->locking == 0)
        how->flags |= IMG_OPEN_NO_LOCK;
    if (target->aio == 1 && how->cache != IMG_CACHE_NONE && how->cache != IMG_CACHE_DIRECTSYNC)
        return imgi_fail(err, IMG_E_INVAL,
                         "aio=native was specified, but it requires cache.direct=on, which was "
                         "not specified.");
    return 0;
}

/* The options that the caller has for the format, and over them those of the layer. */
static int merge_format(struct layer *layer, const img_options *more, img_error *err)
{
    const char *key;
    int rc = 0;

    for (size_t i = 0; rc == 0 && (key = img_options_name(more, i)); i++)
        if (!layer->format || !img_options_get(layer->format, key))
            rc = add(&layer->format, key, img_options_get(more, key), err);
    return rc;
}

static int open_node(struct imgi_node **out, struct layer *layer, const struct imgi_open *above,
                     struct imgi_open *how, img_error *err)
{
    struct target target;
    int rc = target_parse(&target, layer->file, err);

    *how = *above;
    if (rc == 0)
        rc = tune_flags(how, layer, &target, err);
    if (rc == 0 && how->options)
        rc = merge_format(layer, how->options, err);
    if (rc < 0)
        return rc;
    how->options = layer->format;
    how->format = layer->driver ? layer->driver : above->format;
    how->disk = layer->disk ? layer->disk : above->disk;
    rc = imgi_node_open_typed(out, target.filename, how, err);
    if (rc < 0)
        return rc;
    rc = check_device(*out, target.driver, err);
    (*out)->options_owned = layer->format;
    layer->format = NULL;
    (*out)->no_unmap = layer->tuning.discard == 0 || target.tuning.discard == 0;
    (*out)->detect_zeroes = layer->tuning.detect_zeroes > 0
                                ? (enum imgi_detect)layer->tuning.detect_zeroes
                                : IMGI_DETECT_OFF;
    return rc;
}

/* From now on the node says that it stands on that image (NULL: on none), whatever its file says.
 */
static int name_backing(struct imgi_node *node, const struct imgi_node *backing, img_error *err)
{
    char *name = backing ? strdup(backing->name) : NULL;
    char *format = backing ? strdup(backing->driver->name) : NULL;

    free(node->backing_name);
    free(node->backing_format);
    node->backing_name = name;
    node->backing_format = format;
    return backing && (!name || !format) ? imgi_fail_nomem(err, "the backing file's name") : 0;
}

/*
 * What is said of the backing image, without saying which it is ("backing.encrypt.key-secret=s"),
 * is said of the one that the node's file names. *pairs is the caller's to free.
 */
static int complete_backing(const struct imgi_node *node, const img_options *said,
                            const struct imgi_open *how, img_options **pairs, img_error *err)
{
    const char *driver = img_options_get(said, "driver");
    const char *key = driver && is_file_driver(driver) ? "filename" : "file.filename";
    char *path = NULL;
    int rc;

    *pairs = NULL;
    rc = add_all(pairs, said, err);
    if (rc < 0 || !node->backing_name || img_options_get(said, key) ||
        img_options_get(said, "file"))
        return rc;
    rc = imgi_backing_path(how->policy, node->name, node->backing_name, &path, err);
    if (rc == 0)
        rc = add(pairs, key, path, err);
    img_free(path);
    return rc;
}

static int open_backing(struct imgi_node *node, const struct layer *layer,
                        const struct imgi_open *how, img_error *err)
{
    struct imgi_open below = *how;
    img_options *pairs;
    int rc;

    if (!layer->backing) {
        if (layer->backing_node[0])
            return imgi_fail(err, IMG_E_NOENT,
                             "Could not open backing file: Cannot find device='%s' nor "
                             "node-name='%s'",
                             layer->backing_node, layer->backing_node);
        return name_backing(node, NULL, err);
    }
    below.flags &= ~(unsigned)(IMG_OPEN_WRITE | IMG_OPEN_CHECK | IMG_OPEN_PIPE);
    below.options = NULL;
    below.disk = NULL;
    below.cache = how->backing_cache;
    below.format = node->backing_format; /* unless the user names another */
    rc = complete_backing(node, layer->backing, how, &pairs, err);
    if (rc == 0)
        rc = imgi_spec_open(&node->backing, pairs, &below, err);
    img_options_free(pairs);
    if (rc < 0) {
        imgi_error_prefix(err, "Could not open backing file");
        return rc;
    }
    for (const struct imgi_node *at = node->backing; rc == 0 && at; at = at->backing)
        rc = imgi_chain_check_loop(node, node, at, at->name, err);
    return rc < 0 ? rc : name_backing(node, node->backing, err);
}

static int no_backing_option(const struct layer *layer, const struct imgi_node *node,
                             img_error *err)
{
    const char *key = layer->backing ? img_options_name(layer->backing, 0) : "";

    return imgi_fail(err, IMG_E_INVAL,
                     "Block format '%s' does not support the option 'backing%s%s'",
                     node->driver->name, *key ? "." : "", key);
}

static bool can_have_backing(const struct imgi_driver *driver)
{
    const struct imgi_opt *option = driver->create_options;

    while (option && option->name && strcmp(option->name, "backing_file") != 0)
        option++;
    return driver->backing_typed || (option && option->name);
}

/*
 * What is below the node: what the user says, or what its file names. To say that there is nothing
 * is right also where nothing is looked for.
 */
static int open_chain(struct imgi_node *node, const struct layer *layer,
                      const struct imgi_open *how, img_error *err)
{
    bool closed = how->flags & (IMG_OPEN_NO_BACKING | IMG_OPEN_NO_FILES);
    bool none = !layer->backing && layer->backing_node && !layer->backing_node[0];

    if (!layer->backing && !layer->backing_node)
        return imgi_chain_open(node, how, err);
    if (closed || !can_have_backing(node->driver))
        return none ? 0 : no_backing_option(layer, node, err);
    return open_backing(node, layer, how, err);
}

/* What it takes to open the node, and all below it, in the same way again. */
static int remember(struct imgi_node *node, const img_options *pairs, const struct imgi_open *how,
                    img_error *err)
{
    node->opened.flags = how->flags;
    node->opened.cache = how->cache;
    node->opened.backing_cache = how->backing_cache;
    return add_all(&node->opened.typed, pairs, err);
}

int imgi_spec_open(struct imgi_node **out, const img_options *pairs, const struct imgi_open *how,
                   img_error *err)
{
    struct imgi_node *node = NULL;
    struct imgi_open tuned;
    struct layer layer;
    int rc = layer_parse(&layer, pairs, err);

    if (rc == 0)
        rc = open_node(&node, &layer, how, &tuned, err);
    if (rc == 0)
        rc = remember(node, pairs, how, err);
    /* These are the node's alone, and so is file.locking. */
    if (rc == 0 && !(how->flags & IMG_OPEN_NO_LOCK))
        tuned.flags &= ~(unsigned)IMG_OPEN_NO_LOCK;
    tuned.cipher = NULL;
    tuned.insist = false;
    if (rc == 0)
        rc = open_chain(node, &layer, &tuned, err);
    layer_free(&layer);
    if (rc < 0)
        imgi_node_close(node);
    else
        *out = node;
    return rc;
}
