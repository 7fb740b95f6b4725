/*
 * Making a VHD image larger. SPDX-License-Identifier: BSD-2-Clause
 *
 * A BAT that has no room is written anew behind the data, and the first sector of the dynamic
 * header, which is written as a whole, leads there; a BAT may have more entries than the disk has
 * blocks, so the size comes last: in the footer, then in its copy. A crash leaves the old size or
 * the new one.
 */
#include <stdlib.h>

#include "vhd.h"

/* The footer of a disk of that size, by the rule that readers of this image follow. */
static int choose_footer(const struct imgi_node *node, uint64_t size, struct vhd_footer *footer,
                         img_error *err)
{
    uint64_t sectors = imgi_div_up(size, VHD_SECTOR), rounded = sectors;
    bool exact, largest = vhd_geometry_bytes(footer) == VHD_GEOMETRY_MAX * VHD_SECTOR;

    if (size < node->size)
        return imgi_fail(err, IMG_E_INVAL, "a VHD image can only be made larger");
    if (footer->type == VHD_TYPE_DIFFERENCING)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "a differencing VHD image has the size of its parent");
    exact = vhd_size_is_exact(footer);
    if (!largest && sectors <= VHD_SECTORS_MAX)
        rounded = vhd_geometry(sectors, footer);
    if (!exact)
        sectors = rounded;
    if (sectors > VHD_SECTORS_MAX)
        return imgi_fail(err, IMG_E_INVAL, "The image size is too large for file format 'vpc'");
    footer->current_size = sectors * VHD_SECTOR;
    return 0;
}

/* Put the new footer behind the data, and then into its copy. */
static int write_footers(struct imgi_node *node, const struct vhd_footer *footer, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    struct vhd_footer old = state->footer;
    int rc;

    state->footer = *footer;
    rc = vhd_footer_write(node, err);
    if (rc == 0)
        rc = imgi_io_flush(node->file, err);
    if (rc < 0) {
        state->footer = old;
        return rc;
    }
    node->size = footer->current_size;
    if (vhd_is_fixed(state))
        return 0;
    rc = imgi_io_write(node->file, state->foot, VHD_FOOTER_BYTES, 0, err);
    return rc < 0 ? rc : imgi_io_flush(node->file, err);
}

/*
 * The old footer moves to the new end first, since there must always be one; then the place where
 * it was, a part of the larger disk, becomes zeros; then the footer says that the disk is larger.
 */
static int grow_fixed(struct imgi_node *node, const struct vhd_footer *footer,
                      enum img_preallocation mode, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t old_end = state->end, cleared;
    int rc;

    state->end = IMGI_MAX(old_end, footer->current_size);
    rc = vhd_footer_write(node, err);
    if (rc == 0)
        rc = imgi_io_flush(node->file, err);
    if (rc < 0) {
        state->end = old_end;
        return rc;
    }
    cleared =
        mode == IMG_PREALLOC_OFF ? IMGI_MIN(old_end + VHD_FOOTER_BYTES, state->end) : state->end;
    if (cleared > node->size)
        rc = imgi_io_zero(node->file, node->size, cleared - node->size, false, err);
    if (rc == 0)
        rc = imgi_io_flush(node->file, err);
    return rc < 0 ? rc : write_footers(node, footer, err);
}

/* What the BAT will be; nobody sees it before it is on disk. */
struct plan {
    struct imgi_node *node;
    struct vhd_header header;
    uint64_t bytes; /* of the BAT */
    uint8_t *bat, *dirty, *shared, *full;
};

static int make_plan(struct plan *plan, uint32_t entries, img_error *err)
{
    const struct vhd_state *state = vhd_state(plan->node);
    uint32_t old = state->header.bat_entries;

    plan->header = state->header;
    plan->header.bat_entries = entries;
    plan->bytes = vhd_bat_bytes(entries);
    if (plan->bytes > vhd_bat_bytes(old))
        plan->header.bat_offset = state->end;
    plan->bat = malloc((size_t)plan->bytes);
    plan->dirty = calloc(1, (size_t)plan->bytes / VHD_BAT_UNIT + 1);
    plan->shared = calloc(1, entries / 8 + 1);
    plan->full = calloc(1, entries / 8 + 1);
    if (!plan->bat || !plan->dirty || !plan->shared || !plan->full)
        return imgi_fail_nomem(err, "a block allocation table");
    memset(plan->bat, 0xff, (size_t)plan->bytes);
    memcpy(plan->bat, state->bat, 4 * (size_t)old);
    memcpy(plan->full, state->full, old / 8 + 1);
    memcpy(plan->shared, state->shared, old / 8 + 1);
    return 0;
}

