/*
 * Opening and closing the images. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "imgmount.h"

img_policy *images_strict_policy(void)
{
    img_policy *policy = img_policy_new();

    if (policy) {
        img_policy_set_reach(policy, IMG_REACH_NONE);
        img_policy_set_devices(policy, false);
    }
    return policy;
}

/* An id, or else a name. */
static int view_snapshot(img_image *image, const char *word, img_error *err)
{
    int rc = img_snapshot_view(image, word, NULL, err);

    return rc == IMG_E_NOENT ? img_snapshot_view(image, NULL, word, err) : rc;
}

static bool open_one(struct images *images, const struct image_arg *arg, const struct args *args,
                     struct log *log)
{
    img_open_params params = {
        .format = arg->format,
        .flags = args->image_opts ? IMG_OPEN_OPTIONS : IMG_OPEN_TYPED,
        .policy = images->policy,
        .secrets = args->secrets,
        .disk = args->disk,
    };
    img_error err = {0};
    img_image *image;

    if (args->writable)
        params.flags |= IMG_OPEN_WRITE;
    if (args->share)
        params.flags |= IMG_OPEN_SHARE;
    if (img_open(&image, arg->name, &params, &err) < 0)
        return log_error(log, &err, "Could not open '%s'", arg->name);
    images->images[images->count++] = image;
    if (args->snapshot && view_snapshot(image, args->snapshot, &err) < 0)
        return log_error(log, &err, "%s: snapshot '%s'", arg->name, args->snapshot);
    return true;
}

bool images_open(struct images *images, const struct args *args, struct log *log)
{
    *images = (struct images){.images = calloc(args->image_count, sizeof(img_image *))};
    if (args->untrusted)
        images->policy = images_strict_policy();
    if (!images->images || (args->untrusted && !images->policy)) {
        log_line(log, "out of memory");
        return false;
    }
    for (size_t n = 0; n < args->image_count; n++)
        if (!open_one(images, &args->images[n], args, log))
            return false;
    return true;
}

bool images_close(struct images *images, struct log *log)
{
    bool ok = true;

    for (size_t n = 0; n < images->count; n++) {
        img_error err = {0};

        if (img_close(images->images[n], &err) < 0)
            ok = log_error(log, &err, "an image could not be closed");
    }
    img_policy_free(images->policy);
    free(images->images);
    return ok;
}
