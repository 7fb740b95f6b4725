/*
 * A guest and its volumes. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "guest.h"

void imgi_guest_notice(const img_guest *guest, const char *format, ...)
{
    char text[IMG_ERROR_TEXT];
    va_list args;

    if (!guest->params.notice)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    guest->params.notice(guest->params.opaque, text);
}

/* ---------------------------------------------------------------- volumes */

/* The members of img_volume that are strings. */
static const size_t strings[] = {
    offsetof(img_volume, device), offsetof(img_volume, parent),  offsetof(img_volume, scheme),
    offsetof(img_volume, type),   offsetof(img_volume, name),    offsetof(img_volume, part_uuid),
    offsetof(img_volume, label),  offsetof(img_volume, content), offsetof(img_volume, uuid),
};

static char **string_of(struct imgi_volume *volume, size_t n)
{
    return (char **)((char *)&volume->info + strings[n]);
}

static void free_volume(struct imgi_volume *volume)
{
    imgi_fs_close(volume->fs);
    for (size_t n = 0; n < IMGI_COUNT(strings); n++)
        free(*string_of(volume, n));
    free(volume);
}

static struct imgi_volume *copy_volume(img_image *image, const img_volume *info)
{
    struct imgi_volume *volume = calloc(1, sizeof(*volume));
    bool complete = true;

    if (!volume)
        return NULL;
    volume->image = image;
    volume->info = *info;
    for (size_t n = 0; n < IMGI_COUNT(strings); n++) {
        char **string = string_of(volume, n);

        if (*string) {
            *string = strdup(*string);
            complete = complete && *string;
        }
    }
    if (complete)
        return volume;
    free_volume(volume);
    return NULL;
}

int imgi_guest_add(img_guest *guest, img_image *image, const img_volume *info, img_error *err)
{
    struct imgi_volume **volumes =
        reallocarray(guest->volumes, guest->volume_count + 1, sizeof(*volumes));
    struct imgi_volume *volume;

    if (!volumes)
        return imgi_fail_nomem(err, "a volume");
    guest->volumes = volumes;
    volume = copy_volume(image, info);
    if (!volume)
        return imgi_fail_nomem(err, "a volume");
    volumes[guest->volume_count++] = volume;
    return 0;
}

static bool is_tagged(const char *text, const char *tag, const char *value)
{
    size_t length = strlen(tag);

    return value && strncmp(text, tag, length) == 0 && strcmp(text + length, value) == 0;
}

/* As mount(8) compares them: one program writes hexadecimal digits large, another one small. */
static bool is_numbered(const char *text, const char *tag, const char *value)
{
    size_t length = strlen(tag);

    return value && strncmp(text, tag, length) == 0 && strcasecmp(text + length, value) == 0;
}

static struct imgi_volume *find(const img_guest *guest, const char *device)
{
    for (size_t n = 0; n < guest->volume_count; n++) {
        struct imgi_volume *volume = guest->volumes[n];
        const img_volume *info = &volume->info;

        if (strcmp(info->device, device) == 0 || is_tagged(device, "LABEL=", info->label) ||
            is_numbered(device, "UUID=", info->uuid) ||
            is_numbered(device, "PARTUUID=", info->part_uuid) ||
            is_tagged(device, "PARTLABEL=", info->name))
            return volume;
    }
    return NULL;
}

/* The filesystem that "DEV/PATH" begins with, a device's name may have slashes; *path is behind it.
 */
static struct imgi_volume *find_btrfs(const img_guest *guest, const char *name, const char **path)
{
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *device = strndup(name, (size_t)(slash - name));
        struct imgi_volume *volume = device ? find(guest, device) : NULL;

        free(device);
        *path = slash + 1;
        if (volume && volume->info.content && strcmp(volume->info.content, "btrfs") == 0)
            return volume;
    }
    return NULL;
}

/* "DEV/PATH": from when it is first asked for, a subvolume is a volume that no disk holds,
 * and that is in no list. */
static struct imgi_volume *find_subvolume(img_guest *guest, const char *name)
{
    const char *path;
    struct imgi_volume *volume = find_btrfs(guest, name, &path);
    img_volume info;
    char *device;

