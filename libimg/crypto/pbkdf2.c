/*
 * Keys from passphrases: PBKDF2 with HMAC. SPDX-License-Identifier: BSD-2-Clause
 *
 * An iteration is two runs of the hash's block function over one block each. libcrypto's own
 * PBKDF2 spends more time around them than in them (1.7 million iterations a second for a 64-byte
 * key with SHA-256, where this does over 4 million), and opening an image takes as long as this
 * does. So for the SHA family the loop is here, over libcrypto's block functions; for other hashes,
 * and where a libcrypto was built without those functions, libcrypto does it all.
 *
 * Every buffer that says something of the passphrase or the key is cleansed. Threads share nothing
 * but what is constant while they run.
 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../util/bytes.h"
#include "../util/checked.h"
#include "digest.h"
#include "openssl.h"

/* A hash between two blocks. */
union state {
    SHA_CTX sha1;
    SHA256_CTX sha256; /* and SHA-224 */
    SHA512_CTX sha512; /* and SHA-384 */
};

#define MAX_BLOCK 128 /* bytes that a block function takes: SHA-512's */

/* What the block functions of one hash need to know of each other. */
struct family {
    size_t block_bytes;
    /* Start the hash. */
    void (*init)(const struct imgi_openssl *ssl, enum imgi_hash hash, union state *state);
    /* Feed one block. */
    void (*transform)(const struct imgi_openssl *ssl, union state *state, const uint8_t *block);
    /* The first `bytes` of the state as it stands, big-endian, as a digest is. */
    void (*store)(const union state *state, uint8_t *out, size_t bytes);
};

static void sha1_init(const struct imgi_openssl *ssl, enum imgi_hash hash, union state *state)
{
    (void)hash;
    ssl->SHA1_Init(&state->sha1);
}

static void sha1_transform(const struct imgi_openssl *ssl, union state *state, const uint8_t *block)
{
    ssl->SHA1_Transform(&state->sha1, block);
}

static void sha1_store(const union state *state, uint8_t *out, size_t bytes)
{
    const SHA_CTX *sha = &state->sha1;
    const uint32_t words[] = {sha->h0, sha->h1, sha->h2, sha->h3, sha->h4};

    for (size_t i = 0; i < bytes / sizeof(words[0]); i++)
        imgi_put_be32(out + i * sizeof(words[0]), words[i]);
}

static void sha256_init(const struct imgi_openssl *ssl, enum imgi_hash hash, union state *state)
{
    if (hash == IMGI_HASH_SHA224)
        ssl->SHA224_Init(&state->sha256);
    else
        ssl->SHA256_Init(&state->sha256);
}

static void sha256_transform(const struct imgi_openssl *ssl, union state *state,
                             const uint8_t *block)
{
    ssl->SHA256_Transform(&state->sha256, block);
}

static void sha256_store(const union state *state, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(uint32_t); i++)
        imgi_put_be32(out + i * sizeof(uint32_t), state->sha256.h[i]);
}

static void sha512_init(const struct imgi_openssl *ssl, enum imgi_hash hash, union state *state)
{
    if (hash == IMGI_HASH_SHA384)
        ssl->SHA384_Init(&state->sha512);
    else
        ssl->SHA512_Init(&state->sha512);
}

static void sha512_transform(const struct imgi_openssl *ssl, union state *state,
                             const uint8_t *block)
{
    ssl->SHA512_Transform(&state->sha512, block);
}

static void sha512_store(const union state *state, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
        imgi_put_be64(out + i * sizeof(uint64_t), state->sha512.h[i]);
}

static const struct family sha1 = {SHA_CBLOCK, sha1_init, sha1_transform, sha1_store};
static const struct family sha256 = {SHA256_CBLOCK, sha256_init, sha256_transform, sha256_store};
static const struct family sha512 = {SHA512_CBLOCK, sha512_init, sha512_transform, sha512_store};

/* NULL: the hash has no block functions here. */
static const struct family *family_of(const struct imgi_openssl *ssl, enum imgi_hash hash)
{
    switch (hash) {
    case IMGI_HASH_SHA1:
        return ssl->SHA1_Init && ssl->SHA1_Transform ? &sha1 : NULL;
    case IMGI_HASH_SHA224:
    case IMGI_HASH_SHA256:
        return ssl->SHA224_Init && ssl->SHA256_Init && ssl->SHA256_Transform ? &sha256 : NULL;
    case IMGI_HASH_SHA384:
    case IMGI_HASH_SHA512:
        return ssl->SHA384_Init && ssl->SHA512_Init && ssl->SHA512_Transform ? &sha512 : NULL;
    default:
        return NULL;
    }
}

