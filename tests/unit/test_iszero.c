/*
 * Zero detection: every length, alignment and place of the odd byte.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/iszero.h"

#define LONGEST 300
#define SHIFTS 17

/* Bytes around the range are not zero: none of them may be looked at. */
static void test_every_place(void **state)
{
    uint8_t buffer[SHIFTS + LONGEST + 1];

    (void)state;
    for (size_t shift = 0; shift < SHIFTS; shift++) {
        for (size_t length = 0; length <= LONGEST; length++) {
            memset(buffer, 0xff, sizeof(buffer));
            memset(buffer + shift, 0, length);
            assert_true(imgi_is_zero(buffer + shift, length));
            for (size_t place = shift; place < shift + length; place++) {
                buffer[place] = 0x80;
                assert_false(imgi_is_zero(buffer + shift, length));
                buffer[place] = 0;
            }
        }
    }
}

/* The page behind the range cannot be read. */
static void test_page_end(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
    for (size_t length = 0; length <= page; length++)
        assert_true(imgi_is_zero(map + page - length, length));
    munmap(map, 2 * page);
}

static void test_large(void **state)
{
    size_t length = (2 << 20) + 3;
    uint8_t *buffer = calloc(1, length);

    (void)state;
    assert_non_null(buffer);
    assert_true(imgi_is_zero(buffer, length));
    buffer[length - 1] = 1;
    assert_false(imgi_is_zero(buffer, length));
    assert_true(imgi_is_zero(buffer, length - 1));
    free(buffer);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_every_place),
    cmocka_unit_test(test_page_end),
    cmocka_unit_test(test_large),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
