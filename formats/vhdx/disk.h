/*
 * VHDX on disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * All numbers are little-endian; GUIDs are kept as the 16 bytes that lie in the file. Names are
 * those of "[MS-VHDX]: Virtual Hard Disk v2 (VHDX) File Format", whose sections are cited.
 */
#ifndef VHDX_DISK_H
#define VHDX_DISK_H

#include "driver.h"

#define VHDX_MIB UINT64_C(0x100000)

/* The header section (2.2): everything else lies behind it, at multiples of 1 MiB. */
#define VHDX_HEADER_SECTION VHDX_MIB
#define VHDX_AT_HEADER(n) (((uint64_t)(n) + 1) << 16)
#define VHDX_AT_REGION_TABLE(n) (((uint64_t)(n) + 3) << 16)

/* File type identifier (2.2.1). */
#define VHDX_SIGNATURE "vhdxfile"
#define VHDX_SIGNATURE_BYTES 8
#define VHDX_AT_CREATOR 8
#define VHDX_CREATOR_CHARACTERS 256
/* Ours: stands in its place while an image is being made, so that nobody takes it for one. */
#define VHDX_SIGNATURE_UNFINISHED "vhdxpart"

struct vhdx_guid {
    uint8_t bytes[16];
};

/* Headers (2.2.2). */
#define VHDX_HEADER_BYTES 4096u
#define VHDX_HEADER_SIGNATURE 0x64616568u /* "head" */
#define VHDX_HEADER_AT_SEQUENCE 8
#define VHDX_HEADER_AT_FILE_WRITE_GUID 16
#define VHDX_HEADER_AT_DATA_WRITE_GUID 32
#define VHDX_HEADER_AT_LOG_GUID 48
#define VHDX_HEADER_AT_LOG_VERSION 64
#define VHDX_HEADER_AT_VERSION 66
#define VHDX_HEADER_AT_LOG_LENGTH 68
#define VHDX_HEADER_AT_LOG_OFFSET 72
#define VHDX_VERSION 1u
#define VHDX_LOG_VERSION 0u

struct vhdx_header {
    uint64_t sequence;
    struct vhdx_guid file_write, data_write, log; /* log all zeros: it is empty */
    uint16_t log_version, version;
    uint32_t log_length;
    uint64_t log_offset;
};

/* Region tables (2.2.3). */
#define VHDX_TABLE_BYTES 65536u
#define VHDX_TABLE_ENTRIES 2047u          /* of a region or metadata table */
#define VHDX_REGION_SIGNATURE 0x69676572u /* "regi" */
#define VHDX_REGION_AT_COUNT 8
#define VHDX_REGION_AT_ENTRIES 16
#define VHDX_REGION_ENTRY_BYTES 32u
#define VHDX_REGION_REQUIRED 1u

/* The metadata region (2.6): a table of items, and the items. */
#define VHDX_METADATA_SIGNATURE "metadata"
#define VHDX_METADATA_AT_COUNT 10
#define VHDX_METADATA_AT_ENTRIES 32
#define VHDX_METADATA_ENTRY_BYTES 32u
#define VHDX_ITEM_USER 1u
#define VHDX_ITEM_VIRTUAL_DISK 2u
#define VHDX_ITEM_REQUIRED 4u
#define VHDX_ITEM_BYTES_MAX (1u << 20)
#define VHDX_PARAMETER_LEAVE_ALLOCATED 1u
#define VHDX_PARAMETER_HAS_PARENT 2u

#define VHDX_BLOCK_BYTES_MIN (1u << 20)
#define VHDX_BLOCK_BYTES_MAX (256u << 20)
#define VHDX_DISK_BYTES_MAX (UINT64_C(64) << 40)
/* Of a file: the largest disk, its BAT, and as much of log and regions as nobody has. */
#define VHDX_FILE_BYTES_MAX (UINT64_C(66) << 40)

/* BAT entries (2.5.1). */
#define VHDX_BAT_STATE(entry) ((unsigned)((entry)&7))
#define VHDX_BAT_RESERVED(entry) ((entry) & (VHDX_MIB - 1) & ~UINT64_C(7))
#define VHDX_BAT_OFFSET(entry) ((entry) & ~(VHDX_MIB - 1))
enum vhdx_block_state {
    VHDX_BLOCK_NOT_PRESENT = 0,
    VHDX_BLOCK_UNDEFINED = 1,
    VHDX_BLOCK_ZERO = 2,
    VHDX_BLOCK_UNMAPPED = 3,
    VHDX_BLOCK_UNMAPPED_OLD = 5, /* of drafts */
    VHDX_BLOCK_FULLY_PRESENT = 6,
    VHDX_BLOCK_PARTIALLY_PRESENT = 7
};
#define VHDX_BITMAP_PRESENT 6u /* the one state of a sector bitmap block that has an offset */
#define VHDX_BITMAP_BYTES VHDX_MIB
#define VHDX_BITMAP_SECTORS (VHDX_BITMAP_BYTES * 8) /* of a chunk (2.5) */

