/*
 * Typed names: from text to a flat set of options. SPDX-License-Identifier: BSD-2-Clause
 *
 * {"file": {"filename": "x"}} is file.filename=x, a list's members are called 0, 1, 2. The
 * limits are far above what anybody needs, and far below what could hurt.
 */
#include "spec.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1u << 20)
#define DEPTH_MAX 16
#define PAIRS_MAX 1024
#define NAME_MAX_BYTES 512

/* Protocols of qemu-img's that have other peers than files. */
static const char *const remote[] = {
    "nbd",    "nbd+tcp", "nbd+unix", "nbd+tls",     "nbds",        "nbds+unix",
    "http",   "https",   "ftp",      "ftps",        "rbd",         "ssh",
    "iscsi",  "iser",    "gluster",  "gluster+tcp", "nfs",         "fat",
    "vvfat",  "nvme",    "vxhs",     "sheepdog",    "blkdebug",    "blkverify",
    "quorum", "null-co", "null-aio", "curl",        "replication", NULL,
};

int imgi_spec_no_protocol(const char *protocol, int length, img_error *err)
{
    for (size_t i = 0; remote[i]; i++)
        if (strlen(remote[i]) == (size_t)length &&
            strncmp(remote[i], protocol, (size_t)length) == 0)
            return imgi_fail(err, IMG_E_UNSUPPORTED, "the protocol '%.*s' is not supported", length,
                             protocol);
    return imgi_fail(err, IMG_E_INVAL, "Unknown protocol '%.*s'", length, protocol);
}

int imgi_spec_path(const char *name, const char **path, img_error *err)
{
    static const char *const files[] = {"file", "host_device", "host_cdrom"};
    size_t length = strcspn(name, ":/");

    *path = name;
    if (name[length] != ':')
        return 0;
    for (size_t i = 0; i < IMGI_COUNT(files); i++)
        if (strlen(files[i]) == length && strncmp(files[i], name, length) == 0) {
            *path = name + length + 1;
            return 0;
        }
    return imgi_spec_no_protocol(name, (int)length, err);
}

/* ------------------------------------------------------------------ JSON */

static int flatten(img_options *pairs, const char *name, const json_t *value, unsigned depth,
                   img_error *err);

static int set(img_options *pairs, const char *name, const char *value, img_error *err)
{
    if (img_options_count(pairs) >= PAIRS_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "more than %d options", PAIRS_MAX);
    return img_options_set(pairs, name, value, err);
}

static int flatten_member(img_options *pairs, const char *above, const char *key,
                          const json_t *value, unsigned depth, img_error *err)
{
    char name[NAME_MAX_BYTES];
    int length = snprintf(name, sizeof(name), "%s%s%s", above, *above ? "." : "", key);

    if (length < 0 || (size_t)length >= sizeof(name))
        return imgi_fail(err, IMG_E_LIMIT, "the name of an option has more than %d bytes",
                         NAME_MAX_BYTES - 1);
    return flatten(pairs, name, value, depth, err);
}

static int flatten_number(img_options *pairs, const char *name, const json_t *value, img_error *err)
{
    char text[64];

    if (json_is_integer(value))
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
    else
        snprintf(text, sizeof(text), "%.17g", json_real_value(value));
    return set(pairs, name, text, err);
}

static int flatten_inside(img_options *pairs, const char *name, const json_t *value, unsigned depth,
                          img_error *err)
{
    const char *key;
    json_t *member;
    char number[24];
    int rc = 0;

    if (depth == 0)
        return imgi_fail(err, IMG_E_LIMIT, "options nest deeper than %d levels", DEPTH_MAX);
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        if (rc == 0)
            rc = flatten_member(pairs, name, key, member, depth - 1, err);
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(value); i++) {
        snprintf(number, sizeof(number), "%zu", i);
        rc = flatten_member(pairs, name, number, json_array_get(value, i), depth - 1, err);
    }
    return rc;
}

/* null is "", which is what turns a backing image off. */
static int flatten(img_options *pairs, const char *name, const json_t *value, unsigned depth,
                   img_error *err)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return flatten_inside(pairs, name, value, depth, err);
    case JSON_INTEGER:
    case JSON_REAL:
        return flatten_number(pairs, name, value, err);
    case JSON_STRING:
        return set(pairs, name, json_string_value(value), err);
    case JSON_TRUE:
        return set(pairs, name, "on", err);
    case JSON_FALSE:
        return set(pairs, name, "off", err);
    case JSON_NULL:
        break;
    }
    return set(pairs, name, "", err);
}

static int parse_json(img_options *pairs, const char *text, img_error *err)
{
    json_error_t error;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    int rc;

    if (!object)
        return imgi_fail(err, IMG_E_INVAL, "Could not parse the JSON options: JSON parse error, %s",
                         error.text);
    if (json_is_object(object))
        rc = flatten(pairs, "", object, DEPTH_MAX, err);
    else
        rc = imgi_fail(err, IMG_E_INVAL, "Invalid JSON object given");
    json_decref(object);
    return rc;
}

/* ------------------------------------------------------------------ options */

/* A first word without a sign is the name of a node, as qemu-img has it. */
static int parse_options(img_options *pairs, const char *text, img_error *err)
{
    size_t word = strcspn(text, ",=");
    char *whole = NULL;
    int rc;

    if (*text == '\0')
        return imgi_fail(err, IMG_E_INVAL, "Must specify either driver or file");
    if (text[word] == '=')
        return img_options_parse(pairs, text, err);
    if (asprintf(&whole, "file=%s", text) < 0)
        return imgi_fail_nomem(err, "options");
    rc = img_options_parse(pairs, whole, err);
    free(whole);
    return rc;
}

int imgi_spec_parse(const char *name, unsigned flags, img_options **pairs, const char **path,
                    img_error *err)
{
    static const char json[] = "json:";
    bool options = flags & IMG_OPEN_OPTIONS, typed = flags & IMG_OPEN_TYPED;
    bool is_json = typed && !options && strncmp(name, json, sizeof(json) - 1) == 0;
    int rc;

    *pairs = NULL;
    *path = name;
    if (!options && !is_json)
        return typed ? imgi_spec_path(name, path, err) : 0;
    if (strlen(name) > TEXT_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "options of more than %u bytes", TEXT_MAX);
    *pairs = img_options_new();
    if (!*pairs)
        return imgi_fail_nomem(err, "options");
    rc = is_json ? parse_json(*pairs, name + sizeof(json) - 1, err)
                 : parse_options(*pairs, name, err);
    if (rc < 0) {
        img_options_free(*pairs);
        *pairs = NULL;
    }
    return rc;
}
