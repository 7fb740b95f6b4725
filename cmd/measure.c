/*
 * img measure. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>

#include "cmd.h"

struct args {
    struct open_args open;
    const char *format, *filename, *snapshot;
    struct option_list options;
    uint64_t size;
    bool has_size;
};

static const struct cmd_option options[] = {
    OPTIONS_OPEN,
    {'O', "target-format", "FMT", "format of the image to be made (default: raw)"},
    {'O', "output-format", "FMT", NULL},
    {'o', "target-format-options", "LIST", "its create options, name=value,..."},
    {'o', "options", "LIST", NULL},
    {'s', "size", "SIZE", "measure an empty disk of that size instead of FILE"},
    {'l', "snapshot", "SNAPSHOT",
     "measure the disk as it was at an internal snapshot: its id or name"},
    OPTION_SHARE,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case 'O':
        args->format = value;
        break;
    case 'l':
        args->snapshot = value;
        break;
    case 's':
        args->has_size = true;
        return size_parse(cli, "image size", value, &args->size);
    case 'o':
        return option_list_take(cli, &args->options, value);
    default:
        return open_take_option(cli, &args->open, key, value);
    }
    return true;
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (argc - first > 1)
        return cli_fail(cli, "At most one filename argument is allowed.");
    args->filename = argv[first];
    if (args->options.help)
        return create_list_options(cli, args->format, args->filename);
    if (!args->filename && (args->open.image_opts || args->open.format || args->snapshot))
        return cli_fail(cli, "--image-opts, -f, and -l require a filename argument.");
    if (!args->filename && !args->has_size)
        return cli_fail(cli, "Either --size N or one filename must be specified.");
    if (args->filename && args->has_size)
        return cli_fail(cli, "--size N cannot be used together with a filename.");
    return true;
}

static void print(const struct cli *cli, const img_measure_result *result)
{
    struct emit emit = {.out = stdout};

    if (!cli->json) {
        printf("required size: %" PRIu64 "\n", result->required);
        printf("fully allocated size: %" PRIu64 "\n", result->fully_allocated);
        if (result->has_bitmaps)
            printf("bitmaps size: %" PRIu64 "\n", result->bitmaps);
        return;
    }
    emit_begin(&emit, NULL, '{');
    if (result->has_bitmaps)
        emit_uint(&emit, "bitmaps", result->bitmaps);
    emit_uint(&emit, "required", result->required);
    emit_uint(&emit, "fully-allocated", result->fully_allocated);
    emit_end(&emit, '}');
}

/* A disk is made of whole sectors. */
static uint64_t whole_sectors(uint64_t size)
{
    return (size + 511) & ~UINT64_C(511);
}

static bool measure(struct cli *cli, const struct args *args)
{
    img_measure_result result = {0};
    img_image *source = NULL;
    img_error err = {0};
    int rc;

    if (args->filename && !open_image(cli, &source, args->filename, &args->open))
        return false;
    if (args->snapshot && !open_snapshot(cli, source, args->snapshot, NULL)) {
        img_close(source, NULL);
        return false;
    }
    if (!create_format_known(args->format)) {
        img_close(source, NULL);
        return cli_fail_code(cli, IMG_E_NOENT, "Unknown file format '%s'", args->format);
    }
    rc = img_measure(args->format, args->options.set, source, whole_sectors(args->size), &result,
                     &err);
    img_close(source, NULL);
    if (rc < 0)
        return cli_fail_error(cli, &err, "%s", "");
    print(cli, &result);
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {.format = "raw"};

    if (parse(cli, &args, argc, argv))
        measure(cli, &args);
    img_options_free(args.options.set);
    return cli->status;
}

const struct cmd cmd_measure = {
    .name = "measure",
    .summary = "tell how much space a new image would need",
    .usage = "[OPTION]... FILE | --size=SIZE",
    .about = "Tell how many bytes a file of the target format takes to hold what FILE holds, and "
             "how many\n"
             "once every part of the disk has been written to.\n",
    .examples = "measure -O qcow2 disk.raw\n"
                "measure -O qcow2 -o cluster_size=2M --size=1T\n",
    .options = options,
    .run = run,
};
