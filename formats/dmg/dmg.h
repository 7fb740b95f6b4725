/*
 * DMG: Apple's disk images (UDIF). SPDX-License-Identifier: BSD-2-Clause
 *
 * Big-endian. The last 512 bytes of the file are the trailer, "koly". It says where the data fork
 * lies and the tables: in an XML property list or, in old images, in a resource fork. A table
 * ("mish", a resource of the type "blkx") describes one partition of the disk as chunks, each
 * stored as it is, compressed, or not at all.
 */
#ifndef DMG_H
#define DMG_H

#include "driver.h"

#define DMG_SECTOR 512u
#define DMG_TRAILER_BYTES 512
#define DMG_TRAILER_MAGIC 0x6b6f6c79u
#define DMG_MISH_MAGIC 0x6d697368u
#define DMG_MISH_BYTES 204
#define DMG_CHUNK_BYTES 40

#define DMG_CHECKSUM_NONE 0u
#define DMG_CHECKSUM_CRC32 2u

/* A disk has as many sectors, at most. */
#define DMG_SECTORS_MAX ((uint64_t)INT64_MAX / DMG_SECTOR)

/* ------------------------------------------------------------ trailer.c */

struct dmg_checksum {
    uint32_t type, bits;
    uint32_t value; /* of a CRC-32 */
};

struct dmg_trailer {
    uint32_t version, header_size;
    uint64_t data_offset, data_length;
    uint64_t resource_offset, resource_length;
    uint32_t segment, segments;
    struct dmg_checksum data_checksum;
    uint64_t xml_offset, xml_length;
    struct dmg_checksum master_checksum; /* of the tables' checksums */
    uint64_t sectors;
};

/* bytes: type, size in bits, value of 128 bytes. */
void dmg_checksum_decode(const uint8_t *bytes, struct dmg_checksum *checksum);
/*
 * More than the magic, since a raw disk may have anything at its end; but what a file has lost does
 * not make a raw disk of it.
 */
bool dmg_trailer_looks_like(const uint8_t bytes[DMG_TRAILER_BYTES]);
void dmg_trailer_decode(const uint8_t bytes[DMG_TRAILER_BYTES], struct dmg_trailer *trailer);
/* Whether it is one that we can read, of a file of that size. */
int dmg_trailer_check(const struct dmg_trailer *trailer, uint64_t file_size, img_error *err);

/* -------------------------------------------------------------- chunk.c */

enum dmg_type {
    DMG_ZERO = 0,
    DMG_RAW = 1,
    DMG_IGNORE = 2, /* not used by the filesystem: reads as zeros, and no checksum knows it */
    DMG_COMMENT = 0x7ffffffe,
    DMG_ADC = (int)0x80000004,
    DMG_ZLIB = (int)0x80000005,
    DMG_BZIP2 = (int)0x80000006,
    DMG_LZFSE = (int)0x80000007,
    DMG_LZMA = (int)0x80000008,
    DMG_TERMINATOR = (int)0xffffffff
};

/* One chunk of the disk that is not empty. */
struct dmg_chunk {
    uint64_t sector, sectors; /* of the disk */
    uint64_t offset, length;  /* in the file */
    enum dmg_type type;
    uint32_t partition;
};

struct dmg_partition {
    char *name;
    uint64_t sector, sectors;
    struct dmg_checksum checksum;
};

/* Constant after open. */
struct dmg {
    uint64_t file_size;
    struct dmg_trailer trailer;
    struct dmg_chunk *chunks; /* ascending, without overlaps */
    size_t chunk_count, chunk_room;
    struct dmg_partition *partitions; /* in the order of their tables */
    size_t partition_count;
};

static inline struct dmg *dmg_of(const struct imgi_node *node)
{
    return node->state;
}

/* "zlib" and the like, for messages. */
const char *dmg_type_name(enum dmg_type type);
/* IMGI_CODEC_NONE: it is not compressed. */
enum imgi_codec dmg_codec(enum dmg_type type);
/* The sizes and the type of one entry; at what table it stands. */
int dmg_chunk_check(const struct dmg *dmg, const struct dmg_chunk *chunk, img_error *err);
/* Sort all chunks; two may not hold the same sector. */
int dmg_chunks_sort(struct dmg *dmg, img_error *err);
/* The first chunk that ends behind the sector, which is the one that holds it if any does. */
size_t dmg_chunk_find(const struct dmg *dmg, uint64_t sector);

/* --------------------------------------------------------------- mish.c */

/* Take in the table of one partition. */
int dmg_mish_add(struct imgi_node *node, const uint8_t *bytes, size_t length, const char *name,
                 img_error *err);

/* ------------------------------------------------- plist.c, resource.c */

/* Take in all tables of the property list, or of the resource fork. */
int dmg_plist_read(struct imgi_node *node, img_error *err);
int dmg_resources_read(struct imgi_node *node, img_error *err);

/* -------------------------------------------------------------- check.c */

int dmg_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err);

#endif
