/*
 * Copying files into a guest. SPDX-License-Identifier: BSD-2-Clause
 *
 * An appliance that may write mounts what the tree has mounted, and unpacks there what tar packs
 * here: so owners, times, links, holes and extended attributes arrive. Its writes go through our
 * server to the images.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "guestfs.h"
#include "tree.h"

#ifdef HAVE_GUESTFS

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* --------------------------------------------------------------- packing, here */

/* A tar that runs: it writes into a pipe, and complains into a file without a name. */
struct packer {
    pid_t process; /* 0: none */
    int archive, complaints;
};

/* Split a path: *name points into it, *directory is to be freed. "dir/." means what is in dir. */
static int split(const char *path, char **directory, const char **name, img_error *err)
{
    const char *slash = strrchr(path, '/');

    if (!slash) {
        *directory = strdup(".");
        *name = path;
    } else {
        *directory = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
        *name = slash[1] ? slash + 1 : ".";
    }
    return *directory ? 0 : imgi_fail_nomem(err, "a path");
}

static int spawn(struct packer *packer, const char *directory, const char *name, int to,
                 img_error *err)
{
    const char *const command[] = {"tar",         "--create",        "--file=-", "--format=posix",
                                   "--sparse",    "--numeric-owner", "--xattrs", "--acls",
                                   "--directory", directory,         "--",       name,
                                   NULL};
    posix_spawn_file_actions_t actions;
    int rc;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return imgi_fail_nomem(err, "tar");
    rc = posix_spawn_file_actions_adddup2(&actions, to, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, packer->complaints, STDERR_FILENO);
    if (rc == 0)
        rc = posix_spawnp(&packer->process, "tar", &actions, NULL, (char *const *)command, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc == 0)
        return 0;
    packer->process = 0;
    return imgi_fail_errno(err, rc, "tar cannot be started");
}

static int start_packing(struct packer *packer, const char *source, img_error *err)
{
    const char *name;
    char *directory;
    int pipe[2], rc = split(source, &directory, &name, err);

    if (rc < 0)
        return rc;
    packer->complaints = memfd_create("tar", MFD_CLOEXEC);
    if (packer->complaints < 0 || pipe2(pipe, O_CLOEXEC) < 0) {
        rc = imgi_fail_errno(err, errno, "a pipe for tar cannot be made");
    } else {
        packer->archive = pipe[0];
        rc = spawn(packer, directory, name, pipe[1], err);
        close(pipe[1]);
    }
    free(directory);
    return rc;
}

