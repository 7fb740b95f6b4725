/*
 * The provider for ext2, ext3 and ext4. SPDX-License-Identifier: BSD-2-Clause
 *
 * libext2fs opens the filesystem, reads inodes and bitmaps, and verifies checksums. How blocks are
 * found, and what stands in directories and extended attributes, is read here, in bounded time and
 * memory whatever a filesystem says. fs->lock is held around all of it.
 */
#ifndef IMGI_EXT2_H
#define IMGI_EXT2_H

#include "provider.h"

#ifdef HAVE_EXT2FS

#include <ext2fs/ext2fs.h>

#define IMGI_EXT2_FUNCTIONS(X)                                                                     \
    X(ext2fs_allocate_block_bitmap)                                                                \
    X(ext2fs_bg_free_blocks_count)                                                                 \
    X(ext2fs_bg_free_inodes_count)                                                                 \
    X(ext2fs_block_bitmap_loc)                                                                     \
    X(ext2fs_dir_block_csum_verify)                                                                \
    X(ext2fs_extent_block_csum_verify)                                                             \
    X(ext2fs_find_first_set_block_bitmap2)                                                         \
    X(ext2fs_find_first_zero_block_bitmap2)                                                        \
    X(ext2fs_free)                                                                                 \
    X(ext2fs_free_block_bitmap)                                                                    \
    X(ext2fs_group_desc_csum_verify)                                                               \
    X(ext2fs_inode_bitmap_loc)                                                                     \
    X(ext2fs_inode_table_loc)                                                                      \
    X(ext2fs_mark_block_bitmap_range2)                                                             \
    X(ext2fs_open2)                                                                                \
    X(ext2fs_read_block_bitmap)                                                                    \
                                                                                                   \
    X(ext2fs_read_ext_attr3) X(ext2fs_read_inode2) X(ext2fs_reserve_super_and_bgd)

struct imgi_ext2_library {
#define IMGI_EXT2_MEMBER(function) __typeof__(function) *function;
    IMGI_EXT2_FUNCTIONS(IMGI_EXT2_MEMBER)
    const struct error_table *errors;
};

/* An inode in the host's byte order, as long as the filesystem's inodes are. */
struct imgi_ext2_inode {
    ext2_ino_t number; /* 0: none has been read */
    size_t size;
    struct ext2_inode_large *raw; /* malloc'd; zeros behind a short one */
};

/* fs->state */
struct imgi_ext2 {
    struct imgi_ext2_library library;
    struct struct_io_manager manager; /* reads the volume */
    const struct imgi_volume *volume;
    ext2_filsys fs;
    img_error io_error;           /* why a read of the volume failed */
    struct imgi_ext2_inode inode; /* the last one that was read */
    struct imgi_ext2_listing
        *listings; /* ext2_lookup.c: directories that are kept, the last one first */
};

/* What our reads give libext2fs when they fail; ext2->io_error says more. */
#define IMGI_EXT2_READ_FAILED ((errcode_t)EIO)

/* ---- ext2_io.c: the library, and how it reads ---- */

int imgi_ext2_load(struct imgi_ext2_library *library, img_error *err);
/* Make ext2->manager, and the name under which it opens ext2->volume. */
#define IMGI_EXT2_NAME 32
void imgi_ext2_io(struct imgi_ext2 *ext2, char name[IMGI_EXT2_NAME]);
/* How many blocks the filesystem has, and whether it has these. */
uint64_t imgi_ext2_blocks(const struct imgi_ext2 *ext2);
bool imgi_ext2_has(const struct imgi_ext2 *ext2, uint64_t block, uint64_t count);
/* Read blocks of the filesystem. Blocks that it does not have are its fault. */
int imgi_ext2_read(struct imgi_ext2 *ext2, uint64_t block, size_t count, void *buffer,
                   img_error *err);
/* What libext2fs failed with, and at what ("inode 12"). */
int imgi_ext2_fail(struct imgi_ext2 *ext2, img_error *err, errcode_t code, const char *format, ...)
    IMG_PRINTF(4, 5);
/* Something is not as it has to be. */
int imgi_ext2_corrupt(img_error *err, const char *format, ...) IMG_PRINTF(2, 3);

/* ---- ext2_inode.c ---- */

/* The inode of a file, valid until the next one is read. */
int imgi_ext2_inode_read(struct imgi_ext2 *ext2, uint64_t number,
                         const struct imgi_ext2_inode **inode, img_error *err);
/* Its bytes from i_extra_isize's end on are extended attributes; 0: it has no room for them. */
size_t imgi_ext2_inode_used(const struct imgi_ext2_inode *inode);
uint64_t imgi_ext2_inode_length(const struct imgi_ext2 *ext2, const struct imgi_ext2_inode *inode);
int imgi_ext2_stat(struct img_fs *fs, uint64_t number, img_stat *stat, img_error *err);
int imgi_ext2_readlink(struct img_fs *fs, uint64_t number, char **target, img_error *err);

