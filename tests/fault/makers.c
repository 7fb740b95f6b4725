/*
 * Disks that fail while an image is made where a file is already.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *     makers
 *
 * The nth I/O of a creation or conversion fails, for n = 0, 1, 2, ... until all goes well. When it
 * is reported the old file is what it was, byte by byte, and nothing else has been left beside it;
 * when it is not the new image is sound and holds what it must. Where the image has extents beside
 * its main file, what is there before is an image of the same kind, all of whose files count.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "trap.h"

#define TARGET "target"
#define SOURCE "source"
#define OVA "ova"
#define OLD "what was there before"
#define SIZE (512u << 10) /* of the disk's content, which the rest of it is zeros behind */
#define FILES 4u
#define NTH_MAX 2000

#define CHANGES (IMGI_FAULT_WRITE | IMGI_FAULT_RESIZE | IMGI_FAULT_ZERO)

static const struct trap traps[] = {
    {CHANGES, EIO, false, true, IMG_E_IO, "a change is done by half"},
    {CHANGES, ENOSPC, true, true, IMG_E_NOSPACE, "the disk is full"},
    {IMGI_FAULT_FLUSH, EIO, false, false, IMG_E_IO, "a flush fails"},
    {IMGI_FAULT_ANY, EIO, true, false, IMG_E_IO, "the disk goes away"},
};

struct maker {
    const char *format, *options;
    bool converts, compress;
    uint64_t disk; /* bytes of one that has files beside its main file; 0: SIZE, and it has none */
};

#define TWO_PARTS ((2u << 30) + SIZE)

static const struct maker makers[] = {
    {"raw", NULL, false, false, 0},
    {"raw", "preallocation=full", false, false, 0},
    {"raw", NULL, true, false, 0},
    {"qcow2", NULL, false, false, 0},
    {"qcow2", "preallocation=metadata,cluster_size=4k", false, false, 0},
    {"qcow2", "preallocation=falloc", false, false, 0},
    {"qcow2", "preallocation=full", false, false, 0},
    {"qcow2", "compat=0.10,cluster_size=512", false, false, 0},
    {"qcow2", "backing_file=" SOURCE ",backing_fmt=raw", false, false, 0},
    {"qcow2", "extended_l2=on,lazy_refcounts=on,refcount_bits=64", false, false, 0},
    {"qcow2", "encrypt.format=luks,encrypt.iter-time=10,encrypt.key-secret=key", false, false, 0},
    {"qcow2", "cluster_size=4k", true, false, 0},
    {"qcow2", "cluster_size=4k", true, true, 0},
    {"qcow2", "compression_type=zstd,refcount_bits=1", true, true, 0},
    {"luks", "iter-time=10,key-secret=key", false, false, 0},
    {"vdi", NULL, false, false, 0},
    {"vdi", "static=on", false, false, 0},
    {"vdi", NULL, true, false, 0},
    {"vdi", "static=on,preallocation=full", true, false, 0},
    {"vpc", "force_size=on", false, false, 0},
    {"vpc", "subformat=fixed,force_size=on", false, false, 0},
    {"vpc", "force_size=on", true, false, 0},
    {"vpc", "subformat=fixed,force_size=on", true, false, 0},
    {"vhdx", NULL, false, false, 0},
    {"vhdx", "subformat=fixed,block_size=1M", false, false, 0},
    {"vhdx", "block_size=1M", true, false, 0},
    {"vhdx", "subformat=fixed,block_size=1M", true, false, 0},
    {"vmdk", NULL, false, false, 0},
    {"vmdk", "subformat=streamOptimized", true, false, 0},
    {"vmdk", "subformat=monolithicFlat", false, false, SIZE},
    {"vmdk", "subformat=monolithicFlat", true, false, SIZE},
    {"vmdk", "subformat=twoGbMaxExtentFlat", true, false, SIZE},
    {"vmdk", "subformat=vmfs", false, false, SIZE},
    {"vmdk", "subformat=vmfsSparse", true, false, SIZE},
    {"vmdk", "subformat=twoGbMaxExtentSparse", false, false, TWO_PARTS},
    {"vmdk", "subformat=twoGbMaxExtentSparse", true, false, TWO_PARTS},
    {"qcow2", "data_file=data,data_file_raw=on", true, false, SIZE},
#ifdef HAVE_LIBXML2
    {OVA, NULL, true, false, 0},
#endif
};

static img_secrets *secrets;
static uint8_t buffer[SIZE];

static void give_up(const char *what, const img_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err ? err->message : "");
    exit(99);
}

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err);
}

static img_options *parse(const char *text)
{
    img_options *options = img_options_new();
    img_error err;

    if (!options)
        abort();
    if (text)
        must(text, img_options_parse(options, text, &err), &err);
    return options;
}

