/*
 * What an image may hold after its machine was stopped (content.h).
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "content.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"

#define SET(n) (UINT64_C(1) << (n))
#define WORD 16

static struct content_step *last(struct content *content)
{
    return &content->steps[content->count - 1];
}

static uint64_t *new_sets(const struct content *content)
{
    uint64_t *sets = malloc((size_t)content->blocks * sizeof(*sets));

    if (!sets)
        give_up("content", "no memory");
    return sets;
}

void content_init(struct content *content, uint64_t size, uint64_t max)
{
    *content = (struct content){.blocks = max / CONTENT_BLOCK, .count = 1};
    content->steps[0] =
        (struct content_step){.durable = true, .size = size, .sets = new_sets(content)};
    content_put(content, 0, max, 0);
}

void content_clear(struct content *content)
{
    while (content->count > 0)
        free(content->steps[--content->count].sets);
}

void content_copy(struct content *content, const struct content *from)
{
    *content = *from;
    for (unsigned i = 0; i < from->count; i++) {
        content->steps[i].sets = new_sets(content);
        memcpy(content->steps[i].sets, from->steps[i].sets,
               (size_t)content->blocks * sizeof(uint64_t));
    }
}

void content_begin(struct content *content, size_t log)
{
    struct content_step *old = last(content), *step = old + 1;

    if (content->count == CONTENT_STEPS)
        give_up("content", "too many steps");
    content->count++;
    *step = (struct content_step){
        .begin = log, .end = SIZE_MAX, .size = old->size, .sets = new_sets(content)};
    memcpy(step->sets, old->sets, (size_t)content->blocks * sizeof(*step->sets));
}

void content_end(struct content *content, size_t log, bool durable)
{
    last(content)->end = log;
    last(content)->durable = durable;
}

void content_undo(struct content *content)
{
    free(content->steps[--content->count].sets);
}

unsigned content_write(struct content *content)
{
    if (++content->writes == CONTENT_STEPS)
        give_up("content", "too many writes");
    return content->writes;
}

void content_put(struct content *content, uint64_t offset, uint64_t length, unsigned n)
{
    for (uint64_t i = offset / CONTENT_BLOCK; i < (offset + length) / CONTENT_BLOCK; i++)
        last(content)->sets[i] = SET(n);
}

void content_may(struct content *content, uint64_t offset, uint64_t length, unsigned n)
{
    for (uint64_t i = offset / CONTENT_BLOCK; i < (offset + length) / CONTENT_BLOCK; i++)
        last(content)->sets[i] |= SET(n);
}

void content_resize(struct content *content, uint64_t size)
{
    struct content_step *step = last(content);
    uint64_t from = step->size < size ? step->size : size;

    step->size = size;
    for (uint64_t i = from / CONTENT_BLOCK; i < content->blocks; i++)
        step->sets[i] = SET(0);
}

void content_revert(struct content *content, unsigned step)
{
    last(content)->size = content->steps[step].size;
    memcpy(last(content)->sets, content->steps[step].sets,
           (size_t)content->blocks * sizeof(uint64_t));
}

/* One word of a block: which write, and which block. */
static void put_word(uint8_t *word, uint64_t block, unsigned n)
{
    uint64_t values[2] = {n ? n : 0, n ? block + 1 : 0};

    memcpy(word, values, WORD);
}

void content_fill(void *buffer, uint64_t offset, size_t length, unsigned n)
{
    uint8_t *bytes = buffer;

    for (size_t i = 0; i < length; i += WORD)
        put_word(bytes + i, (offset + i) / CONTENT_BLOCK, n);
}

unsigned content_write_of(const uint8_t *block, uint64_t offset)
{
    uint64_t n;
    uint8_t word[WORD];

    memcpy(&n, block, sizeof(n));
    if (n >= CONTENT_STEPS)
        return CONTENT_STEPS;
    put_word(word, offset / CONTENT_BLOCK, (unsigned)n);
    for (size_t i = 0; i < CONTENT_BLOCK; i += WORD)
        if (memcmp(block + i, word, WORD) != 0)
            return CONTENT_STEPS;
    return (unsigned)n;
}

/* The steps that a cut allows: from the last durable one on. */
static void allowed_steps(const struct content *content, size_t log, unsigned *from, unsigned *to)
{
    *from = *to = 0;
    for (unsigned i = 0; i < content->count && (i == 0 || content->steps[i].begin < log); i++) {
        *to = i;
        if (content->steps[i].durable && content->steps[i].end <= log)
            *from = i;
    }
}

static const char *judge_blocks(const struct content *content, unsigned from, unsigned to,
                                const uint8_t *bytes, uint64_t count, char *text, size_t size)
{
    for (uint64_t i = 0; i < count; i++) {
        unsigned n = content_write_of(bytes + i * CONTENT_BLOCK, i * CONTENT_BLOCK);
        uint64_t set = 0;

        for (unsigned step = from; step <= to; step++)
            set |= content->steps[step].sets[i];
        if (n < CONTENT_STEPS && set & SET(n))
            continue;
        snprintf(text, size,
                 "block at %" PRIu64 " holds write %u, and may hold the set 0x%" PRIx64
                 " (steps %u to %u)",
                 i * CONTENT_BLOCK, n, set, from, to);
        return text;
    }
    return NULL;
}

/* The image is what it was after one of the steps, or any part of it is. */
static const char *judge_steps(const struct content *content, unsigned from, unsigned to,
                               img_image *image, char *text, size_t size)
{
    const char *complaint = NULL;
    bool known = false;
    uint8_t *bytes;
    img_error err;

    for (unsigned step = from; step <= to; step++)
        known |= content->steps[step].size == img_size(image);
    if (!known) {
        snprintf(text, size, "the disk has %" PRIu64 " bytes", img_size(image));
        return text;
    }
    bytes = malloc((size_t)img_size(image));
    if (!bytes)
        give_up("content", "no memory");
    if (img_read(image, 0, bytes, (size_t)img_size(image), &err) < 0) {
        snprintf(text, size, "read failed: %s", err.message);
        complaint = text;
    } else {
        complaint =
            judge_blocks(content, from, to, bytes, img_size(image) / CONTENT_BLOCK, text, size);
    }
    free(bytes);
    return complaint;
}

const char *content_judge_step(const struct content *content, unsigned step, img_image *image,
                               char *text, size_t size)
{
    return judge_steps(content, step, step, image, text, size);
}

const char *content_judge(const struct content *content, size_t log, img_image *image, char *text,
                          size_t size)
{
    unsigned from, to;

    allowed_steps(content, log, &from, &to);
    return judge_steps(content, from, to, image, text, size);
}
