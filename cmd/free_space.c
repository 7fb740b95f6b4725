/*
 * Space that a guest does not use. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "free_space.h"

static bool add_device(struct cli *cli, const char ***devices, size_t *count, const char *device)
{
    const char **more = reallocarray(*devices, *count + 1, sizeof(*more));

    if (!more)
        return cli_fail_nomem(cli);
    *devices = more;
    more[(*count)++] = device;
    return true;
}

bool free_space_ignore(struct cli *cli, struct free_space *space, const char *device)
{
    return add_device(cli, &space->ignore, &space->ignore_count, device);
}

bool free_space_drop(struct cli *cli, struct free_space *space, const char *device)
{
    return add_device(cli, &space->drop, &space->drop_count, device);
}

static void tell(void *opaque, const char *text)
{
    struct cli *cli = opaque;

    if (!cli->quiet)
        cli_warn(cli, "%s", text);
}

/* A name that means nothing was typed wrongly, and something would be lost that is to be kept. */
static bool check_ignored(struct cli *cli, const struct free_space *space, const img_guest *guest)
{
    for (size_t n = 0; n < space->ignore_count; n++) {
        bool found = false;
        img_volume volume;

        for (size_t m = 0; !found && img_guest_volume(guest, m, &volume, NULL) == 0; m++)
            found = strcmp(volume.device, space->ignore[n]) == 0;
        if (!found)
            return cli_fail_code(cli, IMG_E_NOENT, "--ignore: the disk has no %s",
                                 space->ignore[n]);
    }
    return true;
}

/* An image that is in use can still be copied as it is. */
static bool fail_find(struct cli *cli, const struct free_space *space, const img_image *image,
                      const img_error *err)
{
    if (err->code == IMG_E_BUSY && space->otherwise)
        return cli_fail_code(cli, err->code, "%s: %s (%s)", img_name(image), err->message,
                             space->otherwise);
    return cli_fail_error(cli, err, "%s", img_name(image));
}

bool free_space_find(struct cli *cli, struct free_space *space, img_image *image, img_job *job)
{
    img_guest_params guest_params = {.flags = IMG_GUEST_NO_APPLIANCE,
                                     .sector_size = (uint32_t)space->sector_size,
                                     .notice = tell,
                                     .opaque = cli};
    img_free_params params = {.flags = space->swap ? (unsigned)IMG_FREE_SWAP : 0,
                              .ignore = space->ignore,
                              .ignore_count = space->ignore_count,
                              .drop = space->drop,
                              .drop_count = space->drop_count};
    img_guest *guest = NULL;
    img_error err = {0};
    bool ok = true;

    if (!space->wanted)
        return true;
    if (img_guest_open(&guest, &image, 1, &guest_params, &err) < 0)
        return cli_fail_error(cli, &err, "%s", img_name(image));
    ok = check_ignored(cli, space, guest);
    if (ok && img_free_space_find(&space->found, guest, 0, &params, &err) < 0)
        ok = fail_find(cli, space, image, &err);
    img_guest_close(guest);
    img_job_set_free_space(job, space->found);
    return ok;
}

void free_space_emit(struct emit *emit, const struct free_space *space)
{
    img_free_volume volume;

    if (!space->found)
        return;
    emit_uint(emit, "free-space", img_free_space_bytes(space->found));
    emit_begin(emit, "volumes", '[');
    for (size_t n = 0; img_free_space_volume(space->found, n, &volume); n++) {
        emit_begin(emit, NULL, '{');
        emit_string(emit, "device", volume.device);
        if (volume.content)
            emit_string(emit, "content", volume.content);
        emit_uint(emit, "free-space", volume.bytes);
        emit_bool(emit, "understood", !volume.kept);
        if (volume.kept)
            emit_string(emit, "kept", volume.kept);
        emit_end(emit, '}');
    }
    emit_end(emit, ']');
}

void free_space_clear(struct free_space *space)
{
    img_free_space_free(space->found);
    free(space->ignore);
    free(space->drop);
    *space = (struct free_space){0};
}
