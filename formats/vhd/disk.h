/*
 * VHD on disk: the footer, the dynamic header, parent locators.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * All numbers are big-endian. Names are those of "Virtual Hard Disk Image Format Specification"
 * 1.0. Decoding checks nothing but the cookies; the check functions judge what was decoded.
 */
#ifndef VHD_DISK_H
#define VHD_DISK_H

#include "driver.h"

#define VHD_SECTOR 512u

/* Offsets in the footer ("Hard Disk Footer Format"). */
#define VHD_FOOTER_BYTES 512u
/* Old versions of Virtual PC leave the last byte out. */
#define VHD_FOOTER_BYTES_OLD 511u
#define VHD_OFF_COOKIE 0
#define VHD_OFF_FEATURES 8
#define VHD_OFF_VERSION 12
#define VHD_OFF_DATA_OFFSET 16
#define VHD_OFF_TIMESTAMP 24
#define VHD_OFF_CREATOR_APP 28
#define VHD_OFF_CREATOR_VERSION 32
#define VHD_OFF_CREATOR_OS 36
#define VHD_OFF_ORIGINAL_SIZE 40
#define VHD_OFF_CURRENT_SIZE 48
#define VHD_OFF_CYLINDERS 56
#define VHD_OFF_HEADS 58
#define VHD_OFF_SECTORS 59
#define VHD_OFF_TYPE 60
#define VHD_OFF_CHECKSUM 64
#define VHD_OFF_UUID 68

#define VHD_COOKIE "conectix"
#define VHD_COOKIE_BYTES 8u
#define VHD_FEATURES_RESERVED 2u /* always set */
#define VHD_VERSION_1 0x00010000u
#define VHD_NO_OFFSET UINT64_MAX
/* Seconds from 1970 to 2000, where VHD's time begins. */
#define VHD_EPOCH 946684800u

enum vhd_type { VHD_TYPE_FIXED = 2, VHD_TYPE_DYNAMIC = 3, VHD_TYPE_DIFFERENCING = 4 };

struct vhd_footer {
    uint32_t features;
    uint32_t version;
    uint64_t data_offset; /* of the dynamic header */
    uint32_t timestamp;
    uint8_t creator_app[4];
    uint32_t creator_version;
    uint8_t creator_os[4];
    uint64_t original_size, current_size;
    uint16_t cylinders;
    uint8_t heads, sectors; /* of a track */
    uint32_t type;          /* enum vhd_type */
    uint8_t uuid[IMGI_UUID_BYTES];
};

/* Offsets in the dynamic header ("Dynamic Disk Header Format"). */
#define VHD_HEADER_BYTES 1024u
#define VHD_OFF_HEADER_DATA_OFFSET 8
#define VHD_OFF_BAT_OFFSET 16
#define VHD_OFF_HEADER_VERSION 24
#define VHD_OFF_BAT_ENTRIES 28
#define VHD_OFF_BLOCK_SIZE 32
#define VHD_OFF_HEADER_CHECKSUM 36
#define VHD_OFF_PARENT_UUID 40
#define VHD_OFF_PARENT_TIMESTAMP 56
#define VHD_OFF_PARENT_NAME 64
#define VHD_PARENT_NAME_BYTES 512u
#define VHD_OFF_LOCATORS 576
#define VHD_LOCATOR_BYTES 24u
#define VHD_LOCATORS 8u

#define VHD_HEADER_COOKIE "cxsparse"

/* A BAT entry without a block. */
#define VHD_ENTRY_ABSENT 0xffffffffu
/* What everybody writes: 2 MiB. A bitmap has a sector for each 2 MiB at least. */
#define VHD_BLOCK_SIZE (2u << 20)
#define VHD_BLOCK_SIZE_MIN 4096u
#define VHD_BLOCK_SIZE_MAX (64u << 20)
/* 2040 GiB, the most that Hyper-V and QEMU take. */
#define VHD_SECTORS_MAX 0xff000000u
/* The largest geometry: images of more sectors have it, too. */
#define VHD_CYLINDERS_MAX 65535u
#define VHD_HEADS_MAX 16u
#define VHD_TRACK_MAX 255u
#define VHD_GEOMETRY_MAX ((uint64_t)VHD_CYLINDERS_MAX * VHD_HEADS_MAX * VHD_TRACK_MAX)

