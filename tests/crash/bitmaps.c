/*
 * Machines that stop while an image with dirty bitmaps is in use.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *     bitmaps [SEED]
 *
 * The image has a bitmap that is enabled all the time and never cleared. Wherever the machine
 * stops, the image is sound, and a bitmap is gone, or known to be inconsistent, or right: then all
 * is dirty in it that was so at the start, and every block that differs from what it was then.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cut.h"
#include "disk.h"
#include "internal.h"
#include "judge.h"
#include "util/iszero.h"

#define IMAGE "image"
#define BLOCK 512u
#define SIZE_MAXIMUM (1u << 20)
#define KEPT "kept"
#define OTHER "other"
#define OPERATIONS 14

struct shape {
    const char *options;
    uint64_t granularity;
};

static const struct shape shapes[] = {
    {"cluster_size=512", 512},  {"cluster_size=512,refcount_bits=1", 4096},
    {"cluster_size=4k", 512},   {"cluster_size=4k,lazy_refcounts=on", 65536},
    {"cluster_size=64k", 4096},
};

struct recorder {
    const struct shape *shape;
    struct disk disk;
    img_image *image;
    uint64_t random, old_size;
    uint8_t *old, *now; /* SIZE_MAXIMUM bytes: the disk at the start; what is looked at */
    uint8_t dirty[SIZE_MAXIMUM / BLOCK]; /* blocks of the bitmap at the start */
    uint8_t buffer[32 << 10];
    unsigned writes, judged;
    size_t in_use, right, gone; /* states in which the bitmap was so */
};

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err->message);
}

/* ------------------------------------------------------------- operations */

static void change_data(struct recorder *r)
{
    uint64_t size = img_size(r->image), offset, length;
    img_error err;

    offset = cut_random(&r->random, size / BLOCK) * BLOCK;
    length = BLOCK * (1 + cut_random(&r->random, sizeof(r->buffer) / BLOCK));
    length = IMGI_MIN(length, size - offset);
    memset(r->buffer, (int)(++r->writes % 255 + 1), sizeof(r->buffer));
    switch (cut_random(&r->random, 4)) {
    case 0:
        must("zero", img_zero(r->image, offset, length, IMG_ZERO_UNMAP, &err), &err);
        break;
    case 1:
        must("discard", img_discard(r->image, offset, length, &err), &err);
        break;
    default:
        must("write", img_write(r->image, offset, r->buffer, (size_t)length, &err), &err);
    }
}

/* The other bitmap comes and goes. */
static void change_bitmap(struct recorder *r)
{
    bool there = img_bitmap_enable(r->image, OTHER, true, NULL) == 0;
    img_error err;

    if (!there) {
        must("add", img_bitmap_add(r->image, OTHER, 0, true, &err), &err);
        return;
    }
    switch (cut_random(&r->random, 4)) {
    case 0:
        must("remove", img_bitmap_remove(r->image, OTHER, &err), &err);
        break;
    case 1:
        must("clear", img_bitmap_clear(r->image, OTHER, &err), &err);
        break;
    case 2:
        must("disable", img_bitmap_enable(r->image, OTHER, false, &err), &err);
        break;
    default:
        must("merge", img_bitmap_merge(r->image, OTHER, NULL, KEPT, &err), &err);
    }
}

static void compact(struct recorder *r)
{
    img_compact_result result;
    img_error err;

    must("compact", img_compact(NULL, r->image, &result, &err), &err);
}

static void operate(struct recorder *r)
{
    uint64_t choice = cut_random(&r->random, 13);
    img_error err;

    if (choice < 6)
        change_data(r);
    else if (choice < 10)
        change_bitmap(r);
    else if (choice < 11)
        must("flush", img_flush(r->image, &err), &err);
    else if (choice < 12)
        compact(r);
    else
        must("resize",
             img_resize(r->image, BLOCK * (1 + cut_random(&r->random, SIZE_MAXIMUM / BLOCK)), &err),
             &err);
}

/* --------------------------------------------------------------- recording */

static void open_image(img_image **image, unsigned flags)
{
    const img_open_params params = {.format = "qcow2", .flags = flags};
    img_error err;

    must("open", img_open(image, IMAGE, &params, &err), &err);
}

/* Which blocks the bitmap says are dirty; false when it has nothing to say. */
static bool read_bits(img_image *image, uint8_t *dirty)
{
    uint64_t size = img_size(image), run;
    img_error err;
    bool set;

    for (uint64_t at = 0; at < size; at += run) {
        if (img_bitmap_run(image, KEPT, at, size - at, &run, &set, &err) < 0)
            return false;
        memset(dirty + at / BLOCK, set, (size_t)imgi_div_up(run, BLOCK));
    }
    return true;
}

