/*
 * img io: opening images, and what is known of the one that is open.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * "open" and "reopen" take options of the format beside a name; the two together are one
 * description of the image, as --image-opts has it.
 */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

bool io_parse_discard(struct io *io, const char *text, bool *unmap)
{
    *unmap = strcmp(text, "unmap") == 0 || strcmp(text, "on") == 0;
    if (*unmap || strcmp(text, "ignore") == 0 || strcmp(text, "off") == 0)
        return true;
    return cli_fail(io->cli, "Invalid discard option: %s", text);
}

void io_forget(struct io *io)
{
    free(io->name);
    io->name = NULL;
}

/* Remember how the image was opened, for reopen. */
static bool remember(struct io *io, const char *name, const struct open_args *args)
{
    char *copy = strdup(name);

    if (!copy)
        return cli_fail_nomem(io->cli);
    io_forget(io);
    io->name = copy;
    io->how = *args;
    return true;
}

bool io_open(struct io *io, const char *name, const struct open_args *args, bool unmap)
{
    img_open_params params = open_params(io->cli, args);
    bool writable = args->flags & IMG_OPEN_WRITE;
    img_error err = {0};

    if (io->image)
        return cli_fail(io->cli, "file open already, try 'help close'");
    if (args->image_opts && args->format)
        return cli_fail(io->cli, "--image-opts and -f are mutually exclusive");
    if (writable && (args->flags & IMG_OPEN_SHARE))
        return cli_fail(io->cli,
                        "can't open device %s: force-share=on can only be used with read-only "
                        "images",
                        name);
    if (img_open(&io->image, name, &params, &err) < 0)
        return cli_fail_create(io->cli, &err, "", "can't open device %s", name);
    io->writable = writable;
    io->unmap = unmap;
    open_warn_guessed(io->cli, io->image);
    return remember(io, name, args);
}

/* ------------------------------------------------------------------ commands */

struct opening {
    struct open_args args;
    const char *options; /* of -o, or NULL */
    bool unmap, snapshot;
};

static bool take_open_letter(struct io *io, struct opening *opening, int letter)
{
    switch (letter) {
    case 'r':
        opening->args.flags &= ~(unsigned)IMG_OPEN_WRITE;
        break;
    case 's':
        opening->snapshot = true;
        break;
    case 'U':
        opening->args.flags |= IMG_OPEN_SHARE;
        break;
    case 'n':
        opening->args.cache = IMG_CACHE_NONE;
        break;
    case 't':
        opening->args.cache_name = optarg;
        break;
    case 'o':
        opening->options = optarg;
        break;
    case 'd':
        return io_parse_discard(io, optarg, &opening->unmap);
    case 'i':
        return aio_check(io->cli, optarg);
    case 'C':
        return cli_fail(io->cli, "copy-on-read is not supported");
    }
    return true;
}

void io_write_value(FILE *out, const char *value)
{
    for (; *value; value++) {
        if (*value == ',')
            fputc(',', out);
        fputc(*value, out);
    }
}

/* "driver=FMT,file.filename=NAME,OPTIONS"; the caller frees it. */
static char *describe(const char *format, const char *name, const char *options)
{
    char *text = NULL, *out;
    size_t size;
    FILE *stream = open_memstream(&out, &size);

    if (!stream)
        return NULL;
    if (format)
        fprintf(stream, "driver=%s,", format);
    fputs("file.filename=", stream);
    io_write_value(stream, name);
    fprintf(stream, ",%s", options);
    if (fclose(stream) == 0)
        text = out;
    return text;
}

/* Open name with options beside it; name may be NULL. */
static bool open_described(struct io *io, const char *name, struct opening *opening)
{
    struct open_args args = opening->args;
    char *text = name ? describe(args.format, name, opening->options) : strdup(opening->options);
    bool ok;

    if (!text)
        return cli_fail_nomem(io->cli);
    args.image_opts = true;
    args.format = NULL;
    ok = (opening->snapshot ? io_open_snapshot : io_open)(io, text, &args, opening->unmap);
    free(text);
    return ok;
}

