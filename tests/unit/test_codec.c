/*
 * Packers and unpackers: round trips, strict readers, damage, and the buffers' edges.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Buffers end where a page begins that cannot be touched: parts of the libraries are written in
 * assembler, which no sanitizer watches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "codec/codec.h"
#include "util/checked.h"

#define LARGEST ((size_t)2 << 20)

/* ------------------------------------------------------------------- buffers */

struct fenced {
    uint8_t *map;
    size_t size; /* without the page behind */
};

static struct fenced source, packed, result;

static int fence(struct fenced *fenced, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    fenced->size = imgi_align_up(size, page);
    fenced->map =
        mmap(NULL, fenced->size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fenced->map == MAP_FAILED)
        return -1;
    return mprotect(fenced->map + fenced->size, page, PROT_NONE);
}

/* The last length bytes before the fence. */
static uint8_t *last(const struct fenced *fenced, size_t length)
{
    assert_true(length <= fenced->size);
    return fenced->map + fenced->size - length;
}

static int make_buffers(void **state)
{
    (void)state;
    if (fence(&source, LARGEST) != 0 || fence(&packed, LARGEST + 4096) != 0)
        return -1;
    return fence(&result, LARGEST + 4096);
}

/* ---------------------------------------------------------------------- data */

enum kind { ZEROS, TEXT, NOISE, REPEATS, KINDS };

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

/*
 * REPEATS: noise that repeats at distances around 4 KiB and 8 KiB, so that a packer that reaches
 * further back than it should is found out.
 */
static void fill(uint8_t *to, size_t length, enum kind kind)
{
    static const char *const words[] = {"sector ", "grain ", "cluster ", "table\n", "0x10000, "};
    static const size_t distances[] = {4096, 4095, 4097, 8192, 511, 512, 513};
    uint32_t seed = 1 + (uint32_t)kind;

    for (size_t at = 0; at < length;) {
        const char *word = words[next(&seed) % IMGI_COUNT(words)];
        size_t distance = distances[next(&seed) % IMGI_COUNT(distances)];
        size_t run = 1;

        switch (kind) {
        case TEXT:
            run = IMGI_MIN(strlen(word), length - at);
            memcpy(to + at, word, run);
            break;
        case REPEATS:
            run = IMGI_MIN((size_t)64, length - at);
            for (size_t i = 0; i < run; i++)
                to[at + i] = distance <= at ? to[at + i - distance] : (uint8_t)next(&seed);
            break;
        case NOISE:
            to[at] = (uint8_t)next(&seed);
            break;
        default:
            to[at] = 0;
        }
        at += run;
    }
}

/* ------------------------------------------------------------------- helpers */

static struct imgi_packer *new_packer(enum imgi_codec codec, int level, unsigned window_bits)
{
    struct imgi_pack_params params = {codec, level, window_bits};
    struct imgi_packer *packer = NULL;

    assert_int_equal(imgi_packer_new(&packer, &params, NULL), 0);
    return packer;
}

static struct imgi_unpacker *new_unpacker(void)
{
    struct imgi_unpacker *unpacker = NULL;

    assert_int_equal(imgi_unpacker_new(&unpacker, NULL), 0);
    return unpacker;
}

/*
 * A reader that has a window of 2^window_bits and not a byte more: zlib, a few bytes at a time.
 */
static void check_strictly(const uint8_t *stream, size_t length, unsigned window_bits,
                           const uint8_t *expected, size_t expected_length)
{
    z_stream reader = {.next_in = (Bytef *)(uintptr_t)stream, .avail_in = (uInt)length};
    uint8_t piece[201];
    size_t total = 0;
    int ret;

    assert_int_equal(inflateInit2(&reader, -(int)window_bits), Z_OK);
    do {
        size_t got;

        reader.next_out = piece;
        reader.avail_out = sizeof(piece);
        ret = inflate(&reader, Z_NO_FLUSH);
        got = sizeof(piece) - reader.avail_out;
        assert_true(got <= expected_length - total);
        assert_memory_equal(piece, expected + total, got);
        total += got;
    } while (ret == Z_OK);
    if (ret != Z_STREAM_END)
        fail_msg("window of %u bits: %s", window_bits, reader.msg ? reader.msg : "cut off");
    assert_int_equal(total, expected_length);
    inflateEnd(&reader);
}

/* --------------------------------------------------------------- round trips */

