/*
 * Policy: which numbers and names of an image are honoured.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A policy does not change once images are opened under it, so nothing here
 * locks. Judging a name looks at the filesystem (symbolic links); it never opens
 * what is named.
 */
#include "policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/checked.h"

static const struct img_policy default_policy = {
    .reach = IMG_REACH_ANY,
    .probe = true,
    .limits =
        {
            [IMG_LIMIT_TABLE_BYTES] = UINT64_C(256) << 20,
            [IMG_LIMIT_CHAIN_DEPTH] = 200,
            [IMG_LIMIT_VIRTUAL_SIZE] = INT64_MAX,
            [IMG_LIMIT_EXTENTS] = 4096,
        },
};

const struct img_policy *imgi_policy_default(void)
{
    return &default_policy;
}

img_policy *img_policy_new(void)
{
    img_policy *policy = malloc(sizeof(*policy));

    if (policy)
        *policy = default_policy;
    return policy;
}

void img_policy_free(img_policy *policy)
{
    free(policy);
}

void img_policy_set_reach(img_policy *policy, enum img_reach reach)
{
    policy->reach = reach;
}

void img_policy_set_probe(img_policy *policy, bool allowed)
{
    policy->probe = allowed;
}

void img_policy_set_devices(img_policy *policy, bool allowed)
{
    policy->devices = allowed;
}

void img_policy_set_limit(img_policy *policy, enum img_limit limit, uint64_t value)
{
    if ((size_t)limit < IMGI_COUNT(policy->limits))
        policy->limits[limit] = value;
}

