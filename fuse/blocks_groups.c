/*
 * The view of blocks: which disks there are, and opening them.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "blocks.h"

#define FILES_MAX 4096  /* of a group */
#define EXTENTS_MAX 256 /* that are looked at to tell how much of a file is stored */
#define ST_BLOCK 512    /* what st_blocks counts */

/* -------------------------------------------------------------------- names */

/* Write `text` with what no file name may have as %XX; false: it does not fit. */
static bool escape(char *name, const char *text, size_t room)
{
    bool dots = strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
    size_t length = 0;

    for (; *text; text++) {
        bool plain = *text != '/' && *text != '%' && !dots;

        if (length + 3 > room)
            break;
        if (plain)
            name[length++] = *text;
        else
            length += (size_t)snprintf(name + length, 4, "%%%02X", (unsigned char)*text);
    }
    name[length] = '\0';
    return *text == '\0';
}

/* The names of snapshots that have been given away. */
struct names {
    void *tree;           /* as tsearch(3) has it; the names stand in their groups */
    unsigned long number; /* the last one that was put behind a name: none is tried twice */
};

static int compare(const void *one, const void *other)
{
    return strcmp(one, other);
}

static void keep(void *name)
{
    (void)name;
}

static bool is_taken(const struct names *names, const char *name)
{
    return *name == '\0' || tfind(name, &names->tree, compare);
}

/*
 * What has no name that is its own, or too long a one, is known by its id; and by a number, if that
 * is another one's too. False: out of memory.
 */
static bool name_group(struct names *names, struct blocks_group *group,
                       const img_snapshot *snapshot)
{
    const char *name = snapshot->name ? snapshot->name : "";
    char id[64], number[24] = "";
    size_t length;

    if (!escape(group->name, name, BLOCKS_NAME_MAX) || is_taken(names, group->name)) {
        escape(id, snapshot->id, sizeof(id) - 1);
        escape(group->name, name, BLOCKS_NAME_MAX - sizeof(id) - sizeof(number));
        length = strlen(group->name);
        for (;;) {
            snprintf(group->name + length, sizeof(group->name) - length, "~%s%s", id, number);
            if (!is_taken(names, group->name))
                break;
            snprintf(number, sizeof(number), "~%lu", ++names->number);
        }
    }
    return tsearch(group->name, &names->tree, compare) != NULL;
}

/* ----------------------------------------------------------------- opening */

static int open_snapshot(const struct blocks *blocks, struct blocks_group *group, img_error *err)
{
    const struct args *args = blocks->session->args;
    const struct image_arg *arg = &args->images[0];
    img_policy *policy = args->untrusted ? images_strict_policy() : NULL;
    /* Somebody writes: we do. What a snapshot holds does not change. */
    img_open_params params = {
        .format = arg->format,
        .flags = (args->image_opts ? IMG_OPEN_OPTIONS : IMG_OPEN_TYPED) | IMG_OPEN_SHARE,
        .policy = policy,
        .secrets = args->secrets,
    };
    int rc = IMG_E_NOMEM;

    if (!args->untrusted || policy)
        rc = img_open(&group->image, arg->name, &params, err);
    img_policy_free(policy);
    if (rc < 0)
        return rc;
    rc = img_snapshot_view(group->image, group->id, NULL, err);
    if (rc < 0) {
        img_close(group->image, NULL);
        group->image = NULL;
    }
    return rc;
}

/* How much of the file is stored, if that can be told soon. */
static uint64_t stored_blocks(img_image *image, const struct blocks_file *file)
{
    uint64_t at = file->offset, end = file->offset + file->size, stored = 0;
    img_extent extent;

    for (unsigned n = 0; at < end && n < EXTENTS_MAX; n++) {
        if (img_map(image, at, end - at, &extent, NULL) < 0)
            break;
        if (extent.flags & IMG_EXTENT_DATA)
            stored += extent.length;
        at += extent.length;
    }
    stored = (stored + ST_BLOCK - 1) / ST_BLOCK;
    /* One block less than all of it: whoever copies it looks for holes. */
    return at == end || file->size < ST_BLOCK ? stored : file->size / ST_BLOCK - 1;
}

