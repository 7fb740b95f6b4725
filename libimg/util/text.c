/*
 * Text in the making. SPDX-License-Identifier: BSD-2-Clause
 */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Room for so many characters more and the NUL; twice as much each time, so that many additions
 * take no longer than their length. */
static bool make_room(struct imgi_text *text, size_t length)
{
    size_t room = 2 * text->room + length + 1;
    char *bytes;

    if (text->length + length < text->room)
        return true;
    bytes = realloc(text->bytes, room);
    if (!bytes)
        return false;
    text->bytes = bytes;
    text->room = room;
    return true;
}

void imgi_text_add(struct imgi_text *text, const char *format, ...)
{
    va_list args, again;
    int length;

    if (text->failed)
        return;
    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    text->failed = length < 0 || !make_room(text, (size_t)length);
    if (!text->failed) {
        vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
    va_end(args);
}
