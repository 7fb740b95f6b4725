/*
 * Space that nothing names. SPDX-License-Identifier: BSD-2-Clause
 *
 * Between the grains of a sparse extent there may be others that no table names (any more): left
 * behind by a machine that stopped, or by a writer that gave them up. Where the filesystem knows of
 * a hole nothing is wasted, and what is smaller than its blocks it does not take back. A stream is
 * written without gaps; what does not belong there the walk tells (walk.c).
 */
#include "check.h"

/* What filesystems give space out in, mostly. */
#define BLOCK 4096u

/* Bytes from..to of the file. */
struct gap {
    uint64_t from, to;
};

struct leaks {
    struct vmdk_checking *check;
    uint64_t grains, first; /* first: byte of the file */
};

static bool is_used(const struct vmdk_checking *check, uint64_t unit)
{
    uint64_t from = check->first + unit * check->unit;
    uint64_t sectors = check->unit / VMDK_SECTOR;

    return imgi_seen_test(check->grains, unit, 1) ||
           (from < check->metadata_end &&
            imgi_seen_test(check->metadata, from / VMDK_SECTOR, sectors));
}

static int leak(struct leaks *leaks, struct gap gap, img_error *err)
{
    const struct vmdk_checking *check = leaks->check;

    if (gap.to < check->file_size) {
        gap.from = imgi_align_up(gap.from, BLOCK);
        gap.to = imgi_align_down(gap.to, BLOCK);
    }
    if (gap.from >= gap.to)
        return 0;
    if (leaks->grains == 0)
        leaks->first = gap.from;
    leaks->grains += imgi_div_up(gap.to - gap.from, check->sparse->grain);
    if (!check->free_leaks)
        return 0;
    return imgi_io_zero(check->sparse->io, gap.from, gap.to - gap.from, true, err);
}

/* The units that a run of data touches. */
static int look_at(struct leaks *leaks, struct gap data, img_error *err)
{
    const struct vmdk_checking *check = leaks->check;
    uint64_t unit = (data.from - check->first) / check->unit;
    uint64_t end = imgi_div_up(data.to - check->first, check->unit), start = unit;
    int rc = 0;

    for (; rc == 0 && unit <= end; unit++) {
        if (unit < end && !is_used(check, unit))
            continue;
        if (unit > start) {
            struct gap gap = {check->first + start * check->unit,
                              check->first + unit * check->unit};

            gap.to = IMGI_MIN(gap.to, check->file_size);
            rc = leak(leaks, gap, err);
        }
        start = unit + 1;
    }
    return rc;
}

/* What lies behind everything is cut off. */
static int cut_tail(struct vmdk_checking *check, img_error *err)
{
    uint64_t end = IMGI_MAX(IMGI_MAX(check->end, check->first), check->metadata_end);
    int rc;

    end = imgi_align_up(end, check->sparse->grain);
    if (end >= check->file_size)
        return 0;
    rc = vmdk_sparse_cut(check->sparse, end, err);
    if (rc == 0)
        check->file_size = end;
    return rc;
}

static int find(struct leaks *leaks, img_error *err)
{
    const struct vmdk_checking *check = leaks->check;
    uint64_t at = check->first;
    int rc = 0;

    while (rc == 0 && at < check->file_size) {
        struct imgi_io_extent run;

        rc = imgi_io_extent(check->sparse->io, at, check->file_size - at, &run, err);
        if (rc == 0 && !run.hole) {
            /* Whole units: another run of data may begin in the one in which this one ends. */
            uint64_t to = check->first + imgi_align_up(at + run.length - check->first, check->unit);

            rc = look_at(leaks, (struct gap){at, at + run.length}, err);
            at = to;
        } else {
            at += run.length;
        }
    }
    return rc;
}

int vmdk_check_leaks(struct vmdk_checking *check, img_error *err)
{
    struct leaks leaks = {.check = check};
    int rc = check->free_leaks ? imgi_io_flush(check->sparse->io, err) : 0;

    if (rc == 0)
        rc = find(&leaks, err);
    if (leaks.grains > 0) {
        imgi_found(check->checker, IMGI_FINDING_LEAK,
                   "Leaked in %s: %llu grains that no table names, the first at 0x%llx",
                   check->file, (unsigned long long)leaks.grains, (unsigned long long)leaks.first);
        check->checker->result->leaks += leaks.grains - 1;
    }
    return rc == 0 && check->free_leaks ? cut_tail(check, err) : rc;
}
