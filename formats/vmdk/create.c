/*
 * Making an empty image. SPDX-License-Identifier: BSD-2-Clause
 *
 * Nothing in the file is random and nothing comes from the clock, so that the same options make the
 * same bytes; SOURCE_DATE_EPOCH changes the identifiers.
 */
#include <stdlib.h>

#include "create.h"

/* ------------------------------------------------------------------ descriptor */

static uint64_t mix(uint64_t seed, const char *text)
{
    return imgi_ident_mix(seed, text, strlen(text));
}

/* Everything that tells images apart, except names, which can change. */
static uint64_t plan_seed(const struct vmdk_plan *plan)
{
    uint64_t seed = imgi_scramble(imgi_ident_seed() ^ plan->size);

    seed = mix(seed, plan->subformat->name);
    seed = mix(seed, plan->adapter);
    seed = mix(seed, plan->hw_version);
    seed = mix(seed, plan->tools_version);
    if (plan->has_cid)
        seed = imgi_scramble(seed ^ plan->cid);
    if (plan->uuid[0])
        seed = mix(seed, plan->uuid);
    return imgi_scramble(seed ^ plan->parent_cid);
}

static void write_template(const struct vmdk_plan *plan, const char *extents,
                           struct imgi_text *text)
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
        .uuid = plan->uuid[0] ? plan->uuid : NULL,
        .thin = plan->subformat->thin,
        .seed = plan_seed(plan),
    };

    template.cid = plan->has_cid ? plan->cid : (uint32_t)(template.seed >> 32);
    if (template.cid >= VMDK_CID_FRESH)
        template.cid = 1;
    vmdk_template_write(&template, text);
}

/* -------------------------------------------------------------------------- files */

int vmdk_part_name(const char *name, enum vmdk_type type, unsigned part, struct imgi_text *file,
                   img_error *err)
{
    const char *dot = strrchr(name, '.');
    int stem = dot && dot != name ? (int)(dot - name) : (int)strlen(name);

    if (part == 0)
        imgi_text_add(file, "%.*s-%s%s", stem, name,
                      type == VMDK_TYPE_VMFSSPARSE ? "delta" : "flat", name + stem);
    else
        imgi_text_add(file, "%.*s-%c%03u%s", stem, name, type == VMDK_TYPE_SPARSE ? 's' : 'f', part,
                      name + stem);
    return file->failed ? imgi_fail_nomem(err, "a file name") : 0;
}

static int write_sparse(const struct vmdk_plan *plan, struct imgi_io *io, uint64_t size,
                        const struct imgi_text *descriptor, img_error *err)
{
    const struct vmdk_shape shape = {.size = size,
                                     .grain = plan->grain,
                                     .zero_grains = plan->zeroed_grain,
                                     .stream = plan->subformat->stream};

    return vmdk_extent_write(io, &shape, descriptor, err);
}

/* The file of an extent that is not the main one. */
static int write_part(const struct vmdk_plan *plan, struct imgi_io *io, uint64_t size,
                      img_error *err)
{
    switch (plan->subformat->type) {
    case VMDK_TYPE_SPARSE:
        return write_sparse(plan, io, size, NULL, err);
    case VMDK_TYPE_VMFSSPARSE:
        return vmdk_cowd_create(io, size, err);
    default:
        return imgi_io_resize(io, size, plan->subformat->prealloc, err);
    }
}

/* One file beside the main one. part: from 1, or 0 when there is only one. */
static int create_part(const struct vmdk_plan *plan, unsigned part, uint64_t size, void *opaque,
                       img_error *err)
{
    struct imgi_text file = {0};
    struct imgi_io *io = NULL;
    int rc = vmdk_part_name(plan->name, plan->subformat->type, part, &file, err);

    (void)opaque;
    if (rc == 0)
        rc = imgi_create_file(plan->create, file.bytes, &io, err);
    if (rc == 0)
        rc = write_part(plan, io, size, err);
    free(file.bytes);
    return rc;
}

/* Its line, which becomes a part of the text. */
static int describe_part(const struct vmdk_plan *plan, unsigned part, uint64_t size, void *lines,
                         img_error *err)
{
    enum vmdk_type type = plan->subformat->type;
    struct imgi_text file = {0};
    int rc = vmdk_part_name(plan->name, plan->subformat->type, part, &file, err);

    if (rc == 0)
        imgi_text_add(lines, "RW %llu %s \"%s\"%s\n", (unsigned long long)(size / VMDK_SECTOR),
                      vmdk_type_name(type), file.bytes, type == VMDK_TYPE_FLAT ? " 0" : "");
    free(file.bytes);
    return rc;
}

typedef int part_fn(const struct vmdk_plan *plan, unsigned part, uint64_t size, void *opaque,
                    img_error *err);

static int for_parts(const struct vmdk_plan *plan, part_fn *fn, void *opaque, img_error *err)
{
    uint64_t count = imgi_div_up(plan->size, VMDK_PART_BYTES);
    int rc = 0;

    if (!plan->subformat->split)
        return fn(plan, 0, plan->size, opaque, err);
    rc = imgi_policy_limit(plan->create->policy, IMG_LIMIT_EXTENTS, count, "extents", err);
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = fn(plan, (unsigned)i + 1, IMGI_MIN(plan->size - i * VMDK_PART_BYTES, VMDK_PART_BYTES),
                opaque, err);
    return rc;
}

int vmdk_create_describe(const struct vmdk_plan *plan, struct imgi_text *descriptor, img_error *err)
{
    struct imgi_text lines = {0};
    int rc = 0;

    if (vmdk_plan_is_embedded(plan))
        imgi_text_add(&lines, "RW %llu SPARSE \"%s\"\n",
                      (unsigned long long)(plan->size / VMDK_SECTOR), plan->name);
    else
        rc = for_parts(plan, describe_part, &lines, err);
    if (rc == 0 && !lines.failed)
        write_template(plan, lines.bytes, descriptor);
    if (rc == 0 && (lines.failed || descriptor->failed))
        rc = imgi_fail_nomem(err, "a descriptor");
    free(lines.bytes);
    return rc;
}

static int create_separate(const struct vmdk_plan *plan, const struct imgi_text *descriptor,
                           img_error *err)
{
    int rc = imgi_io_resize(plan->create->file, 0, IMGI_PREALLOC_OFF, err);

    if (rc < 0)
        return rc;
    return imgi_io_write(plan->create->file, descriptor->bytes, descriptor->length, 0, err);
}

static int create_embedded(const struct vmdk_plan *plan, const struct imgi_text *descriptor,
                           img_error *err)
{
    if (descriptor->length > VMDK_DESCRIPTOR_ROOM)
        return imgi_fail(err, IMG_E_INVAL, "the names are too long for a descriptor of %u bytes",
                         VMDK_DESCRIPTOR_ROOM);
    return write_sparse(plan, plan->create->file, plan->size, descriptor, err);
}

int vmdk_create(struct imgi_create *create, img_error *err)
{
    struct imgi_text descriptor = {0};
    struct vmdk_plan plan;
    int rc = vmdk_plan_make(create, &plan, err);

    if (rc == 0)
        rc = vmdk_create_describe(&plan, &descriptor, err);
    if (rc == 0 && vmdk_plan_is_embedded(&plan)) {
        rc = create_embedded(&plan, &descriptor, err);
    } else if (rc == 0) {
        rc = for_parts(&plan, create_part, NULL, err);
        if (rc == 0)
            rc = create_separate(&plan, &descriptor, err);
    }
    free(descriptor.bytes);
    return rc;
}
