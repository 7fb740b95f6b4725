/*
 * What the core asks of dirty bitmaps: list, add, remove, change, look.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each of these is on disk when it returns, but for the bits: bitmap.h.
 */
#include <stdlib.h>

#include "bitmap.h"

int qcow2_bitmap_usable(const struct qcow2_bitmap *bitmap, img_error *err)
{
    if (!qcow2_bitmap_inconsistent(bitmap))
        return 0;
    return imgi_fail(err, IMG_E_CORRUPT,
                     "Bitmap '%s' is inconsistent and cannot be used Try "
                     "block-dirty-bitmap-remove to delete this bitmap from disk",
                     bitmap->name);
}

int qcow2_bitmap_fits(const struct qcow2 *q, unsigned granularity_bits, uint64_t size,
                      img_error *err)
{
    uint64_t bytes = imgi_div_up(imgi_div_up(size, UINT64_C(1) << granularity_bits), 8);

    if (bytes > QCOW2_BITMAP_BYTES_MAX || qcow2_clusters(q, bytes) > QCOW2_BITMAP_TABLE_ENTRIES_MAX)
        return imgi_fail(err, IMG_E_LIMIT,
                         "Too much space will be occupied by the bitmap. Use larger granularity");
    return 0;
}

/* The list of an image that is open for reading is loaded when it is asked for. */
static int need_list(struct qcow2 *q, img_error *err)
{
    if (q->node->writable || q->bitmaps.count > 0)
        return 0;
    return qcow2_bitmaps_load(q, &q->bitmaps, err);
}

static bool ops_supported(const struct imgi_node *node)
{
    return qcow2_of(node)->header.version >= 3;
}

static int ops_get(struct imgi_node *node, size_t n, struct imgi_bitmap *bitmap, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    const struct qcow2_bitmap *found;
    int rc = need_list(q, err);

    if (rc < 0)
        return rc;
    if (n >= q->bitmaps.count)
        return IMG_E_NOENT;
    found = &q->bitmaps.bitmaps[n];
    *bitmap = (struct imgi_bitmap){
        .name = found->name,
        .granularity = UINT64_C(1) << found->granularity_bits,
        .enabled = found->flags & QCOW2_BITMAP_AUTO,
        .inconsistent = qcow2_bitmap_inconsistent(found),
    };
    return 0;
}

/* The list in memory is what the disk has, and may be changed. */
static int check_list(const struct qcow2 *q, img_error *err)
{
    if (q->bitmaps_lost)
        return imgi_fail(err, IMG_E_IO, "the bitmaps could not be written before");
    return qcow2_writable(q, err);
}

static int check_addition(const struct qcow2 *q, const struct imgi_bitmap *bitmap, img_error *err)
{
    unsigned granularity_bits = imgi_log2(bitmap->granularity);

    if (q->header.version < 3)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Cannot store dirty bitmaps in qcow2 v2 files");
    if (granularity_bits < QCOW2_BITMAP_GRANULARITY_MIN ||
        granularity_bits > QCOW2_BITMAP_GRANULARITY_MAX)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Granularity exceeds what qcow2 can store");
    if (strlen(bitmap->name) > QCOW2_BITMAP_NAME_MAX)
        return imgi_fail(err, IMG_E_INVAL, "Name length exceeds maximum (%u characters)",
                         QCOW2_BITMAP_NAME_MAX);
    if (q->bitmaps.count >= QCOW2_BITMAPS_MAX)
        return imgi_fail(err, IMG_E_LIMIT,
                         "Maximum number of persistent bitmaps is already "
                         "reached");
    if (q->header.size == 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "The disk is empty");
    return qcow2_bitmap_fits(q, granularity_bits, q->header.size, err);
}

/* A bitmap of zeros, its table on disk; nothing names it yet. */
static int make_bitmap(struct qcow2 *q, const struct imgi_bitmap *wanted,
                       struct qcow2_bitmap *bitmap, img_error *err)
{
    unsigned granularity_bits = imgi_log2(wanted->granularity);
    uint64_t entries = qcow2_bitmap_entries(q, granularity_bits, q->header.size);
    int rc;

    *bitmap = (struct qcow2_bitmap){.table_entries = (uint32_t)entries,
                                    .flags = wanted->enabled ? QCOW2_BITMAP_AUTO : 0,
                                    .granularity_bits = granularity_bits,
                                    .name = strdup(wanted->name)};
    if (!bitmap->name)
        return imgi_fail_nomem(err, "a bitmap");
    rc = qcow2_bitmap_alloc(q, entries * QCOW2_ENTRY_BYTES, &bitmap->table_offset, err);
    if (rc == 0)
        rc = qcow2_table_new(&bitmap->table, bitmap->table_offset, entries, err);
    if (rc < 0)
        return rc;
    qcow2_table_set_dirty(&bitmap->table);
    return qcow2_table_write(&bitmap->table, q->node->file, err);
}

