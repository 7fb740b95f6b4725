/*
 * Codecs that are only unpacked, checksums, base 64. SPDX-License-Identifier: BSD-2-Clause
 *
 * The streams were made by libbz2 and liblzma.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "util/base64.h"
#include "util/checked.h"

/* The word "sector " 100 times. */
#define WORD "sector "
#define LENGTH 700

static const uint8_t bzip2[] = {0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0xc3,
                                0x0d, 0xad, 0xa6, 0x00, 0x01, 0x2b, 0x91, 0x80, 0x40, 0x00, 0x0a,
                                0x00, 0x9c, 0x00, 0x20, 0x00, 0x31, 0x0c, 0x00, 0x52, 0xa0, 0x69,
                                0xd2, 0x2e, 0x11, 0x78, 0x8b, 0x08, 0xb0, 0x8b, 0xc4, 0x58, 0x45,
                                0xf1, 0x77, 0x24, 0x53, 0x85, 0x09, 0x0c, 0x30, 0xda, 0xda, 0x60};
static const uint8_t xz[] = {
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01,
    0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0xe0, 0x02, 0xbb, 0x00, 0x11, 0x5d, 0x00, 0x39,
    0x99, 0x48, 0x92, 0x17, 0xd8, 0x6e, 0xa4, 0x47, 0xba, 0xdf, 0x5c, 0xb5, 0x96, 0xaf, 0x20, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x7f, 0x56, 0xbf, 0x29, 0x00, 0x01, 0x29, 0xbc, 0x05, 0x00, 0x00, 0x00,
    0x04, 0x95, 0x1f, 0x01, 0x3e, 0x30, 0x0d, 0x8b, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a};

static uint8_t expected[LENGTH];

static int make_expected(void **state)
{
    (void)state;
    for (size_t at = 0; at < LENGTH; at += strlen(WORD))
        memcpy(expected + at, WORD, strlen(WORD));
    return 0;
}

/* Unpack so many bytes of a stream into so much room, which is allocated to the byte. */
static int unpack(enum imgi_codec codec, const uint8_t *stream, size_t length, uint8_t *out,
                  size_t room, img_error *err)
{
    struct imgi_unpacker *unpacker = NULL;
    uint8_t *in = malloc(length ? length : 1);
    int rc;

    assert_non_null(in);
    memcpy(in, stream, length);
    assert_int_equal(imgi_unpacker_new(&unpacker, NULL), 0);
    rc = imgi_unpack(unpacker, codec, in, length, out, room, NULL, err);
    imgi_unpacker_free(unpacker);
    free(in);
    return rc;
}

/* Right in whole; too long, too short, cut off and changed it is an error. */
static void try_stream(enum imgi_codec codec, const uint8_t *stream, size_t length)
{
    uint8_t *out = malloc(LENGTH), *more = malloc(LENGTH + 1);
    img_error err = {0};

    assert_non_null(out);
    assert_non_null(more);
    assert_int_equal(unpack(codec, stream, length, out, LENGTH, &err), 0);
    assert_memory_equal(out, expected, LENGTH);
    assert_int_equal(unpack(codec, stream, length, out, LENGTH - 1, &err), IMG_E_CORRUPT);
    assert_int_equal(unpack(codec, stream, length, more, LENGTH + 1, &err), IMG_E_CORRUPT);
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(unpack(codec, stream, cut, out, LENGTH, &err), IMG_E_CORRUPT);
    free(more);
    free(out);
}

static void bzip2_streams(void **state)
{
    (void)state;
    try_stream(IMGI_CODEC_BZIP2, bzip2, sizeof(bzip2));
}

static void lzma_streams(void **state)
{
    (void)state;
    try_stream(IMGI_CODEC_LZMA, xz, sizeof(xz));
}

/* Literals, a short match, a long one, and one that overlaps what it makes. */
static void adc_streams(void **state)
{
    static const uint8_t stream[] = {0x82, 'a',  'b',  'c', /* 3 literals */
                                     0x00, 0x02,            /* 3 at a distance of 3 */
                                     0x40, 0x00, 0x05,      /* 4 at a distance of 6 */
                                     0x80, 'x',             /* 1 literal */
                                     0x44, 0x00, 0x00};     /* 8 at a distance of 1 */
    static const char made[] = "abcabcabcaxxxxxxxxx";
    size_t length = strlen(made);
    uint8_t *out = malloc(length);
    img_error err = {0};

    (void)state;
    assert_non_null(out);
    assert_int_equal(unpack(IMGI_CODEC_ADC, stream, sizeof(stream), out, length, &err), 0);
    assert_memory_equal(out, made, length);
    for (size_t room = 0; room < length; room++) {
        int rc = unpack(IMGI_CODEC_ADC, stream, sizeof(stream), out, room, &err);

        /* It has no end: what fills the room exactly is all there is. */
        if (room == 0 || room == 3 || room == 6 || room == 10 || room == 11)
            assert_int_equal(rc, 0);
        else
            assert_int_equal(rc, IMG_E_CORRUPT);
    }
    for (size_t cut = 0; cut < sizeof(stream); cut++)
        assert_int_equal(unpack(IMGI_CODEC_ADC, stream, cut, out, length, &err), IMG_E_CORRUPT);
    free(out);
}

