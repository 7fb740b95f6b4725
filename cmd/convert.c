/*
 * img convert: its command line. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "guest.h"

#define SPARSE_MAX (UINT64_C(16) << 20)
#define SPARSE_UNIT 512
#define THREADS_MAX 64

static const struct cmd_option options[] = {
    {'f', "source-format", "FMT", "format of the sources (default: found by looking at them)"},
    {'f', "format", "FMT", NULL},
    {'O', "target-format", "FMT", "format of the target (default: raw)"},
    {'O', "output-format", "FMT", NULL},
    {'o', "target-format-options", "LIST",
     "create options, name=value,...; -o help lists those of a format"},
    {'o', "options", "LIST", NULL},
    {'c', "compress", NULL, "store the content compressed"},
    {'B', "backing", "FILE", "make the target an overlay of this image"},
    {'b', NULL, "FILE", "the same as -B"},
    {'F', "backing-format", "FMT", "format of the backing image; needed with -B"},
    {'n', "no-create", NULL, "write into a target that is there already"},
    {OPT_TARGET_IS_ZERO, "target-is-zero", NULL, "with -n: the target is known to hold zeros only"},
    {'S', "sparse-size", "SIZE",
     "leave out runs of zeros from this length on (default: 4k); 0: none"},
    {'t', "target-cache", "MODE", "how to write (default: unsafe); the modes are in the manual"},
    {'T', "source-cache", "MODE", "how to read (default: writeback)"},
    {'m', "parallel", "COUNT", "number of threads, 1 to 64 (default: one a processor, at most 16)"},
    {'m', "threads", "COUNT", NULL},
    {'W', "oob-writes", NULL, "accepted for compatibility: writes never wait for each other"},
    {'C', "copy-range-offloading", NULL, "accepted: it is done wherever it can be"},
    {'r', "rate-limit", "RATE", "write no more than so many bytes a second"},
    {'l', "snapshot", "SNAPSHOT",
     "convert the disk as it was at an internal snapshot: its id or name"},
    {OPT_BITMAPS, "bitmaps", NULL, "copy the persistent dirty bitmaps too"},
    {OPT_SKIP_BROKEN_BITMAPS, "skip-broken-bitmaps", NULL,
     "with --bitmaps: leave out those that are inconsistent"},
    {OPT_SKIP_FREE, "skip-free", NULL, "leave out what the guest does not use, as sparsify does"},
    OPTION_BLOCKSIZE,
    {OPT_SALVAGE, "salvage", NULL, "put zeros for what cannot be read, and say how much that was"},
    OPTION_IMAGE_OPTS,
    {OPT_IMAGE_OPTS, "source-image-opts", NULL, NULL},
    {OPT_TARGET_IMAGE_OPTS, "target-image-opts", NULL, "with -n: TARGET is a list of options"},
    OPTION_DISK,
    OPTION_NO_VERIFY,
    OPTION_OBJECT,
    OPTION_UNTRUSTED,
    OPTION_SHARE,
    OPTION_PROGRESS,
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool set_sparse(struct cli *cli, struct convert_args *args, const char *value)
{
    if (!size_parse(cli, "buffer size for sparse output", value, &args->sparse))
        return false;
    if (args->sparse % SPARSE_UNIT != 0 || args->sparse > SPARSE_MAX)
        return cli_fail(
            cli,
            "Invalid buffer size for sparse output specified. Valid sizes are multiples "
            "of %d up to %llu. Select 0 to disable sparse detection (fully allocates "
            "output).",
            SPARSE_UNIT, (unsigned long long)SPARSE_MAX);
    args->has_sparse = true;
    return true;
}

bool convert_take_threads(struct cli *cli, struct convert_args *args, const char *value)
{
    char *end;
    unsigned long count;

    errno = 0;
    count = strtoul(value, &end, 10);
    if (errno || *end || end == value || count < 1 || count > THREADS_MAX)
        return cli_fail(cli,
                        "Invalid number of threads. Allowed number of threads is between 1 "
                        "and %d",
                        THREADS_MAX);
    args->threads = (unsigned)count;
    return true;
}

/* Options whose argument is looked at at once. */
static bool take_value(struct cli *cli, struct convert_args *args, int key, const char *value)
{
    switch (key) {
    case 'o':
        return option_list_take(cli, &args->options, value);
    case 'S':
        return set_sparse(cli, args, value);
    case 'm':
        return convert_take_threads(cli, args, value);
    case 'r':
        return size_parse(cli, "rate limit", value, &args->rate);
    case 'p':
    case OPT_PROGRESS:
        return progress_parse(cli, &args->progress, value);
    case 'O':
        args->target.format = value;
        break;
    case 'b':
    case 'B':
        args->backing = value;
        break;
    case 'F':
        args->backing_format = value;
        break;
    case 't':
        args->target.cache_name = value;
        break;
    case OPT_TARGET_IMAGE_OPTS:
        args->target.image_opts = true;
        break;
    case 'l':
        args->snapshot = value;
        break;
    default:
        return open_take_option(cli, &args->source, key, value);
    }
    return true;
}

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct convert_args *args = opaque;

    switch (key) {
    case 'c':
        args->flags |= IMG_JOB_COMPRESS;
        return true;
    case 'W': /* the threads never wait for each other's writes anyway */
        return true;
    case OPT_SALVAGE:
        args->flags |= IMG_JOB_SALVAGE;
        return true;
    case OPT_BITMAPS:
        args->bitmaps = true;
        return true;
    case OPT_SKIP_BROKEN_BITMAPS:
        args->skip_broken = true;
        return true;
    case OPT_TARGET_IS_ZERO:
        args->flags |= IMG_JOB_TARGET_ZERO;
        return true;
    case OPT_BLOCKSIZE:
        return guest_sector_size(cli, value, &args->free_space.sector_size);
    case OPT_SKIP_FREE:
        args->free_space.wanted = true;
        args->free_space.otherwise = "a copy without --skip-free can be made";
        return true;
    case OPT_NO_VERIFY:
        args->flags |= IMG_JOB_NO_VERIFY;
        return true;
    case 'n':
        args->no_create = true;
        return true;
    case 'C':
        args->offload = true;
        return true;
    default:
        return take_value(cli, args, key, value);
    }
}

