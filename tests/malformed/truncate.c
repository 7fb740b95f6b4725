/*
 * Images that end too early: each fixture, cut at every 512-byte boundary of its metadata (and more
 * coarsely in its data). SPDX-License-Identifier: BSD-2-Clause
 *
 * What can still be read must be right, the rest an error, never zeros in place of what is lost.
 */
#include "malformed.h"

#include <stdio.h>
#include <string.h>

#define STEP 512u
#define COARSE_STEP 8192u
/* Metadata lies at the start of the fixtures, and a stream's directory and footer at the end. */
#define FINE_HEAD (48u * 1024)
#define FINE_TAIL (8u * 1024)

struct subject {
    const char *fixture, *format;
    const char *file; /* the name it must have, for the descriptor's sake; NULL: any */
    const char *open; /* what to open; NULL: the file itself */
    uint64_t cluster; /* of a format that lets the file's end cut through a cluster; 0: does not */
};

static const struct subject subjects[] = {
    {"qcow2/v2.qcow2", "qcow2", NULL, NULL, 4096},
    {"qcow2/v3.qcow2", "qcow2", NULL, NULL, 4096},
    {"qcow2/cluster-512.qcow2", "qcow2", NULL, NULL, 512},
    {"qcow2/refcount-1.qcow2", "qcow2", NULL, NULL, 4096},
    {"qcow2/zlib.qcow2", "qcow2", NULL, NULL, 4096},
    {"qcow2/zstd.qcow2", "qcow2", NULL, NULL, 4096},
    {"qcow2/snapshot.qcow2", "qcow2", NULL, NULL, 4096},
    {"qcow2/overlay.qcow2", "qcow2", NULL, NULL, 4096},
    {"vdi/dynamic.vdi", "vdi", NULL, NULL, 0},
    {"vhd/dynamic.vhd", "vpc", NULL, NULL, 0},
    {"vhd/fixed.vhd", "vpc", NULL, NULL, 0},
    {"vmdk/monolithicSparse.vmdk", "vmdk", NULL, NULL, 0},
    {"vmdk/streamOptimized.vmdk", "vmdk", NULL, NULL, 0},
    {"vmdk/stream-footer.vmdk", "vmdk", NULL, NULL, 0},
    {"vmdk/monolithicFlat-flat.vmdk", "vmdk", "monolithicFlat-flat.vmdk", "monolithicFlat.vmdk", 0},
    {"vmdk/twoGbMaxExtentSparse-s001.vmdk", "vmdk", "twoGbMaxExtentSparse-s001.vmdk",
     "twoGbMaxExtentSparse.vmdk", 0},
    {"vmdk/twoGbMaxExtentSparse.vmdk", "vmdk", "twoGbMaxExtentSparse.vmdk", NULL, 0},
    {"vmdk/vmfsSparse-delta.vmdk", "vmdk", "vmfsSparse-delta.vmdk", "vmfsSparse.vmdk", 0},
    {"vmdk/seSparse-sesparse.vmdk", "vmdk", "seSparse-sesparse.vmdk", "seSparse.vmdk", 0},
    {"qcow/plain.qcow", "qcow", NULL, NULL, 0},
    {"qcow/packed.qcow", "qcow", NULL, NULL, 0},
    {"qcow/overlay.qcow", "qcow", NULL, NULL, 0},
    {"qed/plain.qed", "qed", NULL, NULL, 0},
    {"qed/overlay.qed", "qed", NULL, NULL, 0},
    {"parallels/clusters.parallels", "parallels", NULL, NULL, 0},
    {"parallels/sectors.parallels", "parallels", NULL, NULL, 0},
    {"bochs/growing-1.bochs", "bochs", NULL, NULL, 0},
    {"bochs/growing-2.bochs", "bochs", NULL, NULL, 0},
    {"bochs/sparse-1.bochs", "bochs", NULL, NULL, 0},
    {"bochs/sparse-2.bochs", "bochs", NULL, NULL, 0},
    {"cloop/sectors.cloop", "cloop", NULL, NULL, 0},
    {"cloop/thirds.cloop", "cloop", NULL, NULL, 0},
    {"dmg/xml.dmg", "dmg", NULL, NULL, 0},
    {"dmg/resources.dmg", "dmg", NULL, NULL, 0},
};

struct cuts {
    const struct subject *subject;
    struct file whole, disk;
    size_t places[4096];
    size_t count;
};

static void find_places(struct cuts *cuts)
{
    size_t length = cuts->whole.length;

    cuts->count = 0;
    for (size_t place = 0; place < length && cuts->count < 4096; place += STEP)
        if (place < FINE_HEAD || place + FINE_TAIL >= length || place % COARSE_STEP == 0)
            cuts->places[cuts->count++] = place;
}

static void describe(void *opaque, size_t n, char *text, size_t size)
{
    struct cuts *cuts = opaque;

    snprintf(text, size, "%s cut at %zu", cuts->subject->fixture, cuts->places[n]);
}

static void run(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    struct cuts *cuts = opaque;
    const struct subject *subject = cuts->subject;
    struct file file = {cuts->whole.bytes, cuts->places[n]};
    const char *name = subject->file ? subject->file : "cut";
    struct trial trial = {.name = subject->open ? subject->open : name,
                          .format = subject->format,
                          .expected = &cuts->disk};
    struct outcome outcome;

    if (subject->cluster && file.length % subject->cluster)
        trial.tail = subject->cluster;
    file_put(&file, name);
    trial_run(&trial, &outcome);
    memcpy(complaint, outcome.complaint, COMPLAINT_MAX);
    if (outcome.open == 0 && outcome.read < 0 && outcome.check == 0 && outcome.faults == 0)
        complain(complaint, "reading fails (%s), and the check finds nothing", outcome.message);
}

/* What the fixtures name must be there, in whole. */
static void put_companions(void)
{
    static const char *const names[] = {"qcow/base.qcow",
                                        "qed/base.qed",
                                        "qcow2/base.qcow2",
                                        "vmdk/monolithicFlat.vmdk",
                                        "vmdk/monolithicFlat-flat.vmdk",
                                        "vmdk/twoGbMaxExtentSparse.vmdk",
                                        "vmdk/twoGbMaxExtentSparse-s001.vmdk",
                                        "vmdk/vmfsSparse.vmdk",
                                        "vmdk/seSparse.vmdk"};

    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        struct file file = file_fixture(names[n]);

        file_put(&file, strrchr(names[n], '/') + 1);
        file_free(&file);
    }
}

static size_t run_subject(const struct subject *subject, size_t *total)
{
    struct cuts cuts = {.subject = subject,
                        .whole = file_fixture(subject->fixture),
                        .disk = file_fixture("vmdk/monolithicFlat-flat.vmdk")};
    struct batch batch = {
        .title = subject->fixture, .describe = describe, .run = run, .opaque = &cuts};
    size_t failures;

    put_companions();
    find_places(&cuts);
    batch.count = cuts.count;
    *total += batch.count;
    failures = batch_run(&batch);
    file_free(&cuts.whole);
    file_free(&cuts.disk);
    return failures;
}

int main(void)
{
    size_t total = 0, failures = 0;

    workshop_enter();
    for (size_t n = 0; n < sizeof(subjects) / sizeof(subjects[0]); n++)
        failures += run_subject(&subjects[n], &total);
    workshop_leave();
    return batch_report(total, failures);
}
