/*
 * Opening a guest. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "guest.h"

/* ---------------------------------------------------------------- options */

bool guest_add_image(struct cli *cli, struct guest_args *args, const char *name)
{
    struct guest_image *images = reallocarray(args->images, args->image_count + 1, sizeof(*images));

    if (!images)
        return cli_fail_nomem(cli);
    args->images = images;
    images[args->image_count++] = (struct guest_image){name, args->open.format};
    args->format_last = false;
    return true;
}

static bool add_mount(struct cli *cli, struct guest_args *args, const char *text)
{
    const char **mounts = reallocarray(args->mounts, args->mount_count + 1, sizeof(*mounts));

    if (!mounts)
        return cli_fail_nomem(cli);
    args->mounts = mounts;
    mounts[args->mount_count++] = text;
    return true;
}

bool guest_sector_size(struct cli *cli, const char *text, uint64_t *bytes)
{
    if (!size_parse(cli, "block size", text, bytes))
        return false;
    if (*bytes != 512 && *bytes != 4096)
        return cli_fail(cli, "--blocksize must be 512 or 4096");
    return true;
}

bool guest_take_option(struct cli *cli, struct guest_args *args, int key, const char *value)
{
    switch (key) {
    case 'a':
        return guest_add_image(cli, args, value);
    case 'm':
        return add_mount(cli, args, value);
    case 'i':
        args->inspect = true;
        return true;
    case OPT_NO_GLOB:
        args->literal = true;
        return true;
    case OPT_ROOT:
        args->root = value;
        return true;
    case OPT_RO:
        args->read_only = true;
        return true;
    case OPT_SNAPSHOT:
        args->snapshot = value;
        return true;
    case OPT_BLOCKSIZE:
        return guest_sector_size(cli, value, &args->sector_size);
    case 'f':
        args->format_last = true;
        break;
    }
    return open_take_option(cli, &args->open, key, value);
}

bool guest_take_image(struct cli *cli, struct guest_args *args, int argc, char **argv, int *first)
{
    if (args->image_count > 0)
        return true;
    if (*first >= argc)
        return cli_fail_usage(cli, "Expecting the name of an image");
    return guest_add_image(cli, args, argv[(*first)++]);
}

void guest_args_clear(struct guest_args *args)
{
    free(args->images);
    free(args->mounts);
    *args = (struct guest_args){0};
}

/* ----------------------------------------------------------------- opening */

static void tell(void *opaque, const char *text)
{
    struct cli *cli = opaque;

    if (!cli->quiet)
        cli_warn(cli, "%s", text);
}

static bool view_snapshot(struct cli *cli, img_image *image, const char *snapshot)
{
    char *context;
    bool ok;

    if (asprintf(&context, "%s: snapshot '%s'", img_name(image), snapshot) < 0)
        return cli_fail_nomem(cli);
    ok = open_snapshot(cli, image, snapshot, context);
    free(context);
    return ok;
}

static bool open_disk(struct cli *cli, struct guest *guest, const char *name,
                      const struct open_args *open, const char *snapshot)
{
    img_image **images = reallocarray(guest->images, guest->image_count + 1, sizeof(*images));

    if (!images)
        return cli_fail_nomem(cli);
    guest->images = images;
    if (!open_image(cli, &images[guest->image_count], name, open))
        return false;
    guest->image_count++;
    return !snapshot || view_snapshot(cli, images[guest->image_count - 1], snapshot);
}

/* Of an appliance all disks are the machine's, unless one is named. */
static bool open_images(struct cli *cli, struct guest *guest, const struct guest_args *args)
{
    for (size_t n = 0; n < args->image_count; n++) {
        struct open_args open = args->open;
        size_t next = 0;
        char disk[24];

        if (!args->format_last)
            open.format = args->images[n].format;
        do {
            if (!open_disk(cli, guest, args->images[n].name, &open, args->snapshot))
                return false;
            next = args->open.disk || args->open.image_opts
                       ? 0
                       : img_appliance_next_disk(guest->images[guest->image_count - 1]);
            snprintf(disk, sizeof(disk), "%zu", next);
            open.disk = disk;
        } while (next);
    }
    return true;
}

bool guest_open(struct cli *cli, struct guest *guest, const struct guest_args *args)
{
    img_guest_params params = {
        .sector_size = (uint32_t)args->sector_size,
        .notice = tell,
        .opaque = cli,
        .secrets = cli->secrets,
    };
    img_error err = {0};

    *guest = (struct guest){.cli = cli};
    if (!open_images(cli, guest, args))
        return false;
    if (img_guest_open(&guest->guest, guest->images, guest->image_count, &params, &err) < 0)
        return guest_fail(guest, &err, NULL);
    return true;
}

void guest_assemble(struct cli *cli, struct guest *guest)
{
    img_error err = {0};

    if (img_guest_assemble(guest->guest, &err) < 0)
        tell(cli, err.message);
}

void guest_close(struct guest *guest)
{
    img_tree_free(guest->tree);
    img_guest_close(guest->guest);
    for (size_t n = 0; n < guest->image_count; n++)
        img_close(guest->images[n], NULL);
    free(guest->images);
    *guest = (struct guest){0};
}

bool guest_lies_in(const struct guest *guest, int fd)
{
    for (size_t n = 0; n < guest->image_count; n++)
        if (img_lies_in(guest->images[n], fd))
            return true;
    return false;
}

/* --------------------------------------------------------------- mounting */

/*
 * DEV[:DIR[:OPTIONS[:FSTYPE]]]; what is behind DIR has no meaning where all is only read. The name
 * of a btrfs subvolume, btrfsvol:/dev/sda2/root, has a colon of its own.
 */
