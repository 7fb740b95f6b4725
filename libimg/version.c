/*
 * What this build is and has. SPDX-License-Identifier: BSD-2-Clause
 */
#include "codec/codec.h"
#include "libimg.h"

const char *img_version(void)
{
    return PACKAGE_VERSION;
}

const char *img_feature(size_t n)
{
    return imgi_codec_feature(n);
}
