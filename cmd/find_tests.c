/*
 * The tests of "img find". SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "find.h"

enum test_kind {
    TEST_NAME,
    TEST_INAME,
    TEST_PATH,
    TEST_IPATH,
    TEST_TYPE,
    TEST_SIZE,
    TEST_MTIME,
    TEST_MMIN,
    TEST_NEWER,
    TEST_NEWERMT,
    TEST_UID,
    TEST_GID,
    TEST_PERM,
    TEST_LINKS,
    TEST_INUM,
    TEST_EMPTY,
    /* These are about the search and not about a file. */
    TEST_MAXDEPTH,
    TEST_MINDEPTH,
    TEST_XDEV,
    TEST_PRINT,
    TEST_PRINT0,
    TEST_NOT
};

static const struct test_word {
    const char *word;
    enum test_kind kind;
    bool argument;
} words_known[] = {
    {"-name", TEST_NAME, true},
    {"-iname", TEST_INAME, true},
    {"-path", TEST_PATH, true},
    {"-ipath", TEST_IPATH, true},
    {"-type", TEST_TYPE, true},
    {"-size", TEST_SIZE, true},
    {"-mtime", TEST_MTIME, true},
    {"-mmin", TEST_MMIN, true},
    {"-newer", TEST_NEWER, true},
    {"-newermt", TEST_NEWERMT, true},
    {"-uid", TEST_UID, true},
    {"-gid", TEST_GID, true},
    {"-perm", TEST_PERM, true},
    {"-links", TEST_LINKS, true},
    {"-inum", TEST_INUM, true},
    {"-empty", TEST_EMPTY, false},
    {"-maxdepth", TEST_MAXDEPTH, true},
    {"-mindepth", TEST_MINDEPTH, true},
    {"-xdev", TEST_XDEV, false},
    {"-mount", TEST_XDEV, false},
    {"-print", TEST_PRINT, false},
    {"-print0", TEST_PRINT0, false},
    {"!", TEST_NOT, false},
    {"-not", TEST_NOT, false},
};

struct find_test {
    enum test_kind kind;
    bool negated;
    char sign;        /* '+', '-', '/', or 0 */
    const char *text; /* a pattern; letters of types */
    uint64_t number;  /* what the file's is compared with */
    uint64_t unit;    /* of -size, in bytes */
    int64_t time;     /* -newer, -newermt */
    uint32_t time_nsec;
};

static const struct test_word *word_of(const char *word)
{
    for (size_t n = 0; n < sizeof(words_known) / sizeof(words_known[0]); n++)
        if (strcmp(words_known[n].word, word) == 0)
            return &words_known[n];
    return NULL;
}

bool find_is_test(const char *word)
{
    return word_of(word);
}

/* --------------------------------------------------------------- arguments */

static bool bad_argument(struct cli *cli, const char *word, const char *text)
{
    return cli_fail_usage(cli, "invalid argument '%s' of %s", text, word);
}

/* [+-]N, in that base, and what is behind it. */
static bool parse_number(struct find_test *test, const char *text, int base, const char **rest)
{
    char *end;

    if (*text == '+' || *text == '-' || (*text == '/' && test->kind == TEST_PERM))
        test->sign = *text++;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    test->number = strtoull(text, &end, base);
    *rest = end;
    return errno == 0;
}

static bool parse_size(struct find_test *test, const char *text)
{
    static const struct {
        const char *suffix;
        uint64_t unit;
    } units[] = {{"", 512},       {"b", 512},      {"c", 1},       {"w", 2},
                 {"k", 1u << 10}, {"M", 1u << 20}, {"G", 1u << 30}};
    const char *rest;

    if (!parse_number(test, text, 10, &rest))
        return false;
    for (size_t n = 0; n < sizeof(units) / sizeof(units[0]); n++)
        if (strcmp(units[n].suffix, rest) == 0)
            test->unit = units[n].unit;
    return test->unit != 0;
}

