/*
 * Bytes to and from a client. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "nbd.h"

bool imgi_nbd_receive(const struct nbd_client *client, void *buffer, size_t length)
{
    uint8_t *to = buffer;

    while (length > 0) {
        ssize_t got = recv(client->socket, to, length, MSG_WAITALL);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        length -= (size_t)got;
    }
    return true;
}

bool imgi_nbd_send(const struct nbd_client *client, struct iovec *iov, size_t count)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};

    while (message.msg_iovlen > 0) {
        /* A client that went away is no reason for a signal. */
        ssize_t sent = sendmsg(client->socket, &message, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        while (message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len) {
            sent -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= (size_t)sent;
        }
    }
    return true;
}

bool imgi_nbd_make_room(struct nbd_client *client, size_t length)
{
    if (client->room >= length)
        return true;
    free(client->buffer);
    client->buffer = malloc(length);
    client->room = client->buffer ? length : 0;
    return client->buffer;
}
