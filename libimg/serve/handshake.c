/*
 * NBD: what client and server agree on before the first request ("fixed newstyle").
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "nbd.h"

/* Names have 4096 bytes at most; nothing that a client has to say is much longer. */
#define OPTION_BYTES_MAX 16384u
/* A client that goes on talking is not going to begin. */
#define OPTIONS_MAX 256
#define PREFERRED_BLOCK 4096u

/* What an option holds, taken from the front. */
struct cursor {
    const uint8_t *at;
    size_t left;
    bool bad; /* it was shorter than it said */
};

static const uint8_t *take(struct cursor *cursor, size_t length)
{
    const uint8_t *at = cursor->at;

    if (cursor->bad || length > cursor->left) {
        cursor->bad = true;
        return NULL;
    }
    cursor->at += length;
    cursor->left -= length;
    return at;
}

static uint32_t take_number(struct cursor *cursor)
{
    const uint8_t *at = take(cursor, 4);

    return at ? imgi_get_be32(at) : 0;
}

/* ---------------------------------------------------------------- replies */

static bool answer(const struct nbd_client *client, uint32_t option, uint32_t type,
                   const void *data, size_t length)
{
    uint8_t head[20];
    struct iovec iov[] = {{head, sizeof(head)}, {(void *)data, length}};

    imgi_put_be64(head, NBD_OPTION_REPLY_MAGIC);
    imgi_put_be32(head + 8, option);
    imgi_put_be32(head + 12, type);
    imgi_put_be32(head + 16, (uint32_t)length);
    return imgi_nbd_send(client, iov, IMGI_COUNT(iov));
}

static bool answer_plain(const struct nbd_client *client, uint32_t option, uint32_t type)
{
    return answer(client, option, type, NULL, 0);
}

static uint16_t export_flags(const struct nbd_client *client)
{
    /* All connections use one image, whose flush is for the writes of all. */
    unsigned flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_CAN_MULTI_CONN;

    if (client->read_only)
        flags |= NBD_FLAG_READ_ONLY;
    else
        flags |= NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES;
    if (client->structured)
        flags |= NBD_FLAG_SEND_DF;
    return (uint16_t)flags;
}

/* ---------------------------------------------------------------- options */

/* The only reply to this option is the export itself: another name ends the connection. */
static bool begin_by_name(const struct nbd_client *client, const struct cursor *data,
                          bool no_zeroes)
{
    uint8_t export[8 + 2 + 124] = {0};
    struct iovec iov = {export, no_zeroes ? 10 : sizeof(export)};

    if (data->left > 0)
        return false;
    imgi_put_be64(export, img_size(client->image));
    imgi_put_be16(export + 8, export_flags(client));
    return imgi_nbd_send(client, &iov, 1);
}

/* INFO and GO. *begin: the client goes on to requests. */
static bool tell_export(const struct nbd_client *client, uint32_t option, struct cursor *data,
                        bool *begin)
{
    uint32_t name_length = take_number(data);
    uint8_t export[12], block[14];

    take(data, name_length);
    if (!take(data, 2) || data->left % 2 != 0)
        return answer_plain(client, option, NBD_REP_ERR_INVALID);
    if (name_length > 0)
        return answer_plain(client, option, NBD_REP_ERR_UNKNOWN);
    imgi_put_be16(export, NBD_INFO_EXPORT);
    imgi_put_be64(export + 2, img_size(client->image));
    imgi_put_be16(export + 10, export_flags(client));
    imgi_put_be16(block, NBD_INFO_BLOCK_SIZE);
    imgi_put_be32(block + 2, 1);
    imgi_put_be32(block + 6, PREFERRED_BLOCK);
    imgi_put_be32(block + 10, NBD_REQUEST_MAX);
    *begin = option == NBD_OPT_GO;
    return answer(client, option, NBD_REP_INFO, export, sizeof(export)) &&
           answer(client, option, NBD_REP_INFO, block, sizeof(block)) &&
           answer_plain(client, option, NBD_REP_ACK);
}

static bool list_exports(const struct nbd_client *client, const struct cursor *data)
{
    static const uint8_t no_name[4];

    if (data->left > 0)
        return answer_plain(client, NBD_OPT_LIST, NBD_REP_ERR_INVALID);
    return answer(client, NBD_OPT_LIST, NBD_REP_SERVER, no_name, sizeof(no_name)) &&
           answer_plain(client, NBD_OPT_LIST, NBD_REP_ACK);
}

