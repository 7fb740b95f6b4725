/*
 * qcow2 as it lies in the file. SPDX-License-Identifier: BSD-2-Clause
 *
 * Everything here follows the qcow2 specification ("docs/interop/qcow2" of the QEMU project's
 * documentation); the section is named where a rule needs it. All integers are big-endian.
 */
#ifndef QCOW2_DISK_H
#define QCOW2_DISK_H

#include "driver.h"

/* ----------------------------------------------------------------- limits */

#define QCOW2_MAGIC 0x514649fbu

#define QCOW2_CLUSTER_BITS_MIN 9  /* a sector */
#define QCOW2_CLUSTER_BITS_MAX 21 /* what QEMU opens; the format has no limit of its own */
#define QCOW2_CLUSTER_MIN (1u << QCOW2_CLUSTER_BITS_MIN)
#define QCOW2_CLUSTER_MAX (1u << QCOW2_CLUSTER_BITS_MAX)
#define QCOW2_SECTOR 512u

/* Offsets in table entries have bits 9 to 55. */
#define QCOW2_OFFSET_MAX ((UINT64_C(1) << 56) - 1)

/* What QEMU opens; images with more would be ours alone. */
#define QCOW2_L1_BYTES_MAX (32u << 20)
#define QCOW2_REFTABLE_BYTES_MAX (8u << 20)
#define QCOW2_SNAPSHOTS_MAX 65536u
#define QCOW2_SNAPSHOT_TABLE_BYTES_MAX (64u << 20)
#define QCOW2_SNAPSHOT_EXTRA_MAX 1024u
#define QCOW2_BITMAPS_MAX 65535u
#define QCOW2_BITMAP_DIRECTORY_BYTES_MAX (64u << 20)
#define QCOW2_BITMAP_TABLE_ENTRIES_MAX 0x8000000u
#define QCOW2_BITMAP_BYTES_MAX (512u << 20) /* of one bitmap's bits */
#define QCOW2_BITMAP_NAME_MAX 1023u
#define QCOW2_BACKING_NAME_MAX 1023u
#define QCOW2_BACKING_FORMAT_MAX 15u

/* ----------------------------------------------------------------- header */

enum qcow2_header_field {
    QCOW2_AT_MAGIC = 0,
    QCOW2_AT_VERSION = 4,
    QCOW2_AT_BACKING_OFFSET = 8,
    QCOW2_AT_BACKING_LENGTH = 16,
    QCOW2_AT_CLUSTER_BITS = 20,
    QCOW2_AT_SIZE = 24,
    QCOW2_AT_CRYPT_METHOD = 32,
    QCOW2_AT_L1_ENTRIES = 36, /* with L1_OFFSET: one write of 12 bytes switches both */
    QCOW2_AT_L1_OFFSET = 40,
    QCOW2_AT_REFTABLE_OFFSET = 48, /* with REFTABLE_CLUSTERS: likewise */
    QCOW2_AT_REFTABLE_CLUSTERS = 56,
    QCOW2_AT_SNAPSHOTS = 60, /* with SNAPSHOTS_OFFSET: likewise */
    QCOW2_AT_SNAPSHOTS_OFFSET = 64,
    QCOW2_V2_LENGTH = 72, /* version 2 ends here */
    QCOW2_AT_INCOMPATIBLE = 72,
    QCOW2_AT_COMPATIBLE = 80,
    QCOW2_AT_AUTOCLEAR = 88,
    QCOW2_AT_REFCOUNT_ORDER = 96,
    QCOW2_AT_HEADER_LENGTH = 100,
    QCOW2_V3_LENGTH_MIN = 104,
    QCOW2_AT_COMPRESSION = 104, /* only when header_length reaches beyond it */
    QCOW2_V3_LENGTH = 112       /* as we write it; what a longer header has behind it is kept */
};

enum qcow2_incompatible {
    QCOW2_INCOMPAT_DIRTY = 1u << 0,
    QCOW2_INCOMPAT_CORRUPT = 1u << 1,
    QCOW2_INCOMPAT_DATA_FILE = 1u << 2,
    QCOW2_INCOMPAT_COMPRESSION = 1u << 3,
    QCOW2_INCOMPAT_EXTENDED_L2 = 1u << 4,
    QCOW2_INCOMPAT_KNOWN = (1u << 5) - 1
};

#define QCOW2_COMPAT_LAZY_REFCOUNTS (UINT64_C(1) << 0)

enum qcow2_autoclear { QCOW2_AUTOCLEAR_BITMAPS = 1u << 0, QCOW2_AUTOCLEAR_RAW_DATA = 1u << 1 };

