/*
 * Making an empty image. SPDX-License-Identifier: BSD-2-Clause
 *
 * Sparse extents get all their tables at once, in front of the first grain, as QEMU and VMware lay
 * them out: header, descriptor, redundant directory and tables, directory and tables. A stream gets
 * header and descriptor only; the rest comes when it is finished (stream.c).
 *
 * Nothing in the file is random and nothing comes from the clock, so that the same options make the
 * same bytes; SOURCE_DATE_EPOCH changes the identifiers.
 */
#include <stdlib.h>
#include <strings.h>

#include "vmdk.h"

/* Where writers put the descriptor, and how long they let it become. */
#define DESCRIPTOR_SECTOR 1u
#define DESCRIPTOR_SECTORS 20u
/* QEMU's parts: 2 GiB. */
#define PART_BYTES (2ull << 30)
/* What a stream in a pipe says that its file is called. */
#define NAMELESS "disk.vmdk"
#define TOOLS_VERSION_UNMANAGED "2147483647"

const struct imgi_opt vmdk_create_options[] = {
    {"size", IMGI_OPT_SIZE, NULL, "Virtual disk size", false},
    {"adapter_type", IMGI_OPT_STRING, NULL,
     "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX", false},
    {"backing_file", IMGI_OPT_STRING, NULL, "File name of a base image", false},
    {"backing_fmt", IMGI_OPT_STRING, NULL, "Must be 'vmdk' if present", false},
    {"compat6", IMGI_OPT_BOOL, "off", "VMDK version 6 image", false},
    {"hwversion", IMGI_OPT_STRING, "undefined", "VMDK hardware version", false},
    {"toolsversion", IMGI_OPT_STRING, NULL, "VMware guest tools version", false},
    {"subformat", IMGI_OPT_STRING, NULL,
     "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | "
     "twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ",
     false},
    {"zeroed_grain", IMGI_OPT_BOOL, NULL,
     "Enable efficient zero writes using the zeroed-grain GTE feature", false},
    {"compression_level", IMGI_OPT_NUMBER, NULL,
     "Compression level of a streamOptimized image, from 1 (fast) to 9 (small)", true},
    {0},
};

struct subformat {
    const char *name;
    bool sparse, split, stream; /* of hosted extents */
    bool esx, delta;            /* VMFS, and VMFSSPARSE if delta */
    bool thin;
    enum imgi_prealloc prealloc; /* of a flat extent */
};

static const struct subformat subformats[] = {
    {.name = "monolithicSparse", .sparse = true},
    {.name = "monolithicFlat"},
    {.name = "twoGbMaxExtentSparse", .sparse = true, .split = true},
    {.name = "twoGbMaxExtentFlat", .split = true},
    {.name = "streamOptimized", .sparse = true, .stream = true},
    {.name = "vmfs", .esx = true},
    {.name = "vmfsThin", .esx = true, .thin = true},
    {.name = "vmfsPreallocated", .esx = true, .prealloc = IMGI_PREALLOC_FALLOC},
    {.name = "vmfsThick", .esx = true, .prealloc = IMGI_PREALLOC_FALLOC},
    {.name = "vmfsEagerZeroedThick", .esx = true, .prealloc = IMGI_PREALLOC_FULL},
    {.name = "vmfsSparse", .esx = true, .delta = true},
};

/* The options, judged. */
struct plan {
    struct imgi_create *create;
    const struct subformat *subformat;
    uint64_t size;
    const char *adapter, *hw_version, *tools_version;
    bool zeroed_grain;
    uint32_t parent_cid;
};

/* --------------------------------------------------------------------- options */

static const char *option(const struct imgi_create *create, const char *name)
{
    return imgi_options_string(create->options, create->table, name);
}

static int choose_subformat(struct plan *plan, img_error *err)
{
    const char *name = option(plan->create, "subformat");

    plan->subformat = &subformats[0];
    if (!name)
        return 0;
    for (size_t i = 0; i < IMGI_COUNT(subformats); i++) {
        plan->subformat = &subformats[i];
        if (strcasecmp(name, subformats[i].name) == 0)
            return 0;
    }
    return imgi_fail(err, IMG_E_INVAL, "invalid parameter value: %s", name);
}

static int choose_adapter(struct plan *plan, img_error *err)
{
    static const char *const names[] = {"ide", "lsilogic", "buslogic", "legacyESX"};
    const char *name = option(plan->create, "adapter_type");

    /* Streams are made for import into VMware's servers, where SCSI is expected. */
    plan->adapter = plan->subformat->stream || plan->subformat->esx ? "lsilogic" : "ide";
    if (!name)
        return 0;
    for (size_t i = 0; i < IMGI_COUNT(names); i++) {
        plan->adapter = names[i];
        if (strcmp(name, names[i]) == 0)
            return 0;
    }
    return imgi_fail(err, IMG_E_INVAL, "invalid parameter value: %s", name);
}

