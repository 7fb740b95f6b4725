/*
 * VMDK on disk: the hosted sparse extent's header and the markers of a stream.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All numbers are little-endian and all places are in sectors of 512 bytes. Names are those of
 * "Virtual Disk Format 5.0", section "Hosted Sparse Extent Header". Decoding checks nothing but
 * the magic; vmdk_header_check judges what was decoded.
 */
#ifndef VMDK_DISK_H
#define VMDK_DISK_H

#include "driver.h"

#define VMDK_SECTOR 512u

/* Offsets in the header. */
#define VMDK_HEADER_BYTES 512u
#define VMDK_OFF_MAGIC 0
#define VMDK_OFF_VERSION 4
#define VMDK_OFF_FLAGS 8
#define VMDK_OFF_CAPACITY 12
#define VMDK_OFF_GRAIN_SIZE 20
#define VMDK_OFF_DESCRIPTOR_OFFSET 28
#define VMDK_OFF_DESCRIPTOR_SIZE 36
#define VMDK_OFF_NUM_GTES 44
#define VMDK_OFF_RGD_OFFSET 48
#define VMDK_OFF_GD_OFFSET 56
#define VMDK_OFF_OVERHEAD 64
#define VMDK_OFF_UNCLEAN 72
#define VMDK_OFF_NEWLINES 73
#define VMDK_OFF_COMPRESS 77

#define VMDK_MAGIC 0x564d444bu          /* "KDMV" */
#define VMDK_COWD_MAGIC 0x44574f43u     /* "COWD": ESX redo logs */
#define VMDK_SESPARSE_MAGIC 0xcafebabeu /* the first 64 bits of a seSparse extent */

/* Offsets in the header of an ESX redo log (COWD). What is not named here is not used. */
#define VMDK_COWD_HEADER_BYTES 2048u
#define VMDK_COWD_OFF_VERSION 4
#define VMDK_COWD_OFF_FLAGS 8
#define VMDK_COWD_OFF_CAPACITY 12
#define VMDK_COWD_OFF_GRAIN_SIZE 16
#define VMDK_COWD_OFF_GD_OFFSET 20
#define VMDK_COWD_OFF_GD_ENTRIES 24
#define VMDK_COWD_OFF_FREE_SECTOR 28
#define VMDK_COWD_OFF_GEOMETRY 32
#define VMDK_COWD_OFF_UNCLEAN 1648

#define VMDK_COWD_VERSION 1u
/* What every one has: it is a root (parents are the descriptor's business), and can be checked. */
#define VMDK_COWD_FLAGS 3u
#define VMDK_COWD_NUM_GTES 4096u
#define VMDK_COWD_GRAIN_SECTORS 1u /* what ESX writes */
#define VMDK_COWD_GRAIN_SECTORS_MAX 2048u

#define VMDK_FLAG_NEWLINES (1u << 0)    /* the four newline bytes are there to be tested */
#define VMDK_FLAG_REDUNDANT (1u << 1)   /* a second grain directory with tables of its own */
#define VMDK_FLAG_ZERO_GRAINS (1u << 2) /* table entry 1 means a grain of zeros */
#define VMDK_FLAG_COMPRESSED (1u << 16)
#define VMDK_FLAG_MARKERS (1u << 17)
/* The upper half of the flags must be understood, the lower may be ignored. */
#define VMDK_FLAGS_UNDERSTOOD (0xffffu | VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS)

#define VMDK_VERSION_BASE 1u
#define VMDK_VERSION_ZERO_GRAINS 2u
/* Streams as VMware writes them; without compression it means change tracking. */
#define VMDK_VERSION_STREAM 3u

#define VMDK_COMPRESS_NONE 0u
#define VMDK_COMPRESS_DEFLATE 1u

/* gdOffset of a stream whose directory is at its end: the footer says where. */
#define VMDK_GD_AT_END UINT64_MAX

/* Entries of a grain table; 0 in a directory or a table: not here. */
#define VMDK_ENTRY_ABSENT 0u
#define VMDK_ENTRY_ZERO 1u

/* The specification knows no other number of table entries for hosted extents, and no writer uses
 * one. */
