/*
 * Policy: limits on numbers, and the names an image may have opened.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Runs in a private directory that holds dir/{disk,base,sub/deep} and the file outside, with
 * symbolic links between them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy.h"
#include "util/checked.h"

static char root[] = "/tmp/img-test-policy-XXXXXX";

static void touch(const char *name)
{
    int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static int make_tree(void **state)
{
    (void)state;
    if (!mkdtemp(root) || chdir(root) != 0)
        return -1;
    if (mkdir("dir", 0700) != 0 || mkdir("dir/sub", 0700) != 0)
        return -1;
    touch("outside");
    touch("dir/disk");
    touch("dir/base");
    touch("dir/a:b");
    touch("dir/sub/deep");
    if (symlink("../outside", "dir/link-out") != 0 || symlink("base", "dir/link-in") != 0 ||
        symlink("nowhere", "dir/link-nowhere") != 0 || symlink("/", "dir/link-root") != 0 ||
        symlink("dir", "alias") != 0)
        return -1;
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static int remove_tree(void **state)
{
    (void)state;
    return chdir("/") != 0 ? -1 : nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path that name in image is opened by under the given reach; "" and *code when refused. */
static const char *judge(enum img_reach reach, const char *image, const char *name, int *code)
{
    static char result[512];
    img_policy *policy = img_policy_new();
    img_error err = {0};
    char *path = NULL;

    img_policy_set_reach(policy, reach);
    *code = imgi_policy_path(policy, image, "backing file", name, &path, &err);
    assert_int_equal(err.code, *code);
    if (*code != 0) {
        assert_null(path);
        assert_int_equal(strncmp(err.message, "backing file: ", 14), 0);
    }
    snprintf(result, sizeof(result), "%s", path ? path : "");
    free(path);
    img_policy_free(policy);
    return result;
}

static void expect(enum img_reach reach, const char *image, const char *name, const char *path)
{
    int code;

    assert_string_equal(judge(reach, image, name, &code), path);
    assert_int_equal(code, 0);
}

static void refuse(enum img_reach reach, const char *image, const char *name, int expected)
{
    int code;

    judge(reach, image, name, &code);
    if (code != expected)
        fail_msg("reach %d, '%s' in '%s': %d", (int)reach, name, image, code);
}

/* Names are joined as text: nothing needs to exist. */
static void test_any(void **state)
{
    (void)state;
    expect(IMG_REACH_ANY, "disk", "base", "base");
    expect(IMG_REACH_ANY, "no/such/disk", "base", "no/such/base");
    expect(IMG_REACH_ANY, "/no/such/disk", "../base", "/no/such/../base");
    expect(IMG_REACH_ANY, "dir/disk", "/abs/base", "/abs/base");
    expect(IMG_REACH_ANY, "/disk", "base", "/base");
    expect(IMG_REACH_ANY, "dir/disk", "file:base", "dir/base");
    expect(IMG_REACH_ANY, "dir/disk", "file:/abs", "/abs");
    expect(IMG_REACH_ANY, "dir/disk", "./a:b", "dir/./a:b");
    expect(IMG_REACH_ANY, "dir/disk", "\xc3\xa4 b", "dir/\xc3\xa4 b");
}

/* What comes out never reads as a protocol, whatever stood behind "file:". */
static void test_file_prefix_hides_nothing(void **state)
{
    (void)state;
    expect(IMG_REACH_ANY, "disk", "file:nbd://host/x", "./nbd://host/x");
    expect(IMG_REACH_ANY, "disk", "file:json:{}", "./json:{}");
    expect(IMG_REACH_ANY, "disk", "file:file:x", "./file:x");
    expect(IMG_REACH_ANY, "dir/disk", "file:nbd:x", "dir/nbd:x");
}

