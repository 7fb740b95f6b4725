/*
 * What can be done to an image, and the same done to an array.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdio.h>
#include <string.h>

#include "flat.h"

/* A random range, often of whole clusters. */
static void choose(struct flat *flat, uint64_t *offset, uint64_t *length)
{
    uint64_t size = flat->disk.size, most;

    *offset = flat_random(flat, size);
    if (flat_random(flat, 2))
        *offset -= *offset % flat->cluster;
    most = size - *offset;
    *length = 1 + flat_random(flat, most < 9 * flat->cluster ? most : 9 * flat->cluster);
    if (flat_random(flat, 2))
        *length += flat->cluster - 1 - (*length - 1) % flat->cluster;
    if (*length > most)
        *length = most;
}

static void do_write(struct flat *flat)
{
    uint64_t offset, length;
    img_error err;

    choose(flat, &offset, &length);
    flat_fill(flat, flat->disk.bytes + offset, length);
    flat_must(flat, "write",
              img_write(flat->image, offset, flat->disk.bytes + offset, (size_t)length, &err),
              &err);
}

static void do_write_compressed(struct flat *flat)
{
    uint64_t offset, length;
    img_error err;

    choose(flat, &offset, &length);
    offset -= offset % flat->cluster;
    length += flat->cluster - 1 - (length - 1) % flat->cluster;
    if (length > flat->disk.size - offset)
        length = flat->disk.size - offset;
    flat_fill(flat, flat->disk.bytes + offset, length);
    flat_must(
        flat, "compressed write",
        img_write_compressed(flat->image, offset, flat->disk.bytes + offset, (size_t)length, &err),
        &err);
}

static void do_zero(struct flat *flat)
{
    unsigned flags = flat_random(flat, 2) ? IMG_ZERO_UNMAP : 0;
    uint64_t offset, length;
    img_error err;

    choose(flat, &offset, &length);
    memset(flat->disk.bytes + offset, 0, (size_t)length);
    flat_must(flat, "zero", img_zero(flat->image, offset, length, flags, &err), &err);
}

/* Each byte is afterwards what it was, or zero. */
static void do_discard(struct flat *flat)
{
    uint64_t offset, length;
    img_error err;

    choose(flat, &offset, &length);
    flat_must(flat, "discard", img_discard(flat->image, offset, length, &err), &err);
    flat_must(flat, "read", img_read(flat->image, offset, flat->scratch, (size_t)length, &err),
              &err);
    for (uint64_t i = 0; i < length; i++)
        if (flat->scratch[i] != 0 && flat->scratch[i] != flat->disk.bytes[offset + i])
            flat_fail(flat, "byte %llu is %u after a discard", (unsigned long long)(offset + i),
                      flat->scratch[i]);
    memcpy(flat->disk.bytes + offset, flat->scratch, (size_t)length);
}

static void do_read(struct flat *flat)
{
    uint64_t offset, length;
    img_error err;

    choose(flat, &offset, &length);
    flat_must(flat, "read", img_read(flat->image, offset, flat->scratch, (size_t)length, &err),
              &err);
    if (memcmp(flat->scratch, flat->disk.bytes + offset, (size_t)length) != 0)
        flat_fail(flat, "%llu bytes at %llu are not what was written", (unsigned long long)length,
                  (unsigned long long)offset);
}

static void do_flush(struct flat *flat)
{
    img_error err;

    flat_must(flat, "flush", img_flush(flat->image, &err), &err);
}

/*
 * Whether it was done. What the image may refuse leaves everything as it is; with a bitmap no
 * snapshot is applied.
 */
static bool done(const struct flat *flat, const char *what, int rc, const img_error *err)
{
    if (rc == IMG_E_BUSY && flat->tracked)
        return false;
    if (rc == IMG_E_INVAL || rc == IMG_E_UNSUPPORTED || rc == IMG_E_NOSPACE)
        return false;
    flat_must(flat, what, rc, err);
    return true;
}

static void do_resize(struct flat *flat)
{
    uint64_t old = flat->disk.size, size = 512 * (1 + flat_random(flat, 2 * old / 512));
    img_error err;

    if (size > FLAT_MAXIMUM)
        size = FLAT_MAXIMUM;
    /* Version 2 refuses while there are snapshots. */
    if (!done(flat, "resize", img_resize(flat->image, size, &err), &err))
        return;
    if (size < old)
        memset(flat->disk.bytes + size, 0, (size_t)(old - size));
    if (size < old && flat->tracked)
        memset(flat->since.bytes + size, 0, (size_t)(old - size));
    flat->disk.size = size;
}

