/*
 * Digests of files. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>
#include <stdlib.h>

#include "../crypto/digest.h"
#include "guest.h"

#define CHUNK (256u << 10)

static int read_all(img_file *file, struct imgi_digest *digest, img_error *err)
{
    uint8_t *buffer = malloc(CHUNK);
    size_t length;
    int rc = buffer ? 0 : imgi_fail_nomem(err, "a digest");

    for (uint64_t at = 0; rc == 0 && at < file->size; at += length) {
        length = CHUNK;
        rc = img_file_read(file, at, buffer, &length, err);
        if (rc == 0)
            rc = imgi_digest_update(digest, buffer, length, err);
    }
    free(buffer);
    return rc;
}

int img_file_digest(img_file *file, const char *name, char **digits, img_error *err)
{
    struct imgi_digest *digest = NULL;
    uint8_t value[IMGI_HASH_MAX_BYTES];
    enum imgi_hash hash;
    int rc;

    *digits = NULL;
    if (!imgi_hash_parse(name, &hash))
        return imgi_fail(err, IMG_E_INVAL, "no such digest: %s", name);
    rc = imgi_digest_new(&digest, hash, err);
    if (rc == 0)
        rc = read_all(file, digest, err);
    if (rc == 0)
        rc = imgi_digest_final(digest, value, err);
    if (rc == 0 && !(*digits = malloc(2 * imgi_hash_bytes(hash) + 1)))
        rc = imgi_fail_nomem(err, "a digest");
    for (size_t n = 0; rc == 0 && n < imgi_hash_bytes(hash); n++)
        snprintf(*digits + 2 * n, 3, "%02x", value[n]);
    imgi_digest_free(digest);
    return rc;
}
