/*
 * Option sets, their text form and their types. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "options.h"
#include "util/checked.h"

static const struct imgi_opt table[] = {
    {.name = "backing_file", .type = IMGI_OPT_STRING, .help = "a file"},
    {.name = "compat", .type = IMGI_OPT_STRING, .value = "1.1", .help = "a version"},
    {.name = "lazy", .type = IMGI_OPT_BOOL, .value = "off", .help = "a switch"},
    {.name = "extended", .type = IMGI_OPT_BOOL, .help = "a switch"},
    {.name = "bits", .type = IMGI_OPT_NUMBER, .value = "16", .help = "a number"},
    {.name = "size", .type = IMGI_OPT_SIZE, .help = "a size"},
    {.name = "cluster_size", .type = IMGI_OPT_SIZE, .value = "64k", .help = "a size"},
    {.name = NULL},
};

static int new_set(void **state)
{
    *state = img_options_new();
    return *state ? 0 : -1;
}

static int free_set(void **state)
{
    img_options_free(*state);
    return 0;
}

static void test_set_and_get(void **state)
{
    img_options *options = *state;
    char name[] = "a";
    char value[] = "1";

    assert_null(img_options_get(options, "a"));
    assert_int_equal(img_options_set(options, name, value, NULL), 0);
    name[0] = value[0] = 'x'; /* the set has copies */
    assert_string_equal(img_options_get(options, "a"), "1");
    assert_int_equal(img_options_set(options, "b", "", NULL), 0);
    assert_int_equal(img_options_set(options, "a", "3", NULL), 0);
    assert_string_equal(img_options_get(options, "a"), "3");
    assert_string_equal(img_options_get(options, "b"), "");
    assert_null(img_options_get(options, "A"));
    assert_int_equal(img_options_count(options), 2);
    assert_string_equal(img_options_name(options, 0), "a");
    assert_string_equal(img_options_name(options, 1), "b");
    assert_null(img_options_name(options, 2));
}

static void test_many(void **state)
{
    img_options *options = *state;
    char name[16];

    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "name%d", i);
        assert_int_equal(img_options_set(options, name, name + 4, NULL), 0);
    }
    assert_int_equal(img_options_count(options), 100);
    for (size_t i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "name%zu", i);
        assert_string_equal(img_options_name(options, i), name);
        assert_string_equal(img_options_get(options, name), name + 4);
    }
}

static void test_null_set(void **state)
{
    (void)state;
    assert_int_equal(img_options_count(NULL), 0);
    assert_null(img_options_name(NULL, 0));
    assert_null(img_options_get(NULL, "a"));
    assert_int_equal(imgi_options_check(NULL, table, "test", NULL), 0);
    assert_string_equal(imgi_options_string(NULL, table, "compat"), "1.1");
    assert_true(imgi_options_number(NULL, table, "cluster_size") == 65536);
    img_options_free(NULL);
}

static void test_parse(void **state)
{
    img_options *options = *state;

    assert_int_equal(img_options_parse(options, "a=1,b,c=x=y,d=,nolazy", NULL), 0);
    assert_string_equal(img_options_get(options, "a"), "1");
    assert_string_equal(img_options_get(options, "b"), "on");
    assert_string_equal(img_options_get(options, "c"), "x=y");
    assert_string_equal(img_options_get(options, "d"), "");
    assert_string_equal(img_options_get(options, "nolazy"), "on");
    assert_int_equal(img_options_count(options), 5);
    assert_int_equal(img_options_parse(options, "a=2,a=3", NULL), 0);
    assert_string_equal(img_options_get(options, "a"), "3");
    assert_int_equal(img_options_count(options), 5);
}

static void test_parse_commas(void **state)
{
    img_options *options = *state;

    assert_int_equal(img_options_parse(options, "f=a,,b,g=,,,h=c,,,,d", NULL), 0);
    assert_string_equal(img_options_get(options, "f"), "a,b");
    assert_string_equal(img_options_get(options, "g"), ",");
    assert_string_equal(img_options_get(options, "h"), "c,,d");
    assert_int_equal(img_options_count(options), 3);
}

static void test_parse_errors(void **state)
{
    static const char *const lists[] = {"", ",", ",a=1"};
    img_options *options = *state;

    for (size_t i = 0; i < IMGI_COUNT(lists); i++) {
        img_error err = {0};

        assert_int_equal(img_options_parse(options, lists[i], &err), IMG_E_INVAL);
        assert_string_equal(err.message, "Invalid option list");
    }
    assert_int_equal(img_options_parse(options, "a=1,", NULL), 0);
    assert_int_equal(img_options_parse(options, "b=1,,,", NULL), 0);
    assert_string_equal(img_options_get(options, "a"), "1");
    assert_string_equal(img_options_get(options, "b"), "1,");
}

