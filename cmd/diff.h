/*
 * What the files of "img diff" share. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef DIFF_H
#define DIFF_H

#include "ls.h"

/* What two files differ in. */
enum {
    DIFF_MODE = 1 << 0,
    DIFF_LINKS = 1 << 1,
    DIFF_UID = 1 << 2,
    DIFF_GID = 1 << 3,
    DIFF_DEVICE = 1 << 4,
    DIFF_SIZE = 1 << 5,
    DIFF_ATIME = 1 << 6,
    DIFF_MTIME = 1 << 7,
    DIFF_CTIME = 1 << 8,
    DIFF_XATTRS = 1 << 9,
    DIFF_CONTENT = 1 << 10
};

struct diff_args {
    struct guest_args guests[2];
    struct ls_args show; /* what of a file is shown */
    bool atime, dir_links, dir_times, xattrs, content, exit_code;
};

#define DIFF_CHUNK (256u << 10)

struct diff {
    struct cli *cli;
    const struct diff_args *args;
    struct guest guests[2];
    struct ls ls; /* how a file is shown */
    struct guest_places seen;
    char *buffer; /* two times DIFF_CHUNK bytes */
    bool differs;
};

/* ---- diff_file.c ---- */

/* What two files of one path differ in. *what: bits of the above; false: an error has been said. */
bool diff_files(struct diff *diff, const struct guest_entry *a, const struct guest_entry *b,
                unsigned *what);

/* ---- diff_show.c ---- */

/* A file that only one guest has: '-' the first, '+' the second. */
void diff_show_one(struct diff *diff, char sign, const struct guest_entry *entry);
/* One that both have. */
void diff_show_changed(struct diff *diff, const struct guest_entry *a, const struct guest_entry *b,
                       unsigned what);

#endif
