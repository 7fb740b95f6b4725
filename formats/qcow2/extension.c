/*
 * Header extensions: the list behind the header. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, section "Header extensions": type, length, data, padding to a multiple of 8.
 * All are kept as they are found, known or not.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "disk.h"

#define HEAD QCOW2_EXTENSION_HEAD

/* An entry of the feature name table. */
#define FEATURE_BYTES 48
#define FEATURE_NAME 46

static const struct {
    uint8_t type, bit; /* type 0: incompatible, 1: compatible, 2: autoclear */
    const char *name;
} features[] = {
    {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
    {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
    {2, 0, "bitmaps"},          {2, 1, "raw external data"},
};

const struct qcow2_extension *qcow2_extension_find(const struct qcow2_header *header, uint32_t type)
{
    for (size_t i = 0; i < header->extension_count; i++) {
        if (header->extensions[i].type == type)
            return &header->extensions[i];
    }
    return NULL;
}

int qcow2_extension_add(struct qcow2_header *header, uint32_t type, const void *data,
                        uint32_t length, img_error *err)
{
    size_t count = header->extension_count;
    struct qcow2_extension *list = header->extensions;

    /* The array has room for the next power of two. */
    if ((count & (count + 1)) == 0) {
        list = realloc(list, (2 * count + 1) * sizeof(*list));
        if (!list)
            return imgi_fail_nomem(err, "header extensions");
        header->extensions = list;
    }
    list[count] = (struct qcow2_extension){type, length, malloc(length + 1)};
    if (!list[count].data)
        return imgi_fail_nomem(err, "header extensions");
    memcpy(list[count].data, data, length);
    list[count].data[length] = '\0'; /* so that those that are text can be used as such */
    header->extension_count++;
    return 0;
}

int qcow2_extensions_decode(struct qcow2_header *header, const uint8_t *cluster, size_t start,
                            size_t end, img_error *err)
{
    size_t at = start;

    while (at < end && end - at >= HEAD) {
        uint32_t type = imgi_get_be32(cluster + at), length = imgi_get_be32(cluster + at + 4);
        int rc;

        at += HEAD;
        if (type == QCOW2_EXT_END)
            break;
        if (length > end - at)
            return imgi_fail(err, IMG_E_CORRUPT,
                             "Header extension too large: 0x%08" PRIx32 " at 0x%zx has %" PRIu32
                             " bytes, and its area ends at 0x%zx",
                             type, at - HEAD, length, end);
        rc = qcow2_extension_add(header, type, cluster + at, length, err);
        if (rc < 0)
            return rc;
        at += imgi_align_up(length, 8);
    }
    return 0;
}

size_t qcow2_extensions_encode(const struct qcow2_header *header, uint8_t *to)
{
    size_t at = 0;

    for (size_t i = 0; i < header->extension_count; i++) {
        const struct qcow2_extension *extension = &header->extensions[i];

        if (to) {
            imgi_put_be32(to + at, extension->type);
            imgi_put_be32(to + at + 4, extension->length);
            memcpy(to + at + HEAD, extension->data, extension->length);
        }
        at += HEAD + imgi_align_up(extension->length, 8);
    }
    /* The end mark is zeros, which the cluster consists of. */
    return at + HEAD;
}

int qcow2_extension_add_features(struct qcow2_header *header, img_error *err)
{
    uint8_t table[IMGI_COUNT(features) * FEATURE_BYTES] = {0};

    for (size_t i = 0; i < IMGI_COUNT(features); i++) {
        uint8_t *entry = table + i * FEATURE_BYTES;

        entry[0] = features[i].type;
        entry[1] = features[i].bit;
        memcpy(entry + 2, features[i].name, strlen(features[i].name));
    }
    return qcow2_extension_set(header, QCOW2_EXT_FEATURE_NAMES, table, sizeof(table), err);
}

/*
 * The image's own name for an incompatible bit, or NULL. Not terminated after FEATURE_NAME
 * bytes.
 */
static const char *feature_name(const struct qcow2_extension *table, unsigned bit)
{
    for (size_t at = 0; table && at + FEATURE_BYTES <= table->length; at += FEATURE_BYTES) {
        const uint8_t *entry = table->data + at;

        if (entry[0] == 0 && entry[1] == bit && entry[2] != '\0')
            return (const char *)entry + 2;
    }
    return NULL;
}

int qcow2_refuse_features(const struct qcow2_header *header, uint64_t bits, img_error *err)
{
    const struct qcow2_extension *table = qcow2_extension_find(header, QCOW2_EXT_FEATURE_NAMES);
    char text[512] = "";
    size_t used = 0;
    uint64_t nameless = 0;

    for (unsigned bit = 0; bit < 64; bit++) {
        const char *name = bits >> bit & 1 ? feature_name(table, bit) : NULL;

        if (!(bits >> bit & 1))
            continue;
        if (!name || used + FEATURE_NAME + 3 > sizeof(text)) {
            nameless |= UINT64_C(1) << bit;
            continue;
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s", used ? ", " : "",
                                 FEATURE_NAME, name);
    }
    if (nameless && used == 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Unsupported qcow2 feature(s): Unknown incompatible feature: %" PRIx64,
                         nameless);
    return imgi_fail(err, IMG_E_UNSUPPORTED, "Unsupported qcow2 feature(s): %s%s", text,
                     nameless ? ", and others without a name" : "");
}

bool qcow2_bitmaps_find(const struct qcow2_header *header, struct qcow2_bitmaps *bitmaps)
{
    const struct qcow2_extension *extension = qcow2_extension_find(header, QCOW2_EXT_BITMAPS);

    if (!extension || extension->length < QCOW2_BITMAPS_EXTENSION_BYTES)
        return false;
    bitmaps->count = imgi_get_be32(extension->data);
    bitmaps->directory_bytes = imgi_get_be64(extension->data + 8);
    bitmaps->directory_offset = imgi_get_be64(extension->data + 16);
    return true;
}
