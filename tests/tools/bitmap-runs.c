/*
 * Say what a dirty bitmap of an image holds: a line for each dirty run, its start and its end.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *     bitmap-runs IMAGE BITMAP
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "libimg.h"

static int print_runs(img_image *image, const char *name, img_error *err)
{
    uint64_t size = img_size(image), run;
    bool dirty;
    int rc = 0;

    for (uint64_t at = 0; rc == 0 && at < size; at += run) {
        rc = img_bitmap_run(image, name, at, size - at, &run, &dirty, err);
        if (rc == 0 && dirty)
            printf("%" PRIu64 " %" PRIu64 "\n", at, at + run);
    }
    return rc;
}

int main(int argc, char **argv)
{
    img_open_params params = {.format = "qcow2", .flags = IMG_OPEN_NO_BACKING};
    img_image *image = NULL;
    img_error err = {0};
    int rc;

    if (argc != 3) {
        fprintf(stderr, "usage: bitmap-runs IMAGE BITMAP\n");
        return EXIT_FAILURE;
    }
    rc = img_open(&image, argv[1], &params, &err);
    if (rc == 0)
        rc = print_runs(image, argv[2], &err);
    img_close(image, NULL);
    if (rc < 0)
        fprintf(stderr, "bitmap-runs: %s: %s\n", argv[1], err.message);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
