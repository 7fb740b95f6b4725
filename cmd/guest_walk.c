/*
 * Walking through a guest's directories. SPDX-License-Identifier: BSD-2-Clause
 *
 * In the order of the names. A directory that has been walked through is not entered again: in a
 * sound filesystem none is in two places, in another one that would be a way without an end.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest.h"

#define DEPTH_MAX 4096u

struct walker {
    const struct guest_walk *walk;
    struct guest_places seen; /* the directories */
    char *path;
    size_t room;
};

/* ------------------------------------------------------------------ entries */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const img_dirent *)a)->name, ((const img_dirent *)b)->name);
}

bool guest_list(struct guest *guest, const img_place *place, const char *path,
                struct guest_listing *listing)
{
    img_error err = {0};
    img_dirent entry;

    *listing = (struct guest_listing){0};
    if (img_dir_open(&listing->dir, place->fs, place->inode, &err) < 0)
        return guest_fail(guest, &err, path);
    while (img_dir_entry(listing->dir, listing->count, &entry))
        listing->count++;
    listing->entries = calloc(listing->count + 1, sizeof(*listing->entries));
    if (!listing->entries) {
        guest_list_end(listing);
        return cli_fail_nomem(guest->cli);
    }
    for (size_t n = 0; n < listing->count; n++)
        img_dir_entry(listing->dir, n, &listing->entries[n]);
    qsort(listing->entries, listing->count, sizeof(*listing->entries), compare_names);
    return true;
}

void guest_list_end(struct guest_listing *listing)
{
    free(listing->entries);
    img_dir_close(listing->dir);
}

/* Make the path longer by a name: its length, or 0 without memory. */
static size_t extend(struct walker *walker, size_t length, const char *name)
{
    bool slash = length > 0 && walker->path[length - 1] != '/';
    size_t end = length + slash + strlen(name);

    if (end >= walker->room) {
        char *path = realloc(walker->path, 2 * end + 64);

        if (!path)
            return 0;
        walker->path = path;
        walker->room = 2 * end + 64;
    }
    if (slash)
        walker->path[length] = '/';
    strcpy(walker->path + length + slash, name);
    return end;
}

/* ------------------------------------------------------------------ walking */

static enum guest_next visit(struct walker *walker, struct guest_entry *entry, size_t length);

static enum guest_next walk_entries(struct walker *walker, const struct guest_entry *directory,
                                    size_t length)
{
    const struct guest_walk *walk = walker->walk;
    enum guest_next next = GUEST_GO_ON;
    struct guest_listing listing;

    if (!guest_list(walk->guest, &directory->place, walker->path, &listing))
        return GUEST_GO_ON;
    for (size_t n = 0; next != GUEST_STOP && n < listing.count; n++) {
        struct guest_entry entry = {.place = {directory->place.fs, listing.entries[n].inode},
                                    .depth = directory->depth + 1};
        size_t end = extend(walker, length, listing.entries[n].name);

        if (end == 0) {
            cli_fail_nomem(walk->cli);
            next = GUEST_STOP;
            break;
        }
        entry.name = walker->path + end - strlen(listing.entries[n].name);
        img_tree_cross(walk->guest->tree, &entry.place);
        next = visit(walker, &entry, end);
    }
    walker->path[length] = '\0';
    guest_list_end(&listing);
    return next;
}

/* Into a directory, if that can and should be. */
static enum guest_next enter(struct walker *walker, const struct guest_entry *entry, size_t length)
{
    const struct guest_walk *walk = walker->walk;
    bool known;

    if (walk->max_depth && entry->depth >= walk->max_depth - 1)
        return GUEST_GO_ON;
    if (!guest_places_add(&walker->seen, &entry->place, &known)) {
        cli_fail_nomem(walk->cli);
        return GUEST_STOP;
    }
    if (known || entry->depth >= DEPTH_MAX) {
        guest_fail_code(walk->guest, IMG_E_CORRUPT, walker->path,
                        known ? "this directory is in more than one place" : "too deep");
        return GUEST_GO_ON;
    }
    return walk_entries(walker, entry, length);
}

static enum guest_next visit(struct walker *walker, struct guest_entry *entry, size_t length)
{
    const struct guest_walk *walk = walker->walk;
    size_t name = (size_t)(entry->name - walker->path);
    enum guest_next next;
    img_error err = {0};
    bool directory;

    entry->path = walker->path;
    if (signals_stopped(walk->cli))
        return GUEST_STOP;
    if (img_fs_stat(entry->place.fs, entry->place.inode, &entry->stat, &err) < 0) {
        guest_fail(walk->guest, &err, walker->path);
        return GUEST_GO_ON;
    }
    directory = S_ISDIR(entry->stat.mode);
    next = walk->visit(walk->opaque, entry);
    if (next == GUEST_GO_ON && directory)
        next = enter(walker, entry, length);
    entry->path = walker->path; /* it may have been moved */
    entry->name = walker->path + name;
    if (directory && walk->leave && next == GUEST_GO_ON)
        next = walk->leave(walk->opaque, entry);
    return next == GUEST_STOP ? GUEST_STOP : GUEST_GO_ON;
}

bool guest_walk(const struct guest_walk *walk, const char *path, const img_place *start)
{
    struct walker walker = {.walk = walk};
    struct guest_entry entry = {.place = *start};
    size_t length = extend(&walker, 0, path);
    const char *slash;
    enum guest_next next;

    if (length == 0)
        return cli_fail_nomem(walk->cli);
    while (length > 1 && walker.path[length - 1] == '/')
        walker.path[--length] = '\0';
    slash = strrchr(walker.path, '/');
    entry.name = slash && slash[1] ? slash + 1 : walker.path;
    next = visit(&walker, &entry, length);
    guest_places_clear(&walker.seen);
    free(walker.path);
    return next != GUEST_STOP;
}
