/*
 * Fuzzing: what is done with bytes that nobody wrote. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "libimg.h"

#define FUZZ_NAME_BYTES 32

/* Do with a seed what its format has it made into an image for. */
void fuzz_seed(const char *format, const uint8_t *bytes, size_t length);

/* Take the bytes for an image of that format and do with it all that reads. */
void fuzz_image(const char *format, const uint8_t *bytes, size_t length);

/* A file in memory with these bytes, and the name it can be opened by while the descriptor is open.
 */
int fuzz_file(const uint8_t *bytes, size_t length, char name[FUZZ_NAME_BYTES]);
/* Do all that with the image of that name, which may name others within the reach. */
void fuzz_named(const char *format, const char *name, enum img_reach reach);

/* Put a VHDX image together, and do that with it (vhdx.c). */
void fuzz_vhdx(const uint8_t *seed, size_t length);

/* The same for extents of vmfsSparse and seSparse images (extent.c). */
void fuzz_cowd(const uint8_t *seed, size_t length);
void fuzz_sesparse(const uint8_t *seed, size_t length);

#endif
