/*
 * Giving a file other content as a whole. SPDX-License-Identifier: BSD-2-Clause
 *
 * A new file with that content takes the old one's name (stage.c), and then the place of the old
 * one's descriptor, whose number others may be using. The locks that are held are taken on the new
 * file before it has a name, and those on the old one are kept until then, so that nobody finds
 * either unlocked. A file with more names than one would lose them: it is written as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "file.h"

/*
 * The name must still be that of the file: another one is nobody's to replace. *linked: there are
 * others.
 */
static int check_name(const struct imgi_file *file, bool *linked, img_error *err)
{
    struct stat named, open;

    if (stat(file->io.name, &named) < 0 || fstat(file->fd, &open) < 0)
        return imgi_fail_errno(err, errno, "cannot be examined");
    if (named.st_dev != open.st_dev || named.st_ino != open.st_ino)
        return imgi_fail(err, IMG_E_BUSY, "the name means another file since it was opened");
    *linked = open.st_nlink > 1;
    return 0;
}

/* The new file becomes the open one. */
static int take_over(struct imgi_file *file, const struct imgi_file *fresh, img_error *err)
{
    if (dup3(fresh->fd, file->fd, O_CLOEXEC) < 0)
        return imgi_fail_errno(err, errno, "cannot be replaced");
    pthread_rwlock_wrlock(&file->lock);
    atomic_store(&file->size, atomic_load(&fresh->size));
    pthread_rwlock_unlock(&file->lock);
    atomic_fetch_add(&file->changes, 1);
    return 0;
}

/* Once the new file has the name it is the one to go on with, also when that is not yet on disk. */
static int publish(struct imgi_file *file, struct imgi_io *fresh, img_error *err)
{
    const struct imgi_file *new = (struct imgi_file *)fresh;
    int result = imgi_io_publish(fresh, err), taken = 0;

    if (new->published)
        taken = take_over(file, new, result < 0 ? NULL : err);
    return result < 0 ? result : taken;
}

int imgi_file_replace(struct imgi_io *io, const void *bytes, size_t length, img_error *err)
{
    struct imgi_file *file = (struct imgi_file *)io;
    struct imgi_io *fresh = NULL;
    bool linked = false;
    int result;

    /* What has no name yet, and what never gets one, is written as it is. */
    if (file->device || (file->stage && !file->published))
        return IMG_E_UNSUPPORTED;
    result = check_name(file, &linked, err);
    if (result < 0)
        return result;
    if (linked)
        return IMG_E_UNSUPPORTED;
    result = imgi_stage_successor(&fresh, file, err);
    if (result == 0)
        result = imgi_io_write(fresh, bytes, length, 0, err);
    if (result == 0)
        result = imgi_io_lock(fresh, file->held.use, file->held.deny, err);
    if (result == 0)
        result = publish(file, fresh, err);
    imgi_io_close(fresh);
    return result;
}
