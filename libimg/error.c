/*
 * Errors: filled where a failure is seen, read by the caller.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * An img_error is a plain value that its caller owns: there is nothing to
 * lock. Texts may quote names that stand in an image, so what a terminal would act on
 * is replaced: an error is one line of printable text, whatever the image says.
 */
#include "error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const code_texts[] = {
    [-IMG_OK] = "no error",
    [-IMG_E_NOMEM] = "out of memory",
    [-IMG_E_IO] = "input/output error",
    [-IMG_E_FORMAT] = "wrong image format",
    [-IMG_E_CORRUPT] = "damaged image",
    [-IMG_E_UNSUPPORTED] = "not supported",
    [-IMG_E_LIMIT] = "over a limit of the policy",
    [-IMG_E_INVAL] = "invalid argument",
    [-IMG_E_RANGE] = "out of range",
    [-IMG_E_RDONLY] = "not open for writing",
    [-IMG_E_EXISTS] = "exists already",
    [-IMG_E_NOENT] = "no such file or object",
    [-IMG_E_BUSY] = "in use by another process",
    [-IMG_E_NOSPACE] = "no space left",
    [-IMG_E_CANCELLED] = "cancelled",
    [-IMG_E_DENIED] = "forbidden by the policy",
    [-IMG_E_INTERNAL] = "internal error",
};

const char *img_strerror(int code)
{
    if (code > 0 || code <= -(int)(sizeof(code_texts) / sizeof(code_texts[0])))
        return "unknown error";
    return code_texts[-code];
}

/* Make every control character a '?'. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

/* Format into buffer, cut to fit. */
static void format_line(char *buffer, size_t size, const char *format, va_list args)
{
    if (vsnprintf(buffer, size, format, args) < 0)
        buffer[0] = '\0';
    make_printable(buffer);
}

/* Put text behind what is in buffer, cut to fit. */
static void append(char *buffer, size_t size, const char *text)
{
    size_t used = strlen(buffer);
    size_t room = size - 1 - used;
    size_t length = strnlen(text, room);

    memcpy(buffer + used, text, length);
    buffer[used + length] = '\0';
}

static void fill(img_error *err, int code, int os_errno, const char *format, va_list args)
{
    if (!err)
        return;
    err->code = code;
    err->os_errno = os_errno;
    err->image[0] = '\0';
    err->place[0] = '\0';
    format_line(err->message, sizeof(err->message), format, args);
}

int imgi_fail(img_error *err, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, code, 0, format, args);
    va_end(args);
    return code;
}

static int code_of_errno(int os_errno)
{
    switch (os_errno) {
    case ENOENT:
    case ENOTDIR:
        return IMG_E_NOENT;
    case EEXIST:
        return IMG_E_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return IMG_E_NOSPACE;
    case ENOMEM:
        return IMG_E_NOMEM;
    case EROFS:
        return IMG_E_RDONLY;
    case EBUSY:
    case ETXTBSY:
        return IMG_E_BUSY;
    default:
        return IMG_E_IO;
    }
}

int imgi_fail_errno(img_error *err, int os_errno, const char *format, ...)
{
    int code = code_of_errno(os_errno);
    char reason[128];
    va_list args;

    va_start(args, format);
    fill(err, code, os_errno, format, args);
    va_end(args);
    if (err) {
        /* The GNU strerror_r: the text is in reason or is a constant. */
        const char *text = strerror_r(os_errno, reason, sizeof(reason));

        append(err->message, sizeof(err->message), ": ");
        append(err->message, sizeof(err->message), text);
    }
    return code;
}

int imgi_fail_nomem(img_error *err, const char *what)
{
    return imgi_fail(err, IMG_E_NOMEM, "out of memory for %s", what);
}

void imgi_error_prefix(img_error *err, const char *format, ...)
{
    char message[IMG_ERROR_TEXT];
    va_list args;

    if (!err)
        return;
    va_start(args, format);
    format_line(message, sizeof(message), format, args);
    va_end(args);
    append(message, sizeof(message), ": ");
    append(message, sizeof(message), err->message);
    memcpy(err->message, message, sizeof(message));
}

void imgi_error_image(img_error *err, const char *image)
{
    if (!err || err->image[0] != '\0')
        return;
    append(err->image, sizeof(err->image), image);
    make_printable(err->image);
}

void imgi_error_place(img_error *err, const char *format, ...)
{
    va_list args;

    if (!err || err->place[0] != '\0')
        return;
    va_start(args, format);
    format_line(err->place, sizeof(err->place), format, args);
    va_end(args);
}
