/*
 * Random use of dirty bitmaps, against plain arrays. SPDX-License-Identifier: BSD-2-Clause
 *
 * The model of a bitmap has a byte for each of its bits. Seeds are fixed. After each batch the
 * image is checked (no corruption, no leak) and all bits are compared, while it is open and after
 * it was closed and opened again.
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

#define BATCHES 12
#define OPERATIONS 40
#define BITMAPS 4
#define SIZE_MAX_TESTED (6u << 20)

struct bits {
    bool there, enabled;
    unsigned granularity_bits;
    uint8_t dirty[SIZE_MAX_TESTED / 512];
};

struct model {
    img_image *image;
    uint64_t size, random;
    struct bits bitmaps[BITMAPS];
    uint8_t buffer[256 << 10];
};

static const char *const names[BITMAPS] = {"a", "b", "ccc", "a long name, with spaces"};

static uint64_t random_below(struct model *m, uint64_t limit)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random % limit;
}

static void must(int rc, const img_error *err)
{
    if (rc < 0)
        print_error("%s\n", err->message);
    assert_int_equal(rc, 0);
}

/* -------------------------------------------------------------------- the model */

static uint64_t count_of(const struct model *m, const struct bits *bits)
{
    return imgi_div_up(m->size, UINT64_C(1) << bits->granularity_bits);
}

static void set_bits(const struct model *m, struct bits *bits, uint64_t offset, uint64_t length)
{
    uint64_t first = offset >> bits->granularity_bits;
    uint64_t last = (offset + length - 1) >> bits->granularity_bits;

    assert_true(last < count_of(m, bits));
    memset(bits->dirty + first, 1, (size_t)(last - first + 1));
}

static void model_change(struct model *m, uint64_t offset, uint64_t length)
{
    for (size_t i = 0; i < BITMAPS; i++) {
        if (m->bitmaps[i].there && m->bitmaps[i].enabled)
            set_bits(m, &m->bitmaps[i], offset, length);
    }
}

static void model_merge(const struct model *m, struct bits *to, const struct bits *from)
{
    uint64_t bit = UINT64_C(1) << from->granularity_bits;

    for (uint64_t i = 0; i < count_of(m, from); i++) {
        if (from->dirty[i])
            set_bits(m, to, i * bit, IMGI_MIN(bit, m->size - i * bit));
    }
}

static void model_resize(struct model *m, uint64_t size)
{
    uint64_t old = m->size;

    for (size_t i = 0; i < BITMAPS; i++) {
        struct bits *bits = &m->bitmaps[i];
        uint64_t before = count_of(m, bits), after;

        m->size = size;
        after = count_of(m, bits);
        m->size = old;
        if (bits->there && after < before)
            memset(bits->dirty + after, 0, (size_t)(before - after));
    }
    m->size = size;
}

/* ------------------------------------------------------------------- comparison */

static void compare_bits(struct model *m, size_t i)
{
    const struct bits *bits = &m->bitmaps[i];
    uint64_t bit = UINT64_C(1) << bits->granularity_bits, run;
    img_error err = {0};
    bool dirty;

    for (uint64_t at = 0; at < m->size; at += run) {
        must(img_bitmap_run(m->image, names[i], at, m->size - at, &run, &dirty, &err), &err);
        assert_true(run > 0 && run <= m->size - at);
        for (uint64_t n = at / bit; n * bit < at + run; n++) {
            if (bits->dirty[n] != dirty)
                print_error("bitmap %s, bit %llu\n", names[i], (unsigned long long)n);
            assert_int_equal(bits->dirty[n], dirty);
        }
        /* Runs are as long as they can be. */
        if (at + run < m->size)
            assert_int_equal(bits->dirty[(at + run) / bit], !dirty);
    }
}