/* Wait for its end; 0 unless it complained. */
static int end_packing(struct packer *packer, img_error *err)
{
    char said[384];
    ssize_t length;
    int status = 0;

    if (packer->archive >= 0)
        close(packer->archive); /* nobody reads any more: it does not go on writing */
    if (packer->process > 0) {
        while (waitpid(packer->process, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    length = packer->complaints >= 0 ? pread(packer->complaints, said, sizeof(said) - 1, 0) : 0;
    if (packer->complaints >= 0)
        close(packer->complaints);
    if (status == 0)
        return 0;
    said[length > 0 ? length : 0] = '\0';
    said[strcspn(said, "\n")] = '\0';
    return imgi_fail(err, IMG_E_IO, "%s", said[0] ? said : "tar has failed");
}

/* ------------------------------------------------------------ unpacking, there */

/* Why libguestfs failed matters less than why tar did. */
static int copy_source(struct imgi_assembly *assembly, const char *source, const char *directory,
                       img_error *err)
{
    struct packer packer = {.archive = -1, .complaints = -1};
    img_error there = {0}, here = {0};
    guestfs_h *handle;
    char archive[32];
    int rc = start_packing(&packer, source, &here);

    if (rc == 0) {
        snprintf(archive, sizeof(archive), "/dev/fd/%d", packer.archive);
        handle = imgi_guestfs_enter(assembly);
        if (assembly->call.tar_in_opts(handle, archive, directory, GUESTFS_TAR_IN_OPTS_XATTRS, 1,
                                       GUESTFS_TAR_IN_OPTS_ACLS, 1, -1) < 0)
            rc = imgi_guestfs_fail(assembly, &there, "%s", directory);
        imgi_guestfs_leave(assembly);
        if (end_packing(&packer, &here) < 0 && (rc == 0 || there.code == 0))
            rc = here.code;
    } else {
        end_packing(&packer, NULL);
    }
    if (rc < 0 && err)
        *err = there.code ? there : here;
    return rc;
}

/* A path in a directory, malloc'd; NULL without memory. */
static char *join(const char *directory, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

/* The one source becomes the file of that name: unpacked beside it first. */
static int copy_as(struct imgi_assembly *assembly, const char *source, const char *directory,
                   const char *as, img_error *err)
{
    const struct imgi_guestfs *call = &assembly->call;
    char *pattern, *from, *to, *top, *ignored;
    const char *name;
    int rc = split(source, &ignored, &name, err);

    if (rc < 0)
        return rc;
    free(ignored);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return imgi_fail(err, IMG_E_INVAL, "%s: it has no name of its own", source);
    pattern = join(directory, ".img-XXXXXX");
    to = join(directory, as);
    imgi_guestfs_enter(assembly);
    top = pattern && to ? call->mkdtemp(assembly->handle, pattern) : NULL;
    if (!top)
        rc = pattern && to ? imgi_guestfs_fail(assembly, err, "%s", directory)
                           : imgi_fail_nomem(err, "a path");
    imgi_guestfs_leave(assembly);
    if (rc == 0)
        rc = copy_source(assembly, source, top, err);
    if (top) {
        from = join(top, name);
        imgi_guestfs_enter(assembly);
        if (rc == 0 && !from)
            rc = imgi_fail_nomem(err, "a path");
        if (rc == 0 && call->rename(assembly->handle, from, to) < 0)
            rc = imgi_guestfs_fail(assembly, err, "%s", to);
        call->rm_rf(assembly->handle, top);
        imgi_guestfs_leave(assembly);
        free(from);
    }
    free(top);
    free(to);
    free(pattern);
    return rc;
}

/* The real path of a directory, so that no link of the guest leads the appliance astray. */
static int find_directory(struct imgi_assembly *assembly, const char *path, char **real,
                          img_error *err)
{
    guestfs_h *handle = imgi_guestfs_enter(assembly);
    int rc = 0;

    *real = assembly->call.realpath(handle, path);
    if (!*real)
        rc = imgi_guestfs_fail(assembly, err, "%s", path);
    else if (assembly->call.is_dir(handle, *real) != 1)
        rc = imgi_fail_errno(err, ENOTDIR, "%s", path);
    imgi_guestfs_leave(assembly);
    if (rc < 0) {
        free(*real);
        *real = NULL;
    }
    return rc;
}

static int copy_all(struct imgi_assembly *assembly, const char *const *sources, size_t count,
                    const char *target, img_error *err)
{
    img_error why = {0};
    char *directory, *parent = NULL;
    const char *name;
    int rc = find_directory(assembly, target, &directory, &why);

    for (size_t n = 0; rc == 0 && n < count; n++)
        rc = copy_source(assembly, sources[n], directory, err);
    free(directory);
    if (!why.code)
        return rc;
    rc = split(target, &parent, &name, err);
    if (rc == 0 && (count > 1 || strcmp(name, ".") == 0)) {
        if (err)
            *err = why;
        rc = why.code;
    }
    if (rc == 0)
        rc = find_directory(assembly, parent, &directory, err);
    if (rc == 0) {
        rc = copy_as(assembly, sources[0], directory, name, err);
        free(directory);
    }
    free(parent);
    return rc;
}

/* --------------------------------------------------------------- mounting, there */

/* Whether one path is the other, or leads to it. */
static bool is_above(const char *path, const char *other)
{
    size_t length = strlen(path);

    while (length > 0 && path[length - 1] == '/')
        length--;
    return strncmp(path, other, length) == 0 && (other[length] == '/' || !other[length]);
}

/* Whether it is a volume of LUKS that was opened to find what is to be mounted. */
static bool was_unlocked(img_guest *guest, const img_volume *volume)
{
    char device[128];
    bool found;

    if (!volume->content || strcmp(volume->content, "crypto_LUKS") != 0 || !volume->uuid)
        return false;
    snprintf(device, sizeof(device), "/dev/mapper/" IMGI_LUKS_NAME, volume->uuid);
    pthread_mutex_lock(&guest->lock);
    found = imgi_guest_find(guest, device);
    pthread_mutex_unlock(&guest->lock);
    return found;
}

/* What is in others stands behind them in the list. */
static int unlock_all(struct imgi_assembly *assembly, img_guest *guest, img_error *err)
{
    img_volume volume;
    int rc = 0;

    for (size_t n = 0; rc == 0 && img_guest_volume(guest, n, &volume, NULL) == 0; n++) {
        if (was_unlocked(guest, &volume))
            rc = imgi_guestfs_unlock(assembly, guest, &volume, true, err);
        if (rc < 0)
            imgi_error_prefix(err, "%s", volume.device);
    }
    return rc;
}

/* A filesystem that has nothing to do with the target may be missing. */
static int mount_all(struct imgi_assembly *assembly, img_tree *tree, const char *target,
                     img_error *err)
{
    const char *device, *path;

    for (size_t n = 0; img_tree_mounted(tree, n, &device, &path); n++) {
        img_error why = {0};
        int rc = 0;
        guestfs_h *handle = imgi_guestfs_enter(assembly);

        if (assembly->call.mount(handle, device, path) < 0)
            rc = imgi_guestfs_fail(assembly, &why, "%s cannot be mounted at %s", device, path);
        imgi_guestfs_leave(assembly);
        if (rc < 0 && (is_above(path, target) || is_above(target, path))) {
            if (err)
                *err = why;
            return rc;
        }
        if (rc < 0)
            imgi_guest_notice(tree->guest, "%s", why.message);
    }
    return 0;
}

static int unmount_all(struct imgi_assembly *assembly, img_error *err)
{
    guestfs_h *handle = imgi_guestfs_enter(assembly);
    int rc = 0;

    if (assembly->call.umount_all(handle) < 0 || assembly->call.shutdown(handle) < 0)
        rc = imgi_guestfs_fail(assembly, err, "the filesystems cannot be unmounted");
    imgi_guestfs_leave(assembly);
    return rc;
}

static int put(img_tree *tree, const char *const *sources, size_t count, const char *target,
               img_error *err)
{
    struct imgi_assembly *assembly;
    img_guest *guest = tree->guest;
    img_error late = {0};
    int rc = 0, ended;

    for (size_t n = 0; rc == 0 && n < guest->image_count; n++)
        rc = imgi_check_change(guest->images[n], "write", 0, 0, err);
    if (rc == 0)
        rc = imgi_appliance_start(&assembly, guest, "copy files into the guest", true, err);
    if (rc < 0)
        return rc;
    rc = unlock_all(assembly, guest, err);
    if (rc == 0)
        rc = mount_all(assembly, tree, target, err);
    if (rc == 0) {
        rc = copy_all(assembly, sources, count, target, err);
        if (rc < 0)
            imgi_error_prefix(err, "not all has been copied");
    }
    ended = unmount_all(assembly, &late);
    imgi_guestfs_end(assembly);
    for (size_t n = 0; ended == 0 && n < guest->image_count; n++)
        ended = img_flush(guest->images[n], &late);
    if (rc == 0 && ended < 0 && err)
        *err = late;
    return rc < 0 ? rc : ended;
}

#else /* HAVE_GUESTFS */

static int put(img_tree *tree, const char *const *sources, size_t count, const char *target,
               img_error *err)
{
    (void)tree, (void)sources, (void)count, (void)target;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "copying into a guest needs libguestfs, which this build is without "
                     "(Debian: libguestfs-dev when it is built)");
}

#endif /* HAVE_GUESTFS */

int img_tree_put(img_tree *tree, const char *const *sources, size_t count, const char *target,
                 img_error *err)
{
    if (count == 0 || target[0] != '/')
        return imgi_fail(err, IMG_E_INVAL, "there must be something to copy, and a path from / on");
    if (strlen(target) >= PATH_MAX)
        return imgi_fail_errno(err, ENAMETOOLONG, "%.100s", target);
    return put(tree, sources, count, target, err);
}
