/*
 * Filesystems that libext2fs reads. SPDX-License-Identifier: BSD-2-Clause
 */
#include "provider.h"

static bool reads(const char *content)
{
    (void)content;
    return false;
}

const struct imgi_provider imgi_provider_ext2 = {
    .library = "libext2fs",
    .reads = reads,
};
