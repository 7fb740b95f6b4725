/*
 * Writing JSON. SPDX-License-Identifier: BSD-2-Clause
 *
 * Only what the command needs: values in the order they are said, indented as qemu-img does it, and
 * strings that are valid whatever bytes a file name holds.
 */
#include <inttypes.h>
#include <string.h>

#include "cmd.h"

/* The length of the UTF-8 sequence at text (RFC 3629), or 0 where there is none. */
static size_t utf8_length(const unsigned char *text)
{
    size_t length = text[0] < 0x80   ? 1
                    : text[0] < 0xc2 ? 0
                    : text[0] < 0xe0 ? 2
                    : text[0] < 0xf0 ? 3
                    : text[0] < 0xf5 ? 4
                                     : 0;

    for (size_t n = 1; n < length; n++)
        if ((text[n] & 0xc0) != 0x80)
            return 0;
    /* Not the overlong forms, the surrogates, and what lies past U+10FFFF. */
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

void emit_text(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    fputc('"', out);
    while (*at) {
        size_t length = utf8_length(at);

        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at == '\n')
            fputs("\\n", out);
        else if (*at < 0x20 || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else if (length)
            fwrite(at, 1, length, out);
        else
            fputs("\\ufffd", out);
        at += length ? length : 1;
    }
    fputc('"', out);
}

/* Begin a value: the comma after the last one, a new line, the indent, the key. */
static void value_begin(struct emit *emit, const char *key)
{
    if (emit->inner)
        fputc(',', emit->out);
    if (emit->depth)
        fprintf(emit->out, "\n%*s", (int)(4 * emit->depth), "");
    if (key) {
        emit_text(emit->out, key);
        fputs(": ", emit->out);
    }
    emit->inner = true;
}

void emit_begin(struct emit *emit, const char *key, char bracket)
{
    value_begin(emit, key);
    fputc(bracket, emit->out);
    emit->depth++;
    emit->inner = false;
}

void emit_end(struct emit *emit, char bracket)
{
    emit->depth--;
    fprintf(emit->out, "\n%*s%c", (int)(4 * emit->depth), "", bracket);
    emit->inner = true;
    if (emit->depth == 0)
        fputc('\n', emit->out);
}

void emit_string(struct emit *emit, const char *key, const char *value)
{
    value_begin(emit, key);
    emit_text(emit->out, value);
}

void emit_uint(struct emit *emit, const char *key, uint64_t value)
{
    value_begin(emit, key);
    fprintf(emit->out, "%" PRIu64, value);
}

void emit_bool(struct emit *emit, const char *key, bool value)
{
    value_begin(emit, key);
    fputs(value ? "true" : "false", emit->out);
}
