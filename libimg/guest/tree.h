/*
 * The directory tree: what tree.c and path.c share. SPDX-License-Identifier: BSD-2-Clause
 *
 * The list of mounts is complete before the tree is used; what changes then is their state, for the
 * filesystems of fstab are opened when a path first leads into them. Lock order: tree->opening,
 * tree->lock, then those of the guest.
 */
#ifndef IMGI_TREE_H
#define IMGI_TREE_H

#include "guest.h"

enum imgi_mount_state {
    IMGI_MOUNT_ADRIFT,  /* its mount point is in a filesystem that has not been opened yet */
    IMGI_MOUNT_WAITING, /* to be opened when a path leads there */
    IMGI_MOUNT_OPENING, /* it is there for the thread that holds tree->opening, others wait */
    IMGI_MOUNT_THERE,
    IMGI_MOUNT_FAILED /* its mount point is a directory as any other */
};

struct imgi_mount {
    char *device, *path;
    /* What follows is under tree->lock. */
    enum imgi_mount_state state;
    img_place at;    /* its mount point, unless it is adrift; fs NULL: it is the tree's root */
    img_fs *fs;      /* NULL: not opened yet */
    char *complaint; /* to be told to the guest's notice; malloc'd, or NULL */
};

struct img_tree {
    img_guest *guest;
    pthread_mutex_t opening; /* held by the thread that opens a mount */
    pthread_mutex_t lock;
    struct imgi_mount *mounts; /* the first one is the root */
    size_t count;
};

/* ---- tree.c ---- */

/* The first mount from the n-th on that is on that directory; NULL: none. tree->lock is held. */
struct imgi_mount *imgi_tree_covering(img_tree *tree, size_t *n, const img_place *place);
/* Add a mount, adrift. */
int imgi_tree_add(img_tree *tree, const char *device, const char *path, struct imgi_mount **mount,
                  img_error *err);
/* Find the mount points of those adrift; what has none is told to the guest's notice. */
void imgi_tree_moor(img_tree *tree);
/* Open a mount that waits. If that fails the guest's notice hears of it, once. */
void imgi_tree_open(img_tree *tree, struct imgi_mount *mount);

/* ---- path.c ---- */

/*
 * From a directory to the root of what is mounted on it. `opener`: the caller holds tree->opening,
 * so nothing is opened; *blocked is then the mount that would have to be, or NULL.
 */
void imgi_path_cross(img_tree *tree, bool opener, img_place *place, struct imgi_mount **blocked);
/* The directory of that path, for who holds tree->opening. With *blocked set it is not known yet.
 */
int imgi_path_directory(img_tree *tree, const char *path, img_place *place,
                        struct imgi_mount **blocked, img_error *err);

/* ---- fstab.c ---- */

/* A line of fstab that puts the filesystem of a device somewhere. */
struct imgi_fstab_entry {
    char *device;  /* as libguestfs names it, or "UUID=x", ...: as imgi_guest_find takes it */
    char *path;    /* absolute, without a slash at its end and without doubled ones */
    bool optional; /* noauto, nofail: nobody wonders when it is not there */
    size_t order;  /* of the lines */
};
struct imgi_fstab {
    struct imgi_fstab_entry *entries; /* in the order in which they can be mounted */
    size_t count;
};

/* What a guest's fstab says. Lines that make no sense, or are about no device, are left out. */
int imgi_fstab_parse(struct imgi_fstab *fstab, const char *text, size_t length, img_error *err);
void imgi_fstab_free(struct imgi_fstab *fstab);

/* ---- root.c ---- */

/* Whether disks hold parts of volumes that only img_guest_assemble finds. */
bool imgi_roots_in_parts(img_guest *guest);

#endif
