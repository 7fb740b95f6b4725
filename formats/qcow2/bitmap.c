/*
 * Persistent dirty bitmaps: the directory. SPDX-License-Identifier: BSD-2-Clause
 *
 * qcow2 specification, sections "Bitmaps extension" and "Bitmaps". The directory is trusted only
 * while autoclear bit 0 stands; otherwise somebody wrote to the image who did not know of
 * bitmaps. A directory that breaks a rule is refused as a whole: nobody could tell what its other
 * records are worth.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "bitmap.h"

#define TYPE_DIRTY 1 /* the only type there is: "dirty tracking bitmap" */
#define FLAGS_KNOWN (QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO | QCOW2_BITMAP_EXTRA_COMPATIBLE)

uint64_t qcow2_bitmap_entries(const struct qcow2 *q, unsigned granularity_bits, uint64_t size)
{
    uint64_t bits = imgi_div_up(size, UINT64_C(1) << granularity_bits);

    return qcow2_clusters(q, imgi_div_up(bits, 8));
}

static uint64_t record_bytes(const struct qcow2_bitmap *bitmap)
{
    return imgi_align_up(QCOW2_BITMAP_FIXED + (uint64_t)strlen(bitmap->name), 8);
}

/* The rules for one record that has been read. A bitmap in use may be of another disk size. */
static int check_record(const struct qcow2 *q, const struct qcow2_bitmap *bitmap, uint8_t type,
                        img_error *err)
{
    uint64_t bytes = (uint64_t)bitmap->table_entries * QCOW2_ENTRY_BYTES;
    bool in_use = bitmap->flags & QCOW2_BITMAP_IN_USE;

    if (type != TYPE_DIRTY || bitmap->flags & ~FLAGS_KNOWN || bitmap->name[0] == '\0' ||
        bitmap->granularity_bits < QCOW2_BITMAP_GRANULARITY_MIN ||
        bitmap->granularity_bits > QCOW2_BITMAP_GRANULARITY_MAX || bitmap->table_entries == 0 ||
        bitmap->table_entries > QCOW2_BITMAP_TABLE_ENTRIES_MAX || bitmap->table_offset == 0 ||
        bitmap->table_offset % q->cluster_size != 0 ||
        !imgi_span_ok(bitmap->table_offset, bytes, QCOW2_OFFSET_MAX))
        return imgi_fail(err, IMG_E_CORRUPT, "Bitmap '%s' doesn't satisfy the constraints",
                         bitmap->name);
    if (!in_use &&
        bitmap->table_entries != qcow2_bitmap_entries(q, bitmap->granularity_bits, q->header.size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "Could not read bitmap '%s' from image: a table of %" PRIu32
                         " entries does not fit a disk of %" PRIu64 " bytes",
                         bitmap->name, bitmap->table_entries, q->header.size);
    return 0;
}

/* Decode the record at the start of `room` bytes; *length: how many of them it has. */
static int decode_record(const struct qcow2 *q, const uint8_t *record, uint64_t room,
                         struct qcow2_bitmap *bitmap, uint64_t *length, img_error *err)
{
    uint64_t name;

    if (room < QCOW2_BITMAP_FIXED)
        return imgi_fail(err, IMG_E_CORRUPT, "Broken bitmap directory: it is cut short");
    if (imgi_get_be32(record + QCOW2_BITMAP_EXTRA_LENGTH) != 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Bitmap extra data is not supported");
    name = imgi_get_be16(record + QCOW2_BITMAP_NAME_LENGTH);
    *length = imgi_align_up(QCOW2_BITMAP_FIXED + name, 8);
    if (name > QCOW2_BITMAP_NAME_MAX || *length > room)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "Broken bitmap directory: a record of %" PRIu64 " bytes", *length);
    if (memchr(record + QCOW2_BITMAP_FIXED, '\0', (size_t)name))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "Broken bitmap directory: a name with a NUL byte in it");
    *bitmap = (struct qcow2_bitmap){
        .table_offset = imgi_get_be64(record + QCOW2_BITMAP_TABLE_OFFSET),
        .table_entries = imgi_get_be32(record + QCOW2_BITMAP_TABLE_ENTRIES),
        .flags = imgi_get_be32(record + QCOW2_BITMAP_FLAGS),
        .granularity_bits = record[QCOW2_BITMAP_GRANULARITY],
        .name = strndup((const char *)record + QCOW2_BITMAP_FIXED, (size_t)name),
    };
    if (!bitmap->name)
        return imgi_fail_nomem(err, "the bitmap directory");
    return check_record(q, bitmap, record[QCOW2_BITMAP_TYPE], err);
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

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names are unique. There may be 65535 of them, so they are sorted. */
static int check_names(const struct qcow2_bitmap_list *list, img_error *err)
{
    const char **names = calloc(list->count + 1, sizeof(*names));
    int rc = 0;

    if (!names)
        return imgi_fail_nomem(err, "the bitmap directory");
    for (size_t i = 0; i < list->count; i++)
        names[i] = list->bitmaps[i].name;
    qsort(names, list->count, sizeof(*names), by_name);
    for (size_t i = 1; rc == 0 && i < list->count; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            rc = imgi_fail(err, IMG_E_CORRUPT, "Broken bitmap directory: two bitmaps named '%s'",
                           names[i]);
    }
    free(names);
    return rc;
}

static int decode_directory(const struct qcow2 *q, const uint8_t *directory, uint32_t count,
                            struct qcow2_bitmap_list *list, img_error *err)
{
    uint64_t at = 0, length = 0;
    int rc = 0;

    /* A record has more bytes than this; count is not trusted before they have been seen. */
    if (count > list->directory_bytes / QCOW2_BITMAP_FIXED)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "Less bitmaps found than specified in header extension");
    list->bitmaps = calloc((size_t)count, sizeof(*list->bitmaps));
    if (!list->bitmaps)
        return imgi_fail_nomem(err, "the bitmap directory");
    while (rc == 0 && list->count < count && at < list->directory_bytes) {
        rc = decode_record(q, directory + at, list->directory_bytes - at,
                           &list->bitmaps[list->count++], &length, err);
        at += length;
    }
    if (rc == 0 && list->count < count)
        rc = imgi_fail(err, IMG_E_CORRUPT, "Less bitmaps found than specified in header extension");
    if (rc == 0 && at < list->directory_bytes)
        rc = imgi_fail(err, IMG_E_CORRUPT, "More bitmaps found than specified in header extension");
    return rc == 0 ? check_names(list, err) : rc;
}

