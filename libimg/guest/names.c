/*
 * Names of files in UTF-16, and dates. SPDX-License-Identifier: BSD-2-Clause
 */
#include "names.h"

#include <string.h>

static uint16_t get(const uint8_t *at, bool big_endian)
{
    return big_endian ? imgi_get_be16(at) : imgi_get_le16(at);
}

static void put(uint8_t *at, bool big_endian, uint16_t unit)
{
    if (big_endian)
        imgi_put_be16(at, unit);
    else
        imgi_put_le16(at, unit);
}

static bool is_high(uint16_t unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(uint16_t unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

static void replace_halves(uint8_t *name, size_t units, bool big_endian)
{
    for (size_t n = 0; n < units; n++) {
        uint16_t unit = get(name + 2 * n, big_endian);
        bool pair = is_high(unit) && n + 1 < units && is_low(get(name + 2 * n + 2, big_endian));

        if (pair)
            n++;
        else if (is_high(unit) || is_low(unit))
            put(name + 2 * n, big_endian, 0xfffd);
    }
}

size_t imgi_name_decode(const uint8_t *name, size_t units, bool big_endian,
                        char out[IMGI_NAME_ROOM])
{
    uint8_t copy[2 * IMGI_NAME_UNITS];

    if (imgi_utf16_decode(name, 2 * units, big_endian, out))
        return strlen(out);
    memcpy(copy, name, 2 * units);
    replace_halves(copy, units, big_endian);
    if (!imgi_utf16_decode(copy, 2 * units, big_endian, out))
        out[0] = '\0';
    return strlen(out);
}

int64_t imgi_date_seconds(int year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                          unsigned second)
{
    /* Years that begin in March have the leap day at their end. */
    static const unsigned before[12] = {306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275};
    int64_t years, days;

    if (month < 1 || month > 12)
        return 0;
    years = year - (month < 3);
    days = years * 365 + years / 4 - years / 100 + years / 400 + before[month - 1] + day - 1;
    days -= 719468; /* until 1970-01-01 */
    return days * 86400 + hour * 3600 + minute * 60 + second;
}
