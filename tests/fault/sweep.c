/*
 * Disks that fail: create, write and convert, with the nth I/O failing, for n = 0, 1, 2, ... until
 * all goes well. SPDX-License-Identifier: BSD-2-Clause
 *
 * Whatever fails, the call that needed it reports the right code, nothing crashes, and an image
 * that was there before is still a valid one that holds for each block the old or the new data.
 */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define FILE_NAME "disk"
#define NTH_MAX 2000

/* A format, with its create options. */
struct subject {
    const char *format, *options;
    bool stream;   /* written once, in order: only convert */
    bool compress; /* convert compresses */
};

static const struct subject subjects[] = {
    {"raw", NULL, false, false},
    {"qcow2", NULL, false, false},
    {"qcow2", "compat=0.10,cluster_size=4k", false, false},
    {"qcow2", "cluster_size=512,refcount_bits=64", false, false},
    {"qcow2", "cluster_size=16k,extended_l2=on", false, false},
    {"qcow2", "cluster_size=4k", false, true},
    {"qcow2", "cluster_size=4k,compression_type=zstd", false, true},
    {"vdi", NULL, false, false},
    {"vdi", "static=on", false, false},
    {"vpc", "force_size=on", false, false},
    {"vpc", "force_size=on,subformat=fixed", false, false},
    {"vhdx", "block_size=1M", false, false},
    {"vmdk", "subformat=monolithicSparse", false, false},
    {"vmdk", "grain_size=4k,zeroed_grain=on", false, false},
    {"vmdk", "subformat=streamOptimized", true, false},
};

/* How the disk fails. */
struct fault {
    unsigned kinds;
    int os_errno, code;
    bool sticky;
};

#define CHANGES (IMGI_FAULT_WRITE | IMGI_FAULT_RESIZE | IMGI_FAULT_ZERO)

static const struct fault faults[] = {
    {IMGI_FAULT_READ, EIO, IMG_E_IO, false},  {IMGI_FAULT_READ, EIO, IMG_E_IO, true},
    {CHANGES, EIO, IMG_E_IO, false},          {CHANGES, ENOSPC, IMG_E_NOSPACE, true},
    {IMGI_FAULT_FLUSH, EIO, IMG_E_IO, false}, {IMGI_FAULT_ANY, EIO, IMG_E_IO, true},
};

/* One run of a scenario with the nth I/O failing. */
struct attempt {
    const struct subject *subject;
    const struct fault *fault;
    uint64_t nth;
    struct model model;
    bool hit; /* the fault has been met, as far as can be told before the image is closed */
    int rc;   /* of the first call that failed */
    img_error err;
};

typedef void scenario_fn(struct attempt *attempt);

static void give_up(const char *what, const img_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(99);
}

static img_options *make_options(const struct subject *subject)
{
    img_options *options = img_options_new();
    img_error err;

    if (!options)
        abort();
    if (subject->options && img_options_parse(options, subject->options, &err) < 0)
        give_up(subject->options, &err);
    return options;
}

/* The file of the test, behind a disk that will fail. */
static struct imgi_io *failing_file(const struct attempt *attempt)
{
    /* Flushes cost time: only where they are to fail. */
    unsigned flags = attempt->fault->kinds & IMGI_FAULT_FLUSH ? 0 : IMGI_IO_NO_FLUSH;
    struct imgi_io *file, *io;
    img_error err;

    if (imgi_file_open(&file, FILE_NAME, IMGI_IO_WRITE | flags, &err) < 0)
        give_up("open " FILE_NAME, &err);
    if (imgi_fault_new(&io, file, &err) < 0)
        give_up("fault", &err);
    imgi_fault_set(io, attempt->fault->kinds, attempt->nth, attempt->fault->os_errno,
                   attempt->fault->sticky);
    return io;
}

static void empty_file(void)
{
    FILE *stream = fopen(FILE_NAME, "we");

    if (!stream || fclose(stream) != 0)
        abort();
}

static bool keep_going(struct attempt *attempt, int rc)
{
    if (rc < 0 && attempt->rc == 0)
        attempt->rc = rc;
    return attempt->rc == 0;
}

static void write_blocks(struct attempt *attempt, img_image *image, uint64_t offset,
                         uint64_t length, unsigned byte)
{
    uint8_t buffer[256 * 1024];

    if (attempt->rc < 0)
        return;
    memset(buffer, (int)byte, sizeof(buffer));
    model_write(&attempt->model, offset, length, byte);
    keep_going(attempt, img_write(image, offset, buffer, length, &attempt->err));
}

static void zero_blocks(struct attempt *attempt, img_image *image, uint64_t offset, uint64_t length,
                        unsigned flags)
{
    if (attempt->rc < 0)
        return;
    model_write(&attempt->model, offset, length, 0);
    keep_going(attempt, img_zero(image, offset, length, flags, &attempt->err));
}

