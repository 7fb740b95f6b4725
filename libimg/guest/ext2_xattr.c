/*
 * Extended attributes as the kernel shows them. SPDX-License-Identifier: BSD-2-Clause
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_ACCESS 2u
#define PREFIX_DEFAULT 3u
/* A longer one cannot be got from the kernel. */
#define VALUE_MAX 65536u

/* What the numbers of prefixes mean. The kernel shows no others. */
static const char *const prefixes[] = {
    [1] = "user.",
    [PREFIX_ACCESS] = "system.posix_acl_access",
    [PREFIX_DEFAULT] = "system.posix_acl_default",
    [4] = "trusted.",
    [6] = "security.",
    [10] = "gnu.",
};

static const char *prefix_of(const struct imgi_ext2_attribute *attribute)
{
    return attribute->prefix < IMGI_COUNT(prefixes) ? prefixes[attribute->prefix] : NULL;
}

/* ------------------------------------------------------------------ names */

struct names {
    char *bytes;
    size_t length;
};

static int add_name(void *opaque, const struct imgi_ext2_attribute *attribute, img_error *err)
{
    const char *prefix = prefix_of(attribute);
    struct names *names = opaque;
    size_t length;
    char *bytes;

    if (!prefix)
        return 0;
    length = strlen(prefix);
    bytes = realloc(names->bytes, names->length + length + attribute->name_length + 1);
    if (!bytes)
        return imgi_fail_nomem(err, "extended attributes");
    names->bytes = bytes;
    memcpy(bytes + names->length, prefix, length);
    memcpy(bytes + names->length + length, attribute->name, attribute->name_length);
    names->length += length + attribute->name_length + 1;
    bytes[names->length - 1] = '\0';
    return 0;
}

int imgi_ext2_xattr_names(struct img_fs *fs, uint64_t number, char **names, size_t *length,
                          img_error *err)
{
    struct imgi_ext2 *ext2 = fs->state;
    const struct imgi_ext2_inode *inode;
    struct names found = {0};
    int rc = imgi_ext2_inode_read(ext2, number, &inode, err);

    if (rc == 0)
        rc = imgi_ext2_attributes(ext2, inode, add_name, &found, err);
    if (rc < 0) {
        free(found.bytes);
        return rc;
    }
    *names = found.bytes;
    *length = found.length;
    return 0;
}

/* ----------------------------------------------------------------- values */

/* The one that is looked for, and its value. */
struct search {
    const char *name;
    bool found;
    unsigned prefix;
    uint32_t holder;
    uint8_t *value; /* malloc'd */
    size_t length;
};

static int copy_value(void *opaque, const struct imgi_ext2_attribute *attribute, img_error *err)
{
    const char *prefix = prefix_of(attribute);
    struct search *search = opaque;
    size_t length = prefix ? strlen(prefix) : 0;

    if (search->found || !prefix || strncmp(search->name, prefix, length) != 0 ||
        strlen(search->name) != length + attribute->name_length ||
        memcmp(search->name + length, attribute->name, attribute->name_length) != 0)
        return 0;
    search->found = true;
    search->prefix = attribute->prefix;
    search->holder = attribute->holder;
    search->length = attribute->length;
    if (!attribute->value)
        return 0;
    search->value = malloc(search->length + 1);
    if (!search->value)
        return imgi_fail_nomem(err, "an extended attribute");
    memcpy(search->value, attribute->value, search->length);
    return 0;
}

/* A value that has an inode of its own. */
static int load_value(struct imgi_ext2 *ext2, struct search *search, img_error *err)
{
    const struct imgi_ext2_inode *inode;
    struct imgi_ext2_map map = {0};
    int rc;

    if (search->length > VALUE_MAX)
        return imgi_fail_errno(err, E2BIG, "%s has %zu bytes", search->name, search->length);
    rc = imgi_ext2_inode_read(ext2, search->holder, &inode, err);
    if (rc < 0)
        return rc;
    if (!(inode->raw->i_flags & EXT4_EA_INODE_FL) || inode->raw->i_size != search->length)
        return imgi_ext2_corrupt(err, "inode %" PRIu32 " does not hold the value of %s",
                                 search->holder, search->name);
    search->value = malloc(search->length + ext2->fs->blocksize);
    if (!search->value)
        return imgi_fail_nomem(err, "an extended attribute");
    imgi_ext2_map_begin(&map, ext2, inode);
    rc = imgi_ext2_map_read(&map, search->value, search->length, err);
    imgi_ext2_map_end(&map);
    return rc;
}

/* ---------------------------------------------------- access control lists */

#define STORED_VERSION                                                                             \
    1u                   /* each entry has a tag and permissions, and those of USER, GROUP an id   \
                          */
#define SHOWN_VERSION 2u /* all have one */
#define VERSION_SIZE 4u
#define SHORT_SIZE 4u
#define LONG_SIZE 8u
#define TAG_USER 2u
#define TAG_GROUP 8u
#define NO_ID UINT32_MAX

/* From the form that is stored to the one that the kernel shows. Both are little-endian. */
static int convert_acl(struct search *search, img_error *err)
{
    const uint8_t *stored = search->value;
    size_t at = VERSION_SIZE, to = VERSION_SIZE;
    uint8_t *shown;

    if (search->length < VERSION_SIZE || imgi_get_le32(stored) != STORED_VERSION)
        return imgi_ext2_corrupt(err, "%s is damaged", search->name);
    shown = malloc(search->length * (LONG_SIZE / SHORT_SIZE));
    if (!shown)
        return imgi_fail_nomem(err, "an extended attribute");
    imgi_put_le32(shown, SHOWN_VERSION);
    while (search->length - at >= SHORT_SIZE) {
        unsigned tag = imgi_get_le16(stored + at);
        bool is_long = tag == TAG_USER || tag == TAG_GROUP;

        if (is_long && search->length - at < LONG_SIZE)
            break;
        memcpy(shown + to, stored + at, SHORT_SIZE);
        imgi_put_le32(shown + to + SHORT_SIZE,
                      is_long ? imgi_get_le32(stored + at + SHORT_SIZE) : NO_ID);
        at += is_long ? LONG_SIZE : SHORT_SIZE;
        to += LONG_SIZE;
    }
    free(search->value);
    search->value = shown;
    if (at != search->length)
        return imgi_ext2_corrupt(err, "%s is damaged", search->name);
    search->length = to;
    return 0;
}

int imgi_ext2_xattr(struct img_fs *fs, uint64_t number, const char *name, void **value,
                    size_t *length, img_error *err)
{
    struct imgi_ext2 *ext2 = fs->state;
    const struct imgi_ext2_inode *inode;
    struct search search = {.name = name};
    int rc = imgi_ext2_inode_read(ext2, number, &inode, err);

    if (rc == 0)
        rc = imgi_ext2_attributes(ext2, inode, copy_value, &search, err);
    if (rc == 0 && !search.found)
        rc = imgi_fail_errno(err, ENODATA, "%s", name);
    if (rc == 0 && !search.value)
        rc = load_value(ext2, &search, err);
    if (rc == 0 && (search.prefix == PREFIX_ACCESS || search.prefix == PREFIX_DEFAULT))
        rc = convert_acl(&search, err);
    if (rc < 0) {
        imgi_error_prefix(err, "inode %" PRIu64, number);
        free(search.value);
        return rc;
    }
    *value = search.value;
    *length = search.length;
    return 0;
}

#endif
