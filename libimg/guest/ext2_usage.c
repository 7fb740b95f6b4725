/*
 * How full it is, as statfs(2) of the kernel says it. SPDX-License-Identifier: BSD-2-Clause
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

/* The kernel keeps a fiftieth, up to that many clusters, for extents that have to be split. */
#define RESERVED_SHARE 50u
#define RESERVED_MAX 4096u

static void count_free(struct imgi_ext2 *ext2, uint64_t *clusters, uint64_t *inodes)
{
    const struct imgi_ext2_library *library = &ext2->library;

    *clusters = *inodes = 0;
    for (dgrp_t group = 0; group < ext2->fs->group_desc_count; group++) {
        *clusters += library->ext2fs_bg_free_blocks_count(ext2->fs, group);
        *inodes += library->ext2fs_bg_free_inodes_count(ext2->fs, group);
    }
}

int imgi_ext2_usage(struct img_fs *fs, img_fs_usage *usage, img_error *err)
{
    struct imgi_ext2 *ext2 = fs->state;
    struct ext2_super_block *super = ext2->fs->super;
    unsigned bits = (unsigned)ext2->fs->cluster_ratio_bits;
    uint64_t blocks = imgi_ext2_blocks(ext2), reserved = super->s_r_blocks_count, clusters;

    (void)err;
    count_free(ext2, &clusters, &usage->files_free);
    if (ext2fs_has_feature_64bit(super))
        reserved |= (uint64_t)super->s_r_blocks_count_hi << 32;
    if (ext2fs_has_feature_extents(super))
        reserved += IMGI_MIN((blocks >> bits) / RESERVED_SHARE, RESERVED_MAX) << bits;
    usage->block_size = ext2->fs->blocksize;
    usage->blocks = blocks - IMGI_MIN(blocks, (uint64_t)super->s_overhead_clusters << bits);
    usage->blocks_free = clusters << bits;
    usage->blocks_available = usage->blocks_free - IMGI_MIN(usage->blocks_free, reserved);
    usage->files = super->s_inodes_count;
    usage->name_max = EXT2_NAME_LEN;
    return 0;
}

#endif