bool io_open_command(struct io *io, const struct io_command *command, int argc, char **argv)
{
    struct opening opening = {
        .args = {.flags = IMG_OPEN_WRITE,
                 .format = io->open.format,
                 .image_opts = io->open.image_opts},
        .unmap = true,
    };
    const char *name;
    int letter;

    optind = 0;
    opterr = 1;
    while ((letter = getopt(argc, argv, command->letters)) != -1)
        if (letter == '?')
            return io_usage(command);
        else if (!take_open_letter(io, &opening, letter))
            return false;
    name = optind < argc ? argv[optind] : NULL;
    if (argc - optind > 1 || (!name && !opening.options) ||
        (name && opening.options && opening.args.image_opts))
        return io_usage(command);
    if (!open_settle(io->cli, "", &opening.args))
        return false;
    if (opening.options)
        return open_described(io, name, &opening);
    return (opening.snapshot ? io_open_snapshot : io_open)(io, name, &opening.args, opening.unmap);
}

bool io_close(struct io *io, const struct io_command *command, int argc, char **argv)
{
    img_error err = {0};
    img_image *image = io->image;

    (void)command, (void)argc, (void)argv;
    io->image = NULL;
    io_forget(io);
    return img_close(image, &err) == 0 || cli_fail_error(io->cli, &err, "%s", err.image);
}

/* Close and open anew; when that fails, the way it was. */
static bool reopen(struct io *io, struct opening *opening)
{
    struct open_args before = io->how;
    char *name = strdup(io->name);
    img_error err = {0};
    img_image *image = io->image;
    bool ok = name || cli_fail_nomem(io->cli);

    if (!ok)
        return false;
    io->image = NULL;
    if (img_close(image, &err) < 0)
        ok = cli_fail_error(io->cli, &err, "%s", err.image);
    else if (opening->options && before.image_opts)
        ok = cli_fail(io->cli, "an image that options describe takes no more of them");
    else if (opening->options)
        ok = open_described(io, name, opening);
    else
        ok = io_open(io, name, &opening->args, opening->unmap);
    if (!ok && !io->image)
        io_open(io, name, &before, opening->unmap);
    free(name);
    return ok;
}

bool io_reopen(struct io *io, const struct io_command *command, int argc, char **argv)
{
    struct opening opening = {.args = io->how, .unmap = io->unmap};
    bool read_only = false, write = false;
    int letter;

    optind = 0;
    opterr = 1;
    opening.args.cache_name = NULL;
    while ((letter = getopt(argc, argv, command->letters)) != -1) {
        if (letter == '?')
            return io_usage(command);
        if ((letter == 'r' || letter == 'w') && (read_only || write))
            return cli_fail(io->cli, "Only one -r/-w option may be given");
        read_only = read_only || letter == 'r';
        write = write || letter == 'w';
        if (letter == 'c')
            opening.args.cache_name = optarg;
        else if (letter == 'o')
            opening.options = optarg;
    }
    if (optind != argc)
        return io_usage(command);
    if (!io->name)
        return cli_fail(io->cli, "a temporary image cannot be opened again");
    if (read_only)
        opening.args.flags &= ~(unsigned)IMG_OPEN_WRITE;
    if (write)
        opening.args.flags |= IMG_OPEN_WRITE;
    return open_settle(io->cli, "", &opening.args) && reopen(io, &opening);
}

/* ------------------------------------------------------------------ info */

/* Where a qcow2 image keeps the state of a machine: behind the last L2 table's reach. */
static uint64_t vm_state_offset(const img_image *image, const json_t *data)
{
    bool extended = json_is_true(json_object_get(data, "extended-l2"));
    uint64_t cluster = img_cluster_size(image);
    uint64_t reach = cluster * (cluster / (extended ? 16 : 8));

    if (strcmp(img_format(image), "qcow2") != 0 || reach == 0)
        return 0;
    return (img_size(image) + reach - 1) / reach * reach;
}

bool io_info(struct io *io, const struct io_command *command, int argc, char **argv)
{
    char cluster[IO_TEXT], offset[IO_TEXT], *text;
    img_error err = {0};
    const json_t *data;
    json_t *info;

    (void)command, (void)argc, (void)argv;
    if (img_info(io->image, &text, &err) < 0)
        return cli_fail_error(io->cli, &err, "%s", img_name(io->image));
    info = json_loads(text, 0, NULL);
    img_free(text);
    data = json_object_get(json_object_get(info, "format-specific"), "data");
    printf("format name: %s\ncluster size: %s\nvm state offset: %s\n", img_format(io->image),
           io_size_text(cluster, img_cluster_size(io->image)),
           io_size_text(offset, (double)vm_state_offset(io->image, data)));
    output_specific(data);
    json_decref(info);
    return true;
}
