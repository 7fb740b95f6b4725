/*
 * Reading a stream as importers do: once, from front to back. SPDX-License-Identifier: BSD-2-Clause
 *
 * They want grains in ascending order, markers they know, and one sector of end-of-stream with
 * nothing behind it. In the canonical form ("Virtual Disk Format 5.0", Stream-Optimized Compressed
 * Sparse Extents) each table follows its grains, and directory and footer follow them all: what
 * these must be is known when they come. In the other form, which QEMU and OVMDK write, the tables
 * lie between the descriptor and the first grain; QEMU writes no end-of-stream and pads with zeros.
 *
 * Each step goes at least one sector forward, so the walk ends with the file.
 */
#include "importer.h"

#include <stdlib.h>

/* Zeros behind the end of a stream that are looked through for something else. */
#define PADDING_MAX (1u << 20)

static void fault(const struct vmdk_importer *importer, enum vmdk_fault kind, const char *what)
{
    importer->fault(importer->opaque, kind, importer->at, what);
}

int vmdk_importer_begin(struct vmdk_importer *importer, struct imgi_io *io,
                        const struct vmdk_header *header, img_error *err)
{
    importer->io = io;
    importer->header = *header;
    importer->named = UINT64_MAX;
    importer->at = header->overhead * VMDK_SECTOR;
    importer->gd = calloc((size_t)vmdk_gd_entries(header), 4);
    return importer->gd ? 0 : imgi_fail_nomem(err, "a grain directory");
}

void vmdk_importer_end(struct vmdk_importer *importer)
{
    free(importer->gd);
    importer->gd = NULL;
}

/* Read; *there is false when the file ends before. */
static int read_if_there(struct imgi_io *io, void *buffer, size_t length, uint64_t at, bool *there,
                         img_error *err)
{
    img_error failure = {0};
    int rc = imgi_io_read(io, buffer, length, at, &failure);

    *there = rc == 0;
    if (rc == 0 || rc == IMG_E_RANGE)
        return 0;
    if (err)
        *err = failure;
    return rc;
}

/* ------------------------------------------------------------ tables in front of the grains */

/* How many grains the table at a sector names. */
static int count_entries(const struct vmdk_importer *importer, uint64_t sector, uint64_t *count,
                         img_error *err)
{
    uint8_t table[VMDK_TABLE_BYTES];
    bool there;
    int rc = read_if_there(importer->io, table, sizeof(table), sector * VMDK_SECTOR, &there, err);

    for (size_t i = 0; rc == 0 && there && i < VMDK_NUM_GTES; i++)
        *count += imgi_get_le32(table + 4 * i) > VMDK_ENTRY_ZERO;
    imgi_io_pass(importer->io, (sector + VMDK_TABLE_SECTORS) * VMDK_SECTOR);
    return rc;
}

/*
 * Count the grains that are to come. Tables that do not lie in front of the grains, one behind the
 * other, cannot be read on the way; then nothing is known.
 */
static int read_front(struct vmdk_importer *importer, img_error *err)
{
    const struct vmdk_header *header = &importer->header;
    uint64_t entries = vmdk_gd_entries(header), count = 0;
    uint64_t last = header->gd_offset + imgi_div_up(entries * 4, VMDK_SECTOR);
    bool there;
    int rc;

    importer->begun = true;
    if (header->gd_offset >= header->overhead)
        return 0;
    imgi_io_pass(importer->io, header->gd_offset * VMDK_SECTOR);
    rc = read_if_there(importer->io, importer->gd, (size_t)entries * 4,
                       header->gd_offset * VMDK_SECTOR, &there, err);
    for (uint64_t i = 0; rc == 0 && i < entries; i++) {
        uint64_t sector = imgi_get_le32(importer->gd + 4 * i);

        if (sector == VMDK_ENTRY_ABSENT)
            continue;
        if (sector < last || sector + VMDK_TABLE_SECTORS > header->overhead)
            return 0;
        rc = count_entries(importer, sector, &count, err);
        last = sector + VMDK_TABLE_SECTORS;
    }
    importer->named = count;
    return rc;
}

/* ------------------------------------------------------------------------------ grains */

static void enter_grain(struct vmdk_importer *importer, uint64_t number)
{
    uint64_t index = number / VMDK_NUM_GTES;

    if (importer->used && importer->index != index) {
        fault(importer, VMDK_FAULT_DAMAGE, "no grain table behind the grains before");
        memset(importer->table, 0, sizeof(importer->table));
    }
    importer->index = index;
    importer->used = true;
    imgi_put_le32(importer->table + 4 * (number % VMDK_NUM_GTES),
                  (uint32_t)(importer->at / VMDK_SECTOR));
}

static void take_grain(struct vmdk_importer *importer, const struct vmdk_marker *marker,
                       struct vmdk_grain *grain)
{
    const struct vmdk_header *header = &importer->header;
    uint64_t stored = imgi_align_up((uint64_t)VMDK_GRAIN_MARKER_BYTES + marker->size, VMDK_SECTOR);

