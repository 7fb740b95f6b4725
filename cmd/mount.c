/*
 * img mount. SPDX-License-Identifier: BSD-2-Clause
 *
 * imgmount is a program of its own, for its library and for mount(8); this finds it, beside this
 * one or where commands are, and becomes it.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define PROGRAM "imgmount"

static const struct cmd_option options[] = {
    {'i', "inspector", NULL, "mount what the guest mounts (the default)"},
    {'m', "mount", "DEV[:MNT]", "mount this filesystem, at / or at MNT"},
    {OPT_BLOCKS, "blocks", NULL, "show the disk, its partitions and its snapshots as files"},
    {'w', "rw", NULL, "with --blocks: write to the image"},
    {OPT_SNAPSHOT, "snapshot", "NAME", "the disk as this snapshot in the image has it"},
    OPTION_HELP,
    OPTIONS_END,
};

/* The program beside the one that runs. */
static bool beside(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof(PROGRAM));
    char *slash;

    if (length <= 0)
        return false;
    path[length] = '\0';
    slash = strrchr(path, '/');
    if (!slash)
        return false;
    strcpy(slash + 1, PROGRAM);
    return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
    char path[PATH_MAX], name[] = PROGRAM;

    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        help_command(cli, cli->command);
        return 0;
    }
    argv[0] = name;
    if (beside(path))
        execv(path, argv);
    execvp(PROGRAM, argv);
    if (errno == ENOENT)
        cli_fail_code(cli, IMG_E_UNSUPPORTED,
                      PROGRAM " is not installed: this build was made without libfuse 3 "
                              "(Debian: libfuse3-dev)");
    else
        cli_fail_code(cli, IMG_E_IO, PROGRAM ": %s", strerror(errno));
    return cli->status;
}

const struct cmd cmd_mount = {
    .name = "mount",
    .summary = "mount what is in an image, through FUSE",
    .usage = "[OPTION]... IMAGE DIR",
    .about = "Show the files of the guest, or with --blocks its disks, below the directory DIR.\n"
             "The options are those of imgmount. These are the usual ones; 'imgmount --help'\n"
             "lists all of them.\n",
    .examples = "mount disk.qcow2 /mnt\n"
                "mount --snapshot=before -m /dev/sda2 disk.qcow2 /mnt\n"
                "umount /mnt\n",
    .options = options,
    .run = run,
};
