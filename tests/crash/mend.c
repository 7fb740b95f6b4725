/*
 * Machines that stop while a damaged image is being repaired. SPDX-License-Identifier: BSD-2-Clause
 *
 *     mend [SEED]
 *
 * Each case makes an image with a snapshot, damages it, records its repair, and stops the machine
 * at every place of that record (cut.h). Whatever is left, another repair mends all of it, and disk
 * and snapshot hold what they held.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cut.h"
#include "disk.h"
#include "internal.h"

#define IMAGE "image"
#define DISK_BYTES (1u << 20)
#define OFFSETS UINT64_C(0x00fffffffffffe00)

/* What the damages need to know of the file. */
struct places {
    uint8_t *bytes;
    size_t cluster;
    uint64_t reftable, block, l1, l2;
};

static const char *const shapes[] = {"cluster_size=512,refcount_bits=64", "cluster_size=4k",
                                     "cluster_size=4k,compat=0.10", "cluster_size=64k"};

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err->message);
}

/* -------------------------------------------------------------------- damages */

static void no_counts(const struct places *p)
{
    memset(p->bytes + p->block, 0, p->cluster);
}

static void high_counts(const struct places *p)
{
    memset(p->bytes + p->block, 1, 64);
}

static void no_block(const struct places *p)
{
    memset(p->bytes + p->reftable, 0, 8);
}

static void no_reftable(const struct places *p)
{
    memset(p->bytes + 56, 0, 4);
}

static void block_at_l1(const struct places *p)
{
    imgi_put_be64(p->bytes + p->reftable, p->l1);
}

static void flags_turned(const struct places *p)
{
    for (size_t i = 0; i < 16; i++)
        p->bytes[p->l2 + 8 * i] ^=
            p->bytes[p->l2 + 8 * i + 5] || p->bytes[p->l2 + 8 * i + 6] ? 0x80 : 0;
    p->bytes[p->l1] ^= 0x80;
}

static void short_record(const struct places *p)
{
    uint8_t *record = p->bytes + imgi_get_be64(p->bytes + 64);

    if (imgi_get_be32(p->bytes + 4) == 3) {
        imgi_put_be32(record + 36, 8); /* of 24 bytes; id and name come behind them */
        memmove(record + 48, record + 64, 32);
    }
    imgi_put_be64(p->bytes + p->block, 0);
}

static const struct damage {
    const char *name;
    void (*spoil)(const struct places *places);
} damages[] = {
    {"refcounts of 0", no_counts},
    {"refcounts too high", high_counts},
    {"no refcount block", no_block},
    {"no refcount table", no_reftable},
    {"the L1 table as refcount block", block_at_l1},
    {"COPIED flags turned", flags_turned},
    {"a short snapshot record", short_record},
};

/* ------------------------------------------------------------------ recording */

struct recorder {
    struct disk disk;
    uint8_t *sound[2], *now; /* what disk and snapshot hold; what is looked at */
};

static void make_image(const char *text)
{
    const img_snapshot snapshot = {.name = "kept"};
    img_options *options = img_options_new();
    uint8_t buffer[5000];
    img_image *image;
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, text, &err), &err);
    must("create", img_create(&image, IMAGE, "qcow2", DISK_BYTES, options, NULL, &err), &err);
    img_options_free(options);
    for (unsigned n = 0; n < 20; n++) {
        memset(buffer, (int)n + 1, sizeof(buffer));
        must("write", img_write(image, n * 20000, buffer, sizeof(buffer), &err), &err);
        if (n == 9)
            must("snapshot", img_snapshot_create(image, &snapshot, &err), &err);
    }
    memset(buffer, 99, sizeof(buffer));
    must("write", img_write(image, 0, buffer, sizeof(buffer), &err), &err);
    must("close", img_close(image, &err), &err);
}

/* Read the disk (which 0) or the snapshot. */
static int read_view(int which, uint8_t *to, img_error *err)
{
    const img_open_params params = {.format = "qcow2"};
    img_image *image;
    int rc = img_open(&image, IMAGE, &params, err);

    if (rc < 0)
        return rc;
    if (which)
        rc = img_snapshot_view(image, NULL, "kept", err);
    if (rc == 0)
        rc = img_read(image, 0, to, DISK_BYTES, err);
    img_close(image, NULL);
    return rc;
}

