/*
 * Zstandard by libzstd. SPDX-License-Identifier: BSD-2-Clause
 *
 * Cluster by cluster, so a frame is never longer than a cluster. Frames are written
 * with their size and without checksum, which is what libzstd does unasked.
 */
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "backend.h"
#include "codec.h"

/*
 * From our levels to libzstd's. Measured by tests/bench/codec.c on the 64 KiB clusters of a Debian
 * guest, one core of an EPYC 7003:
 *
 *   level               1     2     3     4     5     6     7     8     9
 *   MB/s              378   342   274   256   119    98    66    13     7
 *   % of the input   35.9  35.3  34.8  34.5  33.9  33.3  33.0  31.8  31.5
 *
 * Level 1, the default, is 1.4 times as fast as libzstd's own default (3) and 3 % larger.
 */
static const int levels[IMGI_LEVEL_MAX] = {1, 2, 3, 4, 5, 6, 9, 14, 16};
#define DEFAULT_LEVEL 1

/*
 * From 7 on libzstd takes 33 MiB a thread for a 2 MiB cluster; with a 512 KiB window it is 9.
 * Smaller clusters do not notice.
 */
#define FIRST_CAPPED 9
#define WINDOW_CAP 19

static void packer_destroy(void *state)
{
    ZSTD_freeCCtx(state);
}

static void *packer_create(const struct imgi_pack_setting *setting)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();

    if (!context)
        return NULL;
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, setting->level);
    if (setting->level >= FIRST_CAPPED)
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, WINDOW_CAP);
    return context;
}

static size_t packer_pack(void *state, const void *in, size_t length, void *out, size_t capacity)
{
    size_t made = ZSTD_compress2(state, out, capacity, in, length);

    return ZSTD_isError(made) ? 0 : made;
}

static const struct imgi_pack_backend zstd_pack = {
    .create = packer_create,
    .destroy = packer_destroy,
    .pack = packer_pack,
};

struct imgi_pack_setting imgi_zstd_setting(int level)
{
    return (struct imgi_pack_setting){
        .backend = &zstd_pack,
        .level = levels[(level == IMGI_LEVEL_DEFAULT ? DEFAULT_LEVEL : level) - 1],
    };
}

static void *unpacker_create(void)
{
    return ZSTD_createDCtx();
}

static void unpacker_destroy(void *state)
{
    ZSTD_freeDCtx(state);
}

/*
 * Frame after frame until out is full. Each is decompressed in one call straight into out: no
 * window is allocated, whatever size the frame asks for. What stands behind the last frame is
 * not looked at.
 */
static enum imgi_unpack_result unpacker_unpack(void *state, bool wrapped, const void *in,
                                               size_t in_length, void *out, size_t out_length,
                                               size_t *produced)
{
    const uint8_t *frame = in;
    uint8_t *to = out;
    size_t made = 0;

    (void)wrapped; /* of deflate streams */
    do {
        size_t frame_length = ZSTD_findFrameCompressedSize(frame, in_length);
        size_t result;

        /* Behind the first frame this may be no frame at all: the stream ended before. */
        if (ZSTD_isError(frame_length)) {
            *produced = made;
            return frame == in ? IMGI_UNPACK_DAMAGED : IMGI_UNPACK_ENDED;
        }
        result = ZSTD_decompressDCtx(state, to + made, out_length - made, frame, frame_length);
        if (ZSTD_getErrorCode(result) == ZSTD_error_dstSize_tooSmall)
            return IMGI_UNPACK_GOES_ON;
        if (ZSTD_isError(result))
            return IMGI_UNPACK_DAMAGED;
        made += result;
        frame += frame_length;
        in_length -= frame_length;
    } while (made < out_length);
    *produced = made;
    return IMGI_UNPACK_ENDED;
}

const struct imgi_unpack_backend imgi_zstd_unpack = {
    .create = unpacker_create,
    .destroy = unpacker_destroy,
    .unpack = unpacker_unpack,
};
