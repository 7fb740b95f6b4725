/*
 * The tests of "img find", as they are typed. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "find.h"

static const struct test_word {
    const char *word;
    enum find_kind kind;
    bool argument;
} words_known[] = {
    {"-name", FIND_NAME, true},
    {"-iname", FIND_INAME, true},
    {"-path", FIND_PATH, true},
    {"-ipath", FIND_IPATH, true},
    {"-type", FIND_TYPE, true},
    {"-size", FIND_SIZE, true},
    {"-atime", FIND_ATIME, true},
    {"-amin", FIND_AMIN, true},
    {"-ctime", FIND_CTIME, true},
    {"-cmin", FIND_CMIN, true},
    {"-mtime", FIND_MTIME, true},
    {"-mmin", FIND_MMIN, true},
    {"-newer", FIND_NEWER, true},
    {"-newermt", FIND_NEWERMT, true},
    {"-uid", FIND_UID, true},
    {"-gid", FIND_GID, true},
    {"-user", FIND_USER, true},
    {"-group", FIND_GROUP, true},
    {"-perm", FIND_PERM, true},
    {"-links", FIND_LINKS, true},
    {"-inum", FIND_INUM, true},
    {"-empty", FIND_EMPTY, false},
    {"-maxdepth", FIND_MAXDEPTH, true},
    {"-mindepth", FIND_MINDEPTH, true},
    {"-xdev", FIND_XDEV, false},
    {"-mount", FIND_XDEV, false},
    {"-print", FIND_PRINT, false},
    {"-print0", FIND_PRINT0, false},
    {"!", FIND_NOT, false},
    {"-not", FIND_NOT, false},
    {"-a", FIND_AND, false},
    {"-and", FIND_AND, false},
    {"-o", FIND_OR, false},
    {"-or", FIND_OR, false},
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
    const struct test_word *known = word_of(word);

    return known && known->kind != FIND_AND;
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

    if (*text == '+' || *text == '-' || (*text == '/' && test->kind == FIND_PERM))
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

static bool parse_newer(struct guest *guest, struct find_test *test, const char *path)
{
    img_place place;
    img_stat stat;

    if (!guest_find(guest, path, 0, &place, &stat))
        return false;
    test->time = stat.mtime;
    test->time_nsec = stat.mtime_nsec;
    return true;
}

/* What is found by a look at the guest's files. */
static bool parse_in_guest(struct guest *guest, struct find_test *test)
{
    switch (test->kind) {
    case FIND_NEWER:
        return parse_newer(guest, test, test->text);
    case FIND_USER:
        return find_owner(guest, "/etc/passwd", test->text, &test->number);
    case FIND_GROUP:
        return find_owner(guest, "/etc/group", test->text, &test->number);
    default:
        return true;
    }
}

static bool parse_argument(struct find_test *test, const char *text)
{
    const char *rest = "";

    switch (test->kind) {
    case FIND_TYPE:
        return *text && text[strspn(text, "bcdflps,")] == '\0';
    case FIND_SIZE:
        return parse_size(test, text);
    case FIND_NEWERMT:
        return parse_date(test, text);
    case FIND_PERM:
        return parse_number(test, text, 8, &rest) && !*rest && test->sign != '+' &&
               test->number <= 07777;
    case FIND_MAXDEPTH:
    case FIND_MINDEPTH:
        return parse_number(test, text, 10, &rest) && !*rest && !test->sign &&
               test->number < UINT32_MAX;
    case FIND_ATIME:
    case FIND_AMIN:
    case FIND_CTIME:
    case FIND_CMIN:
    case FIND_MTIME:
    case FIND_MMIN:
        return parse_number(test, text, 10, &rest) && !*rest && test->number < UINT32_MAX;
    case FIND_UID:
    case FIND_GID:
    case FIND_LINKS:
    case FIND_INUM:
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
    case FIND_MAXDEPTH:
        tests->max_depth = (unsigned)test->number + 1;
        return true;
    case FIND_MINDEPTH:
        tests->min_depth = (unsigned)test->number;
        return true;
    case FIND_XDEV:
        return tests->one_filesystem = true;
    case FIND_PRINT0:
        return tests->print = tests->print0 = true;
    case FIND_PRINT:
        return tests->print = true;
    default:
        return false;
    }
}

static bool missing_test(struct cli *cli, const char *word)
{
    return cli_fail_usage(cli, "a test is missing behind '%s'", word);
}

static bool take_operator(struct cli *cli, struct find_tests *tests, const struct test_word *known,
                          bool *negated)
{
    const struct find_test *last = tests->count > 0 ? &tests->list[tests->count - 1] : NULL;

    if (known->kind == FIND_NOT) {
        *negated = !*negated;
        return true;
    }
    if (*negated)
        return missing_test(cli, "!");
    if (!last || last->kind == FIND_OR)
        return cli_fail_usage(cli, "a test is missing in front of '%s'", known->word);
    if (known->kind == FIND_OR)
        tests->list[tests->count++].kind = FIND_OR;
    return true;
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
    if (known->kind >= FIND_NOT)
        return take_operator(cli, tests, known, negated);
    *negated = false;
    if (test.text && !parse_argument(&test, test.text))
        return bad_argument(cli, known->word, test.text);
    if (!parse_in_guest(guest, &test))
        return false;
    if (!take_setting(tests, &test))
        tests->list[tests->count++] = test;
    else if (test.negated)
        return cli_fail_usage(cli, "'!' cannot stand in front of %s", known->word);
    return true;
}

/* With -o, what find(1) prints depends on where a -print stands: it may stand nowhere. */
static bool check_alternatives(struct cli *cli, const struct find_tests *tests)
{
    bool any = false;

    for (size_t n = 0; n < tests->count; n++)
        any = any || tests->list[n].kind == FIND_OR;
    if (any && tests->list[tests->count - 1].kind == FIND_OR)
        return missing_test(cli, "-o");
    if (any && tests->print)
        return cli_fail_usage(cli, "-print and -print0 cannot be combined with -o");
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
    if (negated)
        return missing_test(cli, "!");
    return check_alternatives(cli, tests);
}

void find_clear(struct find_tests *tests)
{
    free(tests->list);
    tests->list = NULL;
}
