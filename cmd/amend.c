/*
 * img amend. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "cmd.h"

struct args {
    struct open_args open;
    struct option_list options;
    const char *filename;
    struct progress progress;
    unsigned flags; /* enum img_job_flags */
};

static const struct cmd_option options[] = {
    OPTIONS_CHANGE,
    {'o', "options", "LIST", "what to change, name=value,...; -o help lists what can be changed"},
    {'t', "cache", "MODE", "how to read and write (default: writeback)"},
    {OPT_FORCE, "force", NULL, "allow what may make the disk unreadable: to erase its last key"},
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
    case 'o':
        return option_list_take(cli, &args->options, value);
    case OPT_FORCE:
        args->flags |= IMG_JOB_FORCE;
        return true;
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
    if (!args->options.given)
        return cli_fail_usage(cli, "Must specify options (-o)");
    if (first < argc)
        args->filename = argv[argc - 1];
    if (args->options.help && args->open.format)
        return amend_list_options(cli, args->open.format);
    if (argc - first != 1)
        return cli_fail(cli, "Expecting one image file name");
    args->open.flags |= IMG_OPEN_WRITE;
    return open_settle(cli, "", &args->open);
}

/* Every name is one that can be amended; that it can be created with is worth a word. */
static bool check_options(struct cli *cli, const struct args *args, const char *format)
{
    img_option_info info;
    const char *name;

    if (!img_format_amend_option(format, 0, &info))
        return cli_fail_code(cli, IMG_E_UNSUPPORTED,
                             "Format driver '%s' does not support option amendment", format);
    for (size_t n = 0; args->options.set && (name = img_options_name(args->options.set, n)); n++) {
        bool known = false;

        for (size_t i = 0; !known && img_format_amend_option(format, i, &info); i++)
            known = strcmp(info.name, name) == 0;
        if (!known)
            return cli_fail(cli, "Invalid parameter '%s'%s", name,
                            create_option_known(format, name)
                                ? " This option is only supported for image creation"
                                : "");
    }
    return true;
}

static bool amend(struct cli *cli, struct args *args, img_image *image)
{
    img_job *job = img_job_new();
    img_error err = {0};
    int rc;

    if (!job)
        return cli_fail_nomem(cli);
    img_job_set_flags(job, args->flags);
    progress_attach(cli, &args->progress, job);
    rc = img_amend(job, image, args->options.set, &err);
    progress_finish(&args->progress, rc == 0);
    progress_end(&args->progress);
    img_job_free(job);
    if (rc == 0)
        return true;
    if (strcmp(err.message, "Cannot amend the backing file") == 0)
        return cli_fail(cli, "%s You can use '%s rebase' instead.", err.message, cli->program);
    /* What cannot be had is no fault of the file. */
    return cli_fail_error(cli, &err, "%s",
                          rc == IMG_E_INVAL || rc == IMG_E_UNSUPPORTED ? "" : args->filename);
}

static bool run_on(struct cli *cli, struct args *args, img_image *image)
{
    open_warn_guessed(cli, image);
    if (args->options.help)
        return amend_list_options(cli, img_format(image));
    return check_options(cli, args, img_format(image)) && amend(cli, args, image);
}

static void report(const struct cli *cli, const struct args *args)
{
    struct emit emit = {.out = stdout};

    if (cli->quiet || !cli->json)
        return;
    emit_begin(&emit, NULL, '{');
    emit_string(&emit, "filename", args->filename);
    emit_end(&emit, '}');
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    img_image *image = NULL;
    img_error err = {0};
    bool ok;

    if (parse(cli, &args, argc, argv)) {
        signals_catch();
        ok = open_image(cli, &image, args.filename, &args.open) && run_on(cli, &args, image);
        if (img_close(image, &err) < 0 && ok)
            ok = cli_fail_error(cli, &err, "%s", args.filename);
        if (ok)
            report(cli, &args);
    }
    img_options_free(args.options.set);
    return cli->status;
}

const struct cmd cmd_amend = {
    .name = "amend",
    .summary = "change what an image was created with",
    .usage = "[OPTION]... -o LIST FILE",
    .about = "Change options of an image in place: its version (compat), the width of its "
             "refcounts, its size\n"
             "and more. What the disk reads as stays the same, except that a smaller size loses "
             "what is past it.\n",
    .examples = "amend -f qcow2 -o compat=1.1 disk.qcow2\n"
                "amend -p -o compat=1.1,refcount_bits=64,lazy_refcounts=on disk.qcow2\n"
                "amend -f qcow2 -o help\n",
    .options = options,
    .run = run,
};
