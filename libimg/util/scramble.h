/*
 * Numbers that look random and follow from others. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_SCRAMBLE_H
#define IMGI_SCRAMBLE_H

#include <stdint.h>

/* SplitMix64: every bit of the result depends on every bit of the value. */
static inline uint64_t imgi_scramble(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

#endif
