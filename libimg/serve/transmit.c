/*
 * NBD: requests and what is answered. SPDX-License-Identifier: BSD-2-Clause
 *
 * The requests of one connection are dealt with in their order. Who wants several at the same time
 * opens several connections.
 */
#include "nbd.h"

/* ---------------------------------------------------------------- replies */

uint32_t imgi_nbd_error(const img_error *err)
{
    switch (err->code) {
    case IMG_E_NOMEM:
        return NBD_ENOMEM;
    case IMG_E_NOSPACE:
        return NBD_ENOSPC;
    case IMG_E_RDONLY:
        return NBD_EPERM;
    default:
        return NBD_EIO;
    }
}

bool imgi_nbd_reply_chunk(const struct nbd_client *client, const struct nbd_request *request,
                          unsigned type, struct iovec head, struct iovec data)
{
    uint8_t chunk[NBD_CHUNK_BYTES];
    struct iovec iov[] = {{chunk, sizeof(chunk)}, head, data};

    imgi_put_be32(chunk, NBD_STRUCTURED_REPLY_MAGIC);
    imgi_put_be16(chunk + 4, NBD_REPLY_FLAG_DONE);
    imgi_put_be16(chunk + 6, (uint16_t)type);
    imgi_put_be64(chunk + 8, request->cookie);
    imgi_put_be32(chunk + 16, (uint32_t)(head.iov_len + data.iov_len));
    return imgi_nbd_send(client, iov, IMGI_COUNT(iov));
}

static bool reply_simple(const struct nbd_client *client, const struct nbd_request *request,
                         uint32_t error, struct iovec data)
{
    uint8_t head[NBD_SIMPLE_REPLY_BYTES];
    struct iovec iov[] = {{head, sizeof(head)}, data};

    imgi_put_be32(head, NBD_SIMPLE_REPLY_MAGIC);
    imgi_put_be32(head + 4, error);
    imgi_put_be64(head + 8, request->cookie);
    return imgi_nbd_send(client, iov, IMGI_COUNT(iov));
}

bool imgi_nbd_reply(const struct nbd_client *client, const struct nbd_request *request,
                    uint32_t error)
{
    uint8_t body[6]; /* the error, and the length of a message that is not there */
    struct iovec none = {NULL, 0};

    if (!client->structured)
        return reply_simple(client, request, error, none);
    if (error == 0)
        return imgi_nbd_reply_chunk(client, request, NBD_REPLY_TYPE_NONE, none, none);
    imgi_put_be32(body, error);
    imgi_put_be16(body + 4, 0);
    return imgi_nbd_reply_chunk(client, request, NBD_REPLY_TYPE_ERROR,
                                (struct iovec){body, sizeof(body)}, none);
}

static bool reply_data(const struct nbd_client *client, const struct nbd_request *request)
{
    struct iovec data = {client->buffer, request->length};
    uint8_t offset[8];

    if (!client->structured)
        return reply_simple(client, request, 0, data);
    imgi_put_be64(offset, request->offset);
    return imgi_nbd_reply_chunk(client, request, NBD_REPLY_TYPE_OFFSET_DATA,
                                (struct iovec){offset, sizeof(offset)}, data);
}

/* --------------------------------------------------------------- requests */

/* Flags that a command knows. */
static unsigned known_flags(const struct nbd_client *client, unsigned type)
{
    switch (type) {
    case NBD_CMD_READ:
        return client->structured ? NBD_CMD_FLAG_DF : 0;
    case NBD_CMD_WRITE_ZEROES:
        return NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE;
    case NBD_CMD_BLOCK_STATUS:
        return NBD_CMD_FLAG_REQ_ONE;
    default:
        return NBD_CMD_FLAG_FUA;
    }
}

