/*
 * Which deflate library does what. SPDX-License-Identifier: BSD-2-Clause
 *
 * All produce and read the same format; they differ in speed, size and in
 * whether they can limit how far back a match reaches (libdeflate cannot).
 */
#include "backend.h"
#include "codec.h"

#define MAX_WINDOW_BITS 15

/* zlib's memLevel: a block of 2^(6 + 7) symbols. Smaller results than 8 or 9, and no slower. */
#define ZLIB_MEM_LEVEL 7

/*
 * A level, as each library has it; 0: not by this library. Where libdeflate may be used
 * (32 KiB window) it goes before ISA-L, and both before zlib. Measured by tests/bench/codec.c on
 * the 64 KiB clusters of a Debian guest, one core of an EPYC 7003 (MB/s; % of the input):
 *
 *   level                        1     2     3     4     5     6     7     8     9
 *   4 KiB window    MB/s       454   385   313   180   160    55    55    50    39
 *                   %         39.2  38.9  38.7  38.4  38.3  36.9  36.9  36.5  36.3
 *   32 KiB window   MB/s       448   373   310   197   129   109    87    74    56
 *                   %         37.8  37.5  37.1  36.7  35.2  34.8  34.2  34.1  34.0
 *
 * qemu-img's setting, zlib level 6 with memLevel 9 and 4 KiB, makes 36.4 % at 36 MB/s: level 1,
 * the default, is 12 times as fast and 8 % larger, level 9 is faster and smaller.
 */
struct rung {
    int isal;            /* level */
    unsigned isal_block; /* thousands of symbols in a block */
    int libdeflate;
    int zlib;
};

static const struct rung ladder[IMGI_LEVEL_MAX] = {
    {.isal = 1, .isal_block = 32, .zlib = 1},
    {.isal = 1, .isal_block = 8, .zlib = 2},
    {.isal = 2, .isal_block = 4, .zlib = 2},
    {.isal = 3, .isal_block = 8, .libdeflate = 1, .zlib = 3},
    {.isal = 3, .isal_block = 4, .libdeflate = 2, .zlib = 3},
    {.libdeflate = 4, .zlib = 4},
    {.libdeflate = 5, .zlib = 4},
    {.libdeflate = 6, .zlib = 5},
    {.libdeflate = 7, .zlib = 6},
};

struct imgi_pack_setting imgi_deflate_setting(int level, unsigned window_bits, bool wrapped)
{
    const struct rung *rung = &ladder[level == IMGI_LEVEL_DEFAULT ? 0 : level - 1];
    struct imgi_pack_setting setting = {
        .backend = &imgi_zlib_pack,
        .level = rung->zlib,
        .block = ZLIB_MEM_LEVEL,
        .window_bits = window_bits,
        .wrapped = wrapped,
    };

#ifdef HAVE_ISAL
    if (rung->isal > 0) {
        setting.backend = &imgi_isal_pack;
        setting.level = rung->isal;
        setting.block = rung->isal_block;
    }
#endif
#ifdef HAVE_LIBDEFLATE
    if (rung->libdeflate > 0 && window_bits == MAX_WINDOW_BITS) {
        setting.backend = &imgi_libdeflate_pack;
        setting.level = rung->libdeflate;
    }
#endif
    return setting;
}

/* Measured as above, streams of zlib level 6: libdeflate 700 MB/s, ISA-L 640, zlib 340. */
#ifdef HAVE_LIBDEFLATE
const struct imgi_unpack_backend *const imgi_deflate_unpack = &imgi_libdeflate_unpack;
#else
const struct imgi_unpack_backend *const imgi_deflate_unpack = &imgi_zlib_unpack;
#endif
