/*
 * Sizes and cache modes as people type them. SPDX-License-Identifier: BSD-2-Clause
 *
 * Accepts what qemu-img accepts. All in integers: the result depends neither on
 * the locale's decimal point nor on the precision of a double.
 */
#include <ctype.h>
#include <string.h>

#include "error.h"
#include "util/checked.h"

/* What a suffix multiplies with; none at all means bytes. 0: there is no such suffix. */
static uint64_t multiplier(char suffix)
{
    static const char suffixes[] = "bkmgtpe";
    const char *found;

    if (suffix == '\0')
        return 1;
    found = strchr(suffixes, tolower((unsigned char)suffix));
    return found ? UINT64_C(1) << (10 * (found - suffixes)) : 0;
}

/* c as a digit; 16 when it is none. */
static unsigned digit_value(char c)
{
    if (!isxdigit((unsigned char)c))
        return 16;
    return (unsigned)(c <= '9' ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

/* Read the digits at *text and step over all of them; false when the number is past 2^64-1. */
static bool parse_digits(const char **text, unsigned base, uint64_t *value)
{
    bool fits = true;

    *value = 0;
    for (; digit_value(**text) < base; (*text)++)
        fits =
            fits && imgi_mul(*value, base, value) && imgi_add(*value, digit_value(**text), value);
    return fits;
}

/*
 * 0.DIGITS times unit, to the nearest byte. Worked from the last digit to the first, so that a
 * sum is below 10 * unit, which fits for 2^60: ((d3 * unit) / 10 + d2 * unit) / 10 ...
 */
static uint64_t scale_fraction(const char *digits, size_t count, uint64_t unit)
{
    uint64_t sum = 0;

    while (count-- > 0)
        sum = sum / 10 + digit_value(digits[count]) * unit;
    return sum / 10 + (sum % 10 >= 5);
}

/*
 * [+]DIGITS[.DIGITS][SUFFIX] or [+]0xDIGITS[SUFFIX]. A fraction needs a suffix that it can be a
 * fraction of, unless it is zero.
 */
static int parse_size(const char *text, uint64_t *bytes)
{
    const char *fraction = "";
    size_t fraction_digits = 0;
    uint64_t whole, unit;
    unsigned base = 10;
    bool fits;

    while (isspace((unsigned char)*text))
        text++;
    if (*text == '+')
        text++;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    if (digit_value(*text) >= base)
        return IMG_E_INVAL;
    fits = parse_digits(&text, base, &whole);
    if (base == 10 && *text == '.') {
        fraction = text + 1;
        fraction_digits = strspn(fraction, "0123456789");
        text = fraction + fraction_digits;
    }
    unit = multiplier(*text);
    if (unit == 0 || (*text != '\0' && text[1] != '\0'))
        return IMG_E_INVAL;
    if (unit == 1 && strspn(fraction, "0") < fraction_digits)
        return IMG_E_INVAL;
    if (!fits || !imgi_mul(whole, unit, bytes) ||
        !imgi_add(*bytes, scale_fraction(fraction, fraction_digits, unit), bytes) ||
        *bytes > INT64_MAX)
        return IMG_E_RANGE;
    return 0;
}

int img_parse_size(const char *text, uint64_t *bytes, img_error *err)
{
    uint64_t value = 0;
    int ret = parse_size(text, &value);

    if (ret == IMG_E_INVAL)
        return imgi_fail(err, ret,
                         "Invalid size '%s': a number with an optional suffix k, M, G, T, P or E "
                         "(kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes) is "
                         "expected",
                         text);
    if (ret < 0)
        return imgi_fail(err, ret, "Invalid size '%s': must be between 0 and %lld", text,
                         (long long)INT64_MAX);
    *bytes = value;
    return 0;
}

int img_parse_cache(const char *text, enum img_cache *cache, img_error *err)
{
    static const struct {
        const char *name;
        enum img_cache cache;
    } modes[] = {
        {"none", IMG_CACHE_NONE},
        {"off", IMG_CACHE_NONE},
        {"writeback", IMG_CACHE_WRITEBACK},
        {"writethrough", IMG_CACHE_WRITETHROUGH},
        {"directsync", IMG_CACHE_DIRECTSYNC},
        {"unsafe", IMG_CACHE_UNSAFE},
    };

    for (size_t i = 0; i < IMGI_COUNT(modes); i++) {
        if (strcmp(text, modes[i].name) == 0) {
            *cache = modes[i].cache;
            return 0;
        }
    }
    return imgi_fail(err, IMG_E_INVAL, "Invalid cache option: %s", text);
}
