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
    const char *device; /* when the tree is not the system's: whose it is */
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
/* Whether the filesystem of that device is somewhere in the tree. */
bool imgi_inspect_is_mounted(const struct imgi_inspection *in, const char *device);
/* The path that this is in other case of letters, malloc'd; NULL: nothing is called like that. */
char *imgi_inspect_any_case(const struct imgi_inspection *in, const char *path);

/* ---- inspect_release.c ---- */

/* Strings are malloc'd, NULL where there is nothing to say. */
struct imgi_release {
    char *distro, *product_name, *variant, *build_id;
    bool has_major, has_minor;
    unsigned major, minor; /* 0 where there is none */
};

void imgi_release_find(const struct imgi_inspection *in, struct imgi_release *release);
void imgi_release_clear(struct imgi_release *release);
/* Its identifier in osinfo-db, malloc'd; NULL: not known. */
char *imgi_release_osinfo(const struct imgi_release *release);

/* The value of a line NAME=VALUE, without quotes, malloc'd; NULL: there is none. */
char *imgi_inspect_value(const char *text, const char *name);
/* The first line that is not empty or a comment, malloc'd; NULL: there is none. */
char *imgi_inspect_first_line(const char *text);

/* ---- inspect_machine.c ---- */

/* libguestfs's name for the processor that the programs are for; NULL: not known. Static. */
const char *imgi_machine_find(const struct imgi_inspection *in);
/* Fill in version and build of Windows. */
void imgi_windows_release(const struct imgi_inspection *in, struct imgi_release *release);

/* ---- inspect_boot.c: what it starts with ---- */

void imgi_boot_say(const struct imgi_inspection *in, struct imgi_info *info);

/* ---- inspect_packages.c ---- */

/* A package. NULL: not said. The strings stay those of who tells of it. */
struct imgi_package {
    const char *name, *epoch, *version, *release, *arch, *url, *summary, *description;
};
/* Hears of each package. */
struct imgi_packages {
    void (*add)(struct imgi_packages *packages, const struct imgi_package *package);
};

/* The format of packages ("deb") and what manages them ("apt"); NULL: not known. Static. */
void imgi_packages_kind(const struct imgi_inspection *in, const struct imgi_release *release,
                        const char **format, const char **management);
/* Tell of all packages of that format. False: they cannot be read; the notice has heard why. */
bool imgi_packages_find(const struct imgi_inspection *in, const char *format,
                        struct imgi_packages *packages);

#endif
