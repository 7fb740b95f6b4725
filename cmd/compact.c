/*
 * img compact. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>

#include "cmd.h"

struct args {
    struct open_args open;
    const char *filename;
    struct progress progress;
    uint64_t rate;
};

static const struct cmd_option options[] = {
    OPTIONS_CHANGE,
    {'r', "rate-limit", "RATE", "move no more than so many bytes a second"},
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
    case 'r':
        return size_parse(cli, "rate limit", value, &args->rate);
    case 'p':
    case OPT_PROGRESS:
        return progress_parse(cli, &args->progress, value);
    default:
        return open_take_option(cli, &args->open, key, value);
    }
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (argc - first != 1)
        return cli_fail_usage(cli, "Expecting one image file name");
    args->filename = argv[first];
    /* The images below it have nothing to do with this. */
    args->open.flags |= IMG_OPEN_WRITE | IMG_OPEN_NO_BACKING;
    return open_settle(cli, "", &args->open);
}

static bool compact(struct cli *cli, struct args *args, img_image *image,
                    img_compact_result *result)
{
    img_job *job = img_job_new();
    img_error err = {0};
    int rc;

    if (!job)
        return cli_fail_nomem(cli);
    img_job_set_rate(job, args->rate);
    progress_attach(cli, &args->progress, job);
    rc = img_compact(job, image, result, &err);
    progress_finish(&args->progress, rc == 0);
    progress_end(&args->progress);
    img_job_free(job);
    return rc == 0 || cli_fail_error(cli, &err, "%s", args->filename);
}

static void report(const struct cli *cli, const struct args *args, const img_compact_result *result)
{
    struct emit emit = {.out = stdout};
    char before[SIZE_TEXT], after[SIZE_TEXT], moved[SIZE_TEXT];

    if (cli->quiet)
        return;
    if (!cli->json) {
        printf("file size: %s before, %s now (%" PRIu64 " bytes): %s moved\n",
               size_text(before, result->before), size_text(after, result->after), result->after,
               size_text(moved, result->moved));
        return;
    }
    emit_begin(&emit, NULL, '{');
    emit_string(&emit, "filename", args->filename);
    emit_uint(&emit, "file-size-before", result->before);
    emit_uint(&emit, "file-size", result->after);
    emit_uint(&emit, "actual-size-before", result->usage_before);
    emit_uint(&emit, "actual-size", result->usage);
    emit_uint(&emit, "moved", result->moved);
    emit_end(&emit, '}');
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    img_compact_result result = {0};
    img_image *image = NULL;
    img_error err = {0};
    bool ok;

    if (!parse(cli, &args, argc, argv))
        return cli->status;
    signals_catch();
    if (!open_image(cli, &image, args.filename, &args.open))
        return cli->status;
    open_warn_guessed(cli, image);
    ok = !signals_stopped(cli) && compact(cli, &args, image, &result);
    if (img_close(image, &err) < 0 && ok)
        ok = cli_fail_error(cli, &err, "%s", args.filename);
    if (ok)
        report(cli, &args, &result);
    return cli->status;
}

const struct cmd cmd_compact = {
    .name = "compact",
    .summary = "make the file of a qcow2 image shorter that was once large",
    .usage = "[OPTION]... FILE",
    .about =
        "Move what lies at the end of FILE, a qcow2 image, into the holes that its guest has left "
        "by giving\n"
        "up space, and cut the file off behind what is left. It happens in place and takes no "
        "second copy;\n"
        "the disk, its snapshots and its bitmaps stay what they are even if that is stopped "
        "half-way.\n",
    .examples = "compact -p disk.qcow2\n"
                "compact --output=json disk.qcow2\n",
    .options = options,
    .run = run,
};
