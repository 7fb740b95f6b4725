/*
 * The lines of "img ls". SPDX-License-Identifier: BSD-2-Clause
 *
 * Those of -lR are virt-ls's: the fields and their order were found by running it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ls.h"

#define TIME_TEXT 32

/* What is not in img_stat. Both are for img_free, or NULL. */
struct extras {
    char *target, *checksum;
};

static void find_extras(struct ls *ls, const struct guest_entry *entry, struct extras *extras)
{
    const char *checksum = ls->args->checksum;
    img_file *file = NULL;
    img_error err = {0};
    int rc = 0;

    *extras = (struct extras){0};
    if (S_ISLNK(entry->stat.mode))
        rc = img_fs_readlink(entry->place.fs, entry->place.inode, &extras->target, &err);
    else if (checksum && S_ISREG(entry->stat.mode))
        rc = img_file_open(&file, entry->place.fs, entry->place.inode, &err);
    if (rc == 0 && file)
        rc = img_file_digest(file, checksum, &extras->checksum, &err);
    img_file_close(file);
    if (rc < 0)
        guest_fail(&ls->guest, &err, entry->path);
}

/* ------------------------------------------------------------------ fields */

/* Fields of a line, with blanks or commas between them. */
static void separate(struct ls *ls)
{
    if (ls->begun)
        putchar(ls->args->csv ? ',' : ' ');
    ls->begun = true;
}

