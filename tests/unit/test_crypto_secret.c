/*
 * Secrets: data, files, base 64. SPDX-License-Identifier: BSD-2-Clause
 */
#include "crypto_test.h"

#include <pthread.h>
#include <unistd.h>

#include "crypto/secret.h"

static struct img_secrets *new_set(void)
{
    struct img_secrets *secrets;
    img_error err = {0};

    assert_ok(imgi_secrets_new(&secrets, &err), err);
    return secrets;
}

/* Add the secret under the id "x" to a new set; it must be expected. */
static void check(struct imgi_secret_spec spec, const char *expected, size_t length)
{
    struct img_secrets *secrets = new_set();
    struct imgi_passphrase passphrase;
    img_error err = {0};

    spec.id = "x";
    assert_ok(imgi_secrets_add(secrets, &spec, &err), err);
    assert_ok(imgi_secrets_find(secrets, "x", &passphrase, &err), err);
    assert_int_equal(passphrase.length, length);
    assert_memory_equal(passphrase.bytes, expected, length);
    imgi_secrets_free(secrets);
}

static void test_data(void **state)
{
    (void)state;
    check((struct imgi_secret_spec){.data = "open sesame"}, "open sesame", 11);
    check((struct imgi_secret_spec){.data = ""}, "", 0);
}

/* RFC 4648, section 10; and bytes that are no text. */
static void test_base64(void **state)
{
    static const struct {
        const char *text, *bytes;
        size_t length;
    } cases[] = {
        {"", "", 0},
        {"Zg==", "f", 1},
        {"Zm8=", "fo", 2},
        {"Zm9v", "foo", 3},
        {"Zm9vYg==", "foob", 4},
        {"Zm9vYmE=", "fooba", 5},
        {"Zm9vYmFy", "foobar", 6},
        {"Zm9v\r\nYmFy\n", "foobar", 6},
        {"AP+/+w==", "\0\xff\xbf\xfb", 4},
    };
    static const char *const bad[] = {
        "Zg", "Zg=", "Z===", "Zm9v=", "Zg==Zg==", "Zm9v YmFy", "Zm9*"};
    struct img_secrets *secrets = new_set();
    img_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check((struct imgi_secret_spec){.data = cases[i].text, .base64 = true}, cases[i].bytes,
              cases[i].length);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct imgi_secret_spec spec = {.id = "x", .data = bad[i], .base64 = true};

        assert_error(imgi_secrets_add(secrets, &spec, &err), IMG_E_INVAL, err,
                     "Base64 data contains invalid characters");
    }
    imgi_secrets_free(secrets);
}

/* A file is taken to its last byte, its newline too, as qemu-img does. */
static void test_file(void **state)
{
    char name[] = "/tmp/img-secret.XXXXXX";
    int fd = mkstemp(name);
    struct imgi_secret_spec spec = {.id = "big", .file = name};
    struct img_secrets *secrets = new_set();
    char block[65536];
    img_error err;

    (void)state;
    assert_true(fd >= 0);
    check((struct imgi_secret_spec){.file = name}, "", 0);
    assert_int_equal(write(fd, "Zm9v\n", 5), 5);
    check((struct imgi_secret_spec){.file = name}, "Zm9v\n", 5);
    check((struct imgi_secret_spec){.file = name, .base64 = true}, "foo", 3);

    memset(block, 'a', sizeof(block));
    assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    assert_ok(
        imgi_secrets_add(secrets, &(struct imgi_secret_spec){"65541", NULL, name, false}, &err),
        err);
    assert_int_equal(ftruncate(fd, IMGI_SECRET_MAX_BYTES + 1), 0);
    assert_error(imgi_secrets_add(secrets, &spec, &err), IMG_E_LIMIT, err, "more than 8388608");
    close(fd);
    unlink(name);
    assert_error(imgi_secrets_add(secrets, &spec, &err), IMG_E_NOENT, err, "Unable to read /tmp/");
    spec.file = "/";
    assert_error(imgi_secrets_add(secrets, &spec, &err), IMG_E_IO, err, "Unable to read /");
    imgi_secrets_free(secrets);
}

/* A pipe, written in pieces: its size is not known beforehand. */
static void *feed(void *opaque)
{
    const int *fd = opaque;

    for (int i = 0; i < 3000; i++) {
        if (write(*fd, "0123456789", 10) != 10)
            break;
    }
    close(*fd);
    return NULL;
}

static void test_pipe(void **state)
{
    struct img_secrets *secrets = new_set();
    struct imgi_passphrase passphrase;
    int ends[2];
    char name[32];
    pthread_t writer;
    img_error err = {0};

    (void)state;
    assert_int_equal(pipe(ends), 0);
    snprintf(name, sizeof(name), "/dev/fd/%d", ends[0]);
    assert_int_equal(pthread_create(&writer, NULL, feed, &ends[1]), 0);
    assert_ok(imgi_secrets_add(secrets, &(struct imgi_secret_spec){"p", NULL, name, false}, &err),
              err);
    pthread_join(writer, NULL);
    close(ends[0]);
    assert_ok(imgi_secrets_find(secrets, "p", &passphrase, &err), err);
    assert_int_equal(passphrase.length, 30000);
    assert_memory_equal(passphrase.bytes + 29990, "0123456789", 10);
    imgi_secrets_free(secrets);
}

