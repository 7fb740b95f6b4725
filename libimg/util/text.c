/*
 * Text in the making. SPDX-License-Identifier: BSD-2-Clause
 */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void imgi_text_add(struct imgi_text *text, const char *format, ...)
{
    char *more = NULL, *bytes;
    va_list args;
    int length;

    if (text->failed)
        return;
    va_start(args, format);
    length = vasprintf(&more, format, args);
    va_end(args);
    bytes = length >= 0 ? realloc(text->bytes, text->length + (size_t)length + 1) : NULL;
    text->failed = !bytes;
    if (bytes) {
        memcpy(bytes + text->length, more, (size_t)length + 1);
        text->bytes = bytes;
        text->length += (size_t)length;
    }
    if (length >= 0)
        free(more);
}
