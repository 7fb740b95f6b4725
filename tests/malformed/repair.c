/*
 * Repair of damaged images: entries of their tables are changed at random, and the image is
 * repaired. SPDX-License-Identifier: BSD-2-Clause
 *
 * Whatever was changed: the repair ends, what it says remains is what a check finds afterwards, a
 * second repair makes nothing worse, and no byte of the disk or of its backing image
 * that could be read before, and was right, is lost. The n-th trial of an image is always the same.
 */
#include "repair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIALS 400
#define BLOCK 512u
#define DISK_MAX (4u << 20)
static struct subject subjects[] = {
    {.format = "qcow2", .fixture = "qcow2/snapshot.qcow2", .damage = damage_qcow2},
    {.format = "qcow2", .fixture = "qcow2/v2.qcow2", .damage = damage_qcow2},
    {.format = "qcow2", .fixture = "qcow2/v3.qcow2", .damage = damage_qcow2},
    {.format = "qcow2", .fixture = "qcow2/refcount-1.qcow2", .damage = damage_qcow2},
    {.format = "qcow2", .fixture = "qcow2/refcount-64.qcow2", .damage = damage_qcow2},
    {.format = "qcow2", .fixture = "qcow2/cluster-512.qcow2", .damage = damage_qcow2},
    {.format = "qcow2", .fixture = "qcow2/zlib.qcow2", .damage = damage_qcow2},
    {.format = "qcow2", .fixture = "qcow2/zstd.qcow2", .damage = damage_qcow2},
    {.format = "vmdk", .fixture = "vmdk/monolithicSparse.vmdk", .damage = damage_vmdk},
    {.format = "vmdk", .fixture = "vmdk/zeroed-grain.vmdk", .damage = damage_vmdk},
    {.format = "vmdk", .fixture = "vmdk/streamOptimized.vmdk", .damage = damage_vmdk},
    {.format = "vmdk", .fixture = "vmdk/stream-footer.vmdk", .damage = damage_vmdk},
    {.format = "vmdk",
     .fixture = "vmdk/twoGbMaxExtentSparse-s001.vmdk",
     .descriptor = "vmdk/twoGbMaxExtentSparse.vmdk",
     .damage = damage_vmdk},
    {.format = "vmdk",
     .fixture = "vmdk/vmfsSparse-delta.vmdk",
     .descriptor = "vmdk/vmfsSparse.vmdk",
     .damage = damage_vmdk},
};

/* ------------------------------------------------------------------------- reading */

/* Zeros in a cluster that an entry leads to may be those of any metadata, and not of the disk. */
static bool is_doubtful(img_image *image, uint64_t at, const uint8_t *block)
{
    static const uint8_t zeros[BLOCK];
    img_extent extent;

    return memcmp(block, zeros, BLOCK) == 0 &&
           (img_map(image, at, BLOCK, &extent, NULL) < 0 || !(extent.flags & IMG_EXTENT_ZERO));
}

/*
 * Read the disk block by block; readable[n]: the n-th could be read, and with doubts is what the
 * disk holds. False: it cannot be opened.
 */
static bool read_disk(const struct subject *subject, uint8_t *disk, bool *readable, bool doubts)
{
    img_open_params params = {.format = subject->format};
    img_image *image;

    if (img_open(&image, "image", &params, NULL) < 0)
        return false;
    for (uint64_t at = 0; at < subject->size; at += BLOCK)
        readable[at / BLOCK] = img_read(image, at, disk + at, BLOCK, NULL) == 0 &&
                               !(doubts && is_doubtful(image, at, disk + at));
    img_close(image, NULL);
    return true;
}

/* -------------------------------------------------------------------------- damage */

uint64_t roll(uint64_t *state, uint64_t sides)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % sides;
}

static void make_damage(const struct subject *subject, size_t n, struct file *file, char *text,
                        size_t size)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15) * (n + 1);

    *file = file_copy(&subject->sound);
    text[0] = '\0';
    subject->damage(file, &state, text, size);
}

/* -------------------------------------------------------------------------- repair */

/* Check, and repair when flags say so. */
static int check(const struct subject *subject, unsigned flags, img_check_result *result,
                 char complaint[COMPLAINT_MAX])
{
    img_open_params params = {.format = subject->format,
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

/* The file that is damaged, and what names it. */
static void put_image(const struct subject *subject, const struct file *file)
{
    struct file descriptor;

    if (!subject->descriptor) {
        file_put(file, "image");
        return;
    }
    descriptor = file_fixture(subject->descriptor);
    file_put(&descriptor, "image");
    file_put(file, strchr(subject->fixture, '/') + 1);
    file_free(&descriptor);
}

static void load(struct subject *subject)
{
    img_image *image;
    bool *readable;

    subject->sound = file_fixture(subject->fixture);
    put_image(subject, &subject->sound);
    if (img_open(&image, "image", &(img_open_params){.format = subject->format}, NULL) < 0)
        abort();
    subject->size = img_size(image);
    img_close(image, NULL);
    if (subject->size > DISK_MAX)
        subject->size = DISK_MAX;
    subject->size -= subject->size % BLOCK;
    subject->disk = calloc(1, subject->size);
    readable = calloc(subject->size / BLOCK, sizeof(*readable));
    if (!subject->disk || !readable || !read_disk(subject, subject->disk, readable, false))
        abort();
    free(readable);
}

static void judge_disk(const struct subject *subject, const uint8_t *before, const bool *was,
                       char complaint[COMPLAINT_MAX])
{
    uint8_t *disk = calloc(1, subject->size);
    bool *readable = calloc(subject->size / BLOCK, sizeof(*readable));

    if (!disk || !readable)
        abort();
    if (!read_disk(subject, disk, readable, false))
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

static void judge_counts(const struct subject *subject, unsigned flags,
                         const img_check_result *repaired, char complaint[COMPLAINT_MAX])
{
    img_check_result result = {0}, again = {0};

    if (check(subject, 0, &result, complaint) < 0)
        complain(complaint, "cannot be checked after its repair");
    if (result.corruptions != repaired->corruptions || result.leaks != repaired->leaks ||
        result.check_errors != repaired->check_errors)
        complain(complaint,
                 "the repair says %" PRIu64 " corruptions, %" PRIu64 " leaks, %" PRIu64
                 " errors remain, a check %" PRIu64 ", %" PRIu64 ", %" PRIu64,
                 repaired->corruptions, repaired->leaks, repaired->check_errors, result.corruptions,
                 result.leaks, result.check_errors);
    if (flags == IMG_JOB_REPAIR_ALL && check(subject, flags, &again, complaint) == 0 &&
        (again.leaks > repaired->leaks || again.corruptions > repaired->corruptions))
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
    put_image(subject, &file);
    file_free(&file);
    if (read_disk(subject, before, readable, true)) {
        int rc = check(subject, flags, &repaired, complaint);

        judge_disk(subject, before, readable, complaint);
        if (rc == 0)
            judge_counts(subject, flags, &repaired, complaint);
    }
    free(before);
    free(readable);
}

int main(void)
{
    size_t total = 0, failures = 0;

    workshop_enter();
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        struct subject *subject = &subjects[i];
        struct batch batch = {.title = subject->fixture,
                              .count = TRIALS,
                              .describe = describe,
                              .run = run,
                              .opaque = subject};

        load(subject);
        failures += batch_run(&batch);
        total += batch.count;
        file_free(&subject->sound);
        free(subject->disk);
    }
    workshop_leave();
    return batch_report(total, failures);
}
