/*
 * NTFS: symbolic links and what else is no plain file. SPDX-License-Identifier: BSD-2-Clause
 *
 * There are those of Windows and of its subsystem for Linux, which are reparse points, and those
 * that ntfs-3g makes, which are system files with a word at their beginning.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ntfs.h"

/* Kinds of reparse points. */
#define MOUNT_POINT 0xa0000003u
#define SYMBOLIC_LINK 0xa000000cu
#define LINUX_LINK 0xa000001du
#define LINUX_SOCKET 0x80000023u
#define LINUX_FIFO 0x80000024u
#define LINUX_CHARACTER 0x80000025u
#define LINUX_BLOCK 0x80000026u

/* A reparse point, in bytes. */
#define LENGTH 4u
#define VALUE 8u
#define TARGET 0u /* of links: where it is in the names, */
#define TARGET_LENGTH 2u
#define MOUNT_NAMES 8u
#define LINK_FLAGS 8u
#define LINK_RELATIVE 0x01u
#define LINK_NAMES 12u
#define LINUX_LINK_TARGET 4u /* behind a version */
#define REPARSE_MAX (16u << 10)

#define FILE_ATTRIBUTES 32u /* in the standard information */
#define INTERIX 8u          /* bytes of the word */
#define TARGET_MAX 4095u    /* as Linux has it, in characters */

/* An attribute without a name, as a whole; *bytes is malloc'd, NULL if there is none. */
static int read_all(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                    uint32_t type, size_t limit, uint8_t **bytes, size_t *length, img_error *err)
{
    struct imgi_ntfs_stream stream;
    bool found;
    int rc = imgi_ntfs_stream_open(ntfs, record, type, "", &stream, &found, err);

    *bytes = NULL;
    *length = 0;
    if (rc == 0 && found && stream.size <= limit && !stream.compressed && !stream.encrypted) {
        *length = (size_t)stream.size;
        *bytes = malloc(*length + 1);
        rc = *bytes ? imgi_ntfs_stream_read(ntfs, &stream, 0, *bytes, *length, err)
                    : imgi_fail_nomem(err, "a symbolic link");
    }
    imgi_ntfs_stream_free(&stream);
    return rc;
}

/* ------------------------------------------------------------------ targets */

static char *decode_target(const uint8_t *name, size_t length)
{
    char *target = malloc(IMGI_UTF8_ROOM(length));

    if (target && !imgi_utf16_decode(name, length, false, target)) {
        free(target);
        return NULL;
    }
    return target;
}

/*
 * A path of Windows as one of the guest: the volume is taken to be the one that the drive's letter
 * means, for nobody else knows.
 */
static char *convert_path(char *path, bool relative)
{
    char *from = path;

    if (!relative && strncmp(from, "\\??\\", 4) == 0)
        from += 4;
    if (!relative && from[0] != '\0' && from[1] == ':')
        from += 2;
    if (!relative && from[0] != '\\') { /* "Volume{...}" */
        free(path);
        return NULL;
    }
    memmove(path, from, strlen(from) + 1);
    for (char *at = path; *at; at++) {
        if (*at == '\\')
            *at = '/';
    }
    return path;
}

static char *windows_target(const uint8_t *value, size_t length, bool mount)
{
    size_t names = mount ? MOUNT_NAMES : LINK_NAMES, at, count;
    bool relative;
    char *path;

    if (length < names)
        return NULL;
    at = names + imgi_get_le16(value + TARGET);
    count = imgi_get_le16(value + TARGET_LENGTH);
    relative = !mount && imgi_get_le32(value + LINK_FLAGS) & LINK_RELATIVE;
    if (!imgi_span_ok(at, count, length) || !(path = decode_target(value + at, count)))
        return NULL;
    return convert_path(path, relative);
}

static char *target_of(uint32_t tag, const uint8_t *value, size_t length)
{
    switch (tag) {
    case MOUNT_POINT:
    case SYMBOLIC_LINK:
        return windows_target(value, length, tag == MOUNT_POINT);
    default: /* LINUX_LINK */
        return length < LINUX_LINK_TARGET
                   ? NULL
                   : strndup((const char *)value + LINUX_LINK_TARGET, length - LINUX_LINK_TARGET);
    }
}