#define VMDK_NUM_GTES 512u
#define VMDK_TABLE_BYTES (VMDK_NUM_GTES * 4)
#define VMDK_TABLE_SECTORS (VMDK_TABLE_BYTES / VMDK_SECTOR)
/* What writers use: 64 KiB. */
#define VMDK_GRAIN_SECTORS 128u
/* Grains that readers take: 4 KiB (by the specification larger ones only) to 1 GiB. */
#define VMDK_GRAIN_SECTORS_MIN 8u
#define VMDK_GRAIN_SECTORS_MAX 0x200000u
/* Each thread holds compressed grains in memory. Nobody writes larger ones than 64 KiB. */
#define VMDK_PACKED_GRAIN_SECTORS_MAX 4096u
/* 2 TiB of the smallest grains need 1 Mi tables; disks larger than their files need more. */
#define VMDK_GD_ENTRIES_MAX (16u << 20)
/* Real descriptors have less than 1 KiB; with 4096 extents of 200 bytes it stays below this. */
#define VMDK_DESCRIPTOR_BYTES_MAX (1u << 20)
/* Table entries are 32-bit sector numbers. */
#define VMDK_SECTORS_MAX ((uint64_t)UINT32_MAX)

struct vmdk_header {
    uint32_t version;
    uint32_t flags;
    uint64_t capacity;
    uint64_t grain_size;
    uint64_t descriptor_offset;
    uint64_t descriptor_size;
    uint32_t num_gtes; /* entries of a grain table */
    uint64_t rgd_offset;
    uint64_t gd_offset;
    uint64_t overhead; /* sectors before the first grain */
    bool unclean_shutdown;
    uint8_t newlines[4];
    uint16_t compress_algorithm;
};

/*
 * Sector that begins a part of a stream. Grains have size > 0, and their data follows it
 * at byte 12; the others have size 0, a type, and `value` sectors behind the marker's own.
 */
struct vmdk_marker {
    uint64_t value; /* grain: its first sector of the disk; others: sectors that follow */
    uint32_t size;  /* grain: compressed bytes */
    uint32_t type;  /* enum vmdk_marker_type, when size is 0 */
};

#define VMDK_GRAIN_MARKER_BYTES 12u
#define VMDK_MARKER_BYTES 16u

enum vmdk_marker_type {
    VMDK_MARKER_EOS,
    VMDK_MARKER_GT,
    VMDK_MARKER_GD,
    VMDK_MARKER_FOOTER,
    VMDK_MARKER_PROGRESS /* seen in exports of vSphere, not specified: skipped */
};

/* The header of an ESX redo log ("Virtual Disk Format 5.0", "ESX Server Sparse Extents"). */
struct vmdk_cowd_header {
    uint32_t version;
    uint32_t flags;
    uint32_t capacity;
    uint32_t grain_size;
    uint32_t gd_offset;
    uint32_t gd_entries;
    uint32_t free_sector; /* from there on nothing is used */
    uint32_t cylinders, heads, sectors;
    uint32_t unclean_shutdown;
};

/* IMG_E_FORMAT when the magic is not there; which other kind of extent it is, is said. */
int vmdk_header_decode(const uint8_t bytes[VMDK_HEADER_BYTES], struct vmdk_header *header,
                       img_error *err);
/* Put the fields into a header, whose other bytes stay. */
void vmdk_header_put(const struct vmdk_header *header, uint8_t bytes[VMDK_HEADER_BYTES]);
void vmdk_header_encode(const struct vmdk_header *header, uint8_t bytes[VMDK_HEADER_BYTES]);

/*
 * Every field is in its range, and what it points at lies inside a file of that many bytes, each
 * thing in a place of its own. gd_offset may still be VMDK_GD_AT_END.
 */
int vmdk_header_check(const struct vmdk_header *header, uint64_t file_size, img_error *err);

/* Directory entries of a checked header. */
uint64_t vmdk_gd_entries(const struct vmdk_header *header);
/* Whether two runs share anything. */
static inline bool vmdk_overlaps(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    return a <= b ? b - a < a_length : a - b < b_length;
}
static inline bool vmdk_is_stream(const struct vmdk_header *header)
{
    return (header->flags & VMDK_FLAG_COMPRESSED) != 0;
}

/* The same for the header of an ESX redo log. */
int vmdk_cowd_decode(const uint8_t bytes[VMDK_COWD_HEADER_BYTES], struct vmdk_cowd_header *header,
                     img_error *err);
void vmdk_cowd_encode(const struct vmdk_cowd_header *header, uint8_t bytes[VMDK_COWD_HEADER_BYTES]);
int vmdk_cowd_check(const struct vmdk_cowd_header *header, uint64_t file_size, img_error *err);
/* What kind of extent begins with these bytes, "SPARSE (KDMV)", or NULL. */
const char *vmdk_magic_name(const uint8_t bytes[8]);
/* The file is not of the kind that it should be. */
int vmdk_fail_magic(const uint8_t bytes[8], const char *wanted, img_error *err);

void vmdk_marker_decode(const uint8_t bytes[VMDK_MARKER_BYTES], struct vmdk_marker *marker);
/* Fills a whole sector. */
void vmdk_marker_encode(const struct vmdk_marker *marker, uint8_t bytes[VMDK_SECTOR]);

#endif
