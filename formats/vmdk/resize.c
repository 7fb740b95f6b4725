/*
 * A larger or a smaller disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * An image of one extent, sparse or flat, has that one grow; one in parts has its last part grow to
 * the size of the others, and then gets more parts. The descriptor says last that the disk is
 * larger, and first that it is smaller, so that it never promises what the files do not have. What
 * a crash leaves is space behind an extent's end, or files that no descriptor names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "layout.h"
#include "vmdk.h"

bool vmdk_is_split(const struct vmdk_state *state)
{
    return strncasecmp(state->create_type, "twoGb", 5) == 0 ||
           strncasecmp(state->create_type, "2Gb", 3) == 0;
}

/* An extent that is written in place, and has its file for itself. */
static int check_extent(const struct vmdk_state *state, const struct vmdk_extent *extent,
                        img_error *err)
{
    size_t number = (size_t)(extent - state->extents) + 1;

    if (extent->type != VMDK_TYPE_SPARSE && extent->type != VMDK_TYPE_FLAT &&
        extent->type != VMDK_TYPE_VMFS && extent->type != VMDK_TYPE_VMFSSPARSE)
        return imgi_fail(err, IMG_E_INVAL, "an image with %s extents cannot be resized",
                         vmdk_type_name(extent->type));
    if (extent->access != VMDK_ACCESS_RW || !extent->io)
        return imgi_fail(err, IMG_E_INVAL, "extent %zu is %s: the image cannot be resized", number,
                         vmdk_access_name(extent->access));
    if (extent->sparse && vmdk_is_stream(&extent->sparse->header))
        return imgi_fail(err, IMG_E_INVAL,
                         "extent %zu is streamOptimized: the image cannot be resized", number);
    for (const struct vmdk_extent *other = state->extents; other < extent; other++) {
        if (other->io == extent->io)
            return imgi_fail(err, IMG_E_INVAL,
                             "extents %zu and %zu are in one file: the image cannot be resized",
                             (size_t)(other - state->extents) + 1, number);
    }
    return 0;
}

/* Kinds of image, and sizes, for which it is known how the extents have to be. */
static int check(const struct imgi_node *node, uint64_t size, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    int rc = 0;

    if (size % VMDK_SECTOR != 0)
        return imgi_fail(err, IMG_E_INVAL, "The new size must be a multiple of %u", VMDK_SECTOR);
    if (size == 0 || size > INT64_MAX - VMDK_SECTOR)
        return imgi_fail(err, IMG_E_INVAL, "a VMDK image cannot have a size of %llu bytes",
                         (unsigned long long)size);
    if (!vmdk_is_split(state) && state->extent_count != 1)
        return imgi_fail(err, IMG_E_INVAL, "an image of type %s with %zu extents cannot be resized",
                         state->create_type, state->extent_count);
    for (size_t i = 0; rc == 0 && i < state->extent_count; i++)
        rc = check_extent(state, &state->extents[i], err);
    return rc;
}

/* What is behind a flat extent's end in its file is not the image's. */
static int check_end(const struct vmdk_extent *last, img_error *err)
{
    uint64_t end = last->host + last->length, size;
    int rc;

    if (last->sparse)
        return 0;
    rc = imgi_io_size(last->io, &size, err);
    if (rc == 0 && size != end)
        rc = imgi_fail(err, IMG_E_INVAL,
                       "the file '%s' goes on behind the extent that would grow (%llu bytes, the "
                       "extent ends at %llu): if nothing there is needed, truncate -s %llu cuts it",
                       last->name, (unsigned long long)size, (unsigned long long)end,
                       (unsigned long long)end);
    return rc;
}

/* What an earlier resize that failed has left in memory behind the disk's end is not there. */
static void forget_reach(struct imgi_node *node)
{
    struct vmdk_state *state = vmdk_state(node);

    vmdk_parts_forget(state, state->descriptor.extent_count);
    vmdk_last_extent(state)->length = node->size - vmdk_last_extent(state)->offset;
}

/* What the last extent has once the disk is larger. */
static uint64_t grown_length(const struct vmdk_state *state, uint64_t size)
{
    const struct vmdk_extent *last = vmdk_last_extent(state);

    return IMGI_MAX(last->length, IMGI_MIN(size - last->offset, vmdk_part_limit(state)));
}