/* HMAC's two hashes after their first block, the padded key (RFC 2104). */
struct hmac {
    const struct imgi_openssl *ssl;
    const struct family *family;
    size_t digest_bytes;
    union state inner, outer;
};

/* The key as HMAC takes it: one block, longer ones hashed first. */
static int hmac_key(const struct imgi_pbkdf2 *pbkdf2, uint8_t *key, size_t block_bytes,
                    img_error *err)
{
    struct imgi_digest *digest = NULL;
    int rc;

    memset(key, 0, block_bytes);
    if (pbkdf2->passphrase_length <= block_bytes) {
        if (pbkdf2->passphrase_length > 0)
            memcpy(key, pbkdf2->passphrase, pbkdf2->passphrase_length);
        return 0;
    }
    rc = imgi_digest_new(&digest, pbkdf2->hash, err);
    if (rc == 0)
        rc = imgi_digest_update(digest, pbkdf2->passphrase, pbkdf2->passphrase_length, err);
    if (rc == 0)
        rc = imgi_digest_final(digest, key, err);
    imgi_digest_free(digest);
    return rc;
}

static int hmac_init(struct hmac *hmac, const struct imgi_openssl *ssl, const struct family *family,
                     const struct imgi_pbkdf2 *pbkdf2, img_error *err)
{
    uint8_t key[MAX_BLOCK], padded[MAX_BLOCK];
    int rc = hmac_key(pbkdf2, key, family->block_bytes, err);

    if (rc < 0)
        goto out;
    hmac->ssl = ssl;
    hmac->family = family;
    hmac->digest_bytes = imgi_hash_bytes(pbkdf2->hash);
    family->init(ssl, pbkdf2->hash, &hmac->inner);
    family->init(ssl, pbkdf2->hash, &hmac->outer);
    for (size_t i = 0; i < family->block_bytes; i++)
        padded[i] = key[i] ^ 0x36;
    family->transform(ssl, &hmac->inner, padded);
    for (size_t i = 0; i < family->block_bytes; i++)
        padded[i] = key[i] ^ 0x5c;
    family->transform(ssl, &hmac->outer, padded);
out:
    explicit_bzero(key, sizeof(key));
    explicit_bzero(padded, sizeof(padded));
    return rc;
}

/* One block of the result. */
struct block_job {
    const struct hmac *hmac;
    uint32_t iterations; /* those that are left after the first */
    uint8_t *block;      /* in: the first iteration's result; out: the sum of all */
    pthread_t thread;
    bool running;
};

/*
 * The iterations behind the first. Each is the HMAC of the one before, so a message is always one
 * digest long: with the end of a hash's input behind it (one bit, zeros, the length in bits of the
 * padded key and the digest) it fills one block, of which only the digest changes.
 */
static void *iterate(void *opaque)
{
    const struct block_job *job = opaque;
    const struct hmac *hmac = job->hmac;
    const struct family *family = hmac->family;
    size_t bytes = hmac->digest_bytes;
    uint8_t message[MAX_BLOCK] = {0};
    union state state;

    memcpy(message, job->block, bytes);
    message[bytes] = 0x80;
    imgi_put_be64(message + family->block_bytes - sizeof(uint64_t),
                  8 * (uint64_t)(family->block_bytes + bytes));
    for (uint32_t n = 0; n < job->iterations; n++) {
        state = hmac->inner;
        family->transform(hmac->ssl, &state, message);
        family->store(&state, message, bytes);
        state = hmac->outer;
        family->transform(hmac->ssl, &state, message);
        family->store(&state, message, bytes);
        for (size_t i = 0; i < bytes; i++)
            job->block[i] ^= message[i];
    }
    explicit_bzero(message, sizeof(message));
    explicit_bzero(&state, sizeof(state));
    return NULL;
}

/* All blocks, the first by this thread and each other by one of its own, or by this one too. */
static void iterate_blocks(const struct hmac *hmac, uint32_t iterations, uint8_t *blocks,
                           size_t count)
{
    struct block_job jobs[IMGI_PBKDF2_MAX_OUT / 16];

    assert(count <= IMGI_COUNT(jobs));
    for (size_t i = 0; i < count; i++)
        jobs[i] = (struct block_job){hmac, iterations, blocks + i * hmac->digest_bytes, 0, false};
    for (size_t i = 1; i < count; i++)
        jobs[i].running = pthread_create(&jobs[i].thread, NULL, iterate, &jobs[i]) == 0;
    iterate(&jobs[0]);
    for (size_t i = 1; i < count; i++) {
        if (jobs[i].running)
            pthread_join(jobs[i].thread, NULL);
        else
            iterate(&jobs[i]);
    }
}

