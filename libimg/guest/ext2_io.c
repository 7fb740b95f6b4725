/*
 * libext2fs, and how it reads a volume. SPDX-License-Identifier: BSD-2-Clause
 */
#include "ext2.h"
#include "util/library.h"

#ifdef HAVE_EXT2FS

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SONAME "libext2fs.so.2"

/* ---------------------------------------------------------------- library */

int imgi_ext2_load(struct imgi_ext2_library *library, img_error *err)
{
    static const struct imgi_symbol symbols[] = {
#define SYMBOL(function) {#function, offsetof(struct imgi_ext2_library, function), false},
        IMGI_EXT2_FUNCTIONS(SYMBOL){"et_ext2_error_table",
                                    offsetof(struct imgi_ext2_library, errors), false}};

    return imgi_library_load(library, SONAME, symbols, IMGI_COUNT(symbols),
                             "ext2, ext3 and ext4 are read with " SONAME
                             " (Debian: libext2fs2), which cannot be loaded",
                             err);
}

/* ----------------------------------------------------------------- errors */

int imgi_ext2_corrupt(img_error *err, const char *format, ...)
{
    char text[IMG_ERROR_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    imgi_fail(err, IMG_E_CORRUPT, "%s", text);
    if (err)
        err->os_errno = EUCLEAN; /* so the kernel calls it, EFSCORRUPTED */
    return IMG_E_CORRUPT;
}

/* Whether it says that a checksum is wrong, in which case the kernel has another errno. */
static bool is_checksum(errcode_t code)
{
    switch (code) {
    case EXT2_ET_SB_CSUM_INVALID:
    case EXT2_ET_INODE_CSUM_INVALID:
    case EXT2_ET_INODE_BITMAP_CSUM_INVALID:
    case EXT2_ET_BLOCK_BITMAP_CSUM_INVALID:
    case EXT2_ET_EXTENT_CSUM_INVALID:
    case EXT2_ET_DIR_CSUM_INVALID:
    case EXT2_ET_EXT_ATTR_CSUM_INVALID:
        return true;
    default:
        return false;
    }
}

int imgi_ext2_fail(struct imgi_ext2 *ext2, img_error *err, errcode_t code, const char *format, ...)
{
    const struct error_table *errors = ext2->library.errors;
    char place[IMG_ERROR_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(place, sizeof(place), format, args);
    va_end(args);
    if (code == IMGI_EXT2_READ_FAILED && ext2->io_error.code) {
        if (err)
            *err = ext2->io_error;
        imgi_error_prefix(err, "%s", place);
        return ext2->io_error.code;
    }
    if (code == EXT2_ET_NO_MEMORY || code == ENOMEM)
        return imgi_fail_nomem(err, place);
    if (code > errors->base && code < errors->base + errors->n_msgs)
        imgi_ext2_corrupt(err, "%s: %s", place, errors->msgs[code - errors->base]);
    else
        imgi_ext2_corrupt(err, "%s: error %ld of libext2fs", place, (long)code);
    if (err && is_checksum(code))
        err->os_errno = EBADMSG;
    return IMG_E_CORRUPT;
}

/* ------------------------------------------------------------- I/O manager */

/*
 * libext2fs has nothing but a name to tell the manager's open what to open. Ours is the address of
 * the state, as text.
 */
static errcode_t open_channel(const char *name, int flags, io_channel *channel)
{
    struct imgi_ext2 *ext2 = (struct imgi_ext2 *)strtoull(name, NULL, 16);

    if (flags & IO_FLAG_RW)
        return EXT2_ET_RO_FILSYS;
    *channel = calloc(1, sizeof(**channel));
    if (!*channel)
        return EXT2_ET_NO_MEMORY;
    (*channel)->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    (*channel)->manager = &ext2->manager;
    (*channel)->name = strdup(name);
    (*channel)->block_size = EXT2_MIN_BLOCK_SIZE;
    (*channel)->refcount = 1;
    (*channel)->private_data = ext2;
    if ((*channel)->name)
        return 0;
    free(*channel);
    *channel = NULL;
    return EXT2_ET_NO_MEMORY;
}

static errcode_t close_channel(io_channel channel)
{
    if (--channel->refcount > 0)
        return 0;
    free(channel->name);
    free(channel);
    return 0;
}

static errcode_t set_block_size(io_channel channel, int size)
{
    channel->block_size = size;
    return 0;
}

/* A negative count is one of bytes. */
static errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void *data)
{
    struct imgi_ext2 *ext2 = channel->private_data;
    uint64_t unit = (uint64_t)channel->block_size, offset;
    uint64_t length = count < 0 ? (uint64_t) - (int64_t)count : (uint64_t)count * unit;

    ext2->io_error = (img_error){0};
    if (__builtin_mul_overflow((uint64_t)block, unit, &offset))
        imgi_ext2_corrupt(&ext2->io_error, "there is no block %llu", block);
    else if (imgi_volume_read(ext2->volume, offset, data, length, &ext2->io_error) == 0)
        return 0;
    return IMGI_EXT2_READ_FAILED;
}

static errcode_t read_blocks_32(io_channel channel, unsigned long block, int count, void *data)
{
    return read_blocks(channel, block, count, data);
}

static errcode_t write_blocks(io_channel channel, unsigned long long block, int count,
                              const void *data)
{
    (void)channel, (void)block, (void)count, (void)data;
    return EXT2_ET_RO_FILSYS;
}

static errcode_t write_blocks_32(io_channel channel, unsigned long block, int count,
                                 const void *data)
{
    return write_blocks(channel, block, count, data);
}

static errcode_t flush(io_channel channel)
{
    (void)channel;
    return 0;
}

void imgi_ext2_io(struct imgi_ext2 *ext2, char name[IMGI_EXT2_NAME])
{
    ext2->manager = (struct struct_io_manager){
        .magic = EXT2_ET_MAGIC_IO_MANAGER,
        .name = "img",
        .open = open_channel,
        .close = close_channel,
        .set_blksize = set_block_size,
        .read_blk = read_blocks_32,
        .read_blk64 = read_blocks,
        .write_blk = write_blocks_32,
        .write_blk64 = write_blocks,
        .flush = flush,
    };
    snprintf(name, IMGI_EXT2_NAME, "%" PRIxPTR, (uintptr_t)ext2);
}

uint64_t imgi_ext2_blocks(const struct imgi_ext2 *ext2)
{
    const struct ext2_super_block *super = ext2->fs->super;
    uint64_t blocks = super->s_blocks_count;

    if (ext2fs_has_feature_64bit(ext2->fs->super))
        blocks |= (uint64_t)super->s_blocks_count_hi << 32;
    return blocks;
}

bool imgi_ext2_has(const struct imgi_ext2 *ext2, uint64_t block, uint64_t count)
{
    uint64_t blocks = imgi_ext2_blocks(ext2);

    return block >= ext2->fs->super->s_first_data_block && block < blocks &&
           count <= blocks - block;
}

int imgi_ext2_read(struct imgi_ext2 *ext2, uint64_t block, size_t count, void *buffer,
                   img_error *err)
{
    if (!imgi_ext2_has(ext2, block, count))
        return imgi_ext2_corrupt(err, "there is no block %" PRIu64, block);
    return imgi_volume_read(ext2->volume, block * ext2->fs->blocksize, buffer,
                            count * ext2->fs->blocksize, err);
}

#endif