int vmdk_can_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                    img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    int rc = check(node, size, err);

    if (rc < 0)
        return rc;
    forget_reach(node);
    if (mode == IMG_PREALLOC_METADATA ||
        (vmdk_last_extent(state)->sparse && mode != IMG_PREALLOC_OFF))
        return imgi_fail(err, IMG_E_INVAL,
                         "Unsupported preallocation mode: sparse extents have none, flat ones have "
                         "falloc and full");
    if (size > node->size)
        return check_end(vmdk_last_extent(state), err);
    return vmdk_parts_check_removal(
        node, (size_t)(vmdk_extent_at(state, size - 1) - state->extents) + 1, err);
}

int vmdk_reach(struct imgi_node *node, uint64_t size, img_error *err)
{
    struct vmdk_extent *last = vmdk_last_extent(vmdk_state(node));
    uint64_t length;
    int rc;

    /* Flat
 extents have no parent and no grains: all of them can wait. */
    if (!last->sparse)
        return 0;
    length = grown_length(vmdk_state(node), size);
    rc = vmdk_sparse_reach(node, last->sparse, last->length, length, err);
    if (rc < 0)
        return rc;
    last->length = length;
    return vmdk_parts_add(node, size, IMG_PREALLOC_OFF, err);
}

/* ------------------------------------------------------------------ descriptor */

static bool get_number(const struct vmdk_descriptor *text, const char *name, uint64_t *value)
{
    char *digits = NULL;
    bool known = vmdk_descriptor_get(text, name, &digits, NULL) == 0 && digits && *digits &&
                 strlen(digits) < 10 && strspn(digits, "0123456789") == strlen(digits);

    *value = known ? strtoull(digits, NULL, 10) : 0;
    free(digits);
    return known;
}

/* As many cylinders as fit. Where a writer has set a limit there are no more than before. */
static int set_cylinders(struct vmdk_descriptor *text, uint64_t old, uint64_t size,
                         const struct img_policy *policy, img_error *err)
{
    uint64_t cylinders, heads, sectors, bytes, fit;
    char digits[24];
    bool found;

    if (!get_number(text, "ddb.geometry.cylinders", &cylinders) ||
        !get_number(text, "ddb.geometry.heads", &heads) ||
        !get_number(text, "ddb.geometry.sectors", &sectors) || heads == 0 || sectors == 0)
        return 0;
    if (!imgi_mul(heads, sectors, &bytes) || !imgi_mul(bytes, VMDK_SECTOR, &bytes))
        return 0;
    fit = size / bytes;
    if (cylinders < old / bytes)
        fit = IMGI_MIN(fit, cylinders);
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)fit);
    return vmdk_descriptor_set(text, "ddb.geometry.cylinders", digits, policy, &found, err);
}

/* The disk as it is to be described: its extents, the last of them, and its size. */
struct shape {
    size_t last, count; /* extents of the old descriptor that stay end with `last` */
    uint64_t length;    /* of that one */
    uint64_t size;
};

static int set_extents(const struct vmdk_state *state, struct vmdk_descriptor *text,
                       const struct shape *shape, const struct img_policy *policy, img_error *err)
{
    struct imgi_text more = {0};
    int rc;

    imgi_text_add(&more, "%s", "");
    for (size_t i = shape->last + 1; i < shape->count; i++)
        imgi_text_add(&more, "RW %llu %s \"%s\"%s\n",
                      (unsigned long long)(state->extents[i].length / VMDK_SECTOR),
                      vmdk_type_name(state->extents[i].type), state->extents[i].name,
                      state->extents[i].type == VMDK_TYPE_FLAT ? " 0" : "");
    if (more.failed)
        rc = imgi_fail_nomem(err, "a descriptor");
    else
        rc = vmdk_descriptor_extents(text, shape->last, shape->length / VMDK_SECTOR, more.bytes,
                                     policy, err);
    free(more.bytes);
    return rc;
}

static int describe(struct imgi_node *node, const struct shape *shape, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    struct vmdk_descriptor text;
    int rc = vmdk_descriptor_copy(&text, &state->descriptor, node->policy, err);

    if (rc == 0)
        rc = set_extents(state, &text, shape, node->policy, err);
    if (rc == 0)
        rc = set_cylinders(&text, node->size, shape->size, node->policy, err);
    if (rc == 0)
        rc = vmdk_descriptor_store(node, &text, shape->size / VMDK_SECTOR, err);
    vmdk_descriptor_free(&text);
    return rc;
}

