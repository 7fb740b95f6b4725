/*
 * img compare. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>

#include "cmd.h"

/* The exit status when the images could not be opened, mapped, read. */
#define STATUS_OPEN 2
#define STATUS_MAP 3
#define STATUS_READ 4

struct args {
    struct open_args open[2];
    const char *filename[2];
    struct progress progress;
    bool strict;
};

static const struct cmd_option options[] = {
    {'f', "a-format", "FMT", "format of the first image (default: found by looking at it)"},
    {'F', "b-format", "FMT", "format of the second image"},
    OPTION_IMAGE_OPTS,
    {OPT_DISK, "disk", "DISK", "the first image is this disk of an OVA or OVF: its number or id"},
    {OPT_DISK, "a-disk", "DISK", NULL},
    {OPT_B_DISK, "b-disk", "DISK", "likewise the second"},
    OPTION_OBJECT,
    OPTION_UNTRUSTED,
    {'s', "strict", NULL, "sizes and allocation must be equal too"},
    {'T', "cache", "MODE", "how to read (default: writeback); the modes are in the manual"},
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
    case 'F':
        args->open[1].format = value;
        break;
    case OPT_B_DISK:
        args->open[1].disk = value;
        break;
    case 's':
        args->strict = true;
        break;
    case 'p':
    case OPT_PROGRESS:
        return progress_parse(cli, &args->progress, value);
    default:
        if (key != 'f' && key != OPT_DISK)
            open_take_option(cli, &args->open[1], key, value);
        return open_take_option(cli, &args->open[0], key, value);
    }
    return true;
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    /* From here on 1 means that the images differ, or that the command line is misused. */
    cli->fail_status = STATUS_OPEN;
    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (argc - first != 2)
        return cli_fail_usage(cli, "Expecting two image file names");
    for (int n = 0; n < 2; n++) {
        args->filename[n] = argv[first + n];
        if (!open_settle(cli, "source ", &args->open[n]))
            return false;
    }
    return true;
}

static void say(const struct cli *cli, const char *text)
{
    if (!cli->quiet && !cli->json)
        puts(text);
}

static void print_json(const img_compare_result *result, bool sizes_differ, bool has_offset)
{
    struct emit emit = {.out = stdout};

    emit_begin(&emit, NULL, '{');
    emit_bool(&emit, "equal", result->equal);
    emit_bool(&emit, "size-differs", sizes_differ);
    emit_bool(&emit, "allocation-differs", result->allocation_differs);
    if (!result->equal && has_offset)
        emit_uint(&emit, "offset", result->offset);
    emit_end(&emit, '}');
}

static void print(struct cli *cli, const struct args *args, const img_compare_result *result,
                  bool sizes_differ)
{
    if (cli->json && !cli->quiet)
        print_json(result, sizes_differ, !args->strict || !sizes_differ);
    else if (result->equal)
        say(cli, "Images are identical.");
    else if (cli->quiet)
        return;
    else if (args->strict && sizes_differ)
        say(cli, "Strict mode: Image size mismatch!");
    else if (result->allocation_differs)
        printf("Strict mode: Offset %" PRIu64 " block status mismatch!\n", result->offset);
    else /* qemu-img names the sector, not the byte */
        printf("Content mismatch at offset %" PRIu64 "!\n", result->offset & ~UINT64_C(511));
}

static bool compare_images(struct cli *cli, struct args *args, img_job *job,
                           img_image *const *images)
{
    uint64_t a = img_size(images[0]), b = img_size(images[1]), shorter = a < b ? a : b;
    bool sizes_differ = a != b;
    img_compare_result result = {0}; /* strict: other sizes are a difference by themselves */
    img_error err = {0};
    int rc = 0;

    img_job_set_flags(job, args->strict ? IMG_JOB_STRICT : 0);
    progress_attach(cli, &args->progress, job);
    if (!sizes_differ || !args->strict)
        rc = img_compare(job, images[0], images[1], &result, &err);
    progress_finish(&args->progress, rc == 0 && result.equal);
    if (rc < 0) {
        cli->fail_status = err.code == IMG_E_CORRUPT ? STATUS_MAP : STATUS_READ;
        cli_fail_error(cli, &err, "%s", err.image);
    } else {
        if (sizes_differ && !args->strict && (result.equal || result.offset >= shorter))
            say(cli, "Warning: Image size mismatch!");
        print(cli, args, &result, sizes_differ);
        cli->status = result.equal ? 0 : 1;
    }
    progress_end(&args->progress);
    return rc == 0;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    img_image *images[2] = {NULL, NULL};
    img_job *job = NULL;

    if (!parse(cli, &args, argc, argv))
        return cli->status;
    signals_catch();
    if (!open_image(cli, &images[0], args.filename[0], &args.open[0]) ||
        !open_image(cli, &images[1], args.filename[1], &args.open[1]))
        goto out;
    job = img_job_new();
    if (!job)
        cli_fail_nomem(cli);
    else if (!signals_stopped(cli))
        compare_images(cli, &args, job, images);
out:
    img_job_free(job);
    img_close(images[0], NULL);
    img_close(images[1], NULL);
    return cli->status;
}

const struct cmd cmd_compare = {
    .name = "compare",
    .summary = "tell whether two images hold the same disk",
    .usage = "[OPTION]... FILE1 FILE2",
    .about = "The longer disk's tail must be zeros. The exit status is 0 when they are equal, 1 "
             "when they\n"
             "differ, 2 and above when that could not be found out.\n",
    .examples = "compare disk.raw disk.qcow2\n"
                "compare -p -f vmdk disk.vmdk -F qcow2 disk.qcow2\n",
    .options = options,
    .run = run,
};
