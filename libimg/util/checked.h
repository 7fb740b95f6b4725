/*
 * Arithmetic on numbers that come from files. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_CHECKED_H
#define IMGI_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMGI_MIN(a, b) ((a) < (b) ? (a) : (b))
#define IMGI_MAX(a, b) ((a) > (b) ? (a) : (b))
#define IMGI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Each returns true when the result fitted. */
static inline bool imgi_add(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

static inline bool imgi_mul(uint64_t a, uint64_t b, uint64_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

/* offset..offset+length lies wholly below limit. */
static inline bool imgi_span_ok(uint64_t offset, uint64_t length, uint64_t limit)
{
    return offset <= limit && length <= limit - offset;
}

static inline bool imgi_is_pow2(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* The exponent of a power of two. */
static inline unsigned imgi_log2(uint64_t value)
{
    return 63u - (unsigned)__builtin_clzll(value);
}

/* unit is a power of two. imgi_align_up wraps past 2^64: check with imgi_add where that can be. */
static inline uint64_t imgi_align_down(uint64_t value, uint64_t unit)
{
    return value & ~(unit - 1);
}

static inline uint64_t imgi_align_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) & ~(unit - 1);
}

static inline uint64_t imgi_div_up(uint64_t value, uint64_t unit)
{
    return value / unit + (value % unit != 0);
}

#endif
