/*
 * Images with one field set to a value that it should not have.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct subject {
    const char *fixture, *format;
    const char *file, *open; /* as in truncate.c: extents have a name that counts */
};

static const struct subject subjects[] = {
    {"qcow2/v2.qcow2", "qcow2", NULL, NULL},
    {"qcow2/v3.qcow2", "qcow2", NULL, NULL},
    {"qcow2/cluster-512.qcow2", "qcow2", NULL, NULL},
    {"qcow2/refcount-64.qcow2", "qcow2", NULL, NULL},
    {"qcow2/zlib.qcow2", "qcow2", NULL, NULL},
    {"qcow2/zstd.qcow2", "qcow2", NULL, NULL},
    {"qcow2/snapshot.qcow2", "qcow2", NULL, NULL},
    {"qcow2/overlay.qcow2", "qcow2", NULL, NULL},
    {"vdi/dynamic.vdi", "vdi", NULL, NULL},
    {"vhd/dynamic.vhd", "vpc", NULL, NULL},
    {"vhd/fixed.vhd", "vpc", NULL, NULL},
    {"vmdk/monolithicSparse.vmdk", "vmdk", NULL, NULL},
    {"vmdk/zeroed-grain.vmdk", "vmdk", NULL, NULL},
    {"vmdk/streamOptimized.vmdk", "vmdk", NULL, NULL},
    {"vmdk/stream-footer.vmdk", "vmdk", NULL, NULL},
    {"vmdk/twoGbMaxExtentSparse-s001.vmdk", "vmdk", "twoGbMaxExtentSparse-s001.vmdk",
     "twoGbMaxExtentSparse.vmdk"},
    {"vmdk/vmfsSparse-delta.vmdk", "vmdk", "vmfsSparse-delta.vmdk", "vmfsSparse.vmdk"},
    {"vmdk/seSparse-sesparse.vmdk", "vmdk", "seSparse-sesparse.vmdk", "seSparse.vmdk"},
    {"qcow/plain.qcow", "qcow", NULL, NULL},
    {"qcow/packed.qcow", "qcow", NULL, NULL},
    {"qcow/overlay.qcow", "qcow", NULL, NULL},
    {"qed/plain.qed", "qed", NULL, NULL},
    {"qed/overlay.qed", "qed", NULL, NULL},
    {"parallels/clusters.parallels", "parallels", NULL, NULL},
    {"parallels/sectors.parallels", "parallels", NULL, NULL},
    {"bochs/growing-1.bochs", "bochs", NULL, NULL},
    {"bochs/growing-2.bochs", "bochs", NULL, NULL},
    {"bochs/sparse-1.bochs", "bochs", NULL, NULL},
    {"bochs/sparse-2.bochs", "bochs", NULL, NULL},
    {"cloop/sectors.cloop", "cloop", NULL, NULL},
    {"cloop/thirds.cloop", "cloop", NULL, NULL},
    {"dmg/xml.dmg", "dmg", NULL, NULL},
    {"dmg/resources.dmg", "dmg", NULL, NULL},
};

/* Who knows the fields of a format. */
static const struct {
    const char *format;
    void (*add)(struct changes *changes, const struct file *file);
} formats[] = {
    {"bochs", changes_bochs},
    {"cloop", changes_cloop},
    {"dmg", changes_dmg},
    {"qcow", changes_qcow},
    {"parallels", changes_parallels},
    {"qcow2", changes_qcow2},
    {"qed", changes_qed},
    {"vdi", changes_vdi},
    {"vmdk", changes_vmdk},
    {"vpc", changes_vhd},
};

struct work {
    const struct subject *subject;
    struct file whole;
    struct changes changes;
};

static void describe(void *opaque, size_t n, char *text, size_t size)
{
    struct work *work = opaque;
    const struct change *change = &work->changes.list[n];

    snprintf(text, size, "%s at %zu set to 0x%llx", change->name, change->offset,
             (unsigned long long)change->value);
}

static void run(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    struct work *work = opaque;
    const struct subject *subject = work->subject;
    const struct change *change = &work->changes.list[n];
    const char *name = subject->file ? subject->file : "changed";
    struct trial trial = {.name = subject->open ? subject->open : name, .format = subject->format};
    struct file file = file_copy(&work->whole);
    struct outcome outcome;

    if (change->offset + change->width <= file.length) {
        file_set(&file, change->offset, change->width, change->big_endian, change->value);
        file_put(&file, name);
        trial_run(&trial, &outcome);
        memcpy(complaint, outcome.complaint, COMPLAINT_MAX);
    }
    file_free(&file);
}

static size_t run_subject(const struct subject *subject, size_t *total)
{
    struct work work = {.subject = subject, .whole = file_fixture(subject->fixture)};
    struct batch batch = {
        .title = subject->fixture, .describe = describe, .run = run, .opaque = &work};
    size_t failures;

    for (size_t n = 0; n < sizeof(formats) / sizeof(formats[0]); n++)
        if (strcmp(subject->format, formats[n].format) == 0)
            formats[n].add(&work.changes, &work.whole);
    batch.count = work.changes.count;
    *total += batch.count;
    failures = batch_run(&batch);
    free(work.changes.list);
    file_free(&work.whole);
    return failures;
}

/* What the fixtures name, or what names them. */
static void put_companions(void)
{
    static const char *const names[] = {"qcow/base.qcow",       "qed/base.qed",
                                        "qcow2/base.qcow2",     "vmdk/twoGbMaxExtentSparse.vmdk",
                                        "vmdk/vmfsSparse.vmdk", "vmdk/seSparse.vmdk"};

    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        struct file file = file_fixture(names[n]);

        file_put(&file, strrchr(names[n], '/') + 1);
        file_free(&file);
    }
}

int main(void)
{
    size_t total = 0, failures = 0;

    workshop_enter();
    put_companions();
    for (size_t n = 0; n < sizeof(subjects) / sizeof(subjects[0]); n++)
        failures += run_subject(&subjects[n], &total);
    workshop_leave();
    return batch_report(total, failures);
}
