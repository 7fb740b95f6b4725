/*
 * Sector ciphers: published vectors, round trips, threads. SPDX-License-Identifier: BSD-2-Clause
 */
#include "crypto_test.h"

#include <pthread.h>

#include "crypto/cipher.h"

#define SECTOR IMGI_CIPHER_SECTOR

/* NIST SP 800-38A: the keys, and the plain text of all its examples. */
static const char *const nist_keys[] = {
    "2b7e151628aed2a6abf7158809cf4f3c",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
};
static const char nist_text[] = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                                "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

static struct imgi_cipher *new_cipher(enum imgi_cipher_alg alg, enum imgi_cipher_mode mode,
                                      enum imgi_ivgen ivgen, enum imgi_hash hash, const char *key)
{
    const struct imgi_cipher_params params = {alg, mode, ivgen, hash};
    struct imgi_cipher *cipher;
    uint8_t bytes[IMGI_CIPHER_KEY_MAX];
    img_error err = {0};

    assert_ok(imgi_cipher_new(&cipher, &params, bytes, from_hex(key, bytes), &err), err);
    return cipher;
}

static void encrypt(struct imgi_cipher *cipher, uint64_t sector, uint8_t *buffer, size_t length)
{
    img_error err = {0};

    assert_ok(imgi_cipher_encrypt(cipher, sector, buffer, length, &err), err);
}

static void decrypt(struct imgi_cipher *cipher, uint64_t sector, uint8_t *buffer, size_t length)
{
    img_error err = {0};

    assert_ok(imgi_cipher_decrypt(cipher, sector, buffer, length, &err), err);
}

/* SP 800-38A, F.1 */
static void test_ecb(void **state)
{
    static const char *const expected[] = {
        "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"
        "43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4",
        "bd334f1d6e45f25ff712a214571fa5cc974104846d0ad3ad7734ecb3ecee4eef"
        "ef7afd2270e2e60adce0ba2face6444e9a4b41ba738d6c72fb16691603c18e0e",
        "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870"
        "b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7",
    };
    uint8_t sector[SECTOR] = {0};

    (void)state;
    for (unsigned alg = IMGI_AES_128; alg <= IMGI_AES_256; alg++) {
        struct imgi_cipher *cipher =
            new_cipher(alg, IMGI_MODE_ECB, IMGI_IVGEN_PLAIN64, IMGI_HASH_MD5, nist_keys[alg]);

        from_hex(nist_text, sector);
        encrypt(cipher, 12345, sector, SECTOR);
        assert_hex(sector, expected[alg]);
        decrypt(cipher, 54321, sector, SECTOR);
        assert_hex(sector, nist_text);
        imgi_cipher_free(cipher);
    }
}

/*
 * SP 800-38A, F.2. Sector 0 has a vector of zeros, so NIST's is xored to the first block
 * beforehand, which is what CBC does with it.
 */
static void test_cbc(void **state)
{
    static const char *const expected[] = {
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
        "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a"
        "571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
        "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
    };
    uint8_t sector[SECTOR] = {0};

    (void)state;
    for (unsigned alg = IMGI_AES_128; alg <= IMGI_AES_256; alg++) {
        struct imgi_cipher *cipher =
            new_cipher(alg, IMGI_MODE_CBC, IMGI_IVGEN_PLAIN, IMGI_HASH_MD5, nist_keys[alg]);

        from_hex(nist_text, sector);
        for (uint8_t i = 0; i < 16; i++)
            sector[i] ^= i; /* NIST's vector is 000102...0f */
        encrypt(cipher, 0, sector, SECTOR);
        assert_hex(sector, expected[alg]);
        imgi_cipher_free(cipher);
    }
}

/* The counter begins with the vector and counts big-endian: GCM's test cases 1 and 2 show E(0),
 * E(1), E(2). */
static void test_ctr(void **state)
{
    struct imgi_cipher *cipher = new_cipher(IMGI_AES_128, IMGI_MODE_CTR, IMGI_IVGEN_PLAIN64,
                                            IMGI_HASH_MD5, "00000000000000000000000000000000");
    uint8_t sector[SECTOR] = {0};

    (void)state;
    encrypt(cipher, 0, sector, SECTOR);
    assert_hex(sector, "66e94bd4ef8a2c3b884cfa59ca342b2e58e2fccefa7e3061367f1d57a4e7455a"
                       "0388dace60b6a392f328c2b971b2fe78");
    imgi_cipher_free(cipher);
}

