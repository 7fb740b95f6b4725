/*
 * Machines that stop while a qcow2 image is being written. SPDX-License-Identifier: BSD-2-Clause
 *
 *     qcow2 [SEED]
 *
 * Each case makes an image, records what a sequence of operations does to its files, and stops the
 * machine at every place of that record (cut.h). What is left must open, have no damage worse than
 * lost space, and hold for every block what was flushed last or something that was written there
 * later, and in each of its snapshots what the disk was when that was made; and freeing the lost
 * space must leave a clean image that holds the same.
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

#define SIZE_MAXIMUM (4u << 20)
#define IMAGE "image"
#define BASE "base"
#define BASE_WRITE 1u /* the number of what the base holds */

/* An image that is written to. */
struct shape {
    const char *options;
    uint64_t size;
    uint64_t filled; /* bytes from 0 on that are there at the beginning */
    uint64_t base;   /* size of the backing image; 0: none */
};

static const struct shape shapes[] = {
    {"cluster_size=512", 256 << 10, 64 << 10, 0},
    {"cluster_size=512,refcount_bits=64", 3 << 20, 1900 << 10, 0},
    {"cluster_size=512,refcount_bits=1", 256 << 10, 32 << 10, 0},
    {"cluster_size=4k,compat=0.10", 1 << 20, 100 << 10, 0},
    {"cluster_size=4k,refcount_bits=8,compression_type=zstd", 1 << 20, 100 << 10, 0},
    {"cluster_size=64k", 2 << 20, 300 << 10, 0},
    {"cluster_size=512,lazy_refcounts=on", 256 << 10, 64 << 10, 0},
    {"cluster_size=4k,lazy_refcounts=on", 1 << 20, 100 << 10, 0},
    {"cluster_size=2k", 512 << 10, 32 << 10, 200 << 10},
    {"cluster_size=4k", 256 << 10, 32 << 10, 1 << 20},
    {"cluster_size=4k,compat=0.10", 256 << 10, 32 << 10, 1 << 20},
};

struct recorder {
    const struct shape *shape;
    struct disk disk;
    struct content content;
    img_image *image;
    uint64_t cluster, random;
    uint8_t *buffer; /* SIZE_MAXIMUM bytes */
    unsigned judged;
    unsigned snapshots[CONTENT_STEPS], snapshot_count; /* by the step that made them */
    bool v2;
};

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err->message);
}

/* ------------------------------------------------------------- operations */

static size_t log_now(const struct recorder *r)
{
    return imgi_log_count(r->disk.log);
}

static void begin(struct recorder *r)
{
    content_begin(&r->content, log_now(r));
}

static void end(struct recorder *r, bool durable)
{
    content_end(&r->content, log_now(r), durable);
}

/* A range of whole blocks, often of whole clusters. */
static void choose(struct recorder *r, uint64_t *offset, uint64_t *length)
{
    uint64_t size = img_size(r->image), unit = CONTENT_BLOCK;

    if (cut_random(&r->random, 2))
        unit = r->cluster;
    *offset = cut_random(&r->random, imgi_div_up(size, unit)) * unit;
    *length = (1 + cut_random(&r->random, IMGI_MAX(3 * r->cluster / unit, 1))) * unit;
    *length = IMGI_MIN(*length, size - *offset);
}

static void write_range(struct recorder *r)
{
    unsigned n = content_write(&r->content);
    uint64_t offset, length;
    img_error err;

    choose(r, &offset, &length);
    begin(r);
    content_put(&r->content, offset, length, n);
    content_fill(r->buffer, offset, (size_t)length, n);
    must("write", img_write(r->image, offset, r->buffer, (size_t)length, &err), &err);
    end(r, false);
}

