/*
 * Machines that stop while a qcow2 image is being written. SPDX-License-Identifier: BSD-2-Clause
 *
 *     qcow2 [SEED]
 *
 * Each case makes an image, records what a sequence of operations does to its files, and stops the
 * machine at every place of that record (cut.h). What is left must open, have no damage worse than
 * lost space, and hold for every block what was flushed last or something that was written there
 * later; and freeing the lost space must leave a clean image that holds the same.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../sanitized.h"
#include "content.h"
#include "cut.h"
#include "disk.h"
#include "internal.h"
#include "judge.h"

/* Cases of each shape. */
#ifdef SANITIZED
#define SEEDS 1u
#else
#define SEEDS 4u
#endif

#define SIZE_MAXIMUM (4u << 20)
#define SNAPSHOTS 24u
#define IMAGE "image"
#define BASE "base"
#define DATA "data"   /* an external data file */
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
    {"cluster_size=16k,extended_l2=on", 1 << 20, 100 << 10, 0},
    {"cluster_size=16k,extended_l2=on", 1 << 20, 100 << 10, 500 << 10},
    {"cluster_size=4k,data_file=" DATA, 1 << 20, 100 << 10, 0},
    {"cluster_size=4k,encrypt.format=luks,encrypt.iter-time=10," JUDGE_KEY, 1 << 20, 100 << 10, 0},
    {"cluster_size=2k", 512 << 10, 32 << 10, 200 << 10},
    {"cluster_size=4k", 256 << 10, 32 << 10, 1 << 20},
    {"cluster_size=4k,compat=0.10", 256 << 10, 32 << 10, 1 << 20},
    {"cluster_size=64k,extended_l2=on", 1 << 20, 100 << 10, 800 << 10},
};

struct recorder {
    const struct shape *shape;
    struct disk disk;
    struct content content;
    img_image *image;
    uint64_t cluster, random;
    uint8_t *buffer; /* SIZE_MAXIMUM bytes */
    unsigned judged;
    struct kept {
        unsigned step;      /* that it keeps */
        size_t from, until; /* the log in which it must be there */
    } snapshots[SNAPSHOTS]; /* their names are numbers */
    unsigned count;
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

/* As end, for what the image may refuse, which changes nothing then. Whether it was done. */
static bool end_if_done(struct recorder *r, const char *what, int rc, const img_error *err,
                        bool durable)
{
    if (rc == IMG_E_INVAL || rc == IMG_E_UNSUPPORTED || rc == IMG_E_NOSPACE) {
        content_undo(&r->content);
        return false;
    }
    must(what, rc, err);
    end(r, durable);
    return true;
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
    end_if_done(r, "compressed write",
                img_write_compressed(r->image, offset, r->buffer, (size_t)length, &err), &err,
                false);
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
    end_if_done(r, "resize", img_resize_preallocated(r->image, size, mode, &err), &err, false);
}

static void snapshot_create(struct recorder *r)
{
    struct kept *kept = &r->snapshots[r->count];
    char name[16];
    img_snapshot snapshot = {.name = name, .icount = UINT64_MAX};
    img_error err;

    if (r->count == SNAPSHOTS)
        return;
    snprintf(name, sizeof(name), "%u", r->count);
    begin(r);
    kept->step = r->content.count - 1;
    if (!end_if_done(r, "snapshot -c", img_snapshot_create(r->image, &snapshot, &err), &err, true))
        return;
    kept->from = log_now(r);
    kept->until = SIZE_MAX;
    r->count++;
}

/* One that is there; NULL: none is. */
static struct kept *choose_snapshot(struct recorder *r, char name[16])
{
    unsigned n = r->count ? (unsigned)cut_random(&r->random, r->count) : 0;

    snprintf(name, 16, "%u", n);
    return r->count && r->snapshots[n].until == SIZE_MAX ? &r->snapshots[n] : NULL;
}

static void snapshot_apply(struct recorder *r)
{
    char name[16];
    const struct kept *kept = choose_snapshot(r, name);
    img_error err;

    if (!kept)
        return;
    begin(r);
    content_revert(&r->content, kept->step);
    end_if_done(r, "snapshot -a", img_snapshot_apply(r->image, NULL, name, &err), &err, true);
}

static void snapshot_delete(struct recorder *r)
{
    char name[16];
    struct kept *kept = choose_snapshot(r, name);
    img_error err;

    if (!kept)
        return;
    begin(r);
    kept->until = log_now(r);
    must("snapshot -d", img_snapshot_delete(r->image, NULL, name, &err), &err);
    end(r, true);
}

/* All that is in memory is on the disk then, too. */
static void compact(struct recorder *r)
{
    img_compact_result result;
    img_error err;

    begin(r);
    must("compact", img_compact(NULL, r->image, &result, &err), &err);
    end(r, true);
}

static void amend(struct recorder *r)
{
    static const char *const changes[] = {
        "lazy_refcounts=on",
        "lazy_refcounts=off",
        "refcount_bits=8",
        "compat=1.1,refcount_bits=64",
        "compat=1.1,refcount_bits=32,lazy_refcounts=on",
        "compat=1.1,refcount_bits=16,lazy_refcounts=off",
        "compat=0.10,refcount_bits=16",
        "encrypt.state=active,encrypt.new-secret=key,encrypt.iter-time=10",
        "encrypt.state=inactive,encrypt.keyslot=1",
    };
    img_options *options = img_options_new();
    const char *change = changes[cut_random(&r->random, IMGI_COUNT(changes))];
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, change, &err), &err);
    begin(r);
    end_if_done(r, "amend", img_amend(NULL, r->image, options, &err), &err, true);
    img_options_free(options);
}

