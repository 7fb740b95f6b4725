/*
 * Encryption: which one, and with what key. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, "Full disk encryption header pointer". Data clusters are encrypted by
 * sectors; with LUKS the number of a sector is that of its place in the file, with AES that of its
 * place in the disk. Metadata and compressed clusters are stored in the clear.
 */
#include <inttypes.h>

#include "qcow2.h"

#define PREFIX "encrypt."
#define POINTER_BYTES 16

static const char *const formats[] = {NULL, "aes", "luks"}; /* by enum qcow2_crypt */

static struct imgi_luks_place place_of(const struct qcow2 *q)
{
    return (struct imgi_luks_place){q->node->file, q->crypto_offset, q->crypto_bytes};
}

/* ------------------------------------------------------------------- open */

/* The extension's two numbers: where a cluster begins, and bytes that lie inside the file. */
static int decode_pointer(struct qcow2 *q, const struct qcow2_extension *extension, img_error *err)
{
    struct imgi_table table = {.what = "Encryption header", .entry_size = 1};
    int rc = imgi_io_size(q->node->file, &table.file_size, err);

    if (rc < 0)
        return rc;
    if (extension->length != POINTER_BYTES)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "CRYPTO header extension size %" PRIu32 ", but expected size %d",
                         extension->length, POINTER_BYTES);
    table.offset = imgi_get_be64(extension->data);
    table.entries = imgi_get_be64(extension->data + 8);
    if (table.offset % q->cluster_size != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "Encryption header offset '%" PRIu64
                         "' is not a multiple of cluster size '%" PRIu32 "'",
                         table.offset, q->cluster_size);
    rc = imgi_policy_table(q->node->policy, &table, err);
    if (rc < 0)
        return rc;
    q->crypto_offset = table.offset;
    q->crypto_bytes = table.entries;
    return 0;
}

static int load_luks(struct qcow2 *q, img_error *err)
{
    const struct qcow2_extension *extension = qcow2_extension_find(&q->header, QCOW2_EXT_CRYPTO);
    int rc;

    if (!extension)
        return imgi_fail(err, IMG_E_CORRUPT, "Missing CRYPTO header for crypt method %d",
                         QCOW2_CRYPT_LUKS);
    rc = decode_pointer(q, extension, err);
    return rc < 0 ? rc : imgi_luks_read(&q->luks, place_of(q), err);
}

/* What the user says of the format must be so. */
static int check_format(const struct imgi_node *node, uint32_t method, img_error *err)
{
    const char *wanted = imgi_options_string(node->options, qcow2_open_options, PREFIX "format");

    if (!wanted || (formats[method] && strcmp(wanted, formats[method]) == 0))
        return 0;
    if (!formats[method])
        return imgi_fail(err, IMG_E_INVAL,
                         "No encryption in image header, but options specified format '%s'",
                         wanted);
    return imgi_fail(err, IMG_E_INVAL,
                     "Header reported '%s' encryption format but options specify '%s'",
                     formats[method], wanted);
}

static int unlock(struct qcow2 *q, struct imgi_node *node, img_error *err)
{
    const struct imgi_encryption from = {node->secrets, node->options, qcow2_open_options, PREFIX};
    struct imgi_passphrase passphrase;
    int rc;

    if (q->header.crypt_method == QCOW2_CRYPT_LUKS)
        return imgi_luks_open(&from, &q->luks, place_of(q), &node->cipher, err);
    rc = imgi_secret_of(&from, &passphrase, err);
    if (rc == 0)
        rc = imgi_cipher_new_qcow_aes(&node->cipher, passphrase.bytes, passphrase.length, err);
    return rc;
}

int qcow2_crypt_open(struct qcow2 *q, struct imgi_node *node, img_error *err)
{
    uint32_t method = q->header.crypt_method;
    int rc = check_format(node, method, err);

    node->encrypted = method != QCOW2_CRYPT_NONE;
    node->cipher_by_guest = method == QCOW2_CRYPT_AES;
    if (rc == 0 && method != QCOW2_CRYPT_LUKS && qcow2_extension_find(&q->header, QCOW2_EXT_CRYPTO))
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "CRYPTO header extension only expected with LUKS encryption method");
    /* The check of an image looks at its own structures, whatever the state of this one. */
    if (rc < 0 || node->flags & IMG_OPEN_CHECK)
        return rc;
    if (method == QCOW2_CRYPT_LUKS)
        rc = load_luks(q, err);
    if (rc == 0 && node->encrypted && imgi_node_needs_key(node))
        rc = unlock(q, node, err);
    return rc;
}

/* ----------------------------------------------------------------- create */

static struct imgi_encryption create_from(const struct imgi_create *create)
{
    return (struct imgi_encryption){create->secrets, create->options, create->table, PREFIX};
}

/* Legacy AES has a passphrase and nothing to choose. */
static int refuse_choices(const struct imgi_encryption *from, img_error *err)
{
    static const char *const names[] = {PREFIX "cipher-alg", PREFIX "cipher-mode",
                                        PREFIX "ivgen-alg",  PREFIX "ivgen-hash-alg",
                                        PREFIX "hash-alg",   PREFIX "iter-time"};

    for (size_t i = 0; i < IMGI_COUNT(names); i++) {
        if (imgi_options_string(from->options, from->table, names[i]))
            return imgi_fail(err, IMG_E_INVAL, "Parameter '%s' is unexpected", names[i]);
    }
    return 0;
}

