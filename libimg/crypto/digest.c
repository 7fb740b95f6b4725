/*
 * Digests by libcrypto. SPDX-License-Identifier: BSD-2-Clause
 *
 * A digest owns one EVP_MD_CTX; it belongs to one thread at a time, so there is nothing to lock.
 */
#include "digest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../util/checked.h"
#include "openssl.h"

struct hash_name {
    const char *name;    /* in options and headers */
    const char *openssl; /* in libcrypto */
    size_t bytes;
};

static const struct hash_name names[IMGI_HASH_COUNT] = {
    [IMGI_HASH_MD5] = {"md5", "MD5", 16},
    [IMGI_HASH_SHA1] = {"sha1", "SHA1", 20},
    [IMGI_HASH_SHA224] = {"sha224", "SHA2-224", 28},
    [IMGI_HASH_SHA256] = {"sha256", "SHA2-256", 32},
    [IMGI_HASH_SHA384] = {"sha384", "SHA2-384", 48},
    [IMGI_HASH_SHA512] = {"sha512", "SHA2-512", 64},
    [IMGI_HASH_RIPEMD160] = {"ripemd160", "RIPEMD160", 20},
    [IMGI_HASH_BLAKE2B] = {"blake2b-512", "BLAKE2B-512", 64},
};

struct imgi_digest {
    struct imgi_openssl ssl;
    EVP_MD *md;
    EVP_MD_CTX *context;
};

const char *imgi_hash_name(enum imgi_hash hash)
{
    return names[hash].name;
}

size_t imgi_hash_bytes(enum imgi_hash hash)
{
    return names[hash].bytes;
}

bool imgi_hash_parse(const char *name, enum imgi_hash *hash)
{
    for (size_t i = 0; i < IMGI_HASH_COUNT; i++) {
        if (strcmp(name, names[i].name) == 0) {
            *hash = (enum imgi_hash)i;
            return true;
        }
    }
    return false;
}

EVP_MD *imgi_openssl_hash(const struct imgi_openssl *ssl, enum imgi_hash hash, img_error *err)
{
    EVP_MD *md = ssl->EVP_MD_fetch(NULL, names[hash].openssl, NULL);

    if (!md) {
        ssl->ERR_clear_error();
        imgi_fail(err, IMG_E_UNSUPPORTED, "this OpenSSL does not have the hash %s",
                  names[hash].name);
    }
    return md;
}

int imgi_digest_new(struct imgi_digest **digest, enum imgi_hash hash, img_error *err)
{
    struct imgi_digest *made = calloc(1, sizeof(*made));
    int rc;

    if (!made)
        return imgi_fail_nomem(err, "a digest");
    rc = imgi_openssl_load(&made->ssl, err);
    if (rc < 0) {
        free(made);
        return rc;
    }
    made->md = imgi_openssl_hash(&made->ssl, hash, err);
    if (!made->md) {
        rc = IMG_E_UNSUPPORTED;
        goto out;
    }
    made->context = made->ssl.EVP_MD_CTX_new();
    if (!made->context || !made->ssl.EVP_DigestInit_ex2(made->context, made->md, NULL)) {
        rc = imgi_openssl_fail(&made->ssl, "starting a digest", err);
        goto out;
    }
    *digest = made;
    made = NULL;
out:
    imgi_digest_free(made);
    return rc;
}

void imgi_digest_free(struct imgi_digest *digest)
{
    if (!digest)
        return;
    digest->ssl.EVP_MD_CTX_free(digest->context);
    digest->ssl.EVP_MD_free(digest->md);
    free(digest);
}

int imgi_digest_update(struct imgi_digest *digest, const void *bytes, size_t length, img_error *err)
{
    if (!digest->ssl.EVP_DigestUpdate(digest->context, bytes, length))
        return imgi_openssl_fail(&digest->ssl, "computing a digest", err);
    return 0;
}

int imgi_digest_final(struct imgi_digest *digest, uint8_t *out, img_error *err)
{
    if (!digest->ssl.EVP_DigestFinal_ex(digest->context, out, NULL) ||
        !digest->ssl.EVP_DigestInit_ex2(digest->context, NULL, NULL))
        return imgi_openssl_fail(&digest->ssl, "ending a digest", err);
    return 0;
}
