/*
 * Paths of a guest that the user typed. SPDX-License-Identifier: BSD-2-Clause
 */
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "guest.h"

/* ---------------------------------------------------------------- patterns */

static bool add_path(struct cli *cli, struct guest_paths *paths, char *path)
{
    char **list = path ? reallocarray(paths->list, paths->count + 1, sizeof(*list)) : NULL;

    if (!list) {
        free(path);
        return cli_fail_nomem(cli);
    }
    paths->list = list;
    list[paths->count++] = path;
    return true;
}

void guest_paths_clear(struct guest_paths *paths)
{
    for (size_t n = 0; n < paths->count; n++)
        free(paths->list[n]);
    free(paths->list);
    *paths = (struct guest_paths){0};
}

static char *join(const char *directory, const char *name, size_t length)
{
    bool slash = directory[0] && directory[strlen(directory) - 1] == '/';
    char *path;

    return asprintf(&path, "%s%s%.*s", directory, slash ? "" : "/", (int)length, name) < 0 ? NULL
                                                                                           : path;
}

char *guest_join(const char *directory, const char *name)
{
    return join(directory, name, strlen(name));
}

void guest_temporary(char name[GUEST_TEMPORARY])
{
    uint64_t number = 0;

    while (getrandom(&number, sizeof(number), 0) < 0 && errno == EINTR)
        continue;
    snprintf(name, GUEST_TEMPORARY, ".img-%016" PRIx64, number);
}

/* What of a pattern is left; found: the path that its beginning has become. */
static bool expand(struct guest *guest, const char *found, const char *left,
                   struct guest_paths *paths);

/* Those of the directory's names that match the first part of a pattern. */
static bool expand_names(struct guest *guest, const char *found, const char *pattern,
                         const char *left, struct guest_paths *paths)
{
    struct guest_listing listing;
    img_place place;
    img_stat stat;
    bool ok = true;

    if (img_tree_find(guest->tree, *found ? found : "/", 0, &place, NULL) < 0 ||
        img_fs_stat(place.fs, place.inode, &stat, NULL) < 0 || !S_ISDIR(stat.mode))
        return true;
    if (!guest_list(guest, &place, found, &listing))
        return false;
    for (size_t n = 0; ok && n < listing.count; n++) {
        const char *name = listing.entries[n].name;
        char *path;

        if (fnmatch(pattern, name, FNM_PERIOD) != 0)
            continue;
        path = join(found, name, strlen(name));
        ok = path ? expand(guest, path, left, paths) : cli_fail_nomem(guest->cli);
        free(path);
    }
    guest_list_end(&listing);
    return ok;
}

static bool expand(struct guest *guest, const char *found, const char *left,
                   struct guest_paths *paths)
{
    const char *part = left + strspn(left, "/");
    size_t length = strcspn(part, "/");
    char *pattern, *path;
    img_place place;
    bool ok;

    if (length == 0)
        return img_tree_find(guest->tree, found, IMG_TREE_NO_FOLLOW, &place, NULL) < 0 ||
               add_path(guest->cli, paths, strdup(found));
    pattern = strndup(part, length);
    if (!pattern)
        return cli_fail_nomem(guest->cli);
    if (strpbrk(pattern, "*?[")) {
        ok = expand_names(guest, found, pattern, part + length, paths);
    } else {
        path = join(found, part, length);
        ok = path ? expand(guest, path, part + length, paths) : cli_fail_nomem(guest->cli);
        free(path);
    }
    free(pattern);
    return ok;
}

bool guest_expand(struct guest *guest, const char *text, bool literal, struct guest_paths *paths)
{
    size_t before = paths->count;
    img_place place;

    if (literal || !strpbrk(text, "*?[") ||
        img_tree_find(guest->tree, text, IMG_TREE_NO_FOLLOW, &place, NULL) == 0)
        return add_path(guest->cli, paths,
                        text[0] == '/' ? strdup(text) : join("", text, strlen(text)));
    if (!expand(guest, "", text, paths))
        return false;
    if (paths->count == before)
        return guest_fail_code(guest, IMG_E_NOENT, text, "nothing in the guest matches it");
    return true;
}

bool guest_expand_all(struct guest *guest, char **texts, int count, bool literal,
                      struct guest_paths *paths)
{
    bool ok = true;

    for (int n = 0; n < count; n++)
        ok = guest_expand(guest, texts[n], literal, paths) && ok;
    return ok;
}

bool guest_find(struct guest *guest, const char *path, unsigned flags, img_place *place,
                img_stat *stat)
{
    img_error err = {0};

    if (img_tree_find(guest->tree, path, flags, place, &err) < 0 ||
        img_fs_stat(place->fs, place->inode, stat, &err) < 0)
        return guest_fail(guest, &err, path);
    return true;
}

bool guest_xattrs(struct guest *guest, const struct guest_entry *entry, guest_xattr_fn *fn,
                  void *opaque)
{
    img_fs *fs = entry->place.fs;
    img_error err = {0};
    size_t length, size;
    char *names;
    void *value;
    bool ok = true;

    if (img_fs_xattr_names(fs, entry->place.inode, &names, &length, &err) < 0)
        return guest_fail(guest, &err, entry->path);
    for (const char *name = names; ok && name && name < names + length; name += strlen(name) + 1) {
        if (img_fs_xattr(fs, entry->place.inode, name, &value, &size, &err) < 0) {
            ok = guest_fail(guest, &err, entry->path);
            break;
        }
        ok = fn(opaque, name, value, size);
        img_free(value);
    }
    img_free(names);
    return ok;
}
