/*
 * Has every block a place of its own, that the file has and the header counts?
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A repair goes in this order, each step on disk before the next: the header's count, copies for
 * blocks that share a place. Places that nobody has are filled with the last blocks, so that the
 * file becomes shorter. Then all is checked again, and what that finds is what remains.
 *
 * Blocks past the end of the file stay as they are: that their data is lost must be an error to
 * who reads them, not zeros. As long as there are any, nothing is given a place, which could be
 * one of theirs.
 *
 * Faults of one kind are told as one, since a hostile image can have millions.
 */
#include <stdlib.h>

#include "vdi.h"

enum fault { FAULT_PAST_END, FAULT_NOT_COUNTED, FAULT_SHARED, FAULTS };

struct check {
    struct imgi_node *node;
    struct vdi_state *state;
    struct imgi_checker *checker;
    uint64_t file_size;
    uint32_t end; /* one more than the highest place that is in the file */
    struct {
        uint32_t count, block, place; /* of the first */
    } faults[FAULTS];
    uint64_t unused; /* places that are counted, and that nobody has */
};

/* What is wrong with an entry; FAULTS: nothing. */
static enum fault judge(const struct check *check, uint32_t block)
{
    const struct vdi_state *state = check->state;
    uint32_t place = vdi_entry(state, block);
    uint64_t size = state->header.block_size, offset = block * size;
    uint64_t needed = offset < check->node->size ? IMGI_MIN(size, check->node->size - offset) : 0;

    if (place >= VDI_ENTRY_DISCARD)
        return FAULTS;
    if (!imgi_span_ok(vdi_host(state, place), needed, check->file_size))
        return FAULT_PAST_END;
    if (place >= state->header.blocks_allocated)
        return FAULT_NOT_COUNTED;
    return vdi_bit(state->shared, place) ? FAULT_SHARED : FAULTS;
}

static void report_faults(const struct check *check)
{
    static const char *const what[] = {
        [FAULT_PAST_END] = "lie past the end of the file",
        [FAULT_NOT_COUNTED] = "are not counted as allocated in the header",
        [FAULT_SHARED] = "have a place that another one has, too",
    };

    for (size_t i = 0; i < FAULTS; i++) {
        if (check->faults[i].count > 0)
            imgi_found(
                check->checker, IMGI_FINDING_CORRUPTION,
                "ERROR block map: %u blocks %s, the first is block %u (place %u, 0x%llx; the "
                "disk's bytes from 0x%llx on)",
                check->faults[i].count, what[i], check->faults[i].block, check->faults[i].place,
                (unsigned long long)vdi_host(check->state, check->faults[i].place),
                (unsigned long long)check->faults[i].block * check->node->cluster_size);
    }
}

static void report_unused(struct check *check)
{
    const struct vdi_state *state = check->state;
    uint32_t allocated = state->header.blocks_allocated;
    uint32_t known = IMGI_MIN(allocated, state->places);

    check->unused = allocated - known;
    for (uint32_t place = 0; place < known; place++)
        check->unused += !vdi_bit(state->used, place);
    if (check->unused > 0)
        imgi_found(check->checker, IMGI_FINDING_LEAK,
                   "Leaked: %llu of the %u allocated places belong to no block",
                   (unsigned long long)check->unused, allocated);
}

static int look(void *opaque, img_error *err)
{
    struct check *check = opaque;
    const struct vdi_state *state = check->state;
    int rc = vdi_find_used(check->node, err);

    if (rc == 0)
        rc = imgi_io_size(check->node->file, &check->file_size, err);
    memset(check->faults, 0, sizeof(check->faults));
    check->end = 0;
    for (uint32_t block = 0; rc == 0 && block < state->header.blocks; block++) {
        uint32_t place = vdi_entry(state, block);
        enum fault fault = judge(check, block);

        if (place < VDI_ENTRY_DISCARD && fault != FAULT_PAST_END)
            check->end = IMGI_MAX(check->end, place + 1);
        if (fault < FAULTS && check->faults[fault].count++ == 0) {
            check->faults[fault].block = block;
            check->faults[fault].place = place;
        }
        if (block % (1u << 20) == 0)
            rc = imgi_check_progress(check->checker, block, state->header.blocks, err);
    }
    if (rc < 0)
        return rc;
    report_faults(check);
    report_unused(check);
    return 0;
}

