/*
 * img sparsify. SPDX-License-Identifier: BSD-2-Clause
 *
 * Into another file it is a conversion, which leaves zeros out anyway; in place, the library gives
 * up what is zeros. What the guest does not use counts as zeros. Either way it is told how much
 * space that saved.
 */
#include <inttypes.h>
#include <jansson.h>

#include "convert.h"
#include "guest.h"

struct args {
    struct convert_args convert; /* in place: source says how to open, the rest of it is not used */
    bool in_place, copying;      /* copying: an option was given that only a copy has */
};

static const struct cmd_option options[] = {
    {OPT_IN_PLACE, "in-place", NULL, "give up the space in FILE itself"},
    OPTIONS_OPEN,
    {'O', "target-format", "FMT", "format of TARGET (default: that of FILE)"},
    {'O', "output-format", "FMT", NULL},
    {'O', "convert", "FMT", NULL},
    {'o', "target-format-options", "LIST", "create options of TARGET, name=value,..."},
    {'o', "options", "LIST", NULL},
    {'c', "compress", NULL, "store the content of TARGET compressed"},
    {OPT_ZERO_ONLY, "zero-only", NULL, "do not look for what the guest does not use"},
    {OPT_SWAP, "swap", NULL, "the content of swap is not needed either"},
    {OPT_IGNORE, "ignore", "DEV", "keep what is in this volume (/dev/sda1); may be repeated"},
    OPTION_BLOCKSIZE,
    {OPT_ZERO, "zero", "DEV", "drop all that is in this partition; may be repeated"},
    {OPT_TMP, "tmp", "DIR", "accepted for compatibility: no temporary file is made"},
    {OPT_TMP, "check-tmpdir", "HOW", NULL},
    {'m', "parallel", "COUNT", "number of threads, 1 to 64 (default: one a processor, at most 16)"},
    {'m', "threads", "COUNT", NULL},
    {'r', "rate-limit", "RATE", "read no more than so many bytes a second"},
    {'t', "target-cache", "MODE", "how to write TARGET (default: unsafe), or FILE in place"},
    {'T', "source-cache", "MODE", "how to read FILE (default: writeback)"},
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
    struct convert_args *convert = &args->convert;

    args->copying =
        args->copying || key == 'O' || key == 'o' || key == 'c' || key == 'T' || key == OPT_ZERO;
    switch (key) {
    case OPT_IN_PLACE:
        args->in_place = true;
        break;
    case 'O':
        convert->target.format = value;
        break;
    case 'o':
        return option_list_take(cli, &convert->options, value);
    case 'c':
        convert->flags |= IMG_JOB_COMPRESS;
        break;
    case OPT_ZERO_ONLY:
        convert->free_space.wanted = false;
        break;
    case OPT_SWAP:
        convert->free_space.swap = true;
        break;
    case OPT_IGNORE:
        return free_space_ignore(cli, &convert->free_space, value);
    case OPT_BLOCKSIZE:
        return guest_sector_size(cli, value, &convert->free_space.sector_size);
    case OPT_ZERO:
        return free_space_drop(cli, &convert->free_space, value);
    case OPT_TMP:
        break;
    case 'm':
        return convert_take_threads(cli, convert, value);
    case 'r':
        return size_parse(cli, "rate limit", value, &convert->rate);
    case 't':
        convert->target.cache_name = value;
        break;
    case 'p':
    case OPT_PROGRESS:
        return progress_parse(cli, &convert->progress, value);
    default:
        return open_take_option(cli, &convert->source, key, value);
    }
    return true;
}

/* The image that is changed in place is opened once, with the options of a target. */
static bool settle_in_place(struct cli *cli, struct args *args, char *const *operands, int count)
{
    struct convert_args *convert = &args->convert;

    if (args->copying)
        return cli_fail_usage(cli, "-O, -o, -c, -T and --zero are not for --in-place");
    if (count != 1)
        return cli_fail_usage(cli, "Expecting one image file name with --in-place");
    if (convert->source.flags & IMG_OPEN_SHARE)
        return cli_fail_usage(cli, "-U cannot be used with --in-place: the image is changed");
    convert->filename = operands[0];
    convert->source.flags |= IMG_OPEN_WRITE;
    convert->source.cache_name = convert->target.cache_name;
    return open_settle(cli, "", &convert->source);
}

static bool settle_copy(struct cli *cli, struct args *args, char *const *operands, int count)
{
    struct convert_args *convert = &args->convert;

    if (convert->options.help)
        return create_list_options(cli, convert->target.format ? convert->target.format : "raw",
                                   count > 1 ? operands[1] : NULL);
    if (convert->free_space.drop_count && !convert->free_space.wanted)
        return cli_fail_usage(cli, "--zero and --zero-only cannot be used together");
    if (count != 2)
        return cli_fail_usage(cli, "Expecting two image file names, or --in-place and one");
    convert->sources = operands;
    convert->source_count = 1;
    convert->filename = operands[1];
    convert->source_format = !convert->target.format;
    convert->free_space.otherwise = "a copy with --zero-only can be made";
    return open_settle(cli, "", &convert->target) && open_settle(cli, "source ", &convert->source);
}

/* --------------------------------------------------------------------- the result */

/* What is told of it. */
struct saving {
    const char *filename;
    uint64_t before, after;
    bool has_zeros;
    uint64_t zeros, unused; /* bytes of the disk whose space was given up */
    const struct free_space *free_space;
};

