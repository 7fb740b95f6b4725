/*
 * Copying a file's content and attributes to the host. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cp.h"

bool cp_fail(struct cp *cp, const struct guest_entry *entry, int os_errno)
{
    return cli_fail_code(cp->cli,
                         os_errno == ENOSPC || os_errno == EDQUOT ? IMG_E_NOSPACE : IMG_E_IO,
                         "%s cannot be copied: %s", entry->path, strerror(os_errno));
}

/* ------------------------------------------------------------------ content */

static bool write_all(int fd, const void *bytes, size_t length, uint64_t offset)
{
    const char *from = bytes;

    while (length > 0) {
        ssize_t written = pwrite(fd, from, length, (off_t)offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        from += written;
        offset += (uint64_t)written;
        length -= (size_t)written;
    }
    return true;
}

static bool copy_run(struct cp *cp, const struct guest_entry *entry, img_file *file,
                     uint64_t offset, uint64_t end, int fd)
{
    img_error err = {0};
    size_t length;

    for (; offset < end; offset += length) {
        length = end - offset < CP_CHUNK ? (size_t)(end - offset) : CP_CHUNK;
        if (signals_stopped(cp->cli))
            return false;
        if (img_file_read(file, offset, cp->buffer, &length, &err) < 0)
            return guest_fail(&cp->guest, &err, entry->path);
        if (length == 0)
            return true;
        if (!write_all(fd, cp->buffer, length, offset))
            return cp_fail(cp, entry, errno);
    }
    return true;
}

static bool copy_runs(struct cp *cp, const struct guest_entry *entry, img_file *file, int fd)
{
    uint64_t size = img_file_size(file), run;
    img_error err = {0};
    bool hole;

    for (uint64_t at = 0; at < size; at += run) {
        if (img_file_run(file, at, size - at, &run, &hole, &err) < 0)
            return guest_fail(&cp->guest, &err, entry->path);
        if (!hole && !copy_run(cp, entry, file, at, at + run, fd))
            return false;
    }
    return true;
}

bool cp_content(struct cp *cp, const struct guest_entry *entry, int fd)
{
    img_error err = {0};
    img_file *file;
    bool ok;

    if (img_file_open(&file, entry->place.fs, entry->place.inode, &err) < 0)
        return guest_fail(&cp->guest, &err, entry->path);
    ok = ftruncate(fd, (off_t)img_file_size(file)) == 0 || cp_fail(cp, entry, errno);
    ok = ok && copy_runs(cp, entry, file, fd);
    img_file_close(file);
    return ok;
}

/* --------------------------------------------------------------- attributes */

struct xattr_target {
    struct cp *cp;
    const struct guest_entry *entry;
    int fd;
};

/* Not what gives a program rights, labels it, or means something to the guest's kernel alone. */
static bool is_harmless(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strncmp(name, "system.posix_acl_", 17) == 0;
}

/* A filesystem without such attributes is none that is an error. */
static bool set_xattr(void *opaque, const char *name, const void *value, size_t length)
{
    struct xattr_target *target = opaque;
    struct cp *cp = target->cp;

    if (!cp->privileged && !is_harmless(name))
        return true;
    if (fsetxattr(target->fd, name, value, length, 0) < 0 && !cp->cli->quiet)
        cli_warn(cp->cli, "%s: its attribute %s is not kept: %s", target->entry->path, name,
                 strerror(errno));
    return true;
}

static void get_times(const struct guest_entry *entry, struct timespec times[2])
{
    const img_stat *stat = &entry->stat;

    times[0] = (struct timespec){(time_t)stat->atime, (long)stat->atime_nsec};
    times[1] = (struct timespec){(time_t)stat->mtime, (long)stat->mtime_nsec};
}

void cp_attributes(struct cp *cp, const struct guest_entry *entry, int fd)
{
    struct xattr_target target = {cp, entry, fd};
    const img_stat *stat = &entry->stat;
    struct timespec times[2];
    mode_t mode = stat->mode & (cp->privileged ? 07777 : 01777);

    /* A change of owner takes set-uid away: permissions come after it. Capabilities are lost too.
     */
    if (cp->is_root && fchown(fd, stat->uid, stat->gid) < 0)
        cp_fail(cp, entry, errno);
    guest_xattrs(&cp->guest, entry, set_xattr, &target);
    get_times(entry, times);
    if (fchmod(fd, mode) < 0 || futimens(fd, times) < 0)
        cp_fail(cp, entry, errno);
}

void cp_node_attributes(struct cp *cp, const struct guest_entry *entry, int directory,
                        const char *name)
{
    struct timespec times[2];

    get_times(entry, times);
    if ((cp->is_root &&
         fchownat(directory, name, entry->stat.uid, entry->stat.gid, AT_SYMLINK_NOFOLLOW) < 0) ||
        utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        cp_fail(cp, entry, errno);
}