static void round_trip(struct imgi_packer *packer, struct imgi_unpacker *unpacker,
                       const struct imgi_pack_params *params, size_t length, enum kind kind)
{
    uint8_t *in = last(&source, length);
    size_t capacity = length + 1024;
    uint8_t *stream = last(&packed, capacity);
    size_t made;

    fill(in, length, kind);
    made = imgi_pack(packer, in, length, stream, capacity);
    assert_true(made > 0 && made <= capacity);
    memmove(last(&packed, made), stream, made);
    stream = last(&packed, made);
    memset(last(&result, length), 0x5a, length);
    assert_int_equal(imgi_unpack(unpacker, params->codec, stream, made, last(&result, length),
                                 length, NULL, NULL),
                     0);
    assert_memory_equal(last(&result, length), in, length);
    if (params->codec == IMGI_CODEC_DEFLATE)
        check_strictly(stream, made, params->window_bits, in, length);
    else if (params->codec == IMGI_CODEC_ZLIB) /* its header is 2 bytes, its trailer 4 */
        check_strictly(stream + 2, made - 6, params->window_bits, in, length);
}

static void round_trips(enum imgi_codec codec, unsigned window_bits)
{
    static const size_t lengths[] = {0, 1, 511, 512, 4097, 65536};
    struct imgi_unpacker *unpacker = new_unpacker();

    for (int level = IMGI_LEVEL_DEFAULT; level <= IMGI_LEVEL_MAX; level++) {
        struct imgi_pack_params params = {codec, level, window_bits};
        struct imgi_packer *packer = new_packer(codec, level, window_bits);

        for (size_t i = 0; i < IMGI_COUNT(lengths); i++) {
            for (enum kind kind = ZEROS; kind < KINDS; kind++)
                round_trip(packer, unpacker, &params, lengths[i], kind);
        }
        round_trip(packer, unpacker, &params, LARGEST, REPEATS);
        imgi_packer_free(packer);
    }
    imgi_unpacker_free(unpacker);
}

static void test_round_trips_deflate(void **state)
{
    (void)state;
    round_trips(IMGI_CODEC_DEFLATE, 9);
    round_trips(IMGI_CODEC_DEFLATE, 12);
    round_trips(IMGI_CODEC_DEFLATE, 15);
}

static void test_round_trips_zlib(void **state)
{
    (void)state;
    round_trips(IMGI_CODEC_ZLIB, 12);
    round_trips(IMGI_CODEC_ZLIB, 15);
}

static void test_round_trips_zstd(void **state)
{
    (void)state;
    round_trips(IMGI_CODEC_ZSTD, 0);
}

/* Each codec once, with what its users ask for. */
static const struct imgi_pack_params usual[] = {
    {IMGI_CODEC_DEFLATE, IMGI_LEVEL_DEFAULT, 12},
    {IMGI_CODEC_DEFLATE, 4, 12},
    {IMGI_CODEC_DEFLATE, 9, 12},
    {IMGI_CODEC_ZLIB, IMGI_LEVEL_DEFAULT, 15},
    {IMGI_CODEC_ZLIB, 9, 15},
    {IMGI_CODEC_ZSTD, IMGI_LEVEL_DEFAULT, 0},
    {IMGI_CODEC_ZSTD, 9, 0},
};

/* Repeats 4097 and more bytes away are worth nothing in a 4 KiB window, and much in a larger one.
 */
static void test_window_is_used(void **state)
{
    struct imgi_packer *narrow = new_packer(IMGI_CODEC_DEFLATE, 9, 12);
    struct imgi_packer *wide = new_packer(IMGI_CODEC_DEFLATE, 9, 15);
    uint8_t *in = last(&source, 32768);

    (void)state;
    fill(in, 8192, NOISE);
    for (size_t at = 8192; at < 32768; at += 8192)
        memcpy(in + at, in, 8192);
    assert_int_equal(imgi_pack(narrow, in, 32768, last(&packed, 32767), 32767), 0);
    assert_in_range(imgi_pack(wide, in, 32768, last(&packed, 32767), 32767), 8192, 10000);
    imgi_packer_free(narrow);
    imgi_packer_free(wide);
}

/* ------------------------------------------------------------------- packing */