/* A match that begins before the first byte. */
static void adc_match_too_far(void **state)
{
    static const uint8_t near[] = {0x80, 'a', 0x00, 0x01}, far[] = {0x80, 'a', 0x40, 0xff, 0xff};
    uint8_t out[8];
    img_error err = {0};

    (void)state;
    assert_int_equal(unpack(IMGI_CODEC_ADC, near, sizeof(near), out, 4, &err), IMG_E_CORRUPT);
    assert_int_equal(unpack(IMGI_CODEC_ADC, far, sizeof(far), out, 5, &err), IMG_E_CORRUPT);
}

/* Debian 12 has no liblzfse: what matters is that it is named. */
static void lzfse_is_named(void **state)
{
    static const uint8_t stream[] = "bvx$";
    uint8_t out[4];
    img_error err = {0};
    int rc = unpack(IMGI_CODEC_LZFSE, stream, 4, out, sizeof(out), &err);

    (void)state;
    assert_true(rc == IMG_E_UNSUPPORTED || rc == IMG_E_CORRUPT);
    if (rc == IMG_E_UNSUPPORTED)
        assert_non_null(strstr(err.message, "LZFSE"));
}

static void crc_of_zeros(void **state)
{
    static const uint64_t lengths[] = {0, 1, 2, 3, 511, 512, 1000003};
    uint8_t *zeros = calloc(1, 1000003);

    (void)state;
    assert_non_null(zeros);
    assert_int_equal(imgi_crc32(0, "123456789", 9), 0xcbf43926);
    for (size_t n = 0; n < IMGI_COUNT(lengths); n++) {
        uint32_t before = imgi_crc32(0, "123456789", 9);

        assert_int_equal(imgi_crc32_zeros(before, lengths[n]),
                         imgi_crc32(before, zeros, (size_t)lengths[n]));
    }
    /* In halves, and at once. */
    assert_int_equal(imgi_crc32_zeros(5, UINT64_C(1) << 62),
                     imgi_crc32_zeros(imgi_crc32_zeros(5, UINT64_C(1) << 61), UINT64_C(1) << 61));
    free(zeros);
}

static void base64_texts(void **state)
{
    static const struct {
        const char *text, *ignored, *bytes; /* NULL: refused */
    } cases[] = {
        {"", "", ""},
        {"Zg==", "", "f"},
        {"Zm8=", "", "fo"},
        {"Zm9v", "", "foo"},
        {"Zm9vYmFy", "", "foobar"},
        {"\t\tZm9v\n\t\tYmFy\n\t", "\t\n", "foobar"},
        {"Zm9v\tYmFy", "\n", NULL},
        {"Zg=", "", NULL},
        {"Zg", "", NULL},
        {"Zg===", "", NULL},
        {"Zg==Zg==", "", NULL},
        {"Zm9!", "", NULL},
    };

    (void)state;
    for (size_t n = 0; n < IMGI_COUNT(cases); n++) {
        uint8_t text[64];
        size_t length = strlen(cases[n].text);
        bool good;

        memcpy(text, cases[n].text, length);
        good = imgi_base64_decode(text, &length, cases[n].ignored);
        if (good != (cases[n].bytes != NULL))
            fail_msg("\"%s\": %d", cases[n].text, good);
        if (good) {
            assert_int_equal(length, strlen(cases[n].bytes));
            assert_memory_equal(text, cases[n].bytes, length);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bzip2_streams),  cmocka_unit_test(lzma_streams),
        cmocka_unit_test(adc_streams),    cmocka_unit_test(adc_match_too_far),
        cmocka_unit_test(lzfse_is_named), cmocka_unit_test(crc_of_zeros),
        cmocka_unit_test(base64_texts),
    };

    return cmocka_run_group_tests(tests, make_expected, NULL);
}
