/*
 * How a guest's files are shown. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

void guest_name(FILE *out, const char *name)
{
    const unsigned char *at = (const unsigned char *)name;

    if (!isatty(fileno(out))) {
        fputs(name, out);
        return;
    }
    for (; *at; at++) {
        bool control = *at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0);

        fputc(control ? '?' : *at, out);
        at += *at == 0xc2 && control;
    }
}

char guest_type_letter(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return '-';
    case S_IFDIR:
        return 'd';
    case S_IFLNK:
        return 'l';
    case S_IFBLK:
        return 'b';
    case S_IFCHR:
        return 'c';
    case S_IFIFO:
        return 'p';
    case S_IFSOCK:
        return 's';
    default:
        return 'u';
    }
}

const char *guest_type_name(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "link";
    case S_IFBLK:
        return "block-device";
    case S_IFCHR:
        return "character-device";
    case S_IFIFO:
        return "pipe";
    case S_IFSOCK:
        return "socket";
    default:
        return "unknown";
    }
}

const char *guest_size(char text[SIZE_TEXT], uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    double value = (double)bytes;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(text, SIZE_TEXT, "%" PRIu64, bytes);
        return text;
    }
    for (value /= 1024; value >= 1024 && units[unit + 1]; unit++)
        value /= 1024;
    snprintf(text, SIZE_TEXT, value < 10 ? "%.1f%c" : "%.0f%c", value, units[unit]);
    return text;
}

static void emit_time(struct emit *emit, const char *key, int64_t seconds, uint32_t nanoseconds)
{
    struct tm utc;
    time_t time = (time_t)seconds;
    char text[64] = "";
    size_t used = gmtime_r(&time, &utc) ? strftime(text, sizeof(text), "%FT%T", &utc) : 0;

    snprintf(text + used, sizeof(text) - used, ".%09uZ", nanoseconds);
    emit_string(emit, key, text);
}

void guest_emit_stat(struct emit *emit, const img_stat *stat)
{
    char mode[8];

    snprintf(mode, sizeof(mode), "%04o", stat->mode & 07777);
    emit_string(emit, "type", guest_type_name(stat->mode));
    emit_string(emit, "mode", mode);
    emit_uint(emit, "uid", stat->uid);
    emit_uint(emit, "gid", stat->gid);
    emit_uint(emit, "size", stat->size);
    emit_uint(emit, "allocated", stat->allocated);
    emit_uint(emit, "inode", stat->inode);
    emit_uint(emit, "links", stat->links);
    if (S_ISBLK(stat->mode) || S_ISCHR(stat->mode)) {
        emit_uint(emit, "device-major", stat->device_major);
        emit_uint(emit, "device-minor", stat->device_minor);
    }
    emit_time(emit, "atime", stat->atime, stat->atime_nsec);
    emit_time(emit, "mtime", stat->mtime, stat->mtime_nsec);
    emit_time(emit, "ctime", stat->ctime, stat->ctime_nsec);
}
