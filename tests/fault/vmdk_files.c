/*
 * Images that the tests of failing disks begin with (vmdk_files.h).
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include "vmdk_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct shape shapes[FILES_SHAPES] = {
    {HOSTED, "hosted", SMALL, 3 * MIB, NULL, 0},
    {CHILD, "child", SMALL ",zeroed_grain=on", 3 * MIB, SMALL, 1 * MIB},
    {PARTS, "parts", "subformat=twoGbMaxExtentSparse," SMALL, 3 * MIB / 2, NULL, 0},
    {PARTS_CHILD, "child in parts", "subformat=twoGbMaxExtentSparse," SMALL, 2 * MIB,
     "subformat=monolithicFlat", 1 * MIB},
    {FLAT, "flat", "subformat=monolithicFlat", 1 * MIB, NULL, 0},
    {REDO, "redo log", "subformat=vmfsSparse", 5 * MIB, NULL, 0},
    {REDO_CHILD, "redo log on a base", "subformat=vmfsSparse", 5 * MIB, "subformat=vmfs", 5 * MIB},
};

static uint8_t buffer[SIZE_MAXIMUM];

static void must(const char *what, int rc, const img_error *err)
{
    if (rc < 0)
        give_up(what, err->message);
}

int files_put(img_image *image, struct content *content, uint64_t offset, uint64_t length,
              img_error *err)
{
    unsigned n = content_write(content);

    content_put(content, offset, length, n);
    content_fill(buffer, offset, (size_t)length, n);
    return img_write(image, offset, buffer, (size_t)length, err);
}

static img_image *create(const char *name, const char *text, uint64_t size, const char *backing)
{
    img_options *options = img_options_new();
    img_image *image;
    img_error err;

    if (!options)
        give_up("options", "no memory");
    must("options", img_options_parse(options, text, &err), &err);
    if (backing) {
        must("options", img_options_set(options, "backing_file", backing, &err), &err);
        must("options", img_options_set(options, "backing_fmt", "vmdk", &err), &err);
    }
    must("create", img_create(&image, name, "vmdk", size, options, NULL, &err), &err);
    img_options_free(options);
    return image;
}

img_image *files_open(const char *name, unsigned flags, img_error *err)
{
    const img_open_params params = {.format = "vmdk", .flags = flags};
    img_image *image = NULL;

    return img_open(&image, name, &params, err) == 0 ? image : NULL;
}

/* In parts of a megabyte, which are too small for img_create to make: the second is half full. */
static img_image *create_parts(const struct shape *shape)
{
    static const char text[] = "# Disk DescriptorFile\nversion=1\nCID=00000012\n"
                               "parentCID=ffffffff\ncreateType=\"twoGbMaxExtentSparse\"\n"
                               "RW 2048 SPARSE \"" IMAGE "-s001\"\n"
                               "RW 1024 SPARSE \"" IMAGE "-s002\"\nddb.adapterType = \"ide\"\n";
    img_image *image;
    FILE *stream;
    img_error err;

    must("close", img_close(create("second", shape->options, MIB / 2, NULL), &err), &err);
    must("close", img_close(create(IMAGE, shape->options, MIB, NULL), &err), &err);
    stream = fopen(IMAGE, "we");
    if (rename("second-s001", IMAGE "-s002") < 0 || unlink("second") < 0 || !stream ||
        fputs(text, stream) < 0 || fclose(stream) != 0)
        give_up(IMAGE, "cannot be written");
    image = files_open(IMAGE, IMG_OPEN_WRITE, &err);
    if (!image)
        give_up("open", err.message);
    return image;
}

/* Some data, and zeros that take space. */
static void fill_image(img_image *image, struct content *content)
{
    static const uint8_t zeros[64 << 10];
    img_error err;

    must("write", files_put(image, content, 0, 30 << 10, &err), &err);
    must("write", files_put(image, content, img_size(image) - 20480, 20480, &err), &err);
    must("write", img_write(image, 256 << 10, zeros, sizeof(zeros), &err), &err);
    content_put(content, 256 << 10, sizeof(zeros), 0);
    must("close", img_close(image, &err), &err);
}

static void make_base(struct files *files)
{
    const struct shape *shape = files->shape;
    img_image *image;
    img_error err;

    content_init(&files->base, shape->base_size, SIZE_MAXIMUM);
    if (!shape->base)
        return;
    image = create(BASE, shape->base, shape->base_size, NULL);
    must("write", files_put(image, &files->base, 0, shape->base_size, &err), &err);
    must("close", img_close(image, &err), &err);
    image = create(TWIN, SMALL, shape->base_size, NULL);
    must("write", img_write(image, 0, buffer, shape->base_size, &err), &err);
    must("close", img_close(image, &err), &err);
    content_put(&files->content, 0, shape->base_size, content_write(&files->content));
    image = create(OTHER, SMALL, shape->size, NULL);
    must("write", img_write(image, 64 << 10, buffer, 200 << 10, &err), &err);
    must("close", img_close(image, &err), &err);
}

void files_make(struct files *files)
{
    static const char *const names[] = {IMAGE,         IMAGE "-s001",  IMAGE "-s002",
                                        IMAGE "-flat", IMAGE "-delta", BASE,
                                        BASE "-flat",  TWIN,           OTHER};
    const struct shape *shape = files->shape;

    disk_init(&files->disk);
    content_init(&files->content, shape->size, SIZE_MAXIMUM);
    make_base(files);
    fill_image(shape->kind == PARTS
                   ? create_parts(shape)
                   : create(IMAGE, shape->options, shape->size, shape->base ? BASE : NULL),
               &files->content);
    for (size_t i = 0; i < IMGI_COUNT(names); i++) {
        if (access(names[i], F_OK) == 0)
            disk_load(&files->disk, names[i]);
        unlink(names[i]);
    }
}

void files_spoil(uint8_t *bytes)
{
    uint64_t rgd = imgi_get_le64(bytes + 48) * 512, gd = imgi_get_le64(bytes + 56) * 512;
    uint8_t *entry = bytes + imgi_get_le32(bytes + gd) * UINT64_C(512);
    uint8_t *copy = bytes + imgi_get_le32(bytes + rgd) * UINT64_C(512);

    imgi_put_le32(entry, 0x70000000);
    imgi_put_le32(copy + 4, 0x70000000);
}

void files_clear(struct files *files)
{
    disk_clear(&files->disk);
    content_clear(&files->content);
    content_clear(&files->base);
}
