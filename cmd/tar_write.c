/*
 * Writing a tar archive: POSIX.1-2017, pax, "pax Interchange Format"; GNU tar's manual, "Sparse
 * Formats". SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tar.h"

#define NAME_MAX_BYTES 100u
#define NUMBER_7_MAX 07777777ull      /* of eight bytes */
#define NUMBER_11_MAX 077777777777ull /* of twelve */
#define RECORD_NAME "PaxHeaders/records"

/* Offsets in a header. */
enum {
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_LINK = 157,
    AT_MAGIC = 257,
    AT_MAJOR = 329,
    AT_MINOR = 337
};

/* ----------------------------------------------------------------- records */

bool tar_record(struct tar_records *records, const char *keyword, const void *value, size_t length)
{
    size_t rest = strlen(keyword) + length + 3, total = rest + 1; /* blank, '=', line feed */
    char digits[24], *text;

    /* The length counts its own digits. */
    while ((size_t)snprintf(digits, sizeof(digits), "%zu", total) + rest != total)
        total = strlen(digits) + rest;
    text = realloc(records->text, records->length + total + 1);
    if (!text)
        return false;
    records->text = text;
    text += records->length;
    text += sprintf(text, "%zu %s=", total, keyword);
    if (length)
        memcpy(text, value, length);
    text[length] = '\n';
    records->length += total;
    return true;
}

static bool text_record(struct tar_records *records, const char *keyword, const char *text)
{
    return tar_record(records, keyword, text, strlen(text));
}

static bool number_record(struct tar_records *records, const char *keyword, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, number);
    return text_record(records, keyword, text);
}

/* Seconds with their fraction, which counts on from the next lower whole second. */
static bool time_record(struct tar_records *records, int64_t seconds, uint32_t nanoseconds)
{
    char text[40];

    if (seconds < 0 && nanoseconds > 0)
        snprintf(text, sizeof(text), "-%" PRId64 ".%09" PRIu32, -(seconds + 1),
                 UINT32_C(1000000000) - nanoseconds);
    else
        snprintf(text, sizeof(text), "%" PRId64 ".%09" PRIu32, seconds, nanoseconds);
    return text_record(records, "mtime", text);
}

/* What the header has no room for. */
static bool add_records(struct tar_records *records, const struct tar_member *member,
                        uint64_t stored)
{
    bool ok = true;

    if (strlen(member->name) > NAME_MAX_BYTES && !member->runs)
        ok = text_record(records, "path", member->name);
    if (ok && member->link && strlen(member->link) > NAME_MAX_BYTES)
        ok = text_record(records, "linkpath", member->link);
    if (ok && stored > NUMBER_11_MAX)
        ok = number_record(records, "size", stored);
    if (ok && member->uid > NUMBER_7_MAX)
        ok = number_record(records, "uid", member->uid);
    if (ok && member->gid > NUMBER_7_MAX)
        ok = number_record(records, "gid", member->gid);
    if (ok && (member->mtime_nsec || member->mtime < 0 || member->mtime > (int64_t)NUMBER_11_MAX))
        ok = time_record(records, member->mtime, member->mtime_nsec);
    if (ok && member->runs)
        ok = text_record(records, "GNU.sparse.major", "1") &&
             text_record(records, "GNU.sparse.minor", "0") &&
             text_record(records, "GNU.sparse.name", member->name) &&
             number_record(records, "GNU.sparse.realsize", member->size);
    return ok;
}

/* ----------------------------------------------------------------- headers */

/* In octal, or all of what there is room for: a record has the number then. */
static void put_number(char *header, size_t at, size_t width, uint64_t number)
{
    uint64_t most = (UINT64_C(1) << (3 * (width - 1))) - 1;
    char digits[24];

    snprintf(digits, sizeof(digits), "%0*" PRIo64, (int)width - 1, number < most ? number : most);
    memcpy(header + at, digits, width);
}

