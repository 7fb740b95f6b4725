/*
 * Bytes taken for an image: whatever they are, nothing may crash, hang or read what is not theirs.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The image lies in memory, and the files it names are out of its reach. How much is read is
 * bounded, so that a disk of exabytes costs no more than a small one.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libimg.h"

#define CHUNK (64u * 1024)
#define READS 32
#define MAP_STEPS 256
#define TABLE_BYTES (16u << 20)

int fuzz_file(const uint8_t *bytes, size_t length, char name[FUZZ_NAME_BYTES])
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    if (fd < 0)
        abort();
    for (size_t done = 0; done < length;) {
        ssize_t wrote = write(fd, bytes + done, length - done);

        if (wrote <= 0)
            abort();
        done += (size_t)wrote;
    }
    snprintf(name, FUZZ_NAME_BYTES, "/proc/self/fd/%d", fd);
    return fd;
}

static void look(img_image *image)
{
    uint64_t size = img_size(image), offset = 0;
    char *json = NULL;
    img_extent extent;

    if (img_info(image, &json, NULL) == 0)
        img_free(json);
    for (unsigned step = 0; step < MAP_STEPS && offset < size; step++) {
        if (img_map(image, offset, size - offset, &extent, NULL) < 0)
            return;
        if (extent.offset != offset || extent.length == 0 || extent.length > size - offset)
            abort();
        offset += extent.length;
    }
}

/* From the disk's start on, at places all over it, and at its end. */
static void read_some(img_image *image)
{
    static uint8_t buffer[CHUNK];
    uint64_t size = img_size(image);
    uint64_t step = size / READS > CHUNK ? size / READS : CHUNK;
    uint64_t offset = 0;

    for (; offset < size && size - offset >= CHUNK; offset += step)
        img_read(image, offset, buffer, CHUNK, NULL);
    if (size > 0 && size <= CHUNK)
        img_read(image, 0, buffer, (size_t)size, NULL);
    else if (size > CHUNK)
        img_read(image, size - CHUNK, buffer, CHUNK, NULL);
}

static void ignore(void *opaque, const char *finding)
{
    (void)opaque;
    (void)finding;
}

void fuzz_named(const char *format, const char *name, enum img_reach reach)
{
    img_policy *policy = img_policy_new();
    img_open_params params = {.format = format, .policy = policy};
    img_check_result result = {0};
    img_image *image;

    if (!policy)
        abort();
    img_policy_set_reach(policy, reach);
    img_policy_set_limit(policy, IMG_LIMIT_TABLE_BYTES, TABLE_BYTES);
    if (img_open(&image, name, &params, NULL) == 0) {
        look(image);
        read_some(image);
        img_close(image, NULL);
    }
    /* Without what it stands on, which it may not reach. */
    params.flags = IMG_OPEN_CHECK | IMG_OPEN_NO_BACKING;
    if (img_open(&image, name, &params, NULL) == 0) {
        look(image);
        read_some(image);
        img_check(NULL, image, ignore, NULL, &result, NULL);
        img_close(image, NULL);
    }
    params.flags = IMG_OPEN_SALVAGE;
    if (img_open(&image, name, &params, NULL) == 0) {
        read_some(image);
        img_close(image, NULL);
    }
    img_policy_free(policy);
}

void fuzz_image(const char *format, const uint8_t *bytes, size_t length)
{
    char name[FUZZ_NAME_BYTES];
    int fd = fuzz_file(bytes, length, name);

    fuzz_named(format, name, IMG_REACH_NONE);
    close(fd);
}

void fuzz_seed(const char *format, const uint8_t *bytes, size_t length)
{
    if (strcmp(format, "vhdx") == 0)
        fuzz_vhdx(bytes, length);
    else if (strcmp(format, "cowd") == 0)
        fuzz_cowd(bytes, length);
    else if (strcmp(format, "sesparse") == 0)
        fuzz_sesparse(bytes, length);
    else
        fuzz_image(format, bytes, length);
}
