/*
 * What the parts of the dirty bitmaps share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Parts: bitmap.c (the directory), bitmap_bits.c (tables and bits), bitmap_store.c (what is on disk
 * and in which order), bitmap_resize.c, bitmap_ops.c (what the core asks for).
 *
 * A writer changes bits where they lie in the file, so memory does not grow with the disk. Before
 * that it marks the bitmap's record "in use" on disk, flushed: until the mark is gone again nobody
 * believes the bits, and they, and the table, may be written in any order that loses no space
 * worth more than a leak. At the end bits and tables are flushed, and then the marks are taken
 * away. Setting and clearing marks writes the directory over itself: but for the flags the bytes
 * are the same, and no record's flags lie across a sector, so a write that is cut short leaves
 * every record valid by itself. Any other change of the directory goes to a new place, and the
 * header, in one write, from the one to the other.
 */
#ifndef QCOW2_BITMAP_H
#define QCOW2_BITMAP_H

#include "qcow2.h"

/* ---------------------------------------------------------------------- bitmap.c */

/* Entries that the table of a bitmap has, for a disk of size bytes. */
uint64_t qcow2_bitmap_entries(const struct qcow2 *q, unsigned granularity_bits, uint64_t size);
void qcow2_bitmap_free(struct qcow2_bitmap *bitmap);
/* Bytes of a directory that holds the list, and its content. */
uint64_t qcow2_bitmaps_bytes(const struct qcow2_bitmap_list *list);
void qcow2_bitmaps_encode(const struct qcow2_bitmap_list *list, uint8_t *to);

/* A writer died while it had it: it can only be removed. */
static inline bool qcow2_bitmap_inconsistent(const struct qcow2_bitmap *bitmap)
{
    return bitmap->flags & QCOW2_BITMAP_IN_USE;
}
/* Fails for an inconsistent one. */
int qcow2_bitmap_usable(const struct qcow2_bitmap *bitmap, img_error *err);
/* Fails when bits for a disk of that size would be more than the format allows. */
int qcow2_bitmap_fits(const struct qcow2 *q, unsigned granularity_bits, uint64_t size,
                      img_error *err);

/* ----------------------------------------------------------------- bitmap_bits.c */

/* Load the table, if that has not been done. */
int qcow2_bitmap_need_table(struct qcow2 *q, struct qcow2_bitmap *bitmap, img_error *err);
/* Set the bits that guest bytes touch; the bitmap is marked. */
int qcow2_bitmap_set(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t offset, uint64_t length,
                     img_error *err);
/* Set all bits to 0; the bitmap is marked. */
int qcow2_bitmap_clear(struct qcow2 *q, struct qcow2_bitmap *bitmap, img_error *err);
/* How many guest bytes from offset on, `length` at most, have equal bits. */
int qcow2_bitmap_run(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t offset, uint64_t length,
                     uint64_t *run, bool *dirty, img_error *err);
/*
 * Fit the bits to a disk that had old_size bytes and has q->header.size: bits that are new are 0.
 * Entries past the end of the table lose their clusters; the table itself keeps its place.
 */
int qcow2_bitmap_fit(struct qcow2 *q, struct qcow2_bitmap *bitmap, uint64_t old_size,
                     img_error *err);
/* The clusters of its bits are nobody's any more, once the table is off the disk. */
int qcow2_bitmap_free_bits(struct qcow2 *q, struct qcow2_bitmap *bitmap, img_error *err);

/* ---------------------------------------------------------------- bitmap_store.c */

/* Mark the bitmaps whose field `marking` is set, unless they are. */
int qcow2_bitmaps_mark(struct qcow2 *q, img_error *err);
/* The list or its flags have changed: say whether guest writes matter to it. */
void qcow2_bitmaps_update(struct qcow2 *q);
/* Write the directory over itself: nothing but flags has changed. */
int qcow2_bitmaps_write_flags(struct qcow2 *q, img_error *err);
/* Write the list to a new place, which the header then names. */
int qcow2_bitmaps_store(struct qcow2 *q, img_error *err);
/* Clusters for the directory or for tables, of so many bytes. */
int qcow2_bitmap_alloc(struct qcow2 *q, uint64_t bytes, uint64_t *offset, img_error *err);
/* Give them back at once: nothing on disk has ever named them. */
void qcow2_bitmap_cancel(struct qcow2 *q, uint64_t offset, uint64_t bytes);
/* Give them back once the disk does not name them any more. */
int qcow2_bitmap_release(struct qcow2 *q, uint64_t offset, uint64_t bytes, img_error *err);
/* The same for clusters of bits. Those that nothing counts are left alone. */
int qcow2_bitmap_free_later(struct qcow2 *q, uint64_t offset, uint64_t clusters, img_error *err);

#endif