/* "encryption=on" is the old name of "encrypt.format=aes". */
static int read_method(const img_options *options, const struct imgi_opt *table,
                       enum qcow2_crypt *method, img_error *err)
{
    const char *format = imgi_options_string(options, table, PREFIX "format");

    *method = QCOW2_CRYPT_NONE;
    if (imgi_options_bool(options, table, "encryption")) {
        if (format)
            return imgi_fail(err, IMG_E_INVAL,
                             "'encrypt.format' and its alias 'encryption' can't be used at the "
                             "same time");
        *method = QCOW2_CRYPT_AES;
        return 0;
    }
    for (size_t i = 0; !format && table[i].name; i++) {
        if (strncmp(table[i].name, PREFIX, strlen(PREFIX)) == 0 &&
            imgi_options_string(options, table, table[i].name))
            return imgi_fail(err, IMG_E_INVAL, "Parameter '" PREFIX "format' is missing");
    }
    if (!format)
        return 0;
    *method = strcmp(format, "luks") == 0 ? QCOW2_CRYPT_LUKS : QCOW2_CRYPT_AES;
    if (*method == QCOW2_CRYPT_AES && strcmp(format, "aes") != 0)
        return imgi_fail(err, IMG_E_INVAL, "Parameter 'format' does not accept value '%s'", format);
    return 0;
}

int qcow2_crypt_wanted(const struct imgi_encryption *from, struct qcow2_crypt_choice *choice,
                       img_error *err)
{
    int rc = read_method(from->options, from->table, &choice->method, err);

    if (rc == 0 && choice->method == QCOW2_CRYPT_AES)
        rc = refuse_choices(from, err);
    if (rc == 0 && choice->method == QCOW2_CRYPT_LUKS)
        rc = imgi_luks_wanted(from, &choice->luks, err);
    if (rc == 0 && choice->method != QCOW2_CRYPT_NONE &&
        !imgi_options_string(from->options, from->table, PREFIX "key-secret"))
        rc = imgi_fail(err, IMG_E_INVAL, "Parameter '" PREFIX "key-secret' is required for cipher");
    choice->luks_bytes =
        rc == 0 && choice->method == QCOW2_CRYPT_LUKS ? imgi_luks_area_bytes(&choice->luks) : 0;
    return rc;
}

/* The LUKS header's clusters, which read as zeros, and the extension that points at them. */
static int add_pointer(struct qcow2 *q, uint64_t bytes, img_error *err)
{
    uint64_t count = qcow2_clusters(q, bytes), cluster;
    uint8_t pointer[POINTER_BYTES];
    int rc = qcow2_alloc_metadata(q, count, QCOW2_OWNER_CRYPTO, &cluster, err);

    if (rc < 0)
        return rc;
    q->crypto_offset = cluster << q->cluster_bits;
    q->crypto_bytes = bytes;
    imgi_put_be64(pointer, q->crypto_offset);
    imgi_put_be64(pointer + 8, bytes);
    rc = imgi_io_zero(q->node->file, q->crypto_offset, count << q->cluster_bits, true, err);
    return rc < 0 ? rc
                  : qcow2_extension_set(&q->header, QCOW2_EXT_CRYPTO, pointer, POINTER_BYTES, err);
}

int qcow2_crypt_create(struct qcow2 *q, struct imgi_create *create,
                       const struct qcow2_crypt_choice *choice, img_error *err)
{
    const struct imgi_encryption from = create_from(create);
    struct imgi_passphrase passphrase;
    int rc = 0;

    q->header.crypt_method = choice->method;
    if (choice->method == QCOW2_CRYPT_NONE)
        return 0;
    if (choice->method == QCOW2_CRYPT_AES) {
        rc = imgi_secret_of(&from, &passphrase, err);
        if (rc == 0)
            rc =
                imgi_cipher_new_qcow_aes(&create->cipher, passphrase.bytes, passphrase.length, err);
        return rc;
    }
    rc = add_pointer(q, choice->luks_bytes, err);
    if (rc == 0)
        rc = imgi_luks_make(&from, &choice->luks, place_of(q), &create->cipher, err);
    return rc;
}

/* ------------------------------------------------------------------ amend */

int qcow2_crypt_check_amend(const struct qcow2 *q, img_error *err)
{
    if (q->header.crypt_method == QCOW2_CRYPT_NONE)
        return imgi_fail(err, IMG_E_INVAL,
                         "Can't amend encryption options - encryption not present");
    if (q->header.crypt_method != QCOW2_CRYPT_LUKS)
        return imgi_fail(err, IMG_E_INVAL, "Only LUKS encryption options can be amended");
    return 0;
}

int qcow2_crypt_amend(struct qcow2 *q, const struct imgi_amend *amend, img_error *err)
{
    const struct imgi_encryption from = {q->node->secrets, amend->options, amend->table, PREFIX};

    return imgi_luks_change_slots(&from, amend->force, &q->luks, place_of(q), q->node->cipher, err);
}

/* ------------------------------------------------------------------- info */

void qcow2_crypt_info(const struct qcow2 *q, struct imgi_info *info)
{
    if (q->header.crypt_method == QCOW2_CRYPT_NONE)
        return;
    imgi_info_dict_begin(info, "encrypt");
    if (q->header.crypt_method == QCOW2_CRYPT_LUKS)
        imgi_luks_info(info, &q->luks, true);
    else
        imgi_info_string(info, "format", formats[q->header.crypt_method]);
    imgi_info_dict_end(info);
}
