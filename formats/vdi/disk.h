/*
 * VDI on disk: the header and the block map. SPDX-License-Identifier: BSD-2-Clause
 *
 * All numbers are little-endian, all places are in bytes. Header, block map, then the blocks, all
 * of one size: the map has the number of each one's place behind offset_data. Names are
 * VirtualBox's. Decoding checks nothing but the signature; vdi_header_check judges.
 */
#ifndef VDI_DISK_H
#define VDI_DISK_H

#include "driver.h"

#define VDI_SECTOR 512u

/* Offsets in the header, which lies in one sector, so that it is written as a whole. */
#define VDI_HEADER_BYTES 512u
#define VDI_OFF_TEXT 0
#define VDI_OFF_SIGNATURE 64
#define VDI_OFF_VERSION 68
#define VDI_OFF_HEADER_SIZE 72
#define VDI_OFF_TYPE 76
#define VDI_OFF_OFFSET_BMAP 340
#define VDI_OFF_OFFSET_DATA 344
#define VDI_OFF_SECTOR_SIZE 360
#define VDI_OFF_DISK_SIZE 368
#define VDI_OFF_BLOCK_SIZE 376
#define VDI_OFF_BLOCK_EXTRA 380
#define VDI_OFF_BLOCKS 384
#define VDI_OFF_BLOCKS_ALLOCATED 388
#define VDI_OFF_UUID_IMAGE 392
#define VDI_OFF_UUID_MODIFY 408
#define VDI_OFF_UUID_LINK 424
#define VDI_OFF_UUID_PARENT 440
/* header_size counts from its own place on. */
#define VDI_HEADER_SIZE (456u - VDI_OFF_HEADER_SIZE)

#define VDI_SIGNATURE 0xbeda107fu
#define VDI_VERSION_1_1 0x00010001u

enum vdi_type {
    VDI_TYPE_DYNAMIC = 1,
    VDI_TYPE_STATIC = 2,
    VDI_TYPE_UNDO = 3,
    VDI_TYPE_DIFFERENCING = 4
};

/* Map entries that are no block's number. */
#define VDI_ENTRY_ABSENT 0xffffffffu  /* zeros, or the parent's */
#define VDI_ENTRY_DISCARD 0xfffffffeu /* zeros, whatever the parent has */
/* What everybody writes. Others are read where the core can work with them. */
#define VDI_BLOCK_SIZE (1u << 20)
#define VDI_BLOCK_SIZE_MIN 4096u
#define VDI_BLOCK_SIZE_MAX (64u << 20)
/* QEMU's limit, by which the map of 4 bytes a block stays below 2 GiB. */
#define VDI_BLOCKS_MAX 0x1fffff80u

struct vdi_header {
    uint32_t version;
    uint32_t header_size;
    uint32_t type; /* enum vdi_type */
    uint32_t offset_bmap, offset_data;
    uint32_t sector_size;
    uint64_t disk_size;
    uint32_t block_size, block_extra;
    uint32_t blocks, blocks_allocated;
    uint8_t uuid_image[IMGI_UUID_BYTES]; /* these as they lie on disk: GUIDs */
    uint8_t uuid_modify[IMGI_UUID_BYTES];
    uint8_t uuid_link[IMGI_UUID_BYTES];   /* uuid_image of the parent */
    uint8_t uuid_parent[IMGI_UUID_BYTES]; /* uuid_modify of the parent */
};

/* IMG_E_FORMAT when the signature is not there. */
int vdi_header_decode(const uint8_t bytes[VDI_HEADER_BYTES], struct vdi_header *header,
                      img_error *err);
/* Only the fields of the struct: the others (texts, geometry, flags) stay as they are. */
void vdi_header_encode(const struct vdi_header *header, uint8_t bytes[VDI_HEADER_BYTES]);
/* Every field is in its range, and header, map and blocks do not overlap. */
int vdi_header_check(const struct vdi_header *header, img_error *err);

/* Bytes of the disk that are used: odd sizes end at a sector's border. */
static inline uint64_t vdi_disk_bytes(const struct vdi_header *header)
{
    return imgi_align_up(header->disk_size, VDI_SECTOR);
}

#endif