static int check_number(const char *name, const char *value, img_error *err)
{
    size_t length = strlen(value);

    if (length > 0 && length <= 10 && strspn(value, "0123456789") == length)
        return 0;
    return imgi_fail(err, IMG_E_INVAL, "%s: not a number: '%s'", name, value);
}

static int choose_versions(struct plan *plan, img_error *err)
{
    const struct imgi_create *create = plan->create;
    const char *hw = option(create, "hwversion"), *tools = option(create, "toolsversion");
    bool compat6 = imgi_options_bool(create->options, create->table, "compat6");
    int rc = 0;

    if (strcmp(hw, "undefined") == 0)
        hw = NULL;
    if (compat6 && hw)
        return imgi_fail(err, IMG_E_INVAL, "compat6 cannot be enabled with hwversion set");
    /* What QEMU writes; importers of streams expect 7 at least. */
    plan->hw_version = compat6 ? "6" : plan->subformat->stream || plan->subformat->esx ? "7" : "4";
    plan->tools_version = TOOLS_VERSION_UNMANAGED;
    if (hw) {
        plan->hw_version = hw;
        rc = check_number("hwversion", hw, err);
    }
    if (rc == 0 && tools) {
        plan->tools_version = tools;
        rc = check_number("toolsversion", tools, err);
    }
    return rc;
}

static int check_level(const struct plan *plan, img_error *err)
{
    const struct imgi_create *create = plan->create;

    if (!option(create, "compression_level"))
        return 0;
    if (!plan->subformat->stream)
        return imgi_fail(err, IMG_E_INVAL, "compression_level needs subformat=streamOptimized");
    if (imgi_options_number(create->options, create->table, "compression_level") > IMGI_LEVEL_MAX)
        return imgi_fail(err, IMG_E_INVAL, "compression_level goes from 1 to %d", IMGI_LEVEL_MAX);
    return 0;
}

/* The parent's CID, by which the child will know it again. */
static int choose_parent(struct plan *plan, img_error *err)
{
    const struct imgi_create *create = plan->create;

    plan->parent_cid = VMDK_CID_NONE;
    if (create->backing_format && strcmp(create->backing_format, "vmdk") != 0)
        return imgi_fail(err, IMG_E_INVAL, "backing_file must be a vmdk image");
    if (!create->backing_name)
        return 0;
    if (!plan->subformat->sparse && !plan->subformat->delta)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Flat image can't have backing file");
    if (!create->backing)
        return imgi_fail(err, IMG_E_INVAL,
                         "the parent of a VMDK image must be opened: its CID is needed");
    if (strcmp(create->backing->driver->name, "vmdk") != 0)
        return imgi_fail(err, IMG_E_INVAL, "backing_file must be a vmdk image");
    if (strpbrk(create->backing_name, "\"\r\n"))
        return imgi_fail(err, IMG_E_INVAL,
                         "a descriptor cannot hold a name with quotes or line ends: %s",
                         create->backing_name);
    plan->parent_cid = vmdk_state(create->backing)->cid;
    return 0;
}

static int make_plan(struct imgi_create *create, struct plan *plan, img_error *err)
{
    int rc;

    *plan = (struct plan){.create = create};
    plan->zeroed_grain = imgi_options_bool(create->options, create->table, "zeroed_grain");
    if (create->size == 0 || create->size > INT64_MAX - VMDK_SECTOR)
        return imgi_fail(err, IMG_E_INVAL, "a VMDK image cannot have a size of %llu bytes",
                         (unsigned long long)create->size);
    plan->size = imgi_align_up(create->size, VMDK_SECTOR);
    rc = choose_subformat(plan, err);
    if (rc == 0)
        rc = choose_adapter(plan, err);
    if (rc == 0)
        rc = choose_versions(plan, err);
    if (rc == 0)
        rc = check_level(plan, err);
    if (rc == 0)
        rc = choose_parent(plan, err);
    if (rc == 0 && imgi_io_is_pipe(create->file) && !plan->subformat->stream)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                       "only subformat=streamOptimized can be written to a pipe, not %s",
                       plan->subformat->name);
    if (rc == 0 && plan->zeroed_grain && !plan->subformat->sparse)
        rc = imgi_fail(err, IMG_E_INVAL, "Flat image can't enable zeroed grain");
    return rc;
}

/* ------------------------------------------------------------------ descriptor */