/* Those that our writes keep. */
#define QCOW2_AUTOCLEAR_KEPT ((uint64_t)(QCOW2_AUTOCLEAR_BITMAPS | QCOW2_AUTOCLEAR_RAW_DATA))

enum qcow2_crypt { QCOW2_CRYPT_NONE, QCOW2_CRYPT_AES, QCOW2_CRYPT_LUKS };
enum qcow2_compression { QCOW2_COMPRESSION_DEFLATE, QCOW2_COMPRESSION_ZSTD };

/* Types of header extensions ("Header extensions"). */
#define QCOW2_EXT_END 0u
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXT_FEATURE_NAMES 0x6803f857u
#define QCOW2_EXT_BITMAPS 0x23852875u
#define QCOW2_EXT_CRYPTO 0x0537be77u
#define QCOW2_EXT_DATA_FILE 0x44415441u

/* An extension, as found; order and content survive a rewrite of the header. */
struct qcow2_extension {
    uint32_t type, length;
    uint8_t *data; /* length bytes; owned */
};

struct qcow2_header {
    uint32_t version;
    uint32_t cluster_bits;
    uint64_t size;
    uint32_t crypt_method;
    uint32_t l1_entries;
    uint64_t l1_offset;
    uint64_t reftable_offset;
    uint32_t reftable_clusters;
    uint32_t snapshots;
    uint64_t snapshots_offset;
    uint64_t incompatible, compatible, autoclear;
    uint32_t refcount_order;
    uint32_t header_length;
    uint8_t compression;
    uint8_t
        *future; /* the bytes from QCOW2_AT_COMPRESSION + 1 to header_length; owned, may be NULL */

    struct qcow2_extension *extensions;
    size_t extension_count;
    char *backing_name; /* NULL: none */
};

/* Read the fields that have a fixed place. bytes: QCOW2_V3_LENGTH of them, zero padded. */
void qcow2_header_decode(const uint8_t *bytes, struct qcow2_header *header);
/* Fails for what no reader may accept; says which field. Knows nothing of the file's size. */
int qcow2_header_check(const struct qcow2_header *header, img_error *err);
/* Read the header in cluster 0, with its extensions and the backing name, and check it. */
int qcow2_header_read(struct imgi_io *io, struct qcow2_header *header, img_error *err);
/*
 * The whole of cluster 0, 1 << cluster_bits bytes, freed by the caller. IMG_E_NOSPACE when name
 * and extensions do not fit.
 */
int qcow2_header_encode(const struct qcow2_header *header, uint8_t **cluster, img_error *err);
void qcow2_header_clear(struct qcow2_header *header);

/* The first extension of that type, or NULL. */
const struct qcow2_extension *qcow2_extension_find(const struct qcow2_header *header,
                                                   uint32_t type);
int qcow2_extension_add(struct qcow2_header *header, uint32_t type, const void *data,
                        uint32_t length, img_error *err);
/* rewrite.c: put one in the place of the one of that type, or where QEMU puts it; and take it away.
 */
int qcow2_extension_set(struct qcow2_header *header, uint32_t type, const void *data,
                        uint32_t length, img_error *err);
void qcow2_extension_remove(struct qcow2_header *header, uint32_t type);
/* Read the list in cluster 0 between `start` and `end`. */
int qcow2_extensions_decode(struct qcow2_header *header, const uint8_t *cluster, size_t start,
                            size_t end, img_error *err);
/* Bytes that the list takes, its end mark included; written to `to` unless that is NULL. */
size_t qcow2_extensions_encode(const struct qcow2_header *header, uint8_t *to);
/* QEMU leaves the feature names out where they would take much of a small cluster 0. */
#define QCOW2_FEATURES_MIN_CLUSTER 4096u
/* The feature name table as version 3 images with larger clusters carry it. */
int qcow2_extension_add_features(struct qcow2_header *header, img_error *err);
/* Say the names of the incompatible bits in an error: from the table of the image, or our own. */
int qcow2_refuse_features(const struct qcow2_header *header, uint64_t bits, img_error *err);

#define QCOW2_BITMAPS_EXTENSION_BYTES 24
#define QCOW2_EXTENSION_HEAD 8 /* type and length of any extension */

/* The bitmaps extension ("Bitmaps extension"); false when the image has none. */
struct qcow2_bitmaps {
    uint32_t count;
    uint64_t directory_bytes, directory_offset;
};
bool qcow2_bitmaps_find(const struct qcow2_header *header, struct qcow2_bitmaps *bitmaps);

