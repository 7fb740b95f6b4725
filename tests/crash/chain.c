/*
 * Machines that stop while a chain of qcow2 images changes: commit, rebase and sparsify.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *     chain [SEED]
 *
 * As qcow2.c, for what touches two files at once. The overlay must read as the same disk at every
 * moment, whatever has reached either file; the base is an image without damage, and holds the
 * overlay's disk once the commit has ended.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "content.h"
#include "cut.h"
#include "disk.h"
#include "internal.h"
#include "judge.h"

#define IMAGE "image"
#define BASE "base"
#define OTHER "other"

struct scenario {
    const char *name;
    const char *options;
    uint64_t size, base_size;
    int (*run)(img_image *image, img_error *err);
    bool commits; /* the base holds the overlay's disk afterwards */
};

struct recorder {
    const struct scenario *scenario;
    struct disk disk;
    struct content overlay, base;
    uint64_t random;
    unsigned judged;
};

static int commit(img_image *image, img_error *err)
{
    return img_commit(NULL, image, NULL, err);
}

static int rebase(img_image *image, img_error *err)
{
    return img_rebase(NULL, image, OTHER, "qcow2", err);
}

static int rebase_compressed(img_image *image, img_error *err)
{
    img_job *job = img_job_new();
    int rc;

    if (!job)
        give_up("job", "no memory");
    img_job_set_flags(job, IMG_JOB_COMPRESS);
    rc = img_rebase(job, image, OTHER, "qcow2", err);
    img_job_free(job);
    return rc;
}

static int flatten(img_image *image, img_error *err)
{
    return img_rebase(NULL, image, NULL, NULL, err);
}

static int sparsify(img_image *image, img_error *err)
{
    img_sparsify_result result;
    int rc = img_sparsify(NULL, image, &result, err);

    if (rc == 0 && result.zeros == 0)
        give_up("sparsify", "there were no zeros");
    return rc;
}

static const struct scenario scenarios[] = {
    {"commit", "cluster_size=512", 200 << 10, 200 << 10, commit, true},
    {"commit to a smaller base", "cluster_size=4k", 600 << 10, 300 << 10, commit, true},
    {"commit, version 2", "cluster_size=4k,compat=0.10", 600 << 10, 600 << 10, commit, true},
    {"commit", "cluster_size=64k", 2 << 20, 2 << 20, commit, true},
    {"rebase", "cluster_size=512", 200 << 10, 200 << 10, rebase, false},
    {"rebase", "cluster_size=4k", 600 << 10, 300 << 10, rebase, false},
    {"rebase, version 2", "cluster_size=4k,compat=0.10", 600 << 10, 800 << 10, rebase, false},
    {"rebase", "cluster_size=64k", 2 << 20, 2 << 20, rebase, false},
    {"rebase -c", "cluster_size=4k", 600 << 10, 600 << 10, rebase_compressed, false},
    {"rebase to nothing", "cluster_size=4k", 600 << 10, 600 << 10, flatten, false},
    {"sparsify", "cluster_size=4k", 600 << 10, 300 << 10, sparsify, false},
    {"sparsify", "cluster_size=512", 200 << 10, 200 << 10, sparsify, false},
    {"sparsify", "cluster_size=16k,extended_l2=on", 1 << 20, 600 << 10, sparsify, false},
};

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err->message);
}

/* ----------------------------------------------------------------- the chain */

static img_image *create(const struct recorder *r, const char *name, uint64_t size,
                         const char *backing)
{
    img_options *options = img_options_new();
    img_image *image;
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, r->scenario->options, &err), &err);
    if (backing) {
        must("options", img_options_set(options, "backing_file", backing, &err), &err);
        must("options", img_options_set(options, "backing_fmt", "qcow2", &err), &err);
    }
    must("create", img_create(&image, name, "qcow2", size, options, NULL, &err), &err);
    img_options_free(options);
    return image;
}

/* Writes and zeros at random; contents: who is told of them. */
static void fill(struct recorder *r, img_image *image, struct content *content, unsigned count)
{
    static uint8_t buffer[64 << 10];
    uint64_t size = img_size(image);
    img_error err;

    for (unsigned i = 0; i < count; i++) {
        unsigned n = cut_random(&r->random, 4) ? content_write(content) : 0;
        uint64_t offset = cut_random(&r->random, size / CONTENT_BLOCK) * CONTENT_BLOCK;
        uint64_t length = (1 + cut_random(&r->random, 128)) * CONTENT_BLOCK;

        length = IMGI_MIN(length, size - offset);
        content_fill(buffer, offset, (size_t)length, n);
        if (n)
            must("write", img_write(image, offset, buffer, (size_t)length, &err), &err);
        else
            must("zero", img_zero(image, offset, length, IMG_ZERO_UNMAP, &err), &err);
        content_put(content, offset, length, n);
    }
}

