/*
 * Random bytes fit for keys. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_RANDOM_H
#define IMGI_RANDOM_H

#include "../error.h"
#include "../util/uuid.h"

/* From the kernel's generator. Waits for it to be seeded, early at boot. */
int imgi_random(void *bytes, size_t length, img_error *err);

/* A random UUID (RFC 4122, version 4) as text: "b183f5cd-54e0-47ff-bf23-7afb55c094e5". */
int imgi_random_uuid(char text[IMGI_UUID_TEXT], img_error *err);

#endif
