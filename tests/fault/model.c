/*
 * What a disk may hold after failed writes. SPDX-License-Identifier: BSD-2-Clause
 */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SET(byte) ((uint8_t)(1u << (byte)))

void model_init(struct model *model)
{
    memset(model->now, SET(0), sizeof(model->now));
    memset(model->allowed, SET(0), sizeof(model->allowed));
}

void model_write(struct model *model, uint64_t offset, uint64_t length, unsigned byte)
{
    for (uint64_t n = offset / MODEL_BLOCK; n < (offset + length) / MODEL_BLOCK; n++) {
        model->now[n] = SET(byte);
        model->allowed[n] |= SET(byte);
    }
}

void model_discard(struct model *model, uint64_t offset, uint64_t length)
{
    for (uint64_t n = offset / MODEL_BLOCK; n < (offset + length) / MODEL_BLOCK; n++) {
        model->now[n] |= SET(0);
        model->allowed[n] |= SET(0);
    }
}

void model_flush(struct model *model)
{
    memcpy(model->allowed, model->now, sizeof(model->allowed));
}

static bool block_is_allowed(const uint8_t *block, uint8_t set)
{
    uint8_t byte = block[0];

    if (byte > 7 || !(set & SET(byte)))
        return false;
    return memcmp(block, block + 1, MODEL_BLOCK - 1) == 0;
}

const char *model_verify(const struct model *model, img_image *image, char *text, size_t size)
{
    uint8_t buffer[64 * MODEL_BLOCK];
    img_error err;

    for (uint64_t n = 0; n < MODEL_BLOCKS; n++) {
        const uint8_t *block = buffer + n % 64 * MODEL_BLOCK;

        if (n % 64 == 0 && img_read(image, n * MODEL_BLOCK, buffer, sizeof(buffer), &err) < 0) {
            snprintf(text, size, "read failed: %s", err.message);
            return text;
        }
        if (!block_is_allowed(block, model->allowed[n])) {
            snprintf(text, size, "block at %" PRIu64 " holds %u, allowed is the set 0x%x",
                     n * MODEL_BLOCK, block[0], model->allowed[n]);
            return text;
        }
    }
    return NULL;
}
