/*
 * The view of files: what is read at the moment. SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel is told that there is nothing to do when something is opened or closed, which spares
 * it two requests for each file. What it reads is opened at the first request and stays so until
 * others were used more recently.
 */
#include <errno.h>
#include <stdlib.h>

#include "files.h"

#define CONTENTS_MAX 256 /* that nobody uses at the moment */

void contents_init(struct contents *contents)
{
    *contents = (struct contents){0};
    pthread_mutex_init(&contents->lock, NULL);
    contents->recent.newer = contents->recent.older = &contents->recent;
}

static struct content **bucket_of(struct contents *contents, fuse_ino_t ino)
{
    return &contents->buckets[(ino ^ ino >> 8 ^ ino >> 56) % CONTENTS_BUCKETS];
}

static void free_content(struct content *content)
{
    img_file_close(content->file);
    img_dir_close(content->dir);
    free(content);
}

void contents_end(struct contents *contents)
{
    while (contents->recent.older != &contents->recent) {
        struct content *content = contents->recent.older;

        contents->recent.older = content->older;
        free_content(content);
    }
    pthread_mutex_destroy(&contents->lock);
}

/* ---- under the lock: a table by number, and a ring by age */

static void leave_ring(struct content *content)
{
    content->newer->older = content->older;
    content->older->newer = content->newer;
}

static void enter_ring(struct contents *contents, struct content *content)
{
    content->newer = &contents->recent;
    content->older = contents->recent.older;
    content->older->newer = content;
    contents->recent.older = content;
}

/* A damaged filesystem may have a file and a directory with the same number. */
static struct content *find(struct contents *contents, fuse_ino_t ino, bool directory)
{
    struct content *content = *bucket_of(contents, ino);

    while (content && (content->ino != ino || !content->dir == directory))
        content = content->next;
    return content;
}

static void forget(struct contents *contents, struct content *content)
{
    struct content **link = bucket_of(contents, content->ino);

    while (*link != content)
        link = &(*link)->next;
    *link = content->next;
    leave_ring(content);
    contents->count--;
}

/* The oldest that nobody uses, if there are too many; it is the caller's to free. */
static struct content *take_oldest(struct contents *contents)
{
    struct content *content = contents->recent.newer;

    if (contents->count <= CONTENTS_MAX)
        return NULL;
    while (content != &contents->recent && content->users > 0)
        content = content->newer;
    if (content == &contents->recent)
        return NULL;
    forget(contents, content);
    return content;
}

/* ---- */

static struct content *use_known(struct contents *contents, fuse_ino_t ino, bool directory)
{
    struct content *content;

    pthread_mutex_lock(&contents->lock);
    content = find(contents, ino, directory);
    if (content) {
        content->users++;
        leave_ring(content);
        enter_ring(contents, content);
    }
    pthread_mutex_unlock(&contents->lock);
    return content;
}

/* Make what has been opened known, unless another thread was faster. */
static struct content *add(struct contents *contents, struct content *content)
{
    struct content *other, *old = NULL;

    pthread_mutex_lock(&contents->lock);
    other = find(contents, content->ino, content->dir != NULL);
    if (other) {
        old = content;
        content = other;
    } else {
        content->next = *bucket_of(contents, content->ino);
        *bucket_of(contents, content->ino) = content;
        enter_ring(contents, content);
        contents->count++;
        old = take_oldest(contents);
    }
    content->users++;
    pthread_mutex_unlock(&contents->lock);
    if (old)
        free_content(old);
    return content;
}

int contents_use(struct files *files, fuse_ino_t ino, bool directory, struct content **content)
{
    struct content *opened;
    struct node node;
    img_error err = {0};
    int rc;

    *content = use_known(&files->contents, ino, directory);
    if (*content)
        return 0;
    if (!node_find(files, ino, &node))
        return ESTALE;
    opened = calloc(1, sizeof(*opened));
    if (!opened)
        return ENOMEM;
    opened->ino = ino;
    rc = directory ? img_dir_open(&opened->dir, node.fs, node.inode, &err)
                   : img_file_open(&opened->file, node.fs, node.inode, &err);
    if (rc < 0) {
        free(opened);
        return node_error(files, &node, "open", &err);
    }
    *content = add(&files->contents, opened);
    return 0;
}

void contents_done(struct files *files, struct content *content, bool finished)
{
    struct contents *contents = &files->contents;

    pthread_mutex_lock(&contents->lock);
    content->users--;
    finished = finished && content->users == 0;
    if (finished)
        forget(contents, content);
    pthread_mutex_unlock(&contents->lock);
    if (finished)
        free_content(content);
}
