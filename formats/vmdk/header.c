/*
 * Hosted sparse header and stream markers: bytes to structs and back, and the rules.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "disk.h"

static const uint8_t newline_test[4] = {'\n', ' ', '\r', '\n'};

const char *vmdk_magic_name(const uint8_t bytes[8])
{
    uint32_t magic = imgi_get_le32(bytes);

    if (magic == VMDK_MAGIC)
        return "SPARSE (KDMV)";
    if (magic == VMDK_COWD_MAGIC)
        return "VMFSSPARSE (COWD)";
    return imgi_get_le64(bytes) == VMDK_SESPARSE_MAGIC ? "SESPARSE" : NULL;
}

int vmdk_fail_magic(const uint8_t bytes[8], const char *wanted, img_error *err)
{
    const char *found = vmdk_magic_name(bytes);

    if (found)
        return imgi_fail(err, IMG_E_FORMAT, "no %s extent: it is %s", wanted, found);
    return imgi_fail(err, IMG_E_FORMAT, "no %s extent: the file begins with 0x%016llx", wanted,
                     (unsigned long long)imgi_get_le64(bytes));
}

int vmdk_header_decode(const uint8_t bytes[VMDK_HEADER_BYTES], struct vmdk_header *header,
                       img_error *err)
{
    uint32_t magic = imgi_get_le32(bytes + VMDK_OFF_MAGIC);

    if (magic != VMDK_MAGIC)
        return vmdk_fail_magic(bytes, "SPARSE (KDMV)", err);
    header->version = imgi_get_le32(bytes + VMDK_OFF_VERSION);
    header->flags = imgi_get_le32(bytes + VMDK_OFF_FLAGS);
    header->capacity = imgi_get_le64(bytes + VMDK_OFF_CAPACITY);
    header->grain_size = imgi_get_le64(bytes + VMDK_OFF_GRAIN_SIZE);
    header->descriptor_offset = imgi_get_le64(bytes + VMDK_OFF_DESCRIPTOR_OFFSET);
    header->descriptor_size = imgi_get_le64(bytes + VMDK_OFF_DESCRIPTOR_SIZE);
    header->num_gtes = imgi_get_le32(bytes + VMDK_OFF_NUM_GTES);
    header->rgd_offset = imgi_get_le64(bytes + VMDK_OFF_RGD_OFFSET);
    header->gd_offset = imgi_get_le64(bytes + VMDK_OFF_GD_OFFSET);
    header->overhead = imgi_get_le64(bytes + VMDK_OFF_OVERHEAD);
    header->unclean_shutdown = bytes[VMDK_OFF_UNCLEAN] != 0;
    memcpy(header->newlines, bytes + VMDK_OFF_NEWLINES, sizeof(header->newlines));
    header->compress_algorithm = imgi_get_le16(bytes + VMDK_OFF_COMPRESS);
    return 0;
}

void vmdk_header_put(const struct vmdk_header *header, uint8_t bytes[VMDK_HEADER_BYTES])
{
    imgi_put_le32(bytes + VMDK_OFF_MAGIC, VMDK_MAGIC);
    imgi_put_le32(bytes + VMDK_OFF_VERSION, header->version);
    imgi_put_le32(bytes + VMDK_OFF_FLAGS, header->flags);
    imgi_put_le64(bytes + VMDK_OFF_CAPACITY, header->capacity);
    imgi_put_le64(bytes + VMDK_OFF_GRAIN_SIZE, header->grain_size);
    imgi_put_le64(bytes + VMDK_OFF_DESCRIPTOR_OFFSET, header->descriptor_offset);
    imgi_put_le64(bytes + VMDK_OFF_DESCRIPTOR_SIZE, header->descriptor_size);
    imgi_put_le32(bytes + VMDK_OFF_NUM_GTES, header->num_gtes);
    imgi_put_le64(bytes + VMDK_OFF_RGD_OFFSET, header->rgd_offset);
    imgi_put_le64(bytes + VMDK_OFF_GD_OFFSET, header->gd_offset);
    imgi_put_le64(bytes + VMDK_OFF_OVERHEAD, header->overhead);
    bytes[VMDK_OFF_UNCLEAN] = header->unclean_shutdown;
    imgi_put_le16(bytes + VMDK_OFF_COMPRESS, header->compress_algorithm);
}

void vmdk_header_encode(const struct vmdk_header *header, uint8_t bytes[VMDK_HEADER_BYTES])
{
    memset(bytes, 0, VMDK_HEADER_BYTES);
    vmdk_header_put(header, bytes);
    memcpy(bytes + VMDK_OFF_NEWLINES, newline_test, sizeof(newline_test));
}

uint64_t vmdk_gd_entries(const struct vmdk_header *header)
{
    return imgi_div_up(header->capacity, header->grain_size * header->num_gtes);
}

/* Version, flags, and whether they agree with one another. */
static int check_kind(const struct vmdk_header *header, img_error *err)
{
    bool deflate = header->compress_algorithm == VMDK_COMPRESS_DEFLATE;

    if (header->version < VMDK_VERSION_BASE || header->version > VMDK_VERSION_STREAM)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "sparse extent version %u", header->version);
    if (header->flags & ~VMDK_FLAGS_UNDERSTOOD)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "sparse extent header: unknown flags 0x%x",
                         header->flags & ~VMDK_FLAGS_UNDERSTOOD);
    if ((header->flags & VMDK_FLAG_NEWLINES) &&
        memcmp(header->newlines, newline_test, sizeof(newline_test)) != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "sparse extent header: line ends have been changed (%02x %02x %02x %02x): "
                         "the file was transferred as if it were text",
                         header->newlines[0], header->newlines[1], header->newlines[2],
                         header->newlines[3]);
    if (header->compress_algorithm > VMDK_COMPRESS_DEFLATE)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "sparse extent header: compression algorithm %u",
                         header->compress_algorithm);
    if (deflate != vmdk_is_stream(header))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "sparse extent header: flags 0x%x contradict compression algorithm %u",
                         header->flags, header->compress_algorithm);
    if (deflate != ((header->flags & VMDK_FLAG_MARKERS) != 0))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "sparse extent header: flags 0x%x: compressed grains and markers are "
                         "supported only together",
                         header->flags);
    return 0;
}

