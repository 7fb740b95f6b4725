/*
 * New LUKS headers. SPDX-License-Identifier: BSD-2-Clause
 *
 * The layout is the one that cryptsetup and qemu-img make: slots of 4000 stripes, the first at
 * 4096, each at the next multiple of 4096 bytes, and the payload behind the last.
 */
#include <stdio.h>
#include <string.h>

#include "../util/checked.h"
#include "luks_internal.h"
#include "random.h"

#define ALIGNMENT 4096u /* bytes: of slots and payload */

/* The digest takes an eighth of the time that a slot takes: it is checked once for every slot
 * tried. */
#define DIGEST_SHARE 8

/* ---------------------------------------------------------------- choices */

/* Names that qemu-img takes, and that LUKS has no name for. */
static bool no_luks_name(const char *alg)
{
    return strcmp(alg, "des") == 0 || strcmp(alg, "3des") == 0;
}

static int refuse(const char *option, const char *value, img_error *err)
{
    return imgi_fail(err, IMG_E_INVAL, "Parameter '%s' does not accept value '%s'", option, value);
}

static const char *or_default(const char *value, const char *otherwise)
{
    return value ? value : otherwise;
}

/* A hash that a header is allowed to name: the ones that qemu-img takes. */
static bool parse_hash(const char *name, enum imgi_hash *hash)
{
    return imgi_hash_parse(name, hash) && *hash != IMGI_HASH_BLAKE2B;
}

static int choose_cipher(const struct imgi_luks_choice *choice, struct imgi_cipher_params *cipher,
                         img_error *err)
{
    const char *alg = or_default(choice->cipher_alg, "aes-256");
    const char *mode = or_default(choice->cipher_mode, "xts");
    const char *ivgen = or_default(choice->ivgen_alg, "plain64");

    if (no_luks_name(alg))
        return imgi_fail(err, IMG_E_UNSUPPORTED, "Algorithm '%s' not supported", alg);
    if (!imgi_cipher_alg_parse(alg, &cipher->alg))
        return refuse("cipher-alg", alg, err);
    if (!imgi_cipher_mode_parse(mode, &cipher->mode))
        return refuse("cipher-mode", mode, err);
    if (!imgi_ivgen_parse(ivgen, &cipher->ivgen))
        return refuse("ivgen-alg", ivgen, err);
    return 0;
}

int imgi_luks_choose(const struct imgi_luks_choice *choice, struct imgi_luks_params *params,
                     img_error *err)
{
    const char *hash = or_default(choice->hash_alg, "sha256");
    const char *ivgen_hash = choice->ivgen_hash_alg;
    int rc;

    memset(params, 0, sizeof(*params));
    rc = choose_cipher(choice, &params->cipher, err);
    if (rc < 0)
        return rc;
    if (params->cipher.ivgen == IMGI_IVGEN_ESSIV)
        ivgen_hash = or_default(ivgen_hash, "sha256");
    params->names_hash = ivgen_hash != NULL;
    if (ivgen_hash && !parse_hash(ivgen_hash, &params->cipher.hash))
        return refuse("ivgen-hash-alg", ivgen_hash, err);
    if (!parse_hash(hash, &params->hash))
        return refuse("hash-alg", hash, err);
    params->iter_time = choice->iter_time;
    return imgi_cipher_check(&params->cipher, err);
}

/* ----------------------------------------------------------------- layout */

/* Bytes from one slot's stripes to the next slot's. */
static uint64_t slot_distance(const struct imgi_luks_params *params)
{
    size_t key_bytes = imgi_cipher_key_bytes(&params->cipher);

    return imgi_align_up(imgi_luks_slot_bytes((uint32_t)key_bytes, IMGI_LUKS_STRIPES), ALIGNMENT);
}

uint64_t imgi_luks_area_bytes(const struct imgi_luks_params *params)
{
    return ALIGNMENT + IMGI_LUKS_SLOTS * slot_distance(params);
}

static void lay_out(struct imgi_luks_header *header, const struct imgi_luks_params *params)
{
    const struct imgi_cipher_params *cipher = &params->cipher;

    header->cipher = *cipher;
    header->hash = params->hash;
    header->key_bytes = (uint32_t)imgi_cipher_key_bytes(cipher);
    snprintf(header->mode, sizeof(header->mode), "%s-%s%s%s", imgi_cipher_mode_name(cipher->mode),
             imgi_ivgen_name(cipher->ivgen), params->names_hash ? ":" : "",
             params->names_hash ? imgi_hash_name(cipher->hash) : "");
    header->payload_sector = (uint32_t)(imgi_luks_area_bytes(params) / IMGI_CIPHER_SECTOR);
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS; n++) {
        uint64_t offset = ALIGNMENT + n * slot_distance(params);

        header->slots[n].sector = (uint32_t)(offset / IMGI_CIPHER_SECTOR);
        header->slots[n].stripes = IMGI_LUKS_STRIPES;
    }
}

/* ----------------------------------------------------------------- create */

/* A new key and its digest. */
static int make_key(struct imgi_luks_header *header, uint64_t iter_time, uint8_t *key,
                    img_error *err)
{
    const struct imgi_passphrase secret = {key, header->key_bytes};
    int rc = imgi_random(key, header->key_bytes, err);

    if (rc == 0)
        rc = imgi_random(header->digest_salt, sizeof(header->digest_salt), err);
    if (rc == 0)
        rc = imgi_luks_iterations(
            header, sizeof(header->digest),
            imgi_div_up(iter_time ? iter_time : IMGI_LUKS_ITER_TIME, DIGEST_SHARE),
            &header->digest_iterations, err);
    if (rc == 0)
        rc = imgi_luks_derive(header, &secret, header->digest_salt, header->digest_iterations,
                              header->digest, sizeof(header->digest), err);
    return rc;
}

int imgi_luks_create(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                     const struct imgi_luks_params *params,
                     const struct imgi_passphrase *passphrase, uint8_t *key, img_error *err)
{
    int rc;

    if (area->length < imgi_luks_area_bytes(params))
        return imgi_fail(err, IMG_E_INTERNAL, "a LUKS header needs %llu bytes, not %llu",
                         (unsigned long long)imgi_luks_area_bytes(params),
                         (unsigned long long)area->length);
    memset(header, 0, sizeof(*header));
    lay_out(header, params);
    rc = imgi_random_uuid(header->uuid, err);
    if (rc == 0)
        rc = make_key(header, params->iter_time, key, err);
    if (rc == 0)
        rc = imgi_luks_fill_slot(header, area, 0, passphrase, params->iter_time, key, err);
    if (rc < 0)
        explicit_bzero(key, IMGI_CIPHER_KEY_MAX);
    return rc;
}
