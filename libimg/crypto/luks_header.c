/*
 * The LUKS header as bytes: decode, check, encode. SPDX-License-Identifier: BSD-2-Clause
 *
 * Pure. Numbers are big-endian, texts end with NUL inside their field. Whatever passes the checks
 * here can be used by luks_slot.c without further thought: no sum or product of its numbers
 * overflows, and none asks for more than a bounded amount of time or memory. ("LUKS On-Disk Format
 * Specification" 1.2.3, section 2)
 */
#include <stdio.h>
#include <string.h>

#include "../util/bytes.h"
#include "../util/checked.h"
#include "luks_internal.h"

/* Offsets of the fields. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 6,
    AT_CIPHER = 8,
    AT_MODE = 40,
    AT_HASH = 72,
    AT_PAYLOAD = 104,
    AT_KEY_BYTES = 108,
    AT_DIGEST = 112,
    AT_DIGEST_SALT = 132,
    AT_DIGEST_ITERATIONS = 164,
    AT_UUID = 168,
    AT_SLOTS = 208,
    SLOT_BYTES = 48,
    /* in a slot */
    SLOT_STATE = 0,
    SLOT_ITERATIONS = 4,
    SLOT_SALT = 8,
    SLOT_SECTOR = 40,
    SLOT_STRIPES = 44
};
_Static_assert(AT_SLOTS + IMGI_LUKS_SLOTS * SLOT_BYTES == IMGI_LUKS_HEADER_BYTES, "slots end it");

#define VERSION 1
#define SLOT_ACTIVE 0x00ac71f3u
#define SLOT_INACTIVE 0x0000deadu

/* Every LUKS that there is has 4000. Four times that is 1 MiB of stripes for the longest key. */
#define MAX_STRIPES 16384u

static const uint8_t magic[6] = {'L', 'U', 'K', 'S', 0xba, 0xbe};

bool imgi_luks_probe(const uint8_t *bytes, size_t length)
{
    return length >= IMGI_LUKS_HEADER_BYTES && memcmp(bytes, magic, sizeof(magic)) == 0 &&
           imgi_get_be16(bytes + AT_VERSION) == VERSION;
}

/* A text field of size bytes; what names it in the error. */
static int decode_text(const uint8_t *field, char *text, size_t size, const char *what,
                       img_error *err)
{
    memcpy(text, field, size);
    if (!memchr(text, '\0', size))
        return imgi_fail(err, IMG_E_CORRUPT, "LUKS header: the %s does not end", what);
    return 0;
}

/* "xts-plain64", "cbc-essiv:sha256", or "ecb" alone. */
static int parse_mode(const char *text, struct imgi_cipher_params *cipher, img_error *err)
{
    char mode[IMGI_LUKS_NAME_BYTES];
    char *ivgen, *hash = NULL;

    memcpy(mode, text, sizeof(mode));
    ivgen = strchr(mode, '-');
    if (ivgen) {
        *ivgen++ = '\0';
        hash = strchr(ivgen, ':');
        if (hash)
            *hash++ = '\0';
    }
    if (!imgi_cipher_mode_parse(mode, &cipher->mode) ||
        (ivgen && !imgi_ivgen_parse(ivgen, &cipher->ivgen)))
        return imgi_fail(err, IMG_E_UNSUPPORTED, "LUKS cipher mode '%s' is not supported", text);
    if (!ivgen && cipher->mode != IMGI_MODE_ECB)
        return imgi_fail(err, IMG_E_CORRUPT, "LUKS cipher mode '%s' names no IV generator", text);
    if (hash && !imgi_hash_parse(hash, &cipher->hash))
        return imgi_fail(err, IMG_E_UNSUPPORTED, "LUKS IV generator hash '%s' is not supported",
                         hash);
    if (cipher->ivgen == IMGI_IVGEN_ESSIV && !hash)
        return imgi_fail(err, IMG_E_CORRUPT, "LUKS cipher mode '%s' names no hash", text);
    return 0;
}

/* The algorithm is the one whose key is as long as the header says. */
static int parse_alg(const char *name, uint32_t key_bytes, struct imgi_cipher_params *cipher,
                     img_error *err)
{
    bool known = false;

    for (int alg = 0; alg < IMGI_CIPHER_ALGS; alg++) {
        cipher->alg = (enum imgi_cipher_alg)alg;
        if (strcmp(imgi_cipher_family(cipher->alg), name) != 0)
            continue;
        known = true;
        if (imgi_cipher_key_bytes(cipher) == key_bytes)
            return imgi_cipher_check(cipher, err);
    }
    if (!known)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "LUKS cipher '%s' is not supported", name);
    return imgi_fail(err, IMG_E_CORRUPT, "LUKS header: a key of %u bytes for %s in mode %s",
                     key_bytes, name, imgi_cipher_mode_name(cipher->mode));
}

