/*
 * Repair of damaged qcow2 images: entries of their tables are changed at random, and the image is
 * repaired. SPDX-License-Identifier: BSD-2-Clause
 *
 * Whatever was changed: the repair ends, what it says remains is what a check finds afterwards, a
 * second repair makes nothing worse, and no byte of the disk or of its backing image
 * that could be read before, and was right, is lost. The n-th trial of an image is always the same.
 */
#include "malformed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIALS 400
#define BLOCK 512u
#define DISK_MAX (4u << 20)
#define OFFSETS UINT64_C(0x00fffffffffffe00)
#define COPIED (UINT64_C(1) << 63)

struct subject {
    const char *fixture;
    struct file sound;
    uint8_t *disk; /* what it reads as; NULL: it needs another file */
    uint64_t size;
    uint32_t cluster;
};

static const char *const fixtures[] = {"qcow2/snapshot.qcow2",    "qcow2/v2.qcow2",
                                       "qcow2/v3.qcow2",          "qcow2/refcount-1.qcow2",
                                       "qcow2/refcount-64.qcow2", "qcow2/cluster-512.qcow2",
                                       "qcow2/zlib.qcow2",        "qcow2/zstd.qcow2"};

/* ------------------------------------------------------------------------- reading */

/* Zeros in a cluster that an entry leads to may be those of any metadata, and not of the disk. */
static bool is_doubtful(img_image *image, uint64_t at, const uint8_t *block)
{
    static const uint8_t zeros[BLOCK];
    img_extent extent;

    return memcmp(block, zeros, BLOCK) == 0 &&
           (img_map(image, at, BLOCK, &extent, NULL) < 0 || !(extent.flags & IMG_EXTENT_ZERO));
}

/* Read the disk block by block; readable[n]: the n-th could be read. False: it cannot be opened. */
static bool read_disk(const struct subject *subject, uint8_t *disk, bool *readable)
{
    img_open_params params = {.format = "qcow2"};
    img_image *image;

    if (img_open(&image, "image", &params, NULL) < 0)
        return false;
    for (uint64_t at = 0; at < subject->size; at += BLOCK)
        readable[at / BLOCK] =
            img_read(image, at, disk + at, BLOCK, NULL) == 0 && !is_doubtful(image, at, disk + at);
    img_close(image, NULL);
    return true;
}

static void load(struct subject *subject)
{
    bool *readable;

    subject->sound = file_fixture(subject->fixture);
    subject->cluster = UINT32_C(1) << file_get(&subject->sound, 20, 4, true);
    subject->size = file_get(&subject->sound, 24, 8, true);
    if (subject->size > DISK_MAX)
        subject->size = DISK_MAX;
    subject->disk = calloc(1, subject->size);
    readable = calloc(subject->size / BLOCK, sizeof(*readable));
    if (!subject->disk || !readable)
        abort();
    file_put(&subject->sound, "image");
    if (!read_disk(subject, subject->disk, readable))
        abort();
    free(readable);
}

/* -------------------------------------------------------------------------- damage */

static uint64_t roll(uint64_t *state, uint64_t sides)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % sides;
}

static uint64_t get(const struct file *file, uint64_t offset)
{
    return offset <= file->length - 8 ? file_get(file, offset, 8, true) : 0;
}

/* A place where a table of 8-byte entries begins, and their number; 0: there is no such table. */
static uint64_t pick_table(const struct file *file, uint64_t *state, uint64_t *offset)
{
    uint64_t cluster = UINT64_C(1) << file_get(file, 20, 4, true);
    uint64_t l1 = file_get(file, 40, 8, true), l1_entries = file_get(file, 36, 4, true);

    *offset = l1;
    switch (roll(state, 6)) {
    case 0:
        return l1_entries;
    case 1:
    case 2: /* an L2 table; most entries of a small disk are at its start */
        *offset = get(file, l1 + 8 * roll(state, l1_entries)) & OFFSETS;
        return *offset ? cluster / 8 / (1 + 7 * roll(state, 2)) : 0;
    case 3:
        *offset = file_get(file, 48, 8, true);
        return 4;
    case 4: /* refcounts, however wide */
        *offset = get(file, file_get(file, 48, 8, true)) & OFFSETS;
        return *offset ? cluster / 8 / (1 + 15 * roll(state, 2)) : 0;
    default: /* the snapshot table or a snapshot's L1 table */
        *offset = file_get(file, 60, 4, true) ? file_get(file, 64, 8, true) : 0;
        if (*offset && roll(state, 2))
            *offset = get(file, *offset) & OFFSETS;
        return *offset ? 10 : 0;
    }
}

static uint64_t pick_value(const struct file *file, uint64_t *state, uint64_t old)
{
    uint64_t clusters = file->length >> file_get(file, 20, 4, true);
    uint64_t offset = roll(state, clusters + 2) << file_get(file, 20, 4, true);

    switch (roll(state, 8)) {
    case 0:
        return 0;
    case 1:
        return old ^ COPIED;
    case 2:
        return old ^ UINT64_C(1) << roll(state, 64);
    case 3:
        return (old & COPIED) | offset;
    case 4:
        return COPIED | offset;
    case 5:
        return offset | roll(state, 2) | BLOCK;
    case 6:
        return UINT64_MAX;
    default:
        return old ^ 1;
    }
}