/* libcrypto's own. */
static int derive_plainly(const struct imgi_openssl *ssl, const struct imgi_pbkdf2 *pbkdf2,
                          uint32_t iterations, uint8_t *out, size_t length, img_error *err)
{
    EVP_MD *md = imgi_openssl_hash(ssl, pbkdf2->hash, err);
    int rc = 0;

    if (!md)
        return IMG_E_UNSUPPORTED;
    if (!ssl->PKCS5_PBKDF2_HMAC((const char *)pbkdf2->passphrase, (int)pbkdf2->passphrase_length,
                                pbkdf2->salt, (int)pbkdf2->salt_length, (int)iterations, md,
                                (int)length, out))
        rc = imgi_openssl_fail(ssl, "deriving a key", err);
    ssl->EVP_MD_free(md);
    return rc;
}

/* The first iteration by libcrypto, the others here. */
static int derive_by_blocks(const struct imgi_openssl *ssl, const struct family *family,
                            const struct imgi_pbkdf2 *pbkdf2, uint8_t *out, size_t length,
                            img_error *err)
{
    size_t digest_bytes = imgi_hash_bytes(pbkdf2->hash);
    size_t count = imgi_div_up(length, digest_bytes);
    uint8_t blocks[IMGI_PBKDF2_MAX_OUT + IMGI_HASH_MAX_BYTES];
    struct hmac hmac;
    int rc = derive_plainly(ssl, pbkdf2, 1, blocks, count * digest_bytes, err);

    if (rc == 0)
        rc = hmac_init(&hmac, ssl, family, pbkdf2, err);
    if (rc == 0) {
        iterate_blocks(&hmac, pbkdf2->iterations - 1, blocks, count);
        memcpy(out, blocks, length);
    }
    explicit_bzero(&hmac, sizeof(hmac));
    explicit_bzero(blocks, sizeof(blocks));
    return rc;
}

int imgi_pbkdf2(const struct imgi_pbkdf2 *pbkdf2, uint8_t *out, size_t length, img_error *err)
{
    struct imgi_openssl ssl;
    const struct family *family;
    int rc;

    assert(length > 0 && length <= IMGI_PBKDF2_MAX_OUT);
    assert(pbkdf2->passphrase_length <= INT32_MAX && pbkdf2->salt_length <= INT32_MAX);
    if (pbkdf2->iterations == 0 || pbkdf2->iterations > IMGI_PBKDF2_MAX_ITERATIONS)
        return imgi_fail(err, IMG_E_LIMIT, "%u iterations of PBKDF2 (1 to %u are allowed)",
                         pbkdf2->iterations, IMGI_PBKDF2_MAX_ITERATIONS);
    rc = imgi_openssl_load(&ssl, err);
    if (rc < 0)
        return rc;
    family = family_of(&ssl, pbkdf2->hash);
    if (!family)
        return derive_plainly(&ssl, pbkdf2, pbkdf2->iterations, out, length, err);
    return derive_by_blocks(&ssl, family, pbkdf2, out, length, err);
}

/* The processor time this thread has used, in nanoseconds: a busy machine does not change it. */
static uint64_t thread_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int imgi_pbkdf2_iterations(enum imgi_hash hash, size_t length, uint64_t milliseconds,
                           uint32_t *iterations, img_error *err)
{
    static const uint64_t enough = 20 * 1000000u; /* nanoseconds that are measured well */
    static const uint8_t text[32] = "any passphrase and any salt";
    struct imgi_pbkdf2 trial = {hash, text, 16, text, sizeof(text), 1u << 12};
    size_t block = imgi_hash_bytes(hash);
    size_t blocks = imgi_div_up(length, block);
    uint8_t out[IMGI_HASH_MAX_BYTES];
    uint64_t taken;
    double wanted;

    for (;;) {
        uint64_t start = thread_time();
        int rc = imgi_pbkdf2(&trial, out, block, err);

        if (rc < 0)
            return rc;
        taken = thread_time() - start;
        if (taken >= enough || trial.iterations >= IMGI_PBKDF2_MAX_ITERATIONS / 2)
            break;
        trial.iterations *= 2;
    }
    wanted = (double)trial.iterations / (double)IMGI_MAX(taken, 1) * 1e6 * (double)milliseconds /
             (double)blocks;
    if (wanted > IMGI_PBKDF2_MAX_ITERATIONS)
        return imgi_fail(err, IMG_E_RANGE,
                         "PBKDF2 for %llu milliseconds is more than %u iterations here",
                         (unsigned long long)milliseconds, IMGI_PBKDF2_MAX_ITERATIONS);
    *iterations = wanted < 1 ? 1 : (uint32_t)wanted;
    return 0;
}
