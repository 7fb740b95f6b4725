/*
 * A disk that can be stopped: a few files in memory, and a log of what has been done to them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * While a disk is attached, every file that the library opens by name is looked for on it, and
 * files that it makes come to it. A file is what it was at the start with the log replayed over it.
 */
#ifndef DISK_H
#define DISK_H

#include "io/io.h"

#define DISK_FILES 8

struct disk {
    struct disk_file {
        const char *name; /* not owned */
        char *made;       /* the same, owned, of a file that was made while the disk was attached */
        uint8_t *bytes;
        size_t size;
    } files[DISK_FILES];
    unsigned count;
    struct imgi_log *log;
};

/* A disk without files. All of these end the test when they fail. */
void disk_init(struct disk *disk);
void disk_clear(struct disk *disk);
/* Add a file with that content, which is copied. */
void disk_add(struct disk *disk, const char *name, const void *bytes, size_t size);
/* Add a copy of the file of that name in the directory. */
void disk_load(struct disk *disk, const char *name);
/* From now on names mean files of this disk; NULL: real files again. */
void disk_attach(struct disk *disk);

/* A file in memory with those bytes. */
struct imgi_io *disk_memory(const void *bytes, size_t size);

/* What cannot happen in a test that works. */
void give_up(const char *what, const char *why) __attribute__((noreturn));

#endif
