/*
 * Digests, and keys from passphrases. SPDX-License-Identifier: BSD-2-Clause
 *
 * libcrypto does the work and is loaded by the first call that needs it.
 */
#ifndef IMGI_DIGEST_H
#define IMGI_DIGEST_H

#include <stdint.h>

#include "../error.h"

enum imgi_hash {
    IMGI_HASH_MD5,
    IMGI_HASH_SHA1,
    IMGI_HASH_SHA224,
    IMGI_HASH_SHA256,
    IMGI_HASH_SHA384,
    IMGI_HASH_SHA512,
    IMGI_HASH_RIPEMD160,
    IMGI_HASH_BLAKE2B /* 512 bits */
};
#define IMGI_HASH_COUNT 8
#define IMGI_HASH_MAX_BYTES 64

/* As qemu-img and LUKS headers call it: "sha256". */
const char *imgi_hash_name(enum imgi_hash hash);
/* Bytes of its result. */
size_t imgi_hash_bytes(enum imgi_hash hash);
/* Returns false when there is none of that name. */
bool imgi_hash_parse(const char *name, enum imgi_hash *hash);

/* A digest belongs to one thread at a time. */
struct imgi_digest;

/* IMG_E_UNSUPPORTED when libcrypto is not there or does not have the hash. */
int imgi_digest_new(struct imgi_digest **digest, enum imgi_hash hash, img_error *err);
void imgi_digest_free(struct imgi_digest *digest); /* NULL is allowed */
int imgi_digest_update(struct imgi_digest *digest, const void *bytes, size_t length,
                       img_error *err);
/* imgi_hash_bytes bytes to out. The digest then stands at its beginning again. */
int imgi_digest_final(struct imgi_digest *digest, uint8_t *out, img_error *err);

/* PBKDF2 with HMAC (RFC 8018, 5.2). */
struct imgi_pbkdf2 {
    enum imgi_hash hash;
    const uint8_t *passphrase;
    size_t passphrase_length;
    const uint8_t *salt;
    size_t salt_length;
    uint32_t iterations; /* 1 to IMGI_PBKDF2_MAX_ITERATIONS */
};

/*
 * A bound on the time that a number in a header can take. It is what a fast core does in a minute
 * for one block of SHA-256; qemu-img's default is two seconds.
 */
#define IMGI_PBKDF2_MAX_ITERATIONS (UINT32_C(1) << 28)
#define IMGI_PBKDF2_MAX_OUT 128

/*
 * Derive length bytes (at most IMGI_PBKDF2_MAX_OUT). The blocks of the result (one for each
 * imgi_hash_bytes of it) are computed at the same time, each by a thread of its own.
 */
int imgi_pbkdf2(const struct imgi_pbkdf2 *pbkdf2, uint8_t *out, size_t length, img_error *err);

/*
 * The iterations that one core does in that many milliseconds for a key of length bytes, by
 * measuring for some hundredths of a second. At least 1. IMG_E_RANGE when over
 * IMGI_PBKDF2_MAX_ITERATIONS.
 */
int imgi_pbkdf2_iterations(enum imgi_hash hash, size_t length, uint64_t milliseconds,
                           uint32_t *iterations, img_error *err);

#endif
