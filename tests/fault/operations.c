/*
 * Disks that fail under every operation on qcow2 images. SPDX-License-Identifier: BSD-2-Clause
 *
 *     operations [NAME]
 *
 * The nth I/O of an operation fails, for n = 0, 1, 2, ... until all goes well. The operation then
 * reports that failure, by its code and in words. The image it was done to is as it was or as it
 * was to be, block by block, with no damage worse than lost space; a file that was to be replaced
 * is as it was.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../crash/content.h"
#include "../crash/disk.h"
#include "../crash/judge.h"
#include "internal.h"
#include "trap.h"

#define IMAGE "image"
#define BASE "base"
#define OTHER "other"
#define DATA "data" /* an external data file */
#define SIZE (1u << 20)
#define CLUSTER 4096u
#define NTH_MAX 3000

#define CHANGES (IMGI_FAULT_WRITE | IMGI_FAULT_RESIZE | IMGI_FAULT_ZERO)

static const struct trap traps[] = {
    {IMGI_FAULT_READ, EIO, false, false, IMG_E_IO, "a read fails"},
    {CHANGES, EIO, false, false, IMG_E_IO, "a change fails"},
    {CHANGES, EIO, false, true, IMG_E_IO, "a change is done by half"},
    {CHANGES, ENOSPC, true, true, IMG_E_NOSPACE, "the disk is full"},
    {IMGI_FAULT_FLUSH, EIO, false, false, IMG_E_IO, "a flush fails"},
    {IMGI_FAULT_ANY, EIO, true, false, IMG_E_IO, "the disk goes away"},
};

/* What the image is like: it stands on BASE, or it has a snapshot. */
enum kind { PLAIN, OVERLAY, KEPT };

/* What is done to an open image. Returns its code. */
typedef int run_fn(img_image *image, struct content *content, img_error *err);

/* What all of it is done to. */
struct variant {
    const char *options;
    bool packed;    /* may hold compressed clusters, of CLUSTER bytes */
    bool snapshots; /* may hold snapshots */
    bool encrypted;
};

static const struct variant variants[] = {
    {"cluster_size=4k", true, true, false},
    {"cluster_size=16k,extended_l2=on", false, true, false},
    {"cluster_size=4k,data_file=" DATA, false, false, false},
    {"cluster_size=4k,encrypt.format=luks,encrypt.iter-time=10," JUDGE_KEY, false, true, true},
};

struct operation {
    const char *name;
    run_fn *run;
    enum kind kind;
    bool mute;                     /* may do without what failed, and say nothing */
    unsigned flags;                /* to open with, besides IMG_OPEN_WRITE */
    void (*spoil)(uint8_t *bytes); /* damage to be repaired */
    bool encrypted;                /* for encrypted images, whose keys take a while, and no other */
};

static uint8_t buffer[SIZE];

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err->message);
}

/* -------------------------------------------------------------- operations */

static int put(img_image *image, struct content *content, uint64_t offset, size_t length,
               img_error *err)
{
    unsigned n = content_write(content);

    content_put(content, offset, length, n);
    content_fill(buffer, offset, length, n);
    return img_write(image, offset, buffer, length, err);
}

static int write_new(img_image *image, struct content *content, img_error *err)
{
    return put(image, content, 600 << 10, 50 << 10, err);
}

static int write_in_place(img_image *image, struct content *content, img_error *err)
{
    return put(image, content, 3072, 8192, err);
}

static int write_packed(img_image *image, struct content *content, img_error *err)
{
    unsigned n = content_write(content);
    uint64_t offset = 8 * CLUSTER;

    content_put(content, offset, 5 * CLUSTER, n);
    content_fill(buffer, offset, 5 * CLUSTER, n);
    return img_write_compressed(image, offset, buffer, 5 * CLUSTER, err);
}

static int zero(img_image *image, struct content *content, img_error *err)
{
    content_put(content, 5 << 10, 90 << 10, 0);
    return img_zero(image, 5 << 10, 90 << 10, 0, err);
}

static int zero_unmap(img_image *image, struct content *content, img_error *err)
{
    content_put(content, 5 << 10, 90 << 10, 0);
    return img_zero(image, 5 << 10, 90 << 10, IMG_ZERO_UNMAP, err);
}

static int discard(img_image *image, struct content *content, img_error *err)
{
    content_may(content, 0, 90 << 10, 0);
    return img_discard(image, 0, 90 << 10, err);
}