static void compare(struct model *m)
{
    size_t count = 0, n;
    img_bitmap bitmap;
    img_error err = {0};

    for (n = 0; img_bitmap_get(m->image, n, &bitmap, &err) == 0; n++) {
        size_t i = 0;

        while (i < BITMAPS && strcmp(names[i], bitmap.name) != 0)
            i++;
        assert_true(i < BITMAPS && m->bitmaps[i].there);
        assert_int_equal(bitmap.enabled, m->bitmaps[i].enabled);
        assert_int_equal(bitmap.granularity, UINT64_C(1) << m->bitmaps[i].granularity_bits);
        assert_false(bitmap.inconsistent);
        compare_bits(m, i);
    }
    assert_int_equal(err.code, IMG_E_NOENT);
    for (size_t i = 0; i < BITMAPS; i++)
        count += m->bitmaps[i].there;
    assert_int_equal(count, n);
}

static void say(void *opaque, const char *text)
{
    (void)opaque;
    print_error("%s\n", text);
}

static void check(struct model *m)
{
    img_check_result result;
    img_error err = {0};

    must(img_check(NULL, m->image, say, NULL, &result, &err), &err);
    assert_int_equal(result.corruptions, 0);
    assert_int_equal(result.check_errors, 0);
    assert_int_equal(result.leaks, 0);
}

/* The file as it is now, in memory of its own. */
static struct imgi_io *copy_file(const struct model *m)
{
    struct imgi_io *io;
    const uint8_t *bytes;
    size_t length;

    bytes = imgi_mem_bytes(m->image->top->file, &length);
    assert_int_equal(imgi_mem_new(&io, NULL), 0);
    assert_int_equal(imgi_io_write(io, bytes, length, 0, NULL), 0);
    return io;
}

static void open_copy(struct model *m, img_image **image, unsigned flags)
{
    const img_open_params params = {.format = "qcow2", .flags = flags};
    img_error err = {0};

    must(imgi_image_open_io(image, copy_file(m), "memory", &params, &err), &err);
}

/* Close and open again; on the way look at it as a reader does. */
static void reopen(struct model *m)
{
    img_image *open = m->image, *reader, *writer;
    img_error err = {0};

    /* What img_close does, but for giving up the memory that is the file. */
    must(imgi_node_finish(m->image->top, &err), &err);
    must(img_flush(m->image, &err), &err);
    open_copy(m, &reader, 0);
    open_copy(m, &writer, IMG_OPEN_WRITE);
    m->image = reader;
    compare(m);
    check(m);
    m->image = writer;
    must(img_close(reader, &err), &err);
    must(img_close(open, &err), &err);
}

/* ------------------------------------------------------------------- operations */

static void choose(struct model *m, uint64_t *offset, uint64_t *length)
{
    uint64_t cluster = img_cluster_size(m->image);

    *offset = random_below(m, m->size);
    *length = 1 + random_below(m, IMGI_MIN(m->size - *offset, sizeof(m->buffer)));
    if (random_below(m, 2)) {
        *offset = imgi_align_down(*offset, cluster);
        *length = IMGI_MIN(imgi_align_up(*length, cluster), m->size - *offset);
        *length = IMGI_MIN(*length, imgi_align_up(sizeof(m->buffer), cluster));
    }
}

static void change_data(struct model *m)
{
    uint64_t cluster = img_cluster_size(m->image), offset, length;
    img_error err = {0};

    choose(m, &offset, &length);
    switch (random_below(m, 5)) {
    case 0:
        must(img_zero(m->image, offset, length, IMG_ZERO_UNMAP, &err), &err);
        break;
    case 1:
        must(img_discard(m->image, offset, length, &err), &err);
        break;
    case 2:
        offset = imgi_align_down(offset, cluster);
        length = IMGI_MIN(cluster, m->size - offset);
        if (length > sizeof(m->buffer))
            return;
        must(img_write_compressed(m->image, offset, m->buffer, (size_t)length, &err), &err);
        break;
    default:
        length = IMGI_MIN(length, sizeof(m->buffer));
        must(img_write(m->image, offset, m->buffer, (size_t)length, &err), &err);
    }
    model_change(m, offset, length);
}

/* Dirty or clean as a whole: chunks that need no cluster. */
static void change_all(struct model *m)
{
    img_error err = {0};

    must(img_zero(m->image, 0, m->size, IMG_ZERO_UNMAP, &err), &err);
    model_change(m, 0, m->size);
}

