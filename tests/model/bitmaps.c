/*
 * A dirty bitmap beside random use: where it is clean, nothing has changed.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * flat->since is the disk as it was when the bitmap was made or cleared. Bits may be set for bytes
 * that are the same again; one that is missing is a change that a backup would lose.
 */
#include <string.h>

#include "flat.h"

#define BITS "bits"
#define MERGED "merged"

static void verify_clean(struct flat *flat, const char *name, uint64_t offset, uint64_t length)
{
    if (memcmp(flat->disk.bytes + offset, flat->since.bytes + offset, (size_t)length) != 0)
        flat_fail(flat, "bitmap %s: of %llu bytes at %llu some have changed", name,
                  (unsigned long long)length, (unsigned long long)offset);
}

static void verify_bits(struct flat *flat, const char *name)
{
    for (uint64_t offset = 0, run; offset < flat->disk.size; offset += run) {
        bool dirty;
        img_error err;

        flat_must(
            flat, "bitmap",
            img_bitmap_run(flat->image, name, offset, flat->disk.size - offset, &run, &dirty, &err),
            &err);
        if (!dirty)
            verify_clean(flat, name, offset, run);
    }
}

void flat_verify_bitmap(struct flat *flat)
{
    if (flat->tracked)
        verify_bits(flat, BITS);
}

static void add(struct flat *flat)
{
    static const uint64_t granularities[] = {0, 512, 4096, 65536};
    img_error err;

    if (!img_bitmap_supported(flat->image))
        return;
    flat_must(flat, "bitmap --add",
              img_bitmap_add(flat->image, BITS, granularities[flat_random(flat, 4)], true, &err),
              &err);
    flat_disk_copy(&flat->since, &flat->disk);
    flat->tracked = true;
}

static void clear(struct flat *flat)
{
    img_error err;

    flat_must(flat, "bitmap --disable", img_bitmap_enable(flat->image, BITS, false, &err), &err);
    flat_must(flat, "bitmap --clear", img_bitmap_clear(flat->image, BITS, &err), &err);
    flat_must(flat, "bitmap --enable", img_bitmap_enable(flat->image, BITS, true, &err), &err);
    flat_disk_copy(&flat->since, &flat->disk);
}

static void merge(struct flat *flat)
{
    img_error err;

    flat_must(flat, "bitmap --add", img_bitmap_add(flat->image, MERGED, 1024, false, &err), &err);
    flat_must(flat, "bitmap --merge", img_bitmap_merge(flat->image, MERGED, NULL, BITS, &err),
              &err);
    verify_bits(flat, MERGED);
    flat_must(flat, "bitmap --remove", img_bitmap_remove(flat->image, MERGED, &err), &err);
}

void flat_bitmap(struct flat *flat)
{
    uint64_t choice = flat_random(flat, 4);
    img_error err;

    if (!flat->tracked) {
        add(flat);
    } else if (choice == 0) {
        flat_must(flat, "bitmap --remove", img_bitmap_remove(flat->image, BITS, &err), &err);
        flat->tracked = false;
    } else if (choice == 1) {
        clear(flat);
    } else {
        merge(flat);
    }
}
