/*
 * img diff. SPDX-License-Identifier: BSD-2-Clause
 *
 * Both trees are walked through together, a directory at a time, in the order of the names.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "diff.h"

#define DEPTH_MAX 4096u

/* ---------------------------------------------------------------- options */

static const struct cmd_option options[] = {
    {'A', NULL, "FILE", "an image of the second machine, as -a adds one to the first"},
    {OPT_CONTENT, "content", NULL, "compare what is in files, byte by byte"},
    {OPT_CHECKSUM, "checksum", "[NAME]",
     "compare digests of files: md5 (the default), sha256, ..."},
    {OPT_ATIME, "atime", NULL, "compare times of last access, too"},
    {OPT_DIR_LINKS, "dir-links", NULL, "compare the link counts of directories"},
    {OPT_DIR_TIMES, "dir-times", NULL, "compare the times of directories"},
    {OPT_ALL, "all", NULL, "the same as --extra-stats --times --uids --xattrs"},
    {OPT_EXTRA_STATS, "extra-stats", NULL, "show device, inode, links, device node and blocks"},
    {OPT_TIMES, "times", NULL, "show times"},
    {OPT_TIME_T, "time-t", NULL, "these as seconds since 1970"},
    {OPT_TIME_RELATIVE, "time-relative", NULL, "these as seconds before now"},
    {OPT_TIME_DAYS, "time-days", NULL, "these as days before now"},
    {OPT_UIDS, "uids", NULL, "show the numbers of user and group"},
    {OPT_XATTRS, "xattrs", NULL, "show extended attributes"},
    {OPT_CSV, "csv", NULL, "comma-separated values"},
    {'h', "human-readable", NULL, "show sizes with a unit"},
    {OPT_B_SNAPSHOT, "b-snapshot", "NAME", "the second machine as that internal snapshot has it"},
    {OPT_EXIT_CODE, "exit-code", NULL, "exit with 1 when they differ, and with 2 after an error"},
    OPTIONS_GUEST_FILES,
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP_LONG,
    OPTIONS_END,
};

static bool take_shown(struct ls_args *show, int key, const char *value)
{
    switch (key) {
    case OPT_CHECKSUM:
        show->checksum = value ? value : "md5";
        return true;
    case OPT_EXTRA_STATS:
        return show->extra_stats = true;
    case OPT_TIMES:
        return show->times = true;
    case OPT_TIME_T:
        show->time = LS_TIME_T;
        return show->times = true;
    case OPT_TIME_RELATIVE:
        show->time = LS_TIME_RELATIVE;
        return show->times = true;
    case OPT_TIME_DAYS:
        show->time = LS_TIME_DAYS;
        return show->times = true;
    case OPT_UIDS:
        return show->uids = true;
    case OPT_CSV:
        return show->csv = true;
    case 'h':
        return show->human = true;
    default:
        return false;
    }
}

static bool take_compared(struct diff_args *args, int key)
{
    switch (key) {
    case OPT_CONTENT:
        return args->content = true;
    case OPT_ATIME:
        return args->atime = true;
    case OPT_DIR_LINKS:
        return args->dir_links = true;
    case OPT_DIR_TIMES:
        return args->dir_times = true;
    case OPT_EXIT_CODE:
        return args->exit_code = true;
    case OPT_XATTRS:
        return args->xattrs = true;
    case OPT_ALL:
        args->xattrs = args->show.extra_stats = args->show.uids = true;
        return args->show.times = true;
    default:
        return false;
    }
}

/* Options that say how to open are for both machines. */
static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct diff_args *args = opaque;

    if (take_shown(&args->show, key, value) || take_compared(args, key))
        return true;
    switch (key) {
    case 'A':
        return guest_add_image(cli, &args->guests[1], value);
    case OPT_B_SNAPSHOT:
        args->guests[1].snapshot = value;
        return true;
    case 'a':
    case OPT_SNAPSHOT:
        return guest_take_option(cli, &args->guests[0], key, value);
    default:
        return guest_take_option(cli, &args->guests[0], key, value) &&
               guest_take_option(cli, &args->guests[1], key, value);
    }
}

