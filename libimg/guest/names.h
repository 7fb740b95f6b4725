/*
 * Names of files in UTF-16. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_NAMES_H
#define IMGI_NAMES_H

#include "guest.h"

#define IMGI_NAME_UNITS 255
#define IMGI_NAME_ROOM IMGI_UTF8_ROOM(2 * IMGI_NAME_UNITS)

/*
 * As UTF-8, with a 0 byte behind; returns its length. units is IMGI_NAME_UNITS at most. Half of a
 * pair, which UTF-8 has no bytes for, becomes U+FFFD.
 */
size_t imgi_name_decode(const uint8_t *name, size_t units, bool big_endian,
                        char out[IMGI_NAME_ROOM]);

/* Seconds since 1970 of a date, read as UTC, which need not be one. */
int64_t imgi_date_seconds(int year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                          unsigned second);

#endif
