/*
 * LUKS key slots: open, fill, erase. SPDX-License-Identifier: BSD-2-Clause
 *
 * Order of writes: a slot's stripes are durable before the header says it is active, so that a
 * crash leaves the header as it was. An erased slot's stripes are overwritten first, for they are
 * what must go; a crash then leaves a slot that no passphrase opens.
 *
 * Every buffer that held a key, or stripes in the clear, is cleansed.
 */
#include <stdlib.h>
#include <string.h>

#include "../util/checked.h"
#include "luks_internal.h"
#include "random.h"

/* "LUKS On-Disk Format Specification" 1.2.3, section 2.1: no fewer than this. */
#define MIN_ITERATIONS 1000u

int imgi_luks_derive(const struct imgi_luks_header *header, const struct imgi_passphrase *secret,
                     const uint8_t salt[IMGI_LUKS_SALT_BYTES], uint32_t iterations, uint8_t *out,
                     size_t length, img_error *err)
{
    const struct imgi_pbkdf2 pbkdf2 = {
        .hash = header->hash,
        .passphrase = secret->bytes,
        .passphrase_length = secret->length,
        .salt = salt,
        .salt_length = IMGI_LUKS_SALT_BYTES,
        .iterations = iterations,
    };

    return imgi_pbkdf2(&pbkdf2, out, length, err);
}

int imgi_luks_iterations(const struct imgi_luks_header *header, size_t length,
                         uint64_t milliseconds, uint32_t *iterations, img_error *err)
{
    int rc = imgi_pbkdf2_iterations(
        header->hash, length, milliseconds ? milliseconds : IMGI_LUKS_ITER_TIME, iterations, err);

    if (rc == 0)
        *iterations = IMGI_MAX(*iterations, MIN_ITERATIONS);
    return rc;
}

/* The cipher of a slot's stripes: that of the payload, under a key derived from the passphrase. */
static int stripes_cipher(const struct imgi_luks_header *header, const struct imgi_luks_slot *slot,
                          const struct imgi_passphrase *passphrase, struct imgi_cipher **cipher,
                          img_error *err)
{
    uint8_t key[IMGI_CIPHER_KEY_MAX];
    int rc = imgi_luks_derive(header, passphrase, slot->salt, slot->iterations, key,
                              header->key_bytes, err);

    if (rc == 0)
        rc = imgi_luks_cipher(header, key, cipher, err);
    explicit_bzero(key, sizeof(key));
    return rc;
}

int imgi_luks_cipher(const struct imgi_luks_header *header, const uint8_t *key,
                     struct imgi_cipher **cipher, img_error *err)
{
    return imgi_cipher_new(cipher, &header->cipher, key, header->key_bytes, err);
}

/* ----------------------------------------------------------------- unlock */

/* Does the key have the digest that the header tells? */
static int check_key(const struct imgi_luks_header *header, const uint8_t *key, bool *right,
                     img_error *err)
{
    const struct imgi_passphrase secret = {key, header->key_bytes};
    uint8_t digest[IMGI_LUKS_DIGEST_BYTES];
    int rc = imgi_luks_derive(header, &secret, header->digest_salt, header->digest_iterations,
                              digest, sizeof(digest), err);

    *right = rc == 0 && memcmp(digest, header->digest, sizeof(digest)) == 0;
    explicit_bzero(digest, sizeof(digest));
    return rc;
}

int imgi_luks_open_slot(const struct imgi_luks_header *header, const struct imgi_luks_area *area,
                        unsigned slot, const struct imgi_passphrase *passphrase, uint8_t *key,
                        bool *opened, img_error *err)
{
    const struct imgi_luks_slot *from = &header->slots[slot];
    size_t bytes = imgi_luks_slot_bytes(header->key_bytes, from->stripes);
    struct imgi_cipher *cipher = NULL;
    uint8_t *stripes = malloc(bytes);
    int rc;

    if (!stripes)
        return imgi_fail_nomem(err, "LUKS key stripes");
    rc = area->read(area->opaque, imgi_luks_slot_offset(from), stripes, bytes, err);
    if (rc == 0)
        rc = stripes_cipher(header, from, passphrase, &cipher, err);
    if (rc == 0)
        rc = imgi_cipher_decrypt(cipher, 0, stripes, bytes, err);
    if (rc == 0)
        rc = imgi_luks_merge(header, from->stripes, stripes, key, err);
    if (rc == 0)
        rc = check_key(header, key, opened, err);
    if (rc < 0 || !*opened)
        explicit_bzero(key, header->key_bytes);
    imgi_cipher_free(cipher);
    explicit_bzero(stripes, bytes);
    free(stripes);
    return rc;
}

