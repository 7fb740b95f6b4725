/*
 * The arrays beside an image (flat.h). SPDX-License-Identifier: BSD-2-Clause
 */
#include "flat.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void flat_fail(const struct flat *flat, const char *format, ...)
{
    va_list args;

    printf("not ok - %s: ", flat->shape->options);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    exit(EXIT_FAILURE);
}

void flat_must(const struct flat *flat, const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        flat_fail(flat, "%s: %s: %s", what, err->image, err->message);
}

uint64_t flat_random(struct flat *flat, uint64_t limit)
{
    /* xorshift64*: the same numbers everywhere */
    flat->random ^= flat->random >> 12;
    flat->random ^= flat->random << 25;
    flat->random ^= flat->random >> 27;
    return (flat->random * UINT64_C(0x2545f4914f6cdd1d) >> 16) % limit;
}

void flat_disk_init(struct flat_disk *disk, uint64_t size)
{
    if (!disk->bytes)
        disk->bytes = malloc(FLAT_MAXIMUM);
    if (!disk->bytes)
        abort();
    memset(disk->bytes, 0, FLAT_MAXIMUM);
    disk->size = size;
}

void flat_disk_copy(struct flat_disk *disk, const struct flat_disk *from)
{
    flat_disk_init(disk, from->size);
    memcpy(disk->bytes, from->bytes, (size_t)from->size);
}

void flat_fill(struct flat *flat, uint8_t *bytes, uint64_t length)
{
    uint64_t kind = flat_random(flat, 4), value = flat_random(flat, 256);

    for (uint64_t i = 0; i < length; i++) {
        if (kind == 0) /* compresses badly */
            value = flat_random(flat, 256);
        else if (kind < 3 && i % 64 == 0)
            value++;
        bytes[i] = (uint8_t)value;
    }
}
