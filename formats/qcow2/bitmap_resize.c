/*
 * Dirty bitmaps of a disk that changes its size. SPDX-License-Identifier: BSD-2-Clause
 *
 * All are marked in use before the size changes, and get their new number of bits after it did: a
 * crash in between leaves bitmaps that nobody believes, whatever size they have.
 */
#include <stdlib.h>

#include "bitmap.h"

int qcow2_bitmaps_before_resize(struct qcow2 *q, uint64_t size, img_error *err)
{
    int rc = q->bitmaps_lost ? qcow2_track(q->node, 0, 0, err) : 0;

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < q->bitmaps.count; i++) {
        struct qcow2_bitmap *bitmap = &q->bitmaps.bitmaps[i];

        rc = qcow2_bitmap_usable(bitmap, err);
        if (rc == 0)
            rc = qcow2_bitmap_fits(q, bitmap->granularity_bits, size, err);
        if (rc == 0)
            rc = qcow2_bitmap_need_table(q, bitmap, err);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < q->bitmaps.count; i++)
        q->bitmaps.bitmaps[i].marking = true;
    return qcow2_bitmaps_mark(q, err);
}

/* Leave the bitmaps "in use", which they are on disk. */
static void distrust(struct qcow2 *q)
{
    for (size_t i = 0; i < q->bitmaps.count; i++) {
        q->bitmaps.bitmaps[i].flags |= QCOW2_BITMAP_IN_USE;
        q->bitmaps.bitmaps[i].marked = false;
    }
    qcow2_bitmaps_update(q);
}

void qcow2_bitmaps_not_resized(struct qcow2 *q, uint64_t size)
{
    uint64_t old = q->node->size;
    uint8_t bytes[8];
    int rc;

    if (q->bitmaps.count == 0)
        return;
    /* The header may say the new size all the same: it was written, and the flush failed. */
    rc = imgi_io_read(q->node->file, bytes, sizeof(bytes), QCOW2_AT_SIZE, NULL);
    if (rc == 0 && imgi_get_be64(bytes) != old)
        rc = IMG_E_IO;
    /* What was to be cut off may be gone. */
    if (rc == 0 && size < old && q->node->tracked)
        rc = qcow2_track(q->node, size, old - size, NULL);
    if (rc < 0)
        distrust(q);
}

/* A table that the directory does not name any more, or not yet. */
struct place {
    uint64_t offset, bytes;
};

/*
 * Give a bitmap a table with another number of entries, elsewhere. *old: where the disk has the old
 * one.
 */
static int move_table(struct qcow2 *q, struct qcow2_bitmap *bitmap, struct place *old,
                      img_error *err)
{
    uint64_t entries = qcow2_bitmap_entries(q, bitmap->granularity_bits, q->header.size), offset;
    struct qcow2_table table = {0};
    int rc;

    if (entries == bitmap->table.count)
        return 0;
    rc = qcow2_bitmap_alloc(q, entries * QCOW2_ENTRY_BYTES, &offset, err);
    if (rc == 0)
        rc = qcow2_table_new(&table, offset, entries, err);
    if (rc < 0) {
        qcow2_bitmap_cancel(q, offset, entries * QCOW2_ENTRY_BYTES);
        return rc;
    }
    memcpy(table.entries, bitmap->table.entries,
           (size_t)IMGI_MIN(entries, bitmap->table.count) * sizeof(*table.entries));
    qcow2_table_set_dirty(&table);
    *old = (struct place){bitmap->table.offset, bitmap->table.count * QCOW2_ENTRY_BYTES};
    qcow2_table_free(&bitmap->table);
    bitmap->table = table;
    bitmap->table_offset = offset;
    bitmap->table_entries = (uint32_t)entries;
    return qcow2_table_write(&bitmap->table, q->node->file, err);
}

static int move_tables(struct qcow2 *q, struct place *old, img_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < q->bitmaps.count; i++)
        rc = move_table(q, &q->bitmaps.bitmaps[i], &old[i], err);
    if (rc == 0)
        rc = qcow2_bitmaps_store(q, err);
    /* Not noted for want of memory, they are lost space, which is no reason to fail. */
    for (size_t i = 0; rc == 0 && i < q->bitmaps.count; i++) {
        if (old[i].bytes > 0)
            qcow2_bitmap_release(q, old[i].offset, old[i].bytes, NULL);
    }
    return rc;
}

int qcow2_bitmaps_resize(struct qcow2 *q, uint64_t old_size, img_error *err)
{
    struct place *old;
    int rc = 0;

    if (q->bitmaps.count == 0)
        return 0;
    old = calloc(q->bitmaps.count, sizeof(*old));
    if (!old)
        rc = imgi_fail_nomem(err, "the bitmaps");
    for (size_t i = 0; rc == 0 && i < q->bitmaps.count; i++)
        rc = qcow2_bitmap_fit(q, &q->bitmaps.bitmaps[i], old_size, err);
    /* The old tables lose what they no longer need while the directory still names them. */
    if (rc == 0)
        rc = qcow2_flush(q->node, err);
    if (rc == 0)
        rc = move_tables(q, old, err);
    free(old);
    if (rc < 0)
        distrust(q);
    return rc;
}
