/*
 * Random writes to qcow2 images, against a plain array. SPDX-License-Identifier: BSD-2-Clause
 *
 * The seeds are fixed. After each batch of operations the image is closed, opened again, checked
 * (no corruption, no leak) and compared with the array, byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "internal.h"

#define BATCHES 8
#define OPERATIONS 60

struct model {
    img_image *image;
    struct imgi_packer *packer;
    uint8_t *content, *scratch;
    uint64_t size, cluster;
    uint64_t random;
};

struct shape {
    const char *options;
    uint64_t clusters; /* of the disk, and a bit more */
};

static uint64_t random_below(struct model *m, uint64_t limit)
{
    /* xorshift64: the same numbers everywhere */
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random % limit;
}

static void complain(const img_error *err, int rc)
{
    if (rc < 0)
        print_error("%s\n", err->message);
    assert_int_equal(rc, 0);
}

static void reopen(struct model *m)
{
    const img_open_params params = {.format = "qcow2", .flags = IMG_OPEN_WRITE};
    struct imgi_io *io;
    const uint8_t *bytes;
    size_t length;
    uint8_t *copy;
    img_error err = {0};

    complain(&err, img_flush(m->image, &err));
    bytes = imgi_mem_bytes(m->image->top->file, &length);
    copy = malloc(length);
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    complain(&err, img_close(m->image, &err));
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    assert_int_equal(imgi_io_write(io, copy, length, 0, NULL), 0);
    free(copy);
    complain(&err, imgi_image_open_io(&m->image, io, "memory", &params, &err));
}

static void say(void *opaque, const char *text)
{
    (void)opaque;
    print_error("%s\n", text);
}

static void verify(struct model *m)
{
    img_check_result result;
    img_error err = {0};

    complain(&err, img_check(NULL, m->image, say, NULL, &result, &err));
    assert_int_equal(result.corruptions, 0);
    assert_int_equal(result.check_errors, 0);
    assert_int_equal(result.leaks, 0);
    assert_int_equal(img_size(m->image), m->size);
    complain(&err, img_read(m->image, 0, m->scratch, m->size, &err));
    assert_memory_equal(m->scratch, m->content, m->size);
}

/* A random range, often of whole clusters or subclusters. */
static void choose(struct model *m, uint64_t *offset, uint64_t *length)
{
    uint64_t choice = random_below(m, 4);
    uint64_t unit = choice == 0 ? imgi_node_grain(m->image->top) : m->cluster;

    *offset = random_below(m, m->size);
    *length = 1 + random_below(m, IMGI_MIN(m->size - *offset, 9 * unit));
    if (choice < 3) {
        *offset = imgi_align_down(*offset, unit);
        *length = IMGI_MIN(imgi_align_up(*length, unit), m->size - *offset);
    }
}

static void fill(struct model *m, uint64_t offset, uint64_t length)
{
    uint8_t byte = (uint8_t)random_below(m, 256);

    for (uint64_t i = 0; i < length; i++)
        m->content[offset + i] = (uint8_t)(byte + (i >> 5));
}

static void write_range(struct model *m)
{
    uint64_t offset, length;
    img_error err = {0};

    choose(m, &offset, &length);
    fill(m, offset, length);
    complain(&err, img_write(m->image, offset, m->content + offset, length, &err));
}

static void write_packed(struct model *m)
{
    uint64_t offset = imgi_align_down(random_below(m, m->size), m->cluster);
    uint64_t length = IMGI_MIN(m->cluster, m->size - offset);
    img_error err = {0};
    size_t packed;

    fill(m, offset, length);
    memset(m->scratch, 0, m->cluster);
    memcpy(m->scratch, m->content + offset, length);
    packed = imgi_pack(m->packer, m->scratch, m->cluster, m->scratch + m->cluster, m->cluster - 1);
    if (packed > 0)
        complain(&err, imgi_node_write_packed(m->image->top, offset, length,
                                              m->scratch + m->cluster, packed, &err));
    else
        complain(&err, img_write(m->image, offset, m->content + offset, length, &err));
}