/* The image as it is before anything is recorded. */
static void make_image(struct recorder *r)
{
    img_options *options = img_options_new();
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, r->shape->options, &err), &err);
    must("create", img_create(&r->image, IMAGE, "qcow2", 300 << 10, options, NULL, &err), &err);
    img_options_free(options);
    memset(r->buffer, 0xff, sizeof(r->buffer));
    must("write", img_write(r->image, 0, r->buffer, sizeof(r->buffer), &err), &err);
    must("add", img_bitmap_add(r->image, KEPT, r->shape->granularity, true, &err), &err);
    must("write", img_write(r->image, 8192, r->buffer, 10000, &err), &err);
    must("close", img_close(r->image, &err), &err);
    open_image(&r->image, 0);
    r->old_size = img_size(r->image);
    must("read", img_read(r->image, 0, r->old, (size_t)r->old_size, &err), &err);
    if (!read_bits(r->image, r->dirty))
        give_up("bits", "cannot be read");
    must("close", img_close(r->image, &err), &err);
    disk_load(&r->disk, IMAGE);
}

static void record(struct recorder *r)
{
    img_error err;

    make_image(r);
    disk_attach(&r->disk);
    open_image(&r->image, IMG_OPEN_WRITE);
    for (unsigned n = 0; n < OPERATIONS; n++)
        operate(r);
    must("close", img_close(r->image, &err), &err);
    disk_attach(NULL);
}

/* ----------------------------------------------------------------- judgement */

static const char *judge_bits(struct recorder *r, img_image *image, char *text, size_t size)
{
    static uint8_t dirty[SIZE_MAXIMUM / BLOCK];
    uint64_t end = img_size(image);
    img_error err;

    if (!read_bits(image, dirty)) {
        r->in_use++;
        return NULL;
    }
    r->right++;
    if (img_read(image, 0, r->now, (size_t)end, &err) < 0)
        return "cannot be read";
    for (uint64_t at = 0; at < end; at += BLOCK) {
        bool same = at < r->old_size && memcmp(r->old + at, r->now + at, BLOCK) == 0;
        bool zeros = at >= r->old_size && imgi_is_zero(r->now + at, BLOCK);

        if (dirty[at / BLOCK] || ((same || zeros) && !(at < r->old_size && r->dirty[at / BLOCK])))
            continue;
        snprintf(text, size, "the block at %" PRIu64 " is clean in a bitmap that is relied on", at);
        return text;
    }
    return NULL;
}

static bool has_bitmap(img_image *image, char *text, size_t size)
{
    img_bitmap bitmap;
    img_error err = {0};

    text[0] = '\0';
    for (size_t n = 0; img_bitmap_get(image, n, &bitmap, &err) == 0; n++) {
        if (strcmp(bitmap.name, KEPT) == 0)
            return true;
    }
    if (err.code != IMG_E_NOENT)
        snprintf(text, size, "bitmaps: %s", err.message);
    return false;
}

static const char *judge(void *opaque, size_t log, char *text, size_t size)
{
    struct recorder *r = opaque;
    enum judge_how how = r->judged++ % 4 == 0 ? JUDGE_REPAIRED : JUDGE_AS_IT_IS;
    const char *complaint;
    img_image *image;

    /* Before the repair, whose open for writing drops what is stale. */
    open_image(&image, 0);
    if (has_bitmap(image, text, size)) {
        complaint = judge_bits(r, image, text, size);
    } else {
        r->gone++;
        complaint = text[0] ? text : NULL;
    }
    img_close(image, NULL);
    return complaint ? complaint : judge_file(IMAGE, NULL, log, how, text, size);
}

static void run_case(const struct shape *shape, uint64_t seed, struct cut_result *result)
{
    struct recorder *r = calloc(1, sizeof(*r));
    struct cut_plan plan = {.seed = seed, .choices = 6, .judge = judge, .opaque = r};
    size_t failed = result->failed;

    if (!r || !(r->old = calloc(1, SIZE_MAXIMUM)) || !(r->now = calloc(1, SIZE_MAXIMUM)))
        give_up("buffers", "no memory");
    r->shape = shape;
    r->random = seed * 2 + 1;
    plan.disk = &r->disk;
    disk_init(&r->disk);
    record(r);
    cut_everywhere(&plan, result);
    if (r->in_use == 0 || r->right == 0)
        give_up(shape->options, "not every state of a bitmap was seen");
    printf("%s - %s, bits of %" PRIu64 ", seed %" PRIu64
           ": %zu changes; right %zu, in use %zu, gone "
           "%zu; %zu failed\n",
           result->failed == failed ? "ok" : "not ok", shape->options, shape->granularity, seed,
           imgi_log_count(r->disk.log), r->right, r->in_use, r->gone, result->failed - failed);
    disk_clear(&r->disk);
    free(r->old);
    free(r->now);
    free(r);
    unlink(IMAGE);
}

static void run_one(size_t index, uint64_t seed, struct cut_result *result)
{
    run_case(&shapes[index], seed, result);
}

int main(int argc, char **argv)
{
    return cut_main(argc, argv, IMGI_COUNT(shapes), 6, run_one);
}
