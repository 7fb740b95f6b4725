/*
 * Repair of damaged VDI, VHD and VHDX images: entries of their maps are changed at random, and the
 * image is repaired. SPDX-License-Identifier: BSD-2-Clause
 *
 * Whatever was changed: the repair ends, what it says remains is what a check finds afterwards, a
 * second repair makes nothing worse, and no block whose entry was left alone and that could be read
 * before is lost. The n-th trial of an image is always the same.
 */
#include "malformed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIALS 60
#define BLOCKS 4u
#define CHANGES_MAX 3u
#define STEP 65536u

struct subject {
    const char *format, *options;
    size_t block; /* bytes of one */
    size_t map;   /* where the map begins */
    unsigned width;
    bool big_endian;
    struct file sound;
    uint8_t *disk;
};

static struct subject subjects[] = {
    {"vdi", "static=off", 1 << 20, 512, 4, false, {0}, NULL},
    {"vpc", "force_size=on", 2 << 20, 1536, 4, true, {0}, NULL},
    {"vhdx", "block_size=1M", 1 << 20, 2 << 20, 8, false, {0}, NULL},
};

static size_t disk_bytes(const struct subject *subject)
{
    return BLOCKS * subject->block;
}

static void must(const char *what, int rc, const img_error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(99);
}

static void make(struct subject *subject)
{
    img_options *options = img_options_new();
    size_t size = disk_bytes(subject);
    img_image *image;
    img_error err;

    subject->disk = malloc(size);
    if (!subject->disk || !options)
        abort();
    for (size_t i = 0; i < size; i++)
        subject->disk[i] = (uint8_t)(1 + i / 100000);
    must("options", img_options_parse(options, subject->options, &err), &err);
    must("create", img_create(&image, "image", subject->format, size, options, NULL, &err), &err);
    must("write", img_write(image, 0, subject->disk, size, &err), &err);
    must("close", img_close(image, &err), &err);
    img_options_free(options);
    subject->sound = file_load("image");
}

/* -------------------------------------------------------------------------- damage */

static uint64_t roll(uint64_t *state, uint64_t sides)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % sides;
}

static uint64_t pick_value(const struct subject *subject, uint64_t *state, uint64_t old)
{
    size_t other = subject->map + subject->width * roll(state, BLOCKS);

    switch (roll(state, 6)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return old ^ UINT64_C(1) << roll(state, 8 * subject->width);
    case 3:
        return old + roll(state, 9);
    case 4:
        return roll(state, BLOCKS + 2);
    default:
        return file_get(&subject->sound, other, subject->width, subject->big_endian);
    }
}

/* touched[n]: the entry of block n was changed. */
static void make_damage(const struct subject *subject, size_t n, struct file *file, bool *touched,
                        char *text, size_t size)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15) * (n + 1);
    size_t length = 0;

    *file = file_copy(&subject->sound);
    for (uint64_t changes = 1 + roll(&state, CHANGES_MAX); changes > 0; changes--) {
        uint64_t block = roll(&state, BLOCKS), value;
        size_t at = subject->map + subject->width * block;

        value =
            pick_value(subject, &state, file_get(file, at, subject->width, subject->big_endian));
        file_set(file, at, subject->width, subject->big_endian, value);
        touched[block] = true;
        length += (size_t)snprintf(text + length, size - length, " block %" PRIu64 ": 0x%" PRIx64,
                                   block, value);
    }
}

/* -------------------------------------------------------------------------- repair */

/* Which pieces of the disk can be read, and are what they should be. */
static void read_disk(const struct subject *subject, bool *good, char complaint[COMPLAINT_MAX])
{
    const img_open_params params = {.format = subject->format};
    uint8_t *piece = malloc(STEP);
    img_image *image;
    img_error err;

    if (!piece)
        abort();
    if (img_open(&image, "image", &params, &err) < 0) {
        complain(complaint, "cannot be opened: %s", err.message);
    } else {
        for (size_t at = 0; at < disk_bytes(subject); at += STEP)
            good[at / STEP] = img_read(image, at, piece, STEP, NULL) == 0 &&
                              memcmp(piece, subject->disk + at, STEP) == 0;
        img_close(image, NULL);
    }
    free(piece);
}

