/*
 * Secrets as users of the library hand them in. SPDX-License-Identifier: BSD-2-Clause
 *
 * Turns the properties of qemu-img's `--object secret` into a secret of crypto/secret.c, which
 * owns the set. The texts of errors are qemu-img's.
 */
#include <string.h>

#include "crypto/secret.h"
#include "util/checked.h"

img_secrets *img_secrets_new(void)
{
    img_secrets *secrets;

    return imgi_secrets_new(&secrets, NULL) == 0 ? secrets : NULL;
}

void img_secrets_free(img_secrets *secrets)
{
    imgi_secrets_free(secrets);
}

/* Letters, digits, '-', '.' and '_', a letter first. */
static bool is_identifier(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    return text[0] != '\0' && strchr(letters, text[0]) &&
           text[strspn(
               text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._")] == '\0';
}

/* A volume of LUKS in a guest: its device, or its UUID. */
static bool is_volume(const char *text)
{
    return strncmp(text, "/dev/", strlen("/dev/")) == 0 ||
           (strlen(text) == 36 && strspn(text, "0123456789abcdefABCDEF-") == 36);
}

/* Only names that a secret has, and none of those that are not done here. */
static int check_names(const img_options *properties, img_error *err)
{
    static const char *const known[] = {"id", "data", "file", "format"};

    for (size_t i = 0; i < img_options_count(properties); i++) {
        const char *name = img_options_name(properties, i);
        bool found = false;

        for (size_t k = 0; k < IMGI_COUNT(known); k++)
            found = found || strcmp(name, known[k]) == 0;
        if (strcmp(name, "keyid") == 0 || strcmp(name, "iv") == 0)
            return imgi_fail(err, IMG_E_UNSUPPORTED,
                             "secrets that are encrypted themselves ('%s') are not supported",
                             name);
        if (!found)
            return imgi_fail(err, IMG_E_INVAL, "Parameter '%s' is unexpected", name);
    }
    return 0;
}

int img_secrets_add(img_secrets *secrets, const img_options *properties, img_error *err)
{
    const char *format = img_options_get(properties, "format");
    struct imgi_secret_spec spec = {
        .id = img_options_get(properties, "id"),
        .data = img_options_get(properties, "data"),
        .file = img_options_get(properties, "file"),
    };
    int rc = check_names(properties, err);

    if (rc < 0)
        return rc;
    if (spec.id && !is_identifier(spec.id) && !is_volume(spec.id))
        return imgi_fail(err, IMG_E_INVAL, "Parameter 'id' expects an identifier");
    spec.base64 = format && strcmp(format, "base64") == 0;
    if (format && !spec.base64 && strcmp(format, "raw") != 0)
        return imgi_fail(err, IMG_E_INVAL, "Parameter 'format' does not accept value '%s'", format);
    return imgi_secrets_add(secrets, &spec, err);
}
