/*
 * VHDX images that are not as they should be. SPDX-License-Identifier: BSD-2-Clause
 *
 * The fixtures' disk in an image that is made here, since VHDX files are too large to be kept: cut
 * at every boundary, with each field at its extremes (and the checksums right again, which would
 * catch all of that), and with what somebody who means harm would write.
 */
#include "malformed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "vhdx/disk.h"

#define BAT_AT ((size_t)2 << 20)
#define METADATA_AT ((size_t)3 << 20)
#define ITEMS_AT (METADATA_AT + 65536)
#define LOG_AT ((size_t)1 << 20)
#define DATA_AT ((uint64_t)8 << 20)
#define GIB (UINT64_C(1) << 30)
#define EIB (UINT64_C(1) << 60)

static struct file image, disk;

/* ------------------------------------------------------------------- making */

static void must(const char *what, int rc, const img_error *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(99);
}

static void make_image(void)
{
    const img_open_params raw = {.format = "raw"};
    img_options *options = img_options_new();
    img_image *source, *target;
    img_error err;

    must("options", img_options_parse(options, "block_size=1M", &err), &err);
    must("open", img_open(&source, "fixtures/vmdk/monolithicFlat-flat.vmdk", &raw, &err), &err);
    must("create", img_create(&target, "made", "vhdx", img_size(source), options, NULL, &err),
         &err);
    must("convert", img_convert(NULL, &source, 1, target, &err), &err);
    must("close", img_close(target, &err), &err);
    img_close(source, NULL);
    img_options_free(options);
    image = file_load("made");
    disk = file_fixture("vmdk/monolithicFlat-flat.vmdk");
}

/* A checksum that is right for what is there. */
static void seal(struct file *file, size_t at, size_t length)
{
    file_set(file, at + 4, 4, false, vhdx_crc(file->bytes + at, length));
}

/* The log holds an entry that writes the BAT as it is. */
static void add_log(struct file *file)
{
    struct vhdx_log_entry entry = {.length = 2 * VHDX_LOG_SECTOR,
                                   .descriptors = 1,
                                   .sequence = 1,
                                   .flushed = 4 << 20,
                                   .last = 4 << 20,
                                   .guid = {{1, 2, 3}}};
    struct vhdx_change change = {.offset = BAT_AT};

    memcpy(change.bytes, file->bytes + BAT_AT, sizeof(change.bytes));
    vhdx_log_entry_encode(&entry, &change, file->bytes + LOG_AT);
    for (unsigned n = 0; n < 2; n++) {
        size_t at = (size_t)VHDX_AT_HEADER(n);

        vhdx_guid_put(file->bytes + at + VHDX_HEADER_AT_LOG_GUID, &entry.guid);
        seal(file, at, VHDX_HEADER_BYTES);
    }
}

/* -------------------------------------------------------------------- fields */

static const struct field identifier[] = {{"signature", 0, 8, {0}}};

static const struct field header[] = {
    {"header signature", 0, 4, {0}},
    {"sequence number", 8, 8, {2}},
    {"log GUID", 48, 8, {0}},
    {"log version", 64, 2, {0}},
    {"version", 66, 2, {2}},
    {"log length", 68, 4, {4096, 1 << 20, 2 << 20, 1u << 31}},
    {"log offset", 72, 8, {4096, 1 << 20, 2 << 20, 10 << 20, EIB, UINT64_MAX - (1 << 20) + 1}},
};

static const struct field regions[] = {
    {"region signature", 0, 4, {0}},
    {"region count", 8, 4, {2, 3, 2047, 2048}},
    {"first GUID", 16, 8, {0}},
    {"first offset", 32, 8, {1 << 20, 3 << 20, 4097, 20 << 20, EIB}},
    {"first length", 40, 4, {4096, 2 << 20, 1u << 31, 0xfff00000}},
    {"second GUID", 48, 8, {0}},
    {"second offset", 64, 8, {1 << 20, 2 << 20, 4097, 20 << 20, UINT64_MAX - (1 << 20) + 1}},
    {"second length", 72, 4, {4096, 2 << 20, 1u << 31}},
};

static const struct field table[] = {
    {"metadata signature", 0, 8, {0}},
    {"metadata count", 10, 2, {4, 5, 6, 2047, 2048}},
    {"item GUID", 32, 8, {0}},
    {"item offset", 48, 4, {65535, 65536, 65537, 1048575, 1 << 20}},
    {"item length", 52, 4, {4, 7, 8, 9, 1 << 20}},
    {"item flags", 56, 4, {4, 5, 8}},
    {"second GUID", 64, 8, {0}},
};

static const struct field items[] = {
    {"block size", 0, 4, {1 << 19, 1 << 20, 2 << 20, 3 << 20, 256u << 20, 512u << 20}},
    {"file parameters", 4, 4, {2, 3}},
    {"disk size", 8, 8, {512, 513, 64 * GIB, 64 * 1024 * GIB, 64 * 1024 * GIB + 512, EIB}},
    {"logical sector", 32, 4, {511, 512, 4096, 8192}},
    {"physical sector", 36, 4, {511, 512, 4096, 8192}},
};

