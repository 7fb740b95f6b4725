/*
 * Files that get their name when they are complete. SPDX-License-Identifier: BSD-2-Clause
 */
#include <sys/wait.h>

#include "io_test.h"

/* Each test has a directory of its own, so that what is left behind can be counted. */
static int enter_own(void **state)
{
    static int number;
    char name[16];

    (void)state;
    snprintf(name, sizeof(name), "own%d", number++);
    return mkdir(name, 0700) == 0 && chdir(name) == 0 ? 0 : -1;
}

static int leave_own(void **state)
{
    (void)state;
    return chdir("..");
}

static struct imgi_io *make(const char *name, unsigned flags, const char *text)
{
    struct imgi_io *io = NULL;
    img_error err = {0};

    assert_ok(imgi_file_create(&io, name, flags, &err), err);
    assert_ok(imgi_io_write(io, text, strlen(text), 0, &err), err);
    return io;
}

static void publish(struct imgi_io *io)
{
    img_error err = {0};

    assert_ok(imgi_io_flush(io, &err), err);
    assert_ok(imgi_io_publish(io, &err), err);
    imgi_io_close(io);
}

static void test_new(void **state)
{
    struct imgi_io *io = make("new", 0, "hello");
    struct stat info;

    (void)state;
    assert_string_equal(io->name, "new");
    assert_int_equal(io_count("."), 0);
    imgi_io_close(io);
    assert_int_equal(io_count("."), 0);

    publish(make("new", IMGI_IO_NO_FLUSH, "hello"));
    assert_int_equal(io_count("."), 1);
    io_expect("new", "hello", 5);
    assert_int_equal(stat("new", &info), 0);

    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(info.st_mode & 07777, 0644 & ~mask);
}

