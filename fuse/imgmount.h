/*
 * What the files of imgmount share. SPDX-License-Identifier: BSD-2-Clause
 *
 * One run of the program: the command line (options.c, mount_options.c) says what to mount, images
 * are opened (images.c), a view of them is made (view.h), and the daemon (daemon.c) mounts it and
 * answers the kernel until it is unmounted.
 *
 * Conventions: a function that returns bool has said what was to be said when it returns false.
 */
#ifndef IMGMOUNT_H
#define IMGMOUNT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "libimg.h"

/* -------------------------------------------------------------------- log */

/*
 * Where messages go: to stderr, until the program is in the background; then to a file or to the
 * system's log. Any thread may write.
 */
struct log {
    pthread_mutex_t lock;
    FILE *file;      /* of --log; NULL: the system's log once stderr is gone */
    bool background; /* stderr is gone */
    bool verbose;
    char *last;        /* the line before, which is not said twice */
    uint64_t repeated; /* how often it was not said */
};

void log_init(struct log *log);
/* Append to that file from now on. */
bool log_open(struct log *log, const char *name);
/* Nobody reads stderr any more. */
void log_background(struct log *log);
void log_end(struct log *log);
/* What libfuse has to say goes there, too. */
void log_take_libfuse(struct log *log);
/* One line of text. What a terminal would act on becomes a question mark. */
void log_line(struct log *log, const char *format, ...) IMG_PRINTF(2, 3);
/* The same, with --verbose only. */
void log_detail(struct log *log, const char *format, ...) IMG_PRINTF(2, 3);
/* "context: cause"; the context may be "". Returns false. */
bool log_error(struct log *log, const img_error *err, const char *format, ...) IMG_PRINTF(3, 4);
/* For img_guest_params.notice; opaque is the log. */
void log_notice(void *opaque, const char *text);

/* ---------------------------------------------------------------- options */

/* An image of the command line. */
struct image_arg {
    const char *name;
    const char *format; /* NULL: found by a look at it */
};

/* -m DEV[:MOUNTPOINT] */
struct mount_arg {
    char *device; /* malloc'd */
    char *path;   /* malloc'd, "/" if none was given */
};

struct args {
    struct image_arg *images;
    size_t image_count;
    const char *directory; /* where to mount */
    struct mount_arg *mounts;
    size_t mount_count;
    const char *root;     /* --root */
    uint32_t sector_size; /* 0: found by a look */
    bool inspect;         /* -i */
    bool blocks;          /* the blocks view */
    bool writable;        /* --rw */
    /* How images are opened. */
    const char *format; /* of the images behind it */
    const char *snapshot, *disk;
    bool image_opts, share, untrusted;
    img_secrets *secrets; /* from --object; NULL: none */
    /* How the files look. */
    bool owner_given, group_given;
    uid_t owner;
    gid_t group;
    mode_t umask;
    /* How the program runs. */
    const char *log, *pid_file;
    unsigned idle_timeout; /* seconds; 0: none */
    bool foreground, verbose;
    /* What libfuse is told: its -o, from ours. */
    bool allow_other, default_permissions, fsname_given, subtype_given;
    char *fuse_options; /* malloc'd, "noexec,noatime"; NULL: none */
    char **texts;       /* malloc'd copies of what stood in an -o */
    size_t text_count;
};

enum parsed {
    PARSED_RUN,  /* the command line says what to do */
    PARSED_DONE, /* it asked for nothing but a text, which has been printed */
    PARSED_BAD   /* what is wrong has been said */
};

enum parsed options_parse(struct args *args, struct log *log, int argc, char **argv);
void options_free(struct args *args);
/* The help for people, and the list of options for the completion. */
void options_help(FILE *out);

/*
 * Take one option, of the command line or of an -o, by its key of options.c; value is NULL if it
 * has none.
 */
bool options_take(struct args *args, struct log *log, int key, const char *value);
/* The key of the option that -o knows by that name; 0: none. *has_value: whether it needs one. */
int options_key(const char *name, size_t length, bool *has_value);
/* Take an -o: "allow_other,uid=1000,snapshot=before". */
bool mount_options_take(struct args *args, struct log *log, const char *text);

/* ----------------------------------------------------------------- images */

/* The images of the command line, open. */
struct images {
    img_image **images;
    size_t count;
    img_policy *policy;
};

/* What an image from a stranger may ask for: no file but itself. NULL: no memory. */
img_policy *images_strict_policy(void);
bool images_open(struct images *images, const struct args *args, struct log *log);
/* Write out what is cached, and close them. False: something was lost; it has been said. */
bool images_close(struct images *images, struct log *log);

#endif
