/*
 * An image for other processes: a small NBD server. SPDX-License-Identifier: BSD-2-Clause
 *
 * It listens on a socket in a directory that only this user may enter, with a thread for each
 * connection. What it serves is one image, as the export with the empty name. The image stays the
 * caller's, who keeps it open until the server has stopped, and may go on using it.
 *
 * Clients are strangers: what they ask is bounded, and one that does not keep to the protocol is
 * cut off.
 */
#ifndef IMGI_SERVE_H
#define IMGI_SERVE_H

#include "internal.h"

struct imgi_server;

int imgi_serve_start(struct imgi_server **server, img_image *image, bool read_only, img_error *err);
/* For people and for clients: "nbd+unix:///?socket=/tmp/...". It belongs to the server. */
const char *imgi_serve_uri(const struct imgi_server *server);
/* The path of the socket alone. */
const char *imgi_serve_socket(const struct imgi_server *server);
/* Cut off who is connected still, and remove the socket. NULL is allowed. */
void imgi_serve_stop(struct imgi_server *server);

/* Serve one client until it leaves, or the socket is shut down. The socket stays the caller's. */
void imgi_serve_client(img_image *image, bool read_only, int socket);

#endif
