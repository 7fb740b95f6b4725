/*
 * convert, the mover: a piece's bytes from the sources into the target.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * prepare reads, looks for zeros and compresses; commit reserves space, in the order of the pieces;
 * finish writes. See ring.h for which of them run side by side.
 */
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "util/iszero.h"

/* ------------------------------------------------------------------ prepare */

static int read_sources(const struct convert *convert, struct thread *thread, uint64_t offset,
                        uint8_t *buffer, uint64_t length, img_error *err)
{
    int rc = 0;

    while (rc == 0 && length > 0) {
        uint64_t at = offset;
        size_t n = imgi_convert_source(convert, &at);
        struct imgi_node *top = convert->sources[n]->top;
        size_t step = (size_t)IMGI_MIN(length, top->size - at);

        rc = imgi_node_read(top, at, buffer, step, &thread->scratch[n], err);
        imgi_job_clear_free(convert->job, at, buffer, step);
        offset += step;
        buffer += step;
        length -= step;
    }
    return rc;
}

/* Read in small steps; what cannot be had becomes zeros. */
static void salvage(const struct convert *convert, struct thread *thread, const struct piece *piece)
{
    for (uint64_t done = 0; done < piece->length; done += UNIT_MIN) {
        uint64_t step = IMGI_MIN(piece->length - done, UNIT_MIN);

        if (read_sources(convert, thread, piece->offset + done, piece->buffer + done, step, NULL) ==
            0)
            continue;
        memset(piece->buffer + done, 0, (size_t)step);
        imgi_job_salvage(convert->job, step);
    }
}

static void add_segment(struct piece *piece, enum segment_kind kind, uint64_t done, uint64_t length,
                        uint8_t *bytes, size_t stored)
{
    struct segment *last = piece->segment_count ? &piece->segments[piece->segment_count - 1] : NULL;

    if (last && last->kind == kind && kind != SEGMENT_PACKED) {
        last->length += length;
        last->stored += stored;
        return;
    }
    piece->segments[piece->segment_count++] =
        (struct segment){kind, piece->offset + done, length, bytes, stored};
}

/* Compress one cluster, to where the ones before it end. */
static int pack_unit(const struct convert *convert, struct thread *thread, struct piece *piece,
                     uint64_t done, uint64_t length, uint8_t **out, img_error *err)
{
    uint8_t *bytes = piece->buffer + done;
    size_t packed;
    int rc = imgi_node_pack(convert->target, thread->packer, piece->offset + done, bytes, *out,
                            convert->packed_room, &packed, err);

    if (rc < 0)
        return rc;
    if (packed == 0) {
        add_segment(piece, SEGMENT_DATA, done, length, bytes, length);
        return 0;
    }
    add_segment(piece, SEGMENT_PACKED, done, length, *out, packed);
    *out += packed;
    return 0;
}

/* Zero runs shorter than the user's limit count as data. */
static void absorb_short_zeros(const struct convert *convert, struct piece *piece)
{
    for (size_t i = 0; i < piece->segment_count; i++) {
        struct segment *segment = &piece->segments[i];
        bool inside = i > 0 && i + 1 < piece->segment_count;

        if (segment->kind == SEGMENT_ZERO && segment->length < convert->sparse && inside)
            segment->kind = SEGMENT_DATA;
    }
}

/* Cut the piece into what is zero, what is packed and what is stored as it is. */
static int cut(const struct convert *convert, struct thread *thread, struct piece *piece,
               img_error *err)
{
    uint8_t *out = piece->packed;
    int rc = 0;

    for (uint64_t done = 0; rc == 0 && done < piece->length; done += convert->unit) {
        uint64_t length = IMGI_MIN(piece->length - done, convert->unit);
        uint8_t *bytes = piece->buffer + done;

        if (convert->sparse > 0 && imgi_is_zero(bytes, (size_t)length))
            add_segment(piece, SEGMENT_ZERO, done, length, bytes, (size_t)length);
        else if (convert->packed_room > 0)
            rc = pack_unit(convert, thread, piece, done, length, &out, err);
        else
            add_segment(piece, SEGMENT_DATA, done, length, bytes, (size_t)length);
    }
    absorb_short_zeros(convert, piece);
    return rc;
}

static int fetch(const struct convert *convert, struct thread *thread, struct piece *piece,
                 img_error *err)
{
    uint64_t room = imgi_align_up(piece->length, convert->unit);
    int rc = read_sources(convert, thread, piece->offset, piece->buffer, piece->length, err);

    if (rc < 0 && !(convert->job->flags & IMG_JOB_SALVAGE)) {
        imgi_error_prefix(err, "error while reading at byte %llu",
                          (unsigned long long)piece->offset);
        return rc;
    }
    if (rc < 0)
        salvage(convert, thread, piece);
    memset(piece->buffer + piece->length, 0, (size_t)(room - piece->length));
    return 0;
}

