/*
 * The files of an image in parts: more of them, and fewer. SPDX-License-Identifier: BSD-2-Clause
 *
 * New parts are complete and have their names before the descriptor names them; should that fail
 * the names are taken back. A part that is no longer needed is removed only if it is certain to
 * belong to nothing else: the name is the one that every writer gives the part of that number, the
 * file beside the descriptor is the one that is open, and the extent is all of it.
 */
#include <stdlib.h>

#include "create.h"
#include "vmdk.h"

struct vmdk_extent *vmdk_last_extent(const struct vmdk_state *state)
{
    return &state->extents[state->extent_count - 1];
}

uint64_t vmdk_extents_end(const struct vmdk_state *state)
{
    return vmdk_last_extent(state)->offset + vmdk_last_extent(state)->length;
}

static void forget_last(struct vmdk_state *state)
{
    vmdk_sparse_free(vmdk_last_extent(state)->sparse);
    free(vmdk_last_extent(state)->name);
    state->extent_count--;
}

void vmdk_parts_forget(struct vmdk_state *state, size_t first)
{
    while (state->extent_count > first)
        forget_last(state);
}

uint64_t vmdk_part_limit(const struct vmdk_state *state)
{
    if (!vmdk_is_split(state))
        return UINT64_MAX;
    return state->extent_count > 1 ? state->extents[0].length : VMDK_PART_BYTES;
}

/* ------------------------------------------------------------------------ more */

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
    *part = (struct vmdk_extent){.offset = vmdk_extents_end(state),
                                 .length = length,
                                 .access = VMDK_ACCESS_RW,
                                 .type = vmdk_last_extent(state)->type};
    rc = next_name(vmdk_last_extent(state), &name, err);
    part->name = name.bytes;
    if (rc == 0)
        rc = fill_part(node, vmdk_last_extent(state), part, mode, err);
    if (rc < 0) {
        vmdk_sparse_free(part->sparse);
        free(part->name);
        return rc;
    }
    state->extent_count++;
    return 0;
}

int vmdk_parts_add(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                   img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    uint64_t end = vmdk_extents_end(state), limit = vmdk_part_limit(state);
    int rc = 0;

    if (end < size)
        rc =
            imgi_policy_limit(node->policy, IMG_LIMIT_EXTENTS,
                              state->extent_count + imgi_div_up(size - end, limit), "extents", err);
    for (; rc == 0 && end < size; end = vmdk_extents_end(state))
        rc = add_part(node, IMGI_MIN(limit, size - end), mode, err);
    return rc;
}

int vmdk_parts_settle(const struct vmdk_state *state, size_t first, img_error *err)
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

void vmdk_parts_retract(const struct vmdk_state *state, size_t first)
{
    for (size_t i = first; i < state->extent_count; i++)
        imgi_io_retract(state->extents[i].io);
}

/* ----------------------------------------------------------------------- fewer */

/* The name is the one that the part of that number has beside a descriptor of that name. */
static int check_name(const struct imgi_node *node, const struct vmdk_extent *part, size_t index,
                      img_error *err)
{
    const char *slash = strrchr(node->name, '/');
    struct imgi_text name = {0};
    int rc =
        vmdk_part_name(slash ? slash + 1 : node->name, part->type, (unsigned)index + 1, &name, err);

    if (rc == 0 && strcmp(name.bytes, part->name) != 0)
        rc = imgi_fail(err, IMG_E_INVAL, "it is not called '%s'", name.bytes);
    free(name.bytes);
    return rc;
}

static int check_extent(const struct vmdk_extent *part, img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(part->io, &size, err);

    if (rc == 0 && !part->sparse && (part->host != 0 || size != part->length))
        rc = imgi_fail(err, IMG_E_INVAL,
                       "it has %llu bytes, of which the extent is %llu from byte %llu on",
                       (unsigned long long)size, (unsigned long long)part->length,
                       (unsigned long long)part->host);
    return rc;
}

int vmdk_parts_check_removal(const struct imgi_node *node, size_t first, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    int rc = 0;

    for (size_t i = first; rc == 0 && i < state->extent_count; i++) {
        const struct vmdk_extent *part = &state->extents[i];

        rc = check_name(node, part, i, err);
        if (rc == 0)
            rc = check_extent(part, err);
        if (rc == 0)
            rc = imgi_node_check_removal(node, part->io, err);
        if (rc < 0)
            imgi_error_prefix(err,
                              "the file of extent %zu, '%s', would have to be removed, and may be "
                              "more than that extent",
                              i + 1, part->name);
    }
    return rc;
}

int vmdk_parts_remove(struct imgi_node *node, size_t first, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    int rc = 0;

    for (; state->extent_count > first; forget_last(state)) {
        if (rc == 0)
            rc = imgi_node_remove_file(node, vmdk_last_extent(state)->io, err);
    }
    return rc;
}
