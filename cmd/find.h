/*
 * What the files of "img find" share. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FIND_H
#define FIND_H

#include "guest.h"

struct find_test;

/* What stands behind the paths. */
struct find_tests {
    struct find_test *list;
    size_t count;
    unsigned min_depth;
    unsigned max_depth; /* as guest_walk has it */
    bool one_filesystem, print0;
    int64_t now;
};

/* Whether it is the name of a test, with which the tests begin. */
bool find_is_test(const char *word);
bool find_parse(struct cli *cli, struct guest *guest, struct find_tests *tests, int count,
                char **words);
void find_clear(struct find_tests *tests);
bool find_matches(struct cli *cli, const struct find_tests *tests, const struct guest_entry *entry);

#endif
