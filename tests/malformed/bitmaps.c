/*
 * Images whose dirty bitmaps are not as they should be: one field of the extension, the directory
 * or a table is changed. SPDX-License-Identifier: BSD-2-Clause
 *
 * Whatever was changed: the image is read, listed, checked, written to and rid of its bitmaps in
 * bounded time and memory; and where a check found no corruption before, the disk holds afterwards
 * what was written to it.
 */
#include "malformed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DISK_SIZE (1u << 20)
#define WRITTEN 8192u /* bytes from 0 on that are written to the changed image */
#define EXTENSION 0x23852875u
#define IMAGE "image"

struct change {
    const char *name;
    size_t offset;
    unsigned width;
    uint64_t value;
};

struct work {
    struct file sound;
    uint8_t *disk;
    struct change changes[256];
    size_t count;
};

static void give_up(const char *what, int rc, const img_error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(99);
}

/* An image with two bitmaps that have bits, of which one is disabled. */
static void make_image(struct work *work, const char *text)
{
    img_options *options = img_options_new();
    img_image *image;
    img_error err;
    FILE *stream;

    give_up("options", img_options_parse(options, text, &err), &err);
    give_up("create", img_create(&image, IMAGE, "qcow2", DISK_SIZE, options, NULL, &err), &err);
    img_options_free(options);
    for (size_t i = 0; i < DISK_SIZE; i++)
        work->disk[i] = i < DISK_SIZE / 2 ? (uint8_t)(i / 512 + i) : 0;
    give_up("add", img_bitmap_add(image, "one", 512, true, &err), &err);
    give_up("write", img_write(image, 0, work->disk, DISK_SIZE / 2, &err), &err);
    give_up("add", img_bitmap_add(image, "second", 4096, true, &err), &err);
    give_up("write", img_write(image, 65536, work->disk + 65536, 5000, &err), &err);
    give_up("disable", img_bitmap_enable(image, "second", false, &err), &err);
    give_up("close", img_close(image, &err), &err);
    stream = fopen(IMAGE, "rb");
    if (!stream || fseek(stream, 0, SEEK_END) != 0)
        abort();
    work->sound = file_zeros((size_t)ftell(stream));
    rewind(stream);
    if (fread(work->sound.bytes, 1, work->sound.length, stream) != work->sound.length)
        abort();
    fclose(stream);
}

/* ------------------------------------------------------------------- the changes */

static void add(struct work *work, const char *name, size_t offset, unsigned width, uint64_t value)
{
    if (work->count == COUNT(work->changes))
        abort();
    work->changes[work->count++] = (struct change){name, offset, width, value};
}

static void add_values(struct work *work, const char *name, size_t offset, unsigned width,
                       const uint64_t *values, size_t count)
{
    uint64_t max = UINT64_MAX >> (64 - 8 * width);

    add(work, name, offset, width, 0);
    add(work, name, offset, width, 1);
    add(work, name, offset, width, max);
    add(work, name, offset, width, max / 2);
    for (size_t i = 0; i < count; i++)
        add(work, name, offset, width, values[i]);
}

static size_t find_extension(const struct work *work)
{
    size_t at = (size_t)file_get(&work->sound, 100, 4, true);

    while (file_get(&work->sound, at, 4, true) != EXTENSION)
        at += 8 + (size_t)(file_get(&work->sound, at + 4, 4, true) + 7) / 8 * 8;
    return at;
}

/* Places that belong to something else: other metadata, data, the file's end and what is behind. */
static void add_places(struct work *work, const char *name, size_t offset)
{
    const struct file *file = &work->sound;
    uint64_t cluster = UINT64_C(1) << file_get(file, 20, 4, true);
    uint64_t reftable = file_get(file, 48, 8, true);
    const uint64_t values[] = {
        cluster / 2,        file_get(file, 40, 8, true),
        reftable,           file_get(file, (size_t)reftable, 8, true),
        cluster * 20,       file->length / cluster * cluster,
        cluster << 20,      UINT64_C(1) << 55,
        (cluster << 5) | 1, offset / cluster * cluster,
    };

    add_values(work, name, offset, 8, values, COUNT(values));
}

static void add_record(struct work *work, size_t record)
{
    static const uint64_t entries[] = {2, 3, 0x8000000, 0x8000001};
    static const uint64_t flags[] = {2, 3, 4, 6, 8};
    static const uint64_t granularities[] = {8, 9, 10, 31, 32, 63, 64};
    static const uint64_t names[] = {2, 4, 7, 1023, 1024};
    static const uint64_t extras[] = {8, 16, 4096};
    size_t table = (size_t)file_get(&work->sound, record, 8, true);

    add_places(work, "table offset", record);
    add_values(work, "table entries", record + 8, 4, entries, COUNT(entries));
    add_values(work, "flags", record + 12, 4, flags, COUNT(flags));
    add_values(work, "type", record + 16, 1, NULL, 0);
    add_values(work, "granularity", record + 17, 1, granularities, COUNT(granularities));
    add_values(work, "name length", record + 18, 2, names, COUNT(names));
    add_values(work, "extra data", record + 20, 4, extras, COUNT(extras));
    add(work, "name", record + 24, 1, 0);
    add(work, "name", record + 24, 1, 0x1b);
    add_places(work, "table entry", table);
}

