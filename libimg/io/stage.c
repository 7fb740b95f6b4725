/*
 * Files that get their name when they are complete. SPDX-License-Identifier: BSD-2-Clause
 *
 * The new file lies in the directory of its final name, so that giving it that name is one step
 * within one file system. While it is written it has no name at all (O_TMPFILE), so
 * that nothing is left whenever the process dies; where a file system cannot do that it has a name
 * that nobody asks for, and closing removes it. What had the final name before is held open and
 * locked as a writer of it would, so that no running QEMU loses its image, until the new file is
 * closed.
 *
 * Order on publishing: flush the content; link or rename; flush the directory. A file that is one
 * of several (imgi_io_prepare) changes names with the old one, which so stays until the new file is
 * closed and can have its name back. Where the file system cannot do that the old one is replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "file.h"

/* Symbolic links that are followed one after the other, as the kernel has it. */
#define LINKS_MAX 40
/* The mode that qemu-img gives a new image; the umask takes its part off. */
#define NEW_MODE 0644
/* While the owner of a file that takes another's place is not yet set. */
#define PRIVATE_MODE 0600
/* Names tried for a temporary file. */
#define NAME_TRIES 16

struct imgi_stage {
    int directory;         /* O_PATH */
    int old;               /* the file that has the final name, locked; -1: none */
    struct imgi_held held; /* its locks */
    char *path;            /* the final name, links followed */
    const char *final;     /* its last component, within path */
    char temporary[32];    /* a name in directory that goes on closing; "": none */
    bool guarded;          /* the caller has locked it */
    bool revocable;        /* the old file is kept when this one gets its name */
    bool replaced;         /* it was not, and is gone */
};

/* ------------------------------------------------------------------ the final name */