static void one_operation(struct recorder *r)
{
    uint64_t choice = cut_random(&r->random, 52);

    if (choice < 16)
        write_range(r);
    else if (choice < 21)
        write_compressed(r);
    else if (choice < 25)
        zero_range(r, 0);
    else if (choice < 29)
        zero_range(r, IMG_ZERO_UNMAP);
    else if (choice < 33)
        discard_range(r);
    else if (choice < 36)
        flush(r);
    else if (choice < 39)
        resize(r);
    else if (choice < 42)
        snapshot_create(r);
    else if (choice < 44)
        snapshot_apply(r);
    else if (choice < 46)
        snapshot_delete(r);
    else if (choice < 50)
        compact(r);
    else
        amend(r);
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
    const img_open_params params = {.secrets = judge_params(0).secrets};
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
         img_create(&r->image, IMAGE, "qcow2", r->shape->size, options, &params, &err), &err);
    r->cluster = img_cluster_size(r->image);
    content_fill(r->buffer, 0, (size_t)r->shape->filled, content_write(&r->content));
    content_put(&r->content, 0, r->shape->filled, r->content.writes);
    must("write", img_write(r->image, 0, r->buffer, (size_t)r->shape->filled, &err), &err);
    must("close", img_close(r->image, &err), &err);
    img_options_free(options);
    disk_load(&r->disk, IMAGE);
    if (r->shape->base)
        disk_load(&r->disk, BASE);
    if (strstr(r->shape->options, "data_file"))
        disk_load(&r->disk, DATA);
}

static void record(struct recorder *r, unsigned operations)
{
    const img_open_params params = judge_params(IMG_OPEN_WRITE);
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

/* Every snapshot that must be there holds what it was made of. */
static const char *judge_snapshots(const struct recorder *r, size_t log, char *text, size_t size)
{
    const img_open_params params = judge_params(0);
    const char *complaint = NULL;
    img_image *image;
    img_error err;

    for (unsigned n = 0; !complaint && n < r->count; n++) {
        char name[16];

        if (log < r->snapshots[n].from || log > r->snapshots[n].until)
            continue;
        must("open", img_open(&image, IMAGE, &params, &err), &err);
        snprintf(name, sizeof(name), "%u", n);
        if (img_snapshot_view(image, NULL, name, &err) < 0) {
            snprintf(text, size, "snapshot %s: %s", name, err.message);
            complaint = text;
        } else {
            complaint = content_judge_step(&r->content, r->snapshots[n].step, image, text, size);
        }
        img_close(image, NULL);
    }
    return complaint;
}

static const char *judge(void *opaque, size_t log, char *text, size_t size)
{
    struct recorder *r = opaque;
    /* The repair of each would take too long. */
    enum judge_how how = r->judged++ % 4 == 0 ? JUDGE_REPAIRED : JUDGE_AS_IT_IS;
    const char *complaint = judge_file(IMAGE, &r->content, log, how, text, size);

    return complaint ? complaint : judge_snapshots(r, log, text, size);
}

/* ------------------------------------------------------------------- cases */

static void run_case(const struct shape *shape, uint64_t seed, struct cut_result *result)
{
    struct recorder r = {.shape = shape, .random = seed * 2 + 1};
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
    printf("%s - %s%s, seed %" PRIu64 ": %zu changes, %u snapshots, %zu states, %zu failed\n",
           result->failed == failed ? "ok" : "not ok", shape->options,
           shape->base ? ", overlay" : "", seed, log_now(&r), r.count, result->states - states,
           result->failed - failed);
    disk_clear(&r.disk);
    content_clear(&r.content);
    free(r.buffer);
    unlink(IMAGE);
    unlink(BASE);
    unlink(DATA);
}

static void run_one(size_t index, uint64_t seed, struct cut_result *result)
{
    run_case(&shapes[index], seed, result);
}

int main(int argc, char **argv)
{
    return cut_main(argc, argv, IMGI_COUNT(shapes), SEEDS, run_one);
}
