/*
 * One image, and all that a user could do with it. SPDX-License-Identifier: BSD-2-Clause
 *
 * The library has done well when every step ends with success or with an error that says what is
 * wrong, when no step wants more memory than an image may ask for, and when what it reads without
 * an error is what the disk holds.
 */
#include "malformed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK (64u * 1024)
#define READ_ALL_LIMIT (8u << 20)
#define MAP_STEPS 4096
#define CONVERT_SECONDS 3

/* Whether a step's result is in order, and an error a good one. */
static void judge(struct outcome *outcome, const char *step, int rc, const img_error *err)
{
    if (rc == 0)
        return;
    if (!outcome->message[0])
        snprintf(outcome->message, sizeof(outcome->message), "%s", err->message);
    if (rc > 0 || rc < IMG_E_INTERNAL)
        complain(outcome->complaint, "%s: %d is no code", step, rc);
    else if (err->code != rc)
        complain(outcome->complaint, "%s: returns %d, the error says %d", step, rc, err->code);
    else if (!err->message[0] || strchr(err->message, '\n'))
        complain(outcome->complaint, "%s: no message of one line", step);
    else if (rc == IMG_E_INTERNAL || rc == IMG_E_NOMEM)
        complain(outcome->complaint, "%s: %s", step, err->message);
}

static void try_info(img_image *image, struct outcome *outcome)
{
    img_error err = {0};
    char *json = NULL;

    outcome->info = img_info(image, &json, &err);
    judge(outcome, "info", outcome->info, &err);
    img_free(json);
}

static void try_map(img_image *image, struct outcome *outcome)
{
    uint64_t size = img_size(image), offset = 0;
    img_error err = {0};
    img_extent extent;

    outcome->map = 0;
    for (unsigned steps = 0; offset < size && steps < MAP_STEPS; steps++) {
        outcome->map = img_map(image, offset, size - offset, &extent, &err);
        judge(outcome, "map", outcome->map, &err);
        if (outcome->map < 0)
            return;
        if (extent.offset != offset || extent.length == 0 || extent.length > size - offset) {
            complain(outcome->complaint,
                     "map: run of %" PRIu64 " bytes at %" PRIu64 " asked at %" PRIu64,
                     extent.length, extent.offset, offset);
            return;
        }
        offset += extent.length;
    }
}

static void compare(const struct trial *trial, uint64_t offset, const uint8_t *bytes, size_t length,
                    struct outcome *outcome)
{
    const uint8_t *expected = trial->expected->bytes + offset;

    if (memcmp(bytes, expected, length) == 0)
        return;
    for (size_t n = 0; n < length; n++) {
        if (bytes[n] == expected[n])
            continue;
        outcome->zeros++;
        if (bytes[n] != 0 || outcome->zeros > trial->tail) {
            complain(outcome->complaint, "read: wrong byte at %" PRIu64 " without an error",
                     offset + n);
            return;
        }
    }
}

static void try_read_at(img_image *image, const struct trial *trial, uint64_t offset,
                        struct outcome *outcome)
{
    uint64_t left = img_size(image) - offset;
    size_t length = left < CHUNK ? (size_t)left : CHUNK;
    uint8_t buffer[CHUNK];
    img_error err = {0};
    int rc = img_read(image, offset, buffer, length, &err);

    judge(outcome, "read", rc, &err);
    if (rc < 0) {
        outcome->read = rc;
        return;
    }
    if (trial->expected && offset + length <= trial->expected->length)
        compare(trial, offset, buffer, length, outcome);
}

/* The whole disk where it is small, and otherwise sixteen places and its end. */
static void try_read(img_image *image, const struct trial *trial, struct outcome *outcome)
{
    uint64_t size = img_size(image);
    uint64_t step = size <= READ_ALL_LIMIT ? CHUNK : size / 16;

    outcome->read = 0;
    for (uint64_t offset = 0; offset < size; offset += step) {
        try_read_at(image, trial, offset, outcome);
        if (size - offset <= step)
            break;
    }
    if (size > READ_ALL_LIMIT)
        try_read_at(image, trial, size - CHUNK, outcome);
}

static void count_finding(void *opaque, const char *text)
{
    struct outcome *outcome = opaque;

    if (!text || !text[0] || strchr(text, '\n'))
        complain(outcome->complaint, "check: a finding that is no line of text");
}

static void try_check(const struct trial *trial, struct outcome *outcome)
{
    img_open_params params = {
        .format = trial->format, .flags = IMG_OPEN_CHECK, .policy = trial->policy};
    img_check_result result = {0};
    img_error err = {0};
    img_image *image;

    outcome->check = img_open(&image, trial->name, &params, &err);
    judge(outcome, "open for check", outcome->check, &err);
    if (outcome->check < 0)
        return;
    outcome->check = img_check(NULL, image, count_finding, outcome, &result, &err);
    judge(outcome, "check", outcome->check, &err);
    outcome->faults = result.corruptions + result.leaks + result.check_errors;
    img_close(image, NULL);
}

/* Stops a conversion that has gone on long enough: a disk may be huge. */
static int stop_late(void *opaque, const img_progress *progress)
{
    const time_t *end = opaque;

    (void)progress;
    return time(NULL) > *end;
}

static void try_convert(img_image *image, struct outcome *outcome)
{
    time_t end = time(NULL) + CONVERT_SECONDS;
    img_job *job = img_job_new();
    img_open_params params = {.cache = IMG_CACHE_UNSAFE};
    img_image *target = NULL;
    img_error err = {0};

    if (!job) {
        complain(outcome->complaint, "convert: no memory for a job");
        return;
    }
    img_job_set_threads(job, 2);
    img_job_set_progress(job, stop_late, &end);
    outcome->convert =
        img_create(&target, "converted", "raw", img_size(image), NULL, &params, &err);
    if (outcome->convert == 0)
        outcome->convert = img_convert(job, &image, 1, target, &err);
    judge(outcome, "convert", outcome->convert, &err);
    img_abandon(target);
    img_job_free(job);
}

void trial_run(const struct trial *trial, struct outcome *outcome)
{
    img_open_params params = {.format = trial->format, .policy = trial->policy};
    img_error err = {0};
    img_image *image;

    *outcome = (struct outcome){
        .info = NOT_TRIED, .map = NOT_TRIED, .read = NOT_TRIED, .convert = NOT_TRIED};
    outcome->open = img_open(&image, trial->name, &params, &err);
    judge(outcome, "open", outcome->open, &err);
    if (outcome->open == 0) {
        try_info(image, outcome);
        try_map(image, outcome);
        try_read(image, trial, outcome);
        try_convert(image, outcome);
        img_close(image, NULL);
    }
    try_check(trial, outcome);
}
