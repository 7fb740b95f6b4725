/*
 * Is everything where it says it is? SPDX-License-Identifier: BSD-2-Clause
 *
 * Sparse extents are checked one by one (check.h), a stream also the way importers read it, marker
 * by marker from front to back (walk.c); then the descriptor.
 *
 * A repair goes in this order, each step on disk before the next: tables and entries; then, where
 * nothing is wrong any more, space that nothing names is given back, since until then it might be
 * what a damaged table named. Then all is checked again, and what that finds is what remains. The
 * mark of an unclean shutdown falls last, and only if nothing remains.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "walk.h"

void vmdk_corrupt(struct vmdk_checking *check, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    check->corruptions++;
    imgi_found(check->checker, IMGI_FINDING_CORRUPTION, "ERROR %s: %s", check->file, text);
}

/* ---------------------------------------------------------------------- one extent */

/* ESX would go on writing there. */
static int check_free_sector(struct vmdk_checking *check, img_error *err)
{
    struct vmdk_sparse *sparse = check->sparse;
    uint64_t end = imgi_div_up(check->end, VMDK_SECTOR);

    if (!sparse->cowd || sparse->free_sector >= end)
        return 0;
    vmdk_corrupt(check, "the next free sector, %u, lies before the end of what is in use, %llu",
                 sparse->free_sector, (unsigned long long)end);
    return check->mend ? vmdk_sparse_settle(sparse, err) : 0;
}

static int run_pass(struct vmdk_checking *check, img_error *err)
{
    const struct vmdk_sparse *sparse = check->sparse;
    bool stream = vmdk_is_stream(&sparse->header);
    int rc = vmdk_check_overlaid(check, err);

    if (rc == 0)
        rc = vmdk_check_tables(check, err);
    if (rc == 0)
        rc = vmdk_check_grains(check, err);
    if (rc == 0)
        rc = check_free_sector(check, err);
    if (rc == 0 && stream)
        rc = vmdk_walk_stream(check->node, sparse, check->checker, check->spoiled, err);
    if (rc == 0 && check->corruptions == 0 && !check->lost && !stream &&
        !imgi_io_is_device(sparse->io))
        rc = vmdk_check_leaks(check, err);
    return rc;
}

/*
 * What one bit of the bitmap of grains stands for: a grain, unless they can lie anywhere, as in
 * streams and ESX's redo logs, or the first one does not lie at a multiple of their size.
 */
static uint64_t choose_unit(const struct vmdk_sparse *sparse)
{
    uint64_t first = sparse->header.overhead * VMDK_SECTOR, unit = sparse->grain;

    if (vmdk_is_stream(&sparse->header) || sparse->cowd)
        return VMDK_SECTOR;
    while (first % unit != 0)
        unit /= 2;
    return unit;
}

static int check_sparse(struct vmdk_checking *check, img_error *err)
{
    struct vmdk_sparse *sparse = check->sparse;
    uint64_t reach;
    int rc = imgi_io_size(sparse->io, &check->file_size, err);

    check->file = sparse->io->name;
    check->first = sparse->header.overhead * VMDK_SECTOR;
    check->unit = choose_unit(sparse);
    reach = IMGI_MIN(check->file_size, VMDK_SECTORS_MAX * VMDK_SECTOR);
    if (rc == 0 && (sparse->header.flags & VMDK_FLAG_REDUNDANT))
        rc = vmdk_directory_read(check->node, sparse, sparse->header.rgd_offset, &check->rgd, err);
    if (rc == 0) {
        check->grains = imgi_seen_new(reach / check->unit + 1, check->node->policy, err);
        check->metadata = imgi_seen_new(reach / VMDK_SECTOR + 1, check->node->policy, err);
        rc = check->grains && check->metadata ? run_pass(check, err) : IMG_E_NOMEM;
    }
    imgi_seen_free(check->grains);
    imgi_seen_free(check->metadata);
    free(check->rgd);
    return rc;
}

/* ----------------------------------------------------------------------- all extents */

