/*
 * Finding the members of a tar archive. SPDX-License-Identifier: BSD-2-Clause
 *
 * One walk from header to header. What stands in a member's own header can be overruled by the
 * members before it that are about it: a GNU long name, pax records.
 */
#include <stdlib.h>
#include <string.h>

#include "../util/checked.h"
#include "../util/iszero.h"
#include "tar.h"

/* pax records are short texts; a GNU long name is one. */
#define ABOUT_MAX (64u << 10)

/* The walk. */
struct reader {
    struct imgi_io *io;
    struct imgi_tar *tar;
    uint64_t file_size, at; /* at: of the header that is being read */

    /* Said of the next member. */
    char *name; /* NULL: its header knows */
    bool has_size;
    uint64_t size;
};

void imgi_tar_clear(struct imgi_tar *tar)
{
    for (size_t i = 0; i < tar->count; i++)
        free(tar->list[i].name);
    free(tar->list);
    free(tar->by_name);
    *tar = (struct imgi_tar){0};
}

static int compare_name(const void *name, const void *member)
{
    return strcmp(name, (*(const struct imgi_tar_member *const *)member)->name);
}

static int compare_members(const void *a, const void *b)
{
    return compare_name((*(const struct imgi_tar_member *const *)a)->name, b);
}

const struct imgi_tar_member *imgi_tar_find(const struct imgi_tar *tar, const char *name)
{
    const struct imgi_tar_member **found =
        tar->count ? bsearch(name, tar->by_name, tar->count, sizeof(*found), compare_name) : NULL;

    return found ? *found : NULL;
}

/* All members are known. */
static int sort(struct imgi_tar *tar, img_error *err)
{
    tar->by_name = calloc(tar->count + 1, sizeof(*tar->by_name));
    if (!tar->by_name)
        return imgi_fail_nomem(err, "the members of an archive");
    for (size_t i = 0; i < tar->count; i++)
        tar->by_name[i] = &tar->list[i];
    qsort(tar->by_name, tar->count, sizeof(*tar->by_name), compare_members);
    return 0;
}

/* ------------------------------------------------------------------ names */

static bool leads_upwards(const char *name)
{
    for (;;) {
        size_t length = strcspn(name, "/");

        if (length == 2 && name[0] == '.' && name[1] == '.')
            return true;
        if (name[length] == '\0')
            return false;
        name += length + 1;
    }
}

const char *imgi_tar_plain_name(const char *name, img_error *err)
{
    const char *plain = name;

    while (plain[0] == '.' && plain[1] == '/')
        plain += 2;
    for (const char *at = plain; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            imgi_fail(err, IMG_E_DENIED, "the name '%s' holds control characters", name);
            return NULL;
        }
    }
    if (plain[0] == '/' || leads_upwards(plain)) {
        imgi_fail(err, IMG_E_DENIED, "the name '%s' leads out of the appliance", name);
        return NULL;
    }
    return plain;
}

/* ---------------------------------------------------------------- members */

static bool is_there(const struct imgi_tar *tar, const char *name)
{
    for (size_t i = 0; i < tar->count; i++) {
        if (strcmp(tar->list[i].name, name) == 0)
            return true;
    }
    return false;
}

static int add(struct reader *reader, const char *name, uint64_t offset, uint64_t size,
               img_error *err)
{
    struct imgi_tar *tar = reader->tar;
    const char *plain = imgi_tar_plain_name(name, err);
    struct imgi_tar_member *list;

    if (!plain)
        return IMG_E_DENIED;
    if (plain[0] == '\0')
        return imgi_fail(err, IMG_E_CORRUPT, "the name is empty");
    if (is_there(tar, plain))
        return imgi_fail(err, IMG_E_CORRUPT, "there is another member of the name '%s'", plain);
    if (tar->count == IMGI_TAR_MEMBERS_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "there are more than %u members", IMGI_TAR_MEMBERS_MAX);
    list = realloc(tar->list, (tar->count + 1) * sizeof(*list));
    if (!list)
        return imgi_fail_nomem(err, "the members of an archive");
    tar->list = list;
    list[tar->count] =
        (struct imgi_tar_member){.name = strdup(plain), .offset = offset, .size = size};
    if (!list[tar->count].name)
        return imgi_fail_nomem(err, "the members of an archive");
    tar->count++;
    return 0;
}

/* The member that this header is of, with what was said of it before. */
static int take_member(struct reader *reader, const struct imgi_tar_header *header, uint64_t offset,
                       uint64_t size, img_error *err)
{
    const char *name = reader->name ? reader->name : header->name;
    int rc = 0;

    if (header->type == IMGI_TAR_FILE)
        rc = add(reader, name, offset, size, err);
    else if (header->type != IMGI_TAR_DIRECTORY)
        rc = imgi_fail(err, IMG_E_DENIED,
                       "'%s' is no plain file (type '%c'): a link, a device, or of a kind that no "
                       "appliance has",
                       name, header->type >= 0x20 && header->type < 0x7f ? header->type : '?');
    free(reader->name);
    reader->name = NULL;
    reader->has_size = false;
    return rc;
}

/* ------------------------------------------------- what is about a member */

static int take_name(struct reader *reader, const char *text, size_t length, img_error *err)
{
    length = strnlen(text, length);
    if (length > IMGI_TAR_NAME_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "the name has more than %u bytes", IMGI_TAR_NAME_MAX);
    free(reader->name);
    reader->name = strndup(text, length);
    return reader->name ? 0 : imgi_fail_nomem(err, "the members of an archive");
}

