/*
 * Secrets: passphrases by id. SPDX-License-Identifier: BSD-2-Clause
 *
 * What `--object secret,id=ID,...` says. A set is filled before images are opened and constant
 * afterwards: looking up is safe from many threads, adding is not. Everything that held a secret is
 * cleansed before it is given back.
 */
#ifndef IMGI_SECRET_H
#define IMGI_SECRET_H

#include <stdint.h>

#include "../error.h"

/* A secret's bytes; they belong to the set. */
struct imgi_passphrase {
    const uint8_t *bytes;
    size_t length;
};

struct imgi_secret_spec {
    const char *id;
    const char *data; /* the secret; or NULL */
    const char *file; /* or a file that holds it, to its last byte; exactly one of the two */
    bool base64;      /* data, or the file's content, is in base 64 */
};

/* As much as cryptsetup reads of a key file. */
#define IMGI_SECRET_MAX_BYTES (8u << 20)

/* struct img_secrets is the set: libimg.h has its type. */

int imgi_secrets_new(struct img_secrets **secrets, img_error *err);
void imgi_secrets_free(struct img_secrets *secrets); /* NULL is allowed */

/* IMG_E_EXISTS for an id that is there, IMG_E_LIMIT for a secret over IMGI_SECRET_MAX_BYTES. */
int imgi_secrets_add(struct img_secrets *secrets, const struct imgi_secret_spec *spec,
                     img_error *err);

/* The secret stays valid until the set is freed. IMG_E_NOENT; secrets may be NULL: none. */
int imgi_secrets_find(const struct img_secrets *secrets, const char *id,
                      struct imgi_passphrase *passphrase, img_error *err);

#endif
