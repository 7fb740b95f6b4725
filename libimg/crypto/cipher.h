/*
 * Encryption of a disk's sectors, in place. SPDX-License-Identifier: BSD-2-Clause
 *
 * Each sector of 512 bytes is encrypted for itself, under the same key and an initial vector
 * that follows from its number. libcrypto does the mathematics, and libnettle that of
 * ciphers that it lacks; both are loaded by imgi_cipher_new.
 */
#ifndef IMGI_CIPHER_H
#define IMGI_CIPHER_H

#include <stdint.h>

#include "digest.h"

#define IMGI_CIPHER_SECTOR 512
#define IMGI_CIPHER_KEY_MAX 64 /* AES-256 in mode XTS has two keys */

enum imgi_cipher_alg {
    IMGI_AES_128,
    IMGI_AES_192,
    IMGI_AES_256,
    IMGI_CAST5_128, /* from here on: see nettle.h */
    IMGI_SERPENT_128,
    IMGI_SERPENT_192,
    IMGI_SERPENT_256,
    IMGI_TWOFISH_128,
    IMGI_TWOFISH_192,
    IMGI_TWOFISH_256
};
#define IMGI_CIPHER_ALGS 10

enum imgi_cipher_mode {
    IMGI_MODE_ECB, /* every block alone: shows which are equal */
    IMGI_MODE_CBC,
    IMGI_MODE_CTR,
    IMGI_MODE_XTS /* IEEE 1619 */
};

/* The initial vector of a sector; for XTS the tweak, for CTR the first counter. ECB has none. */
enum imgi_ivgen {
    IMGI_IVGEN_PLAIN,   /* the low 32 bits of the number, little-endian, zeros behind */
    IMGI_IVGEN_PLAIN64, /* all 64 bits of it */
    IMGI_IVGEN_ESSIV    /* as plain64, then encrypted with the cipher under a hash of the key */
};

struct imgi_cipher_params {
    enum imgi_cipher_alg alg;
    enum imgi_cipher_mode mode;
    enum imgi_ivgen ivgen;
    enum imgi_hash hash; /* ESSIV's; or else not used */
};

/* Names as qemu-img has them: "aes-256", "xts", "plain64". Each returns false for one that is none.
 */
bool imgi_cipher_alg_parse(const char *name, enum imgi_cipher_alg *alg);
bool imgi_cipher_mode_parse(const char *name, enum imgi_cipher_mode *mode);
bool imgi_ivgen_parse(const char *name, enum imgi_ivgen *ivgen);
const char *imgi_cipher_alg_name(enum imgi_cipher_alg alg);
const char *imgi_cipher_mode_name(enum imgi_cipher_mode mode);
const char *imgi_ivgen_name(enum imgi_ivgen ivgen);

/* What LUKS headers call it, whatever the length of its key: "aes". */
const char *imgi_cipher_family(enum imgi_cipher_alg alg);

/* Bytes of the key: twice the cipher's for XTS. */
size_t imgi_cipher_key_bytes(const struct imgi_cipher_params *params);

/* Whose encryption makes ESSIV's vectors: the same, with a key as long as the hash. The parameters
 * have been checked. */
enum imgi_cipher_alg imgi_cipher_essiv_alg(const struct imgi_cipher_params *params);

/* Do the parameters go together? IMG_E_INVAL: ESSIV with a hash that has no cipher of its size, XTS
 * with one whose blocks it is not made for. */
int imgi_cipher_check(const struct imgi_cipher_params *params, img_error *err);

struct imgi_cipher;

/*
 * The key is copied (into libcrypto, which cleanses it when the cipher is freed); length must be
 * imgi_cipher_key_bytes(params). The parameters are checked.
 */
int imgi_cipher_new(struct imgi_cipher **cipher, const struct imgi_cipher_params *params,
                    const uint8_t *key, size_t length, img_error *err);
/* One more holder, who calls imgi_cipher_free too. NULL is allowed, and the answer then. */
struct imgi_cipher *imgi_cipher_share(struct imgi_cipher *cipher);
void imgi_cipher_free(struct imgi_cipher *cipher); /* NULL is allowed; no call may be under way */
/* The key, to be stored under another passphrase. It stays the cipher's. */
const uint8_t *imgi_cipher_key(const struct imgi_cipher *cipher);

/*
 * length bytes (a multiple of 512), of which the first 512 are sector first_sector, the next the
 * one behind it, and so on. Safe from many threads at once; each of them works by itself. After an
 * error the buffer's content is undefined.
 */
int imgi_cipher_encrypt(struct imgi_cipher *cipher, uint64_t first_sector, uint8_t *buffer,
                        size_t length, img_error *err);
int imgi_cipher_decrypt(struct imgi_cipher *cipher, uint64_t first_sector, uint8_t *buffer,
                        size_t length, img_error *err);

/*
 * The encryption of qcow and early qcow2 ("aes", crypt_method 1): AES-128 in mode CBC, the vector
 * the number of the guest's sector, the key the passphrase itself, cut or filled with zeros to 16
 * bytes.
 */
int imgi_cipher_new_qcow_aes(struct imgi_cipher **cipher, const uint8_t *passphrase, size_t length,
                             img_error *err);

#endif
