/*
 * Unit tests: the NBD server, as clients see it that keep to the protocol and that do not.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve/nbd.h"

#define SIZE (4u << 20)

/* A client, and the thread that serves it. */
struct session {
    img_image *image;
    bool read_only;
    int client, server;
    pthread_t thread;
};

static void *serve(void *argument)
{
    struct session *session = argument;

    imgi_serve_client(session->image, session->read_only, session->server);
    shutdown(session->server, SHUT_RDWR);
    return NULL;
}

static img_image *make_image(void)
{
    struct imgi_io *io;
    img_image *image;
    img_error err;

    assert_int_equal(imgi_mem_new(&io, &err), 0);
    assert_int_equal(imgi_image_create_io(&image, io, "disk", "qcow2", SIZE, NULL, NULL, &err), 0);
    return image;
}

static void begin(struct session *session, bool read_only)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    *session = (struct session){make_image(), read_only, pair[0], pair[1], 0};
    assert_int_equal(pthread_create(&session->thread, NULL, serve, session), 0);
}

/* The server must leave when its client does. */
static void end(struct session *session)
{
    shutdown(session->client, SHUT_RDWR);
    pthread_join(session->thread, NULL);
    close(session->client);
    close(session->server);
    img_abandon(session->image);
}

/* ------------------------------------------------------- a client's vocabulary */

static void put(int fd, const void *bytes, size_t length)
{
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
}

static void get(int fd, void *bytes, size_t length)
{
    if (length > 0) /* it would wait for something all the same */
        assert_int_equal(recv(fd, bytes, length, MSG_WAITALL), length);
}

static void expect_end(int fd)
{
    uint8_t byte;

    assert_true(recv(fd, &byte, 1, 0) <= 0);
}

static void greet(int fd)
{
    uint8_t hello[18], flags[4];

    get(fd, hello, sizeof(hello));
    assert_int_equal(imgi_get_be64(hello), NBD_MAGIC);
    assert_int_equal(imgi_get_be64(hello + 8), NBD_OPTION_MAGIC);
    imgi_put_be32(flags, imgi_get_be16(hello + 16));
    put(fd, flags, sizeof(flags));
}

static void put_option(int fd, uint32_t option, const void *data, uint32_t length)
{
    uint8_t head[16];

    imgi_put_be64(head, NBD_OPTION_MAGIC);
    imgi_put_be32(head + 8, option);
    imgi_put_be32(head + 12, length);
    put(fd, head, sizeof(head));
    if (data)
        put(fd, data, length);
}

/* One reply to an option: its type; data has room for 256 bytes. */
static uint32_t get_answer(int fd, uint32_t option, uint8_t *data, uint32_t *length)
{
    uint8_t head[20];

    get(fd, head, sizeof(head));
    assert_int_equal(imgi_get_be64(head), NBD_OPTION_REPLY_MAGIC);
    assert_int_equal(imgi_get_be32(head + 8), option);
    *length = imgi_get_be32(head + 16);
    assert_in_range(*length, 0, 256);
    get(fd, data, *length);
    return imgi_get_be32(head + 12);
}

static void expect_answer(int fd, uint32_t option, uint32_t type)
{
    uint8_t data[256];
    uint32_t length;

    assert_int_equal(get_answer(fd, option, data, &length), type);
}

static const uint8_t no_name[6]; /* the empty name, and no requests for information */

static void go(int fd)
{
    put_option(fd, NBD_OPT_GO, no_name, sizeof(no_name));
    expect_answer(fd, NBD_OPT_GO, NBD_REP_INFO);
    expect_answer(fd, NBD_OPT_GO, NBD_REP_INFO);
    expect_answer(fd, NBD_OPT_GO, NBD_REP_ACK);
}

static void put_request(int fd, unsigned type, unsigned flags, uint64_t offset, uint32_t length)
{
    uint8_t bytes[NBD_REQUEST_BYTES];

    imgi_put_be32(bytes, NBD_REQUEST_MAGIC);
    imgi_put_be16(bytes + 4, (uint16_t)flags);
    imgi_put_be16(bytes + 6, (uint16_t)type);
    imgi_put_be64(bytes + 8, offset ^ type);
    imgi_put_be64(bytes + 16, offset);
    imgi_put_be32(bytes + 24, length);
    put(fd, bytes, sizeof(bytes));
}

static uint32_t get_reply(int fd, unsigned type, uint64_t offset)
{
    uint8_t bytes[NBD_SIMPLE_REPLY_BYTES];

    get(fd, bytes, sizeof(bytes));
    assert_int_equal(imgi_get_be32(bytes), NBD_SIMPLE_REPLY_MAGIC);
    assert_int_equal(imgi_get_be64(bytes + 8), offset ^ type);
    return imgi_get_be32(bytes + 4);
}

