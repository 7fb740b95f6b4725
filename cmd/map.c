/*
 * img map. SPDX-License-Identifier: BSD-2-Clause
 *
 * Prints the disk as a list of runs, through the whole backing chain. Runs that say the same are
 * printed as one; nothing is kept but the run at hand, so the size of the image does not matter.
 */
#include <inttypes.h>
#include <string.h>

#include "cmd.h"

struct args {
    struct open_args open;
    const char *filename;
    uint64_t start, length;
};

static const struct cmd_option options[] = {
    OPTIONS_OPEN,
    {'s', "start-offset", "OFFSET", "begin at this byte of the disk"},
    {'l', "max-length", "LENGTH", "go no further than so many bytes"},
    OPTION_SHARE,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case 's':
        return size_parse(cli, "start offset", value, &args->start);
    case 'l':
        return size_parse(cli, "max length", value, &args->length);
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
    return true;
}

/* Where a run can be read by anybody: neither compressed nor elsewhere. */
static bool has_host(const img_extent *run)
{
    return (run->flags & IMG_EXTENT_HOST) && !(run->flags & IMG_EXTENT_PACKED);
}

static bool print_json(const img_extent *run, bool last)
{
    printf("{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %u, \"present\": %s, "
           "\"zero\": %s, \"data\": %s",
           run->offset, run->length, run->depth, run->flags & IMG_EXTENT_PRESENT ? "true" : "false",
           run->flags & IMG_EXTENT_ZERO ? "true" : "false",
           run->flags & IMG_EXTENT_DATA ? "true" : "false");
    if (has_host(run))
        printf(", \"offset\": %" PRIu64, run->host);
    puts(last ? "}]" : "},");
    return true;
}

/* "%#x", but 0 is 0 as %#x has it too. */
static bool print_human(struct cli *cli, const img_extent *run)
{
    if (!(run->flags & IMG_EXTENT_DATA) || (run->flags & IMG_EXTENT_ZERO))
        return true;
    if (!has_host(run))
        return cli_fail_code(cli, IMG_E_UNSUPPORTED,
                             "File contains external, encrypted or compressed clusters.");
    printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64, run->offset, run->length, run->host);
    output_text(stdout, run->file);
    putchar('\n');
    return true;
}

static bool print_run(struct cli *cli, const img_extent *run, bool last)
{
    return cli->json ? print_json(run, last) : print_human(cli, run);
}

/* Does next say nothing that run did not? */
static bool continues(const img_extent *run, const img_extent *next)
{
    if (run->depth != next->depth ||
        (run->flags ^ next->flags) & ~(unsigned)(IMG_EXTENT_PACKED | IMG_EXTENT_HOST) ||
        has_host(run) != has_host(next))
        return false;
    return !has_host(run) ||
           (run->host + run->length == next->host && strcmp(run->file, next->file) == 0);
}

static bool print_map(struct cli *cli, img_image *image, uint64_t offset, uint64_t end)
{
    img_extent run = {.offset = offset}, next;
    img_error err = {0};

    if (cli->json)
        putchar('[');
    else
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    for (; offset < end; offset += next.length) {
        if (img_map(image, offset, end - offset, &next, &err) < 0)
            return cli_fail_error(cli, &err, "%s", img_name(image));
        if (run.length > 0 && continues(&run, &next)) {
            run.length += next.length;
            continue;
        }
        if (run.length > 0 && !print_run(cli, &run, false))
            return false;
        run = next;
    }
    return print_run(cli, &run, true);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {.length = UINT64_MAX};
    img_image *image = NULL;
    uint64_t size;

    if (!parse(cli, &args, argc, argv) || !open_image(cli, &image, args.filename, &args.open))
        return cli->status;
    size = img_size(image);
    if (args.start < size && args.length > size - args.start)
        args.length = size - args.start;
    print_map(cli, image, args.start, args.start < size ? args.start + args.length : 0);
    img_close(image, NULL);
    return cli->status;
}

const struct cmd cmd_map = {
    .name = "map",
    .summary = "list where the disk's content lies",
    .usage = "[OPTION]... FILE",
    .about = "List which parts of the disk hold data and where, through the whole backing chain.\n"
             "The JSON form has the parts without data too.\n",
    .examples = "map disk.qcow2\n"
                "map --output=json --start-offset=1G --max-length=64M overlay.qcow2\n",
    .options = options,
    .run = run,
};
