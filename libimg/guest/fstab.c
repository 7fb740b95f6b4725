/*
 * fstab(5), as far as it is about devices. SPDX-License-Identifier: BSD-2-Clause
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tree.h"

#define ENTRIES_MAX 256u /* more mounts than any guest has */

enum { FIELD_DEVICE, FIELD_PATH, FIELD_TYPE, FIELD_OPTIONS, FIELDS };

/* --------------------------------------------------------------- decoding */

static bool is_octal(const char *text)
{
    return text[0] >= '0' && text[0] <= '3' && text[1] >= '0' && text[1] <= '7' && text[2] >= '0' &&
           text[2] <= '7';
}

/* "\040" is a space, in place. */
static void decode_octal(char *text)
{
    char *to = text;

    for (; *text; text++) {
        if (*text == '\\' && is_octal(text + 1) && memcmp(text, "\\000", 4) != 0) {
            *to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 3;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
}

/* "\x20" is a space, as udev has it in the names of links. */
static void decode_hex(char *text)
{
    char *to = text;

    for (; *text; text++) {
        if (text[0] == '\\' && text[1] == 'x' && isxdigit((unsigned char)text[2]) &&
            isxdigit((unsigned char)text[3])) {
            char digits[3] = {text[2], text[3], '\0'};

            *to++ = (char)strtoul(digits, NULL, 16);
            text += 3;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
}

/* Without doubled slashes, and one at the end, in place. */
static void tidy_path(char *path)
{
    char *to = path;

    for (const char *at = path; *at; at++)
        if (*at != '/' || to == path || to[-1] != '/')
            *to++ = *at;
    if (to - path > 1 && to[-1] == '/')
        to--;
    *to = '\0';
}

/* ---------------------------------------------------------------- devices */

static const char *behind(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static char *join(const char *before, const char *text)
{
    char *joined;

    return asprintf(&joined, "%s%s", before, text) < 0 ? NULL : joined;
}

/* UUID=x, LABEL="x", and the links that udev makes for them. */
static char *tagged_device(const char *spec)
{
    static const struct {
        const char *link, *tag;
    } tags[] = {
        {"/dev/disk/by-uuid/", "UUID="},
        {"/dev/disk/by-label/", "LABEL="},
        {"/dev/disk/by-partuuid/", "PARTUUID="},
        {"/dev/disk/by-partlabel/", "PARTLABEL="},
    };

    for (size_t n = 0; n < IMGI_COUNT(tags); n++) {
        const char *link = behind(spec, tags[n].link), *value = behind(spec, tags[n].tag);
        char *device =
            link || value ? join(tags[n].tag, link ? link : value + (*value == '"')) : NULL;

        if (device && link)
            decode_hex(device);
        if (device && value && device[strlen(device) - 1] == '"')
            device[strlen(device) - 1] = '\0';
        if (device)
            return device;
    }
    return NULL;
}

/* The device mapper's name of a logical volume, "group-volume", where "-" in a name is doubled. */
static char *logical_device(const char *name)
{
    char *device = join("/dev/", name), *to;
    bool split = false;

    if (!device)
        return NULL;
    to = device + strlen("/dev/");
    for (; *name; name++) {
        bool dash = *name == '-' && name[1] != '-' && !split;

        *to++ = dash ? '/' : *name;
        split = split || dash;
        if (*name == '-' && name[1] == '-')
            name++;
    }
    *to = '\0';
    return device;
}

/* /dev/vda1, /dev/nvme0n1p1 and /dev/mmcblk0p1 are the first partition of the first disk. */
static char *disk_device(const char *spec)
{
    static const char *const lettered[] = {"/dev/vd", "/dev/xvd", "/dev/hd"};
    unsigned disk, partition;
    char *device, rest;

    for (size_t n = 0; n < IMGI_COUNT(lettered); n++)
        if (behind(spec, lettered[n]))
            return join("/dev/sd", behind(spec, lettered[n]));
    if ((sscanf(spec, "/dev/nvme%2un1p%4u%c", &disk, &partition, &rest) == 2 ||
         sscanf(spec, "/dev/mmcblk%2up%4u%c", &disk, &partition, &rest) == 2) &&
        disk < 26)
        return asprintf(&device, "/dev/sd%c%u", 'a' + (char)disk, partition) < 0 ? NULL : device;
    return NULL;
}

/* The name that the guest's volumes may go by; NULL for what is no device, and without memory. */
static char *device_of(const char *spec)
{
    const char *mapped = behind(spec, "/dev/mapper/");
    char *device = tagged_device(spec);

    if (!device)
        device = disk_device(spec);
    if (!device && mapped && strchr(mapped, '-') && !behind(mapped, "luks-"))
        device = logical_device(mapped);
    if (!device && behind(spec, "/dev/"))
        device = strdup(spec);
    return device;
}

/* ------------------------------------------------------------------ lines */

/* Drives of the host's whose media are not the guest's disks. */
static bool is_drive(const char *spec)
{
    return behind(spec, "/dev/fd") || behind(spec, "/dev/sr") || behind(spec, "/dev/scd") ||
           behind(spec, "/dev/cdrom") || behind(spec, "/dev/floppy");
}

static bool has_option(const char *options, const char *name)
{
    size_t length = strlen(name);

    for (; *options; options += strcspn(options, ","), options += *options == ',')
        if (strncmp(options, name, length) == 0 &&
            (options[length] == ',' || options[length] == '\0'))
            return true;
    return false;
}

/* Cut a line into its fields, in place. */
static bool split(char *line, char *fields[FIELDS])
{
    char *state = NULL;

    for (size_t n = 0; n < FIELDS; n++) {
        fields[n] = strtok_r(n == 0 ? line : NULL, " \t\r", &state);
        if (n == 0 && fields[0] && fields[0][0] == '#')
            return false;
        if (!fields[n] && n < FIELD_OPTIONS)
            return false;
    }
    decode_octal(fields[FIELD_DEVICE]);
    decode_octal(fields[FIELD_PATH]);
    tidy_path(fields[FIELD_PATH]);
    return true;
}

/* With btrfs's option subvol=PATH, that subvolume of the device, which is freed. */
static char *subvolume_of(char *device, const char *options)
{
    const char *path = NULL;
    char *subvolume;

    for (; *options; options += strcspn(options, ","), options += *options == ',')
        if (behind(options, "subvol="))
            path = behind(options, "subvol=");
    if (!device || !path)
        return device;
    path += strspn(path, "/");
    if (strcspn(path, ",") == 0)
        return device;
    if (asprintf(&subvolume, IMGI_SUBVOLUME "%s/%.*s", device, (int)strcspn(path, ","), path) < 0)
        subvolume = NULL;
    free(device);
    return subvolume;
}

static int add(struct imgi_fstab *fstab, char *const fields[FIELDS], img_error *err)
{
    const char *options = fields[FIELD_OPTIONS] ? fields[FIELD_OPTIONS] : "";
    struct imgi_fstab_entry entry = {.order = fstab->count};
    struct imgi_fstab_entry *entries;

    if (is_drive(fields[FIELD_DEVICE]) || fields[FIELD_PATH][0] != '/' ||
        strcmp(fields[FIELD_TYPE], "swap") == 0)
        return 0;
    entry.device = device_of(fields[FIELD_DEVICE]);
    if (strcmp(fields[FIELD_TYPE], "btrfs") == 0)
        entry.device = subvolume_of(entry.device, options);
    if (!entry.device)
        return 0;
    entry.path = strdup(fields[FIELD_PATH]);
    entry.optional = has_option(options, "noauto") || has_option(options, "nofail");
    entries = reallocarray(fstab->entries, fstab->count + 1, sizeof(*entries));
    if (entries)
        fstab->entries = entries;
    if (!entries || !entry.path) {
        free(entry.device);
        free(entry.path);
        return imgi_fail_nomem(err, "fstab");
    }
    entries[fstab->count++] = entry;
    return 0;
}

/* A directory comes before those in it; of two for one mount point the later is on top. */
static int compare(const void *a, const void *b)
{
    const struct imgi_fstab_entry *first = a, *second = b;
    int order = strcmp(first->path, second->path);

    return order ? order : first->order < second->order ? -1 : 1;
}

int imgi_fstab_parse(struct imgi_fstab *fstab, const char *text, size_t length, img_error *err)
{
    char *copy = strndup(text, length), *fields[FIELDS], *state = NULL;
    int rc = 0;

    *fstab = (struct imgi_fstab){0};
    if (!copy)
        return imgi_fail_nomem(err, "fstab");
    for (char *line = strtok_r(copy, "\n", &state); rc == 0 && line && fstab->count < ENTRIES_MAX;
         line = strtok_r(NULL, "\n", &state))
        if (split(line, fields))
            rc = add(fstab, fields, err);
    free(copy);
    if (fstab->count > 0)
        qsort(fstab->entries, fstab->count, sizeof(*fstab->entries), compare);
    if (rc < 0)
        imgi_fstab_free(fstab);
    return rc;
}

void imgi_fstab_free(struct imgi_fstab *fstab)
{
    for (size_t n = 0; n < fstab->count; n++) {
        free(fstab->entries[n].device);
        free(fstab->entries[n].path);
    }
    free(fstab->entries);
    *fstab = (struct imgi_fstab){0};
}
