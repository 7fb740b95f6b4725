/*
 * Blocks for what is written, and zeros. SPDX-License-Identifier: BSD-2-Clause
 *
 * New blocks lie at the end of the file, which is made longer before anything points there: what
 * the guest does not write of a block is a hole, and reads as zeros. A block keeps its place: zeros
 * and discards let the filesystem have the space back, and the BAT stays as it is.
 *
 * Order on disk: data, and the file's length; a flush; the BAT, through the log.
 */
#include "vhdx.h"

/* taken: of the file's units of 1 MiB, those that blocks before have. */
static int note_block(struct vhdx *v, uint64_t block, uint64_t file_size, struct imgi_seen *taken,
                      img_error *err)
{
    uint64_t entry = vhdx_bat_get(v, block);
    int rc = vhdx_entry_check(v, block, entry, err);
    bool twice;

    if (rc < 0 || VHDX_BAT_STATE(entry) != VHDX_BLOCK_FULLY_PRESENT)
        return rc;
    if (!imgi_span_ok(VHDX_BAT_OFFSET(entry), vhdx_block_bytes(v, block), file_size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "BAT: block %llu at 0x%llx lies past the end of the file (%llu bytes), "
                         "which must not be written before that is mended",
                         (unsigned long long)block, (unsigned long long)VHDX_BAT_OFFSET(entry),
                         (unsigned long long)file_size);
    v->next = IMGI_MAX(v->next, VHDX_BAT_OFFSET(entry) + v->block_size);
    rc = imgi_seen_mark(taken, VHDX_BAT_OFFSET(entry) / VHDX_MIB, v->block_size / VHDX_MIB, &twice,
                        err);
    if (rc == 0 && twice)
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "BAT: block %llu at 0x%llx lies where another block does: writing to one "
                       "would change the other",
                       (unsigned long long)block, (unsigned long long)VHDX_BAT_OFFSET(entry));
    return rc;
}

static int note_blocks(struct vhdx *v, uint64_t file_size, img_error *err)
{
    uint64_t units = imgi_div_up(IMGI_MIN(file_size, VHDX_FILE_BYTES_MAX), VHDX_MIB);
    struct imgi_seen *taken = imgi_seen_new(units, v->node->policy, err);
    int rc = taken ? 0 : IMG_E_NOMEM;

    for (uint64_t block = 0; rc == 0 && block < v->blocks; block++)
        rc = note_block(v, block, file_size, taken, err);
    imgi_seen_free(taken);
    return rc;
}

int vhdx_find_next(struct vhdx *v, img_error *err)
{
    uint64_t size;
    int rc = imgi_io_size(v->node->file, &size, err);

    v->next = imgi_io_is_device(v->node->file) ? 0 : imgi_align_up(size, VHDX_MIB);
    for (size_t n = 0; n < v->span_count; n++)
        v->next = IMGI_MAX(v->next, v->spans[n].offset + v->spans[n].length);
    return rc < 0 ? rc : note_blocks(v, size, err);
}

int vhdx_take_blocks(struct vhdx *v, uint64_t count, uint64_t *host, img_error *err)
{
    struct imgi_io *file = v->node->file;
    uint64_t bytes = count * v->block_size, size;
    int rc = imgi_io_size(file, &size, err);

    if (rc < 0)
        return rc;
    if (!imgi_span_ok(v->next, bytes, VHDX_FILE_BYTES_MAX))
        return imgi_fail(err, IMG_E_NOSPACE, "the file cannot grow past %llu bytes",
                         (unsigned long long)VHDX_FILE_BYTES_MAX);
    if (imgi_io_is_device(file))
        rc = imgi_io_zero(file, v->next, bytes, true, err);
    else if (size < v->next + bytes)
        rc = imgi_io_resize(file, v->next + bytes, IMGI_PREALLOC_OFF, err);
    if (rc < 0)
        return rc;
    *host = v->next;
    v->next += bytes;
    return 0;
}

int vhdx_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err)
{
    struct vhdx *v = vhdx_of(node);
    int rc = vhdx_take_blocks(v, imgi_div_up(alloc->length, v->block_size), &alloc->host, err);

    alloc->io = node->file;
    alloc->fill_from = alloc->from;
    alloc->fill_to = alloc->to;
    return rc;
}

int vhdx_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err)
{
    struct vhdx *v = vhdx_of(node);
    uint64_t block = alloc->offset / v->block_size, host = alloc->host;

    (void)err;
    for (uint64_t done = 0; done < alloc->length; done += v->block_size, host += v->block_size)
        vhdx_bat_set(v, block++, host | VHDX_BLOCK_FULLY_PRESENT);
    return 0;
}

/* Space that was written to is taken again only when it reads as zeros again. */
void vhdx_cancel(struct imgi_node *node, const struct imgi_alloc *alloc)
{
    struct vhdx *v = vhdx_of(node);
    uint64_t end = alloc->host + imgi_align_up(alloc->length, v->block_size);

    if (end == v->next && (imgi_io_is_device(node->file) ||
                           imgi_io_resize(node->file, alloc->host, IMGI_PREALLOC_OFF, NULL) == 0))
        v->next = alloc->host;
}

/* Blocks without a place that begin in the run: say that they are zeros, where it is not said. */
static void zero_blocks(struct vhdx *v, const struct imgi_extent *run)
{
    uint64_t end = run->offset + run->length;
    uint64_t block = imgi_div_up(run->offset, v->block_size);

    for (; block < v->blocks && block * v->block_size + vhdx_block_bytes(v, block) <= end;
         block++) {
        if (VHDX_BAT_STATE(vhdx_bat_get(v, block)) != VHDX_BLOCK_ZERO)
            vhdx_bat_set(v, block, VHDX_BLOCK_ZERO);
    }
}

int vhdx_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap, img_error *err)
{
    struct vhdx *v = vhdx_of(node);
    int rc = 0;

    while (rc == 0 && length > 0) {
        struct imgi_extent run = {0};

        rc = vhdx_map(node, offset, length, &run, err);
        if (rc < 0)
            return rc;
        if (run.kind == IMGI_DATA)
            rc = imgi_io_zero(run.io, run.host, run.length, unmap && !v->fixed, err);
        else
            zero_blocks(v, &run);
        offset += run.length;
        length -= run.length;
    }
    return rc;
}

int vhdx_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err)
{
    int rc = 0;

    while (rc == 0 && length > 0) {
        struct imgi_extent run = {0};

        rc = vhdx_map(node, offset, length, &run, err);
        if (rc == 0 && run.kind == IMGI_DATA && !vhdx_of(node)->fixed)
            rc = imgi_io_discard(run.io, run.host, run.length, err);
        offset += run.length;
        length -= run.length;
    }
    return rc;
}

int vhdx_flush(struct imgi_node *node, img_error *err)
{
    return node->writable ? vhdx_bat_write(vhdx_of(node), err) : 0;
}

/* The signature makes an image of what was being made; it comes last. */
int vhdx_finish(struct imgi_node *node, img_error *err)
{
    struct vhdx *v = vhdx_of(node);
    int rc = vhdx_bat_write(v, err);

    if (rc == 0)
        rc = vhdx_log_end(v, err);
    if (rc < 0 || !v->unfinished)
        return rc;
    rc = imgi_io_flush(node->file, err);
    if (rc == 0)
        rc = imgi_io_write(node->file, VHDX_SIGNATURE, VHDX_SIGNATURE_BYTES, 0, err);
    if (rc == 0)
        v->unfinished = false;
    return rc;
}