/* There are holes below what is to move. */
static int compact(img_image *image, struct content *content, img_error *err)
{
    img_compact_result result;
    int rc;

    content_put(content, 0, 28 << 10, 0);
    rc = img_zero(image, 0, 28 << 10, IMG_ZERO_UNMAP, err);
    return rc < 0 ? rc : img_compact(NULL, image, &result, err);
}

static int grow(img_image *image, struct content *content, img_error *err)
{
    content_resize(content, 3 * SIZE);
    return img_resize(image, 3 * SIZE, err);
}

static int grow_mapped(img_image *image, struct content *content, img_error *err)
{
    content_resize(content, 3 * SIZE);
    return img_resize_preallocated(image, 3 * SIZE, IMG_PREALLOC_METADATA, err);
}

static int grow_full(img_image *image, struct content *content, img_error *err)
{
    content_resize(content, 2 * SIZE);
    return img_resize_preallocated(image, 2 * SIZE, IMG_PREALLOC_FULL, err);
}

static int shrink(img_image *image, struct content *content, img_error *err)
{
    content_resize(content, 40 << 10);
    return img_resize(image, 40 << 10, err);
}

static int commit(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return img_commit(NULL, image, NULL, err);
}

static int rebase(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return img_rebase(NULL, image, OTHER, "qcow2", err);
}

static int rebase_to_none(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return img_rebase(NULL, image, NULL, NULL, err);
}

static int rebase_packed(img_image *image, struct content *content, img_error *err)
{
    img_job *job = img_job_new();
    int rc;

    (void)content;
    if (!job)
        give_up("job", "no memory");
    img_job_set_flags(job, IMG_JOB_COMPRESS);
    rc = img_rebase(job, image, NULL, NULL, err);
    img_job_free(job);
    return rc;
}

static int bitmap_disable(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return img_bitmap_enable(image, "first", false, err);
}

static int bitmap_add(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return img_bitmap_add(image, "second", 0, true, err);
}

static int bitmap_remove(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return img_bitmap_remove(image, "first", err);
}

static int bitmap_clear(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return img_bitmap_clear(image, "first", err);
}

static int bitmap_merge(img_image *image, struct content *content, img_error *err)
{
    int rc = img_bitmap_add(image, "second", 65536, false, err);

    (void)content;
    return rc < 0 ? rc : img_bitmap_merge(image, "second", NULL, "first", err);
}

static int snapshot_create(img_image *image, struct content *content, img_error *err)
{
    img_snapshot snapshot = {.name = "new", .icount = UINT64_MAX};

    (void)content;
    return img_snapshot_create(image, &snapshot, err);
}

/* The snapshot was made when the disk was as in the first step. */
static int snapshot_apply(img_image *image, struct content *content, img_error *err)
{
    int rc = put(image, content, 3072, 200 << 10, err);

    if (rc == 0)
        rc = img_flush(image, err);
    if (rc < 0)
        return rc;
    content_end(content, 0, true);
    content_begin(content, 0);
    content_revert(content, 0);
    return img_snapshot_apply(image, NULL, "old", err);
}

static int snapshot_delete(img_image *image, struct content *content, img_error *err)
{
    int rc = put(image, content, 3072, 200 << 10, err);

    return rc < 0 ? rc : img_snapshot_delete(image, NULL, "old", err);
}

static int write_shared(img_image *image, struct content *content, img_error *err)
{
    return put(image, content, 3072, 20 << 10, err);
}

static int amend(img_image *image, const char *change, img_error *err)
{
    img_options *options = img_options_new();
    int rc;

    if (!options)
        give_up("options", "no memory");
    rc = img_options_parse(options, change, err);
    if (rc == 0)
        rc = img_amend(NULL, image, options, err);
    img_options_free(options);
    return rc;
}

static int amend_version(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return amend(image, "compat=0.10", err);
}

static int amend_refcounts(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return amend(image, "refcount_bits=64", err);
}

static int amend_lazy(img_image *image, struct content *content, img_error *err)
{
    int rc = amend(image, "lazy_refcounts=on", err);

    return rc < 0 ? rc : put(image, content, 600 << 10, 50 << 10, err);
}

static int amend_slot(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return amend(image, "encrypt.state=active,encrypt.new-secret=key,encrypt.iter-time=10", err);
}