/* Whatever the capacity: it fits and is right, or 0; nothing is written behind it. */
static void test_capacity(void **state)
{
    struct imgi_unpacker *unpacker = new_unpacker();
    size_t length = 3000;
    uint8_t *in = last(&source, length);

    (void)state;
    fill(in, length, TEXT);
    for (size_t i = 0; i < IMGI_COUNT(usual); i++) {
        struct imgi_packer *packer =
            new_packer(usual[i].codec, usual[i].level, usual[i].window_bits);
        size_t needed = imgi_pack(packer, in, length, last(&packed, 4096), 4096);

        assert_in_range(needed, 10, length / 2);
        for (size_t capacity = 0; capacity <= needed + 64; capacity++) {
            uint8_t *out = last(&packed, capacity);
            size_t made = imgi_pack(packer, in, length, out, capacity);

            assert_true(made <= capacity);
            if (made > 0)
                assert_int_equal(imgi_unpack(unpacker, usual[i].codec, out, made,
                                             last(&result, length), length, NULL, NULL),
                                 0);
        }
        imgi_packer_free(packer);
    }
    imgi_unpacker_free(unpacker);
}

static void test_incompressible(void **state)
{
    uint8_t *in = last(&source, 65536);

    (void)state;
    fill(in, 65536, NOISE);
    for (size_t i = 0; i < IMGI_COUNT(usual); i++) {
        struct imgi_packer *packer =
            new_packer(usual[i].codec, usual[i].level, usual[i].window_bits);

        assert_int_equal(imgi_pack(packer, in, 65536, last(&packed, 65535), 65535), 0);
        imgi_packer_free(packer);
    }
}

/* Not what was packed before, nor the packer, nor where the input lies, shows in the result. */
static void test_deterministic(void **state)
{
    uint8_t *elsewhere = malloc(65536 + 7);
    uint8_t *first = malloc(65536);
    uint8_t *in = last(&source, 65536);

    (void)state;
    assert_non_null(elsewhere);
    assert_non_null(first);
    for (int level = IMGI_LEVEL_DEFAULT; level <= IMGI_LEVEL_MAX; level++) {
        for (size_t i = 0; i < IMGI_COUNT(usual); i++) {
            struct imgi_packer *fresh = new_packer(usual[i].codec, level, usual[i].window_bits);
            struct imgi_packer *used = new_packer(usual[i].codec, level, usual[i].window_bits);
            size_t length;

            fill(in, 65536, TEXT);
            imgi_pack(used, in, 65536, last(&packed, 65536), 65536);
            imgi_pack(used, in, 65536, last(&packed, 100), 100); /* fails half-way */
            fill(in, 65536, REPEATS);
            memcpy(elsewhere + 7, in, 65536);
            length = imgi_pack(fresh, in, 65536, first, 65536);
            assert_int_equal(imgi_pack(used, elsewhere + 7, 65536, last(&packed, 65536), 65536),
                             length);
            assert_memory_equal(first, last(&packed, 65536), length);
            imgi_packer_free(fresh);
            imgi_packer_free(used);
        }
    }
    free(first);
    free(elsewhere);
}

static void test_parameters(void **state)
{
    static const struct {
        struct imgi_pack_params params;
        int code;
    } cases[] = {
        {{IMGI_CODEC_DEFLATE, -1, 12}, IMG_E_INVAL}, {{IMGI_CODEC_DEFLATE, 10, 12}, IMG_E_INVAL},
        {{IMGI_CODEC_ZSTD, 10, 0}, IMG_E_INVAL},     {{IMGI_CODEC_DEFLATE, 1, 8}, IMG_E_INTERNAL},
        {{IMGI_CODEC_ZLIB, 1, 16}, IMG_E_INTERNAL},  {{IMGI_CODEC_NONE, 1, 12}, IMG_E_INTERNAL},
    };

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(cases); i++) {
        struct imgi_packer *packer = NULL;
        img_error err = {0};

        assert_int_equal(imgi_packer_new(&packer, &cases[i].params, &err), cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_null(packer);
    }
    imgi_packer_free(NULL);
    imgi_unpacker_free(NULL);
}

/* ----------------------------------------------------------------- unpacking */

