/*
 * Opening what the user named. SPDX-License-Identifier: BSD-2-Clause
 */
#include "cmd.h"

bool open_cache(struct cli *cli, const char *role, const char *name, enum img_cache *cache)
{
    if (name && img_parse_cache(name, cache, NULL) < 0)
        return cli_fail(cli, "Invalid %scache option: %s", role, name);
    return true;
}

bool open_image(struct cli *cli, img_image **image, const char *name, const struct open_args *args)
{
    img_open_params params = {.format = args->format, .flags = args->flags, .cache = args->cache};
    img_error err = {0};

    if (img_open(image, name, &params, &err) < 0)
        return cli_fail_open(cli, &err, name);
    return true;
}

void open_warn_guessed(struct cli *cli, const img_image *image)
{
    if (img_format_guessed(image))
        cli_warn(
            cli,
            "Image format was not specified for '%s' and probing guessed raw: writes that would "
            "make it look like another format are refused. Name the format with -f raw.",
            img_name(image));
}
