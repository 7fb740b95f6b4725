/*
 * The parent locator: who the parent is. SPDX-License-Identifier: BSD-2-Clause
 *
 * Keys and values in UTF-16 (2.6.2.6). parent_linkage is the data write GUID that the parent had
 * when this image was made. Of the paths the relative one is taken, with / for \; where there is
 * none, the file's name of the absolute Windows path, beside the image: drives and volumes are
 * nothing that could be looked up here.
 */
#include <stdlib.h>

#include "vhdx.h"

#define AT_COUNT 18u
#define AT_ENTRIES 20u
#define ENTRY_BYTES 12u
/* Five keys are known; each has up to 64 KiB of text, and may share it with others. */
#define ENTRIES_MAX 64u

struct locator {
    const uint8_t *bytes;
    uint32_t length;
    char *relative, *absolute;
};

static bool has_nul(const uint8_t *bytes, uint32_t length)
{
    for (uint32_t n = 0; n < length; n += 2)
        if (imgi_get_le16(bytes + n) == 0)
            return true;
    return false;
}

/* Text of so many bytes at an offset, as UTF-8, to be freed. */
static int get_text(const struct locator *locator, uint32_t offset, uint32_t length, char **out,
                    img_error *err)
{
    const uint8_t *bytes = locator->bytes + offset;

    if (length == 0 || length % 2 != 0 || !imgi_span_ok(offset, length, locator->length))
        return imgi_fail(err, IMG_E_CORRUPT, "text of %u bytes at 0x%x is odd, empty or outside",
                         length, offset);
    *out = malloc(IMGI_UTF8_ROOM((size_t)length));
    if (!*out)
        return imgi_fail_nomem(err, "a parent locator");
    if (has_nul(bytes, length) || !imgi_utf16_decode(bytes, length, false, *out))
        return imgi_fail(err, IMG_E_CORRUPT, "text at 0x%x holds what is no character", offset);
    return 0;
}

static void slashes(char *path)
{
    for (; *path; path++) {
        if (*path == '\\')
            *path = '/';
    }
}

/* Keep a path, which it takes over. */
static void keep(char **path, char **value)
{
    free(*path);
    *path = *value;
    *value = NULL;
    slashes(*path);
}

/* One pair; *value becomes NULL when it is kept. */
static int take_pair(struct vhdx *v, struct locator *locator, const char *key, char **value,
                     img_error *err)
{
    bool linkage = strcmp(key, "parent_linkage") == 0 || strcmp(key, "parent_linkage2") == 0;

    if (strcmp(key, "relative_path") == 0)
        keep(&locator->relative, value);
    else if (strcmp(key, "absolute_win32_path") == 0)
        keep(&locator->absolute, value);
    if (!linkage)
        return 0;
    if (v->linkages == IMGI_COUNT(v->parent_linkage))
        return imgi_fail(err, IMG_E_CORRUPT, "there are too many keys parent_linkage");
    if (!vhdx_guid_parse(*value, &v->parent_linkage[v->linkages]))
        return imgi_fail(err, IMG_E_CORRUPT, "%s is no GUID: %.64s", key, *value);
    v->linkages++;
    return 0;
}

static int take_entry(struct vhdx *v, struct locator *locator, const uint8_t *entry, img_error *err)
{
    char *key = NULL, *value = NULL;
    int rc = get_text(locator, imgi_get_le32(entry), imgi_get_le16(entry + 8), &key, err);

    if (rc == 0)
        rc = get_text(locator, imgi_get_le32(entry + 4), imgi_get_le16(entry + 10), &value, err);
    if (rc == 0)
        rc = take_pair(v, locator, key, &value, err);
    free(key);
    free(value);
    return rc;
}

/* The name that the chain is built with. */
static int name_parent(struct vhdx *v, const struct locator *locator, img_error *err)
{
    const char *name = locator->relative;

    if (!name && locator->absolute) {
        const char *slash = strrchr(locator->absolute, '/');

        name = slash ? slash + 1 : locator->absolute;
    }
    if (!name || !*name)
        return imgi_fail(err, IMG_E_CORRUPT, "neither relative_path nor absolute_win32_path");
    v->node->backing_name = strdup(name);
    v->node->backing_format = strdup("vhdx");
    return v->node->backing_name && v->node->backing_format
               ? 0
               : imgi_fail_nomem(err, "the parent's name");
}

int vhdx_locator_decode(struct vhdx *v, const uint8_t *bytes, uint32_t length, img_error *err)
{
    struct locator locator = {.bytes = bytes, .length = length};
    struct vhdx_guid type;
    uint32_t count;
    int rc = 0;

    if (!v->has_parent)
        return 0;
    if (length < AT_ENTRIES)
        return imgi_fail(err, IMG_E_CORRUPT, "%u bytes are fewer than its header has", length);
    type = vhdx_guid_get(bytes);
    count = imgi_get_le16(bytes + AT_COUNT);
    if (!vhdx_guid_equal(&type, &vhdx_locator_type))
        return imgi_fail(err, IMG_E_UNSUPPORTED, "its type is not known");
    if (count > ENTRIES_MAX || (length - AT_ENTRIES) / ENTRY_BYTES < count)
        return imgi_fail(err, IMG_E_CORRUPT, "%u entries are too many, or have no room in it",
                         count);
    for (uint32_t n = 0; rc == 0 && n < count; n++)
        rc = take_entry(v, &locator, bytes + AT_ENTRIES + (size_t)n * ENTRY_BYTES, err);
    if (rc == 0)
        rc = name_parent(v, &locator, err);
    free(locator.relative);
    free(locator.absolute);
    return rc;
}
