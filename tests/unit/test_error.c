/*
 * Filling an img_error. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "error.h"

static void test_fail(void **state)
{
    img_error err;

    (void)state;
    memset(&err, 0xff, sizeof(err));
    assert_int_equal(imgi_fail(&err, IMG_E_CORRUPT, "entry %d of %s", 3, "L1"), IMG_E_CORRUPT);
    assert_int_equal(err.code, IMG_E_CORRUPT);
    assert_int_equal(err.os_errno, 0);
    assert_string_equal(err.message, "entry 3 of L1");
    assert_string_equal(err.image, "");
    assert_string_equal(err.place, "");
    assert_int_equal(imgi_fail_nomem(&err, "tables"), IMG_E_NOMEM);
    assert_string_equal(err.message, "out of memory for tables");
}

static void test_errno(void **state)
{
    static const struct {
        int os_errno, code;
    } cases[] = {
        {ENOENT, IMG_E_NOENT},   {ENOTDIR, IMG_E_NOENT},  {EEXIST, IMG_E_EXISTS},
        {ENOSPC, IMG_E_NOSPACE}, {EDQUOT, IMG_E_NOSPACE}, {EFBIG, IMG_E_NOSPACE},
        {ENOMEM, IMG_E_NOMEM},   {EROFS, IMG_E_RDONLY},   {EBUSY, IMG_E_BUSY},
        {ETXTBSY, IMG_E_BUSY},   {EIO, IMG_E_IO},         {EACCES, IMG_E_IO},
    };
    img_error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(imgi_fail_errno(&err, cases[i].os_errno, "x"), cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_int_equal(err.os_errno, cases[i].os_errno);
    }
    imgi_fail_errno(&err, ENOENT, "cannot open '%s'", "a");
    assert_string_equal(err.message, "cannot open 'a': No such file or directory");
}

/* An image's names end in error texts: they must not forge lines or drive a terminal. */
static void test_one_printable_line(void **state)
{
    img_error err = {0};

    (void)state;
    imgi_fail(&err, IMG_E_INVAL, "a%sb", "\n\x1b[31m\x7f\t\xc3\xa4");
    assert_string_equal(err.message, "a??[31m??\xc3\xa4"
                                     "b");
    imgi_error_image(&err, "disk\nimg: all is well");
    assert_string_equal(err.image, "disk?img: all is well");
    imgi_error_place(&err, "%s", "L2\r");
    assert_string_equal(err.place, "L2?");
    imgi_error_prefix(&err, "%s", "\b");
    assert_int_equal(err.message[0], '?');
}

static void test_context(void **state)
{
    img_error err = {0};

    (void)state;
    imgi_fail(&err, IMG_E_CORRUPT, "the cause");
    imgi_error_place(&err, "L2 table %d", 17);
    imgi_error_place(&err, "L1 table");
    imgi_error_image(&err, "a.qcow2");
    imgi_error_image(&err, "b.qcow2");
    imgi_error_prefix(&err, "inner %d", 1);
    imgi_error_prefix(&err, "outer");
    assert_int_equal(err.code, IMG_E_CORRUPT);
    assert_string_equal(err.place, "L2 table 17");
    assert_string_equal(err.image, "a.qcow2");
    assert_string_equal(err.message, "outer: inner 1: the cause");
    /* A new failure starts over. */
    imgi_fail(&err, IMG_E_IO, "other");
    assert_string_equal(err.place, "");
    assert_string_equal(err.image, "");
}

static void test_long_texts_are_cut(void **state)
{
    char text[2000];
    img_error err = {0};

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    imgi_fail_errno(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.message), IMG_ERROR_TEXT - 1);
    imgi_error_image(&err, text);
    assert_int_equal(strlen(err.image), IMG_ERROR_IMAGE - 1);
    imgi_error_place(&err, "%s", text);
    assert_int_equal(strlen(err.place), IMG_ERROR_PLACE - 1);
    imgi_error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), IMG_ERROR_TEXT - 1);
    imgi_fail(&err, IMG_E_IO, "y");
    imgi_error_prefix(&err, "%.*s", IMG_ERROR_TEXT - 3, text);
    assert_int_equal(strlen(err.message), IMG_ERROR_TEXT - 1);
}

static void test_null(void **state)
{
    (void)state;
    assert_int_equal(imgi_fail(NULL, IMG_E_RANGE, "x"), IMG_E_RANGE);
    assert_int_equal(imgi_fail_errno(NULL, ENOENT, "x"), IMG_E_NOENT);
    assert_int_equal(imgi_fail_nomem(NULL, "x"), IMG_E_NOMEM);
    imgi_error_prefix(NULL, "x");
    imgi_error_image(NULL, "x");
    imgi_error_place(NULL, "x");
}

static void test_strerror(void **state)
{
    (void)state;
    for (int code = IMG_E_INTERNAL; code <= IMG_OK; code++) {
        assert_non_null(img_strerror(code));
        assert_string_not_equal(img_strerror(code), "unknown error");
    }
    assert_string_equal(img_strerror(IMG_E_NOMEM), "out of memory");
    assert_string_equal(img_strerror(IMG_E_INTERNAL - 1), "unknown error");
    assert_string_equal(img_strerror(1), "unknown error");
    assert_string_equal(img_strerror(INT32_MIN), "unknown error");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_fail),
    cmocka_unit_test(test_errno),
    cmocka_unit_test(test_one_printable_line),
    cmocka_unit_test(test_context),
    cmocka_unit_test(test_long_texts_are_cut),
    cmocka_unit_test(test_null),
    cmocka_unit_test(test_strerror),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
