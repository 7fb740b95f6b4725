/*
 * Reading an image as one of its snapshots. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "cmd.h"

static bool not_loaded(struct cli *cli, const img_image *image, const img_error *err,
                       const char *context)
{
    if (context)
        return cli_fail_error(cli, err, "%s", context);
    if (err->code == IMG_E_UNSUPPORTED)
        return cli_fail_code(cli, err->code,
                             "Failed to load snapshot: Block format '%s' used by device '' does "
                             "not support temporarily loading internal snapshots",
                             img_format(image));
    return cli_fail_error(cli, err, "Failed to load snapshot");
}

/* An id, or else a name. */
static bool by_word(struct cli *cli, img_image *image, const char *word, const char *context)
{
    img_error err = {0};
    int rc = img_snapshot_view(image, word, NULL, &err);

    if (rc == IMG_E_NOENT)
        rc = img_snapshot_view(image, NULL, word, &err);
    return rc == 0 || not_loaded(cli, image, &err, context);
}

static bool by_options(struct cli *cli, img_image *image, const img_options *options,
                       const char *selector, const char *context)
{
    img_error err = {0};

    for (size_t n = 0; n < img_options_count(options); n++) {
        const char *name = img_options_name(options, n);

        if (strcmp(name, "snapshot.id") != 0 && strcmp(name, "snapshot.name") != 0)
            return cli_fail(cli, "Failed in parsing snapshot param '%s': Invalid parameter '%s'",
                            selector, name);
    }
    return img_snapshot_view(image, img_options_get(options, "snapshot.id"),
                             img_options_get(options, "snapshot.name"), &err) == 0 ||
           not_loaded(cli, image, &err, context);
}

bool open_snapshot(struct cli *cli, img_image *image, const char *selector, const char *context)
{
    img_options *options;
    img_error err = {0};
    bool ok;

    if (strncmp(selector, "snapshot.", strlen("snapshot.")) != 0)
        return by_word(cli, image, selector, context);
    options = img_options_new();
    if (!options)
        return cli_fail_nomem(cli);
    if (img_options_parse(options, selector, &err) < 0)
        ok = cli_fail_error(cli, &err, "Failed in parsing snapshot param '%s'", selector);
    else
        ok = by_options(cli, image, options, selector, context);
    img_options_free(options);
    return ok;
}
