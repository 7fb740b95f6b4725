/*
 * What the commands that look inside a guest share. SPDX-License-Identifier: BSD-2-Clause
 *
 * The first operand is the image; with -a there may be several, the disks of one machine, and all
 * operands are something else. What is seen is the tree of the guest's filesystems, as its fstab
 * has them, as -m has them, or of the only one that there is.
 */
#ifndef GUEST_H
#define GUEST_H

#include "cmd.h"

/* clang-format off */
/* Of commands that look at a guest's disks. -h is theirs to use, therefore it is no --help. */
#define OPTIONS_GUEST                                                                              \
    {'a', "add", "FILE", "an image; more than one are the disks of one machine"},                  \
    OPTIONS_OPEN,                                                                                  \
    OPTION_SHARE,                                                                                  \
    {OPT_SNAPSHOT, "snapshot", "NAME", "look at the disks as that internal snapshot has them"},    \
    {OPT_BLOCKSIZE, "blocksize", "BYTES", "of a sector of the disks: 512 or 4096"}
/* And of commands that look into its files. */
#define OPTIONS_GUEST_FILES                                                                        \
    OPTIONS_GUEST,                                                                                 \
    {'m', "mount", "DEV[:DIR]", "mount this filesystem there (default: at /), and no others"},     \
    {'i', "inspector", NULL, "mount what the guest's fstab says (the default)"},                   \
    {OPT_ROOT, "root", "DEV", "of several operating systems, the one on this filesystem"},         \
    {OPT_RO, "ro", NULL, "look only; so it is always"}
/* clang-format on */

/* An image of -a. */
struct guest_image {
    const char *name, *format; /* format NULL: probe */
};

/* What the options say. Zeroed to begin with; ended by guest_args_clear. */
struct guest_args {
    struct open_args open;
    struct guest_image *images;
    size_t image_count;
    bool format_last; /* a -f behind all of them is for all that have none */
    const char **mounts;
    size_t mount_count;
    bool inspect;
    const char *root, *snapshot;
    uint64_t sector_size; /* 0: found by a look */
};

/* Take one of the options above; other keys are left alone. */
bool guest_take_option(struct cli *cli, struct guest_args *args, int key, const char *value);
/* Without -a the operand at *first is the image: take it, or say that there must be one. */
bool guest_take_image(struct cli *cli, struct guest_args *args, int argc, char **argv, int *first);
bool guest_add_image(struct cli *cli, struct guest_args *args, const char *name);
void guest_args_clear(struct guest_args *args);

/* A guest that is open. */
struct guest {
    img_image **images;
    size_t image_count;
    img_guest *guest;
    img_tree *tree; /* once it has been mounted */
};

/* Open its images. To be ended by guest_close, also when it has failed. */
bool guest_open(struct cli *cli, struct guest *guest, const struct guest_args *args);
/* Mount its filesystems. */
bool guest_mount(struct cli *cli, struct guest *guest, const struct guest_args *args);
void guest_close(struct guest *guest);

/* "program: name: cause", where the cause may begin with the name already. */
bool guest_fail(struct cli *cli, const img_error *err, const char *path);

#endif