static void report(const struct cli *cli, const struct saving *saving)
{
    uint64_t freed = saving->before > saving->after ? saving->before - saving->after : 0;
    struct emit emit = {.out = stdout};
    char before[SIZE_TEXT], after[SIZE_TEXT], text[SIZE_TEXT];

    if (cli->quiet)
        return;
    if (!cli->json) {
        printf("disk size: %s before, %s now: %s (%" PRIu64 " bytes) freed\n",
               size_text(before, saving->before), size_text(after, saving->after),
               size_text(text, freed), freed);
        return;
    }
    emit_begin(&emit, NULL, '{');
    emit_string(&emit, "filename", saving->filename);
    emit_uint(&emit, "actual-size-before", saving->before);
    emit_uint(&emit, "actual-size", saving->after);
    emit_uint(&emit, "freed", freed);
    if (saving->has_zeros) {
        emit_uint(&emit, "zeros", saving->zeros);
        emit_uint(&emit, "unused", saving->unused);
    }
    free_space_emit(&emit, saving->free_space);
    emit_end(&emit, '}');
}

/* The space that an image takes, which is not opened for its content. */
static bool usage(struct cli *cli, const char *name, struct open_args open, uint64_t *bytes)
{
    img_image *image = NULL;
    json_t *info;

    open.flags = (open.flags & ~(unsigned)IMG_OPEN_WRITE) | IMG_OPEN_NO_BACKING | IMG_OPEN_NO_KEY;
    if (!open_image(cli, &image, name, &open))
        return false;
    info = output_describe(cli, image);
    if (info)
        *bytes = (uint64_t)json_integer_value(json_object_get(info, "actual-size"));
    json_decref(info);
    img_close(image, NULL);
    return info != NULL;
}

/* ----------------------------------------------------------------------- the work */

static bool copy(struct cli *cli, struct args *args)
{
    struct convert_args *convert = &args->convert;
    struct saving saving = {.filename = convert->filename, .free_space = &convert->free_space};

    if (!convert_images(cli, convert) ||
        !usage(cli, convert->sources[0], convert->source, &saving.before) ||
        !usage(cli, convert->filename, convert->target, &saving.after))
        return false;
    report(cli, &saving);
    return true;
}

static bool sparsify(struct cli *cli, struct convert_args *convert, img_image *image,
                     struct saving *saving)
{
    img_sparsify_result result = {0};
    img_job *job = img_job_new();
    img_error err = {0};
    int rc;

    if (!job)
        return cli_fail_nomem(cli);
    img_job_set_threads(job, convert->threads);
    img_job_set_rate(job, convert->rate);
    if (!free_space_find(cli, &convert->free_space, image, job)) {
        img_job_free(job);
        return false;
    }
    progress_attach(cli, &convert->progress, job);
    rc = img_sparsify(job, image, &result, &err);
    progress_finish(&convert->progress, rc == 0);
    progress_end(&convert->progress);
    img_job_free(job);
    saving->before = result.before;
    saving->after = result.after;
    saving->zeros = result.zeros;
    saving->unused = result.unused;
    return rc == 0 || cli_fail_error(cli, &err, "%s", convert->filename);
}

static bool change_in_place(struct cli *cli, struct args *args)
{
    struct convert_args *convert = &args->convert;
    struct saving saving = {
        .filename = convert->filename, .has_zeros = true, .free_space = &convert->free_space};
    img_image *image = NULL;
    img_error err = {0};
    bool ok;

    if (!open_image(cli, &image, convert->filename, &convert->source))
        return false;
    open_warn_guessed(cli, image);
    ok = !signals_stopped(cli) && sparsify(cli, convert, image, &saving);
    if (img_close(image, &err) < 0 && ok)
        ok = cli_fail_error(cli, &err, "%s", convert->filename);
    if (ok)
        report(cli, &saving);
    return ok;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {
        .convert = {.target = {.cache = IMG_CACHE_UNSAFE, .flags = IMG_OPEN_WRITE},
                    .free_space = {.wanted = true},
                    .no_report = true},
    };
    int first;

    if (!cli_options(cli, argc, argv, take_option, &args, &first))
        goto out;
    signals_catch();
    if (args.in_place) {
        if (settle_in_place(cli, &args, argv + first, argc - first))
            change_in_place(cli, &args);
    } else if (settle_copy(cli, &args, argv + first, argc - first)) {
        copy(cli, &args);
    }
out:
    img_options_free(args.convert.options.set);
    free_space_clear(&args.convert.free_space);
    return cli->status;
}

const struct cmd cmd_sparsify = {
    .name = "sparsify",
    .summary = "give up the space of what a guest does not use, and of zeros",
    .usage = "[OPTION]... FILE TARGET | --in-place [OPTION]... FILE",
    .about = "Find what is stored although nobody needs it, and leave it out: of a copy, TARGET, "
             "which has\n"
             "the format of FILE and no backing image unless said otherwise; or, in place, of FILE "
             "itself,\n"
             "whose files stay what they are even if that is stopped half-way. It is free blocks "
             "of\n"
             "filesystems, space between partitions, and zeros. What is not understood is kept.\n",
    .examples = "sparsify disk.qcow2 smaller.qcow2\n"
                "sparsify -c -O qcow2 disk.raw packed.qcow2\n"
                "sparsify -p --in-place disk.vmdk\n",
    .options = options,
    .run = run,
};
