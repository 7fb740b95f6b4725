/*
 * Locks, among ourselves and with QEMU. SPDX-License-Identifier: BSD-2-Clause
 */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "io_test.h"

/* What a plain reader and a plain writer of an image hold. */
enum {
    READER_USE = IMGI_PERM_READ,
    WRITER_USE = IMGI_PERM_READ | IMGI_PERM_WRITE | IMGI_PERM_RESIZE,
    DENY = IMGI_PERM_WRITE | IMGI_PERM_RESIZE
};

static struct imgi_io *open_image(void)
{
    struct imgi_io *io;
    img_error err = {0};

    assert_ok(imgi_file_open(&io, "image", IMGI_IO_WRITE, &err), err);
    return io;
}

static void test_among_us(void **state)
{
    struct imgi_io *one, *two;
    img_error err = {0};

    (void)state;
    io_put("image", "0123456789", 10, 0600);
    one = open_image();
    two = open_image();

    /* readers bear each other */
    assert_ok(imgi_io_lock(one, READER_USE, DENY, &err), err);
    assert_ok(imgi_io_lock(two, READER_USE, DENY, &err), err);
    /* a writer does not come in while there are readers; it keeps what it had */
    assert_error(imgi_io_lock(two, WRITER_USE, DENY, &err), IMG_E_BUSY, err, "image",
                 "Failed to get \"write\" lock (this process has the image open)");
    imgi_io_close(one);
    one = open_image();
    assert_error(imgi_io_lock(one, WRITER_USE, DENY, &err), IMG_E_BUSY, err, "image",
                 "Failed to get \"write\" lock");
    assert_ok(imgi_io_lock(two, WRITER_USE, DENY, &err), err);

    /* while there is a writer: no reader, but one who denies nothing */
    assert_error(imgi_io_lock(one, READER_USE, DENY, &err), IMG_E_BUSY, err, "image",
                 "Failed to get shared \"write\" lock");
    assert_ok(imgi_io_lock(one, READER_USE, 0, &err), err);
    assert_ok(imgi_io_lock(one, 0, 0, &err), err);

    /* stepping down lets readers in */
    assert_ok(imgi_io_lock(two, READER_USE, DENY, &err), err);
    assert_ok(imgi_io_lock(one, READER_USE, DENY, &err), err);
    imgi_io_close(one);
    imgi_io_close(two);
}

/* A file that is being replaced is locked until the new one is closed. */
static void test_replaced(void **state)
{
    struct imgi_io *old, *new = NULL, *reader;
    img_error err = {0};

    (void)state;
    io_put("image", "0123456789", 10, 0600);
    old = open_image();
    assert_ok(imgi_io_lock(old, READER_USE, DENY, &err), err);
    assert_error(imgi_file_create(&new, "image", 0, &err), IMG_E_BUSY, err, "image",
                 "Failed to get \"write\" lock");
    imgi_io_close(old);

    assert_ok(imgi_file_create(&new, "image", 0, &err), err);
    reader = open_image();
    assert_error(imgi_io_lock(reader, READER_USE, DENY, &err), IMG_E_BUSY, err, "image",
                 "Failed to get shared \"write\" lock");
    imgi_io_close(new);
    assert_ok(imgi_io_lock(reader, READER_USE, DENY, &err), err);
    imgi_io_close(reader);
    io_expect("image", "0123456789", 10);
}

/* Start a program, its output thrown away; input (may be NULL) receives the end of its stdin. */
static pid_t start(const char *const *words, int *input)
{
    posix_spawn_file_actions_t actions;
    int ends[2] = {-1, -1};
    pid_t child;

    posix_spawn_file_actions_init(&actions);
    if (input) {
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
        *input = ends[1];
    }
    posix_spawn_file_actions_addopen(&actions, 1, "output", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);

    int error =
        posix_spawnp(&child, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (input)
        close(ends[0]);
    if (error) {
        print_message("%s: %s\n", words[0], strerror(error));
        skip();
    }
    return child;
}

static bool output_has(const char *text)
{
    char output[4096] = "";
    int fd = open("output", O_RDONLY);

    assert_true(fd >= 0);
    assert_true(read(fd, output, sizeof(output) - 1) >= 0);
    close(fd);
    return strstr(output, text) != NULL;
}

/* qemu-io has the image open for writing and waits for commands. */
static void test_qemu_first(void **state)
{
    static const char *const words[] = {"qemu-io", "-f", "raw", "image", NULL};
    struct imgi_io *io, *new;
    img_error err = {0};
    char fragment[100];
    int input, status;

    (void)state;
    io_put("image", "0123456789", 10, 0600);
    pid_t qemu = start(words, &input);
    for (int i = 0; i < 100 && !output_has("qemu-io>"); i++)
        usleep(100000);
    snprintf(fragment, sizeof(fragment),
             "Failed to get shared \"write\" lock (held by process %ld)", (long)qemu);

    io = open_image();
    assert_error(imgi_io_lock(io, READER_USE, DENY, &err), IMG_E_BUSY, err, "image", fragment);
    assert_error(imgi_io_lock(io, WRITER_USE, DENY, &err), IMG_E_BUSY, err, "image", fragment);
    assert_error(imgi_file_create(&new, "image", 0, &err), IMG_E_BUSY, err, "image", fragment);
    assert_ok(imgi_io_lock(io, READER_USE, 0, &err), err);

    assert_int_equal(write(input, "quit\n", 5), 5);
    close(input);
    assert_int_equal(waitpid(qemu, &status, 0), qemu);
    assert_ok(imgi_io_lock(io, WRITER_USE, DENY, &err), err);
    imgi_io_close(io);
}

static void run_qemu(const char *const *words, const char *expected)
{
    int status;
    pid_t qemu = start(words, NULL);

    assert_int_equal(waitpid(qemu, &status, 0), qemu);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status) != 0, expected != NULL);
    if (expected && !output_has(expected))
        fail_msg("%s does not say \"%s\"", words[0], expected);
}

static void test_we_first(void **state)
{
    static const char *const convert[] = {"qemu-img", "convert", "-f",   "raw", "-O",
                                          "raw",      "image",   "copy", NULL};
    static const char *const share[] = {"qemu-img", "map", "-U", "-f", "raw", "image", NULL};
    static const char *const resize[] = {"qemu-img", "resize", "-f", "raw", "image", "4096", NULL};
    struct imgi_io *io;
    img_error err = {0};

    (void)state;
    io_put("image", "0123456789", 10, 0600);
    io = open_image();
    assert_ok(imgi_io_lock(io, WRITER_USE, DENY, &err), err);
    run_qemu(convert, "Failed to get shared \"write\" lock");
    run_qemu(resize, "Failed to get \"write\" lock");
    run_qemu(share, NULL);

    assert_ok(imgi_io_lock(io, READER_USE, DENY, &err), err);
    run_qemu(convert, NULL);
    run_qemu(resize, "Failed to get \"write\" lock");

    imgi_io_close(io);
    run_qemu(resize, NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_among_us),
    cmocka_unit_test(test_replaced),
    cmocka_unit_test(test_qemu_first),
    cmocka_unit_test(test_we_first),
};

IO_RUN(tests)
