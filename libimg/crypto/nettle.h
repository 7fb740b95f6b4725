/*
 * Ciphers that OpenSSL lacks: Serpent, Twofish, CAST5. SPDX-License-Identifier: BSD-2-Clause
 *
 * cipher.c hands sectors on to this for them. libnettle does the mathematics; it is loaded when the
 * first of these ciphers is made (see openssl.h for why), and a build without it lacks them.
 */
#ifndef IMGI_NETTLE_H
#define IMGI_NETTLE_H

#include "cipher.h"

struct imgi_nettle;

/* essiv_key: imgi_hash_bytes(params->hash) bytes, or NULL where the vectors are not encrypted. */
int imgi_nettle_new(struct imgi_nettle **nettle, const struct imgi_cipher_params *params,
                    const uint8_t *key, const uint8_t *essiv_key, img_error *err);
void imgi_nettle_free(struct imgi_nettle *nettle); /* NULL is allowed; keys are cleansed */

/* count sectors in place. Safe from many threads at once. */
void imgi_nettle_run(const struct imgi_nettle *nettle, bool encrypt, uint64_t sector,
                     uint8_t *buffer, size_t count);

#endif
