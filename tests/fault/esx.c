/*
 * Disks that fail while a redo log of ESX is written. SPDX-License-Identifier: BSD-2-Clause
 *
 *     esx
 *
 * As operations.c: the nth I/O fails, for n = 0, 1, 2, ... until all goes well. The operation
 * reports that failure, and the image is as it was or as it was to be, block by block, with no
 * damage worse than lost space.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../crash/content.h"
#include "../crash/disk.h"
#include "internal.h"
#include "trap.h"

#define IMAGE "disk.vmdk"
#define BASE "base.vmdk"
#define SIZE (5u << 20) /* three tables */
#define NTH_MAX 1000
#define CHANGES (IMGI_FAULT_WRITE | IMGI_FAULT_RESIZE | IMGI_FAULT_ZERO)

static const struct trap traps[] = {
    {IMGI_FAULT_READ, EIO, false, false, IMG_E_IO, "a read fails"},
    {CHANGES, EIO, false, false, IMG_E_IO, "a change fails"},
    {CHANGES, EIO, false, true, IMG_E_IO, "a change is done by half"},
    {CHANGES, ENOSPC, true, true, IMG_E_NOSPACE, "the disk is full"},
    {IMGI_FAULT_FLUSH, EIO, false, false, IMG_E_IO, "a flush fails"},
    {IMGI_FAULT_ANY, EIO, true, false, IMG_E_IO, "the disk goes away"},
};

typedef int run_fn(img_image *image, struct content *content, img_error *err);

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

/* In a table that is there, and in the one behind it, which is not. */
static int write_new(img_image *image, struct content *content, img_error *err)
{
    return put(image, content, (2 << 20) - 8192, 16384, err);
}

static int write_in_place(img_image *image, struct content *content, img_error *err)
{
    return put(image, content, 3072, 8192, err);
}

static int zero(img_image *image, struct content *content, img_error *err)
{
    content_put(content, 5 << 10, 90 << 10, 0);
    return img_zero(image, 5 << 10, 90 << 10, IMG_ZERO_UNMAP, err);
}

/* Twice, with what is written in between on the disk. */
static int write_flush_write(img_image *image, struct content *content, img_error *err)
{
    int rc = put(image, content, 200 << 10, 4096, err);

    if (rc == 0)
        rc = img_flush(image, err);
    return rc < 0 ? rc : put(image, content, 4 << 20, 4096, err);
}

static const struct operation {
    const char *name;
    run_fn *run;
    bool child;
} operations[] = {
    {"write", write_new, false},
    {"write in place", write_in_place, false},
    {"zero", zero, false},
    {"write, flush, write", write_flush_write, false},
    {"write to a child", write_new, true},
    {"zero in a child", zero, true},
};

/* ------------------------------------------------------------------- files */

struct files {
    struct disk disk;
    struct content content;
};

static img_image *create(const char *name, const char *text)
{
    img_options *options = img_options_new();
    img_image *image;
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, text, &err), &err);
    must("create", img_create(&image, name, "vmdk", SIZE, options, NULL, &err), &err);
    img_options_free(options);
    return image;
}

static void make_files(struct files *files, bool child)
{
    static const char *const names[] = {IMAGE, "disk-delta.vmdk", BASE, "base-flat.vmdk"};
    img_image *image;
    img_error err;

    disk_init(&files->disk);
    content_init(&files->content, SIZE, SIZE);
    image = create(BASE, "subformat=vmfs");
    if (child)
        must("write", put(image, &files->content, 0, SIZE, &err), &err);
    must("close", img_close(image, &err), &err);
    image = create(IMAGE, child ? "subformat=vmfsSparse,backing_file=" BASE ",backing_fmt=vmdk"
                                : "subformat=vmfsSparse");
    must("write", put(image, &files->content, 0, 30 << 10, &err), &err);
    must("close", img_close(image, &err), &err);
    for (size_t i = 0; i < IMGI_COUNT(names); i++) {
        disk_load(&files->disk, names[i]);
        unlink(names[i]);
    }
}

/* --------------------------------------------------------------- one attempt */

