/*
 * What an image may hold after its machine was stopped. SPDX-License-Identifier: BSD-2-Clause
 *
 * Every block that is written says in each of its 16-byte words which block it is and which write
 * it belongs to, so that bytes of another place or another time are known for what they are. Writes
 * are numbered from 1; 0 stands for zeros. What a block may hold is a set of such numbers.
 *
 * A content has a step for each operation of the test: where in the log it began and ended, and
 * what every block holds after it, if all of it is kept. A cut of the log allows each block what it
 * held after any step from the last durable one on to the last that had begun.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include "libimg.h"

#define CONTENT_BLOCK 512u
#define CONTENT_STEPS 64u /* a set is a word of 64 bits */

struct content_step {
    size_t begin, end; /* entries in the log before it, and after it */
    bool durable;      /* all up to here is on disk when it has ended */
    uint64_t size;     /* of the disk, in bytes, after it */
    uint64_t *sets;    /* content->blocks of them */
};

struct content {
    uint64_t blocks; /* the most that the disk can have */
    unsigned writes; /* so far */
    unsigned count;
    struct content_step steps[CONTENT_STEPS];
};

/* A disk of zeros that never has more than max bytes; that is the first step. */
void content_init(struct content *content, uint64_t size, uint64_t max);
void content_clear(struct content *content);
void content_copy(struct content *content, const struct content *from);
/* A new step, a copy of the last, at this place of the log; content_end ends it. */
void content_begin(struct content *content, size_t log);
void content_end(struct content *content, size_t log, bool durable);
/* The last step was refused: nothing has changed. */
void content_undo(struct content *content);
/* The number for a new write. */
unsigned content_write(struct content *content);

/* ---- of the last step ---- */
/* A range of whole blocks holds write n (0: zeros). */
void content_put(struct content *content, uint64_t offset, uint64_t length, unsigned n);
/* It holds write n (0: zeros) or what it did. */
void content_may(struct content *content, uint64_t offset, uint64_t length, unsigned n);
/* The disk has another size; what it gained, and what is behind its end, is zeros. */
void content_resize(struct content *content, uint64_t size);
/* The disk holds what it did after that step. */
void content_revert(struct content *content, unsigned step);

/* Blocks of write n, as they stand on the disk from offset on. */
void content_fill(void *buffer, uint64_t offset, size_t length, unsigned n);

/* The write that a block of the disk is of; CONTENT_STEPS when it is none of this block's. */
unsigned content_write_of(const uint8_t *block, uint64_t offset);

/* NULL when the image is as it was after that step; or what is wrong, in text. */
const char *content_judge_step(const struct content *content, unsigned step, img_image *image,
                               char *text, size_t size);

/*
 * NULL when the image is what a log that ends before entry `log` allows; or what is wrong, in text.
 */
const char *content_judge(const struct content *content, size_t log, img_image *image, char *text,
                          size_t size);

#endif