/* IEEE 1619, annex B, vectors 4 (AES-128, sector 0) and 10 (AES-256, sector ff). */
static void test_xts(void **state)
{
    struct imgi_cipher *cipher =
        new_cipher(IMGI_AES_128, IMGI_MODE_XTS, IMGI_IVGEN_PLAIN64, IMGI_HASH_MD5,
                   "2718281828459045235360287471352631415926535897932384626433832795");
    uint8_t buffer[2 * SECTOR], plain[SECTOR];

    (void)state;
    for (size_t i = 0; i < SECTOR; i++)
        plain[i] = (uint8_t)i;
    memcpy(buffer, plain, SECTOR);
    encrypt(cipher, 0, buffer, SECTOR);
    assert_hex(buffer, "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c");
    assert_hex(buffer + SECTOR - 16, "0a282df920147beabe421ee5319d0568");
    imgi_cipher_free(cipher);

    cipher = new_cipher(IMGI_AES_256, IMGI_MODE_XTS, IMGI_IVGEN_PLAIN, IMGI_HASH_MD5,
                        "2718281828459045235360287471352662497757247093699959574966967627"
                        "3141592653589793238462643383279502884197169399375105820974944592");
    /* as the second sector of two */
    memcpy(buffer + SECTOR, plain, SECTOR);
    encrypt(cipher, 0xfe, buffer, 2 * SECTOR);
    assert_hex(buffer + SECTOR, "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b");
    decrypt(cipher, 0xff, buffer + SECTOR, SECTOR);
    assert_memory_equal(buffer + SECTOR, plain, SECTOR);
    imgi_cipher_free(cipher);
}

/*
 * What AES-192 in XTS is made of, done by the book (IEEE 1619, 5.3.1) with AES-192 in ECB: the
 * tweak encrypted with the second key, doubled from block to block.
 */
static void test_xts_192(void **state)
{
    static const char keys[] = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b"
                               "000102030405060708090a0b0c0d0e0f1011121314151617";
    struct imgi_cipher *xts =
        new_cipher(IMGI_AES_192, IMGI_MODE_XTS, IMGI_IVGEN_PLAIN64, IMGI_HASH_MD5, keys);
    struct imgi_cipher *first =
        new_cipher(IMGI_AES_192, IMGI_MODE_ECB, IMGI_IVGEN_PLAIN, IMGI_HASH_MD5, nist_keys[1]);
    struct imgi_cipher *second =
        new_cipher(IMGI_AES_192, IMGI_MODE_ECB, IMGI_IVGEN_PLAIN, IMGI_HASH_MD5, keys + 48);
    uint8_t sector[SECTOR], expected[SECTOR], tweak[SECTOR] = {0};

    (void)state;
    for (size_t i = 0; i < SECTOR; i++)
        sector[i] = (uint8_t)(i * 5);
    tweak[0] = 0x34; /* sector 0x1234 */
    tweak[1] = 0x12;
    encrypt(second, 0, tweak, SECTOR);
    for (size_t at = 16; at < SECTOR; at += 16) {
        unsigned carry = 0;

        for (size_t i = 0; i < 16; i++) {
            tweak[at + i] = (uint8_t)((unsigned)tweak[at - 16 + i] << 1 | carry);
            carry = (unsigned)tweak[at - 16 + i] >> 7;
        }
        tweak[at] ^= carry ? 0x87 : 0;
    }
    for (size_t i = 0; i < SECTOR; i++)
        expected[i] = sector[i] ^ tweak[i];
    encrypt(first, 0, expected, SECTOR);
    for (size_t i = 0; i < SECTOR; i++)
        expected[i] ^= tweak[i];

    encrypt(xts, 0x1234, sector, SECTOR);
    assert_memory_equal(sector, expected, SECTOR);
    decrypt(xts, 0x1234, sector, SECTOR);
    assert_int_equal(sector[77], (uint8_t)(77 * 5));
    imgi_cipher_free(xts);
    imgi_cipher_free(first);
    imgi_cipher_free(second);
}

