/*
 * Is everything where it says it is? SPDX-License-Identifier: BSD-2-Clause
 *
 * Both copies of the header and of the region table, the log, and every entry of the BAT: its
 * state, and a place that is inside the file and nobody else's. Space behind the first block that
 * nothing uses is lost; what lies at the end of the file can be given back. Faults of one kind are
 * told as one, since a hostile image can have millions.
 *
 * A repair writes the log's changes (done when the image was opened), copies that were damaged, and
 * makes a file shorter that has lost space at its end.
 */
#include <stdlib.h>

#include "vhdx.h"

enum fault { FAULT_ENTRY, FAULT_PAST_END, FAULT_SHARED, FAULT_BITMAP, FAULTS };

/* Faults of one kind: how many, and the first. */
struct faults {
    const char *what;
    uint64_t count, block, entry;
};

struct check {
    struct vhdx *v;
    struct imgi_checker *checker;
    uint64_t file_size, units; /* units: of 1 MiB */
    struct imgi_seen *used;    /* units that a block, the log or a region has */
    uint64_t first;            /* the first unit that a block uses */
    struct faults faults[FAULTS];
};

/* ---------------------------------------------------------------------- places */

static void note(struct check *check, enum fault kind, uint64_t block, uint64_t entry)
{
    struct faults *faults = &check->faults[kind];

    if (faults->count++ == 0) {
        faults->block = block;
        faults->entry = entry;
    }
}

static int check_place(struct check *check, uint64_t block, uint64_t entry, uint64_t needed,
                       uint64_t length, img_error *err)
{
    uint64_t offset = VHDX_BAT_OFFSET(entry);
    bool twice = false;
    int rc;

    if (!imgi_span_ok(offset, needed, check->file_size)) {
        note(check, FAULT_PAST_END, block, entry);
        return 0;
    }
    rc = imgi_seen_mark(check->used, offset / VHDX_MIB, length / VHDX_MIB, &twice, err);
    if (twice)
        note(check, FAULT_SHARED, block, entry);
    check->first = IMGI_MIN(check->first, offset / VHDX_MIB);
    return rc;
}

/* The log and the regions may lie behind blocks, too. */
static int mark_spans(struct check *check, img_error *err)
{
    const struct vhdx *v = check->v;
    bool twice;
    int rc = 0;

    for (size_t n = 0; rc == 0 && n < v->span_count; n++)
        rc = imgi_seen_mark(check->used, v->spans[n].offset / VHDX_MIB,
                            imgi_div_up(v->spans[n].length, VHDX_MIB), &twice, err);
    return rc;
}

static int check_block(struct check *check, uint64_t block, img_error *err)
{
    const struct vhdx *v = check->v;
    uint64_t entry = vhdx_bat_get(v, block);
    unsigned state = VHDX_BAT_STATE(entry);
    int rc = 0;

    if (vhdx_entry_check(v, block, entry, NULL) < 0)
        note(check, FAULT_ENTRY, block, entry);
    else if (state == VHDX_BLOCK_FULLY_PRESENT || state == VHDX_BLOCK_PARTIALLY_PRESENT)
        rc = check_place(check, block, entry, vhdx_block_bytes(v, block), v->block_size, err);
    if (state == VHDX_BLOCK_PARTIALLY_PRESENT && v->has_parent &&
        VHDX_BAT_STATE(vhdx_bat_get_bitmap(v, block)) != VHDX_BITMAP_PRESENT)
        note(check, FAULT_BITMAP, block, entry);
    return rc;
}

/* The sector bitmap of a chunk, asked for by its first block. */
static int check_bitmap(struct check *check, uint64_t block, img_error *err)
{
    uint64_t entry = vhdx_bat_get_bitmap(check->v, block);

    if (VHDX_BAT_STATE(entry) != VHDX_BITMAP_PRESENT)
        return 0;
    if (VHDX_BAT_RESERVED(entry) != 0 ||
        vhdx_is_taken(check->v, VHDX_BAT_OFFSET(entry), VHDX_BITMAP_BYTES)) {
        note(check, FAULT_BITMAP, block, entry);
        return 0;
    }
    return check_place(check, block, entry, VHDX_BITMAP_BYTES, VHDX_BITMAP_BYTES, err);
}

static int check_bat(struct check *check, img_error *err)
{
    const struct vhdx *v = check->v;
    int rc = mark_spans(check, err);

    for (uint64_t block = 0; rc == 0 && block < v->blocks; block++) {
        rc = check_block(check, block, err);
        if (rc == 0 && v->has_parent && block % v->chunk_ratio == 0)
            rc = check_bitmap(check, block, err);
        if (rc == 0 && block % 4096 == 0)
            rc = imgi_check_progress(check->checker, block, v->blocks, err);
    }
    for (size_t n = 0; n < FAULTS; n++) {
        const struct faults *faults = &check->faults[n];

        if (faults->count > 0)
            imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                       "ERROR BAT: %llu entries %s, the first is that of block %llu (0x%llx)",
                       (unsigned long long)faults->count, faults->what,
                       (unsigned long long)faults->block, (unsigned long long)faults->entry);
    }
    return rc;
}

/* ----------------------------------------------------------------------- leaks */

