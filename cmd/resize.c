/*
 * img resize. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "cmd.h"

struct args {
    struct open_args open;
    const char *filename, *size_text;
    enum img_preallocation preallocation;
    uint64_t amount; /* the number in size_text */
    char sign;       /* '+' or '-': relative to the size there is; 0: absolute */
    bool shrink;
};

static const struct cmd_option options[] = {
    OPTIONS_CHANGE,
    {OPT_PREALLOCATION, "preallocation", "MODE", "of the new space: off, metadata, falloc or full"},
    {OPT_SHRINK, "shrink", NULL,
     "allow to make the image smaller, which loses what is past its end"},
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case OPT_PREALLOCATION:
        return preallocation_parse(cli, value, &args->preallocation);
    case OPT_SHRINK:
        args->shrink = true;
        break;
    default:
        return open_take_option(cli, &args->open, key, value);
    }
    return true;
}

static bool parse_size(struct cli *cli, struct args *args)
{
    const char *text = args->size_text;

    if (*text == '+' || *text == '-')
        args->sign = *text++;
    if (*text == '+' || *text == '-' || img_parse_size(text, &args->amount, NULL) < 0)
        return cli_fail(cli, "Parameter 'size' expects a non-negative number below 2^64 Optional "
                             "suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta- "
                             "and exabytes, respectively.");
    return true;
}

static bool wants_help(const char *last)
{
    return strcmp(last, "-h") == 0 || strcmp(last, "--help") == 0;
}

/* The size is the last argument whatever it looks like, so that "-1G" is no option. */
static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    bool help = argc > 1 && wants_help(argv[argc - 1]);
    int first;

    if (argc < 3 && !help)
        return cli_fail_usage(cli, "Not enough arguments");
    if (!help)
        args->size_text = argv[--argc];
    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (argc - first != 1)
        return cli_fail_usage(cli, "Expecting image file name and size");
    args->filename = argv[first];
    args->open.flags |= IMG_OPEN_WRITE;
    return parse_size(cli, args);
}

/* The size asked for, in *size. */
static bool new_size(struct cli *cli, const struct args *args, uint64_t old, uint64_t *size)
{
    bool down = args->sign == '-';

    *size = args->sign == 0 ? args->amount : down ? old - args->amount : old + args->amount;
    if ((down && args->amount >= old) || *size == 0 || (args->sign == '+' && *size > INT64_MAX))
        return cli_fail(cli, "New image size must be positive");
    if (*size <= old && args->preallocation != IMG_PREALLOC_OFF)
        return cli_fail(cli, "Preallocation can only be used for growing images");
    if (*size < old && !args->shrink) {
        cli_fail(cli, "Use the --shrink option to perform a shrink operation.");
        cli_warn(cli, "Shrinking an image will delete all data beyond the shrunken image's end. "
                      "Before performing such an operation, make sure there is no important data "
                      "there.");
        return false;
    }
    return true;
}

static bool resize(struct cli *cli, const struct args *args, img_image *image)
{
    img_error err = {0};
    uint64_t size;
    int rc;

    open_warn_guessed(cli, image);
    if (!new_size(cli, args, img_size(image), &size))
        return false;
    rc = img_resize_preallocated(image, size, args->preallocation, &err);
    if (rc == IMG_E_UNSUPPORTED)
        return cli_fail_code(cli, IMG_E_UNSUPPORTED, "Image format driver does not support resize");
    /* A size or mode that will not do is no fault of the file. */
    return rc == 0 || cli_fail_error(cli, &err, "%s", rc == IMG_E_INVAL ? "" : args->filename);
}

static void report(const struct cli *cli, const struct args *args, uint64_t size)
{
    struct emit emit = {.out = stdout};

    if (cli->quiet)
        return;
    if (!cli->json) {
        puts("Image resized.");
        return;
    }
    emit_begin(&emit, NULL, '{');
    emit_uint(&emit, "virtual-size", size);
    emit_string(&emit, "filename", args->filename);
    emit_end(&emit, '}');
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    img_image *image = NULL;
    img_error err = {0};
    uint64_t size;
    bool ok;

    if (!parse(cli, &args, argc, argv))
        return cli->status;
    signals_catch();
    if (!open_image(cli, &image, args.filename, &args.open))
        return cli->status;
    ok = resize(cli, &args, image);
    size = img_size(image);
    if (img_close(image, &err) < 0 && ok)
        ok = cli_fail_error(cli, &err, "%s", args.filename);
    if (ok)
        report(cli, &args, size);
    return cli->status;
}

const struct cmd cmd_resize = {
    .name = "resize",
    .summary = "make a disk larger or smaller",
    .usage = "[OPTION]... FILE [+|-]SIZE",
    .about = "Set the size of the disk, or with + and - change it by SIZE. What is in the disk "
             "(partitions,\n"
             "filesystems) is not told: grow it afterwards, shrink it before.\n",
    .examples = "resize -f raw disk.raw +10G\n"
                "resize -f raw --shrink disk.raw 4G\n",
    .options = options,
    .run = run,
};
