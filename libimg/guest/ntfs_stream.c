/*
 * NTFS: what attributes hold. SPDX-License-Identifier: BSD-2-Clause
 *
 * An attribute that has many runs is in several parts, each in a record of its own; the file's
 * attribute list, itself an attribute, says in which.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ntfs.h"

/* An attribute, in bytes. */
#define NON_RESIDENT 8u
#define NAME_LENGTH 9u
#define NAME 10u
#define FLAGS 12u
#define COMPRESSED 0x00ffu
#define ENCRYPTED 0x4000u
/* One that is not resident. */
#define FIRST_CLUSTER 16u
#define RUNS 32u
#define UNIT 34u
#define SIZE 48u
#define VALID 56u
#define NON_RESIDENT_HEADER 64u

/* An entry of an attribute list, in bytes. */
#define LIST_LENGTH 4u
#define LIST_NAME_LENGTH 6u
#define LIST_NAME 7u
#define LIST_FIRST_CLUSTER 8u
#define LIST_RECORD 16u
#define LIST_ENTRY 26u
#define LIST_SIZE_MAX (256u << 10) /* Windows allows no more */

#define UNIT_MAX (1u << 20)
#define RECORD_NUMBER 0xffffffffffffull

static bool is_named(const uint8_t *name, size_t units, const char *wanted)
{
    for (size_t n = 0; n < units; n++) {
        if (wanted[n] == '\0' || imgi_get_le16(name + 2 * n) != (uint8_t)wanted[n])
            return false;
    }
    return wanted[units] == '\0';
}

static bool is_wanted(const struct imgi_ntfs_attribute *attribute, uint32_t type, const char *name)
{
    uint32_t at = imgi_get_le16(attribute->bytes + NAME);
    unsigned units = attribute->bytes[NAME_LENGTH];

    return attribute->type == type && imgi_span_ok(at, 2 * units, attribute->length) &&
           is_named(attribute->bytes + at, units, name);
}

static int broken(const char *what, img_error *err)
{
    return imgi_fail_errno(err, EIO, "%s", what);
}

/* --------------------------------------------------------------------- runs */

/* A number of 0 to 8 bytes with a sign. */
static int64_t get_number(const uint8_t *bytes, unsigned count)
{
    uint64_t value = count > 0 && bytes[count - 1] & 0x80 ? UINT64_MAX : 0;

    for (unsigned n = count; n-- > 0;)
        value = value << 8 | bytes[n];
    return (int64_t)value;
}

/* One run; *cluster is where the one before began. A hole has no place. */
static int add_run(const struct imgi_ntfs *ntfs, struct imgi_ntfs_stream *stream, int64_t count,
                   bool hole, uint64_t cluster, img_error *err)
{
    uint64_t length = (uint64_t)count * ntfs->cluster_size;

    if (count <= 0 || count > INT64_MAX / ntfs->cluster_size ||
        stream->runs.end > INT64_MAX - length)
        return broken("a run has no length that can be", err);
    if (hole)
        return imgi_runs_add(&stream->runs, length, IMGI_RUN_HOLE, 0, err);
    if (!imgi_span_ok(cluster, (uint64_t)count, ntfs->clusters))
        return broken("a run is not in the volume", err);
    stream->data_bytes += length;
    if (stream->data_bytes > ntfs->volume->info.size)
        return broken("its runs are more than the volume", err);
    return imgi_runs_add(&stream->runs, length, IMGI_RUN_DATA, cluster * ntfs->cluster_size, err);
}

