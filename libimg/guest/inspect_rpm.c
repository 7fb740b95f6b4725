/*
 * Inspection: packages of rpm. SPDX-License-Identifier: BSD-2-Clause
 *
 * Whatever the database, it has a header of each package, as rpm's package files have it but for
 * the magic: big endian, the number of index entries and of bytes of data, the entries (tag, type,
 * place in the data, count), the data.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util/text.h"
#include "inspect_rpm.h"

/* ---------------------------------------------------------------- headers */

#define HEAD 8u
#define ENTRY 16u
#define ENTRIES_MAX 65536u

enum { TYPE_INT32 = 4, TYPE_STRING = 6, TYPE_I18N = 9 };

enum {
    TAG_NAME = 1000,
    TAG_VERSION = 1001,
    TAG_RELEASE = 1002,
    TAG_EPOCH = 1003,
    TAG_SUMMARY = 1004,
    TAG_DESCRIPTION = 1005,
    TAG_URL = 1020,
    TAG_ARCH = 1022
};

static const struct {
    uint32_t tag;
    size_t offset;
} strings[] = {
    {TAG_NAME, offsetof(struct imgi_package, name)},
    {TAG_VERSION, offsetof(struct imgi_package, version)},
    {TAG_RELEASE, offsetof(struct imgi_package, release)},
    {TAG_SUMMARY, offsetof(struct imgi_package, summary)},
    {TAG_DESCRIPTION, offsetof(struct imgi_package, description)},
    {TAG_URL, offsetof(struct imgi_package, url)},
    {TAG_ARCH, offsetof(struct imgi_package, arch)},
};

/* The data of a header, and what has been found in it. */
struct header {
    const uint8_t *data;
    size_t length;
    struct imgi_package package;
    char epoch[16];
};

/* Of a text in several languages, the first one is the untranslated. */
static void take_string(struct header *header, uint32_t tag, size_t offset)
{
    const char *text = (const char *)header->data + offset;

    if (!memchr(text, '\0', header->length - offset))
        return;
    for (size_t n = 0; n < IMGI_COUNT(strings); n++) {
        if (strings[n].tag == tag)
            memcpy((char *)&header->package + strings[n].offset, &text, sizeof(text));
    }
}

static void take_entry(struct header *header, const uint8_t *entry)
{
    uint32_t tag = imgi_get_be32(entry), type = imgi_get_be32(entry + 4);
    uint32_t offset = imgi_get_be32(entry + 8);

    if (offset >= header->length || imgi_get_be32(entry + 12) == 0)
        return;
    if (type == TYPE_STRING || type == TYPE_I18N) {
        take_string(header, tag, offset);
    } else if (tag == TAG_EPOCH && type == TYPE_INT32 && header->length - offset >= 4) {
        snprintf(header->epoch, sizeof(header->epoch), "%" PRIu32,
                 imgi_get_be32(header->data + offset));
        header->package.epoch = header->epoch;
    }
}

int imgi_rpm_header(struct imgi_rpm_headers *headers, const uint8_t *bytes, size_t length,
                    img_error *err)
{
    struct header header = {0};
    uint32_t entries, data;

    if (headers->packages_left == 0 || headers->bytes_left < length)
        return imgi_fail(err, IMG_E_LIMIT, "there are too many packages");
    headers->packages_left--;
    headers->bytes_left -= length;
    if (length < HEAD)
        return imgi_fail(err, IMG_E_CORRUPT, "a header has %zu bytes", length);
    entries = imgi_get_be32(bytes);
    data = imgi_get_be32(bytes + 4);
    if (entries > ENTRIES_MAX || HEAD + (uint64_t)entries * ENTRY + data > length)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "a header of %zu bytes would have %" PRIu32 " entries and %" PRIu32
                         " bytes of data",
                         length, entries, data);
    header.data = bytes + HEAD + (size_t)entries * ENTRY;
    header.length = data;
    for (uint32_t n = 0; n < entries; n++)
        take_entry(&header, bytes + HEAD + (size_t)n * ENTRY);
    if (header.package.name && header.package.version)
        headers->packages->add(headers->packages, &header.package);
    return 0;
}

/* ---------------------------------------------------------------- ndb */

/*
 * rpm's own database, of little endian numbers: "RpmP", version, generation, the number of pages
 * with slots. These begin behind the head of 32 bytes; each has "Slot", the package's number, and
 * where in units of 16 bytes its blob is and how long. That has 16 bytes before the header, the
 * last four of which are its length.
 */
#define NDB_HEAD 32u
#define NDB_PAGE 4096u
#define NDB_UNIT 16u
#define NDB_SLOTS_MAX (16u << 20) /* bytes */

static int read_exactly(img_file *file, uint64_t offset, uint8_t *bytes, size_t length,
                        img_error *err)
{
    size_t got = length;
    int rc = img_file_read(file, offset, bytes, &got, err);

    if (rc == 0 && got < length)
        rc = imgi_fail(err, IMG_E_CORRUPT, "%zu bytes at %" PRIu64 " are behind its end", length,
                       offset);
    return rc;
}

