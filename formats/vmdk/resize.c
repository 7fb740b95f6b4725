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

static bool is_split(const struct vmdk_state *state)
{
    return strncasecmp(state->create_type, "twoGb", 5) == 0 ||
           strncasecmp(state->create_type, "2Gb", 3) == 0;
}

static struct vmdk_extent *last_extent(const struct vmdk_state *state)
{
    return &state->extents[state->extent_count - 1];
}

static void forget_part(struct vmdk_state *state)
{
    vmdk_sparse_free(last_extent(state)->sparse);
    free(last_extent(state)->name);
    state->extent_count--;
}

static uint64_t extents_end(const struct vmdk_state *state)
{
    return last_extent(state)->offset + last_extent(state)->length;
}

/* Kinds of image, and sizes, for which it is known how the extents have to be. */
static int check(const struct imgi_node *node, uint64_t size, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    bool split = is_split(state);

    if (size % VMDK_SECTOR != 0)
        return imgi_fail(err, IMG_E_INVAL, "The new size must be a multiple of %u", VMDK_SECTOR);
    if (size == 0 || size > INT64_MAX - VMDK_SECTOR)
        return imgi_fail(err, IMG_E_INVAL, "a VMDK image cannot have a size of %llu bytes",
                         (unsigned long long)size);
    if (!split && state->extent_count != 1)
        return imgi_fail(err, IMG_E_INVAL, "an image of type %s with %zu extents cannot be resized",
                         state->create_type, state->extent_count);
    for (size_t i = 0; i < state->extent_count; i++) {
        const struct vmdk_extent *extent = &state->extents[i];

        if (extent->type != VMDK_TYPE_SPARSE && extent->type != VMDK_TYPE_FLAT &&
            extent->type != VMDK_TYPE_VMFS)
            return imgi_fail(err, IMG_E_INVAL, "an image with %s extents cannot be resized",
                             vmdk_type_name(extent->type));
    }
    return 0;
}

/* What an earlier resize that failed has left in memory behind the disk's end is not there. */
static void forget_reach(struct imgi_node *node)
{
    struct vmdk_state *state = vmdk_state(node);

    while (state->extent_count > state->descriptor.extent_count)
        forget_part(state);
    last_extent(state)->length = node->size - last_extent(state)->offset;
}

/* ----------------------------------------------------------------------- parts */

/* The most that the last extent may have. */
static uint64_t part_limit(const struct vmdk_state *state)
{
    if (!is_split(state))
        return UINT64_MAX;
    return state->extent_count > 1 ? state->extents[0].length : VMDK_PART_BYTES;
}

/* The name of the part behind the last: its number, in front of the suffix, is one more. */
static int next_name(const struct vmdk_extent *last, struct imgi_text *name, img_error *err)
{
    const char *dot = strrchr(last->name, '.');
    size_t end = dot ? (size_t)(dot - last->name) : strlen(last->name), start = end;

    while (start > 0 && last->name[start - 1] >= '0' && last->name[start - 1] <= '9')
        start--;
    if (end - start < 3 || end - start > 9 || start < 2 || last->name[start - 2] != '-')
        return imgi_fail(
            err, IMG_E_INVAL,
            "the name of the next extent cannot be told from the last one's: '%s' does "
            "not end with a number, as -s001 or -f001",
            last->name);
    imgi_text_add(name, "%.*s%03lu%s", (int)start, last->name,
                  strtoul(last->name + start, NULL, 10) + 1, last->name + end);
    return name->failed ? imgi_fail_nomem(err, "a file name") : 0;
}

/* The files of a new part, without a name as yet. */
static int fill_part(struct imgi_node *node, const struct vmdk_extent *last,
                     struct vmdk_extent *part, enum img_preallocation mode, img_error *err)
{
    size_t count = vmdk_state(node)->extent_count + 1;
    int rc = imgi_node_create_file(node, part->name, &part->io, err);

    if (rc == 0 && !last->sparse)
        return imgi_io_resize(part->io, part->length, imgi_file_prealloc(mode), err);
    if (rc == 0) {
        const struct vmdk_header *header = &last->sparse->header;
        const struct vmdk_shape shape = {.size = part->length,
                                         .grain = last->sparse->grain,
                                         .zero_grains =
                                             (header->flags & VMDK_FLAG_ZERO_GRAINS) != 0};

        rc = vmdk_extent_write(part->io, &shape, NULL, err);
    }
    if (rc == 0)
        rc = vmdk_sparse_open(node, part->io, part->type, count, &part->sparse, err);
    return rc < 0 ? rc : vmdk_mark_unclean(part->sparse, err);
}

static int add_part(struct imgi_node *node, uint64_t length, enum img_preallocation mode,
                    img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    struct vmdk_extent *extents =
        realloc(state->extents, (state->extent_count + 1) * sizeof(*extents));
    struct vmdk_extent *part;
    struct imgi_text name = {0};
    int rc;

    if (!extents)
        return imgi_fail_nomem(err, "the list of extents");
    state->extents = extents;
    part = &extents[state->extent_count];
    *part = (struct vmdk_extent){.offset = extents_end(state),
                                 .length = length,
                                 .access = VMDK_ACCESS_RW,
                                 .type = last_extent(state)->type};
    rc = next_name(last_extent(state), &name, err);
    part->name = name.bytes;
    if (rc == 0)
        rc = fill_part(node, last_extent(state), part, mode, err);
    if (rc < 0) {
        vmdk_sparse_free(part->sparse);
        free(part->name);
        return rc;
    }
    state->extent_count++;
    return 0;
}

