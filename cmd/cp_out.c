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

/*
 * What is made has a name that nobody asks for until it is complete: what had its name before is
 * there until then, and if it fails it stays.
 */
static bool make_file(struct cp *cp, const struct guest_entry *entry, int directory,
                      const char *name)
{
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0)
        return cp_fail(cp, entry, errno);
    ok = cp_content(cp, entry, fd);
    if (ok)
        cp_attributes(cp, entry, fd);
    if (close(fd) < 0 && ok)
        ok = cp_fail(cp, entry, errno);
    if (!ok)
        unlinkat(directory, name, 0);
    return ok;
}

static bool make_symlink(struct cp *cp, const struct guest_entry *entry, int directory,
                         const char *name)
{
    img_error err = {0};
    char *target;
    int made;

    if (img_fs_readlink(entry->place.fs, entry->place.inode, &target, &err) < 0)
        return guest_fail(&cp->guest, &err, entry->path);
    made = symlinkat(target, directory, name);
    img_free(target);
    if (made < 0)
        return cp_fail(cp, entry, errno);
    cp_node_attributes(cp, entry, directory, name);
    return true;
}

static bool skip_node(struct cp *cp, const struct guest_entry *entry, const char *why)
{
    if (!cp->cli->quiet)
        cli_warn(cp->cli, "%s: a %s is not copied%s", entry->path,
                 guest_type_name(entry->stat.mode), why);
    return false;
}

static bool make_node(struct cp *cp, const struct guest_entry *entry, int directory,
                      const char *name)
{
    const img_stat *stat = &entry->stat;
    mode_t mask;
    int made;

    if ((S_ISCHR(stat->mode) || S_ISBLK(stat->mode)) && !cp->privileged)
        return skip_node(cp, entry, " without --privileged");
    mask = umask(0); /* permissions are the guest's */
    made = mknodat(directory, name, stat->mode & (S_IFMT | 0777),
                   makedev(stat->device_major, stat->device_minor));
    umask(mask);
    if (made < 0)
        return errno == EPERM ? skip_node(cp, entry, "") : cp_fail(cp, entry, errno);
    cp_node_attributes(cp, entry, directory, name);
    return true;
}

/* Whether what has that name is a file of the image, which is not to be replaced. */
static bool is_image(struct cp *cp, int directory, const char *name)
{
    int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    bool found = fd >= 0 && guest_lies_in(&cp->guest, fd);

    if (fd >= 0)
        close(fd);
    return found;
}

/* Give what has been made its name. */
static bool publish(struct cp *cp, const struct guest_entry *entry, int directory,
                    const char *temporary, const char *name)
{
    bool ok;

    if (is_image(cp, directory, name))
        ok = cli_fail(cp->cli, "%s is not copied to '%s': that is a file of the image", entry->path,
                      name);
    else
        ok = renameat(directory, temporary, directory, name) == 0 || cp_fail(cp, entry, errno);
    unlinkat(directory, temporary, 0); /* of two links to one file none is renamed, either */
    return ok;
}

/* The path of an entry from dirs[0] on, malloc'd. */
static char *target_path(const struct cp *cp, const struct guest_entry *entry)
{
    const char *below = entry->depth ? entry->path + cp->prefix : "";

    if (!cp->name)
        return strdup(below);
    return *below ? guest_join(cp->name, below) : strdup(cp->name);
}

/* As a link, where the file has been copied under another name. */
static void copy_file(struct cp *cp, const struct guest_entry *entry, int directory,
                      const char *name)
{
    char temporary[GUEST_TEMPORARY];
    struct guest_place *known = NULL;
    bool seen, made;

    if (entry->stat.links > 1 && !(known = guest_places_add(&cp->linked, &entry->place, &seen))) {
        cli_fail_nomem(cp->cli);
        return;
    }
    guest_temporary(temporary);
    if (known && known->text && linkat(cp->dirs[0], known->text, directory, temporary, 0) == 0)
        made = true;
    else if (S_ISREG(entry->stat.mode))
        made = make_file(cp, entry, directory, temporary);
    else if (S_ISLNK(entry->stat.mode))
        made = make_symlink(cp, entry, directory, temporary);
    else
        made = make_node(cp, entry, directory, temporary);
    if (made && publish(cp, entry, directory, temporary, name) && known && !known->text)
        known->text = target_path(cp, entry);
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
    copy_file(cp, entry, directory, name);
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
