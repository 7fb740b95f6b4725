/*
 * NTFS. SPDX-License-Identifier: BSD-2-Clause
 *
 * Everything is an attribute of a record of the master file table (MFT); a file's inode number is
 * that of its record. What an attribute holds is in the record, or in clusters.
 */
#ifndef IMGI_NTFS_H
#define IMGI_NTFS_H

#include "names.h"
#include "runs.h"

/* Types of attributes. */
#define IMGI_NTFS_INFORMATION 0x10u
#define IMGI_NTFS_ATTRIBUTE_LIST 0x20u
#define IMGI_NTFS_VOLUME_INFORMATION 0x70u
#define IMGI_NTFS_DATA 0x80u
#define IMGI_NTFS_INDEX_ROOT 0x90u
#define IMGI_NTFS_INDEX_ALLOCATION 0xa0u
#define IMGI_NTFS_BITMAP 0xb0u
#define IMGI_NTFS_REPARSE 0xc0u

/* Records with a purpose. */
#define IMGI_NTFS_FILE_MFT 0u
#define IMGI_NTFS_FILE_LOG 2u
#define IMGI_NTFS_FILE_VOLUME 3u
#define IMGI_NTFS_FILE_ROOT 5u
#define IMGI_NTFS_FILE_BITMAP 6u
#define IMGI_NTFS_FILE_USERS 16u /* the first that is shown */

/* Attributes of files, as in FAT. */
#define IMGI_NTFS_SYSTEM 0x04u
#define IMGI_NTFS_REPARSE_POINT 0x400u
#define IMGI_NTFS_DIRECTORY 0x10000000u /* in a directory's index */

#define IMGI_NTFS_RECORD_MAX 4096u

struct imgi_ntfs {
    const struct imgi_volume *volume;
    uint32_t cluster_size, record_size, index_size;
    uint64_t clusters;
    struct imgi_runs mft;
    uint64_t mft_size;
    uint64_t free_clusters;
    bool counted;
};

struct imgi_ntfs_record {
    uint64_t number;
    bool directory;
    unsigned links;
    uint32_t first, used; /* where the attributes are in it */
    uint8_t bytes[IMGI_NTFS_RECORD_MAX];
};

/* What an attribute holds. */
struct imgi_ntfs_stream {
    bool resident;
    uint8_t *value; /* resident */
    struct imgi_runs runs;
    uint64_t size, valid; /* behind `valid` there are zeros */
    bool compressed, encrypted;
    uint32_t unit;       /* compressed: bytes that are so together */
    uint64_t data_bytes; /* what the runs take of the volume */
};

/* ---- ntfs_record.c ---- */

/* Read the boot sector and find the MFT. */
int imgi_ntfs_super(struct imgi_ntfs *ntfs, img_error *err);
/* Undo the protection of a record of `size` bytes, which begins with that magic. */
int imgi_ntfs_unprotect(uint8_t *bytes, uint32_t size, const char magic[4], img_error *err);
/* That of a file, in use. */
int imgi_ntfs_file_record(const struct imgi_ntfs *ntfs, uint64_t number,
                          struct imgi_ntfs_record *record, img_error *err);
/* The bytes of a resident attribute of the record itself; NULL: there is none. */
const uint8_t *imgi_ntfs_resident(const struct imgi_ntfs_record *record, uint32_t type,
                                  size_t *length);

/* ---- ntfs_stream.c ---- */

/*
 * The attribute of that type and name ("" or "$I30"). ENODATA: there is none, and *err says nothing
 * of it. The stream is to be freed in any case.
 */
int imgi_ntfs_stream_open(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                          uint32_t type, const char *name, struct imgi_ntfs_stream *stream,
                          bool *found, img_error *err);
/* Of one that is not compressed; within its size. */
int imgi_ntfs_stream_read(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_stream *stream,
                          uint64_t offset, void *buffer, size_t length, img_error *err);
/* Of one that is in its record, in any range: more than its value has is an error. */
int imgi_ntfs_resident_read(const struct imgi_ntfs_stream *stream, uint64_t offset, void *buffer,
                            size_t length, img_error *err);
void imgi_ntfs_stream_free(struct imgi_ntfs_stream *stream);

/* One attribute of a record: its bytes, checked to be all there. */
struct imgi_ntfs_attribute {
    uint32_t type, length;
    const uint8_t *bytes;
};
/* The next one; zeroed, *attribute is before the first. */
bool imgi_ntfs_next(const struct imgi_ntfs_record *record, struct imgi_ntfs_attribute *attribute);
/* The value of a resident one; false: it is none. */
bool imgi_ntfs_value(const struct imgi_ntfs_attribute *attribute, const uint8_t **value,
                     uint32_t *length);

/* ---- ntfs_dir.c ---- */

/* Takes an entry with FILE attributes (and IMGI_NTFS_DIRECTORY); not 0 ends the listing. */
typedef int imgi_ntfs_entry_fn(void *opaque, const char *name, size_t length, uint64_t inode,
                               uint32_t attributes, img_error *err);
int imgi_ntfs_list(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *directory,
                   imgi_ntfs_entry_fn *entry, void *opaque, img_error *err);

/* ---- ntfs_state.c: of the volume as a whole ---- */

/* *reason becomes what is wrong, malloc'd, or NULL. */
int imgi_ntfs_state(const struct imgi_ntfs *ntfs, char **reason, img_error *err);
/* Free clusters, as runs of the volume. unused may be NULL: then they are counted only. */
int imgi_ntfs_unused(struct imgi_ntfs *ntfs, imgi_unused_fn *unused, void *opaque, img_error *err);

/* ---- ntfs_special.c: symbolic links and what else is no plain file ---- */

/*
 * *mode becomes the type of a file that has these attributes, *target what it says if it is a
 * symbolic link (malloc'd; target may be NULL, which is faster).
 */
int imgi_ntfs_special(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                      uint32_t *mode, char **target, img_error *err);
/* Content that only Windows knows how to get at: EOPNOTSUPP. */
int imgi_ntfs_check_plain(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                          img_error *err);

/* ---- ntfs_compressed.c ---- */

/* The size bytes that a compressed unit holds, from length bytes. False: it is broken. */
bool imgi_ntfs_unpack(const uint8_t *packed, size_t length, uint8_t *out, size_t size);

#endif