/* The first block of a sector of zeros in CBC is the vector encrypted, which shows it. */
static void test_vectors(void **state)
{
    static const char key[] = "000102030405060708090a0b0c0d0e0f";
    struct imgi_cipher *ecb =
        new_cipher(IMGI_AES_128, IMGI_MODE_ECB, IMGI_IVGEN_PLAIN, IMGI_HASH_MD5, key);
    struct imgi_cipher *plain =
        new_cipher(IMGI_AES_128, IMGI_MODE_CBC, IMGI_IVGEN_PLAIN, IMGI_HASH_MD5, key);
    struct imgi_cipher *plain64 =
        new_cipher(IMGI_AES_128, IMGI_MODE_CBC, IMGI_IVGEN_PLAIN64, IMGI_HASH_MD5, key);
    struct imgi_cipher *essiv =
        new_cipher(IMGI_AES_128, IMGI_MODE_CBC, IMGI_IVGEN_ESSIV, IMGI_HASH_MD5, key);
    /* the MD5 of the key */
    struct imgi_cipher *salt = new_cipher(IMGI_AES_128, IMGI_MODE_ECB, IMGI_IVGEN_PLAIN,
                                          IMGI_HASH_MD5, "1ac1ef01e96caf1be0d329331a4fc2a8");
    const uint64_t sector = 0x0123456789abcdefu;
    uint8_t expected[SECTOR] = {0xef, 0xcd, 0xab, 0x89}, buffer[SECTOR] = {0};

    (void)state;
    encrypt(plain, sector, buffer, SECTOR);
    encrypt(ecb, 0, expected, SECTOR);
    assert_memory_equal(buffer, expected, 16);

    memset(buffer, 0, SECTOR);
    memset(expected, 0, SECTOR);
    from_hex("efcdab8967452301", expected);
    encrypt(plain64, sector, buffer, SECTOR);
    encrypt(ecb, 0, expected, SECTOR);
    assert_memory_equal(buffer, expected, 16);

    memset(buffer, 0, SECTOR);
    memset(expected, 0, SECTOR);
    from_hex("efcdab8967452301", expected);
    encrypt(essiv, sector, buffer, SECTOR);
    encrypt(salt, 0, expected, SECTOR);
    encrypt(ecb, 0, expected, SECTOR);
    assert_memory_equal(buffer, expected, 16);

    imgi_cipher_free(ecb);
    imgi_cipher_free(plain);
    imgi_cipher_free(plain64);
    imgi_cipher_free(essiv);
    imgi_cipher_free(salt);
}