static void discard_blocks(struct attempt *attempt, img_image *image, uint64_t offset,
                           uint64_t length)
{
    if (attempt->rc < 0)
        return;
    model_discard(&attempt->model, offset, length);
    keep_going(attempt, img_discard(image, offset, length, &attempt->err));
}

static void flush(struct attempt *attempt, img_image *image)
{
    if (attempt->rc == 0 && keep_going(attempt, img_flush(image, &attempt->err)))
        model_flush(&attempt->model);
}

/* Close, whatever happened: after a failed write the image is closed like any other. */
static void close_image(struct attempt *attempt, struct imgi_io *io, img_image *image)
{
    img_error err;
    int rc;

    attempt->hit = imgi_fault_hit(io);
    rc = img_close(image, attempt->rc ? &err : &attempt->err);
    if (keep_going(attempt, rc))
        model_flush(&attempt->model);
}

/* ---------------------------------------------------------------- scenarios */

static void create_image(struct attempt *attempt, struct imgi_io *io, img_image **image)
{
    img_options *options = make_options(attempt->subject);
    img_open_params params = {.flags = IMG_OPEN_NO_LOCK, .cache = IMG_CACHE_UNSAFE};

    *image = NULL;
    keep_going(attempt, imgi_image_create_io(image, io, FILE_NAME, attempt->subject->format,
                                             MODEL_SIZE, options, &params, &attempt->err));
    img_options_free(options);
}

static void scenario_create(struct attempt *attempt)
{
    struct imgi_io *io;
    img_image *image;

    empty_file();
    io = failing_file(attempt);
    create_image(attempt, io, &image);
    if (image)
        close_image(attempt, io, image);
}

/* A good image with something in it, and then a user of whom some writes fail. */
static void scenario_write(struct attempt *attempt)
{
    img_open_params params = {.format = attempt->subject->format,
                              .flags = IMG_OPEN_WRITE | IMG_OPEN_NO_LOCK,
                              .cache = IMG_CACHE_UNSAFE};
    struct attempt sound = {
        .subject = attempt->subject, .fault = attempt->fault, .nth = UINT64_MAX};
    struct imgi_io *io;
    img_image *image;

    model_init(&sound.model);
    empty_file();
    io = failing_file(&sound);
    create_image(&sound, io, &image);
    write_blocks(&sound, image, 0, 64 * 1024, 1);
    write_blocks(&sound, image, 300 * 1024, 100 * 1024, 2);
    close_image(&sound, io, image);
    if (sound.rc < 0)
        give_up("a sound disk", &sound.err);

    attempt->model = sound.model;
    io = failing_file(attempt);
    if (!keep_going(attempt, imgi_image_open_io(&image, io, FILE_NAME, &params, &attempt->err)))
        return;
    write_blocks(attempt, image, 1024, 2048, 3);
    write_blocks(attempt, image, 100 * 1024, 200 * 1024, 4);
    zero_blocks(attempt, image, 310 * 1024, 30 * 1024, IMG_ZERO_UNMAP);
    flush(attempt, image);
    write_blocks(attempt, image, 320 * 1024, 1024, 5);
    discard_blocks(attempt, image, 128 * 1024, 64 * 1024);
    zero_blocks(attempt, image, 0, 12 * 1024, 0);
    write_blocks(attempt, image, MODEL_SIZE - 512, 512, 6);
    close_image(attempt, io, image);
}

static img_image *make_source(void)
{
    img_open_params params = {.flags = IMG_OPEN_NO_LOCK};
    uint8_t buffer[128 * 1024];
    struct imgi_io *io;
    img_image *image = NULL;
    img_error err;

    if (imgi_mem_new(&io, &err) < 0 ||
        imgi_image_create_io(&image, io, "source", "raw", MODEL_SIZE, NULL, &params, &err) < 0)
        give_up("source", &err);
    memset(buffer, 7, sizeof(buffer));
    if (img_write(image, 0, buffer, sizeof(buffer), &err) < 0 ||
        img_write(image, MODEL_SIZE / 2, buffer, sizeof(buffer), &err) < 0)
        give_up("source", &err);
    return image;
}

static void scenario_convert(struct attempt *attempt)
{
    img_image *source = make_source(), *target;
    img_job *job = img_job_new();
    struct imgi_io *io;

    if (!job)
        abort();
    img_job_set_threads(job, 2);
    img_job_set_flags(job, attempt->subject->compress ? IMG_JOB_COMPRESS : 0);
    empty_file();
    io = failing_file(attempt);
    create_image(attempt, io, &target);
    if (target) {
        model_write(&attempt->model, 0, 128 * 1024, 7);
        model_write(&attempt->model, MODEL_SIZE / 2, 128 * 1024, 7);
        keep_going(attempt, img_convert(job, &source, 1, target, &attempt->err));
        if (attempt->rc == 0)
            close_image(attempt, io, target);
        else
            img_abandon(target);
    }
    img_job_free(job);
    img_close(source, NULL);
}

