/*
 * Filesystems that libguestfs reads. SPDX-License-Identifier: BSD-2-Clause
 *
 * They are mounted read-only in the appliance, each in a directory of its own. The disks that it
 * sees take writes, which are forgotten when it ends: so a journal can be replayed.
 */
#include "guestfs.h"

#include <string.h>

/* Those that the kernel of an appliance reads, and no other library here. */
static bool reads(const char *content)
{
    static const char *const kinds[] = {"xfs",     "btrfs",    "f2fs",     "jfs",    "reiserfs",
                                        "nilfs2",  "squashfs", "udf",      "erofs",  "ocfs2",
                                        "gfs2",    "minix",    "cramfs",   "romfs",  "hfs",
                                        "hfsplus", "ufs",      "bcachefs", "reiser4"};

    for (size_t n = 0; n < IMGI_COUNT(kinds); n++) {
        if (strcmp(content, kinds[n]) == 0)
            return true;
    }
    return false;
}

#ifdef HAVE_GUESTFS

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Bytes that one call reads: messages of libguestfs have 4 MiB at most. */
#define READ_MAX (2u << 20)

struct state {
    struct imgi_assembly *assembly;
    char top[16]; /* where it is mounted */
    struct imgi_nodes *nodes;
};

/* ---------------------------------------------------------------- opening */

static int prepare(img_guest *guest, const struct imgi_volume *volume, img_error *err)
{
    char purpose[128];
    int rc;

    snprintf(purpose, sizeof(purpose), "read %s on %s", volume->info.content, volume->info.device);
    pthread_mutex_lock(&guest->starting);
    rc = imgi_guestfs_start_locked(guest, purpose, err);
    pthread_mutex_unlock(&guest->starting);
    return rc;
}

static int mount(struct img_fs *fs, struct state *state, img_error *err)
{
    struct imgi_assembly *assembly = state->assembly;
    guestfs_h *handle = imgi_guestfs_enter(assembly);
    struct guestfs_statns *found = NULL;
    int rc;

    snprintf(state->top, sizeof(state->top), "/fs%u", assembly->mounted++);
    if (assembly->call.mkmountpoint(handle, state->top) == 0 &&
        assembly->call.mount_ro(handle, fs->volume->info.device, state->top) == 0)
        found = assembly->call.lstatns(handle, state->top);
    if (found)
        rc = imgi_nodes_add(state->nodes, 0, "", found, &fs->root, err);
    else
        rc = imgi_guestfs_fail(assembly, err, "libguestfs does not mount it (%s)",
                               fs->volume->info.content);
    if (found)
        assembly->call.free_statns(found);
    imgi_guestfs_leave(assembly);
    return rc;
}

static int open_fs(struct img_fs *fs, img_error *err)
{
    struct state *state = calloc(1, sizeof(*state));
    int rc;

    if (!state)
        return imgi_fail_nomem(err, "a filesystem");
    fs->state = state;
    state->assembly = fs->guest->assembly;
    rc = imgi_nodes_new(&state->nodes, err);
    return rc < 0 ? rc : mount(fs, state, err);
}

static void close_fs(struct img_fs *fs)
{
    struct state *state = fs->state;

    if (state)
        imgi_nodes_free(state->nodes);
    free(state);
}

/* -------------------------------------------------------------- questions */

static int path_of(const struct state *state, uint64_t inode, char **path, img_error *err)
{
    *path = NULL;
    return imgi_nodes_path(state->nodes, state->top, inode, path, err);
}

static int usage(struct img_fs *fs, img_fs_usage *usage, img_error *err)
{
    struct state *state = fs->state;
    struct imgi_assembly *assembly = state->assembly;
    guestfs_h *handle = imgi_guestfs_enter(assembly);
    struct guestfs_statvfs *found = assembly->call.statvfs(handle, state->top);
    int rc = 0;

    if (found) {
        usage->block_size = (uint64_t)found->frsize;
        usage->blocks = (uint64_t)found->blocks;
        usage->blocks_free = (uint64_t)found->bfree;
        usage->blocks_available = (uint64_t)found->bavail;
        usage->files = (uint64_t)found->files;
        usage->files_free = (uint64_t)found->ffree;
        usage->name_max = (uint64_t)found->namemax;
        assembly->call.free_statvfs(found);
    } else {
        rc = imgi_guestfs_fail(assembly, err, "its usage");
    }
    imgi_guestfs_leave(assembly);
    return rc;
}

