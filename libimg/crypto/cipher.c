/*
 * Encryption of sectors with libcrypto. SPDX-License-Identifier: BSD-2-Clause
 *
 * A libcrypto context can be used by one thread at a time and takes longer to make than a sector
 * takes to encrypt. So a cipher keeps a pool of lanes, each with all the contexts that one call
 * needs: a call takes a lane from the pool or makes one, and puts it back. There are as many lanes
 * as there were calls at one time. The pool's lock is held for these two moves only.
 *
 * The key lives in libcrypto's contexts, which cleanse it when they are freed, and in the cipher,
 * for the lanes to come.
 *
 * OpenSSL has no AES-192 in mode XTS (IEEE 1619 does not either, but qemu-img makes such images):
 * that one is made of AES-192 in mode ECB here.
 */
#include "cipher.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../util/bytes.h"
#include "../util/checked.h"
#include "nettle.h"
#include "openssl.h"

#define BLOCK 16 /* bytes of AES */
#define BATCH 64 /* sectors whose vectors are made at one time */

struct lane {
    struct lane *next;
    EVP_CIPHER_CTX *data[2]; /* [0] decrypts, [1] encrypts */
    EVP_CIPHER_CTX *vector;  /* ECB: encrypts the vectors of ESSIV; or else NULL */
    EVP_CIPHER_CTX *tweak;   /* ECB: the tweaks of XTS made of ECB; or else NULL */
};

struct imgi_cipher {
    struct imgi_openssl ssl;
    struct imgi_cipher_params params;
    bool split_xts;   /* XTS made of ECB */
    const char *name; /* libcrypto's, of the data cipher */
    uint8_t key[IMGI_CIPHER_KEY_MAX];
    size_t key_bytes;
    const char *essiv_name;
    uint8_t essiv_key[IMGI_HASH_MAX_BYTES];
    pthread_mutex_t lock; /* of idle and holders */
    unsigned holders;
    struct lane *idle;
    struct imgi_nettle *nettle; /* what libcrypto does not have; no lanes then */
};

/* libcrypto's names; NULL: it does not have that. */
static const char *const openssl_names[][4] = {
    [IMGI_AES_128] = {"AES-128-ECB", "AES-128-CBC", "AES-128-CTR", "AES-128-XTS"},
    [IMGI_AES_192] = {"AES-192-ECB", "AES-192-CBC", "AES-192-CTR", NULL},
    [IMGI_AES_256] = {"AES-256-ECB", "AES-256-CBC", "AES-256-CTR", "AES-256-XTS"},
};

static bool is_nettles(const struct imgi_cipher_params *params)
{
    return params->alg >= IMGI_CAST5_128;
}

/* ------------------------------------------------------------------ lanes */

/* A context for the key; encrypt is 1 or 0. NULL with *err filled. */
static EVP_CIPHER_CTX *context_new(const struct imgi_openssl *ssl, const char *name,
                                   const uint8_t *key, int encrypt, img_error *err)
{
    static const uint8_t vector[BLOCK]; /* every sector sets its own */
    EVP_CIPHER *cipher = ssl->EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *context = ssl->EVP_CIPHER_CTX_new();

    if (!cipher || !context ||
        !ssl->EVP_CipherInit_ex2(context, cipher, key, vector, encrypt, NULL) ||
        !ssl->EVP_CIPHER_CTX_set_padding(context, 0)) {
        imgi_openssl_fail(ssl, name, err);
        ssl->EVP_CIPHER_CTX_free(context);
        context = NULL;
    }
    ssl->EVP_CIPHER_free(cipher); /* the context holds it */
    return context;
}

static void lane_free(const struct imgi_openssl *ssl, struct lane *lane)
{
    if (!lane)
        return;
    ssl->EVP_CIPHER_CTX_free(lane->data[0]);
    ssl->EVP_CIPHER_CTX_free(lane->data[1]);
    ssl->EVP_CIPHER_CTX_free(lane->vector);
    ssl->EVP_CIPHER_CTX_free(lane->tweak);
    free(lane);
}