static void change_list(struct model *m, size_t i)
{
    struct bits *bits = &m->bitmaps[i];
    img_error err = {0};

    if (bits->there) {
        must(img_bitmap_remove(m->image, names[i], &err), &err);
        bits->there = false;
        assert_int_equal(img_bitmap_clear(m->image, names[i], &err), IMG_E_NOENT);
        return;
    }
    *bits = (struct bits){.there = true,
                          .enabled = random_below(m, 3) > 0,
                          .granularity_bits = 9 + (unsigned)random_below(m, 23)};
    must(img_bitmap_add(m->image, names[i], UINT64_C(1) << bits->granularity_bits, bits->enabled,
                        &err),
         &err);
    assert_int_equal(img_bitmap_add(m->image, names[i], 0, true, &err), IMG_E_EXISTS);
}

static void change_bitmap(struct model *m, size_t i)
{
    struct bits *bits = &m->bitmaps[i];
    size_t from = random_below(m, BITMAPS);
    img_error err = {0};

    if (!bits->there)
        return;
    switch (random_below(m, 4)) {
    case 0:
        must(img_bitmap_clear(m->image, names[i], &err), &err);
        memset(bits->dirty, 0, sizeof(bits->dirty));
        break;
    case 1:
        bits->enabled = !bits->enabled;
        must(img_bitmap_enable(m->image, names[i], bits->enabled, &err), &err);
        break;
    default:
        if (!m->bitmaps[from].there)
            return;
        must(img_bitmap_merge(m->image, names[i], NULL, names[from], &err), &err);
        model_merge(m, bits, &m->bitmaps[from]);
    }
}

static void resize(struct model *m)
{
    uint64_t size = 512 * (1 + random_below(m, SIZE_MAX_TESTED / 512));
    img_error err = {0};

    must(img_resize(m->image, size, &err), &err);
    model_resize(m, size);
}

static void operate(struct model *m)
{
    uint64_t choice = random_below(m, 40);
    img_error err = {0};

    if (choice < 25)
        change_data(m);
    else if (choice < 28)
        change_list(m, random_below(m, BITMAPS));
    else if (choice < 36)
        change_bitmap(m, random_below(m, BITMAPS));
    else if (choice < 37)
        change_all(m);
    else if (choice < 38)
        resize(m);
    else
        must(img_flush(m->image, &err), &err);
}

static void run_model(const char *text, uint64_t seed)
{
    const img_open_params params = {.flags = IMG_OPEN_WRITE};
    struct model *m = calloc(1, sizeof(*m));
    img_options *options = img_options_new();
    struct imgi_io *io;
    img_error err = {0};

    assert_non_null(m);
    m->random = seed * 0x9e3779b97f4a7c15u + 1;
    m->size = SIZE_MAX_TESTED / 2 + 3 * 512;
    must(img_options_parse(options, text, &err), &err);
    must(imgi_mem_new(&io, &err), &err);
    must(imgi_image_create_io(&m->image, io, "memory", "qcow2", m->size, options, &params, &err),
         &err);
    m->image->created = false; /* the file in memory has its name already */
    print_message("%s, seed %llu\n", text, (unsigned long long)seed);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        for (unsigned n = 0; n < OPERATIONS; n++)
            operate(m);
        compare(m);
        check(m);
        reopen(m);
    }
    must(img_close(m->image, &err), &err);
    img_options_free(options);
    free(m);
}

static void test_random(void **state)
{
    static const char *const shapes[] = {"cluster_size=512", "cluster_size=512,refcount_bits=1",
                                         "cluster_size=4k,refcount_bits=64", "cluster_size=64k",
                                         "cluster_size=2M"};

    (void)state;
    for (size_t i = 0; i < IMGI_COUNT(shapes); i++)
        for (uint64_t seed = 1; seed <= 4; seed++)
            run_model(shapes[i], seed);
}

/* ---------------------------------------------------------------- in use, limits */

static img_image *make_image(const char *text, uint64_t size)
{
    img_options *options = img_options_new();
    struct imgi_io *io;
    img_image *image;
    img_error err = {0};

    must(img_options_parse(options, text, &err), &err);
    must(imgi_mem_new(&io, &err), &err);
    must(imgi_image_create_io(&image, io, "memory", "qcow2", size, options, NULL, &err), &err);
    img_options_free(options);
    return image;
}

