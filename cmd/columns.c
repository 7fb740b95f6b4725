/*
 * Text in columns. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"

bool columns_add(struct cli *cli, struct columns *columns, const char *text)
{
    char **cells = reallocarray(columns->cells, columns->count + 1, sizeof(*cells));

    if (!cells)
        return cli_fail_nomem(cli);
    columns->cells = cells;
    cells[columns->count] = strdup(text);
    if (!cells[columns->count])
        return cli_fail_nomem(cli);
    columns->count++;
    return true;
}

bool columns_add_uint(struct cli *cli, struct columns *columns, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, number);
    return columns_add(cli, columns, text);
}

/* Places on a terminal, of UTF-8: bytes that begin a character. */
static size_t places(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void print_value(const char *text)
{
    if (text[strcspn(text, " ,\"\r\n")] == '\0') {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_cell(const struct columns *columns, size_t cell, size_t width)
{
    const char *text = columns->cells[cell];
    size_t column = cell % columns->width, used = places(text);
    int blanks = used < width ? (int)(width - used) : 0;
    bool right = columns->right >> column & 1;

    if (right)
        printf("%*s", blanks, "");
    output_text(stdout, text);
    if (!right && column + 1 < columns->width)
        printf("%*s", blanks, "");
}

void columns_print(const struct columns *columns, bool csv)
{
    size_t widths[COLUMNS_MAX] = {0};

    for (size_t n = 0; n < columns->count; n++) {
        size_t used = places(columns->cells[n]), *width = &widths[n % columns->width];

        *width = used > *width ? used : *width;
    }
    for (size_t n = 0; n < columns->count; n++) {
        if (csv)
            print_value(columns->cells[n]);
        else
            print_cell(columns, n, widths[n % columns->width]);
        putchar((n + 1) % columns->width == 0 ? '\n' : csv ? ',' : ' ');
    }
}

void columns_clear(struct columns *columns)
{
    for (size_t n = 0; n < columns->count; n++)
        free(columns->cells[n]);
    free(columns->cells);
    *columns = (struct columns){0};
}
