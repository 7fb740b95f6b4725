/*
 * Unit tests: the I/O backend that writes down what changes. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/io.h"

/* Every kind of change, by two files of one log. */
static void change(struct imgi_io *first, struct imgi_io *second)
{
    assert_int_equal(imgi_io_write(first, "abcdefgh", 8, 0, NULL), 0);
    assert_int_equal(imgi_io_write(second, "xyz", 3, 4, NULL), 0);
    assert_int_equal(imgi_io_flush(first, NULL), 0);
    assert_int_equal(imgi_io_zero(first, 2, 2, true, NULL), 0);
    assert_int_equal(imgi_io_discard(first, 6, 100, NULL), 0);
    assert_int_equal(imgi_io_resize(second, 5, IMGI_PREALLOC_OFF, NULL), 0);
}

static void entries_say_what_was_done(void **state)
{
    static const struct imgi_log_entry want[] = {
        {IMGI_LOG_WRITE, 0, 0, 8, NULL},     {IMGI_LOG_WRITE, 1, 4, 3, NULL},
        {IMGI_LOG_FLUSH, 0, 0, 0, NULL},     {IMGI_LOG_ZERO, 0, 2, 2, NULL},
        {IMGI_LOG_DISCARD, 0, 6, 100, NULL}, {IMGI_LOG_RESIZE, 1, 5, 0, NULL},
    };
    struct imgi_io *first, *second;
    struct imgi_log *log;

    (void)state;
    assert_int_equal(imgi_log_new(&log, NULL), 0);
    assert_int_equal(imgi_mem_new(&first, NULL), 0);
    assert_int_equal(imgi_log_io(&first, log, 0, first, NULL), 0);
    assert_int_equal(imgi_mem_new(&second, NULL), 0);
    assert_int_equal(imgi_log_io(&second, log, 1, second, NULL), 0);
    change(first, second);
    imgi_io_close(first);
    imgi_io_close(second);
    assert_int_equal(imgi_log_count(log), 6);
    for (size_t i = 0; i < 6; i++) {
        const struct imgi_log_entry *entry = &imgi_log_entries(log)[i];

        assert_int_equal(entry->kind, want[i].kind);
        assert_int_equal(entry->file, want[i].file);
        assert_int_equal(entry->offset, want[i].offset);
        assert_int_equal(entry->length, want[i].length);
    }
    assert_memory_equal(imgi_log_entries(log)[0].bytes, "abcdefgh", 8);
    imgi_log_free(log);
}

static void replay_makes_the_same_file(void **state)
{
    struct imgi_io *first, *second, *copy[2];
    struct imgi_log *log;
    size_t length;

    (void)state;
    assert_int_equal(imgi_log_new(&log, NULL), 0);
    assert_int_equal(imgi_mem_new(&first, NULL), 0);
    assert_int_equal(imgi_log_io(&first, log, 0, first, NULL), 0);
    assert_int_equal(imgi_mem_new(&second, NULL), 0);
    assert_int_equal(imgi_log_io(&second, log, 1, second, NULL), 0);
    change(first, second);
    for (int i = 0; i < 2; i++)
        assert_int_equal(imgi_mem_new(&copy[i], NULL), 0);
    for (size_t i = 0; i < imgi_log_count(log); i++) {
        const struct imgi_log_entry *entry = &imgi_log_entries(log)[i];

        assert_int_equal(imgi_log_replay(entry, copy[entry->file], NULL), 0);
    }
    /* What was given back is zeros, as far as the file goes. */
    assert_memory_equal(imgi_mem_bytes(copy[0], &length), "ab\0\0ef\0\0", 8);
    assert_int_equal(length, 8);
    assert_memory_equal(imgi_mem_bytes(copy[1], &length), "\0\0\0\0x", 5);
    assert_int_equal(length, 5);
    for (int i = 0; i < 2; i++)
        imgi_io_close(copy[i]);
    imgi_io_close(first);
    imgi_io_close(second);
    imgi_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_say_what_was_done),
        cmocka_unit_test(replay_makes_the_same_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
