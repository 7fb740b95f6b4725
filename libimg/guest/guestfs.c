/*
 * Filesystems that libguestfs reads. SPDX-License-Identifier: BSD-2-Clause
 */
#include "provider.h"

static bool reads(const char *content)
{
    (void)content;
    return false;
}

const struct imgi_provider imgi_provider_guestfs = {
    .library = "libguestfs",
    .reads = reads,
};

int imgi_guestfs_assemble(img_guest *guest, img_error *err)
{
    (void)guest, (void)err;
    return 0;
}

void imgi_guestfs_end(struct imgi_assembly *assembly)
{
    (void)assembly;
}
