/*
 * The tables in a resource fork. SPDX-License-Identifier: BSD-2-Clause
 *
 * "Inside Macintosh", volume I, "Format of a Resource File". The head says where the data and the
 * map lie; the map has a list of types, each with a list of references; a reference leads to data
 * that begins with its length.
 */
#include <stdlib.h>

#include "dmg.h"

#define HEAD_BYTES 16
#define MAP_HEAD_BYTES 28
#define TYPE_BYTES 8
#define REFERENCE_BYTES 12
#define TYPE_BLKX 0x626c6b78u
/* Offsets of data have 24 bits. */
#define FORK_MAX (32u << 20)

struct fork {
    const uint8_t *bytes;
    size_t length;
    size_t data, map; /* offsets */
    size_t types;     /* offset of the list */
    size_t names;
};

static int fail_fork(const char *what, img_error *err)
{
    return imgi_fail(err, IMG_E_CORRUPT, "resource fork: %s is not inside it", what);
}

static int read_map(struct fork *fork, img_error *err)
{
    if (fork->length < HEAD_BYTES)
        return fail_fork("the head", err);
    fork->data = imgi_get_be32(fork->bytes);
    fork->map = imgi_get_be32(fork->bytes + 4);
    if (!imgi_span_ok(fork->map, MAP_HEAD_BYTES, fork->length))
        return fail_fork("the map", err);
    fork->types = fork->map + imgi_get_be16(fork->bytes + fork->map + 24);
    fork->names = fork->map + imgi_get_be16(fork->bytes + fork->map + 26);
    return imgi_span_ok(fork->types, 2, fork->length) ? 0 : fail_fork("the list of types", err);
}

/* The references of the type "blkx": how many, and where. */
static int find_type(const struct fork *fork, size_t *references, unsigned *count, img_error *err)
{
    /* Counts are stored less one; "none" is 0xffff. */
    unsigned types = (uint16_t)(imgi_get_be16(fork->bytes + fork->types) + 1);

    if (!imgi_span_ok(fork->types + 2, (uint64_t)types * TYPE_BYTES, fork->length))
        return fail_fork("the list of types", err);
    for (unsigned n = 0; n < types; n++) {
        const uint8_t *type = fork->bytes + fork->types + 2 + (size_t)n * TYPE_BYTES;

        if (imgi_get_be32(type) != TYPE_BLKX)
            continue;
        *count = imgi_get_be16(type + 4) + 1u;
        *references = fork->types + imgi_get_be16(type + 6);
        if (!imgi_span_ok(*references, (uint64_t)*count * REFERENCE_BYTES, fork->length))
            return fail_fork("the list of references", err);
        return 0;
    }
    return imgi_fail(err, IMG_E_CORRUPT, "resource fork: no resources of the type \"blkx\"");
}

/* A Pascal string; 0xffff: it has no name. */
static void read_name(const struct fork *fork, uint16_t offset, char name[256])
{
    size_t at = fork->names + offset, length;

    name[0] = 0;
    if (offset == 0xffff || !imgi_span_ok(at, 1, fork->length))
        return;
    length = fork->bytes[at];
    if (!imgi_span_ok(at + 1, length, fork->length))
        return;
    memcpy(name, fork->bytes + at + 1, length);
    name[length] = 0;
}

static int add_table(struct imgi_node *node, const struct fork *fork, const uint8_t *reference,
                     img_error *err)
{
    size_t at = fork->data + (imgi_get_be32(reference + 4) & 0xffffff), length;
    char name[256];

    if (!imgi_span_ok(at, 4, fork->length))
        return fail_fork("a table", err);
    length = imgi_get_be32(fork->bytes + at);
    if (!imgi_span_ok(at + 4, length, fork->length))
        return fail_fork("a table", err);
    read_name(fork, imgi_get_be16(reference + 2), name);
    return dmg_mish_add(node, fork->bytes + at + 4, length, name, err);
}

static int add_tables(struct imgi_node *node, struct fork *fork, img_error *err)
{
    size_t references = 0;
    unsigned count = 0;
    int rc = read_map(fork, err);

    if (rc == 0)
        rc = find_type(fork, &references, &count, err);
    for (unsigned n = 0; rc == 0 && n < count; n++)
        rc = add_table(node, fork, fork->bytes + references + (size_t)n * REFERENCE_BYTES, err);
    return rc;
}

int dmg_resources_read(struct imgi_node *node, img_error *err)
{
    const struct dmg_trailer *trailer = &dmg_of(node)->trailer;
    struct imgi_table table = {.what = "resource fork",
                               .offset = trailer->resource_offset,
                               .entries = trailer->resource_length,
                               .entry_size = 1};
    struct fork fork = {.length = (size_t)trailer->resource_length};
    uint8_t *bytes;
    int rc;

    if (trailer->resource_length > FORK_MAX)
        return imgi_fail(err, IMG_E_LIMIT,
                         "the resource fork has %llu bytes, more than the limit of %u",
                         (unsigned long long)trailer->resource_length, FORK_MAX);
    rc = imgi_node_read_table(node, &table, &bytes, err);
    fork.bytes = bytes;
    if (rc == 0)
        rc = add_tables(node, &fork, err);
    free(bytes);
    return rc;
}
