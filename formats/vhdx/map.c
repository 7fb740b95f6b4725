/*
 * Where a range of the disk is. SPDX-License-Identifier: BSD-2-Clause
 *
 * A block that lies past the end of the file is no error here: who reads it says so, and can
 * salvage the rest. A block that is partially present has a bit for each of its sectors in
 * the sector bitmap of its chunk (2.5.1.2): 1 is here, 0 is the parent's.
 */
#include "vhdx.h"

static int entry_fault(uint64_t block, uint64_t entry, const char *why, img_error *err)
{
    return imgi_fail(err, IMG_E_CORRUPT, "BAT: block %llu: entry 0x%llx %s",
                     (unsigned long long)block, (unsigned long long)entry, why);
}

int vhdx_entry_check(const struct vhdx *v, uint64_t block, uint64_t entry, img_error *err)
{
    switch (VHDX_BAT_STATE(entry)) {
    case VHDX_BLOCK_NOT_PRESENT:
    case VHDX_BLOCK_UNDEFINED:
    case VHDX_BLOCK_ZERO:
    case VHDX_BLOCK_UNMAPPED:
    case VHDX_BLOCK_UNMAPPED_OLD:
        return 0;
    case VHDX_BLOCK_PARTIALLY_PRESENT:
        if (!v->has_parent)
            return entry_fault(block, entry, "is partially present, without a parent", err);
        break;
    case VHDX_BLOCK_FULLY_PRESENT:
        break;
    default:
        return entry_fault(block, entry, "has a state that does not exist", err);
    }
    if (VHDX_BAT_RESERVED(entry) != 0)
        return entry_fault(block, entry, "has reserved bits set", err);
    if (vhdx_is_taken(v, VHDX_BAT_OFFSET(entry), vhdx_block_bytes(v, block)))
        return entry_fault(block, entry, "points into the header section, the log or a region",
                           err);
    if (VHDX_BAT_OFFSET(entry) > VHDX_FILE_BYTES_MAX)
        return entry_fault(block, entry, "points past where any file ends", err);
    return 0;
}

/* ------------------------------------------------------------------- parents */

/*
 * A parent that was changed since has another data write GUID, and its blocks are no longer what
 * this image is to be put upon (2.6.2.6.3). Compared when the parent is first needed: until
 * then the child can be looked at.
 */
static int judge_parent(struct vhdx *v, img_error *err)
{
    const struct imgi_node *parent = v->node->backing;
    char is[VHDX_GUID_TEXT], was[VHDX_GUID_TEXT];

    if (v->parent_judged || (!parent && (v->node->flags & IMG_OPEN_NO_BACKING)))
        return 0;
    if (!parent)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the parent of this differencing VHDX image is not known: name it with "
                         "--image-opts and backing.driver=vhdx,backing.file.filename=...");
    if (parent->driver != v->node->driver)
        return imgi_fail(err, IMG_E_CORRUPT, "the parent %s is no VHDX image but %s", parent->name,
                         parent->driver->name);
    for (unsigned n = 0; n < v->linkages && !v->parent_judged; n++)
        v->parent_judged =
            vhdx_guid_equal(&v->parent_linkage[n], &vhdx_of(parent)->header.data_write);
    if (v->parent_judged)
        return 0;
    vhdx_guid_format(&vhdx_of(parent)->header.data_write, is);
    vhdx_guid_format(&v->parent_linkage[0], was);
    return imgi_fail(err, IMG_E_CORRUPT,
                     "the parent %s was changed after this image was made, or is another one: its "
                     "data write GUID is %s, parent_linkage is %s; put the parent back as it was",
                     parent->name, is, was);
}

/* --------------------------------------------------------- partially present */

/* A piece of a sector bitmap. */
#define PIECE_BYTES 4096u

static bool bit(const uint8_t *piece, uint64_t n)
{
    return piece[n / 8] >> (n % 8) & 1;
}

/* How many sectors from `sector` of the chunk on, `limit` at most, have the same bit. */
static int bitmap_run(struct vhdx *v, uint64_t bitmap, uint64_t sector, uint64_t limit,
                      uint64_t *run, bool *here, img_error *err)
{
    uint64_t done = 0;

    while (done < limit) {
        uint64_t at = sector + done;
        uint64_t end = IMGI_MIN(limit - done, PIECE_BYTES * 8 - at % (PIECE_BYTES * 8));
        uint8_t *piece;
        int rc =
            imgi_cache_get(v->bitmaps, bitmap + at / (PIECE_BYTES * 8) * PIECE_BYTES, &piece, err);

        if (rc < 0)
            return rc;
        if (done == 0)
            *here = bit(piece, at % (PIECE_BYTES * 8));
        for (uint64_t n = 0; n < end; n++, done++) {
            if (bit(piece, (at + n) % (PIECE_BYTES * 8)) != *here) {
                *run = done;
                return 0;
            }
        }
    }
    *run = done;
    return 0;
}

