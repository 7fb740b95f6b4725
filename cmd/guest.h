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
#define OPTION_BLOCKSIZE                                                                           \
    {OPT_BLOCKSIZE, "blocksize", "BYTES", "of a sector of the disks: 512 or 4096"}
/* Of commands that look at a guest's disks. -h is theirs to use, therefore it is no --help. */
#define OPTIONS_GUEST                                                                              \
    {'a', "add", "FILE", "an image; more than one are the disks of one machine"},                  \
    OPTIONS_OPEN,                                                                                  \
    OPTION_SHARE,                                                                                  \
    {OPT_SNAPSHOT, "snapshot", "NAME", "look at the disks as that internal snapshot has them"},    \
    OPTION_BLOCKSIZE,                                                                              \
    {OPT_KEY, "key", "SELECTOR:HOW:KEY",                                                           \
     "of what is encrypted in it: DEV|UUID|all:key:PASSPHRASE or :file:NAME"}
/* And of commands that look into its files. */
#define OPTIONS_GUEST_FILES                                                                        \
    OPTIONS_GUEST,                                                                                 \
    {'m', "mount", "DEV[:DIR]", "mount this filesystem there (default: at /), and no others"},     \
    {'i', "inspector", NULL, "mount what the guest's fstab says (the default)"},                   \
    {OPT_ROOT, "root", "DEV", "of several operating systems, the one on this filesystem"},         \
    {OPT_RO, "ro", NULL, "change nothing; only cp to an image ever would"}
#define OPTION_NO_GLOB                                                                             \
    {OPT_NO_GLOB, "no-glob", NULL, "a path is no pattern: it is taken as it is"}
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
    bool literal;   /* --no-glob */
    bool read_only; /* --ro */
    const char *root, *snapshot;
    uint64_t sector_size; /* 0: found by a look */
};

/* Take one of the options above; other keys are left alone. */
bool guest_take_option(struct cli *cli, struct guest_args *args, int key, const char *value);
/* The value of --blocksize. */
bool guest_sector_size(struct cli *cli, const char *text, uint64_t *bytes);
/* Without -a the operand at *first is the image: take it, or say that there must be one. */
bool guest_take_image(struct cli *cli, struct guest_args *args, int argc, char **argv, int *first);
bool guest_add_image(struct cli *cli, struct guest_args *args, const char *name);
void guest_args_clear(struct guest_args *args);

/* A guest that is open. */
struct guest {
    struct cli *cli;
    img_image **images;
    size_t image_count;
    img_guest *guest;
    img_tree *tree; /* once it has been mounted */
};

/* Open its images. To be ended by guest_close, also when it has failed. */
bool guest_open(struct cli *cli, struct guest *guest, const struct guest_args *args);
/* Find volumes of LVM and the like, if there may be any; that it cannot be done is a warning. */
void guest_assemble(struct cli *cli, struct guest *guest);
/* Mount its filesystems. */
bool guest_mount(struct cli *cli, struct guest *guest, const struct guest_args *args);
void guest_close(struct guest *guest);
/* Whether the file that is open there, O_PATH will do, is one of the images'. */
bool guest_lies_in(const struct guest *guest, int fd);

/*
 * "program: image: path: cause", where the cause may begin with the path already; also a device may
 * stand for the path, or NULL for all of the guest. Of several images it is the one that has it.
 */
bool guest_fail(const struct guest *guest, const img_error *err, const char *path);
bool guest_fail_code(const struct guest *guest, int code, const char *path, const char *cause);

/* --------------------------------------------------------------- directories */

/* A directory's entries, by their names. */
struct guest_listing {
    img_dir *dir;
    img_dirent *entries;
    size_t count;
};
/* To be ended by guest_list_end when it returns true. */
bool guest_list(struct guest *guest, const img_place *place, const char *path,
                struct guest_listing *listing);
void guest_list_end(struct guest_listing *listing);

/* A set of files, each with a text that is for free(), or NULL. Zeroed to begin with. */
struct guest_place {
    img_place place;
    char *text;
};
struct guest_places {
    struct guest_place *list; /* place.fs NULL: free */
    size_t count, room;       /* room: a power of two */
};
/* Add a file that may be *known already; NULL without memory. Good until the next one is added. */
struct guest_place *guest_places_add(struct guest_places *set, const img_place *place, bool *known);
void guest_places_clear(struct guest_places *set);

/* A file that a walk has come to. */
struct guest_entry {
    const char *path; /* in the guest */
    const char *name; /* the last part of it */
    img_place place;
    img_stat stat;
    unsigned depth; /* 0: where the walk began */
};
enum guest_next {
    GUEST_GO_ON,
    GUEST_SKIP, /* do not go into this directory */
    GUEST_STOP
};
struct guest_walk {
    struct cli *cli;
    struct guest *guest;
    enum guest_next (*visit)(void *opaque, const struct guest_entry *entry);
    /* A directory that visit went into, after what is in it; NULL: nothing to do. */
    enum guest_next (*leave)(void *opaque, const struct guest_entry *entry);
    void *opaque;
    unsigned max_depth; /* how many levels, the start is the first; 0: all */
};
/*
 * Visit the file, and all below it. What cannot be read is said on the way. False: visit or a
 * signal has ended it.
 */
bool guest_walk(const struct guest_walk *walk, const char *path, const img_place *start);

/* --------------------------------------------------------------------- paths */

/* Paths, each malloc'd. */
struct guest_paths {
    char **list;
    size_t count;
};
/*
 * Add what the text means: a path, or the paths that match it, unless there is a file of that very
 * name or it is to be literal. That nothing matches is an error.
 */
bool guest_expand(struct guest *guest, const char *text, bool literal, struct guest_paths *paths);
/* All of them, even when there is an error with one. */
bool guest_expand_all(struct guest *guest, char **texts, int count, bool literal,
                      struct guest_paths *paths);
void guest_paths_clear(struct guest_paths *paths);

/* The file of that path, or an error. flags: enum img_tree_flags. */
bool guest_find(struct guest *guest, const char *path, unsigned flags, img_place *place,
                img_stat *stat);

/* The extended attributes of a file, one after the other: false ends it. */
typedef bool guest_xattr_fn(void *opaque, const char *name, const void *value, size_t length);
bool guest_xattrs(struct guest *guest, const struct guest_entry *entry, guest_xattr_fn *fn,
                  void *opaque);

/* A file's name: as it is, but on a terminal without what that would act on. */
void guest_name(FILE *out, const char *name);
/* As in "ls -l", 'u' when it is not known; and in JSON. */
char guest_type_letter(uint32_t mode);
const char *guest_type_name(uint32_t mode);
/* "1.5K", as "ls -h" and "df -h" have sizes. */
const char *guest_size(char text[SIZE_TEXT], uint64_t bytes);
/* The members of a JSON object that say what stat(2) would. */
void guest_emit_stat(struct emit *emit, const img_stat *stat);
/* A name that no file has, for one that gets its own when it is complete. */
#define GUEST_TEMPORARY 24
void guest_temporary(char name[GUEST_TEMPORARY]);
/* A path in a directory, malloc'd; NULL without memory. */
char *guest_join(const char *directory, const char *name);

#endif
