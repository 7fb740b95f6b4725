/*
 * Images named by more than a file's name. SPDX-License-Identifier: BSD-2-Clause
 *
 * What a user types instead of a name: "driver=qcow2,file.filename=x" or json:{...}. Both are made
 * into one flat set of options whose names have dots, which opening an image then takes apart.
 * Nothing that stands in an image ever comes here.
 */
#ifndef IMGI_SPEC_H
#define IMGI_SPEC_H

#include "internal.h"

/*
 * What name says, by the open flags. Either *pairs is a new set, which the caller frees, or it is
 * NULL and *path is the name of a file, inside of name.
 */
int imgi_spec_parse(const char *name, unsigned flags, img_options **pairs, const char **path,
                    img_error *err);

/* The file that a name means: "file:x" is x, and "nbd:x" an error. */
int imgi_spec_path(const char *name, const char **path, img_error *err);
/* Fails: there is no such protocol, or it is not supported. */
int imgi_spec_no_protocol(const char *protocol, int length, img_error *err);

/* Open the image that pairs describe and, unless how says no, its backing chain. */
int imgi_spec_open(struct imgi_node **node, const img_options *pairs, const struct imgi_open *how,
                   img_error *err);

#endif