/* A stream of `length` bytes of text, at the fence; its length. */
static size_t make_stream(const struct imgi_pack_params *params, size_t length)
{
    struct imgi_packer *packer = new_packer(params->codec, params->level, params->window_bits);
    uint8_t *in = last(&source, length);
    uint8_t *out = last(&packed, length + 1024);
    size_t made;

    fill(in, length, TEXT);
    made = imgi_pack(packer, in, length, out, length + 1024);
    assert_true(made > 0);
    memmove(last(&packed, made), out, made);
    imgi_packer_free(packer);
    return made;
}

static void test_exact_length(void **state)
{
    struct imgi_unpacker *unpacker = new_unpacker();
    size_t length = 5000;

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(usual); i++) {
        size_t made = make_stream(&usual[i], length);
        const uint8_t *stream = last(&packed, made);
        img_error err = {0};

        assert_int_equal(imgi_unpack(unpacker, usual[i].codec, stream, made, last(&result, length),
                                     length, NULL, &err),
                         0);
        assert_int_equal(imgi_unpack(unpacker, usual[i].codec, stream, made,
                                     last(&result, length + 1), length + 1, NULL, &err),
                         IMG_E_CORRUPT);
        assert_string_equal(err.message, "compressed data holds 5000 bytes instead of 5001");
        for (size_t room = 0; room < length; room = 2 * room + 1) {
            assert_int_equal(imgi_unpack(unpacker, usual[i].codec, stream, made,
                                         last(&result, room), room, NULL, &err),
                             IMG_E_CORRUPT);
        }
    }
    imgi_unpacker_free(unpacker);
}

static void test_produced(void **state)
{
    struct imgi_unpacker *unpacker = new_unpacker();

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(usual); i++) {
        size_t made = make_stream(&usual[i], 5000);
        const uint8_t *stream = last(&packed, made);
        size_t produced = 0;

        assert_int_equal(imgi_unpack(unpacker, usual[i].codec, stream, made, last(&result, 9000),
                                     9000, &produced, NULL),
                         0);
        assert_int_equal(produced, 5000);
        assert_memory_equal(last(&result, 9000), last(&source, 5000), 5000);
        /* Still an error: more than there is room for, and a stream without its end. */
        assert_int_equal(imgi_unpack(unpacker, usual[i].codec, stream, made, last(&result, 4999),
                                     4999, &produced, NULL),
                         IMG_E_CORRUPT);
        assert_int_equal(imgi_unpack(unpacker, usual[i].codec, stream, made / 2,
                                     last(&result, 9000), 9000, &produced, NULL),
                         IMG_E_CORRUPT);
    }
    imgi_unpacker_free(unpacker);
}

/* A stored cluster is known to the sector only: what follows may be anything. */
static void test_input_behind_the_stream(void **state)
{
    struct imgi_unpacker *unpacker = new_unpacker();
    size_t length = 5000;

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(usual); i++) {
        for (enum kind kind = ZEROS; kind <= NOISE; kind++) {
            size_t made = make_stream(&usual[i], length);
            uint8_t *stream = last(&packed, made + 512);

            memmove(stream, stream + 512, made);
            fill(stream + made, 512, kind);
            assert_int_equal(imgi_unpack(unpacker, usual[i].codec, stream, made + 512,
                                         last(&result, length), length, NULL, NULL),
                             0);
            assert_memory_equal(last(&result, length), last(&source, length), length);
        }
    }
    imgi_unpacker_free(unpacker);
}

static void test_truncated(void **state)
{
    struct imgi_unpacker *unpacker = new_unpacker();
    size_t length = 5000;

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(usual); i++) {
        size_t made = make_stream(&usual[i], length);
        uint8_t *whole = malloc(made);

        assert_non_null(whole);
        memcpy(whole, last(&packed, made), made);
        for (size_t kept = 0; kept < made; kept++) {
            memcpy(last(&packed, kept), whole, kept);
            assert_int_equal(imgi_unpack(unpacker, usual[i].codec, last(&packed, kept), kept,
                                         last(&result, length), length, NULL, NULL),
                             IMG_E_CORRUPT);
        }
        free(whole);
    }
    imgi_unpacker_free(unpacker);
}

