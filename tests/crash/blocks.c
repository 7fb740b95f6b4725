/*
 * Machines that stop while a VDI, VHD or VHDX image is being written.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *     blocks [SEED]
 *
 * As in qcow2.c: each case records what a sequence of operations does to the file and stops the
 * machine at every place of that record. What is left must open for reading only (a VHDX image
 * with its log replayed in memory), have no fault but lost space, and hold what was flushed last or
 * written later; a repair of leaks (which replays a log in the file) must leave an image without
 * fault that holds the same.
 */
#include <fcntl.h>
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
#include "vdi/disk.h"
#include "vhd/disk.h"

#ifdef SANITIZED
#define SEEDS 1u
#else
#define SEEDS 3u
#endif

#define SIZE_MAXIMUM (6u << 20)
#define OPERATIONS 20u
#define IMAGE "image"

struct shape {
    const char *format, *options;
    uint64_t size, filled;
    bool small; /* blocks of SMALL bytes, so that a map has no room for a disk that grows */
};

/* The smallest blocks that VDI and VHD images have; both have room for 128 in their maps. */
#define SMALL 4096u
#define SMALL_ROOM (128u * SMALL)

static const struct shape shapes[] = {
    {"vdi", "static=off", 400 << 10, 60 << 10, true},
    {"vpc", "force_size=on", 400 << 10, 60 << 10, true},
    {"vdi", "static=off", 4 << 20, 300 << 10, false},
    {"vdi", "static=on", 3 << 20, 100 << 10, false},
    {"vpc", "force_size=on", 5 << 20, 300 << 10, false},
    {"vpc", "force_size=on,subformat=fixed", 3 << 20, 100 << 10, false},
    {"vhdx", "block_size=1M", 4 << 20, 300 << 10, false},
    {"vhdx", "block_size=1M,block_state_zero=off", 3 << 20, 0, false},
    {"vhdx", "block_size=1M,subformat=fixed", 3 << 20, 100 << 10, false},
};

struct recorder {
    const struct shape *shape;
    struct disk disk;
    struct content content;
    img_image *image;
    uint64_t random;
    uint8_t *buffer; /* SIZE_MAXIMUM bytes */
    unsigned judged;
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

static void choose(struct recorder *r, uint64_t *offset, uint64_t *length)
{
    uint64_t size = img_size(r->image), block = IMGI_MAX(img_cluster_size(r->image), 65536u);
    uint64_t unit = cut_random(&r->random, 3) ? CONTENT_BLOCK : block;

    *offset = cut_random(&r->random, imgi_div_up(size, unit)) * unit;
    *length = (1 + cut_random(&r->random, unit == block ? 2 : 300)) * unit;
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

static void grow_to(struct recorder *r, uint64_t size)
{
    img_error err;

    begin(r);
    content_resize(&r->content, size);
    must("resize", img_resize(r->image, size, &err), &err);
    end(r, false);
}

static void grow(struct recorder *r)
{
    uint64_t size = img_size(r->image) + CONTENT_BLOCK * (1 + cut_random(&r->random, 3000));

    if (size <= SIZE_MAXIMUM)
        grow_to(r, size);
}

static void one_operation(struct recorder *r)
{
    uint64_t choice = cut_random(&r->random, 16);

    if (choice < 8)
        write_range(r);
    else if (choice < 11)
        zero_range(r, choice % 2 ? IMG_ZERO_UNMAP : 0);
    else if (choice < 12)
        discard_range(r);
    else if (choice < 15)
        flush(r);
    else
        grow(r);
}

/* --------------------------------------------------------------- recording */

/* Change a file in place. */
static void put(size_t offset, const void *bytes, size_t length)
{
    int fd = open(IMAGE, O_RDWR);

    if (fd < 0 || pwrite(fd, bytes, length, (off_t)offset) != (ssize_t)length)
        give_up(IMAGE, "cannot be changed");
    close(fd);
}

/* An empty image, with small blocks instead of those that all images have. */
static void make_small(const struct shape *shape)
{
    uint32_t blocks = (uint32_t)(shape->size / SMALL);
    uint8_t map[512], bytes[VHD_HEADER_BYTES];
    int fd = open(IMAGE, O_RDONLY);
    bool vdi = strcmp(shape->format, "vdi") == 0;
    size_t at = vdi ? 0 : VHD_FOOTER_BYTES, length = vdi ? VDI_HEADER_BYTES : VHD_HEADER_BYTES;

    if (fd < 0 || pread(fd, bytes, length, (off_t)at) != (ssize_t)length)
        give_up(IMAGE, "cannot be read");
    close(fd);
    if (vdi) {
        imgi_put_le32(bytes + VDI_OFF_BLOCK_SIZE, SMALL);
        imgi_put_le32(bytes + VDI_OFF_BLOCKS, blocks);
    } else {
        imgi_put_be32(bytes + VHD_OFF_BLOCK_SIZE, SMALL);
        imgi_put_be32(bytes + VHD_OFF_BAT_ENTRIES, blocks);
        imgi_put_be32(bytes + VHD_OFF_HEADER_CHECKSUM,
                      vhd_checksum(bytes, length, VHD_OFF_HEADER_CHECKSUM));
    }
    put(at, bytes, length);
    memset(map, 0xff, sizeof(map));
    put(at + length, map, sizeof(map));
}

static void make_file(struct recorder *r)
{
    const img_open_params again = {.flags = IMG_OPEN_WRITE, .format = r->shape->format};
    img_options *options = img_options_new();
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, r->shape->options, &err), &err);
    must("create",
         img_create(&r->image, IMAGE, r->shape->format, r->shape->size, options, NULL, &err), &err);
    if (r->shape->small) {
        must("close", img_close(r->image, &err), &err);
        make_small(r->shape);
        must("open", img_open(&r->image, IMAGE, &again, &err), &err);
    }
    content_fill(r->buffer, 0, (size_t)r->shape->filled, content_write(&r->content));
    content_put(&r->content, 0, r->shape->filled, r->content.writes);
    must("write", img_write(r->image, 0, r->buffer, (size_t)r->shape->filled, &err), &err);
    must("close", img_close(r->image, &err), &err);
    img_options_free(options);
    disk_load(&r->disk, IMAGE);
}