    *grain = (struct vmdk_grain){
        .number = marker->value / header->grain_size, .host = importer->at, .size = marker->size};
    importer->grains++;
    importer->stored = importer->at + VMDK_GRAIN_MARKER_BYTES + marker->size;
    if (marker->value % header->grain_size != 0 || marker->value >= header->capacity) {
        fault(importer, VMDK_FAULT_DAMAGE, "a grain with an impossible sector number");
    } else {
        if (grain->number < importer->next)
            fault(importer, VMDK_FAULT_ORDER, "grains are not in ascending order");
        if (vmdk_importer_is_canonical(importer))
            enter_grain(importer, grain->number);
        importer->next = IMGI_MAX(importer->next, grain->number + 1);
    }
    importer->at += stored;
}

/* ---------------------------------------------------------------------------- metadata */

/* Whether the file has these bytes behind the marker. */
static int matches(const struct vmdk_importer *importer, const uint8_t *expected, uint64_t length,
                   bool *same, img_error *err)
{
    uint64_t at = importer->at + VMDK_SECTOR;
    uint8_t bytes[4096];
    int rc = 0;

    *same = true;
    for (uint64_t done = 0; rc == 0 && *same && done < length; done += sizeof(bytes)) {
        size_t step = (size_t)IMGI_MIN(length - done, sizeof(bytes));

        rc = read_if_there(importer->io, bytes, step, at + done, same, err);
        if (rc == 0 && *same)
            *same = memcmp(bytes, expected + done, step) == 0;
    }
    return rc;
}

static int take_table(struct vmdk_importer *importer, uint64_t sectors, img_error *err)
{
    bool same;
    int rc = matches(importer, importer->table, sizeof(importer->table), &same, err);

    if (rc < 0)
        return rc;
    if (sectors != VMDK_TABLE_SECTORS || !same)
        fault(importer, VMDK_FAULT_DAMAGE, "a grain table that names other grains than came");
    if (importer->used)
        imgi_put_le32(importer->gd + 4 * importer->index,
                      (uint32_t)(importer->at / VMDK_SECTOR + 1));
    memset(importer->table, 0, sizeof(importer->table));
    importer->used = false;
    return 0;
}

static int take_directory(struct vmdk_importer *importer, uint64_t sectors, img_error *err)
{
    uint64_t length = vmdk_gd_entries(&importer->header) * 4;
    bool same;
    int rc = matches(importer, importer->gd, length, &same, err);

    if (rc < 0)
        return rc;
    if (importer->used)
        fault(importer, VMDK_FAULT_DAMAGE, "no grain table behind the grains before");
    if (sectors != imgi_div_up(length, VMDK_SECTOR) || !same)
        fault(importer, VMDK_FAULT_DAMAGE, "a grain directory that names other tables than came");
    importer->directory = importer->at / VMDK_SECTOR + 1;
    return 0;
}

static int take_footer(struct vmdk_importer *importer, uint64_t sectors, img_error *err)
{
    struct vmdk_header expected = importer->header;
    uint8_t bytes[VMDK_HEADER_BYTES];
    bool same;
    int rc;

    expected.gd_offset = importer->directory;
    vmdk_header_encode(&expected, bytes);
    rc = matches(importer, bytes, sizeof(bytes), &same, err);
    if (rc == 0 && (sectors != 1 || !same))
        fault(importer, VMDK_FAULT_DAMAGE,
              "a footer that is no copy of the header with the directory's place");
    importer->footer = true;
    return rc;
}

/* What only the canonical form has is known before it comes. */
static int take_payload(struct vmdk_importer *importer, const struct vmdk_marker *marker,
                        img_error *err)
{
    if (!vmdk_importer_is_canonical(importer))
        return 0;
    if (importer->footer)
        fault(importer, VMDK_FAULT_DAMAGE, "something else than the end behind the footer");
    if (marker->type == VMDK_MARKER_GT)
        return take_table(importer, marker->value, err);
    if (marker->type == VMDK_MARKER_GD)
        return take_directory(importer, marker->value, err);
    return take_footer(importer, marker->value, err);
}

/* ----------------------------------------------------------------------------- the end */

/* What lies behind the end: *length bytes, which are zeros or not. */
static int read_rest(struct vmdk_importer *importer, uint64_t *length, bool *zeros, img_error *err)
{
    static const uint8_t none[4096];
    uint8_t bytes[sizeof(none)];
    size_t step = sizeof(bytes);
    int rc = 0;

    *length = 0;
    *zeros = true;
    while (rc == 0 && step > 0 && *zeros && *length < PADDING_MAX) {
        uint64_t at = importer->at + *length;
        bool there;

        rc = read_if_there(importer->io, bytes, step, at, &there, err);
        if (rc < 0)
            break;
        if (there) {
            *zeros = memcmp(bytes, none, step) == 0;
            *length += step;
        } else {
            step /= 2;
        }
    }
    *zeros = *zeros && step == 0;
    return rc;
}

