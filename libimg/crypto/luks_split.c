/*
 * LUKS's anti-forensic splitter. SPDX-License-Identifier: BSD-2-Clause
 *
 * A disk may keep an old copy of a sector that was overwritten, but hardly of each of thousands. So
 * a key is blown up to many stripes that are all needed: all but the last are random, and the last
 * is the key xored with a hash chain over them ("LUKS On-Disk Format Specification" 1.2.3,
 * section 2.4).
 */
#include <string.h>

#include "../util/bytes.h"
#include "../util/checked.h"
#include "luks_internal.h"
#include "random.h"

/*
 * Block j of the stripe (one digest long, the last perhaps shorter) becomes the hash of j,
 * big-endian, and of itself, cut to its length.
 */
static int diffuse(struct imgi_digest *digest, size_t digest_bytes, uint8_t *stripe, size_t bytes,
                   img_error *err)
{
    uint8_t hashed[IMGI_HASH_MAX_BYTES], number[4];
    int rc = 0;

    for (size_t at = 0, j = 0; at < bytes && rc == 0; at += digest_bytes, j++) {
        size_t length = IMGI_MIN(digest_bytes, bytes - at);

        imgi_put_be32(number, (uint32_t)j);
        rc = imgi_digest_update(digest, number, sizeof(number), err);
        if (rc == 0)
            rc = imgi_digest_update(digest, stripe + at, length, err);
        if (rc == 0)
            rc = imgi_digest_final(digest, hashed, err);
        if (rc == 0)
            memcpy(stripe + at, hashed, length);
    }
    explicit_bzero(hashed, sizeof(hashed));
    return rc;
}

static void add(uint8_t *to, const uint8_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] ^= from[i];
}

/* The chain over all stripes but the last. */
static int chain(const struct imgi_luks_header *header, uint32_t stripes, const uint8_t *split,
                 uint8_t *sum, img_error *err)
{
    size_t bytes = header->key_bytes;
    struct imgi_digest *digest = NULL;
    int rc = imgi_digest_new(&digest, header->hash, err);

    memset(sum, 0, bytes);
    for (uint32_t i = 0; i + 1 < stripes && rc == 0; i++) {
        add(sum, split + i * bytes, bytes);
        rc = diffuse(digest, imgi_hash_bytes(header->hash), sum, bytes, err);
    }
    imgi_digest_free(digest);
    return rc;
}

int imgi_luks_split(const struct imgi_luks_header *header, uint32_t stripes, const uint8_t *key,
                    uint8_t *split, img_error *err)
{
    size_t bytes = header->key_bytes;
    uint8_t *last = split + (stripes - 1) * bytes;
    int rc = imgi_random(split, (stripes - 1) * bytes, err);

    if (rc == 0)
        rc = chain(header, stripes, split, last, err);
    if (rc == 0)
        add(last, key, bytes);
    return rc;
}

int imgi_luks_merge(const struct imgi_luks_header *header, uint32_t stripes, const uint8_t *split,
                    uint8_t *key, img_error *err)
{
    size_t bytes = header->key_bytes;
    int rc = chain(header, stripes, split, key, err);

    if (rc == 0)
        add(key, split + (stripes - 1) * bytes, bytes);
    return rc;
}
