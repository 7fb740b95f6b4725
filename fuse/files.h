/*
 * The view of files: what its parts share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Nothing of what is mounted ever changes, so a file is known to the kernel by a number that says
 * which filesystem it is in and which inode it has there. There is no table of such numbers to
 * keep, and nothing to do when the kernel forgets one.
 */
#ifndef FILES_H
#define FILES_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "view.h"

#define FILES_MOUNTS_MAX 128 /* filesystems under one mount */

#define CONTENTS_BUCKETS 256

/* A file or a directory that is open. */
struct content {
    fuse_ino_t ino;
    img_file *file; /* or */
    img_dir *dir;
    unsigned users;
    struct content *next;          /* in its bucket */
    struct content *newer, *older; /* in a ring */
};

struct contents {
    pthread_mutex_t lock;
    struct content *buckets[CONTENTS_BUCKETS];
    struct content recent; /* of the ring: older is the newest, and newer the oldest */
    size_t count;
};

struct files {
    struct session *session;
    img_guest *guest;
    img_tree *tree;
    img_place root;
    /* By number, in the order in which they were found; none is ever changed or taken away. */
    img_fs *filesystems[FILES_MOUNTS_MAX];
    atomic_size_t count;
    pthread_mutex_t lock; /* for adding filesystems */
    bool opens;           /* the kernel says when it opens and closes something */
    struct contents contents;
};

/* ---- mounts.c ---- */

/* Open the guest and mount its filesystems; to be ended also if that fails. */
bool mounts_start(struct files *files);
void mounts_end(struct files *files);
/* The number of a filesystem, a new one if it has none yet; false: there are too many. */
bool mounts_number(struct files *files, img_fs *fs, size_t *number);

/* ---- nodes.c ---- */

/* Where a file is: the filesystem by its number in files->filesystems. */
struct node {
    size_t number;
    img_fs *fs;
    uint64_t inode;
};

/* What the kernel's number means; false: nothing, it was never given out. */
bool node_find(const struct files *files, fuse_ino_t ino, struct node *node);
/* The number for the kernel; 0: the inode's is too large for that. */
fuse_ino_t node_number(const struct files *files, const struct node *node);
/* The number that stat(2) shows: the guest's own in the root filesystem. */
uint64_t node_shown(const struct node *node);
/* What stat(2) shows. Returns 0 or an errno; what is damaged has been told to the log. */
int node_stat(const struct files *files, const struct node *node, struct stat *stat);
/* The errno for the kernel; what the mount's owner should know of is told to the log. */
int node_error(const struct files *files, const struct node *node, const char *doing,
               const img_error *err);

/* ---- directories.c ---- */

void files_lookup(fuse_req_t request, fuse_ino_t parent, const char *name);
void files_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                   struct fuse_file_info *info);
void files_readdirplus(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *info);

/* ---- contents.c ---- */

void contents_init(struct contents *contents);
void contents_end(struct contents *contents);
/* What is in the file or directory, opened if need be. Returns 0 or an errno. */
int contents_use(struct files *files, fuse_ino_t ino, bool directory, struct content **content);
/* The use is over. finished: it will hardly be used again soon. */
void contents_done(struct files *files, struct content *content, bool finished);

#endif
