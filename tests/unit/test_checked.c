/*
 * Checked arithmetic at its edges. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/checked.h"

static void test_add(void **state)
{
    uint64_t result = 0;

    (void)state;
    assert_true(imgi_add(UINT64_MAX - 1, 1, &result));
    assert_true(result == UINT64_MAX);
    assert_false(imgi_add(UINT64_MAX, 1, &result));
    assert_false(imgi_add(UINT64_MAX, UINT64_MAX, &result));
    assert_true(imgi_add(0, 0, &result));
    assert_true(result == 0);
}

static void test_mul(void **state)
{
    uint64_t result = 1;

    (void)state;
    assert_true(imgi_mul(UINT64_MAX, 0, &result));
    assert_true(result == 0);
    assert_true(imgi_mul(UINT64_C(1) << 32, UINT32_MAX, &result));
    assert_true(result == UINT64_MAX - UINT32_MAX);
    assert_false(imgi_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &result));
    assert_false(imgi_mul(UINT64_MAX, 2, &result));
}

static void test_span(void **state)
{
    (void)state;
    assert_true(imgi_span_ok(0, 0, 0));
    assert_true(imgi_span_ok(100, 0, 100));
    assert_true(imgi_span_ok(0, 100, 100));
    assert_true(imgi_span_ok(99, 1, 100));
    assert_false(imgi_span_ok(99, 2, 100));
    assert_false(imgi_span_ok(100, 1, 100));
    assert_false(imgi_span_ok(101, 0, 100));
    /* The sum wraps to a small number. */
    assert_false(imgi_span_ok(UINT64_MAX, 2, 100));
    assert_false(imgi_span_ok(2, UINT64_MAX, 100));
    assert_true(imgi_span_ok(UINT64_MAX, 0, UINT64_MAX));
    assert_true(imgi_span_ok(1, UINT64_MAX - 1, UINT64_MAX));
}

static void test_powers(void **state)
{
    (void)state;
    assert_false(imgi_is_pow2(0));
    assert_false(imgi_is_pow2(3));
    assert_false(imgi_is_pow2(UINT64_MAX));
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_true(imgi_is_pow2(UINT64_C(1) << bit));
        assert_int_equal(imgi_log2(UINT64_C(1) << bit), bit);
    }
}

static void test_units(void **state)
{
    (void)state;
    assert_true(imgi_align_down(4095, 4096) == 0);
    assert_true(imgi_align_down(4096, 4096) == 4096);
    assert_true(imgi_align_down(UINT64_MAX, 512) == UINT64_MAX - 511);
    assert_true(imgi_align_up(0, 4096) == 0);
    assert_true(imgi_align_up(1, 4096) == 4096);
    assert_true(imgi_align_up(4096, 4096) == 4096);
    assert_true(imgi_align_up(UINT64_MAX, 512) == 0); /* wraps, as its comment says */
    assert_true(imgi_div_up(0, 512) == 0);
    assert_true(imgi_div_up(1, 512) == 1);
    assert_true(imgi_div_up(512, 512) == 1);
    assert_true(imgi_div_up(UINT64_MAX, 512) == UINT64_C(1) << 55);
    assert_true(imgi_div_up(UINT64_MAX, 1) == UINT64_MAX);
}

static void test_macros(void **state)
{
    static const int five[5];

    (void)state;
    assert_int_equal(IMGI_MIN(3, 4), 3);
    assert_int_equal(IMGI_MIN(-3, 4), -3);
    assert_int_equal(IMGI_MAX(3, 4), 4);
    assert_int_equal(IMGI_COUNT(five), 5);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_add),    cmocka_unit_test(test_mul),   cmocka_unit_test(test_span),
    cmocka_unit_test(test_powers), cmocka_unit_test(test_units), cmocka_unit_test(test_macros),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
