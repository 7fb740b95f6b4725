/*
 * Typed names: parsing them, and opening what they describe. SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spec.h"

static char directory[] = "/tmp/img-spec.XXXXXX";

/* Parse, and give back the set. */
static img_options *parse(const char *name, unsigned flags)
{
    img_options *pairs = NULL;
    const char *path;
    img_error err = {0};

    if (imgi_spec_parse(name, flags, &pairs, &path, &err) < 0)
        fail_msg("%s: %s", name, err.message);
    assert_non_null(pairs);
    return pairs;
}

static void test_flat(void **state)
{
    img_options *pairs =
        parse("json:{\"driver\": \"raw\", \"file\": {\"filename\": \"a,b\", \"x\": [1, true]}, "
              "\"size\": 12, \"backing\": null}",
              IMG_OPEN_TYPED);

    (void)state;
    assert_string_equal(img_options_get(pairs, "driver"), "raw");
    assert_string_equal(img_options_get(pairs, "file.filename"), "a,b");
    assert_string_equal(img_options_get(pairs, "file.x.0"), "1");
    assert_string_equal(img_options_get(pairs, "file.x.1"), "on");
    assert_string_equal(img_options_get(pairs, "size"), "12");
    assert_string_equal(img_options_get(pairs, "backing"), "");
    assert_int_equal(img_options_count(pairs), 6);
    img_options_free(pairs);

    pairs = parse("driver=raw,file.filename=a,,b,read-only", IMG_OPEN_OPTIONS);
    assert_string_equal(img_options_get(pairs, "file.filename"), "a,b");
    assert_string_equal(img_options_get(pairs, "read-only"), "on");
    img_options_free(pairs);
}

/* Without the flags a name is a file's, whatever it looks like. */
static void test_plain(void **state)
{
    static const char *const names[] = {"json:{}", "file:a", "nbd:b", "driver=raw"};
    img_options *pairs;
    const char *path;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(imgi_spec_parse(names[i], 0, &pairs, &path, NULL), 0);
        assert_null(pairs);
        assert_ptr_equal(path, names[i]);
    }
    assert_int_equal(imgi_spec_parse("file:a:b", IMG_OPEN_TYPED, &pairs, &path, NULL), 0);
    assert_null(pairs);
    assert_string_equal(path, "a:b");
    assert_int_equal(imgi_spec_parse("./x:y", IMG_OPEN_TYPED, &pairs, &path, NULL), 0);
    assert_string_equal(path, "./x:y");
}

static void expect_refused(const char *name, unsigned flags, int code, const char *text)
{
    img_options *pairs = NULL;
    const char *path;
    img_error err = {0};

    assert_int_equal(imgi_spec_parse(name, flags, &pairs, &path, &err), code);
    assert_null(pairs);
    if (!strstr(err.message, text))
        fail_msg("'%s' does not say '%s'", err.message, text);
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused("json:[]", IMG_OPEN_TYPED, IMG_E_INVAL, "Invalid JSON object");
    expect_refused("json:", IMG_OPEN_TYPED, IMG_E_INVAL, "JSON parse error");
    expect_refused("json:{\"a\": 1} x", IMG_OPEN_TYPED, IMG_E_INVAL, "JSON parse error");
    expect_refused("json:{\"a\": 1, \"a\": 2}", IMG_OPEN_TYPED, IMG_E_INVAL, "JSON parse error");
    expect_refused("nbd://x", IMG_OPEN_TYPED, IMG_E_UNSUPPORTED, "'nbd' is not supported");
    expect_refused("nonsense:x", IMG_OPEN_TYPED, IMG_E_INVAL, "Unknown protocol 'nonsense'");
    expect_refused(":x", IMG_OPEN_TYPED, IMG_E_INVAL, "Unknown protocol ''");
    expect_refused("", IMG_OPEN_OPTIONS, IMG_E_INVAL, "either driver or file");
}

/* A text made of count times piece between before and after. */
static char *repeat(const char *before, const char *piece, size_t count, const char *after)
{
    size_t length = strlen(piece);
    char *text = malloc(strlen(before) + length * count + strlen(after) + 1), *at = text;

    assert_non_null(text);
    at = stpcpy(at, before);
    while (count-- > 0)
        at = stpcpy(at, piece);
    strcpy(at, after);
    return text;
}