/* ------------------------------------------------------------------------ grow */

static int grow_flat(struct vmdk_extent *extent, uint64_t length, enum img_preallocation mode,
                     img_error *err)
{
    int rc = 0;

    if (length == extent->length)
        return 0;
    rc = imgi_io_resize(extent->io, extent->host + length, imgi_file_prealloc(mode), err);
    if (rc == 0)
        rc = imgi_io_flush(extent->io, err);
    if (rc == 0)
        extent->length = length;
    return rc;
}

/* The extents have what the size needs, on disk; nothing names it as yet. */
static int grow_extents(struct imgi_node *node, size_t last, uint64_t size,
                        enum img_preallocation mode, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    struct vmdk_extent *extent = &state->extents[last];
    int rc = 0;

    if (!extent->sparse) {
        rc = grow_flat(extent, grown_length(state, size), mode, err);
        if (rc == 0)
            rc = vmdk_parts_add(node, size, mode, err);
    } else if (extent->io != node->file) {
        rc = vmdk_sparse_set_capacity(extent->sparse, extent->length, err);
    }
    return rc < 0 ? rc : vmdk_parts_settle(state, last + 1, err);
}

/*
 * The descriptor could not be changed: what it does not name goes, or it would be in the way of the
 * next attempt. Should the new text be there all the same, all of that is needed.
 */
static void undo_growth(struct imgi_node *node, size_t last)
{
    struct vmdk_state *state = vmdk_state(node);
    struct vmdk_extent *extent = &state->extents[last];

    if (!vmdk_descriptor_is_stored(node))
        return;
    vmdk_parts_retract(state, last + 1);
    if (!extent->sparse && imgi_io_resize(extent->io, extent->host + node->size - extent->offset,
                                          IMGI_PREALLOC_OFF, NULL) == 0)
        extent->length = node->size - extent->offset;
}

static int grow(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    size_t last = state->descriptor.extent_count - 1;
    struct shape shape;
    int rc = grow_extents(node, last, size, mode, err);

    shape = (struct shape){last, state->extent_count, state->extents[last].length, size};
    if (rc == 0)
        rc = describe(node, &shape, err);
    if (rc == 0)
        node->size = size;
    else
        undo_growth(node, last);
    return rc;
}

/* ---------------------------------------------------------------------- shrink */

/* The descriptor has promised less: let the file have less. */
static int cut(const struct imgi_node *node, struct vmdk_extent *extent, uint64_t length,
               img_error *err)
{
    uint64_t old = extent->host + extent->length, size;
    int rc;

    extent->length = length;
    if (extent->sparse) {
        rc = extent->io == node->file ? 0 : vmdk_sparse_set_capacity(extent->sparse, length, err);
        if (rc < 0)
            return rc;
        vmdk_sparse_shrunk(extent->sparse, length);
        return vmdk_sparse_trim(node, extent->sparse, err);
    }
    rc = imgi_io_size(extent->io, &size, err);
    /* What is behind an extent's end is not the image's. */
    if (rc == 0 && size == old)
        rc = imgi_io_resize(extent->io, extent->host + length, IMGI_PREALLOC_OFF, err);
    return rc;
}

/*
 * Grains behind the end go before the size changes: were it the other way round, a crash would
 * leave entries there that come back when the disk grows again.
 */
static int shrink(struct imgi_node *node, uint64_t size, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    struct vmdk_extent *extent = vmdk_extent_at(state, size - 1);
    size_t last = (size_t)(extent - state->extents);
    uint64_t length = size - extent->offset;
    const struct shape shape = {last, last + 1, length, size};
    int rc = 0;

    if (extent->sparse)
        rc = vmdk_sparse_drop(extent->sparse, imgi_div_up(length, extent->sparse->grain), err);
    if (rc == 0)
        rc = describe(node, &shape, err);
    if (rc < 0)
        return rc;
    node->size = size;
    rc = vmdk_parts_remove(node, last + 1, err);
    return rc < 0 ? rc : cut(node, extent, length, err);
}

int vmdk_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err)
{
    if (size == node->size)
        return 0;
    return size < node->size ? shrink(node, size, err) : grow(node, size, mode, err);
}
