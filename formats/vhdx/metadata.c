/*
 * The metadata region: what the disk is like. SPDX-License-Identifier: BSD-2-Clause
 *
 * A table of items, each known by a GUID (2.6.1). An item that is required and not known means that
 * the image cannot be understood; others may be ignored.
 */
#include <stdlib.h>

#include "vhdx.h"

/* One entry of the table. */
struct item {
    struct vhdx_guid guid;
    uint32_t offset, length; /* offset: in the region */
    uint32_t flags;
};

struct kind {
    const struct vhdx_guid *guid;
    const char *name;
    uint32_t length; /* 0: any */
    bool optional;
    int (*take)(struct vhdx *v, const struct item *item, const uint8_t *bytes, img_error *err);
};

static int take_parameters(struct vhdx *v, const struct item *item, const uint8_t *bytes,
                           img_error *err)
{
    uint32_t bits = imgi_get_le32(bytes + 4);

    (void)item;
    v->block_size = imgi_get_le32(bytes);
    v->fixed = bits & VHDX_PARAMETER_LEAVE_ALLOCATED;
    v->has_parent = bits & VHDX_PARAMETER_HAS_PARENT;
    if (!imgi_is_pow2(v->block_size) || v->block_size < VHDX_BLOCK_BYTES_MIN ||
        v->block_size > VHDX_BLOCK_BYTES_MAX)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "a block size of %u bytes is no power of two from 1 MiB to 256 MiB",
                         v->block_size);
    return 0;
}

static int take_size(struct vhdx *v, const struct item *item, const uint8_t *bytes, img_error *err)
{
    v->node->size = imgi_get_le64(bytes);
    v->size_at = v->metadata_region.offset + item->offset;
    if (v->node->size > VHDX_DISK_BYTES_MAX)
        return imgi_fail(err, IMG_E_CORRUPT, "a disk of %llu bytes is larger than 64 TiB",
                         (unsigned long long)v->node->size);
    return 0;
}

static int take_disk_id(struct vhdx *v, const struct item *item, const uint8_t *bytes,
                        img_error *err)
{
    (void)item;
    (void)err;
    v->disk_id = vhdx_guid_get(bytes);
    return 0;
}

static int judge_sector(uint32_t sector, img_error *err)
{
    if (sector == 512 || sector == 4096)
        return 0;
    return imgi_fail(err, IMG_E_CORRUPT, "a sector of %u bytes is neither 512 nor 4096", sector);
}

static int take_logical_sector(struct vhdx *v, const struct item *item, const uint8_t *bytes,
                               img_error *err)
{
    (void)item;
    v->node->sector_size = v->logical_sector = imgi_get_le32(bytes);
    return judge_sector(v->logical_sector, err);
}

static int take_physical_sector(struct vhdx *v, const struct item *item, const uint8_t *bytes,
                                img_error *err)
{
    (void)v;
    (void)item;
    return judge_sector(imgi_get_le32(bytes), err);
}

static int take_parent(struct vhdx *v, const struct item *item, const uint8_t *bytes,
                       img_error *err)
{
    return vhdx_locator_decode(v, bytes, item->length, err);
}

static const struct kind kinds[] = {
    {&vhdx_item_parameters, "file parameters", 8, false, take_parameters},
    {&vhdx_item_size, "virtual disk size", 8, false, take_size},
    {&vhdx_item_disk_id, "virtual disk id", 16, false, take_disk_id},
    {&vhdx_item_logical_sector, "logical sector size", 4, false, take_logical_sector},
    {&vhdx_item_physical_sector, "physical sector size", 4, false, take_physical_sector},
    {&vhdx_item_parent, "parent locator", 0, true, take_parent},
};

static int kind_of(const struct item *item)
{
    if (!(item->flags & VHDX_ITEM_USER)) {
        for (unsigned n = 0; n < IMGI_COUNT(kinds); n++) {
            if (vhdx_guid_equal(kinds[n].guid, &item->guid))
                return (int)n;
        }
    }
    return -1;
}

