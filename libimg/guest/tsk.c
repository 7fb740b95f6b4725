/*
 * Filesystems that libtsk reads. SPDX-License-Identifier: BSD-2-Clause
 */
#include "provider.h"

static bool reads(const char *content)
{
    (void)content;
    return false;
}

const struct imgi_provider imgi_provider_tsk = {
    .library = "libtsk",
    .reads = reads,
};
