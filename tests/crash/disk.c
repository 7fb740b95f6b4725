/*
 * A disk that can be stopped (disk.h). SPDX-License-Identifier: BSD-2-Clause
 */
#include "disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct disk *attached;

int __real_imgi_file_open(struct imgi_io **io, const char *name, unsigned flags, img_error *err);
int __wrap_imgi_file_open(struct imgi_io **io, const char *name, unsigned flags, img_error *err);

int __wrap_imgi_file_create(struct imgi_io **io, const char *name, unsigned flags, img_error *err);
int __real_imgi_file_create(struct imgi_io **io, const char *name, unsigned flags, img_error *err);

void give_up(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(99);
}

void disk_init(struct disk *disk)
{
    img_error err;

    *disk = (struct disk){.count = 0};
    if (imgi_log_new(&disk->log, &err) < 0)
        give_up("log", err.message);
}

void disk_clear(struct disk *disk)
{
    if (attached == disk)
        attached = NULL;
    for (unsigned i = 0; i < disk->count; i++)
        free(disk->files[i].bytes);
    for (unsigned i = 0; i < disk->count; i++)
        free(disk->files[i].made);
    imgi_log_free(disk->log);
}

void disk_add(struct disk *disk, const char *name, const void *bytes, size_t size)
{
    struct disk_file *file = &disk->files[disk->count++];

    if (disk->count > DISK_FILES)
        give_up(name, "too many files");
    file->name = name;
    file->bytes = malloc(size + 1);
    file->size = size;
    if (!file->bytes)
        give_up(name, "no memory");
    memcpy(file->bytes, bytes, size);
}

void disk_load(struct disk *disk, const char *name)
{
    FILE *stream = fopen(name, "re");
    uint8_t *bytes;
    long size;

    if (!stream || fseek(stream, 0, SEEK_END) < 0 || (size = ftell(stream)) < 0)
        give_up(name, "cannot be read");
    rewind(stream);
    bytes = malloc((size_t)size + 1);
    if (!bytes || fread(bytes, 1, (size_t)size, stream) != (size_t)size)
        give_up(name, "cannot be read");
    fclose(stream);
    disk_add(disk, name, bytes, (size_t)size);
    free(bytes);
}

void disk_attach(struct disk *disk)
{
    attached = disk;
}

struct imgi_io *disk_memory(const void *bytes, size_t size)
{
    struct imgi_io *io;
    img_error err;

    if (imgi_mem_new(&io, &err) < 0 || imgi_io_write(io, bytes, size, 0, &err) < 0)
        give_up("memory", err.message);
    return io;
}

/* The file as it is now, for somebody who opens it. */
static int open_file(struct disk *disk, unsigned n, struct imgi_io **out, img_error *err)
{
    struct imgi_io *io = disk_memory(disk->files[n].bytes, disk->files[n].size);
    size_t count = imgi_log_count(disk->log);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct imgi_log_entry *entry = &imgi_log_entries(disk->log)[i];

        if (entry->file == n)
            rc = imgi_log_replay(entry, io, err);
    }
    if (rc < 0)
        give_up("replay", err->message);
    return imgi_log_io(out, disk->log, n, io, err);
}

static const char *last_part(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash ? slash + 1 : name;
}

/* The number of the file of that name, or the number of files. */
static unsigned find(const struct disk *disk, const char *name)
{
    unsigned n = 0;

    while (n < disk->count && strcmp(disk->files[n].name, last_part(name)) != 0)
        n++;
    return n;
}

/* Stands in for imgi_file_open (the linker's --wrap). */
int __wrap_imgi_file_open(struct imgi_io **io, const char *name, unsigned flags, img_error *err)
{
    unsigned n = attached ? find(attached, name) : 0;

    if (attached && n < attached->count)
        return open_file(attached, n, io, err);
    return __real_imgi_file_open(io, name, flags, err);
}

/* Likewise. The new file is there at once, and empty; what had the name before is gone. */
int __wrap_imgi_file_create(struct imgi_io **io, const char *name, unsigned flags, img_error *err)
{
    unsigned n;
    int rc;

    if (!attached)
        return __real_imgi_file_create(io, name, flags, err);
    n = find(attached, name);
    if (n == attached->count) {
        disk_add(attached, NULL, "", 0);
        attached->files[n].made = strdup(last_part(name));
        attached->files[n].name = attached->files[n].made;
        if (!attached->files[n].name)
            give_up(name, "no memory");
    }
    rc = open_file(attached, n, io, err);
    if (rc < 0)
        return rc;
    rc = imgi_io_replace(*io, "", 0, err);
    if (rc < 0)
        imgi_io_close(*io);
    return rc;
}
