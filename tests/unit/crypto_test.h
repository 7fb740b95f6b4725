/*
 * What the tests of encryption share. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef CRYPTO_TEST_H
#define CRYPTO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* A call that must succeed, and one that must fail in a certain way. */
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        if (rc_ != 0)                                                                              \
            fail_msg("%s: %d: %s", #call, rc_, (err).message);                                     \
    } while (0)

#define assert_error(call, code_, err, text)                                                       \
    do {                                                                                           \
        memset(&(err), 0, sizeof(err));                                                            \
        assert_int_equal(call, code_);                                                             \
        assert_int_equal((err).code, code_);                                                       \
        if (!strstr((err).message, text))                                                          \
            fail_msg("\"%s\" is not in \"%s\"", text, (err).message);                              \
    } while (0)

/* "0a1b" to bytes; returns their number. */
static inline size_t from_hex(const char *text, uint8_t *bytes)
{
    size_t count = 0;
    unsigned value;

    for (; sscanf(text, "%2x", &value) == 1; text += 2)
        bytes[count++] = (uint8_t)value;
    return count;
}

static inline void assert_hex(const uint8_t *bytes, const char *text)
{
    uint8_t expected[1024];
    size_t count = from_hex(text, expected);

    assert_memory_equal(bytes, expected, count);
}

#endif