static void write_compressed(struct recorder *r)
{
    unsigned n = content_write(&r->content);
    uint64_t size = img_size(r->image);
    uint64_t offset = cut_random(&r->random, imgi_div_up(size, r->cluster)) * r->cluster;
    uint64_t length = r->cluster * (1 + cut_random(&r->random, 3));
    img_error err;

    length = IMGI_MIN(length, size - offset);
    begin(r);
    content_put(&r->content, offset, length, n);
    content_fill(r->buffer, offset, (size_t)length, n);
    must("compressed write",
         img_write_compressed(r->image, offset, r->buffer, (size_t)length, &err), &err);
    end(r, false);
}

static void zero_range(struct recorder *r, unsigned flags)
{
    uint64_t offset, length;
    img_error err;

    choose(r, &offset, &length);
    begin(r);
    content_put(&r->content, offset, length, 0);
    must("zero", img_zero(r->image, offset, length, flags, &err), &err);
    end(r, false);
}

static void discard_range(struct recorder *r)
{
    uint64_t offset, length;
    img_error err;

    choose(r, &offset, &length);
    begin(r);
    content_may(&r->content, offset, length, 0);
    must("discard", img_discard(r->image, offset, length, &err), &err);
    end(r, false);
}

static void flush(struct recorder *r)
{
    img_error err;

    begin(r);
    must("flush", img_flush(r->image, &err), &err);
    end(r, true);
}

/* Larger by a few blocks, or smaller. */
static void resize(struct recorder *r)
{
    static const enum img_preallocation modes[] = {IMG_PREALLOC_OFF, IMG_PREALLOC_METADATA,
                                                   IMG_PREALLOC_FALLOC, IMG_PREALLOC_FULL};
    uint64_t old = img_size(r->image), size;
    enum img_preallocation mode = IMG_PREALLOC_OFF;
    img_error err;

    size = old + CONTENT_BLOCK * (1 + cut_random(&r->random, 200));
    if (size > SIZE_MAXIMUM || cut_random(&r->random, 2))
        size = CONTENT_BLOCK * (1 + cut_random(&r->random, old / CONTENT_BLOCK));
    else if (r->shape->base == 0)
        mode = modes[cut_random(&r->random, IMGI_COUNT(modes))];
    begin(r);
    content_resize(&r->content, size);
    /* What is given up shows the backing image until the smaller size is on disk. */
    if (size < IMGI_MIN(r->shape->base, old))
        content_may(&r->content, size, IMGI_MIN(r->shape->base, old) - size, BASE_WRITE);
    must("resize", img_resize_preallocated(r->image, size, mode, &err), &err);
    end(r, false);
}

/* Other refcounts, or another version. */
static void amend(struct recorder *r)
{
    static const char *const changes[] = {
        "compat=1.1,refcount_bits=64",
        "compat=1.1,refcount_bits=32,lazy_refcounts=on",
        "compat=1.1,refcount_bits=16,lazy_refcounts=off",
        "compat=0.10,refcount_bits=16",
    };
    /* Snapshots may have had other sizes, which version 2 does not allow. */
    bool keep = strstr(r->shape->options, "zstd") || r->snapshot_count > 0;
    size_t n = (size_t)cut_random(&r->random, IMGI_COUNT(changes) - (keep ? 1 : 0));
    img_options *options = img_options_new();
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, changes[n], &err), &err);
    begin(r);
    must("amend", img_amend(NULL, r->image, options, &err), &err);
    end(r, true);
    r->v2 = n == IMGI_COUNT(changes) - 1;
    img_options_free(options);
}

/* -------------------------------------------------------------- snapshots */

/* The name of the snapshot that was made in that step. */
static void name_snapshot(char name[16], unsigned step)
{
    snprintf(name, 16, "s%u", step);
}

static void create_snapshot(struct recorder *r)
{
    img_snapshot snapshot = {.date_sec = 1};
    char name[16];
    img_error err;
    int rc;

    begin(r);
    name_snapshot(name, r->content.count - 1);
    snapshot.name = name;
    rc = img_snapshot_create(r->image, &snapshot, &err);
    /* Refcounts may be too narrow; nothing has happened then. */
    if (rc == 0)
        r->snapshots[r->snapshot_count++] = r->content.count - 1;
    else if (rc != IMG_E_INVAL)
        must("create a snapshot", rc, &err);
    end(r, rc == 0);
}

