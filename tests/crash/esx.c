/*
 * Machines that stop while a redo log of ESX, or a disk of several extents, is being written.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *     esx [SEED]
 *
 * As qcow2.c, for images whose extents are files beside their descriptor: what a stop leaves must
 * open, have no damage worse than lost space, and hold for every block what was flushed last or
 * something that was written there later. It can also be written again, and is then sound.
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

#ifdef SANITIZED
#define SEEDS 1u
#else
#define SEEDS 4u
#endif

#define IMAGE "disk.vmdk"
#define DELTA "disk-delta.vmdk"
#define FIRST "first-delta.vmdk" /* the first extent of a mixed disk, of larger grains */
#define HOSTED "first-s001.vmdk" /* or this */
#define BASE "base.vmdk"
#define SIZE (5u << 20)    /* three tables of the redo log */
#define LARGEST (9u << 20) /* that it grows to */
#define OPERATIONS 24u
#define LONGEST (100u << 10)
#define BASE_WRITE 1u /* the number of what the base holds */

struct shape {
    const char *name;
    bool base;         /* stands on one */
    const char *lines; /* the extents, where they are not what a new vmfsSparse image has */
    bool hosted;       /* the first of them has larger grains and two copies of its tables */
};

static const struct shape shapes[] = {
    {"redo log", false, NULL, false},
    {"redo log on a base", true, NULL, false},
    {"extents of different grains", false,
     "RW 1024 VMFSSPARSE \"" FIRST "\"\nRW 9216 VMFSSPARSE \"" DELTA "\"\n", false},
    {"a hosted extent and a redo log", false,
     "RW 5120 SPARSE \"" HOSTED "\"\nRW 5120 VMFSSPARSE \"" DELTA "\"\n", true},
};

struct recorder {
    const struct shape *shape;
    struct disk disk;
    struct content content;
    img_image *image;
    uint64_t random;
    unsigned judged;
};

static uint8_t buffer[SIZE];

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err->message);
}

/* --------------------------------------------------------------- operations */

/* Around the borders of tables and of the disk, where things happen. */
static void choose(struct recorder *r, uint64_t *offset, uint64_t *length)
{
    static const uint64_t places[] = {0, 2 << 20, 4 << 20, SIZE};
    uint64_t place = places[cut_random(&r->random, IMGI_COUNT(places))];
    uint64_t from = place < LONGEST ? 0 : place - LONGEST;

    *offset = from + cut_random(&r->random, LONGEST / CONTENT_BLOCK) * CONTENT_BLOCK;
    *length = (1 + cut_random(&r->random, LONGEST / CONTENT_BLOCK)) * CONTENT_BLOCK;
    *length = IMGI_MIN(*length, SIZE - *offset);
}

/* The operations go on where the disk was from the start: what it has gained stays zeros. */
static int grow(struct recorder *r, img_error *err)
{
    uint64_t size = img_size(r->image) + CONTENT_BLOCK * cut_random(&r->random, 1000);

    size = IMGI_MIN(size, LARGEST);
    content_resize(&r->content, size);
    return img_resize(r->image, size, err);
}

static void one_operation(struct recorder *r)
{
    uint64_t choice = cut_random(&r->random, r->shape->lines ? 8 : 10), offset, length;
    unsigned n = choice < 5 ? content_write(&r->content) : 0;
    img_error err;
    int rc;

    choose(r, &offset, &length);
    content_begin(&r->content, imgi_log_count(r->disk.log));
    if (choice < 7)
        content_put(&r->content, offset, length, n);
    content_fill(buffer, offset, (size_t)length, n);
    if (choice < 5)
        rc = img_write(r->image, offset, buffer, (size_t)length, &err);
    else if (choice < 7)
        rc = img_zero(r->image, offset, length, choice == 5 ? IMG_ZERO_UNMAP : 0, &err);
    else if (choice == 7)
        rc = img_flush(r->image, &err);
    else
        rc = grow(r, &err);
    must("operation", rc, &err);
    content_end(&r->content, imgi_log_count(r->disk.log), choice == 7);
}

/* ------------------------------------------------------------------ recording */

static void create(const char *name, const char *text)
{
    img_options *options = img_options_new();
    img_image *image;
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, text, &err), &err);
    must("create", img_create(&image, name, "vmdk", SIZE, options, NULL, &err), &err);
    must("close", img_close(image, &err), &err);
    img_options_free(options);
}

static void put_descriptor(const char *lines)
{
    FILE *stream = fopen(IMAGE, "we");

    if (!stream ||
        fprintf(stream,
                "# Disk DescriptorFile\nversion=1\nCID=00000012\nparentCID=ffffffff\n"
                "createType=\"custom\"\n# Extent description\n%s",
                lines) < 0 ||
        fclose(stream) != 0)
        give_up(IMAGE, "cannot be written");
}

/* In an extent that holds nothing yet: 4 KiB instead of a sector. */
static void enlarge_grains(const char *name)
{
    FILE *stream = fopen(name, "r+e");

    if (!stream || fseek(stream, 16, SEEK_SET) != 0 || fputc(8, stream) == EOF ||
        fclose(stream) != 0)
        give_up(name, "cannot be changed");
}

