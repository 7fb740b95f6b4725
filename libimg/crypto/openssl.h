/*
 * The functions of OpenSSL's libcrypto that are used, loaded when first needed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Linked in the usual way, libcrypto doubles the time a small program takes to start (1.4 ms
 * instead of 0.7 ms, measured on Debian 12), and most commands never encrypt anything. So it is
 * opened with dlopen, and the types come from its own headers: a call is checked as any other is.
 */
#ifndef IMGI_OPENSSL_H
#define IMGI_OPENSSL_H

/* The block functions of the SHA family are called as they are (see pbkdf2.c). */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "../error.h"
#include "digest.h"

#define IMGI_OPENSSL_REQUIRED(F)                                                                   \
    F(ERR_clear_error)                                                                             \
    F(ERR_peek_last_error)                                                                         \
    F(ERR_reason_error_string)                                                                     \
    F(EVP_CIPHER_CTX_free)                                                                         \
    F(EVP_CIPHER_CTX_new)                                                                          \
    F(EVP_CIPHER_CTX_set_padding)                                                                  \
    F(EVP_CIPHER_fetch)                                                                            \
    F(EVP_CIPHER_free)                                                                             \
    F(EVP_CipherInit_ex2)                                                                          \
    F(EVP_CipherUpdate)                                                                            \
    F(EVP_DigestFinal_ex)                                                                          \
    F(EVP_DigestInit_ex2)                                                                          \
    F(EVP_DigestUpdate)                                                                            \
    F(EVP_MD_CTX_free)                                                                             \
    F(EVP_MD_CTX_new)                                                                              \
    F(EVP_MD_fetch)                                                                                \
    F(EVP_MD_free)                                                                                 \
    F(PKCS5_PBKDF2_HMAC)

/* Deprecated since OpenSSL 3.0, so a library built without them is possible: NULL there. */
#define IMGI_OPENSSL_OPTIONAL(F)                                                                   \
    F(SHA1_Init)                                                                                   \
    F(SHA1_Transform)                                                                              \
    F(SHA224_Init)                                                                                 \
    F(SHA256_Init)                                                                                 \
    F(SHA256_Transform)                                                                            \
    F(SHA384_Init)                                                                                 \
    F(SHA512_Init)                                                                                 \
    F(SHA512_Transform)

/* One pointer a function, of the function's own name and type. */
struct imgi_openssl {
#define IMGI_OPENSSL_FIELD(function) __typeof__(function) *function;
    IMGI_OPENSSL_REQUIRED(IMGI_OPENSSL_FIELD)
    IMGI_OPENSSL_OPTIONAL(IMGI_OPENSSL_FIELD)
#undef IMGI_OPENSSL_FIELD
};

/*
 * Fill the table. libcrypto is loaded by the first call, stays for as long as the process lives,
 * and the pointers with it: there is nothing to free. Safe from many threads. IMG_E_UNSUPPORTED
 * when it is not installed.
 */
int imgi_openssl_load(struct imgi_openssl *ssl, img_error *err);

/* An error out of what libcrypto says went wrong last in this thread: "WHAT: REASON". Returns
 * IMG_E_INTERNAL. */
int imgi_openssl_fail(const struct imgi_openssl *ssl, const char *what, img_error *err);

/* The hash's implementation, to be given to EVP_MD_free; NULL with *err filled when there is none.
 */
EVP_MD *imgi_openssl_hash(const struct imgi_openssl *ssl, enum imgi_hash hash, img_error *err);

#endif