static void apply_snapshot(struct recorder *r)
{
    unsigned step = r->snapshots[cut_random(&r->random, r->snapshot_count)];
    char name[16];
    img_error err;
    int rc;

    begin(r);
    name_snapshot(name, step);
    rc = img_snapshot_apply(r->image, NULL, name, &err);
    if (rc == 0)
        content_revert(&r->content, step);
    else if (rc != IMG_E_INVAL)
        must("apply a snapshot", rc, &err);
    end(r, rc == 0);
}

static void delete_snapshot(struct recorder *r)
{
    uint64_t n = cut_random(&r->random, r->snapshot_count);
    char name[16];
    img_error err;

    begin(r);
    name_snapshot(name, r->snapshots[n]);
    must("delete a snapshot", img_snapshot_delete(r->image, NULL, name, &err), &err);
    r->snapshots[n] = r->snapshots[--r->snapshot_count];
    end(r, true);
}

static void snapshot_operation(struct recorder *r)
{
    uint64_t choice = cut_random(&r->random, 4);

    if (choice < 2 || r->snapshot_count == 0)
        create_snapshot(r);
    else if (choice < 3)
        apply_snapshot(r);
    else
        delete_snapshot(r);
}

/* A snapshot that is there is what the disk was after the step that made it. */
static const char *judge_snapshot(const struct recorder *r, const char *snapshot, char *text,
                                  size_t size)
{
    const img_open_params params = {.format = "qcow2"};
    struct content then = r->content;
    unsigned step = (unsigned)strtoul(snapshot + 1, NULL, 10);
    const char *complaint = NULL;
    img_image *image;
    img_error err;

    then.count = step + 1;
    then.steps[step].durable = true;
    then.steps[step].end = 0;
    must("open", img_open(&image, IMAGE, &params, &err), &err);
    if (img_snapshot_view(image, NULL, snapshot, &err) < 0) {
        snprintf(text, size, "snapshot %s cannot be read: %s", snapshot, err.message);
        complaint = text;
    }
    if (!complaint)
        complaint = content_judge(&then, SIZE_MAX, image, text, size);
    must("close", img_close(image, &err), &err);
    return complaint;
}

static const char *judge_snapshots(const struct recorder *r, char *text, size_t size)
{
    const img_open_params params = {.format = "qcow2"};
    const char *complaint = NULL;
    img_snapshot *list;
    img_image *image;
    img_error err;
    size_t count;

    must("open", img_open(&image, IMAGE, &params, &err), &err);
    must("list", img_snapshot_list(image, &list, &count, &err), &err);
    must("close", img_close(image, &err), &err);
    for (size_t i = 0; !complaint && i < count; i++)
        complaint = judge_snapshot(r, list[i].name, text, size);
    img_free(list);
    return complaint;
}

/* --------------------------------------------------------------- all of them */

static void one_operation(struct recorder *r)
{
    uint64_t choice = cut_random(&r->random, 26);

    if (choice < 8)
        write_range(r);
    else if (choice < 11)
        write_compressed(r);
    else if (choice < 13)
        zero_range(r, 0);
    else if (choice < 15)
        zero_range(r, IMG_ZERO_UNMAP);
    else if (choice < 16)
        discard_range(r);
    else if (choice < 18)
        flush(r);
    else if (choice < 20 && !(r->snapshot_count > 0 && r->v2))
        resize(r);
    else if (choice < 21)
        amend(r);
    else
        snapshot_operation(r);
}

/* --------------------------------------------------------------- recording */