static void put_text(char *header, size_t at, const char *text)
{
    size_t length = strnlen(text, NAME_MAX_BYTES);

    memcpy(header + at, text, length);
}

static bool write_header(FILE *out, const struct tar_member *member, uint64_t stored)
{
    char header[TAR_BLOCK] = {0};
    unsigned sum = 0;

    put_text(header, AT_NAME, member->name);
    put_number(header, AT_MODE, 8, member->mode & 07777);
    put_number(header, AT_UID, 8, member->uid);
    put_number(header, AT_GID, 8, member->gid);
    put_number(header, AT_SIZE, 12, stored);
    put_number(header, AT_MTIME, 12, member->mtime > 0 ? (uint64_t)member->mtime : 0);
    header[AT_TYPE] = member->type;
    put_text(header, AT_LINK, member->link ? member->link : "");
    memcpy(header + AT_MAGIC,
           "ustar\0"
           "00",
           8);
    put_number(header, AT_MAJOR, 8, member->major);
    put_number(header, AT_MINOR, 8, member->minor);
    memset(header + AT_SUM, ' ', 8);
    for (size_t n = 0; n < TAR_BLOCK; n++)
        sum += (unsigned char)header[n];
    put_number(header, AT_SUM, 7, sum);
    return fwrite(header, TAR_BLOCK, 1, out) == 1;
}

static bool write_records(FILE *out, const struct tar_records *records)
{
    const struct tar_member member = {.name = RECORD_NAME, .type = 'x', .mode = 0644};

    return records->length == 0 ||
           (write_header(out, &member, records->length) &&
            fwrite(records->text, 1, records->length, out) == records->length &&
            tar_pad(out, records->length));
}

/* ------------------------------------------------------------------- holes */

/* The list of runs, in decimal lines. A hole at the end is told by an empty run behind it. */
static char *list_runs(const struct tar_member *member, size_t *length)
{
    size_t count = member->run_count;
    const struct tar_run *last = count ? &member->runs[count - 1] : NULL;
    bool end = !last || last->offset + last->length < member->size;
    char *text = NULL;
    FILE *list = open_memstream(&text, length);

    if (!list)
        return NULL;
    fprintf(list, "%zu\n", count + end);
    for (size_t n = 0; n < count; n++)
        fprintf(list, "%" PRIu64 "\n%" PRIu64 "\n", member->runs[n].offset, member->runs[n].length);
    if (end)
        fprintf(list, "%" PRIu64 "\n0\n", member->size);
    if (fclose(list) == 0)
        return text;
    free(text);
    return NULL;
}

static uint64_t whole_blocks(uint64_t size)
{
    return (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static bool begin_sparse(FILE *out, const struct tar_member *member, struct tar_records *records)
{
    uint64_t stored;
    size_t length;
    char *list = list_runs(member, &length);
    bool ok;

    if (!list)
        return false;
    stored = whole_blocks(length);
    for (size_t n = 0; n < member->run_count; n++)
        stored += member->runs[n].length;
    ok = add_records(records, member, stored) && write_records(out, records) &&
         write_header(out, member, stored) && fwrite(list, 1, length, out) == length &&
         tar_pad(out, length);
    free(list);
    return ok;
}

/* ---------------------------------------------------------------- members */

bool tar_begin(FILE *out, const struct tar_member *member, struct tar_records *records)
{
    uint64_t stored = member->type == '0' ? member->size : 0;

    if (member->runs)
        return begin_sparse(out, member, records);
    return add_records(records, member, stored) && write_records(out, records) &&
           write_header(out, member, stored);
}

bool tar_pad(FILE *out, uint64_t size)
{
    static const char zeros[TAR_BLOCK];
    size_t length = (size_t)(whole_blocks(size) - size);

    return fwrite(zeros, 1, length, out) == length;
}

bool tar_end(FILE *out)
{
    static const char zeros[2 * TAR_BLOCK];

    return fwrite(zeros, sizeof(zeros), 1, out) == 1;
}
