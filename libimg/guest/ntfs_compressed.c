/*
 * NTFS: compressed files. SPDX-License-Identifier: BSD-2-Clause
 *
 * LZNT1: chunks of 4096 bytes. Bytes stand for themselves, pairs of them for what was there
 * before; how many bits of a pair are the distance follows from how far that may be.
 */
#include <string.h>

#include "ntfs.h"

#define CHUNK 4096u
#define COMPRESSED 0x8000u

/* One pair, at `at` of the chunk. Returns how many bytes it gave; 0: it is broken. */
static size_t copy_back(unsigned pair, uint8_t *out, size_t at, size_t size)
{
    unsigned bits = 12; /* of the length */
    size_t length, distance;

    if (at == 0)
        return 0;
    for (size_t n = at - 1; n >= 16; n >>= 1)
        bits--;
    length = (pair & ((1u << bits) - 1)) + 3;
    distance = (pair >> bits) + 1;
    if (distance > at)
        return 0;
    length = IMGI_MIN(length, size - at);
    for (size_t n = 0; n < length; n++)
        out[at + n] = out[at + n - distance];
    return length;
}

static bool unpack_chunk(const uint8_t *packed, size_t length, uint8_t *out, size_t size)
{
    size_t at = 0, in = 0;

    while (in < length && at < size) {
        unsigned kinds = packed[in++];

        for (unsigned n = 0; n < 8 && in < length && at < size; n++, kinds >>= 1) {
            size_t count;

            if (!(kinds & 1)) {
                out[at++] = packed[in++];
                continue;
            }
            if (length - in < 2)
                return false;
            count = copy_back(imgi_get_le16(packed + in), out, at, size);
            if (count == 0)
                return false;
            at += count;
            in += 2;
        }
    }
    return true;
}

bool imgi_ntfs_unpack(const uint8_t *packed, size_t length, uint8_t *out, size_t size)
{
    size_t in = 0;

    memset(out, 0, size);
    for (size_t at = 0; at < size && length - in >= 2; at += CHUNK) {
        unsigned header = imgi_get_le16(packed + in);
        size_t count = (header & (CHUNK - 1)) + 1, room = IMGI_MIN(CHUNK, size - at);

        if (header == 0) /* the end */
            break;
        in += 2;
        if (count > length - in)
            return false;
        if (!(header & COMPRESSED))
            memcpy(out + at, packed + in, IMGI_MIN(count, room));
        else if (!unpack_chunk(packed + in, count, out + at, room))
            return false;
        in += count;
    }
    return true;
}
