/*
 * Inspection: what the files inspect*.c share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Everything looked at was written by the guest. Paths are resolved in a tree, whose symbolic links
 * do not lead out of it; only regular files are read, and none further than a limit. What cannot be
 * read is not there, and the guest's notice hears why.
 */
#ifndef IMGI_INSPECT_H
#define IMGI_INSPECT_H

#include "guest.h"

/* ---- inspect_roots.c ---- */

struct imgi_root {
    char *device;
    const char *name; /* of the kind of system: "linux", "windows", ...; static */
};
struct imgi_roots {
    struct imgi_root *list;
    size_t count;
};

/*
 * The volumes that hold root filesystems, in the order of the volumes; that there are none is no
 * error. The appliance is asked only when there are none without it.
 */
int imgi_inspect_roots(img_guest *guest, struct imgi_roots *roots, img_error *err);
void imgi_roots_clear(struct imgi_roots *roots);

/* ---- inspect_files.c ---- */

/* A system that is being looked at. */
struct imgi_inspection {
    img_guest *guest;
    img_tree *tree;
    const struct imgi_root *root;
};

/* The type (S_IFMT) of what is there, behind symbolic links or, with flags, not; 0: nothing. */
uint32_t imgi_inspect_type(const struct imgi_inspection *in, const char *path, unsigned flags);
bool imgi_inspect_is_file(const struct imgi_inspection *in, const char *path);
bool imgi_inspect_is_dir(const struct imgi_inspection *in, const char *path);
/* Open a regular file; NULL: it is not there. */
img_file *imgi_inspect_open(const struct imgi_inspection *in, const char *path);
/* Its whole text, malloc'd and with a 0 byte behind it. NULL: not there, or more than limit. */
char *imgi_inspect_text(const struct imgi_inspection *in, const char *path, size_t limit);
/* NULL: not there. */
img_dir *imgi_inspect_dir(const struct imgi_inspection *in, const char *path);
/* The path that this is in other case of letters, malloc'd; NULL: nothing is called like that. */
char *imgi_inspect_any_case(const struct imgi_inspection *in, const char *path);

#endif