/* Look at a file by its path, and remember it. */
static int look_at(struct state *state, uint64_t parent, const char *name, const char *path,
                   uint64_t *inode, img_error *err)
{
    struct imgi_assembly *assembly = state->assembly;
    guestfs_h *handle = imgi_guestfs_enter(assembly);
    struct guestfs_statns *found = assembly->call.lstatns(handle, path);
    int rc;

    if (found) {
        rc = imgi_nodes_add(state->nodes, parent, name, found, inode, err);
        assembly->call.free_statns(found);
    } else {
        rc = imgi_guestfs_fail(assembly, err, "%s", name);
    }
    imgi_guestfs_leave(assembly);
    return rc;
}

static int get_stat(struct img_fs *fs, uint64_t inode, img_stat *stat, img_error *err)
{
    struct state *state = fs->state;
    uint64_t same;
    char *path;
    int rc;

    if (imgi_nodes_stat(state->nodes, inode, stat))
        return 0;
    rc = path_of(state, inode, &path, err);
    if (rc == 0)
        rc = look_at(state, 0, path, path, &same, err);
    free(path);
    if (rc == 0 && !imgi_nodes_stat(state->nodes, inode, stat))
        rc = imgi_fail_errno(err, ESTALE, "the file is another one now");
    return rc;
}

/* A link is no directory, although the appliance would follow it. */
static int directory_of(const struct state *state, uint64_t inode, char **path, img_error *err)
{
    uint32_t type = imgi_nodes_type(state->nodes, inode);

    *path = NULL;
    if (type != 0 && type != S_IFDIR)
        return imgi_fail_errno(err, ENOTDIR, "the file is no directory");
    return path_of(state, inode, path, err);
}

static int lookup(struct img_fs *fs, uint64_t directory, const char *name, uint64_t *inode,
                  img_error *err)
{
    struct state *state = fs->state;
    char *top, *path = NULL;
    int rc = directory_of(state, directory, &top, err);

    if (rc == 0 && asprintf(&path, "%s/%s", top, name) < 0) {
        path = NULL;
        rc = imgi_fail_nomem(err, "a path");
    }
    if (rc == 0)
        rc = look_at(state, directory, name, path, inode, err);
    free(top);
    free(path);
    return rc;
}

static int tell_entries(struct state *state, uint64_t directory, char **names,
                        const struct guestfs_statns_list *found, imgi_entry_fn *entry, void *opaque,
                        img_error *err)
{
    int rc = 0;

    for (uint32_t n = 0; rc == 0 && n < found->len && names[n]; n++) {
        const struct guestfs_statns *one = &found->val[n];
        uint64_t inode;

        if (one->st_ino == -1) /* that is how libguestfs says that it cannot be looked at */
            continue;
        rc = imgi_nodes_add(state->nodes, directory, names[n], one, &inode, err);
        if (rc == 0)
            rc = entry(opaque, names[n], strlen(names[n]), inode, (uint32_t)one->st_mode & S_IFMT,
                       err);
    }
    return rc;
}

static int list(struct img_fs *fs, uint64_t directory, imgi_entry_fn *entry, void *opaque,
                img_error *err)
{
    struct state *state = fs->state;
    struct imgi_assembly *assembly = state->assembly;
    const struct imgi_guestfs *call = &assembly->call;
    struct guestfs_statns_list *found = NULL;
    char **names = NULL, *path;
    guestfs_h *handle;
    int rc = directory_of(state, directory, &path, err);

    if (rc < 0)
        return rc;
    handle = imgi_guestfs_enter(assembly);
    names = call->ls(handle, path);
    if (names)
        found = call->lstatnslist(handle, path, names);
    if (!found)
        rc = imgi_guestfs_fail(assembly, err, "the directory");
    imgi_guestfs_leave(assembly);
    if (found) {
        rc = tell_entries(state, directory, names, found, entry, opaque, err);
        call->free_statns_list(found);
    }
    imgi_guestfs_free_list(names);
    free(path);
    return rc;
}

static int get_link(struct img_fs *fs, uint64_t inode, char **target, img_error *err)
{
    struct state *state = fs->state;
    char *path;
    int rc = path_of(state, inode, &path, err);

    if (rc < 0)
        return rc;
    imgi_guestfs_enter(state->assembly);
    *target = state->assembly->call.readlink(state->assembly->handle, path);
    if (!*target)
        rc = imgi_guestfs_fail(state->assembly, err, "the link");
    imgi_guestfs_leave(state->assembly);
    free(path);
    return rc;
}