/* What a copy of the file says of its first bitmap, now. */
static bool in_use(struct model *m)
{
    img_image *copy;
    img_bitmap bitmap;
    img_error err = {0};
    bool result;

    open_copy(m, &copy, 0);
    must(img_bitmap_get(copy, 0, &bitmap, &err), &err);
    result = bitmap.inconsistent;
    img_abandon(copy);
    return result;
}

static void test_in_use(void **state)
{
    static struct model m;
    img_error err = {0};
    uint64_t run;
    bool dirty;

    (void)state;
    m.image = make_image("cluster_size=4k", 1 << 20);
    must(img_bitmap_add(m.image, "one", 0, true, &err), &err);
    assert_false(in_use(&m));
    must(img_bitmap_run(m.image, "one", 0, 1, &run, &dirty, &err), &err);
    assert_false(in_use(&m));
    must(img_write(m.image, 0, m.buffer, 512, &err), &err);
    assert_true(in_use(&m)); /* before anything is flushed */
    must(img_flush(m.image, &err), &err);
    assert_true(in_use(&m));
    must(imgi_node_finish(m.image->top, &err), &err);
    assert_false(in_use(&m));
    must(img_zero(m.image, 4096, 512, 0, &err), &err);
    assert_true(in_use(&m));
    must(imgi_node_finish(m.image->top, &err), &err);
    must(img_bitmap_enable(m.image, "one", false, &err), &err);
    must(img_write(m.image, 8192, m.buffer, 512, &err), &err);
    assert_false(in_use(&m)); /* nothing that is disabled changes */
    must(img_bitmap_clear(m.image, "one", &err), &err);
    assert_true(in_use(&m));
    must(imgi_node_finish(m.image->top, &err), &err);
    assert_false(in_use(&m));
    img_abandon(m.image);
}

static void test_refusals(void **state)
{
    static char long_name[1025];
    img_image *image = make_image("cluster_size=4k", UINT64_C(1) << 40);
    img_image *old = make_image("compat=0.10", 1 << 20);
    uint64_t run;
    img_error err;
    bool dirty;

    (void)state;
    memset(long_name, 'x', 1024);
    assert_true(img_bitmap_supported(image));
    assert_false(img_bitmap_supported(old));
    assert_int_equal(img_bitmap_add(old, "b", 0, true, &err), IMG_E_UNSUPPORTED);
    assert_int_equal(img_bitmap_add(image, "", 0, true, &err), IMG_E_INVAL);
    assert_int_equal(img_bitmap_add(image, "b", 1000, true, &err), IMG_E_INVAL);
    assert_int_equal(img_bitmap_add(image, "b", 256, true, &err), IMG_E_INVAL);
    assert_int_equal(img_bitmap_add(image, "b", UINT64_C(1) << 32, true, &err), IMG_E_INVAL);
    assert_int_equal(img_bitmap_add(image, long_name, 0, true, &err), IMG_E_INVAL);
    long_name[1023] = '\0';
    assert_int_equal(img_bitmap_add(image, long_name, 4096, true, &err), 0);
    assert_int_equal(img_bitmap_add(image, "256 MiB", 512, true, &err), 0);
    assert_int_equal(img_bitmap_merge(image, "256 MiB", NULL, "none", &err), IMG_E_NOENT);
    assert_int_equal(img_bitmap_merge(image, "256 MiB", old, "none", &err), IMG_E_NOENT);
    assert_int_equal(img_bitmap_run(image, "256 MiB", 1, UINT64_C(1) << 40, &run, &dirty, &err),
                     IMG_E_RANGE);
    /* The bits of the other one would be more than are allowed. */
    assert_int_equal(img_resize(image, UINT64_C(1) << 42, &err), IMG_E_LIMIT);
    assert_int_equal(img_size(image), UINT64_C(1) << 40);
    assert_int_equal(img_bitmap_remove(image, "256 MiB", &err), 0);
    assert_int_equal(img_resize(image, UINT64_C(1) << 42, &err), 0);
    assert_int_equal(img_bitmap_add(image, "more", 512, true, &err), IMG_E_LIMIT);
    img_abandon(image);
    img_abandon(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