/* Any one bit may be wrong: an error or other bytes, never more than the buffer's. */
static void test_flipped_bits(void **state)
{
    struct imgi_unpacker *unpacker = new_unpacker();
    size_t length = 5000;

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(usual); i++) {
        size_t made = make_stream(&usual[i], length);
        uint8_t *stream = last(&packed, made);

        for (size_t bit = 0; bit < 8 * made; bit++) {
            int ret;

            stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            ret = imgi_unpack(unpacker, usual[i].codec, stream, made, last(&result, length), length,
                              NULL, NULL);
            assert_true(ret == 0 || ret == IMG_E_CORRUPT);
            /* The wrapper has a checksum of all that a single bit can change in the output. */
            if (ret == 0 && usual[i].codec == IMGI_CODEC_ZLIB)
                assert_memory_equal(last(&result, length), last(&source, length), length);
            stream[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        assert_int_equal(imgi_unpack(unpacker, usual[i].codec, stream, made, last(&result, length),
                                     length, NULL, NULL),
                         0);
    }
    imgi_unpacker_free(unpacker);
}

static void test_noise(void **state)
{
    static const enum imgi_codec codecs[] = {IMGI_CODEC_DEFLATE, IMGI_CODEC_ZLIB, IMGI_CODEC_ZSTD};
    struct imgi_unpacker *unpacker = new_unpacker();
    uint32_t seed = 7;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        size_t length = next(&seed) % 600;
        uint8_t *stream = last(&packed, length);

        for (size_t i = 0; i < length; i++)
            stream[i] = (uint8_t)next(&seed);
        for (size_t i = 0; i < IMGI_COUNT(codecs); i++)
            imgi_unpack(unpacker, codecs[i], stream, length, last(&result, 512), 512, NULL, NULL);
    }
    assert_int_equal(imgi_unpack(unpacker, IMGI_CODEC_NONE, "", 0, last(&result, 1), 1, NULL, NULL),
                     IMG_E_INTERNAL);
    imgi_unpacker_free(unpacker);
}

/* Distances of up to 32 KiB are read, whatever our own window is. */
static void test_far_distance(void **state)
{
    struct imgi_unpacker *unpacker = new_unpacker();
    uint8_t *in = last(&source, 65536);
    uint8_t stream[65536];
    z_stream writer = {.next_in = in, .avail_in = 65536, .next_out = stream, .avail_out = 65536};

    (void)state;
    /* zlib's own limit is 262 bytes short of the window. */
    fill(in, 32768 - 262, NOISE);
    memcpy(in + 32768 - 262, in, 32768 - 262);
    memset(in + 2 * (32768 - 262), 0, 524);
    assert_int_equal(deflateInit2(&writer, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&writer, Z_FINISH), Z_STREAM_END);
    assert_true(writer.total_out < 34000);
    assert_int_equal(imgi_unpack(unpacker, IMGI_CODEC_DEFLATE, stream, writer.total_out,
                                 last(&result, 65536), 65536, NULL, NULL),
                     0);
    assert_memory_equal(last(&result, 65536), in, 65536);
    deflateEnd(&writer);
    imgi_unpacker_free(unpacker);
}

/* ---------------------------------------------------------------- zstd frames */

/* RFC 8878, 3.1.1: a frame of one raw block of at most 255 bytes, with a window of 2^window_log. */
static size_t raw_frame(uint8_t *to, const char *text, unsigned window_log)
{
    size_t length = strlen(text);

    to[0] = 0x28;
    to[1] = 0xb5;
    to[2] = 0x2f;
    to[3] = 0xfd;
    to[4] = 0; /* descriptor: a window follows, no content size, no checksum */
    to[5] = (uint8_t)((window_log - 10) << 3);
    to[6] = (uint8_t)(1 | (length << 3)); /* last block, raw; 21 bits of size */
    to[7] = (uint8_t)(length >> 5);
    to[8] = 0;
    memcpy(to + 9, text, length);
    return 9 + length;
}

static int unpack_zstd(const uint8_t *stream, size_t length, size_t room, size_t *produced)
{
    struct imgi_unpacker *unpacker = new_unpacker();
    int ret = imgi_unpack(unpacker, IMGI_CODEC_ZSTD, stream, length, last(&result, room), room,
                          produced, NULL);

    imgi_unpacker_free(unpacker);
    return ret;
}

