/*
 * UTF-16 to UTF-8. SPDX-License-Identifier: BSD-2-Clause
 */
#include "utf16.h"

#include "bytes.h"

/* One character; returns the bytes it took. */
static size_t put(char *out, uint32_t character)
{
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;

    for (size_t i = length; i-- > 1; character >>= 6)
        out[i] = (char)(0x80 | (character & 0x3f));
    out[0] = (char)(lead[length] | character);
    return length;
}

static bool is_high(uint32_t unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(uint32_t unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

bool imgi_utf16_decode(const uint8_t *bytes, size_t length, bool big_endian, char *out)
{
    for (size_t at = 0; at + 1 < length; at += 2) {
        uint32_t unit = big_endian ? imgi_get_be16(bytes + at) : imgi_get_le16(bytes + at), low;

        if (unit == 0)
            break;
        if (is_high(unit)) {
            at += 2;
            low = at + 1 >= length ? 0
                  : big_endian     ? imgi_get_be16(bytes + at)
                                   : imgi_get_le16(bytes + at);
            if (!is_low(low))
                return false;
            unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        } else if (is_low(unit)) {
            return false;
        }
        out += put(out, unit);
    }
    *out = '\0';
    return length % 2 == 0;
}