static int read_ndb_blob(img_file *file, uint64_t offset, struct imgi_rpm_headers *headers,
                         img_error *err)
{
    uint8_t head[NDB_UNIT], *bytes;
    uint32_t length;
    int rc = read_exactly(file, offset, head, sizeof(head), err);

    if (rc < 0)
        return rc;
    length = imgi_get_le32(head + 12);
    if (memcmp(head, "BlbS", 4) != 0 || length > IMGI_RPM_HEADER_MAX ||
        length > img_file_size(file))
        return imgi_fail(err, IMG_E_CORRUPT, "there is no blob at %" PRIu64, offset);
    bytes = malloc(length + 1);
    if (!bytes)
        return imgi_fail_nomem(err, "a package");
    rc = read_exactly(file, offset + NDB_UNIT, bytes, length, err);
    if (rc == 0)
        rc = imgi_rpm_header(headers, bytes, length, err);
    free(bytes);
    return rc;
}

static int read_ndb_slots(img_file *file, const uint8_t *slots, size_t length,
                          struct imgi_rpm_headers *headers, img_error *err)
{
    int rc = 0;

    for (size_t at = NDB_HEAD; rc == 0 && at + NDB_UNIT <= length; at += NDB_UNIT) {
        uint64_t offset = (uint64_t)imgi_get_le32(slots + at + 8) * NDB_UNIT;

        if (memcmp(slots + at, "Slot", 4) == 0 && offset > 0)
            rc = read_ndb_blob(file, offset, headers, err);
    }
    return rc;
}

static int read_ndb(img_file *file, struct imgi_rpm_headers *headers, img_error *err)
{
    uint8_t head[NDB_HEAD], *slots;
    uint64_t length;
    int rc = read_exactly(file, 0, head, sizeof(head), err);

    if (rc < 0)
        return rc;
    length = (uint64_t)imgi_get_le32(head + 12) * NDB_PAGE;
    if (memcmp(head, "RpmP", 4) != 0 || imgi_get_le32(head + 4) != 0 || length > NDB_SLOTS_MAX)
        return imgi_fail(err, IMG_E_FORMAT, "it is no such database");
    slots = malloc((size_t)length + 1);
    if (!slots)
        return imgi_fail_nomem(err, "a database");
    rc = read_exactly(file, 0, slots, (size_t)length, err);
    if (rc == 0)
        rc = read_ndb_slots(file, slots, (size_t)length, headers, err);
    free(slots);
    return rc;
}

/* -------------------------------------------------------------- databases */

static int read_berkeley(img_file *file, struct imgi_rpm_headers *headers, img_error *err)
{
    (void)file, (void)headers;
    return imgi_fail(err, IMG_E_UNSUPPORTED, "packages in a Berkeley DB are not read");
}

static int read_sqlite(const struct imgi_inspection *in, img_file *file, const char *path,
                       struct imgi_rpm_headers *headers, img_error *err)
{
    struct imgi_text wal_path = {0};
    img_file *wal = NULL;
    int rc;

    imgi_text_add(&wal_path, "%s-wal", path);
    if (wal_path.failed)
        return imgi_fail_nomem(err, "a database");
    wal = imgi_inspect_open(in, wal_path.bytes);
    free(wal_path.bytes);
    rc = imgi_rpm_sqlite(file, wal, headers, err);
    img_file_close(wal);
    return rc;
}

bool imgi_rpm_find(const struct imgi_inspection *in, struct imgi_packages *packages)
{
    static const char *const directories[] = {"/usr/lib/sysimage/rpm", "/var/lib/rpm"};
    static const char *const names[] = {"rpmdb.sqlite", "Packages.db", "Packages"};
    struct imgi_rpm_headers headers = {packages, IMGI_PACKAGES_MAX, IMGI_RPM_BYTES_MAX};
    img_file *file = NULL;
    img_error err = {0};
    char path[64];
    size_t n;
    int rc;

    for (n = 0; !file && n < IMGI_COUNT(directories) * IMGI_COUNT(names); n++) {
        snprintf(path, sizeof(path), "%s/%s", directories[n / IMGI_COUNT(names)],
                 names[n % IMGI_COUNT(names)]);
        file = imgi_inspect_open(in, path);
    }
    if (!file)
        return false;
    switch ((n - 1) % IMGI_COUNT(names)) {
    case 0:
        rc = read_sqlite(in, file, path, &headers, &err);
        break;
    case 1:
        rc = read_ndb(file, &headers, &err);
        break;
    default:
        rc = read_berkeley(file, &headers, &err);
        break;
    }
    img_file_close(file);
    if (rc < 0)
        imgi_guest_notice(in->guest, "%s: %s: %s", in->root->device, path, err.message);
    return rc == 0;
}