int imgi_convert_prepare(void *context, void *state, void *work, img_error *err)
{
    struct convert *convert = context;
    struct thread *thread = state;
    struct piece *piece = work;
    int rc;

    piece->segment_count = 0;
    piece->placed_count = 0;
    if (piece->kind == PIECE_ZERO)
        return 0;
    rc = imgi_job_throttle(convert->job, piece->length, err);
    if (rc < 0)
        return rc;
    if (piece->kind == PIECE_SHARE) {
        add_segment(piece, SEGMENT_DATA, 0, piece->length, NULL, (size_t)piece->length);
        return 0;
    }
    rc = fetch(convert, thread, piece, err);
    if (rc == 0)
        rc = cut(convert, thread, piece, err);
    return rc;
}

/* ------------------------------------------------------------------ commit */

static void place(struct piece *piece, const struct segment *segment, uint64_t done,
                  struct imgi_io *io, uint64_t host, uint64_t length)
{
    piece->placed[piece->placed_count++] =
        (struct placed){.io = io,
                        .guest = segment->offset + done,
                        .host = host,
                        .bytes = segment->bytes ? segment->bytes + done : NULL,
                        .length = length,
                        .source = piece->share_host + (segment->offset - piece->offset) + done};
}

/*
 * Space for the bytes from `done` on of a segment; *length says for how many of them there is. A
 * segment consists of whole grains, so nothing needs to be filled in around it.
 * Reserve and link in one go: the order is safe for a target that nobody can open before it is
 * complete.
 */
static int place_new(struct convert *convert, struct piece *piece, const struct segment *segment,
                     uint64_t done, uint64_t *length, img_error *err)
{
    struct imgi_node *target = convert->target;
    bool packed = segment->kind == SEGMENT_PACKED;
    uint64_t from = segment->offset + done, to = from + *length;
    uint64_t start = imgi_align_down(from, target->cluster_size);
    uint64_t stop = IMGI_MIN(imgi_align_up(to, target->cluster_size), target->size);
    struct imgi_alloc alloc = {.offset = start,
                               .length = stop - start,
                               .from = from,
                               .to = to,
                               .packed = packed ? segment->stored : 0};
    int rc = imgi_node_reserve(target, &alloc, err);

    if (rc == 0)
        rc = imgi_node_link(target, &alloc, err);
    if (rc < 0)
        return rc;
    *length = IMGI_MIN(to, start + alloc.length) - from;
    if (packed)
        place(piece, segment, done, alloc.io, alloc.host, segment->stored);
    else
        place(piece, segment, done, alloc.io, alloc.host + (from - start), alloc.fill_to - from);
    return 0;
}

/* Give every byte of a segment its place: the one it has (raw, preallocated clusters), or a new
 * one. */
static int place_segment(struct convert *convert, struct piece *piece,
                         const struct segment *segment, img_error *err)
{
    uint64_t done = 0;
    int rc = imgi_node_track(convert->target, segment->offset, segment->length, err);

    while (rc == 0 && done < segment->length) {
        struct imgi_extent extent;
        uint64_t length;

        rc = imgi_node_map(convert->target, segment->offset + done, segment->length - done, &extent,
                           err);
        if (rc < 0)
            break;
        length = extent.length;
        if (extent.kind == IMGI_DATA && segment->kind != SEGMENT_PACKED)
            place(piece, segment, done, extent.io, extent.host, length);
        else
            rc = place_new(convert, piece, segment, done, &length, err);
        done += length;
    }
    return rc;
}

/* The ordinary way, for a target that has a past. */
static int write_segment(struct convert *convert, const struct segment *segment, img_error *err)
{
    struct imgi_scratch scratch = {0};
    int rc;

    if (segment->kind == SEGMENT_PACKED)
        rc = imgi_node_write_packed(convert->target, segment->offset, segment->length,
                                    segment->bytes, segment->stored, err);
    else
        rc = imgi_node_write(convert->target, segment->offset, segment->bytes,
                             (size_t)segment->length, &scratch, err);
    imgi_scratch_clear(&scratch);
    return rc;
}

static int write_zeros(struct convert *convert, uint64_t offset, uint64_t length, img_error *err)
{
    struct imgi_scratch scratch = {0};
    int rc = 0;

    if (!convert->blank)
        rc = imgi_node_zero(convert->target, offset, length, IMG_ZERO_UNMAP, &scratch, err);
    imgi_scratch_clear(&scratch);
    return rc;
}

/* ------------------------------------------------------------------ writing */

#define IOV_COUNT 64

