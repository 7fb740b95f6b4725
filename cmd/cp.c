/*
 * img cp. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cp.h"

static const struct cmd_option options[] = {
    {'P', "no-dereference", NULL, "copy a symbolic link as a link, also one that was named"},
    {'r', "recursive", NULL, "directories with what is in them; so it is always"},
    {'R', NULL, NULL, "the same as -r"},
    OPTIONS_GUEST_FILES,
    OPTION_NO_GLOB,
    {OPT_PRIVILEGED, "privileged", NULL,
     "for root: with device nodes, set-ID bits and all attributes"},
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

struct args {
    struct guest_args guest;
    bool no_follow, privileged;
    bool into_image;
    char **sources; /* paths in the guest, or of the host */
    int source_count;
    char *target;
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    switch (key) {
    case 'P':
        return args->no_follow = true;
    case OPT_PRIVILEGED:
        if (geteuid() != 0)
            return cli_fail_usage(cli, "--privileged is for root");
        return args->privileged = true;
    case 'r':
    case 'R':
        return true;
    default:
        return guest_take_option(cli, &args->guest, key, value);
    }
}

/* ------------------------------------------------------------------ which way */

/* The path in "IMAGE:/PATH", from its slash on; NULL: it is none. With -a the image is left out. */
static char *path_in(char *source)
{
    char *found = NULL;

    for (char *at = source; (at = strstr(at, ":/")); at++)
        found = at + 1;
    return found;
}

/* Whether it is IMAGE:/PATH, or :/PATH when there was a -a. */
static bool is_inside(char *name, bool added)
{
    const char *path = path_in(name);

    return path && (path - 1 > name) != added;
}

/* IMAGE:/PATH becomes the path; all have to be of one image. */
static bool take_inside(struct cli *cli, struct args *args, char **operand, bool added)
{
    char *name = *operand, *path = path_in(name);
    bool named = path && path - 1 > name;

    if (!path || named == added)
        return cli_fail_usage(cli, "Expecting IMAGE:/PATH, or :/PATH with -a, and not '%s'", name);
    path[-1] = '\0';
    *operand = path;
    if (named && args->guest.image_count == 0)
        return guest_add_image(cli, &args->guest, name);
    if (named && strcmp(args->guest.images[0].name, name) != 0)
        return cli_fail_usage(cli, "All sources must be in one image");
    return true;
}

static bool parse(struct cli *cli, struct args *args, int argc, char **argv)
{
    bool added;
    int first;

    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    if (argc - first < 2)
        return cli_fail_usage(cli, "Expecting what to copy and a target");
    added = args->guest.image_count > 0;
    args->sources = argv + first;
    args->source_count = argc - first - 1;
    args->target = argv[argc - 1];
    args->into_image = is_inside(args->target, added);
    if (args->into_image && is_inside(args->sources[0], added))
        return cli_fail_usage(cli, "Nothing is copied from one image into another");
    if (args->into_image)
        return take_inside(cli, args, &args->target, added);
    for (int n = 0; n < args->source_count; n++)
        if (!take_inside(cli, args, &args->sources[n], added))
            return false;
    return true;
}

/* ------------------------------------------------------------------ targets */

/* The last part of a path, malloc'd; NULL for one that ends with "/", "." or "..", or memory. */
static char *last_part(const char *path)
{
    size_t length = strlen(path), start;

    while (length > 0 && path[length - 1] == '/')
        length--;
    for (start = length; start > 0 && path[start - 1] != '/'; start--)
        ;
    path += start;
    length -= start;
    if (length == 0 || strncmp(path, "..", length) == 0)
        return NULL;
    return strndup(path, length);
}

/* The directory in which the target is, or is to be. */
static int open_parent(const char *target)
{
    size_t length = strlen(target);
    char *parent;
    int fd;

    while (length > 0 && target[length - 1] == '/')
        length--;
    while (length > 0 && target[length - 1] != '/')
        length--;
    parent = length ? strndup(target, length) : strdup(".");
    fd = parent ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(parent);
    return fd;
}

/* Copy one file, into the directory that the target is, or to its name. */
static void copy_to(struct cp *cp, const struct args *args, const char *path, bool into)
{
    char *name = last_part(into ? path : args->target);
    int directory =
        into ? open(args->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : open_parent(args->target);
    img_place place;
    img_stat stat;

    if (directory < 0)
        cli_fail(cp->cli, "%s: %s", args->target, strerror(errno));
    else if (guest_find(&cp->guest, path, args->no_follow ? IMG_TREE_NO_FOLLOW : 0, &place, &stat))
        cp_out(cp, path, &place, directory, name);
    if (directory >= 0)
        close(directory);
    free(name);
}

static void copy_all(struct cp *cp, const struct args *args)
{
    struct guest_paths paths = {0};
    struct stat target;
    bool into = stat(args->target, &target) == 0 && S_ISDIR(target.st_mode);

    guest_expand_all(&cp->guest, args->sources, args->source_count, args->guest.literal, &paths);
    if (paths.count > 1 && !into)
        cli_fail(cp->cli, "%s: %s", args->target, strerror(ENOTDIR));
    else
        for (size_t n = 0; n < paths.count && !signals_stopped(cp->cli); n++)
            copy_to(cp, args, paths.list[n], into);
    guest_paths_clear(&paths);
}

static void copy_out(struct cli *cli, const struct args *args)
{
    struct cp cp = {.cli = cli, .is_root = geteuid() == 0, .privileged = args->privileged};

    signals_catch();
    cp.buffer = malloc(CP_CHUNK);
    if (!cp.buffer)
        cli_fail_nomem(cli);
    else if (guest_open(cli, &cp.guest, &args->guest) && guest_mount(cli, &cp.guest, &args->guest))
        copy_all(&cp, args);
    guest_close(&cp.guest);
    free(cp.buffer);
    free(cp.dirs);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};

    if (parse(cli, &args, argc, argv)) {
        if (args.into_image)
            cp_in(cli, &args.guest, args.sources, args.source_count, args.target);
        else
            copy_out(cli, &args);
    }
    guest_args_clear(&args.guest);
    return cli->status;
}

const struct cmd cmd_cp = {
    .name = "cp",
    .summary = "copy files out of an image's guest, or into it",
    .usage = "[OPTION]... IMAGE:/PATH... TARGET",
    .about =
        "Copy files from the guest of an image: with permissions, times, extended attributes, "
        "hard\n"
        "links and holes, and as root with owners. Directories are copied with\n"
        "what is in them; of IMAGE:/PATH/. only that. Nothing is written outside of the target.\n"
        "A path that is no file's name may be a pattern. With -a sources are :/PATH.\n"
        "\n"
        "cp [OPTION]... SOURCE... IMAGE:/PATH copies files of the host into the guest instead, as\n"
        "they are. libguestfs's virtual machine does that, so that it takes seconds at least.\n",
    .examples = "cp disk.qcow2:/etc/fstab .\n"
                "cp disk.vmdk:/var/log logs\n"
                "cp -a disk1.raw -a disk2.raw :/home/me/.bashrc .\n"
                "cp authorized_keys disk.qcow2:/root/.ssh/\n",
    .options = options,
    .run = run,
};
