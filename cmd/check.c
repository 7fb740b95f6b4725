/*
 * img check. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <string.h>

#include "cmd.h"

#define STATUS_CORRUPT 2
#define STATUS_LEAKS 3
#define STATUS_UNSUPPORTED 63

struct args {
    struct open_args open;
    const char *filename;
    unsigned repair; /* flags for the job */
};

static const struct cmd_option options[] = {
    OPTIONS_OPEN,
    {'r', "repair", "WHAT", "mend what is found: leaks, or all"},
    {'T', "cache", "MODE", "how to read (default: writeback); the modes are in the manual"},
    OPTION_SHARE,
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
        if (strcmp(value, "leaks") == 0)
            args->repair = IMG_JOB_REPAIR_LEAKS;
        else if (strcmp(value, "all") == 0)
            args->repair = IMG_JOB_REPAIR_ALL;
        else
            return cli_fail_usage(
                cli, "Unknown option value for -r (expecting 'leaks' or 'all'): %s", value);
        break;
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
    args->open.flags |= IMG_OPEN_CHECK | (args->repair ? (unsigned)IMG_OPEN_WRITE : 0);
    return open_settle(cli, "source ", &args->open);
}

/* A finding: text for people as qemu-img says it, without the program's name. */
static void on_finding(void *opaque, const char *text)
{
    const struct cli *cli = opaque;

    if (cli->json) {
        fputs("{\"finding\": ", stderr);
        emit_text(stderr, text);
        fputs("}\n", stderr);
    } else {
        output_text(stderr, text);
        fputc('\n', stderr);
    }
}

/* A figure that is zero is left out. */
static void emit_figure(struct emit *emit, const char *key, uint64_t value)
{
    if (value)
        emit_uint(emit, key, value);
}

/* In qemu-img's order. */
static void print_json(const struct args *args, const char *format, const img_check_result *result)
{
    struct emit emit = {.out = stdout};

    emit_begin(&emit, NULL, '{');
    emit_figure(&emit, "image-end-offset", result->image_end_offset);
    emit_figure(&emit, "compressed-clusters", result->compressed_clusters);
    emit_figure(&emit, "total-clusters", result->total_clusters);
    emit_figure(&emit, "corruptions", result->corruptions);
    emit_figure(&emit, "corruptions-fixed", result->corruptions_fixed);
    emit_uint(&emit, "check-errors", result->check_errors);
    emit_figure(&emit, "leaks", result->leaks);
    emit_figure(&emit, "leaks-fixed", result->leaks_fixed);
    emit_figure(&emit, "allocated-clusters", result->allocated_clusters);
    emit_string(&emit, "filename", args->filename);
    emit_string(&emit, "format", format);
    emit_figure(&emit, "fragmented-clusters", result->fragmented_clusters);
    emit_end(&emit, '}');
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_human(const img_check_result *result)
{
    if (result->corruptions_fixed || result->leaks_fixed)
        printf("The following inconsistencies were found and repaired:\n\n"
               "    %" PRIu64 " leaked clusters\n    %" PRIu64 " corruptions\n\n"
               "Double checking the fixed image now...\n",
               result->leaks_fixed, result->corruptions_fixed);
    if (!result->corruptions && !result->leaks && !result->check_errors)
        printf("No errors were found on the image.\n");
    if (result->corruptions)
        printf("\n%" PRIu64 " errors were found on the image.\n"
               "Data may be corrupted, or further writes to the image may corrupt it.\n",
               result->corruptions);
    if (result->leaks)
        printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
               "This means waste of disk space, but no harm to data.\n",
               result->leaks);
    if (result->check_errors)
        printf("\n%" PRIu64 " internal errors have occurred during the check.\n",
               result->check_errors);
    if (result->total_clusters && result->allocated_clusters)
        printf("%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, "
               "%0.2f%% compressed clusters\n",
               result->allocated_clusters, result->total_clusters,
               percent(result->allocated_clusters, result->total_clusters),
               percent(result->fragmented_clusters, result->allocated_clusters),
               percent(result->compressed_clusters, result->allocated_clusters));
    if (result->image_end_offset)
        printf("Image end offset: %" PRIu64 "\n", result->image_end_offset);
}

