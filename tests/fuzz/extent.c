/*
 * Extents of VMDK images that need a descriptor beside them: the seed is the extent, and the
 * descriptor says of it what it says of itself. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "libimg.h"
#include "util/bytes.h"

#define COWD_AT_CAPACITY 12
#define SESPARSE_AT_CAPACITY 16

static void fuzz_extent(const char *type, uint64_t sectors, const uint8_t *seed, size_t length)
{
    char extent[FUZZ_NAME_BYTES], name[FUZZ_NAME_BYTES], text[512];
    int extent_fd = fuzz_file(seed, length, extent), fd;
    int size = snprintf(text, sizeof(text),
                        "# Disk DescriptorFile\nversion=1\nCID=00000012\nparentCID=ffffffff\n"
                        "createType=\"custom\"\nRW %" PRIu64 " %s \"%s\"\n",
                        sectors, type, extent);

    if (size < 0 || (size_t)size >= sizeof(text))
        abort();
    fd = fuzz_file((const uint8_t *)text, (size_t)size, name);
    fuzz_named("vmdk", name, IMG_REACH_ANY);
    close(fd);
    close(extent_fd);
}

void fuzz_cowd(const uint8_t *seed, size_t length)
{
    if (length >= COWD_AT_CAPACITY + 4)
        fuzz_extent("VMFSSPARSE", imgi_get_le32(seed + COWD_AT_CAPACITY), seed, length);
}

void fuzz_sesparse(const uint8_t *seed, size_t length)
{
    if (length >= SESPARSE_AT_CAPACITY + 8)
        fuzz_extent("SESPARSE", imgi_get_le64(seed + SESPARSE_AT_CAPACITY), seed, length);
}