static void test_names_that_are_refused_always(void **state)
{
    static const struct {
        const char *name;
        int code;
    } names[] = {
        {"json:{\"driver\":\"raw\"}", IMG_E_DENIED},
        {"nbd://host/export", IMG_E_DENIED},
        {"nbd:host:10809", IMG_E_DENIED},
        {"http://host/x", IMG_E_DENIED},
        {"fat:/etc", IMG_E_DENIED},
        {"rbd:pool/x", IMG_E_DENIED},
        {"a:b", IMG_E_DENIED},
        {":", IMG_E_DENIED},
        {"FILE:base", IMG_E_DENIED},
        {"base\n", IMG_E_DENIED},
        {"ba\x1bse", IMG_E_DENIED},
        {"\x7f", IMG_E_DENIED},
        {"file:ba\x01", IMG_E_DENIED},
        {"", IMG_E_CORRUPT},
        {"file:", IMG_E_CORRUPT},
    };
    static const enum img_reach reaches[] = {IMG_REACH_ANY, IMG_REACH_DIRECTORY, IMG_REACH_NONE};

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(names); i++) {
        for (size_t j = 0; j < IMGI_COUNT(reaches); j++)
            refuse(reaches[j], "dir/disk", names[i].name, names[i].code);
    }
}

static void test_none(void **state)
{
    (void)state;
    refuse(IMG_REACH_NONE, "dir/disk", "base", IMG_E_DENIED);
    refuse(IMG_REACH_NONE, "dir/disk", "/etc/passwd", IMG_E_DENIED);
}

static void test_directory_allows(void **state)
{
    char name[128], path[128];

    (void)state;
    expect(IMG_REACH_DIRECTORY, "dir/disk", "base", "dir/base");
    expect(IMG_REACH_DIRECTORY, "dir/disk", "./base", "dir/base");
    expect(IMG_REACH_DIRECTORY, "dir/disk", "sub/../base", "dir/base");
    expect(IMG_REACH_DIRECTORY, "dir/disk", "../dir/base", "dir/base");
    expect(IMG_REACH_DIRECTORY, "dir/disk", "file:base", "dir/base");
    expect(IMG_REACH_DIRECTORY, "outside", "outside", "outside");
    expect(IMG_REACH_DIRECTORY, "dir/disk", "file:a:b", "dir/a:b");
    /* The link is followed here, so that what is opened is no link. */
    expect(IMG_REACH_DIRECTORY, "dir/disk", "link-in", "dir/base");
    /* The caller's own way to the image may go over links. */
    expect(IMG_REACH_DIRECTORY, "alias/disk", "base", "alias/base");
    /* Absolute, but in the directory. */
    snprintf(name, sizeof(name), "%s/dir/base", root);
    expect(IMG_REACH_DIRECTORY, "dir/disk", name, "dir/base");
    snprintf(path, sizeof(path), "%s/dir/disk", root);
    expect(IMG_REACH_DIRECTORY, path, "base", name);
    /* An extent that is about to be made. */
    expect(IMG_REACH_DIRECTORY, "dir/disk", "new", "dir/new");
    expect(IMG_REACH_DIRECTORY, "new", "new-flat", "new-flat");
}

static void test_directory_refuses(void **state)
{
    (void)state;
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "../outside", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "/etc/passwd", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "/", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "/proc/self/exe", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "link-out", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "link-root/etc/passwd", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "sub/deep", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "..", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", ".", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "../new", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/sub/deep", "../base", IMG_E_DENIED);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "no/such", IMG_E_NOENT);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "link-nowhere", IMG_E_NOENT);
    refuse(IMG_REACH_DIRECTORY, "dir/disk", "base/", IMG_E_NOENT);
    refuse(IMG_REACH_DIRECTORY, "no/such/disk", "base", IMG_E_NOENT);
}

/* A table that is in order, with room in its file to grow. */
static const struct imgi_table sound = {
    .what = "L1 table",
    .offset = 4096,
    .entries = 512,
    .entry_size = 8,
    .alignment = 512,
    .file_size = UINT64_C(1) << 40,
};

static void expect_table(struct imgi_table table, int code, const char *message)
{
    img_error err = {0};

    assert_int_equal(imgi_policy_table(imgi_policy_default(), &table, &err), code);
    assert_int_equal(err.code, code);
    assert_string_equal(err.message, message);
}

