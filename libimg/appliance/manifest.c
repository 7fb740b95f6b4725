/*
 * Reading and writing manifests. SPDX-License-Identifier: BSD-2-Clause
 */
#include "manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../util/checked.h"

/* Lines beyond what any appliance has: a file each, and an appliance has 4096 at most. */
#define ENTRIES_MAX 4096u

struct algorithm {
    const char *name;
    enum imgi_hash hash;
};

static const struct algorithm algorithms[] = {
    {"SHA1", IMGI_HASH_SHA1},
    {"SHA256", IMGI_HASH_SHA256},
    {"SHA512", IMGI_HASH_SHA512},
};

void imgi_manifest_clear(struct imgi_manifest *manifest)
{
    for (size_t i = 0; i < manifest->count; i++)
        free(manifest->list[i].name);
    free(manifest->list);
    *manifest = (struct imgi_manifest){0};
}

const struct imgi_manifest_entry *imgi_manifest_find(const struct imgi_manifest *manifest,
                                                     const char *name)
{
    for (size_t i = 0; i < manifest->count; i++) {
        if (strcmp(manifest->list[i].name, name) == 0)
            return &manifest->list[i];
    }
    return NULL;
}

bool imgi_manifest_hash(const char *name, enum imgi_hash *hash)
{
    for (size_t i = 0; i < IMGI_COUNT(algorithms); i++) {
        if (strcasecmp(name, algorithms[i].name) == 0) {
            *hash = algorithms[i].hash;
            return true;
        }
    }
    return false;
}

static const char *algorithm_name(enum imgi_hash hash)
{
    size_t i = 0;

    while (algorithms[i].hash != hash)
        i++;
    return algorithms[i].name;
}

/* --------------------------------------------------------------- one line */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cut blanks off both ends of begin..end. */
static void trim(const char **begin, const char **end)
{
    while (*begin < *end && is_blank(**begin))
        (*begin)++;
    while (*end > *begin && is_blank((*end)[-1]))
        (*end)--;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool get_digest(const char *begin, const char *end, struct imgi_manifest_entry *entry)
{
    size_t bytes = imgi_hash_bytes(entry->hash);

    if ((size_t)(end - begin) != 2 * bytes)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        int high = digit(begin[2 * i]), low = digit(begin[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        entry->digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool get_hash(const char *begin, const char *end, enum imgi_hash *hash)
{
    char name[16];

    trim(&begin, &end);
    if ((size_t)(end - begin) >= sizeof(name))
        return false;
    memcpy(name, begin, (size_t)(end - begin));
    name[end - begin] = '\0';
    return imgi_manifest_hash(name, hash);
}

/* The last ")=" of the line ends the name, which may hold both. NULL when there is none. */
static const char *end_of_name(const char *begin, const char *end, const char **value)
{
    for (const char *at = end; at-- > begin;) {
        const char *close = at;

        if (*at != '=')
            continue;
        while (close > begin && is_blank(close[-1]))
            close--;
        *value = at + 1;
        return close > begin && close[-1] == ')' ? close - 1 : NULL;
    }
    return NULL;
}

static int parse_line(const char *begin, const char *end, struct imgi_manifest_entry *entry,
                      img_error *err)
{
    const char *open = memchr(begin, '(', (size_t)(end - begin)), *value;
    const char *close = open ? end_of_name(open + 1, end, &value) : NULL;

    if (!close || close == open + 1)
        return imgi_fail(err, IMG_E_FORMAT, "is not 'ALGORITHM(name)= digest'");
    if (!get_hash(begin, open, &entry->hash))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the algorithm '%.*s' is not SHA1, SHA256 or SHA512",
                         (int)IMGI_MIN(open - begin, 32), begin);
    trim(&value, &end);
    if (!get_digest(value, end, entry))
        return imgi_fail(err, IMG_E_FORMAT, "the digest is not %zu hexadecimal digits",
                         2 * imgi_hash_bytes(entry->hash));
    open++;
    entry->name = strndup(open, (size_t)(close - open));
    return entry->name ? 0 : imgi_fail_nomem(err, "a manifest");
}

/* ------------------------------------------------------------------- text */

static int add(struct imgi_manifest *manifest, struct imgi_manifest_entry *entry, img_error *err)
{
    struct imgi_manifest_entry *list;

    if (imgi_manifest_find(manifest, entry->name))
        return imgi_fail(err, IMG_E_FORMAT, "'%s' is there twice", entry->name);
    if (manifest->count == ENTRIES_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "there are more than %u files", ENTRIES_MAX);
    list = realloc(manifest->list, (manifest->count + 1) * sizeof(*list));
    if (!list)
        return imgi_fail_nomem(err, "a manifest");
    manifest->list = list;
    list[manifest->count++] = *entry;
    entry->name = NULL;
    return 0;
}

int imgi_manifest_parse(struct imgi_manifest *manifest, const char *text, size_t length,
                        img_error *err)
{
    const char *end = text + length;
    int rc = 0;

    *manifest = (struct imgi_manifest){0};
    for (unsigned number = 1; rc == 0 && text < end; number++) {
        const char *feed = memchr(text, '\n', (size_t)(end - text));
        const char *begin = text, *stop = feed ? feed : end;
        struct imgi_manifest_entry entry = {0};

        text = feed ? feed + 1 : end;
        trim(&begin, &stop);
        if (begin == stop)
            continue;
        rc = parse_line(begin, stop, &entry, err);
        if (rc == 0)
            rc = add(manifest, &entry, err);
        free(entry.name);
        if (rc < 0)
            imgi_error_prefix(err, "line %u", number);
    }
    if (rc < 0)
        imgi_manifest_clear(manifest);
    return rc;
}

size_t imgi_manifest_line_bytes(enum imgi_hash hash, const char *name)
{
    return strlen(algorithm_name(hash)) + strlen("()= \n") + strlen(name) +
           2 * imgi_hash_bytes(hash);
}

char *imgi_manifest_line(const struct imgi_manifest_entry *entry)
{
    char digits[2 * IMGI_HASH_MAX_BYTES + 1] = "", *line;

    for (size_t i = 0; i < imgi_hash_bytes(entry->hash); i++)
        snprintf(digits + 2 * i, 3, "%02x", entry->digest[i]);
    if (asprintf(&line, "%s(%s)= %s\n", algorithm_name(entry->hash), entry->name, digits) < 0)
        return NULL;
    return line;
}
