/*
 * What qemu-img's info calls "format-specific". SPDX-License-Identifier: BSD-2-Clause
 */
#include "qcow2.h"

static void say_bitmap(struct imgi_info *info, const struct qcow2_bitmap *bitmap)
{
    imgi_info_dict_begin(info, NULL);
    imgi_info_list_begin(info, "flags");
    if (bitmap->flags & QCOW2_BITMAP_IN_USE)
        imgi_info_string(info, NULL, "in-use");
    if (bitmap->flags & QCOW2_BITMAP_AUTO)
        imgi_info_string(info, NULL, "auto");
    imgi_info_list_end(info);
    imgi_info_string(info, "name", bitmap->name);
    imgi_info_uint(info, "granularity", UINT64_C(1) << bitmap->granularity_bits);
    imgi_info_dict_end(info);
}

static int say_bitmaps(struct qcow2 *q, struct imgi_info *info, img_error *err)
{
    struct qcow2_bitmap_list list;
    int rc = qcow2_bitmaps_load(q, &list, err);

    if (rc < 0 || list.count == 0)
        return rc;
    imgi_info_list_begin(info, "bitmaps");
    for (size_t i = 0; i < list.count; i++)
        say_bitmap(info, &list.bitmaps[i]);
    imgi_info_list_end(info);
    qcow2_bitmaps_free(&list);
    return 0;
}

static void say_data_file(const struct qcow2 *q, struct imgi_info *info)
{
    const struct qcow2_extension *name = qcow2_extension_find(&q->header, QCOW2_EXT_DATA_FILE);

    if (name)
        imgi_info_string(info, "data-file", (const char *)name->data);
    imgi_info_bool(info, "data-file-raw", q->data_raw);
}

int qcow2_info(struct imgi_node *node, struct imgi_info *info, img_error *err)
{
    struct qcow2 *q = qcow2_of(node);
    const struct qcow2_header *header = &q->header;
    bool v3 = header->version >= 3;
    int rc = 0;

    imgi_info_string(info, "compat", v3 ? "1.1" : "0.10");
    imgi_info_string(info, "compression-type",
                     header->compression == QCOW2_COMPRESSION_ZSTD ? "zstd" : "zlib");
    if (v3) {
        imgi_info_bool(info, "lazy-refcounts", header->compatible & QCOW2_COMPAT_LAZY_REFCOUNTS);
        rc = say_bitmaps(q, info, err);
    }
    imgi_info_uint(info, "refcount-bits", UINT64_C(1) << header->refcount_order);
    if (q->data_file)
        say_data_file(q, info);
    qcow2_crypt_info(q, info);
    if (v3) {
        imgi_info_bool(info, "corrupt", header->incompatible & QCOW2_INCOMPAT_CORRUPT);
        imgi_info_bool(info, "extended-l2", header->incompatible & QCOW2_INCOMPAT_EXTENDED_L2);
    }
    return rc;
}
