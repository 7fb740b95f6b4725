/*
 * New sparse extents. SPDX-License-Identifier: BSD-2-Clause
 *
 * They get all their tables at once, in front of the first grain, as QEMU and VMware lay them out:
 * header, descriptor, redundant directory and tables, directory and tables. A stream gets header
 * and descriptor only; the rest comes when it is finished (stream.c).
 */
#include "layout.h"
#include "vmdk.h"

/* Where writers put the descriptor. */
#define DESCRIPTOR_SECTOR 1u

/* Only a stream has version 3, and its directory at the end. */
static struct vmdk_header new_header(const struct vmdk_shape *shape)
{
    struct vmdk_header header = {
        .version = shape->zero_grains ? VMDK_VERSION_ZERO_GRAINS : VMDK_VERSION_BASE,
        .flags = VMDK_FLAG_NEWLINES | (shape->zero_grains ? VMDK_FLAG_ZERO_GRAINS : 0),
        .capacity = shape->size / VMDK_SECTOR,
        .grain_size = shape->grain / VMDK_SECTOR,
        .descriptor_offset = DESCRIPTOR_SECTOR,
        .descriptor_size = VMDK_DESCRIPTOR_ROOM / VMDK_SECTOR,
        .num_gtes = VMDK_NUM_GTES,
    };
    uint64_t end = DESCRIPTOR_SECTOR + header.descriptor_size, entries = vmdk_gd_entries(&header);
    uint64_t tables = entries * VMDK_TABLE_SECTORS;
    uint64_t directory = imgi_div_up(entries * 4, VMDK_SECTOR);

    if (shape->stream) {
        header.version = VMDK_VERSION_STREAM;
        header.flags |= VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS;
        header.compress_algorithm = VMDK_COMPRESS_DEFLATE;
        header.gd_offset = VMDK_GD_AT_END;
    } else {
        header.flags |= VMDK_FLAG_REDUNDANT;
        header.rgd_offset = end;
        header.gd_offset = end + directory + tables;
        end = header.gd_offset + directory + tables;
    }
    header.overhead = imgi_align_up(end, header.grain_size);
    return header;
}

/* A grain directory whose tables follow it, in order. */
static int write_directory(struct imgi_io *io, const struct vmdk_header *header, uint64_t sector,
                           img_error *err)
{
    uint64_t entries = vmdk_gd_entries(header);
    uint64_t table = sector + imgi_div_up(entries * 4, VMDK_SECTOR);
    uint8_t bytes[8 * VMDK_SECTOR];
    int rc = 0;

    for (uint64_t done = 0; rc == 0 && done < entries;) {
        size_t count = (size_t)IMGI_MIN(entries - done, sizeof(bytes) / 4);

        for (size_t i = 0; i < count; i++, table += VMDK_TABLE_SECTORS)
            imgi_put_le32(bytes + 4 * i, (uint32_t)table);
        rc = imgi_io_write(io, bytes, 4 * count, sector * VMDK_SECTOR + 4 * done, err);
        done += count;
    }
    return rc;
}

int vmdk_shape_header(const struct vmdk_shape *shape, struct vmdk_header *header, img_error *err)
{
    *header = new_header(shape);
    if (vmdk_gd_entries(header) > VMDK_GD_ENTRIES_MAX || header->overhead > VMDK_SECTORS_MAX)
        return imgi_fail(err, IMG_E_INVAL,
                         "a sparse extent with grains of %llu bytes cannot have a size of %llu "
                         "bytes",
                         (unsigned long long)shape->grain, (unsigned long long)shape->size);
    return 0;
}

int vmdk_extent_write(struct imgi_io *io, const struct vmdk_shape *shape,
                      const struct imgi_text *descriptor, img_error *err)
{
    struct vmdk_header header;
    uint8_t bytes[VMDK_HEADER_BYTES];
    int rc = vmdk_shape_header(shape, &header, err);

    if (rc < 0)
        return rc;
    rc = imgi_io_zero(io, 0, header.overhead * VMDK_SECTOR, true, err);
    if (rc == 0 && shape->stream)
        return vmdk_stream_start(io, &header, descriptor->bytes, descriptor->length, err);
    if (rc == 0 && descriptor)
        rc = imgi_io_write(io, descriptor->bytes, descriptor->length,
                           DESCRIPTOR_SECTOR * VMDK_SECTOR, err);
    if (rc == 0 && header.rgd_offset != 0)
        rc = write_directory(io, &header, header.rgd_offset, err);
    if (rc == 0 && header.gd_offset != VMDK_GD_AT_END)
        rc = write_directory(io, &header, header.gd_offset, err);
    if (rc < 0)
        return rc;
    vmdk_header_encode(&header, bytes);
    return imgi_io_write(io, bytes, sizeof(bytes), 0, err);
}
