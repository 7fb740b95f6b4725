/*
 * Is a buffer all zeros? SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_ISZERO_H
#define IMGI_ISZERO_H

#include <stdbool.h>
#include <stddef.h>

/* Stops at the first 128 bytes that are not. Any length (0: true), any alignment. */
bool imgi_is_zero(const void *buffer, size_t length);

#endif
