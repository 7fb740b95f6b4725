/*
 * Opening an image: its descriptor, then its extents. SPDX-License-Identifier: BSD-2-Clause
 *
 * The descriptor is a file of its own, or lies inside the one sparse extent that it
 * describes. What it names is opened through imgi_node_open_file only, which asks the policy.
 * Extents are leaves: the content of a flat one is never looked at, and a sparse one
 * is nothing but a sparse extent.
 */
#include <stdlib.h>
#include <strings.h>

#include "vmdk.h"

/* Kinds of image that stand for a device of the host. */
static const char *const device_types[] = {
    "fullDevice",       "partitionedDevice",          "vmfsRaw", "vmfsRDM", "vmfsRDMP",
    "vmfsRawDeviceMap", "vmfsPassthroughRawDeviceMap"};

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

/* ------------------------------------------------------------------- descriptor */

/* The key, if it is there, has the one value that is supported. */
static int require_value(const struct vmdk_descriptor *descriptor, const char *name,
                         const char *const *values, img_error *err)
{
    char *value;
    int rc = vmdk_descriptor_get(descriptor, name, &value, err);
    bool known = !value;

    if (rc < 0)
        return rc;
    for (size_t i = 0; !known && values[i]; i++)
        known = strcasecmp(value, values[i]) == 0;
    if (!known)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "descriptor: %s \"%.60s\" is not supported", name,
                       value);
    free(value);
    return rc;
}

static int judge_create_type(struct vmdk_state *state, img_error *err)
{
    int rc = vmdk_descriptor_get(&state->descriptor, "createType", &state->create_type, err);

    if (rc == 0 && !state->create_type)
        rc = imgi_fail(err, IMG_E_FORMAT, "descriptor: no createType");
    for (size_t i = 0; rc == 0 && i < IMGI_COUNT(device_types); i++) {
        if (strcasecmp(state->create_type, device_types[i]) == 0)
            rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                           "createType %s stands for a device of the host, which is not supported",
                           device_types[i]);
    }
    return rc;
}

/* A log of changes beside the image would go wrong without anybody noticing. */
static int judge_change_tracking(const struct imgi_node *node, img_error *err)
{
    char *path;
    int rc;

    if (!node->writable)
        return 0;
    rc = vmdk_descriptor_get(&vmdk_state(node)->descriptor, "changeTrackPath", &path, err);
    if (rc == 0 && path)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                       "the image has change tracking (changeTrackPath): it cannot be written");
    free(path);
    return rc;
}

static int find_parent(struct imgi_node *node, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    int rc;

    if (state->parent_cid == VMDK_CID_NONE)
        return 0;
    rc = vmdk_descriptor_get(&state->descriptor, "parentFileNameHint", &node->backing_name, err);
    if (rc == 0 && (!node->backing_name || !*node->backing_name))
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "descriptor: parentCID is %08x, but no parentFileNameHint names the parent",
                       state->parent_cid);
    if (rc < 0)
        return rc;
    node->backing_format = strdup("vmdk");
    return node->backing_format ? 0 : imgi_fail_nomem(err, "a parent's format");
}

/* All of the descriptor but its extents. */
static int judge_descriptor(struct imgi_node *node, img_error *err)
{
    static const char *const versions[] = {"1", "2", "3", NULL}, *const no[] = {"no", NULL};
    static const char *const sectors[] = {"512", NULL};
    struct vmdk_state *state = vmdk_state(node);
    const struct vmdk_descriptor *descriptor = &state->descriptor;
    int rc = judge_create_type(state, err);

    if (rc == 0)
        rc = require_value(descriptor, "version", versions, err);
    if (rc == 0)
        rc = require_value(descriptor, "isNativeSnapshot", no, err);
    if (rc == 0)
        rc = require_value(descriptor, "ddb.logicalSectorSize", sectors, err);
    if (rc == 0)
        rc = judge_change_tracking(node, err);
    if (rc == 0)
        rc = vmdk_descriptor_cid(descriptor, "CID", VMDK_CID_NONE, &state->cid, err);
    if (rc == 0)
        rc = vmdk_descriptor_cid(descriptor, "parentCID", VMDK_CID_NONE, &state->parent_cid, err);
    return rc < 0 ? rc : find_parent(node, err);
}

/* QEMU leaves room for a descriptor in the parts of an image, VMware does not. */
static int fail_part(img_error *err)
{
    return imgi_fail(
        err, IMG_E_UNSUPPORTED,
        "the file has no descriptor: it is a part of an image, whose descriptor is to be "
        "opened");
}

