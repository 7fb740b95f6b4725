/*
 * VMDK: VMware's disks, monolithic or in parts, sparse, flat or as a stream.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The driver's table, and the way from a place on the disk to the extent that holds it. Runs and
 * reservations never cross from one extent into the next.
 */
#include "vmdk.h"

static int vmdk_probe(const struct imgi_probe *probe)
{
    uint32_t magic = imgi_get_le32(probe->head);

    if (magic == VMDK_MAGIC || magic == VMDK_COWD_MAGIC ||
        imgi_get_le64(probe->head) == VMDK_SESPARSE_MAGIC)
        return 100;
    return vmdk_descriptor_looks_like(probe->head, probe->length) ? 100 : 0;
}

static int fail_no_access(uint64_t offset, img_error *err)
{
    return imgi_fail(err, IMG_E_DENIED, "guest bytes at 0x%llx lie in a NOACCESS extent",
                     (unsigned long long)offset);
}

static int map_sesparse(struct imgi_node *node, const struct vmdk_extent *extent, uint64_t length,
                        struct imgi_extent *run, img_error *err)
{
    int rc = vmdk_sesparse_map(extent->sesparse, run->offset - extent->offset, length, run, err);

    return rc == 0 && run->kind == IMGI_ABSENT ? vmdk_judge_parent(node, err) : rc;
}

static int vmdk_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                    struct imgi_extent *run, img_error *err)
{
    const struct vmdk_extent *extent = vmdk_extent_at(vmdk_state(node), offset);

    run->offset = offset;
    length = IMGI_MIN(length, extent->offset + extent->length - offset);
    if (extent->sparse)
        return vmdk_sparse_map(node, extent, offset, length, run, err);
    if (extent->sesparse)
        return map_sesparse(node, extent, length, run, err);
    if (extent->access == VMDK_ACCESS_NOACCESS)
        return fail_no_access(offset, err);
    run->length = length;
    run->kind = IMGI_ZERO;
    if (extent->io) {
        run->kind = IMGI_DATA;
        run->flags = IMGI_EXTENT_HOLES | (node->writable ? IMGI_EXTENT_INPLACE : 0);
        run->io = extent->io;
        run->host = extent->host + (offset - extent->offset);
    } else if (extent->type != VMDK_TYPE_ZERO) {
        return imgi_fail(err, IMG_E_INVAL, "the image was opened without its files");
    }
    return 0;
}

/* Only one extent can come through a pipe, with its descriptor inside. */
static int vmdk_pass(struct imgi_node *node, uint64_t offset, img_error *err)
{
    const struct vmdk_sparse *sparse = vmdk_state(node)->extents[0].sparse;

    return sparse->sequence ? vmdk_sequence_pass(sparse, offset, err) : 0;
}

static int vmdk_reserve(struct imgi_node *node, struct imgi_alloc *alloc, img_error *err)
{
    const struct vmdk_extent *extent = vmdk_extent_at(vmdk_state(node), alloc->from);

    if (!extent->sparse)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "guest bytes at 0x%llx lie in a ZERO extent",
                         (unsigned long long)alloc->from);
    return vmdk_sparse_reserve(node, extent, alloc, err);
}

static int vmdk_link(struct imgi_node *node, const struct imgi_alloc *alloc, img_error *err)
{
    return vmdk_sparse_link(vmdk_extent_at(vmdk_state(node), alloc->from), alloc, err);
}

static void vmdk_cancel(struct imgi_node *node, const struct imgi_alloc *alloc)
{
    vmdk_sparse_cancel(vmdk_extent_at(vmdk_state(node), alloc->from)->sparse, alloc);
}

static int vmdk_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap,
                     img_error *err)
{
    int rc = 0;

    while (rc == 0 && length > 0) {
        const struct vmdk_extent *extent = vmdk_extent_at(vmdk_state(node), offset);
        uint64_t at = offset - extent->offset, step = IMGI_MIN(length, extent->length - at);

        if (extent->access == VMDK_ACCESS_NOACCESS)
            rc = fail_no_access(offset, err);
        else if (extent->sparse)
            rc = vmdk_sparse_zero(node, extent, offset, step, unmap, err);
        else if (extent->io)
            rc = imgi_io_zero(extent->io, extent->host + at, step, unmap, err);
        offset += step;
        length -= step;
    }
    return rc;
}

int vmdk_flush(struct imgi_node *node, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < state->extent_count; i++) {
        struct vmdk_sparse *sparse = state->extents[i].sparse;

        if (sparse && !sparse->stream)
            rc = vmdk_tables_write(sparse, err);
    }
    return rc;
}

static int vmdk_finish(struct imgi_node *node, img_error *err)
{
    struct vmdk_sparse *sparse = vmdk_state(node)->extents[0].sparse;

    if (sparse && sparse->stream)
        return vmdk_stream_finish(sparse, err);
    return vmdk_mark_clean(vmdk_state(node), err);
}

const struct imgi_driver imgi_driver_vmdk = {
    .name = "vmdk",
    .pipes = true,
    .state_size = sizeof(struct vmdk_state),
    .create_options = vmdk_create_options,
    .open_options = vmdk_open_options,
    .probe = vmdk_probe,
    .create = vmdk_create,
    .open = vmdk_open,
    .close = vmdk_close,
    .finish = vmdk_finish,
    .begin_write = vmdk_begin_write,
    .info = vmdk_info,
    .map = vmdk_map,
    .pass = vmdk_pass,
    .reserve = vmdk_reserve,
    .link = vmdk_link,
    .cancel = vmdk_cancel,
    .zero = vmdk_zero,
    .pack = vmdk_pack,
    .unpack = vmdk_unpack,
    .flush = vmdk_flush,
    .reach = vmdk_reach,
    .can_resize = vmdk_can_resize,
    .resize = vmdk_resize,
    .make_empty = vmdk_make_empty,
    .set_backing = vmdk_set_backing,
    .needs_backing = true,
    .commit_begin = vmdk_commit_begin,
    .commit_end = vmdk_commit_end,
    .snapshot_advice = "VMDK snapshots are delta files: use create -b",
    .check = vmdk_check,
    .measure = vmdk_measure,
};