static void damage(struct file *file, uint64_t *state, char *text, size_t size)
{
    size_t length = 0;

    for (uint64_t changes = 1 + roll(state, 3); changes > 0; changes--) {
        uint64_t offset, entries = pick_table(file, state, &offset), old, value;

        if (entries == 0)
            continue;
        offset += 8 * roll(state, entries);
        if (offset > file->length - 8)
            continue;
        old = file_get(file, offset, 8, true);
        value = pick_value(file, state, old);
        file_set(file, offset, 8, true, value);
        length +=
            (size_t)snprintf(text + length, size - length,
                             " 0x%" PRIx64 ": %016" PRIx64 " -> %016" PRIx64, offset, old, value);
    }
}

static void make_damage(const struct subject *subject, size_t n, struct file *file, char *text,
                        size_t size)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15) * (n + 1);

    *file = file_copy(&subject->sound);
    text[0] = '\0';
    damage(file, &state, text, size);
}

/* -------------------------------------------------------------------------- repair */

/* Check, and repair when flags say so. */
static int check(unsigned flags, img_check_result *result, char complaint[COMPLAINT_MAX])
{
    img_open_params params = {.format = "qcow2",
                              .flags = IMG_OPEN_CHECK | (flags ? (unsigned)IMG_OPEN_WRITE : 0),
                              .cache = IMG_CACHE_UNSAFE};
    img_job *job = img_job_new();
    img_error err = {0};
    img_image *image;
    int rc;

    if (!job)
        abort();
    img_job_set_flags(job, flags);
    rc = img_open(&image, "image", &params, &err);
    if (rc == 0) {
        rc = img_check(job, image, NULL, NULL, result, &err);
        if (img_close(image, &err) < 0)
            complain(complaint, "close: %s", err.message);
    }
    img_job_free(job);
    if (rc == IMG_E_INTERNAL || rc == IMG_E_NOMEM)
        complain(complaint, "check: %s", err.message);
    return rc;
}

static void judge_disk(const struct subject *subject, const uint8_t *before, const bool *was,
                       char complaint[COMPLAINT_MAX])
{
    uint8_t *disk = calloc(1, subject->size);
    bool *readable = calloc(subject->size / BLOCK, sizeof(*readable));

    if (!disk || !readable)
        abort();
    if (!read_disk(subject, disk, readable))
        complain(complaint, "cannot be opened any more");
    for (uint64_t at = 0; at < subject->size; at += BLOCK) {
        /* What leads to metadata, or to somebody else's data, was wrong before. */
        if (!was[at / BLOCK] || memcmp(before + at, subject->disk + at, BLOCK) != 0)
            continue;
        if (!readable[at / BLOCK])
            complain(complaint, "block at %" PRIu64 " cannot be read any more", at);
        else if (memcmp(disk + at, before + at, BLOCK) != 0)
            complain(complaint, "block at %" PRIu64 " has changed", at);
    }
    free(disk);
    free(readable);
}

static void judge_counts(unsigned flags, const img_check_result *repaired,
                         char complaint[COMPLAINT_MAX])
{
    img_check_result result = {0}, again = {0};

    if (check(0, &result, complaint) < 0)
        complain(complaint, "cannot be checked after its repair");
    if (result.corruptions != repaired->corruptions || result.leaks != repaired->leaks ||
        result.check_errors != repaired->check_errors)
        complain(complaint,
                 "the repair says %" PRIu64 " corruptions, %" PRIu64 " leaks, %" PRIu64
                 " errors remain, a check %" PRIu64 ", %" PRIu64 ", %" PRIu64,
                 repaired->corruptions, repaired->leaks, repaired->check_errors, result.corruptions,
                 result.leaks, result.check_errors);
    if (flags == IMG_JOB_REPAIR_ALL && check(flags, &again, complaint) == 0 &&
        (again.leaks || again.corruptions > repaired->corruptions))
        complain(complaint,
                 "after a second repair %" PRIu64 " leaks and %" PRIu64 " corruptions remain",
                 again.leaks, again.corruptions);
}

static void describe(void *opaque, size_t n, char *text, size_t size)
{
    const struct subject *subject = opaque;
    struct file file;
    char changes[160];

    make_damage(subject, n, &file, changes, sizeof(changes));
    file_free(&file);
    snprintf(text, size, "%zu:%s", n, changes);
}

static void run(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    const struct subject *subject = opaque;
    unsigned flags = n % 4 == 3 ? IMG_JOB_REPAIR_LEAKS : IMG_JOB_REPAIR_ALL;
    uint8_t *before = calloc(1, subject->size);
    bool *readable = calloc(subject->size / BLOCK, sizeof(*readable));
    img_check_result repaired = {0};
    char changes[200];
    struct file file;

    if (!before || !readable)
        abort();
    make_damage(subject, n, &file, changes, sizeof(changes));
    file_put(&file, "image");
    file_free(&file);
    if (read_disk(subject, before, readable)) {
        int rc = check(flags, &repaired, complaint);

        judge_disk(subject, before, readable, complaint);
        if (rc == 0)
            judge_counts(flags, &repaired, complaint);
    }
    free(before);
    free(readable);
}

int main(void)
{
    size_t total = 0, failures = 0;

    workshop_enter();
    for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
        struct subject subject = {.fixture = fixtures[i]};
        struct batch batch = {.title = fixtures[i],
                              .count = TRIALS,
                              .describe = describe,
                              .run = run,
                              .opaque = &subject};

        load(&subject);
        failures += batch_run(&batch);
        total += batch.count;
        file_free(&subject.sound);
        free(subject.disk);
    }
    workshop_leave();
    return batch_report(total, failures);
}
