/*
 * Dirty bitmaps on disk, and in which order they get there: bitmap.h says why.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "bitmap.h"

/* -------------------------------------------------------------------------- space */

int qcow2_bitmap_alloc(struct qcow2 *q, uint64_t bytes, uint64_t *offset, img_error *err)
{
    uint64_t cluster;
    int rc = qcow2_alloc_metadata(q, qcow2_clusters(q, bytes), QCOW2_OWNER_BITMAP, &cluster, err);

    *offset = rc == 0 ? cluster << q->cluster_bits : 0;
    return rc;
}

void qcow2_bitmap_cancel(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
    if (offset != 0)
        qcow2_cancel_metadata(q, offset >> q->cluster_bits, qcow2_clusters(q, bytes));
}

int qcow2_bitmap_free_later(struct qcow2 *q, uint64_t offset, uint64_t clusters, img_error *err)
{
    uint64_t first = offset >> q->cluster_bits;
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < clusters; i++) {
        uint64_t refcount;

        rc = qcow2_refcount(q, first + i, &refcount, err);
        /* A bitmap that contradicts the image can be got rid of, at the cost of some space. */
        if (rc == 0 && refcount > 0 && qcow2_owned_find(&q->owned, first + i) == QCOW2_OWNER_NONE)
            rc = qcow2_free_later(q, first + i, 1, true, err);
    }
    return rc;
}

int qcow2_bitmap_release(struct qcow2 *q, uint64_t offset, uint64_t bytes, img_error *err)
{
    qcow2_owned_remove_run(&q->owned, offset >> q->cluster_bits, qcow2_clusters(q, bytes));
    return qcow2_bitmap_free_later(q, offset, qcow2_clusters(q, bytes), err);
}

/* ---------------------------------------------------------------------- directory */

/* The directory's content at some place; it is not flushed. */
static int write_directory(struct qcow2 *q, uint64_t offset, img_error *err)
{
    size_t bytes = (size_t)qcow2_bitmaps_bytes(&q->bitmaps);
    uint8_t *buffer = malloc(bytes + 1);
    int rc;

    if (!buffer)
        return imgi_fail_nomem(err, "the bitmap directory");
    qcow2_bitmaps_encode(&q->bitmaps, buffer);
    rc = imgi_io_write(q->node->file, buffer, bytes, offset, err);
    free(buffer);
    if (rc < 0)
        imgi_error_prefix(err, "bitmap directory");
    return rc;
}

int qcow2_bitmaps_write_flags(struct qcow2 *q, img_error *err)
{
    int rc = write_directory(q, q->bitmaps.directory_offset, err);

    return rc == 0 ? imgi_io_flush(q->node->file, err) : rc;
}

/*
 * Set or clear the bit that makes the bitmaps valid. It is in the header's first sector; extensions
 * need not be, and of a write that is cut short only some sectors may come to the disk.
 */
static int set_valid(struct qcow2 *q, bool valid, img_error *err)
{
    uint64_t autoclear = q->header.autoclear & ~(uint64_t)QCOW2_AUTOCLEAR_BITMAPS;
    uint8_t bytes[8];
    int rc;

    autoclear |= valid ? QCOW2_AUTOCLEAR_BITMAPS : 0;
    if (autoclear == q->header.autoclear)
        return 0;
    imgi_put_be64(bytes, autoclear);
    rc = qcow2_header_update(q, QCOW2_AT_AUTOCLEAR, bytes, sizeof(bytes), err);
    if (rc == 0)
        q->header.autoclear = autoclear;
    return rc;
}

/* Let the header name the directory of a list, not valid yet; without bitmaps there is none. */
static int edit_header(struct qcow2_header *header, const void *opaque, img_error *err)
{
    const struct qcow2_bitmap_list *list = opaque;
    uint8_t extension[QCOW2_BITMAPS_EXTENSION_BYTES] = {0};

    header->autoclear &= ~(uint64_t)QCOW2_AUTOCLEAR_BITMAPS;
    if (list->count == 0) {
        qcow2_extension_remove(header, QCOW2_EXT_BITMAPS);
        return 0;
    }
    imgi_put_be32(extension, (uint32_t)list->count);
    imgi_put_be64(extension + 8, list->directory_bytes);
    imgi_put_be64(extension + 16, list->directory_offset);
    return qcow2_extension_set(header, QCOW2_EXT_BITMAPS, extension, sizeof(extension), err);
}