static int decode_names(struct imgi_luks_header *header, const uint8_t *bytes, img_error *err)
{
    char cipher[IMGI_LUKS_NAME_BYTES], hash[IMGI_LUKS_NAME_BYTES];
    int rc = decode_text(bytes + AT_CIPHER, cipher, sizeof(cipher), "cipher's name", err);

    if (rc == 0)
        rc = decode_text(bytes + AT_MODE, header->mode, sizeof(header->mode), "mode's name", err);
    if (rc == 0)
        rc = decode_text(bytes + AT_HASH, hash, sizeof(hash), "hash's name", err);
    if (rc == 0)
        rc = decode_text(bytes + AT_UUID, header->uuid, sizeof(header->uuid), "UUID", err);
    if (rc == 0)
        rc = parse_mode(header->mode, &header->cipher, err);
    if (rc == 0)
        rc = parse_alg(cipher, header->key_bytes, &header->cipher, err);
    if (rc == 0 && !imgi_hash_parse(hash, &header->hash))
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "LUKS hash '%s' is not supported", hash);
    return rc;
}

static int decode_slot(struct imgi_luks_slot *slot, const uint8_t *bytes, unsigned n,
                       img_error *err)
{
    uint32_t state = imgi_get_be32(bytes + SLOT_STATE);

    if (state != SLOT_ACTIVE && state != SLOT_INACTIVE)
        return imgi_fail(err, IMG_E_CORRUPT, "LUKS key slot %u: state 0x%x", n, state);
    slot->active = state == SLOT_ACTIVE;
    slot->iterations = imgi_get_be32(bytes + SLOT_ITERATIONS);
    memcpy(slot->salt, bytes + SLOT_SALT, sizeof(slot->salt));
    slot->sector = imgi_get_be32(bytes + SLOT_SECTOR);
    slot->stripes = imgi_get_be32(bytes + SLOT_STRIPES);
    return 0;
}

uint64_t imgi_luks_slot_offset(const struct imgi_luks_slot *slot)
{
    return (uint64_t)slot->sector * IMGI_CIPHER_SECTOR;
}

size_t imgi_luks_slot_bytes(uint32_t key_bytes, uint32_t stripes)
{
    return imgi_align_up((uint64_t)key_bytes * stripes, IMGI_CIPHER_SECTOR);
}

uint64_t imgi_luks_slot_end(const struct imgi_luks_header *header, unsigned slot)
{
    const struct imgi_luks_slot *of = &header->slots[slot];

    return imgi_luks_slot_offset(of) + imgi_luks_slot_bytes(header->key_bytes, of->stripes);
}

static int check_iterations(uint32_t iterations, const char *what, img_error *err)
{
    if (iterations == 0 || iterations > IMGI_PBKDF2_MAX_ITERATIONS)
        return imgi_fail(err, IMG_E_LIMIT, "LUKS %s: %u iterations (1 to %u are allowed)", what,
                         iterations, IMGI_PBKDF2_MAX_ITERATIONS);
    return 0;
}

/* A slot's own numbers, used or not: it will be used as it is. */
static int check_slot(const struct imgi_luks_header *header, unsigned n, uint64_t area_length,
                      img_error *err)
{
    const struct imgi_luks_slot *slot = &header->slots[n];
    uint64_t offset = imgi_luks_slot_offset(slot);
    char what[32];

    snprintf(what, sizeof(what), "key slot %u", n);
    if (slot->stripes == 0 || slot->stripes > MAX_STRIPES)
        return imgi_fail(err, IMG_E_LIMIT, "LUKS %s: %u stripes (1 to %u are allowed)", what,
                         slot->stripes, MAX_STRIPES);
    if (offset < IMGI_LUKS_HEADER_BYTES ||
        !imgi_span_ok(offset, imgi_luks_slot_bytes(header->key_bytes, slot->stripes), area_length))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "LUKS %s: its stripes at 0x%llx are not between the header and the end of "
                         "its area (0x%llx)",
                         what, (unsigned long long)offset, (unsigned long long)area_length);
    return slot->active ? check_iterations(slot->iterations, what, err) : 0;
}

static bool slots_overlap(const struct imgi_luks_header *header, unsigned a, unsigned b)
{
    return imgi_luks_slot_offset(&header->slots[a]) < imgi_luks_slot_end(header, b) &&
           imgi_luks_slot_offset(&header->slots[b]) < imgi_luks_slot_end(header, a);
}

