/*
 * Messages. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "view.h"

#define LINE_TEXT 2048

/* libfuse's own messages: it hands on nothing that could say where they go. */
static struct log *libfuse_log;

static void take_libfuse(enum fuse_log_level level, const char *format, va_list args)
{
    char text[LINE_TEXT];
    size_t length;

    (void)level;
    vsnprintf(text, sizeof(text), format, args);
    length = strlen(text);
    if (length > 0 && text[length - 1] == '\n')
        text[length - 1] = '\0';
    log_line(libfuse_log, "%s", text);
}

void log_take_libfuse(struct log *log)
{
    libfuse_log = log;
    fuse_set_log_func(take_libfuse);
}

void log_init(struct log *log)
{
    *log = (struct log){0};
    pthread_mutex_init(&log->lock, NULL);
}

bool log_open(struct log *log, const char *name)
{
    FILE *file = fopen(name, "ae");

    if (!file) {
        log_line(log, "%s: cannot be written to: %s", name, strerror(errno));
        return false;
    }
    setvbuf(file, NULL, _IOLBF, 0);
    log->file = file;
    return true;
}

void log_background(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    log->background = true;
    pthread_mutex_unlock(&log->lock);
    if (!log->file)
        openlog("imgmount", LOG_PID, LOG_DAEMON);
}

/* The lock is held. */
static void write_line(struct log *log, const char *text)
{
    if (!log->background)
        fprintf(stderr, "imgmount: %s\n", text);
    if (log->file) {
        char date[32];
        time_t now = time(NULL);
        struct tm fields;

        localtime_r(&now, &fields);
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &fields);
        fprintf(log->file, "%s imgmount: %s\n", date, text);
    } else if (log->background) {
        syslog(LOG_ERR, "%s", text);
    }
}

/* The lock is held. */
static void tell_repeated(struct log *log)
{
    char text[64];

    if (log->repeated > 0) {
        snprintf(text, sizeof(text), "the last message came %llu times more",
                 (unsigned long long)log->repeated);
        write_line(log, text);
    }
    log->repeated = 0;
}

void log_end(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    tell_repeated(log);
    pthread_mutex_unlock(&log->lock);
    if (log->file)
        fclose(log->file);
    free(log->last);
    pthread_mutex_destroy(&log->lock);
}

static void say(struct log *log, char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    pthread_mutex_lock(&log->lock);
    if (log->last && strcmp(log->last, text) == 0) {
        log->repeated++;
    } else {
        tell_repeated(log);
        free(log->last);
        log->last = strdup(text);
        write_line(log, text);
    }
    pthread_mutex_unlock(&log->lock);
}

void log_line(struct log *log, const char *format, ...)
{
    char text[LINE_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    say(log, text);
}

void log_detail(struct log *log, const char *format, ...)
{
    char text[LINE_TEXT];
    va_list args;

    if (!log->verbose)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    say(log, text);
}

/* The error's own parts, each unless the text names it already. */
static void say_cause(struct log *log, const img_error *err, const char *context)
{
    const char *message = err->message[0] ? err->message : img_strerror(err->code);
    bool placed = err->place[0] && !strstr(message, err->place);
    bool named = err->image[0] && !strstr(context, err->image) && !strstr(message, err->image);

    log_line(log, "%s%s%s%s%s%s%s", context, context[0] ? ": " : "", named ? err->image : "",
             named ? ": " : "", placed ? err->place : "", placed ? ": " : "", message);
}

bool log_error(struct log *log, const img_error *err, const char *format, ...)
{
    char context[LINE_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(context, sizeof(context), format, args);
    va_end(args);
    say_cause(log, err, context);
    return false;
}

void log_notice(void *opaque, const char *text)
{
    log_line(opaque, "%s", text);
}
