/*
 * Writing single clusters in compressed form. SPDX-License-Identifier: BSD-2-Clause
 *
 * Compressing is done before the guest's cluster is taken from everybody else, so that many threads
 * can compress at a time. What does not get smaller is stored as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int store(struct imgi_node *node, uint64_t offset, size_t length, const void *packed,
                 size_t packed_length, img_error *err)
{
    struct imgi_range range;
    int rc;

    imgi_ranges_take(node->ranges, &range, offset, offset + node->cluster_size, true);
    rc = imgi_node_write_packed(node, offset, length, packed, packed_length, err);
    imgi_ranges_release(node->ranges, &range);
    return rc;
}

int imgi_node_write_compressed(struct imgi_node *node, uint64_t offset, const void *buffer,
                               size_t length, struct imgi_packer *packer,
                               struct imgi_scratch *scratch, img_error *err)
{
    size_t size = node->cluster_size, capacity = 2 * size + 4096, packed = 0;
    uint8_t *room = malloc(size + capacity);
    int rc;

    if (!room)
        return imgi_fail_nomem(err, "a compressed cluster");
    memcpy(room, buffer, length);
    memset(room + length, 0, size - length);
    rc = imgi_node_pack(node, packer, offset, room, room + size, capacity, &packed, err);
    if (rc == 0 && packed > 0)
        rc = store(node, offset, length, room + size, packed, err);
    else if (rc == 0)
        rc = imgi_node_write(node, offset, buffer, length, scratch, err);
    free(room);
    return rc;
}

/* Whole clusters, of an image that can compress. */
static int check_shape(const struct imgi_node *node, uint64_t offset, size_t length, img_error *err)
{
    if (node->pack.codec == IMGI_CODEC_NONE || imgi_node_is_identity(node))
        return imgi_fail(err, IMG_E_UNSUPPORTED, "the format %s cannot store compressed data",
                         node->driver->name);
    if (node->encrypted)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "Compression and encryption not supported at the same time");
    if (offset % node->cluster_size != 0 ||
        (length % node->cluster_size != 0 && offset + length != node->size))
        return imgi_fail(err, IMG_E_INVAL,
                         "a compressed write takes whole clusters of %u bytes, not %zu at %llu",
                         node->cluster_size, length, (unsigned long long)offset);
    return 0;
}

static int write_clusters(struct imgi_node *node, uint64_t offset, const uint8_t *buffer,
                          size_t length, struct imgi_scratch *scratch, img_error *err)
{
    struct imgi_packer *packer = NULL;
    int rc = check_shape(node, offset, length, err);

    if (rc == 0 && node->pack_only)
        return imgi_node_write(node, offset, buffer, length, scratch, err);
    if (rc == 0)
        rc = imgi_packer_new(&packer, &node->pack, err);
    while (rc == 0 && length > 0) {
        size_t step = IMGI_MIN(length, node->cluster_size);

        rc = imgi_node_write_compressed(node, offset, buffer, step, packer, scratch, err);
        offset += step;
        buffer += step;
        length -= step;
    }
    imgi_packer_free(packer);
    return rc;
}

int img_write_compressed(img_image *image, uint64_t offset, const void *buffer, size_t length,
                         img_error *err)
{
    struct imgi_scratch *scratch;
    int rc = imgi_check_change(image, "write", offset, length, err);

    if (rc < 0)
        return rc;
    scratch = imgi_scratch_take(image, err);
    if (!scratch)
        return IMG_E_NOMEM;
    rc = write_clusters(image->top, offset, buffer, length, scratch, err);
    imgi_scratch_give(image, scratch);
    if (rc == 0)
        rc = imgi_settle(image, err);
    if (rc < 0)
        imgi_error_image(err, image->top->name);
    return rc;
}
