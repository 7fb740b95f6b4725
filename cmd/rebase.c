/*
 * img rebase. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "cmd.h"

struct args {
    struct open_args open;
    const char *filename, *backing, *backing_format;
    struct open_args source; /* only its cache mode */
    struct progress progress;
    unsigned flags; /* enum img_job_flags */
};

static const struct cmd_option options[] = {
    OPTIONS_CHANGE,
    {'b', "backing", "FILE", "the new backing image (a name relative to FILE); \"\": none"},
    {'F', "backing-format", "FMT", "format of the new backing image; needed with -b"},
    {'B', NULL, "FMT", "the same as -F"},
    {'u', "backing-unsafe", NULL, "change the name only, whatever the disk reads as afterwards"},
    {'c', "compress", NULL, "store compressed what is copied into the image"},
    {'t', "cache", "MODE", "how to read and write (default: writeback)"},
    {'T', "backing-cache", "MODE", "how to read the old and the new backing image"},
    {'T', "source-cache", "MODE", NULL},
    OPTION_SHARE,
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
        args->backing = value;
        break;
    case 'B':
    case 'F':
        args->backing_format = value;
        break;
    case 'u':
        args->flags |= IMG_JOB_UNSAFE;
        break;
    case 'c':
        args->flags |= IMG_JOB_COMPRESS;
        break;
    case 'T':
        args->source.cache_name = value;
        break;
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
    bool unsafe;
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (argc - first != 1)
        return cli_fail_usage(cli, "Expecting one image file name");
    unsafe = args->flags & IMG_JOB_UNSAFE;
    if (!unsafe && !args->backing)
        return cli_fail_usage(cli, "Must specify backing file (-b) or use unsafe mode (-u)");
    args->filename = argv[first];
    /* qemu-img takes -U too, and locks the image all the same: it is about to be written. */
    args->open.flags &= ~(unsigned)IMG_OPEN_SHARE;
    args->open.flags |= IMG_OPEN_WRITE | (unsafe ? (unsigned)IMG_OPEN_NO_BACKING : 0);
    args->open.backing_cache = &args->source.cache;
    return open_settle(cli, "", &args->open) && open_settle(cli, "source ", &args->source);
}

/* Say what went wrong in qemu-img's words, where it has some. */
static bool fail(struct cli *cli, const struct args *args, const img_error *err)
{
    const char *context = "Could not change the backing file to";
    const char *name = args->backing ? args->backing : "";

    switch (err->code) {
    case IMG_E_UNSUPPORTED:
    case IMG_E_INVAL:
        return cli_fail_error(cli, err, "%s '%s'", context, name);
    case IMG_E_NOSPACE:
        if (!err->os_errno)
            return cli_fail_code(cli, err->code, "%s '%s': No space left in the file header",
                                 context, name);
        break;
    default:
        break;
    }
    if (strstr(err->message, "Could not open new backing file") || err->code == IMG_E_NOENT)
        return cli_fail_create(cli, err, args->filename, "%s", "");
    return cli_fail_error(cli, err, "%s", err->image);
}

static bool rebase(struct cli *cli, struct args *args, img_image *image)
{
    img_job *job = img_job_new();
    img_error err = {0};
    int rc;

    if (!job)
        return cli_fail_nomem(cli);
    img_job_set_flags(job, args->flags);
    progress_attach(cli, &args->progress, job);
    rc = img_rebase(job, image, args->backing, args->backing_format, &err);
    progress_finish(&args->progress, rc == 0);
    progress_end(&args->progress);
    img_job_free(job);
    return rc == 0 || fail(cli, args, &err);
}

static void report(const struct cli *cli, const struct args *args)
{
    struct emit emit = {.out = stdout};

    if (cli->quiet || !cli->json)
        return;
    emit_begin(&emit, NULL, '{');
    emit_string(&emit, "filename", args->filename);
    emit_string(&emit, "backing-filename", args->backing ? args->backing : "");
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
    ok = rebase(cli, &args, image);
    if (img_close(image, &err) < 0 && ok)
        ok = cli_fail_error(cli, &err, "%s", args.filename);
    if (ok)
        report(cli, &args);
    return cli->status;
}

const struct cmd cmd_rebase = {
    .name = "rebase",
    .summary = "give an overlay another backing image",
    .usage = "[OPTION]... -b BACKING -F FMT FILE",
    .about = "Make BACKING the backing image of FILE. The disk stays what it is: what reads "
             "differently in the\n"
             "new backing image is copied into FILE first. With -u only the name is changed, for "
             "when a backing\n"
             "image was moved.\n",
    .examples = "rebase -b new-base.qcow2 -F qcow2 overlay.qcow2\n"
                "rebase -u -b ../moved/base.qcow2 -F qcow2 overlay.qcow2\n"
                "rebase -b '' overlay.qcow2\n",
    .options = options,
    .run = run,
};
