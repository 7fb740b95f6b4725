/*
 * Loading libguestfs. SPDX-License-Identifier: BSD-2-Clause
 */
#include "guestfs.h"

#ifdef HAVE_GUESTFS

#include "util/library.h"

#define SONAME "libguestfs.so.0"

int imgi_guestfs_load(struct imgi_guestfs *call, img_error *err)
{
    static const struct imgi_symbol functions[] = {
#define FUNCTION(name) {"guestfs_" #name, offsetof(struct imgi_guestfs, name), false},
        IMGI_GUESTFS_FUNCTIONS(FUNCTION)
#undef FUNCTION
    };

    return imgi_library_load(call, SONAME, functions, IMGI_COUNT(functions),
                             SONAME " (Debian: libguestfs0) is needed and cannot be loaded", err);
}

#endif /* HAVE_GUESTFS */
