/*
 * Machines that stop while VMDK images are written. SPDX-License-Identifier: BSD-2-Clause
 *
 *     vmdk [SEED]
 *
 * As in qcow2.c and chain.c: each case records what operations do to the files of an image, and of
 * the one that it stands on, and stops the machine at every place of that record. The image must
 * open and hold what was flushed last or written later, and a check must find no more than lost
 * space. The base of a commit must hold one or
 * the other of the two disks, and the child must know it at every moment.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../sanitized.h"
#include "content.h"
#include "cut.h"
#include "disk.h"
#include "internal.h"

#ifdef SANITIZED
#define SEEDS 1u
#else
#define SEEDS 3u
#endif

#define SIZE_MAXIMUM (5u << 20)
#define OPERATIONS 20u
#define IMAGE "image"
#define BASE "base"
#define OTHER "other"
#define BASE_WRITES 8u

/* What is done to an image that stands on another one; NULL: random operations. */
typedef int run_fn(img_image *image, img_error *err);

struct scenario {
    const char *name, *options;
    uint64_t size;
    const char *base; /* options of the image below; NULL: none */
    uint64_t base_size;
    run_fn *run;
    bool commits;
    bool parts;   /* two of them, small ones: more come when the disk grows */
    bool damaged; /* from the beginning: a repair mends all of it, however often it was cut short */
};

struct recorder {
    const struct scenario *scenario;
    struct disk disk;
    struct content content, base;
    img_image *image;
    uint64_t random;
    uint8_t *buffer; /* SIZE_MAXIMUM bytes */
};

static int sparsify(img_image *image, img_error *err)
{
    img_sparsify_result result;
    int rc = img_sparsify(NULL, image, &result, err);

    if (rc == 0 && result.zeros == 0)
        give_up("sparsify", "there were no zeros");
    return rc;
}

static int repair(img_image *image, img_error *err)
{
    img_check_result result = {0};
    img_job *job = img_job_new();
    int rc;

    if (!job)
        give_up("job", "no memory");
    img_job_set_flags(job, IMG_JOB_REPAIR_ALL);
    rc = img_check(job, image, NULL, NULL, &result, err);
    img_job_free(job);
    /* The test's disk has no holes: space that was given up before looks lost. */
    if (rc == 0 && (result.corruptions || result.check_errors))
        rc = imgi_fail(err, IMG_E_CORRUPT, "the repair leaves faults");
    return rc;
}

static int commit(img_image *image, img_error *err)
{
    return img_commit(NULL, image, NULL, err);
}

static int rebase(img_image *image, img_error *err)
{
    return img_rebase(NULL, image, OTHER, "vmdk", err);
}

static int flatten(img_image *image, img_error *err)
{
    return img_rebase(NULL, image, NULL, NULL, err);
}

#define SMALL "grain_size=4k"
#define FLAT "subformat=monolithicFlat"
#define REDO "subformat=vmfsSparse"
#define PARTS "subformat=twoGbMaxExtentSparse,grain_size=4k"

static const struct scenario scenarios[] = {
    {"writes", SMALL, 2 << 20, NULL, 0, NULL, false, false, false},
    {"writes, zero grains", SMALL ",zeroed_grain=on", 2 << 20, NULL, 0, NULL, false, false, false},
    {"writes, large grains", "grain_size=64k", 3 << 20, NULL, 0, NULL, false, false, false},
    {"writes, flat", FLAT, 1 << 20, NULL, 0, NULL, false, false, false},
    {"writes, ESX", "subformat=vmfs", 1 << 20, NULL, 0, NULL, false, false, false},
    {"writes, one part", PARTS, 1 << 20, NULL, 0, NULL, false, false, false},
    {"writes to parts", PARTS, 3 << 19, NULL, 0, NULL, false, true, false},
    {"writes to a child", SMALL, 1 << 20, SMALL, 2 << 20, NULL, false, false, false},
    {"writes to a child in parts", PARTS ",zeroed_grain=on", 1 << 20, SMALL, 2 << 20, NULL, false,
     false, false},
    {"commit", SMALL, 1 << 20, SMALL, 1 << 20, commit, true, false, false},
    {"commit to a smaller base", SMALL, 2 << 20, SMALL, 1 << 20, commit, true, false, false},
    {"commit to a flat base", PARTS, 1 << 20, FLAT, 1 << 20, commit, true, false, false},
    {"commit to a smaller flat base", SMALL, 2 << 20, FLAT, 1 << 20, commit, true, false, false},
    {"commit to a base in parts", SMALL, 2 << 20, PARTS, 1 << 20, commit, true, false, false},
    {"commit a redo log", REDO, 1 << 20, FLAT, 1 << 20, commit, true, false, false},
    {"rebase", SMALL, 1 << 20, SMALL, 1 << 20, rebase, false, false, false},
    {"rebase in parts", PARTS ",zeroed_grain=on", 1 << 20, SMALL, 2 << 20, rebase, false, false,
     false},
    {"rebase to nothing", SMALL, 1 << 20, SMALL, 1 << 20, flatten, false, false, false},
    {"sparsify", SMALL, 2 << 20, NULL, 0, sparsify, false, false, false},
    {"sparsify, zero grains", SMALL ",zeroed_grain=on", 1 << 20, SMALL, 1 << 20, sparsify, false,
     false, false},
    {"sparsify a child", SMALL, 1 << 20, SMALL, 1 << 20, sparsify, false, false, false},
    {"repair", SMALL, 2 << 20, NULL, 0, repair, false, false, true},
    {"repair, large grains", "grain_size=64k", 3 << 20, NULL, 0, repair, false, false, true},
    {"repair a child", SMALL, 1 << 20, SMALL, 2 << 20, repair, false, false, true},
};

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err->message);
}