static bool copy_images(struct cli *cli, struct diff_args *args)
{
    const struct guest_args *from = &args->guests[0];
    struct guest_args *to = &args->guests[1];

    for (size_t n = 0; n < from->image_count; n++) {
        if (!guest_add_image(cli, to, from->images[n].name))
            return false;
        to->images[n].format = from->images[n].format;
    }
    to->format_last = from->format_last;
    return true;
}

/* With one machine alone, a snapshot of it is compared with another one, or with what it is now. */
static bool take_images(struct cli *cli, struct diff_args *args, int argc, char **argv, int first)
{
    if (!guest_take_image(cli, &args->guests[0], argc, argv, &first))
        return false;
    if (first == argc && args->guests[1].image_count == 0 && args->guests[0].snapshot)
        return copy_images(cli, args);
    if (!guest_take_image(cli, &args->guests[1], argc, argv, &first))
        return false;
    return first == argc || cli_fail_usage(cli, "Expecting two images");
}

static bool parse(struct cli *cli, struct diff_args *args, int argc, char **argv)
{
    int first;

    args->show.detailed = args->show.recursive = true;
    if (!cli_options(cli, argc, argv, take_option, args, &first))
        return false;
    args->show.no_atime = !args->atime;
    if (args->exit_code)
        cli->fail_status = 2;
    if (args->show.csv && args->show.human)
        return cli_fail(cli, "-h and --csv cannot be combined");
    return take_images(cli, args, argc, argv, first);
}

/* ---------------------------------------------------------------- walking */

/* False: a signal, or what cannot be gone on after, has ended it. */
static bool compare_directories(struct diff *diff, const struct guest_entry *a,
                                const struct guest_entry *b);

static bool look(struct diff *diff, int which, struct guest_entry *entry)
{
    img_error err = {0};

    img_tree_cross(diff->guests[which].tree, &entry->place);
    return img_fs_stat(entry->place.fs, entry->place.inode, &entry->stat, &err) == 0 ||
           guest_fail(&diff->guests[which], &err, entry->path);
}

static enum guest_next visit_removed(void *diff, const struct guest_entry *entry)
{
    diff_show_one(diff, '-', entry);
    return GUEST_GO_ON;
}

static enum guest_next visit_added(void *diff, const struct guest_entry *entry)
{
    diff_show_one(diff, '+', entry);
    return GUEST_GO_ON;
}

/* A file that only one of them has, and all below it; or only what is below it. */
static bool show_alone(struct diff *diff, int which, const struct guest_entry *entry)
{
    const struct guest_walk walk = {.cli = diff->cli,
                                    .guest = &diff->guests[which],
                                    .visit = which == 0 ? visit_removed : visit_added,
                                    .opaque = diff};
    img_place place = entry->place;

    img_tree_cross(walk.guest->tree, &place);
    return guest_walk(&walk, entry->path, &place);
}

static bool compare_entries(struct diff *diff, struct guest_entry *a, struct guest_entry *b)
{
    unsigned what;

    if (!look(diff, 0, a) || !look(diff, 1, b))
        return true;
    /* What is something else now has been replaced. */
    if ((a->stat.mode ^ b->stat.mode) & S_IFMT)
        return show_alone(diff, 0, a) && show_alone(diff, 1, b);
    if (diff_files(diff, a, b, &what) && what)
        diff_show_changed(diff, a, b, what);
    return !S_ISDIR(a->stat.mode) || compare_directories(diff, a, b);
}

/* The next name of both; *order tells who has it: <0 the first, >0 the second, 0 both. */
static const char *next_name(const struct guest_listing listings[2], const size_t at[2], int *order)
{
    const char *a = at[0] < listings[0].count ? listings[0].entries[at[0]].name : NULL;
    const char *b = at[1] < listings[1].count ? listings[1].entries[at[1]].name : NULL;

    *order = !b ? -1 : !a ? 1 : strcmp(a, b);
    return *order > 0 ? b : a;
}

