/*
 * The view of blocks: names and attributes. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blocks.h"

/* The kernel's numbers: the root, "snapshots", and those of groups. */
#define SNAPSHOTS_ID 2
#define GROUP_SHIFT 16
#define FOLDER_ID 16 /* of a group: its folder, and from the next one on its files */
#define FILES_ID (FOLDER_ID + 1)

#define SNAPSHOTS_NAME "snapshots"
#define BLOCK_SIZE 65536 /* of requests that suit us: st_blksize */

struct blocks *blocks_of(fuse_req_t request)
{
    const struct session *session = fuse_req_userdata(request);

    return session->state;
}

static size_t number_of(const struct blocks *blocks, const struct blocks_group *group)
{
    return (size_t)(group - blocks->groups);
}

static fuse_ino_t ino_of(const struct blocks *blocks, const struct blocks_node *node)
{
    size_t group;

    if (node->kind == BLOCKS_SNAPSHOTS)
        return SNAPSHOTS_ID;
    group = number_of(blocks, node->group);
    if (node->kind == BLOCKS_FILE)
        return (fuse_ino_t)group << GROUP_SHIFT | (FILES_ID + node->file);
    return group == 0 ? FUSE_ROOT_ID : (fuse_ino_t)group << GROUP_SHIFT | FOLDER_ID;
}

bool blocks_find(struct blocks *blocks, fuse_ino_t ino, struct blocks_node *node)
{
    size_t group = ino >> GROUP_SHIFT, item = ino & ((1u << GROUP_SHIFT) - 1);

    *node = (struct blocks_node){.kind = BLOCKS_FOLDER, .group = &blocks->groups[0]};
    if (ino == FUSE_ROOT_ID)
        return true;
    if (ino == SNAPSHOTS_ID) {
        node->kind = BLOCKS_SNAPSHOTS;
        return true;
    }
    if (group >= blocks->count || item < FOLDER_ID)
        return false;
    node->group = &blocks->groups[group];
    if (item == FOLDER_ID)
        return group > 0;
    node->kind = BLOCKS_FILE;
    node->file = item - FILES_ID;
    /* What was never looked up is no file of a group that is open. */
    return blocks_group_open(blocks, node->group) == 0 && node->file < node->group->count;
}

/* -------------------------------------------------------------- attributes */

static void describe(struct blocks *blocks, const struct blocks_node *node, struct stat *stat)
{
    const struct args *args = blocks->session->args;
    time_t time = node->group->time;
    mode_t mode = node->group->writable ? 0644 : 0444;

    *stat = (struct stat){
        .st_ino = ino_of(blocks, node),
        .st_mode = S_IFDIR | 0555,
        .st_nlink = 2,
        .st_uid = args->owner_given ? args->owner : getuid(),
        .st_gid = args->group_given ? args->group : getgid(),
        .st_blksize = BLOCK_SIZE,
        .st_atime = time,
        .st_mtime = time,
        .st_ctime = time,
    };
    if (node->kind == BLOCKS_FILE) {
        const struct blocks_file *file = &node->group->files[node->file];

        stat->st_mode = S_IFREG | mode;
        stat->st_nlink = 1;
        stat->st_size = (off_t)file->size;
        stat->st_blocks = (blkcnt_t)file->blocks;
    }
    stat->st_mode &= ~args->umask;
}

void blocks_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct blocks *blocks = blocks_of(request);
    struct blocks_node node;
    struct stat stat;

    (void)info;
    if (!blocks_find(blocks, ino, &node)) {
        fuse_reply_err(request, ESTALE);
        return;
    }
    describe(blocks, &node, &stat);
    fuse_reply_attr(request, &stat, VIEW_FOREVER);
}

/* Times come and go; a disk keeps its size, its owner and its mode. */
void blocks_setattr(fuse_req_t request, fuse_ino_t ino, struct stat *stat, int which,
                    struct fuse_file_info *info)
{
    struct blocks_node node;
    bool resized = false;

    if (blocks_find(blocks_of(request), ino, &node) && node.kind == BLOCKS_FILE)
        resized = (which & FUSE_SET_ATTR_SIZE) &&
                  (uint64_t)stat->st_size != node.group->files[node.file].size;
    if (resized || (which & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
        fuse_reply_err(request, EPERM);
    else
        blocks_getattr(request, ino, info);
}

/* ------------------------------------------------------------------- names */

/* The n-th child of a directory; NULL past the last one. */
static const char *child(struct blocks *blocks, const struct blocks_node *parent, size_t n,
                         struct blocks_node *node)
{
    *node = (struct blocks_node){.kind = BLOCKS_FILE, .group = parent->group, .file = n};
    if (parent->kind == BLOCKS_SNAPSHOTS) {
        node->kind = BLOCKS_FOLDER;
        node->group = n + 1 < blocks->count ? &blocks->groups[n + 1] : parent->group;
        return n + 1 < blocks->count ? node->group->name : NULL;
    }
    if (n < parent->group->count)
        return parent->group->files[n].name;
    node->kind = BLOCKS_SNAPSHOTS;
    return n == parent->group->count && parent->group == blocks->groups && blocks->count > 1
               ? SNAPSHOTS_NAME
               : NULL;
}

/* A directory, whose group is open. Returns 0 or an errno. */
static int find_directory(struct blocks *blocks, fuse_ino_t ino, struct blocks_node *node)
{
    if (!blocks_find(blocks, ino, node))
        return ESTALE;
    if (node->kind == BLOCKS_FILE)
        return ENOTDIR;
    return node->kind == BLOCKS_FOLDER ? blocks_group_open(blocks, node->group) : 0;
}

void blocks_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct blocks *blocks = blocks_of(request);
    struct fuse_entry_param entry = {.entry_timeout = VIEW_FOREVER, .attr_timeout = VIEW_FOREVER};
    struct blocks_node directory, node;
    const char *found;
    int rc = find_directory(blocks, parent, &directory);

    if (rc != 0) {
        fuse_reply_err(request, rc);
        return;
    }
    for (size_t n = 0; (found = child(blocks, &directory, n, &node)) != NULL; n++)
        if (strcmp(found, name) == 0)
            break;
    if (found) {
        entry.ino = ino_of(blocks, &node);
        describe(blocks, &node, &entry.attr);
    }
    fuse_reply_entry(request, &entry); /* that there is none is worth to be remembered, too */
}

/* The n-th entry, the two that every directory has in front. */
static const char *entry_at(struct blocks *blocks, const struct blocks_node *directory, size_t n,
                            struct blocks_node *node)
{
    *node = *directory;
    if (n == 0)
        return ".";
    return n == 1 ? ".." : child(blocks, directory, n - 2, node);
}

void blocks_readdir(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *info)
{
    struct blocks *blocks = blocks_of(request);
    struct blocks_node directory, node;
    char *buffer = malloc(size);
    const char *name;
    size_t used = 0;
    int rc = buffer ? find_directory(blocks, ino, &directory) : ENOMEM;

    (void)info;
    for (size_t n = (size_t)offset;
         rc == 0 && (name = entry_at(blocks, &directory, n, &node)) != NULL; n++) {
        struct stat stat;
        size_t length;

        describe(blocks, &node, &stat);
        length = fuse_add_direntry(request, buffer + used, size - used, name, &stat, (off_t)n + 1);
        if (length > size - used)
            break;
        used += length;
    }
    if (rc == 0)
        fuse_reply_buf(request, buffer, used);
    else
        fuse_reply_err(request, rc);
    free(buffer);
}
