/*
 * Deflate by zlib: always there, slow, and with a lazy search whose results
 * ISA-L does not reach. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <zlib.h>

#include "backend.h"
#include "codec.h"

uint32_t imgi_crc32(uint32_t crc, const void *bytes, size_t length)
{
    return (uint32_t)crc32_z(crc, bytes, length);
}

uint32_t imgi_crc32_zeros(uint32_t crc, uint64_t length)
{
    static const uint8_t zero = 0;
    uint32_t run = imgi_crc32(0, &zero, 1); /* of 1, 2, 4 ... zeros */

    for (z_off_t count = 1; length > 0; length >>= 1) {
        if (length & 1)
            crc = (uint32_t)crc32_combine(crc, run, count);
        run = (uint32_t)crc32_combine(run, run, count);
        if (length > 1)
            count *= 2;
    }
    return crc;
}

static void packer_destroy(void *state)
{
    z_stream *stream = state;

    if (stream)
        deflateEnd(stream);
    free(stream);
}

static void *packer_create(const struct imgi_pack_setting *setting)
{
    /* zlib's sign for a stream without wrapper is a negative number. */
    int window_bits = setting->wrapped ? (int)setting->window_bits : -(int)setting->window_bits;
    z_stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return NULL;
    if (deflateInit2(stream, setting->level, Z_DEFLATED, window_bits, (int)setting->block,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(stream);
        return NULL;
    }
    return stream;
}

static size_t packer_pack(void *state, const void *in, size_t length, void *out, size_t capacity)
{
    z_stream *stream = state;

    deflateReset(stream);
    stream->next_in = (Bytef *)(uintptr_t)in; /* not written to */
    stream->avail_in = (uInt)length;
    stream->next_out = out;
    stream->avail_out = (uInt)capacity;
    return deflate(stream, Z_FINISH) == Z_STREAM_END ? stream->total_out : 0;
}

const struct imgi_pack_backend imgi_zlib_pack = {
    .create = packer_create,
    .destroy = packer_destroy,
    .pack = packer_pack,
};

static void unpacker_destroy(void *state)
{
    z_stream *stream = state;

    if (stream)
        inflateEnd(stream);
    free(stream);
}

static void *unpacker_create(void)
{
    z_stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return NULL;
    if (inflateInit2(stream, -MAX_WBITS) != Z_OK) {
        free(stream);
        return NULL;
    }
    return stream;
}

static enum imgi_unpack_result unpacker_unpack(void *state, bool wrapped, const void *in,
                                               size_t in_length, void *out, size_t out_length,
                                               size_t *produced)
{
    z_stream *stream = state;
    int ret;

    inflateReset2(stream, wrapped ? MAX_WBITS : -MAX_WBITS);
    stream->next_in = (Bytef *)(uintptr_t)in; /* not written to */
    stream->avail_in = (uInt)in_length;
    stream->next_out = out;
    stream->avail_out = (uInt)out_length;
    ret = inflate(stream, Z_FINISH);
    *produced = stream->total_out;
    if (ret == Z_STREAM_END)
        return IMGI_UNPACK_ENDED;
    /* Z_BUF_ERROR: more room, or with input all used more input, would be needed. */
    if (ret == Z_BUF_ERROR && stream->avail_in > 0)
        return IMGI_UNPACK_GOES_ON;
    return IMGI_UNPACK_DAMAGED;
}

const struct imgi_unpack_backend imgi_zlib_unpack = {
    .create = unpacker_create,
    .destroy = unpacker_destroy,
    .unpack = unpacker_unpack,
};