static int lane_new(const struct imgi_cipher *cipher, struct lane **made, img_error *err)
{
    const struct imgi_openssl *ssl = &cipher->ssl;
    struct lane *lane = calloc(1, sizeof(*lane));
    bool ok = true;

    if (!lane)
        return imgi_fail_nomem(err, "encryption");
    for (int encrypt = 0; encrypt <= 1 && ok; encrypt++) {
        lane->data[encrypt] = context_new(ssl, cipher->name, cipher->key, encrypt, err);
        ok = lane->data[encrypt] != NULL;
    }
    if (ok && cipher->essiv_name) {
        lane->vector = context_new(ssl, cipher->essiv_name, cipher->essiv_key, 1, err);
        ok = lane->vector != NULL;
    }
    if (ok && cipher->split_xts) {
        lane->tweak = context_new(ssl, cipher->name, cipher->key + cipher->key_bytes / 2, 1, err);
        ok = lane->tweak != NULL;
    }
    if (!ok) {
        lane_free(ssl, lane);
        return IMG_E_INTERNAL;
    }
    *made = lane;
    return 0;
}

static int lane_take(struct imgi_cipher *cipher, struct lane **lane, img_error *err)
{
    pthread_mutex_lock(&cipher->lock);
    *lane = cipher->idle;
    if (*lane)
        cipher->idle = (*lane)->next;
    pthread_mutex_unlock(&cipher->lock);
    return *lane ? 0 : lane_new(cipher, lane, err);
}

static void lane_give(struct imgi_cipher *cipher, struct lane *lane)
{
    pthread_mutex_lock(&cipher->lock);
    lane->next = cipher->idle;
    cipher->idle = lane;
    pthread_mutex_unlock(&cipher->lock);
}

/* ---------------------------------------------------------------- sectors */

static bool update(const struct imgi_openssl *ssl, EVP_CIPHER_CTX *context, uint8_t *bytes,
                   size_t length)
{
    int made;

    return ssl->EVP_CipherUpdate(context, bytes, &made, bytes, (int)length) && made == (int)length;
}

/* The vectors of count sectors. */
static bool make_vectors(const struct imgi_cipher *cipher, const struct lane *lane, uint64_t sector,
                         size_t count, uint8_t (*vectors)[BLOCK])
{
    memset(vectors, 0, count * BLOCK);
    for (size_t i = 0; i < count; i++) {
        if (cipher->params.ivgen == IMGI_IVGEN_PLAIN)
            imgi_put_le32(vectors[i], (uint32_t)(sector + i));
        else
            imgi_put_le64(vectors[i], sector + i);
    }
    return !lane->vector || update(&cipher->ssl, lane->vector, vectors[0], count * BLOCK);
}

/* The tweaks of a sector's blocks: each the one before times x in GF(2^128) (IEEE 1619, 5.2). */
static void make_tweaks(const uint8_t first[BLOCK], uint8_t (*tweaks)[BLOCK])
{
    uint64_t low = imgi_get_le64(first), high = imgi_get_le64(first + 8);

    for (size_t i = 0; i < IMGI_CIPHER_SECTOR / BLOCK; i++) {
        uint64_t carry = high >> 63;

        imgi_put_le64(tweaks[i], low);
        imgi_put_le64(tweaks[i] + 8, high);
        high = high << 1 | low >> 63;
        low = low << 1 ^ carry * 0x87;
    }
}

static void xor_sector(uint8_t *sector, const uint8_t *with)
{
    for (size_t i = 0; i < IMGI_CIPHER_SECTOR; i++)
        sector[i] ^= with[i];
}