static void add_file(struct blocks_group *group, const img_volume *volume)
{
    uint64_t size = img_size(group->image);
    struct blocks_file *file = &group->files[group->count];

    if (volume && (volume->kind != IMG_VOLUME_PARTITION || volume->offset >= size))
        return;
    *file = (struct blocks_file){.name = "disk", .size = size};
    if (volume) {
        snprintf(file->name, sizeof(file->name), "p%u", volume->number);
        file->offset = volume->offset;
        file->size = volume->size < size - volume->offset ? volume->size : size - volume->offset;
    }
    file->blocks = stored_blocks(group->image, file);
    group->count++;
}

/* The disk, and the partitions that a look at it finds. A disk without any is none the worse. */
static bool find_files(const struct blocks *blocks, struct blocks_group *group)
{
    const img_guest_params params = {.flags = IMG_GUEST_NO_APPLIANCE,
                                     .sector_size = blocks->session->args->sector_size,
                                     .notice = log_notice,
                                     .opaque = blocks->session->log};
    img_guest *guest = NULL;
    img_error err = {0};
    img_volume volume;

    group->files = calloc(FILES_MAX, sizeof(group->files[0]));
    if (!group->files) {
        log_line(blocks->session->log, "out of memory");
        return false;
    }
    add_file(group, NULL);
    if (img_guest_open(&guest, &group->image, 1, &params, &err) < 0) {
        log_error(blocks->session->log, &err, "%s", "partitions");
        return true;
    }
    for (size_t n = 0; group->count < FILES_MAX && img_guest_volume(guest, n, &volume, NULL) == 0;
         n++)
        add_file(group, &volume);
    img_guest_close(guest);
    return true;
}

int blocks_group_open(struct blocks *blocks, struct blocks_group *group)
{
    img_error err = {0};
    int rc = 0;

    pthread_mutex_lock(&blocks->lock);
    if (!group->image && open_snapshot(blocks, group, &err) < 0) {
        log_error(blocks->session->log, &err, "snapshot '%s'", group->name);
        rc = EIO;
    } else if (!group->files && !find_files(blocks, group)) {
        rc = ENOMEM;
    }
    pthread_mutex_unlock(&blocks->lock);
    return rc;
}

/* ---------------------------------------------------------- start and end */

static bool add_snapshots(struct blocks *blocks, const img_snapshot *list, size_t count)
{
    struct names names = {0};
    bool ok = true;

    blocks->groups = calloc(count + 1, sizeof(blocks->groups[0]));
    if (!blocks->groups)
        return false;
    blocks->count = 1;
    for (size_t n = 0; ok && n < count; n++) {
        struct blocks_group *group = &blocks->groups[blocks->count++];

        group->time = (time_t)list[n].date_sec;
        group->id = strdup(list[n].id);
        ok = group->id && name_group(&names, group, &list[n]);
    }
    tdestroy(names.tree, keep);
    return ok;
}

bool blocks_groups_start(struct blocks *blocks)
{
    const struct session *session = blocks->session;
    img_snapshot *list = NULL;
    size_t count = 0;
    img_error err = {0};
    bool ok;

    /* Of a disk that is looked at as one of its snapshots the others are not shown. */
    if (!session->args->snapshot && img_snapshot_list(session->images[0], &list, &count, &err) < 0)
        return log_error(session->log, &err, "%s: snapshots", session->args->images[0].name);
    ok = add_snapshots(blocks, list, count);
    img_free(list);
    if (!ok) {
        log_line(session->log, "out of memory");
        return false;
    }
    blocks->groups[0].image = session->images[0];
    blocks->groups[0].time = time(NULL);
    blocks->groups[0].writable = session->args->writable;
    return blocks_group_open(blocks, &blocks->groups[0]) == 0;
}

bool blocks_groups_end(struct blocks *blocks)
{
    bool ok = true;

    for (size_t n = 0; n < blocks->count; n++) {
        struct blocks_group *group = &blocks->groups[n];
        img_error err = {0};

        /* The first one's image is the session's. */
        if (n > 0 && group->image && img_close(group->image, &err) < 0)
            ok = log_error(blocks->session->log, &err, "snapshot '%s'", group->name);
        free(group->files);
        free(group->id);
    }
    free(blocks->groups);
    return ok;
}