static uint64_t mix(uint64_t seed, const char *text)
{
    for (; *text; text++)
        seed = vmdk_scramble(seed ^ (uint8_t)*text);
    return vmdk_scramble(seed);
}

/* Everything that tells images apart, except names, which can change. */
static uint64_t plan_seed(const struct plan *plan)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    uint64_t seed = vmdk_scramble(plan->size);

    seed = mix(seed, plan->subformat->name);
    seed = mix(seed, plan->adapter);
    seed = mix(seed, plan->hw_version);
    seed = mix(seed, plan->tools_version);
    seed = mix(seed, epoch ? epoch : "");
    return vmdk_scramble(seed ^ plan->parent_cid);
}

static void write_template(const struct plan *plan, const char *extents, struct vmdk_text *text)
{
    struct vmdk_template template = {
        .size = plan->size,
        .create_type = plan->subformat->name,
        .parent = plan->create->backing_name,
        .parent_cid = plan->parent_cid,
        .extents = extents,
        .adapter = plan->adapter,
        .hw_version = plan->hw_version,
        .tools_version = plan->tools_version,
        .thin = plan->subformat->thin,
        .seed = plan_seed(plan),
    };

    template.cid = (uint32_t)(template.seed >> 32);
    if (template.cid >= VMDK_CID_FRESH)
        template.cid = 1;
    vmdk_template_write(&template, text);
}

/* ----------------------------------------------------------------- sparse extents */

/* The header of a new extent. Only a stream has version 3, and its directory at the end. */
static struct vmdk_header new_header(const struct plan *plan, uint64_t size)
{
    struct vmdk_header header = {
        .version = plan->zeroed_grain ? VMDK_VERSION_ZERO_GRAINS : VMDK_VERSION_BASE,
        .flags = VMDK_FLAG_NEWLINES | (plan->zeroed_grain ? VMDK_FLAG_ZERO_GRAINS : 0),
        .capacity = size / VMDK_SECTOR,
        .grain_size = VMDK_GRAIN_SECTORS,
        .descriptor_offset = DESCRIPTOR_SECTOR,
        .descriptor_size = DESCRIPTOR_SECTORS,
        .num_gtes = VMDK_NUM_GTES,
    };
    uint64_t end = DESCRIPTOR_SECTOR + DESCRIPTOR_SECTORS, entries = vmdk_gd_entries(&header);
    uint64_t tables = entries * VMDK_TABLE_SECTORS;
    uint64_t directory = imgi_div_up(entries * 4, VMDK_SECTOR);

