/*
 * What is open. SPDX-License-Identifier: BSD-2-Clause
 */
#include <stdlib.h>

#include "files.h"

struct handle *handle_new(struct files *files)
{
    struct handle *handle = calloc(1, sizeof(*handle));

    if (!handle)
        return NULL;
    pthread_mutex_lock(&files->lock);
    handle->next = files->handles;
    if (handle->next)
        handle->next->previous = handle;
    files->handles = handle;
    pthread_mutex_unlock(&files->lock);
    return handle;
}

void handle_free(struct files *files, struct handle *handle)
{
    pthread_mutex_lock(&files->lock);
    if (handle->next)
        handle->next->previous = handle->previous;
    if (handle->previous)
        handle->previous->next = handle->next;
    else
        files->handles = handle->next;
    pthread_mutex_unlock(&files->lock);
    img_file_close(handle->file);
    img_dir_close(handle->dir);
    free(handle);
}
