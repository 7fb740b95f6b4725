/*
 * The files of one image: opened because the image names them, or made for it,
 * locked, and published together. SPDX-License-Identifier: BSD-2-Clause
 *
 * Owns every imgi_io of an image. The list changes only while the image is being opened,
 * made or resized.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

struct imgi_files *imgi_files_new(unsigned io_flags, img_error *err)
{
    struct imgi_files *files = calloc(1, sizeof(*files));

    if (!files) {
        imgi_fail_nomem(err, "the list of files");
        return NULL;
    }
    files->io_flags = io_flags;
    return files;
}

int imgi_files_add(struct imgi_files *files, struct imgi_io *io, const char *path, img_error *err)
{
    struct imgi_member *list = realloc(files->list, (files->count + 1) * sizeof(*list));
    char *copy = strdup(path);

    if (list)
        files->list = list;
    if (!list || !copy) {
        free(copy);
        imgi_io_close(io);
        return imgi_fail_nomem(err, "the list of files");
    }
    files->list[files->count].io = io;
    files->list[files->count].path = copy;
    files->count++;
    return 0;
}

struct imgi_io *imgi_files_find(const struct imgi_files *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++) {
        if (strcmp(files->list[i].path, path) == 0)
            return files->list[i].io;
    }
    return NULL;
}

/*
 * All content is on disk before the first file gets its name, and the main file, which makes the
 * others an image, gets its name last. When a name cannot be given the ones given before are taken
 * back, so that an old image of the same names is what it was, with all its files; but on a file
 * system that cannot exchange names, what has been replaced by then is gone. A machine that stops
 * between two names leaves new extents beside the old main file or none: an old image of several
 * files is not replaced in one step.
 */
int imgi_files_publish(struct imgi_files *files, img_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && files->count > 1 && i < files->count; i++)
        rc = imgi_io_prepare(files->list[i].io, err);
    for (size_t i = files->count; rc == 0 && i-- > 0;)
        rc = imgi_io_publish(files->list[i].io, err);
    for (size_t i = 0; rc < 0 && i < files->count; i++)
        imgi_io_retract(files->list[i].io);
    return rc;
}

uint64_t imgi_files_usage(const struct imgi_files *files)
{
    uint64_t usage = 0;

    for (size_t i = 0; i < files->count; i++)
        usage += imgi_io_usage(files->list[i].io);
    return usage;
}

void imgi_files_free(struct imgi_files *files)
{
    if (!files)
        return;
    for (size_t i = 0; i < files->count; i++) {
        imgi_io_close(files->list[i].io);
        free(files->list[i].path);
    }
    free(files->list);
    free(files);
}

unsigned imgi_cache_io_flags(enum img_cache cache)
{
    switch (cache) {
    case IMG_CACHE_NONE:
        return IMGI_IO_DIRECT;
    case IMG_CACHE_WRITETHROUGH:
        return IMGI_IO_SYNC;
    case IMG_CACHE_DIRECTSYNC:
        return IMGI_IO_DIRECT | IMGI_IO_SYNC;
    case IMG_CACHE_UNSAFE:
        return IMGI_IO_NO_FLUSH;
    case IMG_CACHE_WRITEBACK:
        break;
    }
    return 0;
}

int imgi_lock_file(struct imgi_io *io, unsigned open_flags, bool writable, img_error *err)
{
    if (open_flags & IMG_OPEN_NO_LOCK)
        return 0;
    if (writable)
        return imgi_io_lock(io, IMGI_PERM_READ | IMGI_PERM_WRITE | IMGI_PERM_RESIZE,
                            IMGI_PERM_WRITE | IMGI_PERM_RESIZE, err);
    if (open_flags & IMG_OPEN_SHARE)
        return imgi_io_lock(io, IMGI_PERM_READ, 0, err);
    return imgi_io_lock(io, IMGI_PERM_READ, IMGI_PERM_WRITE | IMGI_PERM_RESIZE, err);
}

/* The file in files that has this identity, or NULL. */
static struct imgi_io *find_identity(const struct imgi_files *files, const uint64_t id[2])
{
    uint64_t other[2];

