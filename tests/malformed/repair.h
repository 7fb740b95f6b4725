/*
 * What the parts of the test of repairs share. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef REPAIR_H
#define REPAIR_H

#include "malformed.h"

/* Change some entries of a file's tables, and say which. */
typedef void damage_fn(struct file *file, uint64_t *state, char *text, size_t size);

damage_fn damage_qcow2, damage_vmdk;

struct subject {
    const char *format, *fixture;
    const char *descriptor; /* the fixture that names it; NULL: it is the image itself */
    damage_fn *damage;
    struct file sound;
    uint8_t *disk; /* what it reads as */
    uint64_t size;
};

/* A random number below sides. */
uint64_t roll(uint64_t *state, uint64_t sides);

#endif
