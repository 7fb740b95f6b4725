/*
 * Snapshots of damaged qcow2 images: entries of their tables are changed at random, and a snapshot
 * is created, applied or deleted. SPDX-License-Identifier: BSD-2-Clause
 *
 * Whatever was changed: the operation ends, and no byte of the disk that could be read before, and
 * was right, is lost, unless the disk was to become another one. The n-th trial of an image is
 * always the same.
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
    struct file sound;
    uint8_t *disk; /* what it reads as */
    uint64_t size;
};

/* A disk in memory; readable[n]: the n-th block could be read, and says something. */
struct disk {
    uint8_t *bytes;
    bool *readable;
};

static const char *const fixtures[] = {"qcow2/snapshot.qcow2", "qcow2/v2.qcow2",
                                       "qcow2/cluster-512.qcow2", "qcow2/zlib.qcow2"};

/* ------------------------------------------------------------------------- reading */

static struct disk read_disk(uint64_t size)
{
    static const uint8_t zeros[BLOCK];
    img_open_params params = {.format = "qcow2"};
    struct disk disk = {calloc(1, size), calloc(size / BLOCK + 1, sizeof(bool))};
    img_image *image;

    if (!disk.bytes || !disk.readable)
        abort();
    if (img_open(&image, "image", &params, NULL) < 0)
        return disk;
    for (uint64_t at = 0; at + BLOCK <= size; at += BLOCK)
        /* Zeros may be those of a place that nothing was written to. */
        disk.readable[at / BLOCK] = img_read(image, at, disk.bytes + at, BLOCK, NULL) == 0 &&
                                    memcmp(disk.bytes + at, zeros, BLOCK) != 0;
    img_close(image, NULL);
    return disk;
}

static void disk_free(struct disk *disk)
{
    free(disk->bytes);
    free(disk->readable);
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

/* A place in some table that an operation looks at. */
static uint64_t pick_place(const struct file *file, uint64_t *state)
{
    uint64_t l1 = get(file, 40), snapshots = get(file, 64), reftable = get(file, 48);

    switch (roll(state, 8)) {
    case 0:
        return 24 + 8 * roll(state, 6);
    case 1:
        return l1 + 8 * roll(state, 4);
    case 2:
        return (get(file, l1) & OFFSETS) + 8 * roll(state, 32);
    case 3:
        return snapshots + 8 * roll(state, 20);
    case 4:
        return (get(file, snapshots) & OFFSETS) + 8 * roll(state, 4);
    case 5:
        return (get(file, get(file, snapshots) & OFFSETS) & OFFSETS) + 8 * roll(state, 32);
    case 6:
        return reftable + 8 * roll(state, 4);
    default:
        return (get(file, reftable) & OFFSETS) + 8 * roll(state, 16);
    }
}

static uint64_t pick_value(const struct file *file, uint64_t *state, uint64_t old)
{
    unsigned bits = (unsigned)file_get(file, 20, 4, true);
    uint64_t offset = roll(state, (file->length >> bits) + 2) << bits;

    switch (roll(state, 6)) {
    case 0:
        return 0;
    case 1:
        return old ^ UINT64_C(1) << roll(state, 64);
    case 2:
        return (old & COPIED) | offset;
    case 3:
        return offset | roll(state, 2) | BLOCK;
    case 4:
        return UINT64_MAX;
    default:
        return old ^ COPIED;
    }
}

/* With two snapshots in it, so that there is something to do, and then the n-th damage. */
static struct file make_damage(const struct subject *subject, size_t n, char *text, size_t size)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15) * (n + 1);
    struct file file = file_copy(&subject->sound);
    size_t length = 0;

    text[0] = '\0';
    for (uint64_t changes = 1 + roll(&state, 2); changes > 0; changes--) {
        uint64_t place = pick_place(&file, &state), old = get(&file, place);
        uint64_t value = pick_value(&file, &state, old);

        if (place > file.length - 8)
            continue;
        file_set(&file, place, 8, true, value);
        length +=
            (size_t)snprintf(text + length, size - length,
                             " 0x%" PRIx64 ": %016" PRIx64 " -> %016" PRIx64, place, old, value);
    }
    return file;
}

/* ----------------------------------------------------------------------- operations */

enum operation { CREATE, APPLY, DELETE };

static int operate(enum operation operation, char complaint[COMPLAINT_MAX])
{
    img_open_params params = {
        .format = "qcow2", .flags = IMG_OPEN_WRITE, .cache = IMG_CACHE_UNSAFE};
    const img_snapshot snapshot = {.name = "new"};
    img_error err = {0};
    img_image *image;
    int rc = img_open(&image, "image", &params, &err);

    if (rc == 0) {
        if (operation == CREATE)
            rc = img_snapshot_create(image, &snapshot, &err);
        else if (operation == APPLY)
            rc = img_snapshot_apply(image, "1", NULL, &err);
        else
            rc = img_snapshot_delete(image, "1", NULL, &err);
        img_close(image, NULL);
    }
    if (rc == IMG_E_INTERNAL || rc == IMG_E_NOMEM || (rc < 0 && !err.message[0]))
        complain(complaint, "%s", err.message[0] ? err.message : "no message");
    return rc;
}

static void run(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    const struct subject *subject = opaque;
    enum operation operation = (enum operation)(n % 3);
    char changes[200];
    struct file file = make_damage(subject, n, changes, sizeof(changes));
    struct disk before, after;
    int rc;

    file_put(&file, "image");
    file_free(&file);
    before = read_disk(subject->size);
    rc = operate(operation, complaint);
    after = read_disk(subject->size);
    for (uint64_t at = 0; at + BLOCK <= subject->size; at += BLOCK) {
        /* What leads to metadata, or to somebody else's data, was wrong before. */
        if ((operation == APPLY && rc == 0) || !before.readable[at / BLOCK] ||
            memcmp(before.bytes + at, subject->disk + at, BLOCK) != 0)
            continue;
        if (memcmp(before.bytes + at, after.bytes + at, BLOCK) != 0)
            complain(complaint, "block at %" PRIu64 " has changed", at);
    }
    disk_free(&before);
    disk_free(&after);
}

static void describe(void *opaque, size_t n, char *text, size_t size)
{
    char changes[160];
    struct file file = make_damage(opaque, n, changes, sizeof(changes));

    file_free(&file);
    snprintf(text, size, "%zu:%s", n, changes);
}

static void load(struct subject *subject, const char *fixture)
{
    char complaint[COMPLAINT_MAX] = "";
    struct disk disk;

    subject->sound = file_fixture(fixture);
    file_put(&subject->sound, "image");
    file_free(&subject->sound);
    if (operate(CREATE, complaint) < 0 || operate(CREATE, complaint) < 0)
        abort();
    subject->sound = file_load("image");
    subject->size = file_get(&subject->sound, 24, 8, true);
    if (subject->size > DISK_MAX)
        subject->size = DISK_MAX;
    disk = read_disk(subject->size);
    subject->disk = disk.bytes;
    free(disk.readable);
}

int main(void)
{
    size_t total = 0, failures = 0;

    workshop_enter();
    for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
        struct subject subject = {.size = 0};
        struct batch batch = {.title = fixtures[i],
                              .count = TRIALS,
                              .describe = describe,
                              .run = run,
                              .opaque = &subject};

        load(&subject, fixtures[i]);
        failures += batch_run(&batch);
        total += batch.count;
        file_free(&subject.sound);
        free(subject.disk);
    }
    workshop_leave();
    return batch_report(total, failures);
}
