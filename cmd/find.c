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

    if (find_matches(&search->guest, &search->tests, entry))
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

    if (!guest_find(&search->guest, path, IMG_TREE_NO_FOLLOW, &place, &stat))
        return;
    search->start = place.fs;
    guest_walk(&walk, path, &place);
}

static void look(struct search *search, const struct args *args, int count, char **operands)
{
    char slash[] = "/", *root[] = {slash};
    struct guest_paths paths = {0};

    guest_expand_all(&search->guest, count ? operands : root, count ? count : 1,
                     args->guest.literal, &paths);
    if (search->cli->json)
        emit_begin(&search->emit, NULL, '[');
    for (size_t n = 0; n < paths.count; n++)
        look_in(search, paths.list[n]);
    if (search->cli->json)
        emit_end(&search->emit, ']');
    guest_paths_clear(&paths);
}

/* The number of words that an option takes, itself among them. */
static int option_words(const char *word)
{
    const char *letter = word + 1;
    size_t length = strlen(word + 2);

    if (word[1] == '-') {
        for (const struct cmd_option *option = options; option->key; option++)
            if (option->value && option->value[0] != '[' && option->name &&
                strncmp(option->name, word + 2, length) == 0)
                return 2;
        return 1;
    }
    for (; *letter; letter++)
        for (const struct cmd_option *option = options; option->key; option++)
            if (option->key == *letter && option->value)
                return letter[1] ? 1 : 2;
    return 1;
}

/* Behind the image or a path: only "-x" that is an option, and no -a, is not among the tests. */
static bool is_late_option(const char *word)
{
    if (word[1] == '-')
        return true;
    for (const struct cmd_option *option = options; option->key; option++)
        if (option->key == word[1] && word[1] != 'a' && !word[2])
            return true;
    return false;
}

/* Where the tests begin. What comes before them are options, the image and paths. */
static int tests_begin(int argc, char **argv)
{
    bool operand = false;
    int n = 1;

    while (n < argc && !find_is_test(argv[n])) {
        bool dash = argv[n][0] == '-' && argv[n][1];

        if (dash && operand && !is_late_option(argv[n]))
            break;
        operand = operand || !dash;
        n += dash ? option_words(argv[n]) : 1;
    }
    return n < argc ? n : argc;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    struct search search = {.cli = cli, .emit = {.out = stdout}};
    int first, tests;

    tests = tests_begin(argc, argv);
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
             "  -atime, -ctime and -amin, -cmin: of last access, of last status change\n"
             "  -user NAME      -group NAME      -uid N          -gid N           -links N\n"
             "  -perm [-/]MODE  -inum N          -empty          -maxdepth N      -mindepth N\n"
             "  -xdev           -print           -print0\n"
             "Of those on one side of a -o all must be passed.\n"
             "A number with + in front is exceeded, with - it is not reached.\n",
    .examples = "find disk.qcow2 /etc -name '*.conf' -newermt 2024-01-01\n"
                "find disk.qcow2 / -xdev -type f -perm -4000 -print0\n",
    .options = options,
    .run = run,
};