/* One sector in XTS made of ECB: the vector encrypted is the first tweak. */
static bool run_split_xts(const struct imgi_openssl *ssl, const struct lane *lane,
                          EVP_CIPHER_CTX *data, uint8_t vector[BLOCK], uint8_t *sector)
{
    uint8_t tweaks[IMGI_CIPHER_SECTOR / BLOCK][BLOCK];

    if (!update(ssl, lane->tweak, vector, BLOCK))
        return false;
    make_tweaks(vector, tweaks);
    xor_sector(sector, tweaks[0]);
    if (!update(ssl, data, sector, IMGI_CIPHER_SECTOR))
        return false;
    xor_sector(sector, tweaks[0]);
    return true;
}

/* At most BATCH sectors. */
static bool run_batch(const struct imgi_cipher *cipher, const struct lane *lane, int encrypt,
                      uint64_t sector, uint8_t *buffer, size_t count)
{
    const struct imgi_openssl *ssl = &cipher->ssl;
    EVP_CIPHER_CTX *data = lane->data[encrypt];
    uint8_t vectors[BATCH][BLOCK];
    bool ok;

    if (cipher->params.mode == IMGI_MODE_ECB)
        return update(ssl, data, buffer, count * IMGI_CIPHER_SECTOR);
    ok = make_vectors(cipher, lane, sector, count, vectors);
    for (size_t i = 0; i < count && ok; i++, buffer += IMGI_CIPHER_SECTOR) {
        if (cipher->split_xts)
            ok = run_split_xts(ssl, lane, data, vectors[i], buffer);
        else
            ok = ssl->EVP_CipherInit_ex2(data, NULL, NULL, vectors[i], -1, NULL) &&
                 update(ssl, data, buffer, IMGI_CIPHER_SECTOR);
    }
    return ok;
}

static int run(struct imgi_cipher *cipher, int encrypt, uint64_t sector, uint8_t *buffer,
               size_t length, img_error *err)
{
    struct lane *lane;
    size_t left = length / IMGI_CIPHER_SECTOR;
    int rc;

    if (length % IMGI_CIPHER_SECTOR != 0)
        return imgi_fail(err, IMG_E_INTERNAL, "%zu bytes to encrypt are not whole sectors", length);
    if (cipher->nettle) {
        imgi_nettle_run(cipher->nettle, encrypt, sector, buffer, left);
        return 0;
    }
    rc = lane_take(cipher, &lane, err);
    if (rc < 0)
        return rc;
    while (left > 0 && rc == 0) {
        size_t count = IMGI_MIN(left, BATCH);

        if (!run_batch(cipher, lane, encrypt, sector, buffer, count))
            rc = imgi_openssl_fail(&cipher->ssl, encrypt ? "encryption" : "decryption", err);
        sector += count;
        buffer += count * IMGI_CIPHER_SECTOR;
        left -= count;
    }
    lane_give(cipher, lane);
    return rc;
}

int imgi_cipher_encrypt(struct imgi_cipher *cipher, uint64_t first_sector, uint8_t *buffer,
                        size_t length, img_error *err)
{
    return run(cipher, 1, first_sector, buffer, length, err);
}

int imgi_cipher_decrypt(struct imgi_cipher *cipher, uint64_t first_sector, uint8_t *buffer,
                        size_t length, img_error *err)
{
    return run(cipher, 0, first_sector, buffer, length, err);
}

/* ------------------------------------------------------------------- life */

/* The key of ESSIV's vectors is the hash of the key. */
static int prepare_essiv(struct imgi_cipher *cipher, img_error *err)
{
    struct imgi_digest *digest = NULL;
    int rc = imgi_digest_new(&digest, cipher->params.hash, err);

    if (!is_nettles(&cipher->params))
        cipher->essiv_name = openssl_names[imgi_cipher_essiv_alg(&cipher->params)][IMGI_MODE_ECB];
    if (rc == 0)
        rc = imgi_digest_update(digest, cipher->key, cipher->key_bytes, err);
    if (rc == 0)
        rc = imgi_digest_final(digest, cipher->essiv_key, err);
    imgi_digest_free(digest);
    return rc;
}