/* "2024-01-31", "2024-01-31 12:30", "2024-01-31 12:30:59", with a T, or "@seconds"; local time. */
static bool parse_date(struct find_test *test, const char *text)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S",
                                        "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"};
    char *end;

    if (*text == '@') {
        test->time = strtoll(text + 1, &end, 10);
        return end != text + 1 && !*end;
    }
    for (size_t n = 0; n < sizeof(forms) / sizeof(forms[0]); n++) {
        struct tm date = {.tm_isdst = -1};
        const char *rest = strptime(text, forms[n], &date);

        if (rest && !*rest) {
            test->time = mktime(&date);
            return true;
        }
    }
    return false;
}

static bool parse_newer(struct cli *cli, struct guest *guest, struct find_test *test,
                        const char *path)
{
    img_place place;
    img_stat stat;

    if (!guest_find(cli, guest, path, 0, &place, &stat))
        return false;
    test->time = stat.mtime;
    test->time_nsec = stat.mtime_nsec;
    return true;
}

static bool parse_argument(struct find_test *test, const char *text)
{
    const char *rest = "";

    switch (test->kind) {
    case TEST_TYPE:
        return *text && text[strspn(text, "bcdflps,")] == '\0';
    case TEST_SIZE:
        return parse_size(test, text);
    case TEST_NEWERMT:
        return parse_date(test, text);
    case TEST_PERM:
        return parse_number(test, text, 8, &rest) && !*rest && test->sign != '+' &&
               test->number <= 07777;
    case TEST_MAXDEPTH:
    case TEST_MINDEPTH:
        return parse_number(test, text, 10, &rest) && !*rest && !test->sign &&
               test->number < UINT32_MAX;
    case TEST_MTIME:
    case TEST_MMIN:
        return parse_number(test, text, 10, &rest) && !*rest && test->number < UINT32_MAX;
    case TEST_UID:
    case TEST_GID:
    case TEST_LINKS:
    case TEST_INUM:
        return parse_number(test, text, 10, &rest) && !*rest;
    default:
        return true;
    }
}

/* ------------------------------------------------------------------ parsing */

/* What is about the search; false: it is a test of files. */
static bool take_setting(struct find_tests *tests, const struct find_test *test)
{
    switch (test->kind) {
    case TEST_MAXDEPTH:
        tests->max_depth = (unsigned)test->number + 1;
        return true;
    case TEST_MINDEPTH:
        tests->min_depth = (unsigned)test->number;
        return true;
    case TEST_XDEV:
        return tests->one_filesystem = true;
    case TEST_PRINT0:
        return tests->print0 = true;
    case TEST_PRINT:
        return true;
    default:
        return false;
    }
}

/* One word with its argument; *n is left at its last one. */
static bool take_word(struct cli *cli, struct guest *guest, struct find_tests *tests, bool *negated,
                      int count, char **words, int *n)
{
    const struct test_word *known = word_of(words[*n]);
    struct find_test test = {.negated = *negated};

    if (!known)
        return cli_fail_usage(cli, "unknown test '%s'", words[*n]);
    test.kind = known->kind;
    if (known->argument) {
        if (*n + 1 >= count)
            return cli_fail_usage(cli, "missing argument of '%s'", known->word);
        test.text = words[++*n];
    }
    if (test.kind == TEST_NOT) {
        *negated = !*negated;
        return true;
    }
    *negated = false;
    if (test.text && !parse_argument(&test, test.text))
        return bad_argument(cli, known->word, test.text);
    if (test.kind == TEST_NEWER && !parse_newer(cli, guest, &test, test.text))
        return false;
    if (!take_setting(tests, &test))
        tests->list[tests->count++] = test;
    else if (test.negated)
        return cli_fail_usage(cli, "'!' cannot stand in front of %s", known->word);
    return true;
}

