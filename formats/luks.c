/*
 * luks: a LUKS header, and behind it the disk, encrypted. SPDX-License-Identifier: BSD-2-Clause
 *
 * The format that Linux uses for encrypted partitions ("LUKS On-Disk Format Specification" 1.2.3).
 * Sectors are numbered from the beginning of the payload, which is to say as the disk has them.
 * Nothing tells written sectors from others: what was never written reads as the decryption of what
 * the file has there.
 */
#include "driver.h"

/* Constant after open. */
struct luks {
    struct imgi_luks_header header;
    uint64_t payload; /* byte of the file where the disk begins */
};

static const struct imgi_opt create_options[] = {
    {"size", IMGI_OPT_SIZE, NULL, "Virtual disk size", false},
    {"key-secret", IMGI_OPT_STRING, NULL, "ID of the secret that provides the keyslot passphrase",
     true},
    {"cipher-alg", IMGI_OPT_STRING, NULL, "Name of encryption cipher algorithm", true},
    {"cipher-mode", IMGI_OPT_STRING, NULL, "Name of encryption cipher mode", true},
    {"ivgen-alg", IMGI_OPT_STRING, NULL, "Name of IV generator algorithm", true},
    {"ivgen-hash-alg", IMGI_OPT_STRING, NULL, "Name of IV generator hash algorithm", true},
    {"hash-alg", IMGI_OPT_STRING, NULL, "Name of encryption hash algorithm", true},
    {"iter-time", IMGI_OPT_NUMBER, NULL, "Time to spend in PBKDF in milliseconds", true},
    {"preallocation", IMGI_OPT_STRING, NULL,
     "Preallocation mode (allowed values: off, metadata, falloc, full)", true},
    {0},
};

static const struct imgi_opt open_options[] = {
    {"key-secret", IMGI_OPT_STRING, NULL, "ID of the secret that provides the keyslot passphrase",
     true},
    {0},
};

static const struct imgi_opt amend_options[] = {
    {"state", IMGI_OPT_STRING, NULL, "Select new state of affected keyslots (active/inactive)",
     true},
    {"keyslot", IMGI_OPT_NUMBER, NULL, "Select a single keyslot to modify explicitly", true},
    {"old-secret", IMGI_OPT_STRING, NULL, "Select all keyslots that match this password", true},
    {"new-secret", IMGI_OPT_STRING, NULL,
     "New secret to set in the matching keyslots. Empty string to erase", true},
    {"iter-time", IMGI_OPT_NUMBER, NULL, "Time to spend in PBKDF in milliseconds", true},
    {0},
};

static struct luks *luks_of(const struct imgi_node *node)
{
    return node->state;
}

static int luks_probe(const struct imgi_probe *probe)
{
    return imgi_luks_probe(probe->head, probe->length) ? 100 : 0;
}

/* ----------------------------------------------------------------- create */

static int parse_preallocation(const char *text, enum imgi_prealloc *mode, img_error *err)
{
    /* There is no metadata to allocate: that is as good as off. */
    static const struct {
        const char *name;
        enum imgi_prealloc mode;
    } names[] = {{"off", IMGI_PREALLOC_OFF},
                 {"metadata", IMGI_PREALLOC_OFF},
                 {"falloc", IMGI_PREALLOC_FALLOC},
                 {"full", IMGI_PREALLOC_FULL}};

    *mode = IMGI_PREALLOC_OFF;
    for (size_t i = 0; text && i < IMGI_COUNT(names); i++) {
        if (strcmp(text, names[i].name) == 0) {
            *mode = names[i].mode;
            return 0;
        }
    }
    return text ? imgi_fail(err, IMG_E_INVAL, "invalid parameter value: %s", text) : 0;
}

static int luks_create(struct imgi_create *create, img_error *err)
{
    const struct imgi_encryption from = {create->secrets, create->options, create->table, ""};
    struct imgi_luks_place place = {.io = create->file};
    struct imgi_luks_params params;
    struct imgi_passphrase passphrase;
    enum imgi_prealloc mode;
    int rc = imgi_secret_of(&from, &passphrase, err);

    if (rc == 0)
        rc = imgi_luks_wanted(&from, &params, err);
    if (rc == 0)
        rc = parse_preallocation(
            imgi_options_string(create->options, create->table, "preallocation"), &mode, err);
    if (rc < 0)
        return rc;
    place.length = imgi_luks_area_bytes(&params);
    if (create->size > INT64_MAX - place.length)
        return imgi_fail(err, IMG_E_LIMIT, "The requested file size is too large");
    rc = imgi_io_resize(create->file, place.length + create->size, mode, err);
    /* What a device held there before is no part of the header. */
    if (rc == 0)
        rc = imgi_io_zero(create->file, 0, place.length, true, err);
    if (rc == 0)
        rc = imgi_luks_make(&from, &params, place, &create->cipher, err);
    return rc;
}

