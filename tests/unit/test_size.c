/*
 * Sizes and cache modes: what qemu-img 7.2 takes and what it refuses.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "libimg.h"
#include "util/checked.h"

#define K UINT64_C(1024)

static const struct {
    const char *text;
    uint64_t bytes;
} good[] = {
    {"0", 0},
    {"00", 0},
    {"1", 1},
    {"4096", 4096},
    {"010", 10}, /* not octal */
    {"1b", 1},
    {"1B", 1},
    {"1k", K},
    {"1K", K},
    {"1m", K *K},
    {"1M", K *K},
    {"1g", K *K *K},
    {"10G", 10 * K *K *K},
    {"1t", K *K *K *K},
    {"1T", K *K *K *K},
    {"1p", K *K *K *K *K},
    {"1P", K *K *K *K *K},
    {"1e", K *K *K *K *K *K},
    {"7E", 7 * K *K *K *K *K *K},
    {"1.5G", 3 * K *K *K / 2},
    {"0.5k", 512},
    {"1.k", K},
    {"1.", 1},
    {"1.0", 1},
    {"1.000b", 1},
    {"0.e", 0},
    {"1.1k", 1126},
    {"0.3k", 307},
    {"1.3M", 1363149},
    {"2.7m", 2831155},
    {"0.0001k", 0},
    {"0.9999k", 1024},
    {"0.999999M", 1048575},
    {"1.9999999999999k", 2048},
    {"0x10", 16},
    {"0X10", 16},
    {"0x10k", 16 * K},
    {"0x1e", 30},
    {"0x1b", 27},
    {" 1k", K},
    {"\t1k", K},
    {"+1k", K},
    {"8388607T", 8388607 * K *K *K *K},
    {"9223372036854775807", INT64_MAX},
    {"0x7fffffffffffffff", INT64_MAX},
};

static const char *const bad[] = {
    "",       " ",     "k",     "abc",   "-1",  "-0",  "-1k",    "1k ",   "++1",    "+-1",
    "1kb",    "1KiB",  "1z",    "1,5G",  "1 k", ".5k", ".",      ".k",    "1.5",    "0.5",
    "1.5b",   "1e3",   "1e3k",  "0x",    "0xg", "0xk", "0x1p4",  "0x1.8", "0x1.8k", "1..5k",
    "1.5.5k", "1.+5k", "1.-5k", "1. 5k", "nan", "inf", "1.0x5k", "1.5e1",
};

static const char *const out_of_range[] = {
    "8e",
    "9E",
    "7.99999999999999999999999E", /* rounds to 8E */
    "8388608T",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999",
    "12345678901234567890k",
    "0xffffffffffffffffffff",
    "0x8000000000000000",
    "16E",
    "17179869184G",
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(good); i++) {
        uint64_t bytes = 12345;
        img_error err = {0};
        int ret = img_parse_size(good[i].text, &bytes, &err);

        if (ret != 0 || bytes != good[i].bytes)
            fail_msg("%s: %d, %llu", good[i].text, ret, (unsigned long long)bytes);
    }
}

static void refuse(const char *text, int code)
{
    uint64_t bytes = 12345;
    img_error err = {0};
    int ret = img_parse_size(text, &bytes, &err);

    if (ret != code || err.code != code || err.message[0] == '\0')
        fail_msg("'%s': %d, %s", text, ret, err.message);
    assert_true(bytes == 12345);
    assert_int_equal(img_parse_size(text, &bytes, NULL), code);
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(bad); i++)
        refuse(bad[i], IMG_E_INVAL);
}

static void test_out_of_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(out_of_range); i++)
        refuse(out_of_range[i], IMG_E_RANGE);
}

static void test_cache(void **state)
{
    static const struct {
        const char *text;
        enum img_cache cache;
    } modes[] = {
        {"none", IMG_CACHE_NONE},
        {"off", IMG_CACHE_NONE},
        {"writeback", IMG_CACHE_WRITEBACK},
        {"writethrough", IMG_CACHE_WRITETHROUGH},
        {"directsync", IMG_CACHE_DIRECTSYNC},
        {"unsafe", IMG_CACHE_UNSAFE},
    };
    static const char *const wrong[] = {"", "Writeback", "write", "unsafe ", "on"};
    img_error err = {0};

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(modes); i++) {
        enum img_cache cache = (enum img_cache)99;

        assert_int_equal(img_parse_cache(modes[i].text, &cache, NULL), 0);
        assert_int_equal(cache, modes[i].cache);
    }
    for (size_t i = 0; i < IMGI_COUNT(wrong); i++) {
        enum img_cache cache = IMG_CACHE_UNSAFE;

        assert_int_equal(img_parse_cache(wrong[i], &cache, &err), IMG_E_INVAL);
        assert_int_equal(cache, IMG_CACHE_UNSAFE);
    }
    assert_string_equal(err.message, "Invalid cache option: on");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_good),
    cmocka_unit_test(test_bad),
    cmocka_unit_test(test_out_of_range),
    cmocka_unit_test(test_cache),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