int imgi_luks_unlock(const struct imgi_luks_header *header, const struct imgi_luks_area *area,
                     const struct imgi_passphrase *passphrase, uint8_t *key, img_error *err)
{
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS; n++) {
        bool opened = false;
        int rc = 0;

        if (header->slots[n].active)
            rc = imgi_luks_open_slot(header, area, n, passphrase, key, &opened, err);
        if (rc < 0 || opened)
            return rc;
    }
    return imgi_fail(err, IMG_E_INVAL, "Invalid password, cannot unlock any keyslot");
}

/* ------------------------------------------------------------------ write */

static int flush(const struct imgi_luks_area *area, img_error *err)
{
    return area->flush ? area->flush(area->opaque, err) : 0;
}

/* The header, durable. */
static int write_header(const struct imgi_luks_header *header, const struct imgi_luks_area *area,
                        img_error *err)
{
    uint8_t bytes[IMGI_LUKS_HEADER_BYTES];
    int rc;

    imgi_luks_encode(header, bytes);
    rc = area->write(area->opaque, 0, bytes, sizeof(bytes), err);
    return rc < 0 ? rc : flush(area, err);
}

/* The key's stripes, encrypted under the slot's iterations and salt; durable. */
static int write_stripes(const struct imgi_luks_header *header, const struct imgi_luks_area *area,
                         const struct imgi_luks_slot *slot,
                         const struct imgi_passphrase *passphrase, const uint8_t *key,
                         img_error *err)
{
    size_t bytes = imgi_luks_slot_bytes(header->key_bytes, slot->stripes);
    struct imgi_cipher *cipher = NULL;
    uint8_t *stripes = calloc(1, bytes);
    int rc;

    if (!stripes)
        return imgi_fail_nomem(err, "LUKS key stripes");
    rc = stripes_cipher(header, slot, passphrase, &cipher, err);
    if (rc == 0)
        rc = imgi_luks_split(header, slot->stripes, key, stripes, err);
    if (rc == 0)
        rc = imgi_cipher_encrypt(cipher, 0, stripes, bytes, err);
    if (rc == 0)
        rc = area->write(area->opaque, imgi_luks_slot_offset(slot), stripes, bytes, err);
    if (rc == 0)
        rc = flush(area, err);
    imgi_cipher_free(cipher);
    explicit_bzero(stripes, bytes);
    free(stripes);
    return rc;
}

int imgi_luks_fill_slot(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                        unsigned slot, const struct imgi_passphrase *passphrase, uint64_t iter_time,
                        const uint8_t *key, img_error *err)
{
    struct imgi_luks_slot was = header->slots[slot], made = was;
    int rc;

    made.active = true;
    rc = imgi_luks_iterations(header, header->key_bytes, iter_time, &made.iterations, err);
    if (rc == 0)
        rc = imgi_random(made.salt, sizeof(made.salt), err);
    if (rc == 0)
        rc = write_stripes(header, area, &made, passphrase, key, err);
    if (rc < 0)
        return rc;
    header->slots[slot] = made;
    rc = write_header(header, area, err);
    if (rc < 0)
        header->slots[slot] = was;
    return rc;
}

int imgi_luks_erase_slot(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                         unsigned slot, img_error *err)
{
    struct imgi_luks_slot *gone = &header->slots[slot];
    size_t bytes = imgi_luks_slot_bytes(header->key_bytes, gone->stripes);
    uint8_t *noise = malloc(bytes);
    int rc;

    if (!noise)
        return imgi_fail_nomem(err, "LUKS key stripes");
    rc = imgi_random(noise, bytes, err);
    if (rc == 0)
        rc = area->write(area->opaque, imgi_luks_slot_offset(gone), noise, bytes, err);
    if (rc == 0)
        rc = flush(area, err);
    free(noise);
    if (rc < 0)
        return rc;
    gone->active = false;
    gone->iterations = 0;
    memset(gone->salt, 0, sizeof(gone->salt));
    return write_header(header, area, err);
}
