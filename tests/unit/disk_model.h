/*
 * Random writes to an image, compared with the same writes to memory; closed, opened and checked
 * every now and then. SPDX-License-Identifier: BSD-2-Clause
 *
 * For formats that keep large blocks: some of them, and a last one that is cut short.
 */
#ifndef DISK_MODEL_H
#define DISK_MODEL_H

#include "io_test.h"

#include "libimg.h"

#define MODEL_SIZE ((9u << 20) + 5 * 512)
#define MODEL_ROUNDS 6
#define MODEL_STEPS 30
#define MODEL_LONGEST 300000u

struct disk_model {
    const char *name; /* as it is opened */
    unsigned flags;   /* with which it is */
    const char *format;
    uint64_t seed;
    uint8_t *expected, *found;
};

static inline void model_step(struct disk_model *model, img_image *image)
{
    uint64_t offset = io_random(&model->seed) % MODEL_SIZE;
    uint64_t length = 1 + io_random(&model->seed) % MODEL_LONGEST;
    uint32_t what = io_random(&model->seed) % 8;
    img_error err = {0};

    if (what < 3) { /* whole blocks, as convert and discards have them */
        offset -= offset % (2u << 20);
        length += 2u << 20;
    }
    if (length > MODEL_SIZE - offset)
        length = MODEL_SIZE - offset;
    if (what % 4 == 0) {
        memset(model->expected + offset, 0, length);
        assert_ok(img_zero(image, offset, length, what == 0 ? IMG_ZERO_UNMAP : 0, &err), err);
    } else {
        memset(model->expected + offset, (int)(1 + what), length);
        model->expected[offset] = (uint8_t)io_random(&model->seed);
        assert_ok(img_write(image, offset, model->expected + offset, length, &err), err);
    }
    if (what == 7)
        assert_ok(img_flush(image, &err), err);
}

static inline void model_compare(struct disk_model *model, img_image *image)
{
    img_error err = {0};

    assert_true(img_size(image) >= MODEL_SIZE);
    assert_ok(img_read(image, 0, model->found, MODEL_SIZE, &err), err);
    for (size_t i = 0; i < MODEL_SIZE; i += 512) {
        if (memcmp(model->expected + i, model->found + i, 512) != 0)
            fail_msg("sector at 0x%zx differs", i);
    }
}

static inline void model_say(void *opaque, const char *text)
{
    (void)opaque;
    print_error("%s\n", text);
}

/* Not so much as a leak. */
static inline void model_check(img_image *image)
{
    img_check_result result = {0};
    img_error err = {0};

    assert_ok(img_check(NULL, image, model_say, NULL, &result, &err), err);
    assert_int_equal(result.corruptions + result.leaks + result.check_errors, 0);
}

static inline img_image *model_open(const struct disk_model *model, unsigned flags)
{
    const img_open_params params = {.format =
                                        model->flags & IMG_OPEN_OPTIONS ? NULL : model->format,
                                    .flags = model->flags | flags,
                                    .cache = IMG_CACHE_UNSAFE};
    img_error err = {0};
    img_image *image = NULL;

    assert_ok(img_open(&image, model->name, &params, &err), err);
    return image;
}

static inline void model_make(const char *name, const char *format, uint64_t size,
                              const char *options)
{
    const img_open_params params = {.cache = IMG_CACHE_UNSAFE};
    img_options *set = img_options_new();
    img_image *image;
    img_error err = {0};

    assert_ok(img_options_parse(set, options, &err), err);
    assert_ok(img_create(&image, name, format, size, set, &params, &err), err);
    assert_ok(img_close(image, &err), err);
    img_options_free(set);
}

static inline void model_run(struct disk_model *model)
{
    img_error err = {0};

    for (int round = 0; round < MODEL_ROUNDS; round++) {
        img_image *image = model_open(model, IMG_OPEN_WRITE);

        for (int i = 0; i < MODEL_STEPS; i++)
            model_step(model, image);
        model_compare(model, image);
        assert_ok(img_close(image, &err), err);
        image = model_open(model, 0);
        model_compare(model, image);
        model_check(image);
        assert_ok(img_close(image, &err), err);
    }
}

/* What the disk gains reads as zeros, and can be written; the rest stays. */
static inline void model_grow(struct disk_model *model, uint64_t size)
{
    img_image *image = model_open(model, IMG_OPEN_WRITE);
    uint64_t gained = img_size(image);
    img_error err = {0};

    assert_ok(img_resize(image, size, &err), err);
    assert_true(img_size(image) >= size);
    assert_ok(img_read(image, gained, model->found, 100000, &err), err);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(model->found[i], 0);
    assert_ok(img_write(image, size - 4096, model->expected, 4096, &err), err);
    assert_ok(img_close(image, &err), err);
    image = model_open(model, 0);
    model_compare(model, image);
    assert_ok(img_read(image, size - 4096, model->found, 4096, &err), err);
    assert_memory_equal(model->found, model->expected, 4096);
    model_check(image);
    assert_ok(img_close(image, &err), err);
}

static inline void model_begin(struct disk_model *model, const char *format, const char *name)
{
    *model = (struct disk_model){.name = name, .format = format, .seed = 20250101};
    model->expected = calloc(1, MODEL_SIZE);
    model->found = malloc(MODEL_SIZE);
    assert_true(model->expected && model->found);
}

static inline void model_end(struct disk_model *model)
{
    free(model->expected);
    free(model->found);
}

/* An image full of one byte, for a child to stand on. */
static inline void model_parent(struct disk_model *model, const char *name, const char *options)
{
    struct disk_model parent = {.name = name, .format = model->format};
    img_image *image;
    img_error err = {0};

    model_make(name, model->format, MODEL_SIZE, options);
    image = model_open(&parent, IMG_OPEN_WRITE);
    memset(model->expected, 0xa5, MODEL_SIZE);
    assert_ok(img_write(image, 0, model->expected, MODEL_SIZE, &err), err);
    assert_ok(img_close(image, &err), err);
}

#endif
