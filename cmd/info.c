/*
 * img info. SPDX-License-Identifier: BSD-2-Clause
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd.h"

#define CHAIN_MAX 200 /* the library's limit for chains that it opens */

struct args {
    struct open_args open;
    const char *filename;
    bool chain, formats, limits;
};

static const struct cmd_option options[] = {
    OPTIONS_OPEN,
    {OPT_BACKING_CHAIN, "backing-chain", NULL, "tell of every image of the backing chain"},
    {OPT_LIMITS, "limits", NULL, "tell what requests to the disk are aligned to"},
    {'t', "cache", "MODE", "how to read (default: writeback); the modes are in the manual"},
    OPTION_SHARE,
    {OPT_FORMATS, "formats", NULL, "list the names of the formats, and nothing else"},
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case OPT_BACKING_CHAIN:
        args->chain = true;
        break;
    case OPT_LIMITS:
        args->limits = true;
        break;
    case OPT_FORMATS:
        args->formats = true;
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
    if (argc - first != (args->formats ? 0 : 1))
        return cli_fail_usage(cli, args->formats ? "Expecting no file name with --formats"
                                                 : "Expecting one image file name");
    args->filename = argv[first];
    return open_settle(cli, "", &args->open);
}

static void list_formats(void)
{
    const char *name;

    for (size_t n = 0; (name = img_format_name(n)); n++)
        puts(name);
}

/*
 * Requests need no alignment; a discard does something for whole clusters, and zeros take no space
 * where they fill a cluster, or with extended L2 entries a 32nd of one.
 */
static bool add_limits(struct cli *cli, const img_image *image, json_t *info)
{
    const json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
    bool subclusters = json_is_true(json_object_get(data, "extended-l2"));
    uint32_t cluster = img_cluster_size(image) ? img_cluster_size(image) : 1;
    json_t *limits = json_pack("{s:i, s:I, s:I}", "request-alignment", 1, "discard-alignment",
                               (json_int_t)cluster, "write-zeroes-alignment",
                               (json_int_t)(subclusters ? cluster / 32 : cluster));

    return (limits && json_object_set_new(info, "limits", limits) == 0) || cli_fail_nomem(cli);
}

/* Where a chain goes on below an image. Both malloc'd; name NULL: nowhere. */
struct link {
    char *name, *format;
};

static void link_free(struct link *link)
{
    free(link->name);
    free(link->format);
    *link = (struct link){0};
}

static bool link_below(struct cli *cli, img_image *image, struct link *link)
{
    const char *format = img_backing_format(image);
    img_error err = {0};

    if (!img_backing_name(image))
        return true;
    if (img_backing_path(image, &link->name, &err) < 0)
        return cli_fail_error(cli, &err, "%s", img_name(image));
    if (format && !(link->format = strdup(format)))
        return cli_fail_nomem(cli);
    return true;
}

/* Describe the one image of that name, and say what lies below it. */
static json_t *look(struct cli *cli, const char *name, const struct open_args *open, bool limits,
                    struct link *below)
{
    struct open_args alone = *open;
    img_image *image = NULL;
    json_t *info;

    alone.flags |= IMG_OPEN_NO_BACKING | IMG_OPEN_NO_KEY | IMG_OPEN_NO_DATA;
    if (!open_image(cli, &image, name, &alone))
        return NULL;
    info = output_describe(cli, image);
    if (info && ((limits && !add_limits(cli, image, info)) || !link_below(cli, image, below))) {
        json_decref(info);
        info = NULL;
    }
    img_close(image, NULL);
    return info;
}

/* Has the chain come back to a file that it began with or went through? Remembers this one. */
static bool is_loop(struct stat seen[CHAIN_MAX], size_t depth, const char *name)
{
    if (stat(name, &seen[depth]) < 0)
        return false; /* opening it says why */
    for (size_t n = 0; n < depth; n++)
        if (seen[n].st_dev == seen[depth].st_dev && seen[n].st_ino == seen[depth].st_ino)
            return true;
    return false;
}

