/*
 * The directory tree of a guest: what is mounted where. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tree.h"

/* ----------------------------------------------------------------- mounts */

struct imgi_mount *imgi_tree_covering(img_tree *tree, size_t *n, const img_place *place)
{
    for (; *n < tree->count; (*n)++) {
        struct imgi_mount *mount = &tree->mounts[*n];

        if (mount->state != IMGI_MOUNT_ADRIFT && mount->state != IMGI_MOUNT_FAILED &&
            mount->at.fs == place->fs && mount->at.inode == place->inode)
            return mount;
    }
    return NULL;
}

/* Give the notice what has not been said yet. No lock is held. */
static void complain(img_tree *tree)
{
    for (size_t n = 0; n < tree->count; n++) {
        struct imgi_mount *mount = &tree->mounts[n];
        char *complaint;

        pthread_mutex_lock(&tree->lock);
        complaint = mount->complaint;
        mount->complaint = NULL;
        pthread_mutex_unlock(&tree->lock);
        if (complaint)
            imgi_guest_notice(tree->guest, "%s is not mounted at %s: %s", mount->device,
                              mount->path, complaint);
        free(complaint);
    }
}

/* tree->lock is held. */
static void mark_failed(struct imgi_mount *mount, const img_error *err)
{
    mount->state = IMGI_MOUNT_FAILED;
    mount->complaint = strdup(err->message);
}

/* Find the mount points of those adrift, as far as they can be found. tree->opening is held. */
static void moor(img_tree *tree)
{
    for (size_t n = 0; n < tree->count; n++) {
        struct imgi_mount *mount = &tree->mounts[n], *blocked;
        img_error err = {0};
        img_place at;
        int rc;

        if (mount->state != IMGI_MOUNT_ADRIFT)
            continue;
        rc = imgi_path_directory(tree, mount->path, &at, &blocked, &err);
        pthread_mutex_lock(&tree->lock);
        if (rc < 0) {
            mark_failed(mount, &err);
        } else if (!blocked) {
            mount->at = at;
            mount->state = IMGI_MOUNT_WAITING;
        }
        pthread_mutex_unlock(&tree->lock);
    }
}

void imgi_tree_moor(img_tree *tree)
{
    pthread_mutex_lock(&tree->opening);
    moor(tree);
    pthread_mutex_unlock(&tree->opening);
    complain(tree);
}

/* Volumes that no range of a disk holds are looked for when there is no other of that name. */
static int open_device(img_guest *guest, const char *device, img_fs **fs, img_error *err)
{
    img_error first = {0};
    int rc = img_guest_fs(guest, device, fs, &first);

    if (rc == IMG_E_NOENT && first.os_errno == 0 && imgi_roots_in_parts(guest)) {
        rc = img_guest_assemble(guest, err);
        return rc < 0 ? rc : img_guest_fs(guest, device, fs, err);
    }
    if (rc < 0 && err)
        *err = first;
    return rc;
}

void imgi_tree_open(img_tree *tree, struct imgi_mount *mount)
{
    img_error err = {0};
    img_fs *fs;
    int rc;

    pthread_mutex_lock(&tree->opening);
    if (mount->state == IMGI_MOUNT_WAITING) {
        rc = open_device(tree->guest, mount->device, &fs, &err);
        pthread_mutex_lock(&tree->lock);
        if (rc < 0) {
            mark_failed(mount, &err);
        } else {
            mount->fs = fs;
            mount->state = IMGI_MOUNT_OPENING;
        }
        pthread_mutex_unlock(&tree->lock);
        moor(tree);
        pthread_mutex_lock(&tree->lock);
        if (mount->state == IMGI_MOUNT_OPENING)
            mount->state = IMGI_MOUNT_THERE;
        pthread_mutex_unlock(&tree->lock);
    }
    pthread_mutex_unlock(&tree->opening);
    complain(tree);
}

/* ------------------------------------------------------------ made, ended */

int img_tree_new(img_tree **tree, img_guest *guest, img_error *err)
{
    *tree = calloc(1, sizeof(**tree));
    if (!*tree)
        return imgi_fail_nomem(err, "a directory tree");
    (*tree)->guest = guest;
    pthread_mutex_init(&(*tree)->opening, NULL);
    pthread_mutex_init(&(*tree)->lock, NULL);
    return 0;
}