/* As the target stores them. A sector that the disk's end cuts is a whole one: fetch filled it up.
 */
static int encrypt_placed(const struct imgi_node *target, struct placed *placed, img_error *err)
{
    if (!target->encrypted)
        return 0;
    placed->length = imgi_align_up(placed->length, IMGI_CIPHER_SECTOR);
    return imgi_stored_encrypt(target, placed->guest, placed->host, placed->bytes,
                               (size_t)placed->length, err);
}

/* Write what lies side by side in the target with one call; *taken: how many that were. */
static int write_placed(struct convert *convert, struct placed *placed, size_t count, size_t *taken,
                        img_error *err)
{
    struct imgi_behind *behind = &convert->behind;
    struct iovec iov[IOV_COUNT];
    uint64_t end = placed[0].host;
    size_t n = 0;
    int rc = 0;

    while (rc == 0 && n < count && n < IOV_COUNT && placed[n].io == placed[0].io &&
           placed[n].host == end) {
        rc = encrypt_placed(convert->target, &placed[n], err);
        iov[n] = (struct iovec){placed[n].bytes, (size_t)placed[n].length};
        end += placed[n].length;
        n++;
    }
    *taken = n;
    if (rc < 0)
        return rc;
    rc = imgi_io_writev(placed[0].io, iov, (int)n, placed[0].host, err);
    if (rc == 0)
        imgi_behind_wrote(behind, placed[0].io, placed[0].host, end - placed[0].host);
    return rc;
}

/* Copy what could not be shared after all, in steps. */
static int copy_placed(struct imgi_io *source, const struct placed *placed, img_error *err)
{
    uint8_t *buffer = malloc(PIECE_BYTES);
    int rc = buffer ? 0 : imgi_fail_nomem(err, "a copy");

    for (uint64_t done = 0; rc == 0 && done < placed->length; done += PIECE_BYTES) {
        size_t step = (size_t)IMGI_MIN(placed->length - done, PIECE_BYTES);

        rc = imgi_io_read(source, buffer, step, placed->source + done, err);
        if (rc == 0)
            rc = imgi_io_write(placed->io, buffer, step, placed->host + done, err);
    }
    free(buffer);
    return rc;
}

static int share_placed(struct imgi_io *source, const struct placed *placed, img_error *err)
{
    img_error refused;
    int rc =
        imgi_io_share(placed->io, placed->host, source, placed->source, placed->length, &refused);

    if (rc == IMG_E_UNSUPPORTED)
        return copy_placed(source, placed, err);
    if (rc < 0 && err)
        *err = refused;
    return rc;
}

/* Write what has its place by now. */
static int write_places(struct convert *convert, struct piece *piece, img_error *err)
{
    size_t taken = 1;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < piece->placed_count; i += taken) {
        if (piece->kind == PIECE_SHARE)
            rc = share_placed(piece->share_io, &piece->placed[i], err);
        else
            rc = write_placed(convert, &piece->placed[i], piece->placed_count - i, &taken, err);
    }
    piece->placed_count = 0;
    return rc;
}

/* ------------------------------------------------------------------ commit, finish */

/*
 * A format may put metadata between the clusters whose places it is asked for. In a pipe nothing
 * can come before what lies before it, so the clusters are written at once.
 */
static int commit_segment(struct convert *convert, struct piece *piece,
                          const struct segment *segment, img_error *err)
{
    int rc;

    if (segment->kind == SEGMENT_ZERO)
        return write_zeros(convert, segment->offset, segment->length, err);
    if (!convert->direct)
        return write_segment(convert, segment, err);
    rc = place_segment(convert, piece, segment, err);
    return rc == 0 && convert->ordered ? write_places(convert, piece, err) : rc;
}

int imgi_convert_commit(void *context, void *work, img_error *err)
{
    struct convert *convert = context;
    struct piece *piece = work;
    int rc = 0;

    if (piece->kind == PIECE_ZERO)
        rc = write_zeros(convert, piece->offset, piece->length, err);
    for (size_t i = 0; rc == 0 && i < piece->segment_count; i++)
        rc = commit_segment(convert, piece, &piece->segments[i], err);
    if (rc < 0)
        imgi_error_image(err, convert->target->name);
    /* Pieces come here in their order, each when it has been read. */
    return rc == 0 ? imgi_convert_pass(convert, piece->offset + piece->length, err) : rc;
}

int imgi_convert_finish(void *context, void *state, void *work, img_error *err)
{
    struct convert *convert = context;
    struct piece *piece = work;
    int rc = write_places(convert, piece, err);

    (void)state;
    if (rc == 0)
        rc = imgi_job_advance(convert->job, piece->length, err);
    return rc;
}
