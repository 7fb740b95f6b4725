/*
 * The header in cluster 0: reading, checking, writing. SPDX-License-Identifier: BSD-2-Clause
 *
 * Header, extensions and backing name share cluster 0. What we do not know in it (fields behind our
 * own, extensions, compatible bits) is kept as it was and written back.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "disk.h"

void qcow2_header_decode(const uint8_t *bytes, struct qcow2_header *header)
{
    *header = (struct qcow2_header){
        .version = imgi_get_be32(bytes + QCOW2_AT_VERSION),
        .cluster_bits = imgi_get_be32(bytes + QCOW2_AT_CLUSTER_BITS),
        .size = imgi_get_be64(bytes + QCOW2_AT_SIZE),
        .crypt_method = imgi_get_be32(bytes + QCOW2_AT_CRYPT_METHOD),
        .l1_entries = imgi_get_be32(bytes + QCOW2_AT_L1_ENTRIES),
        .l1_offset = imgi_get_be64(bytes + QCOW2_AT_L1_OFFSET),
        .reftable_offset = imgi_get_be64(bytes + QCOW2_AT_REFTABLE_OFFSET),
        .reftable_clusters = imgi_get_be32(bytes + QCOW2_AT_REFTABLE_CLUSTERS),
        .snapshots = imgi_get_be32(bytes + QCOW2_AT_SNAPSHOTS),
        .snapshots_offset = imgi_get_be64(bytes + QCOW2_AT_SNAPSHOTS_OFFSET),
        /* What version 2 means by not saying it. */
        .refcount_order = 4,
        .header_length = QCOW2_V2_LENGTH,
    };
    if (header->version < 3)
        return;
    header->incompatible = imgi_get_be64(bytes + QCOW2_AT_INCOMPATIBLE);
    header->compatible = imgi_get_be64(bytes + QCOW2_AT_COMPATIBLE);
    header->autoclear = imgi_get_be64(bytes + QCOW2_AT_AUTOCLEAR);
    header->refcount_order = imgi_get_be32(bytes + QCOW2_AT_REFCOUNT_ORDER);
    header->header_length = imgi_get_be32(bytes + QCOW2_AT_HEADER_LENGTH);
    if (header->header_length > QCOW2_AT_COMPRESSION)
        header->compression = bytes[QCOW2_AT_COMPRESSION];
}

/* A table named by the header: aligned, not over the limit, not past the end of any file. */
static int check_table(const char *what, uint64_t offset, uint64_t bytes, uint64_t max,
                       uint64_t cluster_size, img_error *err)
{
    if (bytes > max)
        return imgi_fail(err, IMG_E_LIMIT, "%s too large: %" PRIu64 " bytes, the limit is %" PRIu64,
                         what, bytes, max);
    if (offset % cluster_size != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "%s offset invalid: 0x%" PRIx64
                         " is no multiple of the cluster size %" PRIu64,
                         what, offset, cluster_size);
    if (!imgi_span_ok(offset, bytes, INT64_MAX))
        return imgi_fail(err, IMG_E_CORRUPT, "%s offset invalid: 0x%" PRIx64, what, offset);
    return 0;
}

static int check_tables(const struct qcow2_header *header, img_error *err)
{
    uint64_t cluster_size = UINT64_C(1) << header->cluster_bits;
    uint64_t l2_entry = header->incompatible & QCOW2_INCOMPAT_EXTENDED_L2 ? 16 : 8;
    uint64_t covered = cluster_size * (cluster_size / l2_entry); /* by one L1 entry; < 2^42 */
    int rc = check_table("Active L1 table", header->l1_offset,
                         (uint64_t)header->l1_entries * QCOW2_ENTRY_BYTES, QCOW2_L1_BYTES_MAX,
                         cluster_size, err);

    if (rc == 0 && header->l1_entries < imgi_div_up(header->size, covered))
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "L1 table is too small: %" PRIu32 " entries for a disk of %" PRIu64 " bytes",
                       header->l1_entries, header->size);
    if (rc == 0)
        rc = check_table("Reference count table", header->reftable_offset,
                         (uint64_t)header->reftable_clusters * cluster_size,
                         QCOW2_REFTABLE_BYTES_MAX, cluster_size, err);
    if (rc == 0 && header->snapshots > 0)
        rc = check_table("Snapshot table", header->snapshots_offset,
                         (uint64_t)header->snapshots * QCOW2_SNAP_FIXED,
                         QCOW2_SNAPSHOT_TABLE_BYTES_MAX, cluster_size, err);
    return rc;
}

static int check_compression(const struct qcow2_header *header, img_error *err)
{
    bool bit = header->incompatible & QCOW2_INCOMPAT_COMPRESSION;

    if (header->compression > QCOW2_COMPRESSION_ZSTD)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "unknown compression type: %u",
                         header->compression);
    if (bit != (header->compression != QCOW2_COMPRESSION_DEFLATE))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "Compression type incompatible feature bit must %sbe set",
                         bit ? "not " : "");
    return 0;
}

