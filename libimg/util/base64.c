/*
 * Base 64 to bytes. SPDX-License-Identifier: BSD-2-Clause
 */
#include "base64.h"

#include <string.h>

/* The six bits that a digit of RFC 4648, table 1, stands for, or -1. */
static int digit_value(uint8_t digit)
{
    if (digit >= 'A' && digit <= 'Z')
        return digit - 'A';
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9')
        return digit - '0' + 52;
    if (digit == '+')
        return 62;
    return digit == '/' ? 63 : -1;
}

bool imgi_base64_decode(uint8_t *text, size_t *length, const char *ignored)
{
    size_t made = 0, digits = 0, padding = 0;
    uint32_t bits = 0;

    for (size_t i = 0; i < *length; i++) {
        int value = digit_value(text[i]);

        if (text[i] != 0 && strchr(ignored, text[i]))
            continue;
        if (text[i] == '=') {
            padding++;
            continue;
        }
        if (value < 0 || padding > 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        /* Of each four digits all but the first complete a byte. */
        if (digits % 4 > 0)
            text[made++] = (uint8_t)(bits >> (6 - 2 * (digits % 4)));
        digits++;
    }
    explicit_bzero(text + made, *length - made);
    *length = made;
    return padding <= 2 && (digits + padding) % 4 == 0;
}
