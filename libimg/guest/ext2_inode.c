/*
 * Inodes of ext2, ext3 and ext4. SPDX-License-Identifier: BSD-2-Clause
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---------------------------------------------------------------- reading */

/* The kernel refuses the others, too: journal, bad blocks, quota and the like are no files. */
static bool may_be_file(const struct imgi_ext2 *ext2, uint64_t number)
{
    const struct ext2_super_block *super = ext2->fs->super;

    return number == EXT2_ROOT_INO ||
           (number >= EXT2_FIRST_INODE(super) && number <= super->s_inodes_count);
}

static int make_room(struct imgi_ext2 *ext2, img_error *err)
{
    struct imgi_ext2_inode *inode = &ext2->inode;

    inode->size = EXT2_INODE_SIZE(ext2->fs->super);
    inode->raw = calloc(1, IMGI_MAX(inode->size, sizeof(*inode->raw)));
    return inode->raw ? 0 : imgi_fail_nomem(err, "an inode");
}

static int check(const struct imgi_ext2_inode *inode, img_error *err)
{
    if (inode->raw->i_mode == 0 && inode->raw->i_links_count == 0)
        return imgi_ext2_corrupt(err, "inode %" PRIu32 " is not in use", inode->number);
    if (inode->size > EXT2_GOOD_OLD_INODE_SIZE &&
        (inode->raw->i_extra_isize % 4 != 0 ||
         inode->raw->i_extra_isize > inode->size - EXT2_GOOD_OLD_INODE_SIZE))
        return imgi_ext2_corrupt(err, "inode %" PRIu32 ": i_extra_isize is %u", inode->number,
                                 (unsigned)inode->raw->i_extra_isize);
    return 0;
}

int imgi_ext2_inode_read(struct imgi_ext2 *ext2, uint64_t number,
                         const struct imgi_ext2_inode **inode, img_error *err)
{
    struct imgi_ext2_inode *last = &ext2->inode;
    errcode_t failed;
    int rc;

    *inode = last;
    if (last->number == number && number != 0)
        return 0;
    if (!may_be_file(ext2, number))
        return imgi_ext2_corrupt(err, "inode %" PRIu64 " can be no file's", number);
    if (!last->raw && make_room(ext2, err) < 0)
        return IMG_E_NOMEM;
    last->number = 0;
    failed = ext2->library.ext2fs_read_inode2(ext2->fs, (ext2_ino_t)number,
                                              (struct ext2_inode *)last->raw, (int)last->size, 0);
    if (failed)
        return imgi_ext2_fail(ext2, err, failed, "inode %" PRIu64, number);
    last->number = (ext2_ino_t)number;
    rc = check(last, err);
    if (rc < 0)
        last->number = 0;
    return rc;
}

size_t imgi_ext2_inode_used(const struct imgi_ext2_inode *inode)
{
    if (inode->size <= EXT2_GOOD_OLD_INODE_SIZE)
        return 0;
    return EXT2_GOOD_OLD_INODE_SIZE + (size_t)inode->raw->i_extra_isize;
}

uint64_t imgi_ext2_inode_length(const struct imgi_ext2 *ext2, const struct imgi_ext2_inode *inode)
{
    uint64_t length = inode->raw->i_size;

    if (S_ISREG(inode->raw->i_mode) || ext2fs_has_feature_largedir(ext2->fs->super))
        length |= (uint64_t)inode->raw->i_size_high << 32;
    return length;
}

/* ------------------------------------------------------------------- stat */

/* Whether a member of the larger inode is there. */
#define HAS(inode, member)                                                                         \
    (offsetof(struct ext2_inode_large, member) + sizeof(((struct ext2_inode_large *)0)->member) <= \
     imgi_ext2_inode_used(inode))

/* Two bits of the extra field go on where 2038 ends, the others are nanoseconds. */
static int64_t seconds(uint32_t time, uint32_t extra)
{
    return (int32_t)time + ((int64_t)(extra & 3) << 32);
}

static uint32_t nanoseconds(uint32_t extra)
{
    return extra >> 2 < 1000000000 ? extra >> 2 : 0;
}

static void fill_times(const struct imgi_ext2_inode *inode, img_stat *stat)
{
    const struct ext2_inode_large *raw = inode->raw;
    uint32_t atime = HAS(inode, i_atime_extra) ? raw->i_atime_extra : 0;
    uint32_t mtime = HAS(inode, i_mtime_extra) ? raw->i_mtime_extra : 0;
    uint32_t ctime = HAS(inode, i_ctime_extra) ? raw->i_ctime_extra : 0;
    uint32_t crtime = HAS(inode, i_crtime_extra) ? raw->i_crtime_extra : 0;

    stat->atime = seconds(raw->i_atime, atime);
    stat->atime_nsec = nanoseconds(atime);
    stat->mtime = seconds(raw->i_mtime, mtime);
    stat->mtime_nsec = nanoseconds(mtime);
    stat->ctime = seconds(raw->i_ctime, ctime);
    stat->ctime_nsec = nanoseconds(ctime);
    if (HAS(inode, i_crtime)) {
        stat->btime = seconds(raw->i_crtime, crtime);
        stat->btime_nsec = nanoseconds(crtime);
    }
}

