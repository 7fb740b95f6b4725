/*
 * Lists of changes to fields. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>
#include <stdlib.h>

#include "fields.h"

void change_add(struct changes *changes, const struct change *change)
{
    changes->list = reallocarray(changes->list, changes->count + 1, sizeof(*change));
    if (!changes->list)
        abort();
    changes->list[changes->count++] = *change;
}

static void add_value(struct changes *changes, const struct field *field, size_t base,
                      bool big_endian, uint64_t value)
{
    struct change change = {.offset = base + field->offset,
                            .width = field->width,
                            .big_endian = big_endian,
                            .value = value};

    snprintf(change.name, sizeof(change.name), "%s", field->name);
    change_add(changes, &change);
}

void change_add_fields(struct changes *changes, const struct field *fields, size_t count,
                       size_t base, bool big_endian)
{
    for (size_t n = 0; n < count; n++) {
        const struct field *field = &fields[n];
        uint64_t max = UINT64_MAX >> (64 - 8 * field->width);

        add_value(changes, field, base, big_endian, 0);
        add_value(changes, field, base, big_endian, 1);
        add_value(changes, field, base, big_endian, max - 1);
        add_value(changes, field, base, big_endian, max);
        for (const uint64_t *value = field->values; *value; value++)
            add_value(changes, field, base, big_endian, *value);
    }
}
