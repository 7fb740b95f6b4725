/*
 * What reads one kind of filesystem. SPDX-License-Identifier: BSD-2-Clause
 *
 * A provider says what is in a directory and where in the volume a file's bytes are; the core
 * (fs.c, dir.c, file.c) moves them. It works on a library that is loaded when first needed.
 *
 * The core holds fs->lock around every function but probe, so a provider is written as if there
 * were one thread. Volumes are input from strangers: whatever a library hands out is checked before
 * it is used, and loops over what stands in a volume have an end.
 *
 * Errors about a file have the os_errno that the kernel would give (imgi_fail_errno).
 */
#ifndef IMGI_PROVIDER_H
#define IMGI_PROVIDER_H

#include "guest.h"

/* One run of a file. */
enum imgi_run_kind {
    IMGI_RUN_DATA,  /* at `place` of the volume */
    IMGI_RUN_HOLE,  /* zeros that take no space */
    IMGI_RUN_OPAQUE /* ask the provider's read: inline, compressed, ... */
};
struct imgi_run {
    uint64_t offset, length; /* of the file; given with what is asked for */
    enum imgi_run_kind kind;
    uint64_t place; /* DATA */
};

/* Takes one directory entry; not 0 ends the listing with that code. */
typedef int imgi_entry_fn(void *opaque, const char *name, size_t name_length, uint64_t inode,
                          uint32_t mode, img_error *err);
/* Takes one run of the volume's bytes that the filesystem does not use; likewise. */
typedef int imgi_unused_fn(void *opaque, uint64_t offset, uint64_t length, img_error *err);

struct imgi_provider {
    const char *library; /* "libext2fs", for messages */
    /* Whether filesystems of that kind (img_volume.content) are its business. */
    bool (*reads)(const char *content);
    /*
     * What takes long, before the first filesystem is opened: called without any lock, by several
     * threads. NULL: nothing does.
     */
    int (*prepare)(img_guest *guest, const struct imgi_volume *volume, img_error *err);
    /* Fills fs->state, fs->root, and fs->warning (malloc'd) if there is one. */
    int (*open)(struct img_fs *fs, img_error *err);
    /* Always runs, after a failed open too. */
    void (*close)(struct img_fs *fs);
    int (*usage)(struct img_fs *fs, img_fs_usage *usage, img_error *err);
    int (*stat)(struct img_fs *fs, uint64_t inode, img_stat *stat, img_error *err);
    /* NULL: the core looks through the directory. */
    int (*lookup)(struct img_fs *fs, uint64_t directory, const char *name, uint64_t *inode,
                  img_error *err);
    /* All entries of a directory, "." and ".." may be among them. */
    int (*list)(struct img_fs *fs, uint64_t directory, imgi_entry_fn *entry, void *opaque,
                img_error *err);
    /* *target is malloc'd. */
    int (*readlink)(struct img_fs *fs, uint64_t inode, char **target, img_error *err);
    /* Both malloc'd; NULL: it has no extended attributes. */
    int (*xattr_names)(struct img_fs *fs, uint64_t inode, char **names, size_t *length,
                       img_error *err);
    int (*xattr)(struct img_fs *fs, uint64_t inode, const char *name, void **value, size_t *length,
                 img_error *err);
    /* A regular file: fills file->state, if it wants one, and file->size. */
    int (*file_open)(struct img_file *file, img_error *err);
    void (*file_close)(struct img_file *file); /* likewise always; NULL: nothing to do */
    /* One run that begins at run->offset, 1 to run->length bytes, within the file's size. */
    int (*map)(struct img_file *file, struct imgi_run *run, img_error *err);
    /* Within the file's size; for runs that are OPAQUE. */
    int (*read)(struct img_file *file, uint64_t offset, void *buffer, size_t length,
                img_error *err);
    /*
     * What of the volume is not in use, in ascending order. NULL: it cannot tell. IMG_E_UNSUPPORTED
     * when it cannot tell of this one, says why (an unclean journal).
     */
    int (*unused)(struct img_fs *fs, imgi_unused_fn *unused, void *opaque, img_error *err);
};

/* ext2.c, fat.c, ntfs.c, iso.c, guestfs.c: in this order, the first that reads a kind of filesystem
 * does so. */
extern const struct imgi_provider imgi_provider_ext2, imgi_provider_fat, imgi_provider_ntfs,
    imgi_provider_iso, imgi_provider_guestfs;

#endif
