/*
 * img commit. SPDX-License-Identifier: BSD-2-Clause
 */
#include "cmd.h"

struct args {
    struct open_args open;
    const char *filename, *base;
    struct progress progress;
    uint64_t rate;
    bool keep;
};

static const struct cmd_option options[] = {
    OPTIONS_CHANGE,
    {'b', "base", "FILE", "the image of the chain to write into (default: the backing image)"},
    {'d', "keep", NULL, "do not empty the image afterwards; -b implies it"},
    {'d', "drop", NULL, NULL},
    {'r', "rate-limit", "RATE", "write no more than so many bytes a second"},
    {'t', "cache", "MODE", "how to read and write (default: writeback)"},
    OPTION_PROGRESS,
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case 'b':
        args->base = value;
        break;
    case 'd':
        args->keep = true;
        break;
    case 'r':
        return size_parse(cli, "rate limit", value, &args->rate);
    case 'p':
    case OPT_PROGRESS:
        return progress_parse(cli, &args->progress, value);
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
    if (argc - first != 1)
        return cli_fail_usage(cli, "Expecting one image file name");
    args->filename = argv[first];
    args->open.flags |= IMG_OPEN_WRITE;
    return open_settle(cli, "", &args->open);
}

static bool commit(struct cli *cli, struct args *args, img_image *image)
{
    img_job *job = img_job_new();
    img_error err = {0};
    int rc;

    if (!job)
        return cli_fail_nomem(cli);
    img_job_set_flags(job, args->keep ? IMG_JOB_KEEP : 0);
    img_job_set_rate(job, args->rate);
    progress_attach(cli, &args->progress, job);
    rc = img_commit(job, image, args->base, &err);
    progress_finish(&args->progress, rc == 0);
    progress_end(&args->progress);
    img_job_free(job);
    /* What was asked for cannot be done: that is no matter of a file. */
    if (rc == IMG_E_NOENT || rc == IMG_E_INVAL)
        return cli_fail_error(cli, &err, "%s", "");
    return rc == 0 || cli_fail_error(cli, &err, "%s", err.image);
}

static void report(const struct cli *cli, const struct args *args)
{
    struct emit emit = {.out = stdout};

    if (cli->quiet)
        return;
    if (!cli->json) {
        puts("Image committed.");
        return;
    }
    emit_begin(&emit, NULL, '{');
    emit_string(&emit, "filename", args->filename);
    emit_bool(&emit, "committed", true);
    emit_end(&emit, '}');
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    img_image *image = NULL;
    img_error err = {0};
    bool ok;

    if (!parse(cli, &args, argc, argv))
        return cli->status;
    signals_catch();
    if (!open_image(cli, &image, args.filename, &args.open))
        return cli->status;
    open_warn_guessed(cli, image);
    ok = img_backing_name(image) || cli_fail(cli, "Image does not have a backing file");
    ok = ok && commit(cli, &args, image);
    if (img_close(image, &err) < 0 && ok)
        ok = cli_fail_error(cli, &err, "%s", args.filename);
    if (ok)
        report(cli, &args);
    return cli->status;
}

const struct cmd cmd_commit = {
    .name = "commit",
    .summary = "write what an overlay holds into its backing image",
    .usage = "[OPTION]... FILE",
    .about =
        "Write what FILE holds into its backing image, which grows if it is smaller, and empty "
        "FILE. With\n"
        "-b what FILE and the images between it and the base hold goes into the base; the "
        "images between\n"
        "them are of no use any more, and FILE keeps what it holds.\n",
    .examples = "commit -p overlay.qcow2\n"
                "commit -b base.qcow2 top.qcow2\n",
    .options = options,
    .run = run,
};