/* What is wrong with a request; 0: nothing. */
static uint32_t refuse(const struct nbd_client *client, const struct nbd_request *request)
{
    bool moves = request->type == NBD_CMD_READ || request->type == NBD_CMD_WRITE;
    bool changes = request->type == NBD_CMD_WRITE || request->type == NBD_CMD_TRIM ||
                   request->type == NBD_CMD_WRITE_ZEROES;

    /* FUA means nothing, but is allowed, where nothing is written. */
    if (request->flags & ~(known_flags(client, request->type) | NBD_CMD_FLAG_FUA))
        return NBD_EINVAL;
    if (request->type == NBD_CMD_FLUSH)
        return 0;
    if (changes && client->read_only)
        return NBD_EPERM;
    if (request->length == 0 || (moves && request->length > NBD_REQUEST_MAX) ||
        !imgi_span_ok(request->offset, request->length, img_size(client->image)))
        return NBD_EINVAL;
    return 0;
}

static bool read_data(struct nbd_client *client, const struct nbd_request *request)
{
    img_error err;

    if (!imgi_nbd_make_room(client, request->length))
        return imgi_nbd_reply(client, request, NBD_ENOMEM);
    if (img_read(client->image, request->offset, client->buffer, request->length, &err) < 0)
        return imgi_nbd_reply(client, request, imgi_nbd_error(&err));
    return reply_data(client, request);
}

/* The commands that change the disk, or see to it that changes last. */
static bool change(struct nbd_client *client, const struct nbd_request *request)
{
    img_image *image = client->image;
    img_error err = {0};
    int rc = 0;

    switch (request->type) {
    case NBD_CMD_WRITE:
        rc = img_write(image, request->offset, client->buffer, request->length, &err);
        break;
    case NBD_CMD_TRIM:
        rc = img_discard(image, request->offset, request->length, &err);
        break;
    case NBD_CMD_WRITE_ZEROES:
        rc = img_zero(image, request->offset, request->length,
                      request->flags & NBD_CMD_FLAG_NO_HOLE ? 0 : IMG_ZERO_UNMAP, &err);
        break;
    default: /* NBD_CMD_FLUSH */
        break;
    }
    if (rc == 0 && !client->read_only &&
        (request->type == NBD_CMD_FLUSH || request->flags & NBD_CMD_FLAG_FUA))
        rc = img_flush(image, &err);
    return imgi_nbd_reply(client, request, rc < 0 ? imgi_nbd_error(&err) : 0);
}

static bool receive_request(const struct nbd_client *client, struct nbd_request *request)
{
    uint8_t bytes[NBD_REQUEST_BYTES];

    if (!imgi_nbd_receive(client, bytes, sizeof(bytes)) ||
        imgi_get_be32(bytes) != NBD_REQUEST_MAGIC)
        return false;
    *request = (struct nbd_request){
        .flags = imgi_get_be16(bytes + 4),
        .type = imgi_get_be16(bytes + 6),
        .cookie = imgi_get_be64(bytes + 8),
        .offset = imgi_get_be64(bytes + 16),
        .length = imgi_get_be32(bytes + 24),
    };
    return true;
}

static bool serve_request(struct nbd_client *client, const struct nbd_request *request)
{
    uint32_t error = refuse(client, request);

    /* The data comes whatever is thought of the request; too much of it is not waited for. */
    if (request->type == NBD_CMD_WRITE &&
        (request->length > NBD_REQUEST_MAX || !imgi_nbd_make_room(client, request->length) ||
         !imgi_nbd_receive(client, client->buffer, request->length)))
        return false;
    if (error != 0)
        return imgi_nbd_reply(client, request, error);
    switch (request->type) {
    case NBD_CMD_READ:
        return read_data(client, request);
    case NBD_CMD_WRITE:
    case NBD_CMD_TRIM:
    case NBD_CMD_WRITE_ZEROES:
    case NBD_CMD_FLUSH:
        return change(client, request);
    case NBD_CMD_BLOCK_STATUS:
        return client->status ? imgi_nbd_reply_status(client, request)
                              : imgi_nbd_reply(client, request, NBD_EINVAL);
    default:
        return imgi_nbd_reply(client, request, NBD_EINVAL);
    }
}

void imgi_nbd_transmit(struct nbd_client *client)
{
    struct nbd_request request;

    while (receive_request(client, &request) && request.type != NBD_CMD_DISC) {
        if (!serve_request(client, &request))
            return;
    }
}