/* ------------------------------------------------------------ before and after */

/* The old image: the files that any attempt may find, and leave. */
static struct kept {
    char name[NAME_MAX + 1];
    uint8_t *bytes;
    size_t size;
} kept[FILES];
static unsigned kept_count;

static void keep(const char *name, const void *bytes, size_t size)
{
    struct kept *file = &kept[kept_count++];

    if (kept_count > FILES)
        give_up("the old image has more files", NULL);
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->size = size;
    file->bytes = malloc(size + 1);
    if (!file->bytes)
        abort();
    memcpy(file->bytes, bytes, size);
}

static void put_old(void)
{
    for (unsigned i = 0; i < kept_count; i++) {
        FILE *stream = fopen(kept[i].name, "we");

        if (!stream || fwrite(kept[i].bytes, 1, kept[i].size, stream) != kept[i].size ||
            fclose(stream) != 0)
            abort();
    }
}

/* The bytes of a file, to be freed; NULL: there is none. */
static uint8_t *get(const char *name, size_t *size)
{
    FILE *stream = fopen(name, "re");
    struct stat info;
    uint8_t *bytes;

    if (!stream)
        return NULL;
    if (fstat(fileno(stream), &info) < 0)
        abort();
    *size = (size_t)info.st_size;
    bytes = malloc(*size + 1);
    if (!bytes || fread(bytes, 1, *size, stream) != *size)
        abort();
    fclose(stream);
    return bytes;
}

static bool old_is_there(void)
{
    bool same = true;

    for (unsigned i = 0; same && i < kept_count; i++) {
        size_t size = 0;
        uint8_t *bytes = get(kept[i].name, &size);

        same = bytes && size == kept[i].size && memcmp(bytes, kept[i].bytes, size) == 0;
        free(bytes);
    }
    return same;
}

static bool is_known(const char *name)
{
    bool known = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, SOURCE) == 0;

    for (unsigned i = 0; !known && i < kept_count; i++)
        known = strcmp(name, kept[i].name) == 0;
    return known;
}

/* Of each file here that is none of the test's own. */
static void each_other(void (*call)(const char *name))
{
    DIR *directory = opendir(".");
    struct dirent *entry;

    if (!directory)
        abort();
    while ((entry = readdir(directory)))
        if (!is_known(entry->d_name))
            call(entry->d_name);
    closedir(directory);
}

static unsigned litter;

static void count(const char *name)
{
    (void)name;
    litter++;
}

static void keep_file(const char *name)
{
    size_t size = 0;
    uint8_t *bytes = get(name, &size);

    keep(name, bytes, size);
    free(bytes);
}

static void forget_old(void)
{
    while (kept_count > 0) {
        unlink(kept[--kept_count].name);
        free(kept[kept_count].bytes);
    }
}

static void make_source(void)
{
    img_image *image;
    img_error err;

    memset(buffer, 's', SIZE);
    memset(buffer + SIZE / 4, 0, SIZE / 4);
    must("create", img_create(&image, SOURCE, "raw", SIZE, NULL, NULL, &err), &err);
    must("write", img_write(image, 0, buffer, SIZE, &err), &err);
    must("close", img_close(image, &err), &err);
}

/* --------------------------------------------------------------- one attempt */

static int convert(const struct maker *maker, img_image *target, img_error *err)
{
    const img_open_params params = {.format = "raw"};
    img_job *job = img_job_new();
    img_image *source;
    int rc = img_open(&source, SOURCE, &params, err);

    if (!job)
        abort();
    img_job_set_threads(job, 2);
    img_job_set_flags(job, maker->compress ? IMG_JOB_COMPRESS : 0);
    if (rc == 0) {
        rc = img_convert(job, &source, 1, target, err);
        img_close(source, NULL);
    }
    img_job_free(job);
    return rc;
}

/* An OVA of two disks, both of the same content. */
static int make_ova(const struct maker *maker, const img_options *options, img_error *err)
{
    const uint64_t sizes[] = {SIZE, SIZE};
    img_appliance *appliance;
    int rc = img_appliance_create(&appliance, TARGET, sizes, 2, options, NULL, err);

    if (rc < 0)
        return rc;
    for (unsigned i = 0; rc == 0 && i < 2; i++) {
        img_image *disk;

        rc = img_appliance_disk(appliance, &disk, err);
        if (rc < 0)
            break;
        rc = convert(maker, disk, err);
        if (rc == 0)
            rc = img_close(disk, err);
        else
            img_abandon(disk);
    }
    if (rc == 0)
        return img_appliance_close(appliance, err);
    img_appliance_abandon(appliance);
    return rc;
}