static int check(img_image *image, unsigned how, img_error *err)
{
    img_check_result result = {0};
    img_job *job = img_job_new();
    int rc;

    if (!job)
        give_up("job", "no memory");
    img_job_set_flags(job, how);
    rc = img_check(job, image, NULL, NULL, &result, err);
    img_job_free(job);
    if (rc == 0 && (result.check_errors || result.corruptions || result.leaks))
        rc = imgi_fail(err, IMG_E_IO, "%" PRIu64 " errors in the check, faults are left",
                       result.check_errors);
    return rc;
}

static int repair(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return check(image, IMG_JOB_REPAIR_LEAKS | IMG_JOB_REPAIR_ALL, err);
}

static int repair_leaks(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return check(image, IMG_JOB_REPAIR_LEAKS, err);
}

/* Counts of 2 for clusters that have one user. */
static void spoil_counts(uint8_t *bytes)
{
    uint64_t table = imgi_get_be64(bytes + 48), block = imgi_get_be64(bytes + table);

    for (unsigned i = 4; i < 20; i++)
        if (imgi_get_be16(bytes + block + 2 * i) == 1)
            imgi_put_be16(bytes + block + 2 * i, 2);
}

static const struct operation operations[] = {
    {"write", write_new, PLAIN, false, 0, NULL, false},
    {"write in place", write_in_place, PLAIN, false, 0, NULL, false},
    {"compressed write", write_packed, PLAIN, false, 0, NULL, false},
    {"zero", zero, PLAIN, false, 0, NULL, false},
    {"zero with unmap", zero_unmap, PLAIN, false, 0, NULL, false},
    {"discard", discard, PLAIN, false, 0, NULL, false},
    {"grow", grow, PLAIN, false, 0, NULL, false},
    {"grow with metadata", grow_mapped, PLAIN, false, 0, NULL, false},
    {"grow with zeros", grow_full, PLAIN, false, 0, NULL, false},
    {"shrink", shrink, PLAIN, false, 0, NULL, false},
    {"write to an overlay", write_new, OVERLAY, false, 0, NULL, false},
    {"zero in an overlay", zero, OVERLAY, false, 0, NULL, false},
    {"grow an overlay", grow, OVERLAY, false, 0, NULL, false},
    {"commit", commit, OVERLAY, false, 0, NULL, false},
    {"rebase", rebase, OVERLAY, false, 0, NULL, false},
    {"rebase to nothing", rebase_to_none, OVERLAY, false, 0, NULL, false},
    {"rebase -c", rebase_packed, OVERLAY, false, 0, NULL, false},
    {"bitmap --add", bitmap_add, PLAIN, false, 0, NULL, false},
    {"bitmap --disable", bitmap_disable, PLAIN, false, 0, NULL, false},
    {"bitmap --remove", bitmap_remove, PLAIN, false, 0, NULL, false},
    {"bitmap --clear", bitmap_clear, PLAIN, false, 0, NULL, false},
    {"bitmap --merge", bitmap_merge, PLAIN, false, 0, NULL, false},
    {"snapshot -c", snapshot_create, PLAIN, false, 0, NULL, false},
    {"snapshot -c, the second", snapshot_create, KEPT, false, 0, NULL, false},
    {"snapshot -a", snapshot_apply, KEPT, false, 0, NULL, false},
    {"snapshot -d", snapshot_delete, KEPT, false, 0, NULL, false},
    {"write to shared clusters", write_shared, KEPT, false, 0, NULL, false},
    {"amend to version 2", amend_version, KEPT, false, 0, NULL, false},
    {"amend refcount_bits", amend_refcounts, KEPT, false, 0, NULL, false},
    {"amend lazy_refcounts", amend_lazy, PLAIN, false, 0, NULL, false},
    {"compact", compact, PLAIN, false, 0, NULL, false},
    {"compact with a snapshot", compact, KEPT, false, 0, NULL, false},
    {"compact an encrypted image", compact, PLAIN, false, 0, NULL, true},
    {"check -r all", repair, PLAIN, false, IMG_OPEN_CHECK, spoil_counts, false},
    {"check -r leaks", repair_leaks, PLAIN, false, IMG_OPEN_CHECK, spoil_counts, false},
    {"write to an encrypted image", write_new, PLAIN, false, 0, NULL, true},
    {"snapshot -c of an encrypted image", snapshot_create, PLAIN, false, 0, NULL, true},
    {"amend a key slot", amend_slot, PLAIN, false, 0, NULL, true},
};

