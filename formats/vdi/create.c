/*
 * Making an empty VDI image. SPDX-License-Identifier: BSD-2-Clause
 *
 * Laid out as QEMU does it: the header, the map behind it, the blocks behind that.
 */
#include "vdi.h"

#define TEXT "<<< QEMU VM Virtual Disk Image >>>\n"
/* The map is written by so many bytes. */
#define MAP_STEP 4096u

const struct imgi_opt vdi_create_options[] = {
    {"size", IMGI_OPT_SIZE, NULL, "Virtual disk size", false},
    {"static", IMGI_OPT_BOOL, "off", "VDI static (pre-allocated) image", false},
    {"extent_size_hint", IMGI_OPT_SIZE, NULL, "Extent size hint for the image file, 0 to disable",
     true},
    {"nocow", IMGI_OPT_BOOL, NULL, "Turn off copy-on-write (valid only on btrfs)", true},
    {"preallocation", IMGI_OPT_STRING, NULL,
     "Preallocation mode (allowed values: off, falloc, full)", true},
    {0},
};

/* The same options make the same identifiers. */
static void choose_uuids(struct vdi_header *header)
{
    uint64_t seed = imgi_ident_mix(imgi_ident_seed(), "vdi", 3);

    seed = imgi_ident_mix(seed, &header->disk_size, sizeof(header->disk_size));
    seed = imgi_ident_mix(seed, &header->type, sizeof(header->type));
    imgi_ident_uuid(&seed, header->uuid_image);
    imgi_ident_uuid(&seed, header->uuid_modify);
    imgi_uuid_swap(header->uuid_image);
    imgi_uuid_swap(header->uuid_modify);
}

static int make_header(const struct imgi_create *create, struct vdi_header *header, img_error *err)
{
    bool fixed = imgi_options_bool(create->options, create->table, "static");
    uint64_t max = (uint64_t)VDI_BLOCKS_MAX * VDI_BLOCK_SIZE;

    if (create->backing_name)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Backing file not supported for file format 'vdi'");
    if (create->size > max)
        return imgi_fail(err, IMG_E_INVAL,
                         "Unsupported VDI image size (size is 0x%llx, max supported is 0x%llx)",
                         (unsigned long long)create->size, (unsigned long long)max);
    *header = (struct vdi_header){
        .version = VDI_VERSION_1_1,
        .header_size = VDI_HEADER_SIZE,
        .type = fixed ? VDI_TYPE_STATIC : VDI_TYPE_DYNAMIC,
        .offset_bmap = VDI_HEADER_BYTES,
        .sector_size = VDI_SECTOR,
        .disk_size = imgi_align_up(create->size, VDI_SECTOR),
        .block_size = VDI_BLOCK_SIZE,
        .blocks = (uint32_t)imgi_div_up(create->size, VDI_BLOCK_SIZE),
    };
    header->offset_data = header->offset_bmap + (uint32_t)vdi_map_bytes(header->blocks);
    header->blocks_allocated = fixed ? header->blocks : 0;
    choose_uuids(header);
    return 0;
}

/* All blocks in a row, or none. */
static int write_map(const struct imgi_create *create, const struct vdi_header *header,
                     img_error *err)
{
    uint8_t bytes[MAP_STEP];
    int rc = 0;

    for (uint32_t block = 0; rc == 0 && block < header->blocks;) {
        uint32_t count = IMGI_MIN(header->blocks - block, MAP_STEP / 4), first = block;

        for (; block < first + count; block++)
            imgi_put_le32(bytes + 4 * (size_t)(block - first),
                          header->type == VDI_TYPE_STATIC ? block : VDI_ENTRY_ABSENT);
        rc = imgi_io_write(create->file, bytes, 4 * (size_t)count,
                           header->offset_bmap + 4 * (uint64_t)first, err);
    }
    return rc;
}

int vdi_create(struct imgi_create *create, img_error *err)
{
    uint8_t bytes[VDI_HEADER_BYTES] = {0};
    enum imgi_prealloc mode;
    struct vdi_header header;
    uint64_t data;
    int rc = imgi_file_prealloc_parse(
        imgi_options_string(create->options, create->table, "preallocation"), &mode, err);

    if (rc == 0)
        rc = make_header(create, &header, err);
    if (rc < 0)
        return rc;
    data = (uint64_t)header.blocks_allocated * header.block_size;
    rc = imgi_io_zero(create->file, 0, header.offset_data, true, err);
    if (rc == 0 && data > 0)
        rc = imgi_io_resize(create->file, header.offset_data + data, mode, err);
    if (rc == 0)
        rc = write_map(create, &header, err);
    if (rc < 0)
        return rc;
    memcpy(bytes + VDI_OFF_TEXT, TEXT, sizeof(TEXT) - 1);
    vdi_header_encode(&header, bytes);
    return imgi_io_write(create->file, bytes, sizeof(bytes), 0, err);
}

int vdi_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err)
{
    bool fixed = imgi_options_bool(measure->options, measure->table, "static");
    uint64_t max = (uint64_t)VDI_BLOCKS_MAX * VDI_BLOCK_SIZE, blocks, data = 0, front;
    int rc = 0;

    if (measure->size > max)
        return imgi_fail(err, IMG_E_INVAL,
                         "Unsupported VDI image size (size is 0x%llx, max supported is 0x%llx)",
                         (unsigned long long)measure->size, (unsigned long long)max);
    if (!fixed)
        rc = imgi_measure_data(measure, VDI_BLOCK_SIZE, &data, err);
    blocks = imgi_div_up(measure->size, VDI_BLOCK_SIZE);
    front = VDI_HEADER_BYTES + vdi_map_bytes((uint32_t)blocks);
    result->fully_allocated = front + blocks * VDI_BLOCK_SIZE;
    result->required = fixed ? result->fully_allocated : front + data;
    return rc;
}
