/*
 * Copying files into a guest. SPDX-License-Identifier: BSD-2-Clause
 *
 * libguestfs's appliance writes them, so what can be known to be wrong is said before it starts.
 * Signals are left to end the command at once: the image is then as after a power cut.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cp.h"

static bool look_at_sources(struct cli *cli, char **sources, int count)
{
    struct stat stat;
    bool ok = true;

    for (int n = 0; n < count; n++)
        if (lstat(sources[n], &stat) < 0)
            ok = cli_fail(cli, "%s: %s", sources[n], strerror(errno));
    return ok;
}

static bool check_args(struct cli *cli, const struct guest_args *args)
{
    if (args->read_only)
        return cli_fail_usage(cli, "--ro forbids to copy into the image");
    if (args->snapshot)
        return cli_fail_usage(cli, "A snapshot is not to be changed: nothing is copied into it");
    return true;
}

/* What an image has kept until now is written when it is closed. */
static void close_images(struct cli *cli, struct guest *guest)
{
    img_error err = {0};

    img_tree_free(guest->tree);
    img_guest_close(guest->guest);
    guest->tree = NULL;
    guest->guest = NULL;
    while (guest->image_count > 0) {
        img_image *image = guest->images[--guest->image_count];
        char *name = strdup(img_name(image));

        if (img_close(image, &err) < 0)
            cli_fail_error(cli, &err, "%s", name ? name : "");
        free(name);
    }
}

void cp_in(struct cli *cli, struct guest_args *args, char **sources, int count, const char *target)
{
    struct guest guest = {0};
    img_error err = {0};

    if (!check_args(cli, args) || !look_at_sources(cli, sources, count))
        return;
    args->open.flags |= IMG_OPEN_WRITE;
    if (guest_open(cli, &guest, args) && guest_mount(cli, &guest, args)) {
        for (size_t n = 0; n < guest.image_count; n++)
            open_warn_guessed(cli, guest.images[n]);
        if (img_tree_put(guest.tree, (const char *const *)sources, (size_t)count, target, &err) < 0)
            guest_fail(&guest, &err, NULL);
    }
    close_images(cli, &guest);
    guest_close(&guest);
}
