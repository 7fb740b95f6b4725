/*
 * img find. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "find.h"

static const struct cmd_option options[] = {
    {'0', "print0", NULL, "a 0 byte behind each path instead of a line feed"},
    OPTIONS_GUEST_FILES,
    OPTION_NO_GLOB,
    OPTION_QUIET,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTIONS_END,
};

struct args {
    struct guest_args guest;
    bool print0;
};

struct search {
    struct cli *cli;
    struct guest guest;
    struct find_tests tests;
    struct emit emit;
    bool print0;
    img_fs *start; /* with -xdev: whose filesystem is not left */
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    if (key == '0')
        return args->print0 = true;
    return guest_take_option(cli, &args->guest, key, value);
}

static void show(struct search *search, const struct guest_entry *entry)
{
    if (search->cli->json) {
        emit_begin(&search->emit, NULL, '{');
        emit_string(&search->emit, "path", entry->path);
        guest_emit_stat(&search->emit, &entry->stat);
        emit_end(&search->emit, '}');
    } else if (search->print0) {
        fputs(entry->path, stdout);
        putchar('\0');
    } else {
        guest_name(stdout, entry->path);
        putchar('\n');
    }
}

static enum guest_next visit(void *opaque, const struct guest_entry *entry)
{
    struct search *search = opaque;

    if (find_matches(search->cli, &search->tests, entry))
        show(search, entry);
    return search->tests.one_filesystem && entry->place.fs != search->start ? GUEST_SKIP
                                                                            : GUEST_GO_ON;
}

static void look_in(struct search *search, const char *path)
{
    const struct guest_walk walk = {.cli = search->cli,
                                    .guest = &search->guest,
                                    .visit = visit,
                                    .opaque = search,
                                    .max_depth = search->tests.max_depth};
    img_place place;
    img_stat stat;

    if (!guest_find(search->cli, &search->guest, path, IMG_TREE_NO_FOLLOW, &place, &stat))
        return;
    search->start = place.fs;
    guest_walk(&walk, path, &place);
}

static void look(struct search *search, const struct args *args, int count, char **operands)
{
    char slash[] = "/", *root[] = {slash};
    struct guest_paths paths = {0};

    guest_expand_all(search->cli, &search->guest, count ? operands : root, count ? count : 1,
                     args->guest.literal, &paths);
    if (search->cli->json)
        emit_begin(&search->emit, NULL, '[');
    for (size_t n = 0; n < paths.count; n++)
        look_in(search, paths.list[n]);
    if (search->cli->json)
        emit_end(&search->emit, ']');
    guest_paths_clear(&paths);
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    struct search search = {.cli = cli, .emit = {.out = stdout}};
    int first, tests = 1;

    while (tests < argc && !find_is_test(argv[tests]))
        tests++;
    if (cli_options(cli, tests, argv, take_option, &args, &first) &&
        guest_take_image(cli, &args.guest, tests, argv, &first) &&
        guest_open(cli, &search.guest, &args.guest) &&
        guest_mount(cli, &search.guest, &args.guest) &&
        find_parse(cli, &search.guest, &search.tests, argc - tests, argv + tests)) {
        search.print0 = args.print0 || search.tests.print0;
        look(&search, &args, tests - first, argv + first);
    }
    find_clear(&search.tests);
    guest_close(&search.guest);
    guest_args_clear(&args.guest);
    return cli->status;
}

const struct cmd cmd_find = {
    .name = "find",
    .summary = "search a guest's files",
    .usage = "[OPTION]... IMAGE [PATH]... [TEST]...",
    .about = "Print the paths of files inside the guest of an image that pass all tests. These are "
             "those\n"
             "of find(1); '!' in front turns one round:\n"
             "  -name PATTERN   -iname PATTERN   -path PATTERN   -ipath PATTERN   -type [bcdflps]\n"
             "  -size N[bckMG]  -mtime DAYS      -mmin MINUTES   -newer PATH      -newermt DATE\n"
             "  -uid N          -gid N           -perm [-/]MODE  -links N         -inum N\n"
             "  -empty          -maxdepth N      -mindepth N     -xdev            -print  -print0\n"
             "A number with + in front is exceeded, with - it is not reached.\n",
    .examples = "find disk.qcow2 /etc -name '*.conf' -newermt 2024-01-01\n"
                "find disk.qcow2 / -xdev -type f -perm -4000 -print0\n",
    .options = options,
    .run = run,
};
