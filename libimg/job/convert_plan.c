/*
 * convert, the planner: cutting the sources into pieces. SPDX-License-Identifier: BSD-2-Clause
 *
 * Walks the maps of the sources in order, one thread at a time. Long runs of zeros are
 * one piece, or none at all where the target reads as zeros anyway.
 */
#include "convert.h"

size_t imgi_convert_source(const struct convert *convert, uint64_t *offset)
{
    size_t n = 0;

    while (*offset >= img_size(convert->sources[n])) {
        *offset -= img_size(convert->sources[n]);
        n++;
    }
    return n;
}

/* The run is cut to what is all free, which is zeros whatever is stored there, or all not. */
static void apply_free_space(const struct convert *convert, struct imgi_layer_run *run)
{
    bool free;

    run->extent.length =
        imgi_job_free_run(convert->job, run->extent.offset, run->extent.length, &free);
    if (free)
        run->extent.kind = IMGI_ZERO;
}

int imgi_convert_map(const struct convert *convert, uint64_t offset, uint64_t length,
                     struct imgi_layer_run *run, img_error *err)
{
    int rc;

    struct imgi_node *top = convert->sources[imgi_convert_source(convert, &offset)]->top;

    length = IMGI_MIN(length, top->size - offset);
    if (convert->skip_absent) {
        rc = imgi_node_map(top, offset, length, &run->extent, err);
        if (rc < 0 || run->extent.kind == IMGI_ABSENT)
            return rc;
        length = run->extent.length;
    }
    rc = imgi_chain_map(top, offset, length, run, err);
    if (rc == 0)
        apply_free_space(convert, run);
    return rc;
}

int imgi_convert_pass(const struct convert *convert, uint64_t offset, img_error *err)
{
    int rc = 0;

    for (size_t n = 0; rc == 0 && n < convert->source_count; n++) {
        uint64_t size = img_size(convert->sources[n]);

        rc = imgi_node_pass(convert->sources[n]->top, IMGI_MIN(offset, size), err);
        offset -= IMGI_MIN(offset, size);
    }
    return rc;
}

static bool is_zero_run(const struct convert *convert, const struct imgi_layer_run *run)
{
    return run->extent.kind == IMGI_ZERO ||
           (convert->skip_absent && run->extent.kind == IMGI_ABSENT);
}

/* A map that fails is a reason to end, unless the user wants what can be saved. */
static int map_or_salvage(const struct convert *convert, uint64_t offset, uint64_t length,
                          struct imgi_layer_run *run, img_error *err)
{
    img_error failure = {0};
    int rc = imgi_convert_map(convert, offset, length, run, &failure);

    if (rc < 0 && (convert->job->flags & IMG_JOB_SALVAGE)) {
        *run = (struct imgi_layer_run){.extent = {.offset = offset,
                                                  .length = IMGI_MIN(length, UNIT_MIN),
                                                  .kind = IMGI_OPAQUE}};
        return 0;
    }
    if (rc < 0 && err)
        *err = failure;
    return rc;
}

/*
 * How far the zeros (or, with skip_absent, the clusters that are not there) reach that begin at
 * offset: whole units, or 0 when there is not one. kind becomes that of all of them.
 */
static int plan_zeros(const struct convert *convert, uint64_t offset, uint64_t *length,
                      enum imgi_kind *kind, img_error *err)
{
    struct imgi_layer_run run;
    uint64_t end = offset;
    bool first = true;

    while (end < convert->total) {
        int rc = map_or_salvage(convert, end, convert->total - end, &run, err);

        if (rc < 0)
            return rc;
        if (!is_zero_run(convert, &run) || (!first && run.extent.kind != *kind))
            break;
        *kind = run.extent.kind;
        first = false;
        end += run.extent.length;
    }
    if (end < convert->total)
        end = imgi_align_down(end, convert->unit);
    *length = end > offset ? end - offset : 0;
    return 0;
}

/* How far the data reaches: to the end of the piece, or to zeros that are worth leaving out. */
static int plan_data(const struct convert *convert, uint64_t offset, uint64_t *length,
                     img_error *err)
{
    uint64_t limit = IMGI_MIN(offset + convert->piece, convert->total), end = offset;
    struct imgi_layer_run run;

    while (end < limit) {
        int rc = map_or_salvage(convert, end, convert->total - end, &run, err);

        if (rc < 0)
            return rc;
        if (is_zero_run(convert, &run) && convert->sparse > 0 && end > offset &&
            run.extent.length >= 2 * (uint64_t)convert->unit) {
            limit = IMGI_MIN(limit, imgi_align_up(end, convert->unit));
            break;
        }
        end += run.extent.length;
    }
    *length = limit - offset;
    return 0;
}

bool imgi_convert_can_share(const struct imgi_layer_run *run)
{
    return run->extent.kind == IMGI_DATA && run->extent.host % SHARE_ALIGN == 0 &&
           !run->node->encrypted;
}

/* Make the piece a shared one if its blocks can be: plain data in one run, on block borders on both
 * sides. */
static int plan_share(const struct convert *convert, struct piece *piece, img_error *err)
{
    struct imgi_layer_run run;
    const struct imgi_extent *extent = &run.extent;
    uint64_t length, size = 0;
    int rc;

    if (convert->share_limit == 0)
        return 0;
    rc = map_or_salvage(convert, piece->offset,
                        IMGI_MIN(convert->share_limit, convert->total - piece->offset), &run, err);
    if (rc < 0 || !imgi_convert_can_share(&run))
        return rc;
    length = imgi_align_down(extent->length, convert->unit);
    if (length == 0 || imgi_io_size(extent->io, &size, NULL) < 0 ||
        !imgi_span_ok(extent->host, length, size))
        return 0;
    piece->kind = PIECE_SHARE;
    piece->length = length;
    piece->share_io = extent->io;
    piece->share_host = extent->host;
    return 0;
}

int imgi_convert_plan(void *context, void *work, bool *more, img_error *err)
{
    struct convert *convert = context;
    struct piece *piece = work;
    enum imgi_kind kind = IMGI_ZERO;
    uint64_t length = 0;
    int rc = 0;

    while (rc == 0 && convert->next < convert->total) {
        piece->offset = convert->next;
        if (convert->sparse > 0)
            rc = plan_zeros(convert, convert->next, &length, &kind, err);
        if (rc < 0 || length == 0)
            break;
        convert->next += length;
        piece->kind = PIECE_ZERO;
        piece->length = length;
        if (!convert->blank && kind == IMGI_ZERO)
            return 0;
        rc = imgi_job_advance(convert->job, length, err);
    }
    *more = convert->next < convert->total;
    if (rc < 0 || !*more)
        return rc;
    piece->kind = PIECE_DATA;
    rc = plan_data(convert, convert->next, &piece->length, err);
    if (rc == 0)
        rc = plan_share(convert, piece, err);
    convert->next += piece->length;
    return rc;
}