/* Zeros that take space. */
static void store_zeros(struct recorder *r, img_image *image)
{
    static const uint8_t zeros[64 << 10];
    img_error err;

    must("write", img_write(image, 128 << 10, zeros, sizeof(zeros), &err), &err);
    content_put(&r->overlay, 128 << 10, sizeof(zeros), 0);
}

static void make_chain(struct recorder *r)
{
    const struct scenario *s = r->scenario;
    struct content other;
    img_image *image;
    img_error err;

    content_init(&other, s->size, s->size);
    image = create(r, OTHER, s->size, NULL);
    fill(r, image, &other, 8);
    must("close", img_close(image, &err), &err);
    content_clear(&other);

    image = create(r, BASE, s->base_size, NULL);
    fill(r, image, &r->base, 12);
    must("close", img_close(image, &err), &err);

    /* What the base holds shows through, and writes go on being numbered. */
    for (uint64_t i = 0; i < IMGI_MIN(r->overlay.blocks, s->base_size / CONTENT_BLOCK); i++)
        r->overlay.steps[0].sets[i] = r->base.steps[0].sets[i];
    r->overlay.writes = r->base.writes;
    image = create(r, IMAGE, s->size, BASE);
    fill(r, image, &r->overlay, 12);
    store_zeros(r, image);
    must("close", img_close(image, &err), &err);

    disk_load(&r->disk, IMAGE);
    disk_load(&r->disk, BASE);
    disk_load(&r->disk, OTHER);
}

/* ------------------------------------------------------------ what is recorded */

/* The base becomes what the overlay is; on the way each block is the one or the other. */
static void base_follows(struct recorder *r)
{
    struct content *base = &r->base;

    content_begin(base, 0);
    content_resize(base, IMGI_MAX(r->scenario->size, r->scenario->base_size));
    for (uint64_t i = 0; i < r->overlay.blocks; i++)
        base->steps[1].sets[i] = r->overlay.steps[0].sets[i];
}

static void record(struct recorder *r)
{
    const img_open_params params = {.format = "qcow2", .flags = IMG_OPEN_WRITE};
    img_image *image;
    img_error err;

    make_chain(r);
    if (r->scenario->commits)
        base_follows(r);
    disk_attach(&r->disk);
    must("open", img_open(&image, IMAGE, &params, &err), &err);
    must(r->scenario->name, r->scenario->run(image, &err), &err);
    if (r->scenario->commits)
        content_end(&r->base, imgi_log_count(r->disk.log), true);
    must("close", img_close(image, &err), &err);
    disk_attach(NULL);
}

static const char *judge(void *opaque, size_t log, char *text, size_t size)
{
    struct recorder *r = opaque;
    const char *complaint = judge_file(IMAGE, &r->overlay, log, JUDGE_AS_IT_IS, text, size);

    return complaint ? complaint : judge_file(BASE, &r->base, log, JUDGE_AS_IT_IS, text, size);
}

static void run_scenario(const struct scenario *scenario, uint64_t seed, struct cut_result *result)
{
    struct recorder r = {.scenario = scenario, .random = seed * 2 + 1};
    struct cut_plan plan = {
        .disk = &r.disk, .seed = seed, .choices = 8, .judge = judge, .opaque = &r};
    size_t failed = result->failed, states = result->states;
    uint64_t most = IMGI_MAX(scenario->size, scenario->base_size);

    disk_init(&r.disk);
    content_init(&r.overlay, scenario->size, scenario->size);
    content_init(&r.base, scenario->base_size, most);
    record(&r);
    cut_everywhere(&plan, result);
    printf("%s - %s, %s, seed %" PRIu64 ": %zu changes, %zu states, %zu failed\n",
           result->failed == failed ? "ok" : "not ok", scenario->name, scenario->options, seed,
           imgi_log_count(r.disk.log), result->states - states, result->failed - failed);
    disk_clear(&r.disk);
    content_clear(&r.overlay);
    content_clear(&r.base);
    unlink(IMAGE);
    unlink(BASE);
    unlink(OTHER);
}

static void run_one(size_t index, uint64_t seed, struct cut_result *result)
{
    run_scenario(&scenarios[index], seed, result);
}

int main(int argc, char **argv)
{
    return cut_main(argc, argv, IMGI_COUNT(scenarios), 4, run_one);
}