/* ---------------------------------------------------------------- reparse points */

static uint32_t type_of(uint32_t tag)
{
    switch (tag) {
    case MOUNT_POINT:
    case SYMBOLIC_LINK:
    case LINUX_LINK:
        return S_IFLNK;
    case LINUX_SOCKET:
        return S_IFSOCK;
    case LINUX_FIFO:
        return S_IFIFO;
    case LINUX_CHARACTER:
        return S_IFCHR;
    case LINUX_BLOCK:
        return S_IFBLK;
    default:
        return 0;
    }
}

static int look_at_reparse(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                           uint32_t *mode, char **target, img_error *err)
{
    size_t length, said;
    uint8_t *bytes;
    uint32_t tag, type;
    int rc = read_all(ntfs, record, IMGI_NTFS_REPARSE, REPARSE_MAX, &bytes, &length, err);

    if (rc == 0 && length >= VALUE) {
        tag = imgi_get_le32(bytes);
        said = imgi_get_le16(bytes + LENGTH);
        type = type_of(tag);
        *mode = type ? type : *mode;
        if (type == S_IFLNK && target)
            *target = target_of(tag, bytes + VALUE, IMGI_MIN(said, length - VALUE));
    }
    free(bytes);
    return rc;
}

int imgi_ntfs_check_plain(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                          img_error *err)
{
    size_t length;
    uint8_t *bytes;
    uint32_t tag = 0;
    int rc = read_all(ntfs, record, IMGI_NTFS_REPARSE, REPARSE_MAX, &bytes, &length, err);

    if (rc == 0 && length >= VALUE)
        tag = imgi_get_le32(bytes);
    free(bytes);
    if (rc == 0 && tag != 0)
        return imgi_fail_errno(err, EOPNOTSUPP,
                               "inode %" PRIu64
                               ": its content is kept by an extension of Windows (reparse tag "
                               "0x%08" PRIx32 "), which cannot be read",
                               record->number, tag);
    return rc;
}

/* ------------------------------------------------------------------- Interix */

static int look_at_system(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                          uint32_t *mode, char **target, img_error *err)
{
    size_t length;
    uint8_t *bytes;
    int rc = read_all(ntfs, record, IMGI_NTFS_DATA, INTERIX + 2 * TARGET_MAX, &bytes, &length, err);

    if (rc < 0 || !bytes) {
        free(bytes);
        return rc;
    }
    if (length <= 1)
        *mode = length == 0 ? S_IFIFO : S_IFSOCK;
    else if (length > INTERIX && memcmp(bytes, "IntxLNK\1", INTERIX) == 0) {
        *mode = S_IFLNK;
        if (target)
            *target = decode_target(bytes + INTERIX, length - INTERIX);
    } else if (length > INTERIX && memcmp(bytes, "IntxCHR", INTERIX) == 0)
        *mode = S_IFCHR;
    else if (length > INTERIX && memcmp(bytes, "IntxBLK", INTERIX) == 0)
        *mode = S_IFBLK;
    free(bytes);
    return rc;
}

int imgi_ntfs_special(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *record,
                      uint32_t *mode, char **target, img_error *err)
{
    size_t length;
    const uint8_t *information = imgi_ntfs_resident(record, IMGI_NTFS_INFORMATION, &length);
    uint32_t attributes = 0;

    if (information && length >= FILE_ATTRIBUTES + 4)
        attributes = imgi_get_le32(information + FILE_ATTRIBUTES);
    *mode = record->directory ? S_IFDIR : S_IFREG;
    if (target)
        *target = NULL;
    if (attributes & IMGI_NTFS_REPARSE_POINT)
        return look_at_reparse(ntfs, record, mode, target, err);
    if (attributes & IMGI_NTFS_SYSTEM && !record->directory)
        return look_at_system(ntfs, record, mode, target, err);
    return 0;
}