/* ------------------------------------------------------------------- open */

/* The header, and the payload's place in the file. */
static int read_header(struct imgi_node *node, uint64_t *file_size, img_error *err)
{
    struct luks *luks = luks_of(node);
    int rc = imgi_io_size(node->file, file_size, err);

    if (rc == 0)
        rc =
            imgi_luks_read(&luks->header, (struct imgi_luks_place){node->file, 0, *file_size}, err);
    if (rc < 0)
        return rc;
    luks->payload = (uint64_t)luks->header.payload_sector * IMGI_CIPHER_SECTOR;
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS; n++) {
        if (imgi_luks_slot_end(&luks->header, n) > luks->payload)
            return imgi_fail(err, IMG_E_CORRUPT,
                             "LUKS key slot %u reaches into the payload, which begins at 0x%llx", n,
                             (unsigned long long)luks->payload);
    }
    if (luks->payload > *file_size)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the LUKS payload begins at 0x%llx, past the end of the file (%llu bytes)",
                         (unsigned long long)luks->payload, (unsigned long long)*file_size);
    return 0;
}

static int luks_open(struct imgi_node *node, img_error *err)
{
    struct luks *luks = luks_of(node);
    const struct imgi_encryption from = {node->secrets, node->options, open_options, ""};
    uint64_t size;
    int rc = read_header(node, &size, err);

    if (rc == 0 && imgi_node_needs_key(node))
        rc = imgi_luks_open(&from, &luks->header,
                            (struct imgi_luks_place){node->file, 0, luks->payload}, &node->cipher,
                            err);
    if (rc < 0)
        return rc;
    node->encrypted = true;
    node->cipher_by_guest = true;
    node->size = imgi_align_up(size - luks->payload, IMGI_CIPHER_SECTOR);
    return 0;
}

static int luks_info(struct imgi_node *node, struct imgi_info *info, img_error *err)
{
    (void)err;
    imgi_luks_info(info, &luks_of(node)->header, false);
    return 0;
}

/* ---------------------------------------------------------------- address */

static int luks_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                    struct imgi_extent *extent, img_error *err)
{
    (void)err;
    extent->offset = offset;
    extent->length = length;
    extent->kind = IMGI_DATA;
    extent->flags = IMGI_EXTENT_INPLACE | IMGI_EXTENT_TAIL;
    extent->io = node->file;
    extent->host = luks_of(node)->payload + offset;
    return 0;
}

static int luks_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                       img_error *err)
{
    uint64_t payload = luks_of(node)->payload;
    int rc;

    if (mode == IMG_PREALLOC_METADATA)
        return imgi_fail(err, IMG_E_INVAL, "Unsupported preallocation mode: metadata");
    if (size > INT64_MAX - payload)
        return imgi_fail(err, IMG_E_LIMIT, "The requested file size is too large");
    rc = imgi_io_resize(node->file, payload + size, imgi_file_prealloc(mode), err);
    if (rc == 0)
        node->size = imgi_align_up(size, IMGI_CIPHER_SECTOR);
    return rc;
}

static int luks_amend(struct imgi_node *node, struct imgi_amend *amend, img_error *err)
{
    const struct imgi_encryption from = {node->secrets, amend->options, amend->table, ""};
    struct luks *luks = luks_of(node);

    return imgi_luks_change_slots(&from, amend->force, &luks->header,
                                  (struct imgi_luks_place){node->file, 0, luks->payload},
                                  node->cipher, err);
}

static int luks_measure(const struct imgi_measure *measure, img_measure_result *result,
                        img_error *err)
{
    const struct imgi_encryption from = {NULL, measure->options, measure->table, ""};
    struct imgi_luks_params params;
    int rc;

    if (!imgi_options_string(measure->options, measure->table, "key-secret"))
        return imgi_fail(err, IMG_E_INVAL, "Parameter 'key-secret' is required for cipher");
    rc = imgi_luks_wanted(&from, &params, err);
    if (rc < 0)
        return rc;
    result->required = imgi_luks_area_bytes(&params) + measure->size;
    result->fully_allocated = result->required;
    return 0;
}

const struct imgi_driver imgi_driver_luks = {
    .name = "luks",
    .state_size = sizeof(struct luks),
    .create_options = create_options,
    .open_options = open_options,
    .amend_options = amend_options,
    .probe = luks_probe,
    .create = luks_create,
    .open = luks_open,
    .info = luks_info,
    .map = luks_map,
    .resize = luks_resize,
    .amend = luks_amend,
    .measure = luks_measure,
};
