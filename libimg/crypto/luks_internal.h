/*
 * What the files of LUKS share. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_LUKS_INTERNAL_H
#define IMGI_LUKS_INTERNAL_H

#include "luks.h"

/* Where in the area a slot's stripes begin, and how many bytes they take, in whole sectors. */
uint64_t imgi_luks_slot_offset(const struct imgi_luks_slot *slot);
size_t imgi_luks_slot_bytes(uint32_t key_bytes, uint32_t stripes);

/*
 * The anti-forensic splitter: key_bytes times stripes bytes that say nothing of the key unless all
 * of them are there, and back.
 */
int imgi_luks_split(const struct imgi_luks_header *header, uint32_t stripes, const uint8_t *key,
                    uint8_t *split, img_error *err);
int imgi_luks_merge(const struct imgi_luks_header *header, uint32_t stripes, const uint8_t *split,
                    uint8_t *key, img_error *err);

/* PBKDF2 with the header's hash. */
int imgi_luks_derive(const struct imgi_luks_header *header, const struct imgi_passphrase *secret,
                     const uint8_t salt[IMGI_LUKS_SALT_BYTES], uint32_t iterations, uint8_t *out,
                     size_t length, img_error *err);

/* The iterations for so many milliseconds (0: the default), at least what the specification asks
 * for. */
int imgi_luks_iterations(const struct imgi_luks_header *header, size_t length,
                         uint64_t milliseconds, uint32_t *iterations, img_error *err);

#endif
