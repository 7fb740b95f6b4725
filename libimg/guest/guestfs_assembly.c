/*
 * Volumes that the appliance finds: of LVM and RAID, and in LUKS.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "guestfs.h"

#include "tree.h"

#ifdef HAVE_GUESTFS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../crypto/secret.h"

/* LUKS on LVM on LUKS on RAID, and so on: nobody goes deeper. */
#define DEPTH_MAX 8

/* ----------------------------------------------------------------- adding */

/* NULL for an empty text. */
static const char *text_or_null(const char *text)
{
    return text && text[0] ? text : NULL;
}

static bool is_filesystem(const char *content)
{
    static const char *const others[] = {"LVM2_member", "linux_raid_member", "crypto_LUKS", "swap"};

    for (size_t n = 0; content && n < IMGI_COUNT(others); n++) {
        if (strcmp(content, others[n]) == 0)
            return false;
    }
    return content;
}

static int add_volume(img_guest *guest, enum img_volume_kind kind, const char *device,
                      img_error *err)
{
    struct imgi_assembly *assembly = guest->assembly;
    const struct imgi_guestfs *call = &assembly->call;
    guestfs_h *handle = imgi_guestfs_enter(assembly);
    char *type = call->vfs_type(handle, device), *label = call->vfs_label(handle, device);
    char *uuid = call->vfs_uuid(handle, device);
    int64_t size = call->blockdev_getsize64(handle, device);
    img_volume info = {.kind = kind,
                       .device = device,
                       .size = size > 0 ? (uint64_t)size : 0,
                       .content = text_or_null(type),
                       .label = text_or_null(label),
                       .uuid = text_or_null(uuid)};
    int rc = 0;

    imgi_guestfs_leave(assembly);
    info.holds_filesystem = is_filesystem(info.content);
    pthread_mutex_lock(&guest->lock);
    if (!imgi_guest_find(guest, device))
        rc = imgi_guest_add(guest, NULL, &info, err);
    pthread_mutex_unlock(&guest->lock);
    free(type);
    free(label);
    free(uuid);
    return rc;
}

/* Takes the list over; NULL: libguestfs could not tell. */
static int add_volumes(img_guest *guest, enum img_volume_kind kind, char **devices, img_error *err)
{
    int rc = 0;

    if (!devices)
        return imgi_guestfs_fail(guest->assembly, err, "libguestfs does not list the volumes");
    for (size_t n = 0; rc == 0 && devices[n]; n++)
        rc = add_volume(guest, kind, devices[n], err);
    imgi_guestfs_free_list(devices);
    return rc;
}

static int add_found(img_guest *guest, img_error *err)
{
    struct imgi_assembly *assembly = guest->assembly;
    char **devices;
    int rc;

    imgi_guestfs_enter(assembly);
    devices = assembly->call.list_md_devices(assembly->handle);
    imgi_guestfs_leave(assembly);
    rc = add_volumes(guest, IMG_VOLUME_RAID, devices, err);
    if (rc < 0)
        return rc;
    imgi_guestfs_enter(assembly);
    devices = assembly->call.lvs(assembly->handle);
    imgi_guestfs_leave(assembly);
    return add_volumes(guest, IMG_VOLUME_LOGICAL, devices, err);
}

/* ------------------------------------------------------------------- LUKS */

/* The passphrase for a volume, as a string to be cleared and freed; NULL: there is none. */
static char *passphrase_of(const img_guest *guest, const img_volume *volume)
{
    const char *const ids[] = {volume->device, volume->uuid, "all"};
    struct imgi_passphrase found;

    for (size_t n = 0; n < IMGI_COUNT(ids); n++) {
        if (ids[n] && imgi_secrets_find(guest->params.secrets, ids[n], &found, NULL) == 0)
            return strndup((const char *)found.bytes, found.length);
    }
    return NULL;
}

int imgi_guestfs_unlock(struct imgi_assembly *assembly, const img_guest *guest,
                        const img_volume *volume, bool writable, img_error *err)
{
    char *passphrase = passphrase_of(guest, volume), name[64];
    int rc = 0;

    if (!passphrase)
        return imgi_fail(err, IMG_E_INVAL, "it is encrypted, and no passphrase is known");
    snprintf(name, sizeof(name), IMGI_LUKS_NAME, volume->uuid);
    imgi_guestfs_enter(assembly);
    if (assembly->call.cryptsetup_open(assembly->handle, volume->device, passphrase, name,
                                       GUESTFS_CRYPTSETUP_OPEN_READONLY, !writable, -1) < 0)
        rc = imgi_guestfs_fail(assembly, err, "it cannot be decrypted");
    else
        assembly->call.lvm_scan(assembly->handle, 1);
    imgi_guestfs_leave(assembly);
    explicit_bzero(passphrase, strlen(passphrase));
    free(passphrase);
    return rc;
}