/* --------------------------------------------------------- before an attempt */

/* The files of all attempts, made once. */
struct files {
    const struct variant *variant;
    struct disk disk; /* IMAGE, BASE, OTHER, and DATA if there is one */
    struct content content;
};

static img_image *create(const char *name, const char *text, uint64_t size, const char *backing)
{
    const img_open_params params = {.secrets = judge_params(0).secrets};
    img_options *options = img_options_new();
    img_image *image;
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, text, &err), &err);
    if (backing) {
        must("options", img_options_set(options, "backing_file", backing, &err), &err);
        must("options", img_options_set(options, "backing_fmt", "qcow2", &err), &err);
    }
    must("create", img_create(&image, name, "qcow2", size, options, &params, &err), &err);
    img_options_free(options);
    return image;
}

static void make_files(struct files *files, enum kind kind)
{
    struct content none;
    img_image *image;
    img_error err;

    disk_init(&files->disk);
    content_init(&files->content, SIZE, 3 * SIZE);
    image = create(BASE, "cluster_size=4k", 2 * SIZE, NULL);
    if (kind == OVERLAY)
        must("write", put(image, &files->content, 0, SIZE, &err), &err);
    must("close", img_close(image, &err), &err);

    content_init(&none, SIZE, SIZE);
    image = create(OTHER, "cluster_size=4k", SIZE, NULL);
    must("write", put(image, &none, 100 << 10, 100 << 10, &err), &err);
    must("close", img_close(image, &err), &err);
    content_clear(&none);

    image = create(IMAGE, files->variant->options, SIZE, kind == OVERLAY ? BASE : NULL);
    must("write", put(image, &files->content, 0, 30 << 10, &err), &err);
    if (files->variant->packed)
        must("write", write_packed(image, &files->content, &err), &err);
    must("write", put(image, &files->content, 300 << 10, 20 << 10, &err), &err);
    if (kind == PLAIN) {
        must("bitmap", img_bitmap_add(image, "first", 65536, true, &err), &err);
        must("write", put(image, &files->content, 400 << 10, 20 << 10, &err), &err);
    }
    if (kind == KEPT && files->variant->snapshots) {
        img_snapshot snapshot = {.name = "old", .icount = UINT64_MAX};

        must("snapshot", img_snapshot_create(image, &snapshot, &err), &err);
    }
    must("close", img_close(image, &err), &err);
    disk_load(&files->disk, IMAGE);
    disk_load(&files->disk, BASE);
    disk_load(&files->disk, OTHER);
    if (strstr(files->variant->options, DATA))
        disk_load(&files->disk, DATA);
    unlink(IMAGE);
    unlink(DATA);
    unlink(BASE);
    unlink(OTHER);
}

/* --------------------------------------------------------------- one attempt */

struct attempt {
    const struct operation *operation;
    const struct trap *trap;
    uint64_t nth;
    struct disk disk;
    struct content content;
    bool hit;
    int rc;
    img_error err;
};

static void run_attempt(struct attempt *a, const struct files *files)
{
    const img_open_params params = judge_params(IMG_OPEN_WRITE | a->operation->flags);
    img_image *image;
    img_error err;
    int rc;

    disk_init(&a->disk);
    for (unsigned i = 0; i < files->disk.count; i++)
        disk_add(&a->disk, files->disk.files[i].name, files->disk.files[i].bytes,
                 files->disk.files[i].size);
    if (a->operation->spoil)
        a->operation->spoil(a->disk.files[0].bytes);
    content_copy(&a->content, &files->content);
    disk_attach(&a->disk);
    trap_set(a->trap, a->nth);
    a->rc = img_open(&image, IMAGE, &params, &a->err);
    if (a->rc == 0) {
        content_begin(&a->content, 0);
        a->rc = a->operation->run(image, &a->content, &a->err);
        rc = img_close(image, a->rc ? &err : &a->err);
        a->rc = a->rc ? a->rc : rc;
        content_end(&a->content, 0, a->rc == 0);
    }
    a->hit = trap_end();
}

static void end_attempt(struct attempt *a)
{
    disk_attach(NULL);
    disk_clear(&a->disk);
    content_clear(&a->content);
}

