/*
 * Loading libcrypto. SPDX-License-Identifier: BSD-2-Clause
 *
 * Keeps nothing: whoever needs libcrypto asks for the table and holds it. When the library is
 * in memory already that takes a few microseconds.
 */
#include "openssl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "../util/checked.h"

/* The library whose headers this was compiled with: "libcrypto.so.3". */
#define TEXT_OF(number) #number
#define SONAME(version) "libcrypto.so." TEXT_OF(version)
static const char soname[] = SONAME(OPENSSL_SHLIB_VERSION);

struct symbol {
    const char *name;
    size_t offset; /* of the pointer in struct imgi_openssl */
    bool optional;
};

static const struct symbol symbols[] = {
#define REQUIRED(function) {#function, offsetof(struct imgi_openssl, function), false},
#define OPTIONAL(function) {#function, offsetof(struct imgi_openssl, function), true},
    IMGI_OPENSSL_REQUIRED(REQUIRED) IMGI_OPENSSL_OPTIONAL(OPTIONAL)};

int imgi_openssl_load(struct imgi_openssl *ssl, img_error *err)
{
    /*
     * NODELETE: libcrypto registers an exit handler and cannot be unloaded safely, so the handle
     * can be given back here.
     */
    void *handle = dlopen(soname, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    int rc = 0;

    if (!handle)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "encryption needs OpenSSL's %s (Debian: libssl3), which cannot be loaded",
                         soname);
    for (size_t i = 0; i < IMGI_COUNT(symbols) && rc == 0; i++) {
        void *address = dlsym(handle, symbols[i].name);

        if (!address && !symbols[i].optional)
            rc = imgi_fail(err, IMG_E_UNSUPPORTED, "%s has no %s", soname, symbols[i].name);
        memcpy((char *)ssl + symbols[i].offset, &address, sizeof(address));
    }
    dlclose(handle);
    return rc;
}

int imgi_openssl_fail(const struct imgi_openssl *ssl, const char *what, img_error *err)
{
    const char *reason = ssl->ERR_reason_error_string(ssl->ERR_peek_last_error());

    ssl->ERR_clear_error();
    return imgi_fail(err, IMG_E_INTERNAL, "%s: %s", what, reason ? reason : "OpenSSL failed");
}
