/*
 * Sizes as people read and type them. SPDX-License-Identifier: BSD-2-Clause
 */
#include "cmd.h"

const char *size_text(char text[SIZE_TEXT], uint64_t bytes)
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000 && unit < sizeof(units) / sizeof(units[0]) - 1) {
        value /= 1024;
        unit++;
    }
    snprintf(text, SIZE_TEXT, "%0.3g %sB", value, units[unit]);
    return text;
}

bool size_parse(struct cli *cli, const char *what, const char *text, uint64_t *bytes)
{
    switch (img_parse_size(text, bytes, NULL)) {
    case IMG_OK:
        return true;
    case IMG_E_RANGE:
        return cli_fail(cli, "Invalid %s specified. Must be between 0 and 9223372036854775807.",
                        what);
    default:
        return cli_fail(cli,
                        "Invalid %s specified. You may use k, M, G, T, P or E suffixes for "
                        "kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.",
                        what);
    }
}
