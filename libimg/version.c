/*
 * What this build is and has. SPDX-License-Identifier: BSD-2-Clause
 */
#include "codec/codec.h"
#include "libimg.h"
#include "util/checked.h"

#ifdef HAVE_EXT2FS
#define EXT2FS_NAME ", libext2fs"
#else
#define EXT2FS_NAME ""
#endif
#ifdef HAVE_GUESTFS
#define GUESTFS_NAME ", libguestfs"
#else
#define GUESTFS_NAME ""
#endif
#ifdef HAVE_SQLITE3
#define SQLITE3_NAME ", libsqlite3"
#else
#define SQLITE3_NAME ""
#endif

const char *img_version(void)
{
    return PACKAGE_VERSION;
}

const char *img_feature(size_t n)
{
    static const char *const features[] = {
        "guests: libimg" EXT2FS_NAME GUESTFS_NAME SQLITE3_NAME,
    };
    size_t codecs = 0;

    while (imgi_codec_feature(codecs))
        codecs++;
    if (n < codecs)
        return imgi_codec_feature(n);
    return n - codecs < IMGI_COUNT(features) ? features[n - codecs] : NULL;
}
