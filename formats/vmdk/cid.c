/*
 * The content identifier (CID), by which a child knows its parent, and uncleanShutdown.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The CID changes when an image that was opened for writing is first written to ("Virtual Disk
 * Format 5.0", section "The Header"), so that a child whose parent was changed behind its back is
 * noticed. It is on disk before anything else is.
 *
 * uncleanShutdown stands in the header of each sparse extent from then on until the image is
 * closed. Where it stood already when the image was opened it stays: nobody has checked that image.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmdk.h"

/* longContentID, where there is one, ends with the CID. */
static int set_long_id(struct vmdk_descriptor *text, const char *cid,
                       const struct img_policy *policy, img_error *err)
{
    bool found;
    char *id;
    size_t length;
    int rc = vmdk_descriptor_get(text, "ddb.longContentID", &id, err);

    if (rc < 0 || !id)
        return rc;
    length = strlen(id);
    if (length >= 8) {
        memcpy(id + length - 8, cid, 8);
        rc = vmdk_descriptor_set(text, "ddb.longContentID", id, policy, &found, err);
    }
    free(id);
    return rc;
}

void vmdk_cid_digits(uint32_t cid, char digits[9])
{
    snprintf(digits, 9, "%08" PRIx32, cid);
}

uint32_t vmdk_new_cid(uint32_t old)
{
    uint64_t number = imgi_ident_fresh(old);

    while ((uint32_t)number == old || (uint32_t)number >= VMDK_CID_FRESH)
        number = imgi_scramble(number);
    return (uint32_t)number;
}

/* A descriptor without a CID gets none: nothing could know it. */
static int set_cid(struct imgi_node *node, uint32_t cid, img_error *err)
{
    struct vmdk_state *state = vmdk_state(node);
    struct vmdk_descriptor text;
    char digits[9];
    bool found = false;
    int rc = vmdk_descriptor_copy(&text, &state->descriptor, node->policy, err);

    vmdk_cid_digits(cid, digits);
    if (rc == 0)
        rc = vmdk_descriptor_set(&text, "CID", digits, node->policy, &found, err);
    if (rc == 0 && found)
        rc = set_long_id(&text, digits, node->policy, err);
    if (rc == 0 && found)
        rc = vmdk_descriptor_overwrite(node, &text, err);
    if (rc == 0 && found)
        state->cid = cid;
    vmdk_descriptor_free(&text);
    return rc;
}

/* ----------------------------------------------------------------- uncleanShutdown */

/* Write uncleanShutdown as it is in memory. */
static int store(const struct vmdk_sparse *sparse, img_error *err)
{
    uint8_t bytes[4];

    imgi_put_le32(bytes, sparse->header.unclean_shutdown);
    if (sparse->cowd)
        return imgi_io_write(sparse->io, bytes, sizeof(bytes), VMDK_COWD_OFF_UNCLEAN, err);
    return imgi_io_write(sparse->io, bytes, 1, VMDK_OFF_UNCLEAN, err);
}

int vmdk_mark_unclean(struct vmdk_sparse *sparse, img_error *err)
{
    int rc;

    /* Of a stream that is there nothing changes but that byte. */
    if (sparse->header.unclean_shutdown || vmdk_is_stream(&sparse->header))
        return 0;
    sparse->header.unclean_shutdown = true;
    rc = store(sparse, err);
    if (rc == 0)
        rc = imgi_io_flush(sparse->io, err);
    sparse->marked = rc == 0;
    sparse->header.unclean_shutdown = rc == 0;
    return rc;
}

/* All that was changed is on disk before the header says so. */
static int mark_clean(struct vmdk_sparse *sparse, img_error *err)
{
    int rc;

    if (!sparse->marked)
        return 0;
    rc = vmdk_tables_write(sparse, err);
    if (rc == 0)
        rc = imgi_io_flush(sparse->io, err);
    if (rc < 0)
        return rc;
    sparse->header.unclean_shutdown = false;
    rc = store(sparse, err);
    sparse->marked = rc < 0;
    sparse->header.unclean_shutdown = rc < 0;
    return rc;
}

int vmdk_mark_clean(const struct vmdk_state *state, img_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < state->extent_count; i++) {
        if (state->extents[i].sparse)
            rc = mark_clean(state->extents[i].sparse, err);
    }
    return rc;
}

int vmdk_begin_write_as(struct imgi_node *node, uint32_t cid, img_error *err)
{
    const struct vmdk_state *state = vmdk_state(node);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < state->extent_count; i++) {
        if (state->extents[i].sparse)
            rc = vmdk_mark_unclean(state->extents[i].sparse, err);
    }
    return rc < 0 ? rc : set_cid(node, cid, err);
}

int vmdk_begin_write(struct imgi_node *node, img_error *err)
{
    return vmdk_begin_write_as(node, vmdk_new_cid(vmdk_state(node)->cid), err);
}