/* ------------------------------------------------------------ table entries */

#define QCOW2_COPIED (UINT64_C(1) << 63)     /* refcount is exactly 1 */
#define QCOW2_COMPRESSED (UINT64_C(1) << 62) /* L2 only */
#define QCOW2_ZERO (UINT64_C(1) << 0)        /* L2 only, version 3 */
#define QCOW2_OFFSET_MASK UINT64_C(0x00fffffffffffe00)
/*
 * Bits that must be zero ("L1 table entry", "Standard Cluster Descriptor", "Refcount table
 * entry").
 */
#define QCOW2_L1_RESERVED UINT64_C(0x7f000000000001ff)
#define QCOW2_L2_RESERVED UINT64_C(0x3f000000000001fe)
#define QCOW2_REFTABLE_RESERVED UINT64_C(0x00000000000001ff)

#define QCOW2_ENTRY_BYTES 8u
/* "Extended L2 Entries": the descriptor, and a bitmap of the cluster's subclusters. */
#define QCOW2_EXTENDED_ENTRY_BYTES 16u
#define QCOW2_SUBCLUSTERS 32u

/* A compressed cluster ("Compressed Clusters Descriptor"). */
struct qcow2_packed {
    uint64_t offset; /* any byte */
    uint64_t length; /* bytes that may hold the stream: to the end of its last sector */
};

/* The descriptor of a stream of length bytes at offset. */
uint64_t qcow2_packed_encode(unsigned cluster_bits, uint64_t offset, uint64_t length);
void qcow2_packed_decode(unsigned cluster_bits, uint64_t entry, struct qcow2_packed *packed);

/* ---------------------------------------------------------------- snapshots */

enum qcow2_snapshot_field {
    QCOW2_SNAP_L1_OFFSET = 0,
    QCOW2_SNAP_L1_ENTRIES = 8,
    QCOW2_SNAP_ID_LENGTH = 12,
    QCOW2_SNAP_NAME_LENGTH = 14,
    QCOW2_SNAP_SECONDS = 16,
    QCOW2_SNAP_NANOSECONDS = 20,
    QCOW2_SNAP_CLOCK = 24,
    QCOW2_SNAP_VM_STATE = 32,
    QCOW2_SNAP_EXTRA_LENGTH = 36,
    QCOW2_SNAP_FIXED = 40, /* the extra data begins here */
    QCOW2_SNAP_EXTRA_VM_STATE = 0,
    QCOW2_SNAP_EXTRA_DISK_SIZE = 8,
    QCOW2_SNAP_EXTRA_V3 = 16, /* version 3 demands so many bytes */
    QCOW2_SNAP_EXTRA_ICOUNT = 16,
    QCOW2_SNAP_EXTRA_KNOWN = 24
};

struct qcow2_snapshot {
    uint64_t l1_offset;
    uint32_t l1_entries;
    uint32_t seconds, nanoseconds;
    uint64_t clock; /* ns of guest time */
    uint64_t vm_state;
    uint64_t disk_size;
    uint64_t icount; /* all ones: none */
    uint32_t extra_length;
    uint8_t *extra;  /* all extra data, as found; owned */
    char *id, *name; /* owned, terminated */
    uint16_t id_length, name_length;
};

/* ------------------------------------------------------------------ bitmaps */

enum qcow2_bitmap_field {
    QCOW2_BITMAP_TABLE_OFFSET = 0,
    QCOW2_BITMAP_TABLE_ENTRIES = 8,
    QCOW2_BITMAP_FLAGS = 12,
    QCOW2_BITMAP_TYPE = 16,
    QCOW2_BITMAP_GRANULARITY = 17,
    QCOW2_BITMAP_NAME_LENGTH = 18,
    QCOW2_BITMAP_EXTRA_LENGTH = 20,
    QCOW2_BITMAP_FIXED = 24
};

#define QCOW2_BITMAP_IN_USE (1u << 0)
#define QCOW2_BITMAP_AUTO (1u << 1)
#define QCOW2_BITMAP_EXTRA_COMPATIBLE (1u << 2)

/* log2 of the guest bytes that a bit stands for */
#define QCOW2_BITMAP_GRANULARITY_MIN 9u
#define QCOW2_BITMAP_GRANULARITY_MAX 31u

/* Entries of a bitmap table: bits that must be zero, and the one that makes all bits 1. */
#define QCOW2_BITMAP_RESERVED UINT64_C(0xff000000000001fe)
#define QCOW2_BITMAP_ONES UINT64_C(1)

#endif