static void fill(uint8_t *buffer, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        buffer[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
}

/* Every combination: many sectors at once are the sectors one by one, and come back. */
static void test_runs(void **state)
{
    enum { SECTORS = 150 };
    uint8_t *plain = malloc(SECTORS * SECTOR), *whole = malloc(SECTORS * SECTOR);
    uint8_t one[SECTOR];
    char key[2 * IMGI_CIPHER_KEY_MAX + 1];

    (void)state;
    assert_non_null(plain);
    assert_non_null(whole);
    fill(plain, SECTORS * SECTOR, 1);
    for (unsigned n = 0; n < 3 * 4 * 3; n++) {
        const struct imgi_cipher_params params = {n % 3, n / 3 % 4, n / 12, IMGI_HASH_SHA256};
        struct imgi_cipher *cipher;

        memset(key, 0, sizeof(key));
        for (size_t i = 0; i < imgi_cipher_key_bytes(&params); i++)
            snprintf(key + 2 * i, 3, "%02x", (unsigned)(i * 7 + n) & 0xff);
        cipher = new_cipher(params.alg, params.mode, params.ivgen, params.hash, key);
        memcpy(whole, plain, SECTORS * SECTOR);
        encrypt(cipher, 0xfffffff0u, whole, SECTORS * SECTOR);
        for (size_t i = 0; i < SECTORS; i++) {
            memcpy(one, plain + i * SECTOR, SECTOR);
            encrypt(cipher, 0xfffffff0u + i, one, SECTOR);
            assert_memory_equal(one, whole + i * SECTOR, SECTOR);
            assert_memory_not_equal(one, plain + i * SECTOR, SECTOR);
        }
        decrypt(cipher, 0xfffffff0u, whole, SECTORS * SECTOR);
        assert_memory_equal(whole, plain, SECTORS * SECTOR);
        encrypt(cipher, 0, whole, 0);
        imgi_cipher_free(cipher);
    }
    free(plain);
    free(whole);
}

static void test_qcow_aes(void **state)
{
    /* passphrases of less and of more than 16 bytes */
    static const char *const passphrases[] = {"abc", "0123456789abcdefXYZ"};
    static const char *const keys[] = {"61626300000000000000000000000000",
                                       "30313233343536373839616263646566"};
    img_error err = {0};

    (void)state;
    for (int n = 0; n < 2; n++) {
        struct imgi_cipher *cipher, *same = new_cipher(IMGI_AES_128, IMGI_MODE_CBC,
                                                       IMGI_IVGEN_PLAIN64, IMGI_HASH_MD5, keys[n]);
        uint8_t a[SECTOR] = {1, 2, 3}, b[SECTOR] = {1, 2, 3};

        assert_ok(imgi_cipher_new_qcow_aes(&cipher, (const uint8_t *)passphrases[n],
                                           strlen(passphrases[n]), &err),
                  err);
        encrypt(cipher, 77, a, SECTOR);
        encrypt(same, 77, b, SECTOR);
        assert_memory_equal(a, b, SECTOR);
        imgi_cipher_free(cipher);
        imgi_cipher_free(same);
    }
}

static void test_refused(void **state)
{
    struct imgi_cipher_params params = {IMGI_AES_256, IMGI_MODE_XTS, IMGI_IVGEN_ESSIV,
                                        IMGI_HASH_SHA1};
    struct imgi_cipher *cipher;
    uint8_t key[IMGI_CIPHER_KEY_MAX] = {0}, buffer[SECTOR] = {0};
    img_error err;

    (void)state;
    assert_error(imgi_cipher_new(&cipher, &params, key, 64, &err), IMG_E_INVAL, err,
                 "No AES cipher with key size 20 available");
    params.ivgen = IMGI_IVGEN_PLAIN64;
    assert_error(imgi_cipher_new(&cipher, &params, key, 32, &err), IMG_E_INVAL, err,
                 "a key of 32 bytes for aes-256 in mode xts, which takes 64");
    /* XTS with two equal keys is weak, and OpenSSL will not have it. */
    assert_error(imgi_cipher_new(&cipher, &params, key, 64, &err), IMG_E_INTERNAL, err,
                 "AES-256-XTS: xts duplicated keys");
    params.mode = IMGI_MODE_CBC;
    memset(&err, 0, sizeof(err));
    assert_ok(imgi_cipher_new(&cipher, &params, key, 32, &err), err);
    assert_error(imgi_cipher_encrypt(cipher, 0, buffer, 511, &err), IMG_E_INTERNAL, err,
                 "511 bytes");
    imgi_cipher_free(cipher);
    imgi_cipher_free(NULL);
}

static void test_names(void **state)
{
    enum imgi_cipher_alg alg;
    enum imgi_cipher_mode mode;
    enum imgi_ivgen ivgen;

    (void)state;
    for (unsigned n = 0; n <= IMGI_AES_256; n++)
        assert_true(imgi_cipher_alg_parse(imgi_cipher_alg_name(n), &alg) && alg == n);
    for (unsigned n = 0; n <= IMGI_MODE_XTS; n++)
        assert_true(imgi_cipher_mode_parse(imgi_cipher_mode_name(n), &mode) && mode == n);
    for (unsigned n = 0; n <= IMGI_IVGEN_ESSIV; n++)
        assert_true(imgi_ivgen_parse(imgi_ivgen_name(n), &ivgen) && ivgen == n);
    assert_false(imgi_cipher_alg_parse("aes", &alg));
    assert_false(imgi_cipher_mode_parse("lrw", &mode));
    assert_false(imgi_ivgen_parse("benbi", &ivgen));
}

/* Many threads, one cipher. */
struct worker {
    pthread_t thread;
    struct imgi_cipher *cipher;
    unsigned seed;
    bool ok;
};

static void *work(void *opaque)
{
    enum { LENGTH = 40 * SECTOR };
    struct worker *worker = opaque;
    uint8_t *before = malloc(LENGTH), *buffer = malloc(LENGTH);

    worker->ok = before && buffer;
    for (unsigned round = 0; round < 50 && worker->ok; round++) {
        fill(before, LENGTH, worker->seed + round);
        memcpy(buffer, before, LENGTH);
        worker->ok = imgi_cipher_encrypt(worker->cipher, round, buffer, LENGTH, NULL) == 0 &&
                     imgi_cipher_decrypt(worker->cipher, round, buffer, LENGTH, NULL) == 0 &&
                     memcmp(buffer, before, LENGTH) == 0;
    }
    free(before);
    free(buffer);
    return NULL;
}

static void test_threads(void **state)
{
    struct worker workers[6];
    struct imgi_cipher *cipher =
        new_cipher(IMGI_AES_256, IMGI_MODE_CBC, IMGI_IVGEN_ESSIV, IMGI_HASH_SHA256, nist_keys[2]);

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        workers[i] = (struct worker){.cipher = cipher, .seed = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 6; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_true(workers[i].ok);
    }
    imgi_cipher_free(cipher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ecb),     cmocka_unit_test(test_cbc),
        cmocka_unit_test(test_ctr),     cmocka_unit_test(test_xts),
        cmocka_unit_test(test_xts_192), cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_runs),    cmocka_unit_test(test_qcow_aes),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_names),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