static int make(const struct maker *maker, const img_options *options, img_error *err)
{
    const img_open_params params = {.secrets = secrets};
    img_image *image;
    uint64_t size = maker->disk ? maker->disk : SIZE;
    int rc = img_create(&image, TARGET, maker->format, size, options, &params, err);

    if (rc < 0)
        return rc;
    if (maker->converts)
        rc = convert(maker, image, err);
    if (rc == 0)
        return img_close(image, err);
    img_abandon(image);
    return rc;
}

/* What is there before: text, or an image of the same kind that holds something else. */
static void make_old(const struct maker *maker, const img_options *options)
{
    img_image *image;
    img_error err;

    if (!maker->disk) {
        keep(TARGET, OLD, strlen(OLD));
        return;
    }
    must("create", img_create(&image, TARGET, maker->format, maker->disk, options, NULL, &err),
         &err);
    must("write", img_write(image, maker->disk - sizeof(OLD), OLD, sizeof(OLD), &err), &err);
    must("close", img_close(image, &err), &err);
    each_other(keep_file);
}

/* What was made without a complaint. */
static const char *judge_new(const struct maker *maker)
{
    const char *key =
        strstr(maker->options ? maker->options : "", "encrypt.") ? "encrypt.key-secret=key" : NULL;
    img_options *options = parse(strcmp(maker->format, "luks") == 0 ? "key-secret=key" : key);
    const img_open_params params = {
        .format = maker->format, .options = options, .secrets = secrets};
    static uint8_t found[SIZE];
    img_check_result result = {0};
    const char *complaint = NULL;
    img_image *image;
    img_error err;
    int rc = img_open(&image, TARGET, &params, &err);

    img_options_free(options);
    if (rc < 0)
        return "the new image cannot be opened";
    rc = img_check(NULL, image, NULL, NULL, &result, &err);
    if ((rc < 0 && rc != IMG_E_UNSUPPORTED) || result.corruptions || result.check_errors)
        complaint = "the new image is damaged";
    else if (img_read(image, 0, found, SIZE, &err) < 0)
        complaint = "the new image cannot be read";
    else if (maker->converts && memcmp(found, buffer, SIZE) != 0)
        complaint = "the new image holds something else";
    img_close(image, NULL);
    return complaint;
}

static const char *judge(const struct maker *maker, const struct trap *trap, bool hit, int rc,
                         const img_error *err)
{
    litter = 0;
    each_other(count);
    if (litter)
        return "something was left beside it";
    if (rc == 0)
        /* Blocks that cannot be shared are copied. */
        return hit && !maker->converts ? "the failure was not reported" : judge_new(maker);
    if (!old_is_there())
        return "the old image has changed";
    if (rc != trap->expected || rc != err->code)
        return "the code is not that of the failure";
    return err->message[0] ? NULL : "no message";
}

static void sweep(const struct maker *maker, const struct trap *trap, size_t *passed,
                  size_t *failed)
{
    img_options *options = parse(maker->options);
    const char *text = maker->options ? maker->options : "";
    bool hit = true;

    make_old(maker, options);
    for (uint64_t nth = 0; hit && nth < NTH_MAX; nth++) {
        const char *complaint;
        img_error err = {0};
        int rc;

        put_old();
        trap_set(trap, nth);
        rc = strcmp(maker->format, OVA) == 0 ? make_ova(maker, options, &err)
                                             : make(maker, options, &err);
        hit = trap_end();
        complaint = judge(maker, trap, hit, rc, &err);
        *(complaint ? failed : passed) += 1;
        if (complaint)
            printf("not ok - %s %s %s, %s (number %" PRIu64 "): %s (%s)\n",
                   maker->converts ? "convert" : "create", maker->format, text, trap->name, nth,
                   complaint, rc ? err.message : "no error");
    }
    if (hit) {
        printf("not ok - %s %s: never succeeds\n", maker->format, text);
        ++*failed;
    }
    forget_old();
    img_options_free(options);
}

int main(void)
{
    img_options *properties = parse("id=key,data=passphrase");
    char directory[] = "/tmp/img-makers.XXXXXX";
    size_t passed = 0, failed = 0;
    img_error err;

    secrets = img_secrets_new();
    if (!secrets || !mkdtemp(directory) || chdir(directory) < 0)
        return 99;
    must("secret", img_secrets_add(secrets, properties, &err), &err);
    img_options_free(properties);
    make_source();
    for (size_t i = 0; i < IMGI_COUNT(makers); i++)
        for (size_t t = 0; t < IMGI_COUNT(traps); t++)
            sweep(&makers[i], &traps[t], &passed, &failed);
    img_secrets_free(secrets);
    unlink(SOURCE);
    if (chdir("/") == 0)
        rmdir(directory);
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
