/*
 * Making an empty VHD image. SPDX-License-Identifier: BSD-2-Clause
 *
 * Laid out as QEMU does it. Sizes are rounded up to what has a geometry, because Virtual PC and
 * QEMU take the size from there, unless force_size is on.
 */
#include "vhd.h"

#define HEADER_OFFSET 512u
#define BAT_OFFSET 1536u
/* The creator's version that QEMU writes: Virtual PC 5.3. */
#define CREATOR_VERSION 0x00050003u

const struct imgi_opt vhd_create_options[] = {
    {"size", IMGI_OPT_SIZE, NULL, "Virtual disk size", false},
    {"subformat", IMGI_OPT_STRING, NULL,
     "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ", false},
    {"force_size", IMGI_OPT_BOOL, NULL,
     "Force disk size calculation to use the actual size specified, rather than using the nearest "
     "CHS-based calculation",
     false},
    {"extent_size_hint", IMGI_OPT_SIZE, NULL, "Extent size hint for the image file, 0 to disable",
     true},
    {"nocow", IMGI_OPT_BOOL, NULL, "Turn off copy-on-write (valid only on btrfs)", true},
    {"preallocation", IMGI_OPT_STRING, NULL,
     "Preallocation mode (allowed values: off, falloc, full)", true},
    {0},
};

/* What the options ask for. */
struct plan {
    const img_options *options;
    const struct imgi_opt *table;
    uint64_t size; /* asked for */
    struct vhd_footer footer;
};

static int choose_type(struct plan *plan, img_error *err)
{
    const char *name = imgi_options_string(plan->options, plan->table, "subformat");

    plan->footer.type = VHD_TYPE_DYNAMIC;
    if (!name || strcmp(name, "dynamic") == 0)
        return 0;
    plan->footer.type = VHD_TYPE_FIXED;
    if (strcmp(name, "fixed") == 0)
        return 0;
    return imgi_fail(err, IMG_E_INVAL, "Parameter 'subformat' does not accept value '%s'", name);
}

static int choose_size(struct plan *plan, img_error *err)
{
    bool exact = imgi_options_bool(plan->options, plan->table, "force_size");
    uint64_t sectors = imgi_div_up(plan->size, VHD_SECTOR);

    memcpy(plan->footer.creator_app, exact ? "qem2" : "qemu", 4);
    if (exact)
        vhd_geometry(VHD_GEOMETRY_MAX, &plan->footer);
    else if (sectors <= VHD_SECTORS_MAX)
        sectors = vhd_geometry(sectors, &plan->footer);
    if (sectors > VHD_SECTORS_MAX)
        return imgi_fail(err, IMG_E_INVAL, "The image size is too large for file format 'vpc'");
    plan->footer.current_size = sectors * VHD_SECTOR;
    plan->footer.original_size = plan->footer.current_size;
    return 0;
}

/* The same options make the same identifier. */
static void choose_uuid(struct vhd_footer *footer)
{
    uint64_t seed = imgi_ident_mix(imgi_ident_seed(), "vhd", 3);

    seed = imgi_ident_mix(seed, &footer->current_size, sizeof(footer->current_size));
    seed = imgi_ident_mix(seed, &footer->type, sizeof(footer->type));
    seed = imgi_ident_mix(seed, footer->creator_app, sizeof(footer->creator_app));
    imgi_ident_uuid(&seed, footer->uuid);
}

static int make_plan(struct plan *plan, img_error *err)
{
    struct vhd_footer *footer = &plan->footer;
    uint64_t time = imgi_ident_time();
    int rc;

    *footer = (struct vhd_footer){
        .features = VHD_FEATURES_RESERVED,
        .version = VHD_VERSION_1,
        .data_offset = HEADER_OFFSET,
        .timestamp = time > VHD_EPOCH ? (uint32_t)(time - VHD_EPOCH) : 0,
        .creator_version = CREATOR_VERSION,
        .creator_os = "Wi2k",
    };
    rc = choose_type(plan, err);
    if (rc == 0)
        rc = choose_size(plan, err);
    if (footer->type == VHD_TYPE_FIXED)
        footer->data_offset = VHD_NO_OFFSET;
    choose_uuid(footer);
    return rc;
}

