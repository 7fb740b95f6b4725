/*
 * Apple Data Compression, as old disk images have it. SPDX-License-Identifier: BSD-2-Clause
 *
 * A byte with bit 7 has so many literals behind it; one with bit 6 begins a match with a distance
 * of 16 bits, any other a short match with 10 bits. The stream has no end of its own: it is over
 * when everything is there.
 */
#include <string.h>

#include "backend.h"

struct token {
    size_t bytes;    /* of itself, without its literals */
    size_t length;   /* that it makes */
    size_t distance; /* 0: literals */
};

/* false: the input ends within it. */
static bool read_token(const uint8_t *in, size_t left, struct token *token)
{
    uint8_t first = in[0];

    if (first & 0x80) {
        *token = (struct token){1, (first & 0x7fu) + 1, 0};
        return token->length < left;
    }
    if (first & 0x40) {
        *token = (struct token){3, (first & 0x3fu) + 4, 0};
        if (left >= 3)
            token->distance = ((size_t)in[1] << 8 | in[2]) + 1;
        return left >= 3;
    }
    *token = (struct token){2, (first >> 2 & 0xfu) + 3, 0};
    if (left >= 2)
        token->distance = ((first & 3u) << 8 | in[1]) + 1;
    return left >= 2;
}

enum imgi_unpack_result imgi_adc_unpack(const void *from, size_t in_length, void *to,
                                        size_t out_length, size_t *produced)
{
    const uint8_t *in = from;
    uint8_t *out = to;
    size_t at = 0, made = 0;
    struct token token;

    while (at < in_length && made < out_length) {
        if (!read_token(in + at, in_length - at, &token) || token.distance > made)
            return IMGI_UNPACK_DAMAGED;
        if (token.length > out_length - made)
            return IMGI_UNPACK_GOES_ON;
        at += token.bytes;
        if (token.distance == 0) {
            memcpy(out + made, in + at, token.length);
            at += token.length;
            made += token.length;
            continue;
        }
        /* A match may overlap what it makes. */
        for (size_t i = 0; i < token.length; i++, made++)
            out[made] = out[made - token.distance];
    }
    *produced = made;
    return IMGI_UNPACK_ENDED;
}
