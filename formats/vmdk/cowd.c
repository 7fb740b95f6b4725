/*
 * ESX redo logs (COWD): the extents of vmfsSparse images. SPDX-License-Identifier: BSD-2-Clause
 *
 * A grain directory and grain tables as a hosted sparse extent has them, behind another header: so
 * once that has been read the extent is a struct vmdk_sparse like others. There are no redundant
 * tables and no entries for zeros. Tables and grains lie where they were needed, in no alignment.
 *
 * The header's freeSector is where ESX goes on writing. It is on the disk before any table that
 * names what lies before it, so that nothing is ever put over a grain. Our own writing goes on at
 * the end of the file, wherever a crash has left freeSector.
 */
#include <stdlib.h>

#include "vmdk.h"

int vmdk_cowd_decode(const uint8_t bytes[VMDK_COWD_HEADER_BYTES], struct vmdk_cowd_header *header,
                     img_error *err)
{
    if (imgi_get_le32(bytes) != VMDK_COWD_MAGIC)
        return vmdk_fail_magic(bytes, "VMFSSPARSE (COWD)", err);
    header->version = imgi_get_le32(bytes + VMDK_COWD_OFF_VERSION);
    header->flags = imgi_get_le32(bytes + VMDK_COWD_OFF_FLAGS);
    header->capacity = imgi_get_le32(bytes + VMDK_COWD_OFF_CAPACITY);
    header->grain_size = imgi_get_le32(bytes + VMDK_COWD_OFF_GRAIN_SIZE);
    header->gd_offset = imgi_get_le32(bytes + VMDK_COWD_OFF_GD_OFFSET);
    header->gd_entries = imgi_get_le32(bytes + VMDK_COWD_OFF_GD_ENTRIES);
    header->free_sector = imgi_get_le32(bytes + VMDK_COWD_OFF_FREE_SECTOR);
    header->cylinders = imgi_get_le32(bytes + VMDK_COWD_OFF_GEOMETRY);
    header->heads = imgi_get_le32(bytes + VMDK_COWD_OFF_GEOMETRY + 4);
    header->sectors = imgi_get_le32(bytes + VMDK_COWD_OFF_GEOMETRY + 8);
    header->unclean_shutdown = imgi_get_le32(bytes + VMDK_COWD_OFF_UNCLEAN);
    return 0;
}

void vmdk_cowd_encode(const struct vmdk_cowd_header *header, uint8_t bytes[VMDK_COWD_HEADER_BYTES])
{
    memset(bytes, 0, VMDK_COWD_HEADER_BYTES);
    imgi_put_le32(bytes, VMDK_COWD_MAGIC);
    imgi_put_le32(bytes + VMDK_COWD_OFF_VERSION, header->version);
    imgi_put_le32(bytes + VMDK_COWD_OFF_FLAGS, header->flags);
    imgi_put_le32(bytes + VMDK_COWD_OFF_CAPACITY, header->capacity);
    imgi_put_le32(bytes + VMDK_COWD_OFF_GRAIN_SIZE, header->grain_size);
    imgi_put_le32(bytes + VMDK_COWD_OFF_GD_OFFSET, header->gd_offset);
    imgi_put_le32(bytes + VMDK_COWD_OFF_GD_ENTRIES, header->gd_entries);
    imgi_put_le32(bytes + VMDK_COWD_OFF_FREE_SECTOR, header->free_sector);
    imgi_put_le32(bytes + VMDK_COWD_OFF_GEOMETRY, header->cylinders);
    imgi_put_le32(bytes + VMDK_COWD_OFF_GEOMETRY + 4, header->heads);
    imgi_put_le32(bytes + VMDK_COWD_OFF_GEOMETRY + 8, header->sectors);
    imgi_put_le32(bytes + VMDK_COWD_OFF_UNCLEAN, header->unclean_shutdown);
}

/* Directory entries that the capacity needs; the header may have more of them. */
static uint64_t entries_needed(const struct vmdk_cowd_header *header)
{
    return imgi_div_up(header->capacity, (uint64_t)header->grain_size * VMDK_COWD_NUM_GTES);
}

/* The sector behind the directory. */
static uint64_t directory_end(const struct vmdk_cowd_header *header)
{
    return header->gd_offset + imgi_div_up((uint64_t)header->gd_entries * 4, VMDK_SECTOR);
}

/* No grain begins before it. A directory that has grown lies among the grains. */
static uint64_t first_grain(const struct vmdk_cowd_header *header)
{
    const uint32_t behind = VMDK_COWD_HEADER_BYTES / VMDK_SECTOR;

    return header->gd_offset == behind ? directory_end(header) : behind;
}

static int check_shape(const struct vmdk_cowd_header *header, img_error *err)
{
    if (header->version != VMDK_COWD_VERSION)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "COWD header: version %u", header->version);
    if (header->flags != VMDK_COWD_FLAGS)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "COWD header: flags 0x%x instead of 0x%x",
                         header->flags, VMDK_COWD_FLAGS);
    if (header->capacity == 0)
        return imgi_fail(err, IMG_E_CORRUPT, "COWD header: capacity of 0 sectors");
    if (!imgi_is_pow2(header->grain_size) || header->grain_size > VMDK_COWD_GRAIN_SECTORS_MAX)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "COWD header: grain size of %u sectors is no power of two up to %u",
                         header->grain_size, VMDK_COWD_GRAIN_SECTORS_MAX);
    return 0;
}

