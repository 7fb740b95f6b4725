/*
 * What FAT and exFAT hold. SPDX-License-Identifier: BSD-2-Clause
 *
 * Both are simple enough to need no library. What they do not have (owners, permissions) is shown
 * as a mount by the kernel shows it by default; times, which have no zone in FAT, are read as UTC.
 */
#include "fat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool reads(const char *content)
{
    return strcmp(content, "vfat") == 0 || strcmp(content, "exfat") == 0;
}

static int open_fs(img_fs *fs, img_error *err)
{
    struct imgi_fat *fat = calloc(1, sizeof(*fat));
    int rc;

    if (!fat)
        return imgi_fail_nomem(err, "a filesystem");
    fs->state = fat;
    fs->root = IMGI_FAT_ROOT;
    fat->volume = fs->volume;
    fat->exfat = strcmp(fs->volume->info.content, "exfat") == 0;
    rc = imgi_fat_super(fat, err);
    if (rc == 0 && fat->dirty) {
        fs->warning = strdup("it was not unmounted cleanly");
        if (!fs->warning)
            return imgi_fail_nomem(err, "a filesystem");
    }
    return rc;
}

static void close_fs(img_fs *fs)
{
    free(fs->state);
}

static int usage_of(img_fs *fs, img_fs_usage *usage, img_error *err)
{
    struct imgi_fat *fat = fs->state;
    int rc = fat->counted ? 0 : imgi_fat_unused(fat, NULL, NULL, err);

    usage->block_size = fat->cluster_size;
    usage->blocks = fat->clusters;
    usage->blocks_free = usage->blocks_available = fat->free_clusters;
    usage->name_max = IMGI_NAME_UNITS;
    return rc;
}

static int find_unused(img_fs *fs, imgi_unused_fn *unused, void *opaque, img_error *err)
{
    struct imgi_fat *fat = fs->state;

    if (fat->dirty)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "it was not unmounted cleanly");
    /* TexFAT: which of the bitmaps is right depends on what it was about to do. */
    if (fat->two_tables)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "it has two allocation bitmaps");
    return imgi_fat_unused(fat, unused, opaque, err);
}

/* ------------------------------------------------------------------- inodes */

static int no_inode(uint64_t inode, img_error *err)
{
    return imgi_fail_errno(err, ENOENT, "inode %" PRIu64, inode);
}

static int root_node(struct imgi_fat *fat, struct imgi_fat_node *node)
{
    *node = (struct imgi_fat_node){
        .inode = IMGI_FAT_ROOT,
        .attributes = IMGI_FAT_DIRECTORY,
        .cluster = fat->root_cluster,
    };
    return 0;
}

static int node_of(struct imgi_fat *fat, uint64_t inode, struct imgi_fat_node *node, img_error *err)
{
    uint64_t place = inode * IMGI_FAT_ENTRY;
    uint64_t end = fat->data + (uint64_t)fat->clusters * fat->cluster_size;
    uint8_t entry[IMGI_FAT_ENTRY];
    bool in_root, in_data;
    int rc;

    if (inode == IMGI_FAT_ROOT)
        return root_node(fat, node);
    if (inode > UINT64_MAX / IMGI_FAT_ENTRY)
        return no_inode(inode, err);
    in_root = place >= fat->root && place < fat->root + fat->root_size;
    in_data = place >= fat->data && place < end;
    if (!in_root && !in_data)
        return no_inode(inode, err);
    node->inode = inode;
    if (fat->exfat)
        return imgi_exfat_node(fat, place, node, err);
    rc = imgi_volume_read(fat->volume, place, entry, sizeof(entry), err);
    if (rc == 0)
        imgi_fat_node_decode(fat, entry, place, node);
    if (rc == 0 && node->attributes & IMGI_FAT_VOLUME)
        return no_inode(inode, err);
    return rc;
}

static uint32_t mode_of(const struct imgi_fat_node *node)
{
    if (node->attributes & IMGI_FAT_DIRECTORY)
        return S_IFDIR | 0755;
    return node->attributes & IMGI_FAT_READ_ONLY ? S_IFREG | 0555 : S_IFREG | 0755;
}

/* A directory of FAT is as long as its clusters are. */
static int dir_size(struct imgi_fat *fat, const struct imgi_fat_node *node, uint64_t *size,
                    img_error *err)
{
    struct imgi_fat_chain chain;
    int rc;

    *size = fat->root_size;
    if (node->inode == IMGI_FAT_ROOT && fat->root_cluster == 0)
        return 0;
    imgi_fat_dir_chain(fat, node, &chain);
    rc = imgi_fat_follow(fat, &chain, chain.bytes, err);
    *size = chain.runs.end;
    imgi_runs_free(&chain.runs);
    return rc;
}