static int prepare(struct imgi_cipher *cipher, const struct imgi_cipher_params *params,
                   const uint8_t *key, size_t length, img_error *err)
{
    int rc = imgi_cipher_check(params, err);

    if (rc == 0)
        rc = imgi_openssl_load(&cipher->ssl, err);
    if (rc < 0)
        return rc;
    if (length != imgi_cipher_key_bytes(params))
        return imgi_fail(err, IMG_E_INVAL, "a key of %zu bytes for %s in mode %s, which takes %zu",
                         length, imgi_cipher_alg_name(params->alg),
                         imgi_cipher_mode_name(params->mode), imgi_cipher_key_bytes(params));
    cipher->params = *params;
    cipher->key_bytes = length;
    memcpy(cipher->key, key, length);
    if (params->ivgen == IMGI_IVGEN_ESSIV)
        rc = prepare_essiv(cipher, err);
    return rc;
}

/*
 * The first lane, or what libnettle needs: what one of them refuses is said here and not by the
 * first sector.
 */
static int begin(struct imgi_cipher *cipher, img_error *err)
{
    const struct imgi_cipher_params *params = &cipher->params;

    if (is_nettles(params))
        return imgi_nettle_new(&cipher->nettle, params, cipher->key,
                               params->ivgen == IMGI_IVGEN_ESSIV ? cipher->essiv_key : NULL, err);
    cipher->name = openssl_names[params->alg][params->mode];
    if (!cipher->name) {
        cipher->split_xts = true;
        cipher->name = openssl_names[params->alg][IMGI_MODE_ECB];
    }
    return lane_new(cipher, &cipher->idle, err);
}

int imgi_cipher_new(struct imgi_cipher **cipher, const struct imgi_cipher_params *params,
                    const uint8_t *key, size_t length, img_error *err)
{
    struct imgi_cipher *made = calloc(1, sizeof(*made));
    int rc;

    if (!made)
        return imgi_fail_nomem(err, "encryption");
    pthread_mutex_init(&made->lock, NULL);
    made->holders = 1;
    rc = prepare(made, params, key, length, err);
    if (rc == 0)
        rc = begin(made, err);
    if (rc < 0)
        imgi_cipher_free(made);
    else
        *cipher = made;
    return rc;
}

struct imgi_cipher *imgi_cipher_share(struct imgi_cipher *cipher)
{
    if (!cipher)
        return NULL;
    pthread_mutex_lock(&cipher->lock);
    cipher->holders++;
    pthread_mutex_unlock(&cipher->lock);
    return cipher;
}

static bool still_held(struct imgi_cipher *cipher)
{
    bool held;

    pthread_mutex_lock(&cipher->lock);
    held = --cipher->holders > 0;
    pthread_mutex_unlock(&cipher->lock);
    return held;
}

void imgi_cipher_free(struct imgi_cipher *cipher)
{
    if (!cipher || still_held(cipher))
        return;
    while (cipher->idle) {
        struct lane *lane = cipher->idle;

        cipher->idle = lane->next;
        lane_free(&cipher->ssl, lane);
    }
    imgi_nettle_free(cipher->nettle);
    pthread_mutex_destroy(&cipher->lock);
    explicit_bzero(cipher, sizeof(*cipher));
    free(cipher);
}

const uint8_t *imgi_cipher_key(const struct imgi_cipher *cipher)
{
    return cipher->key;
}

int imgi_cipher_new_qcow_aes(struct imgi_cipher **cipher, const uint8_t *passphrase, size_t length,
                             img_error *err)
{
    static const struct imgi_cipher_params params = {
        .alg = IMGI_AES_128, .mode = IMGI_MODE_CBC, .ivgen = IMGI_IVGEN_PLAIN64};
    uint8_t key[16] = {0};
    int rc;

    if (length > 0)
        memcpy(key, passphrase, IMGI_MIN(length, sizeof(key)));
    rc = imgi_cipher_new(cipher, &params, key, sizeof(key), err);
    explicit_bzero(key, sizeof(key));
    return rc;
}