/* The grains that came are all there are, and whole. */
static int judge_grains(const struct vmdk_importer *importer, img_error *err)
{
    uint64_t file_size;
    int rc = imgi_io_size(importer->io, &file_size, err);

    if (rc < 0)
        return rc;
    if (importer->stored > file_size)
        fault(importer, VMDK_FAULT_DAMAGE, "a grain goes past the end of the file");
    if (vmdk_importer_is_canonical(importer) && !importer->footer)
        fault(importer, VMDK_FAULT_DAMAGE, "no footer before the end of the stream");
    if (importer->named != UINT64_MAX && importer->named != importer->grains)
        fault(importer, VMDK_FAULT_DAMAGE, "not as many grains as the tables name");
    return 0;
}

/* marked: there was an end-of-stream marker. */
static int judge_end(struct vmdk_importer *importer, bool marked, img_error *err)
{
    uint64_t length;
    bool zeros;
    int rc = read_rest(importer, &length, &zeros, err);

    importer->ended = true;
    if (rc == 0)
        rc = judge_grains(importer, err);
    if (rc < 0)
        return rc;
    if (!marked)
        fault(importer, VMDK_FAULT_END, "no end-of-stream marker: importers want one");
    if (length > 0 && !zeros)
        fault(importer, VMDK_FAULT_DAMAGE, "data behind the end of the stream");
    else if (length > 0 && marked)
        fault(importer, VMDK_FAULT_END,
              "padding behind the end of the stream: importers want none");
    return 0;
}

static int take_end(struct vmdk_importer *importer, img_error *err)
{
    static const uint8_t none[VMDK_SECTOR];
    uint8_t bytes[sizeof(none)];
    bool there;
    int rc = read_if_there(importer->io, bytes, sizeof(bytes), importer->at, &there, err);

    if (rc < 0)
        return rc;
    if (!there || memcmp(bytes, none, sizeof(none)) != 0)
        fault(importer, VMDK_FAULT_END, "an end-of-stream marker that is no sector of zeros");
    importer->at += VMDK_SECTOR;
    return judge_end(importer, true, err);
}

/* Where the reader has lost its way there is no end to be found. */
static void give_up(struct vmdk_importer *importer, const char *what)
{
    fault(importer, VMDK_FAULT_DAMAGE, what);
    importer->ended = true;
}

static int take_metadata(struct vmdk_importer *importer, const struct vmdk_marker *marker,
                         img_error *err)
{
    uint64_t file_size, sectors = marker->value;
    int rc = imgi_io_size(importer->io, &file_size, err);

    if (rc < 0)
        return rc;
    if (marker->type == VMDK_MARKER_EOS)
        return take_end(importer, err);
    if (marker->type == VMDK_MARKER_PROGRESS)
        sectors = 0;
    else if (marker->type > VMDK_MARKER_PROGRESS)
        give_up(importer, "an unknown marker");
    else if (!imgi_span_ok(importer->at / VMDK_SECTOR + 1, sectors, file_size / VMDK_SECTOR))
        give_up(importer, "a marker whose data goes past the end of the file");
    else
        rc = take_payload(importer, marker, err);
    if (!importer->ended)
        importer->at += (1 + sectors) * VMDK_SECTOR;
    return rc;
}

/* The marker at hand: a grain's, or metadata that is dealt with. */
static int take_marker(struct vmdk_importer *importer, const struct vmdk_marker *marker,
                       struct vmdk_grain *grain, bool *found, img_error *err)
{
    uint64_t grain_bytes = importer->header.grain_size * VMDK_SECTOR;

    if (marker->size == 0)
        return take_metadata(importer, marker, err);
    if (marker->size > 2 * grain_bytes) {
        give_up(importer, "a grain that is larger compressed than any can be");
        return 0;
    }
    if (importer->footer)
        fault(importer, VMDK_FAULT_DAMAGE, "something else than the end behind the footer");
    take_grain(importer, marker, grain);
    *found = true;
    return 0;
}

int vmdk_importer_next(struct vmdk_importer *importer, struct vmdk_grain *grain, bool *more,
                       img_error *err)
{
    bool found = false;
    int rc = 0;

    if (!importer->begun && !vmdk_importer_is_canonical(importer))
        rc = read_front(importer, err);
    while (rc == 0 && !importer->ended && !found) {
        uint8_t bytes[VMDK_MARKER_BYTES];
        struct vmdk_marker marker;
        bool there;

        rc = read_if_there(importer->io, bytes, sizeof(bytes), importer->at, &there, err);
        if (rc == 0 && !there) {
            rc = judge_end(importer, false, err);
        } else if (rc == 0) {
            vmdk_marker_decode(bytes, &marker);
            rc = take_marker(importer, &marker, grain, &found, err);
        }
    }
    *more = found;
    return rc;
}