static uint32_t ask(int fd, unsigned type, unsigned flags, uint64_t offset, uint32_t length)
{
    put_request(fd, type, flags, offset, length);
    return get_reply(fd, type, offset);
}

static void write_bytes(int fd, uint64_t offset, const void *bytes, uint32_t length)
{
    put_request(fd, NBD_CMD_WRITE, 0, offset, length);
    put(fd, bytes, length);
    assert_int_equal(get_reply(fd, NBD_CMD_WRITE, offset), 0);
}

static void expect_bytes(int fd, uint64_t offset, const void *bytes, uint32_t length)
{
    uint8_t found[64];

    assert_in_range(length, 1, sizeof(found));
    assert_int_equal(ask(fd, NBD_CMD_READ, 0, offset, length), 0);
    get(fd, found, length);
    assert_memory_equal(found, bytes, length);
}

/* ------------------------------------------------------------------ tests */

static void test_requests(void **state)
{
    static const uint8_t zeros[5];
    struct session session;
    uint8_t found[5];
    img_error err;

    (void)state;
    begin(&session, false);
    greet(session.client);
    go(session.client);
    write_bytes(session.client, 70001, "hello", 5);
    expect_bytes(session.client, 70000, "\0hello", 6);
    assert_int_equal(img_read(session.image, 70001, found, 5, &err), 0);
    assert_memory_equal(found, "hello", 5);
    assert_int_equal(ask(session.client, NBD_CMD_FLUSH, 0, 0, 0), 0);
    assert_int_equal(ask(session.client, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FUA, 70001, 5), 0);
    expect_bytes(session.client, 70001, zeros, 5);
    assert_int_equal(ask(session.client, NBD_CMD_TRIM, 0, 0, SIZE), 0);
    put_request(session.client, NBD_CMD_DISC, 0, 0, 0);
    expect_end(session.client);
    end(&session);
}

static void test_export_name(void **state)
{
    uint8_t export[10];
    struct session session;

    (void)state;
    begin(&session, false);
    greet(session.client);
    put_option(session.client, NBD_OPT_EXPORT_NAME, NULL, 0);
    get(session.client, export, sizeof(export));
    assert_int_equal(imgi_get_be64(export), SIZE);
    assert_true(imgi_get_be16(export + 8) & NBD_FLAG_HAS_FLAGS);
    write_bytes(session.client, 1, "x", 1);
    end(&session);

    begin(&session, false);
    greet(session.client);
    put_option(session.client, NBD_OPT_EXPORT_NAME, "x", 1);
    expect_end(session.client);
    end(&session);
}

static void test_options(void **state)
{
    static const uint8_t other[] = {0, 0, 0, 1, 'x', 0, 0}, cut[] = {0, 0, 0, 9, 'x', 0, 0};
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0, 0};
    struct session session;
    int fd;

    (void)state;
    begin(&session, false);
    fd = session.client;
    greet(fd);
    put_option(fd, NBD_OPT_LIST, NULL, 0);
    expect_answer(fd, NBD_OPT_LIST, NBD_REP_SERVER);
    expect_answer(fd, NBD_OPT_LIST, NBD_REP_ACK);
    put_option(fd, NBD_OPT_LIST, "x", 1);
    expect_answer(fd, NBD_OPT_LIST, NBD_REP_ERR_INVALID);
    put_option(fd, 4711, "what", 4);
    expect_answer(fd, 4711, NBD_REP_ERR_UNSUP);
    put_option(fd, NBD_OPT_GO, other, sizeof(other));
    expect_answer(fd, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN);
    put_option(fd, NBD_OPT_GO, cut, sizeof(cut));
    expect_answer(fd, NBD_OPT_GO, NBD_REP_ERR_INVALID);
    put_option(fd, NBD_OPT_INFO, huge, sizeof(huge));
    expect_answer(fd, NBD_OPT_INFO, NBD_REP_ERR_INVALID);
    put_option(fd, NBD_OPT_SET_META_CONTEXT, huge, sizeof(huge));
    expect_answer(fd, NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_INVALID);
    go(fd);
    write_bytes(fd, 0, "still there", 11);
    end(&session);

    begin(&session, false);
    greet(session.client);
    put_option(session.client, NBD_OPT_ABORT, NULL, 0);
    expect_answer(session.client, NBD_OPT_ABORT, NBD_REP_ACK);
    expect_end(session.client);
    end(&session);
}

