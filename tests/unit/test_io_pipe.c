/*
 * Pipes: bytes that go by once. SPDX-License-Identifier: BSD-2-Clause
 */
#include <pthread.h>
#include <signal.h>

#include "io_test.h"

#define MIB (1u << 20)
#define NAME "fifo"

/* The other side of a FIFO, in a thread of its own. */
struct peer {
    pthread_t thread;
    size_t length; /* bytes to send; received */
    uint8_t *bytes;
};

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at ^ at >> 9 ^ at >> 17);
}

static void *send(void *opaque)
{
    const struct peer *peer = opaque;
    int fd = open(NAME, O_WRONLY);
    size_t done = 0;

    while (done < peer->length) {
        uint8_t some[1000];
        size_t step = sizeof(some) < peer->length - done ? sizeof(some) : peer->length - done;

        for (size_t i = 0; i < step; i++)
            some[i] = pattern(done + i);
        if (write(fd, some, step) != (ssize_t)step)
            break;
        done += step;
    }
    close(fd);
    return NULL;
}

static void *receive(void *opaque)
{
    struct peer *peer = opaque;
    int fd = open(NAME, O_RDONLY);
    size_t room = peer->length;
    ssize_t n;

    peer->length = 0;
    while (peer->length < room &&
           (n = read(fd, peer->bytes + peer->length, room - peer->length)) > 0)
        peer->length += (size_t)n;
    close(fd);
    return NULL;
}

static struct imgi_io *begin(struct peer *peer, void *(*side)(void *), size_t length,
                             unsigned flags)
{
    struct imgi_io *io;
    img_error err = {0};

    signal(SIGPIPE, SIG_IGN);
    unlink(NAME);
    assert_int_equal(mkfifo(NAME, 0600), 0);
    assert_true(imgi_pipe_named(NAME));
    *peer = (struct peer){.length = length, .bytes = calloc(1, length + 1)};
    assert_int_equal(pthread_create(&peer->thread, NULL, side, peer), 0);
    assert_ok(imgi_pipe_open(&io, NAME, flags, NULL, &err), err);
    assert_true(imgi_io_is_pipe(io));
    return io;
}

static void end(struct peer *peer, struct imgi_io *io)
{
    imgi_io_close(io);
    pthread_join(peer->thread, NULL);
    free(peer->bytes);
}

static void expect(struct imgi_io *io, uint64_t at, size_t length)
{
    uint8_t *bytes = malloc(length);
    img_error err = {0};

    assert_ok(imgi_io_read(io, bytes, length, at, &err), err);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], pattern(at + i));
    free(bytes);
}

static void a_window_is_kept(void **state)
{
    struct peer peer;
    struct imgi_io *io = begin(&peer, send, 3 * MIB + 5, 0);
    img_error err = {0};
    uint8_t byte;
    uint64_t size;

    (void)state;
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_true(size == INT64_MAX);
    expect(io, 0, 600);
    expect(io, MIB - 1, 700 * 1024);
    expect(io, 100, 3000);
    imgi_io_pass(io, MIB);
    expect(io, MIB, 10);
    assert_error(imgi_io_read(io, &byte, 1, MIB - 1, &err), IMG_E_UNSUPPORTED, err, NAME,
                 "a pipe is read once");
    imgi_io_pass(io, 5); /* no way back */
    assert_error(imgi_io_read(io, &byte, 1, 5, &err), IMG_E_UNSUPPORTED, err, NAME, "at 0x100000");
    expect(io, 3 * MIB, 5);
    assert_error(imgi_io_read(io, &byte, 1, 3 * MIB + 5, &err), IMG_E_RANGE, err, NAME,
                 "ends at 0x300005");
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 3 * MIB + 5);
    assert_error(imgi_io_write(io, "x", 1, 0, &err), IMG_E_RDONLY, err, NAME, "reading only");
    end(&peer, io);
}

/* A reader that lets go of nothing cannot take all memory. */
static void the_window_has_a_limit(void **state)
{
    struct peer peer;
    struct imgi_io *io = begin(&peer, send, 80 * MIB, 0);
    img_error err = {0};
    uint8_t byte;

    (void)state;
    assert_error(imgi_io_read(io, &byte, 1, 70 * MIB, &err), IMG_E_UNSUPPORTED, err, NAME,
                 "64 MiB apart");
    imgi_io_pass(io, 60 * MIB);
    expect(io, 70 * MIB, 1);
    end(&peer, io);
}

