/*
 * Filesystems that libext2fs reads: opened, and let go. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "ext2.h"

static bool reads(const char *content)
{
    return strcmp(content, "ext2") == 0 || strcmp(content, "ext3") == 0 ||
           strcmp(content, "ext4") == 0;
}

#ifdef HAVE_EXT2FS

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "util/text.h"

#define SUPERBLOCK 1024u
/* What the groups' descriptors may take of memory: enough for 250 TiB of 4 KiB blocks. */
#define DESCRIPTORS_MAX ((uint64_t)128 << 20)

/* ---------------------------------------------------------------- features */

/* Those that say that who does not know them cannot read it. */
static const char *const feature_names[32] = {
    [0] = "compression", [1] = "filetype",     [2] = "needs_recovery", [3] = "journal_dev",
    [4] = "meta_bg",     [6] = "extent",       [7] = "64bit",          [8] = "mmp",
    [9] = "flex_bg",     [10] = "ea_inode",    [12] = "dirdata",       [13] = "metadata_csum_seed",
    [14] = "large_dir",  [15] = "inline_data", [16] = "encrypt",       [17] = "casefold",
};

static int check_features(const struct ext2_super_block *super, img_error *err)
{
    uint32_t unknown = super->s_feature_incompat & ~(uint32_t)(EXT2_LIB_FEATURE_INCOMPAT_SUPP &
                                                               ~EXT3_FEATURE_INCOMPAT_JOURNAL_DEV);
    struct imgi_text text = {0};

    if (!unknown)
        return 0;
    for (unsigned n = 0; n < 32; n++) {
        if (!(unknown >> n & 1))
            continue;
        if (feature_names[n])
            imgi_text_add(&text, " %s", feature_names[n]);
        else
            imgi_text_add(&text, " FEATURE_I%u", n);
    }
    imgi_fail(err, IMG_E_UNSUPPORTED, "the filesystem has features that are not known here:%s",
              text.bytes ? text.bytes : "");
    free(text.bytes);
    return IMG_E_UNSUPPORTED;
}

/* ----------------------------------------------------------------- opening */

/* What libext2fs would otherwise allocate memory for first, and look at then. */
static int check_superblock(struct imgi_ext2 *ext2, img_error *err)
{
    struct ext2_super_block super;
    uint64_t blocks, groups;
    int rc = imgi_volume_read(ext2->volume, SUPERBLOCK, &super, sizeof(super), err);

    if (rc < 0)
        return rc;
    super.s_feature_incompat = imgi_get_le32((uint8_t *)&super.s_feature_incompat);
    rc = check_features(&super, err);
    if (rc < 0)
        return rc;
    blocks = imgi_get_le32((uint8_t *)&super.s_blocks_count);
    if (super.s_feature_incompat & EXT4_FEATURE_INCOMPAT_64BIT)
        blocks |= (uint64_t)imgi_get_le32((uint8_t *)&super.s_blocks_count_hi) << 32;
    groups = blocks / IMGI_MAX(imgi_get_le32((uint8_t *)&super.s_blocks_per_group), 1);
    if (blocks > UINT64_MAX / EXT2_MAX_BLOCK_SIZE ||
        groups > DESCRIPTORS_MAX / EXT2_MIN_DESC_SIZE_64BIT)
        return imgi_fail(err, IMG_E_LIMIT, "the filesystem has too many blocks: %" PRIu64, blocks);
    return 0;
}

/* What the user should know of before trusting what is read. */
static int warn(struct img_fs *fs, img_error *err)
{
    struct imgi_ext2 *ext2 = fs->state;
    const struct ext2_super_block *super = ext2->fs->super;
    uint64_t size = imgi_ext2_blocks(ext2) * ext2->fs->blocksize;
    struct imgi_text text = {0};

    if (ext2fs_has_feature_journal_needs_recovery(ext2->fs->super))
        imgi_text_add(&text, "; the journal has not been replayed: the filesystem is read as it is "
                             "on the disk, its newest changes may be missing or half done");
    else if (!(super->s_state & EXT2_VALID_FS))
        imgi_text_add(&text, "; the filesystem was not unmounted cleanly");
    if (super->s_state & EXT2_ERROR_FS)
        imgi_text_add(&text,
                      "; the filesystem is marked as damaged, e2fsck has not been run since");
    if (size > fs->volume->info.size)
        imgi_text_add(&text,
                      "; the filesystem has %" PRIu64 " bytes, of which %s has only %" PRIu64, size,
                      fs->volume->info.device, fs->volume->info.size);
    if (text.bytes)
        fs->warning = strdup(text.bytes + strlen("; "));
    text.failed = text.failed || (text.bytes && !fs->warning);
    free(text.bytes);
    return text.failed ? imgi_fail_nomem(err, "a filesystem") : 0;
}

static int open_fs(struct img_fs *fs, img_error *err)
{
    struct imgi_ext2 *ext2 = calloc(1, sizeof(*ext2));
    char name[IMGI_EXT2_NAME];
    errcode_t failed;
    int rc;

    if (!ext2)
        return imgi_fail_nomem(err, "a filesystem");
    fs->state = ext2;
    fs->root = EXT2_ROOT_INO;
    ext2->volume = fs->volume;
    rc = check_superblock(ext2, err);
    if (rc == 0)
        rc = imgi_ext2_load(&ext2->library, err);
    if (rc < 0)
        return rc;
    imgi_ext2_io(ext2, name);
    failed = ext2->library.ext2fs_open2(name, NULL, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES,
                                        0, 0, &ext2->manager, &ext2->fs);
    if (failed) {
        ext2->fs = NULL;
        return imgi_ext2_fail(ext2, err, failed, "the filesystem cannot be opened");
    }
    return warn(fs, err);
}

static void close_fs(struct img_fs *fs)
{
    struct imgi_ext2 *ext2 = fs->state;

    if (!ext2)
        return;
    if (ext2->fs)
        ext2->library.ext2fs_free(ext2->fs);
    imgi_ext2_forget(ext2->listings);
    free(ext2->inode.raw);
    free(ext2);
}

const struct imgi_provider imgi_provider_ext2 = {
    .library = "libext2fs",
    .reads = reads,
    .open = open_fs,
    .close = close_fs,
    .usage = imgi_ext2_usage,
    .stat = imgi_ext2_stat,
    .lookup = imgi_ext2_lookup,
    .list = imgi_ext2_list,
    .readlink = imgi_ext2_readlink,
    .xattr_names = imgi_ext2_xattr_names,
    .xattr = imgi_ext2_xattr,
    .file_open = imgi_ext2_file_open,
    .file_close = imgi_ext2_file_close,
    .map = imgi_ext2_file_map,
    .read = imgi_ext2_file_read,
    .unused = imgi_ext2_unused,
};

#else

static int open_fs(struct img_fs *fs, img_error *err)
{
    (void)fs;
    return imgi_fail(err, IMG_E_UNSUPPORTED,
                     "this build does not read ext2, ext3 and ext4 (Debian: libext2fs-dev)");
}

static void close_fs(struct img_fs *fs)
{
    (void)fs;
}

const struct imgi_provider imgi_provider_ext2 = {
    .library = "libext2fs",
    .reads = reads,
    .open = open_fs,
    .close = close_fs,
};

#endif
