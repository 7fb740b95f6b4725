/*
 * Fuzzing: what is done with bytes that nobody wrote. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Do with a seed what its format has it made into an image for. */
void fuzz_seed(const char *format, const uint8_t *bytes, size_t length);

/* Take the bytes for an image of that format and do with it all that reads. */
void fuzz_image(const char *format, const uint8_t *bytes, size_t length);

/* Put a VHDX image together, and do that with it (vhdx.c). */
void fuzz_vhdx(const uint8_t *seed, size_t length);

#endif
