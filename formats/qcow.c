/*
 * qcow: version 1 of QEMU's copy-on-write format. SPDX-License-Identifier: BSD-2-Clause
 *
 * Big-endian. A header, an L1 table, L2 tables and clusters, appended as they were first written:
 * no reference counts, so nothing to check. An L2 entry is 0 (the backing image's), the offset of
 * a cluster, or, with bit 63, the place and the exact length of a raw deflate stream.
 */
#include <stdlib.h>

#include "driver.h"

#define MAGIC 0x514649fbu
#define HEADER_BYTES 48
#define SECTOR 512u
#define BACKING_NAME_MAX 1023
#define COMPRESSED (UINT64_C(1) << 63)

/* L2 tables in memory: 64 of the usual size. */
#define L2_BUDGET (256u << 10)

struct header {
    uint32_t version;
    uint64_t backing_offset;
    uint32_t backing_length;
    uint64_t size;
    uint8_t cluster_bits, l2_bits;
    uint32_t crypt; /* 0, or 1: AES-CBC */
    uint64_t l1_offset;
};

/* Constant after open, but for the cache. */
struct qcow {
    struct header header;
    uint64_t file_size;
    uint64_t clusters; /* of the disk */
    uint8_t *l1;       /* big-endian, as in the file */
    struct imgi_cache *l2;
};

static const struct imgi_opt open_options[] = {
    {"encrypt.format", IMGI_OPT_STRING, NULL, "Encryption format: aes", true},
    {"encrypt.key-secret", IMGI_OPT_STRING, NULL,
     "ID of the secret that provides the AES encryption key", true},
    {0},
};

static int qcow_probe(const struct imgi_probe *probe)
{
    return probe->length >= 8 && imgi_get_be32(probe->head) == MAGIC &&
                   imgi_get_be32(probe->head + 4) == 1
               ? 100
               : 0;
}

/* ------------------------------------------------------------------- open */

static void decode(const uint8_t *bytes, struct header *header)
{
    header->version = imgi_get_be32(bytes + 4);
    header->backing_offset = imgi_get_be64(bytes + 8);
    header->backing_length = imgi_get_be32(bytes + 16);
    header->size = imgi_get_be64(bytes + 24);
    header->cluster_bits = bytes[32];
    header->l2_bits = bytes[33];
    header->crypt = imgi_get_be32(bytes + 36);
    header->l1_offset = imgi_get_be64(bytes + 40);
}

static int check(const struct header *header, img_error *err)
{
    if (header->version != 1)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Unsupported qcow version %u", header->version);
    if (header->size <= 1)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "Image size is too small (must be at least 2 bytes): the header says %llu",
                         (unsigned long long)header->size);
    if (header->size > INT64_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "Image too large: the header says %llu bytes",
                         (unsigned long long)header->size);
    if (header->cluster_bits < 9 || header->cluster_bits > 16)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "Cluster size must be between 512 and 64k: the header says 2^%u",
                         header->cluster_bits);
    if (header->l2_bits < 6 || header->l2_bits > 13)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "L2 table size must be between 512 and 64k: the header says 2^%u entries",
                         header->l2_bits);
    if (header->crypt > 1)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "invalid encryption method in qcow header: %u",
                         header->crypt);
    return 0;
}

static int read_header(struct imgi_node *node, struct qcow *qcow, img_error *err)
{
    uint8_t bytes[HEADER_BYTES];
    int rc = imgi_io_size(node->file, &qcow->file_size, err);

    if (rc == 0 && qcow->file_size < sizeof(bytes))
        return imgi_fail(err, IMG_E_FORMAT, "Image not in qcow format: the file has %llu bytes",
                         (unsigned long long)qcow->file_size);
    if (rc == 0)
        rc = imgi_io_read(node->file, bytes, sizeof(bytes), 0, err);
    if (rc == 0 && imgi_get_be32(bytes) != MAGIC)
        rc = imgi_fail(err, IMG_E_FORMAT, "Image not in qcow format");
    if (rc < 0)
        return rc;
    decode(bytes, &qcow->header);
    return check(&qcow->header, err);
}

