/*
 * LUKS version 1: a key, stored under passphrases. SPDX-License-Identifier: BSD-2-Clause
 *
 * A header names the cipher and holds eight key slots. Each slot that is in use tells where a copy
 * of the master key lies, split into stripes and encrypted under a passphrase ("LUKS On-Disk Format
 * Specification", version 1.2.3). Header and stripes lie in one area: the beginning of a file, or
 * the clusters that a qcow2 image has for them.
 *
 * These functions know the area by three callbacks and nothing of images. Nothing here keeps a
 * passphrase, and a master key lies only where the caller wants it: who owns the buffer cleanses
 * it.
 */
#ifndef IMGI_LUKS_H
#define IMGI_LUKS_H

#include "cipher.h"
#include "secret.h"

#define IMGI_LUKS_SLOTS 8
#define IMGI_LUKS_HEADER_BYTES 592
#define IMGI_LUKS_DIGEST_BYTES 20
#define IMGI_LUKS_SALT_BYTES 32
#define IMGI_LUKS_UUID_BYTES 40 /* as text, with its NUL */
#define IMGI_LUKS_NAME_BYTES 32 /* cipher, mode and hash, with their NUL */
#define IMGI_LUKS_STRIPES 4000  /* in slots that are made here */

struct imgi_luks_slot {
    bool active;
    uint32_t iterations;
    uint8_t salt[IMGI_LUKS_SALT_BYTES];
    uint32_t sector; /* of the area, where the stripes lie */
    uint32_t stripes;
};

struct imgi_luks_header {
    struct imgi_cipher_params cipher;
    char mode[IMGI_LUKS_NAME_BYTES]; /* "xts-plain64", "cbc-essiv:sha256", as it stands in the
                                        header */
    enum imgi_hash hash;
    uint32_t payload_sector; /* of the area; the first of the data in the format luks */
    uint32_t key_bytes;
    uint8_t digest[IMGI_LUKS_DIGEST_BYTES]; /* of the master key */
    uint8_t digest_salt[IMGI_LUKS_SALT_BYTES];
    uint32_t digest_iterations;
    char uuid[IMGI_LUKS_UUID_BYTES];
    struct imgi_luks_slot slots[IMGI_LUKS_SLOTS];
};

/* Where header and stripes lie. The callbacks read and write all of length or fail. */
struct imgi_luks_area {
    void *opaque;
    uint64_t length; /* bytes that the area has */
    int (*read)(void *opaque, uint64_t offset, void *buffer, size_t length, img_error *err);
    int (*write)(void *opaque, uint64_t offset, const void *buffer, size_t length, img_error *err);
    int (*flush)(void *opaque, img_error *err); /* NULL: not needed */
};

/* ---------------------------------------------------------------- header */

/* Does a file that begins so hold a LUKS header of version 1? */
bool imgi_luks_probe(const uint8_t *bytes, size_t length);

/*
 * Decode and check everything: that names are known, iterations and stripes under their limits,
 * and the eight places for stripes inside an area of area_length bytes, apart from the header and
 * each other. No key is derived. IMG_E_FORMAT: no LUKS; IMG_E_UNSUPPORTED: another version, cipher
 * or hash.
 */
int imgi_luks_decode(struct imgi_luks_header *header, const uint8_t bytes[IMGI_LUKS_HEADER_BYTES],
                     uint64_t area_length, img_error *err);
void imgi_luks_encode(const struct imgi_luks_header *header, uint8_t bytes[IMGI_LUKS_HEADER_BYTES]);

/* The byte of the area behind a slot's stripes. */
uint64_t imgi_luks_slot_end(const struct imgi_luks_header *header, unsigned slot);

/* Read and decode the header of an area. */
int imgi_luks_load(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                   img_error *err);

/* ---------------------------------------------------------------- unlock */

/*
 * The master key (header->key_bytes, at most IMGI_CIPHER_KEY_MAX) from any active slot. Tries
 * them all; IMG_E_INVAL when the passphrase opens none. Takes seconds by design.
 */
int imgi_luks_unlock(const struct imgi_luks_header *header, const struct imgi_luks_area *area,
                     const struct imgi_passphrase *passphrase, uint8_t *key, img_error *err);

/* As imgi_luks_unlock with that slot alone, which is active. *opened says whether it was the
 * passphrase. */
int imgi_luks_open_slot(const struct imgi_luks_header *header, const struct imgi_luks_area *area,
                        unsigned slot, const struct imgi_passphrase *passphrase, uint8_t *key,
                        bool *opened, img_error *err);

/* ---------------------------------------------------------------- create */

/* How a new LUKS header is made; the text that a user gives, or NULL for what qemu-img takes then.
 */
struct imgi_luks_choice {
    const char *cipher_alg;     /* aes-256 */
    const char *cipher_mode;    /* xts */
    const char *ivgen_alg;      /* plain64 */
    const char *ivgen_hash_alg; /* sha256 for essiv, or else none */
    const char *hash_alg;       /* sha256 */
    uint64_t iter_time;         /* milliseconds that unlocking may take; 0: 2000 */
};

struct imgi_luks_params {
    struct imgi_cipher_params cipher;
    bool names_hash; /* the header says cipher.hash: always so for ESSIV, others may and do not use
                        it */
    enum imgi_hash hash;
    uint64_t iter_time;
};

#define IMGI_LUKS_ITER_TIME 2000

/* Checks names and that the parts go together; nothing is computed. */
int imgi_luks_choose(const struct imgi_luks_choice *choice, struct imgi_luks_params *params,
                     img_error *err);

/* Bytes of the area for such a header and its slots: where the payload of the format luks begins.
 */
uint64_t imgi_luks_area_bytes(const struct imgi_luks_params *params);

/*
 * Make a master key and a header, and write both to the area with the passphrase in slot 0; the
 * header last. What of the area is not written must read as zeros. The key goes to key
 * (IMGI_CIPHER_KEY_MAX bytes of room) for imgi_luks_cipher.
 */
int imgi_luks_create(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                     const struct imgi_luks_params *params,
                     const struct imgi_passphrase *passphrase, uint8_t *key, img_error *err);

/* The cipher of the payload. */
int imgi_luks_cipher(const struct imgi_luks_header *header, const uint8_t *key,
                     struct imgi_cipher **cipher, img_error *err);

/* ----------------------------------------------------------------- slots */

/*
 * Store the key in a slot that is not active, under the passphrase. iter_time as in
 * imgi_luks_choice. The stripes are durable before the header tells of them.
 */
int imgi_luks_fill_slot(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                        unsigned slot, const struct imgi_passphrase *passphrase, uint64_t iter_time,
                        const uint8_t *key, img_error *err);

/* Overwrite an active slot's stripes, and then its entry in the header. */
int imgi_luks_erase_slot(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                         unsigned slot, img_error *err);

/* A change of the slots, as `qemu-img amend` has it. */
struct imgi_luks_change {
    bool activate;                                /* state=active, or else inactive */
    const struct imgi_passphrase *new_passphrase; /* new-secret; NULL: not given */
    const struct imgi_passphrase *old_passphrase; /* old-secret; NULL: not given */
    bool has_slot;
    int64_t slot; /* keyslot */
    bool has_iter_time;
    uint64_t iter_time;
    bool force; /* erase the last one too: the data is lost then */
};

/*
 * Activate: put the new passphrase in the slot, or in the first that is free; key is the master
 * key. Deactivate: erase the slot, or all that the old passphrase opens (key is not used).
 */
int imgi_luks_amend(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                    const struct imgi_luks_change *change, const uint8_t *key, img_error *err);

#endif