/* Each run: a byte with two counts of bytes, then its length, then its distance to the last one. */
static int add_runs(const struct imgi_ntfs *ntfs, struct imgi_ntfs_stream *stream,
                    const struct imgi_ntfs_attribute *attribute, img_error *err)
{
    const uint8_t *bytes = attribute->bytes;
    uint32_t at = imgi_get_le16(bytes + RUNS);
    uint64_t cluster = 0;

    if (imgi_get_le64(bytes + FIRST_CLUSTER) != stream->runs.end / ntfs->cluster_size)
        return broken("a part of its runs is missing", err);
    while (at < attribute->length && bytes[at] != 0) {
        unsigned lengths = bytes[at] & 15, places = bytes[at] >> 4;
        int rc;

        if (lengths > 8 || places > 8 || attribute->length - at < 1 + lengths + places)
            return broken("its runs are broken", err);
        cluster += (uint64_t)get_number(bytes + at + 1 + lengths, places);
        rc = add_run(ntfs, stream, get_number(bytes + at + 1, lengths), places == 0, cluster, err);
        if (rc < 0)
            return rc;
        at += 1 + lengths + places;
    }
    return 0;
}

/* ------------------------------------------------------------------ streams */

static int take_resident(const struct imgi_ntfs_attribute *attribute,
                         struct imgi_ntfs_stream *stream, img_error *err)
{
    const uint8_t *value;
    uint32_t length;

    if (!imgi_ntfs_value(attribute, &value, &length))
        return broken("an attribute is broken", err);
    stream->resident = true;
    stream->value = malloc(length + 1u);
    if (!stream->value)
        return imgi_fail_nomem(err, "an attribute");
    memcpy(stream->value, value, length);
    stream->size = stream->valid = length;
    return 0;
}

/* The first part of an attribute has its sizes. */
static int take_sizes(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_attribute *attribute,
                      struct imgi_ntfs_stream *stream, img_error *err)
{
    unsigned flags = imgi_get_le16(attribute->bytes + FLAGS);
    unsigned unit = imgi_get_le16(attribute->bytes + UNIT);

    stream->size = imgi_get_le64(attribute->bytes + SIZE);
    stream->valid = IMGI_MIN(imgi_get_le64(attribute->bytes + VALID), stream->size);
    stream->encrypted = flags & ENCRYPTED;
    stream->compressed = flags & COMPRESSED && unit != 0;
    if (stream->size > INT64_MAX)
        return broken("an attribute has no size that can be", err);
    if (!stream->compressed)
        return 0;
    if (unit > 8 || (uint64_t)ntfs->cluster_size << unit > UNIT_MAX)
        return broken("a compressed file has units that cannot be", err);
    stream->unit = ntfs->cluster_size << unit;
    return 0;
}

/* One part, all of it or one that goes on. */
static int take(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_attribute *attribute,
                struct imgi_ntfs_stream *stream, img_error *err)
{
    bool first = stream->runs.end == 0;
    int rc = 0;

    if (!attribute->bytes[NON_RESIDENT])
        return first && !stream->resident ? take_resident(attribute, stream, err)
                                          : broken("an attribute is there twice", err);
    if (stream->resident)
        return broken("an attribute is in its record and in clusters", err);
    if (attribute->length < NON_RESIDENT_HEADER)
        return broken("an attribute is broken", err);
    if (first)
        rc = take_sizes(ntfs, attribute, stream, err);
    return rc < 0 ? rc : add_runs(ntfs, stream, attribute, err);
}

/* The part that begins at that cluster of the file, in a record of its own. */
static int take_part(const struct imgi_ntfs *ntfs, uint64_t number, uint32_t type, const char *name,
                     uint64_t first, struct imgi_ntfs_stream *stream, img_error *err)
{
    struct imgi_ntfs_attribute attribute = {0};
    struct imgi_ntfs_record record;
    int rc = imgi_ntfs_file_record(ntfs, number, &record, err);

    if (rc < 0)
        return rc;
    while (imgi_ntfs_next(&record, &attribute)) {
        if (is_wanted(&attribute, type, name) &&
            (!attribute.bytes[NON_RESIDENT] ||
             imgi_get_le64(attribute.bytes + FIRST_CLUSTER) == first))
            return take(ntfs, &attribute, stream, err);
    }
    return broken("a part of an attribute is missing", err);
}

