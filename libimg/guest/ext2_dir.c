/*
 * Directories of ext2, ext3 and ext4. SPDX-License-Identifier: BSD-2-Clause
 *
 * A directory's blocks are read in a row, past its index, in which nothing is that is not in them.
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runs.h"

#define ENTRY_HEADER 8u
/* It is some million files. */
#define BYTES_MAX ((uint64_t)256 << 20)
#define INLINE_PARENT 4u /* an inline directory begins with its parent's inode */
#define INLINE_FIRST sizeof(((struct ext2_inode *)0)->i_block)

/* A directory that is being read. */
struct reader {
    struct imgi_ext2 *ext2;
    ext2_ino_t number;
    imgi_entry_fn *entry;
    void *opaque;
};

static uint32_t mode_of(unsigned type)
{
    static const uint32_t modes[] = {
        [EXT2_FT_REG_FILE] = S_IFREG, [EXT2_FT_DIR] = S_IFDIR,  [EXT2_FT_CHRDEV] = S_IFCHR,
        [EXT2_FT_BLKDEV] = S_IFBLK,   [EXT2_FT_FIFO] = S_IFIFO, [EXT2_FT_SOCK] = S_IFSOCK,
        [EXT2_FT_SYMLINK] = S_IFLNK,
    };

    return type < IMGI_COUNT(modes) ? modes[type] : 0;
}

/* The length of an entry, of which `left` bytes could be; 0: it is damaged. */
static size_t entry_length(const uint8_t *entry, size_t left)
{
    size_t length = imgi_get_le16(entry + 4);

    /* 65536 bytes do not fit into 16 bits. */
    if (left == 65536 && (length == 0 || length == 65535))
        length = 65536;
    return length % 4 == 0 && length >= ENTRY_HEADER + (size_t)entry[6] && length <= left ? length
                                                                                          : 0;
}

