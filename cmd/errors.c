/*
 * What the command says when something is wrong. SPDX-License-Identifier: BSD-2-Clause
 *
 * An error is one line on stderr that begins with the program's name; after --output=json it is one
 * JSON object on one line, so that a pipeline need not parse text. The first error of a run is the
 * one that is said: callers return as soon as a function here has returned false.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cmd.h"

/* A place, a separator and a message. */
#define CAUSE_TEXT (IMG_ERROR_PLACE + IMG_ERROR_TEXT + IMG_ERROR_IMAGE + 32)
#define CONTEXT_TEXT 1024

/* The name of a code in JSON; part of the interface. */
static const char *code_name(int code)
{
    static const struct {
        int code;
        const char *name;
    } names[] = {
        {IMG_E_NOMEM, "nomem"},
        {IMG_E_IO, "io"},
        {IMG_E_FORMAT, "format"},
        {IMG_E_CORRUPT, "corrupt"},
        {IMG_E_UNSUPPORTED, "unsupported"},
        {IMG_E_LIMIT, "limit"},
        {IMG_E_INVAL, "inval"},
        {IMG_E_RANGE, "range"},
        {IMG_E_RDONLY, "rdonly"},
        {IMG_E_EXISTS, "exists"},
        {IMG_E_NOENT, "noent"},
        {IMG_E_BUSY, "busy"},
        {IMG_E_NOSPACE, "nospace"},
        {IMG_E_CANCELLED, "cancelled"},
        {IMG_E_DENIED, "denied"},
    };

    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
        if (names[n].code == code)
            return names[n].name;
    return "internal";
}

static void say_json(const img_error *err, const char *message)
{
    fputs("{\"error\": {\"code\": ", stderr);
    emit_text(stderr, code_name(err->code));
    fputs(", \"image\": ", stderr);
    emit_text(stderr, err->image);
    fputs(", \"place\": ", stderr);
    emit_text(stderr, err->place);
    fputs(", \"message\": ", stderr);
    emit_text(stderr, message);
    fputs("}}\n", stderr);
}

/* One error, one line. */
static void say_line(const char *program, const char *kind, const char *text, const char *hint)
{
    fprintf(stderr, "%s: %s", program, kind);
    output_text(stderr, text);
    fprintf(stderr, "%s\n", hint);
}

static void fail(struct cli *cli, int code, const char *hint, const char *format, va_list args)
{
    img_error err = {.code = code};
    char text[IMG_ERROR_TEXT];

    vsnprintf(text, sizeof(text), format, args);
    if (cli->json)
        say_json(&err, text);
    else
        say_line(cli->program, "", text, hint);
    cli->status = cli->fail_status;
}

bool cli_fail(struct cli *cli, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fail(cli, IMG_E_INVAL, "", format, args);
    va_end(args);
    return false;
}

bool cli_fail_code(struct cli *cli, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fail(cli, code, "", format, args);
    va_end(args);
    return false;
}

bool cli_fail_nomem(struct cli *cli)
{
    return cli_fail_code(cli, IMG_E_NOMEM, "out of memory");
}

bool cli_fail_usage(struct cli *cli, const char *format, ...)
{
    char hint[128];
    va_list args;

    snprintf(hint, sizeof(hint), " (try '%s %s%s--help')", cli->program,
             cli->command ? cli->command->name : "", cli->command ? " " : "");
    va_start(args, format);
    fail(cli, IMG_E_INVAL, hint, format, args);
    va_end(args);
    cli->status = 1;
    return false;
}

/* The cause with its place in front, unless the text names the place itself. */
static void cause_text(char text[CAUSE_TEXT], const img_error *err)
{
    const char *message = err->message[0] ? err->message : img_strerror(err->code);
    bool placed = err->place[0] && !strstr(message, err->place);

    snprintf(text, CAUSE_TEXT, "%s%s%s", placed ? err->place : "", placed ? ": " : "", message);
}

