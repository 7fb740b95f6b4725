/*
 * Filesystems of Macintoshes. SPDX-License-Identifier: BSD-2-Clause
 */
#include <string.h>

#include "content.h"

#define KIB 1024u
#define NODE_MAX (32 * KIB)

/* An HFS that only wraps an HFS+ has that in front of its own empty space. */
static uint64_t wrapped(const uint8_t *super)
{
    uint64_t block = imgi_get_be32(super + 20);

    return (uint64_t)imgi_get_be16(super + 28) * 512 + imgi_get_be16(super + 126) * block;
}

/*
 * The label is the name of the root folder, which is the first record of the first leaf of the
 * catalog.
 */
static void look_for_name(struct imgi_look *look, uint64_t start, const uint8_t *super)
{
    uint64_t block = imgi_get_be32(super + 40);
    uint64_t catalog = start + imgi_get_be32(super + 272 + 16) * block, leaf;
    uint8_t node[NODE_MAX];
    uint32_t size, at;

    if (!imgi_is_pow2(block) || !imgi_look_read(look, catalog, node, 512))
        return;
    size = imgi_get_be16(node + 14 + 18);
    leaf = (uint64_t)imgi_get_be32(node + 14 + 10) * size;
    if (size < 512 || size > NODE_MAX || !imgi_is_pow2(size) ||
        leaf + size > imgi_get_be32(super + 272 + 20) * block ||
        !imgi_look_read(look, catalog + leaf, node, size) || node[8] != 0xff)
        return;
    at = imgi_get_be16(node + size - 2); /* of the first record: key length, parent, name */
    if (at + 8 > size || imgi_get_be32(node + at + 2) != 1 ||
        at + 8 + 2u * imgi_get_be16(node + at + 6) > size)
        return;
    imgi_look_label_utf16(look, node + at + 8, 2u * imgi_get_be16(node + at + 6), true);
}

static const char *look_hfsplus(struct imgi_look *look, uint64_t start)
{
    uint8_t super[512];

    if (!imgi_look_read(look, start + KIB, super, sizeof(super)) ||
        (memcmp(super, "H+", 2) != 0 && memcmp(super, "HX", 2) != 0))
        return NULL;
    look_for_name(look, start, super);
    return "hfsplus";
}

const char *imgi_look_hfs(struct imgi_look *look)
{
    const uint8_t *super = look->head + KIB;
    const char *content = look_hfsplus(look, 0);
    uint32_t block = imgi_get_be32(super + 20);

    if (content || memcmp(super, "BD", 2) != 0 || block == 0 || block % 512 != 0)
        return content;
    if (memcmp(super + 124, "H+", 2) == 0 || memcmp(super + 124, "HX", 2) == 0)
        content = look_hfsplus(look, wrapped(super));
    if (!content && super[36] <= 27)
        imgi_look_label(look, super + 37, super[36]);
    return content ? content : "hfs";
}
