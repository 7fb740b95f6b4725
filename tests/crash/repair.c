/*
 * Machines that stop while a qcow2 image is repaired.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *     repair [SEED]
 *
 * A repair that was cut short may leave any damage that was there before, but the disk holds what
 * it did at every moment, and a second repair mends the rest. A bitmap that can be relied on
 * afterwards (it is not "in use") knows of every block that has changed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "content.h"
#include "cut.h"
#include "disk.h"
#include "internal.h"
#include "judge.h"

#define IMAGE "image"
#define SIZE (512u << 10)

struct recorder {
    struct disk disk;
    struct content content;
    uint64_t random;
    img_image *image;
};

struct scenario {
    const char *name, *options;
    void (*spoil)(struct recorder *r, uint8_t *bytes);
};

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err->message);
}

/* ------------------------------------------------------------------- damage */

/* Some refcounts of 16 bits in the first block are wrong. */
static void spoil_refcounts(struct recorder *r, uint8_t *bytes)
{
    uint64_t block = imgi_get_be64(bytes + imgi_get_be64(bytes + 48));

    for (unsigned i = 0; i < 12; i++)
        imgi_put_be16(bytes + block + 2 * (1 + cut_random(&r->random, 60)),
                      (uint16_t)cut_random(&r->random, 3));
}

/* No refcounts at all. */
static void spoil_reftable(struct recorder *r, uint8_t *bytes)
{
    (void)r;
    memset(bytes + imgi_get_be64(bytes + 48), 0, 8);
}

static const struct scenario scenarios[] = {
    {"repair of refcounts", "cluster_size=4k", spoil_refcounts},
    {"repair of refcounts", "cluster_size=64k", spoil_refcounts},
    {"repair of refcounts", "cluster_size=16k,extended_l2=on", spoil_refcounts},
    {"rebuilding refcounts", "cluster_size=4k", spoil_reftable},
    {"rebuilding refcounts", "cluster_size=4k,compat=0.10", spoil_reftable},
};

/* --------------------------------------------------------------- recording */

static void write_range(struct recorder *r)
{
    static uint8_t buffer[64 << 10];
    unsigned n = content_write(&r->content);
    uint64_t offset = cut_random(&r->random, SIZE / CONTENT_BLOCK) * CONTENT_BLOCK;
    uint64_t length = (1 + cut_random(&r->random, 128)) * CONTENT_BLOCK;
    img_error err;

    length = IMGI_MIN(length, SIZE - offset);
    content_fill(buffer, offset, (size_t)length, n);
    content_put(&r->content, offset, length, n);
    must("write", img_write(r->image, offset, buffer, (size_t)length, &err), &err);
}

static void make_image(struct recorder *r, const struct scenario *scenario)
{
    img_options *options = img_options_new();
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, scenario->options, &err), &err);
    must("create", img_create(&r->image, IMAGE, "qcow2", SIZE, options, NULL, &err), &err);
    for (unsigned i = 0; i < 10; i++)
        write_range(r);
    must("close", img_close(r->image, &err), &err);
    img_options_free(options);
    disk_load(&r->disk, IMAGE);
    scenario->spoil(r, r->disk.files[0].bytes);
}

static void repair(struct recorder *r)
{
    const img_open_params params = judge_params(IMG_OPEN_WRITE | IMG_OPEN_CHECK);
    img_check_result result = {0};
    img_job *job = img_job_new();
    img_error err;

    if (!job)
        give_up("job", "no memory");
    img_job_set_flags(job, IMG_JOB_REPAIR_LEAKS | IMG_JOB_REPAIR_ALL);
    must("open", img_open(&r->image, IMAGE, &params, &err), &err);
    must("repair", img_check(job, r->image, NULL, NULL, &result, &err), &err);
    must("close", img_close(r->image, &err), &err);
    img_job_free(job);
}

/* ----------------------------------------------------------------- judging */

static const char *judge(void *opaque, size_t log, char *text, size_t size)
{
    const struct recorder *r = opaque;

    return judge_file(IMAGE, &r->content, log, JUDGE_DAMAGED, text, size);
}

static void run_scenario(const struct scenario *scenario, uint64_t seed, struct cut_result *result)
{
    struct recorder r = {.random = seed * 2 + 1};
    struct cut_plan plan = {
        .disk = &r.disk, .seed = seed, .choices = 8, .judge = judge, .opaque = &r};
    size_t failed = result->failed, states = result->states;

    disk_init(&r.disk);
    content_init(&r.content, SIZE, SIZE);
    make_image(&r, scenario);
    disk_attach(&r.disk);
    repair(&r);
    disk_attach(NULL);
    cut_everywhere(&plan, result);
    printf("%s - %s, %s, seed %" PRIu64 ": %zu changes, %zu states, %zu failed\n",
           result->failed == failed ? "ok" : "not ok", scenario->name, scenario->options, seed,
           imgi_log_count(r.disk.log), result->states - states, result->failed - failed);
    disk_clear(&r.disk);
    content_clear(&r.content);
    unlink(IMAGE);
}

static void run_one(size_t index, uint64_t seed, struct cut_result *result)
{
    run_scenario(&scenarios[index], seed, result);
}

int main(int argc, char **argv)
{
    return cut_main(argc, argv, IMGI_COUNT(scenarios), 8, run_one);
}
