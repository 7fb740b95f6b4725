/*
 * What ISO 9660 holds. SPDX-License-Identifier: BSD-2-Clause
 *
 * As the kernel mounts it by default: names and owners by Rock Ridge where it is, or else names by
 * Joliet, or else those of ISO 9660 in lower case.
 */
#include "iso.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Volume descriptors, one in each sector. */
#define SECTOR 2048u
#define FIRST 16u
#define DESCRIPTORS_MAX 64u
#define PRIMARY 1u
#define SUPPLEMENTARY 2u
#define LAST 255u
/* One, in bytes. */
#define IDENTIFIER 1u
#define BLOCKS 80u
#define ESCAPES 88u
#define BLOCK_SIZE 128u
#define ROOT 156u
#define ROOT_EXTENT (ROOT + 2u)
#define ROOT_ATTRIBUTE_BLOCKS (ROOT + 1u)

#define DIRECTORY_MAX (64u << 20)
#define PARTS_MAX 4096u /* records of one file */

static bool reads(const char *content)
{
    return strcmp(content, "iso9660") == 0;
}

/* ------------------------------------------------------------------- opening */

static int take_descriptor(struct imgi_iso *iso, const uint8_t *sector, img_error *err)
{
    iso->block_size = imgi_get_le16(sector + BLOCK_SIZE);
    if (!imgi_is_pow2(iso->block_size) || iso->block_size < 512 || iso->block_size > SECTOR)
        return imgi_fail(err, IMG_E_FORMAT, "volume descriptor: block size %" PRIu32 " cannot be",
                         iso->block_size);
    iso->blocks = imgi_get_le32(sector + BLOCKS);
    iso->root = ((uint64_t)imgi_get_le32(sector + ROOT_EXTENT) + sector[ROOT_ATTRIBUTE_BLOCKS]) *
                iso->block_size;
    return 0;
}

static bool is_joliet(const uint8_t *sector)
{
    const char *escapes = (const char *)sector + ESCAPES;

    return strncmp(escapes, "%/@", 3) == 0 || strncmp(escapes, "%/C", 3) == 0 ||
           strncmp(escapes, "%/E", 3) == 0;
}

/* The primary descriptor; what Joliet has goes to `joliet`, whose root is 0 if there is none. */
static int read_descriptors(struct imgi_iso *iso, struct imgi_iso *joliet, img_error *err)
{
    uint8_t sector[SECTOR];
    int rc = 0;

    for (unsigned n = 0; rc == 0 && n < DESCRIPTORS_MAX; n++) {
        rc = imgi_volume_read(iso->volume, (uint64_t)(FIRST + n) * SECTOR, sector, SECTOR, err);
        if (rc < 0 || memcmp(sector + IDENTIFIER, "CD001", 5) != 0 || sector[0] == LAST)
            break;
        if (sector[0] == PRIMARY && iso->root == 0)
            rc = take_descriptor(iso, sector, err);
        if (sector[0] == SUPPLEMENTARY && is_joliet(sector) && joliet->root == 0)
            rc = take_descriptor(joliet, sector, err);
    }
    if (rc == 0 && iso->root == 0)
        return imgi_fail(err, IMG_E_FORMAT, "there is no primary volume descriptor");
    return rc;
}

static int open_fs(img_fs *fs, img_error *err)
{
    struct imgi_iso *iso = calloc(1, sizeof(*iso));
    struct imgi_iso joliet = {.volume = fs->volume, .joliet = true};
    int rc;

    if (!iso)
        return imgi_fail_nomem(err, "a filesystem");
    fs->state = iso;
    iso->volume = fs->volume;
    rc = read_descriptors(iso, &joliet, err);
    if (rc == 0)
        rc = imgi_iso_find_rock_ridge(iso, err);
    if (!iso->rock_ridge && joliet.root != 0)
        *iso = joliet;
    fs->root = iso->root;
    return rc;
}

static void close_fs(img_fs *fs)
{
    free(fs->state);
}

static int usage_of(img_fs *fs, img_fs_usage *usage, img_error *err)
{
    const struct imgi_iso *iso = fs->state;

    (void)err;
    usage->block_size = iso->block_size;
    usage->blocks = iso->blocks;
    usage->name_max = 255;
    return 0;
}

/* -------------------------------------------------------------------- inodes */

static uint64_t place_of(const struct imgi_iso *iso, const struct imgi_iso_node *node)
{
    return ((uint64_t)node->extent + node->attribute_blocks) * iso->block_size;
}

/* A directory that Rock Ridge moved says itself how long it is. */
static int complete(const struct imgi_iso *iso, struct imgi_iso_node *node, img_error *err)
{
    struct imgi_iso_node own;
    unsigned length;
    int rc;

    if (!(node->flags & IMGI_ISO_DIRECTORY) || node->size != 0)
        return 0;
    rc = imgi_iso_record(iso, place_of(iso, node), &own, &length, err);
    if (rc == 0 && length > 0) {
        node->size = own.size;
        node->mode = own.mode;
        node->links = own.links;
    }
    return rc;
}

static int node_of(const struct imgi_iso *iso, uint64_t inode, struct imgi_iso_node *node,
                   img_error *err)
{
    unsigned length;
    int rc = imgi_iso_record(iso, inode, node, &length, err);

    if (rc == 0 && length == 0)
        return imgi_fail_errno(err, ENOENT, "inode %" PRIu64, inode);
    return rc < 0 ? rc : complete(iso, node, err);
}

/* The record behind another one; where there is none in this sector it is in the next. */
static int next_record(const struct imgi_iso *iso, uint64_t place, struct imgi_iso_node *node,
                       unsigned *length, img_error *err)
{
    int rc = imgi_iso_record(iso, place, node, length, err);

    if (rc < 0 || *length > 0)
        return rc;
    return imgi_iso_record(iso, imgi_align_up(place + 1, SECTOR), node, length, err);
}