static void test_refused(void **state)
{
    struct session session;
    int fd;

    (void)state;
    begin(&session, false);
    fd = session.client;
    greet(fd);
    go(fd);
    assert_int_equal(ask(fd, NBD_CMD_READ, 0, SIZE, 1), NBD_EINVAL);
    assert_int_equal(ask(fd, NBD_CMD_READ, 0, SIZE - 1, 2), NBD_EINVAL);
    assert_int_equal(ask(fd, NBD_CMD_READ, 0, UINT64_MAX, 2), NBD_EINVAL);
    assert_int_equal(ask(fd, NBD_CMD_READ, 0, 0, 0), NBD_EINVAL);
    assert_int_equal(ask(fd, NBD_CMD_READ, 0, 0, NBD_REQUEST_MAX + 1), NBD_EINVAL);
    assert_int_equal(ask(fd, NBD_CMD_READ, 1u << 9, 0, 1), NBD_EINVAL);
    assert_int_equal(ask(fd, NBD_CMD_TRIM, 0, 1, SIZE), NBD_EINVAL);
    assert_int_equal(ask(fd, NBD_CMD_WRITE_ZEROES, 0, SIZE, 1), NBD_EINVAL);
    assert_int_equal(ask(fd, NBD_CMD_BLOCK_STATUS, 0, 0, 1), NBD_EINVAL);
    assert_int_equal(ask(fd, 99, 0, 0, 1), NBD_EINVAL);
    put_request(fd, NBD_CMD_WRITE, 0, SIZE - 1, 2);
    put(fd, "xx", 2);
    assert_int_equal(get_reply(fd, NBD_CMD_WRITE, SIZE - 1), NBD_EINVAL);
    write_bytes(fd, 0, "still there", 11);
    end(&session);
}

static void test_read_only(void **state)
{
    struct session session;
    int fd;

    (void)state;
    begin(&session, true);
    fd = session.client;
    greet(fd);
    go(fd);
    put_request(fd, NBD_CMD_WRITE, 0, 0, 1);
    put(fd, "x", 1);
    assert_int_equal(get_reply(fd, NBD_CMD_WRITE, 0), NBD_EPERM);
    assert_int_equal(ask(fd, NBD_CMD_TRIM, 0, 0, 1), NBD_EPERM);
    assert_int_equal(ask(fd, NBD_CMD_WRITE_ZEROES, 0, 0, 1), NBD_EPERM);
    assert_int_equal(ask(fd, NBD_CMD_FLUSH, 0, 0, 0), 0);
    expect_bytes(fd, 0, "\0", 1);
    end(&session);
}

static void test_cut_off(void **state)
{
    static const uint8_t unknown_flags[4] = {0x80, 0, 0, 1};
    struct session session;
    uint8_t hello[18];

    (void)state;
    begin(&session, false); /* more data than a request may have */
    greet(session.client);
    go(session.client);
    put_request(session.client, NBD_CMD_WRITE, 0, 0, NBD_REQUEST_MAX + 1);
    expect_end(session.client);
    end(&session);

    begin(&session, false); /* no request at all */
    greet(session.client);
    go(session.client);
    put(session.client, "GET / HTTP/1.1\r\nHost: server\r\n\r\n", 33);
    expect_end(session.client);
    end(&session);

    begin(&session, false); /* a long option */
    greet(session.client);
    put_option(session.client, NBD_OPT_LIST, NULL, UINT32_MAX);
    expect_end(session.client);
    end(&session);

    begin(&session, false); /* another protocol */
    get(session.client, hello, sizeof(hello));
    put(session.client, unknown_flags, sizeof(unknown_flags));
    expect_end(session.client);
    end(&session);

    begin(&session, false); /* options without end */
    greet(session.client);
    for (unsigned n = 0; n < 256; n++) {
        put_option(session.client, 77, NULL, 0);
        expect_answer(session.client, 77, NBD_REP_ERR_UNSUP);
    }
    expect_end(session.client);
    end(&session);
}

/* The chunk's type; data has room for 64 bytes. */
static unsigned get_chunk(int fd, unsigned type, uint64_t offset, uint8_t *data, uint32_t *length)
{
    uint8_t head[NBD_CHUNK_BYTES];

    get(fd, head, sizeof(head));
    assert_int_equal(imgi_get_be32(head), NBD_STRUCTURED_REPLY_MAGIC);
    assert_int_equal(imgi_get_be16(head + 4), NBD_REPLY_FLAG_DONE);
    assert_int_equal(imgi_get_be64(head + 8), offset ^ type);
    *length = imgi_get_be32(head + 16);
    assert_in_range(*length, 0, 64);
    get(fd, data, *length);
    return imgi_get_be16(head + 6);
}

