/*
 * img convert: opening, creating, copying, publishing. SPDX-License-Identifier: BSD-2-Clause
 *
 * Order: the sources are opened first and stay open, the target is made, filled and closed. Closing
 * gives a new target its name; whatever goes wrong before abandons it, and an existing file of that
 * name stays as it was. With -n the target is changed in place.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert.h"

/* Whether the image itself goes to standard output, by whatever name. */
static bool takes_stdout(const char *target)
{
    struct stat a, b;

    if (strcmp(target, "-") == 0)
        return true;
    return stat(target, &a) == 0 && S_ISFIFO(a.st_mode) && fstat(STDOUT_FILENO, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Writing into what is being read would destroy it; where locks work, they say so less clearly. */
static bool check_distinct(const struct conversion *conversion, const char *source)
{
    const char *target = conversion->args->filename;
    struct stat a, b;

    if (strcmp(source, "-") != 0 && stat(source, &a) == 0 && stat(target, &b) == 0 &&
        a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return cli_fail(conversion->cli,
                        "%s: cannot be converted onto itself: the target is a source", target);
    return true;
}

/* What is in an appliance is held to its manifest while it is copied: that must be there. */
static void warn_unverified(const struct conversion *conversion, size_t n)
{
    if (img_appliance_manifest(conversion->sources[n]) == IMG_MANIFEST_MISSING &&
        !(conversion->args->flags & IMG_JOB_NO_VERIFY))
        cli_warn(conversion->cli,
                 "'%s': the appliance has no manifest: what is in it cannot be verified",
                 img_name(conversion->sources[n]));
}

static bool open_sources(struct conversion *conversion)
{
    const struct convert_args *args = conversion->args;

    conversion->sources = calloc(args->source_count, sizeof(*conversion->sources));
    if (!conversion->sources)
        return cli_fail_nomem(conversion->cli);
    for (size_t n = 0; n < args->source_count; n++) {
        uint64_t size;

        if (!open_image(conversion->cli, &conversion->sources[n], args->sources[n],
                        &args->source) ||
            !check_distinct(conversion, args->sources[n]))
            return false;
        if (img_salvaged(conversion->sources[n]))
            cli_warn(conversion->cli, "%s: %s", args->sources[n],
                     img_salvaged(conversion->sources[n]));
        warn_unverified(conversion, n);
        if (args->snapshot &&
            !open_snapshot(conversion->cli, conversion->sources[n], args->snapshot, NULL))
            return false;
        size = img_size(conversion->sources[n]);
        if (size > INT64_MAX - conversion->total)
            return cli_fail(conversion->cli, "the sources together are larger than a disk can be");
        conversion->total += size;
    }
    return true;
}

static void close_sources(struct conversion *conversion)
{
    for (size_t n = 0; conversion->sources && n < conversion->args->source_count; n++)
        img_close(conversion->sources[n], NULL);
    free(conversion->sources);
}

/* The backing image, from -B and -F or from -o. */
static bool settle_backing(struct conversion *conversion)
{
    struct cli *cli = conversion->cli;
    struct convert_args *args = conversion->args;
    const char *format = args->target.format;

    if (args->backing && !create_option_known(format, "backing_file"))
        return cli_fail(cli, "Backing file not supported for file format '%s'", format);
    if (args->backing && !option_list_set(cli, &args->options, "backing_file", args->backing))
        return false;
    if (args->backing_format && !create_option_known(format, "backing_fmt"))
        return cli_fail(cli, "Backing format not supported for file format '%s'", format);
    if (args->backing_format &&
        !option_list_set(cli, &args->options, "backing_fmt", args->backing_format))
        return false;
    args->has_backing = option_list_get(&args->options, "backing_file");
    if (!args->has_backing)
        return true;
    if (args->source_count > 1)
        return cli_fail(cli, "Having a backing file for the target makes no sense when "
                             "concatenating multiple input images");
    if (!args->no_create && !option_list_get(&args->options, "backing_fmt"))
        return cli_fail(cli, "Use of backing file requires explicit backing format");
    return true;
}

/* The new image is as large as the sources, whatever -o says. */
static bool settle_options(struct conversion *conversion)
{
    struct cli *cli = conversion->cli;
    struct convert_args *args = conversion->args;
    const char *preallocation;
    char size[24];

    if (!args->target.format) { /* the target says it itself */
        args->has_backing = args->backing != NULL;
        return true;
    }
    if (!create_format_known(args->target.format))
        return cli_fail_code(cli, IMG_E_NOENT, "Unknown file format '%s'", args->target.format);
    if (!create_options_known(cli, "", args->target.format, &args->options) ||
        !settle_backing(conversion))
        return false;
    preallocation = option_list_get(&args->options, "preallocation");
    if ((args->flags & IMG_JOB_COMPRESS) && preallocation && strcmp(preallocation, "off") != 0)
        return cli_fail(cli, "Compression and preallocation not supported at the same time");
    snprintf(size, sizeof(size), "%" PRIu64, conversion->total);
    return args->no_create || option_list_set(cli, &args->options, "size", size);
}

static bool open_target(struct conversion *conversion)
{
    const struct convert_args *args = conversion->args;
    img_open_params params = open_params(conversion->cli, &args->target);
    img_error err = {0};

    if (args->no_create) {
        if (!open_image(conversion->cli, &conversion->target, args->filename, &args->target))
            return false;
        if (img_size(conversion->target) < conversion->total)
            return cli_fail(conversion->cli, "output file is smaller than input file");
        return true;
    }
    if (img_create(&conversion->target, args->filename, args->target.format, 0, args->options.set,
                   &params, &err) < 0)
        return cli_fail_create(conversion->cli, &err, args->filename,
                               "%s: error while converting %s", args->filename,
                               args->target.format);
    return true;
}

static void set_up_job(const struct convert_args *args, img_job *job)
{
    img_job_set_flags(job,
                      args->flags | (args->has_backing ? (unsigned)IMG_JOB_NO_BACKING_COPY : 0));
    img_job_set_threads(job, args->threads);
    img_job_set_rate(job, args->rate);
    if (args->has_sparse)
        img_job_set_sparse(job, args->sparse);
}

bool convert_copy(struct conversion *conversion, img_job *job, img_image *const *sources,
                  size_t count, img_image *target)
{
    struct cli *cli = conversion->cli;
    struct convert_args *args = conversion->args;
    img_error err = {0};
    int rc;

    set_up_job(args, job);
    if (!free_space_find(cli, &args->free_space, sources[0], job))
        return false;
    args->progress.aside = takes_stdout(args->filename);
    progress_attach(cli, &args->progress, job);
    rc = img_convert(job, sources, count, target, &err);
    progress_finish(&args->progress, rc == 0);
    progress_end(&args->progress);
    if (rc < 0)
        /* What the format cannot do is no matter of the file. */
        return cli_fail_error(cli, &err, "%s", rc == IMG_E_UNSUPPORTED ? "" : err.image);
    if (img_job_salvaged(job))
        cli_warn(cli, "%" PRIu64 " bytes could not be read and are zeros in '%s'",
                 img_job_salvaged(job), args->filename);
    return true;
}

/* The last step: what has been written becomes the file of that name. */
static bool publish(struct conversion *conversion)
{
    img_image *target = conversion->target;
    img_error err = {0};

    if (signals_stopped(conversion->cli))
        return false;
    conversion->target = NULL;
    if (img_close(target, &err) < 0)
        return cli_fail_error(conversion->cli, &err, "%s", conversion->args->filename);
    return true;
}

static void report_json(const struct conversion *conversion, const img_job *job)
{
    struct emit emit = {.out = takes_stdout(conversion->args->filename) ? stderr : stdout};

    emit_begin(&emit, NULL, '{');
    emit_uint(&emit, "virtual-size", conversion->total);
    emit_string(&emit, "filename", conversion->args->filename);
    if (conversion->args->target.format)
        emit_string(&emit, "format", conversion->args->target.format);
    emit_uint(&emit, "salvaged", img_job_salvaged(job));
    free_space_emit(&emit, &conversion->args->free_space);
    emit_end(&emit, '}');
}

/* All sources, one behind the other, into one image. */
static bool convert_disk(struct conversion *conversion, img_job *job)
{
    struct cli *cli = conversion->cli;
    struct convert_args *args = conversion->args;
    img_image *first = conversion->sources[0];

    return settle_options(conversion) && convert_check_bitmaps(cli, args, first) &&
           open_target(conversion) && convert_target_bitmaps(cli, args, conversion->target) &&
           !signals_stopped(cli) &&
           convert_copy(conversion, job, conversion->sources, args->source_count,
                        conversion->target) &&
           convert_copy_bitmaps(cli, args, first, conversion->target) && publish(conversion);
}

bool convert_images(struct cli *cli, struct convert_args *args)
{
    struct conversion conversion = {.cli = cli, .args = args};
    img_job *job = NULL;
    bool ok = open_sources(&conversion);

    if (ok && args->source_format)
        args->target.format = img_format(conversion.sources[0]);
    if (ok && !(job = img_job_new()))
        ok = cli_fail_nomem(cli);
    if (ok && args->target.format && strcmp(args->target.format, "ova") == 0)
        ok = convert_appliance(&conversion, job);
    else if (ok)
        ok = convert_disk(&conversion, job);
    if (ok && cli->json && !cli->quiet && !args->no_report)
        report_json(&conversion, job);
    /* What an image had before may stay, and what has been written to it is there. */
    if (args->no_create)
        img_close(conversion.target, NULL);
    else
        img_abandon(conversion.target);
    close_sources(&conversion);
    img_job_free(job);
    return ok;
}
