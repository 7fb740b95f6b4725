/*
 * tar: headers as they lie on disk, and what is found in archives, honest and other.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/tar.h"

#define BLOCK IMGI_TAR_BLOCK

/* What "tar --format=ustar --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=644" writes for a
 * file "m.ovf" of 5 bytes; the places between are zeros. */
static const struct {
    size_t at;
    const char *text;
} golden[] = {{0, "m.ovf"},     {100, "0000644"},     {108, "0000000"},
              {116, "0000000"}, {124, "00000000005"}, {136, "00000000000"},
              {156, "0"},       {257, "ustar"},       {263, "00"}};

static void make_golden(uint8_t block[BLOCK])
{
    unsigned sum = 0;

    memset(block, 0, BLOCK);
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++)
        memcpy(block + golden[i].at, golden[i].text, strlen(golden[i].text));
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : block[i];
    snprintf((char *)block + 148, 7, "%06o", sum);
    block[155] = ' ';
}

static void headers_are_those_of_ustar(void **state)
{
    uint8_t block[BLOCK], encoded[BLOCK];
    struct imgi_tar_header header;

    (void)state;
    make_golden(block);
    assert_int_equal(imgi_tar_decode(block, &header, NULL), 0);
    assert_string_equal(header.name, "m.ovf");
    assert_int_equal(header.size, 5);
    assert_int_equal(header.type, IMGI_TAR_FILE);
    imgi_tar_encode(&header, encoded);
    assert_memory_equal(encoded, block, BLOCK);
}

static void sizes_from_8_gib_on_are_binary(void **state)
{
    static const uint64_t sizes[] = {
        0, 1, 077777777777, UINT64_C(0100000000000), UINT64_C(1) << 40, INT64_MAX};
    uint8_t block[BLOCK];

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct imgi_tar_header header = {.name = "x", .size = sizes[i], .mtime = sizes[i]}, read;

        imgi_tar_encode(&header, block);
        assert_int_equal(block[124] & 0x80, sizes[i] > 077777777777 ? 0x80 : 0);
        assert_int_equal(imgi_tar_decode(block, &read, NULL), 0);
        assert_true(read.size == sizes[i]);
        assert_true(read.mtime == sizes[i]);
    }
}

/* ---------------------------------------------------------------- archives */

struct archive {
    struct imgi_io *io;
    uint64_t end;
};

static void sign(uint8_t block[BLOCK])
{
    unsigned sum = 0;

    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : block[i];
    snprintf((char *)block + 148, 7, "%06o", sum);
}

static void append(struct archive *archive, const char *name, char type, const char *content)
{
    struct imgi_tar_header header = {.size = strlen(content)};
    uint8_t block[BLOCK];

    snprintf(header.name, sizeof(header.name), "%s", name);
    imgi_tar_encode(&header, block);
    block[156] = (uint8_t)type;
    sign(block);
    assert_int_equal(imgi_io_write(archive->io, block, BLOCK, archive->end, NULL), 0);
    archive->end += BLOCK;
    memset(block, 0, BLOCK);
    memcpy(block, content, strlen(content));
    if (*content) {
        assert_int_equal(imgi_io_write(archive->io, block, BLOCK, archive->end, NULL), 0);
        archive->end += BLOCK;
    }
}

static int read_archive(struct archive *archive, struct imgi_tar *tar, img_error *err)
{
    uint8_t zeros[2 * BLOCK] = {0};

    *err = (img_error){0};
    assert_int_equal(imgi_io_write(archive->io, zeros, sizeof(zeros), archive->end, NULL), 0);
    return imgi_tar_read(tar, archive->io, err);
}

static struct archive archive_new(void)
{
    struct archive archive = {0};

    assert_int_equal(imgi_mem_new(&archive.io, NULL), 0);
    return archive;
}

static void members_are_found_with_all_their_names(void **state)
{
    struct archive archive = archive_new();
    struct imgi_tar tar;
    img_error err;

    (void)state;
    append(&archive, "./", '5', "");
    append(&archive, "./m.ovf", '0', "abc");
    append(&archive, "pax", 'x', "22 path=a name in pax\n10 size=3\n");
    append(&archive, "short", '0', "wxyz");
    append(&archive, "././@LongLink", 'L', "a name in GNU's way");
    append(&archive, "short", '\0', "12");
    append(&archive, "g", 'g', "17 comment=hello\n");
    append(&archive, "last", '7', "");
    assert_int_equal(read_archive(&archive, &tar, &err), 0);
    assert_int_equal(tar.count, 4);
    assert_string_equal(tar.list[0].name, "m.ovf");
    assert_int_equal(tar.list[0].offset, 2 * BLOCK);
    assert_int_equal(tar.list[0].size, 3);
    assert_string_equal(tar.list[1].name, "a name in pax");
    assert_int_equal(tar.list[1].size, 3);
    assert_string_equal(tar.list[2].name, "a name in GNU's way");
    assert_ptr_equal(imgi_tar_find(&tar, "last"), &tar.list[3]);
    assert_null(imgi_tar_find(&tar, "short"));
    imgi_tar_clear(&tar);
    imgi_io_close(archive.io);
}