/* Where the bytes of a file are: one run for each of its records, which follow one another. */
static int runs_of(const struct imgi_iso *iso, struct imgi_iso_node *node, struct imgi_runs *runs,
                   img_error *err)
{
    for (unsigned n = 0; n < PARTS_MAX; n++) {
        unsigned length;
        int rc = imgi_runs_add(runs, node->size, IMGI_RUN_DATA, place_of(iso, node), err);

        if (rc < 0 || !(node->flags & IMGI_ISO_GOES_ON))
            return rc;
        rc = next_record(iso, node->next, node, &length, err);
        if (rc < 0)
            return rc;
        if (length == 0)
            break;
    }
    return imgi_fail_errno(err, EIO, "a part of the file is missing");
}

static int stat_inode(img_fs *fs, uint64_t inode, img_stat *stat, img_error *err)
{
    struct imgi_iso *iso = fs->state;
    struct imgi_runs runs = {0};
    struct imgi_iso_node node;
    int rc = node_of(iso, inode, &node, err);

    if (rc < 0)
        return rc;
    stat->mode = node.mode;
    stat->links = node.links;
    stat->uid = node.uid;
    stat->gid = node.gid;
    stat->device_major = node.major;
    stat->device_minor = node.minor;
    stat->mtime = node.mtime;
    stat->atime = node.atime;
    stat->ctime = node.ctime;
    stat->btime = node.btime;
    stat->size = S_ISLNK(node.mode) ? strlen(node.target) : node.size;
    if (node.flags & IMGI_ISO_GOES_ON) {
        rc = runs_of(iso, &node, &runs, err);
        stat->size = runs.end;
        imgi_runs_free(&runs);
    }
    stat->allocated = imgi_align_up(stat->size, 512);
    return rc;
}

static int readlink_of(img_fs *fs, uint64_t inode, char **target, img_error *err)
{
    struct imgi_iso_node node;
    int rc = node_of(fs->state, inode, &node, err);

    if (rc < 0)
        return rc;
    if (!S_ISLNK(node.mode))
        return imgi_fail_errno(err, EINVAL, "inode %" PRIu64 " is no symbolic link", inode);
    *target = strdup(node.target);
    return *target ? 0 : imgi_fail_nomem(err, "a symbolic link");
}

/* -------------------------------------------------------------- directories */

static int list_records(const struct imgi_iso *iso, uint64_t begin, uint64_t end,
                        imgi_entry_fn *entry, void *opaque, img_error *err)
{
    bool goes_on = false;
    int rc = 0;

    for (uint64_t at = begin; rc == 0 && at < end;) {
        struct imgi_iso_node node;
        unsigned length;

        rc = imgi_iso_record(iso, at, &node, &length, err);
        if (rc < 0)
            return rc;
        at = length ? at + length : imgi_align_up(at + 1, SECTOR);
        if (length == 0)
            continue;
        if (!goes_on && !node.relocated && !(node.flags & IMGI_ISO_ASSOCIATED))
            rc = entry(opaque, node.name, strlen(node.name), node.inode, node.mode & S_IFMT, err);
        goes_on = node.flags & IMGI_ISO_GOES_ON;
    }
    return rc < 0 ? rc : 0;
}

static int list(img_fs *fs, uint64_t directory, imgi_entry_fn *entry, void *opaque, img_error *err)
{
    const struct imgi_iso *iso = fs->state;
    struct imgi_iso_node node;
    uint64_t place;
    int rc = node_of(iso, directory, &node, err);

    if (rc < 0)
        return rc;
    if (!(node.flags & IMGI_ISO_DIRECTORY))
        return imgi_fail_errno(err, ENOTDIR, "inode %" PRIu64, directory);
    place = place_of(iso, &node);
    if (node.size > DIRECTORY_MAX)
        return imgi_fail_errno(err, EIO, "inode %" PRIu64 ": a directory of %" PRIu64 " bytes",
                               directory, node.size);
    return list_records(iso, place, place + node.size, entry, opaque, err);
}

/* --------------------------------------------------------------------- files */

static int file_open(img_file *file, img_error *err)
{
    struct imgi_runs *runs;
    struct imgi_iso_node node;
    int rc = node_of(file->fs->state, file->inode, &node, err);

    if (rc < 0)
        return rc;
    if (node.flags & IMGI_ISO_DIRECTORY)
        return imgi_fail_errno(err, EISDIR, "inode %" PRIu64, file->inode);
    if (node.interleaved || node.compressed)
        return imgi_fail_errno(err, EOPNOTSUPP, "inode %" PRIu64 ": its content is %s", file->inode,
                               node.compressed ? "compressed" : "interleaved");
    file->state = runs = calloc(1, sizeof(*runs));
    if (!runs)
        return imgi_fail_nomem(err, "a file");
    rc = runs_of(file->fs->state, &node, runs, err);
    file->size = runs->end;
    return rc;
}

static void file_close(img_file *file)
{
    if (file->state)
        imgi_runs_free(file->state);
    free(file->state);
}

static int map(img_file *file, struct imgi_run *run, img_error *err)
{
    (void)err;
    imgi_runs_find(file->state, run);
    return 0;
}

const struct imgi_provider imgi_provider_iso = {
    .library = "libimg",
    .reads = reads,
    .open = open_fs,
    .close = close_fs,
    .usage = usage_of,
    .stat = stat_inode,
    .list = list,
    .readlink = readlink_of,
    .file_open = file_open,
    .file_close = file_close,
    .map = map,
};