    for (size_t i = 0; i < files->count; i++) {
        if (imgi_io_identity(files->list[i].io, other) && other[0] == id[0] && other[1] == id[1])
            return files->list[i].io;
    }
    return NULL;
}

bool img_lies_in(const img_image *image, int fd)
{
    uint64_t id[2];

    if (!imgi_file_identity(fd, id))
        return false;
    for (const struct imgi_node *node = image->top; node; node = node->backing)
        if (node->files && find_identity(node->files, id))
            return true;
    return false;
}

unsigned imgi_named_io_flags(const struct img_policy *policy)
{
    if (policy->reach == IMG_REACH_ANY)
        return 0;
    return IMGI_IO_NO_FOLLOW | (policy->devices ? 0u : (unsigned)IMGI_IO_NO_DEVICE);
}

/* How a file that the image names is opened for reading. */
static unsigned file_flags(const struct imgi_node *node)
{
    return node->files->io_flags | imgi_named_io_flags(node->policy);
}

/* Open a file of the image, or find it among those that are open. */
static int open_member(struct imgi_node *node, const char *path, unsigned flags, bool writable,
                       struct imgi_io **io, img_error *err)
{
    struct imgi_files *files = node->files;
    struct imgi_io *opened = NULL;
    uint64_t id[2];
    int rc;

    *io = imgi_files_find(files, path);
    if (*io)
        return 0;
    rc =
        imgi_policy_limit(node->policy, IMG_LIMIT_EXTENTS, files->count, "files of one image", err);
    if (rc == 0)
        rc = imgi_file_open(&opened, path, flags | (writable ? (unsigned)IMGI_IO_WRITE : 0), err);
    if (rc < 0)
        return rc;
    *io = imgi_io_identity(opened, id) ? find_identity(files, id) : NULL;
    if (*io) {
        imgi_io_close(opened);
        return 0;
    }
    *io = opened;
    rc = imgi_files_add(files, opened, path, err);
    if (rc == 0)
        rc = imgi_lock_file(opened, node->flags, writable, err);
    return rc;
}

/*
 * Where the data file of that name is looked for first: QEMU takes a relative name from the current
 * directory. A policy that confines images to their own directory does not.
 */
static int data_path(const struct img_policy *policy, const char *image, const char *name,
                     char **path, img_error *err)
{
    return imgi_policy_path(policy, policy->reach == IMG_REACH_ANY ? "" : image, "data file", name,
                            path, err);
}

int imgi_node_open_data_file(struct imgi_node *node, const char *name, struct imgi_io **io,
                             img_error *err)
{
    char *path = NULL;
    int rc = data_path(node->policy, node->name, name, &path, err);

    if (rc < 0)
        return rc;
    if (imgi_files_find(node->files, path) || access(path, F_OK) == 0)
        rc = open_member(node, path, file_flags(node), node->writable, io, err);
    else
        rc = imgi_node_open_file(node, "data file", name, true, io, err);
    free(path);
    return rc;
}

int imgi_node_open_path(struct imgi_node *node, const char *path, bool writable,
                        struct imgi_io **io, img_error *err)
{
    return open_member(node, path, node->files->io_flags, writable && node->writable, io, err);
}

int imgi_node_open_file(struct imgi_node *node, const char *role, const char *name, bool writable,
                        struct imgi_io **io, img_error *err)
{
    char *path = NULL;
    int rc = imgi_policy_path(node->policy, node->name, role, name, &path, err);

    if (rc < 0)
        return rc;
    rc = open_member(node, path, file_flags(node), writable && node->writable, io, err);
    free(path);
    return rc;
}

int imgi_node_open_extent(struct imgi_node *node, const char *name, bool devices,
                          struct imgi_io **io, img_error *err)
{
    char *path = NULL;
    unsigned flags = file_flags(node) & ~(unsigned)IMGI_IO_NO_DEVICE;
    int rc = imgi_policy_path(node->policy, node->name, "extent", name, &path, err);

    if (rc < 0)
        return rc;
    if (!devices && !node->policy->devices)
        flags |= IMGI_IO_NO_DEVICE;
    rc = open_member(node, path, flags, node->writable, io, err);
    free(path);
    return rc;
}