static bool mount_text(struct cli *cli, struct guest *guest, const char *text)
{
    static const char subvolume[] = "btrfsvol:";
    size_t prefix = strncmp(text, subvolume, strlen(subvolume)) == 0 ? strlen(subvolume) : 0;
    char *device = strdup(text), *state = NULL;
    const char *path;
    img_error err = {0};
    bool ok;

    if (!device)
        return cli_fail_nomem(cli);
    strtok_r(device + prefix, ":", &state);
    path = strtok_r(NULL, ":", &state);
    ok = img_tree_mount(guest->tree, device, path ? path : "/", &err) == 0 ||
         guest_fail(guest, &err, device);
    free(device);
    return ok;
}

/* "/dev/sda1 (ext4), /dev/sda2 (vfat)": how many there are, and the last one. */
static size_t list_filesystems(img_guest *guest, char *names, size_t size, const char **device)
{
    img_volume volume;
    size_t used = 0, count = 0;

    names[0] = '\0';
    for (size_t n = 0; img_guest_volume(guest, n, &volume, NULL) == 0; n++) {
        if (!volume.holds_filesystem)
            continue;
        *device = volume.device;
        if (used < size)
            used += (size_t)snprintf(names + used, size - used, "%s%s (%s)", count ? ", " : "",
                                     volume.device, volume.content);
        count++;
    }
    return count;
}

/* There is no operating system: the only filesystem. */
static bool mount_only(struct cli *cli, struct guest *guest, const char *name)
{
    char names[512];
    const char *device;
    img_error err = {0};
    size_t count = list_filesystems(guest->guest, names, sizeof(names), &device);

    if (count == 0)
        return cli_fail_code(cli, IMG_E_NOENT, "%s: no filesystem was found in it", name);
    if (count > 1)
        return cli_fail_code(cli, IMG_E_NOENT,
                             "%s: no operating system was found in it: choose one of its "
                             "filesystems with -m: %s",
                             name, names);
    return img_tree_mount(guest->tree, device, "/", &err) == 0 || guest_fail(guest, &err, NULL);
}

static bool mount_root(struct cli *cli, struct guest *guest, const struct guest_args *args)
{
    const char *name = args->images[0].name;
    img_error err = {0};
    int rc = img_tree_mount_root(guest->tree, args->root, &err);

    if (rc == IMG_E_NOENT && !args->root && !args->inspect)
        return mount_only(cli, guest, name);
    if (rc == IMG_E_INVAL && !args->root)
        return cli_fail_error(cli, &err, "%s: choose one with --root", name);
    return rc == 0 || guest_fail(guest, &err, NULL);
}

bool guest_mount(struct cli *cli, struct guest *guest, const struct guest_args *args)
{
    img_error err = {0};
    bool ok = true;

    if (args->mount_count > 0 && (args->inspect || args->root))
        return cli_fail_usage(cli, "-m cannot be combined with -i or --root");
    if (img_tree_new(&guest->tree, guest->guest, &err) < 0)
        return guest_fail(guest, &err, NULL);
    for (size_t n = 0; ok && n < args->mount_count; n++)
        ok = mount_text(cli, guest, args->mounts[n]);
    return ok && (args->mount_count > 0 || mount_root(cli, guest, args));
}

/* ----------------------------------------------------------------- errors */

/* The disk that has the volume of that device name; the first, if none alone does. */
static const img_image *image_of(const struct guest *guest, const char *device)
{
    img_volume volume;

    for (size_t n = 0; device && img_guest_volume(guest->guest, n, &volume, NULL) == 0; n++) {
        bool in_disk = volume.kind == IMG_VOLUME_DISK || volume.kind == IMG_VOLUME_PARTITION;

        if (in_disk && volume.disk < guest->image_count && strcmp(volume.device, device) == 0)
            return guest->images[volume.disk];
    }
    return guest->images[0];
}

/* The device that is mounted where the path begins; before anything is, the path may be one. */
static const char *device_at(const struct guest *guest, const char *path)
{
    const char *best = guest->tree ? NULL : path, *device, *at;
    size_t longest = 0;

    for (size_t n = 0; guest->tree && img_tree_mounted(guest->tree, n, &device, &at); n++) {
        size_t length = strlen(at);

        while (length > 0 && at[length - 1] == '/')
            length--;
        if (length < longest || strncmp(path, at, length) != 0 ||
            (path[length] && path[length] != '/'))
            continue;
        best = device;
        longest = length;
    }
    return best;
}

bool guest_fail(const struct guest *guest, const img_error *err, const char *path)
{
    bool one = guest->image_count == 1 || !guest->guest || !path;
    const char *image = img_name(one ? guest->images[0] : image_of(guest, device_at(guest, path)));
    size_t length = path ? strlen(path) : 0;
    bool named = strncmp(err->message, path ? path : "", length) == 0 &&
                 (!path || err->message[length] == ':');
    img_error told = *err;

    if (!told.image[0])
        snprintf(told.image, sizeof(told.image), "%s", image);
    if (path && !told.place[0])
        snprintf(told.place, sizeof(told.place), "%s", path);
    return named ? cli_fail_error(guest->cli, &told, "%s", image)
                 : cli_fail_error(guest->cli, &told, "%s: %s", image, path);
}

bool guest_fail_code(const struct guest *guest, int code, const char *path, const char *cause)
{
    img_error err = {.code = code};

    snprintf(err.message, sizeof(err.message), "%s: %s", path, cause);
    return guest_fail(guest, &err, path);
}