int vmdk_cowd_check(const struct vmdk_cowd_header *header, uint64_t file_size, img_error *err)
{
    int rc = check_shape(header, err);

    if (rc < 0)
        return rc;
    if (header->gd_entries < entries_needed(header))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "COWD header: %u directory entries, fewer than the %llu that %u sectors "
                         "need",
                         header->gd_entries, (unsigned long long)entries_needed(header),
                         header->capacity);
    if (header->gd_offset < VMDK_COWD_HEADER_BYTES / VMDK_SECTOR ||
        directory_end(header) > imgi_div_up(file_size, VMDK_SECTOR))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "COWD header: a directory of %u entries at sector %u is not inside the "
                         "file (%llu bytes), behind the header",
                         header->gd_entries, header->gd_offset, (unsigned long long)file_size);
    if (header->free_sector < directory_end(header))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "COWD header: the next free sector, %u, lies before the directory's end, "
                         "%llu",
                         header->free_sector, (unsigned long long)directory_end(header));
    return 0;
}

int vmdk_cowd_read_header(struct vmdk_sparse *sparse, uint64_t *file_size, img_error *err)
{
    uint8_t bytes[VMDK_COWD_HEADER_BYTES];
    struct vmdk_cowd_header header;
    int rc = imgi_io_size(sparse->io, file_size, err);

    if (rc == 0 && *file_size < sizeof(bytes))
        return imgi_fail(err, IMG_E_FORMAT,
                         "no VMFSSPARSE (COWD) extent: the file has only %llu bytes",
                         (unsigned long long)*file_size);
    if (rc == 0)
        rc = imgi_io_read(sparse->io, bytes, sizeof(bytes), 0, err);
    if (rc == 0)
        rc = vmdk_cowd_decode(bytes, &header, err);
    if (rc == 0)
        rc = vmdk_cowd_check(&header, *file_size, err);
    if (rc < 0)
        return rc;
    sparse->cowd = true;
    sparse->header_sectors = sizeof(bytes) / VMDK_SECTOR;
    sparse->free_sector = header.free_sector;
    sparse->header = (struct vmdk_header){.version = VMDK_VERSION_BASE,
                                          .capacity = header.capacity,
                                          .grain_size = header.grain_size,
                                          .num_gtes = VMDK_COWD_NUM_GTES,
                                          .gd_offset = header.gd_offset,
                                          .overhead = first_grain(&header),
                                          .unclean_shutdown = header.unclean_shutdown != 0};
    return 0;
}

int vmdk_cowd_store(const struct vmdk_sparse *sparse, img_error *err)
{
    uint8_t bytes[VMDK_SECTOR];
    int rc = imgi_io_read(sparse->io, bytes, sizeof(bytes), 0, err);

    if (rc < 0)
        return rc;
    imgi_put_le32(bytes + VMDK_COWD_OFF_CAPACITY, (uint32_t)sparse->header.capacity);
    imgi_put_le32(bytes + VMDK_COWD_OFF_GD_OFFSET, (uint32_t)sparse->header.gd_offset);
    imgi_put_le32(bytes + VMDK_COWD_OFF_GD_ENTRIES, (uint32_t)vmdk_gd_entries(&sparse->header));
    return imgi_io_write(sparse->io, bytes, sizeof(bytes), 0, err);
}

int vmdk_cowd_settle(struct vmdk_sparse *sparse, img_error *err)
{
    uint32_t free_sector = (uint32_t)(sparse->next / VMDK_SECTOR);
    uint8_t bytes[4];
    int rc;

    if (sparse->free_sector == free_sector)
        return 0;
    imgi_put_le32(bytes, free_sector);
    rc = imgi_io_write(sparse->io, bytes, sizeof(bytes), VMDK_COWD_OFF_FREE_SECTOR, err);
    if (rc == 0)
        sparse->free_sector = free_sector;
    return rc;
}

int vmdk_cowd_create(struct imgi_io *io, uint64_t size, img_error *err)
{
    uint64_t capacity = size / VMDK_SECTOR;
    struct vmdk_cowd_header header = {.version = VMDK_COWD_VERSION,
                                      .flags = VMDK_COWD_FLAGS,
                                      .grain_size = VMDK_COWD_GRAIN_SECTORS,
                                      .gd_offset = VMDK_COWD_HEADER_BYTES / VMDK_SECTOR,
                                      .heads = 255,
                                      .sectors = 63};
    uint8_t bytes[VMDK_COWD_HEADER_BYTES];
    int rc;

    if (capacity > VMDK_SECTORS_MAX)
        return imgi_fail(err, IMG_E_INVAL,
                         "a vmfsSparse image cannot have a size of %llu bytes: sectors have 32-bit "
                         "numbers",
                         (unsigned long long)size);
    header.capacity = (uint32_t)capacity;
    header.cylinders = header.capacity / (header.heads * header.sectors);
    header.gd_entries = (uint32_t)entries_needed(&header);
    header.free_sector = (uint32_t)directory_end(&header);
    rc = imgi_io_zero(io, 0, directory_end(&header) * VMDK_SECTOR, true, err);
    if (rc < 0)
        return rc;
    vmdk_cowd_encode(&header, bytes);
    return imgi_io_write(io, bytes, sizeof(bytes), 0, err);
}
