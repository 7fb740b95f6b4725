/*
 * What of a disk its guest does not use. SPDX-License-Identifier: BSD-2-Clause
 *
 * Everything counts as used until something says that it is not: a filesystem about its own blocks,
 * or a partition table in good order about what lies between its partitions. What is before the
 * first partition is the boot loader's; the ends of a disk are those of tables and of RAID.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "free_space.h"

#define EDGE (1u << 20)       /* of a disk, at either end, is never free */
#define SWAP_HEAD (64u << 10) /* swap's header and signature, at the end of the largest page */

struct search {
    img_free_space *space;
    img_guest *guest;
    const img_free_params *params;
    struct imgi_volume *disk;
    struct imgi_volume **volumes; /* the disk's partitions */
    size_t count;
    const struct imgi_volume *volume; /* that is being looked at */
    uint64_t next;                    /* byte of it that was not yet told about */
};

/* ----------------------------------------------------------------- volumes */

static bool is_one_of(const char *const *devices, size_t count, const struct imgi_volume *volume)
{
    for (size_t n = 0; n < count; n++) {
        if (strcmp(devices[n], volume->info.device) == 0)
            return true;
    }
    return false;
}

static bool is_ignored(const struct search *search, const struct imgi_volume *volume)
{
    return is_one_of(search->params->ignore, search->params->ignore_count, volume);
}

static bool is_dropped(const struct search *search, const struct imgi_volume *volume)
{
    return is_one_of(search->params->drop, search->params->drop_count, volume);
}

/* Nothing but what was named may be dropped, and what was named must be. */
static int check_dropped(const struct search *search, img_error *err)
{
    for (size_t n = 0; n < search->params->drop_count; n++) {
        const char *device = search->params->drop[n];
        const struct imgi_volume *found = NULL;

        for (size_t m = 0; !found && m < search->count; m++) {
            if (strcmp(search->volumes[m]->info.device, device) == 0)
                found = search->volumes[m];
        }
        if (!found || found->extended || found->overlapped || is_ignored(search, found))
            return imgi_fail(
                err, IMG_E_INVAL,
                "%s cannot be dropped: it is no partition of the disk, has something in "
                "common with another one, or is to be ignored",
                device);
    }
    return 0;
}

/* All of it counts as used. Tell the user, if it is not what everybody expects. */
static int keep(const struct search *search, const struct imgi_volume *volume, const char *why,
                img_error *err)
{
    imgi_free_space_forget(search->space);
    imgi_guest_notice(search->guest, "%s is kept whole: %s", volume->info.device, why);
    return imgi_free_space_note(search->space, &volume->info, why, err);
}

static int keep_silently(const struct search *search, const struct imgi_volume *volume,
                         const char *why, img_error *err)
{
    return imgi_free_space_note(search->space, &volume->info, why, err);
}

