/*
 * img io -s: an image below a temporary overlay. SPDX-License-Identifier: BSD-2-Clause
 *
 * The overlay's own header names nothing. It is opened as if the user had typed what it stands on:
 * with all that was typed of that image, one level deeper.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

/* Where the temporary overlay of -s lies; the caller frees it. NULL: said why. */
static char *temporary_name(struct io *io)
{
    const char *directory = getenv("TMPDIR");
    char *name = NULL;
    int fd;

    if (asprintf(&name, "%s/img-io.XXXXXX", directory ? directory : "/var/tmp") < 0) {
        cli_fail_nomem(io->cli);
        return NULL;
    }
    fd = mkstemp(name);
    if (fd < 0) {
        cli_fail(io->cli, "%s: a temporary file cannot be made: %m", name);
        free(name);
        return NULL;
    }
    close(fd);
    return name;
}

/* An empty disk of that size. */
static bool make_overlay(struct io *io, const char *overlay, uint64_t size)
{
    img_image *image = NULL;
    img_error err = {0};

    if (img_create(&image, overlay, "qcow2", size, NULL, NULL, &err) < 0)
        return cli_fail_create(io->cli, &err, overlay, "can't open device %s", overlay);
    return img_close(image, &err) == 0 || cli_fail_error(io->cli, &err, "%s", overlay);
}

/* ------------------------------------------------------------------ describing both */

static const char json[] = "json:";

static bool is_json(const char *name, const struct open_args *args)
{
    return !args->image_opts && strncmp(name, json, strlen(json)) == 0;
}

/* What is typed in JSON, and what was told beside it. It has been parsed before. NULL: no memory.
 */
static char *nest_json(const char *overlay, const char *name, const struct open_args *args,
                       const img_image *base)
{
    json_t *below = json_loads(name + strlen(json), 0, NULL), *both;
    char *text = NULL, *dump;

    if (!json_object_get(below, "driver"))
        json_object_set_new(below, "driver", json_string(img_format(base)));
    if (args->flags & IMG_OPEN_SHARE)
        json_object_set_new(below, "force-share", json_true());
    both = json_pack("{s:s, s:{s:s}, s:o}", "driver", "qcow2", "file", "filename", overlay,
                     "backing", below);
    dump = json_dumps(both, JSON_COMPACT);
    if (dump && asprintf(&text, "%s%s", json, dump) < 0)
        text = NULL;
    free(dump);
    json_decref(both);
    return text;
}

/* The options of the image below: those that name is, or those that a file's name means. */
static bool collect(struct io *io, img_options **typed, const char *name,
                    const struct open_args *args, const img_image *base)
{
    img_error err = {0};
    int rc = 0;

    *typed = img_options_new();
    if (!*typed)
        return cli_fail_nomem(io->cli);
    if (args->image_opts)
        rc = img_options_parse(*typed, name, &err);
    else
        rc = img_options_set(*typed, "file.filename", img_name(base), &err);
    if (rc == 0 && !img_options_get(*typed, "driver"))
        rc = img_options_set(*typed, "driver", img_format(base), &err);
    if (rc == 0 && (args->flags & IMG_OPEN_SHARE))
        rc = img_options_set(*typed, "force-share", "on", &err);
    return rc == 0 || cli_fail_error(io->cli, &err, "%s", name);
}

/* NULL: no memory. */
static char *nest_options(const char *overlay, const img_options *typed)
{
    char *text = NULL, *out;
    const char *key;
    size_t size;
    FILE *stream = open_memstream(&out, &size);

    if (!stream)
        return NULL;
    fputs("driver=qcow2,file.filename=", stream);
    io_write_value(stream, overlay);
    for (size_t i = 0; (key = img_options_name(typed, i)); i++) {
        fprintf(stream, ",backing.%s=", key);
        io_write_value(stream, img_options_get(typed, key));
    }
    if (fclose(stream) == 0)
        text = out;
    return text;
}

/* Open the overlay over what name and args say. */
static bool open_both(struct io *io, const char *overlay, const char *name,
                      const struct open_args *args, const img_image *base, bool unmap)
{
    struct open_args over = *args;
    img_options *typed = NULL;
    char *text = NULL;
    bool ok = true;

    over.flags = (args->flags | IMG_OPEN_WRITE) & ~(unsigned)IMG_OPEN_SHARE;
    over.format = NULL;
    over.image_opts = !is_json(name, args);
    if (over.image_opts)
        ok = collect(io, &typed, name, args, base);
    if (ok) {
        text = typed ? nest_options(overlay, typed) : nest_json(overlay, name, args, base);
        ok = text ? io_open(io, text, &over, unmap) : cli_fail_nomem(io->cli);
    }
    img_options_free(typed);
    free(text);
    return ok;
}

bool io_open_snapshot(struct io *io, const char *name, const struct open_args *args, bool unmap)
{
    struct open_args look = *args;
    img_image *base = NULL;
    char *overlay;
    bool ok;

    look.flags &= ~(unsigned)IMG_OPEN_WRITE;
    if (!open_image(io->cli, &base, name, &look))
        return false;
    overlay = temporary_name(io);
    ok = overlay && make_overlay(io, overlay, img_size(base)) &&
         open_both(io, overlay, name, args, base, unmap);
    /* What was asked for is to write, or not to. */
    io->writable = args->flags & IMG_OPEN_WRITE;
    if (overlay)
        unlink(overlay);
    io_forget(io);
    free(overlay);
    img_close(base, NULL);
    return ok;
}
