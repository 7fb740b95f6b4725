/*
 * The parent of a differencing image. SPDX-License-Identifier: BSD-2-Clause
 *
 * Up to eight locators name it, in the ways of several systems. The relative Windows path comes
 * first, with / for \; of an absolute path with a drive only the file's name is taken, beside the
 * image, since drives are nothing that could be looked up here. The policy judges what comes out.
 */
#include <stdlib.h>

#include "vhd.h"

#define LOCATOR_W2RU 0x57327275u /* relative, UTF-16, little-endian */
#define LOCATOR_W2KU 0x57326b75u /* absolute, likewise */
/* The longest path that Windows has, in bytes. */
#define LOCATOR_BYTES_MAX (2u * 32767)

/* Windows' separators, and the drive of an absolute path. The result lies inside path. */
static char *make_local(char *path)
{
    char *slash;

    for (char *at = path; *at; at++)
        if (*at == '\\')
            *at = '/';
    slash = strrchr(path, '/');
    if (path[0] != '\0' && path[1] == ':')
        return slash ? slash + 1 : path + 2;
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    return path;
}

static int use_name(struct imgi_node *node, const uint8_t *bytes, size_t length, bool big_endian,
                    img_error *err)
{
    char *text = malloc(IMGI_UTF8_ROOM(length));
    int rc = 0;

    if (!text)
        return imgi_fail_nomem(err, "the parent's name");
    if (!imgi_utf16_decode(bytes, length, big_endian, text))
        rc = imgi_fail(err, IMG_E_CORRUPT, "VHD dynamic header: the parent's name is no UTF-16");
    else if (*make_local(text)) {
        node->backing_name = strdup(make_local(text));
        node->backing_format = strdup("vpc");
        if (!node->backing_name || !node->backing_format)
            rc = imgi_fail_nomem(err, "the parent's name");
    }
    free(text);
    return rc;
}

static int use_locator(struct imgi_node *node, const struct vhd_locator *locator, img_error *err)
{
    struct imgi_table table = {.what = "parent locator",
                               .offset = locator->offset,
                               .entries = locator->length,
                               .entry_size = 1};
    uint8_t *bytes = NULL;
    int rc = 0;

    if (locator->length > LOCATOR_BYTES_MAX)
        return imgi_fail(err, IMG_E_LIMIT,
                         "VHD dynamic header: a parent locator of %u bytes is longer than %u",
                         locator->length, LOCATOR_BYTES_MAX);
    rc = imgi_node_read_table(node, &table, &bytes, err);
    if (rc == 0)
        rc = use_name(node, bytes, locator->length, false, err);
    free(bytes);
    return rc;
}

int vhd_parent_find(struct imgi_node *node, img_error *err)
{
    static const uint32_t codes[] = {LOCATOR_W2RU, LOCATOR_W2KU};
    const struct vhd_header *header = &vhd_state(node)->header;
    int rc = 0;

    for (size_t c = 0; c < IMGI_COUNT(codes); c++)
        for (size_t i = 0; rc == 0 && !node->backing_name && i < VHD_LOCATORS; i++)
            if (header->locators[i].code == codes[c])
                rc = use_locator(node, &header->locators[i], err);
    if (rc == 0 && !node->backing_name)
        rc = use_name(node, header->parent_name, VHD_PARENT_NAME_BYTES, true, err);
    return rc;
}

int vhd_parent_judge(struct imgi_node *node, img_error *err)
{
    struct vhd_state *state = vhd_state(node);
    const struct imgi_node *parent = node->backing;

    if (state->parent_judged)
        return 0;
    if (!parent)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the parent of this differencing VHD image is not known: name it with "
                         "--image-opts and backing.driver=vpc,backing.file.filename=...");
    if (parent->driver != node->driver)
        return imgi_fail(err, IMG_E_CORRUPT, "the parent %s is no VHD image but %s", parent->name,
                         parent->driver->name);
    if (memcmp(state->header.parent_uuid, vhd_state(parent)->footer.uuid, IMGI_UUID_BYTES) != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "the parent %s is another image: its unique ID is not the one that the "
                         "dynamic header names",
                         parent->name);
    state->parent_judged = true;
    return 0;
}
