/*
 * What the tests of the I/O backends share. SPDX-License-Identifier: BSD-2-Clause
 *
 * Each group runs in a private, empty directory, once on a disk and once on tmpfs, because file
 * systems differ in what they can do.
 */
#ifndef IO_TEST_H
#define IO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io.h"

static const char *const io_places[] = {"/var/tmp", "/dev/shm"};
static char io_directory[64];
static const char *io_place;

static inline int io_remove(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

/* A group's setup: go into a new directory. */
static inline int io_enter(void **state)
{
    (void)state;
    snprintf(io_directory, sizeof(io_directory), "%s/img-unit.XXXXXX", io_place);
    return mkdtemp(io_directory) && chdir(io_directory) == 0 ? 0 : -1;
}

/* A group's teardown. */
static inline int io_leave(void **state)
{
    (void)state;
    return chdir("/") == 0 && nftw(io_directory, io_remove, 8, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : -1;
}

/* Run a group of tests in every place. */
#define IO_RUN(tests)                                                                              \
    int main(void)                                                                                 \
    {                                                                                              \
        int failed = 0;                                                                            \
        for (size_t i = 0; i < sizeof(io_places) / sizeof(io_places[0]); i++) {                    \
            io_place = io_places[i];                                                               \
            failed += cmocka_run_group_tests_name(io_place, tests, io_enter, io_leave);            \
        }                                                                                          \
        return failed;                                                                             \
    }

/* The call must have failed with that code, say that, and name that file. */
#define assert_error(result, want, err, image_name, fragment)                                      \
    do {                                                                                           \
        assert_int_equal(result, want);                                                            \
        assert_int_equal((err).code, want);                                                        \
        assert_string_equal((err).image, image_name);                                              \
        if (!strstr((err).message, fragment))                                                      \
            fail_msg("\"%s\" does not say \"%s\"", (err).message, fragment);                       \
    } while (0)

/* A call that must succeed; its error is shown otherwise. */
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s: %s", #call, (err).image, (err).message);                             \
    } while (0)

static inline void io_put(const char *name, const void *bytes, size_t length, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* The file holds exactly these bytes. */
static inline void io_expect(const char *name, const void *bytes, size_t length)
{
    uint8_t *found = malloc(length + 1);
    int fd = open(name, O_RDONLY);

    assert_true(fd >= 0);
    assert_non_null(found);
    assert_int_equal(read(fd, found, length + 1), length);
    assert_memory_equal(found, bytes, length);
    close(fd);
    free(found);
}

/* Names in a directory, without "." and "..". */
static inline int io_count(const char *name)
{
    DIR *directory = opendir(name);
    int count = -2;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* Numbers that are the same in each run. */
static inline uint32_t io_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

#endif