/* ---------------------------------------------------- extended attributes */

/* The names, each with its 0 byte. */
static int join_names(const struct guestfs_xattr_list *found, char **names, size_t *length,
                      img_error *err)
{
    size_t room = 1, used = 0;

    for (uint32_t n = 0; n < found->len; n++)
        room += strlen(found->val[n].attrname) + 1;
    *names = malloc(room);
    if (!*names)
        return imgi_fail_nomem(err, "extended attributes");
    for (uint32_t n = 0; n < found->len; n++) {
        size_t size = strlen(found->val[n].attrname) + 1;

        memcpy(*names + used, found->val[n].attrname, size);
        used += size;
    }
    *length = used;
    return 0;
}

static int xattr_names(struct img_fs *fs, uint64_t inode, char **names, size_t *length,
                       img_error *err)
{
    struct state *state = fs->state;
    struct imgi_assembly *assembly = state->assembly;
    struct guestfs_xattr_list *found;
    char *path;
    int rc = path_of(state, inode, &path, err);

    if (rc < 0)
        return rc;
    imgi_guestfs_enter(assembly);
    found = assembly->call.lgetxattrs(assembly->handle, path);
    if (found)
        rc = join_names(found, names, length, err);
    else if (assembly->call.last_errno(assembly->handle) != EOPNOTSUPP)
        rc = imgi_guestfs_fail(assembly, err, "the extended attributes");
    if (found)
        assembly->call.free_xattr_list(found);
    imgi_guestfs_leave(assembly);
    free(path);
    return rc;
}

static int get_xattr(struct img_fs *fs, uint64_t inode, const char *name, void **value,
                     size_t *length, img_error *err)
{
    struct state *state = fs->state;
    struct imgi_assembly *assembly = state->assembly;
    char *path;
    int rc = path_of(state, inode, &path, err);

    if (rc < 0)
        return rc;
    imgi_guestfs_enter(assembly);
    *value = assembly->call.lgetxattr(assembly->handle, path, name, length);
    if (!*value)
        rc = imgi_guestfs_fail(assembly, err, "%s", name);
    imgi_guestfs_leave(assembly);
    free(path);
    return rc;
}

/* ------------------------------------------------------------------ files */

static int file_open(struct img_file *file, img_error *err)
{
    img_stat stat;
    int rc = get_stat(file->fs, file->inode, &stat, err);

    if (rc < 0)
        return rc;
    if (!S_ISREG(stat.mode))
        return imgi_fail_errno(err, S_ISDIR(stat.mode) ? EISDIR : EINVAL, "it is no regular file");
    file->size = stat.size;
    return 0;
}

static int read_file(struct img_file *file, uint64_t offset, void *buffer, size_t length,
                     img_error *err)
{
    struct state *state = file->fs->state;
    struct imgi_assembly *assembly = state->assembly;
    char *path;
    int rc = path_of(state, file->inode, &path, err);

    for (size_t done = 0; rc == 0 && done < length;) {
        size_t want = IMGI_MIN(length - done, READ_MAX), got = 0;
        char *bytes;

        imgi_guestfs_enter(assembly);
        bytes =
            assembly->call.pread(assembly->handle, path, (int)want, (int64_t)(offset + done), &got);
        if (!bytes)
            rc = imgi_guestfs_fail(assembly, err, "the file");
        else if (got == 0 || got > want)
            rc = imgi_fail_errno(err, EIO, "the file ends before its size says so");
        else
            memcpy((uint8_t *)buffer + done, bytes, got);
        imgi_guestfs_leave(assembly);
        free(bytes);
        done += got;
    }
    free(path);
    return rc;
}

#else /* HAVE_GUESTFS */

static int prepare(img_guest *guest, const struct imgi_volume *volume, img_error *err)
{
    (void)guest;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "%s needs libguestfs, which this build is without (Debian: "
                     "libguestfs-dev when it is built)",
                     volume->info.content);
}

#endif /* HAVE_GUESTFS */

const struct imgi_provider imgi_provider_guestfs = {
    .library = "libguestfs",
    .reads = reads,
    .prepare = prepare,
#ifdef HAVE_GUESTFS
    .open = open_fs,
    .close = close_fs,
    .usage = usage,
    .stat = get_stat,
    .lookup = lookup,
    .list = list,
    .readlink = get_link,
    .xattr_names = xattr_names,
    .xattr = get_xattr,
    .file_open = file_open,
    .read = read_file,
#endif
};