    if (plan->subformat->stream) {
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
    header.overhead = imgi_align_up(end, VMDK_GRAIN_SECTORS);
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

/* An empty sparse extent of that many bytes; the header last, since it is what makes it one. */
static int write_sparse(const struct plan *plan, struct imgi_io *io, uint64_t size,
                        const struct vmdk_text *descriptor, img_error *err)
{
    struct vmdk_header header = new_header(plan, size);
    uint8_t bytes[VMDK_HEADER_BYTES];
    int rc;

    if (vmdk_gd_entries(&header) > VMDK_GD_ENTRIES_MAX || header.overhead > VMDK_SECTORS_MAX)
        return imgi_fail(err, IMG_E_INVAL, "a %s image cannot have a size of %llu bytes",
                         plan->subformat->name, (unsigned long long)size);
    rc = imgi_io_zero(io, 0, header.overhead * VMDK_SECTOR, true, err);
    if (rc == 0 && plan->subformat->stream)
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

/* -------------------------------------------------------------------------- files */

/*
 * The main file's name without its directories; *stem is its length without the suffix, which goes
 * behind whatever makes the names of the other files.
 */
static int main_name(const struct imgi_create *create, const char **name, int *stem, img_error *err)
{
    const char *path = imgi_io_is_pipe(create->file) ? NAMELESS : create->name;
    const char *slash = strrchr(path, '/'), *dot;
    size_t length;

    *name = slash ? slash + 1 : path;
    length = strlen(*name);
    dot = strrchr(*name, '.');
    *stem = dot && dot != *name ? (int)(dot - *name) : (int)length;
    if (length == 0 || length > VMDK_FILE_NAME_MAX - 16 || strpbrk(*name, "\"\r\n"))
        return imgi_fail(err, IMG_E_INVAL,
                         "a descriptor cannot hold this file name (quotes, line ends, or more than "
                         "%u bytes)",
                         VMDK_FILE_NAME_MAX - 16);
    return 0;
}

/* TYPE of the extents' lines. */
static enum vmdk_type line_type(const struct subformat *subformat)
{
    if (subformat->esx)
        return subformat->delta ? VMDK_TYPE_VMFSSPARSE : VMDK_TYPE_VMFS;
    return subformat->sparse ? VMDK_TYPE_SPARSE : VMDK_TYPE_FLAT;
}

/* The file of an extent that is not the main one. */
static int write_part(const struct plan *plan, struct imgi_io *io, uint64_t size, img_error *err)
{
    switch (line_type(plan->subformat)) {
    case VMDK_TYPE_SPARSE:
        return write_sparse(plan, io, size, NULL, err);
    case VMDK_TYPE_VMFSSPARSE:
        return vmdk_cowd_create(io, size, err);
    default:
        return imgi_io_resize(io, size, plan->subformat->prealloc, err);
    }
}

/* One file beside the main one, and its line. part: from 1, or 0 when there is only one. */
static int create_part(const struct plan *plan, unsigned part, uint64_t size,
                       struct vmdk_text *lines, img_error *err)
{
    struct vmdk_text file = {0};
    struct imgi_io *io = NULL;
    const char *name;
    enum vmdk_type type = line_type(plan->subformat);
    int stem, rc = main_name(plan->create, &name, &stem, err);

    if (rc < 0)
        return rc;
    if (part == 0)
        vmdk_text_add(&file, "%.*s-%s%s", stem, name, plan->subformat->delta ? "delta" : "flat",
                      name + stem);
    else
        vmdk_text_add(&file, "%.*s-%c%03u%s", stem, name, type == VMDK_TYPE_SPARSE ? 's' : 'f',
                      part, name + stem);
    if (file.failed)
        rc = imgi_fail_nomem(err, "a file name");
    if (rc == 0)
        rc = imgi_create_file(plan->create, file.bytes, &io, err);
    if (rc == 0)
        rc = write_part(plan, io, size, err);
    if (rc == 0)
        vmdk_text_add(lines, "RW %llu %s \"%s\"%s\n", (unsigned long long)(size / VMDK_SECTOR),
                      vmdk_type_name(type), file.bytes, type == VMDK_TYPE_FLAT ? " 0" : "");
    free(file.bytes);
    return rc;
}

static int create_parts(const struct plan *plan, struct vmdk_text *lines, img_error *err)
{
    uint64_t count = imgi_div_up(plan->size, PART_BYTES);
    int rc = 0;

    if (!plan->subformat->split)
        return create_part(plan, 0, plan->size, lines, err);
    rc = imgi_policy_limit(plan->create->policy, IMG_LIMIT_EXTENTS, count, "extents", err);
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = create_part(plan, (unsigned)i + 1, IMGI_MIN(plan->size - i * PART_BYTES, PART_BYTES),
                         lines, err);
    return rc;
}

static int create_separate(const struct plan *plan, const struct vmdk_text *descriptor,
                           img_error *err)
{
    int rc = imgi_io_resize(plan->create->file, 0, IMGI_PREALLOC_OFF, err);

    if (rc < 0)
        return rc;
    return imgi_io_write(plan->create->file, descriptor->bytes, descriptor->length, 0, err);
}

static int create_embedded(const struct plan *plan, const struct vmdk_text *descriptor,
                           img_error *err)
{
    if (descriptor->length > DESCRIPTOR_SECTORS * VMDK_SECTOR)
        return imgi_fail(err, IMG_E_INVAL, "the names are too long for a descriptor of %u bytes",
                         DESCRIPTOR_SECTORS * VMDK_SECTOR);
    return write_sparse(plan, plan->create->file, plan->size, descriptor, err);
}

int vmdk_create(struct imgi_create *create, img_error *err)
{
    struct vmdk_text lines = {0}, descriptor = {0};
    struct plan plan;
    const char *name;
    int stem, rc = make_plan(create, &plan, err);
    bool embedded = rc == 0 && plan.subformat->sparse && !plan.subformat->split;

    if (rc == 0)
        rc = main_name(create, &name, &stem, err);
    if (rc == 0 && embedded)
        vmdk_text_add(&lines, "RW %llu SPARSE \"%s\"\n",
                      (unsigned long long)(plan.size / VMDK_SECTOR), name);
    else if (rc == 0)
        rc = create_parts(&plan, &lines, err);
    if (rc == 0 && !lines.failed)
        write_template(&plan, lines.bytes, &descriptor);
    if (rc == 0 && (lines.failed || descriptor.failed))
        rc = imgi_fail_nomem(err, "a descriptor");
    if (rc == 0 && embedded)
        rc = create_embedded(&plan, &descriptor, err);
    else if (rc == 0)
        rc = create_separate(&plan, &descriptor, err);
    free(lines.bytes);
    free(descriptor.bytes);
    return rc;
}
