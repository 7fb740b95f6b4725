/*
 * Directories: read as a whole when they are opened. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "provider.h"

/*
 * What a directory may take of memory: some million files. A small volume can make a larger one
 * up, by naming the same bytes again and again.
 */
#define MEMORY_MAX ((size_t)256 << 20)

struct entry {
    size_t name; /* its place in dir->names */
    uint64_t inode;
    uint32_t mode;
};

struct img_dir {
    struct entry *entries;
    size_t count, room;
    char *names; /* each with its 0 byte */
    size_t used, space;
};

static int make_room(struct img_dir *dir, size_t name_length, img_error *err)
{
    if (dir->used + name_length + 1 + (dir->count + 1) * sizeof(*dir->entries) > MEMORY_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "a directory that would take more than %zu MiB",
                         MEMORY_MAX >> 20);
    if (dir->count == dir->room) {
        size_t room = IMGI_MIN(dir->room ? dir->room * 2 : 64, MEMORY_MAX / sizeof(struct entry));
        struct entry *entries = reallocarray(dir->entries, room, sizeof(*entries));

        if (!entries)
            return imgi_fail_nomem(err, "a directory");
        dir->entries = entries;
        dir->room = room;
    }
    if (dir->space - dir->used <= name_length) {
        size_t space = IMGI_MIN(dir->space * 2 + name_length + 1024, MEMORY_MAX);
        char *names = realloc(dir->names, space);

        if (!names)
            return imgi_fail_nomem(err, "a directory");
        dir->names = names;
        dir->space = space;
    }
    return 0;
}

static bool is_dots(const char *name, size_t length)
{
    return name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'));
}

/* Names that no path can have are not told of: they could be nothing but an attack. */
static bool is_name(const char *name, size_t length)
{
    return length > 0 && !memchr(name, '/', length) && !memchr(name, 0, length);
}

static int add_entry(void *opaque, const char *name, size_t length, uint64_t inode, uint32_t mode,
                     img_error *err)
{
    struct img_dir *dir = opaque;
    int rc;

    if (!is_name(name, length) || is_dots(name, length))
        return 0;
    rc = make_room(dir, length, err);
    if (rc < 0)
        return rc;
    dir->entries[dir->count++] = (struct entry){dir->used, inode, mode};
    memcpy(dir->names + dir->used, name, length);
    dir->names[dir->used + length] = '\0';
    dir->used += length + 1;
    return 0;
}

int img_dir_open(img_dir **dir, img_fs *fs, uint64_t inode, img_error *err)
{
    int rc;

    *dir = calloc(1, sizeof(**dir));
    if (!*dir)
        return imgi_fail_nomem(err, "a directory");
    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->list(fs, inode, add_entry, *dir, err);
    pthread_mutex_unlock(&fs->lock);
    if (rc < 0) {
        img_dir_close(*dir);
        *dir = NULL;
    }
    return rc;
}

bool img_dir_entry(const img_dir *dir, size_t n, img_dirent *entry)
{
    if (n >= dir->count)
        return false;
    *entry = (img_dirent){
        .name = dir->names + dir->entries[n].name,
        .inode = dir->entries[n].inode,
        .mode = dir->entries[n].mode,
    };
    return true;
}

void img_dir_close(img_dir *dir)
{
    if (!dir)
        return;
    free(dir->entries);
    free(dir->names);
    free(dir);
}
