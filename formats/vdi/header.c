/*
 * The VDI header: bytes to a struct and back, and the rules. SPDX-License-Identifier: BSD-2-Clause
 */
#include "disk.h"

int vdi_header_decode(const uint8_t bytes[VDI_HEADER_BYTES], struct vdi_header *header,
                      img_error *err)
{
    uint32_t signature = imgi_get_le32(bytes + VDI_OFF_SIGNATURE);

    if (signature != VDI_SIGNATURE)
        return imgi_fail(err, IMG_E_FORMAT, "Image not in VDI format (bad signature %08x)",
                         signature);
    header->version = imgi_get_le32(bytes + VDI_OFF_VERSION);
    header->header_size = imgi_get_le32(bytes + VDI_OFF_HEADER_SIZE);
    header->type = imgi_get_le32(bytes + VDI_OFF_TYPE);
    header->offset_bmap = imgi_get_le32(bytes + VDI_OFF_OFFSET_BMAP);
    header->offset_data = imgi_get_le32(bytes + VDI_OFF_OFFSET_DATA);
    header->sector_size = imgi_get_le32(bytes + VDI_OFF_SECTOR_SIZE);
    header->disk_size = imgi_get_le64(bytes + VDI_OFF_DISK_SIZE);
    header->block_size = imgi_get_le32(bytes + VDI_OFF_BLOCK_SIZE);
    header->block_extra = imgi_get_le32(bytes + VDI_OFF_BLOCK_EXTRA);
    header->blocks = imgi_get_le32(bytes + VDI_OFF_BLOCKS);
    header->blocks_allocated = imgi_get_le32(bytes + VDI_OFF_BLOCKS_ALLOCATED);
    memcpy(header->uuid_image, bytes + VDI_OFF_UUID_IMAGE, IMGI_UUID_BYTES);
    memcpy(header->uuid_modify, bytes + VDI_OFF_UUID_MODIFY, IMGI_UUID_BYTES);
    memcpy(header->uuid_link, bytes + VDI_OFF_UUID_LINK, IMGI_UUID_BYTES);
    memcpy(header->uuid_parent, bytes + VDI_OFF_UUID_PARENT, IMGI_UUID_BYTES);
    return 0;
}

void vdi_header_encode(const struct vdi_header *header, uint8_t bytes[VDI_HEADER_BYTES])
{
    imgi_put_le32(bytes + VDI_OFF_SIGNATURE, VDI_SIGNATURE);
    imgi_put_le32(bytes + VDI_OFF_VERSION, header->version);
    imgi_put_le32(bytes + VDI_OFF_HEADER_SIZE, header->header_size);
    imgi_put_le32(bytes + VDI_OFF_TYPE, header->type);
    imgi_put_le32(bytes + VDI_OFF_OFFSET_BMAP, header->offset_bmap);
    imgi_put_le32(bytes + VDI_OFF_OFFSET_DATA, header->offset_data);
    imgi_put_le32(bytes + VDI_OFF_SECTOR_SIZE, header->sector_size);
    imgi_put_le64(bytes + VDI_OFF_DISK_SIZE, header->disk_size);
    imgi_put_le32(bytes + VDI_OFF_BLOCK_SIZE, header->block_size);
    imgi_put_le32(bytes + VDI_OFF_BLOCK_EXTRA, header->block_extra);
    imgi_put_le32(bytes + VDI_OFF_BLOCKS, header->blocks);
    imgi_put_le32(bytes + VDI_OFF_BLOCKS_ALLOCATED, header->blocks_allocated);
    memcpy(bytes + VDI_OFF_UUID_IMAGE, header->uuid_image, IMGI_UUID_BYTES);
    memcpy(bytes + VDI_OFF_UUID_MODIFY, header->uuid_modify, IMGI_UUID_BYTES);
    memcpy(bytes + VDI_OFF_UUID_LINK, header->uuid_link, IMGI_UUID_BYTES);
    memcpy(bytes + VDI_OFF_UUID_PARENT, header->uuid_parent, IMGI_UUID_BYTES);
}

static int check_kind(const struct vdi_header *header, img_error *err)
{
    if (header->version != VDI_VERSION_1_1)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "unsupported VDI image (version %u.%u)",
                         header->version >> 16, header->version & 0xffff);
    if (header->header_size < VDI_HEADER_SIZE)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "VDI header: a header size of %u bytes is less than %u",
                         header->header_size, VDI_HEADER_SIZE);
    if (header->type == VDI_TYPE_UNDO)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "undo images (VDI type 3) are not supported");
    if (header->type < VDI_TYPE_DYNAMIC || header->type > VDI_TYPE_DIFFERENCING)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "VDI header: unknown image type %u", header->type);
    if (header->sector_size != VDI_SECTOR)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "unsupported VDI image (sector size %u is not %u)",
                         header->sector_size, VDI_SECTOR);
    if (header->block_extra != 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "VDI header: %u extra bytes in front of each block are not supported",
                         header->block_extra);
    return 0;
}

static int check_shape(const struct vdi_header *header, img_error *err)
{
    uint64_t room = (uint64_t)header->blocks * header->block_size;

    if (!imgi_is_pow2(header->block_size) || header->block_size < VDI_BLOCK_SIZE_MIN ||
        header->block_size > VDI_BLOCK_SIZE_MAX)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "unsupported VDI image (block size %u is no power of two from %u to %u)",
                         header->block_size, VDI_BLOCK_SIZE_MIN, VDI_BLOCK_SIZE_MAX);
    if (header->blocks > VDI_BLOCKS_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "unsupported VDI image (too many blocks %u, max is %u)",
                         header->blocks, VDI_BLOCKS_MAX);
    if (header->disk_size > room)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "unsupported VDI image (disk size %llu, image bitmap has room for %llu)",
                         (unsigned long long)header->disk_size, (unsigned long long)room);
    return 0;
}

int vdi_header_check(const struct vdi_header *header, img_error *err)
{
    int rc = check_kind(header, err);

    if (rc == 0)
        rc = check_shape(header, err);
    if (rc < 0)
        return rc;
    if (header->offset_bmap % VDI_SECTOR != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "unsupported VDI image (unaligned block map offset 0x%x)",
                         header->offset_bmap);
    if (header->offset_data % VDI_SECTOR != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "unsupported VDI image (unaligned data offset 0x%x)",
                         header->offset_data);
    if (header->offset_bmap < VDI_HEADER_BYTES)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "VDI header: the block map at 0x%x overlaps the header",
                         header->offset_bmap);
    if (!imgi_span_ok(header->offset_bmap, 4 * (uint64_t)header->blocks, header->offset_data))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "VDI header: the block map of %u entries at 0x%x overlaps the blocks, "
                         "which begin at 0x%x",
                         header->blocks, header->offset_bmap, header->offset_data);
    return 0;
}
