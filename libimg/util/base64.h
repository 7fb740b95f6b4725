/*
 * Base 64 (RFC 4648). SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_BASE64_H
#define IMGI_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * In place: the result is never longer; what is left of the text behind it becomes zeros. The
 * characters of `ignored` may stand anywhere; '=' only at the end, where it makes the digits a
 * multiple of four. Returns false for anything else.
 */
bool imgi_base64_decode(uint8_t *text, size_t *length, const char *ignored);

#endif