/* The format does not say of what format the backing image is. */
static int read_backing_name(struct imgi_node *node, const struct qcow *qcow, img_error *err)
{
    uint64_t offset = qcow->header.backing_offset;
    uint32_t length = qcow->header.backing_length;

    if (offset == 0 || length == 0)
        return 0;
    if (length > BACKING_NAME_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "Backing file name too long: %u bytes", length);
    if (!imgi_span_ok(offset, length, qcow->file_size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the backing file's name, %u bytes at 0x%llx, lies past the end of the "
                         "file",
                         length, (unsigned long long)offset);
    node->backing_name = calloc(1, length + 1);
    if (!node->backing_name)
        return imgi_fail_nomem(err, "a backing file's name");
    return imgi_io_read(node->file, node->backing_name, length, offset, err);
}

static int open_cipher(struct imgi_node *node, const struct qcow *qcow, img_error *err)
{
    const struct imgi_encryption from = {node->secrets, node->options, open_options, "encrypt."};
    const char *wanted = imgi_options_string(node->options, open_options, "encrypt.format");
    struct imgi_passphrase passphrase;
    int rc;

    if (wanted && qcow->header.crypt == 0)
        return imgi_fail(err, IMG_E_INVAL,
                         "No encryption in image header, but options specified format '%s'",
                         wanted);
    if (wanted && strcmp(wanted, "aes") != 0)
        return imgi_fail(err, IMG_E_INVAL,
                         "Header reported 'aes' encryption format but options specify '%s'",
                         wanted);
    node->encrypted = qcow->header.crypt != 0;
    node->cipher_by_guest = true;
    if (!node->encrypted || !imgi_node_needs_key(node))
        return 0;
    rc = imgi_secret_of(&from, &passphrase, err);
    return rc < 0
               ? rc
               : imgi_cipher_new_qcow_aes(&node->cipher, passphrase.bytes, passphrase.length, err);
}

static int open_tables(struct imgi_node *node, struct qcow *qcow, img_error *err)
{
    const struct header *header = &qcow->header;
    struct imgi_table l1 = {.what = "L1 table",
                            .offset = header->l1_offset,
                            .entries = imgi_div_up(qcow->clusters, UINT64_C(1) << header->l2_bits),
                            .entry_size = 8};
    struct imgi_cache_params params = {.io = node->file,
                                       .what = "L2 table",
                                       .table_size = 8u << header->l2_bits,
                                       .budget = L2_BUDGET};
    int rc = imgi_node_read_table(node, &l1, &qcow->l1, err);

    return rc < 0 ? rc : imgi_cache_new(&qcow->l2, &params, err);
}

static int qcow_open(struct imgi_node *node, img_error *err)
{
    struct qcow *qcow = node->state;
    int rc = read_header(node, qcow, err);

    if (rc < 0)
        return rc;
    /* QEMU does not see what is behind the last whole sector. */
    node->size = imgi_align_down(qcow->header.size, SECTOR);
    node->cluster_size = 1u << qcow->header.cluster_bits;
    node->pack.codec = IMGI_CODEC_DEFLATE;
    qcow->clusters = imgi_div_up(node->size, node->cluster_size);
    rc = read_backing_name(node, qcow, err);
    if (rc == 0)
        rc = open_cipher(node, qcow, err);
    return rc < 0 ? rc : open_tables(node, qcow, err);
}

static void qcow_close(struct imgi_node *node)
{
    struct qcow *qcow = node->state;

    imgi_cache_free(qcow->l2);
    free(qcow->l1);
}

/* ---------------------------------------------------------------- address */

static int read_l2(struct qcow *qcow, uint64_t l1_index, uint64_t offset, uint8_t **table,
                   img_error *err)
{
    uint64_t bytes = UINT64_C(8) << qcow->header.l2_bits;

    if (offset < HEADER_BYTES || !imgi_span_ok(offset, bytes, qcow->file_size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "L1 entry %llu: an L2 table of %llu bytes at 0x%llx is not inside the "
                         "file (%llu bytes)",
                         (unsigned long long)l1_index, (unsigned long long)bytes,
                         (unsigned long long)offset, (unsigned long long)qcow->file_size);
    return imgi_cache_get(qcow->l2, offset, table, err);
}

/* What an L2 entry says. What lies past the end of the file is for those who read it to notice. */
static int judge(const struct qcow *qcow, uint64_t index, uint64_t entry,
                 struct imgi_cluster *found, img_error *err)
{
    unsigned cluster_bits = qcow->header.cluster_bits, length_at = 63 - cluster_bits;

    found->kind = IMGI_DATA;
    found->host = entry;
    if (entry == 0) {
        found->kind = IMGI_ABSENT;
        return 0;
    }
    if (entry & COMPRESSED) {
        found->kind = IMGI_PACKED;
        found->host = entry & ((UINT64_C(1) << length_at) - 1);
        found->stored = entry >> length_at & ((UINT64_C(1) << cluster_bits) - 1);
        found->stored = found->host < qcow->file_size
                            ? IMGI_MIN(found->stored, qcow->file_size - found->host)
                            : 0;
    }
    if (found->host < HEADER_BYTES)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "L2 entry of cluster %llu points into the header (0x%llx)",
                         (unsigned long long)index, (unsigned long long)found->host);
    return 0;
}

static int lookup(struct imgi_node *node, uint64_t index, struct imgi_cluster *found,
                  img_error *err)
{
    struct qcow *qcow = node->state;
    uint64_t entries = UINT64_C(1) << qcow->header.l2_bits;
    uint64_t l1_index = index / entries, offset = imgi_get_be64(qcow->l1 + 8 * l1_index);
    uint8_t *table;
    int rc;

    if (offset == 0) {
        found->kind = IMGI_ABSENT;
        found->count = entries - index % entries;
        return 0;
    }
    rc = read_l2(qcow, l1_index, offset, &table, err);
    return rc < 0 ? rc
                  : judge(qcow, index, imgi_get_be64(table + 8 * (index % entries)), found, err);
}

static int qcow_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                    struct imgi_extent *extent, img_error *err)
{
    extent->offset = offset;
    extent->length = length;
    return imgi_map_clusters(node, node->cluster_size, lookup, extent, err);
}

const struct imgi_driver imgi_driver_qcow = {
    .name = "qcow",
    .read_only = true,
    .state_size = sizeof(struct qcow),
    .open_options = open_options,
    .probe = qcow_probe,
    .open = qcow_open,
    .close = qcow_close,
    .map = qcow_map,
};