/* Append what is known of the image below to list, and make link the one below that. */
static bool follow(struct cli *cli, const struct args *args, json_t *list, struct link *link)
{
    struct open_args open = args->open;
    struct link below = {0};
    json_t *info;

    open.format = link->format;
    if (json_array_size(list) > 0) {
        open.found = true;
        open.flags &= ~(unsigned)IMG_OPEN_PIPE;
        open.image_opts = false;
    }
    info = look(cli, link->name, &open, args->limits, &below);
    link_free(link);
    *link = below;
    return info && (json_array_append_new(list, info) == 0 || cli_fail_nomem(cli));
}

/*
 * A chain is walked by name, each image opened alone: memory stays the same whatever its length,
 * and an error names the image that has it.
 */
static bool collect(struct cli *cli, const struct args *args, json_t *list)
{
    struct link link = {.name = strdup(args->filename)};
    struct stat seen[CHAIN_MAX];
    bool ok = link.name && (!args->open.format || (link.format = strdup(args->open.format)));

    if (!ok)
        cli_fail_nomem(cli);
    for (size_t depth = 0; ok && link.name; depth++) {
        if (depth == CHAIN_MAX)
            ok = cli_fail(cli, "%s: more than %d images in the backing chain", args->filename,
                          CHAIN_MAX);
        else if (is_loop(seen, depth, link.name))
            ok = cli_fail(cli, "Backing file '%s' creates an infinite loop.", link.name);
        else
            ok = follow(cli, args, list, &link);
        if (!args->chain)
            break;
    }
    link_free(&link);
    return ok;
}

static void print(const struct cli *cli, const struct args *args, const json_t *list)
{
    if (cli->json) {
        output_info_json(args->chain ? list : json_array_get(list, 0));
        return;
    }
    for (size_t n = 0; n < json_array_size(list); n++) {
        if (n > 0)
            putchar('\n');
        output_info(json_array_get(list, n));
    }
}

/* What is known of an appliance as a whole; *info is NULL when the file is none. */
static bool look_at_appliance(struct cli *cli, const struct args *args, json_t **info)
{
    img_open_params params = open_params(cli, &args->open);
    json_error_t json_error;
    img_error err = {0};
    char *text;

    *info = NULL;
    if (img_appliance_info(args->filename, &params, &text, &err) < 0)
        return cli_fail_open(cli, &err, args->filename);
    if (!text)
        return true;
    *info = json_loads(text, 0, &json_error);
    img_free(text);
    return *info || cli_fail(cli, "%s: cannot read the description of the appliance: %s",
                             args->filename, json_error.text);
}

/* True when that was it. */
static bool tell_of_appliance(struct cli *cli, const struct args *args)
{
    json_t *info;

    if (args->chain || args->limits)
        return false;
    if (!look_at_appliance(cli, args, &info))
        return true;
    if (info && cli->json)
        output_info_json(info);
    else if (info)
        output_appliance(info);
    json_decref(info);
    return info != NULL;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {.open = {.flags = IMG_OPEN_PIPE}};
    json_t *list;

    if (!parse(cli, &args, argc, argv))
        return cli->status;
    if (args.formats) {
        list_formats();
        return cli->status;
    }
    if (tell_of_appliance(cli, &args))
        return cli->status;
    list = json_array();
    if (!list)
        cli_fail_nomem(cli);
    else if (collect(cli, &args, list))
        print(cli, &args, list);
    json_decref(list);
    return cli->status;
}

const struct cmd cmd_info = {
    .name = "info",
    .summary = "tell what is known of an image",
    .usage = "[OPTION]... FILE",
    .about = "Tell an image's format, its size, the space it takes, and what its format knows "
             "besides. Of an OVA\n"
             "or OVF tell what is in it; with --disk, what is known of one of its disks.\n",
    .examples = "info disk.qcow2\n"
                "info --disk 2 machine.ova\n"
                "info --output=json disk.vmdk\n"
                "info --backing-chain overlay.qcow2\n",
    .options = options,
    .run = run,
};