static bool compare_name(struct diff *diff, const struct guest_entry *const directories[2],
                         const struct guest_listing listings[2], size_t at[2])
{
    struct guest_entry entries[2] = {{0}, {0}};
    bool go_on;
    int order;
    const char *name = next_name(listings, at, &order);
    char *path = guest_join(directories[0]->path, name);

    if (!path)
        return cli_fail_nomem(diff->cli);
    for (int n = 0; n < 2; n++) {
        if (n == 0 ? order > 0 : order < 0)
            continue;
        entries[n] = (struct guest_entry){
            .path = path,
            .name = name,
            .place = {directories[n]->place.fs, listings[n].entries[at[n]++].inode},
            .depth = directories[n]->depth + 1};
    }
    go_on = order < 0   ? show_alone(diff, 0, &entries[0])
            : order > 0 ? show_alone(diff, 1, &entries[1])
                        : compare_entries(diff, &entries[0], &entries[1]);
    free(path);
    return go_on && !signals_stopped(diff->cli);
}

/* In a sound filesystem no directory is in two places. */
static bool may_enter(struct diff *diff, const struct guest_entry *directory)
{
    bool known;

    if (!guest_places_add(&diff->seen, &directory->place, &known))
        return cli_fail_nomem(diff->cli);
    if (!known && directory->depth < DEPTH_MAX)
        return true;
    return guest_fail_code(&diff->guests[0], IMG_E_CORRUPT, directory->path,
                           known ? "this directory is in more than one place" : "too deep");
}

static bool compare_directories(struct diff *diff, const struct guest_entry *a,
                                const struct guest_entry *b)
{
    const struct guest_entry *const directories[2] = {a, b};
    struct guest_listing listings[2] = {{0}, {0}};
    size_t at[2] = {0, 0};
    bool go_on = true;

    if (!may_enter(diff, a) || !guest_list(&diff->guests[0], &a->place, a->path, &listings[0]))
        return true;
    if (guest_list(&diff->guests[1], &b->place, b->path, &listings[1])) {
        while (go_on && (at[0] < listings[0].count || at[1] < listings[1].count))
            go_on = compare_name(diff, directories, listings, at);
        guest_list_end(&listings[1]);
    }
    guest_list_end(&listings[0]);
    return go_on;
}

/* ---------------------------------------------------------------- command */

static void compare(struct diff *diff)
{
    struct guest_entry roots[2];

    for (int n = 0; n < 2; n++) {
        roots[n] = (struct guest_entry){.path = "/", .name = "/"};
        if (!guest_find(&diff->guests[n], "/", 0, &roots[n].place, &roots[n].stat))
            return;
    }
    if (diff->cli->json)
        emit_begin(&diff->ls.emit, NULL, '[');
    compare_entries(diff, &roots[0], &roots[1]);
    if (diff->cli->json)
        emit_end(&diff->ls.emit, ']');
}

static bool open_both(struct diff *diff)
{
    for (int n = 0; n < 2; n++) {
        if (!guest_open(diff->cli, &diff->guests[n], &diff->args->guests[n]) ||
            !guest_mount(diff->cli, &diff->guests[n], &diff->args->guests[n]))
            return false;
    }
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct diff_args args = {0};
    struct diff diff = {
        .cli = cli, .args = &args, .ls = {.cli = cli, .args = &args.show, .emit = {.out = stdout}}};

    if (parse(cli, &args, argc, argv) && open_both(&diff)) {
        diff.ls.now = time(NULL);
        diff.buffer = malloc(2 * DIFF_CHUNK);
        signals_catch();
        if (diff.buffer)
            compare(&diff);
        else
            cli_fail_nomem(cli);
        if (args.exit_code && diff.differs && cli->status == 0)
            cli->status = 1;
    }
    free(diff.buffer);
    guest_places_clear(&diff.seen);
    for (int n = 0; n < 2; n++) {
        guest_close(&diff.guests[n]);
        guest_args_clear(&args.guests[n]);
    }
    return cli->status;
}

const struct cmd cmd_diff = {
    .name = "diff",
    .summary = "list files that differ between two images or snapshots",
    .usage = "[OPTION]... FILE FILE",
    .about = "List the files that are not the same in two images, or in an image and a snapshot of "
             "it:\n"
             "removed (-), added (+) and changed (=). Unless their content is compared, files have "
             "changed when\n"
             "their size, their times or what else stat(2) tells has.\n",
    .examples = "diff old.qcow2 new.qcow2\n"
                "diff --snapshot before disk.qcow2\n"
                "diff --content -m /dev/sda2 old.vmdk new.vmdk\n"
                "diff --output=json -a old1.img -a old2.img -A new1.img -A new2.img\n",
    .options = options,
    .run = run,
};