int imgi_policy_table(const struct img_policy *policy, const struct imgi_table *table,
                      img_error *err)
{
    uint64_t limit = policy->limits[IMG_LIMIT_TABLE_BYTES];
    uint64_t bytes;

    if (!imgi_mul(table->entries, table->entry_size, &bytes) || bytes > limit)
        return imgi_fail(err, IMG_E_LIMIT,
                         "%s: %llu entries of %llu bytes at 0x%llx are over the limit of %llu "
                         "bytes for one table",
                         table->what, (unsigned long long)table->entries,
                         (unsigned long long)table->entry_size, (unsigned long long)table->offset,
                         (unsigned long long)limit);
    if (table->alignment > 1 && table->offset % table->alignment != 0)
        return imgi_fail(err, IMG_E_CORRUPT, "%s: offset 0x%llx is not a multiple of %llu",
                         table->what, (unsigned long long)table->offset,
                         (unsigned long long)table->alignment);
    if (!imgi_span_ok(table->offset, bytes, table->file_size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "%s: %llu bytes at 0x%llx reach past the end of the file (0x%llx)",
                         table->what, (unsigned long long)bytes, (unsigned long long)table->offset,
                         (unsigned long long)table->file_size);
    return 0;
}

int imgi_policy_limit(const struct img_policy *policy, enum img_limit limit, uint64_t value,
                      const char *what, img_error *err)
{
    if (value <= policy->limits[limit])
        return 0;
    return imgi_fail(err, IMG_E_LIMIT, "%s: %llu is over the limit of %llu", what,
                     (unsigned long long)value, (unsigned long long)policy->limits[limit]);
}

/* "nbd:..." or "json:...": a colon before any slash, as tools that have protocols read names. */
static bool looks_like_protocol(const char *name)
{
    return name[strcspn(name, ":/")] == ':';
}

static bool has_control_characters(const char *name)
{
    for (; *name != '\0'; name++) {
        if ((unsigned char)*name < 0x20 || *name == 0x7f)
            return true;
    }
    return false;
}

/* What holds of a name whatever the policy's reach. *name is set behind a "file:". */
static int judge_text(const char *role, const char **name, img_error *err)
{
    static const char file_prefix[] = "file:";
    size_t prefix_length = sizeof(file_prefix) - 1;

    if (has_control_characters(*name))
        return imgi_fail(err, IMG_E_DENIED, "%s: the name '%s' holds control characters", role,
                         *name);
    if (strncmp(*name, file_prefix, prefix_length) == 0)
        *name += prefix_length;
    else if (looks_like_protocol(*name))
        return imgi_fail(err, IMG_E_DENIED,
                         "%s: '%s' is not a plain file name, and an image may name only files",
                         role, *name);
    if ((*name)[0] == '\0')
        return imgi_fail(err, IMG_E_CORRUPT, "%s: the name is empty", role);
    return 0;
}

/* Length of the directory part of a path, with its slash; 0 when it has none. */
static size_t directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

/*
 * name as seen from where the image lies; the caller frees it. A plain name that would
 * read as a protocol (it stood behind "file:") gets "./" in front.
 */
static char *join(const char *image, const char *name)
{
    int directory = (int)directory_length(image);
    const char *here = directory == 0 && looks_like_protocol(name) ? "./" : "";
    char *path = NULL;

    if (name[0] == '/')
        return strdup(name);
    if (asprintf(&path, "%.*s%s%s", directory, image, here, name) < 0)
        return NULL;
    return path;
}

/* The directory of path by itself; the caller frees it. */
static char *directory_of(const char *path)
{
    size_t length = directory_length(path);

    return length > 0 ? strndup(path, length) : strdup(".");
}

/*
 * The absolute path without links; the caller frees it. A file that is not there (an extent
 * that is being made) is placed by its directory; a link that leads nowhere is not. NULL and errno.
 */
static char *resolve(const char *path)
{
    char *resolved = realpath(path, NULL);
    char *directory = NULL;
    char *parent = NULL;
    struct stat st;

    if (resolved || errno != ENOENT || lstat(path, &st) == 0)
        return resolved;
    directory = directory_of(path);
    parent = directory ? realpath(directory, NULL) : NULL;
    if (parent && asprintf(&resolved, "%s/%s", parent, path + directory_length(path)) < 0)
        resolved = NULL;
    free(parent);
    free(directory);
    return resolved;
}

/*
 * *path lies in the directory of the image once all links are followed. *path becomes that
 * directory, as the image was opened, and the file's last name: no link is left in what the image
 * chose.
 */
static int confine(const char *image, const char *role, char **path, img_error *err)
{
    char *home_name = directory_of(image);
    char *home = NULL;
    char *resolved = NULL;
    char *confined = NULL;
    size_t length;
    int ret = 0;

    if (!home_name) {
        ret = imgi_fail_nomem(err, role);
        goto out;
    }
    home = realpath(home_name, NULL);
    resolved = home ? resolve(*path) : NULL;
    if (!resolved) {
        ret = imgi_fail_errno(err, errno, "%s: cannot resolve '%s'", role, *path);
        goto out;
    }
    /* Both are absolute without links; "/" alone keeps its slash. */
    length = directory_length(resolved);
    if (length > 1)
        length--;
    if (strlen(home) != length || memcmp(home, resolved, length) != 0) {
        ret = imgi_fail(err, IMG_E_DENIED, "%s: '%s' lies outside the directory of the image", role,
                        *path);
        goto out;
    }
    confined = join(image, resolved + directory_length(resolved));
    if (!confined) {
        ret = imgi_fail_nomem(err, role);
        goto out;
    }
    free(*path);
    *path = confined;
out:
    free(resolved);
    free(home);
    free(home_name);
    return ret;
}

int imgi_policy_path(const struct img_policy *policy, const char *image, const char *role,
                     const char *name, char **path, img_error *err)
{
    char *joined;
    int ret = judge_text(role, &name, err);

    if (ret < 0)
        return ret;
    if (policy->reach == IMG_REACH_NONE)
        return imgi_fail(err, IMG_E_DENIED, "%s: the policy forbids opening '%s'", role, name);
    joined = join(image, name);
    if (!joined)
        return imgi_fail_nomem(err, role);
    if (policy->reach == IMG_REACH_DIRECTORY)
        ret = confine(image, role, &joined, err);
    if (ret < 0) {
        free(joined);
        return ret;
    }
    *path = joined;
    return 0;
}