/* Where the last part of a path begins. */
static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Whether two paths, of which there need not be a file, are one name in one directory. */
static bool same_place(const char *a, const char *b)
{
    const char *x = last_part(a), *y = last_part(b);
    char *home = x == a ? strdup(".") : strndup(a, (size_t)(x - a));
    char *other = y == b ? strdup(".") : strndup(b, (size_t)(y - b));
    struct stat one, two;
    bool same = strcmp(x, y) == 0 && home && other && stat(home, &one) == 0 &&
                stat(other, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;

    free(home);
    free(other);
    return same;
}

static int create_member(struct imgi_create *create, const char *path, struct imgi_io **io,
                         img_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < create->files->count; i++) {
        if (same_place(create->files->list[i].path, path))
            rc = imgi_fail(err, IMG_E_INVAL, "'%s' is another file of the image", path);
    }
    if (rc == 0)
        rc = imgi_file_create(io, path, create->files->io_flags | IMGI_IO_WRITE, err);
    if (rc == 0)
        rc = imgi_files_add(create->files, *io, path, err);
    return rc;
}

int imgi_create_file(struct imgi_create *create, const char *name, struct imgi_io **io,
                     img_error *err)
{
    char *path = NULL;
    int rc = imgi_policy_path(create->policy, create->name, "extent", name, &path, err);

    if (rc == 0)
        rc = create_member(create, path, io, err);
    free(path);
    return rc;
}

int imgi_create_data_file(struct imgi_create *create, const char *name, struct imgi_io **io,
                          img_error *err)
{
    char *path = NULL;
    int rc = data_path(create->policy, create->name, name, &path, err);

    if (rc == 0)
        rc = create_member(create, path, io, err);
    free(path);
    return rc;
}

int imgi_node_create_file(struct imgi_node *node, const char *name, struct imgi_io **io,
                          img_error *err)
{
    char *path = NULL;
    struct stat info;
    int rc = imgi_policy_path(node->policy, node->name, "extent", name, &path, err);

    if (rc == 0 && lstat(path, &info) == 0)
        rc = imgi_fail(err, IMG_E_EXISTS,
                       "'%s' is there already and is no part of the image: if a resize that was "
                       "stopped has left it, it can be removed",
                       path);
    if (rc == 0)
        rc = imgi_policy_limit(node->policy, IMG_LIMIT_EXTENTS, node->files->count,
                               "files of one image", err);
    if (rc == 0)
        rc = imgi_file_create(io, path, node->files->io_flags | IMGI_IO_WRITE, err);
    if (rc == 0)
        rc = imgi_files_add(node->files, *io, path, err);
    if (rc == 0)
        rc = imgi_lock_file(*io, node->flags, true, err);
    free(path);
    return rc;
}

/* The path of a file that is open, or NULL. */
static const char *path_of(const struct imgi_files *files, const struct imgi_io *io)
{
    for (size_t i = 0; i < files->count; i++) {
        if (files->list[i].io == io)
            return files->list[i].path;
    }
    return NULL;
}

int imgi_node_check_removal(const struct imgi_node *node, struct imgi_io *io, img_error *err)
{
    const char *path = path_of(node->files, io);
    struct stat info;
    uint64_t id[2];

    if (!path || (lstat(path, &info) < 0 && errno == ENOENT))
        return 0;
    if (lstat(path, &info) < 0)
        return imgi_fail_errno(err, errno, "'%s' cannot be examined", path);
    if (!S_ISREG(info.st_mode))
        return imgi_fail(err, IMG_E_INVAL, "'%s' is no regular file", path);
    if (!imgi_io_identity(io, id) || id[0] != info.st_dev || id[1] != info.st_ino)
        return imgi_fail(err, IMG_E_BUSY, "'%s' means another file since it was opened", path);
    return 0;
}

int imgi_node_remove_file(struct imgi_node *node, struct imgi_io *io, img_error *err)
{
    const char *path = path_of(node->files, io);
    int rc = imgi_node_check_removal(node, io, err);

    if (rc == 0 && path && unlink(path) < 0 && errno != ENOENT)
        rc = imgi_fail_errno(err, errno, "'%s' cannot be removed", path);
    return rc;
}
