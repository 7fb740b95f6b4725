/*
 * Do the footers, the header and the blocks agree? SPDX-License-Identifier: BSD-2-Clause
 *
 * A repair writes what is told twice from the copy that is good, and moves the last blocks to where
 * nobody is, so that the file becomes shorter. Blocks that overlap stay as they are: nothing tells
 * whose the data is. So do blocks past the end of the file: that their data is lost must be an
 * error to who reads them, not zeros. Then all is checked again, and what that finds is what
 * remains.
 *
 * Faults of one kind are told as one, since a hostile image can have millions.
 */
#include <stdlib.h>

#include "vhd.h"

/* A block is copied by so many bytes. */
#define STEP (1u << 20)

struct check {
    struct imgi_node *node;
    struct vhd_state *state;
    struct imgi_checker *checker;
    uint64_t file_size;
    bool copy_differs, header_sum; /* faults that can be mended */
    bool copy_old;
};

static void fault(struct check *check, bool *flag, const char *what)
{
    *flag = true;
    imgi_found(check->checker, IMGI_FINDING_CORRUPTION, "ERROR %s", what);
}

/*
 * After a crash there may be no footer at the end, but its copy tells the same; or the copy may be
 * one of before, when the disk was smaller. Neither harms, and both are mended with the leaks.
 */
static int look_at_copies(struct check *check, img_error *err)
{
    struct vhd_state *state = check->state;
    uint8_t copy[VHD_FOOTER_BYTES];
    int rc;

    if (!state->footer_found)
        imgi_found(check->checker, IMGI_FINDING_LEAK,
                   "the footer is missing at the end of the file: its copy in front is good");
    if (vhd_is_fixed(state))
        return 0;
    rc = imgi_io_read(check->node->file, copy, sizeof(copy), 0, err);
    if (rc < 0)
        return rc;
    check->copy_old = memcmp(copy, state->foot, sizeof(copy)) != 0 && vhd_footer_looks_like(copy) &&
                      vhd_footer_sum_ok(copy);
    if (check->copy_old)
        imgi_found(check->checker, IMGI_FINDING_LEAK,
                   "the copy of the footer in front is out of date");
    else if (memcmp(copy, state->foot, sizeof(copy)) != 0)
        fault(check, &check->copy_differs,
              "footer: the copy in front is not the same as the footer at the end");
    if (!vhd_header_sum_ok(state->head))
        fault(check, &check->header_sum, "dynamic header: its checksum is wrong");
    return 0;
}

/* Entries behind the disk's end lead to blocks, too. */
static void look_at_blocks(struct check *check)
{
    const struct vhd_state *state = check->state;
    uint64_t past = 0, shared = 0, first_past = 0, first_shared = 0;

    for (uint64_t block = state->header.bat_entries; block-- > 0;) {
        uint64_t start = (uint64_t)vhd_entry(state, block) * VHD_SECTOR;

        if (vhd_entry(state, block) == VHD_ENTRY_ABSENT)
            continue;
        if (!imgi_span_ok(start, vhd_slot_bytes(state), check->file_size)) {
            past++;
            first_past = block;
        } else if (vhd_bit(state->shared, block)) {
            shared++;
            first_shared = block;
        }
    }
    if (past > 0)
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR block allocation table: %llu blocks lie past the end of the file, the "
                   "first is block %llu (0x%llx; the disk's bytes from 0x%llx on)",
                   (unsigned long long)past, (unsigned long long)first_past,
                   (unsigned long long)vhd_entry(state, first_past) * VHD_SECTOR,
                   (unsigned long long)first_past * check->node->cluster_size);
    if (shared > 0)
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR block allocation table: %llu blocks overlap other ones or metadata, the "
                   "first is block %llu (0x%llx)",
                   (unsigned long long)shared, (unsigned long long)first_shared,
                   (unsigned long long)vhd_entry(state, first_shared) * VHD_SECTOR);
}

/* The parent is not found without them. */
static void look_at_locators(struct check *check)
{
    const struct vhd_state *state = check->state;

    for (size_t i = 0; i < VHD_LOCATORS; i++) {
        const struct vhd_locator *locator = &state->header.locators[i];

        if (vhd_has_locator(state, i) &&
            !imgi_span_ok(locator->offset, locator->length, check->file_size))
            imgi_found(
                check->checker, IMGI_FINDING_CORRUPTION,
                "ERROR dynamic header: parent locator %zu: %u bytes at 0x%llx reach past the "
                "end of the file",
                i, locator->length, (unsigned long long)locator->offset);
    }
}

/*
 * Where gaps count: in front of the first block there may be more than is known here, which other
 * programs have put there.
 */
static uint64_t first_block(const struct vhd_slot *slots, size_t count)
{
    uint64_t end = 0;

    for (size_t i = 0; i < count; i++) {
        if (slots[i].block != VHD_ENTRY_ABSENT)
            return slots[i].start;
        end = IMGI_MAX(end, slots[i].end);
    }
    return end;
}