static int check_slots(const struct imgi_luks_header *header, uint64_t area_length, img_error *err)
{
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS; n++) {
        int rc = check_slot(header, n, area_length, err);

        if (rc < 0)
            return rc;
        for (unsigned other = 0; other < n; other++) {
            if (slots_overlap(header, n, other))
                return imgi_fail(err, IMG_E_CORRUPT, "LUKS key slots %u and %u overlap", other, n);
        }
    }
    return 0;
}

int imgi_luks_decode(struct imgi_luks_header *header, const uint8_t bytes[IMGI_LUKS_HEADER_BYTES],
                     uint64_t area_length, img_error *err)
{
    int rc;

    memset(header, 0, sizeof(*header));
    if (memcmp(bytes, magic, sizeof(magic)) != 0)
        return imgi_fail(err, IMG_E_FORMAT, "Volume is not in LUKS format");
    if (imgi_get_be16(bytes + AT_VERSION) != VERSION)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "LUKS version %u is not supported",
                         imgi_get_be16(bytes + AT_VERSION));
    header->payload_sector = imgi_get_be32(bytes + AT_PAYLOAD);
    header->key_bytes = imgi_get_be32(bytes + AT_KEY_BYTES);
    memcpy(header->digest, bytes + AT_DIGEST, sizeof(header->digest));
    memcpy(header->digest_salt, bytes + AT_DIGEST_SALT, sizeof(header->digest_salt));
    header->digest_iterations = imgi_get_be32(bytes + AT_DIGEST_ITERATIONS);
    rc = decode_names(header, bytes, err);
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS && rc == 0; n++)
        rc = decode_slot(&header->slots[n], bytes + AT_SLOTS + n * SLOT_BYTES, n, err);
    if (rc == 0)
        rc = check_iterations(header->digest_iterations, "master key digest", err);
    return rc == 0 ? check_slots(header, area_length, err) : rc;
}

/* The field is zeros; the text with its NUL fits. */
static void encode_text(uint8_t *field, const char *text)
{
    memcpy(field, text, strlen(text));
}

void imgi_luks_encode(const struct imgi_luks_header *header, uint8_t bytes[IMGI_LUKS_HEADER_BYTES])
{
    memset(bytes, 0, IMGI_LUKS_HEADER_BYTES);
    memcpy(bytes + AT_MAGIC, magic, sizeof(magic));
    imgi_put_be16(bytes + AT_VERSION, VERSION);
    encode_text(bytes + AT_CIPHER, imgi_cipher_family(header->cipher.alg));
    encode_text(bytes + AT_MODE, header->mode);
    encode_text(bytes + AT_HASH, imgi_hash_name(header->hash));
    imgi_put_be32(bytes + AT_PAYLOAD, header->payload_sector);
    imgi_put_be32(bytes + AT_KEY_BYTES, header->key_bytes);
    memcpy(bytes + AT_DIGEST, header->digest, sizeof(header->digest));
    memcpy(bytes + AT_DIGEST_SALT, header->digest_salt, sizeof(header->digest_salt));
    imgi_put_be32(bytes + AT_DIGEST_ITERATIONS, header->digest_iterations);
    encode_text(bytes + AT_UUID, header->uuid);
    for (unsigned n = 0; n < IMGI_LUKS_SLOTS; n++) {
        const struct imgi_luks_slot *slot = &header->slots[n];
        uint8_t *at = bytes + AT_SLOTS + n * SLOT_BYTES;

        imgi_put_be32(at + SLOT_STATE, slot->active ? SLOT_ACTIVE : SLOT_INACTIVE);
        imgi_put_be32(at + SLOT_ITERATIONS, slot->iterations);
        memcpy(at + SLOT_SALT, slot->salt, sizeof(slot->salt));
        imgi_put_be32(at + SLOT_SECTOR, slot->sector);
        imgi_put_be32(at + SLOT_STRIPES, slot->stripes);
    }
}

int imgi_luks_load(struct imgi_luks_header *header, const struct imgi_luks_area *area,
                   img_error *err)
{
    uint8_t bytes[IMGI_LUKS_HEADER_BYTES];
    int rc;

    if (area->length < sizeof(bytes))
        return imgi_fail(err, IMG_E_CORRUPT, "LUKS header: %llu bytes are too few",
                         (unsigned long long)area->length);
    rc = area->read(area->opaque, 0, bytes, sizeof(bytes), err);
    return rc < 0 ? rc : imgi_luks_decode(header, bytes, area->length, err);
}