static void begin(struct recorder *r)
{
    content_begin(&r->content, imgi_log_count(r->disk.log));
}

static void end(struct recorder *r, bool durable)
{
    content_end(&r->content, imgi_log_count(r->disk.log), durable);
}

/* ------------------------------------------------------------- operations */

static void choose(struct recorder *r, const img_image *image, uint64_t *offset, uint64_t *length)
{
    uint64_t size = img_size(image), unit = cut_random(&r->random, 3) ? CONTENT_BLOCK : 4096;

    *offset = cut_random(&r->random, imgi_div_up(size, unit)) * unit;
    *length = (1 + cut_random(&r->random, unit == CONTENT_BLOCK ? 200 : 20)) * unit;
    *length = IMGI_MIN(*length, size - *offset);
}

static void write_range(struct recorder *r, img_image *image, struct content *content)
{
    unsigned n = content_write(content);
    uint64_t offset, length;
    img_error err;

    choose(r, image, &offset, &length);
    content_put(content, offset, length, n);
    content_fill(r->buffer, offset, (size_t)length, n);
    must("write", img_write(image, offset, r->buffer, (size_t)length, &err), &err);
}

static void zero_range(struct recorder *r, img_image *image, struct content *content)
{
    unsigned flags = cut_random(&r->random, 2) ? IMG_ZERO_UNMAP : 0;
    uint64_t offset, length;
    img_error err;

    choose(r, image, &offset, &length);
    content_put(content, offset, length, 0);
    must("zero", img_zero(image, offset, length, flags, &err), &err);
}

/* A larger disk, or a smaller one; what a child gives up shows its parent for a while. */
static void resize(struct recorder *r)
{
    uint64_t old = img_size(r->image), size, shown = IMGI_MIN(r->scenario->base_size, old);
    img_error err;

    size = old + CONTENT_BLOCK * (1 + cut_random(&r->random, 4000));
    if (size > SIZE_MAXIMUM || cut_random(&r->random, 3) == 0)
        size = CONTENT_BLOCK * (1 + cut_random(&r->random, old / CONTENT_BLOCK));
    content_resize(&r->content, size);
    for (uint64_t at = size; at < shown; at += CONTENT_BLOCK)
        for (unsigned n = 1; n <= BASE_WRITES; n++)
            if (r->base.steps[0].sets[at / CONTENT_BLOCK] >> n & 1)
                content_may(&r->content, at, CONTENT_BLOCK, n);
    must("resize", img_resize(r->image, size, &err), &err);
}

static void one_operation(struct recorder *r)
{
    uint64_t choice = cut_random(&r->random, 16);
    img_error err;

    begin(r);
    if (choice < 7)
        write_range(r, r->image, &r->content);
    else if (choice < 10)
        zero_range(r, r->image, &r->content);
    else if (choice < 13)
        must("flush", img_flush(r->image, &err), &err);
    else
        resize(r);
    end(r, choice >= 10 && choice < 13);
}

/* --------------------------------------------------------------- recording */