static void choose_status(int fd)
{
    uint8_t query[4 + 4 + 4 + 15] = {[7] = 1, [11] = 15};

    memcpy(query + 12, NBD_CONTEXT, 15);
    put_option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    expect_answer(fd, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
    put_option(fd, NBD_OPT_SET_META_CONTEXT, query, sizeof(query));
    expect_answer(fd, NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT);
    expect_answer(fd, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK);
}

static void test_structured(void **state)
{
    static const uint8_t runs[] = {0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 1,
                                   0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3};
    struct session session;
    uint8_t data[64];
    uint32_t length;
    img_error err;
    int fd;

    (void)state;
    begin(&session, false);
    fd = session.client;
    assert_int_equal(img_write(session.image, 70000, "hello", 5, &err), 0);
    greet(fd);
    choose_status(fd);
    go(fd);
    put_request(fd, NBD_CMD_READ, NBD_CMD_FLAG_DF, 70000, 5);
    assert_int_equal(get_chunk(fd, NBD_CMD_READ, 70000, data, &length), NBD_REPLY_TYPE_OFFSET_DATA);
    assert_int_equal(length, 8 + 5);
    assert_int_equal(imgi_get_be64(data), 70000);
    assert_memory_equal(data + 8, "hello", 5);
    put_request(fd, NBD_CMD_FLUSH, 0, 0, 0);
    assert_int_equal(get_chunk(fd, NBD_CMD_FLUSH, 0, data, &length), NBD_REPLY_TYPE_NONE);
    put_request(fd, NBD_CMD_READ, 0, SIZE, 1);
    assert_int_equal(get_chunk(fd, NBD_CMD_READ, SIZE, data, &length), NBD_REPLY_TYPE_ERROR);
    assert_int_equal(imgi_get_be32(data), NBD_EINVAL);
    put_request(fd, NBD_CMD_BLOCK_STATUS, 0, 0, 4 << 16);
    assert_int_equal(get_chunk(fd, NBD_CMD_BLOCK_STATUS, 0, data, &length),
                     NBD_REPLY_TYPE_BLOCK_STATUS);
    assert_int_equal(length, sizeof(runs));
    assert_memory_equal(data, runs, sizeof(runs));
    put_request(fd, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 0, 4 << 16);
    get_chunk(fd, NBD_CMD_BLOCK_STATUS, 0, data, &length);
    assert_int_equal(length, 12);
    end(&session);
}

/* Whatever comes, the server takes it for something and goes on, or leaves. */
static void test_noise(void **state)
{
    uint64_t seed = 4711;

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        struct session session;
        uint8_t noise[64];

        begin(&session, false);
        greet(session.client);
        if (round % 2)
            go(session.client);
        for (size_t n = 0; n < sizeof(noise); n++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            noise[n] = (uint8_t)(seed >> 40);
        }
        if (round % 2) {
            imgi_put_be32(noise, NBD_REQUEST_MAGIC);
            imgi_put_be32(noise + 4, noise[4] % 10u);
        } else {
            imgi_put_be64(noise, NBD_OPTION_MAGIC);
            imgi_put_be32(noise + 8, noise[8] % 12u);
            imgi_put_be32(noise + 12, noise[12] % 48u);
        }
        send(session.client, noise, sizeof(noise), MSG_NOSIGNAL);
        end(&session);
    }
}

/* ------------------------------------------------------------- many clients */

#define CLIENTS 4u

struct worker {
    const char *path;
    uint8_t number;
    pthread_t thread;
};

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memcpy(address.sun_path, path, strlen(path));
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void *work(void *argument)
{
    const struct worker *worker = argument;
    uint8_t bytes[8];

    memset(bytes, worker->number, sizeof(bytes));
    for (unsigned round = 0; round < 20; round++) {
        int fd = connect_to(worker->path);

        greet(fd);
        go(fd);
        for (unsigned n = 0; n < 20; n++) {
            uint64_t offset = (uint64_t)(n * CLIENTS + worker->number) * 30000;

            write_bytes(fd, offset, bytes, sizeof(bytes));
            expect_bytes(fd, offset, bytes, sizeof(bytes));
        }
        close(fd);
    }
    return NULL;
}

static void test_server(void **state)
{
    struct worker workers[CLIENTS];
    struct imgi_server *server;
    img_image *image = make_image();
    struct stat info;
    char path[128];
    img_error err;
    int idle;

    (void)state;
    assert_int_equal(imgi_serve_start(&server, image, false, &err), 0);
    strcpy(path, imgi_serve_socket(server));
    assert_non_null(strstr(imgi_serve_uri(server), path));
    for (unsigned n = 0; n < CLIENTS; n++) {
        workers[n] = (struct worker){path, (uint8_t)n, 0};
        assert_int_equal(pthread_create(&workers[n].thread, NULL, work, &workers[n]), 0);
    }
    for (unsigned n = 0; n < CLIENTS; n++)
        pthread_join(workers[n].thread, NULL);
    idle = connect_to(path);
    greet(idle);
    *strrchr(path, '/') = '\0';
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    imgi_serve_stop(server);
    expect_end(idle);
    assert_int_equal(stat(path, &info), -1);
    close(idle);
    img_abandon(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),   cmocka_unit_test(test_export_name),
        cmocka_unit_test(test_options),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_read_only),  cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_structured), cmocka_unit_test(test_noise),
        cmocka_unit_test(test_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
