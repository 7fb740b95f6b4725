/*
 * Persistent dirty bitmaps: what the directory says of them.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, sections "Bitmaps extension" and "Bitmaps". The directory is trusted only
 * while autoclear bit 0 stands; otherwise somebody wrote to the image who did not know of
 * bitmaps.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "qcow2.h"

#define RECORD_MAX (QCOW2_BITMAP_FIXED + 1023)

static int decode_record(const uint8_t *record, uint64_t room, struct qcow2_bitmap *bitmap,
                         uint64_t *length, img_error *err)
{
    uint32_t extra;
    uint16_t name;

    if (room < QCOW2_BITMAP_FIXED)
        return imgi_fail(err, IMG_E_CORRUPT, "the bitmap directory is cut short");
    extra = imgi_get_be32(record + QCOW2_BITMAP_EXTRA_LENGTH);
    name = imgi_get_be16(record + QCOW2_BITMAP_NAME_LENGTH);
    *length = imgi_align_up(QCOW2_BITMAP_FIXED + (uint64_t)extra + name, 8);
    if (*length > imgi_align_up(RECORD_MAX, 8) || *length > room)
        return imgi_fail(err, IMG_E_CORRUPT, "a bitmap directory entry of %" PRIu64 " bytes",
                         *length);
    *bitmap = (struct qcow2_bitmap){
        .table_offset = imgi_get_be64(record + QCOW2_BITMAP_TABLE_OFFSET),
        .table_entries = imgi_get_be32(record + QCOW2_BITMAP_TABLE_ENTRIES),
        .flags = imgi_get_be32(record + QCOW2_BITMAP_FLAGS),
        .granularity_bits = record[QCOW2_BITMAP_GRANULARITY],
        .name = strndup((const char *)record + QCOW2_BITMAP_FIXED + extra, name),
    };
    if (!bitmap->name)
        return imgi_fail_nomem(err, "the bitmap directory");
    if (bitmap->table_entries > QCOW2_BITMAP_TABLE_ENTRIES_MAX || bitmap->granularity_bits < 9 ||
        bitmap->granularity_bits > 31)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "a bitmap with %" PRIu32 " table entries and a granularity of 2^%u bytes",
                         bitmap->table_entries, bitmap->granularity_bits);
    return 0;
}

static int read_directory(struct qcow2 *q, const struct qcow2_bitmap_list *list,
                          uint8_t **directory, img_error *err)
{
    struct imgi_table table = {.what = "bitmap directory",
                               .offset = list->directory_offset,
                               .entries = list->directory_bytes,
                               .entry_size = 1,
                               .alignment = q->cluster_size};
    int rc = imgi_io_size(q->node->file, &table.file_size, err);

    *directory = NULL;
    if (rc == 0 && list->directory_bytes > QCOW2_BITMAP_DIRECTORY_BYTES_MAX)
        rc = imgi_fail(err, IMG_E_LIMIT, "a bitmap directory of %" PRIu64 " bytes",
                       list->directory_bytes);
    if (rc == 0)
        rc = imgi_policy_table(q->node->policy, &table, err);
    if (rc < 0)
        return rc;
    *directory = malloc((size_t)list->directory_bytes + 1);
    if (!*directory)
        return imgi_fail_nomem(err, "the bitmap directory");
    return imgi_io_read(q->node->file, *directory, (size_t)list->directory_bytes,
                        list->directory_offset, err);
}

int qcow2_bitmaps_load(struct qcow2 *q, struct qcow2_bitmap_list *list, img_error *err)
{
    struct qcow2_bitmaps place;
    uint8_t *directory = NULL;
    uint64_t at = 0, length = 0;
    int rc;

    *list = (struct qcow2_bitmap_list){0};
    if (!(q->header.autoclear & QCOW2_AUTOCLEAR_BITMAPS) || !qcow2_bitmaps_find(&q->header, &place))
        return 0;
    if (place.count > QCOW2_BITMAPS_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "%" PRIu32 " bitmaps", place.count);
    list->directory_offset = place.directory_offset;
    list->directory_bytes = place.directory_bytes;
    rc = read_directory(q, list, &directory, err);
    if (rc == 0) {
        list->bitmaps = calloc(place.count + 1, sizeof(*list->bitmaps));
        if (!list->bitmaps)
            rc = imgi_fail_nomem(err, "the bitmap directory");
    }
    while (rc == 0 && list->count < place.count) {
        rc = decode_record(directory + at, place.directory_bytes - at,
                           &list->bitmaps[list->count++], &length, err);
        at += length;
    }
    free(directory);
    if (rc < 0)
        qcow2_bitmaps_free(list);
    return rc;
}

void qcow2_bitmaps_free(struct qcow2_bitmap_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->bitmaps[i].name);
    free(list->bitmaps);
    *list = (struct qcow2_bitmap_list){0};
}