struct attempt {
    struct disk disk;
    struct content content;
    bool hit;
    int rc;
    img_error err;
};

static void run_attempt(struct attempt *a, const struct operation *operation,
                        const struct trap *trap, uint64_t nth, const struct files *files)
{
    const img_open_params params = {.format = "vmdk", .flags = IMG_OPEN_WRITE};
    img_image *image;
    img_error err;
    int rc;

    disk_init(&a->disk);
    for (unsigned i = 0; i < files->disk.count; i++)
        disk_add(&a->disk, files->disk.files[i].name, files->disk.files[i].bytes,
                 files->disk.files[i].size);
    content_copy(&a->content, &files->content);
    disk_attach(&a->disk);
    trap_set(trap, nth);
    a->rc = img_open(&image, IMAGE, &params, &a->err);
    if (a->rc == 0) {
        content_begin(&a->content, 0);
        a->rc = operation->run(image, &a->content, &a->err);
        rc = img_close(image, a->rc ? &err : &a->err);
        a->rc = a->rc ? a->rc : rc;
        content_end(&a->content, 0, a->rc == 0);
    }
    a->hit = trap_end();
}

static const char *judge_error(const struct attempt *a, const struct trap *trap)
{
    /* What was read ahead need not be told of. */
    if (a->rc == 0)
        return a->hit && !(trap->kinds == IMGI_FAULT_READ) ? "the failure was not reported" : NULL;
    if (!a->hit)
        return "it failed by itself";
    if (a->rc != trap->expected || a->rc != a->err.code)
        return "the code is not that of the failure";
    return a->err.message[0] ? NULL : "no message";
}

static const char *judge(const struct attempt *a, const struct trap *trap, char *text, size_t size)
{
    const img_open_params params = {.format = "vmdk"};
    const char *complaint = judge_error(a, trap);
    img_check_result result = {0};
    img_image *image;
    img_error err;

    if (complaint)
        return complaint;
    if (img_open(&image, IMAGE, &params, &err) < 0 ||
        img_check(NULL, image, NULL, NULL, &result, &err) < 0) {
        snprintf(text, size, "%s", err.message);
        return text;
    }
    if (result.corruptions || result.check_errors)
        complaint = "the image is damaged";
    if (!complaint)
        complaint = content_judge(&a->content, SIZE_MAX, image, text, size);
    img_close(image, NULL);
    return complaint;
}

static void sweep(const struct operation *operation, const struct trap *trap,
                  const struct files *files, size_t *passed, size_t *failed)
{
    char text[IMG_ERROR_TEXT];
    bool more = true;

    for (uint64_t nth = 0; more && nth < NTH_MAX; nth++) {
        struct attempt a = {0};
        const char *complaint;

        run_attempt(&a, operation, trap, nth, files);
        complaint = judge(&a, trap, text, sizeof(text));
        *(complaint ? failed : passed) += 1;
        if (complaint)
            printf("not ok - %s, %s (number %" PRIu64 "): %s (%s)\n", operation->name, trap->name,
                   nth, complaint, a.rc ? a.err.message : "no error");
        more = a.hit;
        disk_attach(NULL);
        disk_clear(&a.disk);
        content_clear(&a.content);
    }
    if (more) {
        printf("not ok - %s, %s: never succeeds\n", operation->name, trap->name);
        ++*failed;
    }
}

int main(void)
{
    char directory[] = "/tmp/img-fault-esx.XXXXXX";
    size_t passed = 0, failed = 0;
    struct files files[2];

    if (!mkdtemp(directory) || chdir(directory) < 0)
        return 99;
    make_files(&files[0], false);
    make_files(&files[1], true);
    for (size_t i = 0; i < IMGI_COUNT(operations); i++)
        for (size_t t = 0; t < IMGI_COUNT(traps); t++)
            sweep(&operations[i], &traps[t], &files[operations[i].child], &passed, &failed);
    for (size_t i = 0; i < IMGI_COUNT(files); i++) {
        disk_clear(&files[i].disk);
        content_clear(&files[i].content);
    }
    if (chdir("/") == 0)
        rmdir(directory);
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
