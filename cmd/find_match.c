/*
 * What passes the tests of "img find". SPDX-License-Identifier: BSD-2-Clause
 */
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

#include "find.h"

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

static bool is_empty(struct guest *guest, const struct guest_entry *entry)
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
        return guest_fail(guest, &err, entry->path);
    empty = !img_dir_entry(dir, 0, &first);
    img_dir_close(dir);
    return empty;
}

static bool is_newer(const struct find_test *test, const img_stat *stat)
{
    return stat->mtime != test->time ? stat->mtime > test->time
                                     : stat->mtime_nsec > test->time_nsec;
}

static bool passes(struct guest *guest, const struct find_test *test, int64_t now,
                   const struct guest_entry *entry)
{
    const img_stat *stat = &entry->stat;

    switch (test->kind) {
    case FIND_NAME:
        return fnmatch(test->text, entry->name, 0) == 0;
    case FIND_INAME:
        return fnmatch(test->text, entry->name, FNM_CASEFOLD) == 0;
    case FIND_PATH:
        return fnmatch(test->text, entry->path, 0) == 0;
    case FIND_IPATH:
        return fnmatch(test->text, entry->path, FNM_CASEFOLD) == 0;
    case FIND_TYPE:
        return has_type(test, stat->mode);
    case FIND_SIZE:
        return compare(test, stat->size / test->unit + (stat->size % test->unit > 0));
    case FIND_ATIME:
        return compare_age(test, now, stat->atime, 86400);
    case FIND_AMIN:
        return compare_age(test, now, stat->atime, 60);
    case FIND_CTIME:
        return compare_age(test, now, stat->ctime, 86400);
    case FIND_CMIN:
        return compare_age(test, now, stat->ctime, 60);
    case FIND_MTIME:
        return compare_age(test, now, stat->mtime, 86400);
    case FIND_MMIN:
        return compare_age(test, now, stat->mtime, 60);
    case FIND_NEWER:
    case FIND_NEWERMT:
        return is_newer(test, stat);
    case FIND_UID:
    case FIND_USER:
        return compare(test, stat->uid);
    case FIND_GID:
    case FIND_GROUP:
        return compare(test, stat->gid);
    case FIND_PERM:
        return has_mode(test, stat->mode);
    case FIND_LINKS:
        return compare(test, stat->links);
    case FIND_INUM:
        return compare(test, stat->inode);
    case FIND_EMPTY:
        return is_empty(guest, entry);
    default:
        return true;
    }
}

bool find_matches(struct guest *guest, const struct find_tests *tests,
                  const struct guest_entry *entry)
{
    bool all = true;

    if (entry->depth < tests->min_depth)
        return false;
    for (size_t n = 0; n < tests->count; n++) {
        const struct find_test *test = &tests->list[n];

        if (test->kind != FIND_OR)
            all = all && passes(guest, test, tests->now, entry) != test->negated;
        else if (all)
            return true;
        else
            all = true;
    }
    return all;
}
