/*
 * Reading a volume. SPDX-License-Identifier: BSD-2-Clause
 */
#include <inttypes.h>

#include "guest.h"

int imgi_volume_read(const struct imgi_volume *volume, uint64_t offset, void *buffer, size_t length,
                     img_error *err)
{
    const img_volume *info = &volume->info;

    if (!volume->image)
        return imgi_fail(err, IMG_E_INTERNAL, "%s is no range of a disk", info->device);
    if (offset > info->size || length > info->size - offset)
        return imgi_fail(err, IMG_E_RANGE,
                         "%zu bytes at %" PRIu64 " are outside of %s, which has %" PRIu64 " bytes",
                         length, offset, info->device, info->size);
    return img_read(volume->image, info->offset + offset, buffer, length, err);
}
