/*
 * What the files of "img find" share. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FIND_H
#define FIND_H

#include "guest.h"

enum find_kind {
    FIND_NAME,
    FIND_INAME,
    FIND_PATH,
    FIND_IPATH,
    FIND_TYPE,
    FIND_SIZE,
    FIND_ATIME,
    FIND_AMIN,
    FIND_CTIME,
    FIND_CMIN,
    FIND_MTIME,
    FIND_MMIN,
    FIND_NEWER,
    FIND_NEWERMT,
    FIND_UID,
    FIND_GID,
    FIND_USER,
    FIND_GROUP,
    FIND_PERM,
    FIND_LINKS,
    FIND_INUM,
    FIND_EMPTY,
    /* These are about the search and not about a file. */
    FIND_MAXDEPTH,
    FIND_MINDEPTH,
    FIND_XDEV,
    FIND_PRINT,
    FIND_PRINT0,
    FIND_NOT,
    FIND_AND,
    FIND_OR
};

struct find_test {
    enum find_kind kind;
    bool negated;
    char sign;        /* '+', '-', '/', or 0 */
    const char *text; /* a pattern; letters of types */
    uint64_t number;  /* what the file's is compared with */
    uint64_t unit;    /* of -size, in bytes */
    int64_t time;     /* -newer, -newermt */
    uint32_t time_nsec;
};

/* What stands behind the paths. */
struct find_tests {
    struct find_test *list;
    size_t count;
    unsigned min_depth;
    unsigned max_depth; /* as guest_walk has it */
    bool one_filesystem, print, print0;
    int64_t now;
};

/* Whether it is the name of a test, with which the tests begin; -a is an option as well. */
bool find_is_test(const char *word);
bool find_parse(struct cli *cli, struct guest *guest, struct find_tests *tests, int count,
                char **words);
void find_clear(struct find_tests *tests);
/* The number of a user or group of that name, in the guest's file of them; or the number itself. */
bool find_owner(struct guest *guest, const char *path, const char *name, uint64_t *number);
bool find_matches(struct guest *guest, const struct find_tests *tests,
                  const struct guest_entry *entry);

#endif
