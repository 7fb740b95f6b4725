/*
 * What the files of "img cp" share. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CP_H
#define CP_H

#include "guest.h"

/*
 * One source is copied under a directory of the host. Everything is made by its name in a directory
 * that is open, no symbolic link of the host is followed below that: nothing is written elsewhere.
 */
struct cp {
    struct cli *cli;
    struct guest guest;
    bool is_root;     /* then owners are kept */
    bool privileged;  /* and what may give rights on the host */
    const char *name; /* of the source at the target; NULL: what is in it goes into the directory */
    size_t prefix;    /* bytes of a path in the guest that are not in the target's */
    /* dirs[n] is where entries of depth n go; -1: nowhere. */
    int *dirs;
    size_t room;
    struct guest_places linked; /* files with several names, and their path from dirs[0] on */
    void *buffer;
};

#define CP_CHUNK (1u << 20)

/* Copy what a path of the guest leads to. The directory stays the caller's. */
void cp_out(struct cp *cp, const char *path, const img_place *place, int directory,
            const char *name);

/* ---- cp_in.c ---- */

/* Copy files of the host into the image, to a path in it. */
void cp_in(struct cli *cli, struct guest_args *args, char **sources, int count, const char *target);

/* ---- cp_file.c ---- */

/* The content of a regular file, holes as holes. */
bool cp_content(struct cp *cp, const struct guest_entry *entry, int fd);
/* Owner, permissions, times and extended attributes of an open file or directory. */
void cp_attributes(struct cp *cp, const struct guest_entry *entry, int fd);
/* Owner and times of what cannot be opened. */
void cp_node_attributes(struct cp *cp, const struct guest_entry *entry, int directory,
                        const char *name);
/* "path: cause", of the host's. */
bool cp_fail(struct cp *cp, const struct guest_entry *entry, int os_errno);

#endif