static img_image *create(const char *name, const char *text, uint64_t size, const char *backing)
{
    img_options *options = img_options_new();
    img_image *image;
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, text, &err), &err);
    if (backing) {
        must("options", img_options_set(options, "backing_file", backing, &err), &err);
        must("options", img_options_set(options, "backing_fmt", "vmdk", &err), &err);
    }
    must("create", img_create(&image, name, "vmdk", size, options, NULL, &err), &err);
    img_options_free(options);
    return image;
}

static img_image *open_image(const char *name, unsigned flags, img_error *err)
{
    const img_open_params params = {.format = "vmdk", .flags = flags};
    img_image *image = NULL;

    return img_open(&image, name, &params, err) == 0 ? image : NULL;
}

/* Zeros that take space, and what is written last. */
static void fill(struct recorder *r, img_image *image, struct content *content)
{
    static const uint8_t zeros[64 << 10];
    img_error err;

    for (unsigned i = 0; i < BASE_WRITES; i++)
        write_range(r, image, content);
    zero_range(r, image, content);
    must("write", img_write(image, 128 << 10, zeros, sizeof(zeros), &err), &err);
    content_put(content, 128 << 10, sizeof(zeros), 0);
    must("close", img_close(image, &err), &err);
}

/* An image in parts of a megabyte, which is too small for img_create to make. */
static img_image *create_parts(void)
{
    static const char text[] = "# Disk DescriptorFile\nversion=1\nCID=00000012\n"
                               "parentCID=ffffffff\ncreateType=\"twoGbMaxExtentSparse\"\n"
                               "RW 2048 SPARSE \"" IMAGE "-s001\"\n"
                               "RW 1024 SPARSE \"" IMAGE "-s002\"\nddb.adapterType = \"ide\"\n";
    img_image *image;
    FILE *stream;
    img_error err;

    must("close", img_close(create("second", PARTS, 1 << 19, NULL), &err), &err);
    must("close", img_close(create(IMAGE, PARTS, 1 << 20, NULL), &err), &err);
    stream = fopen(IMAGE, "we");
    if (rename("second-s001", IMAGE "-s002") < 0 || unlink("second") < 0 || !stream ||
        fputs(text, stream) < 0 || fclose(stream) != 0)
        give_up(IMAGE, "cannot be written");
    image = open_image(IMAGE, IMG_OPEN_WRITE, &err);
    if (!image)
        give_up("open", err.message);
    return image;
}

/* All files that there are. IMAGE is the first. */
static void load(struct recorder *r)
{
    static const char *const names[] = {IMAGE,         IMAGE "-flat",  IMAGE "-s001",
                                        IMAGE "-s002", IMAGE "-delta", OTHER,
                                        BASE,          BASE "-flat",   BASE "-s001"};

    for (size_t i = 0; i < IMGI_COUNT(names); i++)
        if (access(names[i], F_OK) == 0)
            disk_load(&r->disk, names[i]);
}

static void make_files(struct recorder *r)
{
    const struct scenario *s = r->scenario;
    struct content other;

    content_init(&other, s->size, SIZE_MAXIMUM);
    fill(r, create(OTHER, SMALL, s->size, NULL), &other);
    content_clear(&other);
    if (s->base) {
        fill(r, create(BASE, s->base, s->base_size, NULL), &r->base);
        for (uint64_t i = 0; i < IMGI_MIN(s->size, s->base_size) / CONTENT_BLOCK; i++)
            r->content.steps[0].sets[i] = r->base.steps[0].sets[i];
        r->content.writes = r->base.writes;
    }
    if (s->parts)
        fill(r, create_parts(), &r->content);
    else
        fill(r, create(IMAGE, s->options, s->size, s->base ? BASE : NULL), &r->content);
    load(r);
}

/* The first grain is lost, but for the redundant copy, whose second one is wrong. */
static void spoil(struct recorder *r)
{
    uint8_t *bytes = r->disk.files[0].bytes;
    uint64_t rgd = imgi_get_le64(bytes + 48) * 512, gd = imgi_get_le64(bytes + 56) * 512;
    uint8_t *entry = bytes + imgi_get_le32(bytes + gd) * UINT64_C(512);
    uint8_t *copy = bytes + imgi_get_le32(bytes + rgd) * UINT64_C(512);
    unsigned found = 0;

    for (unsigned i = 0; i < 512 && found < 2; i++) {
        if (imgi_get_le32(entry + 4 * i) == 0)
            continue;
        imgi_put_le32(found == 0 ? entry + 4 * i : copy + 4 * i, 0x70000000);
        found++;
    }
}