/* What excludes what, in qemu-img's order and words. */
static bool check_conflicts(struct cli *cli, const struct convert_args *args)
{
    if (args->offload && args->has_sparse)
        return cli_fail(cli, "Cannot enable copy offloading when -S is used");
    if (args->offload && (args->flags & IMG_JOB_COMPRESS))
        return cli_fail(cli, "Cannot enable copy offloading when -c is used");
    if (args->offload && (args->flags & IMG_JOB_SALVAGE))
        return cli_fail(cli, "Cannot use copy offloading in salvaging mode");
    if (args->skip_broken && !args->bitmaps)
        return cli_fail(cli, "Use of --skip-broken-bitmaps requires --bitmaps");
    if ((args->flags & IMG_JOB_TARGET_ZERO) && !args->no_create)
        return cli_fail(cli, "--target-is-zero requires use of -n flag");
    if (args->target.image_opts && !args->no_create)
        return cli_fail(cli, "--target-image-opts requires use of -n flag");
    if (args->no_create && args->options.given)
        return cli_fail(cli, "-o has no effect when skipping image creation");
    if ((args->flags & IMG_JOB_TARGET_ZERO) && args->backing)
        return cli_fail(cli, "Cannot use --target-is-zero when the destination image has a backing "
                             "file");
    return true;
}

static bool parse(struct cli *cli, struct convert_args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (!args->target.format && !args->target.image_opts)
        args->target.format = "raw";
    if (args->options.help)
        return create_list_options(cli, args->target.format ? args->target.format : "raw",
                                   argc - first > 1 ? argv[argc - 1] : NULL);
    if (!check_conflicts(cli, args))
        return false;
    if (argc - first < 2)
        return cli_fail_usage(cli, "Must specify image file name");
    if (args->flags & IMG_JOB_SALVAGE)
        args->source.flags |= IMG_OPEN_SALVAGE;
    args->sources = argv + first;
    args->source_count = (size_t)(argc - first - 1);
    args->filename = argv[argc - 1];
    if (args->bitmaps && args->source_count > 1)
        return cli_fail(cli, "Copying bitmaps only possible with single source");
    if (args->free_space.wanted && args->source_count > 1)
        return cli_fail(cli, "--skip-free only possible with single source");
    if (args->snapshot && args->source_count > 1)
        return cli_fail(cli, "No support for concatenating multiple snapshot");
    return open_settle(cli, "", &args->target) && open_settle(cli, "source ", &args->source);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct convert_args args = {
        .source = {.flags = IMG_OPEN_PIPE},
        .target = {.cache = IMG_CACHE_UNSAFE, .flags = IMG_OPEN_WRITE | IMG_OPEN_PIPE},
    };

    if (parse(cli, &args, argc, argv)) {
        signals_catch();
        signals_ignore_pipe();
        convert_images(cli, &args);
    }
    img_options_free(args.options.set);
    free_space_clear(&args.free_space);
    return cli->status;
}

const struct cmd cmd_convert = {
    .name = "convert",
    .summary = "copy a disk into an image of another format",
    .usage = "[OPTION]... FILE... TARGET",
    .about =
        "Copy the disk that FILE holds into a new image, TARGET; several FILEs become one "
        "disk, one\n"
        "behind the other, or with -O ova an archive in which each is a disk. TARGET appears "
        "under its\n"
        "name when it is complete: until then, and when anything goes wrong, what had that name "
        "before\n"
        "is untouched. FILE - is standard input, TARGET - standard output, for formats that are "
        "read\n"
        "and written from front to back: streamOptimized VMDK, and raw.\n",
    .examples =
        "convert -p -O qcow2 disk.vmdk disk.qcow2\n"
        "convert -c -O qcow2 -o compression_type=zstd disk.raw disk.qcow2\n"
        "convert -O vmdk -o subformat=streamOptimized disk.qcow2 disk.vmdk\n"
        "convert -O vmdk -o subformat=streamOptimized disk.qcow2 - | ssh host 'cat >disk.vmdk'\n"
        "convert -n -O raw disk.qcow2 /dev/sdX\n"
        "convert --skip-free -O qcow2 /dev/sdX disk.qcow2\n"
        "convert -O ova system.qcow2 data.qcow2 machine.ova\n"
        "convert --disk=2 -O qcow2 machine.ova data.qcow2\n"
        "convert -O qcow2 -o help\n",
    .options = options,
    .run = run,
};
