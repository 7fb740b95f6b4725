/*
 * The options of a new image. SPDX-License-Identifier: BSD-2-Clause
 *
 * Those of qemu-img, which are judged in its words, and ours: what tells one image from another
 * (CID, UUID, the name in the descriptor) can be said, so that the same image can be made twice.
 */
#include <stdlib.h>
#include <strings.h>

#include "plan.h"

#define TOOLS_VERSION_UNMANAGED "2147483647"
/* What a stream in a pipe says that its file is called. */
#define NAMELESS "disk.vmdk"
#define HEX_DIGITS "0123456789abcdefABCDEF"

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
     "twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized | vmfs | vmfsThin | "
     "vmfsPreallocated | vmfsThick | vmfsEagerZeroedThick | vmfsSparse} ",
     false},
    {"zeroed_grain", IMGI_OPT_BOOL, NULL,
     "Enable efficient zero writes using the zeroed-grain GTE feature", false},
    {"compression_level", IMGI_OPT_NUMBER, NULL,
     "Compression level of a streamOptimized image, from 1 (fast) to 9 (small)", true},
    {"cid", IMGI_OPT_STRING, NULL, "Content identifier (8 hexadecimal digits)", true},
    {"uuid", IMGI_OPT_STRING, NULL, "UUID in the disk database (32 hexadecimal digits)", true},
    {"grain_size", IMGI_OPT_SIZE, NULL, "Bytes of a grain of a sparse image (default 64k)", true},
    {"descriptor_name", IMGI_OPT_STRING, NULL,
     "Name of the image in its descriptor, from which the names of extents are made", true},
    {0},
};

static const struct vmdk_subformat subformats[] = {
    {.name = "monolithicSparse", .type = VMDK_TYPE_SPARSE},
    {.name = "monolithicFlat", .type = VMDK_TYPE_FLAT},
    {.name = "twoGbMaxExtentSparse", .type = VMDK_TYPE_SPARSE, .split = true},
    {.name = "twoGbMaxExtentFlat", .type = VMDK_TYPE_FLAT, .split = true},
    {.name = "streamOptimized", .type = VMDK_TYPE_SPARSE, .stream = true},
    {.name = "vmfs", .type = VMDK_TYPE_VMFS},
    {.name = "vmfsThin", .type = VMDK_TYPE_VMFS, .thin = true},
    {.name = "vmfsPreallocated", .type = VMDK_TYPE_VMFS, .prealloc = IMGI_PREALLOC_FALLOC},
    {.name = "vmfsThick", .type = VMDK_TYPE_VMFS, .prealloc = IMGI_PREALLOC_FALLOC},
    {.name = "vmfsEagerZeroedThick", .type = VMDK_TYPE_VMFS, .prealloc = IMGI_PREALLOC_FULL},
    {.name = "vmfsSparse", .type = VMDK_TYPE_VMFSSPARSE},
};

static const char *option(const struct imgi_create *create, const char *name)
{
    return imgi_options_string(create->options, create->table, name);
}

/* What VMware's servers have, and no hosted product. */
static bool is_esx(const struct vmdk_plan *plan)
{
    return plan->subformat->type == VMDK_TYPE_VMFS || plan->subformat->type == VMDK_TYPE_VMFSSPARSE;
}

static int choose_subformat(struct vmdk_plan *plan, img_error *err)
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
    if (strcasecmp(name, "seSparse") == 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "invalid parameter value: %s (such images are only read here)", name);
    return imgi_fail(err, IMG_E_INVAL, "invalid parameter value: %s", name);
}

