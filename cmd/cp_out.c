/*
 * Copying files out of a guest. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cp.h"

/* ---------------------------------------------------------------- making */

/* Make something by make(); what is there already, unless it is a directory, is removed. */
typedef int make_fn(struct cp *cp, const struct guest_entry *entry, int directory,
                    const char *name);

static int make(struct cp *cp, const struct guest_entry *entry, int directory, const char *name,
                make_fn *how)
{
    int made = how(cp, entry, directory, name);

    if (made >= 0 || errno != EEXIST)
        return made;
    if (unlinkat(directory, name, 0) < 0)
        return -1; /* EISDIR, EPERM: it is a directory */
    return how(cp, entry, directory, name);
}

static int make_file(struct cp *cp, const struct guest_entry *entry, int directory,
                     const char *name)
{
    (void)cp, (void)entry;
    return openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static void copy_file(struct cp *cp, const struct guest_entry *entry, int directory,
                      const char *name)
{
    int fd = make(cp, entry, directory, name, make_file);

    if (fd < 0) {
        cp_fail(cp, entry, errno);
        return;
    }
    if (cp_content(cp, entry, fd))
        cp_attributes(cp, entry, fd);
    else
        unlinkat(directory, name, 0);
    if (close(fd) < 0)
        cp_fail(cp, entry, errno);
}

static int make_symlink(struct cp *cp, const struct guest_entry *entry, int directory,
                        const char *name)
{
    img_error err = {0};
    char *target;
    int made;

    (void)cp;
    if (img_fs_readlink(entry->place.fs, entry->place.inode, &target, &err) < 0) {
        errno = err.os_errno ? err.os_errno : EIO;
        return -1;
    }
    made = symlinkat(target, directory, name);
    img_free(target);
    return made;
}

static int make_node(struct cp *cp, const struct guest_entry *entry, int directory,
                     const char *name)
{
    const img_stat *stat = &entry->stat;

    (void)cp;
    return mknodat(directory, name, stat->mode & (S_IFMT | 0777),
                   makedev(stat->device_major, stat->device_minor));
}

static void copy_other(struct cp *cp, const struct guest_entry *entry, int directory,
                       const char *name)
{
    bool link = S_ISLNK(entry->stat.mode);
    int made = make(cp, entry, directory, name, link ? make_symlink : make_node);

    if (made < 0 && errno == EPERM && !link) {
        if (!cp->cli->quiet)
            cli_warn(cp->cli, "%s: a %s is not copied", entry->path,
                     guest_type_name(entry->stat.mode));
    } else if (made < 0) {
        cp_fail(cp, entry, errno);
    } else {
        cp_node_attributes(cp, entry, directory, name);
    }
}

static int make_link(struct cp *cp, const struct guest_entry *entry, int directory,
                     const char *name)
{
    struct guest_place *place;
    bool known;

    place = guest_places_add(&cp->linked, &entry->place, &known);
    if (place && known)
        return linkat(cp->dirs[0], place->text, directory, name, 0);
    errno = ENOMEM;
    return -1;
}

/* The path of an entry from dirs[0] on, malloc'd. */
static char *target_path(const struct cp *cp, const struct guest_entry *entry)
{
    const char *below = entry->depth ? entry->path + cp->prefix : "";

    if (!cp->name)
        return strdup(below);
    return *below ? guest_join(cp->name, below) : strdup(cp->name);
}

/* Whether the file has been copied under another name, and now is a link to that. */
static bool copy_link(struct cp *cp, const struct guest_entry *entry, int directory,
                      const char *name)
{
    struct guest_place *place;
    bool known;

    if (entry->stat.links < 2)
        return false;
    place = guest_places_add(&cp->linked, &entry->place, &known);
    if (place && !known)
        place->text = target_path(cp, entry);
    return place && known && place->text && make(cp, entry, directory, name, make_link) == 0;
}

/* -------------------------------------------------------------- directories */

static bool remember_directory(struct cp *cp, unsigned depth, int fd)
{
    if (depth >= cp->room) {
        size_t room = cp->room ? cp->room * 2 : 32;
        int *dirs = reallocarray(cp->dirs, room, sizeof(*dirs));

        if (!dirs)
            return cli_fail_nomem(cp->cli);
        cp->dirs = dirs;
        cp->room = room;
    }
    cp->dirs[depth] = fd;
    return true;
}

static enum guest_next enter_directory(struct cp *cp, const struct guest_entry *entry,
                                       int directory, const char *name)
{
    int fd;

    if (mkdirat(directory, name, 0700) < 0 && errno != EEXIST) {
        cp_fail(cp, entry, errno);
        return GUEST_SKIP;
    }
    fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        cp_fail(cp, entry, errno);
        return GUEST_SKIP;
    }
    if (remember_directory(cp, entry->depth + 1, fd))
        return GUEST_GO_ON;
    close(fd);
    return GUEST_STOP;
}

static enum guest_next leave(void *opaque, const struct guest_entry *entry)
{
    struct cp *cp = opaque;
    int fd = cp->dirs[entry->depth + 1];

    if (entry->depth > 0 || cp->name)
        cp_attributes(cp, entry, fd);
    if (close(fd) < 0)
        cp_fail(cp, entry, errno);
    return GUEST_GO_ON;
}

static enum guest_next visit(void *opaque, const struct guest_entry *entry)
{
    struct cp *cp = opaque;
    int directory = cp->dirs[entry->depth];
    const char *name = entry->depth ? entry->name : cp->name;

    if (S_ISDIR(entry->stat.mode))
        return enter_directory(cp, entry, directory, name ? name : ".");
    if (copy_link(cp, entry, directory, name))
        return GUEST_GO_ON;
    if (S_ISREG(entry->stat.mode))
        copy_file(cp, entry, directory, name);
    else
        copy_other(cp, entry, directory, name);
    return GUEST_GO_ON;
}

void cp_out(struct cp *cp, const char *path, const img_place *place, int directory,
            const char *name)
{
    const struct guest_walk walk = {
        .cli = cp->cli, .guest = &cp->guest, .visit = visit, .leave = leave, .opaque = cp};
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        length--;
    cp->prefix = length > 1 ? length + 1 : 1;
    cp->name = name;
    if (remember_directory(cp, 0, directory))
        guest_walk(&walk, path, place);
    guest_places_clear(&cp->linked);
}
