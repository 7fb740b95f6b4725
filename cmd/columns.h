/*
 * Text in columns, or as comma-separated values. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef COLUMNS_H
#define COLUMNS_H

#include "cmd.h"

#define COLUMNS_MAX 8

struct columns {
    size_t width;   /* columns in a row, COLUMNS_MAX at most */
    unsigned right; /* a bit for each column that is aligned to the right */
    char **cells;   /* row by row; malloc'd */
    size_t count;
};

/* Add a cell to the row; rows follow each other. */
bool columns_add(struct cli *cli, struct columns *columns, const char *text);
bool columns_add_uint(struct cli *cli, struct columns *columns, uint64_t number);
void columns_print(const struct columns *columns, bool csv);
void columns_clear(struct columns *columns);

#endif
