/*
 * Partition tables. SPDX-License-Identifier: BSD-2-Clause
 */
#include "guest.h"

int imgi_partitions_find(img_guest *guest, size_t disk, img_error *err)
{
    (void)guest, (void)disk, (void)err;
    return 0;
}
