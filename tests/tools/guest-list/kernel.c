/*
 * Files as the kernel sees them. SPDX-License-Identifier: BSD-2-Clause
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "list.h"

static void put_xattrs(struct list *list, const char *name)
{
    char names[65536], value[65536], **sorted;
    ssize_t length = llistxattr(name, names, sizeof(names));
    size_t count;

    if (length < 0) {
        if (errno != EOPNOTSUPP)
            complain(list, "xattrs", strerror(errno));
        return;
    }
    sorted = sort_names(names, (size_t)length, &count);
    for (size_t n = 0; n < count; n++) {
        ssize_t size = lgetxattr(name, sorted[n], value, sizeof(value));

        printf(n ? "," : "");
        if (size < 0)
            complain(list, sorted[n], strerror(errno));
        else
            put_value(list, sorted[n], value, (size_t)size);
    }
    free(sorted);
}

static void put_runs(int fd, off_t size)
{
    off_t end;

    for (off_t at = 0; at < size; at = end) {
        off_t data = lseek(fd, at, SEEK_DATA);
        bool hole = data != at;

        end = hole ? data : lseek(fd, at, SEEK_HOLE);
        if (end < 0 || end > size)
            end = size;
        printf("%s%jd", hole ? "-" : "+", (intmax_t)(end - at));
    }
}

static void put_file(struct list *list, const char *name, off_t size)
{
    ssize_t length;
    int fd;

    if (!(list->wanted & (1u << RUNS | 1u << SHA256)))
        return;
    fd = open(name, O_RDONLY | O_NOFOLLOW);
    if (fd < 0) {
        complain(list, "open", strerror(errno));
        return;
    }
    if (wants(list, RUNS))
        put_runs(fd, size);
    if (wants(list, SHA256)) {
        lseek(fd, 0, SEEK_SET);
        while ((length = read(fd, list->buffer, BUFFER)) > 0) {
            add_to_digest(list, list->buffer, (size_t)length);
        }
        if (length < 0)
            complain(list, "sha256", strerror(errno));
        put_digest(list);
    }
    close(fd);
}

static img_stat stat_of(const struct statx *found)
{
    return (img_stat){
        .inode = found->stx_ino,
        .mode = found->stx_mode,
        .links = found->stx_nlink,
        .uid = found->stx_uid,
        .gid = found->stx_gid,
        .device_major = found->stx_rdev_major,
        .device_minor = found->stx_rdev_minor,
        .size = found->stx_size,
        .allocated = found->stx_blocks * 512,
        .atime = found->stx_atime.tv_sec,
        .atime_nsec = found->stx_atime.tv_nsec,
        .mtime = found->stx_mtime.tv_sec,
        .mtime_nsec = found->stx_mtime.tv_nsec,
        .ctime = found->stx_ctime.tv_sec,
        .ctime_nsec = found->stx_ctime.tv_nsec,
        .btime = found->stx_btime.tv_sec,
        .btime_nsec = found->stx_btime.tv_nsec,
    };
}

static void list_file(struct list *list, const char *name);

/* The names of what is in the current directory, and how many bytes they are. */
static char *kernel_names(size_t *length)
{
    DIR *dir = opendir(".");
    struct dirent *entry;
    char *names = NULL;

    for (*length = 0; dir && (entry = readdir(dir));) {
        size_t more = strlen(entry->d_name) + 1;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        names = realloc(names, *length + more);
        if (!names)
            abort();
        memcpy(names + *length, entry->d_name, more);
        *length += more;
    }
    if (dir)
        closedir(dir);
    return names;
}

static void list_entries(struct list *list, const char *directory)
{
    size_t length = list->length, size, count;
    char *names, **sorted;
    int back = open(".", O_RDONLY | O_DIRECTORY);

    if (back < 0 || chdir(directory) < 0)
        abort();
    names = kernel_names(&size);
    sorted = sort_names(names, size, &count);
    for (size_t n = 0; n < count; n++) {
        push(list, sorted[n]);
        list_file(list, sorted[n]);
        pop(list, length);
    }
    free(sorted);
    free(names);
    if (fchdir(back) < 0)
        abort();
    close(back);
}

static void put_target(struct list *list, const char *name)
{
    char target[65536];
    ssize_t length = readlink(name, target, sizeof(target));

    if (length < 0)
        complain(list, "target", strerror(errno));
    else
        put_bytes(target, (size_t)length);
}

static void list_file(struct list *list, const char *name)
{
    struct statx found;
    img_stat stat;

    put_bytes(list->path, list->length);
    if (statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &found) < 0) {
        complain(list, "stat", strerror(errno));
        putchar('\n');
        return;
    }
    stat = stat_of(&found);
    put_stat(list, &stat);
    if (S_ISLNK(stat.mode) && wants(list, TARGET))
        put_target(list, name);
    if (wants(list, XATTRS))
        put_xattrs(list, name);
    if (S_ISREG(stat.mode))
        put_file(list, name, (off_t)stat.size);
    putchar('\n');
    if (S_ISDIR(stat.mode))
        list_entries(list, name);
}

void list_directory_usage(const char *path)
{
    struct statvfs found;

    if (statvfs(path, &found) < 0)
        abort();
    put_usage(&(img_fs_usage){
        .block_size = found.f_frsize,
        .blocks = found.f_blocks,
        .blocks_free = found.f_bfree,
        .blocks_available = found.f_bavail,
        .files = found.f_files,
        .files_free = found.f_ffree,
        .name_max = found.f_namemax,
    });
}

void list_directory(struct list *list, const char *path)
{
    list_file(list, path);
}
