/*
 * Disks that fail under every operation on VMDK images. SPDX-License-Identifier: BSD-2-Clause
 *
 *     vmdk [NAME]
 *
 * As operations.c: the nth I/O fails, for n = 0, 1, 2, ... until all goes well. The operation
 * reports that failure, and the image is as it was or as it was to be, block by block, with no
 * damage worse than lost space; what a repair was to mend, and an image that says that it was not
 * closed properly, another repair mends. So is its base, which a commit changes and nothing else.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../sanitized.h"
#include "trap.h"
#include "vmdk_files.h"

#define NTH_MAX 2000
#ifdef SANITIZED
#define NTH_STEP 5u /* slow there: some of the places */
#else
#define NTH_STEP 1u
#endif
#define CHANGES (IMGI_FAULT_WRITE | IMGI_FAULT_RESIZE | IMGI_FAULT_ZERO)

static const struct trap traps[] = {
    {IMGI_FAULT_READ, EIO, false, false, IMG_E_IO, "a read fails"},
    {CHANGES, EIO, false, false, IMG_E_IO, "a change fails"},
    {CHANGES, EIO, false, true, IMG_E_IO, "a change is done by half"},
    {CHANGES, ENOSPC, true, true, IMG_E_NOSPACE, "the disk is full"},
    {IMGI_FAULT_FLUSH, EIO, false, false, IMG_E_IO, "a flush fails"},
    {IMGI_FAULT_ANY, EIO, true, false, IMG_E_IO, "the disk goes away"},
};

/* What is done to an open image. */
typedef int run_fn(img_image *image, struct content *content, img_error *err);

/* -------------------------------------------------------------- operations */

/* In a table or part that is there, and in the one behind it. */
static int write_new(img_image *image, struct content *content, img_error *err)
{
    uint64_t border = img_size(image) > 2 * MIB ? 2 * MIB : MIB;

    if (border == img_size(image))
        border /= 2;
    return files_put(image, content, border - 8192, 16384, err);
}

static int write_in_place(img_image *image, struct content *content, img_error *err)
{
    return files_put(image, content, 3072, 8192, err);
}

static int zero(img_image *image, struct content *content, img_error *err)
{
    content_put(content, 5 << 10, 90 << 10, 0);
    return img_zero(image, 5 << 10, 90 << 10, IMG_ZERO_UNMAP, err);
}

/* Twice, with what is written in between on the disk. */
static int write_flush_write(img_image *image, struct content *content, img_error *err)
{
    int rc = files_put(image, content, 200 << 10, 4096, err);

    if (rc == 0)
        rc = img_flush(image, err);
    return rc < 0 ? rc : files_put(image, content, img_size(image) - 8192, 4096, err);
}

/* Past the end of a table, and of the part that is the last. */
static int grow(img_image *image, struct content *content, img_error *err)
{
    content_resize(content, 5 * MIB + 512);
    return img_resize(image, 5 * MIB + 512, err);
}

/* What a child gives up shows its parent for a while: write 1 of the base. */
static int shrink(img_image *image, struct content *content, img_error *err)
{
    uint64_t old = img_size(image);

    content_resize(content, 40 << 10);
    if (image->top->backing)
        content_may(content, 40 << 10, old - (40 << 10), 1);
    return img_resize(image, 40 << 10, err);
}

static int with_flags(unsigned flags, int (*run)(img_job *, img_image *, img_error *),
                      img_image *image, img_error *err)
{
    img_job *job = img_job_new();
    int rc;

    if (!job)
        give_up("job", "no memory");
    img_job_set_flags(job, flags);
    rc = run(job, image, err);
    img_job_free(job);
    return rc;
}

static int commit_job(img_job *job, img_image *image, img_error *err)
{
    return img_commit(job, image, NULL, err);
}

static int commit(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return commit_job(NULL, image, err);
}

static int commit_keep(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return with_flags(IMG_JOB_KEEP, commit_job, image, err);
}

static int rebase(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return img_rebase(NULL, image, OTHER, "vmdk", err);
}

static int rebase_to_none(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return img_rebase(NULL, image, NULL, NULL, err);
}

static int to_twin(img_job *job, img_image *image, img_error *err)
{
    return img_rebase(job, image, TWIN, "vmdk", err);
}

static int rebase_unsafe(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return with_flags(IMG_JOB_UNSAFE, to_twin, image, err);
}

