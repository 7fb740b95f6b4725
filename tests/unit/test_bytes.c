/*
 * Numbers in byte buffers. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/bytes.h"

static const uint8_t golden[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0x80};

static void test_get(void **state)
{
    (void)state;
    assert_int_equal(imgi_get_be16(golden), 0x0123);
    assert_int_equal(imgi_get_le16(golden), 0x2301);
    assert_int_equal(imgi_get_be32(golden), 0x01234567);
    assert_int_equal(imgi_get_le32(golden), 0x67452301);
    assert_true(imgi_get_be64(golden) == UINT64_C(0x0123456789abcdef));
    assert_true(imgi_get_le64(golden) == UINT64_C(0xefcdab8967452301));
}

static void test_get_unaligned(void **state)
{
    (void)state;
    assert_int_equal(imgi_get_be16(golden + 7), 0xeffe);
    assert_int_equal(imgi_get_le16(golden + 8), 0x80fe);
    assert_int_equal(imgi_get_be32(golden + 5), 0xabcdeffe);
    assert_true(imgi_get_be64(golden + 1) == UINT64_C(0x23456789abcdeffe));
    assert_true(imgi_get_le64(golden + 1) == UINT64_C(0xfeefcdab89674523));
}

/* put writes what get reads, and not a byte more. */
static void test_put(void **state)
{
    uint8_t buffer[12];

    (void)state;
#define CHECK_PUT(order, bits, value)                                                              \
    do {                                                                                           \
        memset(buffer, 0x5a, sizeof(buffer));                                                      \
        imgi_put_##order##bits(buffer + 1, value);                                                 \
        assert_true(imgi_get_##order##bits(buffer + 1) == (value));                                \
        assert_int_equal(buffer[0], 0x5a);                                                         \
        assert_int_equal(buffer[1 + bits / 8], 0x5a);                                              \
    } while (0)
    CHECK_PUT(be, 16, 0xfedc);
    CHECK_PUT(le, 16, 0xfedc);
    CHECK_PUT(be, 32, 0xfedcba98);
    CHECK_PUT(le, 32, 0xfedcba98);
    CHECK_PUT(be, 64, UINT64_C(0xfedcba9876543210));
    CHECK_PUT(le, 64, UINT64_C(0xfedcba9876543210));

    imgi_put_be64(buffer, UINT64_C(0x0123456789abcdef));
    assert_memory_equal(buffer, golden, 8);
    imgi_put_le32(buffer, 0x67452301);
    assert_memory_equal(buffer, golden, 4);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_get),
    cmocka_unit_test(test_get_unaligned),
    cmocka_unit_test(test_put),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
