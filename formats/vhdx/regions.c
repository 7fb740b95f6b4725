/*
 * The region tables: where the BAT and the metadata are. SPDX-License-Identifier: BSD-2-Clause
 *
 * There are two copies (2.2.3), and the first whole one is used.
 */
#include <stdlib.h>

#include "vhdx.h"

bool vhdx_is_taken(const struct vhdx *v, uint64_t offset, uint64_t length)
{
    if (offset < VHDX_HEADER_SECTION)
        return true;
    for (size_t i = 0; i < v->span_count; i++) {
        if (vhdx_overlaps(offset, length, v->spans[i].offset, v->spans[i].length))
            return true;
    }
    return false;
}

static int judge_place(const struct vhdx *v, const struct vhdx_span *span, unsigned n,
                       img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(v->io, &size, err);

    if (rc < 0)
        return rc;
    if (span->offset % VHDX_MIB != 0 || span->length % VHDX_MIB != 0 || span->length == 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "region table: entry %u: 0x%llx bytes at 0x%llx are no multiples of 1 MiB",
                         n, (unsigned long long)span->length, (unsigned long long)span->offset);
    if (!imgi_span_ok(span->offset, span->length, size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "region table: entry %u: %llu bytes at 0x%llx reach past the end of the "
                         "file (%llu bytes)",
                         n, (unsigned long long)span->length, (unsigned long long)span->offset,
                         (unsigned long long)size);
    if (vhdx_is_taken(v, span->offset, span->length))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "region table: entry %u: %llu bytes at 0x%llx overlap the header section, "
                         "the log or another region",
                         n, (unsigned long long)span->length, (unsigned long long)span->offset);
    return 0;
}

static int take_entry(struct vhdx *v, const uint8_t *bytes, unsigned n, img_error *err)
{
    struct vhdx_span span = {imgi_get_le64(bytes + 16), imgi_get_le32(bytes + 24)};
    struct vhdx_guid guid = vhdx_guid_get(bytes);
    struct vhdx_span *known = NULL;
    char text[VHDX_GUID_TEXT];
    int rc;

    if (vhdx_guid_equal(&guid, &vhdx_region_bat))
        known = &v->bat_region;
    else if (vhdx_guid_equal(&guid, &vhdx_region_metadata))
        known = &v->metadata_region;
    vhdx_guid_format(&guid, text);
    if (!known && (imgi_get_le32(bytes + 28) & VHDX_REGION_REQUIRED))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "region table: entry %u: the region %s is not known, and required", n,
                         text);
    if (known && known->length != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "region table: entry %u: the region %s is there twice",
                         n, text);
    rc = judge_place(v, &span, n, err);
    if (rc < 0)
        return rc;
    v->spans[v->span_count++] = span;
    if (known)
        *known = span;
    return 0;
}

static int read_copy(struct vhdx *v, unsigned n, uint8_t *bytes, img_error *err)
{
    int rc = imgi_io_read(v->io, bytes, VHDX_TABLE_BYTES, VHDX_AT_REGION_TABLE(n), err);

    if (rc == 0 && imgi_get_le32(bytes) != VHDX_REGION_SIGNATURE)
        rc = imgi_fail(err, IMG_E_CORRUPT, "the signature is 0x%08x", imgi_get_le32(bytes));
    if (rc == 0 && imgi_get_le32(bytes + 4) != vhdx_crc(bytes, VHDX_TABLE_BYTES))
        rc = imgi_fail(err, IMG_E_CORRUPT, "the checksum is 0x%08x, and should be 0x%08x",
                       imgi_get_le32(bytes + 4), vhdx_crc(bytes, VHDX_TABLE_BYTES));
    if (rc < 0)
        imgi_error_prefix(err, "region table %u at 0x%llx", n + 1,
                          (unsigned long long)VHDX_AT_REGION_TABLE(n));
    return rc;
}

/* Both copies; bytes becomes the one to use. */
static int read_table(struct vhdx *v, uint8_t *bytes, img_error *err)
{
    uint8_t *second = bytes + VHDX_TABLE_BYTES;
    int rc = read_copy(v, 0, bytes, err), other = read_copy(v, 1, second, NULL);

    v->bad_region_table[0] = rc < 0;
    v->bad_region_table[1] = other < 0 || (rc == 0 && memcmp(bytes, second, VHDX_TABLE_BYTES) != 0);
    if (rc < 0 && other == 0) {
        memcpy(bytes, second, VHDX_TABLE_BYTES);
        rc = 0;
    }
    return rc;
}

static int take_table(struct vhdx *v, const uint8_t *bytes, img_error *err)
{
    uint32_t count = imgi_get_le32(bytes + VHDX_REGION_AT_COUNT);
    int rc = 0;

    if (count > VHDX_TABLE_ENTRIES)
        return imgi_fail(err, IMG_E_CORRUPT, "region table: %u entries are more than %u", count,
                         VHDX_TABLE_ENTRIES);
    v->spans = calloc((size_t)count + 1, sizeof(*v->spans));
    if (!v->spans)
        return imgi_fail_nomem(err, "the region table");
    v->spans[v->span_count++] = (struct vhdx_span){v->header.log_offset, v->header.log_length};
    for (unsigned n = 0; rc == 0 && n < count; n++)
        rc = take_entry(v, bytes + VHDX_REGION_AT_ENTRIES + n * VHDX_REGION_ENTRY_BYTES, n, err);
    if (rc == 0 && v->bat_region.length == 0)
        rc = imgi_fail(err, IMG_E_CORRUPT, "region table: there is no BAT");
    if (rc == 0 && v->metadata_region.length == 0)
        rc = imgi_fail(err, IMG_E_CORRUPT, "region table: there is no metadata region");
    return rc;
}

int vhdx_regions_read(struct vhdx *v, img_error *err)
{
    uint8_t *bytes = malloc(2 * (size_t)VHDX_TABLE_BYTES);
    int rc = bytes ? read_table(v, bytes, err) : imgi_fail_nomem(err, "the region table");

    if (rc == 0)
        rc = take_table(v, bytes, err);
    free(bytes);
    return rc;
}

static void put_entry(uint8_t *bytes, const struct vhdx_guid *guid, const struct vhdx_span *span)
{
    vhdx_guid_put(bytes, guid);
    imgi_put_le64(bytes + 16, span->offset);
    imgi_put_le32(bytes + 24, (uint32_t)span->length);
    imgi_put_le32(bytes + 28, VHDX_REGION_REQUIRED);
}

void vhdx_regions_encode(const struct vhdx_span *bat, const struct vhdx_span *metadata,
                         uint8_t bytes[VHDX_TABLE_BYTES])
{
    uint8_t *entries = bytes + VHDX_REGION_AT_ENTRIES;

    memset(bytes, 0, VHDX_TABLE_BYTES);
    imgi_put_le32(bytes, VHDX_REGION_SIGNATURE);
    imgi_put_le32(bytes + VHDX_REGION_AT_COUNT, 2);
    put_entry(entries, &vhdx_region_bat, bat);
    put_entry(entries + VHDX_REGION_ENTRY_BYTES, &vhdx_region_metadata, metadata);
    imgi_put_le32(bytes + 4, vhdx_crc(bytes, VHDX_TABLE_BYTES));
}