/* Open one, unless it is open. What does not open is told to the notice, and stays closed. */
static int open_luks(img_guest *guest, const img_volume *volume, bool *opened, img_error *err)
{
    char device[128];
    img_error why = {0};
    bool known;

    snprintf(device, sizeof(device), "/dev/mapper/" IMGI_LUKS_NAME,
             volume->uuid ? volume->uuid : "");
    pthread_mutex_lock(&guest->lock);
    known = !volume->uuid || imgi_guest_find(guest, device);
    pthread_mutex_unlock(&guest->lock);
    if (known)
        return 0;
    if (imgi_guestfs_unlock(guest->assembly, guest, volume, false, &why) < 0) {
        imgi_guest_notice(guest, "%s: %s", volume->device, why.message);
        return 0;
    }
    *opened = true;
    return add_volume(guest, IMG_VOLUME_CRYPT, device, err);
}

/* Those that were there before the n-th volume have been tried. *n moves on. */
static int open_all_luks(img_guest *guest, size_t *n, bool *opened, img_error *err)
{
    img_volume volume;
    int rc = 0;

    for (; rc == 0 && img_guest_volume(guest, *n, &volume, NULL) == 0; ++*n) {
        if (volume.content && strcmp(volume.content, "crypto_LUKS") == 0)
            rc = open_luks(guest, &volume, opened, err);
    }
    return rc;
}

/* -------------------------------------------------------------- subvolumes */

static char **paths_of(const struct guestfs_btrfssubvolume_list *found)
{
    char **paths = calloc((size_t)found->len + 1, sizeof(*paths));

    for (uint32_t n = 0; paths && n < found->len; n++) {
        paths[n] = strdup(found->val[n].btrfssubvolume_path);
        if (!paths[n])
            break;
    }
    return paths;
}

char **imgi_guestfs_subvolumes(img_guest *guest, const char *device)
{
    struct imgi_assembly *assembly = guest->assembly;
    struct guestfs_btrfssubvolume_list *found;
    char **paths = NULL;

    if (!assembly)
        return NULL;
    imgi_guestfs_enter(assembly);
    found = assembly->call.btrfs_subvolume_list(assembly->handle, device);
    if (found) {
        paths = paths_of(found);
        assembly->call.free_btrfssubvolume_list(found);
    }
    imgi_guestfs_leave(assembly);
    return paths;
}

/* ------------------------------------------------------------- assembling */

static int assemble(img_guest *guest, img_error *err)
{
    size_t tried = 0;
    int rc = imgi_guestfs_start_locked(guest, "find volumes of LVM, RAID and LUKS", err);

    for (unsigned depth = 0; rc == 0 && depth < DEPTH_MAX; depth++) {
        bool opened = false;

        rc = add_found(guest, err);
        if (rc == 0)
            rc = open_all_luks(guest, &tried, &opened, err);
        if (!opened)
            break;
    }
    return rc;
}

#else /* HAVE_GUESTFS */

static int assemble(img_guest *guest, img_error *err)
{
    (void)guest;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "volumes of LVM, RAID and LUKS need libguestfs, which this build is without "
                     "(Debian: libguestfs-dev when it is built)");
}

char **imgi_guestfs_subvolumes(img_guest *guest, const char *device)
{
    (void)guest, (void)device;
    return NULL;
}

void imgi_guestfs_free_list(char **list)
{
    (void)list; /* there is none */
}

void imgi_guestfs_end(struct imgi_assembly *assembly)
{
    (void)assembly;
}

#endif /* HAVE_GUESTFS */

int imgi_guestfs_assemble(img_guest *guest, img_error *err)
{
    int rc = 0;

    pthread_mutex_lock(&guest->starting);
    if (!guest->assembled && imgi_roots_in_parts(guest)) {
        rc = assemble(guest, err);
        guest->assembled = rc == 0;
    }
    pthread_mutex_unlock(&guest->starting);
    return rc;
}
