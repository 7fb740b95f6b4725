/*
 * Options: sets of name=value pairs, and their types.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A set owns copies of its strings. Nothing here locks: a set may be read by
 * many threads once nobody changes it. The texts of errors are qemu-img's where it has
 * the same error.
 */
#include "driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    char *name, *value;
};

struct img_options {
    struct pair *pairs;
    size_t count, room;
};

img_options *img_options_new(void)
{
    return calloc(1, sizeof(img_options));
}

/* A value may be a secret: what goes is cleared. */
static void free_text(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void img_options_free(img_options *options)
{
    if (!options)
        return;
    for (size_t i = 0; i < options->count; i++) {
        free(options->pairs[i].name);
        free_text(options->pairs[i].value);
    }
    free(options->pairs);
    free(options);
}

static struct pair *find_pair(const img_options *options, const char *name)
{
    for (size_t i = 0; options && i < options->count; i++) {
        if (strcmp(options->pairs[i].name, name) == 0)
            return &options->pairs[i];
    }
    return NULL;
}

/* Room for one more pair, not yet counted; NULL when memory is short. */
static struct pair *new_pair(img_options *options)
{
    if (options->count == options->room) {
        size_t room = options->room ? 2 * options->room : 8;
        struct pair *pairs = reallocarray(options->pairs, room, sizeof(*pairs));

        if (!pairs)
            return NULL;
        options->pairs = pairs;
        options->room = room;
    }
    return &options->pairs[options->count];
}

int img_options_set(img_options *options, const char *name, const char *value, img_error *err)
{
    struct pair *pair = find_pair(options, name);
    char *name_copy = NULL;
    char *value_copy = strdup(value);

    if (!value_copy)
        goto nomem;
    if (pair) {
        free_text(pair->value);
        pair->value = value_copy;
        return 0;
    }
    pair = new_pair(options);
    name_copy = strdup(name);
    if (!pair || !name_copy)
        goto nomem;
    *pair = (struct pair){.name = name_copy, .value = value_copy};
    options->count++;
    return 0;

nomem:
    free(name_copy);
    free_text(value_copy);
    return imgi_fail_nomem(err, "options");
}

/*
 * Cut one element off *text: up to the next single comma, with double ones made
 * single, in place. *text is set behind it, or to NULL after the last.
 */
static char *next_element(char **text)
{
    char *element = *text;
    char *to = element;

    for (const char *from = element;; from++) {
        if (from[0] == ',' && from[1] == ',') {
            from++;
        } else if (from[0] == ',') {
            *text += from + 1 - element;
            break;
        } else if (from[0] == '\0') {
            *text = NULL;
            break;
        }
        *to++ = *from;
    }
    *to = '\0';
    return element;
}

int img_options_parse(img_options *options, const char *text, img_error *err)
{
    size_t length = strlen(text);
    char *copy = strdup(text);
    char *rest = copy;
    size_t count = 0;
    int ret = 0;

    if (!copy)
        return imgi_fail_nomem(err, "options");
    while (rest && ret == 0) {
        char *name = next_element(&rest);
        char *value = strchr(name, '=');

        if (name[0] == '\0') {
            /* The text is not repeated: it may hold a secret. */
            if (rest || count == 0)
                ret = imgi_fail(err, IMG_E_INVAL, "Invalid option list");
            break;
        }
        count++;
        if (value)
            *value++ = '\0';
        ret = img_options_set(options, name, value ? value : "on", err);
    }
    explicit_bzero(copy, length);
    free(copy);
    return ret;
}

const char *img_options_get(const img_options *options, const char *name)
{
    const struct pair *pair = find_pair(options, name);

    return pair ? pair->value : NULL;
}

size_t img_options_count(const img_options *options)
{
    return options ? options->count : 0;
}

const char *img_options_name(const img_options *options, size_t n)
{
    return n < img_options_count(options) ? options->pairs[n].name : NULL;
}

static bool parse_bool(const char *text, bool *value)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"on", true},   {"yes", true}, {"true", true},   {"y", true},
                 {"off", false}, {"no", false}, {"false", false}, {"n", false}};

    for (size_t i = 0; i < IMGI_COUNT(words); i++) {
        if (strcmp(text, words[i].text) == 0) {
            *value = words[i].value;
            return true;
        }
    }
    return false;
}