static int stat_inode(img_fs *fs, uint64_t inode, img_stat *stat, img_error *err)
{
    struct imgi_fat *fat = fs->state;
    struct imgi_fat_node node;
    int rc = node_of(fat, inode, &node, err);

    if (rc < 0)
        return rc;
    stat->mode = mode_of(&node);
    stat->links = 1;
    stat->size = node.size;
    if (S_ISDIR(stat->mode) && (rc = dir_size(fat, &node, &stat->size, err)) < 0)
        return rc;
    stat->allocated = imgi_align_up(stat->size, fat->cluster_size);
    stat->atime = node.atime;
    stat->mtime = stat->ctime = node.mtime;
    stat->btime = node.btime;
    stat->mtime_nsec = stat->ctime_nsec = node.mtime_nsec;
    stat->btime_nsec = node.btime_nsec;
    return 0;
}

/* -------------------------------------------------------------- directories */

static int list_nodes(struct imgi_fat *fat, uint64_t directory, imgi_fat_node_fn *entry,
                      void *opaque, img_error *err)
{
    struct imgi_fat_node node;
    int rc = node_of(fat, directory, &node, err);

    if (rc < 0)
        return rc;
    if (!(node.attributes & IMGI_FAT_DIRECTORY))
        return imgi_fail_errno(err, ENOTDIR, "inode %" PRIu64, directory);
    return fat->exfat ? imgi_exfat_list(fat, &node, entry, opaque, err)
                      : imgi_fat_list(fat, &node, entry, opaque, err);
}

struct list {
    imgi_entry_fn *entry;
    void *opaque;
};

static int give_entry(void *opaque, const char *name, size_t length,
                      const struct imgi_fat_node *node, img_error *err)
{
    const struct list *list = opaque;

    return list->entry(list->opaque, name, length, node->inode, mode_of(node) & S_IFMT, err);
}

static int list(img_fs *fs, uint64_t directory, imgi_entry_fn *entry, void *opaque, img_error *err)
{
    struct list list = {entry, opaque};

    return list_nodes(fs->state, directory, give_entry, &list, err);
}

/* Names differ by more than the case of ASCII letters; the one that is the same wins. */
struct search {
    const char *name;
    uint64_t inode; /* 0: none yet */
};

static int compare(void *opaque, const char *name, size_t length, const struct imgi_fat_node *node,
                   img_error *err)
{
    struct search *search = opaque;

    (void)length, (void)err;
    if (strcmp(name, search->name) == 0) {
        search->inode = node->inode;
        return 1;
    }
    if (search->inode == 0 && strcasecmp(name, search->name) == 0)
        search->inode = node->inode;
    return 0;
}

static int lookup(img_fs *fs, uint64_t directory, const char *name, uint64_t *inode, img_error *err)
{
    struct search search = {.name = name};
    int rc = list_nodes(fs->state, directory, compare, &search, err);

    if (rc < 0)
        return rc;
    if (search.inode == 0)
        return imgi_fail_errno(err, ENOENT, "%s", name);
    *inode = search.inode;
    return 0;
}

static int readlink_none(img_fs *fs, uint64_t inode, char **target, img_error *err)
{
    (void)fs, (void)target;
    return imgi_fail_errno(err, EINVAL, "inode %" PRIu64 " is no symbolic link", inode);
}

/* -------------------------------------------------------------------- files */

struct open_file {
    struct imgi_fat_chain chain;
    uint64_t valid;
};

static int file_open(img_file *file, img_error *err)
{
    struct imgi_fat_node node;
    struct open_file *open;
    int rc = node_of(file->fs->state, file->inode, &node, err);

    if (rc < 0)
        return rc;
    if (node.attributes & IMGI_FAT_DIRECTORY)
        return imgi_fail_errno(err, EISDIR, "inode %" PRIu64, file->inode);
    file->state = open = calloc(1, sizeof(*open));
    if (!open)
        return imgi_fail_nomem(err, "a file");
    file->size = node.size;
    open->valid = node.valid;
    open->chain = (struct imgi_fat_chain){
        .next = node.cluster, .contiguous = node.contiguous, .bytes = node.size};
    return 0;
}

static void file_close(img_file *file)
{
    struct open_file *open = file->state;

    if (open)
        imgi_runs_free(&open->chain.runs);
    free(open);
}

static int map(img_file *file, struct imgi_run *run, img_error *err)
{
    struct open_file *open = file->state;
    struct imgi_fat_chain *chain = &open->chain;
    img_error first = {0};
    int rc;

    if (run->offset >= open->valid) {
        run->kind = IMGI_RUN_HOLE;
        return 0;
    }
    run->length = IMGI_MIN(run->length, open->valid - run->offset);
    rc = imgi_fat_follow(file->fs->state, chain, run->offset + run->length - 1, &first);
    if (run->offset < chain->runs.end) {
        imgi_runs_find(&chain->runs, run);
        return 0;
    }
    if (rc == 0)
        return imgi_fail_errno(err, EIO, "its clusters end at byte %" PRIu64, chain->runs.end);
    if (err)
        *err = first;
    return rc;
}

const struct imgi_provider imgi_provider_fat = {
    .library = "libimg",
    .reads = reads,
    .open = open_fs,
    .close = close_fs,
    .usage = usage_of,
    .stat = stat_inode,
    .lookup = lookup,
    .list = list,
    .readlink = readlink_none,
    .file_open = file_open,
    .file_close = file_close,
    .map = map,
    .unused = find_unused,
};