static img_image *open_image(const char *format, unsigned flags, img_error *err)
{
    const img_open_params params = {.format = format, .flags = flags};
    img_image *image = NULL;

    return img_open(&image, IMAGE, &params, err) == 0 ? image : NULL;
}

static void record(struct recorder *r)
{
    img_error err;

    make_file(r);
    disk_attach(&r->disk);
    r->image = open_image(r->shape->format, IMG_OPEN_WRITE, &err);
    if (!r->image)
        give_up("open", err.message);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        one_operation(r);
        if (r->shape->small && i == OPERATIONS / 2 && img_size(r->image) <= SMALL_ROOM)
            grow_to(r, SMALL_ROOM + CONTENT_BLOCK);
    }
    begin(r);
    must("close", img_close(r->image, &err), &err);
    end(r, true);
    disk_attach(NULL);
}

/* ----------------------------------------------------------------- judging */

static const char *judge_read(const struct recorder *r, size_t log, bool leaks, char *text,
                              size_t size)
{
    img_error err;
    img_image *image = open_image(r->shape->format, 0, &err);
    img_check_result result;
    const char *complaint = text;

    if (!image) {
        snprintf(text, size, "cannot be opened: %s", err.message);
        return text;
    }
    if (img_check(NULL, image, NULL, NULL, &result, &err) < 0)
        snprintf(text, size, "the check failed: %s", err.message);
    else if (result.corruptions || result.check_errors || (!leaks && result.leaks))
        snprintf(text, size, "%" PRIu64 " corruptions, %" PRIu64 " leaks", result.corruptions,
                 result.leaks);
    else
        complaint = content_judge(&r->content, log, image, text, size);
    img_close(image, NULL);
    return complaint;
}

static const char *mend(const struct recorder *r, char *text, size_t size)
{
    img_job *job = img_job_new();
    img_error err;
    img_image *image = open_image(r->shape->format, IMG_OPEN_WRITE | IMG_OPEN_CHECK, &err);
    img_check_result result;
    int rc = image ? 0 : err.code;

    if (!job)
        give_up("job", "no memory");
    img_job_set_flags(job, IMG_JOB_REPAIR_LEAKS);
    if (rc == 0)
        rc = img_check(job, image, NULL, NULL, &result, &err);
    if (image && rc == 0)
        rc = img_close(image, &err);
    else
        img_abandon(image);
    img_job_free(job);
    if (rc == 0)
        return NULL;
    snprintf(text, size, "the repair failed: %s", err.message);
    return text;
}

static const char *judge(void *opaque, size_t log, char *text, size_t size)
{
    struct recorder *r = opaque;
    const char *complaint = judge_read(r, log, true, text, size);

    /* The repair of each would take too long. */
    if (complaint || r->judged++ % 3 != 0)
        return complaint;
    complaint = mend(r, text, size);
    return complaint ? complaint : judge_read(r, log, false, text, size);
}

static void run_one(size_t index, uint64_t seed, struct cut_result *result)
{
    struct recorder r = {.shape = &shapes[index], .random = seed * 2 + 1};
    struct cut_plan plan = {
        .disk = &r.disk, .seed = seed, .choices = 4, .judge = judge, .opaque = &r};
    size_t failed = result->failed, states = result->states;

    r.buffer = malloc(SIZE_MAXIMUM);
    if (!r.buffer)
        give_up("buffer", "no memory");
    disk_init(&r.disk);
    content_init(&r.content, r.shape->size, SIZE_MAXIMUM);
    record(&r);
    cut_everywhere(&plan, result);
    printf("%s - %s, %s, seed %" PRIu64 ": %zu changes, %zu states, %zu failed\n",
           result->failed == failed ? "ok" : "not ok", r.shape->format, r.shape->options, seed,
           imgi_log_count(r.disk.log), result->states - states, result->failed - failed);
    disk_clear(&r.disk);
    content_clear(&r.content);
    free(r.buffer);
    unlink(IMAGE);
}

int main(int argc, char **argv)
{
    return cut_main(argc, argv, IMGI_COUNT(shapes), SEEDS, run_one);
}
