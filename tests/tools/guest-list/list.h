/*
 * A line for each file of a filesystem. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef GUEST_LIST_H
#define GUEST_LIST_H

#include "crypto/digest.h"
#include "libimg.h"

#define BUFFER ((size_t)1 << 20)

/* What may be said of a file, in the order of the line. */
enum key {
    INODE,
    MODE,
    LINKS,
    OWNER,
    DEVICE,
    SIZE,
    USAGE,
    ATIME,
    MTIME,
    CTIME,
    BTIME,
    TARGET,
    XATTRS,
    RUNS,
    SHA256,
    KEY_COUNT
};

struct list {
    unsigned wanted;            /* bits, by enum key */
    char path[1 << 16];         /* from the filesystem's root on: "" or "/a/b" */
    size_t length;              /* of the path */
    uint8_t *buffer;            /* BUFFER bytes */
    struct imgi_digest *digest; /* SHA-256 */
    bool failed;
    bool free;  /* list what is not in use */
    img_fs *fs; /* image.c: what is listed */
};

/* ---- print.c ---- */

/* The keys that a text names, as bits. */
unsigned parse_keys(const char *text);
void put_bytes(const char *bytes, size_t length);
/* Whether a key is wanted; begins its column then. */
bool wants(const struct list *list, enum key key);
void put_usage(const img_fs_usage *usage);
void put_stat(const struct list *list, const img_stat *stat);
void put_value(struct list *list, const char *name, const void *value, size_t length);
void put_digest(struct list *list);
void add_to_digest(struct list *list, const void *bytes, size_t length);
/* Something of the file cannot be had. */
void complain(struct list *list, const char *what, const char *why);
/* Names, each with its 0 byte, sorted; for free, as is not what they point to. */
char **sort_names(char *names, size_t length, size_t *count);
/* Step into a directory's entry, and back to where the path had that length. */
void push(struct list *list, const char *name);
void pop(struct list *list, size_t length);

/* ---- image.c, kernel.c ---- */

/* How full it is. */
void list_usage(struct list *list);
void list_directory_usage(const char *path);
/* Offset and length, in bytes, of what it does not use. */
void list_free(struct list *list);
void list_filesystem(struct list *list);
void list_directory(struct list *list, const char *path);

#endif
