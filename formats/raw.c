/*
 * raw: the file is the disk. SPDX-License-Identifier: BSD-2-Clause
 *
 * The disk ends at a sector border, as qemu-img has it: a file of an odd length
 * reads as zeros up to the next multiple of 512 bytes.
 */
#include <errno.h>

#include "driver.h"

#define SECTOR 512

static const struct imgi_opt create_options[] = {
    {"extent_size_hint", IMGI_OPT_SIZE, NULL, "Extent size hint for the image file, 0 to disable",
     true},
    {"nocow", IMGI_OPT_BOOL, NULL, "Turn off copy-on-write (valid only on btrfs)", true},
    {"size", IMGI_OPT_SIZE, NULL, "Virtual disk size", false},
    {"preallocation", IMGI_OPT_STRING, NULL,
     "Preallocation mode (allowed values: off, falloc, full)", true},
    {0},
};

static int raw_probe(const struct imgi_probe *probe)
{
    (void)probe;
    return 1;
}

static int raw_create(struct imgi_create *create, img_error *err)
{
    enum imgi_prealloc mode;
    int rc = imgi_file_prealloc_parse(
        imgi_options_string(create->options, create->table, "preallocation"), &mode, err);

    if (rc == 0 && create->backing_name)
        rc = imgi_fail(err, IMG_E_UNSUPPORTED, "a raw image cannot have a backing file");
    if (rc == 0)
        rc = imgi_io_resize(create->file, create->size, mode, err);
    return rc;
}

/* A window of the file may be the disk: options "offset" and "size". */
struct raw {
    uint64_t offset;
    bool fixed; /* the window has an end */
    bool whole; /* what the file lacks at its end is lost, and no zeros */
};

static const struct imgi_opt open_options[] = {
    {"offset", IMGI_OPT_SIZE, NULL, "offset in the disk where the image starts", true},
    {"size", IMGI_OPT_SIZE, NULL, "virtual disk size", true},
    {0},
};

static int check_window(const struct raw *raw, uint64_t size, uint64_t file_size, img_error *err)
{
    if (raw->offset > file_size)
        return imgi_fail(err, IMG_E_INVAL,
                         "Offset (%llu) cannot be greater than size of the containing file (%llu)",
                         (unsigned long long)raw->offset, (unsigned long long)file_size);
    if (raw->fixed && !imgi_span_ok(raw->offset, size, file_size))
        return imgi_fail(err, IMG_E_INVAL,
                         "The sum of offset (%llu) and size (%llu) has to be smaller or equal to "
                         "the  actual size of the containing file (%llu)",
                         (unsigned long long)raw->offset, (unsigned long long)size,
                         (unsigned long long)file_size);
    if (raw->fixed && size % SECTOR != 0)
        return imgi_fail(err, IMG_E_INVAL, "Specified size is not multiple of %d", SECTOR);
    return 0;
}

static int raw_open(struct imgi_node *node, img_error *err)
{
    struct raw *raw = node->state;
    uint64_t file_size, size = imgi_options_number(node->options, open_options, "size");
    int rc = imgi_io_size(node->file, &file_size, err);

    if (rc < 0)
        return rc;
    raw->offset = imgi_options_number(node->options, open_options, "offset");
    raw->fixed = imgi_options_string(node->options, open_options, "size") != NULL;
    raw->whole = imgi_io_is_pipe(node->file) && !node->writable;
    if (raw->whole && !raw->fixed)
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "the size of a raw disk in a pipe is not known before its end: say it "
                         "(--image-opts driver=raw,size=SIZE,file.filename=%s)",
                         node->name);
    if (file_size > INT64_MAX - SECTOR && !raw->whole)
        return imgi_fail(err, IMG_E_LIMIT, "a file of %llu bytes", (unsigned long long)file_size);
    rc = check_window(raw, size, file_size, err);
    node->size = raw->fixed ? size : imgi_align_up(file_size - raw->offset, SECTOR);
    node->reads_zero = true;
    return rc;
}

static int raw_map(struct imgi_node *node, uint64_t offset, uint64_t length,
                   struct imgi_extent *extent, img_error *err)
{
    const struct raw *raw = node->state;

    (void)err;
    extent->offset = offset;
    extent->length = length;
    extent->kind = IMGI_DATA;
    extent->flags = raw->whole ? 0 : IMGI_EXTENT_INPLACE | IMGI_EXTENT_HOLES;
    extent->io = node->file;
    extent->host = raw->offset + offset;
    return 0;
}

static int raw_pass(struct imgi_node *node, uint64_t offset, img_error *err)
{
    const struct raw *raw = node->state;

    (void)err;
    imgi_io_pass(node->file, raw->offset + offset);
    return 0;
}

static int raw_zero(struct imgi_node *node, uint64_t offset, uint64_t length, bool unmap,
                    img_error *err)
{
    const struct raw *raw = node->state;

    return imgi_io_zero(node->file, raw->offset + offset, length, unmap, err);
}

static int raw_discard(struct imgi_node *node, uint64_t offset, uint64_t length, img_error *err)
{
    const struct raw *raw = node->state;

    return imgi_io_discard(node->file, raw->offset + offset, length, err);
}

static int raw_resize(struct imgi_node *node, uint64_t size, enum img_preallocation mode,
                      img_error *err)
{
    const struct raw *raw = node->state;
    int rc;

    if (mode == IMG_PREALLOC_METADATA)
        return imgi_fail(err, IMG_E_INVAL, "Unsupported preallocation mode: metadata");
    if (raw->fixed)
        return imgi_fail(err, IMG_E_INVAL, "Cannot resize fixed-size raw disks");
    if (size > INT64_MAX - SECTOR - raw->offset)
        return imgi_fail(err, IMG_E_LIMIT, "Disk size too large for the given offset");
    rc = imgi_io_resize(node->file, raw->offset + size, imgi_file_prealloc(mode), err);
    if (rc == 0)
        node->size = imgi_align_up(size, SECTOR);
    return rc;
}

/* The file will hold as many bytes as the disk, and needs them all: holes are the filesystem's. */
static int raw_measure(const struct imgi_measure *measure, img_measure_result *result,
                       img_error *err)
{
    (void)err;
    result->required = measure->size;
    result->fully_allocated = measure->size;
    return 0;
}

const struct imgi_driver imgi_driver_raw = {
    .name = "raw",
    .pipes = true,
    .state_size = sizeof(struct raw),
    .create_options = create_options,
    .open_options = open_options,
    .probe = raw_probe,
    .create = raw_create,
    .open = raw_open,
    .map = raw_map,
    .pass = raw_pass,
    .zero = raw_zero,
    .discard = raw_discard,
    .resize = raw_resize,
    .measure = raw_measure,
};