/* Whether a block before this one has its place. */
static bool is_second(struct check *check, uint32_t block)
{
    uint32_t place = vdi_entry(check->state, block);

    if (vdi_bit(check->state->used, place)) {
        vdi_bit_clear(check->state->used, place);
        return false;
    }
    return true;
}

/* Whether data is missing, so that nobody can be given a place. */
static bool is_cut(const struct check *check)
{
    return check->faults[FAULT_PAST_END].count > 0;
}

static int mend_entries(struct check *check, img_error *err)
{
    struct vdi_state *state = check->state;
    int rc = 0;

    state->header.blocks_allocated = IMGI_MAX(state->header.blocks_allocated, check->end);
    state->changed = true;
    rc = vdi_flush(check->node, err);
    if (rc < 0 || is_cut(check))
        return rc;
    rc = vdi_find_used(check->node, err);
    for (uint32_t block = 0; rc == 0 && block < state->header.blocks; block++)
        if (judge(check, block) == FAULT_SHARED && is_second(check, block))
            rc = vdi_move_block(check->node, block, check->end++, err);
    if (rc == 0)
        rc = vdi_flush(check->node, err);
    return rc;
}

/* The block with the highest place below `place`; false: none has one. */
static bool find_last(const struct vdi_state *state, uint32_t *place)
{
    while (*place > 0)
        if (vdi_bit(state->used, --*place))
            return true;
    return false;
}

/* The owners of all places; the table is to be freed. */
static int find_owners(const struct vdi_state *state, uint32_t **owners, img_error *err)
{
    *owners = calloc((size_t)state->places + 1, sizeof(**owners));
    if (!*owners)
        return imgi_fail_nomem(err, "a table of blocks");
    for (uint32_t block = 0; block < state->header.blocks; block++)
        if (vdi_entry(state, block) < state->places)
            (*owners)[vdi_entry(state, block)] = block;
    return 0;
}

/* The last blocks go where nobody is; then the file ends behind the last one. */
static int mend_leaks(struct check *check, img_error *err)
{
    struct vdi_state *state = check->state;
    uint32_t last = IMGI_MIN(state->header.blocks_allocated, state->places), *owners = NULL;
    int rc = find_owners(state, &owners, err);

    if (rc == 0 && !find_last(state, &last))
        last = 0;
    for (uint32_t place = 0; rc == 0 && place < last; place++) {
        if (vdi_bit(state->used, place))
            continue;
        rc = vdi_move_block(check->node, owners[last], place, err);
        vdi_bit_clear(state->used, last);
        find_last(state, &last);
    }
    free(owners);
    if (rc == 0)
        rc = vdi_flush(check->node, err);
    if (rc == 0)
        rc = imgi_io_flush(check->node->file, err);
    if (rc < 0)
        return rc;
    for (last = state->places; last > 0 && !vdi_bit(state->used, last - 1);)
        last--;
    state->header.blocks_allocated = last;
    rc = vdi_header_write(check->node, err);
    return rc < 0
               ? rc
               : imgi_io_resize(check->node->file, vdi_host(state, last), IMGI_PREALLOC_OFF, err);
}

static int mend(void *opaque, img_error *err)
{
    struct check *check = opaque;
    img_check_result *result = check->checker->result;
    int rc = 0;

    if (result->corruptions > 0 && check->checker->repair == IMGI_REPAIR_ALL) {
        uint64_t left = is_cut(check) ? 1 + (check->faults[FAULT_SHARED].count > 0) : 0;

        rc = mend_entries(check, err);
        result->corruptions_fixed = result->corruptions - left;
        result->corruptions = left;
        if (rc == 0)
            rc = vdi_find_used(check->node, err);
    }
    if (rc == 0 && result->leaks > 0 && result->corruptions == 0) {
        rc = mend_leaks(check, err);
        result->leaks_fixed = result->leaks;
    }
    return rc;
}

int vdi_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct check check = {.node = node, .state = vdi_state(node), .checker = checker};

    return imgi_check_mend(checker, look, mend, &check, err);
}
