/*
 * Holding an appliance's files against its manifest. SPDX-License-Identifier: BSD-2-Clause
 *
 * A conversion reads a disk in the order that the disk asks for, and some parts not at all; a
 * digest is over the file's bytes from the first to the last. So a thread reads the file by itself:
 * what both read comes from the page cache the second time.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "appliance.h"

#define STEP (UINT64_C(1) << 20)

struct reading {
    imgi_appliance_read_fn *read;
    void *opaque;
};

static int digest_io(struct imgi_io *io, struct imgi_digest *digest, const struct reading *reading,
                     img_error *err)
{
    uint8_t *buffer = malloc(STEP);
    uint64_t size = 0;
    int rc = buffer ? imgi_io_size(io, &size, err) : imgi_fail_nomem(err, "a digest");

    for (uint64_t at = 0; rc == 0 && at < size;) {
        size_t step = (size_t)IMGI_MIN(STEP, size - at);

        rc = imgi_io_read(io, buffer, step, at, err);
        if (rc == 0)
            rc = imgi_digest_update(digest, buffer, step, err);
        if (rc == 0 && reading->read)
            rc = reading->read(reading->opaque, step, err);
        at += step;
    }
    free(buffer);
    return rc;
}

/* The document that was read is the one that was parsed: it is not read again. */
static int digest_file(const struct imgi_appliance *appliance, const char *name,
                       struct imgi_digest *digest, const struct reading *reading, img_error *err)
{
    struct imgi_appliance_file file;
    int rc;

    if (strcmp(name, appliance->document_name) == 0)
        return imgi_digest_update(digest, appliance->document, appliance->document_length, err);
    rc = imgi_appliance_file(appliance, name, &file, err);
    if (rc < 0)
        return rc;
    rc = digest_io(file.io, digest, reading, err);
    imgi_appliance_file_close(&file);
    return rc;
}

int imgi_appliance_verify(const struct imgi_appliance *appliance, const char *name,
                          imgi_appliance_read_fn *read, void *opaque, img_error *err)
{
    const struct imgi_manifest_entry *entry = imgi_manifest_find(&appliance->manifest, name);
    const struct reading reading = {read, opaque};
    uint8_t found[IMGI_HASH_MAX_BYTES];
    struct imgi_digest *digest = NULL;
    int rc;

    if (!entry)
        return imgi_fail(err, IMG_E_CORRUPT, "the manifest '%s' has no digest of '%s'",
                         appliance->manifest_name, name);
    rc = imgi_digest_new(&digest, entry->hash, err);
    if (rc == 0)
        rc = digest_file(appliance, name, digest, &reading, err);
    if (rc == 0)
        rc = imgi_digest_final(digest, found, err);
    imgi_digest_free(digest);
    if (rc == 0 && memcmp(found, entry->digest, imgi_hash_bytes(entry->hash)) != 0)
        rc = imgi_fail(err, IMG_E_CORRUPT,
                       "'%s' is not what the manifest '%s' says: its %s is another", name,
                       appliance->manifest_name, imgi_hash_name(entry->hash));
    return rc;
}

/* ------------------------------------------------------------- by a thread */

struct imgi_verifier {
    const struct imgi_appliance *appliance;
    struct imgi_names names; /* of the disk's files */
    pthread_t thread;
    atomic_bool stop;
    int rc;
    img_error err;
};

static int go_on(void *opaque, uint64_t bytes, img_error *err)
{
    struct imgi_verifier *verifier = opaque;

    (void)bytes;
    return atomic_load(&verifier->stop) ? imgi_fail(err, IMG_E_CANCELLED, "cancelled") : 0;
}

static void *run(void *opaque)
{
    struct imgi_verifier *verifier = opaque;
    const struct imgi_appliance *appliance = verifier->appliance;

    verifier->rc =
        imgi_appliance_verify(appliance, appliance->document_name, go_on, verifier, &verifier->err);
    for (size_t i = 0; verifier->rc == 0 && i < verifier->names.count; i++)
        verifier->rc = imgi_appliance_verify(appliance, verifier->names.list[i], go_on, verifier,
                                             &verifier->err);
    return NULL;
}

static void verifier_free(struct imgi_verifier *verifier)
{
    imgi_names_clear(&verifier->names);
    free(verifier);
}

int imgi_verifier_begin(struct imgi_verifier **out, const struct imgi_node *node, img_error *err)
{
    const struct imgi_appliance *appliance = node->appliance;
    struct imgi_verifier *verifier;
    size_t own;
    int rc;

    *out = NULL;
    if (!appliance->manifest_name)
        return 0;
    verifier = calloc(1, sizeof(*verifier));
    if (!verifier)
        return imgi_fail_nomem(err, "a digest");
    verifier->appliance = appliance;
    rc = imgi_appliance_disk_names(node, &verifier->names, &own, err);
    if (rc == 0 && pthread_create(&verifier->thread, NULL, run, verifier) != 0)
        rc = imgi_fail_nomem(err, "a thread");
    if (rc < 0)
        verifier_free(verifier);
    else
        *out = verifier;
    return rc;
}

