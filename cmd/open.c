/*
 * Opening what the user named. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "cmd.h"

bool open_take_option(struct cli *cli, struct open_args *args, int key, const char *value)
{
    (void)cli;
    switch (key) {
    case 'f':
        args->format = value;
        break;
    case 'U':
        args->flags |= IMG_OPEN_SHARE;
        break;
    case 't':
    case 'T':
        args->cache_name = value;
        break;
    case OPT_IMAGE_OPTS:
        args->image_opts = true;
        break;
    case OPT_DISK:
        args->disk = value;
        break;
    }
    return true;
}

bool open_settle(struct cli *cli, const char *role, struct open_args *args)
{
    if (args->cache_name && img_parse_cache(args->cache_name, &args->cache, NULL) < 0)
        return cli_fail(cli, "Invalid %scache option: %s", role, args->cache_name);
    return true;
}

img_open_params open_params(const struct cli *cli, const struct open_args *args)
{
    unsigned flags = args->image_opts ? IMG_OPEN_OPTIONS : args->found ? 0 : IMG_OPEN_TYPED;

    return (img_open_params){
        .format = args->format,
        .flags = args->flags | flags,
        .cache = args->cache,
        .backing_cache = args->backing_cache,
        .secrets = cli->secrets,
        .policy = cli->policy,
        .disk = args->disk,
        .interrupt = &signals_interrupt,
    };
}

bool open_untrusted(struct cli *cli)
{
    if (!cli->policy)
        cli->policy = img_policy_new();
    if (!cli->policy)
        return cli_fail_nomem(cli);
    img_policy_set_reach(cli->policy, IMG_REACH_NONE);
    img_policy_set_devices(cli->policy, false);
    return true;
}

bool preallocation_parse(struct cli *cli, const char *text, enum img_preallocation *mode)
{
    static const char *const modes[] = {"off", "metadata", "falloc", "full"};

    for (size_t n = 0; n < sizeof(modes) / sizeof(modes[0]); n++) {
        if (strcmp(text, modes[n]) == 0) {
            *mode = (enum img_preallocation)n;
            return true;
        }
    }
    return cli_fail(cli, "Invalid preallocation mode '%s'", text);
}

bool aio_check(struct cli *cli, const char *how)
{
    static const char *const ways[] = {"threads", "native", "io_uring"};

    for (size_t n = 0; n < sizeof(ways) / sizeof(ways[0]); n++)
        if (strcmp(how, ways[n]) == 0)
            return true;
    return cli_fail(cli, "Invalid aio option: %s", how);
}

bool open_image(struct cli *cli, img_image **image, const char *name, const struct open_args *args)
{
    img_open_params params = open_params(cli, args);
    img_error err = {0};

    if (args->image_opts && args->format)
        return cli_fail(cli, "--image-opts and --format are mutually exclusive");
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
