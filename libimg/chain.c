/*
 * Backing chains: opening what an image stands on. SPDX-License-Identifier: BSD-2-Clause
 *
 * The chain is built once, when its top is opened, and does not change. Backing
 * images are open for reading only. A file that is in the chain already ends it
 * with an error (device and inode tell), and so does too great a depth.
 */
#include <string.h>

#include "internal.h"

int imgi_backing_path(const struct img_policy *policy, const char *image, const char *backing,
                      char **path, img_error *err)
{
    return imgi_policy_path(policy, image, "backing file", backing, path, err);
}

int imgi_chain_check_loop(const struct imgi_node *top, const struct imgi_node *last,
                          const struct imgi_node *below, const char *path, img_error *err)
{
    uint64_t id[2], other[2];

    if (!imgi_io_identity(below->file, id))
        return 0;
    for (const struct imgi_node *node = top; node; node = node == last ? NULL : node->backing) {
        if (imgi_io_identity(node->file, other) && id[0] == other[0] && id[1] == other[1])
            return imgi_fail(err, IMG_E_CORRUPT,
                             "the backing file '%s' is an image that stands on it: a loop", path);
    }
    return 0;
}

/* Open the one image that node stands on. */
static int open_backing(struct imgi_node *top, struct imgi_node *node, const struct imgi_open *how,
                        img_error *err)
{
    struct imgi_open below = *how;
    struct imgi_node *backing = NULL;
    char *path = NULL;
    int rc = imgi_backing_path(node->policy, node->name, node->backing_name, &path, err);

    if (rc < 0) {
        imgi_error_image(err, node->name);
        return rc;
    }
    below.format = node->backing_format;
    below.flags &= ~(unsigned)(IMG_OPEN_WRITE | IMG_OPEN_CHECK);
    below.options = NULL;
    below.named = true;
    below.disk = NULL;
    below.policy = node->policy;
    below.cache = how->backing_cache;
    rc = imgi_node_open_name(&backing, path, &below, err);
    if (rc == 0) {
        rc = imgi_chain_check_loop(top, node, backing, path, err);
        if (rc < 0)
            imgi_node_close(backing);
    }
    if (rc == 0)
        node->backing = backing;
    else
        imgi_error_prefix(err, "Could not open backing file");
    img_free(path);
    return rc;
}

int imgi_chain_open(struct imgi_node *top, const struct imgi_open *how, img_error *err)
{
    uint64_t depth = 1;

    if (how->flags & (IMG_OPEN_NO_BACKING | IMG_OPEN_NO_FILES))
        return 0;
    for (struct imgi_node *node = top; node->backing_name; node = node->backing) {
        int rc = imgi_policy_limit(how->policy, IMG_LIMIT_CHAIN_DEPTH, ++depth,
                                   "images in the backing chain", err);

        if (rc == 0)
            rc = open_backing(top, node, how, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int imgi_chain_check_idle(const struct imgi_node *top, img_error *err)
{
    int rc = 0;

    for (const struct imgi_node *node = top; rc == 0 && node; node = node->backing) {
        for (size_t n = 0; rc == 0 && n < node->files->count; n++)
            rc = imgi_check_attached(node->files->list[n].path, err);
    }
    if (rc < 0)
        imgi_error_prefix(err, "what its guest does not use may change");
    return rc;
}
