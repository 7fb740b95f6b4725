/*
 * Text in the making. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_TEXT_H
#define IMGI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed to begin with. bytes is malloc'd and NUL-terminated; NULL while nothing was added. */
struct imgi_text {
    char *bytes;
    size_t length, room;
    bool failed; /* there was no memory; nothing more is added */
};

void imgi_text_add(struct imgi_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
