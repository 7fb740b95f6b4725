/*
 * The last 512 bytes. SPDX-License-Identifier: BSD-2-Clause
 */
#include "dmg.h"

#define VERSION 4u

bool dmg_trailer_looks_like(const uint8_t bytes[DMG_TRAILER_BYTES])
{
    return imgi_get_be32(bytes) == DMG_TRAILER_MAGIC && imgi_get_be32(bytes + 4) == VERSION &&
           imgi_get_be32(bytes + 8) == DMG_TRAILER_BYTES;
}

void dmg_checksum_decode(const uint8_t *bytes, struct dmg_checksum *checksum)
{
    checksum->type = imgi_get_be32(bytes);
    checksum->bits = imgi_get_be32(bytes + 4);
    checksum->value = imgi_get_be32(bytes + 8);
}

void dmg_trailer_decode(const uint8_t bytes[DMG_TRAILER_BYTES], struct dmg_trailer *trailer)
{
    trailer->version = imgi_get_be32(bytes + 4);
    trailer->header_size = imgi_get_be32(bytes + 8);
    trailer->data_offset = imgi_get_be64(bytes + 24);
    trailer->data_length = imgi_get_be64(bytes + 32);
    trailer->resource_offset = imgi_get_be64(bytes + 40);
    trailer->resource_length = imgi_get_be64(bytes + 48);
    trailer->segment = imgi_get_be32(bytes + 56);
    trailer->segments = imgi_get_be32(bytes + 60);
    dmg_checksum_decode(bytes + 80, &trailer->data_checksum);
    trailer->xml_offset = imgi_get_be64(bytes + 216);
    trailer->xml_length = imgi_get_be64(bytes + 224);
    dmg_checksum_decode(bytes + 352, &trailer->master_checksum);
    trailer->sectors = imgi_get_be64(bytes + 492);
}

/* A part of the file before the trailer. */
static int check_part(const char *what, uint64_t offset, uint64_t length, uint64_t file_size,
                      img_error *err)
{
    if (imgi_span_ok(offset, length, file_size - DMG_TRAILER_BYTES))
        return 0;
    return imgi_fail(err, IMG_E_CORRUPT,
                     "UDIF trailer: the %s, %llu bytes at 0x%llx, is not inside the file (%llu "
                     "bytes)",
                     what, (unsigned long long)length, (unsigned long long)offset,
                     (unsigned long long)file_size);
}

int dmg_trailer_check(const struct dmg_trailer *trailer, uint64_t file_size, img_error *err)
{
    int rc;

    if (trailer->version != VERSION || trailer->header_size != DMG_TRAILER_BYTES)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "UDIF trailer of version %u and %u bytes, not %u and %u", trailer->version,
                         trailer->header_size, VERSION, DMG_TRAILER_BYTES);
    if (trailer->segments > 1)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the file is segment %u of %u of a disk image, which is not supported",
                         trailer->segment, trailer->segments);
    if (trailer->sectors > DMG_SECTORS_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "UDIF trailer: a disk of %llu sectors is too large",
                         (unsigned long long)trailer->sectors);
    if (trailer->resource_length == 0 && trailer->xml_length == 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "UDIF trailer: neither a property list nor a resource fork");
    rc = check_part("property list", trailer->xml_offset, trailer->xml_length, file_size, err);
    if (rc == 0)
        rc = check_part("resource fork", trailer->resource_offset, trailer->resource_length,
                        file_size, err);
    if (rc == 0)
        rc = check_part("data fork", trailer->data_offset, trailer->data_length, file_size, err);
    return rc;
}
