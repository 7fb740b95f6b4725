/*
 * tar archives: which bytes of the file are which member. SPDX-License-Identifier: BSD-2-Clause
 *
 * Only what an OVA has: plain files (POSIX.1-1988 ustar), with the ways in which GNU tar and
 * POSIX.1-2001 ("pax") tell of long names and of sizes over 8 GiB. Nothing is unpacked.
 */
#ifndef IMGI_TAR_H
#define IMGI_TAR_H

#include "../io/io.h"

#define IMGI_TAR_BLOCK 512u
/* Far more than any OVA has; a bound on the memory for names and the time to compare them. */
#define IMGI_TAR_MEMBERS_MAX 4096u
#define IMGI_TAR_NAME_MAX 4096u
/* The longest name that the writer puts into a header. */
#define IMGI_TAR_SHORT_NAME_MAX 100u

enum imgi_tar_type {
    IMGI_TAR_FILE = '0',
    IMGI_TAR_DIRECTORY = '5',
    IMGI_TAR_PAX = 'x',        /* records about the member behind it */
    IMGI_TAR_PAX_GLOBAL = 'g', /* records about all members behind it */
    IMGI_TAR_GNU_NAME = 'L'    /* the long name of the member behind it */
};

/* A header block. */
struct imgi_tar_header {
    char name[257]; /* the prefix, a slash and the name */
    uint64_t size;  /* bytes behind the header, which are padded to whole blocks */
    uint64_t mtime; /* seconds since 1970 */
    char type;      /* enum imgi_tar_type, and others */
};

/* Its checksum, magic and numbers are right, or IMG_E_CORRUPT says which is not. */
int imgi_tar_decode(const uint8_t block[IMGI_TAR_BLOCK], struct imgi_tar_header *header,
                    img_error *err);
/* A plain file's. The name has IMGI_TAR_SHORT_NAME_MAX bytes at most. */
void imgi_tar_encode(const struct imgi_tar_header *header, uint8_t block[IMGI_TAR_BLOCK]);

/* Whether a file that begins with these bytes is a tar archive. *header is of its first member. */
bool imgi_tar_looks_like(const uint8_t *head, size_t length, struct imgi_tar_header *header);

struct imgi_tar_member {
    char *name;
    uint64_t offset, size; /* bytes of the archive */
};

/* The plain files in an archive, in its order; each name is there once. */
struct imgi_tar {
    struct imgi_tar_member *list;
    const struct imgi_tar_member **by_name; /* all of the list, sorted: for imgi_tar_find */
    size_t count;
};

/*
 * Find all members. Refused are names that are absolute or lead upwards, names that are there
 * twice, links, devices, and members that end past the end of the file. Directories are passed
 * over. On failure there is nothing to free.
 */
int imgi_tar_read(struct imgi_tar *tar, struct imgi_io *io, img_error *err);
void imgi_tar_clear(struct imgi_tar *tar);
/* NULL when there is none of that name. */
const struct imgi_tar_member *imgi_tar_find(const struct imgi_tar *tar, const char *name);

/*
 * A member's name as it is meant: without "./" in front. NULL with *err filled for one that leads
 * elsewhere (IMG_E_DENIED) or holds control characters.
 */
const char *imgi_tar_plain_name(const char *name, img_error *err);

#endif