static int sparsify(img_image *image, struct content *content, img_error *err)
{
    img_sparsify_result result;

    (void)content;
    return img_sparsify(NULL, image, &result, err);
}

static int check_job(img_job *job, img_image *image, img_error *err)
{
    img_check_result result = {0};
    int rc = img_check(job, image, NULL, NULL, &result, err);

    if (rc == 0 && (result.check_errors || result.corruptions))
        rc = imgi_fail(err, IMG_E_IO, "%" PRIu64 " errors in the check, faults are left",
                       result.check_errors);
    return rc;
}

static int repair(img_image *image, struct content *content, img_error *err)
{
    (void)content;
    return with_flags(IMG_JOB_REPAIR_LEAKS | IMG_JOB_REPAIR_ALL, check_job, image, err);
}

static const struct operation {
    const char *name;
    run_fn *run;
    unsigned kinds;
    unsigned flags; /* to open with, besides IMG_OPEN_WRITE */
    bool commits;   /* what the image holds goes to the base */
    bool damaged;   /* from the beginning */
} operations[] = {
    {"write", write_new, SPARSE | FLAT, 0, false, false},
    {"write in place", write_in_place, SPARSE | FLAT, 0, false, false},
    {"zero", zero, SPARSE | FLAT, 0, false, false},
    {"write, flush, write", write_flush_write, SPARSE, 0, false, false},
    {"grow", grow, RESIZABLE, 0, false, false},
    {"shrink", shrink, RESIZABLE, 0, false, false},
    {"commit", commit, CHILDREN, 0, true, false},
    {"commit -d", commit_keep, CHILDREN, 0, true, false},
    {"rebase", rebase, CHILDREN, 0, false, false},
    {"rebase to nothing", rebase_to_none, CHILDREN, 0, false, false},
    {"rebase -u", rebase_unsafe, CHILDREN, IMG_OPEN_NO_BACKING, false, false},
    {"sparsify", sparsify, SPARSE, 0, false, false},
    {"check -r all", repair, HOSTED | CHILD, IMG_OPEN_CHECK, false, true},
};

/* --------------------------------------------------------------- one attempt */

struct attempt {
    const struct operation *operation;
    const struct trap *trap;
    const struct files *files;
    uint64_t nth;
    struct disk disk;
    struct content content, base;
    bool hit;
    int rc;
    img_error err;
};

/* The base becomes what the image is; on the way each block is the one or the other. */
static void base_follows(struct attempt *a)
{
    const struct shape *shape = a->files->shape;

    content_begin(&a->base, 0);
    content_resize(&a->base, IMGI_MAX(shape->size, shape->base_size));
    for (uint64_t i = 0; i < shape->size / CONTENT_BLOCK; i++)
        a->base.steps[1].sets[i] = a->content.steps[0].sets[i];
    a->base.writes = a->content.writes;
}

static void begin_attempt(struct attempt *a)
{
    const struct disk *disk = &a->files->disk;

    disk_init(&a->disk);
    for (unsigned i = 0; i < disk->count; i++)
        disk_add(&a->disk, disk->files[i].name, disk->files[i].bytes, disk->files[i].size);
    if (a->operation->damaged)
        files_spoil(a->disk.files[0].bytes);
    content_copy(&a->content, &a->files->content);
    content_copy(&a->base, &a->files->base);
    if (a->operation->commits)
        base_follows(a);
    disk_attach(&a->disk);
}

static void run_attempt(struct attempt *a)
{
    img_image *image;
    img_error err;
    int rc;

    trap_set(a->trap, a->nth);
    image = files_open(IMAGE, IMG_OPEN_WRITE | a->operation->flags, &a->err);
    a->rc = image ? 0 : a->err.code;
    if (image) {
        content_begin(&a->content, 0);
        a->rc = a->operation->run(image, &a->content, &a->err);
        rc = img_close(image, a->rc ? &err : &a->err);
        a->rc = a->rc ? a->rc : rc;
        content_end(&a->content, 0, a->rc == 0);
    }
    if (a->operation->commits)
        content_end(&a->base, 0, a->rc == 0);
    a->hit = trap_end();
}

static void end_attempt(struct attempt *a)
{
    disk_attach(NULL);
    disk_clear(&a->disk);
    content_clear(&a->content);
    content_clear(&a->base);
}

/* ----------------------------------------------------------------- judging */