#define ENTRIES                                                                                    \
    {                                                                                              \
        2, 3, 4, 5, 7, (1 << 20) | 6, (3 << 20) | 6, (8 << 20) | 7, (8 << 20) | 14, (9 << 20) | 6, \
            EIB | 6                                                                                \
    }
static const struct field bat[] = {
    {"block 0", 0, 8, ENTRIES}, {"block 1", 8, 8, ENTRIES}, {"block 2", 16, 8, ENTRIES}};

static const struct field entry[] = {
    {"entry signature", 0, 4, {0}},
    {"entry length", 8, 4, {4096, 8192, 12288, 1 << 20, (1 << 20) + 4096}},
    {"entry tail", 12, 4, {4096, 8192, 1 << 20}},
    {"entry sequence", 16, 8, {2}},
    {"descriptors", 24, 4, {2, 126, 127, 254}},
    {"entry GUID", 32, 8, {0}},
    {"flushed offset", 48, 8, {9 << 20, 10 << 20, 11 << 20, EIB}},
    {"last offset", 56, 8, {9 << 20, 11 << 20, 66 * 1024 * GIB, EIB}},
    {"descriptor signature", 64, 4, {0x6f72657a}},
    {"leading bytes", 72, 8, {4096, EIB}},
    {"descriptor offset", 80, 8, {4096, 65536, 1 << 20, 1052672, 2 << 20, 9 << 20, EIB}},
    {"descriptor sequence", 88, 8, {2}},
    {"sector signature", 4096, 4, {0}},
    {"sector sequence", 4100, 4, {0}},
};

/* A structure, its copies, and the bytes that its checksum is of (0: it has none). */
struct part {
    const struct field *fields;
    size_t count, at, copy, sealed;
    bool log; /* of an image whose log is not empty */
};

#define FIELDS(array) array, sizeof(array) / sizeof(array[0])
static const struct part parts[] = {
    {FIELDS(identifier), 0, 0, 0, false},
    {FIELDS(header), 65536, 131072, VHDX_HEADER_BYTES, false},
    {FIELDS(header), 65536, 131072, VHDX_HEADER_BYTES, true},
    {FIELDS(regions), 196608, 262144, VHDX_TABLE_BYTES, false},
    {FIELDS(table), METADATA_AT, 0, 0, false},
    {FIELDS(items), ITEMS_AT, 0, 0, false},
    {FIELDS(bat), BAT_AT, 0, 0, false},
    {FIELDS(entry), LOG_AT, 0, 2 * VHDX_LOG_SECTOR, true},
};

struct work {
    const struct part *part;
    struct changes changes;
};

static void describe_field(void *opaque, size_t n, char *text, size_t size)
{
    const struct work *work = opaque;
    const struct change *change = &work->changes.list[n];

    snprintf(text, size, "%s set to 0x%llx", change->name, (unsigned long long)change->value);
}

static void set_field(struct file *file, const struct part *part, size_t at,
                      const struct change *change)
{
    file_set(file, at + change->offset, change->width, false, change->value);
    if (part->sealed)
        seal(file, at, part->sealed);
}

static void run_field(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    const struct work *work = opaque;
    const struct part *part = work->part;
    struct trial trial = {.name = "changed", .format = "vhdx"};
    struct file file = file_copy(&image);
    struct outcome outcome;

    if (part->log)
        add_log(&file);
    set_field(&file, part, part->at, &work->changes.list[n]);
    if (part->copy)
        set_field(&file, part, part->copy, &work->changes.list[n]);
    file_put(&file, "changed");
    trial_run(&trial, &outcome);
    memcpy(complaint, outcome.complaint, COMPLAINT_MAX);
    file_free(&file);
}

static size_t run_part(const struct part *part, size_t *total)
{
    struct work work = {.part = part};
    struct batch batch = {
        .title = part->fields->name, .describe = describe_field, .run = run_field, .opaque = &work};
    size_t failures;

    change_add_fields(&work.changes, part->fields, part->count, 0, false);
    batch.count = work.changes.count;
    *total += batch.count;
    failures = batch_run(&batch);
    free(work.changes.list);
    return failures;
}

/* ---------------------------------------------------------------------- cuts */

/* Places of 32 KiB, and finer ones around the blocks. */
static size_t place(size_t n)
{
    size_t coarse = image.length / 32768;

    return n < coarse ? n * 32768 : image.length - (n - coarse + 1) * 512;
}

static void describe_cut(void *opaque, size_t n, char *text, size_t size)
{
    (void)opaque;
    snprintf(text, size, "cut at %zu", place(n));
}

static void run_cut(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    struct file file = {image.bytes, place(n)};
    struct trial trial = {.name = "cut", .format = "vhdx", .expected = &disk};
    struct outcome outcome;

    (void)opaque;
    file_put(&file, "cut");
    trial_run(&trial, &outcome);
    memcpy(complaint, outcome.complaint, COMPLAINT_MAX);
    if (outcome.open == 0 && outcome.read < 0 && outcome.check == 0 && outcome.faults == 0)
        complain(complaint, "reading fails (%s), and the check finds nothing", outcome.message);
}

