/*
 * What formats share that hold a LUKS header, or ask for a passphrase in another way.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Between the options and secrets of an image and the mathematics of crypto/. The texts of errors
 * are qemu-img's.
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* The longest name of an option, with its prefix. */
#define NAME_MAX 64

/* An option's name: "key-secret" as it is, or "encrypt.key-secret". */
static const char *full_name(char name[NAME_MAX], const char *prefix, const char *option)
{
    snprintf(name, NAME_MAX, "%s%s", prefix, option);
    return name;
}

static const char *text_of(const struct imgi_encryption *from, const char *option)
{
    char name[NAME_MAX];

    return imgi_options_string(from->options, from->table, full_name(name, from->prefix, option));
}

static uint64_t number_of(const struct imgi_encryption *from, const char *option)
{
    char name[NAME_MAX];

    return imgi_options_number(from->options, from->table, full_name(name, from->prefix, option));
}

int imgi_secret_of(const struct imgi_encryption *from, struct imgi_passphrase *passphrase,
                   img_error *err)
{
    const char *id = text_of(from, "key-secret");

    if (!id)
        return imgi_fail(err, IMG_E_INVAL, "Parameter '%skey-secret' is required for cipher",
                         from->prefix);
    return imgi_secrets_find(from->secrets, id, passphrase, err);
}

int imgi_luks_wanted(const struct imgi_encryption *from, struct imgi_luks_params *params,
                     img_error *err)
{
    const struct imgi_luks_choice choice = {
        .cipher_alg = text_of(from, "cipher-alg"),
        .cipher_mode = text_of(from, "cipher-mode"),
        .ivgen_alg = text_of(from, "ivgen-alg"),
        .ivgen_hash_alg = text_of(from, "ivgen-hash-alg"),
        .hash_alg = text_of(from, "hash-alg"),
        .iter_time = number_of(from, "iter-time"),
    };

    return imgi_luks_choose(&choice, params, err);
}

/* ------------------------------------------------------------------- area */

static int area_read(void *opaque, uint64_t offset, void *buffer, size_t length, img_error *err)
{
    const struct imgi_luks_place *place = opaque;

    return imgi_io_read(place->io, buffer, length, place->offset + offset, err);
}

static int area_write(void *opaque, uint64_t offset, const void *buffer, size_t length,
                      img_error *err)
{
    const struct imgi_luks_place *place = opaque;

    return imgi_io_write(place->io, buffer, length, place->offset + offset, err);
}

static int area_flush(void *opaque, img_error *err)
{
    const struct imgi_luks_place *place = opaque;

    return imgi_io_flush(place->io, err);
}

static struct imgi_luks_area area_of(struct imgi_luks_place *place)
{
    return (struct imgi_luks_area){place, place->length, area_read, area_write, area_flush};
}

int imgi_luks_read(struct imgi_luks_header *header, struct imgi_luks_place place, img_error *err)
{
    struct imgi_luks_area area = area_of(&place);
    int rc = imgi_luks_load(header, &area, err);

    if (rc < 0)
        imgi_error_place(err, "LUKS header at 0x%llx", (unsigned long long)place.offset);
    return rc;
}

int imgi_luks_open(const struct imgi_encryption *from, const struct imgi_luks_header *header,
                   struct imgi_luks_place place, struct imgi_cipher **cipher, img_error *err)
{
    struct imgi_luks_area area = area_of(&place);
    uint8_t key[IMGI_CIPHER_KEY_MAX];
    struct imgi_passphrase passphrase;
    int rc = imgi_secret_of(from, &passphrase, err);

    if (rc == 0)
        rc = imgi_luks_unlock(header, &area, &passphrase, key, err);
    if (rc == 0)
        rc = imgi_luks_cipher(header, key, cipher, err);
    explicit_bzero(key, sizeof(key));
    return rc;
}

int imgi_luks_make(const struct imgi_encryption *from, const struct imgi_luks_params *params,
                   struct imgi_luks_place place, struct imgi_cipher **cipher, img_error *err)
{
    struct imgi_luks_area area = area_of(&place);
    uint8_t key[IMGI_CIPHER_KEY_MAX];
    struct imgi_luks_header header;
    struct imgi_passphrase passphrase;
    int rc = imgi_secret_of(from, &passphrase, err);

