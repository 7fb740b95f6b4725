/*
 * A guest's root filesystem and what its fstab says. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "inspect.h"
#include "tree.h"

#define FSTAB_MAX (1u << 20)

bool imgi_roots_in_parts(img_guest *guest)
{
    static const char *const parts[] = {"LVM2_member", "linux_raid_member", "crypto_LUKS"};
    img_volume volume;

    for (size_t n = 0; img_guest_volume(guest, n, &volume, NULL) == 0; n++)
        for (size_t part = 0; volume.content && part < IMGI_COUNT(parts); part++)
            if (strcmp(volume.content, parts[part]) == 0)
                return true;
    return false;
}

/* ------------------------------------------------------------------ fstab */

/* All of a small file; *text is malloc'd. What is behind FSTAB_MAX is cut off. */
static int read_text(img_tree *tree, const char *path, char **text, size_t *length, img_error *err)
{
    img_file *file = NULL;
    img_place place;
    int rc = img_tree_find(tree, path, 0, &place, err);

    *text = NULL;
    if (rc == 0)
        rc = img_file_open(&file, place.fs, place.inode, err);
    if (rc < 0)
        return rc;
    *length = (size_t)IMGI_MIN(img_file_size(file), FSTAB_MAX);
    *text = malloc(*length + 1);
    rc = *text ? img_file_read(file, 0, *text, length, err) : imgi_fail_nomem(err, path);
    img_file_close(file);
    return rc;
}

/* Remember one line: its filesystem is opened when a path first leads there. */
static int expect(img_tree *tree, const struct imgi_fstab_entry *entry, bool parts, img_error *err)
{
    struct imgi_volume *volume;
    struct imgi_mount *mount;
    int rc;

    if (strcmp(entry->path, "/") == 0)
        return 0;
    pthread_mutex_lock(&tree->guest->lock);
    volume = imgi_guest_find(tree->guest, entry->device);
    pthread_mutex_unlock(&tree->guest->lock);
    if (!volume && !parts && entry->optional)
        return 0;
    rc =
        imgi_tree_add(tree, volume ? volume->info.device : entry->device, entry->path, &mount, err);
    if (rc == 0 && !volume && !parts) {
        mount->state = IMGI_MOUNT_FAILED;
        mount->complaint = strdup("no such device in the guest");
    }
    return rc;
}

static int expect_all(img_tree *tree, const char *text, size_t length, img_error *err)
{
    bool parts = imgi_roots_in_parts(tree->guest);
    struct imgi_fstab fstab;
    int rc = imgi_fstab_parse(&fstab, text, length, err);

    for (size_t n = 0; rc == 0 && n < fstab.count; n++)
        rc = expect(tree, &fstab.entries[n], parts, err);
    imgi_fstab_free(&fstab);
    if (rc == 0)
        imgi_tree_moor(tree);
    return rc;
}

/* A guest without fstab has no more than its root. */
static int follow_fstab(img_tree *tree, img_error *err)
{
    img_error why = {0};
    size_t length = 0;
    char *text;
    int rc = read_text(tree, "/etc/fstab", &text, &length, &why);

    if (rc == 0)
        rc = expect_all(tree, text, length, err);
    else if (why.os_errno != ENOENT && why.os_errno != ENOTDIR)
        imgi_guest_notice(tree->guest, "/etc/fstab cannot be read: %s", why.message);
    free(text);
    return rc < 0 && why.code ? 0 : rc;
}

/* ---------------------------------------------------------------- mounted */

static int only_root(const struct imgi_roots *roots, img_error *err)
{
    char names[256] = "";
    size_t used = 0;

    if (roots->count == 1)
        return 0;
    if (roots->count == 0)
        return imgi_fail(err, IMG_E_NOENT, "no operating system was found");
    for (size_t n = 0; n < roots->count && used < sizeof(names); n++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", n ? ", " : "",
                                 roots->list[n].device);
    return imgi_fail(err, IMG_E_INVAL, "there are several operating systems: %s", names);
}

int img_tree_mount_root(img_tree *tree, const char *device, img_error *err)
{
    struct imgi_roots roots = {0};
    int rc = 0;

    if (!device) {
        rc = imgi_inspect_roots(tree->guest, &roots, err);
        if (rc == 0)
            rc = only_root(&roots, err);
        if (rc == 0)
            device = roots.list[0].device;
    }
    if (rc == 0)
        rc = img_tree_mount(tree, device, "/", err);
    if (rc == 0)
        rc = follow_fstab(tree, err);
    imgi_roots_clear(&roots);
    return rc;
}
