/*
 * The view of blocks: what its parts share. SPDX-License-Identifier: BSD-2-Clause
 *
 * The root shows the disk and its partitions as they are, a folder "snapshots" each snapshot in the
 * image as a folder with the same. Each of these groups of files is a disk of its own: that of a
 * snapshot is opened, for reading, when somebody looks into its folder. A file is known to the
 * kernel by the numbers of its group and of its place there; nothing comes or goes while mounted.
 */
#ifndef BLOCKS_H
#define BLOCKS_H

#include <sys/stat.h>

#include "view.h"

#define BLOCKS_NAME_MAX 255 /* bytes of a name; what snapshots are called may be longer */

/* A disk, or a partition of it. */
struct blocks_file {
    char name[16];
    uint64_t offset, size; /* in the disk */
    uint64_t blocks;       /* st_blocks: what is stored of it, or one less than all if unknown */
};

/* A disk and its partitions. The disk itself is the first file. */
struct blocks_group {
    char name[BLOCKS_NAME_MAX + 1]; /* of the folder; of the root: "" */
    char *id;                       /* of the snapshot; NULL: the disk as it is */
    time_t time;
    img_image *image; /* NULL: not opened yet */
    bool writable;
    struct blocks_file *files;
    size_t count;
};

struct blocks {
    struct session *session;
    struct blocks_group *groups; /* the first one is the root */
    size_t count;
    pthread_mutex_t lock; /* for opening groups */
};

/* What a number of the kernel stands for. */
enum blocks_kind { BLOCKS_FOLDER, BLOCKS_SNAPSHOTS, BLOCKS_FILE };
struct blocks_node {
    enum blocks_kind kind;
    struct blocks_group *group; /* of a folder or a file */
    size_t file;                /* its number in the group */
};

/* ---- blocks_groups.c ---- */

/* Find out what there is to be shown, and open the root; to be ended also if that fails. */
bool blocks_groups_start(struct blocks *blocks);
/* False: something was lost; it has been said. */
bool blocks_groups_end(struct blocks *blocks);
/* See to it that the group is open. Returns 0 or an errno; what is wrong has been said. */
int blocks_group_open(struct blocks *blocks, struct blocks_group *group);

/* ---- blocks_tree.c ---- */

struct blocks *blocks_of(fuse_req_t request);
/* False: the number means nothing. */
bool blocks_find(struct blocks *blocks, fuse_ino_t ino, struct blocks_node *node);
void blocks_lookup(fuse_req_t request, fuse_ino_t parent, const char *name);
void blocks_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info);
void blocks_setattr(fuse_req_t request, fuse_ino_t ino, struct stat *stat, int which,
                    struct fuse_file_info *info);
void blocks_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *info);

#endif
