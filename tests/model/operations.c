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

static void do_resize(struct flat *flat)
{
    uint64_t old = flat->disk.size, size = 512 * (1 + flat_random(flat, 2 * old / 512));
    img_error err;

    if (size > FLAT_MAXIMUM)
        size = FLAT_MAXIMUM;
    flat_must(flat, "resize", img_resize(flat->image, size, &err), &err);
    if (size < old)
        memset(flat->disk.bytes + size, 0, (size_t)(old - size));
    flat->disk.size = size;
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
    img_error err;

    if (!job)
        flat_fail(flat, "no memory");
    img_job_set_flags(job, flat_random(flat, 2) ? IMG_JOB_COMPRESS : 0);
    flat_must(flat, "rebase", img_rebase(job, flat->image, name, name ? "qcow2" : NULL, &err),
              &err);
    img_job_free(job);
}

/* ------------------------------------------------------------------- choice */

static void do_chain(struct flat *flat)
{
    if (!(flat->shape->features & FLAT_CHAIN))
        do_write(flat);
    else if (flat_random(flat, 2))
        do_commit(flat);
    else
        do_rebase(flat);
}

void flat_operation(struct flat *flat)
{
    uint64_t choice = flat_random(flat, 100);

    if (choice < 40)
        do_write(flat);
    else if (choice < 55 && !(flat->shape->features & FLAT_NO_PACKED))
        do_write_compressed(flat);
    else if (choice < 67)
        do_zero(flat);
    else if (choice < 77)
        do_discard(flat);
    else if (choice < 87)
        do_read(flat);
    else if (choice < 94)
        do_flush(flat);
    else if (choice < 96)
        do_resize(flat);
    else
        do_chain(flat);
}
