/*
 * Extended attributes of ext2 to ext4. SPDX-License-Identifier: BSD-2-Clause
 *
 * Their names are a prefix, which is stored as a number, and the rest. The content of small files
 * may be among them.
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <inttypes.h>
#include <string.h>

#define ALIGNMENT 4u
#define MAGIC_SIZE 4u
#define PREFIX_SYSTEM 7u

/* Where attributes are: entries from the start on, values somewhere behind them. */
struct area {
    const uint8_t *bytes; /* values are found from here on */
    size_t first, size;   /* of the entries */
    ext2_ino_t number;    /* whose they are, for messages */
};

struct attribute {
    unsigned prefix;
    const char *name;
    size_t name_length;
    const uint8_t *value; /* NULL: inode `holder` holds it */
    uint32_t holder;
    uint32_t length;
};

/* Takes one of them; not 0 ends the reading with that code. */
typedef int attribute_fn(void *opaque, const struct attribute *attribute, img_error *err);

static int damaged(const struct area *area, img_error *err)
{
    return imgi_ext2_corrupt(err, "inode %" PRIu32 ": its extended attributes are damaged",
                             area->number);
}

/* Entries end with four bytes of zeros, or with the area. */
static int read_area(const struct area *area, attribute_fn *function, void *opaque, img_error *err)
{
    struct ext2_ext_attr_entry entry;
    int rc = 0;

    for (size_t at = area->first; rc == 0 && area->size - at >= sizeof(uint32_t);) {
        struct attribute attribute;
        uint32_t end;

        memcpy(&end, area->bytes + at, sizeof(end));
        if (end == 0)
            return 0;
        if (area->size - at < sizeof(entry))
            return damaged(area, err);
        memcpy(&entry, area->bytes + at, sizeof(entry));
        if (entry.e_name_len > area->size - at - sizeof(entry))
            return damaged(area, err);
        attribute = (struct attribute){
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
static int read_inode_area(const struct imgi_ext2_inode *inode, attribute_fn *function,
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

/* ---------------------------------------------------- content in the inode */

/* What comes behind the bytes that are in i_block. */
struct rest {
    uint8_t *to;
    uint64_t length;
};

static int copy_data(void *opaque, const struct attribute *attribute, img_error *err)
{
    struct rest *rest = opaque;

    (void)err;
    if (attribute->prefix == PREFIX_SYSTEM && attribute->value && attribute->name_length == 4 &&
        memcmp(attribute->name, "data", 4) == 0)
        memcpy(rest->to, attribute->value, IMGI_MIN(attribute->length, rest->length));
    return 0;
}

int imgi_ext2_inline_read(struct imgi_ext2 *ext2, const struct imgi_ext2_inode *inode, void *buffer,
                          uint64_t length, img_error *err)
{
    size_t first = (size_t)IMGI_MIN(length, sizeof(inode->raw->i_block));
    struct rest rest = {.to = (uint8_t *)buffer + first, .length = length - first};

    (void)ext2;
    memcpy(buffer, inode->raw->i_block, first);
    memset(rest.to, 0, (size_t)rest.length);
    return rest.length ? read_inode_area(inode, copy_data, &rest, err) : 0;
}

#endif