/* ------------------------------------------------------------------- judging */

/* The image must be sound: no corruption (leaks are fine), the content allowed. */
static const char *judge_image(const struct attempt *attempt, img_image *image, char *text,
                               size_t size)
{
    img_check_result result = {0};
    img_error err;
    int rc = img_check(NULL, image, NULL, NULL, &result, &err);

    if (rc < 0 && rc != IMG_E_UNSUPPORTED) {
        snprintf(text, size, "check failed: %s", err.message);
        return text;
    }
    if (result.corruptions || result.check_errors) {
        snprintf(text, size, "%llu corruptions, %llu errors in the check",
                 (unsigned long long)result.corruptions, (unsigned long long)result.check_errors);
        return text;
    }
    return model_verify(&attempt->model, image, text, size);
}

static const char *judge_file(const struct attempt *attempt, char *text, size_t size)
{
    img_open_params params = {.format = attempt->subject->format, .flags = IMG_OPEN_NO_LOCK};
    const char *complaint;
    img_image *image;
    img_error err;

    if (img_open(&image, FILE_NAME, &params, &err) < 0) {
        snprintf(text, size, "cannot be opened: %s", err.message);
        return text;
    }
    complaint = judge_image(attempt, image, text, size);
    img_close(image, NULL);
    return complaint;
}

/* A read ahead that failed is tried again when it is needed; blocks that cannot be shared are
 * copied. */
static bool may_recover(const struct fault *fault, bool shares)
{
    return !fault->sticky &&
           (fault->kinds == IMGI_FAULT_READ || (shares && fault->kinds == CHANGES));
}

static const char *judge_error(const struct attempt *attempt, bool shares)
{
    if (attempt->rc == 0)
        return attempt->hit && !may_recover(attempt->fault, shares) ? "the failure was not reported"
                                                                    : NULL;
    if (attempt->rc != attempt->err.code)
        return "the code is not the error's";
    if (attempt->rc != attempt->fault->code)
        return "the code is not that of the failure";
    return attempt->err.message[0] ? NULL : "no message";
}

/* ------------------------------------------------------------------ the sweep */

struct scenario {
    const char *name;
    scenario_fn *run;
    bool makes;  /* makes the image, rather than changing one */
    bool shares; /* tries first to share blocks with its source */
};

static const struct scenario scenarios[] = {
    {"create", scenario_create, true, false},
    {"write", scenario_write, false, false},
    {"convert", scenario_convert, true, true},
};

static bool run_attempt(const struct scenario *scenario, struct attempt *attempt)
{
    char text[IMG_ERROR_TEXT + 64];
    const char *complaint;

    model_init(&attempt->model);
    scenario->run(attempt);
    complaint = judge_error(attempt, scenario->shares);
    /* An image whose making failed never gets its name: nobody will see that file. */
    if (!complaint && !(scenario->makes && attempt->rc < 0))
        complaint = judge_file(attempt, text, sizeof(text));
    if (!complaint)
        return true;
    printf("not ok - %s %s %s, I/O %llu fails with %s%s: %s (%s)\n", scenario->name,
           attempt->subject->format, attempt->subject->options ? attempt->subject->options : "",
           (unsigned long long)attempt->nth, strerror(attempt->fault->os_errno),
           attempt->fault->sticky ? " and all behind it" : "", complaint,
           attempt->rc ? attempt->err.message : "no error");
    return false;
}

static void sweep(const struct scenario *scenario, const struct subject *subject,
                  const struct fault *fault, size_t *passed, size_t *failed)
{
    for (uint64_t nth = 0; nth < NTH_MAX; nth++) {
        struct attempt attempt = {.subject = subject, .fault = fault, .nth = nth};

        if (run_attempt(scenario, &attempt))
            ++*passed;
        else
            ++*failed;
        if (attempt.rc == 0 && !attempt.hit)
            return;
    }
    printf("not ok - %s %s: never succeeds\n", scenario->name, subject->format);
    ++*failed;
}

static void sweep_subject(const struct subject *subject, size_t *passed, size_t *failed)
{
    for (size_t s = 0; s < IMGI_COUNT(scenarios); s++)
        for (size_t f = 0; f < IMGI_COUNT(faults); f++)
            if (!subject->stream || scenarios[s].makes)
                sweep(&scenarios[s], subject, &faults[f], passed, failed);
}

/* With an argument: only that format. */
int main(int argc, char **argv)
{
    char directory[] = "/tmp/img-fault.XXXXXX";
    size_t passed = 0, failed = 0;

    if (!mkdtemp(directory) || chdir(directory) < 0)
        return 99;
    for (size_t n = 0; n < IMGI_COUNT(subjects); n++)
        if (argc < 2 || strcmp(argv[1], subjects[n].format) == 0)
            sweep_subject(&subjects[n], &passed, &failed);
    unlink(FILE_NAME);
    if (chdir("/") == 0)
        rmdir(directory);
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
