/*
 * img bitmap. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "cmd.h"

/* One thing to do with the bitmap, in the order of the command line. */
struct action {
    int key;            /* of the option */
    const char *source; /* OPT_MERGE: the bitmap to merge */
};

struct args {
    struct open_args open;
    struct open_args source; /* of -b */
    const char *filename, *name, *source_filename;
    uint64_t granularity;
    struct action *actions;
    size_t count;
};

static const struct cmd_option options[] = {
    {OPT_ADD, "add", NULL, "add the bitmap, enabled unless --disable follows"},
    {OPT_REMOVE, "remove", NULL, "remove the bitmap"},
    {OPT_CLEAR, "clear", NULL, "make all of it clean"},
    {OPT_ENABLE, "enable", NULL, "from now on writes make it dirty"},
    {OPT_DISABLE, "disable", NULL, "from now on writes leave it as it is"},
    {OPT_MERGE, "merge", "SOURCE", "make dirty what is dirty in the bitmap of that name"},
    {'g', "granularity", "SIZE",
     "with --add: bytes of the disk a bit (default: cluster size, 4k to 64k)"},
    {'b', "source-file", "FILE", "with --merge: the image that has the source bitmap"},
    {'F', "source-format", "FMT", "with -b: format of that image"},
    OPTIONS_CHANGE,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool add_action(struct cli *cli, struct args *args, int key, const char *source)
{
    struct action *larger = realloc(args->actions, (args->count + 1) * sizeof(*larger));

    if (!larger)
        return cli_fail_nomem(cli);
    args->actions = larger;
    args->actions[args->count++] = (struct action){key, source};
    return true;
}

static bool set_granularity(struct cli *cli, struct args *args, const char *text)
{
    if (img_parse_size(text, &args->granularity, NULL) < 0)
        return cli_fail(cli, "Invalid granularity specified. You may use k, M, G, T, P or E "
                             "suffixes for kilobytes, megabytes, gigabytes, terabytes, petabytes "
                             "and exabytes.");
    return true;
}

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case OPT_ADD:
    case OPT_REMOVE:
    case OPT_CLEAR:
    case OPT_ENABLE:
    case OPT_DISABLE:
    case OPT_MERGE:
        return add_action(cli, args, key, value);
    case 'g':
        return set_granularity(cli, args, value);
    case 'b':
        args->source_filename = value;
        return true;
    case 'F':
        args->source.format = value;
        return true;
    default:
        return open_take_option(cli, &args->open, key, value);
    }
}

static bool has_action(const struct args *args, int key)
{
    for (size_t n = 0; n < args->count; n++)
        if (args->actions[n].key == key)
            return true;
    return false;
}

/* What qemu-img complains of, in its order. */
static bool check_combination(struct cli *cli, const struct args *args)
{
    if (args->count == 0)
        return cli_fail(cli, "Need at least one of --add, --remove, --clear, --enable, --disable, "
                             "or --merge");
    if (args->granularity && !has_action(args, OPT_ADD))
        return cli_fail(cli, "granularity only supported with --add");
    if (args->source.format && !args->source_filename)
        return cli_fail(cli, "-F only supported with -b");
    if (args->source_filename && !has_action(args, OPT_MERGE))
        return cli_fail(cli, "Merge bitmap source file only supported with --merge");
    return true;
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (!check_combination(cli, args))
        return false;
    if (argc - first != 2)
        return cli_fail(cli, "Expecting filename and bitmap name");
    args->filename = argv[first];
    args->name = argv[first + 1];
    args->open.flags |= IMG_OPEN_WRITE | IMG_OPEN_NO_BACKING;
    return open_settle(cli, "", &args->open);
}

static int act(const struct args *args, const struct action *action, img_image *image,
               img_image *source, img_error *err)
{
    const char *name = args->name;

    switch (action->key) {
    case OPT_ADD:
        return img_bitmap_add(image, name, args->granularity, true, err);
    case OPT_REMOVE:
        return img_bitmap_remove(image, name, err);
    case OPT_CLEAR:
        return img_bitmap_clear(image, name, err);
    case OPT_MERGE:
        return img_bitmap_merge(image, name, source, action->source, err);
    default:
        return img_bitmap_enable(image, name, action->key == OPT_ENABLE, err);
    }
}

static const char *operation_name(int key)
{
    for (const struct cmd_option *option = options; option->key; option++)
        if (option->key == key)
            return option->name;
    return "";
}

static bool act_all(struct cli *cli, const struct args *args, img_image *image, img_image *source)
{
    for (size_t n = 0; n < args->count; n++) {
        const struct action *action = &args->actions[n];
        img_error err = {0};

        if (signals_stopped(cli))
            return false;
        if (act(args, action, image, source, &err) < 0)
            return cli_fail_error(cli, &err, "Operation %s on bitmap %s failed",
                                  operation_name(action->key), args->name);
    }
    return true;
}

/* What was done before a failure stays done: the image is closed, not abandoned. */
static bool run_actions(struct cli *cli, const struct args *args)
{
    img_image *image = NULL, *source = NULL;
    img_error err = {0};
    bool ok;

    if (!open_image(cli, &image, args->filename, &args->open))
        return false;
    open_warn_guessed(cli, image);
    ok = !args->source_filename || open_image(cli, &source, args->source_filename, &args->source);
    ok = ok && act_all(cli, args, image, source);
    img_close(source, NULL);
    if (img_close(image, &err) < 0 && ok)
        ok = cli_fail_error(cli, &err, "%s", args->filename);
    return ok;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};

    if (parse(cli, &args, argc, argv)) {
        signals_catch();
        run_actions(cli, &args);
    }
    free(args.actions);
    return cli->status;
}

const struct cmd cmd_bitmap = {
    .name = "bitmap",
    .summary = "change the dirty bitmaps of an image",
    .usage = "ACTION... [OPTION]... FILE BITMAP",
    .about = "Add, remove or change the persistent dirty bitmap of that name, which tells what "
             "parts of the\n"
             "disk have changed. Several actions are done in the order in which they are given; "
             "\"img info\"\n"
             "lists the bitmaps.\n",
    .examples = "bitmap --add disk.qcow2 since-monday\n"
                "bitmap --add --disable -g 4k disk.qcow2 copy\n"
                "bitmap --merge since-monday --clear disk.qcow2 copy\n"
                "bitmap --merge since-monday -b overlay.qcow2 -F qcow2 disk.qcow2 copy\n",
    .options = options,
    .run = run,
};
