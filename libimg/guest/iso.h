/*
 * ISO 9660, with Rock Ridge or Joliet. SPDX-License-Identifier: BSD-2-Clause
 *
 * A file's inode number is the place of its directory record in the volume, in bytes; the root's is
 * that of its "." record.
 */
#ifndef IMGI_ISO_H
#define IMGI_ISO_H

#include "names.h"
#include "runs.h"

#define IMGI_ISO_NAME_ROOM IMGI_NAME_ROOM
#define IMGI_ISO_TARGET_MAX 4095u

#define IMGI_ISO_DIRECTORY 0x02u
#define IMGI_ISO_ASSOCIATED 0x04u
#define IMGI_ISO_GOES_ON 0x80u /* the next record is of the same file */

struct imgi_iso {
    const struct imgi_volume *volume;
    uint32_t block_size;
    uint64_t blocks;
    uint64_t root; /* byte of the volume */
    bool joliet, rock_ridge;
    unsigned skip; /* bytes before system use entries */
};

/* What a directory record says. */
struct imgi_iso_node {
    uint64_t inode, next; /* where the next record is, perhaps */
    uint32_t extent;      /* block */
    uint32_t attribute_blocks;
    uint64_t size;
    unsigned flags;
    bool interleaved, compressed, relocated;
    uint32_t mode, links, uid, gid, major, minor;
    int64_t atime, mtime, ctime, btime;
    char name[IMGI_ISO_NAME_ROOM];
    char target[IMGI_ISO_TARGET_MAX + 1]; /* of a symbolic link */
};

/* ---- iso_record.c ---- */

/*
 * Read the record at a place. *length 0: there are none up to the end of the block. Its node says
 * what system use entries add.
 */
int imgi_iso_record(const struct imgi_iso *iso, uint64_t place, struct imgi_iso_node *node,
                    unsigned *length, img_error *err);
/* Whether the root's record begins with Rock Ridge's mark. */
int imgi_iso_find_rock_ridge(struct imgi_iso *iso, img_error *err);

/* ---- iso_susp.c: system use entries ---- */

/* What Rock Ridge says, in `length` bytes of a record. */
int imgi_iso_system_use(const struct imgi_iso *iso, const uint8_t *bytes, size_t length,
                        struct imgi_iso_node *node, img_error *err);
/* The date of a record, or of 17 digits. */
int64_t imgi_iso_seconds(const uint8_t date[7]);

#endif
