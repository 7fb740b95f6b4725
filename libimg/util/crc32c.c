/*
 * CRC-32C (RFC 3720, appendix B.4). SPDX-License-Identifier: BSD-2-Clause
 *
 * x86 processors have an instruction for it; elsewhere a table of 16 entries does four bits at a
 * time, which is enough for the metadata that is checked with it.
 */
#include "crc32c.h"

#include "bytes.h"

#define POLYNOMIAL 0x82f63b78u /* reflected */

/* The remainder of four bits. */
#define STEP(crc) ((crc) >> 1 ^ ((crc)&1 ? POLYNOMIAL : 0))
#define NIBBLE(bits) STEP(STEP(STEP(STEP((uint32_t)(bits)))))

static const uint32_t nibbles[16] = {
    NIBBLE(0), NIBBLE(1), NIBBLE(2),  NIBBLE(3),  NIBBLE(4),  NIBBLE(5),  NIBBLE(6),  NIBBLE(7),
    NIBBLE(8), NIBBLE(9), NIBBLE(10), NIBBLE(11), NIBBLE(12), NIBBLE(13), NIBBLE(14), NIBBLE(15),
};

static uint32_t by_table(uint32_t crc, const uint8_t *bytes, size_t length)
{
    for (; length > 0; bytes++, length--) {
        crc ^= *bytes;
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *bytes,
                                                                 size_t length)
{
    uint64_t wide = crc;

    for (; length >= 8; bytes += 8, length -= 8)
        wide = __builtin_ia32_crc32di(wide, imgi_get_le64(bytes));
    crc = (uint32_t)wide;
    for (; length > 0; bytes++, length--)
        crc = __builtin_ia32_crc32qi(crc, *bytes);
    return crc;
}

uint32_t imgi_crc32c(uint32_t crc, const void *bytes, size_t length)
{
    return __builtin_cpu_supports("sse4.2") ? ~by_instruction(~crc, bytes, length)
                                            : ~by_table(~crc, bytes, length);
}

#else

uint32_t imgi_crc32c(uint32_t crc, const void *bytes, size_t length)
{
    return ~by_table(~crc, bytes, length);
}

#endif