static void field(struct ls *ls, const char *format, ...) IMG_PRINTF(2, 3);
static void field(struct ls *ls, const char *format, ...)
{
    va_list args;

    separate(ls);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

/* A field that may hold anything. */
static void text_field(struct ls *ls, const char *text)
{
    separate(ls);
    if (!ls->args->csv || !text[strcspn(text, " ,\"\r\n")]) {
        guest_name(stdout, text);
        return;
    }
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void time_field(struct ls *ls, int64_t seconds)
{
    time_t time = (time_t)seconds;
    char text[TIME_TEXT] = "";
    struct tm local;

    switch (ls->args->time) {
    case LS_TIME_T:
        field(ls, ls->args->csv ? "%" PRId64 : "%10" PRId64, seconds);
        break;
    case LS_TIME_RELATIVE:
        field(ls, ls->args->csv ? "%" PRId64 : "%8" PRId64, ls->now - seconds);
        break;
    case LS_TIME_DAYS:
        field(ls, ls->args->csv ? "%" PRId64 : "%3" PRId64, (ls->now - seconds) / 86400);
        break;
    default:
        if (localtime_r(&time, &local))
            strftime(text, sizeof(text), "%F %T", &local);
        text_field(ls, text);
    }
}

static void size_field(struct ls *ls, uint64_t size)
{
    char text[SIZE_TEXT];

    if (ls->args->human)
        field(ls, ls->args->csv ? "%s" : "%10s", guest_size(text, size));
    else
        field(ls, ls->args->csv ? "%" PRIu64 : "%10" PRIu64, size);
}

/* The numbers that Linux has for /dev/sda1 and its like; others are 0:0. */
static void device_field(struct ls *ls, const char *device)
{
    unsigned number = 0;
    char letter, rest;

    if (sscanf(device, "/dev/sd%c%2u%c", &letter, &number, &rest) >= 1 && letter >= 'a' &&
        letter <= 'p' && number < 16)
        field(ls, "8:%u", (unsigned)(letter - 'a') * 16 + number);
    else
        field(ls, "0:0");
}

static void stats_fields(struct ls *ls, const struct guest_entry *entry)
{
    const img_stat *stat = &entry->stat;

    device_field(ls, img_fs_device(entry->place.fs));
    field(ls, "%" PRIu64, stat->inode);
    field(ls, "%u", stat->links);
    field(ls, "%u:%u", stat->device_major, stat->device_minor);
    field(ls, "%" PRIu64, stat->allocated / 512);
}

static void show_fields(struct ls *ls, const struct guest_entry *entry, const struct extras *extras)
{
    const struct ls_args *args = ls->args;
    const img_stat *stat = &entry->stat;

    ls->begun = false;
    field(ls, "%c", guest_type_letter(stat->mode));
    field(ls, "%04o", stat->mode & 07777);
    size_field(ls, stat->size);
    if (args->uids) {
        field(ls, args->csv ? "%u" : "%4u", stat->uid);
        field(ls, args->csv ? "%u" : "%4u", stat->gid);
    }
    if (args->times) {
        if (!args->no_atime)
            time_field(ls, stat->atime);
        time_field(ls, stat->mtime);
        time_field(ls, stat->ctime);
    }
    if (args->extra_stats)
        stats_fields(ls, entry);
    if (extras->checksum || (args->checksum && args->csv))
        text_field(ls, extras->checksum ? extras->checksum : "");
    text_field(ls, entry->path);
    if (extras->target && args->csv) {
        text_field(ls, extras->target);
    } else if (extras->target) {
        printf(" -> ");
        guest_name(stdout, extras->target);
    }
    putchar('\n');
}

/* --------------------------------------------------------------- the others */

/* As "ls -l" has it. */
static void show_long(struct ls *ls, const struct guest_entry *entry, const struct extras *extras)
{
    const img_stat *stat = &entry->stat;
    char mode[11] = "?rwxrwxrwx", size[SIZE_TEXT], date[TIME_TEXT] = "";
    time_t seconds = (time_t)stat->mtime;
    struct tm local;

    mode[0] = guest_type_letter(stat->mode);
    for (unsigned bit = 0; bit < 9; bit++)
        if (!(stat->mode & (0400u >> bit)))
            mode[1 + bit] = '-';
    if (stat->mode & S_ISUID)
        mode[3] = mode[3] == 'x' ? 's' : 'S';
    if (stat->mode & S_ISGID)
        mode[6] = mode[6] == 'x' ? 's' : 'S';
    if (stat->mode & S_ISVTX)
        mode[9] = mode[9] == 'x' ? 't' : 'T';
    if (localtime_r(&seconds, &local))
        strftime(date, sizeof(date), "%F %R", &local);
    if (S_ISBLK(stat->mode) || S_ISCHR(stat->mode))
        snprintf(size, sizeof(size), "%u, %u", stat->device_major, stat->device_minor);
    else if (ls->args->human)
        guest_size(size, stat->size);
    else
        snprintf(size, sizeof(size), "%" PRIu64, stat->size);
    printf("%s %3u %5u %5u %10s %s ", mode, stat->links, stat->uid, stat->gid, size, date);
    guest_name(stdout, entry->name);
    if (extras->target) {
        printf(" -> ");
        guest_name(stdout, extras->target);
    }
    putchar('\n');
}

static void show_json(struct ls *ls, const struct guest_entry *entry, const struct extras *extras)
{
    struct emit *emit = &ls->emit;

    emit_begin(emit, NULL, '{');
    emit_string(emit, "path", entry->path);
    guest_emit_stat(emit, &entry->stat);
    if (extras->target)
        emit_string(emit, "target", extras->target);
    if (extras->checksum)
        emit_string(emit, ls->args->checksum, extras->checksum);
    emit_end(emit, '}');
}

void ls_show(struct ls *ls, const struct guest_entry *entry)
{
    struct extras extras;
    bool detailed = ls->args->detailed || ls->cli->json;

    if (!detailed) {
        guest_name(stdout, ls->args->recursive ? entry->path + ls->prefix : entry->name);
        putchar('\n');
        return;
    }
    find_extras(ls, entry, &extras);
    if (ls->cli->json)
        show_json(ls, entry, &extras);
    else if (ls->args->recursive || ls->args->csv)
        show_fields(ls, entry, &extras);
    else
        show_long(ls, entry, &extras);
    img_free(extras.target);
    img_free(extras.checksum);
}
