/*
 * Whether an image that a stopped machine left behind is sound.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef JUDGE_H
#define JUDGE_H

#include "content.h"

/* The create option for an encrypted image: judge_params has its key. */
#define JUDGE_KEY "encrypt.key-secret=key"

/* Before anything below, and after all of it. */
void judge_begin(void);
void judge_end(void);

/* How to open a qcow2 image, encrypted or not. */
img_open_params judge_params(unsigned flags);

/*
 * The qcow2 image of that name must open, have no damage worse than lost space (a dirty one: none
 * that a repair does not mend) and hold what `content` allows when the log ends before entry `log`
 * (NULL: anything). Returns NULL, or what is wrong, in text.
 */
enum judge_how {
    JUDGE_AS_IT_IS,
    JUDGE_REPAIRED, /* and freeing what is lost leaves an image without fault that holds the same */
    JUDGE_DAMAGED   /* it may have any fault, but a repair mends all of them */
};

const char *judge_file(const char *name, const struct content *content, size_t log,
                       enum judge_how how, char *text, size_t size);

#endif
