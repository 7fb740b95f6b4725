/*
 * The view of files: which filesystems are in it. SPDX-License-Identifier: BSD-2-Clause
 *
 * The tree of the library says what is mounted where, and opens a filesystem when a path first
 * leads into it. Each one gets a number then, by which the kernel's numbers for files tell them
 * apart.
 */
#include <stdlib.h>
#include <string.h>

#include "files.h"

bool mounts_number(struct files *files, img_fs *fs, size_t *number)
{
    size_t count = atomic_load(&files->count);
    bool known = true;

    for (*number = 0; *number < count; ++*number)
        if (files->filesystems[*number] == fs)
            return true;
    pthread_mutex_lock(&files->lock);
    count = atomic_load(&files->count);
    while (*number < count && files->filesystems[*number] != fs)
        ++*number;
    if (*number == count && count < FILES_MOUNTS_MAX) {
        files->filesystems[count] = fs;
        atomic_store(&files->count, count + 1);
    } else {
        known = *number < count;
    }
    pthread_mutex_unlock(&files->lock);
    if (!known)
        log_line(files->session->log, "%s: one mount shows %d filesystems at most",
                 img_fs_device(fs), FILES_MOUNTS_MAX);
    return known;
}

/* "/dev/sda1 (ext4), /dev/sda2 (vfat)"; returns how many there are, and the last one. */
static size_t list_filesystems(const img_guest *guest, char *names, size_t size,
                               const char **device)
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
static bool mount_only(struct files *files)
{
    struct log *log = files->session->log;
    const char *name = files->session->args->images[0].name, *device = NULL;
    img_error err = {0};
    char names[512];
    size_t count = list_filesystems(files->guest, names, sizeof(names), &device);

    if (count == 0)
        log_line(log, "%s: no filesystem was found in it", name);
    else if (count > 1)
        log_line(log,
                 "%s: no operating system was found in it: choose one of its filesystems with "
                 "-m: %s",
                 name, names);
    else if (img_tree_mount(files->tree, device, "/", &err) < 0)
        log_error(log, &err, "%s", name);
    else
        return true;
    return false;
}

static bool mount_root(struct files *files)
{
    const struct args *args = files->session->args;
    const char *name = args->images[0].name;
    img_error err = {0};
    int rc = img_tree_mount_root(files->tree, args->root, &err);

    if (rc == IMG_E_NOENT && !args->root && !args->inspect)
        return mount_only(files);
    if (rc == IMG_E_INVAL && !args->root)
        return log_error(files->session->log, &err, "%s: choose one with --root", name);
    return rc == 0 || log_error(files->session->log, &err, "%s", name);
}

static bool mount_all(struct files *files)
{
    const struct args *args = files->session->args;
    img_error err = {0};

    for (size_t n = 0; n < args->mount_count; n++)
        if (img_tree_mount(files->tree, args->mounts[n].device, args->mounts[n].path, &err) < 0)
            return log_error(files->session->log, &err, "%s", args->images[0].name);
    return args->mount_count > 0 || mount_root(files);
}

bool mounts_start(struct files *files)
{
    const struct session *session = files->session;
    const char *name = session->args->images[0].name;
    img_guest_params params = {
        .sector_size = session->args->sector_size, .notice = log_notice, .opaque = session->log};
    img_error err = {0};
    size_t number;

    if (img_guest_open(&files->guest, session->images, session->image_count, &params, &err) < 0 ||
        img_tree_new(&files->tree, files->guest, &err) < 0)
        return log_error(session->log, &err, "%s", name);
    if (!mount_all(files))
        return false;
    if (img_tree_find(files->tree, "/", 0, &files->root, &err) < 0)
        return log_error(session->log, &err, "%s", name);
    return mounts_number(files, files->root.fs, &number);
}

void mounts_end(struct files *files)
{
    img_tree_free(files->tree);
    img_guest_close(files->guest);
}
