/*
 * Images that the tests of failing disks begin with. SPDX-License-Identifier: BSD-2-Clause
 */
#ifndef VMDK_FILES_H
#define VMDK_FILES_H

#include "../crash/content.h"
#include "../crash/disk.h"
#include "internal.h"

#define IMAGE "image"
#define BASE "base"
#define OTHER "other" /* holds something else than the base */
#define TWIN "twin"   /* holds the same */
#define SIZE_MAXIMUM (8u << 20)

/* Kinds of image, one bit each. */
enum { HOSTED = 1, CHILD = 2, PARTS = 4, PARTS_CHILD = 8, FLAT = 16, REDO = 32, REDO_CHILD = 64 };

#define CHILDREN (CHILD | PARTS_CHILD | REDO_CHILD)
#define SPARSE (HOSTED | CHILD | PARTS | PARTS_CHILD | REDO | REDO_CHILD)
#define RESIZABLE (HOSTED | CHILD | PARTS | FLAT)

#define MIB (UINT64_C(1) << 20)
#define SMALL "grain_size=4k"

/* What an image is like. */
struct shape {
    unsigned kind;
    const char *name, *options;
    uint64_t size;
    const char *base; /* options of the image below; NULL: none */
    uint64_t base_size;
};

#define FILES_SHAPES 7u
extern const struct shape shapes[FILES_SHAPES];

/* The files of all attempts on a shape, made once. */
struct files {
    const struct shape *shape;
    struct disk disk; /* IMAGE is the first */
    struct content content, base;
};

/* Make them, here; files->shape is set. They are in memory then. */
void files_make(struct files *files);
void files_clear(struct files *files);
/* Make the image's first grain be lost, but for the redundant copy, whose second one is wrong. */
void files_spoil(uint8_t *bytes);

/* NULL with err. */
img_image *files_open(const char *name, unsigned flags, img_error *err);
/* Write something that is not there yet. */
int files_put(img_image *image, struct content *content, uint64_t offset, uint64_t length,
              img_error *err);

#endif
