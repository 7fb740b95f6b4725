/*
 * How large the files of an image would be. SPDX-License-Identifier: BSD-2-Clause
 *
 * Exact, but for two things that are not known beforehand, of which the worst is assumed: how small
 * the grains of a stream become, and how long the names are that stand in a descriptor which is a
 * file of its own. What is zeros in the source although it is stored counts as data.
 */
#include <stdlib.h>

#include "create.h"

/* The longest name that filesystems have. */
#define NAME_BYTES 255

/* Bytes that deflate can make of so many: stored blocks of 16383 bytes, and the zlib frame. */
static uint64_t packed_most(uint64_t grain)
{
    uint64_t bytes = grain + 5 * (grain / 16383 + 1) + 6;

    return imgi_align_up(VMDK_GRAIN_MARKER_BYTES + bytes, VMDK_SECTOR);
}

/* What the source holds, in the target's units. */
struct content {
    uint64_t grains, tables; /* that are needed */
    uint64_t all_grains, all_tables;
};

static int measure_content(const struct imgi_measure *measure, uint64_t grain, uint64_t table,
                           struct content *content, img_error *err)
{
    uint64_t grains = 0, tables = 0;
    int rc = imgi_measure_data(measure, (uint32_t)grain, &grains, err);

    if (rc == 0)
        rc = imgi_measure_data(measure, (uint32_t)table, &tables, err);
    *content = (struct content){.grains = grains / grain,
                                .tables = tables / table,
                                .all_grains = imgi_div_up(measure->size, grain),
                                .all_tables = imgi_div_up(measure->size, table)};
    return rc;
}

/* A header, all tables, and grains: of one file, or of a part of the disk each. */
static int measure_sparse(const struct imgi_measure *measure, const struct vmdk_plan *plan,
                          img_measure_result *result, img_error *err)
{
    uint64_t part = plan->subformat->split ? VMDK_PART_BYTES : plan->size, fixed = 0;
    struct content content;
    int rc = measure_content(measure, plan->grain, plan->grain, &content, err);

    for (uint64_t at = 0; rc == 0 && at < plan->size; at += part) {
        struct vmdk_shape shape = {.size = IMGI_MIN(part, plan->size - at), .grain = plan->grain};
        struct vmdk_header header;

        rc = vmdk_shape_header(&shape, &header, err);
        if (rc == 0)
            fixed += header.overhead * VMDK_SECTOR;
    }
    result->required += fixed + content.grains * plan->grain;
    result->fully_allocated += fixed + content.all_grains * plan->grain;
    return rc;
}

/* A header, grains with their markers and tables, directory, footer and end of stream. */
static int measure_stream(const struct imgi_measure *measure, const struct vmdk_plan *plan,
                          img_measure_result *result, img_error *err)
{
    struct vmdk_shape shape = {.size = plan->size, .grain = plan->grain, .stream = true};
    uint64_t grain = packed_most(plan->grain), table = VMDK_SECTOR + VMDK_TABLE_BYTES, fixed;
    struct vmdk_header header;
    struct content content;
    int rc = vmdk_shape_header(&shape, &header, err);

    if (rc == 0)
        rc = measure_content(measure, plan->grain, plan->grain * VMDK_NUM_GTES, &content, err);
    if (rc < 0)
        return rc;
    fixed = header.overhead * VMDK_SECTOR + VMDK_SECTOR +
            imgi_align_up(4 * vmdk_gd_entries(&header), VMDK_SECTOR) + 3 * VMDK_SECTOR;
    result->required += fixed + content.grains * grain + content.tables * table;
    result->fully_allocated += fixed + content.all_grains * grain + content.all_tables * table;
    return 0;
}

/* ESX's redo logs get their tables when they need them. */
static int measure_cowd(const struct imgi_measure *measure, img_measure_result *result,
                        img_error *err)
{
    uint64_t grain = VMDK_COWD_GRAIN_SECTORS * VMDK_SECTOR, table = VMDK_COWD_NUM_GTES * 4;
    struct content content;
    int rc = measure_content(measure, grain, grain * VMDK_COWD_NUM_GTES, &content, err);
    uint64_t fixed = VMDK_COWD_HEADER_BYTES + imgi_align_up(4 * content.all_tables, VMDK_SECTOR);

    result->required += fixed + content.grains * grain + content.tables * table;
    result->fully_allocated += fixed + content.all_grains * grain + content.all_tables * table;
    return rc;
}

/* Everything but a descriptor that is a file of its own. */
static int measure_extents(const struct imgi_measure *measure, const struct vmdk_plan *plan,
                           img_measure_result *result, img_error *err)
{
    switch (plan->subformat->type) {
    case VMDK_TYPE_SPARSE:
        if (plan->subformat->stream)
            return measure_stream(measure, plan, result, err);
        return measure_sparse(measure, plan, result, err);
    case VMDK_TYPE_VMFSSPARSE:
        return measure_cowd(measure, result, err);
    default: /* holes are the filesystem's business, as with raw */
        result->required += plan->size;
        result->fully_allocated += plan->size;
        return 0;
    }
}

static int add_descriptor(const struct vmdk_plan *plan, const char *parent,
                          img_measure_result *result, img_error *err)
{
    struct imgi_text descriptor = {0};
    int rc = 0;

    if (vmdk_plan_is_embedded(plan))
        return 0;
    rc = vmdk_create_describe(plan, &descriptor, err);
    if (parent) /* parentFileNameHint="NAME" */
        descriptor.length += strlen(parent) + 22;
    result->required += descriptor.length;
    result->fully_allocated += descriptor.length;
    free(descriptor.bytes);
    return rc;
}

int vmdk_measure(const struct imgi_measure *measure, img_measure_result *result, img_error *err)
{
    const char *parent = imgi_options_string(measure->options, measure->table, "backing_file");
    struct imgi_create create = {.size = measure->size,
                                 .options = measure->options,
                                 .table = measure->table,
                                 .policy = imgi_policy_default()};
    char name[NAME_BYTES + 1];
    struct vmdk_plan plan;
    int rc = imgi_mem_new(&create.file, err);

    if (rc < 0)
        return rc;
    memset(name, 'x', NAME_BYTES);
    name[NAME_BYTES] = '\0';
    create.name = name;
    rc = vmdk_plan_make(&create, &plan, err);
    if (rc == 0)
        rc = add_descriptor(&plan, parent, result, err);
    if (rc == 0)
        rc = measure_extents(measure, &plan, result, err);
    /* What the parent has already is not known. */
    if (rc == 0 && parent && measure->has_source)
        result->required = result->fully_allocated;
    imgi_io_close(create.file);
    return rc;
}
