/*
 * Appliances: disks of virtual machines, described by an OVF document, packed into one file (OVA, a
 * tar archive) or lying beside the document. SPDX-License-Identifier: BSD-2-Clause
 *
 * An appliance is no format of a disk: its disks have formats. Opening one finds the bytes of a
 * disk, and whoever opens images goes on there. Nothing is unpacked.
 */
#ifndef IMGI_APPLIANCE_H
#define IMGI_APPLIANCE_H

#include "../internal.h"
#include "manifest.h"
#include "ovf.h"
#include "tar.h"

enum imgi_appliance_kind {
    IMGI_APPLIANCE_NONE,
    IMGI_APPLIANCE_OVA, /* a tar archive */
    IMGI_APPLIANCE_OVF  /* an OVF document with its files beside it */
};

struct imgi_appliance {
    enum imgi_appliance_kind kind;
    char *name;          /* of the file */
    struct imgi_io *io;  /* the file; somebody else's */
    struct imgi_tar tar; /* OVA */
    struct imgi_ovf ovf;
    char *document, *document_name; /* the OVF as it is stored; its name, as the manifest has it */
    size_t document_length;
    struct imgi_manifest manifest;
    char *manifest_name;      /* NULL: there is none */
    char *certificate_name;   /* likewise */
    struct img_policy policy; /* for files beside the document: nothing else is reached */
    struct img_policy inside; /* for disks in an archive: they reach nothing */
};

/* The bytes of one file of an appliance. */
struct imgi_appliance_file {
    struct imgi_io *io;      /* all of them, to be closed before the others */
    struct imgi_files *from; /* the files that they lie in, if these were opened for it, or NULL */
};

/* ------------------------------------------------------------- appliance.c */

/* What the file is, by a look at it. A tar archive is an OVA when an OVF document comes first. */
int imgi_appliance_probe(struct imgi_io *io, enum imgi_appliance_kind *kind, img_error *err);

/*
 * Read document and manifest. The io stays the caller's, and open while the appliance is.
 * IMG_E_FORMAT when it is neither an OVA (wherever its document is) nor an OVF.
 */
int imgi_appliance_open(struct imgi_appliance **appliance, struct imgi_io *io, const char *name,
                        const struct img_policy *policy, img_error *err);
void imgi_appliance_close(struct imgi_appliance *appliance); /* NULL is allowed */

/* The disk that is meant: by its number, from 1 on, or its diskId; NULL: the first with a file. */
int imgi_appliance_disk(const struct imgi_appliance *appliance, const char *disk, size_t *index,
                        img_error *err);

/* ------------------------------------------------------------------ find.c */

/* The path of a file beside the document, which is judged. The caller frees it. */
int imgi_appliance_path(const struct imgi_appliance *appliance, const char *name, char **path,
                        img_error *err);
/* Open the one file of that name, as manifests name it. */
int imgi_appliance_file(const struct imgi_appliance *appliance, const char *name,
                        struct imgi_appliance_file *file, img_error *err);
void imgi_appliance_file_close(struct imgi_appliance_file *file);
/* Names of the files that a File element consists of: one, or its chunks. */
struct imgi_names {
    char **list;
    size_t count;
};
int imgi_appliance_names(const struct imgi_appliance *appliance, const struct imgi_ovf_file *file,
                         struct imgi_names *names, img_error *err);
/* Names of all Files together: more are not looked at, since several Files may mean the same. */
#define IMGI_APPLIANCE_NAMES_MAX 8192u
/*
 * Names of all files that a disk, opened as node, is made of: those of its File, and what its
 * images name beside the document, which are *own to begin with, and then the others.
 */
int imgi_appliance_disk_names(const struct imgi_node *node, struct imgi_names *names, size_t *own,
                              img_error *err);
void imgi_names_clear(struct imgi_names *names);
/* Open all of a disk: one file, or chunks one behind the other. Refuses what cannot be read. */
int imgi_appliance_open_disk(const struct imgi_appliance *appliance, size_t index,
                             struct imgi_appliance_file *file, img_error *err);

/* ---------------------------------------------------------------- verify.c */

/* Hears that `bytes` more have been read; not 0 ends the reading with that code. */
typedef int imgi_appliance_read_fn(void *opaque, uint64_t bytes, img_error *err);

/* IMG_E_CORRUPT when the manifest has another digest for the file, or none. */
int imgi_appliance_verify(const struct imgi_appliance *appliance, const char *name,
                          imgi_appliance_read_fn *read, void *opaque, img_error *err);

/* A disk being verified by a thread of its own, with the OVF document. */
struct imgi_verifier;
/* The node is a disk of an appliance. *verifier is NULL when there is no manifest. */
int imgi_verifier_begin(struct imgi_verifier **verifier, const struct imgi_node *node,
                        img_error *err);
/* Wait for it. stop: the result does not matter any more. NULL is allowed. */
int imgi_verifier_end(struct imgi_verifier *verifier, bool stop, img_error *err);

/* All files, and those of the disk that was opened, against the manifest; faults are counted. */
int imgi_appliance_check(const struct imgi_node *node, struct imgi_checker *checker,
                         img_error *err);

#endif
