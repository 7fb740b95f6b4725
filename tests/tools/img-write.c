/*
 * Apply a seeded, random sequence of writes, zeros, discards and reads to an image and to a raw
 * twin, so that another program can compare the two. SPDX-License-Identifier: BSD-2-Clause
 *
 *     img-write [-f FORMAT] [-s SEED] [-n OPERATIONS] [-b BLOCK] IMAGE TWIN
 *
 * The twin is a plain file of at least the disk's size that holds what the disk holds. With -b all
 * ranges are multiples of BLOCK. What is read from the image on the way must be what the twin
 * holds; after a discard it must be the old content or zeros, and becomes the twin's.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libimg.h"

#define LENGTH_MAX (512u * 1024)

struct run {
    img_image *image;
    int twin;
    uint64_t size, block, random;
    uint8_t *bytes, *expected; /* LENGTH_MAX each */
};

struct range {
    uint64_t offset;
    size_t length;
};

/* xorshift64*: the same sequence everywhere for the same seed. */
static uint64_t next_random(struct run *run)
{
    run->random ^= run->random >> 12;
    run->random ^= run->random << 25;
    run->random ^= run->random >> 27;
    return run->random * 0x2545f4914f6cdd1du;
}

/* Mostly small ranges, some that span clusters, none past the end of the disk. */
static struct range random_range(struct run *run)
{
    static const uint32_t lengths[] = {1, 512, 4096, 65536, LENGTH_MAX};
    uint64_t longest = lengths[next_random(run) % 5];
    struct range range = {.offset = next_random(run) % run->size};

    if (longest > run->size - range.offset)
        longest = run->size - range.offset;
    range.length = (size_t)(1 + next_random(run) % longest);
    if (run->block > 1) {
        range.offset -= range.offset % run->block;
        range.length += (size_t)(run->block - range.length % run->block);
        if (range.length > LENGTH_MAX)
            range.length = (size_t)(LENGTH_MAX - LENGTH_MAX % run->block);
        if (range.length > run->size - range.offset)
            range.length = (size_t)(run->size - range.offset);
    }
    return range;
}

static void fill(struct run *run, size_t length)
{
    uint64_t value = next_random(run);

    if (value % 3 == 0) { /* a byte over and over, as programs write */
        memset(run->bytes, (int)(value >> 32 & 0xff), length);
        return;
    }
    for (size_t n = 0; n < length; n++) {
        if (n % 8 == 0)
            value = next_random(run);
        run->bytes[n] = (uint8_t)(value >> n % 8 * 8);
    }
}

static int twin_read(struct run *run, void *buffer, struct range range)
{
    if (pread(run->twin, buffer, range.length, (off_t)range.offset) == (ssize_t)range.length)
        return 0;
    fprintf(stderr, "img-write: read of the twin failed: %s\n", strerror(errno));
    return -1;
}

static int twin_write(struct run *run, const void *buffer, struct range range)
{
    if (pwrite(run->twin, buffer, range.length, (off_t)range.offset) == (ssize_t)range.length)
        return 0;
    fprintf(stderr, "img-write: write of the twin failed: %s\n", strerror(errno));
    return -1;
}

static int differs(struct range range, size_t at)
{
    fprintf(stderr, "img-write: wrong byte at %" PRIu64 " (read of %zu bytes at %" PRIu64 ")\n",
            range.offset + at, range.length, range.offset);
    return -1;
}

/* Each byte must be the twin's or, where zero_allowed, 0. */
static int verify(struct run *run, struct range range, bool zero_allowed, img_error *err)
{
    int rc = img_read(run->image, range.offset, run->bytes, range.length, err);

    if (rc < 0)
        return rc;
    if (twin_read(run, run->expected, range) < 0)
        return -1;
    for (size_t n = 0; n < range.length; n++)
        if (run->bytes[n] != run->expected[n] && !(zero_allowed && run->bytes[n] == 0))
            return differs(range, n);
    return 0;
}