static void make_base(struct recorder *r)
{
    const img_open_params params = {.flags = IMG_OPEN_WRITE};
    unsigned n = content_write(&r->content);
    img_error err;

    if (n != BASE_WRITE)
        give_up(BASE, "is not the first to be written");
    create(BASE, "subformat=vmfs");
    must("open", img_open(&r->image, BASE, &params, &err), &err);
    content_fill(buffer, 0, SIZE, n);
    must("write", img_write(r->image, 0, buffer, SIZE, &err), &err);
    must("close", img_close(r->image, &err), &err);
    content_put(&r->content, 0, SIZE, n);
}

static void make_files(struct recorder *r)
{
    if (r->shape->base)
        make_base(r);
    create(IMAGE, r->shape->base ? "subformat=vmfsSparse,backing_file=" BASE ",backing_fmt=vmdk"
                                 : "subformat=vmfsSparse");
    if (r->shape->hosted) {
        create("first.vmdk", "subformat=twoGbMaxExtentSparse,grain_size=4k");
        put_descriptor(r->shape->lines);
        disk_load(&r->disk, HOSTED);
    } else if (r->shape->lines) {
        create("first.vmdk", "subformat=vmfsSparse");
        enlarge_grains(FIRST);
        put_descriptor(r->shape->lines);
        disk_load(&r->disk, FIRST);
    }
    disk_load(&r->disk, IMAGE);
    disk_load(&r->disk, DELTA);
}

static void record(struct recorder *r)
{
    const img_open_params params = {.format = "vmdk", .flags = IMG_OPEN_WRITE};
    img_error err;

    make_files(r);
    disk_attach(&r->disk);
    must("open", img_open(&r->image, IMAGE, &params, &err), &err);
    for (unsigned i = 0; i < OPERATIONS; i++)
        one_operation(r);
    content_begin(&r->content, imgi_log_count(r->disk.log));
    must("close", img_close(r->image, &err), &err);
    content_end(&r->content, imgi_log_count(r->disk.log), true);
    disk_attach(NULL);
}

/* -------------------------------------------------------------------- judging */

static void say(void *opaque, const char *text)
{
    snprintf(opaque, 200, "%s", text);
}

static const char *check(img_image *image, char *text, size_t size)
{
    img_check_result result = {0};
    char finding[200] = "";
    img_error err;

    if (img_check(NULL, image, say, finding, &result, &err) == 0 && result.corruptions == 0 &&
        result.check_errors == 0)
        return NULL;
    snprintf(text, size, "the check finds %" PRIu64 " corruptions and %" PRIu64 " errors: %s",
             result.corruptions, result.check_errors, finding);
    return text;
}

/* What is done to an image that a stop has left, and whether it is sound at the end. */
static const char *with_image(unsigned flags,
                              const char *(*use)(const struct recorder *, size_t, img_image *,
                                                 char *, size_t),
                              const struct recorder *r, size_t log, char *text, size_t size)
{
    const img_open_params params = {.format = "vmdk", .flags = flags};
    const char *complaint;
    img_image *image;
    img_error err;

    if (img_open(&image, IMAGE, &params, &err) < 0) {
        snprintf(text, size, "cannot be opened: %s", err.message);
        return text;
    }
    complaint = use(r, log, image, text, size);
    if (!complaint)
        complaint = check(image, text, size);
    must("close", img_close(image, &err), &err);
    return complaint;
}

static const char *read_it(const struct recorder *r, size_t log, img_image *image, char *text,
                           size_t size)
{
    return content_judge(&r->content, log, image, text, size);
}

static const char *write_it(const struct recorder *r, size_t log, img_image *image, char *text,
                            size_t size)
{
    img_error err;

    (void)r, (void)log, (void)text, (void)size;
    must("write", img_write(image, 2 << 20, buffer, 2 << 20, &err), &err);
    must("flush", img_flush(image, &err), &err);
    return NULL;
}

static const char *look_at_it(const struct recorder *r, size_t log, img_image *image, char *text,
                              size_t size)
{
    (void)r, (void)log, (void)image, (void)text, (void)size;
    return NULL;
}

static const char *judge(void *opaque, size_t log, char *text, size_t size)
{
    struct recorder *r = opaque;
    const char *complaint = with_image(0, read_it, r, log, text, size);

    if (complaint || r->judged++ % 8 != 0)
        return complaint;
    complaint = with_image(IMG_OPEN_WRITE, write_it, r, log, text, size);
    return complaint ? complaint : with_image(0, look_at_it, r, log, text, size);
}

static void run_one(size_t index, uint64_t seed, struct cut_result *result)
{
    static const char *const names[] = {IMAGE,  DELTA, "first.vmdk",    FIRST,
                                        HOSTED, BASE,  "base-flat.vmdk"};
    struct recorder r = {.shape = &shapes[index], .random = seed};
    const struct cut_plan plan = {
        .disk = &r.disk, .seed = seed, .choices = 4, .judge = judge, .opaque = &r};
    size_t failed = result->failed, states = result->states;

    disk_init(&r.disk);
    content_init(&r.content, SIZE, LARGEST);
    record(&r);
    cut_everywhere(&plan, result);
    printf("%s - %s, seed %" PRIu64 ": %zu changes, %zu states, %zu failed\n",
           result->failed == failed ? "ok" : "not ok", shapes[index].name, seed,
           imgi_log_count(r.disk.log), result->states - states, result->failed - failed);
    disk_clear(&r.disk);
    content_clear(&r.content);
    for (size_t i = 0; i < IMGI_COUNT(names); i++)
        unlink(names[i]);
}

int main(int argc, char **argv)
{
    return cut_main(argc, argv, IMGI_COUNT(shapes), SEEDS, run_one);
}
