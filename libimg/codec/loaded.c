/*
 * Codecs of libraries that are loaded when they are first needed: few images have such data.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each is used through one function, whose type is the library's own binary interface.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "../util/checked.h"
#include "backend.h"

/* What a dictionary may take; Apple's tools use 8 MiB. */
#define LZMA_MEMORY_MAX (UINT64_C(128) << 20)

enum { BZ_OK = 0, BZ_MEM_ERROR = -3, BZ_OUTBUFF_FULL = -8 };
enum { LZMA_OK = 0, LZMA_MEM_ERROR = 5, LZMA_BUF_ERROR = 10 };

typedef int bzip2_fn(char *out, unsigned *out_length, char *in, unsigned in_length, int small,
                     int verbosity);
typedef int lzma_fn(uint64_t *memory, uint32_t flags, const void *allocator, const uint8_t *in,
                    size_t *in_at, size_t in_length, uint8_t *out, size_t *out_at,
                    size_t out_length);
typedef size_t lzfse_fn(uint8_t *out, size_t out_length, const uint8_t *in, size_t in_length,
                        void *scratch);

static const struct {
    const char *name, *library, *function, *package;
} libraries[] = {
    [IMGI_LOADED_BZIP2] = {"bzip2", "libbz2.so.1.0", "BZ2_bzBuffToBuffDecompress", "libbz2-1.0"},
    [IMGI_LOADED_LZMA] = {"LZMA", "liblzma.so.5", "lzma_stream_buffer_decode", "liblzma5"},
    [IMGI_LOADED_LZFSE] = {"LZFSE", "liblzfse.so.1", "lzfse_decode_buffer", "liblzfse1"},
};

int imgi_loaded_need(struct imgi_loaded *loaded, enum imgi_loaded_codec codec, img_error *err)
{
    if (loaded->function[codec])
        return 0;
    loaded->handle[codec] = dlopen(libraries[codec].library, RTLD_LAZY | RTLD_LOCAL);
    if (loaded->handle[codec])
        loaded->function[codec] = dlsym(loaded->handle[codec], libraries[codec].function);
    if (!loaded->function[codec])
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "%s data is read with %s (Debian: %s), which cannot be loaded",
                         libraries[codec].name, libraries[codec].library, libraries[codec].package);
    return 0;
}

void imgi_loaded_close(struct imgi_loaded *loaded)
{
    for (size_t i = 0; i < IMGI_COUNT(libraries); i++) {
        if (loaded->handle[i])
            dlclose(loaded->handle[i]);
    }
}

static enum imgi_unpack_result unpack_bzip2(bzip2_fn *function, const void *in, size_t in_length,
                                            void *out, size_t out_length, size_t *produced)
{
    unsigned length = (unsigned)out_length;
    int rc = function(out, &length, (char *)(uintptr_t)in, (unsigned)in_length, 0, 0);

    *produced = length;
    if (rc == BZ_OK)
        return IMGI_UNPACK_ENDED;
    if (rc == BZ_MEM_ERROR)
        return IMGI_UNPACK_NO_MEMORY;
    return rc == BZ_OUTBUFF_FULL ? IMGI_UNPACK_GOES_ON : IMGI_UNPACK_DAMAGED;
}

static enum imgi_unpack_result unpack_lzma(lzma_fn *function, const void *in, size_t in_length,
                                           void *out, size_t out_length, size_t *produced)
{
    uint64_t memory = LZMA_MEMORY_MAX;
    size_t in_at = 0;
    int rc;

    *produced = 0;
    rc = function(&memory, 0, NULL, in, &in_at, in_length, out, produced, out_length);
    if (rc == LZMA_OK)
        return IMGI_UNPACK_ENDED;
    if (rc == LZMA_MEM_ERROR)
        return IMGI_UNPACK_NO_MEMORY;
    return rc == LZMA_BUF_ERROR ? IMGI_UNPACK_GOES_ON : IMGI_UNPACK_DAMAGED;
}

/* The library does not tell a stream that goes on from one that ends where the room does. */
static enum imgi_unpack_result unpack_lzfse(lzfse_fn *function, const void *in, size_t in_length,
                                            void *out, size_t out_length, size_t *produced)
{
    *produced = function(out, out_length, in, in_length, NULL);
    return *produced > 0 ? IMGI_UNPACK_ENDED : IMGI_UNPACK_DAMAGED;
}

enum imgi_unpack_result imgi_loaded_unpack(const struct imgi_loaded *loaded,
                                           enum imgi_loaded_codec codec, const void *in,
                                           size_t in_length, void *out, size_t out_length,
                                           size_t *produced)
{
    void *address = loaded->function[codec];
    union {
        bzip2_fn *bzip2;
        lzma_fn *lzma;
        lzfse_fn *lzfse;
    } function;

    memcpy(&function, &address, sizeof(address));
    switch (codec) {
    case IMGI_LOADED_BZIP2:
        return unpack_bzip2(function.bzip2, in, in_length, out, out_length, produced);
    case IMGI_LOADED_LZMA:
        return unpack_lzma(function.lzma, in, in_length, out, out_length, produced);
    case IMGI_LOADED_LZFSE:
        return unpack_lzfse(function.lzfse, in, in_length, out, out_length, produced);
    case IMGI_LOADED_CODECS:
        break;
    }
    return IMGI_UNPACK_DAMAGED;
}
