/*
 * How full it is, as statfs(2) of the kernel says it. SPDX-License-Identifier: BSD-2-Clause
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

/* The kernel keeps a fiftieth, up to that many clusters, for extents that have to be split. */
#define RESERVED_SHARE 50u
#define RESERVED_MAX 4096u

static int count_free(struct imgi_ext2 *ext2, uint64_t *clusters, uint64_t *inodes, img_error *err)
{
    const struct imgi_ext2_library *library = &ext2->library;

    *clusters = *inodes = 0;
    for (dgrp_t group = 0; group < ext2->fs->group_desc_count; group++) {
        int rc = imgi_ext2_check_group(ext2, group, err);

        if (rc < 0)
            return rc;
        *clusters += library->ext2fs_bg_free_blocks_count(ext2->fs, group);
        *inodes += library->ext2fs_bg_free_inodes_count(ext2->fs, group);
    }
    return 0;
}

/* The journal that is inside of the filesystem. It is no file that could be read otherwise. */
static int add_journal(struct imgi_ext2 *ext2, uint64_t *clusters, img_error *err)
{
    const struct ext2_super_block *super = ext2->fs->super;
    uint64_t unit = (uint64_t)ext2->fs->blocksize << ext2->fs->cluster_ratio_bits;
    struct ext2_inode inode;
    errcode_t failed;

    if (!ext2fs_has_feature_journal(ext2->fs->super) || super->s_journal_dev ||
        !super->s_journal_inum)
        return 0;
    failed =
        ext2->library.ext2fs_read_inode2(ext2->fs, super->s_journal_inum, &inode, sizeof(inode), 0);
    if (failed)
        return imgi_ext2_fail(ext2, err, failed, "the journal");
    *clusters += (inode.i_size + unit - 1) / unit;
    return 0;
}

/* What the filesystem itself takes, where its superblock does not say it. */
static int count_overhead(struct imgi_ext2 *ext2, uint64_t *clusters, img_error *err)
{
    const struct imgi_ext2_library *library = &ext2->library;
    uint64_t last = imgi_ext2_blocks(ext2) - 1, at = ext2->fs->super->s_first_data_block;
    unsigned bits = (unsigned)ext2->fs->cluster_ratio_bits;
    ext2fs_block_bitmap bitmap;
    blk64_t from, to;
    int rc;

    *clusters = at >> bits;
    if (library->ext2fs_allocate_block_bitmap(ext2->fs, NULL, &bitmap))
        return imgi_fail_nomem(err, "a bitmap of blocks");
    rc = imgi_ext2_mark_metadata(ext2, bitmap, err);
    for (; rc == 0 && at <= last; at = to) {
        if (library->ext2fs_find_first_set_block_bitmap2(bitmap, at, last, &from))
            break;
        if (library->ext2fs_find_first_zero_block_bitmap2(bitmap, from, last, &to))
            to = last + 1;
        *clusters += (to - from + ((uint64_t)1 << bits) - 1) >> bits;
    }
    library->ext2fs_free_block_bitmap(bitmap);
    return rc < 0 ? rc : add_journal(ext2, clusters, err);
}

int imgi_ext2_usage(struct img_fs *fs, img_fs_usage *usage, img_error *err)
{
    struct imgi_ext2 *ext2 = fs->state;
    struct ext2_super_block *super = ext2->fs->super;
    unsigned bits = (unsigned)ext2->fs->cluster_ratio_bits;
    uint64_t blocks = imgi_ext2_blocks(ext2), reserved = super->s_r_blocks_count, clusters;
    uint64_t overhead = super->s_overhead_clusters;
    int rc = 0;

    if (overhead == 0 || overhead > blocks >> bits)
        rc = count_overhead(ext2, &overhead, err);
    if (rc < 0)
        return rc;
    rc = count_free(ext2, &clusters, &usage->files_free, err);
    if (rc < 0)
        return rc;
    if (ext2fs_has_feature_64bit(super))
        reserved |= (uint64_t)super->s_r_blocks_count_hi << 32;
    if (ext2fs_has_feature_extents(super))
        reserved += IMGI_MIN((blocks >> bits) / RESERVED_SHARE, RESERVED_MAX) << bits;
    usage->block_size = ext2->fs->blocksize;
    usage->blocks = blocks - IMGI_MIN(blocks, overhead << bits);
    usage->blocks_free = IMGI_MIN(clusters << bits, usage->blocks);
    usage->blocks_available = usage->blocks_free - IMGI_MIN(usage->blocks_free, reserved);
    usage->files = super->s_inodes_count;
    usage->name_max = EXT2_NAME_LEN;
    return 0;
}

#endif
