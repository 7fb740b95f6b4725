/*
 * The NBD server: a socket, and a thread for each client. SPDX-License-Identifier: BSD-2-Clause
 *
 * The listening thread alone starts client threads, and waits for the ended ones when it needs
 * their place; imgi_serve_stop takes over when that thread has ended. server->lock protects
 * `ended` of the places.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "nbd.h"

/* Clients at the same time; more are turned away. */
#define CLIENTS_MAX 32
/* Pause after a client could not be let in: the process has no file descriptors left. */
#define RETRY_MS 100

struct place {
    struct imgi_server *server;
    pthread_t thread;
    int socket;
    bool taken, ended;
};

struct imgi_server {
    img_image *image;
    bool read_only;
    char directory[64], socket_path[80], uri[128];
    int listener; /* -1: there is none */
    int end;      /* an eventfd that tells the listening thread to end; or -1 */
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    struct place places[CLIENTS_MAX];
};

/* ---------------------------------------------------------------- clients */

void imgi_serve_client(img_image *image, bool read_only, int socket)
{
    struct nbd_client client = {.image = image, .read_only = read_only, .socket = socket};

    if (imgi_nbd_negotiate(&client))
        imgi_nbd_transmit(&client);
    free(client.buffer);
}

static void *run_client(void *argument)
{
    struct place *place = argument;
    struct imgi_server *server = place->server;

    imgi_serve_client(server->image, server->read_only, place->socket);
    shutdown(place->socket, SHUT_RDWR);
    pthread_mutex_lock(&server->lock);
    place->ended = true;
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void clear_place(struct place *place)
{
    pthread_join(place->thread, NULL);
    close(place->socket);
    place->taken = false;
}

static bool has_ended(struct place *place)
{
    bool ended;

    pthread_mutex_lock(&place->server->lock);
    ended = place->ended;
    pthread_mutex_unlock(&place->server->lock);
    return ended;
}

/* A free place; those of clients that have left become free. NULL: there is none. */
static struct place *find_place(struct imgi_server *server)
{
    struct place *found = NULL;

    for (size_t n = 0; n < CLIENTS_MAX; n++) {
        struct place *place = &server->places[n];

        if (place->taken && has_ended(place))
            clear_place(place);
        if (!place->taken)
            found = place;
    }
    return found;
}

static void take_client(struct imgi_server *server, int socket)
{
    struct place *place = find_place(server);

    if (!place) {
        close(socket);
        return;
    }
    *place = (struct place){.server = server, .socket = socket};
    if (pthread_create(&place->thread, NULL, run_client, place) == 0)
        place->taken = true;
    else
        close(socket);
}

static void *listen_for_clients(void *argument)
{
    struct imgi_server *server = argument;
    struct pollfd fds[] = {{.fd = server->listener, .events = POLLIN},
                           {.fd = server->end, .events = POLLIN}};

    for (;;) {
        int socket;

        if (poll(fds, IMGI_COUNT(fds), -1) < 0 && errno != EINTR)
            return NULL;
        if (fds[1].revents != 0)
            return NULL;
        socket = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket >= 0)
            take_client(server, socket);
        else if (errno != EAGAIN && errno != EINTR)
            poll(&fds[1], 1, RETRY_MS); /* who waits to be let in goes on waiting */
    }
}

/* ---------------------------------------------------------- starting, stopping */

/* mkdtemp makes a directory that nobody else may enter, so the socket needs no care of its own. */
static int make_socket(struct imgi_server *server, img_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(server->directory, sizeof(server->directory), "/tmp/libimg-XXXXXX");
    if (!mkdtemp(server->directory)) {
        int os_errno = errno;

        server->directory[0] = '\0';
        return imgi_fail_errno(err, os_errno, "a directory for a socket cannot be made in /tmp");
    }
    snprintf(server->socket_path, sizeof(server->socket_path), "%s/nbd", server->directory);
    snprintf(server->uri, sizeof(server->uri), "nbd+unix:///?socket=%s", server->socket_path);
    memcpy(address.sun_path, server->socket_path, sizeof(server->socket_path));
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listener < 0 ||
        bind(server->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(server->listener, CLIENTS_MAX) < 0)
        return imgi_fail_errno(err, errno, "%s: cannot listen", server->socket_path);
    return 0;
}

static int start_listening(struct imgi_server *server, img_error *err)
{
    int rc = make_socket(server, err);

    if (rc < 0)
        return rc;
    server->end = eventfd(0, EFD_CLOEXEC);
    if (server->end < 0)
        return imgi_fail_errno(err, errno, "an event for the server cannot be made");
    rc = pthread_create(&server->thread, NULL, listen_for_clients, server);
    if (rc != 0)
        return imgi_fail_errno(err, rc, "a thread for the server cannot be started");
    server->running = true;
    return 0;
}

int imgi_serve_start(struct imgi_server **server, img_image *image, bool read_only, img_error *err)
{
    int rc;

    *server = calloc(1, sizeof(**server));
    if (!*server)
        return imgi_fail_nomem(err, "a server");
    (*server)->image = image;
    (*server)->read_only = read_only;
    (*server)->listener = (*server)->end = -1;
    pthread_mutex_init(&(*server)->lock, NULL);
    rc = start_listening(*server, err);
    if (rc < 0) {
        imgi_serve_stop(*server);
        *server = NULL;
    }
    return rc;
}

const char *imgi_serve_uri(const struct imgi_server *server)
{
    return server->uri;
}

const char *imgi_serve_socket(const struct imgi_server *server)
{
    return server->socket_path;
}

void imgi_serve_stop(struct imgi_server *server)
{
    if (!server)
        return;
    if (server->running) {
        eventfd_write(server->end, 1);
        pthread_join(server->thread, NULL);
    }
    for (size_t n = 0; n < CLIENTS_MAX; n++) {
        if (server->places[n].taken) {
            shutdown(server->places[n].socket, SHUT_RDWR);
            clear_place(&server->places[n]);
        }
    }
    if (server->listener >= 0)
        close(server->listener);
    if (server->end >= 0)
        close(server->end);
    if (server->directory[0]) {
        unlink(server->socket_path);
        rmdir(server->directory);
    }
    pthread_mutex_destroy(&server->lock);
    free(server);
}
