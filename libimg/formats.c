/*
 * The list of formats, as the public interface shows it. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "appliance/create.h"

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

static bool nth_option(const struct imgi_opt *table, size_t n, img_option_info *info)
{
    for (size_t i = 0; table && table[i].name; i++) {
        if (i < n)
            continue;
        *info = (img_option_info){.name = table[i].name,
                                  .type = type_name(table[i].type),
                                  .value = table[i].value,
                                  .help = table[i].help,
                                  .implicit = table[i].implicit};
        return true;
    }
    return false;
}

bool img_format_option(const char *format, size_t n, img_option_info *info)
{
    const struct imgi_driver *driver = imgi_driver_find(format);

    if (strcmp(format, "ova") == 0)
        return nth_option(imgi_ova_options, n, info);
    return driver && nth_option(driver->create_options, n, info);
}

bool img_format_amend_option(const char *format, size_t n, img_option_info *info)
{
    const struct imgi_driver *driver = imgi_driver_find(format);

    return driver && nth_option(driver->amend_options, n, info);
}
