/*
 * Making an empty image. SPDX-License-Identifier: BSD-2-Clause
 *
 * As QEMU lays it out: the header section, the log, the BAT, the metadata, and blocks from 4 MiB
 * behind these on. The file says of itself that it is unfinished until the signature is
 * written, when the image is closed (write.c).
 *
 * Nothing in the file is random and nothing comes from the clock, so that the same options make the
 * same bytes; SOURCE_DATE_EPOCH changes the identifiers.
 */
#include <stdlib.h>

#include "vhdx.h"

#define CREATOR "libimg"
#define DISK_SECTOR 512u
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)
#define LOG_BYTES_MAX (UINT64_C(4) << 30)
/* From the end of the metadata to the first block. */
#define BLOCKS_GAP (4 * VHDX_MIB)
/* What is written of the BAT at once. */
#define PIECE_BYTES 65536u

const struct imgi_opt vhdx_create_options[] = {
    {"size", IMGI_OPT_SIZE, NULL, "Virtual disk size; max of 64TB.", false},
    {"log_size", IMGI_OPT_SIZE, "1048576", "Log size; min 1MB.", false},
    {"block_size", IMGI_OPT_SIZE, "0",
     "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.", false},
    {"subformat", IMGI_OPT_STRING, NULL,
     "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.", false},
    {"block_state_zero", IMGI_OPT_BOOL, NULL,
     "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' "
     "when using 'qemu-img convert' with subformat=dynamic.",
     false},
    {0},
};

/* The options, judged, and where everything goes. */
struct plan {
    uint64_t size;
    uint32_t log_length, block_size, chunk_ratio;
    bool fixed, zero;
    uint64_t blocks, bat_entries;
    struct vhdx_span bat, metadata;
    uint64_t data; /* the first block */
    uint64_t seed; /* of the next identifier */
};

/* --------------------------------------------------------------------- options */

static uint32_t default_block_size(uint64_t size)
{
    uint32_t mib = size > 32 * TIB ? 64 : size > 100 * GIB ? 32 : size > GIB ? 16 : 8;

    return mib << 20;
}