/* Note a known item; an unknown one must be one that can be ignored. */
static int sort_item(const struct vhdx *v, const struct item *item, struct item *found, unsigned n,
                     img_error *err)
{
    char text[VHDX_GUID_TEXT];
    int kind = kind_of(item);

    vhdx_guid_format(&item->guid, text);
    if (kind < 0 && (item->flags & VHDX_ITEM_REQUIRED))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "metadata table: entry %u: the item %s is not known, and required", n,
                         text);
    if (kind < 0)
        return 0;
    if (found[kind].offset != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "metadata table: entry %u: the %s is there twice", n,
                         kinds[kind].name);
    if (item->offset < VHDX_TABLE_BYTES || item->length == 0 ||
        item->length > VHDX_ITEM_BYTES_MAX ||
        !imgi_span_ok(item->offset, item->length, v->metadata_region.length))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "metadata table: entry %u: the %s (%u bytes at 0x%x of the region) lies "
                         "outside the region, or in its table",
                         n, kinds[kind].name, item->length, item->offset);
    if (kinds[kind].length != 0 && item->length != kinds[kind].length)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "metadata table: entry %u: the %s has %u bytes instead of %u", n,
                         kinds[kind].name, item->length, kinds[kind].length);
    found[kind] = *item;
    return 0;
}

static int sort_items(const struct vhdx *v, const uint8_t *table, struct item *found,
                      img_error *err)
{
    unsigned count = imgi_get_le16(table + VHDX_METADATA_AT_COUNT);
    int rc = 0;

    if (memcmp(table, VHDX_METADATA_SIGNATURE, 8) != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "metadata table at 0x%llx: the signature is wrong",
                         (unsigned long long)v->metadata_region.offset);
    if (count > VHDX_TABLE_ENTRIES)
        return imgi_fail(err, IMG_E_CORRUPT, "metadata table: %u entries are more than %u", count,
                         VHDX_TABLE_ENTRIES);
    for (unsigned n = 0; rc == 0 && n < count; n++) {
        const uint8_t *bytes = table + VHDX_METADATA_AT_ENTRIES + n * VHDX_METADATA_ENTRY_BYTES;
        struct item item = {.guid = vhdx_guid_get(bytes),
                            .offset = imgi_get_le32(bytes + 16),
                            .length = imgi_get_le32(bytes + 20),
                            .flags = imgi_get_le32(bytes + 24)};

        rc = sort_item(v, &item, found, n, err);
    }
    return rc;
}

static int take_item(struct vhdx *v, const struct kind *kind, const struct item *item,
                     img_error *err)
{
    uint8_t *bytes = NULL;
    int rc;

    if (item->offset == 0)
        return kind->optional
                   ? 0
                   : imgi_fail(err, IMG_E_CORRUPT, "metadata: the %s is missing", kind->name);
    bytes = malloc(item->length);
    if (!bytes)
        return imgi_fail_nomem(err, kind->name);
    rc = imgi_io_read(v->io, bytes, item->length, v->metadata_region.offset + item->offset, err);
    if (rc == 0)
        rc = kind->take(v, item, bytes, err);
    if (rc < 0)
        imgi_error_prefix(err, "metadata: %s at 0x%llx", kind->name,
                          (unsigned long long)v->metadata_region.offset + item->offset);
    free(bytes);
    return rc;
}

/* What one item alone cannot tell. */
static int judge_whole(const struct vhdx *v, img_error *err)
{
    if (v->node->size % v->logical_sector != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "metadata: a disk of %llu bytes is no multiple of its sectors of %u",
                         (unsigned long long)v->node->size, v->logical_sector);
    if (v->has_parent && v->linkages == 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "metadata: the image has a parent, but no parent locator with a "
                         "parent_linkage");
    return 0;
}

int vhdx_metadata_read(struct vhdx *v, img_error *err)
{
    struct item found[IMGI_COUNT(kinds)] = {{.offset = 0}};
    uint8_t *table = malloc(VHDX_TABLE_BYTES);
    int rc = table ? imgi_io_read(v->io, table, VHDX_TABLE_BYTES, v->metadata_region.offset, err)
                   : imgi_fail_nomem(err, "the metadata table");

    if (rc == 0)
        rc = sort_items(v, table, found, err);
    for (size_t n = 0; rc == 0 && n < IMGI_COUNT(kinds); n++)
        rc = take_item(v, &kinds[n], &found[n], err);
    free(table);
    return rc < 0 ? rc : judge_whole(v, err);
}