static void test_limits(void **state)
{
    char *text = repeat("json:", "{\"a\":", 16, "1");
    char *deep = repeat(text, "}", 16, "");
    img_options *pairs = parse(deep, IMG_OPEN_TYPED);

    (void)state;
    assert_int_equal(img_options_count(pairs), 1);
    img_options_free(pairs);
    free(text);
    free(deep);

    text = repeat("json:", "{\"a\":", 17, "1");
    deep = repeat(text, "}", 17, "");
    expect_refused(deep, IMG_OPEN_TYPED, IMG_E_LIMIT, "nest deeper");
    free(text);
    free(deep);

    text = repeat("json:{\"a\": [0", ",0", 1023, "]}");
    img_options_free(parse(text, IMG_OPEN_TYPED));
    free(text);
    text = repeat("json:{\"a\": [0", ",0", 1024, "]}");
    expect_refused(text, IMG_OPEN_TYPED, IMG_E_LIMIT, "more than 1024 options");
    free(text);

    text = repeat("json:{\"", "n", 512, "\": 1}");
    expect_refused(text, IMG_OPEN_TYPED, IMG_E_LIMIT, "more than 511 bytes");
    free(text);
    text = repeat("a=", "x", 1 << 20, "");
    expect_refused(text, IMG_OPEN_OPTIONS, IMG_E_LIMIT, "options of more");
    free(text);
    /* jansson's own limit, long before the stack ends */
    text = repeat("json:", "[", 100000, "");
    expect_refused(text, IMG_OPEN_TYPED, IMG_E_INVAL, "JSON parse error");
    free(text);
}

/* ------------------------------------------------------------------ opening */

static int set_up(void **state)
{
    char bytes[4096];

    (void)state;
    if (!mkdtemp(directory) || chdir(directory) < 0)
        return -1;
    int fd = open("disk", O_CREAT | O_WRONLY, 0600);

    for (int i = 0; i < 16; i++) {
        memset(bytes, 'a' + i, sizeof(bytes));
        if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
            return -1;
    }
    return close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    unlink("disk");
    return chdir("/") < 0 || rmdir(directory) < 0 ? -1 : 0;
}