static int choose_sizes(struct plan *plan, const img_options *options, const struct imgi_opt *table,
                        img_error *err)
{
    uint64_t log = imgi_options_number(options, table, "log_size");
    uint64_t block = imgi_options_number(options, table, "block_size");

    if (plan->size > VHDX_DISK_BYTES_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Image size too large; max of 64TB");
    plan->size = imgi_align_up(plan->size, DISK_SECTOR);
    if (log == 0)
        return imgi_fail(err, IMG_E_INVAL, "Log size must be a multiple of 1 MB");
    if (log >= LOG_BYTES_MAX || imgi_align_up(log, VHDX_MIB) >= LOG_BYTES_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Log size must be smaller than 4 GB");
    plan->log_length = (uint32_t)imgi_align_up(log, VHDX_MIB);
    if (block == 0)
        block = default_block_size(plan->size);
    block = imgi_align_up(IMGI_MIN(block, VHDX_BLOCK_BYTES_MAX), VHDX_BLOCK_BYTES_MIN);
    if (!imgi_is_pow2(block))
        return imgi_fail(err, IMG_E_INVAL, "Block size must be a power of two");
    plan->block_size = (uint32_t)block;
    return 0;
}

static int choose_kind(struct plan *plan, const img_options *options, const struct imgi_opt *table,
                       img_error *err)
{
    const char *subformat = imgi_options_string(options, table, "subformat");

    plan->fixed = subformat && strcmp(subformat, "fixed") == 0;
    if (subformat && !plan->fixed && strcmp(subformat, "dynamic") != 0)
        return imgi_fail(err, IMG_E_INVAL, "Parameter 'subformat' does not accept value '%s'",
                         subformat);
    plan->zero = !imgi_options_string(options, table, "block_state_zero") ||
                 imgi_options_bool(options, table, "block_state_zero");
    return 0;
}

static void lay_out(struct plan *plan)
{
    plan->chunk_ratio = vhdx_chunk_ratio(plan->block_size, DISK_SECTOR);
    plan->blocks = imgi_div_up(plan->size, plan->block_size);
    plan->bat_entries = vhdx_bat_entries(plan->blocks, plan->chunk_ratio, false);
    plan->bat.offset = VHDX_HEADER_SECTION + plan->log_length;
    /* QEMU takes one block off even where there are none, in 32 bits, and wants room for what is
     * left. */
    plan->bat.length = imgi_align_up(
        8 * (plan->blocks ? plan->bat_entries : UINT32_MAX / plan->chunk_ratio), VHDX_MIB);
    plan->metadata.offset = plan->bat.offset + plan->bat.length;
    plan->metadata.length = VHDX_MIB;
    plan->data = plan->metadata.offset + plan->metadata.length + BLOCKS_GAP;
    plan->seed = imgi_ident_mix(imgi_ident_seed(), "vhdx", 4);
    plan->seed = imgi_ident_mix(plan->seed, &plan->size, sizeof(plan->size));
    plan->seed = imgi_ident_mix(plan->seed, &plan->block_size, sizeof(plan->block_size));
    plan->seed = imgi_ident_mix(plan->seed, &plan->log_length, sizeof(plan->log_length));
    plan->seed = imgi_ident_mix(plan->seed, &plan->fixed, sizeof(plan->fixed));
}

static int make_plan(struct plan *plan, uint64_t size, const img_options *options,
                     const struct imgi_opt *table, img_error *err)
{
    int rc;

    *plan = (struct plan){.size = size};
    rc = choose_sizes(plan, options, table, err);
    if (rc == 0)
        rc = choose_kind(plan, options, table, err);
    if (rc == 0)
        lay_out(plan);
    return rc;
}

/* ----------------------------------------------------------------------- parts */

static int write_identifier(struct imgi_io *io, img_error *err)
{
    uint8_t bytes[VHDX_AT_CREATOR + 2 * (sizeof(CREATOR) - 1)];

    memcpy(bytes, VHDX_SIGNATURE_UNFINISHED, VHDX_SIGNATURE_BYTES);
    for (size_t n = 0; n < sizeof(CREATOR) - 1; n++)
        imgi_put_le16(bytes + VHDX_AT_CREATOR + 2 * n, (uint8_t)CREATOR[n]);
    return imgi_io_write(io, bytes, sizeof(bytes), 0, err);
}

static int write_headers(struct plan *plan, struct imgi_io *io, img_error *err)
{
    struct vhdx_header header = {
        .log_version = VHDX_LOG_VERSION,
        .version = VHDX_VERSION,
        .log_length = plan->log_length,
        .log_offset = VHDX_HEADER_SECTION,
    };
    uint8_t bytes[VHDX_HEADER_BYTES] = {0};
    int rc = 0;

    header.file_write = vhdx_guid_next(&plan->seed);
    header.data_write = vhdx_guid_next(&plan->seed);
    for (unsigned n = 0; rc == 0 && n < 2; n++) {
        header.sequence = n + 1;
        vhdx_header_encode(&header, bytes);
        rc = imgi_io_write(io, bytes, sizeof(bytes), VHDX_AT_HEADER(n), err);
    }
    return rc;
}

static int write_region_tables(const struct plan *plan, struct imgi_io *io, img_error *err)
{
    uint8_t *bytes = malloc(VHDX_TABLE_BYTES);
    int rc = bytes ? 0 : imgi_fail_nomem(err, "a region table");

    if (rc == 0)
        vhdx_regions_encode(&plan->bat, &plan->metadata, bytes);
    for (unsigned n = 0; rc == 0 && n < 2; n++)
        rc = imgi_io_write(io, bytes, VHDX_TABLE_BYTES, VHDX_AT_REGION_TABLE(n), err);
    free(bytes);
    return rc;
}

struct item {
    const struct vhdx_guid *guid;
    uint32_t length, flags;
    uint8_t value[16];
};

static int write_metadata(struct plan *plan, struct imgi_io *io, img_error *err)
{
    const uint32_t disk = VHDX_ITEM_REQUIRED | VHDX_ITEM_VIRTUAL_DISK;
    struct item items[] = {
        {&vhdx_item_parameters, 8, VHDX_ITEM_REQUIRED, {0}},
        {&vhdx_item_size, 8, disk, {0}},
        {&vhdx_item_disk_id, 16, disk, {0}},
        {&vhdx_item_logical_sector, 4, disk, {0}},
        {&vhdx_item_physical_sector, 4, disk, {0}},
    };
    struct vhdx_guid id = vhdx_guid_next(&plan->seed);
    uint8_t table[VHDX_METADATA_AT_ENTRIES + IMGI_COUNT(items) * VHDX_METADATA_ENTRY_BYTES] = {0};
    uint32_t offset = VHDX_TABLE_BYTES;
    int rc = 0;

    imgi_put_le32(items[0].value, plan->block_size);
    imgi_put_le32(items[0].value + 4, plan->fixed ? VHDX_PARAMETER_LEAVE_ALLOCATED : 0);
    imgi_put_le64(items[1].value, plan->size);
    vhdx_guid_put(items[2].value, &id);
    imgi_put_le32(items[3].value, DISK_SECTOR);
    imgi_put_le32(items[4].value, DISK_SECTOR);
    memcpy(table, VHDX_METADATA_SIGNATURE, 8);
    imgi_put_le16(table + VHDX_METADATA_AT_COUNT, IMGI_COUNT(items));
    for (size_t n = 0; rc == 0 && n < IMGI_COUNT(items); n++) {
        uint8_t *entry = table + VHDX_METADATA_AT_ENTRIES + n * VHDX_METADATA_ENTRY_BYTES;

        vhdx_guid_put(entry, items[n].guid);
        imgi_put_le32(entry + 16, offset);
        imgi_put_le32(entry + 20, items[n].length);
        imgi_put_le32(entry + 24, items[n].flags);
        rc =
            imgi_io_write(io, items[n].value, items[n].length, plan->metadata.offset + offset, err);
        offset += items[n].length;
    }
    return rc < 0 ? rc : imgi_io_write(io, table, sizeof(table), plan->metadata.offset, err);
}

static uint64_t first_entry(const struct plan *plan, uint64_t index)
{
    uint64_t chunk = index / (plan->chunk_ratio + 1), n = index % (plan->chunk_ratio + 1);

    if (n == plan->chunk_ratio) /* a sector bitmap's */
        return 0;
    if (plan->fixed)
        return (plan->data + (chunk * plan->chunk_ratio + n) * plan->block_size) |
               VHDX_BLOCK_FULLY_PRESENT;
    return plan->zero ? VHDX_BLOCK_ZERO : VHDX_BLOCK_NOT_PRESENT;
}

static int write_bat(const struct plan *plan, struct imgi_io *io, img_error *err)
{
    uint8_t *piece;
    int rc = 0;

    if (!plan->fixed && !plan->zero)
        return 0;
    piece = malloc(PIECE_BYTES);
    if (!piece)
        return imgi_fail_nomem(err, "the BAT");
    for (uint64_t index = 0; rc == 0 && index < plan->bat_entries;) {
        uint64_t offset = plan->bat.offset + 8 * index;
        size_t count = (size_t)IMGI_MIN(plan->bat_entries - index, PIECE_BYTES / 8);

        for (size_t n = 0; n < count; n++)
            imgi_put_le64(piece + 8 * n, first_entry(plan, index++));
        rc = imgi_io_write(io, piece, 8 * count, offset, err);
    }
    free(piece);
    return rc;
}

int vhdx_create(struct imgi_create *create, img_error *err)
{
    struct imgi_io *io = create->file;
    struct plan plan;
    int rc = make_plan(&plan, create->size, create->options, create->table, err);

    if (rc < 0)
        return rc;
    rc = imgi_io_zero(io, 0, plan.data, true, err);
    if (rc == 0 && plan.fixed && imgi_io_is_device(io))
        rc = imgi_io_zero(io, plan.data, plan.blocks * plan.block_size, true, err);
    else if (rc == 0 && plan.fixed)
        rc = imgi_io_resize(io, plan.data + plan.blocks * plan.block_size, IMGI_PREALLOC_OFF, err);
    if (rc == 0)
        rc = write_identifier(io, err);
    if (rc == 0)
        rc = write_region_tables(&plan, io, err);
    if (rc == 0)
        rc = write_metadata(&plan, io, err);
    if (rc == 0)
        rc = write_bat(&plan, io, err);
    return rc < 0 ? rc : write_headers(&plan, io, err);
}

/* Blocks that hold data, whole, behind what every image has. */
int vhdx_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err)
{
    struct plan plan;
    uint64_t data;
    int rc = make_plan(&plan, measure->size, measure->options, measure->table, err);

    if (rc < 0)
        return rc;
    result->fully_allocated = plan.data + plan.blocks * plan.block_size;
    result->required = result->fully_allocated;
    if (plan.fixed)
        return 0;
    rc = imgi_measure_data(measure, plan.block_size, &data, err);
    result->required = plan.data + data;
    return rc;
}
