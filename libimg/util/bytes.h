/*
 * Numbers in byte buffers, of either order, at any alignment.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_BYTES_H
#define IMGI_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define IMGI_BYTES(order, bits)                                                                    \
    static inline uint##bits##_t imgi_get_##order##bits(const uint8_t *bytes)                      \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        memcpy(&value, bytes, sizeof(value));                                                      \
        return order##bits##toh(value);                                                            \
    }                                                                                              \
    static inline void imgi_put_##order##bits(uint8_t *bytes, uint##bits##_t value)                \
    {                                                                                              \
        value = hto##order##bits(value);                                                           \
        memcpy(bytes, &value, sizeof(value));                                                      \
    }

/* imgi_get_be16(bytes), imgi_put_be16(bytes, value), and so on */
IMGI_BYTES(be, 16)
IMGI_BYTES(be, 32)
IMGI_BYTES(be, 64)
IMGI_BYTES(le, 16)
IMGI_BYTES(le, 32)
IMGI_BYTES(le, 64)

#endif
