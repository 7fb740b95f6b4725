/*
 * Images made by somebody who means harm: each case is built, opened under a policy, used, and must
 * end the way the case says. SPDX-License-Identifier: BSD-2-Clause
 */
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void make_fifo(const char *name)
{
    if (mkfifo(name, 0600) < 0)
        abort();
}

void make_link(const char *name, const char *target)
{
    if (symlink(target, name) < 0)
        abort();
}

char *outside_path(void)
{
    char *path = realpath("fixtures/noise.bin", NULL);

    if (!path)
        abort();
    return path;
}

static void describe(void *opaque, size_t n, char *text, size_t size)
{
    const struct hostile *cases = opaque;

    snprintf(text, size, "%s", cases[n].name);
}

static bool is_code(int rc, int code)
{
    return rc < 0 && (code == 0 || rc == code);
}

static void judge(const struct hostile *hostile, struct outcome *outcome)
{
    switch (hostile->want) {
    case WANT_FINE:
        if (outcome->open < 0 || outcome->read < 0 || outcome->convert < 0)
            complain(outcome->complaint, "should work, but: %s", outcome->message);
        break;
    case WANT_REFUSED:
        if (!is_code(outcome->open, hostile->code))
            complain(outcome->complaint, "should be refused with %d, open gives %d: %s",
                     hostile->code, outcome->open, outcome->message);
        break;
    case WANT_READ_ERROR:
        if (!is_code(outcome->read, hostile->code) || outcome->convert >= 0)
            complain(outcome->complaint,
                     "reading should fail with %d: open %d, read %d, convert %d: %s", hostile->code,
                     outcome->open, outcome->read, outcome->convert, outcome->message);
        break;
    case WANT_ERROR:
        if (outcome->open == 0 && (outcome->read >= 0 || outcome->convert >= 0))
            complain(outcome->complaint, "should fail: open %d, read %d, convert %d", outcome->open,
                     outcome->read, outcome->convert);
        break;
    case WANT_FAULTS:
        if (outcome->check == 0 && outcome->faults == 0)
            complain(outcome->complaint, "the check finds nothing");
        break;
    case WANT_BOUNDED:
        break;
    }
}

static void run(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    const struct hostile *hostile = (const struct hostile *)opaque + n;
    struct trial trial = {.name = "image", .format = hostile->format};
    img_policy *policy = img_policy_new();
    struct outcome outcome;

    workshop_empty();
    hostile->make();
    if (!policy)
        abort();
    img_policy_set_reach(policy, hostile->reach);
    img_policy_set_probe(policy, !hostile->strict_probe);
    trial.policy = policy;
    trial_run(&trial, &outcome);
    img_policy_free(policy);
    judge(hostile, &outcome);
    memcpy(complaint, outcome.complaint, COMPLAINT_MAX);
}

static size_t run_table(const char *title, const struct hostile *cases, size_t *total)
{
    struct batch batch = {
        .title = title, .describe = describe, .run = run, .opaque = (void *)(uintptr_t)cases};

    while (cases[batch.count].name)
        batch.count++;
    *total += batch.count;
    return batch_run(&batch);
}

/* R5: a disk that was guessed to be raw may not be turned into another format by its own guest. */
static void run_disguise(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    static const char *const heads[] = {"QFI\xfb\0\0\0\3", "KDMV\1\0\0\0",
                                        "# Disk DescriptorFile\n"};
    img_open_params params = {.flags = IMG_OPEN_WRITE};
    struct file disk = file_zeros(65536);
    img_error err = {0};
    img_image *image;
    char sector[512] = "";
    int rc;

    (void)opaque;
    workshop_empty();
    file_put(&disk, "image");
    file_free(&disk);
    memcpy(sector, heads[n], n == 2 ? strlen(heads[n]) : 8);
    rc = img_open(&image, "image", &params, &err);
    if (rc == 0) {
        if (!img_format_guessed(image))
            complain(complaint, "a blank file was not guessed to be raw");
        if (img_write(image, 0, sector, sizeof(sector), &err) == 0)
            complain(complaint, "the write went through");
        if (img_write(image, 0, sector, 1, &err) == 0 &&
            img_write(image, 1, sector + 1, 7, &err) == 0 && n < 2)
            complain(complaint, "the write went through in two pieces");
        img_close(image, NULL);
    } else {
        complain(complaint, "open: %s", err.message);
    }
}

static void describe_disguise(void *opaque, size_t n, char *text, size_t size)
{
    (void)opaque;
    snprintf(text, size, "first sector of a guessed raw disk becomes %s",
             n == 0   ? "qcow2"
             : n == 1 ? "a sparse VMDK"
                      : "a VMDK descriptor");
}

/* A disk image of Apple's has its magic in the last sector; n: bytes that the file has more. */
static void run_tail(void *opaque, size_t n, char complaint[COMPLAINT_MAX])
{
    img_open_params params = {.flags = IMG_OPEN_WRITE};
    struct file dmg = file_fixture("dmg/resources.dmg");
    size_t start = dmg.length - 512;
    struct file disk = file_copy(&dmg);
    img_error err = {0};
    img_image *image;

    (void)opaque;
    workshop_empty();
    memset(disk.bytes + start, 0, 512);
    file_resize(&disk, disk.length + 512 * n);
    file_put(&disk, "image");
    if (img_open(&image, "image", &params, &err) < 0) {
        complain(complaint, "open: %s", err.message);
    } else {
        if (!img_format_guessed(image))
            complain(complaint, "a file without a trailer was not guessed to be raw");
        if (n == 0 && img_write(image, start, dmg.bytes + start, 512, &err) == 0)
            complain(complaint, "the write went through");
        if (n == 1 && img_write(image, start, dmg.bytes + start, 512, &err) < 0)
            complain(complaint, "a trailer that is not at the end: %s", err.message);
        img_close(image, NULL);
    }
    file_free(&disk);
    file_free(&dmg);
}

static void describe_tail(void *opaque, size_t n, char *text, size_t size)
{
    (void)opaque;
    snprintf(text, size, "a UDIF trailer %zu sectors before the end of a guessed raw disk", n);
}

int main(void)
{
    const struct batch disguise = {
        .title = "R5 disguise", .count = 3, .describe = describe_disguise, .run = run_disguise};
    const struct batch tail = {
        .title = "R5 tail", .count = 2, .describe = describe_tail, .run = run_tail};
    size_t total = disguise.count + tail.count, failures;

    workshop_enter();
    failures = batch_run(&disguise);
    failures += run_table("hostile qcow2", hostile_qcow2, &total);
    failures += run_table("hostile images that are only read", hostile_read_only, &total);
    failures += run_table("hostile VDI and VHD", hostile_vdi_vhd, &total);
    failures += run_table("hostile vmdk", hostile_vmdk, &total);
    failures += batch_run(&tail);
    workshop_leave();
    return batch_report(total, failures);
}