static int map_partial(struct vhdx *v, uint64_t block, uint64_t inside, uint64_t length,
                       struct imgi_extent *run, img_error *err)
{
    uint64_t entry = vhdx_bat_get_bitmap(v, block), sectors, count = 0;
    uint64_t at = block % v->chunk_ratio * v->block_size + inside; /* in the chunk */
    uint64_t head = at % v->logical_sector;
    bool here = false;
    int rc;

    if (VHDX_BAT_STATE(entry) != VHDX_BITMAP_PRESENT || VHDX_BAT_RESERVED(entry) != 0 ||
        vhdx_is_taken(v, VHDX_BAT_OFFSET(entry), VHDX_BITMAP_BYTES))
        return entry_fault(block, entry,
                           "of the sector bitmap is none that a partially present "
                           "block can have",
                           err);
    sectors = imgi_div_up(head + length, v->logical_sector);
    rc = bitmap_run(v, VHDX_BAT_OFFSET(entry), at / v->logical_sector, sectors, &count, &here, err);
    if (rc < 0)
        return rc;
    run->kind = here ? IMGI_DATA : IMGI_ABSENT;
    run->length = IMGI_MIN(length, count * v->logical_sector - head);
    return 0;
}

/* ----------------------------------------------------------------------- map */

/* Holes of the file are zeros of the disk, but not what the file has lost. */
static int judge_holes(const struct vhdx *v, struct imgi_extent *run, img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(v->io, &size, err);

    if (rc == 0 && imgi_span_ok(run->host, run->length, size))
        run->flags |= IMGI_EXTENT_HOLES;
    return rc;
}

/* A run inside one block. */
static int map_block(struct vhdx *v, uint64_t offset, uint64_t length, struct imgi_extent *run,
                     img_error *err)
{
    uint64_t block = offset / v->block_size, inside = offset % v->block_size;
    uint64_t entry = vhdx_bat_get(v, block);
    unsigned state = VHDX_BAT_STATE(entry);
    int rc = vhdx_entry_check(v, block, entry, err);

    if (rc < 0)
        return rc;
    run->length = length = IMGI_MIN(length, v->block_size - inside);
    if (state == VHDX_BLOCK_FULLY_PRESENT)
        run->kind = IMGI_DATA;
    else if (state == VHDX_BLOCK_PARTIALLY_PRESENT)
        rc = map_partial(v, block, inside, length, run, err);
    else
        run->kind = v->has_parent && state == VHDX_BLOCK_NOT_PRESENT ? IMGI_ABSENT : IMGI_ZERO;
    if (rc < 0 || run->kind != IMGI_DATA)
        return rc;
    run->io = v->io;
    run->host = VHDX_BAT_OFFSET(entry) + inside;
    run->flags = v->node->writable ? IMGI_EXTENT_INPLACE : 0;
    return judge_holes(v, run, err);
}

/*
 * What one call answers for, at most: who copies a disk piece by piece asks for all that follows
 * each time, and every piece would cost a walk to the end of the data.
 */
#define RUN_MAX (UINT64_C(1) << 30)

/* Whether more, which follows run on the disk, can be a part of it. */
static bool continues(const struct imgi_extent *run, const struct imgi_extent *more)
{
    return run->kind == more->kind && run->flags == more->flags &&
           (run->kind != IMGI_DATA || run->host + run->length == more->host);
}

int vhdx_map(struct imgi_node *node, uint64_t offset, uint64_t length, struct imgi_extent *run,
             img_error *err)
{
    struct vhdx *v = vhdx_of(node);
    int rc = map_block(v, offset, length, run, err);

    run->offset = offset;
    length = IMGI_MIN(length, IMGI_MAX(run->length, RUN_MAX));
    while (rc == 0 && run->length < length) {
        struct imgi_extent more = {0};

        if (map_block(v, offset + run->length, length - run->length, &more, NULL) < 0 ||
            !continues(run, &more))
            break;
        run->length += more.length;
    }
    if (rc == 0 && run->kind == IMGI_ABSENT)
        rc = judge_parent(v, err);
    return rc;
}
