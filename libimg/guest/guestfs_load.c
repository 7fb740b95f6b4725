/*
 * Loading libguestfs. SPDX-License-Identifier: BSD-2-Clause
 */
#include "guestfs.h"

#ifdef HAVE_GUESTFS

#include <dlfcn.h>
#include <string.h>

static const char soname[] = "libguestfs.so.0";

int imgi_guestfs_load(struct imgi_guestfs *call, img_error *err)
{
    const struct {
        const char *name;
        void *to;
    } functions[] = {
#define FUNCTION(name) {"guestfs_" #name, &call->name},
        IMGI_GUESTFS_FUNCTIONS(FUNCTION)
#undef FUNCTION
    };
    /* NODELETE: it leaves threads' data behind that only its own code can free. */
    void *handle = dlopen(soname, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    int rc = 0;

    if (!handle)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "%s (Debian: libguestfs0) is needed and cannot be loaded", soname);
    for (size_t n = 0; rc == 0 && n < IMGI_COUNT(functions); n++) {
        void *address = dlsym(handle, functions[n].name);

        if (address)
            memcpy(functions[n].to, &address, sizeof(address));
        else
            rc = imgi_fail(err, IMG_E_UNSUPPORTED, "%s has no %s", soname, functions[n].name);
    }
    dlclose(handle);
    return rc;
}

#endif /* HAVE_GUESTFS */
