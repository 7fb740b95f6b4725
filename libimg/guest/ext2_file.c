/*
 * Regular files of ext2, ext3 and ext4. SPDX-License-Identifier: BSD-2-Clause
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* file->state */
struct content {
    struct imgi_ext2_map map;
    uint8_t *bytes; /* those of a file whose content is in its inode; malloc'd */
};

/* An inode has no room for more. */
#define INLINE_MAX 65536u

static int read_inline(const struct imgi_ext2_inode *inode, uint64_t size, struct content *content,
                       img_error *err)
{
    if (size > INLINE_MAX)
        return imgi_ext2_corrupt(err, "inode %" PRIu32 ": %" PRIu64 " bytes inside of the inode",
                                 inode->number, size);
    content->bytes = malloc((size_t)size + 1);
    if (!content->bytes)
        return imgi_fail_nomem(err, "a file");
    return imgi_ext2_inline_read(inode, content->bytes, size, err);
}

int imgi_ext2_file_open(struct img_file *file, img_error *err)
{
    struct imgi_ext2 *ext2 = file->fs->state;
    const struct imgi_ext2_inode *inode;
    struct content *content;
    int rc = imgi_ext2_inode_read(ext2, file->inode, &inode, err);

    if (rc < 0)
        return rc;
    if (!S_ISREG(inode->raw->i_mode))
        return imgi_fail_errno(err, S_ISDIR(inode->raw->i_mode) ? EISDIR : EINVAL,
                               "inode %" PRIu64 " is no regular file", file->inode);
    if (inode->raw->i_flags & EXT4_ENCRYPT_FL)
        return imgi_fail_errno(err, ENOKEY, "inode %" PRIu64 ": the file is encrypted",
                               file->inode);
    content = calloc(1, sizeof(*content));
    if (!content)
        return imgi_fail_nomem(err, "a file");
    file->state = content;
    file->size = imgi_ext2_inode_length(ext2, inode);
    if (inode->raw->i_flags & EXT4_INLINE_DATA_FL)
        return read_inline(inode, file->size, content, err);
    imgi_ext2_map_begin(&content->map, ext2, inode);
    return 0;
}

void imgi_ext2_file_close(struct img_file *file)
{
    struct content *content = file->state;

    if (!content)
        return;
    imgi_ext2_map_end(&content->map);
    free(content->bytes);
    free(content);
}

int imgi_ext2_file_map(struct img_file *file, struct imgi_run *run, img_error *err)
{
    struct imgi_ext2 *ext2 = file->fs->state;
    struct content *content = file->state;
    uint64_t unit = ext2->fs->blocksize, block = run->offset / unit, skip;
    struct imgi_ext2_run found;
    int rc;

    if (content->bytes) {
        run->kind = IMGI_RUN_OPAQUE;
        return 0;
    }
    rc = imgi_ext2_map_find(&content->map, block, &found, err);
    if (rc < 0)
        return rc;
    skip = run->offset - found.first * unit;
    run->length = IMGI_MIN(run->length, found.count * unit - skip);
    run->kind = found.place ? IMGI_RUN_DATA : IMGI_RUN_HOLE;
    run->place = found.place * unit + skip;
    return 0;
}

int imgi_ext2_file_read(struct img_file *file, uint64_t offset, void *buffer, size_t length,
                        img_error *err)
{
    const struct content *content = file->state;

    (void)err;
    memcpy(buffer, content->bytes + offset, length);
    return 0;
}

#endif
