/*
 * How new extents are laid out. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VMDK_LAYOUT_H
#define VMDK_LAYOUT_H

#include "descriptor.h"
#include "disk.h"

/* QEMU's parts: 2 GiB. */
#define VMDK_PART_BYTES (2ull << 30)
/* Bytes that writers leave for an embedded descriptor. */
#define VMDK_DESCRIPTOR_ROOM (20u * VMDK_SECTOR)

/* What a new sparse extent is like. */
struct vmdk_shape {
    uint64_t size;  /* bytes of disk, whole sectors */
    uint64_t grain; /* bytes */
    bool zero_grains, stream;
};

/* Its header. IMG_E_INVAL when such an extent cannot be. */
int vmdk_shape_header(const struct vmdk_shape *shape, struct vmdk_header *header, img_error *err);
/* Write an empty one to an empty file, the header last. descriptor: to be embedded, or NULL. */
int vmdk_extent_write(struct imgi_io *io, const struct vmdk_shape *shape,
                      const struct imgi_text *descriptor, img_error *err);

#endif