/* Collect the parts that an attribute list names. */
static int take_listed(const struct imgi_ntfs *ntfs, const uint8_t *list, size_t size,
                       uint32_t type, const char *name, struct imgi_ntfs_stream *stream,
                       bool *found, img_error *err)
{
    uint32_t length;

    for (size_t at = 0; at + LIST_ENTRY <= size; at += length) {
        const uint8_t *entry = list + at;
        unsigned units = entry[LIST_NAME_LENGTH];
        int rc;

        length = imgi_get_le16(entry + LIST_LENGTH);
        if (length < LIST_ENTRY || length > size - at ||
            !imgi_span_ok(entry[LIST_NAME], 2 * units, length))
            return broken("an attribute list is broken", err);
        if (imgi_get_le32(entry) != type || !is_named(entry + entry[LIST_NAME], units, name))
            continue;
        *found = true;
        rc = take_part(ntfs, imgi_get_le64(entry + LIST_RECORD) & RECORD_NUMBER, type, name,
                       imgi_get_le64(entry + LIST_FIRST_CLUSTER), stream, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The list may have clusters too, but is no part of itself. */
static int follow_list(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_attribute *attribute,
                       uint32_t type, const char *name, struct imgi_ntfs_stream *stream,
                       bool *found, img_error *err)
{
    struct imgi_ntfs_stream list = {0};
    uint8_t *bytes = NULL;
    int rc = take(ntfs, attribute, &list, err);

    if (rc == 0 && list.size > LIST_SIZE_MAX)
        rc = broken("an attribute list is too long", err);
    if (rc == 0 && !(bytes = malloc((size_t)list.size + 1)))
        rc = imgi_fail_nomem(err, "an attribute list");
    if (rc == 0)
        rc = imgi_ntfs_stream_read(ntfs, &list, 0, bytes, (size_t)list.size, err);
    if (rc == 0)
        rc = take_listed(ntfs, bytes, (size_t)list.size, type, name, stream, found, err);
    free(bytes);
    imgi_ntfs_stream_free(&list);
    return rc;
}

int imgi_ntfs_stream_open(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                          uint32_t type, const char *name, struct imgi_ntfs_stream *stream,
                          bool *found, img_error *err)
{
    struct imgi_ntfs_attribute attribute = {0};
    bool listed = ntfs->mft_size > 0; /* or else, what a list names is not to be had yet */
    int rc = 0;

    *stream = (struct imgi_ntfs_stream){0};
    *found = false;
    while (listed && imgi_ntfs_next(record, &attribute)) {
        if (attribute.type != IMGI_NTFS_ATTRIBUTE_LIST)
            continue;
        rc = follow_list(ntfs, &attribute, type, name, stream, found, err);
        if (rc < 0)
            imgi_error_prefix(err, "inode %" PRIu64, record->number);
        return rc;
    }
    attribute = (struct imgi_ntfs_attribute){0};
    while (!*found && imgi_ntfs_next(record, &attribute)) {
        if (!is_wanted(&attribute, type, name))
            continue;
        *found = true;
        rc = take(ntfs, &attribute, stream, err);
        if (rc < 0)
            imgi_error_prefix(err, "inode %" PRIu64, record->number);
    }
    return rc;
}

int imgi_ntfs_resident_read(const struct imgi_ntfs_stream *stream, uint64_t offset, void *buffer,
                            size_t length, img_error *err)
{
    if (!imgi_span_ok(offset, length, stream->size))
        return imgi_fail_errno(err, EIO, "its bytes end at byte %" PRIu64, stream->size);
    memcpy(buffer, stream->value + offset, length);
    return 0;
}

int imgi_ntfs_stream_read(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_stream *stream,
                          uint64_t offset, void *buffer, size_t length, img_error *err)
{
    size_t valid = (size_t)IMGI_MIN(length, offset < stream->valid ? stream->valid - offset : 0);

    if (stream->resident)
        return imgi_ntfs_resident_read(stream, offset, buffer, length, err);
    memset((uint8_t *)buffer + valid, 0, length - valid);
    return valid == 0 ? 0 : imgi_runs_read(&stream->runs, ntfs->volume, offset, buffer, valid, err);
}

void imgi_ntfs_stream_free(struct imgi_ntfs_stream *stream)
{
    free(stream->value);
    imgi_runs_free(&stream->runs);
    *stream = (struct imgi_ntfs_stream){0};
}
