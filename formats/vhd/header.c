/*
 * The VHD footer and dynamic header: bytes to structs and back, and the rules.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "disk.h"

uint32_t vhd_checksum(const uint8_t *bytes, size_t length, size_t at)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i++)
        if (i < at || i >= at + 4)
            sum += bytes[i];
    return ~sum;
}

void vhd_footer_decode(const uint8_t bytes[VHD_FOOTER_BYTES], struct vhd_footer *footer)
{
    footer->features = imgi_get_be32(bytes + VHD_OFF_FEATURES);
    footer->version = imgi_get_be32(bytes + VHD_OFF_VERSION);
    footer->data_offset = imgi_get_be64(bytes + VHD_OFF_DATA_OFFSET);
    footer->timestamp = imgi_get_be32(bytes + VHD_OFF_TIMESTAMP);
    memcpy(footer->creator_app, bytes + VHD_OFF_CREATOR_APP, sizeof(footer->creator_app));
    footer->creator_version = imgi_get_be32(bytes + VHD_OFF_CREATOR_VERSION);
    memcpy(footer->creator_os, bytes + VHD_OFF_CREATOR_OS, sizeof(footer->creator_os));
    footer->original_size = imgi_get_be64(bytes + VHD_OFF_ORIGINAL_SIZE);
    footer->current_size = imgi_get_be64(bytes + VHD_OFF_CURRENT_SIZE);
    footer->cylinders = imgi_get_be16(bytes + VHD_OFF_CYLINDERS);
    footer->heads = bytes[VHD_OFF_HEADS];
    footer->sectors = bytes[VHD_OFF_SECTORS];
    footer->type = imgi_get_be32(bytes + VHD_OFF_TYPE);
    memcpy(footer->uuid, bytes + VHD_OFF_UUID, IMGI_UUID_BYTES);
}

void vhd_footer_encode(const struct vhd_footer *footer, uint8_t bytes[VHD_FOOTER_BYTES])
{
    memcpy(bytes + VHD_OFF_COOKIE, VHD_COOKIE, VHD_COOKIE_BYTES);
    imgi_put_be32(bytes + VHD_OFF_FEATURES, footer->features);
    imgi_put_be32(bytes + VHD_OFF_VERSION, footer->version);
    imgi_put_be64(bytes + VHD_OFF_DATA_OFFSET, footer->data_offset);
    imgi_put_be32(bytes + VHD_OFF_TIMESTAMP, footer->timestamp);
    memcpy(bytes + VHD_OFF_CREATOR_APP, footer->creator_app, sizeof(footer->creator_app));
    imgi_put_be32(bytes + VHD_OFF_CREATOR_VERSION, footer->creator_version);
    memcpy(bytes + VHD_OFF_CREATOR_OS, footer->creator_os, sizeof(footer->creator_os));
    imgi_put_be64(bytes + VHD_OFF_ORIGINAL_SIZE, footer->original_size);
    imgi_put_be64(bytes + VHD_OFF_CURRENT_SIZE, footer->current_size);
    imgi_put_be16(bytes + VHD_OFF_CYLINDERS, footer->cylinders);
    bytes[VHD_OFF_HEADS] = footer->heads;
    bytes[VHD_OFF_SECTORS] = footer->sectors;
    imgi_put_be32(bytes + VHD_OFF_TYPE, footer->type);
    memcpy(bytes + VHD_OFF_UUID, footer->uuid, IMGI_UUID_BYTES);
    imgi_put_be32(bytes + VHD_OFF_CHECKSUM,
                  vhd_checksum(bytes, VHD_FOOTER_BYTES, VHD_OFF_CHECKSUM));
}

int vhd_footer_check(const struct vhd_footer *footer, img_error *err)
{
    if (footer->version >> 16 != VHD_VERSION_1 >> 16)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "VHD footer: version %u.%u", footer->version >> 16,
                         footer->version & 0xffff);
    if (footer->type < VHD_TYPE_FIXED || footer->type > VHD_TYPE_DIFFERENCING)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "VHD footer: unknown disk type %u", footer->type);
    if (footer->current_size / VHD_SECTOR > VHD_SECTORS_MAX)
        return imgi_fail(err, IMG_E_LIMIT,
                         "VHD footer: a size of %llu bytes is more than the limit of %llu",
                         (unsigned long long)footer->current_size,
                         (unsigned long long)VHD_SECTORS_MAX * VHD_SECTOR);
    return 0;
}

int vhd_header_decode(const uint8_t bytes[VHD_HEADER_BYTES], struct vhd_header *header,
                      img_error *err)
{
    if (memcmp(bytes, VHD_HEADER_COOKIE, VHD_COOKIE_BYTES) != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "VHD dynamic header: it does not begin with \"%s\"",
                         VHD_HEADER_COOKIE);
    header->bat_offset = imgi_get_be64(bytes + VHD_OFF_BAT_OFFSET);
    header->version = imgi_get_be32(bytes + VHD_OFF_HEADER_VERSION);
    header->bat_entries = imgi_get_be32(bytes + VHD_OFF_BAT_ENTRIES);
    header->block_size = imgi_get_be32(bytes + VHD_OFF_BLOCK_SIZE);
    memcpy(header->parent_uuid, bytes + VHD_OFF_PARENT_UUID, IMGI_UUID_BYTES);
    memcpy(header->parent_name, bytes + VHD_OFF_PARENT_NAME, VHD_PARENT_NAME_BYTES);
    for (size_t i = 0; i < VHD_LOCATORS; i++) {
        const uint8_t *at = bytes + VHD_OFF_LOCATORS + i * VHD_LOCATOR_BYTES;

        header->locators[i].code = imgi_get_be32(at);
        header->locators[i].space = imgi_get_be32(at + 4);
        header->locators[i].length = imgi_get_be32(at + 8);
        header->locators[i].offset = imgi_get_be64(at + 16);
    }
    return 0;
}

void vhd_header_encode(const struct vhd_header *header, uint8_t bytes[VHD_HEADER_BYTES])
{
    memcpy(bytes, VHD_HEADER_COOKIE, VHD_COOKIE_BYTES);
    imgi_put_be64(bytes + VHD_OFF_HEADER_DATA_OFFSET, VHD_NO_OFFSET);
    imgi_put_be64(bytes + VHD_OFF_BAT_OFFSET, header->bat_offset);
    imgi_put_be32(bytes + VHD_OFF_HEADER_VERSION, header->version);
    imgi_put_be32(bytes + VHD_OFF_BAT_ENTRIES, header->bat_entries);
    imgi_put_be32(bytes + VHD_OFF_BLOCK_SIZE, header->block_size);
    memcpy(bytes + VHD_OFF_PARENT_UUID, header->parent_uuid, IMGI_UUID_BYTES);
    imgi_put_be32(bytes + VHD_OFF_HEADER_CHECKSUM,
                  vhd_checksum(bytes, VHD_HEADER_BYTES, VHD_OFF_HEADER_CHECKSUM));
}

int vhd_header_check(const struct vhd_header *header, uint64_t size, img_error *err)
{
    uint64_t room = (uint64_t)header->bat_entries * header->block_size;

    if (header->version >> 16 != VHD_VERSION_1 >> 16)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "VHD dynamic header: version %u.%u",
                         header->version >> 16, header->version & 0xffff);
    if (!imgi_is_pow2(header->block_size) || header->block_size < VHD_BLOCK_SIZE_MIN ||
        header->block_size > VHD_BLOCK_SIZE_MAX)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "VHD dynamic header: Invalid block size %u: no power of two from %u to %u",
                         header->block_size, VHD_BLOCK_SIZE_MIN, VHD_BLOCK_SIZE_MAX);
    if (header->bat_offset % VHD_SECTOR != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "VHD dynamic header: the BAT at 0x%llx is not aligned",
                         (unsigned long long)header->bat_offset);
    if (size > room)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "VHD dynamic header: a BAT of %u entries is too small for a disk of %llu "
                         "bytes",
                         header->bat_entries, (unsigned long long)size);
    return 0;
}
