/*
 * Whether something uses a file as a disk that takes no lock. SPDX-License-Identifier: BSD-2-Clause
 *
 * A loop device is found by the kernel's list of them, a block device that is mounted (or a part of
 * something) refuses to be opened alone, and a filesystem in user space, as ntfs-3g is one, names
 * the file that it stands on as its source.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

#define PATH_BYTES 4096
#define MOUNT_POINT_FIELD 5

/* ------------------------------------------------------------- loop devices */

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

/* -------------------------------------------------- filesystems in user space */

/* In place: what /proc writes as \040 for the sake of its columns. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] && from[2] && from[3]) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/*
 * Where the filesystem is mounted, if a line of mountinfo (proc(5)) is about one in user space that
 * stands on the file, else NULL. What imgmount has open it has locked.
 */
static char *mounted_at(char *line, const struct stat *info)
{
    char *rest = strstr(line, " - "), *point = NULL, *type, *source, *save = NULL;
    struct stat file;

    if (!rest)
        return NULL;
    *rest = '\0';
    type = strtok_r(rest + 3, " \n", &save);
    source = strtok_r(NULL, " \n", &save);
    if (!type || !source || strncmp(type, "fuse", 4) != 0 || strcmp(type, "fuse.imgmount") == 0)
        return NULL;
    unescape(source);
    if (stat(source, &file) < 0 || file.st_dev != info->st_dev || file.st_ino != info->st_ino)
        return NULL;
    point = strtok_r(line, " ", &save);
    for (unsigned n = 1; point && n < MOUNT_POINT_FIELD; n++)
        point = strtok_r(NULL, " ", &save);
    if (point)
        unescape(point);
    return point;
}

static int check_mounts(const struct stat *info, img_error *err)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t room = 0;
    int rc = 0;

    while (file && rc == 0 && getline(&line, &room, file) > 0) {
        const char *point = mounted_at(line, info);

        if (point)
            rc = imgi_fail(err, IMG_E_BUSY, "it is mounted at %s", point);
    }
    free(line);
    if (file)
        fclose(file);
    return rc;
}

/* ------------------------------------------------------------ block devices */

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
    if (rc == 0 && S_ISREG(info.st_mode))
        rc = check_mounts(&info, err);
    if (S_ISBLK(info.st_mode))
        rc = check_device(path, err);
    if (rc < 0)
        imgi_error_image(err, path);
    return rc;
}
