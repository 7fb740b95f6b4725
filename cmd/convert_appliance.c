/*
 * img convert -O ova: an OVA of which each source is a disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * Order: the OVA is begun with the sizes of all disks, each disk is filled and closed, and the OVA
 * gets its name when all are in it.
 */
#include <stdlib.h>
#include <string.h>

#include "convert.h"

/* What a disk can be told, and an OVA cannot. */
static bool check_arguments(const struct conversion *conversion)
{
    const struct convert_args *args = conversion->args;

    if (args->no_create)
        return cli_fail(conversion->cli, "An OVA is made anew: -n cannot be used with -O ova");
    if (args->backing || args->backing_format)
        return cli_fail(conversion->cli, "Backing file not supported for file format 'ova'");
    if (args->bitmaps)
        return cli_fail(conversion->cli, "This will not copy bitmaps: an OVA cannot hold them");
    return create_options_known(conversion->cli, "", "ova", &args->options);
}

static bool begin(struct conversion *conversion, img_appliance **appliance)
{
    const struct convert_args *args = conversion->args;
    img_open_params params = open_params(conversion->cli, &args->target);
    uint64_t *sizes = calloc(args->source_count, sizeof(*sizes));
    img_error err = {0};
    int rc;

    if (!sizes)
        return cli_fail_nomem(conversion->cli);
    for (size_t n = 0; n < args->source_count; n++)
        sizes[n] = img_size(conversion->sources[n]);
    rc = img_appliance_create(appliance, args->filename, sizes, args->source_count,
                              args->options.set, &params, &err);
    free(sizes);
    return rc == 0 || cli_fail_create(conversion->cli, &err, args->filename,
                                      "%s: error while converting ova", args->filename);
}

static bool fill_disk(struct conversion *conversion, img_job *job, img_appliance *appliance,
                      size_t n)
{
    img_image *disk = NULL;
    img_error err = {0};

    if (img_appliance_disk(appliance, &disk, &err) < 0)
        return cli_fail_error(conversion->cli, &err, "%s", conversion->args->filename);
    if (!convert_copy(conversion, job, &conversion->sources[n], 1, disk) ||
        signals_stopped(conversion->cli)) {
        img_abandon(disk);
        return false;
    }
    return img_close(disk, &err) == 0 ||
           cli_fail_error(conversion->cli, &err, "%s", conversion->args->filename);
}

bool convert_appliance(struct conversion *conversion, img_job *job)
{
    img_appliance *appliance = NULL;
    img_error err = {0};
    bool ok = check_arguments(conversion) && begin(conversion, &appliance);

    for (size_t n = 0; ok && n < conversion->args->source_count; n++)
        ok = !signals_stopped(conversion->cli) && fill_disk(conversion, job, appliance, n);
    if (!ok) {
        img_appliance_abandon(appliance);
        return false;
    }
    return img_appliance_close(appliance, &err) == 0 ||
           cli_fail_error(conversion->cli, &err, "%s", conversion->args->filename);
}
