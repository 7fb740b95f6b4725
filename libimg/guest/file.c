/*
 * Regular files: from runs to bytes. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>
#include <string.h>

#include "provider.h"

int img_file_open(img_file **file, img_fs *fs, uint64_t inode, img_error *err)
{
    int rc;

    *file = calloc(1, sizeof(**file));
    if (!*file)
        return imgi_fail_nomem(err, "a file");
    (*file)->fs = fs;
    (*file)->inode = inode;
    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->file_open(*file, err);
    pthread_mutex_unlock(&fs->lock);
    if (rc < 0) {
        img_file_close(*file);
        *file = NULL;
    }
    return rc;
}

void img_file_close(img_file *file)
{
    if (!file)
        return;
    if (file->fs->provider->file_close) {
        pthread_mutex_lock(&file->fs->lock);
        file->fs->provider->file_close(file);
        pthread_mutex_unlock(&file->fs->lock);
    }
    free(file);
}

uint64_t img_file_size(const img_file *file)
{
    return file->size;
}

/* The provider's map, checked. */
static int map(img_file *file, uint64_t offset, uint64_t length, struct imgi_run *run,
               img_error *err)
{
    const struct imgi_provider *provider = file->fs->provider;
    int rc = 0;

    *run = (struct imgi_run){.offset = offset, .length = length, .kind = IMGI_RUN_OPAQUE};
    pthread_mutex_lock(&file->fs->lock);
    if (provider->map)
        rc = provider->map(file, run, err);
    pthread_mutex_unlock(&file->fs->lock);
    if (rc == 0 && (run->offset != offset || run->length == 0 || run->length > length))
        return imgi_fail(err, IMG_E_INTERNAL, "%s mapped another run than was asked for",
                         provider->library);
    return rc;
}

static int read_run(img_file *file, const struct imgi_run *run, uint8_t *buffer, img_error *err)
{
    img_fs *fs = file->fs;
    int rc;

    switch (run->kind) {
    case IMGI_RUN_DATA:
        return imgi_volume_read(fs->volume, run->place, buffer, (size_t)run->length, err);
    case IMGI_RUN_HOLE:
        memset(buffer, 0, (size_t)run->length);
        return 0;
    case IMGI_RUN_OPAQUE:
        break;
    }
    pthread_mutex_lock(&fs->lock);
    rc = fs->provider->read(file, run->offset, buffer, (size_t)run->length, err);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

int img_file_read(img_file *file, uint64_t offset, void *buffer, size_t *length, img_error *err)
{
    uint64_t left = offset < file->size ? file->size - offset : 0;
    uint8_t *to = buffer;

    *length = (size_t)IMGI_MIN(left, *length);
    for (size_t done = 0; done < *length;) {
        struct imgi_run run;
        int rc = map(file, offset + done, *length - done, &run, err);

        if (rc == 0)
            rc = read_run(file, &run, to + done, err);
        if (rc < 0)
            return rc;
        done += (size_t)run.length;
    }
    return 0;
}

int img_file_run(img_file *file, uint64_t offset, uint64_t length, uint64_t *run, bool *hole,
                 img_error *err)
{
    uint64_t left = offset < file->size ? file->size - offset : 0;
    struct imgi_run next;

    length = IMGI_MIN(left, length);
    *run = 0;
    *hole = true; /* behind the file's end there is nothing else */
    while (*run < length) {
        int rc = map(file, offset + *run, length - *run, &next, err);

        if (rc < 0)
            return rc;
        if (*run == 0)
            *hole = next.kind == IMGI_RUN_HOLE;
        else if (*hole != (next.kind == IMGI_RUN_HOLE))
            return 0;
        *run += next.length;
    }
    return 0;
}