static img_image *open_options(const char *text, unsigned flags)
{
    img_open_params params = {.flags = flags | IMG_OPEN_OPTIONS};
    img_image *image = NULL;
    img_error err = {0};

    if (img_open(&image, text, &params, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    return image;
}

static void expect_not_opened(const char *text, unsigned flags, int code, const char *message)
{
    img_open_params params = {.flags = flags | IMG_OPEN_OPTIONS};
    img_image *image = NULL;
    img_error err = {0};

    assert_int_equal(img_open(&image, text, &params, &err), code);
    if (!strstr(err.message, message))
        fail_msg("%s: '%s' does not say '%s'", text, err.message, message);
}

/* The window is where it was said, for reading, writing and growing. */
static void test_window(void **state)
{
    img_image *image =
        open_options("driver=raw,file.filename=disk,offset=8k,size=4k", IMG_OPEN_WRITE);
    char byte;

    (void)state;
    assert_int_equal(img_size(image), 4096);
    assert_int_equal(img_read(image, 4095, &byte, 1, NULL), 0);
    assert_int_equal(byte, 'c');
    assert_int_equal(img_write(image, 0, "X", 1, NULL), 0);
    assert_int_equal(img_resize(image, 8192, NULL), IMG_E_INVAL);
    assert_int_equal(img_close(image, NULL), 0);

    image = open_options("driver=file,filename=disk", 0);
    assert_int_equal(img_size(image), 65536);
    assert_int_equal(img_read(image, 8192, &byte, 1, NULL), 0);
    assert_int_equal(byte, 'X');
    assert_int_equal(img_write(image, 0, "X", 1, NULL), IMG_E_RDONLY);
    img_close(image, NULL);

    image = open_options("driver=raw,file.filename=disk,offset=60k", IMG_OPEN_WRITE);
    assert_int_equal(img_size(image), 4096);
    assert_int_equal(img_resize(image, 8192, NULL), 0);
    assert_int_equal(img_size(image), 8192);
    assert_int_equal(img_close(image, NULL), 0);
    expect_not_opened("driver=raw,file.filename=disk,offset=60k,size=9k", 0, IMG_E_INVAL,
                      "has to be smaller");
    expect_not_opened("driver=raw,file.filename=disk,offset=60k,size=9223372036854775807", 0,
                      IMG_E_INVAL, "has to be smaller");
    expect_not_opened("driver=raw,file.filename=disk,offset=1M", 0, IMG_E_INVAL, "cannot be");
    expect_not_opened("driver=raw,file.filename=disk,size=100", 0, IMG_E_INVAL, "multiple of 512");
}

static void test_read_only(void **state)
{
    img_image *image = open_options("driver=raw,file.filename=disk,read-only=on", IMG_OPEN_WRITE);

    (void)state;
    assert_int_equal(img_write(image, 0, "X", 1, NULL), IMG_E_RDONLY);
    img_close(image, NULL);
    expect_not_opened("driver=raw,file.filename=disk,file.read-only=on", IMG_OPEN_WRITE,
                      IMG_E_RDONLY, "read-only");
    expect_not_opened("driver=raw,file.filename=disk,force-share=on", IMG_OPEN_WRITE, IMG_E_INVAL,
                      "force-share");
}

/* Two writers at a time: only when neither locks. */
static void test_locking(void **state)
{
    img_image *first =
        open_options("driver=raw,file.filename=disk,file.locking=off", IMG_OPEN_WRITE);
    img_image *second = open_options("driver=raw,file.filename=disk", IMG_OPEN_WRITE);

    (void)state;
    expect_not_opened("driver=raw,file.filename=disk,file.locking=auto", IMG_OPEN_WRITE, IMG_E_BUSY,
                      "lock");
    img_close(second, NULL);
    img_close(first, NULL);
}

/* What is below has the cache mode of the top, unless it is given another. */
static void test_backing_cache(void **state)
{
    enum img_cache none = IMG_CACHE_NONE;
    img_open_params params = {.backing_cache = &none};
    img_options *options = img_options_new();
    img_image *image = NULL;

    (void)state;
    img_options_set(options, "backing_file", "disk", NULL);
    img_options_set(options, "backing_fmt", "raw", NULL);
    assert_int_equal(img_create(&image, "over", "qcow2", 0, options, NULL, NULL), 0);
    assert_int_equal(img_close(image, NULL), 0);
    img_options_free(options);
    image = open_options("driver=qcow2,file.filename=over", 0);
    assert_int_equal(image->top->backing->file->flags & IMGI_IO_DIRECT, 0);
    img_close(image, NULL);
    if (img_open(&image, "over", &params, NULL) == 0) { /* a filesystem may lack O_DIRECT */
        assert_int_equal(image->top->file->flags & IMGI_IO_DIRECT, 0);
        assert_int_not_equal(image->top->backing->file->flags & IMGI_IO_DIRECT, 0);
        img_close(image, NULL);
        image = open_options("driver=qcow2,file.filename=over,cache.direct=on", 0);
        assert_int_not_equal(image->top->file->flags & IMGI_IO_DIRECT, 0);
        assert_int_not_equal(image->top->backing->file->flags & IMGI_IO_DIRECT, 0);
        img_close(image, NULL);
    }
    unlink("over");
}

/* No name in a description is one that an image could have chosen, yet none may be unknown. */
static void test_unknown(void **state)
{
    (void)state;
    expect_not_opened("driver=raw,file.filename=disk,x=1", 0, IMG_E_INVAL,
                      "Block format 'raw' does not support the option 'x'");
    expect_not_opened("driver=raw,file.filename=disk,file.x=1", 0, IMG_E_INVAL,
                      "Block protocol 'file' doesn't support the option 'x'");
    expect_not_opened("driver=raw,file.filename=disk,backing.x=1", 0, IMG_E_INVAL,
                      "does not support the option 'backing.x'");
    expect_not_opened("driver=raw,file.driver=raw,file.file.filename=disk", 0, IMG_E_UNSUPPORTED,
                      "inside of an image");
    expect_not_opened("driver=raw,file.driver=host_device,file.filename=disk", 0, IMG_E_INVAL,
                      "block device");
    expect_not_opened("driver=raw,file=disk", 0, IMG_E_NOENT, "node-name='disk'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat),          cmocka_unit_test(test_plain),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_limits),
        cmocka_unit_test(test_window),        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_backing_cache), cmocka_unit_test(test_locking),
        cmocka_unit_test(test_unknown),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
