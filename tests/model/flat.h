/*
 * A qcow2 image, and beside it what it must hold: plain arrays.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * operations.c does the same thing to both; qcow2.c compares them.
 */
#ifndef FLAT_H
#define FLAT_H

#include "libimg.h"

#define FLAT_MAXIMUM (6u << 20) /* no disk of the test is larger */
#define FLAT_SNAPSHOTS 5u
#define FLAT_IMAGE "image"

/* What the images of a run are like. */
struct flat_shape {
    const char *options;
    uint64_t size;
    unsigned features; /* enum flat_feature */
};

enum flat_feature {
    FLAT_CHAIN = 1u << 0,        /* has a backing image: commit and rebase */
    FLAT_NO_PACKED = 1u << 1,    /* cannot hold compressed clusters */
    FLAT_NO_SNAPSHOTS = 1u << 2, /* cannot hold snapshots */
    FLAT_FIXED = 1u << 3,        /* is not amended: its options are what is tested */
    FLAT_SECRET = 1u << 4        /* is encrypted */
};

struct flat_disk {
    uint8_t *bytes; /* FLAT_MAXIMUM; zeros from size on */
    uint64_t size;
};

struct flat_snapshot {
    char name[16]; /* empty: there is none */
    struct flat_disk disk;
};

struct flat {
    const struct flat_shape *shape;
    img_image *image;
    uint64_t cluster, random;
    struct flat_disk disk;
    struct flat_snapshot snapshots[FLAT_SNAPSHOTS];
    bool tracked;           /* the image has a dirty bitmap, */
    struct flat_disk since; /* which was clean when the disk was this */
    unsigned names;         /* given to snapshots and backing images so far */
    uint8_t *scratch;       /* FLAT_MAXIMUM bytes */
};

/* All of these end the test when something fails that must not. */
void flat_must(const struct flat *flat, const char *what, int rc, const img_error *err);
void flat_fail(const struct flat *flat, const char *format, ...) IMG_PRINTF(2, 3)
    __attribute__((noreturn));

/* Seeded: below limit. */
uint64_t flat_random(struct flat *flat, uint64_t limit);
/* An empty disk; a copy of one. */
void flat_disk_init(struct flat_disk *disk, uint64_t size);
void flat_disk_copy(struct flat_disk *disk, const struct flat_disk *from);
/* Random content for a range; a pattern that says little of its place, or one byte. */
void flat_fill(struct flat *flat, uint8_t *bytes, uint64_t length);

/* One random operation, done to the image and to the arrays. operations.c */
void flat_operation(struct flat *flat);
/* One with the dirty bitmap; and whether the bits are right, of an open image. bitmaps.c */
void flat_bitmap(struct flat *flat);
void flat_verify_bitmap(struct flat *flat);
/* A backing image of that content with a new name, which is returned; NULL disk: empty. */
const char *flat_new_base(struct flat *flat, uint64_t size);

#endif