static bool take_structured(struct nbd_client *client, const struct cursor *data)
{
    if (data->left > 0)
        return answer_plain(client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_INVALID);
    client->structured = true;
    return answer_plain(client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
}

/* Whether the queries, none of which means all in a list, ask for the context that there is. */
static bool asks_for_context(struct cursor *data, bool list)
{
    uint32_t count = take_number(data);
    bool wanted = list && count == 0;

    for (uint32_t n = 0; n < count && !data->bad; n++) {
        uint32_t length = take_number(data);
        const uint8_t *query = take(data, length);

        if (query && ((length == strlen(NBD_CONTEXT) && memcmp(query, NBD_CONTEXT, length) == 0) ||
                      (list && length == strlen("base:") && memcmp(query, "base:", length) == 0)))
            wanted = true;
    }
    return wanted;
}

static bool choose_context(struct nbd_client *client, uint32_t option, struct cursor *data)
{
    bool list = option == NBD_OPT_LIST_META_CONTEXT;
    uint8_t context[4 + sizeof(NBD_CONTEXT) - 1];
    uint32_t name_length = take_number(data);
    bool wanted;

    take(data, name_length);
    wanted = asks_for_context(data, list);
    if (!list)
        client->status = false; /* a new choice takes the place of the old one */
    if (data->bad || data->left > 0 || !client->structured)
        return answer_plain(client, option, NBD_REP_ERR_INVALID);
    if (name_length > 0)
        return answer_plain(client, option, NBD_REP_ERR_UNKNOWN);
    if (!list)
        client->status = wanted;
    imgi_put_be32(context, list ? 0 : NBD_CONTEXT_ID);
    memcpy(context + 4, NBD_CONTEXT, sizeof(context) - 4);
    return (!wanted || answer(client, option, NBD_REP_META_CONTEXT, context, sizeof(context))) &&
           answer_plain(client, option, NBD_REP_ACK);
}

/* One option. False when the connection is to end. */
static bool take_option(struct nbd_client *client, bool no_zeroes, bool *begin)
{
    uint8_t head[16];
    struct cursor data;
    uint32_t option;

    if (!imgi_nbd_receive(client, head, sizeof(head)) || imgi_get_be64(head) != NBD_OPTION_MAGIC)
        return false;
    option = imgi_get_be32(head + 8);
    data = (struct cursor){.left = imgi_get_be32(head + 12)};
    if (data.left > OPTION_BYTES_MAX || !imgi_nbd_make_room(client, OPTION_BYTES_MAX) ||
        !imgi_nbd_receive(client, client->buffer, data.left))
        return false;
    data.at = client->buffer;
    switch (option) {
    case NBD_OPT_EXPORT_NAME:
        *begin = true;
        return begin_by_name(client, &data, no_zeroes);
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        return tell_export(client, option, &data, begin);
    case NBD_OPT_LIST:
        return list_exports(client, &data);
    case NBD_OPT_STRUCTURED_REPLY:
        return take_structured(client, &data);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
        return choose_context(client, option, &data);
    case NBD_OPT_ABORT:
        answer_plain(client, option, NBD_REP_ACK);
        return false;
    default:
        return answer_plain(client, option, NBD_REP_ERR_UNSUP);
    }
}

bool imgi_nbd_negotiate(struct nbd_client *client)
{
    uint8_t hello[18], reply[4];
    struct iovec iov = {hello, sizeof(hello)};
    uint32_t flags;
    bool begin = false;

    imgi_put_be64(hello, NBD_MAGIC);
    imgi_put_be64(hello + 8, NBD_OPTION_MAGIC);
    imgi_put_be16(hello + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    if (!imgi_nbd_send(client, &iov, 1) || !imgi_nbd_receive(client, reply, sizeof(reply)))
        return false;
    flags = imgi_get_be32(reply);
    if (!(flags & NBD_FLAG_FIXED_NEWSTYLE) ||
        flags & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES))
        return false;
    for (unsigned n = 0; n < OPTIONS_MAX; n++) {
        if (!take_option(client, flags & NBD_FLAG_NO_ZEROES, &begin))
            return false;
        if (begin)
            return true;
    }
    return false;
}
