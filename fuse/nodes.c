/*
 * From the kernel's numbers to files and back. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/sysmacros.h>

#include "files.h"

#define INODE_BITS 56
#define INODE_MAX ((UINT64_C(1) << INODE_BITS) - 1)

bool node_find(const struct files *files, fuse_ino_t ino, struct node *node)
{
    uint64_t tag = ino >> INODE_BITS;

    *node = (struct node){0};
    if (ino == FUSE_ROOT_ID) {
        node->fs = files->root.fs;
        node->inode = files->root.inode;
        return true;
    }
    if (tag == 0 || tag > atomic_load(&files->count))
        return false;
    node->number = (size_t)tag - 1;
    node->fs = files->filesystems[tag - 1];
    node->inode = ino & INODE_MAX;
    return true;
}

fuse_ino_t node_number(const struct files *files, const struct node *node)
{
    if (node->number == 0 && node->inode == files->root.inode)
        return FUSE_ROOT_ID;
    if (node->inode > INODE_MAX)
        return 0;
    return (uint64_t)(node->number + 1) << INODE_BITS | node->inode;
}

uint64_t node_shown(const struct node *node)
{
    return (uint64_t)node->number << INODE_BITS ^ node->inode;
}

int node_error(const struct files *files, const struct node *node, const char *doing,
               const img_error *err)
{
    int os_errno = err->code == IMG_E_NOMEM ? ENOMEM : err->os_errno ? err->os_errno : EIO;

    switch (os_errno) {
    case EIO:
    case EUCLEAN:
    case EOPNOTSUPP:
    case ENOMEM:
        log_error(files->session->log, err, "%s: inode %" PRIu64 ": %s", img_fs_device(node->fs),
                  node->inode, doing);
        break;
    default:
        break; /* what happens in a sound filesystem, too */
    }
    return os_errno;
}

static struct timespec moment(int64_t seconds, uint32_t nanoseconds)
{
    return (struct timespec){(time_t)seconds, (long)nanoseconds};
}

int node_stat(const struct files *files, const struct node *node, struct stat *stat)
{
    const struct args *args = files->session->args;
    img_error err = {0};
    img_stat found;

    if (img_fs_stat(node->fs, node->inode, &found, &err) < 0)
        return node_error(files, node, "stat", &err);
    *stat = (struct stat){
        .st_ino = node_shown(node),
        .st_mode = found.mode & ~args->umask,
        .st_nlink = found.links,
        .st_uid = args->owner_given ? args->owner : found.uid,
        .st_gid = args->group_given ? args->group : found.gid,
        .st_rdev = makedev(found.device_major, found.device_minor),
        .st_size = (off_t)found.size,
        .st_blocks = (blkcnt_t)(found.allocated / 512),
        .st_blksize = 4096,
        .st_atim = moment(found.atime, found.atime_nsec),
        .st_mtim = moment(found.mtime, found.mtime_nsec),
        .st_ctim = moment(found.ctime, found.ctime_nsec),
    };
    return found.size > INT64_MAX ? EOVERFLOW : 0;
}