static int read_descriptor(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    char *bytes;
    int rc;

    if (length > VMDK_DESCRIPTOR_BYTES_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "the descriptor has %llu bytes, the limit is %u",
                         (unsigned long long)length, VMDK_DESCRIPTOR_BYTES_MAX);
    bytes = malloc((size_t)length + 1);
    if (!bytes)
        return imgi_fail_nomem(err, "a descriptor");
    rc = imgi_io_read(node->file, bytes, (size_t)length, offset, err);
    if (rc == 0)
        rc = vmdk_descriptor_parse(&state->descriptor, bytes, (size_t)length, node->policy, err);
    free(bytes);
    if (rc == 0 && state->descriptor.length == 0)
        rc = fail_part(err);
    return rc < 0 ? rc : judge_descriptor(node, err);
}

/* --------------------------------------------------------------------- extents */

/* A flat extent must have all its bytes: what the file lacks are not zeros but lost. */
static int open_flat(struct vmdk_extent *extent, const struct vmdk_extent_line *line,
                     img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(extent->io, &size, err);

    if (rc < 0)
        return rc;
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
    int rc = vmdk_sparse_open(node, extent->io, vmdk_state(node)->descriptor.extent_count,
                              &extent->sparse, err);

    if (rc == 0 && extent->sparse->size < extent->length)
        rc =
            imgi_fail(err, IMG_E_CORRUPT,
                      "the file's capacity is %llu bytes, fewer than the %llu that the descriptor "
                      "promises",
                      (unsigned long long)extent->sparse->size, (unsigned long long)extent->length);
    return rc;
}

/* Two extents may share a file only where flat ones take different parts of it. */
static int check_shared(const struct vmdk_state *state, const struct vmdk_extent *extent,
                        img_error *err)
{
    for (const struct vmdk_extent *other = state->extents; other < extent; other++) {
        if (other->io != extent->io)
            continue;
        if (extent->sparse || other->sparse ||
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
    if (line->access == VMDK_ACCESS_NOACCESS)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "NOACCESS extents are not supported");
    if (line->access == VMDK_ACCESS_RDONLY && node->writable)
        return imgi_fail(err, IMG_E_RDONLY, "the extent is RDONLY: the image cannot be written");
    if (line->type > VMDK_TYPE_VMFS)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "%s extents are not supported yet",
                         vmdk_type_name(line->type));
    if (line->type != VMDK_TYPE_FLAT && line->offset != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "%s extents begin at sector 0 of their file, not at %llu",
                         vmdk_type_name(line->type), (unsigned long long)line->offset);
    return 0;
}

/* The file of one extent. */
static int open_file(struct imgi_node *node, struct vmdk_extent *extent,
                     const struct vmdk_extent_line *line, img_error *err)
{
    int rc = imgi_node_open_file(node, "extent", extent->name, true, &extent->io, err);

    if (rc == 0 && extent->io == node->file)
        rc = imgi_fail(err, IMG_E_CORRUPT, "the extent %s is the descriptor itself", extent->name);
    if (rc == 0 && extent->type == VMDK_TYPE_SPARSE)
        rc = open_sparse(node, extent, err);
    else if (rc == 0)
        rc = open_flat(extent, line, err);
    if (rc == 0)
        rc = check_shared(vmdk_state(node), extent, err);
    if (rc < 0 && extent->io)
        imgi_error_image(err, extent->io->name);
    return rc;
}

/* Append the extent of a line to the image. */
static int add_line(struct imgi_node *node, const struct vmdk_extent_line *line, img_error *err)
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
    if (rc == 0 && line->type != VMDK_TYPE_ZERO) {
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

static int open_separate(struct imgi_node *node, uint64_t file_size, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    const struct vmdk_descriptor *descriptor = &state->descriptor;
    int rc = read_descriptor(node, 0, file_size, err);

    if (rc < 0)
        return rc;
    if (descriptor->extent_count == 0)
        return imgi_fail(err, IMG_E_FORMAT, "descriptor: no extents");
    state->extents = calloc(descriptor->extent_count, sizeof(*state->extents));
    if (!state->extents)
        return imgi_fail_nomem(err, "the list of extents");
    for (size_t i = 0; rc == 0 && i < descriptor->extent_count; i++)
        rc = add_line(node, &descriptor->extents[i], err);
    return rc;
}

/*
 * The one extent of a file with its descriptor inside. Its line names the file itself, by a name
 * that it may have lost since. Some writers round the header's capacity up to whole grains.
 */
static int judge_embedded(const struct vmdk_state *state, img_error *err)
{
    const struct vmdk_descriptor *descriptor = &state->descriptor;
    const struct vmdk_extent_line *line = descriptor->extents;
    const struct vmdk_header *header = &state->extents[0].sparse->header;
    uint64_t capacity = header->capacity, grain = header->grain_size;

    if (descriptor->extent_count != 1 || line->type != VMDK_TYPE_SPARSE)
        return imgi_fail(
            err, IMG_E_CORRUPT,
            "embedded descriptor: %zu extents instead of the one SPARSE extent it lies in",
            descriptor->extent_count);
    if (line->access == VMDK_ACCESS_NOACCESS)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "NOACCESS extents are not supported");
    if (line->sectors > capacity || capacity - line->sectors >= grain)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "embedded descriptor: %llu sectors, while the header's capacity is %llu",
                         (unsigned long long)line->sectors, (unsigned long long)capacity);
    return 0;
}

