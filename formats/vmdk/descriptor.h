/*
 * The text that describes a VMDK image. SPDX-License-Identifier: BSD-2-Clause
 *
 * The text itself is kept as it was read, and what was found in it are spans of it. So
 * writing it out again loses nothing: comments, order and unknown keys stay.
 */
#ifndef VMDK_DESCRIPTOR_H
#define VMDK_DESCRIPTOR_H

#include "driver.h"

/* No writer has more than 40 keys. */
#define VMDK_KEYS_MAX 1024u
/* What QEMU and others take; also longer than any file name can be. */
#define VMDK_FILE_NAME_MAX 511u

/* CIDs with a meaning of their own. */
#define VMDK_CID_NONE 0xffffffffu  /* as parentCID: there is no parent */
#define VMDK_CID_FRESH 0xfffffffeu /* never written */

/* Part of the text, without quotes. */
struct vmdk_span {
    size_t start, length;
};

struct vmdk_key {
    struct vmdk_span name, value;
};

enum vmdk_access { VMDK_ACCESS_RW, VMDK_ACCESS_RDONLY, VMDK_ACCESS_NOACCESS };

enum vmdk_type {
    VMDK_TYPE_FLAT,
    VMDK_TYPE_SPARSE,
    VMDK_TYPE_ZERO,
    VMDK_TYPE_VMFS, /* as FLAT, from byte 0 */
    VMDK_TYPE_VMFSSPARSE,
    VMDK_TYPE_SESPARSE,
    VMDK_TYPE_VMFSRDM,
    VMDK_TYPE_VMFSRAW
};

/* ACCESS SECTORS TYPE ["FILE" [OFFSET]] */
struct vmdk_extent_line {
    enum vmdk_access access;
    uint64_t sectors;
    enum vmdk_type type;
    struct vmdk_span file;   /* length 0: none */
    uint64_t offset;         /* sectors into the file */
    unsigned line;           /* for errors; the first is 1 */
    struct vmdk_span number; /* SECTORS as written */
};

struct vmdk_descriptor {
    char *text; /* ended by NUL, which is not part of length */
    size_t length;
    struct vmdk_key *keys;
    size_t key_count;
    struct vmdk_extent_line *extents;
    size_t extent_count;
};

/*
 * Parse bytes that were read from a file: text up to the first NUL, padding behind it.
 * Copies what it keeps; free with vmdk_descriptor_free, after a failure too. No more extents than
 * the policy allows.
 */
int vmdk_descriptor_parse(struct vmdk_descriptor *descriptor, const char *bytes, size_t length,
                          const struct img_policy *policy, img_error *err);
void vmdk_descriptor_free(struct vmdk_descriptor *descriptor);

/* A copy of the key's value, to be freed; *value is NULL when the key is not there. */
int vmdk_descriptor_get(const struct vmdk_descriptor *descriptor, const char *name, char **value,
                        img_error *err);
/* The key, or NULL. */
const struct vmdk_key *vmdk_descriptor_find(const struct vmdk_descriptor *descriptor,
                                            const char *name);
/* A key whose value is up to eight hexadecimal digits; fallback when it is not there. */
int vmdk_descriptor_cid(const struct vmdk_descriptor *descriptor, const char *name,
                        uint32_t fallback, uint32_t *cid, img_error *err);
/* A copy of the name in an extent line, to be freed. */
char *vmdk_descriptor_file(const struct vmdk_descriptor *descriptor,
                           const struct vmdk_extent_line *line);

/* "SPARSE" and so on. */
const char *vmdk_type_name(enum vmdk_type type);
/* "RW" and so on. */
const char *vmdk_access_name(enum vmdk_access access);

/* The beginning of a descriptor: its first line, perhaps behind blank and comment lines. */
bool vmdk_descriptor_looks_like(const uint8_t *head, size_t length);

/* --------------------------------------------------------------- changing one (edit.c) */

/*
 * A descriptor on its way to become another: each change is made to the text and the result parsed,
 * so that all that is not changed stays as it was written.
 */
int vmdk_descriptor_copy(struct vmdk_descriptor *copy, const struct vmdk_descriptor *descriptor,
                         const struct img_policy *policy, img_error *err);
/* Give a key that is there another value. False is "not there" and no error. */
int vmdk_descriptor_set(struct vmdk_descriptor *descriptor, const char *name, const char *value,
                        const struct img_policy *policy, bool *found, img_error *err);
/* Give a key a value; when it is not there it comes behind the key `after`, or else at the end. */
int vmdk_descriptor_put(struct vmdk_descriptor *descriptor, const char *name, const char *value,
                        const char *after, const struct img_policy *policy, img_error *err);
/* Take a key away, with its line, if it is there. */
int vmdk_descriptor_remove(struct vmdk_descriptor *descriptor, const char *name,
                           const struct img_policy *policy, img_error *err);
/*
 * Let extent `last` be the last one of those that are there, with so many sectors, and put the
 * lines `more`, each with a newline, behind it. Other lines between those of extents stay.
 */
int vmdk_descriptor_extents(struct vmdk_descriptor *descriptor, size_t last, uint64_t sectors,
                            const char *more, const struct img_policy *policy, img_error *err);

/* ------------------------------------------------------------------ writing one (template.c) */

struct vmdk_template {
    uint64_t size; /* bytes of the disk */
    const char *create_type;
    const char *parent; /* file name, or NULL */
    uint32_t parent_cid;
    uint32_t cid;
    const char *extents; /* the extent lines, each with its line end */
    const char *adapter, *hw_version, *tools_version;
    const char *uuid; /* as written, or NULL: made from seed */
    bool thin;
    uint64_t seed; /* what the other identifiers are made from */
};

/* The whole descriptor. */
void vmdk_template_write(const struct vmdk_template *template, struct imgi_text *text);

#endif
