/*
 * Compression: buffer to buffer. SPDX-License-Identifier: BSD-2-Clause
 *
 * A packer or unpacker belongs to one thread at a time and holds all the
 * memory the libraries below need, so that a call allocates nothing (but for the codecs that are
 * only unpacked, which are rare).
 * The bytes a packer makes depend on its parameters and its input alone.
 */
#ifndef IMGI_CODEC_H
#define IMGI_CODEC_H

#include "../error.h"

enum imgi_codec {
    IMGI_CODEC_NONE,
    IMGI_CODEC_DEFLATE, /* RFC 1951, no wrapper */
    IMGI_CODEC_ZLIB,    /* RFC 1950 */
    IMGI_CODEC_ZSTD,    /* RFC 8878 frames */
    /* These are only unpacked. All but ADC need a library that is loaded then. */
    IMGI_CODEC_ADC, /* Apple Data Compression */
    IMGI_CODEC_BZIP2,
    IMGI_CODEC_LZMA, /* in an .xz container */
    IMGI_CODEC_LZFSE
};

/* The level when none is asked for: the fastest whose result is worth having. */
#define IMGI_LEVEL_DEFAULT 0
/* Levels go from 1 (fast) to 9 (small) for every codec. */
#define IMGI_LEVEL_MAX 9

struct imgi_pack_params {
    enum imgi_codec codec;
    int level;            /* IMGI_LEVEL_DEFAULT, or 1 to IMGI_LEVEL_MAX */
    unsigned window_bits; /* deflate and zlib: no distance longer than 2^window_bits (9..15) */
};

struct imgi_packer;
struct imgi_unpacker;

int imgi_packer_new(struct imgi_packer **packer, const struct imgi_pack_params *params,
                    img_error *err);
void imgi_packer_free(struct imgi_packer *packer); /* NULL is allowed */

/*
 * Compress length bytes of in to at most capacity bytes of out. Returns the bytes
 * made, or 0 when they would not fit (which is no error: store it plain).
 */
size_t imgi_pack(struct imgi_packer *packer, const void *in, size_t length, void *out,
                 size_t capacity);

int imgi_unpacker_new(struct imgi_unpacker **unpacker, img_error *err);
void imgi_unpacker_free(struct imgi_unpacker *unpacker); /* NULL is allowed */

/*
 * Decompress until exactly out_length bytes are out. Input behind the end of the
 * stream is ignored; a stream that ends early or goes on is IMG_E_CORRUPT.
 * *produced (may be NULL) receives the bytes made; where it is given, a stream that ends early
 * is no error. Distances up to 32 KiB are accepted whatever the packer's window was.
 */
int imgi_unpack(struct imgi_unpacker *unpacker, enum imgi_codec codec, const void *in,
                size_t in_length, void *out, size_t out_length, size_t *produced, img_error *err);

/* The CRC-32 of zlib and PNG, continued from the one of what came before (0: nothing did). */
uint32_t imgi_crc32(uint32_t crc, const void *bytes, size_t length);
/* The same of so many zeros, which takes no time. length is below 2^63. */
uint32_t imgi_crc32_zeros(uint32_t crc, uint64_t length);

/* "deflate: isa-l, libdeflate, zlib", "zstd: 1.5.4": what this build has; NULL past the last. */
const char *imgi_codec_feature(size_t n);

#endif
