/*
 * Who holds a lock. SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel does not tell the owner of an OFD lock to those who ask for it (l_pid is -1), but
 * lists the locks of every descriptor in /proc/PID/fdinfo. Only used to make an error message more
 * helpful, so every failure here is "not known".
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

/* A line of fdinfo: "lock:\t1: OFDLCK  ADVISORY  READ -1 fe:00:10952872 100 101". */
static bool line_is_lock(const char *line, uint64_t inode, uint64_t byte)
{
    uint64_t line_inode, first, last;
    char end[24];

    if (sscanf(line, "lock: %*d: %*s %*s %*s %*d %*x:%*x:%" SCNu64 " %" SCNu64 " %23s", &line_inode,
               &first, end) != 3)
        return false;
    last = strcmp(end, "EOF") == 0 ? UINT64_MAX : strtoull(end, NULL, 10);
    return line_inode == inode && first <= byte && byte <= last;
}

static bool descriptor_holds(int directory, const char *name, uint64_t inode, uint64_t byte)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    char line[256];
    bool found = false;

    if (!file) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (!found && fgets(line, sizeof(line), file))
        found = line_is_lock(line, inode, byte);
    fclose(file);
    return found;
}

/* Whether a descriptor of that process, other than skip, holds the lock. */
static bool process_holds(const char *pid, int skip, uint64_t inode, uint64_t byte)
{
    char path[64];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%.20s/fdinfo", pid);

    DIR *descriptors = opendir(path);
    if (!descriptors)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(descriptors));)
        if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != skip)
            found = descriptor_holds(dirfd(descriptors), entry->d_name, inode, byte);
    closedir(descriptors);
    return found;
}

pid_t imgi_lock_holder(int fd, uint64_t byte)
{
    DIR *processes = opendir("/proc");
    struct stat info;
    pid_t holder = 0;

    if (!processes)
        return 0;
    if (fstat(fd, &info) == 0)
        for (struct dirent *entry; !holder && (entry = readdir(processes));) {
            pid_t pid = (pid_t)atol(entry->d_name);

            if (pid > 0 &&
                process_holds(entry->d_name, pid == getpid() ? fd : -1, info.st_ino, byte))
                holder = pid;
        }
    closedir(processes);
    return holder;
}