void img_tree_free(img_tree *tree)
{
    if (!tree)
        return;
    for (size_t n = 0; n < tree->count; n++) {
        free(tree->mounts[n].device);
        free(tree->mounts[n].path);
        free(tree->mounts[n].complaint);
    }
    free(tree->mounts);
    pthread_mutex_destroy(&tree->opening);
    pthread_mutex_destroy(&tree->lock);
    free(tree);
}

int imgi_tree_add(img_tree *tree, const char *device, const char *path, struct imgi_mount **mount,
                  img_error *err)
{
    struct imgi_mount *mounts = reallocarray(tree->mounts, tree->count + 1, sizeof(*mounts));

    if (!mounts)
        return imgi_fail_nomem(err, "a mount");
    tree->mounts = mounts;
    *mount = &mounts[tree->count];
    **mount = (struct imgi_mount){.device = strdup(device), .path = strdup(path)};
    if (!(*mount)->device || !(*mount)->path) {
        free((*mount)->device);
        free((*mount)->path);
        return imgi_fail_nomem(err, "a mount");
    }
    tree->count++;
    return 0;
}

int img_tree_mount(img_tree *tree, const char *device, const char *path, img_error *err)
{
    struct imgi_mount *mount;
    img_place at = {0};
    img_stat stat;
    img_fs *fs;
    int rc = 0;

    if (path[0] != '/')
        return imgi_fail(err, IMG_E_INVAL, "%s: a mount point begins with a slash", path);
    if (tree->count > 0) {
        rc = img_tree_find(tree, path, 0, &at, err);
        if (rc == 0)
            rc = img_fs_stat(at.fs, at.inode, &stat, err);
        if (rc == 0 && !S_ISDIR(stat.mode))
            rc = imgi_fail_errno(err, ENOTDIR, "%s", path);
    } else if (path[strspn(path, "/")] != '\0') {
        rc = imgi_fail(err, IMG_E_INVAL, "%s: nothing is mounted at / yet", path);
    }
    if (rc == 0)
        rc = open_device(tree->guest, device, &fs, err);
    if (rc == 0)
        rc = imgi_tree_add(tree, device, path, &mount, err);
    if (rc < 0)
        return rc;
    mount->at = at;
    mount->fs = fs;
    mount->state = IMGI_MOUNT_THERE;
    return 0;
}

bool img_tree_mounted(const img_tree *tree, size_t n, const char **device, const char **path)
{
    if (n >= tree->count)
        return false;
    *device = tree->mounts[n].device;
    *path = tree->mounts[n].path;
    return true;
}

/* -------------------------------------------------------------- one step */

/* From the root of what is mounted to its mount point, down to a directory that is no such root. */
static void climb(img_tree *tree, img_place *place)
{
    pthread_mutex_lock(&tree->lock);
    for (size_t n = tree->count; n-- > 1;) {
        const struct imgi_mount *mount = &tree->mounts[n];

        if (mount->fs && mount->fs == place->fs && place->inode == img_fs_root(place->fs))
            *place = mount->at;
    }
    pthread_mutex_unlock(&tree->lock);
}

int img_tree_step(img_tree *tree, const img_place *directory, const char *name, img_place *place,
                  img_error *err)
{
    bool up = strcmp(name, "..") == 0;
    int rc;

    *place = *directory;
    if (strcmp(name, ".") == 0)
        return 0;
    if (up)
        climb(tree, place);
    if (up && place->inode == img_fs_root(place->fs))
        return 0; /* nothing is above the tree's root */
    rc = img_fs_lookup(place->fs, place->inode, name, &place->inode, err);
    if (rc == 0)
        img_tree_cross(tree, place);
    return rc;
}

bool img_tree_covered(img_tree *tree, const img_place *directory)
{
    size_t n = 0;
    bool covered;

    pthread_mutex_lock(&tree->lock);
    covered = imgi_tree_covering(tree, &n, directory) != NULL;
    pthread_mutex_unlock(&tree->lock);
    return covered;
}