/* Room in cluster 0 for the extension, if it is not there already. */
static int check_room(const struct qcow2 *q, img_error *err)
{
    const struct qcow2_header *header = &q->header;
    size_t name = header->backing_name ? strlen(header->backing_name) : 0;
    size_t bytes = header->header_length + qcow2_extensions_encode(header, NULL) + name;

    if (qcow2_extension_find(header, QCOW2_EXT_BITMAPS) ||
        bytes + QCOW2_EXTENSION_HEAD + QCOW2_BITMAPS_EXTENSION_BYTES <= q->cluster_size)
        return 0;
    return imgi_fail(err, IMG_E_NOSPACE,
                     "there is no room for the bitmaps extension in the header");
}

/*
 * Switch the header to the directory of the list. After a failure nobody knows which of the two it
 * names, and whether that is valid: both stay allocated, and before the next change of the disk
 * the header is made to say that none is.
 */
static int switch_directory(struct qcow2 *q, img_error *err)
{
    int rc = set_valid(q, false, err);

    if (rc == 0)
        rc = qcow2_header_rewrite(q, edit_header, &q->bitmaps, err);
    if (rc == 0)
        rc = set_valid(q, q->bitmaps.count > 0, err);
    q->bitmaps_lost = rc < 0;
    return rc;
}

int qcow2_bitmaps_store(struct qcow2 *q, img_error *err)
{
    struct qcow2_bitmap_list *list = &q->bitmaps;
    uint64_t old = list->directory_offset, old_bytes = list->directory_bytes, place = 0;
    uint64_t bytes = qcow2_bitmaps_bytes(list);
    int rc = check_room(q, err);

    if (rc == 0 && bytes > QCOW2_BITMAP_DIRECTORY_BYTES_MAX)
        rc = imgi_fail(err, IMG_E_NOSPACE, "Not enough space in the bitmap directory");
    if (rc == 0 && bytes > 0)
        rc = qcow2_bitmap_alloc(q, bytes, &place, err);
    if (rc == 0 && bytes > 0)
        rc = write_directory(q, place, err);
    if (rc == 0)
        rc = qcow2_refcounts_out(q, err); /* flushes the directory too */
    if (rc < 0) {
        qcow2_bitmap_cancel(q, place, bytes);
        return rc;
    }
    list->directory_offset = place;
    list->directory_bytes = bytes;
    rc = switch_directory(q, err);
    /* Not noted for want of memory, it is lost space, which is no reason to fail. */
    if (rc == 0 && old != 0)
        qcow2_bitmap_release(q, old, old_bytes, NULL);
    return rc;
}

/* Disk and memory agree on the bitmaps again: there are none. */
static int forget_bitmaps(struct qcow2 *q, img_error *err)
{
    uint8_t bytes[8];
    int rc;

    q->header.autoclear &= ~(uint64_t)QCOW2_AUTOCLEAR_BITMAPS;
    imgi_put_be64(bytes, q->header.autoclear);
    rc = qcow2_header_update(q, QCOW2_AT_AUTOCLEAR, bytes, sizeof(bytes), err);
    if (rc < 0)
        return rc;
    qcow2_bitmaps_free(&q->bitmaps);
    q->bitmaps_lost = false;
    qcow2_bitmaps_update(q);
    return 0;
}

/* ------------------------------------------------------------------- open, in use */

int qcow2_bitmaps_own(struct qcow2 *q, img_error *err)
{
    const struct qcow2_bitmap_list *list = &q->bitmaps;
    int rc = qcow2_owned_add_run(&q->owned, list->directory_offset >> q->cluster_bits,
                                 qcow2_clusters(q, list->directory_bytes), QCOW2_OWNER_BITMAP, err);

    for (size_t i = 0; rc == 0 && i < list->count; i++) {
        const struct qcow2_bitmap *bitmap = &list->bitmaps[i];
        struct imgi_table table = {.what = "bitmap table",
                                   .offset = bitmap->table_offset,
                                   .entries = bitmap->table_entries,
                                   .entry_size = QCOW2_ENTRY_BYTES};

        rc = imgi_io_size(q->node->file, &table.file_size, err);
        if (rc == 0)
            rc = imgi_policy_table(q->node->policy, &table, err);
        if (rc == 0)
            rc = qcow2_owned_add_run(
                &q->owned, bitmap->table_offset >> q->cluster_bits,
                qcow2_clusters(q, (uint64_t)bitmap->table_entries * QCOW2_ENTRY_BYTES),
                QCOW2_OWNER_BITMAP, err);
    }
    return rc;
}

/* Guest writes matter to bitmaps that are enabled. */
static bool is_tracking(const struct qcow2_bitmap *bitmap)
{
    return (bitmap->flags & QCOW2_BITMAP_AUTO) && !qcow2_bitmap_inconsistent(bitmap);
}

