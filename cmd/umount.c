/*
 * img umount. SPDX-License-Identifier: BSD-2-Clause
 *
 * Unmounting is done when the process behind the mount has written all to the image and closed it,
 * which is after the kernel has let go of the directory: until then this waits. The process is
 * known by its name, "imgmount-N", with the number of the mount's device.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"

struct args {
    bool lazy;
};

static const struct cmd_option options[] = {
    {'z', "lazy", NULL, "unmount when nobody uses it any more, and do not wait for that"},
    OPTION_HELP,
    OPTIONS_END,
};

static bool take_option(struct cli *cli, void *opaque, int key, const char *value)
{
    struct args *args = opaque;

    (void)cli, (void)value;
    if (key == 'z')
        args->lazy = true;
    return true;
}

/* ------------------------------------------------------------ what is mounted */

/* "\040" is a space in mountinfo. */
static void unescape(char *text)
{
    char *to = text;

    for (; *text; text++) {
        if (text[0] == '\\' && isdigit((unsigned char)text[1]) && isdigit((unsigned char)text[2]) &&
            isdigit((unsigned char)text[3])) {
            *to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
            text += 3;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
}

/*
 * Whether a line of mountinfo tells of imgmount at that directory, "36 35 0:44 / /mnt ro - TYPE
 * NAME OPTIONS", and the number of its device.
 */
static bool is_mount(char *line, const char *directory, unsigned *number)
{
    char *type = strstr(line, " - "), *at = NULL;
    int begin = 0, end = 0;

    if (!type || sscanf(line, "%*u %*u %*u:%u %*s %n%*s%n", number, &begin, &end) < 1 || end == 0)
        return false;
    line[end] = '\0';
    at = line + begin;
    unescape(at);
    return strncmp(type + 3, "fuse.imgmount ", 14) == 0 && strcmp(at, directory) == 0;
}

/* The device of what is mounted there last; 0: nothing of ours. */
static unsigned find_mount(const char *directory)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    unsigned number, found = 0;
    char *line = NULL;
    size_t size = 0;

    if (!file)
        return 0;
    while (getline(&line, &size, file) > 0)
        if (is_mount(line, directory, &number))
            found = number;
    free(line);
    fclose(file);
    return found;
}

/* ------------------------------------------------------------ who mounted it */

static bool has_name(const char *pid, const char *name)
{
    char path[300], comm[32] = "";
    FILE *file;
    bool same;

    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    same = fgets(comm, sizeof(comm), file) && strcspn(comm, "\n") == strlen(name) &&
           strncmp(comm, name, strlen(name)) == 0;
    fclose(file);
    return same;
}

/* A descriptor of the process behind the mount, which can be polled for its end; -1: not seen. */
static int find_process(unsigned number)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    char name[16];
    int fd = -1;

    if (!proc)
        return -1;
    snprintf(name, sizeof(name), "imgmount-%u", number % 1000000);
    while (fd < 0 && (entry = readdir(proc)))
        if (isdigit((unsigned char)entry->d_name[0]) && has_name(entry->d_name, name))
            fd = (int)syscall(SYS_pidfd_open, atoi(entry->d_name), 0);
    closedir(proc);
    return fd;
}

static void wait_for_end(int process)
{
    struct pollfd end = {.fd = process, .events = POLLIN};

    while (poll(&end, 1, -1) < 0 && errno == EINTR)
        continue;
}

/* ---------------------------------------------------------------- unmounting */

/* What unmounts for those who are not root; it says itself what is wrong. */
static bool run_fusermount(struct cli *cli, const char *directory, bool lazy)
{
    char program[] = "fusermount3", unmount[] = "-u", at_last[] = "-z", end[] = "--";
    char *copy = strdup(directory);
    char *argv[] = {program, unmount, lazy ? at_last : end, lazy ? end : copy, lazy ? copy : NULL,
                    NULL};
    int status = 0, rc;
    pid_t pid;

    if (!copy)
        return cli_fail_nomem(cli);
    rc = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
    free(copy);
    if (rc != 0)
        return cli_fail_code(cli, IMG_E_IO, "fusermount3 cannot be run (Debian: fuse3): %s",
                             strerror(rc));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        cli->status = 1;
    return cli->status == 0;
}

static bool unmount(struct cli *cli, const char *directory, bool lazy)
{
    if (umount2(directory, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
        return true;
    if (errno == EPERM)
        return run_fusermount(cli, directory, lazy);
    return cli_fail_code(cli, errno == EBUSY ? IMG_E_BUSY : IMG_E_IO, "%s: %s", directory,
                         strerror(errno));
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args args = {0};
    char *directory;
    unsigned number;
    int first, process;

    if (!cli_options(cli, argc, argv, take_option, &args, &first))
        return cli->status;
    if (argc - first != 1) {
        cli_fail_usage(cli, "Expecting one directory");
        return cli->status;
    }
    /* A mount whose process has died has no directory to be resolved any more. */
    directory = realpath(argv[first], NULL);
    number = find_mount(directory ? directory : argv[first]);
    if (number == 0) {
        cli_fail_code(cli, IMG_E_NOENT, "%s: nothing is mounted there by imgmount", argv[first]);
    } else {
        process = args.lazy ? -1 : find_process(number);
        if (unmount(cli, directory ? directory : argv[first], args.lazy) && process >= 0)
            wait_for_end(process);
        if (process >= 0)
            close(process);
    }
    free(directory);
    return cli->status;
}

const struct cmd cmd_umount = {
    .name = "umount",
    .summary = "unmount what 'img mount' has mounted",
    .usage = "[OPTION]... DIR",
    .about = "When it returns the image has been closed, and all that was written is in it.\n",
    .examples = "umount /mnt\n",
    .options = options,
    .run = run,
};
