/*
 * What a volume holds. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define EXT_SUPERBLOCK 1024u
#define EXT_MAGIC 0x38u /* s_magic */

int imgi_content_detect(struct imgi_volume *volume, img_error *err)
{
    uint8_t block[1024];

    if (volume->info.size < EXT_SUPERBLOCK + sizeof(block) ||
        imgi_volume_read(volume, EXT_SUPERBLOCK, block, sizeof(block), NULL) < 0 ||
        imgi_get_le16(block + EXT_MAGIC) != 0xef53)
        return 0;
    volume->info.content = strdup("ext4");
    volume->info.holds_filesystem = true;
    return volume->info.content ? 0 : imgi_fail_nomem(err, "a volume");
}