static const char *judge_error(const struct attempt *a)
{
    /* What was read ahead, or could be done without, need not be told of. */
    bool told = !a->operation->mute && (a->trap->sticky || !(a->trap->kinds & IMGI_FAULT_READ));

    if (a->rc == 0)
        return a->hit && told ? "the failure was not reported" : NULL;
    if (!a->hit)
        return "it failed by itself";
    if (a->rc != a->trap->expected || a->rc != a->err.code)
        return "the code is not that of the failure";
    return a->err.message[0] ? NULL : "no message";
}

static const char *judge(const struct attempt *a, char *text, size_t size)
{
    enum judge_how how = a->nth % 4 == 0 ? JUDGE_REPAIRED : JUDGE_AS_IT_IS;
    const char *complaint = judge_error(a);

    if (a->operation->spoil && a->rc < 0)
        how = JUDGE_DAMAGED;
    if (!complaint)
        complaint = judge_file(IMAGE, &a->content, SIZE_MAX, how, text, size);
    if (!complaint)
        complaint = judge_file(BASE, NULL, SIZE_MAX, JUDGE_AS_IT_IS, text, size);
    return complaint;
}

struct tally {
    size_t passed, failed;
};

static void sweep(const struct operation *operation, const struct trap *trap,
                  const struct files *files, struct tally *tally)
{
    char text[IMG_ERROR_TEXT + 64];
    bool more = true;

    for (uint64_t nth = 0; more && nth < NTH_MAX; nth++) {
        struct attempt a = {.operation = operation, .trap = trap, .nth = nth};
        const char *complaint;

        run_attempt(&a, files);
        complaint = judge(&a, text, sizeof(text));
        if (complaint) {
            tally->failed++;
            printf("not ok - %s, %s (number %" PRIu64 "): %s (%s)\n", operation->name, trap->name,
                   nth, complaint, a.rc ? a.err.message : "no error");
        } else {
            tally->passed++;
        }
        more = a.hit;
        end_attempt(&a);
    }
    if (more) {
        tally->failed++;
        printf("not ok - %s, %s: never succeeds\n", operation->name, trap->name);
    }
}

/* Whether the image is one that this can be done to: not every variant takes every operation. */
static bool is_possible(const struct operation *operation, const struct files *files)
{
    static const struct trap none = {0};
    struct attempt a = {.operation = operation, .trap = &none};
    bool possible;

    run_attempt(&a, files);
    possible = a.rc == 0;
    end_attempt(&a);
    return possible;
}

static void sweep_variant(const struct variant *variant, const char *only, struct tally *tally)
{
    struct files files[3];

    for (int kind = PLAIN; kind <= KEPT; kind++) {
        files[kind].variant = variant;
        make_files(&files[kind], (enum kind)kind);
    }
    for (size_t i = 0; i < IMGI_COUNT(operations); i++) {
        const struct operation *operation = &operations[i];
        struct tally before = *tally;

        if (only && strcmp(only, operation->name) != 0)
            continue;
        if (operation->encrypted != variant->encrypted)
            continue;
        if (variant != variants && !is_possible(operation, &files[operation->kind]))
            continue;
        for (size_t t = 0; t < IMGI_COUNT(traps); t++)
            sweep(operation, &traps[t], &files[operation->kind], tally);
        printf("%s - %s, %s: %zu attempts\n", tally->failed == before.failed ? "ok" : "not ok",
               variant->options, operation->name,
               tally->passed + tally->failed - before.passed - before.failed);
    }
    for (size_t i = 0; i < IMGI_COUNT(files); i++) {
        disk_clear(&files[i].disk);
        content_clear(&files[i].content);
    }
}

int main(int argc, char **argv)
{
    char directory[] = "/tmp/img-fault.XXXXXX";
    struct tally tally = {0, 0};

    setvbuf(stdout, NULL, _IOLBF, 0);
    judge_begin();
    if (!mkdtemp(directory) || chdir(directory) < 0)
        return 99;
    for (size_t i = 0; i < IMGI_COUNT(variants); i++)
        sweep_variant(&variants[i], argc > 1 ? argv[1] : NULL, &tally);
    if (chdir("/") == 0)
        rmdir(directory);
    judge_end();
    printf("%zu passed, %zu failed\n", tally.passed, tally.failed);
    return tally.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