static void test_table_size(void **state)
{
    static const uint64_t most = (UINT64_C(256) << 20) / 8;
    struct imgi_table table = sound;

    (void)state;
    expect_table(table, 0, "");
    table.entries = 0;
    expect_table(table, 0, "");
    table.entries = most;
    expect_table(table, 0, "");
    table.entries = most + 1;
    expect_table(table, IMG_E_LIMIT,
                 "L1 table: 33554433 entries of 8 bytes at 0x1000 are over the limit of 268435456 "
                 "bytes for one table");
    /* The product wraps to 0. */
    table.entries = UINT64_C(1) << 61;
    expect_table(table, IMG_E_LIMIT,
                 "L1 table: 2305843009213693952 entries of 8 bytes at 0x1000 are over the limit of "
                 "268435456 bytes for one table");
}

static void test_table_place(void **state)
{
    struct imgi_table table = sound;

    (void)state;
    table.file_size = table.offset + table.entries * table.entry_size;
    expect_table(table, 0, "");
    table.file_size--;
    expect_table(table, IMG_E_CORRUPT,
                 "L1 table: 4096 bytes at 0x1000 reach past the end of the file (0x1fff)");
    table.offset = UINT64_MAX - 511;
    expect_table(
        table, IMG_E_CORRUPT,
        "L1 table: 4096 bytes at 0xfffffffffffffe00 reach past the end of the file (0x1fff)");
    table = sound;
    table.offset = 4097;
    expect_table(table, IMG_E_CORRUPT, "L1 table: offset 0x1001 is not a multiple of 512");
    table.alignment = 1;
    expect_table(table, 0, "");
    table.alignment = 0;
    expect_table(table, 0, "");
}

static void test_limits(void **state)
{
    img_policy *policy = img_policy_new();
    struct imgi_table table = sound;
    img_error err = {0};

    (void)state;
    assert_int_equal(imgi_policy_limit(policy, IMG_LIMIT_CHAIN_DEPTH, 200, "depth", NULL), 0);
    assert_int_equal(imgi_policy_limit(policy, IMG_LIMIT_CHAIN_DEPTH, 201, "depth", &err),
                     IMG_E_LIMIT);
    assert_string_equal(err.message, "depth: 201 is over the limit of 200");
    assert_int_equal(imgi_policy_limit(policy, IMG_LIMIT_VIRTUAL_SIZE, INT64_MAX, "size", NULL), 0);
    assert_int_equal(
        imgi_policy_limit(policy, IMG_LIMIT_VIRTUAL_SIZE, UINT64_C(1) << 63, "size", NULL),
        IMG_E_LIMIT);
    assert_int_equal(imgi_policy_limit(policy, IMG_LIMIT_EXTENTS, 4096, "extents", NULL), 0);
    assert_int_equal(imgi_policy_limit(policy, IMG_LIMIT_EXTENTS, 4097, "extents", NULL),
                     IMG_E_LIMIT);
    img_policy_set_limit(policy, IMG_LIMIT_EXTENTS, 1);
    assert_int_equal(imgi_policy_limit(policy, IMG_LIMIT_EXTENTS, 2, "extents", NULL), IMG_E_LIMIT);
    img_policy_set_limit(policy, IMG_LIMIT_TABLE_BYTES, 4095);
    assert_int_equal(imgi_policy_table(policy, &table, NULL), IMG_E_LIMIT);
    img_policy_set_limit(policy, (enum img_limit)99, 1); /* ignored */
    img_policy_set_probe(policy, false);
    assert_false(policy->probe);
    img_policy_free(policy);
    img_policy_free(NULL);
    assert_true(imgi_policy_default()->probe);
    assert_int_equal(imgi_policy_default()->reach, IMG_REACH_ANY);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_any),
    cmocka_unit_test(test_file_prefix_hides_nothing),
    cmocka_unit_test(test_names_that_are_refused_always),
    cmocka_unit_test(test_none),
    cmocka_unit_test(test_directory_allows),
    cmocka_unit_test(test_directory_refuses),
    cmocka_unit_test(test_table_size),
    cmocka_unit_test(test_table_place),
    cmocka_unit_test(test_limits),
};

int main(void)
{
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
