/*
 * Files made of parts of others, members of an archive being written, and digests that follow them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/follow.h"
#include "util/checked.h"

#define MIB (1u << 20)

/* Put that many bytes there, none of which is like its neighbours. */
static struct imgi_io *filled(struct imgi_io *io, size_t size)
{
    uint8_t *bytes = malloc(size);

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    assert_int_equal(imgi_io_write(io, bytes, size, 0, NULL), 0);
    free(bytes);
    return io;
}

static struct imgi_io *memory(size_t size)
{
    struct imgi_io *io;

    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    return filled(io, size);
}

/* A file without a name: what is read while it is written is no race between threads. */
static struct imgi_io *file(size_t size)
{
    struct imgi_io *io;

    assert_int_equal(imgi_file_create(&io, "joined", 0, NULL), 0);
    return filled(io, size);
}

static void parts_are_read_as_one(void **state)
{
    struct imgi_io *a = memory(100), *b = memory(300), *io;
    const struct imgi_io_part parts[] = {{a, 90, 10}, {b, 5, 0}, {b, 200, 50}, {a, 0, 1}};
    const uint8_t *first, *second;
    uint8_t expected[61], found[61];
    uint64_t size;
    size_t length;

    (void)state;
    first = imgi_mem_bytes(a, &length);
    second = imgi_mem_bytes(b, &length);
    memcpy(expected, first + 90, 10);
    memcpy(expected + 10, second + 200, 50);
    expected[60] = first[0];
    assert_int_equal(imgi_joined_new(&io, "x", parts, IMGI_COUNT(parts), NULL), 0);
    assert_int_equal(imgi_io_size(io, &size, NULL), 0);
    assert_int_equal(size, 61);
    for (size_t from = 0; from < 61; from++) {
        for (size_t count = 1; from + count <= 61; count++) {
            assert_int_equal(imgi_io_read(io, found, count, from, NULL), 0);
            assert_memory_equal(found, expected + from, count);
        }
        assert_true(imgi_io_read(io, found, 62 - from, from, NULL) < 0);
    }
    imgi_io_close(io);
    assert_int_equal(imgi_joined_new(&io, "x", parts, 0, NULL), 0);
    assert_int_equal(imgi_io_size(io, &size, NULL), 0);
    assert_int_equal(size, 0);
    imgi_io_close(io);
    imgi_io_close(a);
    imgi_io_close(b);
}

static void parts_are_no_longer_than_files(void **state)
{
    struct imgi_io *a = memory(1), *io = NULL;
    const struct imgi_io_part parts[] = {{a, 0, INT64_MAX}, {a, 0, 1}};

    (void)state;
    assert_int_equal(imgi_joined_new(&io, "x", parts, 2, NULL), IMG_E_RANGE);
    imgi_io_close(a);
}

struct heard {
    uint64_t offset, length;
};

static void hear(void *opaque, uint64_t offset, uint64_t length)
{
    *(struct heard *)opaque = (struct heard){offset, length};
}

static void members_lie_in_their_archive(void **state)
{
    struct imgi_io *base = memory(1000), *io;
    struct heard heard = {0};
    struct imgi_member_watch watch = {.written = hear, .opaque = &heard};
    uint8_t found[8];
    uint64_t size;
    size_t length;

    (void)state;
    assert_int_equal(imgi_member_new(&io, "x", base, 512, &watch, NULL), 0);
    assert_int_equal(imgi_io_write(io, "abcd", 4, 100, NULL), 0);
    assert_int_equal(heard.offset, 100);
    assert_int_equal(heard.length, 4);
    assert_memory_equal(imgi_mem_bytes(base, &length) + 612, "abcd", 4);
    assert_int_equal(imgi_io_size(io, &size, NULL), 0);
    assert_int_equal(size, 104);
    assert_int_equal(imgi_io_read(io, found, 4, 100, NULL), 0);
    assert_memory_equal(found, "abcd", 4);
    assert_true(imgi_io_read(io, found, 5, 100, NULL) < 0);
    assert_false(watch.complete);
    assert_int_equal(imgi_io_publish(io, NULL), 0);
    assert_true(watch.complete);
    assert_int_equal(watch.size, 104);
    imgi_io_close(io);
    imgi_io_close(base);
}

/* What a digest of the bytes from `offset` on is. */
static void digest_of(struct imgi_io *io, size_t offset, uint8_t digest[IMGI_HASH_MAX_BYTES])
{
    struct imgi_digest *context;
    uint64_t size;
    uint8_t *bytes;

    assert_int_equal(imgi_io_size(io, &size, NULL), 0);
    size -= offset;
    bytes = malloc(size);
    assert_non_null(bytes);
    assert_int_equal(imgi_io_read(io, bytes, size, offset, NULL), 0);
    assert_int_equal(imgi_digest_new(&context, IMGI_HASH_SHA256, NULL), 0);
    assert_int_equal(imgi_digest_update(context, bytes, size, NULL), 0);
    assert_int_equal(imgi_digest_final(context, digest, NULL), 0);
    imgi_digest_free(context);
    free(bytes);
}

/* Pieces in an order with gaps, one behind the other, and one that comes again changed. */
static void digests_follow_in_any_order(void **state)
{
    static const size_t orders[][5] = {{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {1, 0, 4, 2, 3}};

    (void)state;
    for (size_t n = 0; n < 2 * IMGI_COUNT(orders); n++) {
        struct imgi_io *io = file(100 + 5 * MIB);
        uint8_t expected[IMGI_HASH_MAX_BYTES], found[IMGI_HASH_MAX_BYTES];
        struct imgi_follower *follower;

        assert_int_equal(imgi_follower_begin(&follower, io, 100, 0, IMGI_HASH_SHA256, NULL), 0);
        for (size_t i = 0; i < 5; i++)
            imgi_follower_written(follower, orders[n / 2][i] * MIB, MIB);
        if (n % 2) {
            assert_int_equal(imgi_io_write(io, "again", 5, 100, NULL), 0);
            imgi_follower_written(follower, 0, 5);
        }
        assert_int_equal(imgi_follower_end(follower, 5 * MIB, found, NULL), 0);
        digest_of(io, 100, expected);
        assert_memory_equal(found, expected, imgi_hash_bytes(IMGI_HASH_SHA256));
        imgi_io_close(io);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_read_as_one),
        cmocka_unit_test(parts_are_no_longer_than_files),
        cmocka_unit_test(members_lie_in_their_archive),
        cmocka_unit_test(digests_follow_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
