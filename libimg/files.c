/*
 * The files of one image: opened because the image names them, or made for it,
 * locked, and published together. SPDX-License-Identifier: BSD-2-Clause
 *
 * Owns every imgi_io of an image. The list changes only while the image is being opened or made.
 */
#include <stdlib.h>
#include <string.h>

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

int imgi_files_publish(struct imgi_files *files, img_error *err)
{
    for (size_t i = files->count; i-- > 0;) {
        int rc = imgi_io_publish(files->list[i].io, err);

        if (rc < 0)
            return rc;
    }
    return 0;
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

/* The file in files that is this one under another name, or NULL. */
static struct imgi_io *find_same(const struct imgi_files *files, struct imgi_io *io)
{
    uint64_t id[2], other[2];

    if (!imgi_io_identity(io, id))
        return NULL;
    for (size_t i = 0; i < files->count; i++) {
        if (imgi_io_identity(files->list[i].io, other) && other[0] == id[0] && other[1] == id[1])
            return files->list[i].io;
    }
    return NULL;
}

int imgi_node_open_file(struct imgi_node *node, const char *role, const char *name, bool writable,
                        struct imgi_io **io, img_error *err)
{
    struct imgi_files *files = node->files;
    struct imgi_io *opened = NULL;
    char *path = NULL;
    unsigned flags = files->io_flags;
    int rc;

    writable = writable && node->writable;
    rc = imgi_policy_path(node->policy, node->name, role, name, &path, err);
    if (rc < 0)
        return rc;
    *io = imgi_files_find(files, path);
    if (*io)
        goto out;
    if (writable)
        flags |= IMGI_IO_WRITE;
    if (node->policy->reach != IMG_REACH_ANY)
        flags |= IMGI_IO_NO_FOLLOW;
    rc =
        imgi_policy_limit(node->policy, IMG_LIMIT_EXTENTS, files->count, "files of one image", err);
    if (rc == 0)
        rc = imgi_file_open(&opened, path, flags, err);
    if (rc < 0)
        goto out;
    *io = find_same(files, opened);
    if (*io) {
        imgi_io_close(opened);
        goto out;
    }
    *io = opened;
    rc = imgi_files_add(files, opened, path, err);
    if (rc == 0)
        rc = imgi_lock_file(opened, node->flags, writable, err);
out:
    free(path);
    return rc;
}

int imgi_create_file(struct imgi_create *create, const char *name, struct imgi_io **io,
                     img_error *err)
{
    char *path = NULL;
    int rc = imgi_policy_path(create->policy, create->name, "extent", name, &path, err);

    if (rc == 0)
        rc = imgi_file_create(io, path, create->files->io_flags | IMGI_IO_WRITE, err);
    if (rc == 0)
        rc = imgi_files_add(create->files, *io, path, err);
    free(path);
    return rc;
}