bool find_parse(struct cli *cli, struct guest *guest, struct find_tests *tests, int count,
                char **words)
{
    bool negated = false;

    tests->now = time(NULL);
    tests->list = calloc((size_t)count + 1, sizeof(*tests->list));
    if (!tests->list)
        return cli_fail_nomem(cli);
    for (int n = 0; n < count; n++)
        if (!take_word(cli, guest, tests, &negated, count, words, &n))
            return false;
    return !negated || cli_fail_usage(cli, "a test is missing behind '!'");
}

void find_clear(struct find_tests *tests)
{
    free(tests->list);
    tests->list = NULL;
}

/* ----------------------------------------------------------------- matching */

static bool compare(const struct find_test *test, uint64_t value)
{
    return test->sign == '+'   ? value > test->number
           : test->sign == '-' ? value < test->number
                               : value == test->number;
}

/* Whole units of time that have gone by since; the future is no time ago. */
static bool compare_age(const struct find_test *test, int64_t now, int64_t then, int64_t unit)
{
    return compare(test, then < now ? (uint64_t)((now - then) / unit) : 0);
}

static bool has_mode(const struct find_test *test, uint32_t mode)
{
    uint32_t bits = (uint32_t)test->number;

    return test->sign == '-'   ? (mode & bits) == bits
           : test->sign == '/' ? !bits || (mode & bits)
                               : (mode & 07777) == bits;
}

static bool has_type(const struct find_test *test, uint32_t mode)
{
    char letter = guest_type_letter(mode);

    return strchr(test->text, letter == '-' ? 'f' : letter);
}

static bool is_empty(struct cli *cli, const struct guest_entry *entry)
{
    img_error err = {0};
    img_dirent first;
    img_dir *dir;
    bool empty;

    if (S_ISREG(entry->stat.mode))
        return entry->stat.size == 0;
    if (!S_ISDIR(entry->stat.mode))
        return false;
    if (img_dir_open(&dir, entry->place.fs, entry->place.inode, &err) < 0)
        return guest_fail(cli, &err, entry->path);
    empty = !img_dir_entry(dir, 0, &first);
    img_dir_close(dir);
    return empty;
}

static bool is_newer(const struct find_test *test, const img_stat *stat)
{
    return stat->mtime != test->time ? stat->mtime > test->time
                                     : stat->mtime_nsec > test->time_nsec;
}

static bool passes(struct cli *cli, const struct find_test *test, int64_t now,
                   const struct guest_entry *entry)
{
    const img_stat *stat = &entry->stat;

    switch (test->kind) {
    case TEST_NAME:
        return fnmatch(test->text, entry->name, 0) == 0;
    case TEST_INAME:
        return fnmatch(test->text, entry->name, FNM_CASEFOLD) == 0;
    case TEST_PATH:
        return fnmatch(test->text, entry->path, 0) == 0;
    case TEST_IPATH:
        return fnmatch(test->text, entry->path, FNM_CASEFOLD) == 0;
    case TEST_TYPE:
        return has_type(test, stat->mode);
    case TEST_SIZE:
        return compare(test, stat->size / test->unit + (stat->size % test->unit > 0));
    case TEST_MTIME:
        return compare_age(test, now, stat->mtime, 86400);
    case TEST_MMIN:
        return compare_age(test, now, stat->mtime, 60);
    case TEST_NEWER:
    case TEST_NEWERMT:
        return is_newer(test, stat);
    case TEST_UID:
        return compare(test, stat->uid);
    case TEST_GID:
        return compare(test, stat->gid);
    case TEST_PERM:
        return has_mode(test, stat->mode);
    case TEST_LINKS:
        return compare(test, stat->links);
    case TEST_INUM:
        return compare(test, stat->inode);
    case TEST_EMPTY:
        return is_empty(cli, entry);
    default:
        return true;
    }
}

bool find_matches(struct cli *cli, const struct find_tests *tests, const struct guest_entry *entry)
{
    if (entry->depth < tests->min_depth)
        return false;
    for (size_t n = 0; n < tests->count; n++)
        if (passes(cli, &tests->list[n], tests->now, entry) == tests->list[n].negated)
            return false;
    return true;
}