static int check_shape(const struct vmdk_header *header, img_error *err)
{
    uint64_t limit =
        vmdk_is_stream(header) ? VMDK_PACKED_GRAIN_SECTORS_MAX : VMDK_GRAIN_SECTORS_MAX;

    if (!imgi_is_pow2(header->grain_size) || header->grain_size < VMDK_GRAIN_SECTORS_MIN ||
        header->grain_size > limit)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "sparse extent header: grain size of %llu sectors is no power of two from "
                         "%u to %llu",
                         (unsigned long long)header->grain_size, VMDK_GRAIN_SECTORS_MIN,
                         (unsigned long long)limit);
    if (header->num_gtes != VMDK_NUM_GTES)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "sparse extent header: %u entries a grain table instead of %u",
                         header->num_gtes, VMDK_NUM_GTES);
    if (header->capacity == 0 || header->capacity > INT64_MAX / VMDK_SECTOR)
        return imgi_fail(err, IMG_E_CORRUPT, "sparse extent header: capacity of %llu sectors",
                         (unsigned long long)header->capacity);
    if (vmdk_gd_entries(header) > VMDK_GD_ENTRIES_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "grain directory: %llu entries exceed the limit of %u",
                         (unsigned long long)vmdk_gd_entries(header), VMDK_GD_ENTRIES_MAX);
    return 0;
}

/* One thing of the file's metadata, in sectors. */
struct region {
    const char *what;
    uint64_t offset, count;
};

static int check_place(const struct region *region, uint64_t file_size, img_error *err)
{
    if (imgi_span_ok(region->offset, region->count, imgi_div_up(file_size, VMDK_SECTOR)))
        return 0;
    return imgi_fail(err, IMG_E_CORRUPT,
                     "sparse extent header: %s of %llu sectors at sector %llu is not inside the "
                     "file (%llu bytes)",
                     region->what, (unsigned long long)region->count,
                     (unsigned long long)region->offset, (unsigned long long)file_size);
}

/* No two of them share a sector. */
static int check_overlaps(const struct region *regions, size_t count, img_error *err)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (vmdk_overlaps(regions[i].offset, regions[i].count, regions[j].offset,
                              regions[j].count))
                return imgi_fail(
                    err, IMG_E_CORRUPT, "sparse extent header: %s at sector %llu overlaps the %s",
                    regions[i].what, (unsigned long long)regions[i].offset, regions[j].what);
        }
    }
    return 0;
}

int vmdk_header_check(const struct vmdk_header *header, uint64_t file_size, img_error *err)
{
    struct region regions[4] = {{"header", 0, 1}};
    uint64_t gd_sectors;
    size_t count = 1;
    int rc = check_kind(header, err);

    if (rc == 0)
        rc = check_shape(header, err);
    if (rc < 0)
        return rc;
    if (header->descriptor_offset != 0 &&
        header->descriptor_size > VMDK_DESCRIPTOR_BYTES_MAX / VMDK_SECTOR)
        return imgi_fail(err, IMG_E_LIMIT,
                         "sparse extent header: descriptor of %llu sectors is longer than %u bytes",
                         (unsigned long long)header->descriptor_size, VMDK_DESCRIPTOR_BYTES_MAX);
    gd_sectors = imgi_div_up(vmdk_gd_entries(header) * 4, VMDK_SECTOR);
    if (header->descriptor_offset != 0)
        regions[count++] =
            (struct region){"descriptor", header->descriptor_offset, header->descriptor_size};
    if (header->flags & VMDK_FLAG_REDUNDANT)
        regions[count++] =
            (struct region){"redundant grain directory", header->rgd_offset, gd_sectors};
    if (header->gd_offset != VMDK_GD_AT_END || !vmdk_is_stream(header))
        regions[count++] = (struct region){"grain directory", header->gd_offset, gd_sectors};
    for (size_t i = 1; rc == 0 && i < count; i++)
        rc = check_place(&regions[i], file_size, err);
    return rc < 0 ? rc : check_overlaps(regions, count, err);
}

void vmdk_marker_decode(const uint8_t bytes[VMDK_MARKER_BYTES], struct vmdk_marker *marker)
{
    marker->value = imgi_get_le64(bytes);
    marker->size = imgi_get_le32(bytes + 8);
    marker->type = marker->size == 0 ? imgi_get_le32(bytes + 12) : 0;
}

void vmdk_marker_encode(const struct vmdk_marker *marker, uint8_t bytes[VMDK_SECTOR])
{
    memset(bytes, 0, VMDK_SECTOR);
    imgi_put_le64(bytes, marker->value);
    imgi_put_le32(bytes + 8, marker->size);
    imgi_put_le32(bytes + 12, marker->type);
}
