/*
 * Attributes in inodes and blocks of ext2 to ext4. SPDX-License-Identifier: BSD-2-Clause
 *
 * Extended ones, and the content of small files, which is one of them, too.
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 4u
#define MAGIC_SIZE 4u

/* Where attributes are: entries from the start on, values somewhere behind them. */
struct area {
    const uint8_t *bytes; /* values are found from here on */
    size_t first, size;   /* of the entries */
    ext2_ino_t number;    /* whose they are, for messages */
};

static int damaged(const struct area *area, img_error *err)
{
    return imgi_ext2_corrupt(err, "inode %" PRIu32 ": its extended attributes are damaged",
                             area->number);
}

/* Entries end with four bytes of zeros, or with the area. */
static int read_area(const struct area *area, imgi_ext2_attribute_fn *function, void *opaque,
                     img_error *err)
{
    struct ext2_ext_attr_entry entry;
    int rc = 0;

    for (size_t at = area->first; rc == 0 && area->size - at >= sizeof(uint32_t);) {
        struct imgi_ext2_attribute attribute;
        uint32_t end;

        memcpy(&end, area->bytes + at, sizeof(end));
        if (end == 0)
            return 0;
        if (area->size - at < sizeof(entry))
            return damaged(area, err);
        memcpy(&entry, area->bytes + at, sizeof(entry));
        if (entry.e_name_len > area->size - at - sizeof(entry) ||
            memchr(area->bytes + at + sizeof(entry), 0, entry.e_name_len))
            return damaged(area, err);
        attribute = (struct imgi_ext2_attribute){
            .prefix = entry.e_name_index,
            .name = (const char *)area->bytes + at + sizeof(entry),
            .name_length = entry.e_name_len,
            .holder = entry.e_value_inum,
            .length = entry.e_value_size,
        };
        if (!attribute.holder) {
            if (entry.e_value_offs > area->size ||
                entry.e_value_size > area->size - entry.e_value_offs)
                return damaged(area, err);
            attribute.value = area->bytes + entry.e_value_offs;
        }
        rc = function(opaque, &attribute, err);
        at += IMGI_MIN((sizeof(entry) + entry.e_name_len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT,
                       area->size - at);
    }
    return rc;
}

/* Those that are in the inode itself. */
static int read_inode_area(const struct imgi_ext2_inode *inode, imgi_ext2_attribute_fn *function,
                           void *opaque, img_error *err)
{
    size_t used = imgi_ext2_inode_used(inode);
    uint32_t magic;

    if (used == 0 || inode->size - used < MAGIC_SIZE)
        return 0;
    memcpy(&magic, (const uint8_t *)inode->raw + used, sizeof(magic));
    if (magic != EXT2_EXT_ATTR_MAGIC)
        return 0;
    return read_area(&(struct area){.bytes = (const uint8_t *)inode->raw + used + MAGIC_SIZE,
                                    .size = inode->size - used - MAGIC_SIZE,
                                    .number = inode->number},
                     function, opaque, err);
}

/* Those that are in a block, which other inodes may share. */
static int read_block_area(struct imgi_ext2 *ext2, const struct imgi_ext2_inode *inode,
                           uint64_t place, imgi_ext2_attribute_fn *function, void *opaque,
                           img_error *err)
{
    size_t size = ext2->fs->blocksize;
    struct area area = {
        .first = sizeof(struct ext2_ext_attr_header), .size = size, .number = inode->number};
    struct ext2_ext_attr_header header;
    uint8_t *bytes;
    errcode_t failed;
    int rc;

    if (!imgi_ext2_has(ext2, place, 1))
        return damaged(&area, err);
    bytes = malloc(size);
    if (!bytes)
        return imgi_fail_nomem(err, "extended attributes");
    area.bytes = bytes;
    failed = ext2->library.ext2fs_read_ext_attr3(ext2->fs, place, bytes, inode->number);
    memcpy(&header, bytes, sizeof(header));
    if (failed)
        rc = imgi_ext2_fail(ext2, err, failed, "inode %" PRIu32 ": its extended attributes",
                            inode->number);
    else if (header.h_magic != EXT2_EXT_ATTR_MAGIC || header.h_blocks != 1)
        rc = damaged(&area, err);
    else
        rc = read_area(&area, function, opaque, err);
    free(bytes);
    return rc;
}

int imgi_ext2_attributes(struct imgi_ext2 *ext2, const struct imgi_ext2_inode *inode,
                         imgi_ext2_attribute_fn *function, void *opaque, img_error *err)
{
    uint64_t place = inode->raw->i_file_acl;
    int rc = read_inode_area(inode, function, opaque, err);

    if (ext2fs_has_feature_64bit(ext2->fs->super))
        place |= (uint64_t)inode->raw->osd2.linux2.l_i_file_acl_high << 32;
    return rc == 0 && place ? read_block_area(ext2, inode, place, function, opaque, err) : rc;
}

/* ---------------------------------------------------- content in the inode */

/* What comes behind the bytes that are in i_block. */
struct rest {
    uint8_t *to;
    uint64_t length;
};

static int copy_data(void *opaque, const struct imgi_ext2_attribute *attribute, img_error *err)
{
    struct rest *rest = opaque;

    (void)err;
    if (attribute->prefix == IMGI_EXT2_PREFIX_SYSTEM && attribute->value &&
        attribute->name_length == 4 && memcmp(attribute->name, "data", 4) == 0)
        memcpy(rest->to, attribute->value, IMGI_MIN(attribute->length, rest->length));
    return 0;
}

int imgi_ext2_inline_read(const struct imgi_ext2_inode *inode, void *buffer, uint64_t length,
                          img_error *err)
{
    size_t first = (size_t)IMGI_MIN(length, sizeof(inode->raw->i_block));
    struct rest rest = {.to = (uint8_t *)buffer + first, .length = length - first};

    memcpy(buffer, inode->raw->i_block, first);
    memset(rest.to, 0, (size_t)rest.length);
    return rest.length ? read_inode_area(inode, copy_data, &rest, err) : 0;
}

#endif