/* Errors of open(2) and its like, which are about a name and not about what is in a file. */
static bool is_name_errno(int os_errno)
{
    static const int about_names[] = {ENOENT, EACCES, EPERM,        ENOTDIR, EISDIR,
                                      ELOOP,  EROFS,  ENAMETOOLONG, ENXIO,   ETXTBSY};

    for (size_t n = 0; n < sizeof(about_names) / sizeof(about_names[0]); n++)
        if (os_errno == about_names[n])
            return true;
    return false;
}

/*
 * The cause of a failed open or creation, in qemu-img's words where it is a file's name that is at
 * fault: of "Could not open backing file: cannot be opened: No such file or directory" the middle
 * part becomes "Could not open 'name'". The library ends such a text with the system's own.
 */
static void name_cause_text(char text[CAUSE_TEXT], const img_error *err, const char *verb)
{
    const char *reason = strerror(err->os_errno), *cut, *next;
    size_t length = strlen(err->message), tail = strlen(reason) + 2;
    char before[IMG_ERROR_TEXT];

    cause_text(text, err);
    if (!is_name_errno(err->os_errno) || !err->image[0] || length <= tail ||
        strcmp(err->message + length - tail + 2, reason) != 0)
        return;
    snprintf(before, sizeof(before), "%.*s", (int)(length - tail), err->message);
    cut = before;
    while ((next = strstr(cut, ": ")))
        cut = next + 2;
    snprintf(text, CAUSE_TEXT, "%.*sCould not %s '%s': %s", (int)(cut - before), before, verb,
             err->image, reason);
}

/* A line that scripts look for in what qemu-img says of an image in use. */
static void say_in_use(const img_error *err)
{
    fputs("Is another process using the image [", stderr);
    output_text(stderr, err->image);
    fputs("]?\n", stderr);
}

static bool say_cause(struct cli *cli, const img_error *err, const char *context, const char *cause)
{
    char text[CONTEXT_TEXT + CAUSE_TEXT];

    /* Who pressed ctrl-C knows why it ended; a program that reads JSON may not. */
    if (err->code == IMG_E_CANCELLED && signals_stopped(cli)) {
        if (cli->json)
            say_json(err, err->message);
        return false;
    }
    snprintf(text, sizeof(text), "%s%s%s", context, context[0] ? ": " : "", cause);
    if (cli->json)
        say_json(err, cause);
    else
        say_line(cli->program, "", text, "");
    if (!cli->json && strcmp(err->place, "lock") == 0)
        say_in_use(err);
    cli->status = cli->fail_status;
    return false;
}

bool cli_fail_error(struct cli *cli, const img_error *err, const char *format, ...)
{
    char context[CONTEXT_TEXT], cause[CAUSE_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    cause_text(cause, err);
    return say_cause(cli, err, context, cause);
}

bool cli_fail_open(struct cli *cli, const img_error *err, const char *name)
{
    char context[CONTEXT_TEXT], cause[CAUSE_TEXT];
    bool other = err->image[0] && !strstr(name, err->image);

    snprintf(context, sizeof(context), "Could not open '%s'", name);
    name_cause_text(cause, err, "open");
    if (other && !strstr(cause, err->image))
        snprintf(context, sizeof(context), "Could not open '%s': %s", name, err->image);
    return say_cause(cli, err, context, cause);
}

bool cli_fail_create(struct cli *cli, const img_error *err, const char *name, const char *format,
                     ...)
{
    char context[CONTEXT_TEXT], cause[CAUSE_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    name_cause_text(cause, err, strcmp(err->image, name) == 0 ? "create" : "open");
    return say_cause(cli, err, context, cause);
}

void cli_warn(struct cli *cli, const char *format, ...)
{
    char text[IMG_ERROR_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (cli->json) {
        fputs("{\"warning\": {\"message\": ", stderr);
        emit_text(stderr, text);
        fputs("}}\n", stderr);
    } else {
        say_line(cli->program, "warning: ", text, "");
    }
}
