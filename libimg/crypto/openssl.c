/*
 * Loading libcrypto. SPDX-License-Identifier: BSD-2-Clause
 *
 * Keeps nothing: whoever needs libcrypto asks for the table and holds it. When the library is
 * in memory already that takes a few microseconds.
 */
#include "openssl.h"

#include <stddef.h>

#include "../util/checked.h"
#include "../util/library.h"

/* The library whose headers this was compiled with: "libcrypto.so.3". */
#define TEXT_OF(number) #number
#define SONAME_OF(version) "libcrypto.so." TEXT_OF(version)
#define SONAME SONAME_OF(OPENSSL_SHLIB_VERSION)

static const struct imgi_symbol symbols[] = {
#define REQUIRED(function) {#function, offsetof(struct imgi_openssl, function), false},
#define OPTIONAL(function) {#function, offsetof(struct imgi_openssl, function), true},
    IMGI_OPENSSL_REQUIRED(REQUIRED) IMGI_OPENSSL_OPTIONAL(OPTIONAL)};

int imgi_openssl_load(struct imgi_openssl *ssl, img_error *err)
{
    return imgi_library_load(
        ssl, SONAME, symbols, IMGI_COUNT(symbols),
        "encryption needs OpenSSL's " SONAME " (Debian: libssl3), which cannot be loaded", err);
}

int imgi_openssl_fail(const struct imgi_openssl *ssl, const char *what, img_error *err)
{
    const char *reason = ssl->ERR_reason_error_string(ssl->ERR_peek_last_error());

    ssl->ERR_clear_error();
    return imgi_fail(err, IMG_E_INTERNAL, "%s: %s", what, reason ? reason : "OpenSSL failed");
}
