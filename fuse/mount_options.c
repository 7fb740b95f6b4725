/*
 * "-o": what mount(8) and fstab say. SPDX-License-Identifier: BSD-2-Clause
 *
 * Some options are libfuse's, some our own, and some mean nothing here: mount(8) hands on all that
 * it finds. Device nodes can never be opened, and files never run with their owner's rights, since
 * who made the image is not who mounts it; "dev" and "suid", which mount(8) adds by itself, change
 * nothing about that.
 */
#include <stdlib.h>
#include <string.h>

#include "imgmount.h"

enum meaning { MEANS_NOTHING, MEANS_FUSE, MEANS_OTHERS, MEANS_CHECKED };

/* By name; those with "=" at their end have a value. */
static const struct {
    const char *name;
    enum meaning meaning;
} options[] = {
    {"rw", MEANS_NOTHING},
    {"loop", MEANS_NOTHING},
    {"dev", MEANS_NOTHING},
    {"nodev", MEANS_NOTHING},
    {"suid", MEANS_NOTHING},
    {"nosuid", MEANS_NOTHING},
    {"defaults", MEANS_NOTHING},
    {"auto", MEANS_NOTHING},
    {"noauto", MEANS_NOTHING},
    {"user", MEANS_NOTHING},
    {"nouser", MEANS_NOTHING},
    {"users", MEANS_NOTHING},
    {"owner", MEANS_NOTHING},
    {"nofail", MEANS_NOTHING},
    {"_netdev", MEANS_NOTHING},
    {"exec", MEANS_FUSE},
    {"noexec", MEANS_FUSE},
    {"atime", MEANS_FUSE},
    {"noatime", MEANS_FUSE},
    {"sync", MEANS_FUSE},
    {"async", MEANS_FUSE},
    {"dirsync", MEANS_FUSE},
    {"subtype=", MEANS_FUSE},
    {"fsname=", MEANS_FUSE},
    {"auto_unmount", MEANS_FUSE},
    {"context=", MEANS_FUSE},
    {"allow_other", MEANS_OTHERS},
    {"allow_root", MEANS_FUSE},
    {"default_permissions", MEANS_CHECKED},
};

static bool no_memory(struct log *log)
{
    log_line(log, "out of memory");
    return false;
}

/* Hand an option on to libfuse, as it was written. */
static bool hand_on(struct args *args, struct log *log, const char *text, size_t length)
{
    size_t before = args->fuse_options ? strlen(args->fuse_options) + 1 : 0;
    char *list = realloc(args->fuse_options, before + length + 1);

    if (!list)
        return no_memory(log);
    args->fuse_options = list;
    if (before > 0)
        list[before - 1] = ',';
    memcpy(list + before, text, length);
    list[before + length] = '\0';
    return true;
}

/* A copy of a value, without the backslashes in front of commas, that lives as long as args. */
static const char *keep(struct args *args, const char *text, size_t length)
{
    char **texts = reallocarray(args->texts, args->text_count + 1, sizeof(*texts));
    char *copy = malloc(length + 1), *to = copy;

    if (texts)
        args->texts = texts;
    if (!texts || !copy) {
        free(copy);
        return NULL;
    }
    for (size_t n = 0; n < length; n++) {
        if (text[n] == '\\' && n + 1 < length)
            n++;
        *to++ = text[n];
    }
    *to = '\0';
    texts[args->text_count++] = copy;
    return copy;
}

/* The place of a known option in the table, or -1. length is that of its name, with the "=". */
static int find(const char *text, size_t length)
{
    for (size_t n = 0; n < sizeof(options) / sizeof(options[0]); n++)
        if (strlen(options[n].name) == length && memcmp(options[n].name, text, length) == 0)
            return (int)n;
    return -1;
}

static bool take_known(struct args *args, struct log *log, enum meaning meaning, const char *text,
                       size_t length)
{
    switch (meaning) {
    case MEANS_NOTHING:
        return true;
    case MEANS_OTHERS:
        args->allow_other = true;
        return hand_on(args, log, text, length);
    case MEANS_CHECKED:
        args->default_permissions = true;
        return true;
    case MEANS_FUSE:
        break;
    }
    if (strncmp(text, "fsname=", 7) == 0)
        args->fsname_given = true;
    if (strncmp(text, "subtype=", 8) == 0)
        args->subtype_given = true;
    return hand_on(args, log, text, length);
}

/* One of our own. */
static bool take_own(struct args *args, struct log *log, const char *text, size_t length)
{
    size_t name_length = 0;
    bool wants_value, has_value;
    const char *value = NULL;
    int key;

    while (name_length < length && text[name_length] != '=')
        name_length++;
    has_value = name_length < length;
    key = options_key(text, name_length, &wants_value);
    if (key == 0 || has_value != wants_value) {
        log_line(log, "%s mount option '%.*s'", key == 0 ? "unknown" : "wrong use of",
                 (int)name_length, text);
        return false;
    }
    if (has_value) {
        value = keep(args, text + name_length + 1, length - name_length - 1);
        if (!value)
            return no_memory(log);
    }
    return options_take(args, log, key, value);
}

static bool take_one(struct args *args, struct log *log, const char *text, size_t length)
{
    const char *equals = memchr(text, '=', length);
    int known = find(text, equals ? (size_t)(equals - text) + 1 : length);

    if (length == 0 || strncmp(text, "x-", 2) == 0)
        return true; /* "x-systemd.automount" and its like are for others */
    if (known >= 0)
        return take_known(args, log, options[known].meaning, text, length);
    return take_own(args, log, text, length);
}

bool mount_options_take(struct args *args, struct log *log, const char *text)
{
    for (;;) {
        size_t length = 0;

        while (text[length] && text[length] != ',')
            length += text[length] == '\\' && text[length + 1] ? 2 : 1;
        if (!take_one(args, log, text, length))
            return false;
        if (!text[length])
            return true;
        text += length + 1;
    }
}