/* Numbers that fit into a byte are in the old form, in the first of the words. */
static void fill_device(const struct ext2_inode_large *raw, img_stat *stat)
{
    uint32_t old = raw->i_block[0], new = raw->i_block[1];

    if (old) {
        stat->device_major = old >> 8 & 0xff;
        stat->device_minor = old & 0xff;
    } else {
        stat->device_major = (new & 0xfff00) >> 8;
        stat->device_minor = (new & 0xff) | (new >> 12 & 0xfff00);
    }
}

static uint64_t allocated(const struct imgi_ext2 *ext2, const struct imgi_ext2_inode *inode)
{
    const struct ext2_inode_large *raw = inode->raw;
    uint64_t blocks = raw->i_blocks;

    if (ext2fs_has_feature_huge_file(ext2->fs->super)) {
        blocks |= (uint64_t)raw->osd2.linux2.l_i_blocks_hi << 32;
        if (raw->i_flags & EXT4_HUGE_FILE_FL)
            return blocks * ext2->fs->blocksize;
    }
    /* The kernel counts what of a file is in its inode, unlike what of a directory is. */
    if (raw->i_flags & EXT4_INLINE_DATA_FL && S_ISREG(raw->i_mode))
        blocks += (raw->i_size + 511) / 512;
    return blocks * 512;
}

int imgi_ext2_stat(struct img_fs *fs, uint64_t number, img_stat *stat, img_error *err)
{
    struct imgi_ext2 *ext2 = fs->state;
    const struct imgi_ext2_inode *inode;
    int rc = imgi_ext2_inode_read(ext2, number, &inode, err);

    if (rc < 0)
        return rc;
    stat->mode = inode->raw->i_mode;
    stat->links = inode->raw->i_links_count;
    stat->uid = inode_uid(*inode->raw);
    stat->gid = inode_gid(*inode->raw);
    stat->size = imgi_ext2_inode_length(ext2, inode);
    stat->allocated = allocated(ext2, inode);
    if (S_ISCHR(stat->mode) || S_ISBLK(stat->mode))
        fill_device(inode->raw, stat);
    fill_times(inode, stat);
    return 0;
}

/* --------------------------------------------------------- symbolic links */

static int read_slow_link(struct imgi_ext2 *ext2, const struct imgi_ext2_inode *inode,
                          uint64_t length, char *target, img_error *err)
{
    struct imgi_ext2_map map = {0};
    int rc;

    imgi_ext2_map_begin(&map, ext2, inode);
    rc = imgi_ext2_map_read(&map, target, length, err);
    imgi_ext2_map_end(&map);
    return rc;
}

int imgi_ext2_readlink(struct img_fs *fs, uint64_t number, char **target, img_error *err)
{
    struct imgi_ext2 *ext2 = fs->state;
    const struct imgi_ext2_inode *inode;
    uint64_t length;
    int rc = imgi_ext2_inode_read(ext2, number, &inode, err);

    if (rc < 0)
        return rc;
    if (!S_ISLNK(inode->raw->i_mode))
        return imgi_fail_errno(err, EINVAL, "inode %" PRIu64 " is no symbolic link", number);
    if (inode->raw->i_flags & EXT4_ENCRYPT_FL)
        return imgi_fail_errno(err, ENOKEY, "inode %" PRIu64 ": the link is encrypted", number);
    length = imgi_ext2_inode_length(ext2, inode);
    if (length >= ext2->fs->blocksize)
        return imgi_ext2_corrupt(err, "inode %" PRIu64 ": a link of %" PRIu64 " bytes", number,
                                 length);
    *target = calloc(1, (size_t)ext2->fs->blocksize + 1);
    if (!*target)
        return imgi_fail_nomem(err, "a symbolic link");
    if (inode->raw->i_flags & EXT4_INLINE_DATA_FL)
        rc = imgi_ext2_inline_read(inode, *target, length, err);
    else if (length < sizeof(inode->raw->i_block))
        memcpy(*target, inode->raw->i_block, length);
    else
        rc = read_slow_link(ext2, inode, length, *target, err);
    if (rc < 0) {
        free(*target);
        *target = NULL;
        return rc;
    }
    (*target)[length] = '\0';
    return 0;
}

#endif
