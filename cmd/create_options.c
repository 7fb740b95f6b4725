/*
 * "-o": a format's create options, as create, convert, measure and amend take them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static bool wants_help(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, ",");

        if ((length == 4 && strncmp(text, "help", 4) == 0) || (length == 1 && *text == '?'))
            return true;
        text += length + (text[length] == ',');
    }
    return false;
}

static bool need_set(struct cli *cli, struct option_list *list)
{
    return list->set || (list->set = img_options_new()) || cli_fail_nomem(cli);
}

/* Two commas are one that belongs to the value. */
static bool ends_in_comma(const char *text)
{
    size_t length = strlen(text), commas = 0;

    while (commas < length && text[length - 1 - commas] == ',')
        commas++;
    return commas % 2 != 0;
}

bool option_list_take(struct cli *cli, struct option_list *list, const char *text)
{
    img_error err = {0};
    int rc;

    list->given = true;
    if (wants_help(text)) {
        list->help = true;
        return true;
    }
    if (ends_in_comma(text))
        return cli_fail(cli, "Invalid option list: %s", text);
    if (!need_set(cli, list))
        return false;
    rc = img_options_parse(list->set, text, &err);
    if (rc == IMG_E_INVAL)
        return cli_fail(cli, "Invalid option list: %s", text);
    return rc == 0 || cli_fail_error(cli, &err, "%s", "");
}

bool option_list_set(struct cli *cli, struct option_list *list, const char *name, const char *value)
{
    img_error err = {0};

    if (!need_set(cli, list))
        return false;
    return img_options_set(list->set, name, value, &err) == 0 ||
           cli_fail_error(cli, &err, "%s", "");
}

const char *option_list_get(const struct option_list *list, const char *name)
{
    return list->set ? img_options_get(list->set, name) : NULL;
}

bool create_format_known(const char *format)
{
    const char *name;

    /* No format of a disk, but something that disks are made into. */
    if (strcmp(format, "ova") == 0)
        return true;
    for (size_t n = 0; (name = img_format_name(n)); n++)
        if (strcmp(name, format) == 0)
            return true;
    return false;
}

bool create_option_known(const char *format, const char *name)
{
    img_option_info info;

    for (size_t n = 0; img_format_option(format, n, &info); n++)
        if (strcmp(info.name, name) == 0)
            return true;
    return false;
}

bool create_options_known(struct cli *cli, const char *prefix, const char *format,
                          const struct option_list *list)
{
    const char *name;

    for (size_t n = 0; list->set && (name = img_options_name(list->set, n)); n++)
        if (!create_option_known(format, name))
            return cli_fail(cli, "%s%sInvalid parameter '%s'", prefix, *prefix ? ": " : "", name);
    return true;
}

static int by_name(const void *a, const void *b)
{
    const img_option_info *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* One of img_format_option and img_format_amend_option. */
typedef bool option_fn(const char *format, size_t n, img_option_info *info);

static bool print_options(struct cli *cli, const char *format, option_fn *nth)
{
    img_option_info info, *list = NULL;
    size_t count = 0;

    while (nth(format, count, &info))
        count++;
    list = calloc(count + 1, sizeof(*list));
    if (!list)
        return cli_fail_nomem(cli);
    for (size_t n = 0; n < count; n++)
        nth(format, n, &list[n]);
    qsort(list, count, sizeof(*list), by_name);
    for (size_t n = 0; n < count; n++) {
        int width = printf("  %s=<%s>", list[n].name, list[n].type);

        printf("%*s - %s\n", width < 24 ? 24 - width : 0, "", list[n].help);
    }
    free(list);
    return false; /* that was all; status stays 0 */
}

static bool known_format(struct cli *cli, const char *format)
{
    return create_format_known(format) ||
           cli_fail_code(cli, IMG_E_NOENT, "Unknown file format '%s'", format);
}

bool create_list_options(struct cli *cli, const char *format, const char *filename)
{
    if (!known_format(cli, format))
        return false;
    if (filename)
        printf("Supported options:\n");
    else
        printf("Supported %s options:\n", format);
    return print_options(cli, format, img_format_option);
}

bool amend_list_options(struct cli *cli, const char *format)
{
    img_option_info info;

    if (!known_format(cli, format))
        return false;
    if (!img_format_amend_option(format, 0, &info))
        return cli_fail_code(cli, IMG_E_UNSUPPORTED,
                             "Format driver '%s' does not support option amendment", format);
    printf("Amend options for '%s':\n", format);
    return print_options(cli, format, img_format_amend_option);
}