static int repair(img_check_result *result, img_error *err)
{
    const img_open_params params = {.format = "qcow2", .flags = IMG_OPEN_CHECK | IMG_OPEN_WRITE};
    img_job *job = img_job_new();
    img_image *image;
    int rc;

    if (!job)
        give_up("job", "no memory");
    img_job_set_flags(job, IMG_JOB_REPAIR_ALL);
    rc = img_open(&image, IMAGE, &params, err);
    if (rc == 0) {
        int closed;

        rc = img_check(job, image, NULL, NULL, result, err);
        closed = img_close(image, rc < 0 ? NULL : err);
        rc = rc < 0 ? rc : closed;
    }
    img_job_free(job);
    return rc;
}

static void spoil(struct disk_file *file, const struct damage *damage)
{
    struct places p = {.bytes = file->bytes};

    p.cluster = (size_t)1 << imgi_get_be32(p.bytes + 20);
    p.l1 = imgi_get_be64(p.bytes + 40);
    p.reftable = imgi_get_be64(p.bytes + 48);
    p.l2 = imgi_get_be64(p.bytes + p.l1) & OFFSETS;
    p.block = imgi_get_be64(p.bytes + p.reftable);
    damage->spoil(&p);
}

/* ------------------------------------------------------------------ judgement */

static const char *judge(void *opaque, size_t log, char *text, size_t size)
{
    struct recorder *r = opaque;
    img_check_result result = {0};
    img_error err = {0};

    (void)log;
    if (repair(&result, &err) < 0) {
        snprintf(text, size, "the second repair fails: %s", err.message);
        return text;
    }
    if (result.corruptions || result.leaks || result.check_errors) {
        snprintf(text, size, "%" PRIu64 " corruptions, %" PRIu64 " leaks remain",
                 result.corruptions, result.leaks);
        return text;
    }
    for (int i = 0; i < 2; i++) {
        if (read_view(i, r->now, &err) < 0) {
            snprintf(text, size, "cannot be read: %s", err.message);
            return text;
        }
        if (memcmp(r->now, r->sound[i], DISK_BYTES) != 0)
            return i ? "the snapshot has changed" : "the disk has changed";
    }
    return NULL;
}

static void run_case(const char *shape, const struct damage *damage, uint64_t seed,
                     struct cut_result *result)
{
    struct recorder r = {.now = malloc(DISK_BYTES)};
    struct cut_plan plan = {.seed = seed, .choices = 6, .judge = judge, .opaque = &r};
    img_check_result check = {0};
    size_t failed = result->failed;
    img_error err;

    make_image(shape);
    for (int i = 0; i < 2; i++) {
        r.sound[i] = malloc(DISK_BYTES);
        if (!r.sound[i] || !r.now)
            give_up("buffers", "no memory");
        must("read", read_view(i, r.sound[i], &err), &err);
    }
    disk_init(&r.disk);
    disk_load(&r.disk, IMAGE);
    spoil(&r.disk.files[0], damage);
    disk_attach(&r.disk);
    must("repair", repair(&check, &err), &err);
    disk_attach(NULL);
    if (check.corruptions || check.leaks || check.corruptions_fixed + check.leaks_fixed == 0)
        give_up(damage->name, "is not repaired");
    plan.disk = &r.disk;
    cut_everywhere(&plan, result);
    printf("%s - %s, %s, seed %" PRIu64 ": %zu changes; %zu failed\n",
           result->failed == failed ? "ok" : "not ok", damage->name, shape, seed,
           imgi_log_count(r.disk.log), result->failed - failed);
    disk_clear(&r.disk);
    free(r.sound[0]);
    free(r.sound[1]);
    free(r.now);
    unlink(IMAGE);
}

static void run_one(size_t index, uint64_t seed, struct cut_result *result)
{
    size_t damage = index % IMGI_COUNT(damages);

    run_case(shapes[index / IMGI_COUNT(damages)], &damages[damage], seed, result);
}

int main(int argc, char **argv)
{
    return cut_main(argc, argv, IMGI_COUNT(shapes) * IMGI_COUNT(damages), 1, run_one);
}