static int choose_adapter(struct vmdk_plan *plan, img_error *err)
{
    static const char *const names[] = {"ide", "lsilogic", "buslogic", "legacyESX"};
    const char *name = option(plan->create, "adapter_type");

    /* Streams are made for import into VMware's servers, where SCSI is expected. */
    plan->adapter = plan->subformat->stream || is_esx(plan) ? "lsilogic" : "ide";
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

static int choose_versions(struct vmdk_plan *plan, img_error *err)
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
    plan->hw_version = compat6 ? "6" : plan->subformat->stream || is_esx(plan) ? "7" : "4";
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

static int check_level(const struct vmdk_plan *plan, img_error *err)
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
static int choose_parent(struct vmdk_plan *plan, img_error *err)
{
    const struct imgi_create *create = plan->create;
    int rc;

    plan->parent_cid = VMDK_CID_NONE;
    if (create->backing_format && strcmp(create->backing_format, "vmdk") != 0)
        return imgi_fail(err, IMG_E_INVAL, "backing_file must be a vmdk image");
    if (!create->backing_name)
        return 0;
    if (plan->subformat->type != VMDK_TYPE_SPARSE && plan->subformat->type != VMDK_TYPE_VMFSSPARSE)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Flat image can't have backing file");
    if (!create->backing)
        return imgi_fail(err, IMG_E_INVAL,
                         "the parent of a VMDK image must be opened: its CID is needed");
    if (strcmp(create->backing->driver->name, "vmdk") != 0)
        return imgi_fail(err, IMG_E_INVAL, "backing_file must be a vmdk image");
    rc = vmdk_check_parent_name(create->backing_name, err);
    if (rc < 0)
        return rc;
    plan->parent_cid = vmdk_state(create->backing)->cid;
    return 0;
}

/* Eight hexadecimal digits at most, and none of the numbers that have a meaning. */
static int choose_cid(struct vmdk_plan *plan, img_error *err)
{
    const char *text = option(plan->create, "cid");
    size_t length = text ? strlen(text) : 0;

    if (!text)
        return 0;
    if (length == 0 || length > 8 || strspn(text, HEX_DIGITS) != length ||
        strtoul(text, NULL, 16) >= VMDK_CID_FRESH)
        return imgi_fail(err, IMG_E_INVAL,
                         "cid: not one to eight hexadecimal digits below fffffffe: '%s'", text);
    plan->has_cid = true;
    plan->cid = (uint32_t)strtoul(text, NULL, 16);
    return 0;
}

/* 32 hexadecimal digits, with '-' and blanks wherever one likes: kept as VMware writes them. */
static int choose_uuid(struct vmdk_plan *plan, img_error *err)
{
    const char *text = option(plan->create, "uuid");
    size_t count = 0, at = 0;

    for (const char *c = text; c && *c; c++) {
        if (*c == '-' || *c == ' ')
            continue;
        if (!strchr(HEX_DIGITS, *c) || count == 32)
            return imgi_fail(err, IMG_E_INVAL, "uuid: not 32 hexadecimal digits: '%s'", text);
        if (count > 0 && count % 2 == 0)
            plan->uuid[at++] = count == 16 ? '-' : ' ';
        plan->uuid[at++] = *c;
        count++;
    }
    if (text && count != 32)
        return imgi_fail(err, IMG_E_INVAL, "uuid: not 32 hexadecimal digits: '%s'", text);
    return 0;
}

static int choose_grain(struct vmdk_plan *plan, img_error *err)
{
    const struct imgi_create *create = plan->create;
    uint64_t sectors = VMDK_GRAIN_SECTORS;

    if (option(create, "grain_size"))
        sectors = imgi_options_number(create->options, create->table, "grain_size") / VMDK_SECTOR;
    plan->grain = sectors * VMDK_SECTOR;
    if (option(create, "grain_size") && plan->subformat->type != VMDK_TYPE_SPARSE)
        return imgi_fail(err, IMG_E_INVAL, "subformat %s has no grain size to choose",
                         plan->subformat->name);
    if (!imgi_is_pow2(sectors) || sectors < VMDK_GRAIN_SECTORS_MIN ||
        sectors > VMDK_PACKED_GRAIN_SECTORS_MAX)
        return imgi_fail(err, IMG_E_INVAL, "grain_size: no power of two from %u to %u bytes: '%s'",
                         VMDK_GRAIN_SECTORS_MIN * VMDK_SECTOR,
                         VMDK_PACKED_GRAIN_SECTORS_MAX * VMDK_SECTOR, option(create, "grain_size"));
    return 0;
}

/* The name that stands in the descriptor, and is the stem of those of the other files. */
static int choose_name(struct vmdk_plan *plan, img_error *err)
{
    const char *given = option(plan->create, "descriptor_name");
    const char *path = imgi_io_is_pipe(plan->create->file) ? NAMELESS : plan->create->name, *slash;
    size_t length;

    if (given)
        path = given;
    slash = strrchr(path, '/');
    plan->name = slash ? slash + 1 : path;
    length = strlen(plan->name);
    if (given && slash)
        return imgi_fail(err, IMG_E_INVAL, "descriptor_name: not a name without directories: '%s'",
                         given);
    if (length == 0 || length > VMDK_FILE_NAME_MAX - 16 || strpbrk(plan->name, "\"\r\n"))
        return imgi_fail(err, IMG_E_INVAL,
                         "a descriptor cannot hold this file name (quotes, line ends, or more than "
                         "%u bytes)",
                         VMDK_FILE_NAME_MAX - 16);
    return 0;
}

static int choose_identity(struct vmdk_plan *plan, img_error *err)
{
    int rc = choose_cid(plan, err);

    if (rc == 0)
        rc = choose_uuid(plan, err);
    return rc < 0 ? rc : choose_name(plan, err);
}

int vmdk_plan_make(struct imgi_create *create, struct vmdk_plan *plan, img_error *err)
{
    int rc;

    *plan = (struct vmdk_plan){.create = create};
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
        rc = choose_grain(plan, err);
    if (rc == 0)
        rc = choose_identity(plan, err);
    if (rc == 0)
        rc = check_level(plan, err);
    if (rc == 0)
        rc = choose_parent(plan, err);
    if (rc == 0 && imgi_io_is_pipe(create->file) && !plan->subformat->stream)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                       "only subformat=streamOptimized can be written to a pipe, not %s",
                       plan->subformat->name);
    if (rc == 0 && plan->zeroed_grain && plan->subformat->type != VMDK_TYPE_SPARSE)
        rc = imgi_fail(err, IMG_E_INVAL, "Flat image can't enable zeroed grain");
    return rc;
}
