/*
 * Loading libraries. SPDX-License-Identifier: BSD-2-Clause
 */
#include "library.h"

#include <dlfcn.h>
#include <string.h>

int imgi_library_load(void *to, const char *soname, const struct imgi_symbol *symbols, size_t count,
                      const char *missing, img_error *err)
{
    void *handle = dlopen(soname, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    int rc = 0;

    if (!handle)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "%s", missing);
    for (size_t n = 0; rc == 0 && n < count; n++) {
        void *address = dlsym(handle, symbols[n].name);

        if (!address && !symbols[n].optional)
            rc = imgi_fail(err, IMG_E_UNSUPPORTED, "%s has no %s", soname, symbols[n].name);
        memcpy((char *)to + symbols[n].offset, &address, sizeof(address));
    }
    dlclose(handle);
    return rc;
}