    if (rc == 0)
        rc = imgi_luks_create(&header, &area, params, &passphrase, key, err);
    if (rc == 0)
        rc = imgi_luks_cipher(&header, key, cipher, err);
    explicit_bzero(key, sizeof(key));
    return rc;
}

/* ------------------------------------------------------------------ amend */

static bool has(const struct imgi_encryption *from, const char *option)
{
    char name[NAME_MAX];

    return img_options_get(from->options, full_name(name, from->prefix, option)) != NULL;
}

/* The secret that an option names. *found is passphrase, or NULL when the option was not given. */
static int find_secret(const struct imgi_encryption *from, const char *option,
                       struct imgi_passphrase *passphrase, const struct imgi_passphrase **found,
                       img_error *err)
{
    const char *id = text_of(from, option);

    *found = id ? passphrase : NULL;
    return id ? imgi_secrets_find(from->secrets, id, passphrase, err) : 0;
}

static int read_state(const struct imgi_encryption *from, bool *activate, img_error *err)
{
    const char *state = text_of(from, "state");

    if (!state)
        return imgi_fail(err, IMG_E_INVAL, "Parameter 'state' is missing");
    *activate = strcmp(state, "active") == 0;
    if (!*activate && strcmp(state, "inactive") != 0)
        return imgi_fail(err, IMG_E_INVAL, "Parameter 'state' does not accept value '%s'", state);
    return 0;
}

int imgi_luks_change_slots(const struct imgi_encryption *from, bool force,
                           struct imgi_luks_header *header, struct imgi_luks_place place,
                           const struct imgi_cipher *cipher, img_error *err)
{
    struct imgi_luks_area area = area_of(&place);
    struct imgi_passphrase new_passphrase, old_passphrase;
    struct imgi_luks_change change = {
        .has_slot = has(from, "keyslot"),
        .slot = (int64_t)IMGI_MIN(number_of(from, "keyslot"), (uint64_t)INT64_MAX),
        .has_iter_time = has(from, "iter-time"),
        .iter_time = number_of(from, "iter-time"),
        .force = force,
    };
    int rc = read_state(from, &change.activate, err);

    if (rc == 0)
        rc = find_secret(from, "new-secret", &new_passphrase, &change.new_passphrase, err);
    if (rc == 0)
        rc = find_secret(from, "old-secret", &old_passphrase, &change.old_passphrase, err);
    if (rc == 0 && change.activate && !cipher)
        rc = imgi_fail(err, IMG_E_DENIED, "the image is encrypted, and was opened without its key");
    if (rc < 0)
        return rc;
    return imgi_luks_amend(header, &area, &change, cipher ? imgi_cipher_key(cipher) : NULL, err);
}

/* ------------------------------------------------------------------- info */

static void say_slots(struct imgi_info *info, const struct imgi_luks_header *header)
{
    imgi_info_list_begin(info, "slots");
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS; n++) {
        const struct imgi_luks_slot *slot = &header->slots[n];

        imgi_info_dict_begin(info, NULL);
        imgi_info_bool(info, "active", slot->active);
        if (slot->active)
            imgi_info_uint(info, "iters", slot->iterations);
        imgi_info_uint(info, "key-offset", (uint64_t)slot->sector * IMGI_CIPHER_SECTOR);
        if (slot->active)
            imgi_info_uint(info, "stripes", slot->stripes);
        imgi_info_dict_end(info);
    }
    imgi_info_list_end(info);
}

void imgi_luks_info(struct imgi_info *info, const struct imgi_luks_header *header, bool say_format)
{
    const struct imgi_cipher_params *cipher = &header->cipher;

    imgi_info_string(info, "ivgen-alg", imgi_ivgen_name(cipher->ivgen));
    imgi_info_string(info, "hash-alg", imgi_hash_name(header->hash));
    imgi_info_string(info, "cipher-alg", imgi_cipher_alg_name(cipher->alg));
    imgi_info_string(info, "uuid", header->uuid);
    if (cipher->ivgen == IMGI_IVGEN_ESSIV)
        imgi_info_string(info, "ivgen-hash-alg", imgi_hash_name(cipher->hash));
    if (say_format)
        imgi_info_string(info, "format", "luks");
    imgi_info_string(info, "cipher-mode", imgi_cipher_mode_name(cipher->mode));
    say_slots(info, header);
    imgi_info_uint(info, "payload-offset", (uint64_t)header->payload_sector * IMGI_CIPHER_SECTOR);
    imgi_info_uint(info, "master-key-iters", header->digest_iterations);
}