static int do_zero(struct run *run, struct range range, unsigned flags, img_error *err)
{
    int rc = img_zero(run->image, range.offset, range.length, flags, err);

    if (rc < 0)
        return rc;
    memset(run->bytes, 0, range.length);
    return twin_write(run, run->bytes, range);
}

static int do_discard(struct run *run, struct range range, img_error *err)
{
    int rc = img_discard(run->image, range.offset, range.length, err);

    if (rc == 0)
        rc = verify(run, range, true, err);
    return rc < 0 ? rc : twin_write(run, run->bytes, range);
}

static int do_write(struct run *run, struct range range, img_error *err)
{
    int rc;

    fill(run, range.length);
    rc = img_write(run->image, range.offset, run->bytes, range.length, err);
    return rc < 0 ? rc : twin_write(run, run->bytes, range);
}

static int operation(struct run *run, img_error *err)
{
    uint64_t what = next_random(run) % 16;
    struct range range = random_range(run);

    if (what < 8)
        return do_write(run, range, err);
    if (what < 10)
        return do_zero(run, range, IMG_ZERO_UNMAP, err);
    if (what < 11)
        return do_zero(run, range, 0, err);
    if (what < 13)
        return do_discard(run, range, err);
    if (what < 14)
        return img_flush(run->image, err);
    return verify(run, range, false, err);
}

/* Read the whole disk once more at the end. */
static int verify_all(struct run *run, img_error *err)
{
    struct range range;
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < run->size; at += range.length) {
        range.offset = at;
        range.length = (size_t)(run->size - at < LENGTH_MAX ? run->size - at : LENGTH_MAX);
        rc = verify(run, range, false, err);
    }
    return rc;
}

static int run_all(struct run *run, uint64_t operations)
{
    img_error err = {0};
    int rc = 0;

    for (uint64_t n = 0; rc == 0 && n < operations; n++) {
        rc = operation(run, &err);
        if (rc < 0)
            fprintf(stderr, "img-write: operation %" PRIu64 " failed: %s\n", n, err.message);
    }
    if (rc == 0 && (rc = verify_all(run, &err)) < 0)
        fprintf(stderr, "img-write: the disk is not as it was written: %s\n", err.message);
    if (img_close(run->image, &err) < 0) {
        fprintf(stderr, "img-write: close failed: %s\n", err.message);
        rc = -1;
    }
    return rc;
}

int main(int argc, char **argv)
{
    img_open_params params = {.flags = IMG_OPEN_WRITE, .cache = IMG_CACHE_UNSAFE};
    uint64_t operations = 200, seed = 1;
    struct run run = {.block = 1};
    img_error err;
    int option, rc;

    while ((option = getopt(argc, argv, "f:s:n:b:")) != -1) {
        if (option == 'f')
            params.format = optarg;
        else if (option == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (option == 'n')
            operations = strtoull(optarg, NULL, 0);
        else if (option == 'b')
            run.block = strtoull(optarg, NULL, 0);
        else
            return 2;
    }
    if (argc - optind != 2 || run.block == 0) {
        fprintf(stderr,
                "usage: img-write [-f FORMAT] [-s SEED] [-n OPERATIONS] [-b BLOCK] IMAGE TWIN\n");
        return 2;
    }
    run.random = seed * 2 + 1; /* never 0 */
    run.bytes = malloc(LENGTH_MAX);
    run.expected = malloc(LENGTH_MAX);
    run.twin = open(argv[optind + 1], O_RDWR | O_CLOEXEC);
    if (!run.bytes || !run.expected || run.twin < 0) {
        fprintf(stderr, "img-write: %s: %s\n", argv[optind + 1], strerror(errno));
        return 1;
    }
    if (img_open(&run.image, argv[optind], &params, &err) < 0) {
        fprintf(stderr, "img-write: %s: %s\n", err.image, err.message);
        return 1;
    }
    run.size = img_size(run.image);
    rc = run_all(&run, operations);
    close(run.twin);
    free(run.bytes);
    free(run.expected);
    return rc < 0;
}
