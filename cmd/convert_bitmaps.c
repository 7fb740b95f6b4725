/*
 * img convert --bitmaps. SPDX-License-Identifier: BSD-2-Clause
 *
 * The bitmaps are copied when the disk has been: a target that is an existing image may have some
 * of its own, which hear of the conversion.
 */
#include "convert.h"

bool convert_check_bitmaps(struct cli *cli, const struct convert_args *args, img_image *source)
{
    img_error err = {0};
    img_bitmap bitmap;
    int rc = 0;

    if (!args->bitmaps)
        return true;
    if (!img_bitmap_supported(source))
        return cli_fail_code(cli, IMG_E_UNSUPPORTED, "Source lacks bitmap support");
    for (size_t n = 0; rc == 0; n++) {
        rc = img_bitmap_get(source, n, &bitmap, &err);
        if (rc == 0 && bitmap.inconsistent && !args->skip_broken)
            return cli_fail_code(cli, IMG_E_CORRUPT,
                                 "Cannot copy inconsistent bitmap '%s' Try --skip-broken-bitmaps, "
                                 "or use 'qemu-img bitmap --remove' to delete it",
                                 bitmap.name);
    }
    return rc == IMG_E_NOENT || cli_fail_error(cli, &err, "%s", img_name(source));
}

static bool copy_bitmap(struct cli *cli, const img_bitmap *bitmap, img_image *source,
                        img_image *target)
{
    img_error err = {0};

    if (img_bitmap_add(target, bitmap->name, bitmap->granularity, bitmap->enabled, &err) < 0)
        return cli_fail_error(cli, &err, "Failed to create bitmap %s", bitmap->name);
    if (img_bitmap_merge(target, bitmap->name, source, bitmap->name, &err) < 0) {
        img_bitmap_remove(target, bitmap->name, NULL);
        return cli_fail_error(cli, &err, "Failed to populate bitmap %s", bitmap->name);
    }
    return true;
}

bool convert_copy_bitmaps(struct cli *cli, const struct convert_args *args, img_image *source,
                          img_image *target)
{
    img_error err = {0};
    img_bitmap bitmap;

    if (!args->bitmaps)
        return true;
    for (size_t n = 0; img_bitmap_get(source, n, &bitmap, &err) == 0; n++) {
        if (bitmap.inconsistent)
            cli_warn(cli, "Skipping inconsistent bitmap '%s'", bitmap.name);
        else if (!copy_bitmap(cli, &bitmap, source, target))
            return false;
    }
    return err.code == IMG_E_NOENT || cli_fail_error(cli, &err, "%s", img_name(source));
}

bool convert_target_bitmaps(struct cli *cli, const struct convert_args *args, img_image *target)
{
    if (!args->bitmaps || img_bitmap_supported(target))
        return true;
    return cli_fail_code(cli, IMG_E_UNSUPPORTED, "Format driver '%s' does not support bitmaps",
                         img_format(target));
}
