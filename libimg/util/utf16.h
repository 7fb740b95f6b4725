/*
 * Text of other systems. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_UTF16_H
#define IMGI_UTF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * UTF-16 of so many bytes, which ends at the first NUL, as UTF-8 in out, which holds
 * IMGI_UTF8_ROOM(length) bytes. False: there is half a character, or half a pair.
 */
#define IMGI_UTF8_ROOM(length) ((length) / 2 * 3 + 1)
bool imgi_utf16_decode(const uint8_t *bytes, size_t length, bool big_endian, char *out);

#endif
