/*
 * Identifiers of images. SPDX-License-Identifier: BSD-2-Clause
 *
 * Nothing in a new image is random and nothing comes from the clock, so that the same options make
 * the same bytes; SOURCE_DATE_EPOCH makes them others. Only what must be told from all that was
 * before (the content of an image that was changed) is random, unless SOURCE_DATE_EPOCH is set.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "driver.h"

uint64_t imgi_ident_mix(uint64_t seed, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < length; i++)
        seed = imgi_scramble(seed ^ at[i]) + 1;
    return imgi_scramble(seed);
}

uint64_t imgi_ident_seed(void)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");

    return epoch ? imgi_ident_mix(1, epoch, strlen(epoch)) : 1;
}

uint64_t imgi_ident_fresh(uint64_t old)
{
    uint64_t number = 0;

    if (getenv("SOURCE_DATE_EPOCH") || getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
        number = imgi_ident_seed();
    return imgi_ident_mix(number, &old, sizeof(old));
}

void imgi_ident_uuid(uint64_t *seed, uint8_t uuid[IMGI_UUID_BYTES])
{
    for (size_t i = 0; i < IMGI_UUID_BYTES; i += 8) {
        *seed = imgi_scramble(*seed + 1);
        imgi_put_be64(uuid + i, *seed);
    }
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* version 4, RFC 4122 section 4.4 */
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

void imgi_uuid_swap(uint8_t uuid[IMGI_UUID_BYTES])
{
    imgi_put_le32(uuid, imgi_get_be32(uuid));
    imgi_put_le16(uuid + 4, imgi_get_be16(uuid + 4));
    imgi_put_le16(uuid + 6, imgi_get_be16(uuid + 6));
}

uint64_t imgi_ident_time(void)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");

    return epoch ? strtoull(epoch, NULL, 10) : 0;
}