/* The log (2.3). */
#define VHDX_LOG_SECTOR 4096u
#define VHDX_LOG_SIGNATURE 0x65676f6cu    /* "loge" */
#define VHDX_DATA_SIGNATURE 0x63736564u   /* "desc" */
#define VHDX_ZERO_SIGNATURE 0x6f72657au   /* "zero" */
#define VHDX_SECTOR_SIGNATURE 0x61746164u /* "data" */
#define VHDX_LOG_AT_LENGTH 8
#define VHDX_LOG_AT_TAIL 12
#define VHDX_LOG_AT_SEQUENCE 16
#define VHDX_LOG_AT_DESCRIPTORS 24
#define VHDX_LOG_AT_GUID 32
#define VHDX_LOG_AT_FLUSHED 48
#define VHDX_LOG_AT_LAST 56
#define VHDX_LOG_HEADER_BYTES 64u
#define VHDX_DESCRIPTOR_BYTES 32u
#define VHDX_DESCRIPTOR_AT_TRAILING 4
#define VHDX_DESCRIPTOR_AT_LEADING 8 /* of a zero descriptor: the length */
#define VHDX_DESCRIPTOR_AT_OFFSET 16
#define VHDX_DESCRIPTOR_AT_SEQUENCE 24
#define VHDX_SECTOR_AT_SEQUENCE_LOW 4092

struct vhdx_log_entry {
    uint32_t length, tail, descriptors;
    uint64_t sequence, flushed, last; /* sizes of the file: when written, and when all is applied */
    struct vhdx_guid guid;
};

/* ------------------------------------------------------------------ guid.c */

extern const struct vhdx_guid vhdx_region_bat, vhdx_region_metadata;
extern const struct vhdx_guid vhdx_item_parameters, vhdx_item_size, vhdx_item_disk_id,
    vhdx_item_logical_sector, vhdx_item_physical_sector, vhdx_item_parent;
extern const struct vhdx_guid vhdx_locator_type;

struct vhdx_guid vhdx_guid_get(const uint8_t *bytes);
void vhdx_guid_put(uint8_t *bytes, const struct vhdx_guid *guid);
bool vhdx_guid_equal(const struct vhdx_guid *a, const struct vhdx_guid *b);
bool vhdx_guid_is_zero(const struct vhdx_guid *guid);
/* "{01234567-89ab-cdef-0123-456789abcdef}", as people and parent locators write it. */
#define VHDX_GUID_TEXT 39
void vhdx_guid_format(const struct vhdx_guid *guid, char text[VHDX_GUID_TEXT]);
bool vhdx_guid_parse(const char *text, struct vhdx_guid *guid);
/* The next one that follows from a seed. */
struct vhdx_guid vhdx_guid_next(uint64_t *seed);
/* One that nobody has had, or, under SOURCE_DATE_EPOCH, one that follows from the last. */
struct vhdx_guid vhdx_guid_new(const struct vhdx_guid *last);

/* ---------------------------------------------------------------- header.c */

/* crc of a structure whose own field, at byte 4, counts as zeros. */
uint32_t vhdx_crc(const uint8_t *bytes, size_t length);

/* IMG_E_CORRUPT when the signature or the checksum is wrong. */
int vhdx_header_decode(const uint8_t bytes[VHDX_HEADER_BYTES], struct vhdx_header *header,
                       img_error *err);
/* Leaves what it does not know of as it is in bytes. */
void vhdx_header_encode(const struct vhdx_header *header, uint8_t bytes[VHDX_HEADER_BYTES]);
/* The versions are known, and the log lies where it may in a file of that many bytes. */
int vhdx_header_check(const struct vhdx_header *header, uint64_t file_size, img_error *err);

/* ------------------------------------------------------------- log_entry.c */

/*
 * One entry, which has `length` bytes at most (what the ring has): whole, of that log, all numbers
 * in their range. False: there is none. Only then *entry is filled.
 */
bool vhdx_log_entry_decode(const uint8_t *bytes, uint32_t length, const struct vhdx_guid *log,
                           struct vhdx_log_entry *entry);
/* What the first sector of an entry promises; the rest of it has not been looked at. */
bool vhdx_log_entry_peek(const uint8_t *bytes, uint32_t length, const struct vhdx_guid *log,
                         struct vhdx_log_entry *entry);
/* Sectors in front of the first data sector. */
uint32_t vhdx_log_descriptor_sectors(uint32_t descriptors);

/* A sector that is to be written through the log. */
struct vhdx_change {
    uint64_t offset; /* of the file; a multiple of the sector */
    uint8_t bytes[VHDX_LOG_SECTOR];
};
/* As many as fit behind one sector of descriptors. */
#define VHDX_CHANGES_MAX 126u
/* Fills entry->descriptors + 1 sectors. */
void vhdx_log_entry_encode(const struct vhdx_log_entry *entry, const struct vhdx_change *changes,
                           uint8_t *bytes);

#endif
