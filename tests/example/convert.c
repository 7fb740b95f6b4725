/*
 * A worked example of libimg: look at an image of any format, convert it to another.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 *     cc convert.c $(pkg-config --cflags --libs libimg) -o convert
 *     ./convert disk.vmdk disk.qcow2 qcow2
 *
 * It uses the installed header and nothing else, and is compiled and run by the tests.
 */
#include <libimg.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Say what went wrong, the way the errors are meant to be read: image, then cause. */
static int report(const img_error *err)
{
    fprintf(stderr, "convert: %s%s%s\n", err->image, err->image[0] ? ": " : "", err->message);
    return EXIT_FAILURE;
}

/* What is known without reading the disk: a few facts by function, all of them as JSON. */
static int print_facts(img_image *image, img_error *err)
{
    char *json;
    int rc = img_info(image, &json, err);

    if (rc < 0)
        return rc;
    printf("%s: %s, %" PRIu64 " bytes\n", img_name(image), img_format(image), img_size(image));
    if (img_backing_name(image))
        printf("backing image: %s\n", img_backing_name(image));
    printf("%s\n", json);
    img_free(json);
    return 0;
}

/* What lies where: the disk as a list of runs, through all backing images. */
static int print_map(img_image *image, img_error *err)
{
    uint64_t size = img_size(image);
    img_extent extent;

    for (uint64_t offset = 0; offset < size; offset += extent.length) {
        int rc = img_map(image, offset, size - offset, &extent, err);

        if (rc < 0)
            return rc;
        printf("%12" PRIu64 " %12" PRIu64 " %s%s%s\n", extent.offset, extent.length,
               extent.flags & IMG_EXTENT_ZERO ? "zeros" : "data",
               extent.flags & IMG_EXTENT_PACKED ? ", compressed, in " : "",
               extent.flags & IMG_EXTENT_PACKED && extent.file ? extent.file : "");
    }
    return 0;
}

/* Hears of the progress; a program with a "cancel" button would return 1 here. */
static int show_progress(void *opaque, const img_progress *progress)
{
    (void)opaque;
    fprintf(stderr, "\r%s: %5.1f%%", progress->phase,
            progress->total ? 100.0 * (double)progress->done / (double)progress->total : 100.0);
    return 0;
}

/* Copy the disk into a new image. The name shows the new image once it is complete, not before. */
static int convert(img_job *job, img_image *source, const char *name, const char *format,
                   img_error *err)
{
    img_image *target = NULL;
    int rc = img_create(&target, name, format, img_size(source), NULL, NULL, err);

    if (rc == 0)
        rc = img_convert(job, &source, 1, target, err);
    if (rc == 0)
        rc = img_close(target, err); /* here it gets its name */
    else
        img_abandon(target); /* here it leaves no trace */
    fputc('\n', stderr);
    return rc;
}

int main(int argc, char **argv)
{
    img_image *source;
    img_error err;
    img_job *job;
    int rc;

    if (argc != 4) {
        fprintf(stderr, "usage: convert SOURCE TARGET FORMAT\n");
        return EXIT_FAILURE;
    }
    if (img_open(&source, argv[1], NULL, &err) < 0)
        return report(&err);
    job = img_job_new();
    if (!job) {
        img_close(source, NULL);
        fprintf(stderr, "convert: out of memory\n");
        return EXIT_FAILURE;
    }
    img_job_set_progress(job, show_progress, NULL);
    rc = print_facts(source, &err);
    if (rc == 0)
        rc = print_map(source, &err);
    if (rc == 0)
        rc = convert(job, source, argv[2], argv[3], &err);
    img_job_free(job);
    img_close(source, NULL);
    return rc < 0 ? report(&err) : EXIT_SUCCESS;
}