static void test_set(void **state)
{
    struct img_secrets *secrets = new_set();
    struct imgi_passphrase passphrase;
    char *large;
    img_error err = {0};

    (void)state;
    assert_ok(imgi_secrets_add(secrets, &(struct imgi_secret_spec){"a", "1", NULL, false}, &err),
              err);
    assert_ok(imgi_secrets_add(secrets, &(struct imgi_secret_spec){"b", "22", NULL, false}, &err),
              err);
    assert_ok(imgi_secrets_find(secrets, "a", &passphrase, &err), err);
    assert_int_equal(passphrase.length, 1);
    assert_ok(imgi_secrets_find(secrets, "b", &passphrase, &err), err);
    assert_int_equal(passphrase.length, 2);
    assert_error(imgi_secrets_find(secrets, "c", &passphrase, &err), IMG_E_NOENT, err,
                 "No secret with id 'c'");
    assert_error(imgi_secrets_find(NULL, "a", &passphrase, &err), IMG_E_NOENT, err, "'a'");

    assert_error(imgi_secrets_add(secrets, &(struct imgi_secret_spec){"a", "3", NULL, false}, &err),
                 IMG_E_EXISTS, err, "attempt to add duplicate property 'a'");
    assert_error(imgi_secrets_add(secrets, &(struct imgi_secret_spec){"c", "3", "f", false}, &err),
                 IMG_E_INVAL, err, "mutually exclusive");
    assert_error(
        imgi_secrets_add(secrets, &(struct imgi_secret_spec){"c", NULL, NULL, false}, &err),
        IMG_E_INVAL, err, "must be provided");
    assert_error(
        imgi_secrets_add(secrets, &(struct imgi_secret_spec){NULL, "3", NULL, false}, &err),
        IMG_E_INVAL, err, "'id' is missing");

    large = malloc(IMGI_SECRET_MAX_BYTES + 2);
    assert_non_null(large);
    memset(large, 'x', IMGI_SECRET_MAX_BYTES + 1);
    large[IMGI_SECRET_MAX_BYTES + 1] = '\0';
    assert_error(
        imgi_secrets_add(secrets, &(struct imgi_secret_spec){"d", large, NULL, false}, &err),
        IMG_E_LIMIT, err, "longer than 8388608");
    free(large);
    imgi_secrets_free(secrets);
    imgi_secrets_free(NULL);
}

/* The public function: properties as text. */
static int add_text(img_secrets *secrets, const char *text, img_error *err)
{
    img_options *properties = img_options_new();
    int rc = img_options_parse(properties, text, err);

    if (rc == 0)
        rc = img_secrets_add(secrets, properties, err);
    img_options_free(properties);
    return rc;
}

static void test_properties(void **state)
{
    static const struct {
        const char *text, *error;
        int code;
    } bad[] = {
        {"data=x", "Parameter 'id' is missing", IMG_E_INVAL},
        {"id=1s,data=x", "Parameter 'id' expects an identifier", IMG_E_INVAL},
        {"id=/etc/x,data=x", "Parameter 'id' expects an identifier", IMG_E_INVAL},
        {"id=s s,data=x", "Parameter 'id' expects an identifier", IMG_E_INVAL},
        {"id=s,data=x,foo=1", "Parameter 'foo' is unexpected", IMG_E_INVAL},
        {"id=s,data=x,format=hex", "Parameter 'format' does not accept value 'hex'", IMG_E_INVAL},
        {"id=s", "Either 'file' or 'data' must be provided", IMG_E_INVAL},
        {"id=s,data=x,file=y", "'file' and 'data' are mutually exclusive", IMG_E_INVAL},
    };
    img_secrets *secrets = img_secrets_new();
    struct imgi_passphrase passphrase;
    img_error err = {0};

    (void)state;
    assert_ok(add_text(secrets, "id=plain,data=a,,b", &err), err);
    assert_ok(add_text(secrets, "id=b.6-4_,data=Zm9v,format=base64", &err), err);
    assert_ok(add_text(secrets, "id=/dev/sda2,data=device", &err), err);
    assert_ok(add_text(secrets, "id=1a2b3c4d-0000-4000-8000-0123456789ab,data=uuid", &err), err);
    assert_ok(imgi_secrets_find(secrets, "plain", &passphrase, &err), err);
    assert_memory_equal(passphrase.bytes, "a,b", 3);
    assert_ok(imgi_secrets_find(secrets, "b.6-4_", &passphrase, &err), err);
    assert_memory_equal(passphrase.bytes, "foo", 3);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_error(add_text(secrets, bad[i].text, &err), bad[i].code, err, bad[i].error);
    img_secrets_free(secrets);
    img_secrets_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data), cmocka_unit_test(test_base64),
        cmocka_unit_test(test_file), cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_set),  cmocka_unit_test(test_properties),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