/* The base becomes what the child is; on the way each block is the one or the other. */
static void base_follows(struct recorder *r)
{
    content_begin(&r->base, 0);
    content_resize(&r->base, IMGI_MAX(r->scenario->size, r->scenario->base_size));
    for (uint64_t i = 0; i < r->scenario->size / CONTENT_BLOCK; i++)
        r->base.steps[1].sets[i] = r->content.steps[0].sets[i];
}

static void record(struct recorder *r)
{
    img_error err;

    make_files(r);
    if (r->scenario->commits)
        base_follows(r);
    if (r->scenario->damaged)
        spoil(r);
    /* From here on the files are on the disk alone. */
    for (unsigned i = 0; i < r->disk.count; i++)
        unlink(r->disk.files[i].name);
    disk_attach(&r->disk);
    r->image = open_image(
        IMAGE, IMG_OPEN_WRITE | (r->scenario->damaged ? (unsigned)IMG_OPEN_CHECK : 0), &err);
    if (!r->image)
        give_up("open", err.message);
    if (r->scenario->run)
        must(r->scenario->name, r->scenario->run(r->image, &err), &err);
    for (unsigned i = 0; !r->scenario->run && i < OPERATIONS; i++)
        one_operation(r);
    if (r->scenario->commits)
        content_end(&r->base, imgi_log_count(r->disk.log), true);
    begin(r);
    must("close", img_close(r->image, &err), &err);
    end(r, true);
    disk_attach(NULL);
}

/* ----------------------------------------------------------------- judging */

static const char *judge_image(const char *name, const struct content *content, size_t log,
                               char *text, size_t size)
{
    img_check_result result = {0};
    const char *complaint = NULL;
    img_error err;
    img_image *image = open_image(name, 0, &err);
    int rc;

    if (!image) {
        snprintf(text, size, "%s cannot be opened: %s", name, err.message);
        return text;
    }
    rc = img_check(NULL, image, NULL, NULL, &result, &err);
    if (rc < 0 || result.corruptions || result.check_errors) {
        snprintf(text, size, "%s: %" PRIu64 " corruptions, %s", name, result.corruptions,
                 rc < 0 ? err.message : "checked");
        complaint = text;
    }
    if (!complaint)
        complaint = content_judge(content, log, image, text, size);
    img_close(image, NULL);
    return complaint;
}

/* What a repair that was cut short has left, another one mends. */
static bool mend(char *text, size_t size)
{
    img_error err = {0};
    img_image *image = open_image(IMAGE, IMG_OPEN_WRITE | IMG_OPEN_CHECK, &err);
    int rc = image ? repair(image, &err) : IMG_E_CORRUPT;

    if (img_close(image, rc < 0 ? NULL : &err) < 0)
        rc = IMG_E_IO;
    if (rc < 0)
        snprintf(text, size, "%s: %s", IMAGE, err.message);
    return rc == 0;
}

static const char *judge(void *opaque, size_t log, char *text, size_t size)
{
    const struct recorder *r = opaque;
    const char *complaint;

    if (r->scenario->damaged && !mend(text, size))
        return text;
    complaint = judge_image(IMAGE, &r->content, log, text, size);

    if (complaint || !r->scenario->base)
        return complaint;
    return judge_image(BASE, &r->base, log, text, size);
}

static void run_one(size_t index, uint64_t seed, struct cut_result *result)
{
    const struct scenario *s = &scenarios[index];
    struct recorder r = {.scenario = s, .random = seed * 2 + 1};
    struct cut_plan plan = {
        .disk = &r.disk, .seed = seed, .choices = 4, .judge = judge, .opaque = &r};
    size_t failed = result->failed, states = result->states;

    r.buffer = malloc(SIZE_MAXIMUM);
    if (!r.buffer)
        give_up("buffer", "no memory");
    disk_init(&r.disk);
    content_init(&r.content, s->size, SIZE_MAXIMUM);
    content_init(&r.base, s->base_size, SIZE_MAXIMUM);
    record(&r);
    cut_everywhere(&plan, result);
    printf("%s - %s, %s, seed %" PRIu64 ": %zu changes, %zu states, %zu failed\n",
           result->failed == failed ? "ok" : "not ok", s->name, s->options, seed,
           imgi_log_count(r.disk.log), result->states - states, result->failed - failed);
    disk_clear(&r.disk);
    content_clear(&r.content);
    content_clear(&r.base);
    free(r.buffer);
}

int main(int argc, char **argv)
{
    return cut_main(argc, argv, IMGI_COUNT(scenarios), SEEDS, run_one);
}