static void test_defaults(void **state)
{
    const img_options *options = *state;

    assert_null(imgi_options_string(options, table, "backing_file"));
    assert_string_equal(imgi_options_string(options, table, "compat"), "1.1");
    assert_false(imgi_options_bool(options, table, "lazy"));
    assert_false(imgi_options_bool(options, table, "extended"));
    assert_true(imgi_options_number(options, table, "bits") == 16);
    assert_true(imgi_options_number(options, table, "size") == 0);
    assert_true(imgi_options_number(options, table, "cluster_size") == 65536);
}

static void test_typed_values(void **state)
{
    img_options *options = *state;

    assert_int_equal(img_options_parse(options,
                                       "backing_file=b,lazy=yes,extended=n,bits=0x20,"
                                       "size=1.5G,cluster_size=4096",
                                       NULL),
                     0);
    assert_int_equal(imgi_options_check(options, table, "test", NULL), 0);
    assert_string_equal(imgi_options_string(options, table, "backing_file"), "b");
    assert_true(imgi_options_bool(options, table, "lazy"));
    assert_false(imgi_options_bool(options, table, "extended"));
    assert_true(imgi_options_number(options, table, "bits") == 32);
    assert_true(imgi_options_number(options, table, "size") == UINT64_C(3) << 29);
    assert_true(imgi_options_number(options, table, "cluster_size") == 4096);
}

/* One pair, the code and the text that it is refused with (NULL: accepted). */
static const struct {
    const char *pair, *message;
    int code;
} checks[] = {
    {"compat=anything", NULL, 0},
    {"backing_file=", NULL, 0},
    {"lazy", NULL, 0},
    {"lazy=true", NULL, 0},
    {"lazy=y", NULL, 0},
    {"lazy=off", NULL, 0},
    {"lazy=no", NULL, 0},
    {"lazy=false", NULL, 0},
    {"lazy=maybe", "Parameter 'lazy' expects 'on' or 'off'", IMG_E_INVAL},
    {"lazy=1", "Parameter 'lazy' expects 'on' or 'off'", IMG_E_INVAL},
    {"lazy=ON", "Parameter 'lazy' expects 'on' or 'off'", IMG_E_INVAL},
    {"lazy=", "Parameter 'lazy' expects 'on' or 'off'", IMG_E_INVAL},
    {"nolazy", "Invalid parameter 'nolazy' for format test", IMG_E_INVAL},
    {"foo=1", "Invalid parameter 'foo' for format test", IMG_E_INVAL},
    {"=1", "Invalid parameter '' for format test", IMG_E_INVAL},
    {"bits=0", NULL, 0},
    {"bits=010", NULL, 0},
    {"bits=18446744073709551615", NULL, 0},
    {"bits=18446744073709551616", "Value '18446744073709551616' is too large for parameter 'bits'",
     IMG_E_RANGE},
    {"bits=", "Parameter 'bits' expects a number", IMG_E_INVAL},
    {"bits=-1", "Parameter 'bits' expects a number", IMG_E_INVAL},
    {"bits=16k", "Parameter 'bits' expects a number", IMG_E_INVAL},
    {"bits=08", "Parameter 'bits' expects a number", IMG_E_INVAL},
    {"size=0", NULL, 0},
    {"size=9223372036854775807", NULL, 0},
    {"size=9223372036854775808", "Value '9223372036854775808' is out of range for parameter 'size'",
     IMG_E_RANGE},
    {"size=-5",
     "Parameter 'size' expects a non-negative number below 2^64 Optional suffix k, M, G, T, P "
     "or E means kilo-, mega-, giga-, tera-, peta- and exabytes, respectively.",
     IMG_E_INVAL},
};

static void test_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(checks); i++) {
        img_options *options = img_options_new();
        img_error err = {0};

        assert_int_equal(img_options_parse(options, checks[i].pair, NULL), 0);
        assert_int_equal(imgi_options_check(options, table, "test", &err), checks[i].code);
        assert_string_equal(err.message, checks[i].message ? checks[i].message : "");
        img_options_free(options);
    }
}

static void test_no_table(void **state)
{
    img_options *options = *state;

    assert_int_equal(imgi_options_check(options, NULL, "test", NULL), 0);
    assert_int_equal(img_options_set(options, "a", "1", NULL), 0);
    assert_int_equal(imgi_options_check(options, NULL, "test", NULL), IMG_E_INVAL);
    assert_string_equal(imgi_options_string(options, NULL, "a"), "1");
    assert_null(imgi_options_string(options, NULL, "b"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, new_set, free_set)

static const struct CMUnitTest tests[] = {
    TEST(test_set_and_get),  TEST(test_many),         TEST(test_null_set), TEST(test_parse),
    TEST(test_parse_commas), TEST(test_parse_errors), TEST(test_defaults), TEST(test_typed_values),
    TEST(test_check),        TEST(test_no_table),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