int qcow2_header_check(const struct qcow2_header *header, img_error *err)
{
    if (header->version < 2 || header->version > 3)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Unsupported qcow2 version %" PRIu32,
                         header->version);
    if (header->cluster_bits < QCOW2_CLUSTER_BITS_MIN ||
        header->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Unsupported cluster size: 2^%" PRIu32,
                         header->cluster_bits);
    if (header->version >= 3 &&
        (header->header_length < QCOW2_V3_LENGTH_MIN || header->header_length % 8 != 0))
        return imgi_fail(err, IMG_E_CORRUPT, "qcow2 header too short: a length of %" PRIu32,
                         header->header_length);
    if (header->header_length > 1u << header->cluster_bits)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "qcow2 header exceeds cluster size: a length of %" PRIu32,
                         header->header_length);
    if (header->refcount_order > 6)
        return imgi_fail(
            err, IMG_E_UNSUPPORTED,
            "Reference count entry width too large; may not exceed 64 bits: 2^%" PRIu32,
            header->refcount_order);
    if (header->crypt_method > QCOW2_CRYPT_LUKS)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Unsupported encryption method %" PRIu32,
                         header->crypt_method);
    if (header->size > INT64_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "Image is too big: %" PRIu64 " bytes", header->size);
    return 0;
}

/* A subcluster has a sector at least ("Extended L2 Entries"). */
static int check_subclusters(const struct qcow2_header *header, img_error *err)
{
    uint32_t size = (1u << header->cluster_bits) / QCOW2_SUBCLUSTERS;

    if (header->incompatible & QCOW2_INCOMPAT_EXTENDED_L2 && size < QCOW2_SECTOR)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Unsupported subcluster size: %" PRIu32, size);
    return 0;
}

/* What can be judged only once it is known that no unknown feature changes its meaning. */
static int check_deeply(const struct qcow2_header *header, img_error *err)
{
    uint64_t unknown = header->incompatible & ~(uint64_t)QCOW2_INCOMPAT_KNOWN;
    int rc;

    if (unknown)
        return qcow2_refuse_features(header, unknown, err);
    rc = check_compression(header, err);
    if (rc == 0)
        rc = check_subclusters(header, err);
    if (rc == 0)
        rc = check_tables(header, err);
    return rc;
}