/* A decimal number up to a character that is none; false when there is none, or it is too large. */
static bool take_decimal(const char **text, const char *end, uint64_t *number)
{
    const char *begin = *text;

    for (*number = 0; *text < end && **text >= '0' && **text <= '9'; (*text)++) {
        if (!imgi_mul(*number, 10, number) || !imgi_add(*number, (uint64_t)(**text - '0'), number))
            return false;
    }
    return *text > begin;
}

/* "key=value", without its length and line feed. */
static int take_record(struct reader *reader, const char *record, size_t length, img_error *err)
{
    const char *end = record + length, *value = memchr(record, '=', length);

    if (!value)
        return imgi_fail(err, IMG_E_CORRUPT, "pax record without '='");
    length = (size_t)(value++ - record);
    if (length == 4 && memcmp(record, "path", 4) == 0)
        return take_name(reader, value, (size_t)(end - value), err);
    if (length >= 10 && memcmp(record, "GNU.sparse", 10) == 0)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "a member is stored sparse (pax GNU.sparse)");
    if (length == 4 && memcmp(record, "size", 4) == 0) {
        if (!take_decimal(&value, end, &reader->size) || value != end)
            return imgi_fail(err, IMG_E_CORRUPT, "pax record 'size': not a number");
        reader->has_size = true;
    }
    return 0;
}

/* Records, each "LENGTH key=value\n" where the length is that of all this (POSIX.1-2001). */
static int take_records(struct reader *reader, const char *text, size_t length, img_error *err)
{
    const char *end = text + length;
    int rc = 0;

    while (rc == 0 && text < end && *text) {
        const char *record = text;
        uint64_t size;

        if (!take_decimal(&record, end, &size) || record == end || *record != ' ' ||
            size > (uint64_t)(end - text) || text + size < record + 2 || text[size - 1] != '\n')
            return imgi_fail(err, IMG_E_CORRUPT, "pax record: its length is wrong");
        record++;
        rc = take_record(reader, record, (size_t)(text + size - 1 - record), err);
        text += size;
    }
    return rc;
}

static int take_about(struct reader *reader, const struct imgi_tar_header *header, uint64_t offset,
                      img_error *err)
{
    char *text;
    int rc;

    if (header->size > ABOUT_MAX)
        return imgi_fail(err, IMG_E_LIMIT, "%llu bytes of type '%c' are over the limit of %u",
                         (unsigned long long)header->size, header->type, ABOUT_MAX);
    text = malloc((size_t)header->size + 1);
    if (!text)
        return imgi_fail_nomem(err, "the members of an archive");
    text[header->size] = '\0';
    rc = imgi_io_read(reader->io, text, (size_t)header->size, offset, err);
    if (rc == 0 && header->type == IMGI_TAR_PAX)
        rc = take_records(reader, text, (size_t)header->size, err);
    else if (rc == 0 && header->type == IMGI_TAR_GNU_NAME)
        rc = take_name(reader, text, (size_t)header->size, err);
    free(text);
    return rc;
}

/* ------------------------------------------------------------------- walk */

/* A link has a size in some archives, and no bytes behind its header. */
static bool has_bytes(char type)
{
    return type < '1' || type > '6';
}

static int take_header(struct reader *reader, const struct imgi_tar_header *header, img_error *err)
{
    bool about = header->type == IMGI_TAR_PAX || header->type == IMGI_TAR_PAX_GLOBAL ||
                 header->type == IMGI_TAR_GNU_NAME;
    uint64_t offset = reader->at + IMGI_TAR_BLOCK;
    uint64_t size = reader->has_size && !about ? reader->size : header->size;
    int rc;

    if (!has_bytes(header->type))
        size = 0;
    if (!imgi_span_ok(offset, size, reader->file_size))
        return imgi_fail(err, IMG_E_CORRUPT, "size: %llu bytes end past the end of the file (%llu)",
                         (unsigned long long)size, (unsigned long long)reader->file_size);
    rc = about ? take_about(reader, header, offset, err)
               : take_member(reader, header, offset, size, err);
    reader->at = offset + imgi_align_up(size, IMGI_TAR_BLOCK);
    return rc;
}

/* The header at reader->at. *more is false at the archive's end: a block of zeros, or nothing. */
static int step(struct reader *reader, bool *more, img_error *err)
{
    uint8_t block[IMGI_TAR_BLOCK];
    struct imgi_tar_header header;
    int rc;

    *more = false;
    /* The last member's padding may be missing. */
    if (reader->at >= reader->file_size)
        return 0;
    if (!imgi_span_ok(reader->at, sizeof(block), reader->file_size))
        return imgi_fail(err, IMG_E_CORRUPT, "the file ends inside of it");
    rc = imgi_io_read(reader->io, block, sizeof(block), reader->at, err);
    if (rc < 0 || imgi_is_zero(block, sizeof(block)))
        return rc;
    *more = true;
    rc = imgi_tar_decode(block, &header, err);
    return rc == 0 ? take_header(reader, &header, err) : rc;
}

int imgi_tar_read(struct imgi_tar *tar, struct imgi_io *io, img_error *err)
{
    struct reader reader = {.io = io, .tar = tar};
    bool more = true;
    int rc = imgi_io_size(io, &reader.file_size, err);

    *tar = (struct imgi_tar){0};
    while (rc == 0 && more) {
        uint64_t at = reader.at;

        rc = step(&reader, &more, err);
        if (rc < 0)
            imgi_error_prefix(err, "tar header at 0x%llx", (unsigned long long)at);
    }
    free(reader.name);
    if (rc == 0)
        rc = sort(tar, err);
    if (rc < 0)
        imgi_tar_clear(tar);
    return rc;
}