/* Decimal, octal with 0, hexadecimal with 0x. No sign: strtoull would wrap a negative number. */
static int parse_number(const char *text, uint64_t *value)
{
    char *end = NULL;

    if (text[0] < '0' || text[0] > '9')
        return IMG_E_INVAL;
    errno = 0;
    *value = strtoull(text, &end, 0);
    if (*end != '\0')
        return IMG_E_INVAL;
    return errno == ERANGE ? IMG_E_RANGE : 0;
}

static int check_value(const struct imgi_opt *opt, const char *value, img_error *err)
{
    bool flag;
    uint64_t number;
    int ret;

    switch (opt->type) {
    case IMGI_OPT_STRING:
        return 0;
    case IMGI_OPT_BOOL:
        if (parse_bool(value, &flag))
            return 0;
        return imgi_fail(err, IMG_E_INVAL, "Parameter '%s' expects 'on' or 'off'", opt->name);
    case IMGI_OPT_NUMBER:
        ret = parse_number(value, &number);
        if (ret == IMG_E_INVAL)
            return imgi_fail(err, ret, "Parameter '%s' expects a number", opt->name);
        if (ret == IMG_E_RANGE)
            return imgi_fail(err, ret, "Value '%s' is too large for parameter '%s'", value,
                             opt->name);
        return 0;
    case IMGI_OPT_SIZE:
        ret = img_parse_size(value, &number, NULL);
        if (ret == IMG_E_INVAL)
            return imgi_fail(err, ret,
                             "Parameter '%s' expects a non-negative number below 2^64 "
                             "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, "
                             "tera-, peta- and exabytes, respectively.",
                             opt->name);
        if (ret == IMG_E_RANGE)
            return imgi_fail(err, ret, "Value '%s' is out of range for parameter '%s'", value,
                             opt->name);
        return 0;
    }
    return imgi_fail(err, IMG_E_INTERNAL, "option '%s' has no type", opt->name);
}

static const struct imgi_opt *find_opt(const struct imgi_opt *table, const char *name)
{
    for (; table && table->name; table++) {
        if (strcmp(table->name, name) == 0)
            return table;
    }
    return NULL;
}

int imgi_options_check(const img_options *options, const struct imgi_opt *table, const char *format,
                       img_error *err)
{
    for (size_t i = 0; i < img_options_count(options); i++) {
        const struct pair *pair = &options->pairs[i];
        const struct imgi_opt *opt = find_opt(table, pair->name);
        int ret;

        if (!opt)
            return imgi_fail(err, IMG_E_INVAL, "Invalid parameter '%s' for format %s", pair->name,
                             format);
        ret = check_value(opt, pair->value, err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

int imgi_options_check_open(const img_options *options, const struct imgi_opt *table,
                            const char *format, img_error *err)
{
    for (size_t i = 0; i < img_options_count(options); i++)
        if (!find_opt(table, options->pairs[i].name))
            return imgi_fail(err, IMG_E_INVAL, "Block format '%s' does not support the option '%s'",
                             format, options->pairs[i].name);
    return imgi_options_check(options, table, format, err);
}

const char *imgi_options_string(const img_options *options, const struct imgi_opt *table,
                                const char *name)
{
    const char *value = img_options_get(options, name);
    const struct imgi_opt *opt = value ? NULL : find_opt(table, name);

    return opt ? opt->value : value;
}

bool imgi_options_bool(const img_options *options, const struct imgi_opt *table, const char *name)
{
    const char *text = imgi_options_string(options, table, name);
    bool value = false;

    if (text)
        parse_bool(text, &value);
    return value;
}

uint64_t imgi_options_number(const img_options *options, const struct imgi_opt *table,
                             const char *name)
{
    const char *text = imgi_options_string(options, table, name);
    const struct imgi_opt *opt = find_opt(table, name);
    uint64_t value = 0;

    if (!text)
        return 0;
    if (opt && opt->type == IMGI_OPT_SIZE)
        return img_parse_size(text, &value, NULL) == 0 ? value : 0;
    return parse_number(text, &value) == 0 ? value : 0;
}

int imgi_file_prealloc_parse(const char *text, enum imgi_prealloc *mode, img_error *err)
{
    static const char *const names[] = {"off", "falloc", "full"};

    *mode = IMGI_PREALLOC_OFF;
    if (!text)
        return 0;
    for (size_t i = 0; i < IMGI_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *mode = (enum imgi_prealloc)i;
            return 0;
        }
    }
    if (strcmp(text, "metadata") == 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Unsupported preallocation mode: metadata");
    return imgi_fail(err, IMG_E_INVAL, "Invalid parameter '%s'", text);
}