static void add_all(struct work *work)
{
    static const uint64_t counts[] = {3, 65535, 65536};
    static const uint64_t sizes[] = {8, 24, 31, 32, 56, 72, 4096, 64u << 20, (64u << 20) + 8};
    size_t extension = find_extension(work);
    size_t directory = (size_t)file_get(&work->sound, extension + 24, 8, true);

    add_values(work, "extension length", extension + 4, 4, NULL, 0);
    add_values(work, "count", extension + 8, 4, counts, COUNT(counts));
    add_values(work, "reserved", extension + 12, 4, NULL, 0);
    add_values(work, "directory size", extension + 16, 8, sizes, COUNT(sizes));
    add_places(work, "directory offset", extension + 24);
    add_record(work, directory);
    add_record(work, directory + 32);
    /* Both are named "one", but for the length, which is not. */
    add(work, "second name", directory + 32 + 24, 4, 0x6f6e6564);
}

/* --------------------------------------------------------------------- one trial */

/* List the bitmaps and look at all bits. */
static void look(img_image *image)
{
    img_bitmap bitmap;
    img_error err;

    for (size_t n = 0; img_bitmap_get(image, n, &bitmap, &err) == 0; n++) {
        uint64_t size = img_size(image), run;
        bool dirty;

        for (uint64_t at = 0; at < size; at += run)
            if (img_bitmap_run(image, bitmap.name, at, size - at, &run, &dirty, &err) < 0)
                break;
    }
}

static bool is_sound(void)
{
    img_open_params params = {.format = "qcow2"};
    img_check_result result = {0};
    img_image *image;
    img_error err;
    int rc;

    if (img_open(&image, IMAGE, &params, &err) < 0)
        return false;
    look(image);
    rc = img_check(NULL, image, NULL, NULL, &result, &err);
    img_close(image, NULL);
    return rc == 0 && result.corruptions == 0 && result.check_errors == 0;
}

/* What a user does; each may fail. False: the first write did. */
static bool use(const uint8_t *bytes)
{
    img_open_params params = {.format = "qcow2", .flags = IMG_OPEN_WRITE};
    img_bitmap bitmap;
    img_image *image;
    img_error err;
    bool written;

    if (img_open(&image, IMAGE, &params, &err) < 0)
        return false;
    written = img_write(image, 0, bytes, WRITTEN, &err) == 0;
    img_bitmap_add(image, "third", 0, true, &err);
    img_bitmap_merge(image, "third", NULL, "one", &err);
    img_bitmap_clear(image, "one", &err);
    img_bitmap_enable(image, "second", true, &err);
    img_resize(image, DISK_SIZE + 4096, &err);
    for (size_t n = 0; n < 8 && img_bitmap_get(image, 0, &bitmap, &err) == 0; n++)
        img_bitmap_remove(image, bitmap.name, &err);
    return img_close(image, &err) == 0 && written;
}

static void verify(const struct work *work, const uint8_t *bytes, char complaint[COMPLAINT_MAX])
{
    img_open_params params = {.format = "qcow2"};
    uint8_t *disk = calloc(1, DISK_SIZE);
    img_image *image;
    img_error err;
    int rc = img_open(&image, IMAGE, &params, &err);

    if (!disk)
        abort();
    if (rc == 0) {
        rc = img_read(image, 0, disk, DISK_SIZE, &err);
        img_close(image, NULL);
    }
    if (rc < 0)
        complain(complaint, "cannot be read after its use: %s", err.message);
    else if (memcmp(disk, bytes, WRITTEN) != 0 ||
             memcmp(disk + WRITTEN, work->disk + WRITTEN, DISK_SIZE - WRITTEN) != 0)
        complain(complaint, "the disk has changed");
    free(disk);
}

static void describe(void *opaque, size_t n, char *text, size_t size)
{
    struct work *work = opaque;
    const struct change *change = &work->changes[n];

    snprintf(text, size, "%s at %zu set to 0x%llx", change->name, change->offset,
             (unsigned long long)change->value);
}

static void run(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    struct work *work = opaque;
    const struct change *change = &work->changes[n];
    struct trial trial = {.name = IMAGE, .format = "qcow2"};
    struct file file = file_copy(&work->sound);
    uint8_t bytes[WRITTEN];
    struct outcome outcome;
    bool sound;

    memset(bytes, 0x77, sizeof(bytes));
    file_set(&file, change->offset, change->width, true, change->value);
    file_put(&file, IMAGE);
    file_free(&file);
    trial_run(&trial, &outcome);
    memcpy(complaint, outcome.complaint, COMPLAINT_MAX);
    sound = is_sound();
    if (use(bytes) && sound)
        verify(work, bytes, complaint);
}

int main(void)
{
    static const char *const shapes[] = {"cluster_size=512", "cluster_size=4k", "cluster_size=64k"};
    size_t total = 0, failures = 0;

    workshop_enter();
    for (size_t n = 0; n < COUNT(shapes); n++) {
        struct work work = {.disk = malloc(DISK_SIZE)};
        struct batch batch = {
            .title = shapes[n], .describe = describe, .run = run, .opaque = &work};

        if (!work.disk)
            abort();
        workshop_empty();
        make_image(&work, shapes[n]);
        add_all(&work);
        batch.count = work.count;
        total += batch.count;
        failures += batch_run(&batch);
        file_free(&work.sound);
        free(work.disk);
    }
    workshop_leave();
    return batch_report(total, failures);
}