/* The target of link `path`, seen from where the link lies. NULL with errno. */
static char *link_target(const char *path)
{
    const char *slash = strrchr(path, '/');
    char target[PATH_MAX];
    char *result;
    ssize_t length = readlink(path, target, sizeof(target));

    if (length < 0)
        return NULL;
    if (length == sizeof(target)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    if (target[0] == '/' || !slash)
        return strndup(target, (size_t)length);
    if (asprintf(&result, "%.*s%.*s", (int)(slash + 1 - path), path, (int)length, target) < 0)
        return NULL;
    return result;
}

/*
 * Follow links from name to a name that is none: *path, to be freed. *there: something has that
 * name, and *info is about it.
 */
static int follow(const char *name, unsigned flags, char **path, struct stat *info, bool *there,
                  img_error *err)
{
    char *here = strdup(name);
    int error = here ? ELOOP : ENOMEM;

    for (int links = 0; here && links < LINKS_MAX; links++) {
        *there = lstat(here, info) == 0;
        if (!*there && errno != ENOENT) {
            error = errno;
            break;
        }
        if (!*there || !S_ISLNK(info->st_mode)) {
            *path = here;
            return 0;
        }
        if (flags & IMGI_IO_NO_FOLLOW)
            break;

        char *next = link_target(here);
        if (!next)
            error = errno;
        free(here);
        here = next;
    }
    free(here);
    return imgi_fail_errno(err, error, "cannot be created");
}

/*
 * Find the final name. *there as in follow; *device: it is a block device, to be opened as it is.
 */
static int resolve(const char *name, unsigned flags, char **path, bool *there, bool *device,
                   img_error *err)
{
    struct stat target, last;
    bool exists = stat(name, &target) == 0;

    *device = false;
    if (!exists && errno != ENOENT)
        return imgi_fail_errno(err, errno, "cannot be created");
    if (exists) {
        int result = imgi_file_check_kind(&target, flags, err);

        *device = S_ISBLK(target.st_mode);
        if (result < 0 || *device)
            return result;
    }

    int result = follow(name, flags, path, &last, there, err);
    /* /dev/stdout and the like lead to an open file; what their link shows need not be its name. */
    if (result == 0 && exists &&
        (!*there || last.st_dev != target.st_dev || last.st_ino != target.st_ino)) {
        free(*path);
        result = imgi_fail(err, IMG_E_INVAL, "is an open file without a name to be created under");
    }
    return result;
}

/* Open the directory that the final name lies in. */
static int open_directory(struct imgi_stage *stage, img_error *err)
{
    char *slash = strrchr(stage->path, '/');
    char *directory;

    stage->final = slash ? slash + 1 : stage->path;
    if (*stage->final == '\0')
        return imgi_fail_errno(err, *stage->path ? EISDIR : ENOENT, "cannot be created");

    directory = slash ? strndup(stage->path, (size_t)(slash + 1 - stage->path)) : strdup(".");
    if (!directory)
        return imgi_fail_nomem(err, "the name of a directory");
    stage->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(directory);
    return stage->directory < 0 ? imgi_fail_errno(err, errno, "cannot be created") : 0;
}

/* Open and lock the file that will be replaced. It must be one that could be written as it is. */
static int hold_old(struct imgi_stage *stage, img_error *err)
{
    const unsigned use = IMGI_PERM_READ | IMGI_PERM_WRITE | IMGI_PERM_RESIZE;
    const unsigned deny = IMGI_PERM_WRITE | IMGI_PERM_RESIZE;

    stage->old = openat(stage->directory, stage->final,
                        imgi_file_open_flags(IMGI_IO_WRITE | IMGI_IO_NO_FOLLOW));
    if (stage->old < 0)
        return imgi_fail_errno(err, errno, "cannot be replaced");
    return stage->guarded ? 0 : imgi_fd_lock(stage->old, &stage->held, use, deny, err);
}

/* ------------------------------------------------------------------ the new file */

/* A name that nothing has yet. */
static int temporary_name(char name[32])
{
    uint64_t number;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        return EIO;
    snprintf(name, 32, ".img-%016" PRIx64 ".tmp", number);
    return 0;
}

/* A file without a name; the name will be given by way of /proc, so that must be there. */
static int open_unnamed(const struct imgi_stage *stage, int open_flags, mode_t mode)
{
    char path[40];
    int fd = openat(stage->directory, ".", open_flags | O_TMPFILE, mode);

    if (fd < 0)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (access(path, F_OK) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A file with a temporary name. -1 with errno. */
static int open_named(struct imgi_stage *stage, int open_flags, mode_t mode)
{
    int fd = -1;

    for (int i = 0; i < NAME_TRIES && fd < 0; i++) {
        errno = temporary_name(stage->temporary);
        if (errno)
            break;
        fd = openat(stage->directory, stage->temporary, open_flags | O_CREAT | O_EXCL, mode);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0) {
        int error = errno;

        /* A file system that refuses O_DIRECT may do so after it has made the file. */
        if (stage->temporary[0] && error != EEXIST)
            (void)unlinkat(stage->directory, stage->temporary, 0);
        stage->temporary[0] = '\0';
        errno = error;
    }
    return fd;
}

/*
 * The new file takes over owner, group and mode of the old one. Only root may give a file away;
 * where the group cannot be kept, its rights are not given to another group, nor set-user-ID to
 * another owner.
 */
static int copy_owner(int fd, int old, img_error *err)
{
    struct stat info;

    if (fstat(old, &info) < 0)
        return imgi_fail_errno(err, errno, "cannot be examined");

    mode_t mode = info.st_mode & 07777;
    if (fchown(fd, info.st_uid, info.st_gid) < 0) {
        mode &= 0777;
        if (fchown(fd, (uid_t)-1, info.st_gid) < 0)
            mode &= ~(mode_t)S_IRWXG | (mode & S_IRWXO) << 3;
    }
    /* Some file systems have no modes; there the new file has the same rights as the old one. */
    if (fchmod(fd, mode) < 0 && errno != EPERM && errno != EOPNOTSUPP)
        return imgi_fail_errno(err, errno, "mode of the new file");
    return 0;
}

static int make_new(struct imgi_stage *stage, const char *name, unsigned flags,
                    struct imgi_file **file, img_error *err)
{
    int open_flags = imgi_file_open_flags(flags);
    mode_t mode = stage->old < 0 ? NEW_MODE : PRIVATE_MODE;
    int fd = open_unnamed(stage, open_flags, mode);

    if (fd < 0)
        fd = open_named(stage, open_flags, mode);
    if (fd < 0)
        return imgi_file_open_failed(
            errno, flags,
            stage->old < 0 ? "cannot be created" : "cannot be replaced by a file beside it", err);
    if (stage->old >= 0) {
        int result = copy_owner(fd, stage->old, err);

        if (result < 0) {
            close(fd);
            return result;
        }
    }
    return imgi_file_adopt(file, fd, name, flags, err);
}

static int create(struct imgi_stage *stage, struct imgi_io **io, const char *name, unsigned flags,
                  bool there, img_error *err)
{
    struct imgi_file *file;
    int result = open_directory(stage, err);

    if (result == 0 && there)
        result = hold_old(stage, err);
    if (result == 0)
        result = make_new(stage, name, flags, &file, err);
    if (result == 0) {
        file->stage = stage;
        *io = &file->io;
    }
    return result;
}

static int create_file(struct imgi_io **io, const char *name, unsigned flags, bool guarded,
                       img_error *err)
{
    struct imgi_stage *stage;
    char *path = NULL;
    bool there, device;

    flags |= IMGI_IO_WRITE;

    int result = resolve(name, flags, &path, &there, &device, err);
    if (result == 0 && device)
        return imgi_file_open(io, name, flags, err);
    if (result < 0) {
        imgi_error_image(err, name);
        return result;
    }

    stage = calloc(1, sizeof(*stage));
    if (!stage) {
        free(path);
        return imgi_fail_nomem(err, "a new file");
    }
    stage->directory = -1;
    stage->old = -1;
    stage->path = path;
    stage->guarded = guarded;

    result = create(stage, io, name, flags, there, err);
    if (result < 0) {
        imgi_stage_free(stage);
        imgi_error_image(err, name);
    }
    return result;
}

int imgi_file_create(struct imgi_io **io, const char *name, unsigned flags, img_error *err)
{
    return create_file(io, name, flags, false, err);
}

int imgi_stage_successor(struct imgi_io **io, const struct imgi_file *old, img_error *err)
{
    return create_file(io, old->io.name, old->io.flags, true, err);
}

/* ------------------------------------------------------------------ publishing */

/* Give a file that has no name one. Returns an errno. */
static int link_as(const struct imgi_stage *stage, int fd, const char *name)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, stage->directory, name, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
}

/* A file without a name can only get a free one; from there it can take the place of another. */
static int link_temporary(struct imgi_stage *stage, int fd)
{
    int error = EEXIST;

    for (int i = 0; i < NAME_TRIES && error == EEXIST; i++) {
        error = temporary_name(stage->temporary);
        if (!error)
            error = link_as(stage, fd, stage->temporary);
    }
    if (error)
        stage->temporary[0] = '\0';
    return error;
}

/* What has the temporary name and what has the final one change places. */
static bool exchange(const struct imgi_stage *stage)
{
    return renameat2(stage->directory, stage->temporary, stage->directory, stage->final,
                     RENAME_EXCHANGE) == 0;
}

static int give_name(struct imgi_stage *stage, int fd)
{
    struct stat there;
    int error = EEXIST;
    bool taken;

    if (!stage->temporary[0] && stage->old < 0)
        error = link_as(stage, fd, stage->final);
    if (error != EEXIST)
        return error;

    error = stage->temporary[0] ? 0 : link_temporary(stage, fd);
    if (error)
        return error;
    taken = fstatat(stage->directory, stage->final, &there, AT_SYMLINK_NOFOLLOW) == 0;
    if (stage->revocable && taken && S_ISREG(there.st_mode) && exchange(stage))
        return 0;
    if (renameat(stage->directory, stage->temporary, stage->directory, stage->final) < 0)
        return errno;
    stage->temporary[0] = '\0';
    stage->replaced = taken;
    return 0;
}

/* The new name survives a power cut. A directory that may not be read cannot be flushed. */
static int flush_directory(const struct imgi_stage *stage)
{
    int fd = openat(stage->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = 0;

    if (fd < 0)
        return errno == EACCES ? 0 : errno;
    if (fsync(fd) < 0 && errno != EINVAL)
        error = errno;
    close(fd);
    return error;
}

/* The content is on disk, if that is asked for. */
static int flush_content(const struct imgi_file *file, img_error *err)
{
    if (!(file->io.flags & IMGI_IO_NO_FLUSH) && fdatasync(file->fd) < 0)
        return imgi_fail_errno(err, errno, "flush to the disk");
    return 0;
}

int imgi_stage_prepare(struct imgi_io *io, img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;

    if (!file->stage)
        return 0;
    file->stage->revocable = true;
    return flush_content(file, err);
}

int imgi_stage_publish(struct imgi_io *io, img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;

    if (!file->stage)
        return 0;

    bool durable = !(io->flags & IMGI_IO_NO_FLUSH);
    int result = flush_content(file, err);
    if (result < 0)
        return result;

    int error = give_name(file->stage, file->fd);
    if (error)
        return imgi_fail_errno(err, error, "the new file cannot be given its name");
    file->published = true;
    if (durable)
        error = flush_directory(file->stage);
    return error ? imgi_fail_errno(err, error, "flush of the directory to the disk") : 0;
}

void imgi_stage_retract(struct imgi_io *io)
{
    struct imgi_file *file = (struct imgi_file *)io;
    struct imgi_stage *stage = file->stage;
    struct stat named, made;

    if (!stage || !file->published || stage->replaced)
        return;
    /* The name may be another's by now. */
    if (fstatat(stage->directory, stage->final, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstat(file->fd, &made) < 0 || named.st_dev != made.st_dev || named.st_ino != made.st_ino)
        return;
    if (stage->temporary[0])
        file->published = !exchange(stage);
    else
        file->published = unlinkat(stage->directory, stage->final, 0) < 0;
    /* An old file that cannot get its name back is left under the one it has. */
    if (file->published)
        stage->temporary[0] = '\0';
    if (!(io->flags & IMGI_IO_NO_FLUSH))
        (void)flush_directory(stage);
}

void imgi_stage_free(struct imgi_stage *stage)
{
    if (!stage)
        return;
    if (stage->temporary[0])
        (void)unlinkat(stage->directory, stage->temporary, 0);
    if (stage->directory >= 0)
        close(stage->directory);
    if (stage->old >= 0)
        close(stage->old);
    free(stage->path);
    free(stage);
}
