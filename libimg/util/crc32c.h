/*
 * CRC-32C, with the polynomial of Castagnoli. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef IMGI_CRC32C_H
#define IMGI_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Go on with the crc of what stood before (0: nothing). */
uint32_t imgi_crc32c(uint32_t crc, const void *bytes, size_t length);

#endif
