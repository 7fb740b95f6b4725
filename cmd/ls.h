/*
 * What the files of "img ls" share. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef LS_H
#define LS_H

#include "guest.h"

enum ls_time { LS_TIME_TEXT, LS_TIME_T, LS_TIME_RELATIVE, LS_TIME_DAYS };

struct ls_args {
    struct guest_args guest;
    bool detailed, recursive; /* -l, -R */
    bool human, csv, uids, extra_stats, times;
    bool no_atime; /* of the times, not that of the last access */
    enum ls_time time;
    const char *checksum; /* NULL: none */
};

/* One listing. */
struct ls {
    struct cli *cli;
    const struct ls_args *args;
    struct guest guest;
    struct emit emit;
    int64_t now;
    size_t prefix; /* bytes of a path that -R does not print */
    bool begun;    /* something has been printed */
};

/* One file, as the options want it. */
void ls_show(struct ls *ls, const struct guest_entry *entry);

#endif
