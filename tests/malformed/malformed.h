/*
 * Tests with images that are not as they should be. SPDX-License-Identifier: BSD-2-Clause
 *
 * A trial does everything with one image that a user could do and judges how the library bore it;
 * a batch runs thousands of trials in a child process that may die, hang or be short of memory
 * without taking the test along; a workshop is the private directory where the images lie.
 */
#ifndef MALFORMED_H
#define MALFORMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libimg.h"

/* ---------------------------------------------------------------- workshop */

/* A file in memory, to be changed before it is put into the workshop. */
struct file {
    uint8_t *bytes;
    size_t length;
};

/*
 * Make a private directory and go there; "fixtures" in it leads to the fixtures folder.
 * A failure of any of these ends the test: it cannot run.
 */
void workshop_enter(void);
/* Remove the files in it, but not the way to the fixtures. */
void workshop_empty(void);
/* Remove it and the files in it. */
void workshop_leave(void);
/* A file of the fixtures folder; free it with file_free. */
struct file file_fixture(const char *name);
/* A file in the workshop, likewise. */
struct file file_load(const char *path);
/* length zero bytes. */
struct file file_zeros(size_t length);
struct file file_copy(const struct file *file);
void file_free(struct file *file);
/* Grow or cut; new bytes are zeros. */
void file_resize(struct file *file, size_t length);
void file_put(const struct file *file, const char *name);
/* Text as the whole content of a file. */
void file_put_text(const char *name, const char *text);
/* A number in the file, of 1, 2, 4 or 8 bytes. */
void file_set(struct file *file, size_t offset, unsigned width, bool big_endian, uint64_t value);
uint64_t file_get(const struct file *file, size_t offset, unsigned width, bool big_endian);

/* ------------------------------------------------------------------- trial */

struct trial {
    const char *name;   /* of the file */
    const char *format; /* NULL: probe */
    const img_policy *policy;
    /* What a successful read must give; NULL: not known. */
    const struct file *expected;
    /* So many bytes may read as zeros instead: of a last cluster that the file's end cuts through.
     */
    uint64_t tail;
};

#define COMPLAINT_MAX 400

/* How each step ended: 0, a code, or NOT_TRIED. */
#define NOT_TRIED 1
struct outcome {
    int open, info, map, read, check, convert;
    uint64_t faults;               /* counted by check */
    uint64_t zeros;                /* bytes that read as zeros and should not */
    char message[IMG_ERROR_TEXT];  /* of the first failure */
    char complaint[COMPLAINT_MAX]; /* what the library did wrong; "" when nothing */
};

/* Open, info, map, read all, check and convert. Reads and conversions of huge disks are bounded. */
void trial_run(const struct trial *trial, struct outcome *outcome);

/* Put what is wrong into a complaint, unless there is one already. */
void complain(char complaint[COMPLAINT_MAX], const char *format, ...) IMG_PRINTF(2, 3);

/* ------------------------------------------------------------------- batch */

/* A number of trials. */
struct batch {
    const char *title;
    size_t count;
    /* Say what the n-th is about. */
    void (*describe)(void *opaque, size_t n, char *text, size_t size);
    /* Run it, in the child. Leave complaint empty when all is well. */
    void (*run)(void *opaque, size_t n, char complaint[COMPLAINT_MAX]);
    void *opaque;
};

/*
 * Run all of them, print what is wrong and a summary. A trial that kills its process, or takes
 * longer than 20 seconds, is a failure and the batch goes on behind it. Returns the number of
 * failures.
 */
size_t batch_run(const struct batch *batch);

/* The closing line of a test program, and its exit status. */
int batch_report(size_t total, size_t failures);

#endif
