/*
 * Whether an image that a stopped machine left behind is sound (judge.h).
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "judge.h"

#include <inttypes.h>
#include <stdio.h>

#include "disk.h"
#include "internal.h"

/* One image under judgement. */
struct trial {
    const char *name;
    const struct content *content;
    size_t log;
    bool damaged; /* its refcounts are not to be trusted before a repair */
    char *text;
    size_t size;
};

static img_secrets *secrets;
static img_options *options; /* name the key; an image without encryption does not look at it */

void judge_begin(void)
{
    img_options *key = img_options_new();
    img_error err;

    secrets = img_secrets_new();
    options = img_options_new();
    if (!key || !secrets || !options)
        give_up("judge", "no memory");
    if (img_options_parse(key, "id=key,data=passphrase", &err) < 0 ||
        img_secrets_add(secrets, key, &err) < 0 || img_options_parse(options, JUDGE_KEY, &err) < 0)
        give_up("judge", err.message);
    img_options_free(key);
}

void judge_end(void)
{
    img_secrets_free(secrets);
    img_options_free(options);
}

img_open_params judge_params(unsigned flags)
{
    return (img_open_params){
        .format = "qcow2", .flags = flags, .options = options, .secrets = secrets};
}

static void say_finding(void *opaque, const char *text)
{
    snprintf(opaque, 200, "%s", text);
}

/* What img_check says; job says whether it repairs. */
static const char *judge_check(const struct trial *trial, img_job *job, img_image *image,
                               bool leaks)
{
    img_check_result result = {0};
    char finding[200] = "";
    img_error err;

    if (img_check(job, image, say_finding, finding, &result, &err) < 0) {
        snprintf(trial->text, trial->size, "%s: the check failed: %s", trial->name, err.message);
        return trial->text;
    }
    if (result.corruptions == 0 && result.check_errors == 0 && (leaks || result.leaks == 0))
        return NULL;
    snprintf(trial->text, trial->size,
             "%s: %" PRIu64 " corruptions, %" PRIu64 " leaks, %" PRIu64 " errors in the check: %s",
             trial->name, result.corruptions, result.leaks, result.check_errors, finding);
    return trial->text;
}

static img_image *open_image(const struct trial *trial, unsigned flags)
{
    const img_open_params params = judge_params(flags);
    img_image *image;
    img_error err;

    if (img_open(&image, trial->name, &params, &err) == 0)
        return image;
    snprintf(trial->text, trial->size, "%s cannot be opened: %s", trial->name, err.message);
    return NULL;
}

static const char *end(const struct trial *trial, img_image *image, const char *complaint)
{
    img_error err;

    if (img_close(image, &err) == 0 || complaint)
        return complaint;
    snprintf(trial->text, trial->size, "%s cannot be closed: %s", trial->name, err.message);
    return trial->text;
}

static const char *judge_as_it_is(struct trial *trial, bool leaks)
{
    img_image *image = open_image(trial, 0);
    const char *complaint = NULL;

    if (!image)
        return trial->text;
    if (image->top->dirty)
        trial->damaged = true;
    if (!trial->damaged)
        complaint = judge_check(trial, NULL, image, leaks);
    if (!complaint && trial->content)
        complaint = content_judge(trial->content, trial->log, image, trial->text, trial->size);
    return end(trial, image, complaint);
}

static const char *repair_file(const struct trial *trial)
{
    img_image *image = open_image(trial, IMG_OPEN_WRITE | IMG_OPEN_CHECK);
    img_job *job = img_job_new();
    const char *complaint;

    if (!job)
        give_up("job", "no memory");
    if (image) {
        img_job_set_flags(job, trial->damaged ? IMG_JOB_REPAIR_ALL : IMG_JOB_REPAIR_LEAKS);
        complaint = end(trial, image, judge_check(trial, job, image, true));
    } else {
        complaint = trial->text;
    }
    img_job_free(job);
    return complaint;
}

const char *judge_file(const char *name, const struct content *content, size_t log,
                       enum judge_how how, char *text, size_t size)
{
    struct trial trial = {name, content, log, how == JUDGE_DAMAGED, text, size};
    const char *complaint = judge_as_it_is(&trial, true);

    if (complaint || (how == JUDGE_AS_IT_IS && !trial.damaged))
        return complaint;
    complaint = repair_file(&trial);
    trial.damaged = false;
    if (!complaint)
        complaint = judge_as_it_is(&trial, false);
    if (!complaint && trial.damaged) {
        snprintf(text, size, "%s is dirty after its repair", name);
        complaint = text;
    }
    return complaint;
}
