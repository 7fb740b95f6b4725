/*
 * What is said of a file. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "list.h"

static const char *const keys[KEY_COUNT] = {
    "inode", "mode",  "links", "owner",  "device", "size", "usage",  "atime",
    "mtime", "ctime", "btime", "target", "xattrs", "runs", "sha256",
};

unsigned parse_keys(const char *text)
{
    unsigned wanted = 0;

    for (unsigned n = 0; n < KEY_COUNT; n++) {
        if (strstr(text, keys[n]))
            wanted |= 1u << n;
    }
    return wanted;
}

void put_bytes(const char *bytes, size_t length)
{
    for (size_t n = 0; n < length; n++) {
        if (bytes[n] > ' ' && bytes[n] < 0x7f && bytes[n] != '\\')
            putchar(bytes[n]);
        else
            printf("\\%03o", (uint8_t)bytes[n]);
    }
}

bool wants(const struct list *list, enum key key)
{
    if (!(list->wanted >> key & 1))
        return false;
    printf(" %s=", keys[key]);
    return true;
}

void complain(struct list *list, const char *what, const char *why)
{
    list->failed = true;
    printf(" %s!", what);
    fprintf(stderr, "%s: %s: %s\n", list->path, what, why);
}

static void put_time(const struct list *list, enum key key, int64_t seconds, uint32_t nanoseconds)
{
    if (wants(list, key))
        printf("%" PRId64 ".%09" PRIu32, seconds, nanoseconds);
}

void put_stat(const struct list *list, const img_stat *stat)
{
    if (wants(list, INODE))
        printf("%" PRIu64, stat->inode);
    if (wants(list, MODE))
        printf("%06" PRIo32, stat->mode);
    if (wants(list, LINKS))
        printf("%" PRIu32, stat->links);
    if (wants(list, OWNER))
        printf("%" PRIu32 ":%" PRIu32, stat->uid, stat->gid);
    if (wants(list, DEVICE))
        printf("%" PRIu32 ",%" PRIu32, stat->device_major, stat->device_minor);
    if (wants(list, SIZE))
        printf("%" PRIu64, stat->size);
    if (wants(list, USAGE))
        printf("%" PRIu64, stat->allocated);
    put_time(list, ATIME, stat->atime, stat->atime_nsec);
    put_time(list, MTIME, stat->mtime, stat->mtime_nsec);
    put_time(list, CTIME, stat->ctime, stat->ctime_nsec);
    put_time(list, BTIME, stat->btime, stat->btime_nsec);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **sort_names(char *names, size_t length, size_t *count)
{
    char **sorted = calloc(length + 1, sizeof(*sorted));

    if (!sorted)
        abort();
    *count = 0;
    for (size_t at = 0; at < length; at += strlen(names + at) + 1)
        sorted[(*count)++] = names + at;
    qsort(sorted, *count, sizeof(*sorted), compare_names);
    return sorted;
}

void put_digest(struct list *list)
{
    uint8_t sum[32];

    if (imgi_digest_final(list->digest, sum, NULL) < 0)
        abort();
    for (size_t n = 0; n < sizeof(sum); n++)
        printf("%02x", sum[n]);
}

void add_to_digest(struct list *list, const void *bytes, size_t length)
{
    if (imgi_digest_update(list->digest, bytes, length, NULL) < 0)
        abort();
}

void put_value(struct list *list, const char *name, const void *value, size_t length)
{
    put_bytes(name, strlen(name));
    putchar(':');
    if (length <= 64) {
        put_bytes(value, length);
        return;
    }
    printf("%zu:", length);
    add_to_digest(list, value, length);
    put_digest(list);
}

void push(struct list *list, const char *name)
{
    int length =
        snprintf(list->path + list->length, sizeof(list->path) - list->length, "/%s", name);

    if (length < 0 || list->length + (size_t)length >= sizeof(list->path))
        abort();
    list->length += (size_t)length;
}

void pop(struct list *list, size_t length)
{
    list->length = length;
    list->path[length] = '\0';
}

void put_usage(const img_fs_usage *usage)
{
    printf("block_size=%" PRIu64 " blocks=%" PRIu64 " free=%" PRIu64 " available=%" PRIu64
           " files=%" PRIu64 " files_free=%" PRIu64 " name_max=%" PRIu64 "\n",
           usage->block_size, usage->blocks, usage->blocks_free, usage->blocks_available,
           usage->files, usage->files_free, usage->name_max);
}
