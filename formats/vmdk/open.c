/*
 * Opening an image: its descriptor, then its extents. SPDX-License-Identifier: BSD-2-Clause
 *
 * The descriptor is a file of its own, or lies inside the one sparse extent that it
 * describes.
 */
#include <stdlib.h>
#include <strings.h>

#include "vmdk.h"

/* Kinds of image that stand for a device of the host. */
static const char *const device_types[] = {
    "fullDevice",       "partitionedDevice",          "vmfsRaw", "vmfsRDM", "vmfsRDMP",
    "vmfsRawDeviceMap", "vmfsPassthroughRawDeviceMap"};

const struct imgi_opt vmdk_open_options[] = {
    {"devices", IMGI_OPT_BOOL, "off", "Whether extents may be devices of the host", true},
    {0},
};

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

/* For a check, which tells of it. */
static int lack_create_type(struct vmdk_state *state, img_error *err)
{
    state->typeless = true;
    state->create_type = strdup("custom");
    return state->create_type ? 0 : imgi_fail_nomem(err, "a type");
}

static int judge_create_type(struct vmdk_state *state, bool checking, img_error *err)
{
    int rc = vmdk_descriptor_get(&state->descriptor, "createType", &state->create_type, err);

    if (rc == 0 && !state->create_type)
        rc = checking ? lack_create_type(state, err)
                      : imgi_fail(err, IMG_E_FORMAT, "descriptor: no createType");
    for (size_t i = 0; rc == 0 && !state->devices && i < IMGI_COUNT(device_types); i++) {
        if (strcasecmp(state->create_type, device_types[i]) == 0)
            rc = imgi_fail(err, IMG_E_DENIED,
                           "createType %s stands for a device of the host, which is opened only "
                           "where the policy, or the option devices=on, allows it",
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

/* One that is no number stands for none, where that will be told. */
static int judge_cid(struct vmdk_state *state, bool checking, img_error *err)
{
    int rc = vmdk_descriptor_cid(&state->descriptor, "CID", VMDK_CID_NONE, &state->cid,
                                 checking ? NULL : err);

    return checking ? 0 : rc;
}

/* All of the descriptor but its extents. */
static int judge_descriptor(struct imgi_node *node, img_error *err)
{
    static const char *const versions[] = {"1", "2", "3", NULL}, *const no[] = {"no", NULL};
    static const char *const sectors[] = {"512", NULL};
    struct vmdk_state *state = vmdk_state(node);
    const struct vmdk_descriptor *descriptor = &state->descriptor;
    bool checking = (node->flags & IMG_OPEN_CHECK) != 0;
    int rc;

    state->devices = node->policy->devices || (node->flags & IMG_OPEN_NO_FILES) ||
                     imgi_options_bool(node->options, vmdk_open_options, "devices");
    rc = judge_create_type(state, checking, err);
    if (rc == 0)
        rc = require_value(descriptor, "version", versions, err);
    if (rc == 0)
        rc = require_value(descriptor, "isNativeSnapshot", no, err);
    if (rc == 0)
        rc = require_value(descriptor, "ddb.logicalSectorSize", sectors, err);
    if (rc == 0)
        rc = judge_change_tracking(node, err);
    if (rc == 0)
        rc = judge_cid(state, checking, err);
    if (rc == 0)
        rc = vmdk_descriptor_cid(descriptor, "parentCID", VMDK_CID_NONE, &state->parent_cid, err);
    return rc < 0 ? rc : vmdk_find_parent(node, err);
}

/* QEMU leaves room for a descriptor in the parts of an image, VMware does not. */
static int fail_part(const char *kind, img_error *err)
{
    return imgi_fail(
        err, IMG_E_UNSUPPORTED,
        "the file has no descriptor: it is a part (%s) of an image, whose descriptor is to be "
        "opened",
        kind);
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
        rc = fail_part(vmdk_type_name(VMDK_TYPE_SPARSE), err);
    return rc < 0 ? rc : judge_descriptor(node, err);
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
        rc = vmdk_extent_add(node, &descriptor->extents[i], err);
    return rc;
}

/*
 * The one extent of a file with its descriptor inside. Its line names the file itself, by a name
 * that it may have lost since. Some writers round the header's capacity up to whole grains.
 */
static int judge_embedded(const struct imgi_node *node, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    const struct vmdk_descriptor *descriptor = &state->descriptor;
    const struct vmdk_extent_line *line = descriptor->extents;
    const struct vmdk_header *header = &state->extents[0].sparse->header;
    uint64_t capacity = header->capacity;

    if (descriptor->extent_count != 1 || line->type != VMDK_TYPE_SPARSE)
        return imgi_fail(
            err, IMG_E_CORRUPT,
            "embedded descriptor: %zu extents instead of the one SPARSE extent it lies in",
            descriptor->extent_count);
    if (line->access == VMDK_ACCESS_NOACCESS)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "embedded descriptor: the extent, which is the whole disk, is NOACCESS");
    if (!(node->flags & IMG_OPEN_CHECK) && !vmdk_sizes_agree(line, header))
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
    rc = vmdk_sparse_open(node, node->file, extent->type, 1, &extent->sparse, err);
    if (rc < 0)
        return rc;
    header = &extent->sparse->header;
    state->descriptor_offset = header->descriptor_offset * VMDK_SECTOR;
    state->descriptor_room = header->descriptor_size * VMDK_SECTOR;
    if (state->descriptor_offset != 0)
        rc = read_descriptor(node, state->descriptor_offset, state->descriptor_room, err);
    if (rc == 0 && state->descriptor.length == 0)
        return fail_part(vmdk_type_name(VMDK_TYPE_SPARSE), err);
    if (rc == 0)
        rc = judge_embedded(node, err);
    if (rc < 0)
        return rc;
    if (node->writable && state->descriptor.extents[0].access == VMDK_ACCESS_RDONLY)
        return imgi_fail(err, IMG_E_RDONLY, "the extent is RDONLY: the image cannot be written");
    extent->length = extent->sparse->size;
    node->size = extent->length;
    return 0;
}

int vmdk_open(struct imgi_node *node, img_error *err)
{
    uint8_t head[VMDK_SECTOR] = {0};
    const struct vmdk_sparse *sparse;
    uint64_t file_size;
    int rc = imgi_io_size(node->file, &file_size, err);

    if (rc == 0)
        rc = imgi_io_read(node->file, head, (size_t)IMGI_MIN(file_size, sizeof(head)), 0, err);
    if (rc < 0)
        return rc;
    if (vmdk_descriptor_looks_like(head, sizeof(head)) && imgi_io_is_pipe(node->file))
        rc = imgi_fail(err, IMG_E_UNSUPPORTED,
                       "a descriptor cannot be read from a pipe: the extents are other files");
    else if (vmdk_descriptor_looks_like(head, sizeof(head)))
        rc = open_separate(node, file_size, err);
    else if (imgi_get_le32(head) != VMDK_MAGIC && vmdk_magic_name(head))
        rc = fail_part(vmdk_magic_name(head), err);
    else
        rc = open_embedded(node, err);
    if (rc == 0)
        rc = vmdk_extents_choose_cluster(node, err);
    if (rc < 0)
        return rc;
    node->reads_zero = true;
    sparse = vmdk_state(node)->extents[0].sparse;
    node->pack_plain = sparse && !sparse->stream;
    if (sparse && sparse->stream) {
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
        vmdk_sesparse_free(state->extents[i].sesparse);
        free(state->extents[i].name);
    }
    free(state->extents);
    free(state->create_type);
    vmdk_descriptor_free(&state->descriptor);
}