/* Space that would hold a block, and that nobody has. */
static int look_for_space(struct check *check, img_error *err)
{
    const struct vhd_state *state = check->state;
    uint64_t lost = 0, at, size = vhd_slot_bytes(state);
    struct vhd_slot *slots = NULL;
    size_t count = 0;
    int rc = vhd_slots_sort(state, &slots, &count, err);

    at = rc == 0 ? first_block(slots, count) : 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (slots[i].start > at)
            lost += (IMGI_MIN(slots[i].start, state->end) - IMGI_MIN(at, state->end)) / size;
        at = IMGI_MAX(at, slots[i].end);
    }
    if (rc == 0 && state->end > at)
        lost += (state->end - at) / size;
    free(slots);
    if (lost > 0)
        imgi_found(check->checker, IMGI_FINDING_LEAK,
                   "Leaked: there is space for %llu blocks that no block has",
                   (unsigned long long)lost);
    return rc;
}

static int look(void *opaque, img_error *err)
{
    struct check *check = opaque;
    uint64_t end;
    int rc = imgi_io_size(check->node->file, &check->file_size, err);

    check->copy_differs = check->header_sum = false;
    if (rc == 0)
        rc = look_at_copies(check, err);
    if (rc < 0 || vhd_is_fixed(check->state))
        return rc;
    rc = vhd_find_shared(check->state, &end, err);
    if (rc < 0)
        return rc;
    look_at_blocks(check);
    look_at_locators(check);
    return look_for_space(check, err);
}

/* ----------------------------------------------------------------------- repair */

static int mend_metadata(struct check *check, img_error *err)
{
    struct imgi_node *node = check->node;
    struct vhd_state *state = check->state;
    int rc = 0;

    if (check->copy_differs)
        rc = imgi_io_write(node->file, state->foot, VHD_FOOTER_BYTES, 0, err);
    if (rc == 0 && check->header_sum) {
        vhd_header_encode(&state->header, state->head);
        rc = imgi_io_write(node->file, state->head, VHD_HEADER_BYTES, state->footer.data_offset,
                           err);
    }
    return rc;
}

/* Copy a block, with its bitmap, and let the BAT name the new place. */
static int move_block(struct imgi_node *node, const struct vhd_slot *slot, uint64_t to,
                      img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    uint64_t size = vhd_slot_bytes(state);
    uint8_t *buffer = malloc(STEP);
    int rc = buffer ? 0 : imgi_fail_nomem(err, "a block");

    for (uint64_t done = 0; rc == 0 && done < size; done += STEP) {
        size_t step = (size_t)IMGI_MIN(size - done, STEP);

        rc = imgi_io_read(node->file, buffer, step, slot->start + done, err);
        if (rc == 0)
            rc = imgi_io_write(node->file, buffer, step, to + done, err);
    }
    free(buffer);
    if (rc < 0)
        return rc;
    imgi_cache_forget(state->bitmaps, slot->start);
    imgi_cache_forget(state->bitmaps, to);
    vhd_entry_set(state, slot->block, to);
    return 0;
}

/* The last blocks go where nobody is. */
static int fill_gaps(struct check *check, struct vhd_slot *slots, size_t count, img_error *err)
{
    uint64_t at = first_block(slots, count), size = vhd_slot_bytes(check->state);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        while (rc == 0 && slots[i].start >= at + size &&
               slots[count - 1].block != VHD_ENTRY_ABSENT) {
            rc = move_block(check->node, &slots[--count], at, err);
            at += size;
            if (count == i)
                return rc;
        }
        at = imgi_align_up(IMGI_MAX(at, slots[i].end), VHD_SECTOR);
    }
    return rc;
}

/* The BAT is on disk before the file becomes shorter. */
static int mend_leaks(struct check *check, img_error *err)
{
    struct imgi_node *node = check->node;
    struct vhd_state *state = check->state;
    struct vhd_slot *slots = NULL;
    size_t count = 0;
    uint64_t end = 0;
    int rc = 0;

    if (!vhd_is_fixed(state)) {
        rc = vhd_slots_sort(state, &slots, &count, err);
        if (rc == 0)
            rc = fill_gaps(check, slots, count, err);
        free(slots);
        if (rc == 0)
            rc = vhd_flush(node, err);
        if (rc == 0)
            rc = imgi_io_flush(node->file, err);
        if (rc == 0)
            rc = vhd_find_shared(state, &end, err);
        if (rc < 0)
            return rc;
        state->end = imgi_align_up(end, VHD_SECTOR);
    }
    rc = vhd_footer_write(node, err);
    if (rc == 0 && check->copy_old)
        rc = imgi_io_write(node->file, state->foot, VHD_FOOTER_BYTES, 0, err);
    return rc;
}

static int mend(void *opaque, img_error *err)
{
    struct check *check = opaque;
    img_check_result *result = check->checker->result;
    int rc = 0;

    if (result->corruptions > 0 && check->checker->repair == IMGI_REPAIR_ALL) {
        uint64_t mended = (uint64_t)check->copy_differs + check->header_sum;

        rc = mend_metadata(check, err);
        result->corruptions_fixed = mended;
        result->corruptions -= mended;
    }
    if (rc == 0 && result->leaks > 0 && result->corruptions == 0) {
        rc = mend_leaks(check, err);
        result->leaks_fixed = result->leaks;
    }
    return rc;
}

int vhd_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct check check = {.node = node, .state = vhd_state(node), .checker = checker};

    return imgi_check_mend(checker, look, mend, &check, err);
}
