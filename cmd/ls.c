/*
 * img ls. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ls.h"

static const struct cmd_option options[] = {
    {'l', "long", NULL, "tell of each file's type, permissions, owner, size and time"},
    {'R', "recursive", NULL, "list what is below, too; with -l one line a file, for programs"},
    {'h', "human-readable", NULL, "sizes with a unit"},
    {OPT_CSV, "csv", NULL, "with -l: comma-separated values"},
    {OPT_CHECKSUM, "checksum", "[NAME]",
     "with -lR: of files, a digest: md5 (the default), sha256, ..."},
    {OPT_UIDS, "uids", NULL, "with -lR: the numbers of user and group"},
    {OPT_TIMES, "times", NULL, "with -lR: of last access, last change, last status change"},
    {OPT_TIME_T, "time-t", NULL, "these as seconds since 1970"},
    {OPT_TIME_RELATIVE, "time-relative", NULL, "these as seconds before now"},
    {OPT_TIME_DAYS, "time-days", NULL, "these as days before now"},
    {OPT_EXTRA_STATS, "extra-stats", NULL, "with -lR: device, inode, links, device node, blocks"},
    OPTIONS_GUEST_FILES,
    OPTION_NO_GLOB,
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP_LONG,
    OPTIONS_END,
};

static bool take_detail(struct ls_args *args, int key, const char *value)
{
    switch (key) {
    case OPT_CHECKSUM:
        args->checksum = value ? value : "md5";
        return true;
    case OPT_UIDS:
        return args->uids = true;
    case OPT_TIMES:
        return args->times = true;
    case OPT_TIME_T:
        args->time = LS_TIME_T;
        return args->times = true;
    case OPT_TIME_RELATIVE:
        args->time = LS_TIME_RELATIVE;
        return args->times = true;
    case OPT_TIME_DAYS:
        args->time = LS_TIME_DAYS;
        return args->times = true;
    case OPT_EXTRA_STATS:
        return args->extra_stats = true;
    default:
        return false;
    }
}

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct ls_args *args = opaque;

    switch (key) {
    case 'l':
        return args->detailed = true;
    case 'R':
        return args->recursive = true;
    case 'h':
        return args->human = true;
    case OPT_CSV:
        return args->csv = true;
    default:
        return take_detail(args, key, value) || guest_take_option(cli, &args->guest, key, value);
    }
}

/* ---------------------------------------------------------------- listing */

static enum guest_next visit(void *opaque, const struct guest_entry *entry)
{
    struct ls *ls = opaque;

    if (entry->depth > 0 || ls->args->detailed || !S_ISDIR(entry->stat.mode))
        ls_show(ls, entry);
    return GUEST_GO_ON;
}

static void list_below(struct ls *ls, const char *path, const img_place *place)
{
    const struct guest_walk walk = {
        .cli = ls->cli, .guest = &ls->guest, .visit = visit, .opaque = ls};
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        length--;
    ls->prefix = length == 1 ? 1 : length + 1;
    guest_walk(&walk, path, place);
}

/* One entry of a directory; what it is like is found only if that is asked for. */
static void list_entry(struct ls *ls, const char *directory, const img_place *place,
                       const img_dirent *dirent)
{
    struct guest_entry entry = {.name = dirent->name, .place = {place->fs, dirent->inode}};
    img_error err = {0};
    char *path;

    if (!ls->args->detailed && !ls->cli->json) {
        ls_show(ls, &entry);
        return;
    }
    path = guest_join(directory, dirent->name);
    if (!path) {
        cli_fail_nomem(ls->cli);
        return;
    }
    entry.path = path;
    img_tree_cross_opened(ls->guest.tree, &entry.place); /* nothing is opened unasked */
    if (img_fs_stat(entry.place.fs, entry.place.inode, &entry.stat, &err) < 0)
        guest_fail(&ls->guest, &err, path);
    else
        ls_show(ls, &entry);
    free(path);
}

static void list_directory(struct ls *ls, const char *path, const img_place *place)
{
    struct guest_listing listing;

    if (!guest_list(&ls->guest, place, path, &listing))
        return;
    for (size_t n = 0; n < listing.count; n++)
        list_entry(ls, path, place, &listing.entries[n]);
    guest_list_end(&listing);
}

static void list_path(struct ls *ls, const char *path, bool heading)
{
    struct guest_entry entry = {.path = path, .name = path};

    if (!guest_find(&ls->guest, path, 0, &entry.place, &entry.stat))
        return;
    if (!S_ISDIR(entry.stat.mode)) {
        ls->prefix = 0;
        ls_show(ls, &entry);
        return;
    }
    if (heading) {
        if (ls->begun)
            putchar('\n');
        guest_name(stdout, path);
        puts(":");
    }
    if (ls->args->recursive)
        list_below(ls, path, &entry.place);
    else
        list_directory(ls, path, &entry.place);
}

static void list_paths(struct ls *ls, int count, char **operands)
{
    char slash[] = "/", *root[] = {slash};
    struct guest_paths paths = {0};
    bool headings;

    guest_expand_all(&ls->guest, count ? operands : root, count ? count : 1,
                     ls->args->guest.literal, &paths);
    headings = paths.count > 1 && !ls->cli->json && !ls->args->csv &&
               !(ls->args->recursive && ls->args->detailed);
    if (ls->cli->json)
        emit_begin(&ls->emit, NULL, '[');
    for (size_t n = 0; n < paths.count; n++) {
        ls->begun = n > 0;
        list_path(ls, paths.list[n], headings);
    }
    if (ls->cli->json)
        emit_end(&ls->emit, ']');
    guest_paths_clear(&paths);
}

static bool parse(struct cli *cli, struct ls_args *args, int argc, char **argv, int *first)
{
    if (!cli_options(cli, argc, argv, take_option, args, first) ||
        !guest_take_image(cli, &args->guest, argc, argv, first))
        return false;
    if (args->csv && !args->detailed)
        return cli_fail_usage(cli, "--csv needs -l");
    if (args->csv && args->human)
        return cli_fail_usage(cli, "-h cannot be combined with --csv");
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct ls_args args = {0};
    struct ls ls = {.cli = cli, .args = &args, .emit = {.out = stdout}, .now = time(NULL)};
    int first;

    if (parse(cli, &args, argc, argv, &first)) {
        if (guest_open(cli, &ls.guest, &args.guest) && guest_mount(cli, &ls.guest, &args.guest))
            list_paths(&ls, argc - first, argv + first);
        guest_close(&ls.guest);
    }
    guest_args_clear(&args.guest);
    return cli->status;
}

const struct cmd cmd_ls = {
    .name = "ls",
    .summary = "list a guest's files",
    .usage = "[OPTION]... IMAGE [PATH]...",
    .about =
        "List files inside the guest of an image, without mounting it; of a directory, what is in\n"
        "it. A path that is no file's name may be a pattern: '/etc/*.conf'. With -a all operands\n"
        "are paths.\n",
    .examples = "ls disk.qcow2 /etc\n"
                "ls -lR --times --checksum=sha256 --csv disk.vmdk /home\n"
                "ls -a disk1.raw -a disk2.raw -m /dev/sdb1 /\n",
    .options = options,
    .run = run,
};
