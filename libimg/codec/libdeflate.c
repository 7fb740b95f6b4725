/*
 * Deflate by libdeflate: the fastest to decompress, and small results where the
 * window may be 32 KiB (it cannot be told to use less).
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifdef HAVE_LIBDEFLATE

#include <libdeflate.h>
#include <stdlib.h>

#include "backend.h"

struct packer {
    struct libdeflate_compressor *compressor;
    bool wrapped;
};

static void packer_destroy(void *state)
{
    struct packer *packer = state;

    if (packer)
        libdeflate_free_compressor(packer->compressor);
    free(packer);
}

static void *packer_create(const struct imgi_pack_setting *setting)
{
    struct packer *packer = calloc(1, sizeof(*packer));

    if (!packer)
        return NULL;
    packer->wrapped = setting->wrapped;
    packer->compressor = libdeflate_alloc_compressor(setting->level);
    if (!packer->compressor) {
        packer_destroy(packer);
        return NULL;
    }
    return packer;
}

static size_t packer_pack(void *state, const void *in, size_t length, void *out, size_t capacity)
{
    const struct packer *packer = state;

    if (packer->wrapped)
        return libdeflate_zlib_compress(packer->compressor, in, length, out, capacity);
    return libdeflate_deflate_compress(packer->compressor, in, length, out, capacity);
}

const struct imgi_pack_backend imgi_libdeflate_pack = {
    .create = packer_create,
    .destroy = packer_destroy,
    .pack = packer_pack,
};

static void *unpacker_create(void)
{
    return libdeflate_alloc_decompressor();
}

static void unpacker_destroy(void *state)
{
    libdeflate_free_decompressor(state);
}

static enum imgi_unpack_result unpacker_unpack(void *state, bool wrapped, const void *in,
                                               size_t in_length, void *out, size_t out_length,
                                               size_t *produced)
{
    enum libdeflate_result result;
    size_t consumed; /* asking for it is what allows input behind the stream */

    if (wrapped)
        result = libdeflate_zlib_decompress_ex(state, in, in_length, out, out_length, &consumed,
                                               produced);
    else
        result = libdeflate_deflate_decompress_ex(state, in, in_length, out, out_length, &consumed,
                                                  produced);
    switch (result) {
    case LIBDEFLATE_SUCCESS:
        return IMGI_UNPACK_ENDED;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
        return IMGI_UNPACK_GOES_ON;
    default:
        return IMGI_UNPACK_DAMAGED;
    }
}

const struct imgi_unpack_backend imgi_libdeflate_unpack = {
    .create = unpacker_create,
    .destroy = unpacker_destroy,
    .unpack = unpacker_unpack,
};

#endif