int imgi_verifier_end(struct imgi_verifier *verifier, bool stop, img_error *err)
{
    int rc;

    if (!verifier)
        return 0;
    atomic_store(&verifier->stop, stop);
    pthread_join(verifier->thread, NULL);
    rc = stop ? 0 : verifier->rc;
    if (rc < 0 && err)
        *err = verifier->err;
    if (rc < 0)
        imgi_error_image(err, verifier->appliance->name);
    verifier_free(verifier);
    return rc;
}

/* ------------------------------------------------------------------- check */

static int on_read(void *opaque, uint64_t bytes, img_error *err)
{
    struct imgi_checker *checker = opaque;

    (void)bytes;
    return imgi_check_progress(checker, 0, 0, err);
}

static int check_file(const struct imgi_appliance *appliance, const char *name,
                      struct imgi_checker *checker, img_error *err)
{
    img_error fault = {0};
    int rc = imgi_appliance_verify(appliance, name, on_read, checker, &fault);

    if (rc == IMG_E_CORRUPT || rc == IMG_E_NOENT || rc == IMG_E_DENIED) {
        /* An error that is of one file has its name beside the message. */
        if (fault.image[0])
            imgi_found(checker, IMGI_FINDING_CORRUPTION, "ERROR '%s': %s", name, fault.message);
        else
            imgi_found(checker, IMGI_FINDING_CORRUPTION, "ERROR %s", fault.message);
        return 0;
    }
    if (rc < 0 && err)
        *err = fault;
    return rc;
}

/* The names from that one on are in the manifest, if there is one. A fault is told of once. */
static int check_listed(const struct imgi_appliance *appliance, const struct imgi_names *names,
                        size_t from, struct imgi_checker *checker, img_error *err)
{
    const char *first = NULL;
    size_t missing = 0;
    int rc = 0;

    for (size_t n = from; rc == 0 && n < names->count; n++) {
        rc = imgi_check_progress(checker, 0, 0, err);
        if (!appliance->manifest_name ||
            imgi_manifest_find(&appliance->manifest, names->list[n]))
            continue;
        if (missing++ == 0)
            first = names->list[n];
    }
    if (missing == 1)
        imgi_found(checker, IMGI_FINDING_CORRUPTION, "ERROR the manifest '%s' has no digest of '%s'",
                   appliance->manifest_name, first);
    else if (missing > 1)
        imgi_found(checker, IMGI_FINDING_CORRUPTION,
                   "ERROR the manifest '%s' has no digest of '%s' and %zu files more",
                   appliance->manifest_name, first, missing - 1);
    return rc;
}

/* Files of the References that the manifest forgets. */
static int check_references(const struct imgi_appliance *appliance, struct imgi_checker *checker,
                            img_error *err)
{
    size_t left = IMGI_APPLIANCE_NAMES_MAX;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < appliance->ovf.file_count; i++) {
        struct imgi_names names;
        img_error fault = {0};

        if (imgi_appliance_names(appliance, &appliance->ovf.files[i], &names, &fault) < 0) {
            imgi_found(checker, IMGI_FINDING_CORRUPTION, "ERROR %s", fault.message);
        } else if (names.count > left) {
            imgi_found(checker, IMGI_FINDING_CORRUPTION,
                       "ERROR OVF: the Files are more than %u files together",
                       IMGI_APPLIANCE_NAMES_MAX);
            i = appliance->ovf.file_count;
        } else {
            left -= names.count;
            rc = check_listed(appliance, &names, 0, checker, err);
        }
        imgi_names_clear(&names);
    }
    return rc;
}

/* What the disk that was opened consists of, besides its File. */
static int check_disk(const struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    struct imgi_names names;
    size_t own;
    int rc = imgi_appliance_disk_names(node, &names, &own, err);

    if (rc == 0)
        rc = check_listed(node->appliance, &names, own, checker, err);
    imgi_names_clear(&names);
    return rc;
}

int imgi_appliance_check(const struct imgi_node *node, struct imgi_checker *checker, img_error *err)
{
    const struct imgi_appliance *appliance = node->appliance;
    const struct imgi_manifest *manifest = &appliance->manifest;
    int rc = 0;

    if (!appliance->manifest_name)
        imgi_found(checker, IMGI_FINDING_NOTE,
                   "the appliance has no manifest: its files cannot be verified");
    else if (!imgi_manifest_find(manifest, appliance->document_name))
        rc = check_file(appliance, appliance->document_name, checker, err);
    if (appliance->certificate_name)
        imgi_found(checker, IMGI_FINDING_NOTE, "the signature in '%s' is not verified",
                   appliance->certificate_name);
    for (size_t i = 0; rc == 0 && i < manifest->count; i++)
        rc = check_file(appliance, manifest->list[i].name, checker, err);
    if (rc == 0)
        rc = check_references(appliance, checker, err);
    return rc == 0 ? check_disk(node, checker, err) : rc;
}