/* How one pass through the image is made. */
struct pass {
    struct imgi_checker checker;
    img_check_result result;
    bool mend, free_leaks;
    bool again;       /* what no repair changes is not looked at again: what grains unpack to */
    uint64_t spoiled; /* streams that have grains which cannot be unpacked */
};

/* Behind the first pass all that is to be told has been told. */
static struct pass pass_again(const struct pass *first)
{
    struct pass pass = {.checker = first->checker, .again = true, .spoiled = first->spoiled};

    pass.checker.finding = NULL;
    pass.result.corruptions = pass.spoiled;
    return pass;
}

static int run(struct imgi_node *node, struct pass *pass, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    uint64_t *spoiled = pass->again ? NULL : &pass->spoiled;
    int rc = 0;

    pass->checker.result = &pass->result;
    for (size_t i = 0; rc == 0 && i < state->extent_count; i++) {
        const struct vmdk_extent *extent = &state->extents[i];
        struct vmdk_checking check = {.node = node,
                                      .sparse = extent->sparse,
                                      .offset = extent->offset,
                                      .checker = &pass->checker,
                                      .mend = pass->mend,
                                      .free_leaks = pass->free_leaks,
                                      .spoiled = spoiled};

        if (extent->sparse && extent->sparse->sequence)
            rc = vmdk_walk_stream(node, extent->sparse, &pass->checker, spoiled, err);
        else if (extent->sparse && !extent->sparse->stream)
            rc = check_sparse(&check, err);
        else if (extent->sesparse)
            rc = vmdk_sesparse_check_extent(node, extent, &pass->checker, err);
    }
    return rc < 0 ? rc : vmdk_check_descriptor(node, &pass->checker, err);
}

/* Whether an extent was not closed properly. A stream is not changed once it is there. */
static bool is_unclean(const struct vmdk_extent *extent)
{
    return extent->sparse && !vmdk_is_stream(&extent->sparse->header) &&
           extent->sparse->header.unclean_shutdown;
}

/* Say so of each extent, or say that they are closed properly. */
static int judge_shutdown(struct imgi_node *node, struct imgi_checker *checker, bool clear,
                          img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);

    for (size_t i = 0; i < state->extent_count; i++) {
        struct vmdk_sparse *sparse = state->extents[i].sparse;

        if (!is_unclean(&state->extents[i]))
            continue;
        imgi_found(checker, IMGI_FINDING_REPAIRED, "%s %s: not closed properly (uncleanShutdown)",
                   clear ? "Repairing" : "Warning:", sparse->io->name);
        sparse->marked = sparse->marked || clear;
    }
    return clear ? vmdk_mark_clean(state, err) : 0;
}

static uint64_t fixed(uint64_t found, uint64_t remaining)
{
    return found > remaining ? found - remaining : 0;
}

/* The passes of a repair behind the first one. */
static int finish_repair(struct imgi_node *node, const struct pass *first, img_check_result *result,
                         img_error *err)
{
    struct pass second = pass_again(first), last = second;
    const img_check_result *found = &first->result;
    int rc;

    /* A file that grows would give room to entries that point past its end. */
    second.free_leaks = first->mend || found->corruptions == 0;
    rc = run(node, &second, err);
    if (rc == 0)
        rc = run(node, &last, err);
    if (rc < 0)
        return rc;
    *result = last.result;
    result->corruptions_fixed = fixed(found->corruptions, result->corruptions);
    result->leaks_fixed = fixed(IMGI_MAX(found->leaks, second.result.leaks), result->leaks);
    return 0;
}

int vmdk_check(struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct pass first = {.checker = *checker};
    bool repair = checker->repair != IMGI_REPAIR_NONE, sound;
    int rc;

    first.mend = checker->repair == IMGI_REPAIR_ALL;
    rc = run(node, &first, err);
    if (rc < 0)
        return rc;
    *checker->result = first.result;
    if (repair)
        rc = finish_repair(node, &first, checker->result, err);
    sound =
        !checker->result->corruptions && !checker->result->leaks && !checker->result->check_errors;
    return rc < 0 ? rc : judge_shutdown(node, checker, repair && sound, err);
}