    if (!volume || !*path ||
        asprintf(&device, IMGI_SUBVOLUME "%s/%s", volume->info.device, path) < 0)
        return NULL;
    info = volume->info;
    info.device = device;
    info.label = info.uuid = info.part_uuid = info.name = NULL;
    volume = find(guest, device);
    if (!volume && imgi_guest_add(guest, NULL, &info, NULL) == 0) {
        volume = guest->volumes[guest->volume_count - 1];
        volume->subvolume = true;
    }
    free(device);
    return volume;
}

struct imgi_volume *imgi_guest_find(img_guest *guest, const char *device)
{
    size_t length = strlen(IMGI_SUBVOLUME);

    return strncmp(device, IMGI_SUBVOLUME, length) == 0 ? find_subvolume(guest, device + length)
                                                        : find(guest, device);
}

int img_guest_volume(const img_guest *guest, size_t n, img_volume *volume, img_error *err)
{
    img_guest *unlocked = (img_guest *)guest;
    const struct imgi_volume *found = NULL;

    pthread_mutex_lock(&unlocked->lock);
    for (size_t i = 0; !found && i < guest->volume_count; i++)
        if (!guest->volumes[i]->subvolume && n-- == 0)
            found = guest->volumes[i];
    if (found)
        *volume = found->info;
    pthread_mutex_unlock(&unlocked->lock);
    return found ? 0 : imgi_fail(err, IMG_E_NOENT, "the guest has no more volumes");
}

/* --------------------------------------------------------- opening, closing */

/* The name of the n-th disk: sda to sdz, sdaa, ... */
static void disk_name(char name[16], size_t n)
{
    char letters[8];
    size_t at = sizeof(letters) - 1;

    letters[at] = '\0';
    for (n++; n > 0 && at > 0; n = (n - 1) / 26)
        letters[--at] = (char)('a' + (n - 1) % 26);
    snprintf(name, 16, "/dev/sd%s", letters + at);
}

static int add_disk(img_guest *guest, size_t n, img_error *err)
{
    char name[16];
    img_volume info = {
        .kind = IMG_VOLUME_DISK, .device = name, .disk = n, .size = img_size(guest->images[n])};
    int rc;

    disk_name(name, n);
    rc = imgi_guest_add(guest, guest->images[n], &info, err);
    return rc < 0 ? rc : imgi_partitions_find(guest, n, err);
}

static img_guest *new_guest(img_image *const *images, size_t count, const img_guest_params *params)
{
    img_guest *guest = calloc(1, sizeof(*guest));

    if (!guest)
        return NULL;
    pthread_mutex_init(&guest->lock, NULL);
    pthread_mutex_init(&guest->starting, NULL);
    if (params)
        guest->params = *params;
    guest->images = calloc(count, sizeof(*images));
    if (!guest->images) {
        img_guest_close(guest);
        return NULL;
    }
    memcpy(guest->images, images, count * sizeof(*images));
    guest->image_count = count;
    return guest;
}

int img_guest_open(img_guest **guest, img_image *const *images, size_t count,
                   const img_guest_params *params, img_error *err)
{
    int rc = 0;

    *guest = count > 0 ? new_guest(images, count, params) : NULL;
    if (!*guest)
        return count > 0 ? imgi_fail_nomem(err, "a guest")
                         : imgi_fail(err, IMG_E_INVAL, "a guest has one disk at least");
    for (size_t n = 0; rc == 0 && n < count; n++)
        rc = add_disk(*guest, n, err);
    for (size_t n = 0; rc == 0 && n < (*guest)->volume_count; n++)
        rc = imgi_content_detect((*guest)->volumes[n], err);
    if (rc < 0) {
        img_guest_close(*guest);
        *guest = NULL;
    }
    return rc;
}

void img_guest_close(img_guest *guest)
{
    if (!guest)
        return;
    for (size_t n = 0; n < guest->volume_count; n++)
        free_volume(guest->volumes[n]);
    imgi_guestfs_end(guest->assembly);
    free(guest->volumes);
    free(guest->images);
    pthread_mutex_destroy(&guest->lock);
    pthread_mutex_destroy(&guest->starting);
    free(guest);
}

int img_guest_assemble(img_guest *guest, img_error *err)
{
    return imgi_guestfs_assemble(guest, err);
}
