/*
 * Grains of zeros, and grains that are given up for them. SPDX-License-Identifier: BSD-2-Clause
 *
 * Without a parent a grain that is absent reads as zeros; with one only a table that knows zeroed
 * grains can say so, and otherwise the bytes are written.
 */
#include "vmdk.h"

/* A run that has no grains must read as zeros. A part of one cannot be told apart from its rest. */
static int zero_absent(struct imgi_node *node, const struct vmdk_extent *extent, uint64_t at,
                       uint64_t length, img_error *err)
{
    struct vmdk_sparse *sparse = extent->sparse;

    if (!node->backing_name)
        return 0;
    if (sparse->stream || !(sparse->header.flags & VMDK_FLAG_ZERO_GRAINS) ||
        at % sparse->grain != 0 || (length % sparse->grain != 0 && at + length < extent->length))
        return IMG_E_UNSUPPORTED;
    return vmdk_sparse_set_entries(sparse, at / sparse->grain, imgi_div_up(length, sparse->grain),
                                   VMDK_ENTRY_ZERO, 0, err);
}

/*
 * A run of grains must read as zeros, and their space may go. The bytes become zeros before the
 * tables say so: if that is the last thing that is written, it is nothing worse. Parts of grains,
 * and grains that hide the parent's where a table cannot say zeros, keep their entries.
 */
static int free_grains(struct imgi_node *node, const struct vmdk_extent *extent, uint64_t at,
                       const struct imgi_extent *run, img_error *err)
{
    struct vmdk_sparse *sparse = extent->sparse;
    uint64_t first = imgi_div_up(at, sparse->grain), end = (at + run->length) / sparse->grain;
    uint32_t value = node->backing_name ? VMDK_ENTRY_ZERO : VMDK_ENTRY_ABSENT;
    uint64_t length = run->length, file_size;
    int rc = imgi_io_size(run->io, &file_size, err);

    /* The disk's end cuts the last grain, which is whole in the file. */
    if (rc == 0 && at + length == extent->length) {
        end = imgi_div_up(extent->length, sparse->grain);
        length = IMGI_MIN(end * sparse->grain - at, file_size - run->host);
    }
    if (rc == 0)
        rc = imgi_io_zero(run->io, run->host, length, true, err);
    if (rc < 0 || first >= end ||
        (value == VMDK_ENTRY_ZERO && !(sparse->header.flags & VMDK_FLAG_ZERO_GRAINS)))
        return rc;
    return vmdk_sparse_set_entries(sparse, first, end - first, value, 0, err);
}

int vmdk_sparse_zero(struct imgi_node *node, const struct vmdk_extent *extent, uint64_t offset,
                     uint64_t length, bool unmap, img_error *err)
{
    int rc = 0;

    while (rc == 0 && length > 0) {
        struct imgi_extent run = {0};

        rc = vmdk_sparse_map(node, extent, offset, length, &run, err);
        if (rc < 0)
            return rc;
        if (run.kind == IMGI_ABSENT)
            rc = zero_absent(node, extent, offset - extent->offset, run.length, err);
        else if (run.kind == IMGI_DATA)
            rc = unmap ? free_grains(node, extent, offset - extent->offset, &run, err)
                       : imgi_io_zero(run.io, run.host, run.length, false, err);
        else if (run.kind != IMGI_ZERO)
            rc = IMG_E_UNSUPPORTED;
        offset += run.length;
        length -= run.length;
    }
    return rc;
}
