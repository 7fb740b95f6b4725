/*
 * Random bytes from the kernel. SPDX-License-Identifier: BSD-2-Clause
 */
#include "random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

int imgi_random(void *bytes, size_t length, img_error *err)
{
    uint8_t *at = bytes;

    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return imgi_fail_errno(err, errno, "random bytes");
        at += got;
        length -= (size_t)got;
    }
    return 0;
}

int imgi_random_uuid(char text[IMGI_UUID_TEXT], img_error *err)
{
    uint8_t id[16];
    int rc = imgi_random(id, sizeof(id), err);

    if (rc < 0)
        return rc;
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40); /* version 4: random */
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80); /* the variant of RFC 4122 */
    imgi_uuid_text(id, text);
    return 0;
}