/* What could not be looked at comes first: it may be worse than what was found. */
static int status_of(const img_check_result *result)
{
    if (result->check_errors)
        return 1;
    if (result->corruptions)
        return STATUS_CORRUPT;
    return result->leaks ? STATUS_LEAKS : 0;
}

/* The figures of another disk of the same appliance. */
static void add_result(img_check_result *sum, const img_check_result *result)
{
    sum->corruptions += result->corruptions;
    sum->leaks += result->leaks;
    sum->corruptions_fixed += result->corruptions_fixed;
    sum->leaks_fixed += result->leaks_fixed;
    sum->check_errors += result->check_errors;
    sum->total_clusters += result->total_clusters;
    sum->allocated_clusters += result->allocated_clusters;
    sum->fragmented_clusters += result->fragmented_clusters;
    sum->compressed_clusters += result->compressed_clusters;
    sum->image_end_offset = result->image_end_offset;
}

static bool examine(struct cli *cli, unsigned flags, img_job *job, img_image *image,
                    img_check_result *sum)
{
    img_check_result result = {0};
    struct progress progress = {0};
    img_error err = {0};
    int rc;

    img_job_set_flags(job, flags);
    progress_attach(cli, &progress, job);
    rc = img_check(job, image, on_finding, cli, &result, &err);
    progress_finish(&progress, rc == 0);
    if (rc == IMG_E_UNSUPPORTED && (flags & IMG_JOB_NO_VERIFY))
        return true;
    if (rc == IMG_E_UNSUPPORTED) {
        cli_fail_error(cli, &err, "%s", "");
        cli->status = STATUS_UNSUPPORTED;
        return false;
    }
    if (rc < 0)
        return cli_fail_error(cli, &err, "Check failed");
    add_result(sum, &result);
    return true;
}

/*
 * The disks of an appliance behind its first, with which all the files were verified. Some formats
 * have no check.
 */
static bool examine_others(struct cli *cli, const struct args *args, img_job *job,
                           const img_image *first, img_check_result *sum)
{
    size_t next = args->open.disk ? 0 : img_appliance_next_disk(first);
    bool ok = true;

    while (ok && next) {
        struct open_args open = args->open;
        img_image *image = NULL;
        char disk[24];

        snprintf(disk, sizeof(disk), "%zu", next);
        open.disk = disk;
        ok = open_image(cli, &image, args->filename, &open) &&
             examine(cli, args->repair | IMG_JOB_NO_VERIFY, job, image, sum);
        next = ok ? img_appliance_next_disk(image) : 0;
        img_close(image, NULL);
    }
    return ok;
}

static bool check(struct cli *cli, const struct args *args, img_job *job, img_image *image)
{
    img_check_result result = {0};

    if (!examine(cli, args->repair, job, image, &result) ||
        !examine_others(cli, args, job, image, &result))
        return false;
    if (result.check_errors)
        cli_fail_code(cli, IMG_E_IO, "Check failed");
    cli->status = status_of(&result);
    if (cli->quiet)
        return true;
    if (cli->json)
        print_json(args, img_format(image), &result);
    else
        print_human(&result);
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {.open = {.flags = IMG_OPEN_PIPE}};
    img_image *image = NULL;
    img_error err = {0};
    img_job *job = NULL;

    if (!parse(cli, &args, argc, argv))
        return cli->status;
    signals_catch();
    if (!open_image(cli, &image, args.filename, &args.open))
        return cli->status;
    job = img_job_new();
    if (!job)
        cli_fail_nomem(cli);
    else if (!signals_stopped(cli))
        check(cli, &args, job, image);
    img_job_free(job);
    if (img_close(image, &err) < 0)
        cli_fail_error(cli, &err, "%s", args.filename);
    return cli->status;
}

const struct cmd cmd_check = {
    .name = "check",
    .summary = "check that an image's metadata is in order",
    .usage = "[OPTION]... FILE",
    .about = "The exit status is 0 when all is well, 2 when the image is corrupt, 3 when space in "
             "it is lost,\n"
             "63 when the format cannot be checked, or not repaired, 1 when the check failed.\n",
    .examples = "check disk.qcow2\n"
                "check --output=json disk.qcow2\n",
    .options = options,
    .run = run,
};
