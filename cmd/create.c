/*
 * img create. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

struct args {
    const char *format, *filename, *size;
    const char *backing, *backing_format;
    struct option_list options;
    bool unsafe;
};

static const struct cmd_option options[] = {
    {'f', "format", "FMT", "format of the new image (default: raw)"},
    {'o', "options", "LIST", "create options, name=value,...; -o help lists those of a format"},
    {'b', "backing", "FILE", "make an overlay of this image (a name relative to the new one)"},
    {'F', "backing-format", "FMT", "format of the backing image; needed with -b"},
    {'B', NULL, "FMT", "the same as -F"},
    {'u', "backing-unsafe", NULL, "do not look at the backing image; it need not exist"},
    OPTION_OBJECT,
    OPTION_UNTRUSTED,
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case 'f':
        args->format = value;
        break;
    case 'b':
        args->backing = value;
        break;
    case 'B':
    case 'F':
        args->backing_format = value;
        break;
    case 'u':
        args->unsafe = true;
        break;
    case 'o':
        return option_list_take(cli, &args->options, value);
    }
    return true;
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    args->filename = first < argc ? argv[first] : NULL;
    args->size = first + 1 < argc ? argv[first + 1] : NULL;
    if (args->options.help)
        return create_list_options(cli, args->format, args->filename);
    if (!args->filename)
        return cli_fail_usage(cli, "Expecting image file name");
    if (first + 2 < argc)
        return cli_fail_usage(cli, "Unexpected argument: %s", argv[first + 2]);
    return true;
}

/* The size goes into the options, where 0 is a size and not the lack of one. */
static bool settle_size(struct cli *cli, struct args *args)
{
    char text[24];
    uint64_t size;

    if (args->size) {
        if (!size_parse(cli, "image size", args->size, &size))
            return false;
        if (option_list_get(&args->options, "size"))
            return cli_fail(cli, "%s: The image size must be specified only once", args->filename);
        snprintf(text, sizeof(text), "%" PRIu64, size);
        return option_list_set(cli, &args->options, "size", text);
    }
    if (option_list_get(&args->options, "size"))
        return true;
    if (args->unsafe || !option_list_get(&args->options, "backing_file"))
        return cli_fail(cli, "%s: Image creation needs a size parameter", args->filename);
    return true;
}

/* The backing image from -b and -F, or from -o: never without its format, which is not guessed. */
static bool settle_backing(struct cli *cli, struct args *args)
{
    const char *name = args->filename;

    if (args->backing && !create_option_known(args->format, "backing_file"))
        return cli_fail(cli, "%s: Backing file not supported for file format '%s'", name,
                        args->format);
    if (args->backing_format && !create_option_known(args->format, "backing_fmt"))
        return cli_fail(cli, "%s: Backing format not supported for file format '%s'", name,
                        args->format);
    if (args->backing && !option_list_set(cli, &args->options, "backing_file", args->backing))
        return false;
    if (args->backing_format &&
        !option_list_set(cli, &args->options, "backing_fmt", args->backing_format))
        return false;
    if (option_list_get(&args->options, "backing_file") &&
        !option_list_get(&args->options, "backing_fmt"))
        return cli_fail(cli, "%s: Backing file specified without backing format", name);
    return true;
}

static bool settle_options(struct cli *cli, struct args *args)
{
    if (!create_format_known(args->format))
        return cli_fail_code(cli, IMG_E_NOENT, "%s: Unknown file format '%s'", args->filename,
                             args->format);
    return create_options_known(cli, args->filename, args->format, &args->options) &&
           settle_backing(cli, args);
}

/* A value as the report shows it: sizes in bytes, commas doubled. */
static void print_value(const img_option_info *info, const char *value)
{
    uint64_t number;

    if ((strcmp(info->type, "size") == 0 || strcmp(info->type, "num") == 0) &&
        img_parse_size(value, &number, NULL) == 0) {
        printf("%" PRIu64, number);
        return;
    }
    for (; *value; value++) {
        if (*value == ',')
            putchar(',');
        putchar(*value);
    }
}

/* "Formatting 'x', fmt=qcow2 cluster_size=65536 ...": what was set, and the defaults that matter.
 */
static void report(const struct args *args, const img_image *image)
{
    img_option_info info;

    printf("Formatting '%s', fmt=%s", args->filename, args->format);
    for (size_t n = 0; img_format_option(args->format, n, &info); n++) {
        const char *value = option_list_get(&args->options, info.name);
        char size[24];

        if (!value && strcmp(info.name, "size") == 0) {
            snprintf(size, sizeof(size), "%" PRIu64, img_size(image));
            value = size;
        }
        if (!value && !info.implicit)
            value = info.value;
        if (value) {
            printf(" %s=", info.name);
            print_value(&info, value);
        }
    }
    putchar('\n');
}

static void report_json(const struct args *args, const char *format, uint64_t size)
{
    struct emit emit = {.out = stdout};

    emit_begin(&emit, NULL, '{');
    emit_uint(&emit, "virtual-size", size);
    emit_string(&emit, "filename", args->filename);
    emit_string(&emit, "format", format);
    emit_end(&emit, '}');
}

static bool create(struct cli *cli, const struct args *args)
{
    struct open_args open = {.flags = IMG_OPEN_NO_KEY |
                                      (args->unsafe ? (unsigned)IMG_OPEN_NO_BACKING : 0)};
    img_open_params params = open_params(cli, &open);
    img_image *image = NULL;
    img_error err = {0};
    uint64_t size;

    if (img_create(&image, args->filename, args->format, 0, args->options.set, &params, &err) < 0)
        return cli_fail_create(cli, &err, args->filename, "%s", args->filename);
    if (signals_stopped(cli)) {
        img_abandon(image);
        return false;
    }
    if (!cli->quiet && !cli->json)
        report(args, image);
    size = img_size(image);
    if (img_close(image, &err) < 0)
        return cli_fail_error(cli, &err, "%s", args->filename);
    if (cli->json)
        report_json(args, args->format, size);
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {.format = "raw"};

    if (parse(cli, &args, argc, argv) && settle_options(cli, &args) && settle_size(cli, &args)) {
        signals_catch();
        create(cli, &args);
    }
    img_options_free(args.options.set);
    return cli->status;
}

const struct cmd cmd_create = {
    .name = "create",
    .summary = "make a new image",
    .usage = "[OPTION]... FILE [SIZE]",
    .about =
        "Make an image of SIZE bytes (k, M, G, T, P, E: times 1024). With -b it is an overlay "
        "that\n"
        "holds only what differs from the backing image, whose size it has unless SIZE is given.\n",
    .examples = "create -f qcow2 disk.qcow2 20G\n"
                "create -f qcow2 -b base.qcow2 -F qcow2 overlay.qcow2\n"
                "create -f vmdk -o subformat=monolithicFlat disk.vmdk 8G\n"
                "create -f qcow2 -o help\n",
    .options = options,
    .run = run,
};
