/*
 * Whether the kernel itself uses a file as a disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * Such a use takes no lock: a loop device is found by the kernel's list of them, a block device
 * that is mounted (or a part of something) refuses to be opened alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

#define PATH_BYTES 4096

/* Whether the loop device that this file of /sys belongs to stands on the file. */
static bool is_backed_by(const char *attribute, const struct stat *info)
{
    FILE *file = fopen(attribute, "re");
    char path[PATH_BYTES];
    struct stat backing;
    bool found = false;

    if (!file)
        return false;
    if (fgets(path, sizeof(path), file)) {
        path[strcspn(path, "\n")] = '\0';
        found = stat(path, &backing) == 0 && backing.st_dev == info->st_dev &&
                backing.st_ino == info->st_ino;
    }
    fclose(file);
    return found;
}

/* "loop7", from "/sys/block/loop7/loop/backing_file" */
static int fail_attached(const char *attribute, img_error *err)
{
    const char *name = attribute + strlen("/sys/block/");

    return imgi_fail(err, IMG_E_BUSY, "it is attached to /dev/%.*s", (int)strcspn(name, "/"), name);
}

static int check_loops(const struct stat *info, img_error *err)
{
    glob_t loops;
    int rc = 0;

    if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &loops) != 0)
        return 0;
    for (size_t n = 0; rc == 0 && n < loops.gl_pathc; n++) {
        if (is_backed_by(loops.gl_pathv[n], info))
            rc = fail_attached(loops.gl_pathv[n], err);
    }
    globfree(&loops);
    return rc;
}

static int check_device(const char *path, img_error *err)
{
    int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    else if (errno == EBUSY)
        return imgi_fail(err, IMG_E_BUSY, "the device is mounted, or in use otherwise");
    return 0;
}

int imgi_check_attached(const char *path, img_error *err)
{
    struct stat info;
    int rc = 0;

    if (stat(path, &info) < 0)
        return 0;
    if (S_ISREG(info.st_mode))
        rc = check_loops(&info, err);
    else if (S_ISBLK(info.st_mode))
        rc = check_device(path, err);
    if (rc < 0)
        imgi_error_image(err, path);
    return rc;
}