static const char *judge_error(const struct attempt *a)
{
    /* What was read ahead need not be told of. */
    if (a->rc == 0)
        return a->hit && a->trap->kinds != IMGI_FAULT_READ ? "the failure was not reported" : NULL;
    if (!a->hit)
        return "it failed by itself";
    if (a->rc != a->trap->expected || a->rc != a->err.code)
        return "the code is not that of the failure";
    return a->err.message[0] ? NULL : "no message";
}

/* A repair leaves no fault. */
static const char *mend(const char *name, char *text, size_t size)
{
    img_error err = {0};
    img_image *image = files_open(name, IMG_OPEN_WRITE | IMG_OPEN_CHECK, &err);
    int rc = image ? repair(image, NULL, &err) : err.code;

    if (rc == 0)
        rc = img_close(image, &err);
    else
        img_abandon(image);
    if (rc == 0)
        return NULL;
    snprintf(text, size, "%s: the repair: %s", name, err.message);
    return text;
}

static const char *judge_image(const char *name, const struct content *content, char *text,
                               size_t size)
{
    const char *complaint = NULL;
    img_error err;
    img_image *image = files_open(name, 0, &err);
    int rc;

    if (image && image->top->dirty) {
        img_close(image, NULL);
        complaint = mend(name, text, size);
        if (complaint)
            return complaint;
        image = files_open(name, 0, &err);
    }
    rc = image ? with_flags(0, check_job, image, &err) : err.code;
    if (rc < 0 && rc != IMG_E_UNSUPPORTED) {
        snprintf(text, size, "%s: %s", name, err.message);
        complaint = text;
    }
    if (!complaint)
        complaint = content_judge(content, SIZE_MAX, image, text, size);
    img_close(image, NULL);
    return complaint;
}

static const char *judge(const struct attempt *a, char *text, size_t size)
{
    const char *complaint = judge_error(a);

    if (!complaint && a->operation->damaged && a->rc < 0)
        complaint = mend(IMAGE, text, size);
    if (!complaint)
        complaint = judge_image(IMAGE, &a->content, text, size);
    if (!complaint && a->files->shape->base)
        complaint = judge_image(BASE, &a->base, text, size);
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

    for (uint64_t nth = 0; more && nth < NTH_MAX; nth += NTH_STEP) {
        struct attempt a = {.operation = operation, .trap = trap, .files = files, .nth = nth};
        const char *complaint;

        begin_attempt(&a);
        run_attempt(&a);
        complaint = judge(&a, text, sizeof(text));
        *(complaint ? &tally->failed : &tally->passed) += 1;
        if (complaint)
            printf("not ok - %s, %s, %s (number %" PRIu64 "): %s (%s)\n", files->shape->name,
                   operation->name, trap->name, nth, complaint, a.rc ? a.err.message : "no error");
        more = a.hit;
        end_attempt(&a);
    }
    if (more) {
        printf("not ok - %s, %s: never succeeds\n", operation->name, trap->name);
        tally->failed++;
    }
}

static void sweep_shape(const struct shape *shape, const char *only, struct tally *tally)
{
    struct files files = {.shape = shape};

    files_make(&files);
    for (size_t i = 0; i < IMGI_COUNT(operations); i++) {
        const struct operation *operation = &operations[i];
        struct tally before = *tally;

        if (!(operation->kinds & shape->kind) || (only && strcmp(only, operation->name) != 0))
            continue;
        for (size_t t = 0; t < IMGI_COUNT(traps); t++)
            sweep(operation, &traps[t], &files, tally);
        printf("%s - %s, %s: %zu attempts\n", tally->failed == before.failed ? "ok" : "not ok",
               shape->name, operation->name,
               tally->passed + tally->failed - before.passed - before.failed);
    }
    files_clear(&files);
}

int main(int argc, char **argv)
{
    char directory[] = "/tmp/img-fault-vmdk.XXXXXX";
    struct tally tally = {0, 0};

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!mkdtemp(directory) || chdir(directory) < 0)
        return 99;
    for (size_t i = 0; i < IMGI_COUNT(shapes); i++)
        sweep_shape(&shapes[i], argc > 1 ? argv[1] : NULL, &tally);
    if (chdir("/") == 0)
        rmdir(directory);
    printf("%zu passed, %zu failed\n", tally.passed, tally.failed);
    return tally.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
