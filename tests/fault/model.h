/*
 * What a disk may hold after some of the writes to it have failed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The disk is filled with whole blocks of one byte each, 0 (zeros) to 7. For each block the model
 * keeps the set of bytes that it may hold: a write that failed, and one that succeeded but was not
 * flushed, leave both the old and the new one possible.
 */
#ifndef MODEL_H
#define MODEL_H

#include "libimg.h"

#define MODEL_BLOCK 512u
#define MODEL_SIZE (2u << 20)
#define MODEL_BLOCKS (MODEL_SIZE / MODEL_BLOCK)

struct model {
    uint8_t now[MODEL_BLOCKS];     /* sets of what it holds if all is kept */
    uint8_t allowed[MODEL_BLOCKS]; /* sets of what it may hold, kept or lost */
};

/* A disk of zeros. */
void model_init(struct model *model);
/* The range was or may have been overwritten with blocks of that byte. */
void model_write(struct model *model, uint64_t offset, uint64_t length, unsigned byte);
/* It may hold what it did or zeros. */
void model_discard(struct model *model, uint64_t offset, uint64_t length);
/* All before this is durable. */
void model_flush(struct model *model);

/* NULL when the disk is as the model allows, or what is wrong with it, in text. */
const char *model_verify(const struct model *model, img_image *image, char *text, size_t size);

#endif