static void short_sources_have_a_size(void **state)
{
    struct peer peer;
    struct imgi_io *io = begin(&peer, send, 700, 0);
    img_error err = {0};
    uint64_t size;

    (void)state;
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 700);
    expect(io, 0, 700);
    end(&peer, io);
}

static void what_is_left_out_is_zeros(void **state)
{
    struct peer peer;
    struct imgi_io *io = begin(&peer, receive, MIB, IMGI_IO_WRITE);
    img_error err = {0};
    uint8_t back[4];
    uint64_t size;

    (void)state;
    assert_ok(imgi_io_zero(io, 0, 70000, true, &err), err);
    assert_ok(imgi_io_write(io, "abcd", 4, 2, &err), err);
    assert_ok(imgi_io_write(io, "efgh", 4, 100000, &err), err);
    assert_error(imgi_io_write(io, "x", 1, 100003, &err), IMG_E_UNSUPPORTED, err, NAME,
                 "from front to back");
    assert_int_equal(imgi_io_zero(io, 100003, 10, true, NULL), IMG_E_UNSUPPORTED);
    assert_int_equal(imgi_io_resize(io, 100003, IMGI_PREALLOC_OFF, NULL), IMG_E_UNSUPPORTED);
    assert_ok(imgi_io_resize(io, 200000, IMGI_PREALLOC_OFF, &err), err);
    assert_ok(imgi_io_size(io, &size, &err), err);
    assert_int_equal(size, 200000);
    assert_ok(imgi_io_read(io, back, 4, 2, &err), err);
    assert_memory_equal(back, "abcd", 4);
    assert_error(imgi_io_read(io, back, 4, 100000, &err), IMG_E_UNSUPPORTED, err, NAME, "is gone");
    assert_ok(imgi_io_publish(io, &err), err);
    imgi_io_close(io);
    pthread_join(peer.thread, NULL);
    assert_int_equal(peer.length, 200000);
    for (size_t i = 0; i < peer.length; i++)
        assert_int_equal(peer.bytes[i], i - 2 < 4        ? "abcd"[i - 2]
                                        : i - 100000 < 4 ? "efgh"[i - 100000]
                                                         : 0);
    free(peer.bytes);
}

/* Unpublished, nothing is sent that was not written. */
static void given_up_pipes_end_early(void **state)
{
    struct peer peer;
    struct imgi_io *io = begin(&peer, receive, MIB, IMGI_IO_WRITE);
    img_error err = {0};

    (void)state;
    assert_ok(imgi_io_write(io, "abcd", 4, 0, &err), err);
    assert_ok(imgi_io_resize(io, 200000, IMGI_PREALLOC_OFF, &err), err);
    imgi_io_close(io);
    pthread_join(peer.thread, NULL);
    assert_int_equal(peer.length, 4);
    free(peer.bytes);
}

static void broken_pipes_are_errors(void **state)
{
    struct peer peer;
    struct imgi_io *io = begin(&peer, receive, 10, IMGI_IO_WRITE);
    img_error err = {0};
    uint8_t *bytes = calloc(4, MIB);

    (void)state;
    assert_int_equal(imgi_io_write(io, bytes, 4 * MIB, 0, &err), IMG_E_IO);
    assert_int_equal(err.os_errno, EPIPE);
    free(bytes);
    end(&peer, io);
}

static void names_are_told_apart(void **state)
{
    (void)state;
    io_put("file", "x", 1, 0600);
    assert_false(imgi_pipe_named("file"));
    assert_false(imgi_pipe_named("nothing"));
    assert_false(imgi_pipe_named("/dev/null"));
    assert_true(imgi_pipe_named("-"));
    assert_false(imgi_pipe_named("./-"));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_window_is_kept),          cmocka_unit_test(the_window_has_a_limit),
    cmocka_unit_test(short_sources_have_a_size), cmocka_unit_test(what_is_left_out_is_zeros),
    cmocka_unit_test(given_up_pipes_end_early),  cmocka_unit_test(broken_pipes_are_errors),
    cmocka_unit_test(names_are_told_apart),
};

IO_RUN(tests)
