/*
 * VHDX: the disks of Hyper-V. SPDX-License-Identifier: BSD-2-Clause
 *
 * Opening and closing, and the driver's table. The log is replayed before anything but the
 * headers is believed (2.3): in the file where it may be written, else in memory (view.c).
 */
#include <stdlib.h>

#include "vhdx.h"

/* Memory for pieces of sector bitmaps: each says where 16 MiB of the disk are, or 128. */
#define BITMAP_BUDGET (1u << 20)
#define BITMAP_PIECE 4096u
/* Guest bytes that can be told apart in a block: a hole of the file begins at no other place. */
#define GRAIN 4096u

static int vhdx_probe(const struct imgi_probe *probe)
{
    return memcmp(probe->head, VHDX_SIGNATURE, VHDX_SIGNATURE_BYTES) == 0 ? 100 : 0;
}

static int read_signature(struct vhdx *v, img_error *err)
{
    uint8_t bytes[VHDX_SIGNATURE_BYTES] = {0};
    uint64_t size;
    int rc = imgi_io_size(v->node->file, &size, err);

    if (rc == 0)
        rc = imgi_io_read(v->node->file, bytes, (size_t)IMGI_MIN(size, sizeof(bytes)), 0, err);
    if (rc < 0)
        return rc;
    v->unfinished = memcmp(bytes, VHDX_SIGNATURE_UNFINISHED, sizeof(bytes)) == 0;
    if (v->unfinished && !v->node->writable)
        return imgi_fail(err, IMG_E_CORRUPT, "the image was never completed");
    if (!v->unfinished && memcmp(bytes, VHDX_SIGNATURE, sizeof(bytes)) != 0)
        return imgi_fail(err, IMG_E_FORMAT, "no VHDX image: the signature is missing");
    if (size < VHDX_HEADER_SECTION)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the file has %llu bytes, fewer than the header section",
                         (unsigned long long)size);
    return 0;
}

static int replay_log(struct vhdx *v, img_error *err)
{
    struct vhdx_replay replay = {0};
    int rc;

    if (vhdx_guid_is_zero(&v->header.log))
        return 0;
    rc = vhdx_replay_read(v, &replay, err);
    if (rc == 0 && v->node->writable) {
        rc = vhdx_replay_apply(v, &replay, err);
        v->replayed = rc == 0 && replay.count > 0;
    } else if (rc == 0 && replay.count > 0) {
        v->node->dirty = true;
        rc = vhdx_view_new(&v->view, v->node->file, &replay, err);
        if (rc == 0)
            v->io = v->view;
    }
    vhdx_replay_free(&replay);
    return rc;
}

static int open_bitmaps(struct vhdx *v, img_error *err)
{
    struct imgi_cache_params params = {
        .io = v->io, .what = "sector bitmap", .table_size = BITMAP_PIECE, .budget = BITMAP_BUDGET};

    return v->has_parent ? imgi_cache_new(&v->bitmaps, &params, err) : 0;
}

static int vhdx_open(struct imgi_node *node, img_error *err)
{
    struct vhdx *v = vhdx_of(node);
    int rc;

    v->node = node;
    v->io = node->file;
    rc = read_signature(v, err);
    if (rc == 0)
        rc = vhdx_headers_read(v, err);
    if (rc == 0)
        rc = replay_log(v, err);
    if (rc == 0)
        rc = vhdx_regions_read(v, err);
    if (rc == 0)
        rc = vhdx_metadata_read(v, err);
    if (rc == 0 && v->has_parent && node->writable)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "a VHDX image with a parent can only be read");
    if (rc == 0)
        rc = vhdx_bat_read(v, err);
    if (rc == 0)
        rc = open_bitmaps(v, err);
    if (rc == 0 && node->writable && !(node->flags & IMG_OPEN_CHECK))
        rc = vhdx_find_next(v, err);
    node->cluster_size = v->block_size;
    node->grain = GRAIN;
    node->reads_zero = true;
    return rc;
}

static void vhdx_close(struct imgi_node *node)
{
    struct vhdx *v = vhdx_of(node);

    imgi_cache_free(v->bitmaps);
    imgi_io_close(v->view);
    free(v->spans);
    free(v->bat);
    free(v->bat_dirty);
}

const struct imgi_driver imgi_driver_vhdx = {
    .name = "vhdx",
    .state_size = sizeof(struct vhdx),
    .create_options = vhdx_create_options,
    .probe = vhdx_probe,
    .create = vhdx_create,
    .open = vhdx_open,
    .close = vhdx_close,
    .begin_write = vhdx_begin_write,
    .finish = vhdx_finish,
    .map = vhdx_map,
    .reserve = vhdx_reserve,
    .link = vhdx_link,
    .cancel = vhdx_cancel,
    .zero = vhdx_zero,
    .discard = vhdx_discard,
    .flush = vhdx_flush,
    .reach = vhdx_reach,
    .can_resize = vhdx_can_resize,
    .resize = vhdx_resize,
    .check = vhdx_check,
    .measure = vhdx_measure,
};
