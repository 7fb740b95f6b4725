/*
 * Manifests of appliances. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/manifest.h"

#define SHA1_DIGITS "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define SHA256_DIGITS "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static int parse(const char *text, struct imgi_manifest *manifest, img_error *err)
{
    *err = (img_error){0};
    return imgi_manifest_parse(manifest, text, strlen(text), err);
}

static void takes_what_writers_differ_in(void **state)
{
    struct imgi_manifest manifest;
    const struct imgi_manifest_entry *entry;
    img_error err;

    (void)state;
    assert_int_equal(parse("SHA256(a.ovf)= " SHA256_DIGITS "\n\r\n"
                           "sha1 (b (1).vmdk) =DA39A3EE5E6B4B0D3255BFEF95601890AFD80709\r\n"
                           "  SHA1(c=)= d)= " SHA1_DIGITS,
                           &manifest, &err),
                     0);
    assert_int_equal(manifest.count, 3);
    entry = imgi_manifest_find(&manifest, "a.ovf");
    assert_int_equal(entry->hash, IMGI_HASH_SHA256);
    assert_int_equal(entry->digest[0], 0xe3);
    assert_int_equal(entry->digest[31], 0x55);
    entry = imgi_manifest_find(&manifest, "b (1).vmdk");
    assert_int_equal(entry->hash, IMGI_HASH_SHA1);
    assert_int_equal(entry->digest[19], 0x09);
    assert_non_null(imgi_manifest_find(&manifest, "c=)= d"));
    assert_null(imgi_manifest_find(&manifest, "A.ovf"));
    imgi_manifest_clear(&manifest);
}

static void writes_what_the_strictest_take(void **state)
{
    struct imgi_manifest manifest;
    img_error err;
    char *line;

    (void)state;
    assert_int_equal(parse("sha1( x y )=" SHA1_DIGITS, &manifest, &err), 0);
    line = imgi_manifest_line(&manifest.list[0]);
    assert_string_equal(line, "SHA1( x y )= " SHA1_DIGITS "\n");
    assert_int_equal(strlen(line), imgi_manifest_line_bytes(IMGI_HASH_SHA1, " x y "));
    free(line);
    imgi_manifest_clear(&manifest);
}

static void refuses(const char *text, int code, const char *message)
{
    struct imgi_manifest manifest;
    img_error err;

    assert_int_equal(parse(text, &manifest, &err), code);
    assert_int_equal(manifest.count, 0);
    if (!strstr(err.message, message))
        fail_msg("'%s' does not say '%s'", err.message, message);
}

static void refuses_other_lines(void **state)
{
    (void)state;
    refuses("hello", IMG_E_FORMAT, "line 1: ");
    refuses("SHA1(a)= " SHA1_DIGITS "\nSHA1(b)", IMG_E_FORMAT, "line 2: ");
    refuses("SHA1()= " SHA1_DIGITS, IMG_E_FORMAT, "is not");
    refuses("MD5(a)= d41d8cd98f00b204e9800998ecf8427e", IMG_E_UNSUPPORTED, "'MD5'");
    refuses("SHA1(a)= da39", IMG_E_FORMAT, "40 hexadecimal digits");
    refuses("SHA1(a)= " SHA256_DIGITS, IMG_E_FORMAT, "40 hexadecimal digits");
    refuses("SHA1(a)= g" SHA1_DIGITS, IMG_E_FORMAT, "40 hexadecimal digits");
    refuses("SHA1(a)= " SHA1_DIGITS "\nSHA1(a)= " SHA1_DIGITS, IMG_E_FORMAT, "twice");
}

static void an_empty_one_names_nothing(void **state)
{
    struct imgi_manifest manifest;
    img_error err;

    (void)state;
    assert_int_equal(parse("\n\r\n  \n", &manifest, &err), 0);
    assert_int_equal(manifest.count, 0);
    imgi_manifest_clear(&manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_writers_differ_in),
        cmocka_unit_test(writes_what_the_strictest_take),
        cmocka_unit_test(refuses_other_lines),
        cmocka_unit_test(an_empty_one_names_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