/* Space at the end of the file that nobody uses. */
static int give_back(struct check *check, uint64_t units, img_error *err)
{
    int rc = imgi_io_resize(check->v->node->file, (check->units - units) * VHDX_MIB,
                            IMGI_PREALLOC_OFF, err);

    if (rc < 0)
        return rc;
    check->checker->result->leaks_fixed += units;
    imgi_found(check->checker, IMGI_FINDING_REPAIRED, "Repaired: %llu MiB at the end of the file",
               (unsigned long long)units);
    return 0;
}

static int check_leaks(struct check *check, img_error *err)
{
    const struct vhdx *v = check->v;
    uint64_t lost = 0, first = 0, tail = 0;

    if (imgi_io_is_device(v->node->file) || check->first == UINT64_MAX)
        return 0;
    for (uint64_t n = check->first; n < check->units; n++) {
        if (imgi_seen_test(check->used, n, 1)) {
            tail = 0;
            continue;
        }
        first = lost++ == 0 ? n : first;
        tail++;
    }
    /* Faults may hide whose space it is. */
    if (tail > 0 && check->checker->repair != IMGI_REPAIR_NONE &&
        check->checker->result->corruptions == 0) {
        int rc = give_back(check, tail, err);

        if (rc < 0)
            return rc;
        lost -= tail;
    }
    if (lost > 0) {
        imgi_found(check->checker, IMGI_FINDING_LEAK, "Leaked space: %llu MiB, the first at 0x%llx",
                   (unsigned long long)lost, (unsigned long long)first * VHDX_MIB);
        check->checker->result->leaks += lost - 1;
    }
    return 0;
}

/* ---------------------------------------------------------------------- copies */

static void mended(struct check *check, const char *what)
{
    check->checker->result->corruptions_fixed++;
    imgi_found(check->checker, IMGI_FINDING_REPAIRED, "Repaired: %s", what);
}

static int check_headers(struct check *check, img_error *err)
{
    struct vhdx *v = check->v;
    bool bad = v->bad_header[0] || v->bad_header[1];
    int rc = 0;

    if (bad && check->checker->repair == IMGI_REPAIR_ALL) {
        rc = vhdx_headers_write(v, err);
        if (rc == 0)
            mended(check, "header");
    } else if (bad) {
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION, "ERROR header %d is damaged",
                   v->bad_header[0] ? 1 : 2);
    }
    return rc;
}

static int copy_region_table(const struct vhdx *v, unsigned bad, img_error *err)
{
    uint8_t *bytes = malloc(VHDX_TABLE_BYTES);
    struct imgi_io *file = v->node->file;
    int rc = bytes ? 0 : imgi_fail_nomem(err, "a region table");

    if (rc == 0)
        rc = imgi_io_read(file, bytes, VHDX_TABLE_BYTES, VHDX_AT_REGION_TABLE(!bad), err);
    if (rc == 0)
        rc = imgi_io_write(file, bytes, VHDX_TABLE_BYTES, VHDX_AT_REGION_TABLE(bad), err);
    if (rc == 0)
        rc = imgi_io_flush(file, err);
    free(bytes);
    return rc;
}

static int check_region_tables(struct check *check, img_error *err)
{
    struct vhdx *v = check->v;
    unsigned bad = v->bad_region_table[0] ? 0 : 1;
    int rc = 0;

    if (!v->bad_region_table[bad])
        return 0;
    if (check->checker->repair == IMGI_REPAIR_ALL) {
        rc = copy_region_table(v, bad, err);
        if (rc == 0)
            mended(check, "region table");
        v->bad_region_table[bad] = rc < 0;
    } else {
        imgi_found(check->checker, IMGI_FINDING_CORRUPTION,
                   "ERROR region table %u is damaged, or differs from the first", bad + 1);
    }
    return rc;
}

static int check_copies(struct check *check, img_error *err)
{
    struct vhdx *v = check->v;
    int rc = check_headers(check, err);

    if (rc == 0)
        rc = check_region_tables(check, err);
    /* That is no fault: the log is a part of the image, and all is right with it. */
    if (v->view)
        imgi_found(check->checker, IMGI_FINDING_REPAIRED,
                   "The log holds changes that are to be written to their places: -r all does it");
    if (v->replayed)
        mended(check, "the log's changes");
    return rc;
}

int vhdx_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct check check = {
        .v = vhdx_of(node),
        .checker = checker,
        .first = UINT64_MAX,
        .faults = {[FAULT_ENTRY] = {.what = "are none that can be"},
                   [FAULT_PAST_END] = {.what = "point past the end of the file"},
                   [FAULT_SHARED] = {.what = "point at the place of others"},
                   [FAULT_BITMAP] = {.what = "have no usable sector bitmap"}},
    };
    int rc = imgi_io_size(check.v->io, &check.file_size, err);

    if (rc < 0)
        return rc;
    check.units = imgi_div_up(IMGI_MIN(check.file_size, VHDX_FILE_BYTES_MAX), VHDX_MIB);
    check.used = imgi_seen_new(check.units, check.v->node->policy, err);
    if (!check.used)
        return IMG_E_NOMEM;
    rc = check_copies(&check, err);
    if (rc == 0)
        rc = check_bat(&check, err);
    if (rc == 0)
        rc = check_leaks(&check, err);
    imgi_seen_free(check.used);
    return rc;
}