/* -------------------------------------------------------------------- faults */

struct damage {
    const char *name;
    size_t at;
    uint64_t value;
    bool readable; /* all of the disk is there nevertheless */
};

/* What a check must find. */
static const struct damage damages[] = {
    {"header 1 is damaged", 65536, 0, true},
    {"header 2 is damaged", 131072, 0, true},
    {"region table 1 is damaged", 196608, 0, true},
    {"region table 2 is damaged", 262144, 0, true},
    {"two blocks at one place", BAT_AT + 8, DATA_AT | 6, false},
    {"a block in the BAT", BAT_AT, BAT_AT | 6, false},
    {"a block past the end", BAT_AT, (64 << 20) | 6, false},
    {"a state that does not exist", BAT_AT, 4, false},
    {"partially present without a parent", BAT_AT, DATA_AT | 7, false},
    {"reserved bits", BAT_AT, DATA_AT | 6 | 64, false},
    {"lost space", BAT_AT + 8, 2, false},
};

static void describe_damage(void *opaque, size_t n, char *text, size_t size)
{
    (void)opaque;
    snprintf(text, size, "%s", damages[n].name);
}

static void run_damage(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    const struct damage *damage = &damages[n];
    struct trial trial = {.name = "damaged", .format = "vhdx"};
    struct file file = file_copy(&image);
    struct outcome outcome;

    (void)opaque;
    if (damage->readable)
        trial.expected = &disk;
    file_set(&file, damage->at, 8, false, damage->value);
    file_put(&file, "damaged");
    file_free(&file);
    trial_run(&trial, &outcome);
    memcpy(complaint, outcome.complaint, COMPLAINT_MAX);
    if (damage->readable && outcome.read < 0)
        complain(complaint, "cannot be read: %s", outcome.message);
    if (outcome.check < 0 || outcome.faults == 0)
        complain(complaint, "the check finds nothing");
}

/* What a repair says is left is what is found afterwards. */
static void judge_repair(const img_check_result *repaired, const struct outcome *outcome,
                         char complaint[COMPLAINT_MAX])
{
    uint64_t left = repaired->corruptions + repaired->leaks + repaired->check_errors;

    if (outcome->check < 0)
        complain(complaint, "the repaired image: %s", outcome->message);
    else if (outcome->faults != left)
        complain(complaint, "the repair leaves %llu faults, a check finds %llu",
                 (unsigned long long)left, (unsigned long long)outcome->faults);
}

/* And a repair mends all that can be mended. */
static void run_repair(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    const img_open_params params = {.format = "vhdx", .flags = IMG_OPEN_CHECK | IMG_OPEN_WRITE};
    struct trial trial = {.name = "damaged", .format = "vhdx"};
    const struct damage *damage = &damages[n];
    struct file file = file_copy(&image);
    img_check_result result = {0};
    img_job *job = img_job_new();
    struct outcome outcome;
    img_image *damaged;
    img_error err;

    (void)opaque;
    if (damage->readable)
        trial.expected = &disk;
    file_set(&file, damage->at, 8, false, damage->value);
    file_put(&file, "damaged");
    file_free(&file);
    img_job_set_flags(job, IMG_JOB_REPAIR_ALL);
    must("open", img_open(&damaged, "damaged", &params, &err), &err);
    if (img_check(job, damaged, NULL, NULL, &result, &err) < 0)
        complain(complaint, "repair: %s", err.message);
    if (damage->readable &&
        (result.corruptions_fixed == 0 || result.corruptions + result.check_errors > 0))
        complain(complaint, "nothing was mended");
    must("close", img_close(damaged, &err), &err);
    img_job_free(job);
    trial_run(&trial, &outcome);
    judge_repair(&result, &outcome, complaint);
    if (damage->readable && outcome.read < 0)
        complain(complaint, "the repaired image: %s", outcome.message);
}

int main(void)
{
    const struct batch cuts = {.title = "cut", .describe = describe_cut, .run = run_cut};
    const struct batch faults = {.title = "damaged",
                                 .describe = describe_damage,
                                 .run = run_damage,
                                 .count = sizeof(damages) / sizeof(damages[0])};
    const struct batch repairs = {
        .title = "repaired", .describe = describe_damage, .run = run_repair, .count = faults.count};
    struct batch cut = cuts;
    size_t total = faults.count + repairs.count, failures = 0;

    workshop_enter();
    make_image();
    cut.count = image.length / 32768 + 40;
    total += cut.count;
    for (size_t n = 0; n < sizeof(parts) / sizeof(parts[0]); n++)
        failures += run_part(&parts[n], &total);
    failures += batch_run(&cut);
    failures += batch_run(&faults);
    failures += batch_run(&repairs);
    file_free(&image);
    file_free(&disk);
    workshop_leave();
    return batch_report(total, failures);
}