static void test_zstd_frames(void **state)
{
    static const uint8_t skippable[] = {0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'};
    uint8_t stream[128];
    size_t length = raw_frame(stream, "Hello ", 17);
    size_t produced = 0;

    (void)state;
    memcpy(stream + length, skippable, sizeof(skippable));
    length += sizeof(skippable);
    length += raw_frame(stream + length, "", 17);
    length += raw_frame(stream + length, "world", 17);
    assert_int_equal(unpack_zstd(stream, length, 11, NULL), 0);
    assert_memory_equal(last(&result, 11), "Hello world", 11);
    /* Full after the first frame: the others are not looked at. */
    assert_int_equal(unpack_zstd(stream, length, 6, NULL), 0);
    /* The last one does not fit, is not enough, is cut. */
    assert_int_equal(unpack_zstd(stream, length, 10, NULL), IMG_E_CORRUPT);
    assert_int_equal(unpack_zstd(stream, length, 12, NULL), IMG_E_CORRUPT);
    assert_int_equal(unpack_zstd(stream, length - 1, 11, NULL), IMG_E_CORRUPT);
    assert_int_equal(unpack_zstd(stream, length, 20, &produced), 0);
    assert_int_equal(produced, 11);
}

/* A frame may claim a window of 2 GiB. It costs nothing. */
static void test_zstd_window(void **state)
{
    uint8_t stream[64];
    size_t length = raw_frame(stream, "small", 31);

    (void)state;
    assert_int_equal(unpack_zstd(stream, length, 5, NULL), 0);
    assert_memory_equal(last(&result, 5), "small", 5);
}

static void test_features(void **state)
{
    (void)state;
    assert_int_equal(strncmp(img_feature(0), "deflate: ", 9), 0);
    assert_non_null(strstr(img_feature(0), "zlib"));
    assert_int_equal(strncmp(img_feature(1), "zstd: 1.", 8), 0);
    assert_int_equal(strncmp(img_feature(2), "guests: libimg", 14), 0);
    assert_null(img_feature(3));
    assert_null(img_feature(SIZE_MAX));
    assert_non_null(img_version());
}

/*
 * Nor must the result depend on where the packer lies in memory: ISA-L's level 1 would let it, once
 * in some thousand clusters (isal.c), and every process has its memory elsewhere.
 */
static void test_same_bytes_from_every_packer(void **state)
{
    enum { PACKERS = 24, CLUSTER_BYTES = 4096, CLUSTERS = 1024, LINE = 16 };
    uint8_t first[CLUSTER_BYTES], other[CLUSTER_BYTES];
    char cluster[CLUSTER_BYTES + LINE];
    struct imgi_packer *packers[PACKERS];
    unsigned number = 0;

    (void)state;
    for (int level = 1; level <= 5; level++) {
        struct imgi_pack_params params = {IMGI_CODEC_DEFLATE, level, 12};

        for (int i = 0; i < PACKERS; i++)
            assert_int_equal(imgi_packer_new(&packers[i], &params, NULL), 0);
        for (int n = 0; n < CLUSTERS; n++) {
            size_t length, again;

            for (int at = 0; at < CLUSTER_BYTES;)
                at += snprintf(cluster + at, LINE, "%u\n", number++);
            length = imgi_pack(packers[0], cluster, CLUSTER_BYTES, first, CLUSTER_BYTES - 1);
            for (int i = 1; i < PACKERS; i++) {
                again = imgi_pack(packers[i], cluster, CLUSTER_BYTES, other, CLUSTER_BYTES - 1);
                assert_int_equal(again, length);
                assert_memory_equal(first, other, length);
            }
        }
        for (int i = 0; i < PACKERS; i++)
            imgi_packer_free(packers[i]);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_round_trips_deflate),
    cmocka_unit_test(test_round_trips_zlib),
    cmocka_unit_test(test_round_trips_zstd),
    cmocka_unit_test(test_window_is_used),
    cmocka_unit_test(test_capacity),
    cmocka_unit_test(test_incompressible),
    cmocka_unit_test(test_deterministic),
    cmocka_unit_test(test_same_bytes_from_every_packer),
    cmocka_unit_test(test_parameters),
    cmocka_unit_test(test_exact_length),
    cmocka_unit_test(test_produced),
    cmocka_unit_test(test_input_behind_the_stream),
    cmocka_unit_test(test_truncated),
    cmocka_unit_test(test_flipped_bits),
    cmocka_unit_test(test_noise),
    cmocka_unit_test(test_far_distance),
    cmocka_unit_test(test_zstd_frames),
    cmocka_unit_test(test_zstd_window),
    cmocka_unit_test(test_features),
};

int main(void)
{
    return cmocka_run_group_tests(tests, make_buffers, NULL);
}
