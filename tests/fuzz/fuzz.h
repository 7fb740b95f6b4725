/*
 * Fuzzing: what is done with bytes that nobody wrote. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Take the bytes for an image of that format and do with it all that reads. */
void fuzz_image(const char *format, const uint8_t *bytes, size_t length);

#endif
