/*
 * Names in directories of ext2 to ext4. SPDX-License-Identifier: BSD-2-Clause
 *
 * The directories in which something was looked up last are kept, each with a hash table of its
 * names, so that the many steps of a walk do not read a directory again for each of its files.
 */
#include "ext2.h"

#ifdef HAVE_EXT2FS

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A larger directory is not kept, and of all of them no more than that. */
#define LISTING_MAX ((size_t)16 << 20)
#define TOTAL_MAX ((size_t)32 << 20)

struct entry {
    uint32_t hash, inode;
    size_t name;
    uint8_t length;
};

struct imgi_ext2_listing {
    struct imgi_ext2_listing *next; /* which was used before this one */
    uint64_t directory;
    struct entry *entries;
    size_t count, room;
    char *names;
    size_t used, space;
    uint32_t *table;   /* 1 + number of an entry; 0: none */
    size_t table_size; /* a power of two, larger than count */
};

/* FNV-1a */
static uint32_t hash_of(const char *name, size_t length)
{
    uint32_t hash = 2166136261u;

    for (size_t n = 0; n < length; n++)
        hash = (hash ^ (uint8_t)name[n]) * 16777619u;
    return hash;
}

static void free_listing(struct imgi_ext2_listing *listing)
{
    if (!listing)
        return;
    free(listing->entries);
    free(listing->names);
    free(listing->table);
    free(listing);
}

static size_t size_of(const struct imgi_ext2_listing *listing)
{
    return listing->room * sizeof(*listing->entries) + listing->space +
           listing->table_size * sizeof(*listing->table);
}

/* ---------------------------------------------------------------- reading */

/* What is looked for, and the listing in the making; NULL: it is too large to be kept. */
struct search {
    const char *name;
    size_t length;
    uint64_t inode; /* 0: not found */
    struct imgi_ext2_listing *listing;
};

static bool make_room(struct imgi_ext2_listing *listing, size_t length)
{
    if (listing->count == listing->room) {
        size_t room = listing->room ? listing->room * 2 : 32;
        struct entry *entries = reallocarray(listing->entries, room, sizeof(*entries));

        if (!entries)
            return false;
        listing->entries = entries;
        listing->room = room;
    }
    if (listing->space - listing->used <= length) {
        size_t space = listing->space * 2 + length + 512;
        char *names = realloc(listing->names, space);

        if (!names)
            return false;
        listing->names = names;
        listing->space = space;
    }
    return true;
}

static int add_entry(void *opaque, const char *name, size_t length, uint64_t inode, uint32_t mode,
                     img_error *err)
{
    struct search *search = opaque;
    struct imgi_ext2_listing *listing = search->listing;

    (void)mode, (void)err;
    if (search->inode == 0 && length == search->length && memcmp(name, search->name, length) == 0)
        search->inode = inode;
    if (!listing)
        return 0;
    if (size_of(listing) > LISTING_MAX || !make_room(listing, length)) {
        free_listing(listing);
        search->listing = NULL;
        return 0;
    }
    listing->entries[listing->count++] = (struct entry){
        .hash = hash_of(name, length),
        .inode = (uint32_t)inode,
        .name = listing->used,
        .length = (uint8_t)length,
    };
    memcpy(listing->names + listing->used, name, length);
    listing->used += length;
    return 0;
}

static bool make_table(struct imgi_ext2_listing *listing)
{
    listing->table_size = 8;
    while (listing->table_size < listing->count * 2)
        listing->table_size *= 2;
    listing->table = calloc(listing->table_size, sizeof(*listing->table));
    if (!listing->table)
        return false;
    for (size_t n = 0; n < listing->count; n++) {
        size_t slot = listing->entries[n].hash & (listing->table_size - 1);

        while (listing->table[slot])
            slot = (slot + 1) & (listing->table_size - 1);
        listing->table[slot] = (uint32_t)n + 1;
    }
    return true;
}

/* ---------------------------------------------------------------- keeping */

/* Put it first, and let go of those that were not used for the longest time. */
static void keep(struct imgi_ext2 *ext2, struct imgi_ext2_listing *listing)
{
    struct imgi_ext2_listing **last = &ext2->listings;
    size_t total = 0;

    listing->next = ext2->listings;
    ext2->listings = listing;
    while (*last && (total += size_of(*last)) <= TOTAL_MAX)
        last = &(*last)->next;
    listing = *last;
    *last = NULL;
    imgi_ext2_forget(listing);
}

void imgi_ext2_forget(struct imgi_ext2_listing *listings)
{
    while (listings) {
        struct imgi_ext2_listing *next = listings->next;

        free_listing(listings);
        listings = next;
    }
}

/* The listing of a directory, which becomes the first one; NULL: it is not kept. */
static struct imgi_ext2_listing *find_listing(struct imgi_ext2 *ext2, uint64_t directory)
{
    for (struct imgi_ext2_listing **at = &ext2->listings; *at; at = &(*at)->next) {
        struct imgi_ext2_listing *listing = *at;

        if (listing->directory != directory)
            continue;
        *at = listing->next;
        listing->next = ext2->listings;
        ext2->listings = listing;
        return listing;
    }
    return NULL;
}

static uint64_t find_name(const struct imgi_ext2_listing *listing, const char *name, size_t length)
{
    uint32_t hash = hash_of(name, length);
    size_t slot = hash & (listing->table_size - 1);

    for (; listing->table[slot]; slot = (slot + 1) & (listing->table_size - 1)) {
        const struct entry *entry = &listing->entries[listing->table[slot] - 1];

        if (entry->hash == hash && entry->length == length &&
            memcmp(listing->names + entry->name, name, length) == 0)
            return entry->inode;
    }
    return 0;
}

int imgi_ext2_lookup(struct img_fs *fs, uint64_t directory, const char *name, uint64_t *inode,
                     img_error *err)
{
    struct imgi_ext2 *ext2 = fs->state;
    struct imgi_ext2_listing *listing = find_listing(ext2, directory);
    struct search search = {.name = name, .length = strlen(name)};
    int rc;

    if (listing) {
        search.inode = find_name(listing, name, search.length);
    } else {
        search.listing = calloc(1, sizeof(*search.listing));
        rc = imgi_ext2_list(fs, directory, add_entry, &search, err);
        if (rc == 0 && search.listing && make_table(search.listing)) {
            search.listing->directory = directory;
            keep(ext2, search.listing);
        } else {
            free_listing(search.listing);
        }
        if (rc < 0)
            return rc;
    }
    if (search.inode == 0)
        return imgi_fail_errno(err, ENOENT, "%s", name);
    *inode = search.inode;
    return 0;
}

#endif