/* As many parts behind the last as the size needs. */
static int add_parts(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                     img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    uint64_t end = extents_end(state), limit = part_limit(state);
    int rc = 0;

    if (end < size)
        rc =
            imgi_policy_limit(node->policy, IMG_LIMIT_EXTENTS,
                              state->extent_count + imgi_div_up(size - end, limit), "extents", err);
    for (; rc == 0 && end < size; end = extents_end(state))
        rc = add_part(node, IMGI_MIN(limit, size - end), mode, err);
    return rc;
}

/* What the last extent has once the disk is larger. */
static uint64_t grown_length(const struct vmdk_state *state, uint64_t size)
{
    const struct vmdk_extent *last = last_extent(state);

    return IMGI_MAX(last->length, IMGI_MIN(size - last->offset, part_limit(state)));
}

int vmdk_reach(struct imgi_node *node, uint64_t size, img_error *err)
{
    struct vmdk_extent *last;
    uint64_t length;
    int rc = check(node, size, err);

    if (rc < 0)
        return rc;
    forget_reach(node);
    last = last_extent(vmdk_state(node));
    /* Flat extents have no parent and no grains: all of them can wait. */
    if (!last->sparse)
        return 0;
    length = grown_length(vmdk_state(node), size);
    rc = vmdk_sparse_reach(node, last->sparse, last->length, length, err);
    if (rc < 0)
        return rc;
    last->length = length;
    return add_parts(node, size, IMG_PREALLOC_OFF, err);
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

/* The bytes of a flat extent that it gains, which read as zeros whatever the file has there. */
static int grow_flat(struct vmdk_extent *extent, uint64_t length, enum img_preallocation mode,
                     img_error *err)
{
    uint64_t old = extent->host + extent->length, end = extent->host + length, size;
    int rc = imgi_io_size(extent->io, &size, err);

    if (rc == 0 && size > old)
        rc = imgi_io_zero(extent->io, old, IMGI_MIN(size, end) - old, true, err);
    if (rc == 0 && size < end)
        rc = imgi_io_resize(extent->io, end, imgi_file_prealloc(mode), err);
    if (rc == 0)
        rc = imgi_io_flush(extent->io, err);
    if (rc == 0)
        extent->length = length;
    return rc;
}

/* Everything that the new descriptor will name is on disk, under its name. */
static int settle_parts(const struct vmdk_state *state, size_t first, img_error *err)
{
    int rc = 0;

    for (size_t i = first; rc == 0 && i < state->extent_count; i++) {
        const struct vmdk_extent *part = &state->extents[i];

        if (part->sparse)
            rc = vmdk_tables_write(part->sparse, err);
        if (rc == 0)
            rc = imgi_io_publish(part->io, err);
        if (rc == 0)
            rc = imgi_io_flush(part->io, err);
    }
    return rc;
}

static int grow(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    size_t last = state->descriptor.extent_count - 1;
    struct vmdk_extent *extent = &state->extents[last];
    struct shape shape;
    int rc = 0;

    if (!extent->sparse) {
        rc = grow_flat(extent, grown_length(state, size), mode, err);
        if (rc == 0)
            rc = add_parts(node, size, mode, err);
    } else if (extent->io != node->file) {
        rc = vmdk_sparse_set_capacity(extent->sparse, extent->length, err);
    }
    if (rc == 0)
        rc = settle_parts(state, last + 1, err);
    shape = (struct shape){last, state->extent_count, state->extents[last].length, size};
    if (rc == 0)
        rc = describe(node, &shape, err);
    if (rc == 0)
        node->size = size;
    return rc;
}

/* ---------------------------------------------------------------------- shrink */

/* Extents from number `first` on are no part of the image any more, nor are their files. */
static int remove_parts(struct imgi_node *node, size_t first, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    int rc = 0;

    while (state->extent_count > first) {
        if (rc == 0)
            rc = imgi_node_remove_file(node, last_extent(state)->io, err);
        forget_part(state);
    }
    return rc;
}

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
    rc = remove_parts(node, last + 1, err);
    return rc < 0 ? rc : cut(node, extent, length, err);
}

int vmdk_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err)
{
    const struct vmdk_extent *last = last_extent(vmdk_state(node));
    int rc = 0;

    /* Growing has been looked at by reach. */
    if (size <= node->size)
        rc = check(node, size, err);
    if (rc < 0 || size == node->size)
        return rc;
    if (mode == IMG_PREALLOC_METADATA || (last->sparse && mode != IMG_PREALLOC_OFF))
        return imgi_fail(err, IMG_E_INVAL,
                         "Unsupported preallocation mode: sparse extents have none, flat ones have "
                         "falloc and full");
    return size < node->size ? shrink(node, size, err) : grow(node, size, mode, err);
}
