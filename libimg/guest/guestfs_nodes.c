/*
 * The numbers of files in the appliance. SPDX-License-Identifier: BSD-2-Clause
 *
 * A file is known by the inode number that it has there. Subvolumes of btrfs number their files for
 * themselves: the upper bits say which one it is. Each file is kept with its directory and the name
 * it had there, which make its path. What was found of it is kept too, but only of so many: newer
 * ones take the place of older ones.
 */
#include "guestfs.h"

#ifdef HAVE_GUESTFS

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DEVICE_SHIFT 48
#define DEVICES_MAX 65536u
/* Files in memory: some 100 bytes for each. */
#define NODES_MAX (16u << 20)
#define STATS 16384u

struct node {
    uint64_t inode, parent;
    uint32_t type;
    char name[];
};

struct imgi_nodes {
    struct node **table; /* by number, with open addressing; half of it is free at least */
    size_t size, count;  /* size: a power of two */
    int64_t *devices;    /* the filesystem's first, then those of its subvolumes */
    size_t device_count;
    img_stat *stats; /* by number; 0: empty */
};

static size_t slot_of(const struct imgi_nodes *nodes, uint64_t inode)
{
    return (inode * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (nodes->size - 1);
}

/* Where the node is, or would be. */
static struct node **find(const struct imgi_nodes *nodes, uint64_t inode)
{
    size_t slot = slot_of(nodes, inode);

    while (nodes->table[slot] && nodes->table[slot]->inode != inode)
        slot = (slot + 1) & (nodes->size - 1);
    return &nodes->table[slot];
}

int imgi_nodes_new(struct imgi_nodes **nodes, img_error *err)
{
    *nodes = calloc(1, sizeof(**nodes));
    if (!*nodes)
        return imgi_fail_nomem(err, "a filesystem");
    (*nodes)->size = 1024;
    (*nodes)->table = calloc((*nodes)->size, sizeof(struct node *));
    (*nodes)->stats = calloc(STATS, sizeof(img_stat));
    return (*nodes)->table && (*nodes)->stats ? 0 : imgi_fail_nomem(err, "a filesystem");
}

void imgi_nodes_free(struct imgi_nodes *nodes)
{
    if (!nodes)
        return;
    for (size_t n = 0; nodes->table && n < nodes->size; n++)
        free(nodes->table[n]);
    free(nodes->table);
    free(nodes->devices);
    free(nodes->stats);
    free(nodes);
}

/* ------------------------------------------------------------------- adding */

static int grow(struct imgi_nodes *nodes, img_error *err)
{
    struct imgi_nodes larger = {.size = nodes->size * 2};

    if (nodes->count < nodes->size / 2)
        return 0;
    if (nodes->count >= NODES_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "the filesystem has more than %u files", NODES_MAX);
    larger.table = calloc(larger.size, sizeof(struct node *));
    if (!larger.table)
        return imgi_fail_nomem(err, "the files of a filesystem");
    for (size_t n = 0; n < nodes->size; n++) {
        if (nodes->table[n])
            *find(&larger, nodes->table[n]->inode) = nodes->table[n];
    }
    free(nodes->table);
    nodes->table = larger.table;
    nodes->size = larger.size;
    return 0;
}

static int number(struct imgi_nodes *nodes, const struct guestfs_statns *found, uint64_t *inode,
                  img_error *err)
{
    int64_t *devices;
    uint64_t n = 0;

    while (n < nodes->device_count && nodes->devices[n] != found->st_dev)
        n++;
    if (n == nodes->device_count) {
        devices = reallocarray(nodes->devices, n + 1, sizeof(*devices));
        if (!devices)
            return imgi_fail_nomem(err, "a subvolume");
        devices[n] = found->st_dev;
        nodes->devices = devices;
        nodes->device_count++;
    }
    if (n >= DEVICES_MAX || found->st_ino <= 0 || (uint64_t)found->st_ino >> DEVICE_SHIFT != 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the filesystem has more subvolumes or files than there are numbers here");
    *inode = n << DEVICE_SHIFT | (uint64_t)found->st_ino;
    return 0;
}

static img_stat stat_of(uint64_t inode, const struct guestfs_statns *found)
{
    return (img_stat){
        .inode = inode,
        .mode = (uint32_t)found->st_mode,
        .links = (uint32_t)found->st_nlink,
        .uid = (uint32_t)found->st_uid,
        .gid = (uint32_t)found->st_gid,
        .device_major = major((dev_t)found->st_rdev),
        .device_minor = minor((dev_t)found->st_rdev),
        .size = (uint64_t)found->st_size,
        .allocated = (uint64_t)found->st_blocks * 512,
        .atime = found->st_atime_sec,
        .mtime = found->st_mtime_sec,
        .ctime = found->st_ctime_sec,
        .atime_nsec = (uint32_t)found->st_atime_nsec,
        .mtime_nsec = (uint32_t)found->st_mtime_nsec,
        .ctime_nsec = (uint32_t)found->st_ctime_nsec,
    };
}

int imgi_nodes_add(struct imgi_nodes *nodes, uint64_t parent, const char *name,
                   const struct guestfs_statns *found, uint64_t *inode, img_error *err)
{
    struct node **place;
    int rc = number(nodes, found, inode, err);

    if (rc == 0)
        rc = grow(nodes, err);
    if (rc < 0)
        return rc;
    nodes->stats[*inode % STATS] = stat_of(*inode, found);
    place = find(nodes, *inode);
    if (*place)
        return 0;
    *place = malloc(sizeof(**place) + strlen(name) + 1);
    if (!*place)
        return imgi_fail_nomem(err, "a file");
    (*place)->inode = *inode;
    (*place)->parent = parent;
    (*place)->type = (uint32_t)found->st_mode & S_IFMT;
    strcpy((*place)->name, name);
    nodes->count++;
    return 0;
}

/* ---------------------------------------------------------------- answers */

uint32_t imgi_nodes_type(const struct imgi_nodes *nodes, uint64_t inode)
{
    const struct node *node = *find(nodes, inode);

    return node ? node->type : 0;
}

bool imgi_nodes_stat(const struct imgi_nodes *nodes, uint64_t inode, img_stat *stat)
{
    const img_stat *known = &nodes->stats[inode % STATS];

    if (inode == 0 || known->inode != inode)
        return false;
    *stat = *known;
    return true;
}

int imgi_nodes_path(const struct imgi_nodes *nodes, const char *top, uint64_t inode, char **path,
                    img_error *err)
{
    char bytes[PATH_MAX];
    size_t at = sizeof(bytes) - 1, length = strlen(top);
    const struct node *node = *find(nodes, inode);

    bytes[at] = '\0';
    for (; node && node->parent; node = *find(nodes, node->parent)) {
        size_t name = strlen(node->name);

        if (at < length + name + 1)
            return imgi_fail_errno(err, ENAMETOOLONG, "a path to \"%.64s\"", bytes + at);
        at -= name + 1;
        bytes[at] = '/';
        memcpy(bytes + at + 1, node->name, name);
    }
    if (!node)
        return imgi_fail_errno(err, ENOENT, "no file of that number has been seen");
    at -= length;
    memcpy(bytes + at, top, length);
    *path = strdup(bytes + at);
    return *path ? 0 : imgi_fail_nomem(err, "a path");
}

#endif /* HAVE_GUESTFS */
