/*
 * What stands between codec.c and a compression library.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A backend's state belongs to one packer or unpacker, and so to one thread at a time.
 * Lengths are at most IMGI_CODEC_MAX_BYTES: codec.c sees to it.
 */
#ifndef IMGI_CODEC_BACKEND_H
#define IMGI_CODEC_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

/* Libraries count in unsigned int or int. A cluster is 2 MiB at most, so this is no restriction. */
#define IMGI_CODEC_MAX_BYTES ((size_t)INT32_MAX)

/* What a packer is made of; each backend reads the fields it knows. */
struct imgi_pack_setting {
    const struct imgi_pack_backend *backend;
    int level;            /* the library's own scale */
    unsigned block;       /* isal.c: thousands (1024) of symbols in a block; zlib.c: memLevel */
    unsigned window_bits; /* deflate */
    bool wrapped;         /* deflate: in a zlib header and trailer */
};

struct imgi_pack_backend {
    void *(*create)(const struct imgi_pack_setting *setting); /* NULL: no memory */
    void (*destroy)(void *state);                             /* NULL is allowed */
    /* Bytes made, 0 when they do not fit. Writes nothing behind out[capacity - 1]. */
    size_t (*pack)(void *state, const void *in, size_t length, void *out, size_t capacity);
};

enum imgi_unpack_result {
    IMGI_UNPACK_ENDED,   /* the stream ended well; *produced says how much there was */
    IMGI_UNPACK_GOES_ON, /* there is more than out_length */
    IMGI_UNPACK_DAMAGED, /* not a stream, or cut off */
    IMGI_UNPACK_NO_MEMORY
};

struct imgi_unpack_backend {
    void *(*create)(void);
    void (*destroy)(void *state);
    enum imgi_unpack_result (*unpack)(void *state, bool wrapped, const void *in, size_t in_length,
                                      void *out, size_t out_length, size_t *produced);
};

/* deflate.c: the backend and its parameters for a level of 1 to 9. */
struct imgi_pack_setting imgi_deflate_setting(int level, unsigned window_bits, bool wrapped);
extern const struct imgi_unpack_backend *const imgi_deflate_unpack;

/* zstd.c */
struct imgi_pack_setting imgi_zstd_setting(int level);
extern const struct imgi_unpack_backend imgi_zstd_unpack;

/* adc.c */
enum imgi_unpack_result imgi_adc_unpack(const void *in, size_t in_length, void *out,
                                        size_t out_length, size_t *produced);

/* loaded.c; in the order of enum imgi_codec */
enum imgi_loaded_codec {
    IMGI_LOADED_BZIP2,
    IMGI_LOADED_LZMA,
    IMGI_LOADED_LZFSE,
    IMGI_LOADED_CODECS /* how many there are */
};

/* Of one unpacker; zeroed at first. */
struct imgi_loaded {
    void *handle[IMGI_LOADED_CODECS];
    void *function[IMGI_LOADED_CODECS];
};

/* Load what the codec needs. IMG_E_UNSUPPORTED: it is not installed. */
int imgi_loaded_need(struct imgi_loaded *loaded, enum imgi_loaded_codec codec, img_error *err);
void imgi_loaded_close(struct imgi_loaded *loaded);
enum imgi_unpack_result imgi_loaded_unpack(const struct imgi_loaded *loaded,
                                           enum imgi_loaded_codec codec, const void *in,
                                           size_t in_length, void *out, size_t out_length,
                                           size_t *produced);

/* One pair a library; only those that this build has are defined. */
extern const struct imgi_pack_backend imgi_isal_pack;
extern const struct imgi_pack_backend imgi_libdeflate_pack;
extern const struct imgi_unpack_backend imgi_libdeflate_unpack;
extern const struct imgi_pack_backend imgi_zlib_pack;
extern const struct imgi_unpack_backend imgi_zlib_unpack;

#endif
