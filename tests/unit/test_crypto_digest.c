/*
 * Digests and PBKDF2. SPDX-License-Identifier: BSD-2-Clause
 */
#include "crypto_test.h"

#include "crypto/digest.h"
#include "crypto/openssl.h"

/* The digests of "abc" (RFC 1321, FIPS 180, the RIPEMD-160 paper, RFC 7693). */
static const char *const of_abc[IMGI_HASH_COUNT] = {
    [IMGI_HASH_MD5] = "900150983cd24fb0d6963f7d28e17f72",
    [IMGI_HASH_SHA1] = "a9993e364706816aba3e25717850c26c9cd0d89d",
    [IMGI_HASH_SHA224] = "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    [IMGI_HASH_SHA256] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    [IMGI_HASH_SHA384] = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                         "8086072ba1e7cc2358baeca134c825a7",
    [IMGI_HASH_SHA512] = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                         "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    [IMGI_HASH_RIPEMD160] = "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc",
    [IMGI_HASH_BLAKE2B] = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                          "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
};

static void test_digests(void **state)
{
    uint8_t out[IMGI_HASH_MAX_BYTES];
    struct imgi_digest *digest;
    img_error err = {0};

    (void)state;
    for (unsigned hash = 0; hash < IMGI_HASH_COUNT; hash++) {
        assert_ok(imgi_digest_new(&digest, hash, &err), err);
        /* twice with one digest, the second time in pieces */
        assert_ok(imgi_digest_update(digest, "abc", 3, &err), err);
        assert_ok(imgi_digest_final(digest, out, &err), err);
        assert_hex(out, of_abc[hash]);
        assert_ok(imgi_digest_update(digest, "a", 1, &err), err);
        assert_ok(imgi_digest_update(digest, "", 0, &err), err);
        assert_ok(imgi_digest_update(digest, "bc", 2, &err), err);
        memset(out, 0, sizeof(out));
        assert_ok(imgi_digest_final(digest, out, &err), err);
        assert_hex(out, of_abc[hash]);
        assert_int_equal(strlen(of_abc[hash]) / 2, imgi_hash_bytes(hash));
        imgi_digest_free(digest);
    }
    imgi_digest_free(NULL);
}

static void test_names(void **state)
{
    enum imgi_hash hash;

    (void)state;
    for (unsigned n = 0; n < IMGI_HASH_COUNT; n++) {
        assert_true(imgi_hash_parse(imgi_hash_name(n), &hash));
        assert_int_equal(hash, n);
    }
    assert_false(imgi_hash_parse("sha-256", &hash));
    assert_false(imgi_hash_parse("", &hash));
}

static void derive(enum imgi_hash hash, const char *passphrase, const char *salt,
                   uint32_t iterations, uint8_t *out, size_t length)
{
    const struct imgi_pbkdf2 pbkdf2 = {hash,
                                       (const uint8_t *)passphrase,
                                       strlen(passphrase),
                                       (const uint8_t *)salt,
                                       strlen(salt),
                                       iterations};
    img_error err = {0};

    assert_ok(imgi_pbkdf2(&pbkdf2, out, length, &err), err);
}

/* RFC 6070 (SHA-1) and RFC 7914, section 11 (SHA-256). */
static void test_pbkdf2_vectors(void **state)
{
    uint8_t out[64];

    (void)state;
    derive(IMGI_HASH_SHA1, "password", "salt", 1, out, 20);
    assert_hex(out, "0c60c80f961f0e71f3a9b524af6012062fe037a6");
    derive(IMGI_HASH_SHA1, "password", "salt", 4096, out, 20);
    assert_hex(out, "4b007901b765489abead49d926f721d065a429c1");
    derive(IMGI_HASH_SHA1, "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096,
           out, 25);
    assert_hex(out, "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038");
    derive(IMGI_HASH_SHA256, "passwd", "salt", 1, out, 64);
    assert_hex(out, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
                    "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
    derive(IMGI_HASH_SHA256, "Password", "NaCl", 80000, out, 64);
    assert_hex(out, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
                    "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d");
}

/* Every hash, key and output lengths around the block sizes: the same as libcrypto's own PBKDF2. */
static void test_pbkdf2_like_openssl(void **state)
{
    static const size_t lengths[] = {0, 1, 63, 64, 65, 127, 128, 129, 300};
    uint8_t passphrase[300], ours[IMGI_PBKDF2_MAX_OUT], theirs[IMGI_PBKDF2_MAX_OUT];
    struct imgi_openssl ssl;
    img_error err = {0};

    (void)state;
    assert_ok(imgi_openssl_load(&ssl, &err), err);
    for (size_t i = 0; i < sizeof(passphrase); i++)
        passphrase[i] = (uint8_t)(i * 37 + 11);
    for (unsigned hash = 0; hash < IMGI_HASH_COUNT; hash++) {
        EVP_MD *md = imgi_openssl_hash(&ssl, hash, &err);

        assert_non_null(md);
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            size_t out_length = 1 + (i * 53 + hash * 29) % IMGI_PBKDF2_MAX_OUT;
            struct imgi_pbkdf2 pbkdf2 = {hash,           passphrase, lengths[i],
                                         passphrase + 7, 32,         (uint32_t)(1 + 50 * i)};

            assert_ok(imgi_pbkdf2(&pbkdf2, ours, out_length, &err), err);
            assert_int_equal(1, ssl.PKCS5_PBKDF2_HMAC((const char *)passphrase, (int)lengths[i],
                                                      pbkdf2.salt, 32, (int)pbkdf2.iterations, md,
                                                      (int)out_length, theirs));
            assert_memory_equal(ours, theirs, out_length);
        }
        ssl.EVP_MD_free(md);
    }
}

static void test_pbkdf2_limits(void **state)
{
    struct imgi_pbkdf2 pbkdf2 = {.hash = IMGI_HASH_SHA256, .salt = (const uint8_t *)"salt"};
    uint8_t out[32];
    img_error err;

    (void)state;
    pbkdf2.salt_length = 4;
    assert_error(imgi_pbkdf2(&pbkdf2, out, 32, &err), IMG_E_LIMIT, err, "0 iterations");
    pbkdf2.iterations = UINT32_MAX;
    assert_error(imgi_pbkdf2(&pbkdf2, out, 32, &err), IMG_E_LIMIT, err, "4294967295 iterations");
}

/* What is measured is about right: never off by more than a busy machine explains. */
static void test_pbkdf2_iterations(void **state)
{
    uint32_t one, ten, wide;
    img_error err = {0};

    (void)state;
    assert_ok(imgi_pbkdf2_iterations(IMGI_HASH_SHA256, 32, 100, &one, &err), err);
    assert_ok(imgi_pbkdf2_iterations(IMGI_HASH_SHA256, 32, 1000, &ten, &err), err);
    assert_ok(imgi_pbkdf2_iterations(IMGI_HASH_SHA256, 64, 1000, &wide, &err), err);
    assert_in_range(ten / one, 2, 50);
    assert_in_range(100 * (uint64_t)ten / wide, 50, 800);
    assert_ok(imgi_pbkdf2_iterations(IMGI_HASH_SHA512, 64, 0, &one, &err), err);
    assert_int_equal(one, 1);
    assert_error(imgi_pbkdf2_iterations(IMGI_HASH_SHA1, 20, UINT64_MAX, &one, &err), IMG_E_RANGE,
                 err, "18446744073709551615 milliseconds");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_pbkdf2_vectors), cmocka_unit_test(test_pbkdf2_like_openssl),
        cmocka_unit_test(test_pbkdf2_limits),  cmocka_unit_test(test_pbkdf2_iterations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