struct vhd_locator {
    uint32_t code;   /* "W2ru", "W2ku", "MacX"; 0: none */
    uint32_t space;  /* that is kept for it: sectors, and from some writers bytes */
    uint32_t length; /* bytes */
    uint64_t offset;
};

struct vhd_header {
    uint64_t bat_offset;
    uint32_t version;
    uint32_t bat_entries;
    uint32_t block_size;
    uint8_t parent_uuid[IMGI_UUID_BYTES];
    uint8_t parent_name[VHD_PARENT_NAME_BYTES]; /* UTF-16 */
    struct vhd_locator locators[VHD_LOCATORS];
};

/* The complement of the sum of all bytes but those of the checksum itself, at `at`. */
uint32_t vhd_checksum(const uint8_t *bytes, size_t length, size_t at);
static inline bool vhd_footer_sum_ok(const uint8_t bytes[VHD_FOOTER_BYTES])
{
    return imgi_get_be32(bytes + VHD_OFF_CHECKSUM) ==
           vhd_checksum(bytes, VHD_FOOTER_BYTES, VHD_OFF_CHECKSUM);
}
static inline bool vhd_header_sum_ok(const uint8_t bytes[VHD_HEADER_BYTES])
{
    return imgi_get_be32(bytes + VHD_OFF_HEADER_CHECKSUM) ==
           vhd_checksum(bytes, VHD_HEADER_BYTES, VHD_OFF_HEADER_CHECKSUM);
}
static inline bool vhd_footer_looks_like(const uint8_t *bytes)
{
    return memcmp(bytes, VHD_COOKIE, VHD_COOKIE_BYTES) == 0;
}

void vhd_footer_decode(const uint8_t bytes[VHD_FOOTER_BYTES], struct vhd_footer *footer);
/* Only the fields of the struct, and the checksum: the others stay as they are. */
void vhd_footer_encode(const struct vhd_footer *footer, uint8_t bytes[VHD_FOOTER_BYTES]);
int vhd_footer_check(const struct vhd_footer *footer, img_error *err);

/* IMG_E_CORRUPT when the cookie is not there. */
int vhd_header_decode(const uint8_t bytes[VHD_HEADER_BYTES], struct vhd_header *header,
                      img_error *err);
/* As for the footer; names and locators of parents are not written. */
void vhd_header_encode(const struct vhd_header *header, uint8_t bytes[VHD_HEADER_BYTES]);
/* size: of the disk. The BAT's place is the policy's business. */
int vhd_header_check(const struct vhd_header *header, uint64_t size, img_error *err);

/* Bytes of the bitmap in front of each block. */
static inline uint32_t vhd_bitmap_bytes(uint32_t block_size)
{
    return (uint32_t)imgi_align_up(block_size / VHD_SECTOR / 8, VHD_SECTOR);
}

/* ----------------------------------------------------------------- geometry.c */

/*
 * The geometry of the smallest disk that has one and holds so many sectors. Its size, in sectors;
 * past the largest geometry that is the number itself.
 */
uint64_t vhd_geometry(uint64_t sectors, struct vhd_footer *footer);
/* Bytes of disk that the geometry tells. */
static inline uint64_t vhd_geometry_bytes(const struct vhd_footer *footer)
{
    return (uint64_t)footer->cylinders * footer->heads * footer->sectors * VHD_SECTOR;
}
/* Whether the disk's size is what the footer says, and not what its geometry tells. */
bool vhd_size_is_exact(const struct vhd_footer *footer);

#endif