static void refuses_member(const char *name, char type, const char *content, int code,
                           const char *message)
{
    struct archive archive = archive_new();
    struct imgi_tar tar;
    img_error err;

    append(&archive, "m.ovf", '0', "abc");
    append(&archive, name, type, content);
    append(&archive, "behind", '0', "");
    assert_int_equal(read_archive(&archive, &tar, &err), code);
    assert_int_equal(strncmp(err.message, "tar header at 0x400: ", 21), 0);
    if (!strstr(err.message, message))
        fail_msg("'%s' does not say '%s'", err.message, message);
    imgi_io_close(archive.io);
}

static void refuses_what_an_appliance_does_not_have(void **state)
{
    (void)state;
    refuses_member("/etc/passwd", '0', "", IMG_E_DENIED, "leads out");
    refuses_member("../x", '0', "", IMG_E_DENIED, "leads out");
    refuses_member("a/../../x", '0', "", IMG_E_DENIED, "leads out");
    refuses_member("./../x", '0', "", IMG_E_DENIED, "leads out");
    refuses_member("m.ovf", '0', "", IMG_E_CORRUPT, "another member");
    refuses_member("./m.ovf", '0', "", IMG_E_CORRUPT, "another member");
    refuses_member("", '0', "", IMG_E_CORRUPT, "empty");
    refuses_member("a\nb", '0', "", IMG_E_DENIED, "control characters");
    refuses_member("link", '1', "", IMG_E_DENIED, "no plain file");
    refuses_member("link", '2', "", IMG_E_DENIED, "no plain file");
    refuses_member("device", '3', "", IMG_E_DENIED, "no plain file");
    refuses_member("sparse", 'S', "", IMG_E_DENIED, "no plain file");
    refuses_member("pax", 'x', "5 path=x\n", IMG_E_CORRUPT, "length");
    refuses_member("pax", 'x', "99999999999999999999 a=b\n", IMG_E_CORRUPT, "length");
    refuses_member("pax", 'x', "7 path\n", IMG_E_CORRUPT, "'='");
    refuses_member("pax", 'x', "10 size=x\n", IMG_E_CORRUPT, "not a number");
    refuses_member("pax", 'x', "22 GNU.sparse.major=1\n", IMG_E_UNSUPPORTED, "sparse");
}

/* A field of the second header is overwritten; the checksum is right afterwards, if it is signed
 * again. */
static void refuses_field(size_t at, const char *bytes, size_t length, bool signed_again,
                          const char *message)
{
    struct archive archive = archive_new();
    uint8_t block[BLOCK];
    struct imgi_tar tar;
    img_error err;

    append(&archive, "m.ovf", '0', "");
    append(&archive, "disk", '0', "x");
    assert_int_equal(imgi_io_read(archive.io, block, BLOCK, BLOCK, NULL), 0);
    memcpy(block + at, bytes, length);
    if (signed_again)
        sign(block);
    assert_int_equal(imgi_io_write(archive.io, block, BLOCK, BLOCK, NULL), 0);
    assert_int_equal(read_archive(&archive, &tar, &err), IMG_E_CORRUPT);
    if (!strstr(err.message, message))
        fail_msg("'%s' does not say '%s'", err.message, message);
    imgi_io_close(archive.io);
}

static void refuses_fields_out_of_range(void **state)
{
    (void)state;
    refuses_field(257, "tar", 3, true, "magic");
    refuses_field(0, "D", 1, false, "checksum");
    refuses_field(148, "999999", 6, false, "checksum");
    refuses_field(124, "0000000000x", 11, true, "size: not a number");
    refuses_field(124, "           ", 11, true, "size: not a number");
    refuses_field(124, "77777777777", 11, true, "past the end");
    refuses_field(124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, true, "size");
    refuses_field(124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, true, "past the end");
    refuses_field(124, "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 12, true, "past the end");
}

/* At every length: the members that are whole are found, or an error says where it ends. */
static void archives_may_end_anywhere(void **state)
{
    struct archive archive = archive_new();

    (void)state;
    append(&archive, "m.ovf", '0', "abc");
    append(&archive, "disk", '0', "defg");
    for (uint64_t size = archive.end + 1; size-- > 0;) {
        struct imgi_tar tar;
        img_error err = {0};
        int rc;

        assert_int_equal(imgi_io_resize(archive.io, size, IMGI_PREALLOC_OFF, NULL), 0);
        rc = imgi_tar_read(&tar, archive.io, &err);
        if (size >= 3 * BLOCK + 4)
            assert_true(rc == 0 && tar.count == 2);
        else if (size == 0 || (size >= BLOCK + 3 && size <= 2 * BLOCK))
            assert_true(rc == 0 && tar.count == (size > 0));
        else
            assert_int_equal(rc, IMG_E_CORRUPT);
        imgi_tar_clear(&tar);
    }
    imgi_io_close(archive.io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_those_of_ustar),
        cmocka_unit_test(sizes_from_8_gib_on_are_binary),
        cmocka_unit_test(members_are_found_with_all_their_names),
        cmocka_unit_test(refuses_what_an_appliance_does_not_have),
        cmocka_unit_test(refuses_fields_out_of_range),
        cmocka_unit_test(archives_may_end_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
