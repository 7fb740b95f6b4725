/*
 * The list of formats, as the public interface shows it. SPDX-License-Identifier: BSD-2-Clause
 */
#include "internal.h"

const char *img_format_name(size_t n)
{
    for (size_t i = 0; imgi_drivers[i]; i++) {
        if (i == n)
            return imgi_drivers[i]->name;
    }
    return NULL;
}

static const char *type_name(enum imgi_opt_type type)
{
    switch (type) {
    case IMGI_OPT_BOOL:
        return "bool (on/off)";
    case IMGI_OPT_NUMBER:
        return "num";
    case IMGI_OPT_SIZE:
        return "size";
    case IMGI_OPT_STRING:
        break;
    }
    return "str";
}

bool img_format_option(const char *format, size_t n, img_option_info *info)
{
    const struct imgi_driver *driver = imgi_driver_find(format);
    const struct imgi_opt *option;

    if (!driver || !driver->create_options)
        return false;
    for (size_t i = 0; driver->create_options[i].name; i++) {
        if (i < n)
            continue;
        option = &driver->create_options[i];
        *info = (img_option_info){.name = option->name,
                                  .type = type_name(option->type),
                                  .value = option->value,
                                  .help = option->help,
                                  .implicit = option->implicit};
        return true;
    }
    return false;
}
