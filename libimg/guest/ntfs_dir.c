/*
 * NTFS: directories. SPDX-License-Identifier: BSD-2-Clause
 *
 * A directory is a tree of blocks, each with entries in order of their names. For a list of them
 * all, the blocks that a bitmap says are in use are read one after the other.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ntfs.h"

/* An index's root, in bytes, and a block of it. */
#define ROOT_ENTRIES 16u
#define BLOCK_ENTRIES 24u
/* Before entries, in bytes; places count from there. */
#define FIRST 0u
#define END 4u
#define ENTRIES_HEADER 16u
/* An entry. */
#define LENGTH 8u
#define KEY_LENGTH 10u
#define FLAGS 12u
#define LAST 0x02u
#define KEY 16u
/* Its key: a name. */
#define ATTRIBUTES 56u
#define UNITS 64u
#define NAMESPACE 65u
#define NAMESPACE_DOS 2u /* the short form of a name that is there too */
#define NAME 66u

#define NUMBER 0xffffffffffffull
#define BLOCK_MAX (64u << 10)
#define INDEX_MAX (4ull << 30) /* names of more than ten million files */

static int broken(uint64_t number, img_error *err)
{
    return imgi_fail_errno(err, EIO, "inode %" PRIu64 ": the directory is broken", number);
}

struct lister {
    const struct imgi_ntfs *ntfs;
    uint64_t directory;
    imgi_ntfs_entry_fn *entry;
    void *opaque;
};

static int give(const struct lister *lister, const uint8_t *entry, uint32_t key_length,
                img_error *err)
{
    const uint8_t *key = entry + KEY;
    uint64_t inode = imgi_get_le64(entry) & NUMBER;
    char name[IMGI_NAME_ROOM];
    size_t length;

    if (key_length < NAME || NAME + 2u * key[UNITS] > key_length)
        return broken(lister->directory, err);
    if (key[NAMESPACE] == NAMESPACE_DOS || inode < IMGI_NTFS_FILE_USERS)
        return 0;
    length = imgi_name_decode(key + NAME, key[UNITS], false, name);
    return lister->entry(lister->opaque, name, length, inode, imgi_get_le32(key + ATTRIBUTES), err);
}

/* The entries behind a header, which has `size` bytes from itself on. */
static int read_entries(const struct lister *lister, const uint8_t *header, size_t size,
                        img_error *err)
{
    uint32_t at, end;

    if (size < ENTRIES_HEADER)
        return broken(lister->directory, err);
    at = imgi_get_le32(header + FIRST);
    end = imgi_get_le32(header + END);
    if (at > end || end > size)
        return broken(lister->directory, err);
    while (end - at >= KEY) {
        const uint8_t *entry = header + at;
        uint32_t length = imgi_get_le16(entry + LENGTH);
        uint32_t key_length = imgi_get_le16(entry + KEY_LENGTH);
        int rc;

        if (imgi_get_le16(entry + FLAGS) & LAST)
            return 0;
        if (length < KEY || length > end - at || key_length > length - KEY)
            return broken(lister->directory, err);
        rc = give(lister, entry, key_length, err);
        if (rc != 0)
            return rc;
        at += length;
    }
    return 0;
}

/* ------------------------------------------------------------------- blocks */

static int read_block(const struct lister *lister, const struct imgi_ntfs_stream *blocks,
                      uint64_t offset, uint8_t *block, img_error *err)
{
    uint32_t size = lister->ntfs->index_size;
    int rc = imgi_ntfs_stream_read(lister->ntfs, blocks, offset, block, size, err);

    if (rc == 0)
        rc = imgi_ntfs_unprotect(block, size, "INDX", err);
    return rc < 0 ? rc : read_entries(lister, block + BLOCK_ENTRIES, size - BLOCK_ENTRIES, err);
}

static int read_blocks(const struct lister *lister, const struct imgi_ntfs_stream *blocks,
                       const struct imgi_ntfs_stream *bitmap, img_error *err)
{
    uint32_t size = lister->ntfs->index_size;
    uint64_t count = IMGI_MIN(blocks->valid, blocks->runs.end) / size;
    uint8_t *block = malloc(size), bits = 0;
    int rc = block ? 0 : imgi_fail_nomem(err, "a directory");

    for (uint64_t n = 0; rc == 0 && n < count; n++) {
        if (n % 8 == 0) {
            if (n / 8 >= bitmap->size)
                break;
            rc = imgi_ntfs_stream_read(lister->ntfs, bitmap, n / 8, &bits, 1, err);
        }
        if (rc == 0 && bits >> n % 8 & 1)
            rc = read_block(lister, blocks, n * size, block, err);
    }
    free(block);
    return rc;
}

static int list_blocks(const struct lister *lister, const struct imgi_ntfs_record *record,
                       img_error *err)
{
    struct imgi_ntfs_stream blocks = {0}, bitmap = {0};
    uint32_t size = lister->ntfs->index_size;
    bool found, mapped;
    int rc = imgi_ntfs_stream_open(lister->ntfs, record, IMGI_NTFS_INDEX_ALLOCATION, "$I30",
                                   &blocks, &found, err);

    if (rc == 0 && found) {
        rc = imgi_ntfs_stream_open(lister->ntfs, record, IMGI_NTFS_BITMAP, "$I30", &bitmap, &mapped,
                                   err);
        if (rc == 0 && (!mapped || blocks.resident || !imgi_is_pow2(size) || size < 512 ||
                        size > BLOCK_MAX || blocks.size > INDEX_MAX))
            rc = broken(lister->directory, err);
        if (rc == 0)
            rc = read_blocks(lister, &blocks, &bitmap, err);
    }
    imgi_ntfs_stream_free(&blocks);
    imgi_ntfs_stream_free(&bitmap);
    return rc;
}

int imgi_ntfs_list(const struct imgi_ntfs *ntfs, const struct imgi_ntfs_record *directory,
                   imgi_ntfs_entry_fn *entry, void *opaque, img_error *err)
{
    struct lister lister = {ntfs, directory->number, entry, opaque};
    struct imgi_ntfs_stream root;
    bool found;
    int rc;

    if (!directory->directory)
        return imgi_fail_errno(err, ENOTDIR, "inode %" PRIu64, directory->number);
    rc = imgi_ntfs_stream_open(ntfs, directory, IMGI_NTFS_INDEX_ROOT, "$I30", &root, &found, err);
    if (rc == 0 && (!found || !root.resident || root.size < ROOT_ENTRIES))
        rc = broken(directory->number, err);
    if (rc == 0)
        rc =
            read_entries(&lister, root.value + ROOT_ENTRIES, (size_t)root.size - ROOT_ENTRIES, err);
    imgi_ntfs_stream_free(&root);
    if (rc == 0)
        rc = list_blocks(&lister, directory, err);
    return rc < 0 ? rc : 0;
}
