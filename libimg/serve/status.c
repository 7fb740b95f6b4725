/*
 * NBD: which parts of the disk are stored, and which are zeros.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "nbd.h"

/* Runs in one reply; a client asks again for what is behind them. */
#define RUNS_MAX 4096u

static uint32_t state_of(const img_extent *extent)
{
    if (!(extent->flags & IMG_EXTENT_ZERO))
        return 0;
    return extent->flags & IMG_EXTENT_HOST ? NBD_STATE_ZERO : NBD_STATE_ZERO | NBD_STATE_HOLE;
}

/* As many runs as a reply has room for, put into buffer; less than 0: nothing is known. */
static int find_runs(const struct nbd_client *client, const struct nbd_request *request,
                     uint8_t *buffer, size_t *used, img_error *err)
{
    size_t count = 0, most = request->flags & NBD_CMD_FLAG_REQ_ONE ? 1 : RUNS_MAX;
    uint32_t state = 0;
    uint64_t length = 0;

    for (uint64_t done = 0; done < request->length;) {
        img_extent extent;
        int rc =
            img_map(client->image, request->offset + done, request->length - done, &extent, err);

        if (rc < 0)
            return rc;
        if (count == 0 || state_of(&extent) != state) {
            if (count == most)
                break;
            count++;
            state = state_of(&extent);
            length = 0;
        }
        length += extent.length;
        done += extent.length;
        imgi_put_be32(buffer + (count - 1) * 8, (uint32_t)length);
        imgi_put_be32(buffer + (count - 1) * 8 + 4, state);
    }
    *used = count * 8;
    return 0;
}

bool imgi_nbd_reply_status(struct nbd_client *client, const struct nbd_request *request)
{
    uint8_t context[4];
    img_error err;
    size_t used;

    if (!imgi_nbd_make_room(client, RUNS_MAX * 8))
        return imgi_nbd_reply(client, request, NBD_ENOMEM);
    if (find_runs(client, request, client->buffer, &used, &err) < 0)
        return imgi_nbd_reply(client, request, imgi_nbd_error(&err));
    imgi_put_be32(context, NBD_CONTEXT_ID);
    return imgi_nbd_reply_chunk(client, request, NBD_REPLY_TYPE_BLOCK_STATUS,
                                (struct iovec){context, sizeof(context)},
                                (struct iovec){client->buffer, used});
}