static int take_unused(void *opaque, uint64_t offset, uint64_t length, img_error *err)
{
    struct search *search = opaque;
    const img_volume *info = &search->volume->info;

    if (offset < search->next || !imgi_span_ok(offset, length, info->size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "free space of %" PRIu64 " bytes at %" PRIu64 " makes no sense", length,
                         offset);
    search->next = offset + length;
    return imgi_free_space_add(search->space, info->offset + offset, info->offset + offset + length,
                               err);
}

static int search_filesystem(struct search *search, struct imgi_volume *volume, img_error *err)
{
    img_error failure = {0};
    int rc;

    search->volume = volume;
    search->next = 0;
    rc = imgi_fs_unused(search->guest, volume, take_unused, search, &failure);
    if (rc == 0)
        return imgi_free_space_note(search->space, &volume->info, NULL, err);
    if (rc != IMG_E_NOMEM)
        return keep(search, volume, failure.message, err);
    if (err)
        *err = failure;
    return rc;
}

/* As if there were no filesystem. */
static int drop(struct search *search, const struct imgi_volume *volume, img_error *err)
{
    const img_volume *info = &volume->info;
    int rc = imgi_free_space_add(search->space, info->offset, info->offset + info->size, err);

    return rc < 0 ? rc : imgi_free_space_note(search->space, info, NULL, err);
}

static int search_swap(struct search *search, const struct imgi_volume *volume, img_error *err)
{
    const img_volume *info = &volume->info;
    uint64_t bytes = info->size > SWAP_HEAD ? info->size - SWAP_HEAD : 0;
    int rc;

    if (!(search->params->flags & IMG_FREE_SWAP))
        return keep_silently(search, volume, "swap is kept unless it is asked for", err);
    rc = imgi_free_space_add(search->space, info->offset + info->size - bytes,
                             info->offset + info->size, err);
    return rc < 0 ? rc : imgi_free_space_note(search->space, info, NULL, err);
}

/* What was recognised may be left over from former times, and be something else by now. */
static int keep_doubtful(struct search *search, const struct imgi_volume *volume, img_error *err)
{
    char why[128];

    if (volume->also)
        snprintf(why, sizeof(why), "it may be %s as well as %s", volume->info.content,
                 volume->also);
    else
        snprintf(why, sizeof(why), "a partition of type %s is not expected to hold %s",
                 volume->info.type, volume->info.content);
    return keep(search, volume, why, err);
}

static int search_volume(struct search *search, struct imgi_volume *volume, img_error *err)
{
    const char *content = volume->info.content;

    if (is_ignored(search, volume))
        return keep_silently(search, volume, "it is to be ignored", err);
    if (volume->overlapped)
        return keep(search, volume, "it overlaps another partition, or the partition table", err);
    if (is_dropped(search, volume))
        return drop(search, volume, err);
    if (!content && imgi_partition_is_reserved(volume))
        return keep_silently(search, volume, "it is reserved for a boot loader or for Windows",
                             err);
    if (!content)
        return keep(search, volume, "what is in it is not known", err);
    if (!volume->info.holds_filesystem && strcmp(content, "swap") != 0) {
        char why[96];

        snprintf(why, sizeof(why), "what is in it (%s) cannot be looked into", content);
        return keep(search, volume, why, err);
    }
    if (volume->also || !imgi_partition_expects(volume))
        return keep_doubtful(search, volume, err);
    if (!volume->info.holds_filesystem)
        return search_swap(search, volume, err);
    return search_filesystem(search, volume, err);
}

/* ------------------------------------------------------- between partitions */

static int compare_volumes(const void *a, const void *b)
{
    const struct imgi_volume *const *left = a, *const *right = b;
    uint64_t x = (*left)->info.offset, y = (*right)->info.offset;

    return x < y ? -1 : x > y;
}

static int search_gaps(struct search *search, img_error *err)
{
    const struct imgi_volume *disk = search->disk;
    uint64_t end = IMGI_MIN(disk->usable_end, disk->info.size - IMGI_MIN(disk->info.size, EDGE));
    uint64_t at = 0;
    int rc = 0;

    qsort(search->volumes, search->count, sizeof(struct imgi_volume *), compare_volumes);
    for (size_t n = 0; rc == 0 && n < search->count; n++) {
        const img_volume *info = &search->volumes[n]->info;

        if (imgi_partition_is_dynamic(search->volumes[n])) {
            return keep(search, disk, "its Windows disk manager keeps data beside the partitions",
                        err);
        }
        if (n > 0 && at >= EDGE) /* what is before the first one is for boot loaders */
            rc = imgi_free_space_add(search->space, at, IMGI_MIN(info->offset, end), err);
        at = IMGI_MAX(at, info->offset + info->size);
    }
    if (rc == 0 && at >= EDGE)
        rc = imgi_free_space_add(search->space, at, end, err);
    return rc < 0 ? rc : imgi_free_space_note(search->space, &disk->info, NULL, err);
}

/* Whether nothing that the table says can be believed. */
static bool is_dubious(const struct imgi_volume *disk, char *why, size_t room)
{
    const char *content = disk->info.content ? disk->info.content : disk->also;

    if (content)
        snprintf(why, room, "it is %s beside its partitions", content);
    else if (disk->unsure)
        snprintf(why, room, "its sectors may have 512 bytes or 4096");
    return content || disk->unsure;
}

static bool is_known(const struct search *search)
{
    for (size_t n = 0; n < search->count; n++) {
        if (search->volumes[n]->info.content)
            return true;
    }
    return false;
}

static int search_partitions(struct search *search, img_error *err)
{
    struct imgi_volume *disk = search->disk;
    char why[96];
    int rc;

    if (is_dubious(disk, why, sizeof(why)))
        return search->params->drop_count
                   ? imgi_fail(err, IMG_E_UNSUPPORTED, "no partition can be dropped: %s", why)
                   : keep(search, disk, why, err);
    if (is_ignored(search, disk))
        rc = keep_silently(search, disk, "it is to be ignored", err);
    else if (disk->doubtful)
        rc = keep(search, disk, "what is outside of its partitions may be in use", err);
    else if (!is_known(search))
        rc = keep(search, disk, "nothing is known of what is in its partitions", err);
    else
        rc = search_gaps(search, err);
    for (size_t n = 0; rc == 0 && n < search->count; n++) {
        if (!search->volumes[n]->extended)
            rc = search_volume(search, search->volumes[n], err);
    }
    return rc;
}

/* ------------------------------------------------------------------ the search */

/* The disk and its partitions: none of them goes while the guest is there. */
static int list_volumes(struct search *search, size_t disk, img_error *err)
{
    img_guest *guest = search->guest;
    int rc = 0;

    pthread_mutex_lock(&guest->lock);
    search->volumes = calloc(guest->volume_count, sizeof(struct imgi_volume *));
    if (!search->volumes)
        rc = imgi_fail_nomem(err, "free space");
    for (size_t n = 0; rc == 0 && n < guest->volume_count; n++) {
        struct imgi_volume *volume = guest->volumes[n];

        if (volume->info.disk == disk && volume->info.kind == IMG_VOLUME_DISK)
            search->disk = volume;
        else if (volume->info.disk == disk && volume->info.kind == IMG_VOLUME_PARTITION)
            search->volumes[search->count++] = volume;
    }
    pthread_mutex_unlock(&guest->lock);
    return rc;
}

int img_free_space_find(img_free_space **space, img_guest *guest, size_t disk,
                        const img_free_params *params, img_error *err)
{
    static const img_free_params none;
    struct search search = {.guest = guest, .params = params ? params : &none};
    int rc;

    *space = NULL;
    if (disk >= guest->image_count)
        return imgi_fail(err, IMG_E_NOENT, "the guest has no disk %zu", disk);
    rc = imgi_chain_check_idle(guest->images[disk]->top, err);
    if (rc < 0)
        return rc;
    search.space = calloc(1, sizeof(*search.space));
    if (!search.space)
        return imgi_fail_nomem(err, "free space");
    search.space->size = img_size(guest->images[disk]);
    rc = list_volumes(&search, disk, err);
    if (rc == 0)
        rc = check_dropped(&search, err);
    if (rc == 0)
        rc = search.disk->partitioned ? search_partitions(&search, err)
                                      : search_volume(&search, search.disk, err);
    free(search.volumes);
    if (rc < 0) {
        img_free_space_free(search.space);
        return rc;
    }
    imgi_free_space_merge(search.space);
    *space = search.space;
    return 0;
}