/* ---- ext2_map.c: where a file's blocks are ---- */

struct imgi_ext2_run {
    uint64_t first, count; /* blocks of the file */
    uint64_t place;        /* block of the filesystem; 0: a hole */
};

/* Zeroed, and ended by imgi_ext2_map_end. */
struct imgi_ext2_map {
    struct imgi_ext2 *ext2;
    ext2_ino_t number;
    bool extents;
    uint32_t pointers[EXT2_N_BLOCKS]; /* or the bytes of the extent tree's root */
    uint8_t *node;                    /* the block of pointers or extents that was read last */
    uint64_t node_place;              /* 0: none */
    struct imgi_ext2_run last;        /* the last answer */
};

void imgi_ext2_map_begin(struct imgi_ext2_map *map, struct imgi_ext2 *ext2,
                         const struct imgi_ext2_inode *inode);
/* The run that block is in; it may be longer than the file. */
int imgi_ext2_map_find(struct imgi_ext2_map *map, uint64_t block, struct imgi_ext2_run *run,
                       img_error *err);
void imgi_ext2_map_end(struct imgi_ext2_map *map);
/* The first bytes of the file. There is room for all of the blocks that they are in. */
int imgi_ext2_map_read(struct imgi_ext2_map *map, void *buffer, uint64_t length, img_error *err);
/* The node of a tree that is in that block, until the next one is read. */
int imgi_ext2_map_node(struct imgi_ext2_map *map, uint64_t place, const uint8_t **node,
                       img_error *err);

/* ---- ext2_extents.c ---- */

int imgi_ext2_extents_find(struct imgi_ext2_map *map, uint64_t block, struct imgi_ext2_run *run,
                           img_error *err);

/* ---- ext2_dir.c ---- */

int imgi_ext2_list(struct img_fs *fs, uint64_t directory, imgi_entry_fn *entry, void *opaque,
                   img_error *err);

/* ---- ext2_attributes.c ---- */

#define IMGI_EXT2_PREFIX_SYSTEM 7u

struct imgi_ext2_attribute {
    unsigned prefix; /* a number for what its name begins with */
    const char *name;
    size_t name_length;
    const uint8_t *value; /* NULL: another inode holds it */
    uint32_t holder;
    uint32_t length; /* of the value */
};
/* Takes one of them, which is valid until it returns; not 0 ends the reading with that code. */
typedef int imgi_ext2_attribute_fn(void *opaque, const struct imgi_ext2_attribute *attribute,
                                   img_error *err);
/* First those in the inode, which have precedence. No other inode may be read meanwhile. */
int imgi_ext2_attributes(struct imgi_ext2 *ext2, const struct imgi_ext2_inode *inode,
                         imgi_ext2_attribute_fn *function, void *opaque, img_error *err);
/* Of a file whose content is in its inode: the first bytes, zeros behind them. */
int imgi_ext2_inline_read(const struct imgi_ext2_inode *inode, void *buffer, uint64_t length,
                          img_error *err);

/* ---- ext2_xattr.c ---- */

int imgi_ext2_xattr_names(struct img_fs *fs, uint64_t number, char **names, size_t *length,
                          img_error *err);
int imgi_ext2_xattr(struct img_fs *fs, uint64_t number, const char *name, void **value,
                    size_t *length, img_error *err);

/* ---- ext2_lookup.c ---- */

struct imgi_ext2_listing;
int imgi_ext2_lookup(struct img_fs *fs, uint64_t directory, const char *name, uint64_t *inode,
                     img_error *err);
void imgi_ext2_forget(struct imgi_ext2_listing *listings);

/* ---- ext2_file.c ---- */

int imgi_ext2_file_open(struct img_file *file, img_error *err);
void imgi_ext2_file_close(struct img_file *file);
int imgi_ext2_file_map(struct img_file *file, struct imgi_run *run, img_error *err);
int imgi_ext2_file_read(struct img_file *file, uint64_t offset, void *buffer, size_t length,
                        img_error *err);

/* ---- ext2_usage.c ---- */

int imgi_ext2_usage(struct img_fs *fs, img_fs_usage *usage, img_error *err);

/* ---- ext2_unused.c ---- */

int imgi_ext2_unused(struct img_fs *fs, imgi_unused_fn *unused, void *opaque, img_error *err);
/* What a group says of itself is in order: its checksum, and how much of it is free. */
int imgi_ext2_check_group(const struct imgi_ext2 *ext2, dgrp_t group, img_error *err);
/* Mark what the filesystem itself takes: superblocks, descriptors, bitmaps, tables of inodes. */
int imgi_ext2_mark_metadata(struct imgi_ext2 *ext2, ext2fs_block_bitmap bitmap, img_error *err);

#endif
#endif