/* The name in cluster 0. An offset without length stands for no backing image. */
static int decode_backing(struct qcow2_header *header, const uint8_t *cluster, uint64_t offset,
                          uint32_t length, img_error *err)
{
    uint64_t cluster_size = UINT64_C(1) << header->cluster_bits;

    if (offset == 0 || length == 0)
        return 0;
    if (length > QCOW2_BACKING_NAME_MAX || !imgi_span_ok(offset, length, cluster_size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "Backing file name too long: %" PRIu32 " bytes at 0x%" PRIx64, length,
                         offset);
    if (memchr(cluster + offset, '\0', length))
        return imgi_fail(err, IMG_E_CORRUPT, "the backing file's name has a NUL byte in it");
    header->backing_name = strndup((const char *)cluster + offset, length);
    return header->backing_name ? 0 : imgi_fail_nomem(err, "the backing file's name");
}

/* All that has no fixed place. */
static int decode_rest(struct qcow2_header *header, const uint8_t *cluster, img_error *err)
{
    size_t cluster_size = (size_t)1 << header->cluster_bits, end = cluster_size;
    uint64_t name = imgi_get_be64(cluster + QCOW2_AT_BACKING_OFFSET);
    size_t known = QCOW2_AT_COMPRESSION + 1;
    int rc;

    if (name != 0) {
        if (name < header->header_length || name > cluster_size)
            return imgi_fail(err, IMG_E_CORRUPT, "Invalid backing file offset: 0x%" PRIx64, name);
        end = (size_t)name;
    }
    rc = qcow2_extensions_decode(header, cluster, header->header_length, end, err);
    if (rc == 0)
        rc = decode_backing(header, cluster, name, imgi_get_be32(cluster + QCOW2_AT_BACKING_LENGTH),
                            err);
    if (rc == 0 && header->header_length > known) {
        header->future = malloc(header->header_length - known);
        if (!header->future)
            return imgi_fail_nomem(err, "the header");
        memcpy(header->future, cluster + known, header->header_length - known);
    }
    return rc;
}

/* Cluster 0, zero padded where the file is shorter. */
static int read_cluster(struct imgi_io *io, size_t cluster_size, uint64_t file_size,
                        uint8_t **cluster, img_error *err)
{
    *cluster = calloc(1, cluster_size);
    if (!*cluster)
        return imgi_fail_nomem(err, "the header");
    return imgi_io_read(io, *cluster, (size_t)IMGI_MIN(cluster_size, file_size), 0, err);
}

int qcow2_header_read(struct imgi_io *io, struct qcow2_header *header, img_error *err)
{
    uint8_t fixed[QCOW2_V3_LENGTH] = {0}, *cluster = NULL;
    uint64_t file_size;
    int rc = imgi_io_size(io, &file_size, err);

    *header = (struct qcow2_header){0};
    if (rc < 0)
        return rc;
    if (file_size < QCOW2_V2_LENGTH)
        return imgi_fail(err, IMG_E_FORMAT,
                         "Image is not in qcow2 format: %" PRIu64 " bytes hold no header",
                         file_size);
    rc = imgi_io_read(io, fixed, (size_t)IMGI_MIN(file_size, sizeof(fixed)), 0, err);
    if (rc < 0)
        return rc;
    if (imgi_get_be32(fixed) != QCOW2_MAGIC)
        return imgi_fail(err, IMG_E_FORMAT, "Image is not in qcow2 format");
    qcow2_header_decode(fixed, header);
    rc = qcow2_header_check(header, err);
    if (rc == 0)
        rc = read_cluster(io, (size_t)1 << header->cluster_bits, file_size, &cluster, err);
    if (rc == 0)
        rc = decode_rest(header, cluster, err);
    if (rc == 0)
        rc = check_deeply(header, err);
    if (rc < 0) {
        imgi_error_place(err, "header");
        qcow2_header_clear(header);
    }
    free(cluster);
    return rc;
}

static void encode_v3(const struct qcow2_header *header, uint8_t *to)
{
    imgi_put_be64(to + QCOW2_AT_INCOMPATIBLE, header->incompatible);
    imgi_put_be64(to + QCOW2_AT_COMPATIBLE, header->compatible);
    imgi_put_be64(to + QCOW2_AT_AUTOCLEAR, header->autoclear);
    imgi_put_be32(to + QCOW2_AT_REFCOUNT_ORDER, header->refcount_order);
    imgi_put_be32(to + QCOW2_AT_HEADER_LENGTH, header->header_length);
    if (header->header_length > QCOW2_AT_COMPRESSION)
        to[QCOW2_AT_COMPRESSION] = header->compression;
    if (header->future)
        memcpy(to + QCOW2_AT_COMPRESSION + 1, header->future,
               header->header_length - (QCOW2_AT_COMPRESSION + 1));
}

static void encode_fixed(const struct qcow2_header *header, uint64_t name, size_t name_length,
                         uint8_t *to)
{
    imgi_put_be32(to + QCOW2_AT_MAGIC, QCOW2_MAGIC);
    imgi_put_be32(to + QCOW2_AT_VERSION, header->version);
    imgi_put_be64(to + QCOW2_AT_BACKING_OFFSET, name);
    imgi_put_be32(to + QCOW2_AT_BACKING_LENGTH, (uint32_t)name_length);
    imgi_put_be32(to + QCOW2_AT_CLUSTER_BITS, header->cluster_bits);
    imgi_put_be64(to + QCOW2_AT_SIZE, header->size);
    imgi_put_be32(to + QCOW2_AT_CRYPT_METHOD, header->crypt_method);
    imgi_put_be32(to + QCOW2_AT_L1_ENTRIES, header->l1_entries);
    imgi_put_be64(to + QCOW2_AT_L1_OFFSET, header->l1_offset);
    imgi_put_be64(to + QCOW2_AT_REFTABLE_OFFSET, header->reftable_offset);
    imgi_put_be32(to + QCOW2_AT_REFTABLE_CLUSTERS, header->reftable_clusters);
    imgi_put_be32(to + QCOW2_AT_SNAPSHOTS, header->snapshots);
    imgi_put_be64(to + QCOW2_AT_SNAPSHOTS_OFFSET, header->snapshots_offset);
    if (header->version >= 3)
        encode_v3(header, to);
}

int qcow2_header_encode(const struct qcow2_header *header, uint8_t **out, img_error *err)
{
    size_t cluster_size = (size_t)1 << header->cluster_bits;
    size_t name_length = header->backing_name ? strlen(header->backing_name) : 0;
    size_t name = header->header_length + qcow2_extensions_encode(header, NULL);
    uint8_t *cluster;

    if (name_length > QCOW2_BACKING_NAME_MAX || name + name_length > cluster_size)
        return imgi_fail(err, IMG_E_NOSPACE,
                         "the header needs %zu bytes, more than a cluster of %zu holds",
                         name + name_length, cluster_size);
    cluster = calloc(1, cluster_size);
    if (!cluster)
        return imgi_fail_nomem(err, "the header");
    encode_fixed(header, name_length ? name : 0, name_length, cluster);
    qcow2_extensions_encode(header, cluster + header->header_length);
    if (name_length)
        memcpy(cluster + name, header->backing_name, name_length);
    *out = cluster;
    return 0;
}

void qcow2_header_clear(struct qcow2_header *header)
{
    for (size_t i = 0; i < header->extension_count; i++)
        free(header->extensions[i].data);
    free(header->extensions);
    free(header->future);
    free(header->backing_name);
    *header = (struct qcow2_header){0};
}
