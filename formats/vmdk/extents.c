/*
 * The extents of an image, as the lines of its descriptor list them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What a line names is opened through imgi_node_open_file only, which asks the policy. Extents are
 * leaves: the content of a flat one is never looked at, and a sparse one is nothing but a sparse
 * extent. A range that is NOACCESS has no file: whoever reads or writes there gets an error.
 */
#include <stdlib.h>

#include "sesparse.h"

struct vmdk_extent *vmdk_extent_at(const struct vmdk_state *state, uint64_t offset)
{
    size_t low = 0, high = state->extent_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (state->extents[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return &state->extents[low];
}

static bool is_mapping(enum vmdk_type type)
{
    return type == VMDK_TYPE_VMFSRDM || type == VMDK_TYPE_VMFSRAW;
}

/* A flat extent must have all its bytes: what the file lacks are not zeros but lost. */
static int open_flat(struct vmdk_extent *extent, const struct vmdk_extent_line *line,
                     img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(extent->io, &size, err);

    if (rc < 0)
        return rc;
    if (is_mapping(extent->type) && !imgi_io_is_device(extent->io))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the file is the mapping of a raw device, which only the host that made "
                         "it can follow");
    if (line->offset > UINT64_MAX / VMDK_SECTOR ||
        !imgi_span_ok(line->offset * VMDK_SECTOR, extent->length, size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the file has %llu bytes, fewer than the %llu sectors from sector %llu on "
                         "that the descriptor promises",
                         (unsigned long long)size, (unsigned long long)line->sectors,
                         (unsigned long long)line->offset);
    extent->host = line->offset * VMDK_SECTOR;
    return 0;
}

static int open_sparse(struct imgi_node *node, struct vmdk_extent *extent, img_error *err)
{
    size_t extents = vmdk_state(node)->descriptor.extent_count;
    uint64_t capacity = 0;
    int rc;

    if (extent->type == VMDK_TYPE_SESPARSE) {
        rc = vmdk_sesparse_open(node, extent->io, extents, &extent->sesparse, err);
        if (rc == 0)
            capacity = vmdk_sesparse_capacity(extent->sesparse);
    } else {
        rc = vmdk_sparse_open(node, extent->io, extent->type, extents, &extent->sparse, err);
        if (rc == 0)
            capacity = extent->sparse->size;
    }
    if (rc == 0 && capacity < extent->length)
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "the file's capacity is %llu bytes, fewer than the %llu that the descriptor "
                       "promises",
                       (unsigned long long)capacity, (unsigned long long)extent->length);
    return rc;
}

/* What is a number of grains, and not the bytes themselves. */
static bool has_grains(enum vmdk_type type)
{
    return type == VMDK_TYPE_SPARSE || type == VMDK_TYPE_VMFSSPARSE || type == VMDK_TYPE_SESPARSE;
}

/* Two extents may share a file only where flat ones take different parts of it. */
static int check_shared(const struct vmdk_state *state, const struct vmdk_extent *extent,
                        img_error *err)
{
    for (const struct vmdk_extent *other = state->extents; other < extent; other++) {
        if (other->io != extent->io)
            continue;
        if (has_grains(extent->type) || has_grains(other->type) ||
            (extent->host < other->host + other->length &&
             other->host < extent->host + extent->length))
            return imgi_fail(err, IMG_E_CORRUPT, "extents %zu and %zu are the same file",
                             (size_t)(other - state->extents) + 1,
                             (size_t)(extent - state->extents) + 1);
    }
    return 0;
}

static int judge_line(const struct imgi_node *node, const struct vmdk_extent_line *line,
                      img_error *err)
{
    if (line->access == VMDK_ACCESS_RDONLY && node->writable)
        return imgi_fail(err, IMG_E_RDONLY, "the extent is RDONLY: the image cannot be written");
    if (line->type != VMDK_TYPE_FLAT && line->offset != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "%s extents begin at sector 0 of their file, not at %llu",
                         vmdk_type_name(line->type), (unsigned long long)line->offset);
    return 0;
}

/* "\\\\.\\PhysicalDrive0" is a device of Windows, and no name of a file here. */
static int judge_name(const char *name, img_error *err)
{
    if (strncmp(name, "\\\\.\\", 4) != 0)
        return 0;
    return imgi_fail(err, IMG_E_UNSUPPORTED, "'%s' is a device of a Windows host", name);
}

/* The file of one extent. */
static int open_file(struct imgi_node *node, struct vmdk_extent *extent,
                     const struct vmdk_extent_line *line, img_error *err)
{
    int rc = judge_name(extent->name, err);

    if (rc == 0)
        rc = imgi_node_open_extent(node, extent->name, vmdk_state(node)->devices, &extent->io, err);

    if (rc == 0 && extent->io == node->file)
        rc = imgi_fail(err, IMG_E_CORRUPT, "the extent %s is the descriptor itself", extent->name);
    if (rc == 0 && has_grains(extent->type))
        rc = open_sparse(node, extent, err);
    else if (rc == 0)
        rc = open_flat(extent, line, err);
    if (rc == 0)
        rc = check_shared(vmdk_state(node), extent, err);
    if (rc < 0 && extent->io)
        imgi_error_image(err, extent->io->name);
    return rc;
}

int vmdk_extent_add(struct imgi_node *node, const struct vmdk_extent_line *line, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    struct vmdk_extent *extent = &state->extents[state->extent_count++];
    int rc = judge_line(node, line, err);

    extent->access = line->access;
    extent->type = line->type;
    extent->offset = node->size;
    if (rc == 0 && (!imgi_mul(line->sectors, VMDK_SECTOR, &extent->length) ||
                    !imgi_add(node->size, extent->length, &node->size) || node->size > INT64_MAX))
        rc = imgi_fail(err, IMG_E_CORRUPT, "the extents' sizes add up to more than 2^63 bytes");
    if (rc == 0 && line->type != VMDK_TYPE_ZERO && line->access != VMDK_ACCESS_NOACCESS) {
        extent->name = vmdk_descriptor_file(&state->descriptor, line);
        if (!extent->name)
            rc = imgi_fail_nomem(err, "an extent's name");
        else if (!(node->flags & IMG_OPEN_NO_FILES))
            rc = open_file(node, extent, line, err);
    }
    if (rc < 0)
        imgi_error_place(err, "descriptor line %u", line->line);
    return rc;
}

/* Bytes of a grain; 0: it has none. */
static uint64_t grain_of(const struct vmdk_extent *extent)
{
    if (extent->sesparse)
        return VMDK_SESPARSE_GRAIN_BYTES;
    return extent->sparse ? extent->sparse->grain : 0;
}

/*
 * The core writes whole clusters that begin at multiples of the cluster size: that of the largest
 * grains, of which smaller ones are parts (see vmdk_sparse_reserve). A grain that does not begin
 * at a multiple of its size would lie in two clusters, and what unpacks wants clusters that are
 * grains.
 */
int vmdk_extents_choose_cluster(struct imgi_node *node, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    uint64_t largest = 0, smallest = UINT64_MAX;
    bool aligned = true, packed = false, end_aligned = true;

    for (size_t i = 0; i < state->extent_count; i++) {
        const struct vmdk_extent *extent = &state->extents[i];
        uint64_t grain = grain_of(extent);

        if (grain == 0)
            continue;
        largest = IMGI_MAX(largest, grain);
        smallest = IMGI_MIN(smallest, grain);
        aligned = aligned && extent->offset % grain == 0;
        if (!extent->sparse)
            continue;
        packed = packed || vmdk_is_stream(&extent->sparse->header);
        node->dirty = node->dirty || extent->sparse->header.unclean_shutdown;
    }
    if (largest == 0)
        return 0;
    for (size_t i = 0; i + 1 < state->extent_count; i++)
        end_aligned = end_aligned && state->extents[i].length % largest == 0;
    if ((!aligned && node->writable) || (packed && (smallest != largest || !end_aligned)))
        return imgi_fail(
            err, IMG_E_UNSUPPORTED,
            "extents whose grains begin between multiples of their size can only be read, and "
            "compressed ones only if all grains are alike and all extents whole grains");
    node->cluster_size = (uint32_t)largest;
    node->grain = smallest < largest ? (uint32_t)smallest : 0;
    return 0;
}
