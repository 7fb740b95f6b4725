/*
 * Writing a tar archive. SPDX-License-Identifier: BSD-2-Clause
 *
 * POSIX.1-2001 ("pax"): what a header of POSIX.1-1988 has no room for stands in records in front of
 * it; holes are told in GNU tar's way (its sparse format 1.0), extended attributes in star's.
 */
#ifndef TAR_H
#define TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TAR_BLOCK 512u

/* A run of a file that is no hole. */
struct tar_run {
    uint64_t offset, length;
};

struct tar_member {
    const char *name; /* a directory's ends with a slash */
    const char *link; /* what a symbolic link says, or the name of the file that it is too */
    char type;        /* as in the header: '0' a file, '1' a hard link, '2' a symbolic link, ... */
    uint32_t mode, uid, gid, major, minor;
    uint64_t size;
    int64_t mtime;
    uint32_t mtime_nsec;
    const struct tar_run *runs; /* of a file with holes, in ascending order; NULL: it has none */
    size_t run_count;
};

/* Records about one member. Zeroed to begin with, ended by free(text). */
struct tar_records {
    char *text;
    size_t length;
};

/* "length keyword=value\n"; false without memory. */
bool tar_record(struct tar_records *records, const char *keyword, const void *value, size_t length);

/*
 * Write what stands in front of the member's content, with records that the caller has for it and
 * those that it needs. The content is for the caller to write, only the runs of a file that has
 * some, and tar_pad. False: no memory, or the output failed (ferror).
 */
bool tar_begin(FILE *out, const struct tar_member *member, struct tar_records *records);
/* Fill the last block of so many bytes of content. */
bool tar_pad(FILE *out, uint64_t size);
/* The archive's end. */
bool tar_end(FILE *out);

#endif