static struct vhd_header make_header(const struct vhd_footer *footer)
{
    return (struct vhd_header){
        .bat_offset = BAT_OFFSET,
        .version = VHD_VERSION_1,
        .bat_entries = (uint32_t)imgi_div_up(footer->current_size, VHD_BLOCK_SIZE),
        .block_size = VHD_BLOCK_SIZE,
    };
}

/* A BAT without blocks: nothing but ones. */
static int write_bat(struct imgi_io *file, uint64_t bytes, img_error *err)
{
    uint8_t ones[4096];
    int rc = 0;

    memset(ones, 0xff, sizeof(ones));
    for (uint64_t done = 0; rc == 0 && done < bytes; done += sizeof(ones))
        rc = imgi_io_write(file, ones, (size_t)IMGI_MIN(bytes - done, sizeof(ones)),
                           BAT_OFFSET + done, err);
    return rc;
}

static int write_dynamic(struct imgi_io *file, const struct vhd_footer *footer, img_error *err)
{
    struct vhd_header header = make_header(footer);
    uint64_t bytes = vhd_bat_bytes(header.bat_entries);
    uint8_t foot[VHD_FOOTER_BYTES] = {0}, head[VHD_HEADER_BYTES] = {0};
    int rc = write_bat(file, bytes, err);

    vhd_footer_encode(footer, foot);
    vhd_header_encode(&header, head);
    if (rc == 0)
        rc = imgi_io_write(file, foot, sizeof(foot), BAT_OFFSET + bytes, err);
    if (rc == 0)
        rc = imgi_io_write(file, head, sizeof(head), HEADER_OFFSET, err);
    return rc < 0 ? rc : imgi_io_write(file, foot, sizeof(foot), 0, err);
}

static int write_fixed(struct imgi_io *file, const struct vhd_footer *footer,
                       enum imgi_prealloc mode, img_error *err)
{
    uint8_t foot[VHD_FOOTER_BYTES] = {0};
    int rc = imgi_io_resize(file, footer->current_size, mode, err);

    vhd_footer_encode(footer, foot);
    return rc < 0 ? rc : imgi_io_write(file, foot, sizeof(foot), footer->current_size, err);
}

int vhd_create(struct imgi_create *create, img_error *err)
{
    struct plan plan = {.options = create->options, .table = create->table, .size = create->size};
    enum imgi_prealloc mode;
    int rc = imgi_file_prealloc_parse(
        imgi_options_string(create->options, create->table, "preallocation"), &mode, err);

    if (rc == 0 && create->backing_name)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "Backing file not supported for file format 'vpc'");
    if (rc == 0)
        rc = make_plan(&plan, err);
    if (rc < 0)
        return rc;
    if (plan.footer.type == VHD_TYPE_FIXED)
        return write_fixed(create->file, &plan.footer, mode, err);
    return write_dynamic(create->file, &plan.footer, err);
}

int vhd_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err)
{
    struct plan plan = {
        .options = measure->options, .table = measure->table, .size = measure->size};
    struct vhd_header header;
    uint64_t data = 0, front, bitmap = vhd_bitmap_bytes(VHD_BLOCK_SIZE);
    int rc = make_plan(&plan, err);

    if (rc < 0)
        return rc;
    header = make_header(&plan.footer);
    if (plan.footer.type == VHD_TYPE_FIXED) {
        result->required = plan.footer.current_size + VHD_FOOTER_BYTES;
        result->fully_allocated = result->required;
        return 0;
    }
    rc = imgi_measure_data(measure, VHD_BLOCK_SIZE, &data, err);
    front = BAT_OFFSET + vhd_bat_bytes(header.bat_entries) + VHD_FOOTER_BYTES;
    result->required = front + data / VHD_BLOCK_SIZE * (VHD_BLOCK_SIZE + bitmap);
    result->fully_allocated = front + header.bat_entries * (VHD_BLOCK_SIZE + bitmap);
    return rc;
}
