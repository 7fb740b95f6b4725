/*
 * Manifests: digests of an appliance's files. SPDX-License-Identifier: BSD-2-Clause
 *
 * A line a file, "SHA256(name)= hex" (OVF 1.1, 5.1). Pure: text in, text out.
 */
#ifndef IMGI_MANIFEST_H
#define IMGI_MANIFEST_H

#include "../crypto/digest.h"

/* Of any manifest. */
#define IMGI_MANIFEST_BYTES_MAX (4u << 20)

struct imgi_manifest_entry {
    char *name;
    enum imgi_hash hash; /* SHA-1, SHA-256 or SHA-512 */
    uint8_t digest[IMGI_HASH_MAX_BYTES];
};

struct imgi_manifest {
    struct imgi_manifest_entry *list;
    size_t count;
};

/*
 * Takes what writers differ in: the algorithm and the digits in either case, spaces around them,
 * CR LF. A line that says something else is IMG_E_FORMAT, and so is a file that is named twice. On
 * failure there is nothing to free.
 */
int imgi_manifest_parse(struct imgi_manifest *manifest, const char *text, size_t length,
                        img_error *err);
void imgi_manifest_clear(struct imgi_manifest *manifest);
/* NULL when the file is not in it. */
const struct imgi_manifest_entry *imgi_manifest_find(const struct imgi_manifest *manifest,
                                                     const char *name);

/* The hash of that name, if it is one that manifests know. */
bool imgi_manifest_hash(const char *name, enum imgi_hash *hash);
/* Bytes of one line for a file. */
size_t imgi_manifest_line_bytes(enum imgi_hash hash, const char *name);
/* The line, as the strictest readers take it: no space before the parenthesis. NULL: no memory. */
char *imgi_manifest_line(const struct imgi_manifest_entry *entry);

#endif
