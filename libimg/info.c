/*
 * What is known of an image, as JSON. SPDX-License-Identifier: BSD-2-Clause
 *
 * A driver says keys and values in order; lists and dictionaries nest. The
 * first failure to get memory is remembered and reported at the end, so that
 * drivers need not look.
 */
#include <jansson.h>
#include <stdlib.h>

#include "internal.h"

#define DEPTH_MAX 8

struct imgi_info {
    json_t *stack[DEPTH_MAX]; /* the containers being filled; the outermost first */
    size_t depth;
    bool failed;
};

/* Takes value over. */
static void add(struct imgi_info *info, const char *key, json_t *value)
{
    json_t *into = info->stack[info->depth - 1];
    int rc;

    if (json_is_array(into))
        rc = json_array_append_new(into, value);
    else
        rc = json_object_set_new(into, key, value);
    if (rc != 0)
        info->failed = true;
}

void imgi_info_string(struct imgi_info *info, const char *key, const char *value)
{
    json_t *text = json_string(value);

    /* Names in an image may be no UTF-8; every byte then stands for itself. */
    if (!text) {
        size_t length = strlen(value), out = 0;
        char *utf8 = malloc(2 * length + 1);

        for (size_t i = 0; utf8 && i < length; i++) {
            unsigned char byte = (unsigned char)value[i];

            if (byte >= 0x80)
                utf8[out++] = (char)(0xc0 | byte >> 6);
            utf8[out++] = (char)(byte >= 0x80 ? 0x80 | (byte & 0x3f) : byte);
        }
        text = utf8 ? json_stringn(utf8, out) : NULL;
        free(utf8);
    }
    add(info, key, text);
}

void imgi_info_uint(struct imgi_info *info, const char *key, uint64_t value)
{
    add(info, key, json_integer((json_int_t)value));
}

void imgi_info_bool(struct imgi_info *info, const char *key, bool value)
{
    add(info, key, json_boolean(value));
}

static void begin(struct imgi_info *info, const char *key, json_t *container)
{
    add(info, key, container);
    if (info->depth == DEPTH_MAX || !container) {
        info->failed = true;
        return;
    }
    info->stack[info->depth++] = container;
}

static void end(struct imgi_info *info)
{
    if (info->depth > 1)
        info->depth--;
}

void imgi_info_dict_begin(struct imgi_info *info, const char *key)
{
    begin(info, key, json_object());
}

void imgi_info_dict_end(struct imgi_info *info)
{
    end(info);
}

void imgi_info_list_begin(struct imgi_info *info, const char *key)
{
    begin(info, key, json_array());
}

void imgi_info_list_end(struct imgi_info *info)
{
    end(info);
}

static void say_backing(struct imgi_info *info, const struct imgi_node *node)
{
    char *path = NULL;

    if (!node->backing_name)
        return;
    if (imgi_backing_path(node->policy, node->name, node->backing_name, &path, NULL) == 0)
        imgi_info_string(info, "full-backing-filename", path);
    imgi_info_string(info, "backing-filename", node->backing_name);
    if (node->backing_format)
        imgi_info_string(info, "backing-filename-format", node->backing_format);
    free(path);
}

static int say_all(struct imgi_info *info, struct imgi_node *node, img_error *err)
{
    const struct imgi_driver *driver = node->driver;
    int rc = 0;

    if (driver->snapshots)
        rc = driver->snapshots(node, info, err);
    imgi_info_uint(info, "virtual-size", node->size);
    imgi_info_string(info, "filename", node->name);
    if (node->cluster_size && !driver->brief_info)
        imgi_info_uint(info, "cluster-size", node->cluster_size);
    if (node->encrypted)
        imgi_info_bool(info, "encrypted", true);
    if (node->compressed)
        imgi_info_bool(info, "compressed", true);
    imgi_info_string(info, "format", driver->name);
    imgi_info_uint(info, "actual-size", imgi_files_usage(node->files));
    if (rc == 0 && driver->info) {
        imgi_info_dict_begin(info, "format-specific");
        imgi_info_string(info, "type", driver->name);
        imgi_info_dict_begin(info, "data");
        rc = driver->info(node, info, err);
        imgi_info_dict_end(info);
        imgi_info_dict_end(info);
    }
    say_backing(info, node);
    if (!driver->brief_info)
        imgi_info_bool(info, "dirty-flag", node->dirty);
    return rc;
}

int imgi_info_text(int (*say)(void *opaque, struct imgi_info *info, img_error *err), void *opaque,
                   char **json, img_error *err)
{
    struct imgi_info info = {.depth = 1};
    int rc;

    *json = NULL;
    info.stack[0] = json_object();
    if (!info.stack[0])
        return imgi_fail_nomem(err, "the description of an image");
    rc = say(opaque, &info, err);
    if (rc == 0 && !info.failed)
        *json = json_dumps(info.stack[0], JSON_INDENT(4));
    if (rc == 0 && !*json)
        rc = imgi_fail_nomem(err, "the description of an image");
    json_decref(info.stack[0]);
    return rc;
}

static int say_image(void *opaque, struct imgi_info *info, img_error *err)
{
    struct imgi_node *node = opaque;
    int rc;

    pthread_mutex_lock(&node->lock);
    rc = say_all(info, node, err);
    pthread_mutex_unlock(&node->lock);
    return rc;
}

int img_info(img_image *image, char **json, img_error *err)
{
    int rc = imgi_info_text(say_image, image->top, json, err);

    if (rc < 0)
        imgi_error_image(err, image->top->name);
    return rc;
}