static void make_base(struct recorder *r)
{
    unsigned n = content_write(&r->content);
    img_image *base;
    img_error err;

    must("create " BASE, img_create(&base, BASE, "raw", r->shape->base, NULL, NULL, &err), &err);
    if (n != BASE_WRITE)
        give_up(BASE, "is not the first to be written");
    content_fill(r->buffer, 0, (size_t)r->shape->base, n);
    must("write", img_write(base, 0, r->buffer, (size_t)r->shape->base, &err), &err);
    must("close", img_close(base, &err), &err);
    content_put(&r->content, 0, IMGI_MIN(r->shape->base, r->shape->size), n);
}

/* The files as they are before anything is recorded. */
static void make_files(struct recorder *r)
{
    img_options *options = img_options_new();
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, r->shape->options, &err), &err);
    if (r->shape->base) {
        make_base(r);
        must("options", img_options_parse(options, "backing_file=" BASE ",backing_fmt=raw", &err),
             &err);
    }
    must("create " IMAGE,
         img_create(&r->image, IMAGE, "qcow2", r->shape->size, options, NULL, &err), &err);
    r->cluster = img_cluster_size(r->image);
    content_fill(r->buffer, 0, (size_t)r->shape->filled, content_write(&r->content));
    content_put(&r->content, 0, r->shape->filled, r->content.writes);
    must("write", img_write(r->image, 0, r->buffer, (size_t)r->shape->filled, &err), &err);
    must("close", img_close(r->image, &err), &err);
    img_options_free(options);
    disk_load(&r->disk, IMAGE);
    if (r->shape->base)
        disk_load(&r->disk, BASE);
}

static void record(struct recorder *r, unsigned operations)
{
    const img_open_params params = {.format = "qcow2", .flags = IMG_OPEN_WRITE};
    img_error err;

    make_files(r);
    disk_attach(&r->disk);
    must("open", img_open(&r->image, IMAGE, &params, &err), &err);
    for (unsigned i = 0; i < operations; i++)
        one_operation(r);
    begin(r);
    must("close", img_close(r->image, &err), &err);
    end(r, true);
    disk_attach(NULL);
}

static const char *judge(void *opaque, size_t log, char *text, size_t size)
{
    struct recorder *r = opaque;
    /* The repair of each would take too long. */
    enum judge_how how = r->judged++ % 4 == 0 ? JUDGE_REPAIRED : JUDGE_AS_IT_IS;
    const char *complaint = judge_file(IMAGE, &r->content, log, how, text, size);

    return complaint ? complaint : judge_snapshots(r, text, size);
}

/* ------------------------------------------------------------------- cases */

static void run_case(const struct shape *shape, uint64_t seed, struct cut_result *result)
{
    struct recorder r = {
        .shape = shape, .random = seed * 2 + 1, .v2 = strstr(shape->options, "compat=0.10")};
    struct cut_plan plan = {
        .disk = &r.disk, .seed = seed, .choices = 6, .judge = judge, .opaque = &r};
    size_t failed = result->failed, states = result->states;

    r.buffer = malloc(SIZE_MAXIMUM);
    if (!r.buffer)
        give_up("buffer", "no memory");
    disk_init(&r.disk);
    content_init(&r.content, shape->size, SIZE_MAXIMUM);
    record(&r, 24);
    cut_everywhere(&plan, result);
    printf("%s - %s%s, seed %" PRIu64 ": %zu changes, %zu states, %zu failed\n",
           result->failed == failed ? "ok" : "not ok", shape->options,
           shape->base ? ", overlay" : "", seed, log_now(&r), result->states - states,
           result->failed - failed);
    disk_clear(&r.disk);
    content_clear(&r.content);
    free(r.buffer);
    unlink(IMAGE);
    unlink(BASE);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    char directory[] = "/tmp/img-crash.XXXXXX";
    struct cut_result result = {0, 0};

    if (!mkdtemp(directory) || chdir(directory) < 0)
        return 99;
    for (size_t i = 0; i < IMGI_COUNT(shapes); i++)
        for (uint64_t n = 0; n < 6; n++)
            run_case(&shapes[i], seed + n, &result);
    if (chdir("/") == 0)
        rmdir(directory);
    printf("%zu states, %zu failed\n", result.states, result.failed);
    return result.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