static void do_amend(struct flat *flat)
{
    static const char *const changes[] = {
        "lazy_refcounts=on", "lazy_refcounts=off", "refcount_bits=4", "refcount_bits=8",
        "refcount_bits=64",  "refcount_bits=16",   "compat=1.1",      "compat=0.10",
    };
    img_options *options = img_options_new();
    img_error err;

    if (!options)
        flat_fail(flat, "no memory");
    flat_must(flat, "options", img_options_parse(options, changes[flat_random(flat, 8)], &err),
              &err);
    done(flat, "amend", img_amend(NULL, flat->image, options, &err), &err);
    img_options_free(options);
}

/* --------------------------------------------------------------- snapshots */

static void do_snapshot_create(struct flat *flat, struct flat_snapshot *kept)
{
    img_snapshot snapshot = {.name = kept->name, .icount = UINT64_MAX};
    img_error err;

    snprintf(kept->name, sizeof(kept->name), "s%u", flat->names++);
    /* Narrow refcounts allow few. */
    if (done(flat, "snapshot -c", img_snapshot_create(flat->image, &snapshot, &err), &err))
        flat_disk_copy(&kept->disk, &flat->disk);
    else
        kept->name[0] = 0;
}

static void do_snapshot(struct flat *flat)
{
    struct flat_snapshot *kept = &flat->snapshots[flat_random(flat, FLAT_SNAPSHOTS)];
    img_error err;

    if (!kept->name[0]) {
        do_snapshot_create(flat, kept);
    } else if (flat_random(flat, 2)) {
        if (done(flat, "snapshot -a", img_snapshot_apply(flat->image, NULL, kept->name, &err),
                 &err))
            flat_disk_copy(&flat->disk, &kept->disk);
    } else {
        flat_must(flat, "snapshot -d", img_snapshot_delete(flat->image, NULL, kept->name, &err),
                  &err);
        kept->name[0] = 0;
    }
}

/* ------------------------------------------------------------------- chains */

const char *flat_new_base(struct flat *flat, uint64_t size)
{
    static char name[32];
    img_image *base;
    img_error err;

    snprintf(name, sizeof(name), "base%u", flat->names++);
    flat_fill(flat, flat->scratch, size);
    flat_must(flat, "create", img_create(&base, name, "qcow2", size, NULL, NULL, &err), &err);
    flat_must(flat, "write", img_write(base, 0, flat->scratch, (size_t)size, &err), &err);
    flat_must(flat, "close", img_close(base, &err), &err);
    return name;
}

static void do_commit(struct flat *flat)
{
    img_error err;

    if (img_backing_name(flat->image))
        flat_must(flat, "commit", img_commit(NULL, flat->image, NULL, &err), &err);
}

/* Over another base of any size, or none. */
static void do_rebase(struct flat *flat)
{
    uint64_t size = 512 * (1 + flat_random(flat, flat->disk.size / 512));
    const char *name = flat_random(flat, 5) ? flat_new_base(flat, size) : NULL;
    img_job *job = img_job_new();
    bool packed = !(flat->shape->features & FLAT_NO_PACKED);
    img_error err;

    if (!job)
        flat_fail(flat, "no memory");
    img_job_set_flags(job, flat_random(flat, 2) && packed ? IMG_JOB_COMPRESS : 0);
    flat_must(flat, "rebase", img_rebase(job, flat->image, name, name ? "qcow2" : NULL, &err),
              &err);
    img_job_free(job);
}

/* ------------------------------------------------------------------- choice */

static void do_compact(struct flat *flat)
{
    img_compact_result result;
    img_error err;

    flat_must(flat, "compact", img_compact(NULL, flat->image, &result, &err), &err);
}

/* What changes the whole image. */
static void do_rare(struct flat *flat)
{
    unsigned features = flat->shape->features;
    uint64_t choice = flat_random(flat, 6);

    if (choice == 0)
        do_resize(flat);
    else if (choice == 4)
        flat_bitmap(flat);
    else if (choice == 5)
        do_compact(flat);
    else if (choice == 1 && !(features & FLAT_FIXED))
        do_amend(flat);
    else if ((features & FLAT_CHAIN) && flat_random(flat, 2))
        do_commit(flat);
    else if (features & FLAT_CHAIN)
        do_rebase(flat);
    else if (!(features & FLAT_NO_SNAPSHOTS))
        do_snapshot(flat);
}

void flat_operation(struct flat *flat)
{
    uint64_t choice = flat_random(flat, 100);

    if (choice < 36)
        do_write(flat);
    else if (choice < 50 && !(flat->shape->features & FLAT_NO_PACKED))
        do_write_compressed(flat);
    else if (choice < 60)
        do_zero(flat);
    else if (choice < 70)
        do_discard(flat);
    else if (choice < 80)
        do_read(flat);
    else if (choice < 88)
        do_flush(flat);
    else
        do_rare(flat);
}
