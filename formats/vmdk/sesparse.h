/*
 * seSparse extents on disk, and open ones. SPDX-License-Identifier: BSD-2-Clause
 *
 * All numbers are little-endian and have 64 bits, all places are in sectors of 512 bytes. These
 * extents can only be read: what their writer must keep right beside the tables (journal, free
 * bitmap, back map) is published nowhere.
 */
#ifndef VMDK_SESPARSE_H
#define VMDK_SESPARSE_H

#include "vmdk.h"

/* The constant header, which never changes, is the first sector. */
#define VMDK_SESPARSE_HEADER_BYTES 512u
#define VMDK_SESPARSE_OFF_VERSION 8
#define VMDK_SESPARSE_OFF_CAPACITY 16
#define VMDK_SESPARSE_OFF_GRAIN_SIZE 24
#define VMDK_SESPARSE_OFF_GT_SIZE 32
#define VMDK_SESPARSE_OFF_FLAGS 40
#define VMDK_SESPARSE_OFF_RESERVED 48
#define VMDK_SESPARSE_OFF_REGIONS 80
#define VMDK_SESPARSE_OFF_PADDING 208

/* The volatile header, in a sector of its own. */
#define VMDK_SESPARSE_OFF_FREE_GT 8
#define VMDK_SESPARSE_OFF_NEXT_TRANSACTION 16
#define VMDK_SESPARSE_OFF_REPLAY 24
#define VMDK_SESPARSE_OFF_VOLATILE_PADDING 32

#define VMDK_SESPARSE_VERSION UINT64_C(0x0000000200000001)
#define VMDK_SESPARSE_VOLATILE_MAGIC UINT64_C(0xcafecafe)
/* No other sizes have been seen. */
#define VMDK_SESPARSE_GRAIN_SECTORS 8u
#define VMDK_SESPARSE_GT_SECTORS 64u
#define VMDK_SESPARSE_GT_BYTES (VMDK_SESPARSE_GT_SECTORS * VMDK_SECTOR)
#define VMDK_SESPARSE_GT_ENTRIES (VMDK_SESPARSE_GT_BYTES / 8)
#define VMDK_SESPARSE_GRAIN_BYTES (VMDK_SESPARSE_GRAIN_SECTORS * VMDK_SECTOR)

/* What the file consists of behind the constant header, in the header's order. */
enum vmdk_sesparse_part {
    VMDK_SESPARSE_VOLATILE,
    VMDK_SESPARSE_JOURNAL_HEADER,
    VMDK_SESPARSE_JOURNAL,
    VMDK_SESPARSE_GD,
    VMDK_SESPARSE_GT,
    VMDK_SESPARSE_FREE_BITMAP,
    VMDK_SESPARSE_BACK_MAP,
    VMDK_SESPARSE_GRAINS,
    VMDK_SESPARSE_PARTS
};

struct vmdk_sesparse_region {
    uint64_t offset, sectors;
};

struct vmdk_sesparse_header {
    uint64_t version;
    uint64_t capacity;
    uint64_t grain_size;
    uint64_t gt_size;
    uint64_t flags;
    bool reserved; /* something stands where zeros must be */
    struct vmdk_sesparse_region regions[VMDK_SESPARSE_PARTS];
};

struct vmdk_sesparse_volatile {
    uint64_t magic;
    uint64_t free_gt;
    uint64_t next_transaction;
    uint64_t replay; /* not 0: the journal holds what must be done first */
    bool reserved;
};

int vmdk_sesparse_decode(const uint8_t bytes[VMDK_SESPARSE_HEADER_BYTES],
                         struct vmdk_sesparse_header *header, img_error *err);
int vmdk_sesparse_check(const struct vmdk_sesparse_header *header, uint64_t file_size,
                        img_error *err);
void vmdk_sesparse_decode_volatile(const uint8_t bytes[VMDK_SESPARSE_HEADER_BYTES],
                                   struct vmdk_sesparse_volatile *header);
int vmdk_sesparse_check_volatile(const struct vmdk_sesparse_volatile *header, img_error *err);
/* Directory entries of a checked header. */
uint64_t vmdk_sesparse_gd_entries(const struct vmdk_sesparse_header *header);

/* An open extent. */
struct vmdk_sesparse {
    struct imgi_io *io;
    struct vmdk_sesparse_header header;
    uint64_t gd_entries;
    uint8_t *gd; /* as on disk */
    struct imgi_cache *tables;
};

/* What an entry of a grain table means; UNKNOWN: nothing that is known. */
enum vmdk_sesparse_state {
    VMDK_SESPARSE_ABSENT,
    VMDK_SESPARSE_ZERO,
    VMDK_SESPARSE_DATA,
    VMDK_SESPARSE_UNKNOWN
};

/* host: the byte of the file where the grain lies, of DATA. */
enum vmdk_sesparse_state vmdk_sesparse_entry(const struct vmdk_sesparse *sesparse, uint64_t entry,
                                             uint64_t *host);
/* The table at that place of the directory; *entries is NULL when there is none. */
int vmdk_sesparse_table(const struct vmdk_sesparse *sesparse, uint64_t index,
                        const uint8_t **entries, img_error *err);

#endif