static void check(const struct subject *subject, unsigned flags, img_check_result *result,
                  char complaint[COMPLAINT_MAX])
{
    const img_open_params params = {.format = subject->format,
                                    .flags =
                                        IMG_OPEN_CHECK | (flags ? (unsigned)IMG_OPEN_WRITE : 0),
                                    .cache = IMG_CACHE_UNSAFE};
    img_job *job = img_job_new();
    img_image *image;
    img_error err;

    if (!job)
        abort();
    img_job_set_flags(job, flags);
    if (img_open(&image, "image", &params, &err) < 0) {
        complain(complaint, "cannot be opened for a check: %s", err.message);
    } else {
        if (img_check(job, image, NULL, NULL, result, &err) < 0)
            complain(complaint, "check: %s", err.message);
        if (img_close(image, &err) < 0)
            complain(complaint, "close: %s", err.message);
    }
    img_job_free(job);
}

static void judge_counts(const struct subject *subject, unsigned flags,
                         const img_check_result *repaired, char complaint[COMPLAINT_MAX])
{
    img_check_result result = {0}, again = {0};

    check(subject, 0, &result, complaint);
    if (result.corruptions != repaired->corruptions || result.leaks != repaired->leaks)
        complain(complaint,
                 "the repair says %" PRIu64 " corruptions and %" PRIu64
                 " leaks remain, a check %" PRIu64 " and %" PRIu64,
                 repaired->corruptions, repaired->leaks, result.corruptions, result.leaks);
    check(subject, flags, &again, complaint);
    if (again.corruptions > repaired->corruptions || again.leaks > repaired->leaks)
        complain(complaint,
                 "after a second repair %" PRIu64 " corruptions and %" PRIu64 " leaks remain",
                 again.corruptions, again.leaks);
}

static void describe(void *opaque, size_t n, char *text, size_t size)
{
    bool touched[BLOCKS] = {0};
    struct file file;
    char changes[200] = "";

    make_damage(opaque, n, &file, touched, changes, sizeof(changes));
    file_free(&file);
    snprintf(text, size, "%zu:%s", n, changes);
}

static void run(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    const struct subject *subject = opaque;
    unsigned flags = n % 4 == 3 ? IMG_JOB_REPAIR_LEAKS : IMG_JOB_REPAIR_ALL;
    size_t pieces = disk_bytes(subject) / STEP;
    bool touched[BLOCKS] = {0}, *before = calloc(pieces, sizeof(*before));
    bool *after = calloc(pieces, sizeof(*after));
    img_check_result repaired = {0};
    char changes[200] = "";
    struct file file;

    if (!before || !after)
        abort();
    make_damage(subject, n, &file, touched, changes, sizeof(changes));
    file_put(&file, "image");
    file_free(&file);
    read_disk(subject, before, complaint);
    check(subject, flags, &repaired, complaint);
    judge_counts(subject, flags, &repaired, complaint);
    read_disk(subject, after, complaint);
    for (size_t i = 0; i < pieces; i++)
        if (!touched[i * STEP / subject->block] && before[i] && !after[i])
            complain(complaint, "what was at %zu is lost", i * STEP);
    free(before);
    free(after);
}

int main(void)
{
    size_t total = 0, failures = 0;

    workshop_enter();
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        struct batch batch = {.title = subjects[i].format,
                              .count = TRIALS,
                              .describe = describe,
                              .run = run,
                              .opaque = &subjects[i]};

        make(&subjects[i]);
        failures += batch_run(&batch);
        total += batch.count;
        file_free(&subjects[i].sound);
        free(subjects[i].disk);
    }
    workshop_leave();
    return batch_report(total, failures);
}