static void zero_range(struct model *m, unsigned flags)
{
    uint64_t offset, length;
    img_error err = {0};

    choose(m, &offset, &length);
    memset(m->content + offset, 0, length);
    complain(&err, img_zero(m->image, offset, length, flags, &err));
}

/* Each byte is afterwards what it was, or zero. */
static void discard_range(struct model *m)
{
    uint64_t offset, length;
    img_error err = {0};

    choose(m, &offset, &length);
    complain(&err, img_discard(m->image, offset, length, &err));
    complain(&err, img_read(m->image, offset, m->scratch, length, &err));
    for (uint64_t i = 0; i < length; i++) {
        if (m->scratch[i] != 0)
            assert_int_equal(m->scratch[i], m->content[offset + i]);
        m->content[offset + i] = m->scratch[i];
    }
}

static void grow(struct model *m)
{
    uint64_t added = 512 * (1 + random_below(m, m->cluster / 64));
    img_error err = {0};

    m->content = realloc(m->content, m->size + added);
    m->scratch = realloc(m->scratch, m->size + added + 4 * m->cluster);
    assert_non_null(m->content);
    assert_non_null(m->scratch);
    memset(m->content + m->size, 0, added);
    m->size += added;
    complain(&err, img_resize(m->image, m->size, &err));
}

static void one_operation(struct model *m)
{
    uint64_t choice = random_below(m, 100);
    img_error err = {0};

    if (choice < 40)
        write_range(m);
    else if (choice < 60)
        write_packed(m);
    else if (choice < 70)
        zero_range(m, 0);
    else if (choice < 80)
        zero_range(m, IMG_ZERO_UNMAP);
    else if (choice < 92)
        discard_range(m);
    else if (choice < 99)
        complain(&err, img_flush(m->image, &err));
    else
        grow(m);
}

static void begin(struct model *m, const struct shape *shape, uint64_t seed)
{
    img_options *options = img_options_new();
    struct imgi_io *io;
    img_error err = {0};

    *m = (struct model){.random = seed};
    complain(&err, img_options_parse(options, shape->options, &err));
    assert_int_equal(img_parse_size(img_options_get(options, "cluster_size"), &m->cluster, NULL),
                     0);
    m->size = m->cluster * shape->clusters + 512;
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    complain(&err,
             imgi_image_create_io(&m->image, io, "memory", "qcow2", m->size, options, NULL, &err));
    m->content = calloc(1, m->size);
    m->scratch = malloc(m->size + 4 * m->cluster);
    assert_non_null(m->content);
    assert_non_null(m->scratch);
    complain(&err, imgi_packer_new(&m->packer, &m->image->top->pack, &err));
    img_options_free(options);
}

static void run(const struct shape *shape, uint64_t seed)
{
    struct model m;

    begin(&m, shape, seed);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        for (unsigned i = 0; i < OPERATIONS; i++)
            one_operation(&m);
        complain(NULL, img_flush(m.image, NULL));
        verify(&m);
        reopen(&m);
        verify(&m);
    }
    assert_int_equal(img_close(m.image, NULL), 0);
    imgi_packer_free(m.packer);
    free(m.content);
    free(m.scratch);
}

static void images_hold_what_was_written(void **state)
{
    static const struct shape shapes[] = {
        {"cluster_size=512", 700},
        {"cluster_size=512,refcount_bits=1", 500},
        {"cluster_size=512,refcount_bits=64,compression_type=zstd", 700},
        {"cluster_size=1k,refcount_bits=2", 300},
        {"cluster_size=4k,compat=0.10", 200},
        {"cluster_size=4k,refcount_bits=4", 200},
        {"cluster_size=64k", 40},
        {"cluster_size=64k,refcount_bits=8,compression_type=zstd", 40},
        {"cluster_size=2M,refcount_bits=32", 4},
        {"cluster_size=16k,extended_l2=on", 90},
        {"cluster_size=64k,extended_l2=on,compression_type=zstd", 30},
        {"cluster_size=64k,extended_l2=on,preallocation=metadata", 30},
        {"cluster_size=2M,extended_l2=on", 4},
    };

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(shapes); i++) {
        print_message("%s\n", shapes[i].options);
        run(&shapes[i], 0x1234567 + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(images_hold_what_was_written)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
