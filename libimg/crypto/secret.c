/*
 * Secrets by id. SPDX-License-Identifier: BSD-2-Clause
 *
 * A set owns a list of secrets, each with a copy of its bytes in memory of its own. It is not
 * locked: see secret.h.
 */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../util/base64.h"
#include "../util/checked.h"

struct secret {
    struct secret *next;
    char *id;
    uint8_t *bytes;
    size_t length;
};

struct img_secrets {
    struct secret *first;
};

int imgi_secrets_new(struct img_secrets **secrets, img_error *err)
{
    *secrets = calloc(1, sizeof(**secrets));
    return *secrets ? 0 : imgi_fail_nomem(err, "secrets");
}

/* Cleanse and free; bytes may be NULL. */
static void discard(uint8_t *bytes, size_t length)
{
    if (bytes)
        explicit_bzero(bytes, length);
    free(bytes);
}

static void secret_free(struct secret *secret)
{
    if (!secret)
        return;
    discard(secret->bytes, secret->length);
    free(secret->id);
    free(secret);
}

void imgi_secrets_free(struct img_secrets *secrets)
{
    if (!secrets)
        return;
    while (secrets->first) {
        struct secret *secret = secrets->first;

        secrets->first = secret->next;
        secret_free(secret);
    }
    free(secrets);
}

/* ---------------------------------------------------------------- reading */

/* Twice the room; what it held is moved, and cleansed where it was. */
static int grow(uint8_t **bytes, size_t length, size_t *room)
{
    size_t wanted = *room ? 2 * *room : 4096;
    uint8_t *larger = malloc(wanted);

    if (!larger)
        return IMG_E_NOMEM;
    if (length > 0)
        memcpy(larger, *bytes, length);
    discard(*bytes, length);
    *bytes = larger;
    *room = wanted;
    return 0;
}

/* Everything that fd gives until its end; it may be a pipe. */
static int read_all(int fd, struct secret *secret, const struct imgi_secret_spec *spec,
                    img_error *err)
{
    size_t room = 0;

    for (;;) {
        ssize_t got;

        if (secret->length == room && grow(&secret->bytes, secret->length, &room) < 0)
            return imgi_fail_nomem(err, "a secret");
        got = read(fd, secret->bytes + secret->length, room - secret->length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return imgi_fail_errno(err, errno, "Unable to read %s", spec->file);
        if (got == 0)
            return 0;
        secret->length += (size_t)got;
        if (secret->length > IMGI_SECRET_MAX_BYTES)
            return imgi_fail(err, IMG_E_LIMIT, "secret '%s': %s holds more than %u bytes", spec->id,
                             spec->file, IMGI_SECRET_MAX_BYTES);
    }
}

static int read_file(struct secret *secret, const struct imgi_secret_spec *spec, img_error *err)
{
    int fd = open(spec->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int rc;

    if (fd < 0)
        return imgi_fail_errno(err, errno, "Unable to read %s", spec->file);
    rc = read_all(fd, secret, spec, err);
    close(fd);
    return rc;
}

static int copy_data(struct secret *secret, const struct imgi_secret_spec *spec, img_error *err)
{
    size_t length = strlen(spec->data);

    if (length > IMGI_SECRET_MAX_BYTES)
        return imgi_fail(err, IMG_E_LIMIT, "secret '%s' is longer than %u bytes", spec->id,
                         IMGI_SECRET_MAX_BYTES);
    secret->bytes = malloc(length + 1);
    if (!secret->bytes)
        return imgi_fail_nomem(err, "a secret");
    memcpy(secret->bytes, spec->data, length + 1);
    secret->length = length;
    return 0;
}

/* -------------------------------------------------------------------- set */

static struct secret *find(const struct img_secrets *secrets, const char *id)
{
    struct secret *secret = secrets ? secrets->first : NULL;

    while (secret && strcmp(secret->id, id) != 0)
        secret = secret->next;
    return secret;
}

/* Fill a secret from where the spec says it is. */
static int load(struct secret *secret, const struct imgi_secret_spec *spec, img_error *err)
{
    size_t held;
    int rc;

    secret->id = strdup(spec->id);
    if (!secret->id)
        return imgi_fail_nomem(err, "a secret");
    rc = spec->file ? read_file(secret, spec, err) : copy_data(secret, spec, err);
    if (rc < 0 || !spec->base64)
        return rc;
    held = secret->length;
    if (!imgi_base64_decode(secret->bytes, &secret->length, "\r\n")) {
        secret->length = held;
        rc = imgi_fail(err, IMG_E_INVAL, "secret '%s': Base64 data contains invalid characters",
                       spec->id);
    }
    return rc;
}

int imgi_secrets_add(struct img_secrets *secrets, const struct imgi_secret_spec *spec,
                     img_error *err)
{
    struct secret *secret;
    int rc;

    if (!spec->id || spec->id[0] == '\0')
        return imgi_fail(err, IMG_E_INVAL, "Parameter 'id' is missing");
    if (spec->data && spec->file)
        return imgi_fail(err, IMG_E_INVAL, "'file' and 'data' are mutually exclusive");
    if (!spec->data && !spec->file)
        return imgi_fail(err, IMG_E_INVAL, "Either 'file' or 'data' must be provided");
    if (find(secrets, spec->id))
        return imgi_fail(err, IMG_E_EXISTS,
                         "attempt to add duplicate property '%s' to object (type 'container')",
                         spec->id);
    secret = calloc(1, sizeof(*secret));
    if (!secret)
        return imgi_fail_nomem(err, "a secret");
    rc = load(secret, spec, err);
    if (rc < 0) {
        secret_free(secret);
        return rc;
    }
    secret->next = secrets->first;
    secrets->first = secret;
    return 0;
}

int imgi_secrets_find(const struct img_secrets *secrets, const char *id,
                      struct imgi_passphrase *passphrase, img_error *err)
{
    const struct secret *secret = find(secrets, id);

    if (!secret)
        return imgi_fail(err, IMG_E_NOENT, "No secret with id '%s'", id);
    passphrase->bytes = secret->bytes;
    passphrase->length = secret->length;
    return 0;
}
