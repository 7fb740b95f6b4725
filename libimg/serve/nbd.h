/*
 * The NBD protocol: its numbers, and what the server's parts share.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Names and numbers are those of the protocol's description (NetworkBlockDevice/nbd, doc/proto.md).
 * All numbers on the wire are big-endian.
 */
#ifndef IMGI_NBD_H
#define IMGI_NBD_H

#include <sys/uio.h>

#include "serve.h"

/* The handshake. */
#define NBD_MAGIC UINT64_C(0x4e42444d41474943)
#define NBD_OPTION_MAGIC UINT64_C(0x49484156454f5054)
#define NBD_OPTION_REPLY_MAGIC UINT64_C(0x0003e889045565a9)
#define NBD_FLAG_FIXED_NEWSTYLE 1u
#define NBD_FLAG_NO_ZEROES 2u

enum nbd_option {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT = 2,
    NBD_OPT_LIST = 3,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO = 7,
    NBD_OPT_STRUCTURED_REPLY = 8,
    NBD_OPT_LIST_META_CONTEXT = 9,
    NBD_OPT_SET_META_CONTEXT = 10
};

enum nbd_option_reply {
    NBD_REP_ACK = 1,
    NBD_REP_SERVER = 2,
    NBD_REP_INFO = 3,
    NBD_REP_META_CONTEXT = 4
};
#define NBD_REP_ERR_UNSUP 0x80000001u
#define NBD_REP_ERR_INVALID 0x80000003u
#define NBD_REP_ERR_UNKNOWN 0x80000006u

#define NBD_INFO_EXPORT 0u
#define NBD_INFO_BLOCK_SIZE 3u

/* What an export can do. */
#define NBD_FLAG_HAS_FLAGS (1u << 0)
#define NBD_FLAG_READ_ONLY (1u << 1)
#define NBD_FLAG_SEND_FLUSH (1u << 2)
#define NBD_FLAG_SEND_FUA (1u << 3)
#define NBD_FLAG_SEND_TRIM (1u << 5)
#define NBD_FLAG_SEND_WRITE_ZEROES (1u << 6)
#define NBD_FLAG_SEND_DF (1u << 7)
#define NBD_FLAG_CAN_MULTI_CONN (1u << 8)

/* Requests and replies. */
#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698u
#define NBD_STRUCTURED_REPLY_MAGIC 0x668e33efu
#define NBD_REQUEST_BYTES 28u
#define NBD_SIMPLE_REPLY_BYTES 16u
#define NBD_CHUNK_BYTES 20u

enum nbd_command {
    NBD_CMD_READ = 0,
    NBD_CMD_WRITE = 1,
    NBD_CMD_DISC = 2,
    NBD_CMD_FLUSH = 3,
    NBD_CMD_TRIM = 4,
    NBD_CMD_WRITE_ZEROES = 6,
    NBD_CMD_BLOCK_STATUS = 7
};
#define NBD_CMD_FLAG_FUA (1u << 0)
#define NBD_CMD_FLAG_NO_HOLE (1u << 1)
#define NBD_CMD_FLAG_DF (1u << 2)
#define NBD_CMD_FLAG_REQ_ONE (1u << 3)

#define NBD_REPLY_FLAG_DONE 1u
#define NBD_REPLY_TYPE_NONE 0u
#define NBD_REPLY_TYPE_OFFSET_DATA 1u
#define NBD_REPLY_TYPE_BLOCK_STATUS 5u
#define NBD_REPLY_TYPE_ERROR 0x8001u

#define NBD_STATE_HOLE 1u
#define NBD_STATE_ZERO 2u

#define NBD_EPERM 1u
#define NBD_EIO 5u
#define NBD_ENOMEM 12u
#define NBD_EINVAL 22u
#define NBD_ENOSPC 28u

/* Bytes that one request may read or write. */
#define NBD_REQUEST_MAX (32u << 20)

/* The only metadata context there is, and the number by which replies name it. */
#define NBD_CONTEXT "base:allocation"
#define NBD_CONTEXT_ID 1u

struct nbd_client {
    img_image *image;
    bool read_only;
    int socket;
    bool structured; /* it takes structured replies, */
    bool status;     /* and may ask for block status */
    uint8_t *buffer; /* for data, and for what an option holds */
    size_t room;
};

struct nbd_request {
    unsigned flags, type;
    uint64_t cookie, offset;
    uint32_t length;
};

/* ---- socket.c: false when the client is gone ---- */

bool imgi_nbd_receive(const struct nbd_client *client, void *buffer, size_t length);
/* The vectors are changed. */
bool imgi_nbd_send(const struct nbd_client *client, struct iovec *iov, size_t count);
/* client->buffer has room for so much afterwards; false: no memory. */
bool imgi_nbd_make_room(struct nbd_client *client, size_t length);

/* ---- handshake.c ---- */

/* Until the client wants to begin (true), or ends it or is cut off. */
bool imgi_nbd_negotiate(struct nbd_client *client);

/* ---- transmit.c: false when the connection is to end ---- */

/* Answers requests until the client leaves. */
void imgi_nbd_transmit(struct nbd_client *client);
bool imgi_nbd_reply(const struct nbd_client *client, const struct nbd_request *request,
                    uint32_t error);
/* A structured reply of a single chunk, with the bytes of both. */
bool imgi_nbd_reply_chunk(const struct nbd_client *client, const struct nbd_request *request,
                          unsigned type, struct iovec head, struct iovec data);
/* The error code for a failure of the library. */
uint32_t imgi_nbd_error(const img_error *err);

/* ---- status.c ---- */

bool imgi_nbd_reply_status(struct nbd_client *client, const struct nbd_request *request);

#endif