static int open_embedded(struct imgi_node *node, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    struct vmdk_extent *extent = calloc(1, sizeof(*extent));
    const struct vmdk_header *header;
    int rc;

    if (!extent)
        return imgi_fail_nomem(err, "an extent");
    state->extents = extent;
    state->extent_count = 1;
    extent->type = VMDK_TYPE_SPARSE;
    extent->io = node->file;
    rc = vmdk_sparse_open(node, node->file, 1, &extent->sparse, err);
    if (rc < 0)
        return rc;
    header = &extent->sparse->header;
    state->descriptor_offset = header->descriptor_offset * VMDK_SECTOR;
    state->descriptor_room = header->descriptor_size * VMDK_SECTOR;
    if (state->descriptor_offset != 0)
        rc = read_descriptor(node, state->descriptor_offset, state->descriptor_room, err);
    if (rc == 0 && state->descriptor.length == 0)
        return imgi_fail(
            err, IMG_E_UNSUPPORTED,
            "the file has no descriptor: it is a part of an image, whose descriptor is "
            "to be opened");
    if (rc == 0)
        rc = judge_embedded(state, err);
    if (rc < 0)
        return rc;
    if (node->writable && state->descriptor.extents[0].access == VMDK_ACCESS_RDONLY)
        return imgi_fail(err, IMG_E_RDONLY, "the extent is RDONLY: the image cannot be written");
    extent->length = extent->sparse->size;
    node->size = extent->length;
    return 0;
}

/* ------------------------------------------------------------------------ nodes */

/*
 * The core writes whole clusters that begin at multiples of the cluster size, and unpacks such
 * ones: all grains must be alike, and where sparse extents are, all extents whole grains.
 */
static int choose_cluster(struct imgi_node *node, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    bool aligned = true, packed = false, sparse = false;
    uint64_t grain = 0;

    for (size_t i = 0; i < state->extent_count; i++) {
        const struct vmdk_extent *extent = &state->extents[i];

        if (!extent->sparse)
            continue;
        aligned = aligned && (!sparse || extent->sparse->grain == grain);
        grain = IMGI_MAX(grain, extent->sparse->grain);
        packed = packed || vmdk_is_stream(&extent->sparse->header);
        node->dirty = node->dirty || extent->sparse->header.unclean_shutdown;
        sparse = true;
    }
    for (size_t i = 0; sparse && i + 1 < state->extent_count; i++)
        aligned = aligned && state->extents[i].length % grain == 0;
    if (!aligned && (node->writable || packed))
        return imgi_fail(
            err, IMG_E_UNSUPPORTED,
            "extents whose grains differ, or that are no whole grains, can only be read, "
            "and only uncompressed");
    node->cluster_size = (uint32_t)grain;
    return 0;
}

int vmdk_open(struct imgi_node *node, img_error *err)
{
    uint8_t head[VMDK_SECTOR] = {0};
    uint64_t file_size;
    int rc = imgi_io_size(node->file, &file_size, err);

    if (rc == 0)
        rc = imgi_io_read(node->file, head, (size_t)IMGI_MIN(file_size, sizeof(head)), 0, err);
    if (rc < 0)
        return rc;
    if (vmdk_descriptor_looks_like(head, sizeof(head)))
        rc = open_separate(node, file_size, err);
    else
        rc = open_embedded(node, err);
    if (rc == 0)
        rc = choose_cluster(node, err);
    if (rc < 0)
        return rc;
    node->reads_zero = true;
    if (vmdk_state(node)->extents[0].sparse && vmdk_state(node)->extents[0].sparse->stream) {
        node->pack = (struct imgi_pack_params){.codec = IMGI_CODEC_ZLIB, .window_bits = 15};
        node->pack_only = true;
    }
    return 0;
}

void vmdk_close(struct imgi_node *node)
{
    struct vmdk_state *state = vmdk_state(node);

    for (size_t i = 0; i < state->extent_count; i++) {
        vmdk_sparse_free(state->extents[i].sparse);
        free(state->extents[i].name);
    }
    free(state->extents);
    free(state->create_type);
    vmdk_descriptor_free(&state->descriptor);
}
