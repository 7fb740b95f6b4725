/*
 * Packers and unpackers: checks, and the choice of library.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Owns no data of its own but the backends' states; each belongs to the
 * thread that uses the packer or unpacker, so there is nothing to lock.
 */
#include "codec.h"

#include <assert.h>
#include <stdlib.h>
#include <zstd.h>

#include "../util/checked.h"
#include "backend.h"

struct imgi_packer {
    const struct imgi_pack_backend *backend;
    void *state;
};

struct imgi_unpacker {
    void *deflate;
    void *zstd;
    struct imgi_loaded loaded;
};

static int choose(const struct imgi_pack_params *params, struct imgi_pack_setting *setting,
                  img_error *err)
{
    bool deflate = params->codec == IMGI_CODEC_DEFLATE || params->codec == IMGI_CODEC_ZLIB;

    if (params->level < 0 || params->level > IMGI_LEVEL_MAX)
        return imgi_fail(err, IMG_E_INVAL, "compression level %d is not between 1 and %d",
                         params->level, IMGI_LEVEL_MAX);
    if (deflate && (params->window_bits < 9 || params->window_bits > 15))
        return imgi_fail(err, IMG_E_INTERNAL, "compression window of %u bits", params->window_bits);
    if (deflate)
        *setting = imgi_deflate_setting(params->level, params->window_bits,
                                        params->codec == IMGI_CODEC_ZLIB);
    else if (params->codec == IMGI_CODEC_ZSTD)
        *setting = imgi_zstd_setting(params->level);
    else
        return imgi_fail(err, IMG_E_INTERNAL, "codec %d does not compress", (int)params->codec);
    return 0;
}

int imgi_packer_new(struct imgi_packer **packer, const struct imgi_pack_params *params,
                    img_error *err)
{
    struct imgi_pack_setting setting;
    struct imgi_packer *made;
    int ret = choose(params, &setting, err);

    if (ret < 0)
        return ret;
    made = calloc(1, sizeof(*made));
    if (!made)
        return imgi_fail_nomem(err, "compression");
    made->backend = setting.backend;
    made->state = setting.backend->create(&setting);
    if (!made->state) {
        free(made);
        return imgi_fail_nomem(err, "compression");
    }
    *packer = made;
    return 0;
}

void imgi_packer_free(struct imgi_packer *packer)
{
    if (!packer)
        return;
    packer->backend->destroy(packer->state);
    free(packer);
}

size_t imgi_pack(struct imgi_packer *packer, const void *in, size_t length, void *out,
                 size_t capacity)
{
    assert(length <= IMGI_CODEC_MAX_BYTES);
    capacity = IMGI_MIN(capacity, IMGI_CODEC_MAX_BYTES);
    return packer->backend->pack(packer->state, in, length, out, capacity);
}

int imgi_unpacker_new(struct imgi_unpacker **unpacker, img_error *err)
{
    struct imgi_unpacker *made = calloc(1, sizeof(*made));

    if (!made)
        return imgi_fail_nomem(err, "decompression");
    made->deflate = imgi_deflate_unpack->create();
    made->zstd = imgi_zstd_unpack.create();
    if (!made->deflate || !made->zstd) {
        imgi_unpacker_free(made);
        return imgi_fail_nomem(err, "decompression");
    }
    *unpacker = made;
    return 0;
}

void imgi_unpacker_free(struct imgi_unpacker *unpacker)
{
    if (!unpacker)
        return;
    imgi_deflate_unpack->destroy(unpacker->deflate);
    imgi_zstd_unpack.destroy(unpacker->zstd);
    imgi_loaded_close(&unpacker->loaded);
    free(unpacker);
}

/* What becomes of a stream that made so many bytes. */
static int judge(enum imgi_unpack_result result, size_t made, size_t wanted, size_t *produced,
                 img_error *err)
{
    if (result == IMGI_UNPACK_NO_MEMORY)
        return imgi_fail_nomem(err, "decompression");
    if (result == IMGI_UNPACK_DAMAGED)
        return imgi_fail(err, IMG_E_CORRUPT, "compressed data is damaged or cut off");
    if (result == IMGI_UNPACK_GOES_ON)
        /* What is cut off may look to a library like what goes on. */
        return imgi_fail(err, IMG_E_CORRUPT,
                         "compressed data ends early, or holds more than %zu bytes", wanted);
    if (produced)
        *produced = made;
    else if (made < wanted)
        return imgi_fail(err, IMG_E_CORRUPT, "compressed data holds %zu bytes instead of %zu", made,
                         wanted);
    return 0;
}

static int unpack_loaded(struct imgi_unpacker *unpacker, enum imgi_loaded_codec codec,
                         const void *in, size_t in_length, void *out, size_t out_length,
                         size_t *made, enum imgi_unpack_result *result, img_error *err)
{
    int rc = imgi_loaded_need(&unpacker->loaded, codec, err);

    if (rc == 0)
        *result =
            imgi_loaded_unpack(&unpacker->loaded, codec, in, in_length, out, out_length, made);
    return rc;
}

int imgi_unpack(struct imgi_unpacker *unpacker, enum imgi_codec codec, const void *in,
                size_t in_length, void *out, size_t out_length, size_t *produced, img_error *err)
{
    enum imgi_unpack_result result = IMGI_UNPACK_DAMAGED;
    size_t made = 0;
    int rc = 0;

    assert(out_length <= IMGI_CODEC_MAX_BYTES);
    in_length = IMGI_MIN(in_length, IMGI_CODEC_MAX_BYTES);
    switch (codec) {
    case IMGI_CODEC_DEFLATE:
    case IMGI_CODEC_ZLIB:
        result = imgi_deflate_unpack->unpack(unpacker->deflate, codec == IMGI_CODEC_ZLIB, in,
                                             in_length, out, out_length, &made);
        break;
    case IMGI_CODEC_ZSTD:
        result =
            imgi_zstd_unpack.unpack(unpacker->zstd, false, in, in_length, out, out_length, &made);
        break;
    case IMGI_CODEC_ADC:
        result = imgi_adc_unpack(in, in_length, out, out_length, &made);
        break;
    case IMGI_CODEC_BZIP2:
    case IMGI_CODEC_LZMA:
    case IMGI_CODEC_LZFSE:
        rc = unpack_loaded(unpacker, (enum imgi_loaded_codec)(codec - IMGI_CODEC_BZIP2), in,
                           in_length, out, out_length, &made, &result, err);
        break;
    case IMGI_CODEC_NONE:
        return imgi_fail(err, IMG_E_INTERNAL, "no codec to decompress with");
    }
    return rc < 0 ? rc : judge(result, made, out_length, produced, err);
}

#ifdef HAVE_ISAL
#define ISAL_NAME "isa-l, "
#else
#define ISAL_NAME ""
#endif
#ifdef HAVE_LIBDEFLATE
#define LIBDEFLATE_NAME "libdeflate, "
#else
#define LIBDEFLATE_NAME ""
#endif

const char *imgi_codec_feature(size_t n)
{
    static const char *const features[] = {
        "deflate: " ISAL_NAME LIBDEFLATE_NAME "zlib",
        "zstd: " ZSTD_VERSION_STRING,
    };

    return n < IMGI_COUNT(features) ? features[n] : NULL;
}