static int read_entries(const struct reader *reader, const uint8_t *bytes, size_t size,
                        img_error *err)
{
    const struct ext2_super_block *super = reader->ext2->fs->super;
    bool typed = super->s_feature_incompat & EXT2_FEATURE_INCOMPAT_FILETYPE;
    size_t length;

    for (size_t at = 0; at < size; at += length) {
        const uint8_t *entry = bytes + at;
        uint32_t inode;
        int rc;

        length = size - at >= ENTRY_HEADER ? entry_length(entry, size - at) : 0;
        inode = length ? imgi_get_le32(entry) : 0;
        if (length == 0 || inode > super->s_inodes_count)
            return imgi_ext2_corrupt(err, "inode %" PRIu32 ": the directory is damaged",
                                     reader->number);
        if (inode == 0) /* free, or a part of the index */
            continue;
        rc = reader->entry(reader->opaque, (const char *)entry + ENTRY_HEADER, entry[6], inode,
                           typed ? mode_of(entry[7]) : 0, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_inline(const struct reader *reader, const struct imgi_ext2_inode *inode,
                       img_error *err)
{
    uint64_t size = inode->raw->i_size;
    uint8_t *bytes;
    int rc;

    if (size < INLINE_FIRST || size > inode->size)
        return imgi_ext2_corrupt(err, "inode %" PRIu32 ": the directory is damaged", inode->number);
    bytes = malloc((size_t)size);
    if (!bytes)
        return imgi_fail_nomem(err, "a directory");
    rc = imgi_ext2_inline_read(inode, bytes, size, err);
    if (rc == 0)
        rc = read_entries(reader, bytes + INLINE_PARENT, INLINE_FIRST - INLINE_PARENT, err);
    if (rc == 0 && size > INLINE_FIRST)
        rc = read_entries(reader, bytes + INLINE_FIRST, (size_t)size - INLINE_FIRST, err);
    free(bytes);
    return rc;
}

static int by_place(const void *one, const void *other)
{
    const struct imgi_run *a = one, *b = other;

    return a->place < b->place ? -1 : a->place > b->place;
}

/*
 * No block may come twice: a few of them, again and again, would be a directory of any size. The
 * runs' places and lengths are in blocks.
 */
static int check_blocks(const struct reader *reader, const struct imgi_runs *runs, img_error *err)
{
    struct imgi_run *sorted = malloc((runs->count + 1) * sizeof(*sorted));
    int rc = 0;

    if (!sorted)
        return imgi_fail_nomem(err, "a directory");
    if (runs->count > 0)
        memcpy(sorted, runs->runs, runs->count * sizeof(*sorted));
    qsort(sorted, runs->count, sizeof(*sorted), by_place);
    for (size_t n = 1; rc == 0 && n < runs->count; n++) {
        if (sorted[n].place - sorted[n - 1].place < sorted[n - 1].length)
            rc = imgi_ext2_corrupt(err,
                                   "inode %" PRIu32 ": block %" PRIu64 " is in the directory twice",
                                   reader->number, sorted[n].place);
    }
    free(sorted);
    return rc;
}

/* Where the directory's blocks are, without its holes. */
static int find_blocks(const struct reader *reader, const struct imgi_ext2_inode *inode,
                       struct imgi_runs *runs, img_error *err)
{
    struct imgi_ext2 *ext2 = reader->ext2;
    uint64_t end = imgi_ext2_inode_length(ext2, inode) / ext2->fs->blocksize;
    struct imgi_ext2_map map = {0};
    struct imgi_ext2_run run;
    int rc = 0;

    imgi_ext2_map_begin(&map, ext2, inode);
    for (uint64_t at = 0; rc == 0 && at < end; at = run.first + run.count) {
        rc = imgi_ext2_map_find(&map, at, &run, err);
        if (rc < 0 || !run.place)
            continue;
        rc = imgi_runs_add(runs, IMGI_MIN(run.first + run.count, end) - at, IMGI_RUN_DATA,
                           run.place + (at - run.first), err);
        if (rc == 0 && runs->end > BYTES_MAX / ext2->fs->blocksize)
            rc = imgi_fail(err, IMG_E_LIMIT,
                           "inode %" PRIu32 ": a directory of over %" PRIu64 " bytes",
                           reader->number, BYTES_MAX);
    }
    imgi_ext2_map_end(&map);
    return rc < 0 ? rc : check_blocks(reader, runs, err);
}

static int read_run(const struct reader *reader, const struct imgi_run *run, uint8_t *buffer,
                    img_error *err)
{
    struct imgi_ext2 *ext2 = reader->ext2;

    for (uint64_t n = 0; n < run->length; n++) {
        int rc = imgi_ext2_read(ext2, run->place + n, 1, buffer, err);

        if (rc == 0 && !ext2->library.ext2fs_dir_block_csum_verify(ext2->fs, reader->number,
                                                                   (struct ext2_dir_entry *)buffer))
            rc = imgi_ext2_fail(ext2, err, EXT2_ET_DIR_CSUM_INVALID, "inode %" PRIu32,
                                reader->number);
        if (rc == 0)
            rc = read_entries(reader, buffer, ext2->fs->blocksize, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_blocks(const struct reader *reader, const struct imgi_ext2_inode *inode,
                       img_error *err)
{
    uint8_t *buffer = malloc(reader->ext2->fs->blocksize);
    struct imgi_runs runs = {0};
    int rc = buffer ? find_blocks(reader, inode, &runs, err) : imgi_fail_nomem(err, "a directory");

    for (size_t n = 0; rc == 0 && n < runs.count; n++)
        rc = read_run(reader, &runs.runs[n], buffer, err);
    imgi_runs_free(&runs);
    free(buffer);
    return rc;
}

int imgi_ext2_list(struct img_fs *fs, uint64_t directory, imgi_entry_fn *entry, void *opaque,
                   img_error *err)
{
    const struct imgi_ext2_inode *inode;
    struct reader reader = {.ext2 = fs->state, .entry = entry, .opaque = opaque};
    int rc = imgi_ext2_inode_read(reader.ext2, directory, &inode, err);

    if (rc < 0)
        return rc;
    if (!S_ISDIR(inode->raw->i_mode))
        return imgi_fail_errno(err, ENOTDIR, "inode %" PRIu64 " is no directory", directory);
    if (inode->raw->i_flags & EXT4_ENCRYPT_FL)
        return imgi_fail_errno(err, ENOKEY, "inode %" PRIu64 ": the directory is encrypted",
                               directory);
    reader.number = inode->number;
    return inode->raw->i_flags & EXT4_INLINE_DATA_FL ? read_inline(&reader, inode, err)
                                                     : read_blocks(&reader, inode, err);
}

#endif