static int ops_add(struct imgi_node *node, const struct imgi_bitmap *wanted, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_bitmap_list *list = &q->bitmaps;
    struct qcow2_bitmap bitmap = {0}, *larger;
    int rc = check_list(q, err);

    if (rc == 0)
        rc = check_addition(q, wanted, err);
    if (rc < 0)
        return rc;
    larger = realloc(list->bitmaps, (list->count + 1) * sizeof(*larger));
    if (!larger)
        return imgi_fail_nomem(err, "a bitmap");
    list->bitmaps = larger;
    rc = make_bitmap(q, wanted, &bitmap, err);
    if (rc == 0) {
        list->bitmaps[list->count++] = bitmap;
        rc = qcow2_bitmaps_store(q, err);
        if (rc < 0)
            list->count--;
    }
    if (rc < 0) {
        if (!q->bitmaps_lost)
            qcow2_bitmap_cancel(q, bitmap.table_offset,
                                (uint64_t)bitmap.table_entries * QCOW2_ENTRY_BYTES);
        qcow2_bitmap_free(&bitmap);
    }
    qcow2_bitmaps_update(q);
    return rc;
}

static int ops_remove(struct imgi_node *node, size_t n, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_bitmap_list *list = &q->bitmaps;
    struct qcow2_bitmap gone = list->bitmaps[n];
    size_t behind = list->count - n - 1;
    int rc = check_list(q, err);

    if (rc < 0)
        return rc;
    memmove(&list->bitmaps[n], &list->bitmaps[n + 1], behind * sizeof(gone));
    list->count--;
    rc = qcow2_bitmaps_store(q, err);
    if (rc < 0) {
        memmove(&list->bitmaps[n + 1], &list->bitmaps[n], behind * sizeof(gone));
        list->bitmaps[n] = gone;
        list->count++;
        qcow2_bitmaps_update(q);
        return rc;
    }
    /* What cannot be freed, because the table is no good, is lost space. */
    qcow2_bitmap_free_bits(q, &gone, NULL);
    qcow2_bitmap_release(q, gone.table_offset, (uint64_t)gone.table_entries * QCOW2_ENTRY_BYTES,
                         NULL);
    qcow2_bitmap_free(&gone);
    qcow2_bitmaps_update(q);
    return 0;
}

static int ops_enable(struct imgi_node *node, size_t n, bool enabled, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_bitmap *bitmap = &q->bitmaps.bitmaps[n];
    uint32_t old = bitmap->flags;
    int rc = check_list(q, err);

    if (rc == 0)
        rc = qcow2_bitmap_usable(bitmap, err);
    if (rc < 0)
        return rc;
    bitmap->flags = enabled ? old | QCOW2_BITMAP_AUTO : old & ~QCOW2_BITMAP_AUTO;
    if (bitmap->flags != old)
        rc = qcow2_bitmaps_write_flags(q, err);
    if (rc < 0)
        bitmap->flags = old;
    qcow2_bitmaps_update(q);
    return rc;
}

/* Bits of this bitmap are about to be changed by name, enabled or not. */
static int begin_change(struct qcow2 *q, struct qcow2_bitmap *bitmap, img_error *err)
{
    int rc = check_list(q, err);

    if (rc == 0)
        rc = qcow2_bitmap_usable(bitmap, err);
    if (rc < 0)
        return rc;
    bitmap->marking = true;
    return qcow2_bitmaps_mark(q, err);
}

static int ops_clear(struct imgi_node *node, size_t n, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    int rc = begin_change(q, &q->bitmaps.bitmaps[n], err);

    return rc == 0 ? qcow2_bitmap_clear(q, &q->bitmaps.bitmaps[n], err) : rc;
}

static int ops_set(struct imgi_node *node, size_t n, uint64_t offset, uint64_t length,
                   img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    int rc = begin_change(q, &q->bitmaps.bitmaps[n], err);

    return rc == 0 ? qcow2_bitmap_set(q, &q->bitmaps.bitmaps[n], offset, length, err) : rc;
}

static int ops_run(struct imgi_node *node, size_t n, uint64_t offset, uint64_t length,
                   uint64_t *run, bool *dirty, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    struct qcow2_bitmap *bitmap = &q->bitmaps.bitmaps[n];
    int rc = qcow2_bitmap_usable(bitmap, err);

    return rc == 0 ? qcow2_bitmap_run(q, bitmap, offset, length, run, dirty, err) : rc;
}

const struct imgi_bitmap_ops qcow2_bitmap_ops = {
    .supported = ops_supported,
    .get = ops_get,
    .add = ops_add,
    .remove = ops_remove,
    .enable = ops_enable,
    .clear = ops_clear,
    .set = ops_set,
    .run = ops_run,
};
