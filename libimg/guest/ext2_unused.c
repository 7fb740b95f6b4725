/*
 * Free blocks of ext2, ext3 and ext4. SPDX-License-Identifier: BSD-2-Clause
 *
 * What is said to be free may be thrown away, so a bitmap is believed only if everything is in
 * order: the filesystem was left clean, and the checksums of descriptors and bitmaps are right.
 * What holds metadata is in use whatever a bitmap says.
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <errno.h>
#include <inttypes.h>

static int check_state(struct imgi_ext2 *ext2, img_error *err)
{
    struct ext2_super_block *super = ext2->fs->super;
    uint64_t size = imgi_ext2_blocks(ext2) * ext2->fs->blocksize;
    const char *why = NULL;

    if (ext2fs_has_feature_journal_needs_recovery(super))
        why = "its journal has not been replayed";
    else if (super->s_state & EXT2_ERROR_FS)
        why = "it is marked as damaged";
    else if (!(super->s_state & EXT2_VALID_FS))
        why = "it was not unmounted cleanly";
    else if (size > ext2->volume->info.size)
        why = "it is larger than its volume";
    else if (ext2fs_has_feature_shared_blocks(super))
        why = "its files share blocks";
    return why ? imgi_fail(err, IMG_E_UNSUPPORTED,
                           "what the filesystem does not use is not known: %s", why)
               : 0;
}

/* Mark blocks as used, if the filesystem has them. */
static int mark(struct imgi_ext2 *ext2, ext2fs_block_bitmap bitmap, uint64_t block, uint64_t count,
                dgrp_t group, img_error *err)
{
    if (!imgi_ext2_has(ext2, block, count))
        return imgi_ext2_corrupt(err, "group %u: there is no block %" PRIu64, group, block);
    ext2->library.ext2fs_mark_block_bitmap_range2(bitmap, block, (unsigned)count);
    return 0;
}

int imgi_ext2_mark_metadata(struct imgi_ext2 *ext2, ext2fs_block_bitmap bitmap, img_error *err)
{
    const struct imgi_ext2_library *library = &ext2->library;
    ext2_filsys fs = ext2->fs;

    for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
        int rc;

        library->ext2fs_reserve_super_and_bgd(fs, group, bitmap);
        rc = mark(ext2, bitmap, library->ext2fs_block_bitmap_loc(fs, group), 1, group, err);
        if (rc == 0)
            rc = mark(ext2, bitmap, library->ext2fs_inode_bitmap_loc(fs, group), 1, group, err);
        if (rc == 0)
            rc = mark(ext2, bitmap, library->ext2fs_inode_table_loc(fs, group),
                      fs->inode_blocks_per_group, group, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int imgi_ext2_check_group(const struct imgi_ext2 *ext2, dgrp_t group, img_error *err)
{
    const struct imgi_ext2_library *library = &ext2->library;
    const struct ext2_super_block *super = ext2->fs->super;
    uint32_t most = super->s_blocks_per_group >> ext2->fs->cluster_ratio_bits;
    uint32_t clusters = library->ext2fs_bg_free_blocks_count(ext2->fs, group);
    uint32_t inodes = library->ext2fs_bg_free_inodes_count(ext2->fs, group);

    if (!library->ext2fs_group_desc_csum_verify(ext2->fs, group))
        return imgi_ext2_corrupt(err, "group %u: the checksum of its descriptor is wrong", group);
    if (clusters > most || inodes > super->s_inodes_per_group)
        return imgi_ext2_corrupt(err,
                                 "group %u: %u clusters of %u are free, %u inodes of %u: more than "
                                 "it has",
                                 group, clusters, most, inodes, super->s_inodes_per_group);
    return 0;
}

static int read_bitmap(struct imgi_ext2 *ext2, img_error *err)
{
    const struct imgi_ext2_library *library = &ext2->library;
    errcode_t failed;

    for (dgrp_t group = 0; group < ext2->fs->group_desc_count; group++) {
        int rc = imgi_ext2_check_group(ext2, group, err);

        if (rc < 0)
            return rc;
    }
    failed = library->ext2fs_read_block_bitmap(ext2->fs);
    if (failed)
        return imgi_ext2_fail(ext2, err, failed, "the bitmap of blocks cannot be read");
    return imgi_ext2_mark_metadata(ext2, ext2->fs->block_map, err);
}

/* The first block from `start` to `last` that is free, or used; one behind the last: none. */
static errcode_t find(struct imgi_ext2 *ext2, bool used, uint64_t start, uint64_t last,
                      uint64_t *block)
{
    __typeof__(ext2fs_find_first_set_block_bitmap2) *next =
        used ? ext2->library.ext2fs_find_first_set_block_bitmap2
             : ext2->library.ext2fs_find_first_zero_block_bitmap2;
    blk64_t found = 0;
    errcode_t failed = next(ext2->fs->block_map, start, last, &found);

    *block = failed == ENOENT ? last + 1 : IMGI_MAX(found, start);
    return failed == ENOENT ? 0 : failed;
}

static int tell(struct imgi_ext2 *ext2, imgi_unused_fn *unused, void *opaque, img_error *err)
{
    uint64_t at = ext2->fs->super->s_first_data_block, last = imgi_ext2_blocks(ext2) - 1;
    uint64_t unit = ext2->fs->blocksize;

    while (at <= last) {
        uint64_t end = last + 1;
        errcode_t failed = find(ext2, false, at, last, &at);
        int rc = 0;

        if (!failed && at <= last)
            failed = find(ext2, true, at, last, &end);
        if (failed)
            return imgi_ext2_fail(ext2, err, failed, "the bitmap of blocks cannot be read");
        if (at <= last)
            rc = unused(opaque, at * unit, (end - at) * unit, err);
        if (rc != 0)
            return rc;
        at = end;
    }
    return 0;
}

int imgi_ext2_unused(struct img_fs *fs, imgi_unused_fn *unused, void *opaque, img_error *err)
{
    struct imgi_ext2 *ext2 = fs->state;
    int rc = check_state(ext2, err);

    if (rc == 0)
        rc = read_bitmap(ext2, err);
    if (rc == 0)
        rc = tell(ext2, unused, opaque, err);
    if (ext2->fs->block_map)
        ext2->library.ext2fs_free_block_bitmap(ext2->fs->block_map);
    ext2->fs->block_map = NULL;
    return rc;
}

#endif