int qcow2_bitmaps_load(struct qcow2 *q, struct qcow2_bitmap_list *list, img_error *err)
{
    struct qcow2_bitmaps place;
    uint8_t *directory = NULL;
    int rc;

    *list = (struct qcow2_bitmap_list){0};
    if (!(q->header.autoclear & QCOW2_AUTOCLEAR_BITMAPS) || !qcow2_bitmaps_find(&q->header, &place))
        return 0;
    if (place.count == 0)
        return imgi_fail(err, IMG_E_CORRUPT, "found bitmaps extension with zero bitmaps");
    if (place.count > QCOW2_BITMAPS_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "bitmaps extension with too many bitmaps: %" PRIu32,
                         place.count);
    list->directory_offset = place.directory_offset;
    list->directory_bytes = place.directory_bytes;
    rc = read_directory(q, list, &directory, err);
    if (rc == 0)
        rc = decode_directory(q, directory, place.count, list, err);
    free(directory);
    if (rc < 0)
        qcow2_bitmaps_free(list);
    return rc;
}

void qcow2_bitmap_free(struct qcow2_bitmap *bitmap)
{
    qcow2_table_free(&bitmap->table);
    free(bitmap->name);
    *bitmap = (struct qcow2_bitmap){0};
}

void qcow2_bitmaps_free(struct qcow2_bitmap_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        qcow2_bitmap_free(&list->bitmaps[i]);
    free(list->bitmaps);
    *list = (struct qcow2_bitmap_list){0};
}

uint64_t qcow2_bitmaps_bytes(const struct qcow2_bitmap_list *list)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < list->count; i++)
        bytes += record_bytes(&list->bitmaps[i]);
    return bytes;
}

void qcow2_bitmaps_encode(const struct qcow2_bitmap_list *list, uint8_t *to)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct qcow2_bitmap *bitmap = &list->bitmaps[i];
        size_t name = strlen(bitmap->name), bytes = (size_t)record_bytes(bitmap);

        memset(to, 0, bytes);
        imgi_put_be64(to + QCOW2_BITMAP_TABLE_OFFSET, bitmap->table_offset);
        imgi_put_be32(to + QCOW2_BITMAP_TABLE_ENTRIES, bitmap->table_entries);
        imgi_put_be32(to + QCOW2_BITMAP_FLAGS,
                      bitmap->flags | ((bitmap->marked && !bitmap->unmarking) || bitmap->marking
                                           ? QCOW2_BITMAP_IN_USE
                                           : 0));
        to[QCOW2_BITMAP_TYPE] = TYPE_DIRTY;
        to[QCOW2_BITMAP_GRANULARITY] = (uint8_t)bitmap->granularity_bits;
        imgi_put_be16(to + QCOW2_BITMAP_NAME_LENGTH, (uint16_t)name);
        memcpy(to + QCOW2_BITMAP_FIXED, bitmap->name, name);
        to += bytes;
    }
}
