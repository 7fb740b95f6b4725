/*
 * Locks that QEMU understands. SPDX-License-Identifier: BSD-2-Clause
 *
 * QEMU (since 2.10) says on the image file itself what it does with it: a shared lock on byte 100+i
 * is "I use permission i", on byte 200+i "I let nobody else use permission i". They are locks of
 * the open file description (OFD), so that closing another descriptor of the file does not drop
 * them. All of them are shared locks, which never collide; one finds out whether somebody is in the
 * way by asking if the opposite byte could be locked exclusively. To take first and ask then leaves
 * no moment in which two processes both see nothing.
 *
 * Taking and asking are not one step, so two processes that start together may both be refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "file.h"

#define USE_BASE 100
#define DENY_BASE 200
#define PERMISSIONS 4

/* By the number of the bit in enum imgi_perm, which is QEMU's number of the permission. */
static const char *const permission_names[PERMISSIONS] = {"consistent read", "write",
                                                          "write unchanged", "resize"};

/* Set, clear or (F_OFD_GETLK) ask for a lock on one byte. Returns an errno. */
static int byte_lock(int fd, int command, short type, int byte, short *found)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int error;

    do
        error = fcntl(fd, command, &lock) < 0 ? errno : 0;
    while (error == EINTR);
    if (found)
        *found = lock.l_type;
    return error;
}

/* An errno of a file system that has no locks: then there is nobody to keep out. */
static bool means_no_locks(int error)
{
    return error == ENOLCK || error == EOPNOTSUPP || error == EINVAL || error == ENOSYS;
}

static void release(int fd, int base, unsigned permissions)
{
    for (int i = 0; i < PERMISSIONS; i++)
        if (permissions & (1u << i))
            (void)byte_lock(fd, F_OFD_SETLK, F_UNLCK, base + i, NULL);
}

/* Lock these permissions' bytes. On failure *failed is the byte; some may be locked. */
static int acquire(int fd, int base, unsigned permissions, int *failed)
{
    int error = 0;

    for (int i = 0; i < PERMISSIONS && !error; i++) {
        *failed = base + i;
        if (permissions & (1u << i))
            error = byte_lock(fd, F_OFD_SETLK, F_RDLCK, base + i, NULL);
    }
    return error;
}

/* EAGAIN, with the byte, when another holds one of these permissions' bytes. */
static int find_conflict(int fd, int base, unsigned permissions, int *failed)
{
    short found = F_UNLCK;
    int error = 0;

    for (int i = 0; i < PERMISSIONS && !error; i++) {
        *failed = base + i;
        if (permissions & (1u << i))
            error = byte_lock(fd, F_OFD_GETLK, F_WRLCK, base + i, &found);
        if (!error && found != F_UNLCK)
            error = EAGAIN;
    }
    return error;
}

/*
 * QEMU's words. use: the permission was wanted for ourselves (and byte is where another denies it),
 * else it was to be denied to others (and byte is where one uses it).
 */
static int busy(int fd, bool use, int byte, img_error *err)
{
    const char *permission = permission_names[byte % 100];
    const char *shared = use ? "" : "shared ";
    pid_t holder = imgi_lock_holder(fd, (uint64_t)byte);

    if (holder == getpid())
        imgi_fail(err, IMG_E_BUSY, "Failed to get %s\"%s\" lock (this process has the image open)",
                  shared, permission);
    else if (holder > 0)
        imgi_fail(err, IMG_E_BUSY, "Failed to get %s\"%s\" lock (held by process %ld)", shared,
                  permission, (long)holder);
    else
        imgi_fail(err, IMG_E_BUSY, "Failed to get %s\"%s\" lock", shared, permission);
    imgi_error_place(err, "lock");
    return IMG_E_BUSY;
}

int imgi_fd_lock(int fd, struct imgi_held *held, unsigned use, unsigned deny, img_error *err)
{
    unsigned new_use = use & ~held->use;
    unsigned new_deny = deny & ~held->deny;
    bool for_use = true;
    int byte = USE_BASE;
    int error = acquire(fd, USE_BASE, new_use, &byte);

    if (!error)
        error = acquire(fd, DENY_BASE, new_deny, &byte);
    if (!error)
        error = find_conflict(fd, DENY_BASE, use, &byte);
    if (!error) {
        for_use = false;
        error = find_conflict(fd, USE_BASE, deny, &byte);
    }
    if (error && !means_no_locks(error)) {
        release(fd, USE_BASE, new_use);
        release(fd, DENY_BASE, new_deny);
        if (error == EAGAIN || error == EACCES)
            return busy(fd, for_use, byte, err);
        return imgi_fail_errno(err, error, "lock on byte %d", byte);
    }
    release(fd, USE_BASE, held->use & ~use);
    release(fd, DENY_BASE, held->deny & ~deny);
    held->use = use;
    held->deny = deny;
    return 0;
}

int imgi_file_lock(struct imgi_io *io, unsigned use, unsigned deny, img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;

    return imgi_fd_lock(file->fd, &file->held, use, deny, err);
}