void qcow2_bitmaps_update(struct qcow2 *q)
{
    q->node->tracked = q->bitmaps_lost;
    for (size_t i = 0; i < q->bitmaps.count; i++)
        q->node->tracked = q->node->tracked || is_tracking(&q->bitmaps.bitmaps[i]);
}

int qcow2_bitmaps_open(struct qcow2 *q, img_error *err)
{
    int rc;

    if (!qcow2_extension_find(&q->header, QCOW2_EXT_BITMAPS))
        return 0;
    /*
     * Without its autoclear bit the directory tells of an older state of the disk, and its clusters
     * may be somebody else's by now: the image is rid of it. They are lost space until a repair.
     */
    if (!(q->header.autoclear & QCOW2_AUTOCLEAR_BITMAPS))
        return qcow2_header_rewrite(q, edit_header, &q->bitmaps, err);
    rc = qcow2_bitmaps_load(q, &q->bitmaps, err);
    if (rc == 0)
        rc = qcow2_bitmaps_own(q, err);
    if (rc == 0)
        qcow2_bitmaps_update(q);
    return rc;
}

int qcow2_bitmaps_mark(struct qcow2 *q, img_error *err)
{
    struct qcow2_bitmap_list *list = &q->bitmaps;
    bool any = false;
    int rc = 0;

    for (size_t i = 0; i < list->count; i++) {
        list->bitmaps[i].marking &= !list->bitmaps[i].marked;
        any = any || list->bitmaps[i].marking;
    }
    if (any)
        rc = qcow2_bitmaps_write_flags(q, err);
    for (size_t i = 0; i < list->count; i++) {
        list->bitmaps[i].marked |= rc == 0 && list->bitmaps[i].marking;
        list->bitmaps[i].marking = false;
    }
    return rc;
}

int qcow2_track(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    int rc = qcow2_writable(q, err);

    if (rc == 0 && q->bitmaps_lost)
        rc = forget_bitmaps(q, err);
    for (size_t i = 0; i < q->bitmaps.count; i++)
        q->bitmaps.bitmaps[i].marking = is_tracking(&q->bitmaps.bitmaps[i]);
    if (rc == 0)
        rc = qcow2_bitmaps_mark(q, err);
    for (size_t i = 0; rc == 0 && i < q->bitmaps.count; i++) {
        if (is_tracking(&q->bitmaps.bitmaps[i]))
            rc = qcow2_bitmap_set(q, &q->bitmaps.bitmaps[i], offset, length, err);
    }
    if (rc < 0)
        imgi_error_prefix(err, "dirty bitmaps");
    return rc;
}

/* ---------------------------------------------------------------------- from memory */

static bool tables_dirty(const struct qcow2 *q)
{
    for (size_t i = 0; i < q->bitmaps.count; i++) {
        if (q->bitmaps.bitmaps[i].table.any_dirty)
            return true;
    }
    return false;
}

int qcow2_bitmaps_out(struct qcow2 *q, img_error *err)
{
    int rc;

    if (!tables_dirty(q))
        return 0;
    /* A cluster of bits may lie past the file's end until it is written for the first time. */
    rc = imgi_cache_write(q->bitmap_cache, err);
    if (rc == 0)
        rc = imgi_io_flush(q->node->file, err);
    for (size_t i = 0; rc == 0 && i < q->bitmaps.count; i++)
        rc = qcow2_table_write(&q->bitmaps.bitmaps[i].table, q->node->file, err);
    return rc;
}

static bool any_marked(const struct qcow2 *q)
{
    for (size_t i = 0; i < q->bitmaps.count; i++) {
        if (q->bitmaps.bitmaps[i].marked)
            return true;
    }
    return false;
}

int qcow2_bitmaps_finish(struct qcow2 *q, img_error *err)
{
    int rc;

    if (!any_marked(q) || q->bitmaps_lost || q->broken)
        return 0;
    rc = imgi_cache_write(q->bitmap_cache, err);
    if (rc == 0)
        rc = qcow2_flush(q->node, err);
    if (rc == 0)
        rc = imgi_io_flush(q->node->file, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < q->bitmaps.count; i++)
        q->bitmaps.bitmaps[i].unmarking = true;
    rc = qcow2_bitmaps_write_flags(q, err);
    /* After a failure the marks may be there still: whoever is next tries again. */
    for (size_t i = 0; i < q->bitmaps.count; i++) {
        q->bitmaps.bitmaps[i].marked &= rc < 0;
        q->bitmaps.bitmaps[i].unmarking = false;
    }
    return rc;
}
