/*
 * img dd. SPDX-License-Identifier: BSD-2-Clause
 *
 * As with qemu-img, count is where copying ends, counted from the start of the input: what skip
 * leaves out is a part of it. The new image is that much smaller.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define BLOCK_DEFAULT 512
#define BLOCK_MAX INT32_MAX
#define SECTOR 512
/* Bytes moved at a time, whatever bs is. */
#define STEP (UINT64_C(2) << 20)

struct args {
    struct open_args open;
    const char *format; /* of the output */
    const char *input, *output;
    uint64_t block, count, skip;
    bool has_count;
};

static const struct cmd_option options[] = {
    {'f', "format", "FMT", "format of the input (default: found by a look at it)"},
    {'O', "target-format", "FMT", "format of the output (default: raw)"},
    {'O', "output-format", "FMT", NULL},
    OPTION_IMAGE_OPTS,
    OPTION_DISK,
    OPTION_OBJECT,
    OPTION_UNTRUSTED,
    OPTION_SHARE,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    if (key == 'O')
        args->format = value;
    return open_take_option(cli, &args->open, key, value);
}

/* "bs=4k": the word in front of the sign says what it is. */
static bool take_operand(struct cli *cli, struct args *args, const char *text)
{
    const char *value = strchr(text, '=');
    size_t length = value ? (size_t)(value - text) : strlen(text);

    if (!value)
        return cli_fail(cli, "unrecognized operand %s", text);
    value++;
    if (length == 2 && strncmp(text, "if", length) == 0) {
        args->input = value;
    } else if (length == 2 && strncmp(text, "of", length) == 0) {
        args->output = value;
    } else if (length == 2 && strncmp(text, "bs", length) == 0) {
        if (!size_parse(cli, "bs", value, &args->block))
            return false;
        if (args->block < 1 || args->block > BLOCK_MAX)
            return cli_fail(cli, "Invalid bs specified. Must be between 1 and %d.", BLOCK_MAX);
    } else if (length == 5 && strncmp(text, "count", length) == 0) {
        args->has_count = true;
        return size_parse(cli, "count", value, &args->count);
    } else if (length == 4 && strncmp(text, "skip", length) == 0) {
        return size_parse(cli, "skip", value, &args->skip);
    } else {
        return cli_fail(cli, "unrecognized operand %.*s", (int)length, text);
    }
    return true;
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    for (; first < argc; first++)
        if (!take_operand(cli, args, argv[first]))
            return false;
    if (!args->input || !args->output)
        return cli_fail(cli, "Must specify both input and output files");
    if (!create_format_known(args->format))
        return cli_fail_code(cli, IMG_E_NOENT, "Unknown file format");
    return true;
}

/* a * b, or the highest number when that is more. */
static uint64_t times(uint64_t a, uint64_t b)
{
    return b && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

/* Copy end - start bytes to the start of target, holes as holes. */
static bool copy(struct cli *cli, img_image *source, img_image *target, uint64_t start,
                 uint64_t end)
{
    uint8_t *buffer = malloc(STEP);
    img_error err = {0};
    img_extent run;
    int rc = 0;

    if (!buffer)
        return cli_fail_nomem(cli);
    for (uint64_t at = start; rc == 0 && at < end; at += run.length) {
        if (signals_stopped(cli)) {
            free(buffer);
            return false;
        }
        rc = img_map(source, at, end - at < STEP ? end - at : STEP, &run, &err);
        if (rc == 0 && (run.flags & IMG_EXTENT_ZERO)) {
            rc = img_zero(target, at - start, run.length, IMG_ZERO_UNMAP, &err);
        } else if (rc == 0) {
            rc = img_read(source, at, buffer, (size_t)run.length, &err);
            if (rc == 0)
                rc = img_write(target, at - start, buffer, (size_t)run.length, &err);
        }
    }
    free(buffer);
    return rc == 0 || cli_fail_error(cli, &err, "%s", err.image);
}

static bool make(struct cli *cli, const struct args *args, uint64_t size, img_image **target)
{
    struct open_args open = {.flags = IMG_OPEN_WRITE};
    img_open_params params = open_params(cli, &open);
    struct option_list list = {0};
    img_error err = {0};
    char text[24];
    int rc;

    snprintf(text, sizeof(text), "%" PRIu64, (size + SECTOR - 1) / SECTOR * SECTOR);
    if (!option_list_set(cli, &list, "size", text))
        return false;
    rc = img_create(target, args->output, args->format, 0, list.set, &params, &err);
    img_options_free(list.set);
    return rc == 0 || cli_fail_create(cli, &err, args->output,
                                      "%s: error while creating output image", args->output);
}

static bool convert(struct cli *cli, const struct args *args, img_image *source)
{
    uint64_t end = img_size(source), start = times(args->skip, args->block);
    img_image *target = NULL;
    img_error err = {0};

    if (args->has_count && times(args->count, args->block) < end)
        end = args->count * args->block;
    if (start > end) {
        /* As dd has it: said, but no failure. */
        fprintf(stderr, "%s: %s: cannot skip to specified offset\n", cli->program, args->input);
        start = end;
    }
    if (!make(cli, args, end - start, &target))
        return false;
    if (!copy(cli, source, target, start, end)) {
        img_abandon(target);
        return false;
    }
    return img_close(target, &err) == 0 || cli_fail_error(cli, &err, "%s", args->output);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {.format = "raw", .block = BLOCK_DEFAULT};
    img_image *source = NULL;

    if (!parse(cli, &args, argc, argv))
        return cli->status;
    signals_catch();
    if (!open_image(cli, &source, args.input, &args.open))
        return cli->status;
    convert(cli, &args, source);
    img_close(source, NULL);
    return cli->status;
}

const struct cmd cmd_dd = {
    .name = "dd",
    .summary = "copy a part of a disk into an image",
    .usage = "[OPTION]... [bs=SIZE] [count=BLOCKS] [skip=BLOCKS] if=FILE of=FILE",
    .about =
        "Copy the disk that the input holds, from the block skip to the block count, into a new "
        "image. A\n"
        "block has bs bytes (default: 512).\n",
    .examples = "dd -O qcow2 bs=1M count=100 if=disk.raw of=head.qcow2\n"
                "dd bs=512 count=1 if=disk.qcow2 of=boot-sector.raw\n",
    .options = options,
    .run = run,
};
