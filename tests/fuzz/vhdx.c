/*
 * VHDX seeds: a file of 4 MiB at least whose structures have checksums, in a few KiB.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A seed is a list of pieces: the offset in the file (8 bytes, little-endian), the length (2
 * bytes), and the bytes. What they do not reach is zeros. Headers, region tables and the first
 * entry of the log get the checksum that is right for them, so that what is changed in them is
 * looked at.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "vhdx/disk.h"

#define FILE_MAX (12u << 20)
#define PIECE_HEAD 10u
#define LOG_AT (1u << 20)

static void seal(uint8_t *bytes, size_t at, size_t length, uint32_t signature)
{
    if (imgi_get_le32(bytes + at) == signature)
        imgi_put_le32(bytes + at + 4, vhdx_crc(bytes + at, length));
}

static void seal_all(uint8_t *bytes)
{
    uint32_t length = imgi_get_le32(bytes + LOG_AT + VHDX_LOG_AT_LENGTH);

    for (unsigned n = 0; n < 2; n++) {
        seal(bytes, (size_t)VHDX_AT_HEADER(n), VHDX_HEADER_BYTES, VHDX_HEADER_SIGNATURE);
        seal(bytes, (size_t)VHDX_AT_REGION_TABLE(n), VHDX_TABLE_BYTES, VHDX_REGION_SIGNATURE);
    }
    if (length >= VHDX_LOG_SECTOR && length <= VHDX_MIB)
        seal(bytes, LOG_AT, length, VHDX_LOG_SIGNATURE);
}

void fuzz_vhdx(const uint8_t *seed, size_t length)
{
    uint8_t *bytes = calloc(1, FILE_MAX);
    size_t end = 4u << 20;

    if (!bytes)
        abort();
    while (length >= PIECE_HEAD) {
        uint64_t at = imgi_get_le64(seed);
        size_t piece = IMGI_MIN(imgi_get_le16(seed + 8), length - PIECE_HEAD);

        if (imgi_span_ok(at, piece, FILE_MAX)) {
            memcpy(bytes + at, seed + PIECE_HEAD, piece);
            end = IMGI_MAX(end, imgi_align_up(at + piece, VHDX_MIB));
        }
        seed += PIECE_HEAD + piece;
        length -= PIECE_HEAD + piece;
    }
    seal_all(bytes);
    fuzz_image("vhdx", bytes, end);
    free(bytes);
}