static void test_replace(void **state)
{
    struct imgi_io *io;
    struct stat info;

    (void)state;
    io_put("old", "old content", 11, 0640);
    io = make("old", 0, "new");
    io_expect("old", "old content", 11);
    imgi_io_close(io);
    io_expect("old", "old content", 11);

    publish(make("old", 0, "new"));
    io_expect("old", "new", 3);
    assert_int_equal(stat("old", &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
    assert_int_equal(io_count("."), 1);
}

/* Run as another user, if we are root; the child's exit status tells of failure. */
static void as_nobody(void (*run)(void))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(2);
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void die_half_way(void)
{
    struct imgi_io *io;

    if (imgi_file_create(&io, "old", 0, NULL) != 0 || imgi_io_write(io, "new", 3, 0, NULL) != 0)
        _exit(3);
}

/* A process that dies leaves nothing behind. */
static void test_death(void **state)
{
    (void)state;
    io_put("old", "old", 3, 0666);
    assert_int_equal(chmod(".", 0777), 0);
    assert_int_equal(chmod("..", 0755), 0);
    as_nobody(die_half_way);
    assert_int_equal(io_count("."), 1);
    io_expect("old", "old", 3);
}

/* Only root may give a file away; anybody else keeps the mode but not the group's rights. */
static void test_owner(void **state)
{
    struct stat info;

    (void)state;
    if (geteuid() != 0)
        skip();
    io_put("old", "", 0, 0660);
    assert_int_equal(chown("old", 12, 34), 0);
    publish(make("old", 0, "new"));
    assert_int_equal(stat("old", &info), 0);
    assert_int_equal(info.st_uid, 12);
    assert_int_equal(info.st_gid, 34);
    assert_int_equal(info.st_mode & 07777, 0660);
}

static void replace_as_nobody(void)
{
    struct imgi_io *io;

    if (imgi_file_create(&io, "old", 0, NULL) != 0 || imgi_io_publish(io, NULL) != 0)
        _exit(3);
    imgi_io_close(io);
}

static void test_other_owner(void **state)
{
    struct stat info;

    (void)state;
    if (geteuid() != 0)
        skip();
    io_put("old", "", 0, 04666);
    assert_int_equal(chown("old", 12, 34), 0);
    assert_int_equal(chmod("old", 04676), 0);
    assert_int_equal(chmod(".", 0777), 0);
    assert_int_equal(chmod("..", 0755), 0);
    as_nobody(replace_as_nobody);
    assert_int_equal(stat("old", &info), 0);
    assert_int_equal(info.st_uid, 65534);
    assert_int_equal(info.st_mode & 07777, 0666);
}

static void test_links(void **state)
{
    struct stat info;
    struct imgi_io *io;
    img_error err = {0};

    (void)state;
    assert_int_equal(mkdir("sub", 0700), 0);
    io_put("sub/file", "old", 3, 0600);
    assert_int_equal(symlink("sub/middle", "link"), 0);
    assert_int_equal(symlink("file", "sub/middle"), 0);
    publish(make("link", 0, "new"));
    io_expect("sub/file", "new", 3);
    assert_int_equal(lstat("link", &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(lstat("sub/middle", &info), 0);
    assert_true(S_ISLNK(info.st_mode));

    /* one that leads nowhere yet */
    assert_int_equal(symlink("sub/missing", "dangling"), 0);
    publish(make("dangling", 0, "made"));
    io_expect("sub/missing", "made", 4);
    assert_int_equal(io_count("sub"), 3);

    assert_int_equal(symlink("loop", "loop"), 0);
    assert_error(imgi_file_create(&io, "loop", 0, &err), IMG_E_IO, err, "loop", "Too many levels");
    assert_error(imgi_file_create(&io, "dangling", IMGI_IO_NO_FOLLOW, &err), IMG_E_IO, err,
                 "dangling", "Too many levels");
}

static void test_refused(void **state)
{
    struct imgi_io *io = NULL;
    img_error err = {0};
    int ends[2];
    char name[32];

    (void)state;
    assert_int_equal(mkdir("sub", 0700), 0);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    alarm(10); /* the pipe must not be waited for */
    assert_error(imgi_file_create(&io, "sub", 0, &err), IMG_E_INVAL, err, "sub", "is a directory");
    assert_error(imgi_file_create(&io, "pipe", 0, &err), IMG_E_INVAL, err, "pipe", "is a pipe");
    assert_error(imgi_file_create(&io, "/dev/null", 0, &err), IMG_E_INVAL, err, "/dev/null",
                 "is a character device");
    assert_error(imgi_file_create(&io, "missing/file", 0, &err), IMG_E_NOENT, err, "missing/file",
                 "cannot be created: No such file or directory");
    assert_error(imgi_file_create(&io, "missing/", 0, &err), IMG_E_IO, err, "missing/",
                 "Is a directory");
    assert_error(imgi_file_create(&io, "", 0, &err), IMG_E_NOENT, err, "", "cannot be created");

    /* what /dev/stdout is in a pipeline */
    assert_int_equal(pipe(ends), 0);
    snprintf(name, sizeof(name), "/dev/fd/%d", ends[1]);
    assert_error(imgi_file_create(&io, name, 0, &err), IMG_E_INVAL, err, name, "is a pipe");
    close(ends[0]);
    close(ends[1]);

    /* an open file whose name is gone */
    int fd = open("gone", O_RDWR | O_CREAT, 0600);
    assert_int_equal(unlink("gone"), 0);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    assert_error(imgi_file_create(&io, name, 0, &err), IMG_E_INVAL, err, name, "without a name");
    close(fd);
    alarm(0);
    assert_null(io);
    assert_int_equal(io_count("."), 2);
}

static void must_be_refused(const char *name, const char *text)
{
    struct imgi_io *io;
    img_error err = {0};

    if (imgi_file_create(&io, name, 0, &err) == 0 || !strstr(err.message, text)) {
        fprintf(stderr, "%s: %s\n", name, err.message);
        _exit(3);
    }
}

static void try_without_permission(void)
{
    must_be_refused("read-only", "cannot be replaced: Permission denied");
    must_be_refused("closed/new", "cannot be created: Permission denied");
    must_be_refused("closed/writable", "cannot be replaced by a file beside it: Permission denied");
}

static void test_no_permission(void **state)
{
    (void)state;
    io_put("read-only", "old", 3, 0444);
    assert_int_equal(mkdir("closed", 0755), 0);
    io_put("closed/writable", "old", 3, 0666);
    assert_int_equal(chmod("closed", 0555), 0);
    assert_int_equal(chmod(".", 0777), 0);
    assert_int_equal(chmod("..", 0755), 0);
    as_nobody(try_without_permission);
    assert_int_equal(chmod("closed", 0755), 0);
    io_expect("read-only", "old", 3);
    assert_int_equal(io_count("."), 2);
}

/* A name that another process takes meanwhile: the one that is published later wins. */
static void test_race(void **state)
{
    struct imgi_io *first = make("name", 0, "first");
    struct imgi_io *second = make("name", 0, "second");

    (void)state;
    publish(second);
    io_expect("name", "second", 6);
    publish(first);
    io_expect("name", "first", 5);
    assert_int_equal(io_count("."), 1);

    /* the directory may get another name, and the process another directory */
    assert_int_equal(mkdir("before", 0700), 0);
    first = make("before/name", 0, "moved");
    assert_int_equal(rename("before", "after"), 0);
    publish(first);
    io_expect("after/name", "moved", 5);
}

/* What was prepared and published gives its name back, to the old file where there was one. */
static void test_retract(void **state)
{
    struct imgi_io *fresh, *io;
    img_error err = {0};

    (void)state;
    io_put("name", "old", 3, 0600);
    fresh = make("new", 0, "fresh");
    io = make("name", 0, "text");
    imgi_io_retract(io);
    assert_ok(imgi_io_prepare(io, &err), err);
    assert_ok(imgi_io_prepare(fresh, &err), err);
    io_expect("name", "old", 3);
    assert_ok(imgi_io_publish(fresh, &err), err);
    assert_ok(imgi_io_publish(io, &err), err);
    io_expect("name", "text", 4);
    imgi_io_retract(io);
    imgi_io_retract(fresh);
    io_expect("name", "old", 3);
    imgi_io_close(io);
    imgi_io_close(fresh);
    io_expect("name", "old", 3);
    assert_int_equal(io_count("."), 1);
}

/* Closing makes it final. A name that has become another file's is not taken away. */
static void test_retract_nothing(void **state)
{
    struct imgi_io *io, *other;
    img_error err = {0};

    (void)state;
    io_put("name", "old", 3, 0600);
    io = make("name", 0, "text");
    assert_ok(imgi_io_prepare(io, &err), err);
    publish(io);
    io_expect("name", "text", 4);

    io = make("other", 0, "mine");
    other = make("other", 0, "theirs");
    assert_ok(imgi_io_prepare(io, &err), err);
    assert_ok(imgi_io_publish(io, &err), err);
    publish(other);
    imgi_io_retract(io);
    imgi_io_close(io);
    io_expect("other", "theirs", 6);
    assert_int_equal(io_count("."), 2);
}

/* A name that became a directory cannot be had; the failure leaves nothing behind. */
static void test_name_taken(void **state)
{
    struct imgi_io *io = make("name", 0, "text");
    img_error err = {0};

    (void)state;
    assert_int_equal(mkdir("name", 0700), 0);
    assert_error(imgi_io_publish(io, &err), IMG_E_IO, err, "name", "cannot be given its name");
    assert_ok(imgi_io_prepare(io, &err), err);
    assert_error(imgi_io_publish(io, &err), IMG_E_IO, err, "name", "cannot be given its name");
    imgi_io_close(io);
    assert_int_equal(io_count("."), 1);
    assert_int_equal(io_count("name"), 0);
}

static void test_direct(void **state)
{
    struct imgi_io *io;
    img_error err = {0};

    (void)state;
    if (imgi_file_create(&io, "direct", IMGI_IO_DIRECT, &err) != 0) {
        assert_non_null(strstr(err.message, "the file system may not support O_DIRECT"));
        skip();
    }
    assert_ok(imgi_io_write(io, "hello", 5, 1, &err), err);
    publish(io);
    io_expect("direct", "\0hello", 6);
}

#define OWN(test) cmocka_unit_test_setup_teardown(test, enter_own, leave_own)

static const struct CMUnitTest tests[] = {
    OWN(test_new),         OWN(test_replace), OWN(test_owner),           OWN(test_death),
    OWN(test_other_owner), OWN(test_links),   OWN(test_refused),         OWN(test_no_permission),
    OWN(test_race),        OWN(test_retract), OWN(test_retract_nothing), OWN(test_name_taken),
    OWN(test_direct),
};

IO_RUN(tests)