/* The BAT, then the header that leads to it. A footer stands behind the data all the time. */
static int write_plan(struct plan *plan, img_error *err)
{
    struct imgi_node *node = plan->node;
    struct vhd_state *state = vhd_state(node);
    bool moved = plan->header.bat_offset != state->header.bat_offset;
    int rc;

    if (moved) {
        state->end += plan->bytes;
        rc = vhd_footer_write(node, err);
        if (rc < 0)
            return rc;
    }
    rc = imgi_io_write(node->file, plan->bat, (size_t)plan->bytes, plan->header.bat_offset, err);
    if (rc == 0)
        rc = imgi_io_flush(node->file, err);
    if (rc < 0)
        return rc;
    vhd_header_encode(&plan->header, state->head);
    rc = imgi_io_write(node->file, state->head, VHD_HEADER_BYTES, state->footer.data_offset, err);
    return rc < 0 ? rc : imgi_io_flush(node->file, err);
}

static void swap(uint8_t **a, uint8_t **b)
{
    uint8_t *other = *a;

    *a = *b;
    *b = other;
}

static int grow_bat(struct imgi_node *node, uint32_t entries, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    struct plan plan = {.node = node};
    int rc = imgi_policy_limit(node->policy, IMG_LIMIT_TABLE_BYTES, 4 * (uint64_t)entries,
                               "block allocation table", err);

    if (rc == 0)
        rc = make_plan(&plan, entries, err);
    if (rc == 0)
        rc = write_plan(&plan, err);
    if (rc == 0) {
        swap(&state->bat, &plan.bat);
        swap(&state->dirty, &plan.dirty);
        swap(&state->shared, &plan.shared);
        swap(&state->full, &plan.full);
        state->header = plan.header;
    }
    free(plan.bat);
    free(plan.dirty);
    free(plan.shared);
    free(plan.full);
    return rc;
}

/* The rest of the block that the disk's end cuts; who shares one cannot read it anyhow. */
static int clear_rest(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t size = state->header.block_size, block = node->size / size;
    uint64_t inside = node->size % size;

    if (inside == 0 || vhd_entry(state, block) == VHD_ENTRY_ABSENT || vhd_bit(state->shared, block))
        return 0;
    return imgi_io_zero(
        node->file, (uint64_t)vhd_entry(state, block) * VHD_SECTOR + state->bitmap_bytes + inside,
        size - inside, true, err);
}

/* Blocks behind the disk's end, of one that was larger once, would show what they hold. */
static int drop_blocks(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t block = imgi_div_up(node->size, state->header.block_size), end;
    bool dropped = false;
    int rc;

    for (; block < state->header.bat_entries; block++) {
        if (vhd_entry(state, block) == VHD_ENTRY_ABSENT)
            continue;
        vhd_entry_set(state, block, (uint64_t)VHD_ENTRY_ABSENT * VHD_SECTOR);
        dropped = true;
    }
    rc = dropped ? vhd_find_shared(state, &end, err) : 0;
    return rc < 0 ? rc : vhd_flush(node, err);
}

/*
 * The space itself needs nothing. The disk may become larger than was asked for, so all of the last
 * block's rest is cleared.
 */
int vhd_reach(struct imgi_node *node, uint64_t size, img_error *err)
{
    struct vhd_footer footer = vhd_state(node)->footer;
    int rc = choose_footer(node, size, &footer, err);

    if (rc < 0 || vhd_is_fixed(vhd_state(node)))
        return rc;
    rc = clear_rest(node, err);
    if (rc == 0)
        rc = drop_blocks(node, err);
    return rc < 0 ? rc : imgi_io_flush(node->file, err);
}

int vhd_can_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                   img_error *err)
{
    const struct vhd_state *state = vhd_state(node);
    struct vhd_footer footer = state->footer;
    int rc = choose_footer(node, size, &footer, err);

    if (rc == 0 && mode != IMG_PREALLOC_OFF &&
        (mode == IMG_PREALLOC_METADATA || !vhd_is_fixed(state)))
        rc = imgi_fail(err, IMG_E_INVAL, "only fixed VHD images can be preallocated");
    return rc;
}

int vhd_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    struct vhd_footer footer = state->footer;
    uint64_t entries = 0;
    int rc = choose_footer(node, size, &footer, err);

    if (rc < 0)
        return rc;
    if (vhd_is_fixed(state))
        return grow_fixed(node, &footer, mode, err);
    entries = imgi_div_up(footer.current_size, state->header.block_size);
    rc = vhd_flush(node, err);
    if (rc == 0 && entries > state->header.bat_entries)
        rc = grow_bat(node, (uint32_t)entries, err);
    return rc < 0 ? rc : write_footers(node, &footer, err);
}
